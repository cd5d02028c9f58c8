"""Flows, without a store: what is still to be asked, whether an answer will do, and what the steps change.

A flow is gone through from its beginning whenever something has changed, over the handoff as it stands: what
it comes to depends on nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from pydantic import Field

from handrail.errors import HandrailError, InputError
from handrail.model import Handoff
from handrail.policy.flow_model import Also, Flow, FlowStep, NamedOrAlso, Setting, nearest
from handrail.policy.model import Destination, Route, Section, Signals, raised

LONGEST_ANSWER = 10_000
"""Characters of an answer."""

Holds = Callable[[str, Handoff], bool]
"""Says whether a condition holds for a handoff. Raises ``ConfigError`` for one that cannot be read."""


class Snapshot(Section):
    """A flow as it was when a handoff began, and how far it has come: kept with a handoff that waits.

    ``collecting``: it waits for answers, and goes on when it has them; else the AI may still try. ``asking``
    is the place of the step whose questions are open. ``answers`` are those that were given one by one.
    Secrets are not in it.
    """

    name: str
    steps: tuple[FlowStep, ...]
    signals: Signals = Signals()
    collecting: bool = False
    asking: int | None = None
    answers: dict[str, Any] = Field(default={})

    @property
    def asked(self) -> dict[str, FlowStep]:
        """Every field that a step collects, with its step."""
        steps = [step for step in self.steps if step.collect]
        return {field: step for step in reversed(steps) for field in step.collect or ()}


def snapshot(name: str, flow: Flow, routes: Mapping[str, Route], signals: Signals, **more: Any) -> Snapshot:
    """The flow with the contents of the routes that it names."""
    steps = (
        step.model_copy(update={"route": _contents(routes[step.route])})
        if isinstance(step.route, str)
        else step
        for step in flow.steps
    )
    return Snapshot(name=name, steps=tuple(steps), signals=signals, **more)


def _contents(route: Route) -> Destination:
    return Destination(**{name: getattr(route, name) for name in Destination.model_fields})


@dataclass(frozen=True)
class Walked:
    """What a flow comes to.

    ``asks`` are the fields that step ``at`` waits for; where there are none, ``handoff`` is handed off.
    ``also`` are the side steps, in their order; ``notes`` say what could not be done.
    """

    handoff: Handoff
    at: int | None = None
    asks: tuple[str, ...] = ()
    also: tuple[NamedOrAlso, ...] = ()
    notes: tuple[str, ...] = ()


def walk(steps: tuple[FlowStep, ...], handoff: Handoff, holds: Holds, *, ask: bool = True) -> Walked:
    """Go through a flow as far as it comes. Without ``ask`` to its end: what is not known is ``missing``."""
    so_far, handed_off = Walked(handoff.model_copy(update={"missing": ()})), False
    for number, step in enumerate(steps):
        if handed_off and step.also is None:
            continue  # nothing but side steps comes behind the handoff
        applies, note = _applies(step, number, so_far.handoff, holds)
        if note:
            so_far = replace(so_far, notes=(*so_far.notes, note))
        if not applies:
            continue
        lacking = missing(step, so_far.handoff.conversation.fields)
        if lacking and ask:
            return replace(so_far, at=number, asks=lacking)
        handed_off = handed_off or bool(step.hand_off)
        so_far = _done(step, so_far, lacking)
    return so_far


def _applies(step: FlowStep, number: int, handoff: Handoff, holds: Holds) -> tuple[bool, str]:
    """Whether a step is to be done; one whose condition cannot be read any more is not, and that is said."""
    if step.when is None:
        return True, ""
    try:
        return holds(step.when, handoff), ""
    except HandrailError as error:
        return False, f"step {number + 1} of the flow is left out: its condition cannot be read ({error})"


def _done(step: FlowStep, so_far: Walked, lacking: tuple[str, ...]) -> Walked:
    handoff = so_far.handoff
    if step.also is not None:
        return replace(so_far, also=(*so_far.also, step.also))
    if lacking:
        handoff = handoff.model_copy(update={"missing": tuple(dict.fromkeys((*handoff.missing, *lacking)))})
    elif step.set is not None:
        handoff = _set(handoff, step.set)
    elif isinstance(step.route, Destination):
        handoff = _changed(handoff, step.route, desk=step.route.desk)
    return replace(so_far, handoff=handoff)


def _set(handoff: Handoff, wanted: Setting) -> Handoff:
    conversation = handoff.conversation
    if wanted.fields:
        conversation = conversation.model_copy(update={"fields": {**conversation.fields, **wanted.fields}})
    return _changed(handoff, wanted, summary=wanted.summary, conversation=conversation)


def _changed(handoff: Handoff, wanted: Setting | Destination, **more: Any) -> Handoff:
    single = {"group": wanted.group, "owner": wanted.owner, **more}
    values = {name: value for name, value in single.items() if value is not None}
    values["urgency"] = raised(handoff.urgency, wanted.urgency)
    for name in ("tags", "next_steps"):
        values[name] = tuple(dict.fromkeys((*getattr(handoff, name), *getattr(wanted, name))))
    return handoff.model_copy(update=values)


# Answers.


def missing(step: FlowStep, fields: Mapping[str, Any]) -> tuple[str, ...]:
    """The fields of a step that are not there, or do not look as they should."""
    return tuple(name for name in step.collect or () if not _will_do(step, name, fields.get(name)))


def _will_do(step: FlowStep, name: str, value: Any) -> bool:
    text = _text(value)
    return bool(text) and (name not in step.pattern or found(step.pattern[name], text))


def _text(value: Any) -> str:
    return (
        value.strip() if isinstance(value, str) else "" if value is None else json.dumps(value, default=str)
    )


def found(pattern: str, text: str) -> bool:
    """Whether a pattern is found in a text, in linear time."""
    return _compiled(pattern)(text)


@cache
def _compiled(pattern: str) -> Callable[[str], bool]:
    from handrail.policy.values import pattern as compiled

    return compiled(pattern, case_sensitive=True)


def answered(snapshot: Snapshot, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The answers as they are kept. Raises ``InputError`` for one that was not asked for or is wrong."""
    if not fields:
        raise InputError("there is no answer in it; give at least one", field="fields")
    asked = snapshot.asked
    for name, value in fields.items():
        if name not in asked:
            raise InputError(f"was not asked for; {nearest(name, asked)}", field=f"fields.{name}")
        if wrong := _wrong(asked[name], name, value):
            raise InputError(f"{wrong} ({asked[name].question(name)})", field=f"fields.{name}")
    return {name: value.strip() if isinstance(value, str) else value for name, value in fields.items()}


