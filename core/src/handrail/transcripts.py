"""Reads conversations from files and from plain objects: native, OpenAI chat and Anthropic.

A bad entry never hides a good one: reading yields an ``InputError`` in its place that names the file, the
line, the field and the cure.
"""

from __future__ import annotations

import io
import json
import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ValidationError

from handrail.chat import MAX_DEPTH, as_arguments, depth, nearest, plain, read_messages, shown
from handrail.errors import InputError
from handrail.model import MAX_CONVERSATION_BYTES, Attempt, Conversation, Customer
from handrail.parsing import Twice, parsed
from handrail.text import clean, one_line

_KEYS = tuple(Conversation.model_fields)
_CUSTOMER_KEYS = tuple(Customer.model_fields)
_PRIVATE = frozenset(
    {"system", "systemprompt", "instructions", "developer", "prompt"}
    | {"tools", "functions", "toolchoice", "functioncall", "responseformat"}
)
"""Keys of a request to a model that may stand beside its messages and must never leave (without _ and -)."""

_MISTYPED, _SHORT = 0.8, 3
"""How like a known key a mistyped one is, at least; one of so few characters (uid) is never taken for one."""

_HAND_OVER = re.compile(r"transfer|escalat|hand[ _-]?(?:off|over)|connect|route", re.IGNORECASE)
_TO_A_PERSON = re.compile(
    r"human|agent|person|support|operator|representative|specialist|live", re.IGNORECASE
)
_SUMMARY_KEYS = ("summary", "reason", "message", "note", "description")

_EXPECTED = {
    "string_type": "is no text; put it in quotes",
    "float_type": "is no number; write it like 0.42",
    "float_parsing": "is no number; write it like 0.42",
    "tuple_type": "is no list; write it in square brackets",
    "dict_type": "is no object; write it in curly brackets",
    "model_type": "is no object; write it in curly brackets",
    "missing": "is missing; it is required",
}

Read = Conversation | InputError


def read_conversations(path: Path | str) -> Iterator[Read]:
    """Every conversation of a file in order; in place of a bad one, what is wrong with it and where.

    ``.jsonl`` is read line by line, ``.json`` holds one conversation or a list; any other file, and ``-``
    (standard input), is taken by its content.
    """
    file = clean(str(path))
    try:
        if str(path) == "-":
            yield from _not_empty(_read(sys.stdin.buffer, "", file), file)
        else:
            with Path(path).open("rb") as stream:
                yield from _not_empty(_read(stream, Path(path).suffix.lower(), file), file)
    except OSError as error:
        yield InputError(f"cannot be read: {error.strerror or error}", file=file)
    except UnicodeError as error:
        yield InputError(f"is no readable text ({error}); save it as UTF-8", file=file)


def conversation_from(data: Any, *, file: str | None = None, line: int | None = None) -> Conversation:
    """A conversation from a native, OpenAI or Anthropic object. Raises ``InputError`` with field and cure.

    System prompts and tool definitions are dropped. Unknown keys are kept in ``fields``, those of the
    customer in its ``attributes``; one that looks like a mistyped known key is an error.
    """
    try:
        _refuse_twice(data)
        return _conversation(plain(data))
    except InputError as error:
        raise InputError(error.message, field=error.field, file=file, line=line) from None
    except ValidationError as error:
        field, message = _explained(error)
        raise InputError(message, field=field, file=file, line=line) from None
    except (RecursionError, OverflowError):
        raise InputError("is nested too deeply or holds too large a number", file=file, line=line) from None


def conversation_from_chat(messages: list[dict[str, Any]], known: Mapping[str, Any]) -> Conversation:
    """A conversation from chat messages and the other fields of a conversation."""
    return conversation_from({**known, "messages": messages})


def transfer_summary(conversation: Conversation) -> str | None:
    """What the AI said about the case when it last called a tool that hands over to a person."""
    for attempt in reversed(conversation.attempts):
        if is_transfer(attempt):
            texts = [attempt.arguments.get(key) for key in _SUMMARY_KEYS]
            return next((text for text in texts if isinstance(text, str) and text.strip()), None)
    return None


def is_transfer(attempt: Attempt) -> bool:
    """True for the call of a tool that hands the conversation to a person."""
    action = attempt.action
    alone = re.fullmatch(r"escalate|hand[ _-]?(off|over)", action, re.IGNORECASE)
    return bool(alone or (_HAND_OVER.search(action) and _TO_A_PERSON.search(action)))


# Files.


def _not_empty(read: Iterator[Read], file: str) -> Iterator[Read]:
    count = -1
    for count, conversation in enumerate(read):  # noqa: B007 - the count is what matters
        yield conversation
    if count < 0:
        yield InputError("holds no conversation; write at least one", file=file)


