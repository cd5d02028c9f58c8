"""Rows of desks (paused or not, how far polled) and of webhooks that came in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from handrail.errors import NotFound
from handrail.ids import first_ulid
from handrail.store.engine import insert_missing
from handrail.store.schema import desks, hooks

_DESK = desks.select().where(desks.c.name == sa.bindparam("name"))
_CHANGE = desks.update().where(desks.c.name == sa.bindparam("this"))
_LOCK = sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(sa.bindparam("name"), 0)))
_HOOK = hooks.select().where(hooks.c.id == sa.bindparam("id"))
_HOOK_LOCKED = _HOOK.with_for_update()
_ADD_HOOK = hooks.insert()
_CHANGE_HOOK = hooks.update().where(hooks.c.id == sa.bindparam("this"))
_PAUSED = sa.select(desks.c.paused_because).where(desks.c.name == sa.bindparam("name"))
_PAUSED_LOCKED = _PAUSED.with_for_update(read=True)


def get(connection: sa.Connection, name: str) -> sa.Row[Any] | None:
    return connection.execute(_DESK, {"name": name}).first()


def polled(connection: sa.Connection, name: str) -> datetime | None:
    """When the last page of a poll was taken."""
    row = get(connection, name)
    return row.polled_at if row is not None else None


def change(connection: sa.Connection, name: str, **values: Any) -> None:
    if not connection.execute(_CHANGE, {"this": name, **values}).rowcount:
        insert_missing(connection, desks, {"name": name, "poll_n": 0})  # unless another has just made it
        connection.execute(_CHANGE, {"this": name, **values})


def lock(connection: sa.Connection, name: str) -> None:
    """Keep others who lock this desk out until the commit, and nobody else; on SQLite there is one writer.

    Not by its row: who attempts a handoff holds that, so that the desk stays paused or not.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(_LOCK, {"name": f"handrail desk {name}"})


def paused(connection: sa.Connection, name: str, *, lock: bool = False) -> str | None:
    """Why a desk is paused, or None. ``lock`` keeps this so until the commit."""
    return connection.execute(_PAUSED_LOCKED if lock else _PAUSED, {"name": name}).scalar()


def all_paused(connection: sa.Connection) -> Sequence[str]:
    """In the order in which their rows are locked."""
    query = sa.select(desks.c.name).where(desks.c.paused_because.is_not(None))
    return connection.execute(query.order_by(desks.c.name)).scalars().all()


def add_hook(
    connection: sa.Connection, id: str, desk: str, headers: Mapping[str, str], body: bytes, now: datetime
) -> None:
    row = {"id": id, "desk": desk, "headers": json.dumps(dict(headers)), "body": body, "received_at": now}
    connection.execute(_ADD_HOOK, row | {"state": "todo", "n": 0, "due_at": now})


def hook(connection: sa.Connection, id: str, *, lock: bool = False) -> sa.Row[Any]:
    row = connection.execute(_HOOK_LOCKED if lock else _HOOK, {"id": id}).first()
    if row is None:
        raise NotFound(f"there is no webhook {id!r}")
    return row


def change_hook(connection: sa.Connection, id: str, **values: Any) -> None:
    connection.execute(_CHANGE_HOOK, {"this": id, **values})


def drop_hooks(connection: sa.Connection, before: datetime, limit: int) -> int:
    """Delete webhooks that came before a time and that nothing is to be done about; returns how many."""
    old = sa.select(hooks.c.id).where(hooks.c.id < first_ulid(before), hooks.c.state != "todo")
    return connection.execute(
        hooks.delete().where(hooks.c.id.in_(old.order_by(hooks.c.id).limit(limit)))
    ).rowcount


def due_hooks(connection: sa.Connection, before: datetime) -> Sequence[sa.Row[Any]]:
    query = sa.select(hooks.c.id).where(hooks.c.state == "todo", hooks.c.due_at <= before)
    return connection.execute(query.order_by(hooks.c.due_at).limit(1000)).all()
