"""Rows of processes that are alive, and of the slots in which they talk to a desk."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

import sqlalchemy as sa

from handrail.store.alive import is_alive
from handrail.store.engine import insert_missing
from handrail.store.schema import slots, workers


def seen(connection: sa.Connection, name: str, now: datetime) -> None:
    """Note that a process is alive."""
    mine = workers.update().where(workers.c.name == name).values(seen_at=now)
    if not connection.execute(mine).rowcount:
        insert_missing(connection, workers, {"name": name, "seen_at": now})


def all_seen(connection: sa.Connection) -> Sequence[tuple[str, datetime]]:
    """Each process with the time at which it last said that it is alive, by its own clock."""
    return [(row.name, row.seen_at) for row in connection.execute(workers.select())]


def forget(connection: sa.Connection, name: str) -> None:
    """A process has ended, or is taken for dead: its slots are free."""
    connection.execute(slots.delete().where(slots.c.holder == name))
    connection.execute(workers.delete().where(workers.c.name == name))


def take_slot(connection: sa.Connection, id: str, desk: str, holder: str, most: int) -> bool:
    """Take one of a desk's slots; False where all are taken. The caller has locked the desk.

    Those of processes that have certainly ended are free: where no worker runs, nobody else finds that out.
    """
    mine = slots.c.desk == desk
    holders = connection.execute(sa.select(slots.c.holder).where(mine)).scalars().all()
    if len(holders) >= most:
        gone = {each for each in holders if not is_alive(each)}
        if not gone:
            return False
        connection.execute(slots.delete().where(mine, slots.c.holder.in_(gone)))
    connection.execute(slots.insert().values(id=id, desk=desk, holder=holder))
    return True


def leave_slot(connection: sa.Connection, id: str) -> None:
    connection.execute(slots.delete().where(slots.c.id == id))


def leave_slots(connection: sa.Connection, holder: str, kept: Collection[str]) -> None:
    """Leave a process's slots but for those that its threads have."""
    lost = set(connection.execute(sa.select(slots.c.id).where(slots.c.holder == holder)).scalars()) - set(
        kept
    )
    for id in lost:
        leave_slot(connection, id)


def slot_holders(connection: sa.Connection) -> Sequence[str]:
    return connection.execute(sa.select(slots.c.holder).distinct()).scalars().all()
