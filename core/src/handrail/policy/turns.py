"""When a policy first hands a conversation over."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from handrail.model import Attempt, Conversation, Message, Role
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
    """The first moment at which a trigger fires, and what is decided then; None where none ever does.

    A moment is a message and what the AI tried before the next one. The decision is made on the conversation
    as it was then, at the time of that message.
    """
    if not turns_of(conversation.messages):
        return None
    turn = next((turn for turn in policy.walk(conversation) if turn.firing), None)
    if turn is None:
        return None
    then = until(conversation, turn.index + 1)
    now = turn.message.at or datetime.now(UTC)
    return _escalation(then, policy.decide(then, now, default_desk=default_desk))


def until(conversation: Conversation, messages: int) -> Conversation:
    """The conversation when so many messages had been said, with what the AI had tried until the next one."""
    later = conversation.messages[messages:][:1]
    tried = (attempt for attempt in conversation.attempts if _was_by(attempt, messages, later))
    return conversation.model_copy(
        update={"messages": conversation.messages[:messages], "attempts": tuple(tried)}
    )


def _was_by(attempt: Attempt, messages: int, later: tuple[Message, ...]) -> bool:
    if attempt.after is not None:
        return attempt.after <= messages
    if later and attempt.at and later[0].at:
        return attempt.at < later[0].at
    return not later


def _escalation(then: Conversation, decision: Decision) -> Escalation:
    return Escalation(
        turns_of(then.messages),
        len(then.messages),
        then.messages[-1].at,
        decision.kind,
        decision.trigger,
        decision.fired[0].because if decision.fired else decision.because,
        decision.reason,
        decision.desk or None,
        decision.group,
        decision.urgency,
    )
