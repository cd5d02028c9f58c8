"""Where a handoff goes that its desk will not take: to the next desk of the chain, or to a person.

A desk may say no at once (a refusal, or no answer for ``give_up_after``) or late: a mail that was accepted
comes back. Both end here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from handrail import again, lookback
from handrail.connector import Undone
from handrail.context import Context
from handrail.ids import ulid
from handrail.model import Handoff, State, Status
from handrail.store import handoffs, operations, updates
from handrail.sync import Taken


def give_up(context: Context, connection: sa.Connection, row: Any, why: str) -> None:
    """The ticket cannot be made on this desk: on to the next one, under a key of its own, or undelivered."""
    now, handoff = context.clock(), Handoff.model_validate_json(row.body)
    in_doubt = operations.in_doubt(connection, row.id)
    if in_doubt:
        lookback.remember(context, connection, row)
    following = _next_desk(context, handoff)
    if following is None:
        free = handoffs.FREE | {"n": row.n + 1, "due_at": None, "trying_since": None}
        handoffs.change(connection, row.id, **free, state=State.UNDELIVERED, last_error=why)
        handoffs.note(connection, row.id, now, f"undelivered: {why}")
        return
    doubt = "; it may hold a ticket all the same" if in_doubt else ""
    moved = handoff.model_copy(
        update={
            "desk": following,
            "hop": handoff.hop + 1,
            "came_from": "; ".join(filter(None, [handoff.came_from, f"{handoff.desk}: {why}{doubt}"])),
            "left_in_doubt": handoff.left_in_doubt or in_doubt,
            "unset": {},
        }
    )
    _begin_anew(connection, row.id, now)
    there = {"desk": following, "hop": moved.hop, "body": moved.model_dump_json()}
    again.due(context, connection, row, now, **there, trying_since=None, last_error=why)
    handoffs.note(connection, row.id, now, f"{handoff.desk} failed: {why}{doubt}; now to {following}")


def undone(context: Context, connection: sa.Connection, desk: str, late: Undone) -> Taken:
    """Take a late no. One about a ticket that people have reacted to, or that is done with, is a note."""
    ticket = updates.ticket_of(connection, desk, late.ticket_id)
    if ticket is None:
        return Taken.TOO_EARLY if handoffs.being_created(connection, late.ticket_id[:26]) else Taken.FOREIGN
    row = handoffs.get(connection, ticket.handoff_id, lock=True)
    if (row.desk, row.ticket_id) != (desk, late.ticket_id):
        return Taken.KNOWN
    if handoffs.held(row, context.clock()):
        return Taken.TOO_EARLY
    if late.marker:
        return _message_undone(context, connection, row, late.marker, late.why)
    if ticket.status != Status.NEW or State(row.state).ended:
        handoffs.note(connection, row.id, context.clock(), f"{desk}, although people have it: {late.why}")
        return Taken.KNOWN
    _begin_anew(connection, row.id, context.clock())
    handoffs.change(connection, row.id, ticket_id=None, state=State.ACCEPTED)
    give_up(context, connection, handoffs.get(connection, row.id), late.why)
    return Taken.STORED


def _message_undone(context: Context, connection: sa.Connection, row: Any, marker: str, why: str) -> Taken:
    """A later message or change failed for good, though the desk had accepted it."""
    now = context.clock()
    same = [o for o in operations.of_handoff(connection, row.id) if o.id == marker and o.state == "done"]
    if not same:
        return Taken.KNOWN
    # under another id: sent once more it is another mail, and no answer in the journal stands for it
    operations.change(connection, marker, id=ulid(now), state="failed", error=why, done_at=now)
    handoffs.change(connection, row.id, last_error=f"{same[0].kind} failed: {why}")
    handoffs.note(connection, row.id, now, f"{same[0].kind} failed for good: {why}")
    return Taken.STORED


def _begin_anew(connection: sa.Connection, handoff_id: str, now: datetime) -> None:
    """The next desk is told everything, in its own bytes: also what the first one had taken already."""
    for operation in operations.of_handoff(connection, handoff_id):
        if operation.state in ("done", "todo"):
            anew = {"id": ulid(now), "state": "todo", "tries": 0, "round": 0, "done_at": None, "error": None}
            operations.change(connection, operation.id, **anew)


def _next_desk(context: Context, handoff: Handoff) -> str | None:
    chain = [desk for desk in context.config.fallback if desk != _first_desk(handoff)]
    return chain[handoff.hop] if handoff.hop < len(chain) else None


def _first_desk(handoff: Handoff) -> str:
    return handoff.desk if handoff.hop == 0 else (handoff.came_from or "").partition(":")[0]
