"""The brief: what a person reads first, as a structure that every dialect can write.

It answers at a glance why a person is needed, who should take it, how urgent it is and what to do next.
Then come the original question, the customer, what the AI tried, details, and the whole conversation.
The same handoff always gives the same brief.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from handrail.model import Attempt, Customer, Handoff, Message, Reason, Role
from handrail.text import clean, one_line
from handrail.transcripts import transfer_summary

WHY = {
    Reason.CUSTOMER_REQUEST: "The customer asked for a person",
    Reason.POLICY: "The AI may not decide this on its own",
    Reason.SENSITIVE: "Sensitive: a person must handle this",
    Reason.UNCLEAR: "The AI could not resolve it",
    Reason.CONFIGURED: "Handed over as configured",
}

_FIRST_STEP = {
    Reason.CUSTOMER_REQUEST: "Answer the customer, who asked for a person",
    Reason.POLICY: "Decide about the request; the AI has promised nothing on its own authority",
    Reason.SENSITIVE: "Read the whole conversation before you answer",
    Reason.UNCLEAR: "Find out what the customer needs and answer",
    Reason.CONFIGURED: "Read the conversation and answer the customer",
}

SPEAKERS = {Role.CUSTOMER: "Customer", Role.AI: "AI", Role.HUMAN: "Team"}

_MAX_LABEL = 80
_MAX_ARGUMENT = 120
_MAX_ARGUMENTS = 400
_MAX_FAILURES = 3
_MAX_LINK = 2000

_LINK = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?([/?#][A-Za-z0-9._~!$&'()*+,;=:@%/?#-]*)?")
_EMAIL = re.compile(r"[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")


@dataclass(frozen=True)
class Fact:
    """A short label and its value. ``link`` is an address that is safe to follow, or None."""

    label: str
    value: str
    link: str | None = None


@dataclass(frozen=True)
class Item:
    """One line of a list: what stands out, and the text after it."""

    text: str
    lead: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the brief under its title: facts, or a quotation, or a list."""

    title: str
    facts: tuple[Fact, ...] = ()
    quote: str = ""
    items: tuple[Item, ...] = ()

    @property
    def length(self) -> int:
        """The characters in it; no dialect needs fewer."""
        facts = sum(len(fact.label) + len(fact.value) for fact in self.facts)
        return facts + len(self.quote) + sum(len(item.lead) + len(item.text) for item in self.items)


@dataclass(frozen=True)
class Entry:
    """Something that was said. ``at`` is a UTC time, or None where the transcript has none."""

    speaker: str
    text: str
    at: datetime | None = None

    @property
    def length(self) -> int:
        return len(self.speaker) + len(self.text)


@dataclass(frozen=True)
class Brief:
    """Sections in the order in which they are read, then what was said, then our reference."""

    sections: tuple[Section, ...]
    transcript: tuple[Entry, ...]
    reference: str


def compose(handoff: Handoff) -> Brief:
    """The brief of a handoff."""
    summary = handoff.summary or transfer_summary(handoff.conversation)
    sections = (
        Section("At a glance", tuple(_glance(handoff, summary))),
        Section("Next steps", items=tuple(Item(clean(step)) for step in next_steps(handoff))),
        Section("Original question", quote=handoff.conversation.question),
        Section("Customer", tuple(_about(handoff.customer))),
        Section("What the AI tried", items=tuple(map(_attempt, handoff.conversation.attempts))),
        Section("Details", tuple(_details(handoff))),
    )
    transcript = tuple(map(entry, handoff.conversation.spoken))
    return Brief(tuple(s for s in sections if s.length), transcript, reference(handoff.marker))


def reference(marker: str) -> str:
    """The line by which a connector finds its text again."""
    return f"Handrail {one_line(marker)}"


def entry(message: Message) -> Entry:
    """A message as it stands in a transcript."""
    speaker = SPEAKERS.get(message.role, message.role.value.capitalize())
    name = one_line(message.name or "", 60)
    return Entry(f"{speaker} ({name})" if name else speaker, message.text, message.at)


def written(time: datetime) -> str:
    """A UTC time to the minute, such as ``2026-11-20 09:31 UTC``."""
    return f"{time:%Y-%m-%d %H:%M} UTC"


