"""Waiting: the AI may still try, and people take over at a time unless it has solved the case by then.

A wait is the handoff's own row, with the job of its delivery delayed: it survives restarts, and firing is
being claimed. What was decided when it began stays; the conversation is handed over as it stands at the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from handrail import flows
from handrail.context import Context
from handrail.durations import format_duration
from handrail.flows import Start
from handrail.model import Conversation, Handoff, Message, State, Urgency
from handrail.policy import timing
from handrail.policy.detect import are_there
from handrail.policy.flow import Snapshot, Walked
from handrail.store import handoffs


def due(context: Context, handoff: Handoff, now: datetime) -> Handoff:
    """The handoff with what the team promises, counted from ``now``."""
    sla = context.config.sla.get("default")
    calendar = context.config.calendar(sla) if sla else None
    return handoff.model_copy(update={"due": timing.due(sla, handoff.urgency, now, calendar)})


def begun(
    context: Context, connection: sa.Connection, handoff: Handoff, until: datetime, start: Start
) -> None:
    """Note that people take over at a time, or what is asked for until then."""
    if start.flow is not None and start.flow.asking is not None:
        asks = flows.go_through(start.flow, handoff).asks
        return asking(context, connection, handoff.id, asks, until)
    left = format_duration(until - context.clock())
    handoffs.note(connection, handoff.id, context.clock(), f"waits: the AI has {left} more")


def asking(
    context: Context, connection: sa.Connection, id: str, fields: tuple[str, ...], until: datetime
) -> None:
    """Note what the AI asks for, and how long that is waited for."""
    left = format_duration(until - context.clock())
    handoffs.note(connection, id, context.clock(), f"asks for {', '.join(fields)}: {left} to answer")


def ask_ahead(
    context: Context, id: str, conversation: Conversation | None = None, answers: Mapping[str, Any] = {}
) -> None:
    """Ask the detectors that the flow of a wait needs, while nobody holds the store: they may be slow.

    ``conversation`` is how it stands now, None: as it was kept; ``answers`` are to come into it.
    """
    if not are_there():
        return
    with context.store.read() as connection:
        row = handoffs.get(connection, id)
    flow = flows.of(row) if row.state == State.WAITING else None
    if flow is None:
        return
    handoff = Handoff.model_validate_json(row.body)
    current = handoff.conversation if conversation is None else _with_all_said(row, conversation)
    current = flows.with_answers(row, current)
    current = current.model_copy(update={"fields": {**current.fields, **answers}})
    handoff = handoff.model_copy(update={"conversation": current})
    flows.go_through(flow, handoff)
    flows.ended(context, flow, handoff)


def fired(context: Context, connection: sa.Connection, row: Any, now: datetime) -> Any:
    """The row of a wait that is over, as an accepted handoff; promises count from now.

    None where its flow sends it to another desk, whose job it is then.
    """
    handoff, flow = (
        Handoff.model_validate_json(row.body).model_copy(update={"created_at": now}),
        flows.of(row),
    )
    walked = flows.ended(context, flow, handoff) if flow is not None else None
    handoff = due(context, walked.handoff if walked else handoff, now)
    values = _columns(handoff) | {"plan": flows.kept(row.plan, None)}
    handoffs.change(connection, row.id, state=State.ACCEPTED, body=handoff.model_dump_json(), **values)
    handoffs.note(connection, row.id, now, f"the wait is over: accepted for {handoff.desk}")
    if flow is not None and walked is not None:
        flows.set_out(context, connection, handoff, flow.name, walked)
    if handoff.desk != row.desk:
        _begin_at(context, connection, row, handoff, now)
        return None
    return handoffs.get(connection, row.id)


def _columns(handoff: Handoff) -> dict[str, Any]:
    names = ("desk", "group", "urgency", "reason", "trigger")
    return {name: getattr(handoff, name) for name in names}


def stands(connection: sa.Connection, row: Any, conversation: Conversation) -> Handoff:
    """Keep the conversation of a wait as it stands now."""
    conversation = flows.with_answers(row, _with_all_said(row, conversation))
    handoff = Handoff.model_validate_json(row.body).model_copy(update={"conversation": conversation})
    handoffs.change(connection, row.id, body=handoff.model_dump_json())
    return handoff


def _with_all_said(row: Any, conversation: Conversation) -> Conversation:
    """The conversation with what was said to the waiting handoff and does not stand in it."""
    there = Counter((message.role, message.text) for message in conversation.spoken)
    missing = []
    for message in Handoff.model_validate_json(row.body).conversation.spoken:
        there[message.role, message.text] -= 1
        if there[message.role, message.text] < 0:
            missing.append(message)
    return conversation.model_copy(update={"messages": (*conversation.messages, *missing)})


def sooner(context: Context, connection: sa.Connection, row: Any, start: Start) -> Handoff:
    """A conversation that waits is to be handed over: the earlier of both times counts, with its reasons.

    What a flow asked for is not that: its questions stay open, as the conversation stands now.
    """
    fresh, until, flow = start.draft, start.until, flows.of(row)
    if flow is not None and flow.collecting and start.flow is not None and _same(start, flow, row):
        handoff = stands(connection, row, fresh.conversation)
        asked_on(context, connection, row, handoff, flow)
        return handoff
    if until is not None and until >= row.due_at:
        return stands(connection, row, fresh.conversation)
    now = context.clock()
    known = {"id": row.id, "key": row.key, "number": row.number, "hop": row.hop}
    conversation = flows.with_answers(row, _with_all_said(row, fresh.conversation))
    handoff = fresh.model_copy(update={**known, "conversation": conversation})
    values = _columns(handoff) | {"plan": flows.kept(row.plan, start.flow)}
    handoffs.change(connection, row.id, body=handoff.model_dump_json(), **values)
    _begin_at(context, connection, row, handoff, until or now)
    why = f"{handoff.trigger} decides" if handoff.trigger else "asked for"
    left = f"; the flow {flow.name} is left" if flow is not None else ""
    handoffs.note(connection, row.id, now, f"{why}: {'sooner' if until else 'now'}{left}")
    return handoff


def _same(start: Start, flow: Snapshot, row: Any) -> bool:
    return start.flow is not None and (start.flow.name, start.draft.trigger) == (flow.name, row.trigger)


def asked_on(
    context: Context, connection: sa.Connection, row: Any, handoff: Handoff, flow: Snapshot
) -> Walked:
    """A flow that waits for answers goes on with what is known now: to its end, or to what is next."""
    walked = flows.go_through(flow, handoff)
    if not flow.collecting or walked.at == flow.asking:
        return walked
    if walked.at is None:
        handoffs.note(connection, row.id, context.clock(), "everything asked for is there")
        _begin_at(context, connection, row, handoff, context.clock())
        return walked
    plan = flows.kept(row.plan, flow.model_copy(update={"asking": walked.at}))
    handoffs.change(connection, row.id, plan=plan)
    until = context.clock() + flow.steps[walked.at].patience
    _begin_at(context, connection, row, handoff, until)
    asking(context, connection, handoff.id, walked.asks, until)
    return walked


def over(context: Context, connection: sa.Connection, row: Any) -> None:
    """End a wait now: people take over."""
    _begin_at(context, connection, row, Handoff.model_validate_json(row.body), context.clock())


def _begin_at(context: Context, connection: sa.Connection, row: Any, handoff: Handoff, at: datetime) -> None:
    context.finished(connection, f"deliver:{row.desk}", row.id, row.n)
    handoffs.change(connection, row.id, n=row.n + 1, due_at=at)
    delay = max(0.0, (at - context.clock()).total_seconds())
    context.schedule(connection, f"deliver:{handoff.desk}", row.id, row.n + 1, delay)


def said(connection: sa.Connection, row: Any, messages: tuple[Message, ...]) -> None:
    """What the customer says while a wait runs is part of the conversation."""
    conversation = Handoff.model_validate_json(row.body).conversation
    together = {"messages": (*conversation.messages, *messages)}
    stands(connection, row, conversation.model_copy(update=together))


def urged(context: Context, connection: sa.Connection, row: Any, urgency: Urgency) -> None:
    """How urgent a wait is becomes part of what is handed over, and of what is promised then."""
    handoff = Handoff.model_validate_json(row.body).model_copy(update={"urgency": urgency})
    handoff = due(context, handoff, handoff.created_at)
    handoffs.change(connection, row.id, body=handoff.model_dump_json(), urgency=urgency)
    handoffs.note(connection, row.id, context.clock(), f"urgency {urgency}")


def ended(context: Context, connection: sa.Connection, row: Any, why: str) -> None:
    """End a wait without a handoff."""
    context.finished(connection, f"deliver:{row.desk}", row.id, row.n)
    ended = {"state": State.CANCELLED, "n": row.n + 1, "due_at": None}
    handoffs.change(connection, row.id, **ended, **handoffs.FREE)
    handoffs.note(connection, row.id, context.clock(), why)


def resolved(context: Context, conversation_id: str) -> bool:
    """The AI has solved a conversation: its wait ends. False where none was running."""
    with context.store.begin() as connection:
        found = handoffs.of_conversation(connection, conversation_id)
        row = handoffs.get(connection, found.id, lock=True) if found is not None else None
        if row is None or row.state != State.WAITING:
            return False
        ended(context, connection, row, "the AI has solved it in time; nothing was handed over")
        return True
