"""When a policy first hands a conversation over."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from handrail.model import Conversation, Message, Role
from handrail.policy.model import Decision
from handrail.policy.policy import Policy
from handrail.redact import mask
from handrail.text import one_line


@dataclass(frozen=True)
class Escalation:
    """When a policy first hands a conversation over, to whom, and why.

    ``turn`` counts the customer's messages from 1, ``message`` all messages. ``at`` is that message's UTC
    time, None where the transcript has none. ``kind`` is the decision's: ``hand_off``, ``wait``, ``collect``.
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


def first_escalation(policy: Policy, conversation: Conversation, default_desk: str = "") -> Escalation | None:
    """The first moment at which a trigger fires, and what is decided then; None where none ever does."""
    if not any(message.role is Role.CUSTOMER for message in conversation.messages):
        return None
    found = policy.first(conversation, default_desk=default_desk)
    return _escalation(conversation.messages[: found[0] + 1], found[1]) if found else None


def _escalation(said: tuple[Message, ...], decision: Decision) -> Escalation:
    return Escalation(
        turns_of(said),
        len(said),
        said[-1].at,
        decision.kind,
        decision.trigger,
        decision.fired[0].because if decision.fired else decision.because,
        decision.reason,
        decision.desk or None,
        decision.group,
        decision.urgency,
    )
