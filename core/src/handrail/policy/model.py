"""The words of the policy as types: triggers, routes, and the decision that follows from them.

Every model is frozen. What stands in a file (``Trigger``, ``Route``) refuses unknown keys; the conditions in
``when`` are plain text here and are checked and compiled when a policy is made (see ``policy.Policy``).
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from handrail.durations import Duration
from handrail.model import Reason, Time, Urgency

_STEPS = re.compile(r"[+-][1-3]", re.ASCII)
"""The scale has four places: more steps are a slip of the hand, and none are no wish."""


def _known_urgency(value: str) -> str:
    if value in set(Urgency) or _STEPS.fullmatch(value):
        return value
    raise ValueError(
        f"{value!r} is no urgency; write one of {', '.join(Urgency)}, or a step such as +1 or -1"
    )


UrgencyWish = Annotated[str, AfterValidator(_known_urgency)]
"""``low``, ``normal``, ``high``, ``urgent``, or a step on that scale such as ``+1`` or ``-1``."""
Filled = Annotated[str, Field(min_length=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


def raised(now: Urgency, wish: str | None) -> Urgency:
    """The urgency after a wish: another one, some steps up or down, or (None) the same."""
    if wish is None:
        return now
    return now.raised(int(wish)) if wish[0] in "+-" else Urgency(wish)


class Section(BaseModel):
    """A table of the policy's file."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Timing(Section):
    """When a handoff that was decided takes place: at once (neither is set), or later.

    ``wait``: the AI has this long. ``sla``: as late as the promise named here can still be kept, ``lead``
    before it is due.
    """

    wait: Duration | None = Field(default=None, description="How long the AI may still try")
    sla: Literal["first_response", "resolution"] | None = Field(
        default=None, description="Hand off before this promise is due"
    )
    lead: Duration | None = Field(default=None, description="How long before it is due")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: Any) -> Any:
        if isinstance(data, str):
            if data != "now":
                raise ValueError(f'{data!r} is no timing; write "now", {{ wait = "10m" }} or {_SLA_FORM}')
            return {}
        if isinstance(data, dict) and not data:
            raise ValueError(f'is empty; write "now", {{ wait = "10m" }} or {_SLA_FORM}')
        return data

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if self.wait is not None and self.sla is not None:
            raise ValueError("wait: stands beside sla; keep one of them")
        if self.lead is not None and self.sla is None:
            raise ValueError(f"lead: belongs to sla; write {_SLA_FORM}")
        if self.wait is not None and self.wait <= timedelta(0):
            raise ValueError('wait: is no time at all; write timing = "now"')
        return self

    @property
    def now(self) -> bool:
        return self.wait is None and self.sla is None


NOW = Timing.model_validate("now")
_TIMING_SCHEMA = {
    "anyOf": [
        {"const": "now"},
        {
            "type": "object",
            "properties": {
                "wait": {"type": "string", "examples": ["10m"]},
                "sla": {"enum": ["first_response", "resolution"]},
                "lead": {"type": "string", "examples": ["20m"]},
            },
            "additionalProperties": False,
        },
    ],
    "default": "now",
}
_SLA_FORM = '{ sla = "first_response", lead = "20m" }'


class Destination(Section):
    """To whom a handoff goes, and with what: each None or empty where nothing is said."""

    desk: Filled | None = Field(default=None, description="A desk's name; None: as the routes say")
    group: Filled | None = Field(default=None, description="A group, in our words")
    owner: Filled | None = Field(default=None, description="Who on the desk should take it")
    urgency: UrgencyWish | None = Field(
        default=None, description="low, normal, high, urgent, or a step such as +1"
    )
    tags: tuple[str, ...] = Field(default=(), description="Tags of the ticket")
    next_steps: tuple[str, ...] = Field(default=(), description="What the human should do next")


class Trigger(Destination):
    """When to hand off, and why. ``reason`` is one of the five in ``handrail.Reason``."""

    name: Name = Field(description="The trigger's name")
    when: str = Field(description="A condition over the conversation", min_length=1)
    reason: Reason = Field(default=Reason.CONFIGURED, description="Why a person must take over")
    timing: Annotated[Timing, WithJsonSchema(_TIMING_SCHEMA)] = Field(
        default=NOW, description="now, { wait = ... } or { sla = ..., lead = ... }"
    )
    flow: Filled | None = Field(default=None, description="Steps that come first; a name of [flows]")


class Route(Destination):
    """To whom a handoff goes. Without ``when`` it takes every handoff.

    Routes are looked at in order. Each that matches sets what no earlier one and not the trigger has set;
    steps of urgency (``+1``) and tags and next steps add up.
    """

    name: Name | None = Field(default=None, description="The route's name, for its reasons")
    when: str | None = Field(default=None, description="A condition over the conversation", min_length=1)


class PhraseList(Section):
    """Word lists of ``asked_for_human``. ``phrases`` replaces the built-in ones, ``extra`` adds to them."""

    phrases: tuple[Annotated[str, Field(min_length=1)], ...] | None = Field(
        default=None, description="Phrases that ask for a person, instead of the built-in ones"
    )
    extra: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=(), description="Phrases that ask for a person, besides the built-in ones"
    )


class Signals(Section):
    """Word lists of the built-in signals. A list in ``sensitive`` replaces that category, or makes one."""

    asked_for_human: PhraseList = Field(default=PhraseList(), description="How customers ask for a person")
    sensitive: dict[Name, tuple[Annotated[str, Field(min_length=1)], ...]] = Field(
        default={}, description="Words by category; takes the place of the built-in list of that name"
    )


class Fired(Section):
    """A rule that applies, and why, in a sentence."""

    name: str
    because: str


class Decision(Section):
    """What the policy says of a conversation at a time.

    ``keep``: the AI goes on. ``collect``: it asks ``questions`` first, for the fields ``missing``, and people
    take over at ``until`` if they are not answered by then. ``wait``: people take over at ``until`` unless it
    is solved by then. ``hand_off``: now. ``fired`` are all triggers that fire, in their
    order; the first of them decides. ``routes`` are the routes that applied. ``errors`` says which detectors
    failed. ``policy`` is the digest of the policy that decided. ``until`` is an aware UTC time.
    """

    kind: Literal["keep", "collect", "wait", "hand_off"]
    conversation_id: str
    at: Time
    because: str
    trigger: str | None = None
    reason: Reason | None = None
    desk: str | None = None
    group: str | None = None
    urgency: Urgency | None = None
    owner: str | None = None
    tags: tuple[str, ...] = ()
    next_steps: tuple[str, ...] = ()
    flow: str | None = None
    until: Time | None = None
    timing: Timing | None = None
    questions: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    fired: tuple[Fired, ...] = ()
    routes: tuple[Fired, ...] = ()
    errors: tuple[str, ...] = ()
    policy: str = ""

    @property
    def hand_off(self) -> bool:
        """True when there is something to hand over, now or later: then call ``rail.hand_off`` with it.

        A ``wait`` and a ``collect`` are true too: the handoff is made durable at once and fires at ``until``.
        """
        return self.kind != "keep"
