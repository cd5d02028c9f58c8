"""When a policy first hands a conversation over."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from handrail.model import Conversation, Message, Role
from handrail.policy.model import Decision
from handrail.policy.policy import Policy


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


def first_escalation(policy: Policy, conversation: Conversation) -> Escalation | None:
    """The first decision of a policy that is not to keep the conversation, None where there is none."""
    if not turns_of(conversation.messages):
        return None
    for message, decision in policy.walk(conversation):
        if decision.hand_off:
            return _escalation(conversation, message, decision)
    return None


def _escalation(conversation: Conversation, message: int, decision: Decision) -> Escalation:
    said = conversation.messages[:message]
    return Escalation(
        turns_of(said),
        message,
        said[-1].at,
        decision.kind,
        decision.trigger,
        decision.because,
        decision.reason,
        decision.desk,
        decision.group,
        decision.urgency,
    )