def next_steps(handoff: Handoff) -> Iterable[str]:
    """The given next steps; without any, what follows from the reason and from what failed."""
    if handoff.next_steps:
        return handoff.next_steps
    latest = {attempt.action: attempt for attempt in handoff.conversation.attempts}
    failed = [attempt for attempt in latest.values() if attempt.outcome == "failed"]
    checks = [f"Check why {_named(attempt)} failed{_because(attempt)}" for attempt in failed]
    return [_FIRST_STEP[handoff.reason], *checks[-_MAX_FAILURES:]]


def _named(attempt: Attempt) -> str:
    return one_line(attempt.action, _MAX_LABEL)


def _because(attempt: Attempt) -> str:
    return f": {one_line(attempt.detail, 200)}" if attempt.detail else ""


def _glance(handoff: Handoff, summary: str | None) -> Iterator[Fact]:
    yield Fact("Why", WHY[handoff.reason])
    if summary:
        yield Fact("Summary", summary)
    if handoff.trigger:
        yield Fact("Rule", clean(handoff.trigger))
    yield Fact("Urgency", handoff.urgency.value.capitalize())
    if handoff.due.first_response:
        yield Fact("First answer due", written(handoff.due.first_response))
    if handoff.due.resolution:
        yield Fact("Solution due", written(handoff.due.resolution))
    yield from _who(handoff)


def _who(handoff: Handoff) -> Iterator[Fact]:
    if handoff.group:
        yield Fact("Group", clean(handoff.group))
    if handoff.owner:
        yield Fact("Owner", clean(handoff.owner))
    if handoff.missing:
        yield Fact("Not collected", ", ".join(map(clean, handoff.missing)))
    for name, why in handoff.unset.items():
        yield Fact("Could not be set", clean(f"{name}: {why}"))
    if handoff.came_from:
        yield Fact("Sent here because", clean(f"it could not be delivered to {handoff.came_from}"))


def _about(customer: Customer) -> Iterator[Fact]:
    if customer.name:
        yield Fact("Name", customer.name)
    if customer.email:
        yield Fact("E-mail", customer.email, _link(customer.email))
    if customer.phone:
        yield Fact("Phone", customer.phone)
    if customer.id:
        yield Fact("Id", customer.id)
    if customer.segments:
        yield Fact("Segments", ", ".join(customer.segments))
    yield from _facts(customer.attributes)


def _attempt(attempt: Attempt) -> Item:
    given = ", ".join(
        f"{key}={one_line(_text(value), _MAX_ARGUMENT)}" for key, value in attempt.arguments.items()
    )
    call = f"{attempt.action}({one_line(given, _MAX_ARGUMENTS)})"
    came_of_it = f" → {attempt.detail}" if attempt.detail else ""
    when = f", {written(attempt.at)}" if attempt.at else ""
    return Item(f"{call}{came_of_it}", f"{attempt.outcome.capitalize()}{when}")


def _details(handoff: Handoff) -> Iterator[Fact]:
    conversation = handoff.conversation
    yield from _facts({key.capitalize() if _is_ours(key) else key: v for key, v in handoff.details.items()})
    tags = dict.fromkeys([*conversation.tags, *handoff.tags])
    known = {
        "Tags": ", ".join(map(clean, tags)),
        "Channel": conversation.channel,
        "Language": conversation.language,
        "Confidence": conversation.confidence,
        "Sentiment": conversation.sentiment,
    }
    yield from _facts(known)
    if conversation.url:
        yield Fact("Link", conversation.url, _link(conversation.url))


def _is_ours(key: str) -> bool:
    return key in ("topic", "intent")


def _facts(values: Mapping[str, Any]) -> Iterator[Fact]:
    for key, value in values.items():
        text = _text(value)
        if text:
            yield _fact(key, text)


def _fact(key: str, text: str) -> Fact:
    label = one_line(key, _MAX_LABEL)
    return Fact(label or "(no name)", text if len(key) <= _MAX_LABEL else f"{clean(key)}: {text}")


def _text(value: Any) -> str:
    """A value as a person writes it: text as it is, yes and no, anything else as JSON."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        return {None: "", True: "yes", False: "no"}[value]
    return clean(json.dumps(value, ensure_ascii=False, default=str))


def _link(text: str) -> str | None:
    """``text`` as an address to follow, where it is a plain web or e-mail address and nothing else."""
    if len(text) > _MAX_LINK:
        return None
    return f"mailto:{text}" if _EMAIL.fullmatch(text) else text if _LINK.fullmatch(text) else None
