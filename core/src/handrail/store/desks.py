"""Rows of desks (paused or not, how far polled) and of webhooks that came in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from handrail.errors import NotFound
from handrail.store.engine import insert_missing
from handrail.store.schema import desks, hooks

_PAUSED = sa.select(desks.c.paused_because).where(desks.c.name == sa.bindparam("name"))
_PAUSED_LOCKED = _PAUSED.with_for_update(read=True)


def get(connection: sa.Connection, name: str) -> sa.Row[Any] | None:
    return connection.execute(desks.select().where(desks.c.name == name)).first()


def change(connection: sa.Connection, name: str, **values: Any) -> None:
    if not connection.execute(desks.update().where(desks.c.name == name).values(values)).rowcount:
        insert_missing(connection, desks, {"name": name, "poll_n": 0})  # unless another has just made it
        connection.execute(desks.update().where(desks.c.name == name).values(values))


def lock(connection: sa.Connection, name: str) -> None:
    """Keep others who lock this desk out until the commit."""
    query = sa.select(desks.c.name).where(desks.c.name == name).with_for_update()
    if connection.execute(query).first() is None:
        insert_missing(connection, desks, {"name": name, "poll_n": 0})
        connection.execute(query)


def paused(connection: sa.Connection, name: str, *, lock: bool = False) -> str | None:
    """Why a desk is paused, or None. ``lock`` keeps this so until the commit."""
    return connection.execute(_PAUSED_LOCKED if lock else _PAUSED, {"name": name}).scalar()


def add_hook(
    connection: sa.Connection, id: str, desk: str, headers: Mapping[str, str], body: bytes, now: datetime
) -> None:
    row = {"id": id, "desk": desk, "headers": json.dumps(dict(headers)), "body": body, "received_at": now}
    connection.execute(hooks.insert().values(row | {"state": "todo", "n": 0, "due_at": now}))


def hook(connection: sa.Connection, id: str, *, lock: bool = False) -> sa.Row[Any]:
    query = hooks.select().where(hooks.c.id == id)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise NotFound(f"there is no webhook {id!r}")
    return row


def change_hook(connection: sa.Connection, id: str, **values: Any) -> None:
    connection.execute(hooks.update().where(hooks.c.id == id).values(values))


def due_hooks(connection: sa.Connection, before: datetime) -> Sequence[sa.Row[Any]]:
    query = sa.select(hooks.c.id).where(hooks.c.state == "todo", hooks.c.due_at <= before)
    return connection.execute(query.order_by(hooks.c.due_at).limit(1000)).all()