def _wrong(step: FlowStep, name: str, value: Any) -> str:
    if isinstance(value, dict | list):
        return "is a list or a table; give a text or a number"
    text = _text(value)
    if not text:
        return "is empty; give an answer"
    if len(text) > LONGEST_ANSWER:
        return f"is {len(text):,} characters long; at most {LONGEST_ANSWER:,} are taken"
    return (
        ""
        if _will_do(step, name, value)
        else f"does not look as expected; it must match {step.pattern[name]}"
    )


# What is wrong with a flow.

Mistake = tuple[tuple[str | int, ...], str]


def mistakes(flow: Flow, routes: Mapping[str, Route]) -> Iterator[Mistake]:
    """What cannot be used, with the keys from the flow's own table on; conditions are looked at elsewhere."""
    from handrail.policy.signals import RuleError

    for number, step in enumerate(flow.steps):
        keys = ("steps", number)
        for field, pattern in step.pattern.items():
            try:
                found(pattern, "")
            except RuleError as error:
                yield (*keys, "pattern", field), str(error)
        if isinstance(step.route, str) and step.route not in routes:
            cure = nearest(step.route, routes)
            yield (*keys, "route"), f"no route has the name {step.route!r}; {cure}"
        if isinstance(step.also, Also) and step.also.webhook and not step.also.secret:
            yield (*keys, "also", "secret"), 'missing; write secret = "${NAME}", the post is signed with it'
        if isinstance(step.also, Also) and step.also.secret and not step.also.webhook:
            yield (*keys, "also", "secret"), "belongs to webhook; remove it"
