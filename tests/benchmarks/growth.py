"""1 thousand against 1 million stored handoffs: accept, claim, list and show.

    uv run python tests/benchmarks/growth.py [--store sqlite|postgresql] [--rows 1000000] [--count 300]

Two databases of one kind are filled with copies of a handoff that was really delivered, each with its own
ids, then asked by turns in one process; the ratio is that of the medians. A million handoffs take a few GB
in the temporary folder, and a few minutes to fill.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa
from common import (
    STORES,
    Figure,
    Figures,
    a_desk,
    a_rail,
    chosen,
    conversation,
    median,
    note,
    options,
    show,
    stores,
    timed,
)

from handrail import Handrail, State
from handrail.store import handoffs
from handrail.store.schema import metadata

FEW = 1000
MESSAGES = 4
"""A conversation of about 1 kB: the rows are many, not long."""
PREFIX = 14
"""So much of an id is kept; a number replaces the rest."""
_NUMBERED = {"sqlite": "printf('%012d', {})", "postgresql": "lpad(({})::text, 12, '0')"}
_COPIED = ("handoffs", "operations", "journal", "tickets", "updates", "timeline")
_BATCH = 20_000


def fill(rail: Handrail, desk: str, rows: int) -> None:
    """Deliver one handoff for real and copy it until there are ``rows``."""
    handoff = rail.hand_off(conversation(0, MESSAGES))
    rail.attempt(handoff.id)
    with rail.context.store.read() as connection:
        ticket = handoffs.get(connection, handoff.id).ticket_id
    assert ticket, "the handoff to copy was not delivered"
    for first in range(1, rows, _BATCH):
        with rail.context.store.begin() as connection:
            for name in _COPIED:
                _copy(connection, metadata.tables[name], handoff.id, first, min(first + _BATCH, rows))
    with rail.context.store.begin() as connection:
        connection.execute(sa.text("update counters set value = :rows"), {"rows": rows})
    _settle(rail)


def _settle(rail: Handrail) -> None:
    """What a database does by itself in the long run: PostgreSQL's autovacuum, SQLite's checkpoints."""
    words = "pragma wal_checkpoint(truncate)" if rail.context.store.is_sqlite else "vacuum analyze"
    with rail.context.store.read() as connection:
        connection.execute(sa.text(words))


def _copy(connection: sa.Connection, table: sa.Table, id: str, first: int, end: int) -> None:
    """Rows ``first`` to ``end`` of a table, from those that the first handoff has there."""
    number = _NUMBERED[connection.dialect.name]
    ours = "operation_id in (select id from operations where handoff_id = :of)"
    where = (
        "id = :of" if table.name == "handoffs" else ours if table.name == "journal" else "handoff_id = :of"
    )
    left = {column.name: _other(table.name, column.name, number) for column in table.columns}
    copied = {name: value for name, value in left.items() if value}
    columns = ", ".join(f'"{name}"' for name in copied)
    statement = (
        f"with recursive n(i) as "
        f"(select cast({first} as bigint) union all select i + 1 from n where i < {end - 1}) "
        f"insert into {table.name} ({columns}) select {', '.join(copied.values())} from n, {table.name} "
        f"where {where}"
    )
    connection.execute(sa.text(statement), {"of": id})


def _other(table: str, column: str, number: str) -> str:
    """What a copy has in a column; empty: what the database puts there."""
    if (table, column) == ("timeline", "id"):
        return ""
    if (table, column) == ("tickets", "id") or column == "ticket_id":
        return "cast(1000 + i as text)"
    if column in ("id", "handoff_id", "operation_id"):
        return f'substr("{column}", 1, {PREFIX}) || {number.format("i")}'
    if column in ("conversation_id", "key", "body") and table == "handoffs":
        unlike = f"'c-0' || {number.format('(i * 7919) % 1000003')}"
        return {"conversation_id": unlike, "key": f"{unlike} || '-1'"}.get(column, '"body"')
    if (table, column) == ("updates", "seq"):
        return "i + 1"
    if column == "state" and table == "handoffs":
        return "case i % 10 when 0 then 'with_humans' when 1 then 'solved' else 'closed' end"
    if column == "desk" and table == "handoffs":
        return "case i % 4 when 0 then 'billing' else 'support' end"
    if column == "created_at":
        return f"created_at - {_SPACING} * (1000000 - i)"
    return f'"{column}"'


_SPACING = int(timedelta(seconds=30) / timedelta(microseconds=1))
Ask = Callable[[], object]


class Asked:
    """One database, asked the same things again and again."""

    def __init__(self, rail: Handrail) -> None:
        self.rail = rail
        self.numbers = iter(range(10_000_000, 20_000_000))
        self.drawn = random.Random(7)
        with rail.context.store.read() as connection:
            query = sa.text("select id from handoffs where ticket_id is not null order by id")
            self.ids = list(connection.execute(query).scalars())

    def asks(self) -> dict[str, Ask]:
        """In their order: what is accepted is claimed next, so that few are ever due."""
        return {
            "accept": partial(self.rail.hand_off, conversation(next(self.numbers), MESSAGES)),
            "claim": partial(self.rail.delivery.claims.next, "support"),
            "list": self.rail.list,
            "list --state": partial(self.rail.list, state=State.WITH_HUMANS),
            "list --desk": partial(self.rail.list, desk="billing"),
            "show": partial(self.rail.show, self.drawn.choice(self.ids)),
        }

    def clear(self) -> None:
        """End what was claimed, so that it is neither due nor held."""
        rail = self.rail
        with rail.context.store.begin() as connection:
            claimed: Any = handoffs.leased(connection, handoffs.owner())
            for row in claimed:
                rail.delivery.claims.free(connection, row, state=State.CANCELLED)


def figures(kinds: tuple[str, ...] = STORES, rows: int = 1_000_000, count: int = 300) -> Figures:
    for kind in kinds:
        with ExitStack() as stack:
            fresh, desk = stack.enter_context(stores(kind)), stack.enter_context(a_desk())
            asked = []
            for size in (min(FEW, rows), rows):
                rail = stack.enter_context(a_rail(fresh(), desk.url))
                took = timed(partial(fill, rail, desk.url, size))
                note(f"{kind}: {size:,} handoffs made in {took:.0f} s")
                asked.append(Asked(rail))
            yield from _compared(f"{rows:,} stored handoffs to {min(FEW, rows):,}, {kind}", *asked, count)


def _compared(said: str, few: Asked, many: Asked, count: int) -> Figures:
    spent: dict[str, tuple[list[float], list[float]]] = {}
    for turn in range(count):
        pair = ((few, 0), (many, 1)) if turn % 2 else ((many, 1), (few, 0))
        asks = {place: asked.asks() for asked, place in pair}
        for what in asks[0]:
            for _, place in pair:
                spent.setdefault(what, ([], []))[place].append(timed(asks[place][what]))
        few.clear()
        many.clear()
    for what, (small, large) in spent.items():
        yield Figure(f"{what}, {said}", median(large) / median(small), at_most=1.2)
        note(f"{median(small) * 1e3:.2f} ms and {median(large) * 1e3:.2f} ms")


if __name__ == "__main__":
    given = options(__doc__, rows=1_000_000, count=300)
    show(figures(chosen(given), given.rows, given.count))
