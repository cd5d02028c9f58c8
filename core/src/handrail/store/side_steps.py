"""Rows of side steps: what a flow does beside a handoff, and when each is tried next.

``due_at`` is None where a step has ended, well or not; ``tries`` numbers its jobs.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from handrail.store.schema import side_steps


def add(connection: sa.Connection, handoff_id: str, number: int, flow: str, step: str, now: datetime) -> None:
    key = {"handoff_id": handoff_id, "number": number}
    values = {"flow": flow, "step": step, "tries": 0, "created_at": now, "due_at": now}
    connection.execute(side_steps.insert().values(**key, **values))


def get(connection: sa.Connection, handoff_id: str, number: int, *, lock: bool = False) -> sa.Row[Any] | None:
    query = side_steps.select().where(_is(handoff_id, number))
    return connection.execute(query.with_for_update() if lock else query).first()


def change(connection: sa.Connection, handoff_id: str, number: int, **values: Any) -> None:
    connection.execute(side_steps.update().where(_is(handoff_id, number)).values(values))


def due(connection: sa.Connection, before: datetime) -> Sequence[sa.Row[Any]]:
    """The steps that are to be tried before a time."""
    query = side_steps.select().where(side_steps.c.due_at <= before)
    return connection.execute(query.order_by(side_steps.c.due_at)).all()


def _is(handoff_id: str, number: int) -> sa.ColumnElement[bool]:
    return sa.and_(side_steps.c.handoff_id == handoff_id, side_steps.c.number == number)
