"""Rows of handoffs: accepting, claiming for one attempt, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from handrail.errors import NotFound
from handrail.model import Handoff, State
from handrail.store.alive import is_alive, owner
from handrail.store.schema import handoffs, operations, timeline

_INSERT = handoffs.insert()
_BY_ID = handoffs.select().where(handoffs.c.id == sa.bindparam("id"))
_LOCKED = _BY_ID.with_for_update()
_CHANGE = handoffs.update().where(handoffs.c.id == sa.bindparam("this"))
_NOTE = timeline.insert()
_HOLDER = (
    sa.select(handoffs.c.attempts, handoffs.c.lease_by)
    .where(handoffs.c.id == sa.bindparam("id"))
    .with_for_update(read=True)
)
_NEXT = (
    handoffs.select()
    .where(
        handoffs.c.desk == sa.bindparam("desk"),
        handoffs.c.due_at <= sa.bindparam("now"),
        handoffs.c.lease_by.is_(None),
    )
    .order_by(handoffs.c.due_at)
    .limit(1)
    .with_for_update(skip_locked=True)
)
_NEWEST = (
    handoffs.select()
    .where(handoffs.c.conversation_id == sa.bindparam("conversation"))
    .order_by(handoffs.c.number.desc(), handoffs.c.id.desc())
    .limit(1)
)
_BY_KEY = handoffs.select().where(handoffs.c.key == sa.bindparam("key"))
FREE: dict[str, Any] = {"lease_by": None, "lease_until": None, "parked_at": None}
"""What a row has that nobody makes an attempt at, and that waits for no person."""


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
    connection.execute(_INSERT, row | more)


def get(connection: sa.Connection, id: str, *, lock: bool = False) -> sa.Row[Any]:
    """The row, raising ``NotFound``. ``lock`` keeps other writers of this row out until the commit."""
    row = connection.execute(_LOCKED if lock else _BY_ID, {"id": id}).first()
    if row is None:
        raise NotFound(f"there is no handoff {id!r}")
    return row


def by_key(connection: sa.Connection, key: str) -> sa.Row[Any] | None:
    return connection.execute(_BY_KEY, {"key": key}).first()


def of_conversation(connection: sa.Connection, conversation_id: str) -> sa.Row[Any] | None:
    """The newest handoff of a conversation."""
    return connection.execute(_NEWEST, {"conversation": conversation_id}).first()


def next_due(connection: sa.Connection, desk: str, now: datetime) -> sa.Row[Any] | None:
    """The handoff of a desk that has waited longest for an attempt, kept from other writers."""
    return connection.execute(_NEXT, {"desk": desk, "now": now}).first()


def change(connection: sa.Connection, id: str, **values: Any) -> None:
    connection.execute(_CHANGE, {"this": id, **values})


def plan(row: Any, name: str) -> Any:
    """What a row's plan holds under a name; None where it holds nothing."""
    return json.loads(row.plan).get(name) if row.plan else None


def planned(plan: str | None, name: str, value: Any) -> str | None:
    """A row's plan with this value under a name (None: without it), and what else it holds."""
    whole = (json.loads(plan) if plan else {}) | {name: value}
    kept = {key: each for key, each in whole.items() if each is not None}
    return json.dumps(kept) if kept else None


def note(connection: sa.Connection, id: str, at: datetime, text: str) -> None:
    """Add a line to a handoff's timeline."""
    connection.execute(_NOTE, {"handoff_id": id, "at": at, "text": text})


def timeline_of(connection: sa.Connection, id: str) -> Sequence[sa.Row[Any]]:
    query = timeline.select().where(timeline.c.handoff_id == id).order_by(timeline.c.id)
    return connection.execute(query).all()


def held(row: Any, now: datetime) -> bool:
    """True while another attempt at this handoff runs in a process that may still be alive."""
    return bool(row.lease_until and row.lease_until > now and is_alive(row.lease_by))


def holds(connection: sa.Connection, id: str, attempt: int) -> bool:
    """True while this process holds a handoff for this very attempt; it stays so until the commit."""
    row = connection.execute(_HOLDER, {"id": id}).first()
    return row is not None and is_attempt(row, attempt)


def is_attempt(row: Any, attempt: int) -> bool:
    """True while this process holds the row for this very attempt, and nobody has taken it over."""
    return bool(row.attempts == attempt and row.lease_by == owner())


def renew(connection: sa.Connection, id: str, attempt: int, now: datetime, seconds: float) -> bool:
    """Begin the lease of an attempt anew; False where it is no longer that attempt's."""
    mine = sa.and_(handoffs.c.id == id, handoffs.c.attempts == attempt, handoffs.c.lease_by == owner())
    until = now + timedelta(seconds=seconds)
    values = {"lease_until": until, "due_at": until}
    return connection.execute(handoffs.update().where(mine).values(values)).rowcount == 1


