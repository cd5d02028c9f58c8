"""What happens to a handoff that nobody takes or answers in time: the list ``[[raise]]``.

A chain is made once, when a handoff sets out, with the times of its links; a policy that is changed later
changes nothing of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from handrail.durations import parse_duration
from handrail.model import Due, Model, Time
from handrail.policy.hours import Calendar
from handrail.policy.model import UrgencyWish
from handrail.policy.timing import later

_SHARE = re.compile(r"(\d{1,4}(?:\.\d+)?)%", re.ASCII)

Target = Literal["first_response", "resolution"]


class Raise(BaseModel):
    """One table ``[[raise]]``."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    unless: Literal["taken", "answered", "solved"] = Field(
        default="taken", description="Nothing happens where a person has taken, answered or solved it"
    )
    at: str = Field(
        default="75%",
        description="When: a share of the promised time (of first_response; of resolution for solved), or a "
        "duration; both in the promise's business hours",
    )
    urgency: UrgencyWish | None = Field(
        default=None, description="low, normal, high, urgent, or a step such as +1", examples=["+1"]
    )
    group: str | None = Field(
        default=None,
        description="The next group: the ticket moves there where its desk can, and a note names it",
    )
    notice: str | None = Field(default=None, description="An internal note on the ticket")
    desk: str | None = Field(default=None, description="A second desk, which gets a handoff too")
    when: str | None = Field(default=None, description="A condition; without it always", min_length=1)

    @field_validator("at")
    @classmethod
    def _known_time(cls, value: str) -> str:
        try:
            length = share(value) if "%" in value else parse_duration(value) / timedelta(seconds=1)
        except ValueError:
            length = 0
        if not length or length <= 0:
            raise ValueError(f"{value!r} is no time; write a share such as 75% or a duration such as 30m")
        return value

    @property
    def of(self) -> Target:
        """The promise that it watches."""
        return "resolution" if self.unless == "solved" else "first_response"


def share(text: str) -> float | None:
    """``75%`` as 0.75; None for what is none."""
    found = _SHARE.fullmatch(text)
    return float(found[1]) / 100 if found else None


def longest(at: str, promised: Iterable[timedelta]) -> timedelta:
    """The most that ``at`` of a raise may come to: itself, or its share of the longest that is promised."""
    part = share(at)
    return parse_duration(at) if part is None else max(promised, default=timedelta(0)) * part


class Link(Model):
    """One thing that will be done at a time: ``rule`` is carried out, or without one a breach is told."""

    at: Time
    of: Target
    rule: Raise | None = None
    number: int = 0

    @property
    def unless(self) -> Literal["taken", "answered", "solved"]:
        """What makes it needless."""
        if self.rule is not None:
            return self.rule.unless
        return "solved" if self.of == "resolution" else "answered"


class Chain(Model):
    """Links in the order of their times, and how many of them are behind us."""

    links: tuple[Link, ...] = ()
    done: int = 0

    @property
    def next(self) -> Link | None:
        return self.links[self.done] if self.done < len(self.links) else None

    def passed(self) -> Chain:
        return self.model_copy(update={"done": self.done + 1})


def chain(rules: Iterable[Raise], due: Due, since: datetime, calendar: Calendar | None) -> Chain:
    """The chain of a handoff that sets out: its raises, and a breach at each time that is due.

    A share of a time that nobody promised never comes.
    """
    return Chain(links=tuple(sorted(_links(rules, due, since, calendar), key=lambda link: link.at)))


def _links(rules: Iterable[Raise], due: Due, since: datetime, calendar: Calendar | None) -> Iterator[Link]:
    for number, rule in enumerate(rules, 1):
        at = _moment(rule.at, since, getattr(due, rule.of), calendar)
        if at is not None:
            yield Link(at=at, of=rule.of, rule=rule, number=number)
    if due.first_response:
        yield Link(at=due.first_response, of="first_response")
    if due.resolution:
        yield Link(at=due.resolution, of="resolution")


def _moment(at: str, since: datetime, due: datetime | None, calendar: Calendar | None) -> datetime | None:
    part = share(at)
    if part is None:
        return later(since, parse_duration(at), calendar)
    if due is None:
        return None
    promised = calendar.working(since, due) if calendar else due - since
    return later(since, promised * part, calendar)
