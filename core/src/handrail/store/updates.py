"""Rows of tickets and updates: what the desks said, each thing once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from handrail.model import Status, Ticket, Update
from handrail.store.engine import insert_missing
from handrail.store.schema import counters, handoffs, ours, tickets, updates

_TICKET = tickets.select().where(tickets.c.desk == sa.bindparam("desk"), tickets.c.id == sa.bindparam("id"))
_INSERT_TICKET = tickets.insert()
_CHANGE_TICKET = tickets.update().where(
    tickets.c.desk == sa.bindparam("of"), tickets.c.id == sa.bindparam("this")
)
_OPEN = [status.value for status in (Status.NEW, Status.OPEN, Status.PENDING, Status.ON_HOLD)]
_KNOWN = sa.select(updates.c.seq).where(updates.c.id == sa.bindparam("id"))
_INSERT = updates.insert()
_INSERT_OURS = ours.insert()
_IS_OURS = sa.select(ours.c.event_id).where(
    ours.c.desk == sa.bindparam("desk"), ours.c.event_id == sa.bindparam("event")
)
_HANDOFFS_OF = sa.select(tickets.c.handoff_id).where(
    tickets.c.desk == sa.bindparam("desk"), tickets.c.id.in_(sa.bindparam("ids", expanding=True))
)
_LOCK = (
    sa.select(handoffs.c.id)
    .where(handoffs.c.id.in_(sa.bindparam("ids", expanding=True)))
    .order_by(handoffs.c.id)
    .with_for_update()
)
_OF_HANDOFF = (
    sa.select(updates.c.body).where(updates.c.handoff_id == sa.bindparam("handoff")).order_by(updates.c.seq)
)
_STATUSES = sa.select(updates.c.body).where(
    updates.c.handoff_id == sa.bindparam("handoff"), updates.c.kind.in_(("status", "created", "reopened"))
)
_STATUSES_AFTER = _STATUSES.where(updates.c.at >= sa.bindparam("at")).order_by(updates.c.at)
_STATUSES_BEFORE = _STATUSES.where(updates.c.at <= sa.bindparam("at")).order_by(updates.c.at.desc())
_CREATED_SINCE = (
    sa.select(tickets.c.id)
    .join(updates, updates.c.handoff_id == tickets.c.handoff_id)
    .where(tickets.c.desk == sa.bindparam("desk"), updates.c.seq > sa.bindparam("since"))
    .where(updates.c.kind == "created")
)
_STEP = (
    counters.update()
    .where(counters.c.name == sa.bindparam("counter"))
    .values(value=counters.c.value + 1)
    .returning(counters.c.value)
)


def ticket_of(connection: sa.Connection, desk: str, id: str) -> sa.Row[Any] | None:
    return connection.execute(_TICKET, {"desk": desk, "id": id}).first()


def as_ticket(row: Any) -> Ticket:
    return Ticket(
        id=row.id,
        url=row.url,
        status=Status(row.status),
        raw_status=row.raw_status,
        assignee=row.assignee,
        group=row.group,
        updated_at=row.updated_at,
        raw=json.loads(row.raw),
    )


def save_ticket(
    connection: sa.Connection, desk: str, handoff_id: str, ticket: Ticket, *, new: bool = False, **more: Any
) -> None:
    """Insert or replace a ticket as the desk has it now. ``new``: as far as is known it is not there yet."""
    values = ticket.model_dump(exclude={"id", "ours", "raw"}) | {"raw": json.dumps(ticket.raw)} | more
    row = {"desk": desk, "id": ticket.id, "handoff_id": handoff_id, **values}
    if new and insert_missing(connection, tickets, row):
        return
    if not connection.execute(_CHANGE_TICKET, {"of": desk, "this": ticket.id, **values}).rowcount:
        connection.execute(_INSERT_TICKET, row)


def change_ticket(connection: sa.Connection, desk: str, id: str, **values: Any) -> None:
    connection.execute(_CHANGE_TICKET, {"of": desk, "this": id, **values})


def open_tickets(connection: sa.Connection, desk: str, since: datetime) -> Sequence[sa.Row[Any]]:
    """Tickets of a desk that can still change: not closed, not deleted, and if solved then since a time."""
    solved = sa.and_(tickets.c.desk == desk, tickets.c.status == Status.SOLVED.value)
    unfinished = sa.and_(tickets.c.desk == desk, tickets.c.status.in_(_OPEN))
    recent = sa.and_(solved, sa.or_(tickets.c.status_at.is_(None), tickets.c.status_at > since))
    return connection.execute(tickets.select().where(sa.or_(unfinished, recent)).order_by(tickets.c.id)).all()


def newest(connection: sa.Connection) -> int:
    """The number of the newest update, 0 where there is none."""
    return int(connection.execute(sa.select(sa.func.max(updates.c.seq))).scalar() or 0)


def created_since(connection: sa.Connection, desk: str, since: int) -> Sequence[str]:
    """The tickets on a desk of the handoffs whose ticket has become known behind the update ``since``."""
    return connection.execute(_CREATED_SINCE, {"desk": desk, "since": since}).scalars().all()


def lock(connection: sa.Connection, desk: str, ticket_ids: Iterable[str]) -> None:
    """Keep other writers of the handoffs of these tickets out until the commit."""
    ours: set[str] = set()
    for some in _some(ticket_ids):
        ours.update(connection.execute(_HANDOFFS_OF, {"desk": desk, "ids": some}).scalars())
    for some in _some(ours):
        connection.execute(_LOCK, {"ids": some}).all()


def _some(ids: Iterable[str]) -> Iterator[list[str]]:
    """Ids in their order, as many at a time as a statement takes."""
    ordered = sorted(ids)
    return (ordered[n : n + 500] for n in range(0, len(ordered), 500))


def save_ours(connection: sa.Connection, desk: str, event_ids: Iterable[str]) -> None:
    for event_id in event_ids:
        if not is_ours(connection, desk, event_id):
            connection.execute(_INSERT_OURS, {"desk": desk, "event_id": event_id})


def is_ours(connection: sa.Connection, desk: str, event_id: str) -> bool:
    return connection.execute(_IS_OURS, {"desk": desk, "event": event_id}).first() is not None


def is_stored(connection: sa.Connection, desk: str, event_id: str) -> bool:
    return connection.execute(_KNOWN, {"id": f"{desk}:{event_id}"}).first() is not None


def add(connection: sa.Connection, update: Update, now: datetime) -> bool:
    """Store an update; False where its id is there already. The caller has locked its handoff.

    Numbers come from a row of ours, not from a sequence: whoever reads behind a cursor must never see a
    number appear below one that was read already.
    """
    if connection.execute(_KNOWN, {"id": update.id}).first():
        return False
    number = _next(connection, "updates")
    row = {
        "seq": number,
        "id": update.id,
        "handoff_id": update.handoff_id,
        "kind": update.kind,
        "at": update.at,
        "received_at": now,
        "body": update.model_dump_json(),
    }
    connection.execute(_INSERT, row)
    return True


def _next(connection: sa.Connection, name: str) -> int:
    number = connection.execute(_STEP, {"counter": name}).scalar()
    if number is None:
        connection.execute(counters.insert().values(name=name, value=1))
        return 1
    return int(number)


def of_handoff(connection: sa.Connection, handoff_id: str) -> list[Update]:
    found = connection.execute(_OF_HANDOFF, {"handoff": handoff_id}).scalars()
    return [Update.model_validate_json(body) for body in found]


def after(connection: sa.Connection, seq: int, limit: int) -> list[tuple[int, Update]]:
    query = (
        sa.select(updates.c.seq, updates.c.body)
        .where(updates.c.seq > seq)
        .order_by(updates.c.seq)
        .limit(limit)
    )
    return [(row.seq, Update.model_validate_json(row.body)) for row in connection.execute(query)]


def next_status(
    connection: sa.Connection, handoff_id: str, ticket_id: str, at: datetime, status: Status, near: timedelta
) -> Status | None:
    """The first status that was stored for a ticket after a time, or None.

    ``status`` itself counts from ``near`` before that time: clocks of two roads differ.
    """
    found = _statuses(connection, _STATUSES_AFTER, handoff_id, ticket_id, at - near)
    return next((each for when, each in found if when > at or each is status), None)


def status_before(connection: sa.Connection, handoff_id: str, ticket_id: str, at: datetime) -> Status | None:
    """The last status that was stored for a ticket at or before a time, or None."""
    found = _statuses(connection, _STATUSES_BEFORE, handoff_id, ticket_id, at)
    return next((each for _, each in found), None)


def _statuses(
    connection: sa.Connection, query: Any, handoff_id: str, ticket_id: str, at: datetime
) -> Iterator[tuple[datetime, Status | None]]:
    found = connection.execute(query, {"handoff": handoff_id, "at": at}).scalars()
    stored = (Update.model_validate_json(body) for body in found)
    return ((update.at, update.status) for update in stored if update.ticket_id == ticket_id)