def _read(stream: BinaryIO, suffix: str, file: str) -> Iterator[Read]:
    lines = _utf8_lines(stream)
    if suffix in (".jsonl", ".ndjson"):
        return _read_lines(enumerate(lines, 1), file)
    if suffix == ".json":
        return _read_document(lines, file)
    return _read_by_content(lines, file)


def _utf8_lines(stream: BinaryIO) -> Iterator[bytes]:
    """The file's lines in UTF-8 without a byte order mark; UTF-16 and UTF-32 are converted."""
    first = stream.readline()
    encoding = json.detect_encoding(first[:4])
    if encoding == "utf-8":
        return chain([first], stream)
    if encoding == "utf-8-sig":
        return chain([first[3:]], stream)
    text = (first + stream.read()).decode(encoding)
    return io.BytesIO(text.removeprefix("\ufeff").encode())


def _read_by_content(lines: Iterator[bytes], file: str) -> Iterator[Read]:
    """JSON Lines if the first line that is not blank is a whole object, otherwise one document."""
    numbered = enumerate(lines, 1)
    head = list(_until_first(numbered))
    if head and _is_object(head[-1][1]):
        return _read_lines(chain(head, numbered), file)
    rest = [*head, *numbered]
    filled = [raw for _, raw in rest if raw.strip()]
    if len(filled) > 1 and all(raw.lstrip().startswith(b"{") for raw in filled):
        return _read_lines(rest, file)
    return _read_document((raw for _, raw in rest), file)


