"""Flows as they stand in a file: ordered steps between a trigger and its handoff."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from difflib import get_close_matches
from typing import Annotated, Any, Self

from pydantic import Discriminator, Field, JsonValue, Tag, field_validator, model_validator

from handrail.config_subscribers import long_enough, safe_url
from handrail.durations import Duration
from handrail.policy.model import Destination, Filled, Section, UrgencyWish

GIVE_UP_AFTER = timedelta(minutes=30)
"""So long the answers to a step's questions are waited for where it says nothing else."""
FieldName = Annotated[str, Field(min_length=1, max_length=80)]


class Setting(Section):
    """What a step ``set`` gives the handoff. Tags, next steps and fields are added to those that it has."""

    urgency: UrgencyWish | None = Field(default=None, description="low to urgent, or a step such as +1")
    group: Filled | None = Field(default=None, description="A group, in our words")
    owner: Filled | None = Field(default=None, description="Who on the desk should take it")
    tags: tuple[str, ...] = Field(default=(), description="Tags of the ticket")
    next_steps: tuple[str, ...] = Field(default=(), description="What the human should do next")
    summary: str | None = Field(default=None, description="The summary, in place of the one it has")
    fields: dict[FieldName, JsonValue] = Field(default={}, description="Details, by name")

    @model_validator(mode="before")
    @classmethod
    def _no_desk(cls, data: Any) -> Any:
        if isinstance(data, dict) and "desk" in data:
            raise ValueError('a desk is routed to; write route = { desk = "..." }')
        return data


class Also(Section):
    """A further handoff, a signed POST or a plugin's step: one of ``desk``, ``webhook``, ``step``."""

    desk: str | None = Field(default=None, description="A desk that gets a handoff of its own")
    group: str | None = Field(default=None, description="The group on that desk; None: the same")
    webhook: str | None = Field(default=None, description="Where the handoff is posted, signed; https")
    secret: str | None = Field(
        default=None,
        repr=False,
        exclude=True,
        description="What the webhook is signed with: whsec_ and base64, or at least 16 characters",
        json_schema_extra={"secret": True},
    )
    step: str | None = Field(default=None, description="A plugin's step; what stands beside it goes along")
    arguments: dict[str, JsonValue] = Field(default={}, description="What goes along with the step")

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, data: Any) -> Any:
        """Whatever stands beside ``step`` is an argument of it."""
        if not isinstance(data, Mapping) or "step" not in data:
            return data
        beside = {key: value for key, value in data.items() if key not in ("step", "arguments")}
        given = data.get("arguments", {})
        return {"step": data["step"], "arguments": {**given, **beside} if isinstance(given, dict) else given}

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        given = [name for name in ("desk", "webhook", "step") if getattr(self, name)]
        if len(given) != 1:
            wrong = f"has {' and '.join(given)}" if given else "names nothing"
            raise ValueError(f"{wrong}; write exactly one of desk, webhook, step")
        if self.group and not self.desk:
            raise ValueError("group: belongs to desk")
        if self.arguments and not self.step:
            raise ValueError("arguments: belong to step")
        return self

    _safe = field_validator("webhook")(lambda url: url and safe_url(url))
    _long = field_validator("secret")(lambda secret: secret and long_enough(secret))


def _form(value: Any) -> str:
    return "[name]" if isinstance(value, str) else "[table]"


NamedOrAlso = Annotated[Annotated[str, Tag("[name]")] | Annotated[Also, Tag("[table]")], Discriminator(_form)]
NamedOrRoute = Annotated[
    Annotated[str, Tag("[name]")] | Annotated[Destination, Tag("[table]")], Discriminator(_form)
]


class FlowStep(Section):
    """One step of a flow: exactly one of collect, set, route, hand_off, also."""

    collect: tuple[FieldName, ...] | None = Field(
        default=None, min_length=1, description="Fields that the AI asks for"
    )
    set: Setting | None = Field(default=None, description="What the handoff gets, such as an urgency")
    route: NamedOrRoute | None = Field(default=None, description="A route's name, or its contents")
    hand_off: bool | None = Field(default=None, description="Hand off now")
    also: NamedOrAlso | None = Field(
        default=None,
        description="A desk or a plugin's step by its name, or a table with desk, webhook or step",
    )
    when: str | None = Field(default=None, description="Only if this condition holds", min_length=1)
    ask: dict[str, str] = Field(default={}, description="The questions, by field")
    pattern: dict[str, str] = Field(default={}, description="What an answer must look like, by field (RE2)")
    give_up_after: Duration | None = Field(default=None, description="How long answers are waited for")

    @model_validator(mode="after")
    def _does_one_thing(self) -> Self:
        given = [name for name in STEPS if getattr(self, name) is not None]
        if len(given) != 1:
            wrong = f"has {' and '.join(given)}" if given else "does nothing"
            raise ValueError(f"{wrong}; write exactly one of {', '.join(STEPS)}")
        if self.collect is None and (self.ask or self.pattern or self.give_up_after):
            raise ValueError("ask, pattern and give_up_after belong to a step with collect")
        for name, texts in (("ask", self.ask), ("pattern", self.pattern)):
            for field in sorted(set(texts) - set(self.collect or ())):
                raise ValueError(f"{name}: {field!r} is not collected; {nearest(field, self.collect or ())}")
        if self.hand_off is False:
            raise ValueError("hand_off: false does nothing; write true, or remove the step")
        if self.give_up_after is not None and self.give_up_after <= timedelta(0):
            raise ValueError("give_up_after: leaves no time to ask; write a duration such as 30m")
        return self

    @property
    def patience(self) -> timedelta:
        return self.give_up_after or GIVE_UP_AFTER

    def question(self, field: str) -> str:
        return self.ask.get(field) or f"What is {field}?"


STEPS = ("collect", "set", "route", "hand_off", "also")


class Flow(Section):
    """Ordered steps between a trigger and its handoff. Without a step ``hand_off`` its end hands off."""

    steps: tuple[FlowStep, ...] = Field(min_length=1, description="What is done, in this order")


def nearest(name: str, known: Iterable[str]) -> str:
    """The cure for a name that is not there."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names) or 'none'}"
