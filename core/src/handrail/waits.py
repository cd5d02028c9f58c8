"""Waiting: the AI may still try, and people take over at a time unless it has solved the case by then.

A wait is the handoff's own row, with the job of its delivery delayed: it survives restarts, and firing is
being claimed. What was decided when it began stays; the conversation is handed over as it stands at the end.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from handrail.context import Context
from handrail.durations import format_duration
from handrail.model import Conversation, Handoff, Message, State
from handrail.policy import timing
from handrail.store import handoffs


def due(context: Context, handoff: Handoff, now: datetime) -> Handoff:
    """The handoff with what the team promises, counted from ``now``."""
    sla = context.config.sla.get("default")
    calendar = context.config.calendar(sla) if sla else None
    return handoff.model_copy(update={"due": timing.due(sla, handoff.urgency, now, calendar)})


def begun(context: Context, connection: sa.Connection, handoff: Handoff, until: datetime) -> None:
    """Note that people take over at a time."""
    left = format_duration(until - context.clock())
    handoffs.note(connection, handoff.id, context.clock(), f"waits: the AI has {left} more")


def fired(context: Context, connection: sa.Connection, row: Any, now: datetime) -> Any:
    """The row of a wait that is over, as an accepted handoff; promises count from now."""
    handoff = Handoff.model_validate_json(row.body).model_copy(update={"created_at": now})
    body = due(context, handoff, now).model_dump_json()
    handoffs.change(connection, row.id, state=State.ACCEPTED, body=body)
    handoffs.note(connection, row.id, now, f"the wait is over: accepted for {row.desk}")
    return handoffs.get(connection, row.id)


def stands(connection: sa.Connection, row: Any, conversation: Conversation) -> Handoff:
    """Keep the conversation of a wait as it stands now."""
    handoff = Handoff.model_validate_json(row.body).model_copy(update={"conversation": conversation})
    handoffs.change(connection, row.id, body=handoff.model_dump_json())
    return handoff


def sooner(
    context: Context, connection: sa.Connection, row: Any, fresh: Handoff, until: datetime | None
) -> Handoff:
    """A conversation that waits is to be handed over: the earlier of both times counts, with its reasons."""
    if until is not None and until >= row.due_at:
        return stands(connection, row, fresh.conversation)
    now = context.clock()
    known = {"id": row.id, "key": row.key, "number": row.number, "hop": row.hop}
    handoff = fresh.model_copy(update=known)
    names = ("desk", "group", "urgency", "reason", "trigger")
    values = {name: getattr(handoff, name) for name in names}
    handoffs.change(connection, row.id, body=handoff.model_dump_json(), **values)
    _begin_at(context, connection, row, handoff, until or now)
    why = f"{handoff.trigger} decides" if handoff.trigger else "asked for"
    handoffs.note(connection, row.id, now, f"{why}: {'sooner' if until else 'now'}")
    return handoff


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