def is_due(connection: sa.Connection, desks: Iterable[str], before: datetime) -> bool:
    """True where a handoff's next attempt is due before a time, or its attempt died with its process."""
    for desk in desks:
        query = sa.select(handoffs.c.id).where(handoffs.c.desk == desk, handoffs.c.due_at <= before)
        if connection.execute(query.limit(1)).first() is not None:
            return True
    return any(not is_alive(holder) for holder in holders(connection))


def holders(connection: sa.Connection) -> Sequence[str]:
    """The processes that hold a lease."""
    query = sa.select(handoffs.c.lease_by).where(handoffs.c.lease_by.is_not(None)).distinct()
    return connection.execute(query).scalars().all()


def watched(connection: sa.Connection, before: datetime) -> Sequence[str]:
    """Ids of handoffs that were to be looked at by a time, whether people are there, in their order.

    Asked for in the order of their index; in that of ids, SQLite would read through all handoffs there are.
    """
    query = sa.select(handoffs.c.id).where(handoffs.c.watch_at <= before)
    return sorted(connection.execute(query.order_by(handoffs.c.watch_at)).scalars())


def is_watched(connection: sa.Connection, desks: Iterable[str], before: datetime) -> bool:
    """True where a handoff of one of these desks is to be looked at, whether people are there."""
    query = sa.select(handoffs.c.id).where(handoffs.c.watch_at <= before, handoffs.c.desk.in_(list(desks)))
    return connection.execute(query.order_by(handoffs.c.watch_at).limit(1)).first() is not None


def at_work(connection: sa.Connection) -> bool:
    """True while this process makes an attempt, of which nobody knows yet when the next one is due."""
    return owner() in holders(connection)


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


def parked(connection: sa.Connection, desk: str | None, limit: int = -1) -> Sequence[sa.Row[Any]]:
    """Handoffs that have waited for a person since their desk was paused: each desk's, oldest first.

    In the order of the index of such rows; in any other, SQLite would read through all handoffs there are.
    """
    query = handoffs.select().where(handoffs.c.parked_at.is_not(None))
    query = query.order_by(handoffs.c.desk, handoffs.c.id)
    query = query if desk is None else query.where(handoffs.c.desk == desk)
    return connection.execute(query if limit < 0 else query.limit(limit)).all()


def desks_in_use(connection: sa.Connection) -> set[str]:
    """The desks for which handoffs wait, those included that the configuration does not have any more."""
    return {*_desks_with(connection, handoffs.c.due_at), *_desks_with(connection, handoffs.c.parked_at)}


def _desks_with(connection: sa.Connection, column: sa.Column[Any]) -> Iterator[str]:
    """The desks of rows that have a value there: from one to the next by the index, past all rows between."""
    following = sa.select(sa.func.min(handoffs.c.desk)).where(column.is_not(None))
    desk = connection.execute(following).scalar()
    while desk is not None:
        yield desk
        desk = connection.execute(following.where(handoffs.c.desk > desk)).scalar()


def leased(connection: sa.Connection, holder: str) -> Sequence[sa.Row[Any]]:
    """The handoffs at which a process makes, or made, an attempt, in the order in which rows are locked."""
    query = handoffs.select().where(handoffs.c.lease_by == holder).order_by(handoffs.c.id)
    return connection.execute(query).all()


def being_created(connection: sa.Connection, id: str | None) -> bool:
    """True while this handoff (None: any) has been sent, perhaps, and has no ticket that we know of."""
    query = sa.select(handoffs.c.id).where(
        handoffs.c.state == State.DELIVERING.value, handoffs.c.ticket_id.is_(None)
    )
    query = query if id is None else query.where(handoffs.c.id == id)
    return connection.execute(query.limit(1)).first() is not None


def stuck(connection: sa.Connection) -> Sequence[sa.Row[Any]]:
    """Handoffs that wait for a person: undelivered, with a paused desk, or with a failed message.

    A cancelled one waits for nobody, whatever failed before.
    """
    failed = sa.select(operations.c.handoff_id).where(operations.c.state == "failed")
    message = sa.and_(handoffs.c.id.in_(failed), handoffs.c.state != State.CANCELLED.value)
    dead = sa.or_(handoffs.c.state == State.UNDELIVERED.value, message)
    found = connection.execute(handoffs.select().where(dead).order_by(handoffs.c.created_at)).all()
    ids = {row.id for row in found}
    return [*found, *(row for row in parked(connection, None) if row.id not in ids)]
