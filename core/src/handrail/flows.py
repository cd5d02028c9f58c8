"""Flows that last: begun when a handoff is accepted, kept in its row while it waits, ended when it goes.

A handoff that waits for answers is a wait like any other (see ``waits``): its row's plan holds the flow that
it began with. When it goes, the steps are done at once, and what is beside it becomes side steps.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from handrail.context import Context
from handrail.errors import HandrailError
from handrail.model import Conversation, Handoff
from handrail.policy.flow import Holds, Snapshot, Walked, missing, walk
from handrail.policy.flow_model import Also, NamedOrAlso
from handrail.policy.model import Signals
from handrail.sidesteps import schedule
from handrail.store import handoffs, side_steps

log = logging.getLogger("handrail.flows")


@dataclass(frozen=True)
class Start:
    """How a handoff sets out: now, as its flow ``walked``, or at ``until``, with its flow still before it."""

    draft: Handoff
    until: datetime | None = None
    flow: Snapshot | None = None
    walked: Walked | None = None

    @property
    def handoff(self) -> Handoff:
        return self.draft if self.walked is None else self.walked.handoff

    @property
    def plan(self) -> str | None:
        return None if self.flow is None or self.walked is not None else kept(None, self.flow)


def start(
    context: Context, draft: Handoff, name: str | None, until: datetime | None, *, collecting: bool
) -> Start:
    """Begin the flow of that name. ``collecting``: it waits, at most ``until``, for answers."""
    until = until if until is not None and until > draft.created_at else None
    if name is None:
        return Start(draft, until)
    policy = context.config.policy
    flow: Snapshot | None = policy.flow(name, collecting=collecting) if policy else None
    if flow is None:
        note = f"there is no flow {name!r} any more; handed off without it"
        return Start(draft, until, walked=Walked(draft, notes=(note,)))
    if until is not None and collecting:
        walked = go_through(flow, draft)
        if walked.at is not None:
            return Start(draft, until, flow.model_copy(update={"asking": walked.at}))
        return Start(draft, None, flow, ended(context, flow, draft))
    return Start(draft, until, flow, None if until else ended(context, flow, draft))


# What is kept in the row.


def of(row: Any) -> Snapshot | None:
    """The flow that a handoff still has before it."""
    found = handoffs.plan(row, "flow")
    return Snapshot.model_validate(found) if found is not None else None


def kept(plan: str | None, flow: Snapshot | None) -> str | None:
    """A row's plan with this flow in it, or without one."""
    found = flow.model_dump(mode="json", exclude_defaults=True) if flow is not None else None
    return handoffs.planned(plan, "flow", found)


def with_answers(row: Any, conversation: Conversation) -> Conversation:
    """The conversation with what was answered meanwhile, where it has no answer of its own that will do."""
    flow = of(row)
    if flow is None:
        return conversation
    fields = dict(conversation.fields)
    lacking = {name for step in flow.steps for name in missing(step, fields)}
    fields |= {name: value for name, value in flow.answers.items() if name in lacking}
    return conversation.model_copy(update={"fields": fields})


# Going on.


def go_through(flow: Snapshot, handoff: Handoff) -> Walked:
    """How far a flow comes, with what is known by now."""
    return walk(flow.steps, handoff, _holds(flow.signals))


def ended(context: Context, flow: Snapshot, handoff: Handoff) -> Walked:
    """What a flow comes to when nothing more is asked; the desk is one that there is."""
    walked = walk(flow.steps, handoff, _holds(flow.signals), ask=False)
    desk = walked.handoff.desk
    if desk in context.config.desks:
        return walked
    note = f"not to desk {desk}, which is not configured any more"
    handoff = walked.handoff.model_copy(update={"desk": handoff.desk})
    return replace(walked, handoff=handoff, notes=(*walked.notes, note))


def set_out(context: Context, connection: sa.Connection, handoff: Handoff, name: str, walked: Walked) -> None:
    """In the transaction that accepts a handoff: its side steps, each with a job, and what is to be said."""
    now = context.clock()
    for note in walked.notes:
        handoffs.note(connection, handoff.id, now, note)
    if handoff.missing:
        handoffs.note(connection, handoff.id, now, f"not collected: {', '.join(handoff.missing)}")
    for number, also in enumerate(walked.also):
        step = _resolved(context, also).model_dump_json(exclude_defaults=True)
        side_steps.add(connection, handoff.id, number, name, step, now)
        schedule(context, connection, handoff.id, number, 0, 0)


def _resolved(context: Context, also: NamedOrAlso) -> Also:
    if not isinstance(also, str):
        return also
    return Also(desk=also) if also in context.config.desks else Also(step=also)


def _holds(signals: Signals | None) -> Holds:
    """Conditions, read when there is one."""
    made: list[Any] = []

    def holds(when: str, handoff: Handoff) -> bool:
        from handrail.policy.condition import Conditions

        if not made:
            made.append(Conditions(signals))
        return bool(made[0].holds(when, handoff))

    return holds


def raising_holds(context: Context) -> Holds:
    """The conditions of ``[[raise]]``. One that cannot be read any more is logged, and holds."""
    policy = context.config.policy
    ask = _holds(policy.signals if policy else None)

    def holds(when: str, handoff: Handoff) -> bool:
        try:
            return ask(when, handoff)
        except HandrailError as error:
            log.error(
                "the condition of a raise cannot be read, and handoff %s is raised: %s", handoff.id, error
            )
            return True

    return holds


def answers_of(flow: Snapshot, given: Mapping[str, Any]) -> Snapshot:
    return flow.model_copy(update={"answers": {**flow.answers, **given}})
