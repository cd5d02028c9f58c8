"""What goes into a ticket: text without placeholders, tags, due times, custom fields, forms with files.

https://developers.freshdesk.com/api/#create_ticket
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from handrail import File, Handoff, Html, Unsupported
from handrail_freshdesk.updates import stamp

MAX_FILES_BYTES = 20 * 1024 * 1024
"""Of all files of a request together."""
MAX_TAG = 32
SOURCES = {"phone": 3, "voice": 3}
CHAT = 7
_NUMBER = {"custom_number": r"-?[0-9]{1,15}", "custom_decimal": r"-?[0-9]{1,15}(\.[0-9]{1,9})?"}


@dataclass(frozen=True)
class Inert(Html):
    """HTML in which nothing is a placeholder of Freshdesk's templates; what is read stays the same."""

    def join(self, parts: Iterable[str]) -> str:
        return _apart(super().join(parts), "<span>{</span>")

    def size(self, text: str) -> int:
        return super().size(_apart(text, "<span>{</span>"))


def inert(text: str) -> str:
    """Plain text on one line in which nothing is a placeholder."""
    return " ".join(_apart(text, "{ ").split())


def _apart(text: str, brace: str) -> str:
    """``{{`` and ``{%`` taken apart. No attribute holds a brace: links are checked before."""
    return re.sub(r"\{(?=[{%])", brace, text)


def tags(wanted: Iterable[str]) -> list[str]:
    cleaned = (re.sub(r"[\s,]+", "_", tag.strip())[:MAX_TAG] for tag in wanted)
    return list(dict.fromkeys(filter(None, cleaned)))


def source(handoff: Handoff) -> int | None:
    return None if "source" in handoff.unset else SOURCES.get(handoff.conversation.channel or "", CHAT)


def due_times(handoff: Handoff) -> tuple[dict[str, str], Handoff]:
    """``fr_due_by`` and ``due_by``, which go together and lie ahead, or none and the reason in the handoff.

    Whoever solves something has answered it: without a time of its own the first answer is due just before.
    """
    first, last = handoff.due.first_response, handoff.due.resolution
    if "due" in handoff.unset or not (first or last):
        return {}, handoff
    if last is None:
        why = "Freshdesk takes the time of the first answer only together with that of the solution"
        return {}, _without_due(handoff, why)
    latest = last - timedelta(seconds=1)
    first = min(first or latest, latest)
    if first <= handoff.created_at:
        return {}, _without_due(handoff, "the time has passed, and Freshdesk takes only one that lies ahead")
    return {"fr_due_by": stamp(first), "due_by": stamp(last)}, handoff


def _without_due(handoff: Handoff, why: str) -> Handoff:
    return handoff.model_copy(update={"unset": handoff.unset | {"due": why}})


def typed(kind: str | None, value: str) -> Any:
    """A detail as its custom field wants it; what does not fit goes as text, for Freshdesk to judge."""
    if kind == "custom_checkbox" and value.casefold() in ("true", "yes", "false", "no"):
        return value.casefold() in ("true", "yes")
    if kind in _NUMBER and re.fullmatch(_NUMBER[kind], value):
        return int(value) if kind == "custom_number" else float(value)
    return value


def sent(values: dict[str, Any], files: Sequence[File]) -> dict[str, Any]:
    """How a request carries values: as JSON, or with files as a form."""
    if not files:
        return {"json": values}
    size = sum(len(file.content) for file in files)
    if size > MAX_FILES_BYTES:
        names = ", ".join(file.name for file in files)
        raise Unsupported(f"Freshdesk takes {MAX_FILES_BYTES:,} bytes of files, not {size:,}: {names}")
    return {"form": [*_flat(values), *(("attachments[]", file) for file in files)]}


def _flat(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from ((f"{name}[{key}]", _text(item)) for key, item in value.items())
        elif isinstance(value, list):
            yield from ((f"{name}[]", _text(item)) for item in value)
        else:
            yield name, _text(value)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
