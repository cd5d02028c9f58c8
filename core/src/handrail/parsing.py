"""Parses JSON that people or programs wrote: what is wrong is said with the place and the cure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import Any, NoReturn

from handrail.errors import InputError

_CURES = {
    "Extra data": "only one value may stand here; write a list, or one conversation a line in a .jsonl file",
    "Expecting property name enclosed in double quotes": "use double quotes, no last comma",
    "Expecting value": "a value is missing, or it stands in single quotes",
    "Invalid control character at": "write a line break inside a text as \\n",
    "Unterminated string starting at": "the text is not closed; the file may have been cut off",
    "Expecting ',' delimiter": "a comma or bracket is missing, or a quote inside a text needs \\ before it",
}
_LONGEST_FIELD = 200
Pairs = list[tuple[str, Any]]


class Twice(dict[str, Any]):
    """An object in which, at ``field``, a key stands twice: which of the values is meant, nobody knows."""

    field = ""


class _Found(ValueError):
    """A key stands twice somewhere."""


def _each_once(pairs: Pairs) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _Found
    return made


def _marked(pairs: Pairs) -> dict[str, Any]:
    """The object; a ``Twice`` where a key stands twice in it, or in an object within it."""
    counts = Counter(name for name, _ in pairs)
    fields = chain((name for name, count in counts.items() if count > 1), _within(pairs))
    field = next(fields, None)
    if field is None:
        return dict(pairs)
    made = Twice(pairs)
    made.field = field[:_LONGEST_FIELD]
    return made


def _within(pairs: Pairs) -> Iterator[str]:
    return chain.from_iterable(_places(name, value) for name, value in pairs)


def _places(place: str, value: Any) -> Iterator[str]:
    """Where keys stand twice in a value that stands at ``place``."""
    if isinstance(value, Twice):
        yield f"{place}.{value.field}"
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from _places(f"{place}[{number}]", one)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON; write null")


_JSON = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_each_once)
_MARKING = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_marked)


def parsed(text: str, file: str, line: int | None = None) -> Any:
    """What a JSON text says. Raises ``InputError``; an object with a key twice is a ``Twice`` instead.

    So of a list of conversations only that one is lost. It is looked for only in a text that has one.
    """
    try:
        try:
            return _JSON.decode(text)
        except _Found:
            return _MARKING.decode(text)
    except json.JSONDecodeError as error:
        cure = _CURES.get(error.msg, "look at the text around this place")
        message = f"column {error.colno} is no valid JSON ({error.msg}): {cure}"
        raise InputError(message, file=file, line=line or error.lineno) from None
    except RecursionError:
        raise InputError("is nested too deeply; flatten it", file=file, line=line) from None
    except ValueError as error:
        what = "a number has thousands of digits; write it as text" if "digits" in str(error) else str(error)
        raise InputError(f"is no valid JSON: {what}", file=file, line=line) from None
