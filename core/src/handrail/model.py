"""The words of Handrail as types: conversation, handoff, ticket, update.

Every model is frozen and every time is an aware UTC ``datetime``. Text is cleaned of control characters
when a model is made (see ``handrail.text``), so nothing downstream has to ask.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Base64Bytes,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    model_validator,
)

from handrail.text import clean, file_name, one_line

MAX_CONVERSATION_BYTES = 10_000_000
"""A conversation's text may be this long, in characters; the same bound as an HTTP body."""


def _clean(value: object) -> object:
    return clean(value) if isinstance(value, str) else value


def _clean_json(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {clean(str(key)): _clean_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean_json(item) for item in value]
    return value


def _utc(value: datetime) -> datetime:
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:  # the first or the last day of the calendar, in a zone far from UTC
        raise ValueError("is before or after all time; write it like 2026-11-20T09:31:00Z") from None


Text = Annotated[str, BeforeValidator(_clean)]
Json = Annotated[JsonValue, BeforeValidator(_clean_json)]
Raw = Annotated[dict[str, Any], BeforeValidator(_clean_json)]
Time = Annotated[datetime, AfterValidator(_utc)]
"""An aware UTC time; a time without a zone is taken as UTC."""


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Role(StrEnum):
    CUSTOMER = "customer"
    AI = "ai"
    HUMAN = "human"
    SYSTEM = "system"
    TOOL = "tool"


class Urgency(StrEnum):
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"

    def raised(self, steps: int = 1) -> Urgency:
        """This urgency moved by ``steps``, staying within the scale."""
        scale = list(Urgency)
        return scale[max(0, min(len(scale) - 1, scale.index(self) + steps))]


class Reason(StrEnum):
    """Why a person must take over."""

    CUSTOMER_REQUEST = "customer_request"
    POLICY = "policy"
    SENSITIVE = "sensitive"
    UNCLEAR = "unclear"
    CONFIGURED = "configured"


class Status(StrEnum):
    """A ticket's status in our words; the desk's own word is kept beside it as ``raw_status``."""

    NEW = "new"
    OPEN = "open"
    PENDING = "pending"
    ON_HOLD = "on_hold"
    SOLVED = "solved"
    CLOSED = "closed"
    DELETED = "deleted"


class State(StrEnum):
    """Where a handoff is on its way."""

    WAITING = "waiting"
    ACCEPTED = "accepted"
    DELIVERING = "delivering"
    WITH_HUMANS = "with_humans"
    SOLVED = "solved"
    CLOSED = "closed"
    UNDELIVERED = "undelivered"
    CANCELLED = "cancelled"

    @property
    def holder(self) -> Holder:
        """Who answers the customer while a handoff is in this state."""
        with_people = self in (State.ACCEPTED, State.DELIVERING, State.WITH_HUMANS)
        return "human" if with_people else "ai"

    @property
    def ended(self) -> bool:
        """True when a further escalation of the same conversation is a new handoff."""
        return self in (State.SOLVED, State.CLOSED, State.CANCELLED)


Holder = Literal["ai", "human"]


class UpdateKind(StrEnum):
    CREATED = "created"
    STATUS = "status"
    ASSIGNMENT = "assignment"
    REPLY = "reply"
    NOTE = "note"
    CUSTOMER_MESSAGE = "customer_message"
    MERGED = "merged"
    DELETED = "deleted"
    REOPENED = "reopened"
    SLA_AT_RISK = "sla_at_risk"
    SLA_BREACHED = "sla_breached"


class Customer(Model):
    id: Text | None = None
    name: Text | None = None
    email: Text | None = None
    phone: Text | None = None
    segments: tuple[Text, ...] = ()
    attributes: dict[Text, Json] = {}


class Message(Model):
    """One message. ``at`` is None where the transcript has no times."""

    role: Role
    text: Text
    at: Time | None = None
    name: Text | None = None


class Attempt(Model):
    """One thing the AI tried: an action, its arguments and what came of it.

    ``after`` is how many messages of the conversation had been said by then; None where that is not known.
    """

    action: Text
    arguments: dict[Text, Json] = {}
    outcome: Literal["done", "failed", "unknown"] = "unknown"
    detail: Text | None = None
    at: Time | None = None
    after: Annotated[int, Field(ge=0)] | None = None


class File(Model):
    """A file that goes along. ``content`` is bytes here and base64 in JSON."""

    name: Annotated[str, AfterValidator(file_name)]
    content: Base64Bytes
    media_type: str = "application/octet-stream"

    @classmethod
    def of(cls, name: str, content: bytes, media_type: str = "application/octet-stream") -> File:
        """A file from plain bytes (the constructor expects base64)."""
        return cls.model_construct(name=file_name(name), content=content, media_type=media_type)


class Conversation(Model):
    """Messages between a customer and an AI agent, with who the customer is and what is known."""

    id: Annotated[str, BeforeValidator(_clean), Field(min_length=1, max_length=200)]
    messages: tuple[Message, ...]
    channel: Text | None = None
    subject: Text | None = None
    language: Text | None = None
    topic: Text | None = None
    intent: Text | None = None
    tags: tuple[Text, ...] = ()
    confidence: float | None = None
    sentiment: float | Text | None = None
    url: Text | None = None
    customer: Customer = Customer()
    attempts: tuple[Attempt, ...] = ()
    fields: dict[Text, Json] = {}

    @model_validator(mode="before")
    @classmethod
    def _derive_id(cls, data: Any) -> Any:
        if isinstance(data, dict) and not data.get("id"):
            return {**data, "id": derived_id(data)}
        return data

    @model_validator(mode="after")
    def _has_a_customer_message(self) -> Self:
        if not any(message.role is Role.CUSTOMER for message in self.messages):
            raise ValueError("messages: there is no customer message; add at least one with role 'customer'")
        size = sum(len(message.text) for message in self.messages)
        if size > MAX_CONVERSATION_BYTES:
            longest = max(range(len(self.messages)), key=lambda n: len(self.messages[n].text))
            raise ValueError(
                f"messages[{longest}].text: the conversation has {size:,} characters, the longest message "
                f"{len(self.messages[longest].text):,}; at most {MAX_CONVERSATION_BYTES:,} are taken. "
                "Send long material as a file or a link"
            )
        return self

    @property
    def question(self) -> str:
        """The original question: the first thing the customer said that is more than a greeting."""
        texts = [message.text for message in self.messages if message.role is Role.CUSTOMER]
        return next((text for text in texts if not is_greeting(text)), texts[0])

    @property
    def spoken(self) -> tuple[Message, ...]:
        """What was said: without the system prompt and without tool traffic."""
        return tuple(m for m in self.messages if m.role not in (Role.SYSTEM, Role.TOOL))

    @classmethod
    def from_openai(cls, messages: list[dict[str, Any]], **known: Any) -> Conversation:
        """A conversation from OpenAI chat messages; ``known`` are the other fields of a conversation."""
        from handrail.transcripts import conversation_from_chat

        return conversation_from_chat(messages, known)

    @classmethod
    def from_anthropic(cls, messages: list[dict[str, Any]], **known: Any) -> Conversation:
        """A conversation from Anthropic messages with content blocks."""
        from handrail.transcripts import conversation_from_chat

        return conversation_from_chat(messages, known)


def derived_id(data: Mapping[str, Any]) -> str:
    """The id of a conversation that came without one: a digest of its content."""
    content = json.dumps(data, sort_keys=True, default=str).encode("utf-8", "backslashreplace")
    return "c-" + hashlib.sha256(content).hexdigest()[:20]


_GREETINGS = frozenset(
    (
        "hi",
        "hello",
        "hey",
        "hallo",
        "bonjour",
        "hola",
        "ciao",
        "salut",
        "good",
        "morning",
        "afternoon",
        "evening",
        "day",
        "there",
    )
)


def is_greeting(text: str) -> bool:
    """True for a first message that asks nothing yet."""
    words = [word.strip(".,!?'\"").lower() for word in text.split()[:5]]
    return not words or (len(text) < 40 and all(word in _GREETINGS for word in words))


class Due(Model):
    """When the team promised to have acted; None where nothing is promised."""

    first_response: Time | None = None
    resolution: Time | None = None


class Handoff(Model):
    """The frozen, complete thing that is handed over.

    ``number`` counts the escalations of one conversation from 1. ``hop`` counts the desks that were tried
    before this one. ``unset`` says which wishes the desk could not take, each with the desk's words;
    ``missing`` which fields a flow asked for in vain.
    """

    id: str
    key: str
    number: int = 1
    conversation: Conversation
    desk: str
    reason: Reason = Reason.CONFIGURED
    trigger: Text | None = None
    summary: Text | None = None
    group: Text | None = None
    urgency: Urgency = Urgency.NORMAL
    owner: Text | None = None
    next_steps: tuple[Text, ...] = ()
    tags: tuple[Text, ...] = ()
    due: Due = Due()
    files: tuple[File, ...] = ()
    created_at: Time
    hop: int = 0
    came_from: str | None = None
    left_in_doubt: bool = False
    """True where a desk that was given up may hold a ticket all the same: that will never be known."""
    unset: dict[str, str] = {}
    missing: tuple[Text, ...] = ()

    @property
    def customer(self) -> Customer:
        return self.conversation.customer

    @property
    def marker(self) -> str:
        """What a connector leaves on the desk to find its ticket again: unique among all installations."""
        return self.id if self.hop == 0 else f"{self.id}-{self.hop}"

    @property
    def subject(self) -> str:
        """The ticket's title on one line: the conversation's own subject, or the original question."""
        return one_line(self.conversation.subject or self.conversation.question, 150) or "Conversation"

    @property
    def details(self) -> dict[str, Any]:
        """What is known beside the messages, for the brief and for the desk's own fields."""
        known = {"topic": self.conversation.topic, "intent": self.conversation.intent}
        return {key: value for key, value in known.items() if value} | dict(self.conversation.fields)


class Ticket(Model):
    """The desk's own record of a handoff. ``raw`` is what the desk said, ``status`` is in our words.

    ``ours`` are ids of updates (as ``Update.id``) that we made ourselves: their echo is dropped.
    """

    id: Text
    url: Text | None = None
    status: Status = Status.NEW
    raw_status: Text | None = None
    assignee: Text | None = None
    group: Text | None = None
    updated_at: Time | None = None
    ours: tuple[Text, ...] = ()
    raw: Raw = {}


class Actor(Model):
    kind: Literal["human", "customer", "ai", "system"] = "system"
    name: Text | None = None


class Update(Model):
    """One thing that happened to a ticket.

    ``id`` comes from the desk's own comment, audit or change id, so that a webhook and a poll that report
    the same thing carry the same id; stored updates have the desk's name before it. ``cursor`` stands
    behind an update in the feed of all updates.
    """

    id: Text
    kind: UpdateKind
    ticket_id: Text
    at: Time
    actor: Actor = Actor()
    text: Text | None = None
    status: Status | None = None
    raw_status: Text | None = None
    assignee: Text | None = None
    group: Text | None = None
    public: bool | None = None
    raw: Raw = {}
    handoff_id: str | None = None
    conversation_id: str | None = None
    desk: str | None = None
    cursor: str | None = None
