"""Rows of handoffs: accepting, claiming for one attempt, and what became of it."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa

from handrail.errors import NotFound
from handrail.model import Handoff, State
from handrail.store.schema import handoffs, operations, timeline


@cache
def _place() -> str:
    """Where process numbers mean the same: a host, and in it a container."""
    try:
        space = f"/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        space = ""
    return f"{socket.gethostname()}{space}"


def owner() -> str:
    """This process, by a name that no other has at the same time."""
    return f"{_place()}:{os.getpid()}"


def is_alive(holder: str | None) -> bool:
    """False only where it is certain that the process which holds a lease is gone."""
    place, _, pid = (holder or "").rpartition(":")
    if place != _place() or not pid.isdigit():
        return bool(holder)
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def insert(connection: sa.Connection, handoff: Handoff, digest: str, **more: Any) -> None:
    row = {
        "id": handoff.id,
        "key": handoff.key,
        "conversation_id": handoff.conversation.id,
        "number": handoff.number,
        "digest": digest,
        "desk": handoff.desk,
        "hop": handoff.hop,
        "state": State.ACCEPTED,
        "group": handoff.group,
        "urgency": handoff.urgency,
        "reason": handoff.reason,
        "trigger": handoff.trigger,
        "body": handoff.model_dump_json(),
        "created_at": handoff.created_at,
        "attempts": 0,
        "n": 0,
    }
    connection.execute(handoffs.insert().values(row | more))


def get(connection: sa.Connection, id: str, *, lock: bool = False) -> sa.Row[Any]:
    """The row, raising ``NotFound``. ``lock`` keeps other writers of this row out until the commit."""
    query = handoffs.select().where(handoffs.c.id == id)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise NotFound(f"there is no handoff {id!r}")
    return row


def by_key(connection: sa.Connection, key: str) -> sa.Row[Any] | None:
    return connection.execute(handoffs.select().where(handoffs.c.key == key)).first()


def of_conversation(connection: sa.Connection, conversation_id: str) -> sa.Row[Any] | None:
    """The newest handoff of a conversation."""
    query = handoffs.select().where(handoffs.c.conversation_id == conversation_id)
    return connection.execute(query.order_by(handoffs.c.number.desc(), handoffs.c.id.desc()).limit(1)).first()


def change(connection: sa.Connection, id: str, **values: Any) -> None:
    connection.execute(handoffs.update().where(handoffs.c.id == id).values(values))


def note(connection: sa.Connection, id: str, at: datetime, text: str) -> None:
    """Add a line to a handoff's timeline."""
    connection.execute(timeline.insert().values(handoff_id=id, at=at, text=text))


def timeline_of(connection: sa.Connection, id: str) -> Sequence[sa.Row[Any]]:
    query = timeline.select().where(timeline.c.handoff_id == id).order_by(timeline.c.id)
    return connection.execute(query).all()


def held(row: Any, now: datetime) -> bool:
    """True while another attempt at this handoff runs in a process that may still be alive."""
    return bool(row.lease_until and row.lease_until > now and is_alive(row.lease_by))


def lease(connection: sa.Connection, row: Any, now: datetime, seconds: float) -> int:
    """Take the row for one attempt; returns the number of the job that must exist for the case of a crash."""
    n: int = row.n + 1
    until = now + timedelta(seconds=seconds)
    change(connection, row.id, n=n, lease_by=owner(), lease_until=until, due_at=until)
    return n


def is_attempt(row: Any, attempt: int) -> bool:
    """True while this process holds the row for this very attempt, and nobody has taken it over."""
    return bool(row.attempts == attempt and row.lease_by == owner())


def renew(connection: sa.Connection, id: str, attempt: int, now: datetime, seconds: float) -> bool:
    """Begin the lease of an attempt anew; False where it is no longer that attempt's."""
    mine = sa.and_(handoffs.c.id == id, handoffs.c.attempts == attempt, handoffs.c.lease_by == owner())
    until = now + timedelta(seconds=seconds)
    values = {"lease_until": until, "due_at": until}
    return connection.execute(handoffs.update().where(mine).values(values)).rowcount == 1


def due(connection: sa.Connection, before: datetime, limit: int = 1000) -> Sequence[sa.Row[Any]]:
    """Handoffs whose next attempt is due before a time, or whose attempt died with its process."""
    query = handoffs.select().where(handoffs.c.due_at.is_not(None)).order_by(handoffs.c.due_at).limit(limit)
    rows = connection.execute(query).all()
    return [row for row in rows if row.due_at <= before or (row.lease_by and not is_alive(row.lease_by))]


def watched(connection: sa.Connection, before: datetime) -> Sequence[str]:
    """Ids of handoffs that were to be looked at by a time, whether people are there."""
    query = sa.select(handoffs.c.id).where(handoffs.c.watch_at <= before)
    return connection.execute(query.order_by(handoffs.c.id)).scalars().all()


def at_work(connection: sa.Connection) -> bool:
    """True while this process makes an attempt, of which nobody knows yet when the next one is due."""
    query = sa.select(handoffs.c.id).where(handoffs.c.lease_by == owner(), handoffs.c.due_at.is_not(None))
    return connection.execute(query.limit(1)).first() is not None


def listing(
    connection: sa.Connection,
    *,
    state: str | None = None,
    desk: str | None = None,
    group: str | None = None,
    since: datetime | None = None,
    limit: int = 50,
) -> Sequence[sa.Row[Any]]:
    """Newest first."""
    query = handoffs.select().order_by(handoffs.c.created_at.desc(), handoffs.c.id.desc()).limit(limit)
    for column, value in ((handoffs.c.state, state), (handoffs.c.desk, desk), (handoffs.c.group, group)):
        query = query if value is None else query.where(column == value)
    query = query if since is None else query.where(handoffs.c.created_at >= since)
    return connection.execute(query).all()


def left_over(connection: sa.Connection, desk: str | None) -> Sequence[sa.Row[Any]]:
    """Handoffs with something to send whose attempt ended without a next one: paused, or killed."""
    waiting = sa.select(operations.c.handoff_id).where(operations.c.state == "todo")
    idle = sa.or_(handoffs.c.due_at.is_(None), handoffs.c.lease_by.is_not(None))
    query = handoffs.select().where(idle, handoffs.c.id.in_(waiting))
    query = query.where(handoffs.c.state.not_in((State.UNDELIVERED.value, State.CANCELLED.value)))
    query = query.order_by(handoffs.c.id)
    return connection.execute(query if desk is None else query.where(handoffs.c.desk == desk)).all()


def being_created(connection: sa.Connection, id: str | None) -> bool:
    """True while this handoff (None: any) has been sent, perhaps, and has no ticket that we know of."""
    query = sa.select(handoffs.c.id).where(
        handoffs.c.state == State.DELIVERING.value, handoffs.c.ticket_id.is_(None)
    )
    query = query if id is None else query.where(handoffs.c.id == id)
    return connection.execute(query.limit(1)).first() is not None


def stuck(connection: sa.Connection) -> Sequence[sa.Row[Any]]:
    """Handoffs that wait for a person: undelivered, with a paused desk, or with a failed message."""
    failed = sa.select(operations.c.handoff_id).where(operations.c.state == "failed")
    dead = sa.or_(handoffs.c.state == State.UNDELIVERED.value, handoffs.c.id.in_(failed))
    found = connection.execute(handoffs.select().where(dead).order_by(handoffs.c.created_at)).all()
    ids = {row.id for row in found}
    return [*found, *(row for row in left_over(connection, None) if row.due_at is None and row.id not in ids)]
