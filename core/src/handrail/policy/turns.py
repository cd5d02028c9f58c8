"""When a policy first hands a conversation over: at once, or when a wait is over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from handrail.model import Conversation, Message, Role
from handrail.policy.model import Decision
from handrail.policy.moments import counted
from handrail.policy.policy import Policy
from handrail.redact import mask
from handrail.text import one_line


@dataclass(frozen=True)
class Escalation:
    """When a policy first hands a conversation over, to whom, and why.

    ``turn`` counts the customer's messages from 1, ``message`` all messages. ``at`` is that message's UTC
    time, None where the transcript has none. ``kind`` is the decision's: ``hand_off``, ``wait``, ``collect``.
    A ``wait`` hands over at its end: ``at`` is that time, and the message the first one not before it.
    """

    turn: int
    message: int
    at: datetime | None
    kind: str
    trigger: str | None
    because: str
    reason: str | None
    desk: str | None
    group: str | None
    urgency: str | None

    def document(self) -> dict[str, Any]:
        return asdict(self) | {"at": self.at.isoformat() if self.at else None}


def turns_of(messages: Iterable[Message]) -> int:
    """How many messages are the customer's."""
    return sum(message.role is Role.CUSTOMER for message in messages)


def last_words(conversation: Conversation) -> str | None:
    """What the customer said last, on one line, masked before it is cut; None where nothing was said."""
    said = [message.text for message in conversation.messages if message.role is Role.CUSTOMER]
    return one_line(mask(one_line(said[-1], 1000)), 200) if said else None


@dataclass(frozen=True)
class Fate:
    """What becomes of a stored conversation under a policy.

    ``escalation``: when people first get it, None where they never do. ``waiting``: a wait that was not over
    when the conversation ended. ``untimed``: a wait counts as an escalation where it began, because the
    messages have no times that would tell when it was over.
    """

    escalation: Escalation | None = None
    waiting: Escalation | None = None
    untimed: bool = False


def fate(
    policy: Policy, conversation: Conversation, default_desk: str = "", ended: datetime | None = None
) -> Fate:
    """What becomes of a conversation, which a person took over at ``ended`` (None: nobody, or not known).

    Questions that a flow asks end with people too, answered or not: a ``collect`` counts where it begins.
    """
    if not any(message.role is Role.CUSTOMER for message in conversation.messages):
        return Fate()
    decisions = policy.decisions(conversation, default_desk)
    for index, decision in decisions:
        if decision.kind == "wait":
            return _waited(conversation.messages, index, decision, decisions, counted(ended))
        return Fate(_escalation(conversation.messages[: index + 1], decision))
    return Fate()


def _waited(
    said: tuple[Message, ...],
    index: int,
    decision: Decision,
    later: Iterator[tuple[int, Decision]],
    ended: datetime | None,
) -> Fate:
    """How a wait ends: with its time, with an earlier decision, or not before the conversation."""
    if not _has_times(said[index:], ended):
        return Fate(_escalation(said[: index + 1], decision), untimed=True)
    over = _over(said, index, decision)
    for place, other in later:
        if place >= over:
            break
        if other.kind == "keep" or not _is_sooner(other, decision):
            continue
        if other.kind != "wait":
            return Fate(_escalation(said[: place + 1], other))
        index, decision, over = place, other, _over(said, place, other)
    if over < len(said) or (ended is not None and decision.until is not None and decision.until <= ended):
        return Fate(_escalation(said[: over + 1], decision, decision.until))
    return Fate(waiting=_escalation(said[: index + 1], decision))


def _has_times(said: tuple[Message, ...], ended: datetime | None) -> bool:
    """Whether the messages from the first one of a wait on tell how much time went by."""
    first, *others = said
    if counted(first.at) is None:
        return False
    return not others or ended is not None or any(counted(other.at) for other in others)


def _over(said: tuple[Message, ...], index: int, decision: Decision) -> int:
    """The place of the first message that does not come before the end of a wait; behind all, where none."""
    end = decision.until
    for place in range(index + 1, len(said)):
        at = counted(said[place].at)
        if at is not None and end is not None and at >= end:
            return place
    return len(said)


def _is_sooner(other: Decision, decision: Decision) -> bool:
    return other.until is None or decision.until is None or other.until < decision.until


def _escalation(said: tuple[Message, ...], decision: Decision, at: datetime | None = None) -> Escalation:
    return Escalation(
        turns_of(said),
        len(said),
        at or said[-1].at,
        decision.kind,
        decision.trigger,
        decision.fired[0].because if decision.fired else decision.because,
        decision.reason,
        decision.desk or None,
        decision.group,
        decision.urgency,
    )
