"""Rows of subscribers: how far each has got, and when it is tried next.

``due_at`` is None where no job is under way; ``n`` numbers the jobs, as with handoffs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from handrail.store.engine import insert_missing
from handrail.store.schema import subscribers, updates


def get(connection: sa.Connection, name: str, *, lock: bool = False) -> sa.Row[Any] | None:
    query = subscribers.select().where(subscribers.c.name == name)
    return connection.execute(query.with_for_update() if lock else query).first()


def known(connection: sa.Connection, names: Collection[str], cursor: int) -> Sequence[sa.Row[Any]]:
    """The rows, locked until the commit; one that is new begins behind ``cursor``."""
    query = subscribers.select().where(subscribers.c.name.in_(names)).order_by(subscribers.c.name)
    rows = connection.execute(query.with_for_update()).all()
    missing = sorted(set(names) - {row.name for row in rows})
    if not missing:
        return rows
    for name in missing:
        insert_missing(connection, subscribers, {"name": name, "cursor": cursor, "n": 0})
    return connection.execute(query.with_for_update()).all()


def change(connection: sa.Connection, name: str, **values: Any) -> None:
    connection.execute(subscribers.update().where(subscribers.c.name == name).values(values))


def move(connection: sa.Connection, name: str, n: int, cursor: int) -> bool:
    """It took the update at ``cursor``; False where another run of the job was faster."""
    here = sa.and_(subscribers.c.name == name, subscribers.c.n == n, subscribers.c.cursor < cursor)
    values = {"cursor": cursor, "failing_since": None, "error": None}
    return connection.execute(subscribers.update().where(here).values(values)).rowcount == 1


def due(connection: sa.Connection, names: Collection[str], before: datetime) -> bool:
    """True where one of them has something to send before a time."""
    query = sa.select(subscribers.c.name).where(subscribers.c.name.in_(names), subscribers.c.due_at <= before)
    return connection.execute(query.limit(1)).first() is not None


def waiting(connection: sa.Connection, cursor: int, kinds: Collection[str]) -> int:
    """How many updates of these kinds (none: all) stand behind a cursor."""
    query = sa.select(sa.func.count()).where(updates.c.seq > cursor)
    return connection.execute(query.where(updates.c.kind.in_(kinds)) if kinds else query).scalar_one()
