"""What a condition may name, what each is, and what is said of a name that nobody knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from handrail.model import Reason, Urgency

Values = Mapping[str, Any]
Value = Callable[[Values], Any]
NUMBER, TEXT, FLAG, LIST, OPEN = "a number", "a text", "true or false", "a list", ""
"""What a value is. ``OPEN``: whatever the host application gives."""

CUSTOMER = {"id": TEXT, "name": TEXT, "email": TEXT, "phone": TEXT, "segments": LIST, "attributes": OPEN}
SIGNALS = {
    "id": TEXT,
    "channel": TEXT,
    "subject": TEXT,
    "language": TEXT,
    "topic": TEXT,
    "intent": TEXT,
    "tags": LIST,
    "confidence": NUMBER,
    "sentiment": OPEN,
    "url": TEXT,
    "customer": OPEN,
    "fields": OPEN,
    "turns": NUMBER,
    "failed_attempts": NUMBER,
    "asked_for_human": FLAG,
    "repeated_question": FLAG,
    "sensitive": LIST,
    "amount": NUMBER,
    "question": TEXT,
    "text": TEXT,
    "last": TEXT,
}
"""What a condition may name, and what each is."""


class OneOf(str):
    """``TEXT`` of which there are only these values: another one is a slip of the hand."""

    values: tuple[str, ...] = ()

    @classmethod
    def of(cls, values: Iterable[str]) -> OneOf:
        kind = cls(TEXT)
        kind.values = tuple(map(str, values))
        return kind


HANDOFF: dict[str, str] = dict.fromkeys(("desk", "group", "urgency", "owner", "reason", "trigger"), TEXT)
HANDOFF |= {"urgency": OneOf.of(Urgency), "reason": OneOf.of(Reason)}
"""What the conditions of flows and raises may name besides: what the handoff has so far."""


class RuleError(Exception):
    """A condition that cannot be used: the message says why, where, and what to write."""


@dataclass(frozen=True)
class Search:
    """Something that is looked for in each message of the customer; ``key`` is how the rule writes it."""

    key: str
    finds: Callable[[str], bool]


def unknown(name: str, known: Iterable[str]) -> str:
    """What is said of a name that no condition knows."""
    names = sorted(known)
    near = get_close_matches(name.lower(), ["true", "false", "null", *names], n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}."
    return (
        f"{name!r} is not known; {hint} What your application gives is fields.{name}, "
        f'a text stands in quotation marks: "{name}"'
    )


NO_PATTERNS = '=~ is not taken; write "word" in text, or matches(text, "pattern")'