def _until_first(numbered: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    for number, raw in numbered:
        yield number, raw
        if raw.strip():
            return


def _is_object(raw: bytes) -> bool:
    try:
        return isinstance(parsed(_decoded(raw, "", 1), "", 1), dict)
    except InputError:
        return False


def _read_lines(numbered: Iterable[tuple[int, bytes]], file: str) -> Iterator[Read]:
    for line, raw in numbered:
        if not raw.strip():
            continue
        try:
            data = parsed(_decoded(raw, file, line), file, line)
            if isinstance(data, list):
                cure = "a line holds one conversation; name the file .json if it is a list"
                raise InputError(f"is a list: {cure}", file=file, line=line)
            yield conversation_from(data, file=file, line=line)
        except InputError as error:
            yield error


def _read_document(lines: Iterable[bytes], file: str) -> Iterator[Read]:
    raw = b"".join(lines)
    if not raw.strip():
        return
    try:
        data = parsed(_decoded(raw, file), file)
        if not isinstance(data, list):
            yield conversation_from(data, file=file)
            return
    except InputError as error:
        yield error
        return
    for number, item in enumerate(data):
        yield _item(item, number, file)


def _item(item: Any, number: int, file: str) -> Read:
    try:
        return conversation_from(item, file=file)
    except InputError as error:
        field = ".".join(part for part in (f"[{number}]", error.field) if part)
        return InputError(error.message, field=field, file=file)


def _decoded(raw: bytes, file: str, line: int | None = None) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = line or raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        wrong = f"byte {column} (0x{raw[error.start]:02x}) is no UTF-8"
        raise InputError(f"{wrong}; save the file as UTF-8", file=file, line=line) from None


# Objects.


def _refuse_twice(data: Any) -> None:
    if isinstance(data, Twice):
        cure = "nobody knows which is meant; keep one of them"
        raise InputError(f"stands twice in the same object: {cure}", field=one_line(data.field, 200))


def _conversation(data: Any) -> Conversation:
    if not isinstance(data, Mapping):
        raise InputError("a conversation is an object with 'messages'")
    known = _with_extra(data, _KEYS, "fields")
    if "messages" not in known:
        raise InputError("is missing; write the list of messages", field="messages")
    heard = read_messages(known["messages"])
    if not any(message["role"] == "customer" for message in heard.messages):
        cure = "add at least one with role 'customer' ('user' in the chat format)"
        raise InputError(f"there is no customer message; {cure}", field="messages")
    known |= {"messages": heard.messages, "attempts": [*_attempts(known.get("attempts")), *heard.attempts]}
    if isinstance(known.get("customer"), Mapping):
        known["customer"] = _with_extra(known["customer"], _CUSTOMER_KEYS, "attributes", "customer.")
    _refuse_unfit(known, heard.places)
    return Conversation.model_validate(known)


def _attempts(attempts: Any) -> list[Any]:
    if attempts is None:
        return []
    if not isinstance(attempts, list | tuple):
        raise InputError("is no list; write it in square brackets", field="attempts")
    return [_with_arguments(plain(attempt)) for attempt in attempts]


def _with_arguments(attempt: Any) -> Any:
    if isinstance(attempt, Mapping) and isinstance(attempt.get("arguments"), str):
        return {**attempt, "arguments": as_arguments(attempt["arguments"])}
    return attempt


def _with_extra(data: Mapping[str, Any], keys: tuple[str, ...], into: str, place: str = "") -> dict[str, Any]:
    """``data`` with plain values, its unknown keys moved to ``into`` and those with prompts left out."""
    values = {str(key): plain(value) for key, value in data.items() if value is not None}
    known = {key: _as_text(key, value) for key, value in values.items() if key in keys}
    extra = {key: value for key, value in values.items() if key not in keys and not _is_private(key)}
    for key in extra:
        near = nearest(key, keys, _MISTYPED) if len(key) > _SHORT else None
        if near:
            message = f"is an unknown key; did you mean {shown(near)}?"
            raise InputError(message, field=f"{place}{one_line(key, 40)}")
    given = known.get(into, {})
    if not extra or not isinstance(given, Mapping):
        return known
    _refuse_two_values(extra, given, into, place)
    return known | {into: {**{key: _scalar(value) for key, value in extra.items()}, **given}}


def _is_private(key: str) -> bool:
    return re.sub("[ _-]", "", key.lower()) in _PRIVATE


def _as_text(key: str, value: Any) -> Any:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if key in ("id", "phone") and is_number else value


def _scalar(value: Any) -> Any:
    if not isinstance(value, Mapping | list | tuple):
        return value
    return json.dumps(value, ensure_ascii=False, default=str) if depth(value) < MAX_DEPTH else value


def _refuse_two_values(extra: Mapping[str, Any], given: Mapping[str, Any], into: str, place: str) -> None:
    for key, value in extra.items():
        if key in given and given[key] != value:
            where = f"{place}{one_line(key, 40)}"
            raise InputError(f"also stands in {into!r} with another value; keep one", field=where)


def _refuse_unfit(known: Mapping[str, Any], places: list[str]) -> None:
    """Refuses what cannot be stored: too much text, too deep nesting, numbers that are none."""
    sizes = {place: len(message["text"]) for place, message in zip(places, known["messages"], strict=True)}
    sizes |= {f"attempts[{n}]": _size(part, f"attempts[{n}]") for n, part in enumerate(known["attempts"])}
    sizes |= {key: _size(value, key) for key, value in known.items() if key not in ("messages", "attempts")}
    if sum(sizes.values()) > MAX_CONVERSATION_BYTES:
        place = max(sizes, key=sizes.__getitem__)
        most = f"at most {MAX_CONVERSATION_BYTES:,} are taken; send long material as a file or a link"
        total = f"the conversation has {sum(sizes.values()):,} characters, {sizes[place]:,} of them here"
        raise InputError(f"{total}: {most}", field=place)


def _size(value: Any, place: str) -> int:
    """The characters in ``value``, without recursion."""
    size, waiting = 0, [(value, 1)]
    while waiting:
        item, level = waiting.pop()
        if isinstance(item, str):
            size += len(item)
        elif isinstance(item, dict | list | tuple):
            if level > MAX_DEPTH:
                raise InputError(f"is nested more than {MAX_DEPTH} levels deep; flatten it", field=place)
            waiting += [(inner, level + 1) for inner in (item.values() if isinstance(item, dict) else item)]
            size += sum(map(len, item)) if isinstance(item, dict) else 0
        elif isinstance(item, float) and not math.isfinite(item):
            raise InputError(f"{item} is no number that JSON knows; write null", field=place)
        else:
            size += 8
    return size


def _explained(error: ValidationError) -> tuple[str, str]:
    """The first thing that pydantic found wrong, as the field's path and a message with the cure."""
    first = error.errors(include_url=False, include_input=True)[0]
    field = re.sub(r"\.(float|str|function-.*)$", "", _path(first["loc"]))
    kind, context = first["type"], first.get("ctx", {})
    message = _EXPECTED.get(kind, first["msg"])
    if field == "sentiment":
        message = "is neither a number nor a text"
    elif kind.startswith("datetime"):
        message = f"{shown(first['input'])} is no time; write it like 2026-11-20T09:31:00Z"
    elif kind in ("string_too_long", "too_long"):
        message = f"has {len(first['input'])} characters; at most {context['max_length']} are taken"
    elif kind == "literal_error":
        message = f"{shown(first['input'])} is none of {context['expected']}"
    elif kind == "extra_forbidden":
        near = nearest(str(first["loc"][-1]), Attempt.model_fields)
        message = (
            f"is an unknown key; did you mean {shown(near)}?" if near else "is an unknown key; leave it out"
        )
    more = error.error_count() - 1
    return field, message + (f" (and {more} more)" if more else "")


def _path(location: tuple[int | str, ...]) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{one_line(part, 40)}" for part in location]
    return "".join(parts).lstrip(".")
