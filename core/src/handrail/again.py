"""Again: what people send once more, and what is taken up that a dead process or a paused desk left."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from handrail.context import Context
from handrail.driver import START_SECONDS
from handrail.errors import Conflict
from handrail.http import CONNECT_SECONDS
from handrail.model import State
from handrail.store import desks, handoffs, operations
from handrail.store.alive import is_alive, owner

_BATCH = 200
"""So many handoffs are made due in one transaction: others want to write too."""


GONE = "handoffs wait for this desk, which the configuration does not have; they go to the fallback in time"


def desks_gone(context: Context) -> list[str]:
    """Desks that the configuration does not have any more, and for which handoffs wait."""
    with context.store.read() as connection:
        return sorted(handoffs.desks_in_use(connection) - context.config.desks.keys())


def retry(context: Context, handoff_id: str) -> None:
    """Send what failed again, now: a dead letter, a failed message, or whatever waits for its time.

    What certainly failed is put in new words: the configuration or the desk may have been mended since.
    """
    now = context.clock()
    with context.store.begin() as connection:
        row = handoffs.get(connection, handoff_id, lock=True)
        if row.state == State.CANCELLED:
            raise Conflict(f"handoff {handoff_id} was cancelled")
        failed = [each.id for each in operations.of_handoff(connection, handoff_id) if each.state == "failed"]
        operations.change(connection, failed, state="todo", tries=1)
        first = operations.first_todo(connection, handoff_id)
        dead = row.state == State.UNDELIVERED
        for id in [*failed, *([first.id] if dead and first is not None else [])]:
            operations.fresh_round(connection, id)
        if first is None or handoffs.held(row, now):
            return
        desks.change(connection, row.desk, paused_because=None, paused_at=None)
        state = State.ACCEPTED if dead else row.state
        handoffs.note(connection, handoff_id, now, "sent again by command")
        due(context, connection, row, now, trying_since=None, state=state)


def resume(context: Context, desk: str | None = None) -> None:
    """Unpause desks, and make due what waited for them or was left by a process that died."""
    with context.store.begin() as connection:
        for name in desks.all_paused(connection):
            if desk in (None, name):
                desks.change(connection, name, paused_because=None, paused_at=None)
    while unpark(context, desk):  # behind the commit no attempt finds its desk paused
        pass
    with context.store.read() as connection:
        gone = [holder for holder in handoffs.holders(connection) if not is_alive(holder)]
    for holder in gone:
        take_over(context, holder)


def unpark(context: Context, desk: str | None) -> int:
    """Make some of what waited for a person due; returns how many."""
    now = context.clock()
    with context.store.begin() as connection:
        ids = sorted(found.id for found in handoffs.parked(connection, desk, _BATCH))
        for id in ids:
            row = handoffs.get(connection, id, lock=True)
            if row.parked_at is not None:  # else a peer was faster, and it may be under way again
                # The pause does not count as time in which the desk did not take it.
                due(context, connection, row, now, trying_since=None)
    return len(ids)


def take_over(context: Context, holder: str) -> int:
    """Make due what a process holds that is dead, or taken for dead; returns how many."""
    now = context.clock()
    with context.store.begin() as connection:
        rows = handoffs.leased(connection, holder)
        for found in rows:
            row = handoffs.get(connection, found.id, lock=True)
            if row.lease_by == holder:
                why = "broke off with its process" if is_gone(holder) else "is not heard of any more"
                handoffs.note(connection, row.id, now, f"attempt {row.attempts} {why}; it is taken over")
                due(context, connection, row, _settled(context, connection, row, now))
    return len(rows)


def held_here(context: Context) -> set[tuple[str, int]]:
    """The handoffs that this process holds, each with the number of its attempt."""
    with context.store.read() as connection:
        return {(row.id, row.attempts) for row in handoffs.leased(connection, owner())}


def put_back(context: Context, attempts: Iterable[tuple[str, int]]) -> int:
    """Make due again what attempts of this process held that have ended without a word; returns how many."""
    found = 0
    for id, attempt in sorted(attempts):
        with context.store.begin() as connection:
            row = handoffs.get(connection, id, lock=True)
            if handoffs.is_attempt(row, attempt):
                due(context, connection, row, context.clock())
                found += 1
    return found


def _settled(context: Context, connection: sa.Connection, row: Any, now: datetime) -> datetime:
    """When no exchange of an attempt can be under way any more, should its process live after all.

    A key makes one of two; within the desk's ``lag`` no look is believed; else only this keeps them apart.
    """
    known = context.config.desks.get(row.desk)
    sent = operations.last_sent(connection, row.id) if known and not is_gone(row.lease_by) else None
    if not known or not sent:
        return now
    late = timedelta(seconds=0 if known.key_window else START_SECONDS + CONNECT_SECONDS)
    return max(now, sent + known.timeout + max(late - known.lag, timedelta(0)))


def is_gone(holder: str | None) -> bool:
    """True where it is certain that a process has ended."""
    return holder is not None and not is_alive(holder)


def due(context: Context, connection: sa.Connection, row: Any, at: datetime, **values: Any) -> None:
    """Make a row due, on the desk in ``values`` or its own; its other jobs are out of date then."""
    handoffs.change(connection, row.id, n=row.n + 1, due_at=at, **(handoffs.FREE | values))
    delay = max(timedelta(0), at - context.clock()).total_seconds()
    context.schedule(connection, f"deliver:{values.get('desk', row.desk)}", row.id, row.n + 1, delay)
