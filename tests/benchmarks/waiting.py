"""100,000 handoffs that wait and 100,000 timers: a worker starts, delivers and fires as with none.

    uv run python tests/benchmarks/waiting.py [--store sqlite|postgresql] [--rows 100000] [--rounds 5]

Two databases of one kind, one of them empty, get a worker by turns. Measured are its start, how long 100
handoffs (``--fresh``) take from the first accepting to the last request at the desk, and how late as many
timers are that were set to the next second.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta

import sqlalchemy as sa
from common import (
    STORES,
    Desk,
    Figure,
    Figures,
    a_desk,
    a_rail,
    chosen,
    conversations,
    median,
    note,
    options,
    show,
    stores,
)

from handrail import Handrail
from handrail.engine import SCHEMA
from handrail.store import handoffs

SOON = 1.0
A_DAY = timedelta(days=1)


def jobs(rail: Handrail) -> str:
    """The name of the engine's table."""
    return "workflow_status" if rail.context.store.is_sqlite else f"{SCHEMA}.workflow_status"


def fill(rail: Handrail, rows: int) -> None:
    """``rows`` handoffs due within days, each with its job, and as many timers."""
    rail.hand_off(conversations(1)[0])
    with rail.context.store.begin() as connection:
        found = handoffs.next_due(connection, "support", rail.context.clock())
        assert found is not None
        rail.context.finished(connection, "deliver:support", found.id, found.n)
        handoffs.change(connection, found.id, n=1, due_at=rail.context.clock() + A_DAY)
        rail.context.schedule(connection, "deliver:support", found.id, 1, A_DAY.total_seconds())
        rail.context.schedule(connection, "sweep:support", found.id, 1, A_DAY.total_seconds())
    rail._jobs.drop_finished()
    with rail.context.store.begin() as connection:
        for name, key in ((jobs(rail), "workflow_uuid"), ("handoffs", "id"), ("operations", "id")):
            _copy(connection, name, key, rows)
    with rail.context.store.read() as connection:
        connection.execute(sa.text("analyze" if rail.context.store.is_sqlite else "vacuum analyze"))


def _copy(connection: sa.Connection, name: str, key: str, rows: int) -> None:
    """Every row of a table ``rows`` times, with other keys."""
    place, _, plain = name.rpartition(".")
    columns = [each["name"] for each in sa.inspect(connection).get_columns(plain, schema=place or None)]
    unlike = {key, "key", "conversation_id", "handoff_id"}
    values = [f"{each} || '-' || i" if each in unlike else f'"{each}"' for each in columns]
    listed = ", ".join(f'"{each}"' for each in columns)
    statement = (
        f"with recursive n(i) as (select 1 union all select i + 1 from n where i < {rows - 1}) "
        f"insert into {name} ({listed}) select {', '.join(values)} from n, {name}"
    )
    connection.execute(sa.text(statement))


@contextmanager
def started(rail: Handrail) -> Iterator[float]:
    """A worker; the seconds that its start took."""
    began = time.monotonic()
    with rail.working():
        yield time.monotonic() - began


def one_round(rail: Handrail, desk: Desk, number: int, count: int) -> tuple[float, float, float]:
    """Seconds: the start, the deliveries, how late the timers were (their median)."""
    given = conversations(count, first=1_000_000 + number * count)
    desk.reset()
    with started(rail) as start:
        began = time.monotonic()
        ids = [rail.hand_off(conversation).id for conversation in given]
        delivering = desk.wait(count)[-1] - began
        late = _lateness(rail, ids, number)
    return start, delivering, late


def _lateness(rail: Handrail, ids: list[str], number: int) -> float:
    """A timer is the job of a sweep. That of a ticket with no twins asks the desk once and ends."""
    due = time.time() + SOON
    with rail.context.store.begin() as connection:
        for id in ids:
            rail.context.schedule(connection, "sweep:support", id, 1000 + number, SOON)
    names = [f"sweep:support:{id}:{1000 + number}" for id in ids]
    query = sa.text(
        f"select completed_at from {jobs(rail)} where workflow_uuid in :names and status = 'SUCCESS'"
    ).bindparams(sa.bindparam("names", expanding=True))
    deadline = time.monotonic() + 120
    while True:
        with rail.context.store.read() as connection:
            ended = list(connection.execute(query, {"names": names}).scalars())
        if len(ended) == len(names):
            return median([at / 1000 - due for at in ended])
        assert time.monotonic() < deadline, f"{len(ended)} of {len(names)} timers have fired"
        time.sleep(0.1)


def figures(
    kinds: tuple[str, ...] = STORES, rows: int = 100_000, rounds: int = 5, fresh: int = 100
) -> Figures:
    for kind in kinds:
        with ExitStack() as stack:
            another, desk = stack.enter_context(stores(kind)), stack.enter_context(a_desk())
            rails = [stack.enter_context(a_rail(another(), desk.url)) for _ in (0, 1)]
            fill(rails[1], rows)
            spent: list[list[tuple[float, float, float]]] = [[], []]
            for number in range(rounds + 1):  # the first of them imports and warms up
                for place, rail in enumerate(rails):
                    spent[place].append(one_round(rail, desk, number, fresh))
            yield from _ratios(f"with {rows:,} handoffs and as many timers waiting to none, {kind}", *spent)


def _ratios(
    said: str, none: list[tuple[float, float, float]], many: list[tuple[float, float, float]]
) -> Figures:
    for place, what in enumerate(("start of a worker", "deliveries", "lateness of timers")):
        one, other = (median([seconds[place] for seconds in rounds[1:]]) for rounds in (none, many))
        yield Figure(f"{what}, {said}", other / one, at_most=1.2)
        note(f"{one * 1e3:.0f} ms and {other * 1e3:.0f} ms")


if __name__ == "__main__":
    given = options(__doc__, rows=100_000, rounds=5, fresh=100)
    show(figures(chosen(given), given.rows, given.rounds, given.fresh))
