"""Accepting against its floor: one durable insert of the same bytes into the same kind of store.

    uv run python tests/benchmarks/accepting.py [--store sqlite|postgresql] [--count 400]

Both run by turns in one process, on databases of the same settings; the ratio is that of their medians. The
conversation is given, its parsing is not counted. Below the ratio stands where the time of accepting goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from common import (
    STORES,
    Figure,
    Figures,
    a_rail,
    chosen,
    conversations,
    median,
    note,
    options,
    show,
    stores,
    timed,
)

from handrail import Handrail, accept
from handrail.store import Store, handoffs, operations

_table = sa.Table(
    "floor", sa.MetaData(), sa.Column("id", sa.Text, primary_key=True), sa.Column("body", sa.Text)
)
_INSERT = _table.insert()
NO_DESK = "http://127.0.0.1:9"


def floor(url: str) -> Callable[[str, str], None]:
    store = Store(url)
    with store.begin() as connection:
        _table.create(connection)

    def insert(id: str, body: str) -> None:
        with store.begin() as connection:
            connection.execute(_INSERT, {"id": id, "body": body})

    return insert


@contextmanager
def _watched(rail: Handrail) -> Iterator[dict[str, list[float]]]:
    """Seconds that each part of each accepting took."""
    spent: dict[str, list[float]] = {}

    def watch(place: Any, name: str, part: str) -> Callable[[], None]:
        inner = getattr(place, name)
        seconds = spent.setdefault(part, [])

        def outer(*args: Any, **kwargs: Any) -> Any:
            result = []
            seconds.append(timed(lambda: result.append(inner(*args, **kwargs))))
            return result[0]

        setattr(place, name, outer)
        return lambda: setattr(place, name, inner)

    engine = rail.context.store.engine
    undo = [
        watch(accept, "redacted", "masking"),
        watch(accept, "_digest", "digest"),
        watch(accept, "_draft", "draft (its summary)"),
        watch(handoffs, "of_conversation", "row: look for the conversation"),
        watch(handoffs, "insert", "row: handoff"),
        watch(operations, "add", "row: operation"),
        watch(handoffs, "note", "row: timeline"),
        watch(rail.context, "schedule", "job"),
        watch(engine.dialect, "do_commit", "commit (the disk)"),
    ]
    try:
        yield spent
    finally:
        for each in undo:
            each()


def figures(kinds: tuple[str, ...] = STORES, count: int = 400) -> Figures:
    for kind in kinds:
        with stores(kind) as fresh, a_rail(fresh(), NO_DESK) as rail:
            yield from _compared(kind, rail, floor(fresh()), count)


def _compared(kind: str, rail: Handrail, insert: Callable[[str, str], None], count: int) -> Figures:
    given = conversations(count + 1)
    ours, theirs = [], []
    for conversation in given:
        body = conversation.model_dump_json()
        theirs.append(timed(lambda c=conversation, b=body: insert(c.id, b)))  # type: ignore[misc]
        ours.append(timed(lambda c=conversation: rail.hand_off(c)))  # type: ignore[misc]
    yield Figure(
        f"accepting, {kind}, to one durable insert of the same {len(body):,} bytes",
        median(ours[1:]) / median(theirs[1:]),
        at_most=3.0,
    )
    note(f"one insert {median(theirs[1:]) * 1e3:.2f} ms, accepting {median(ours[1:]) * 1e3:.2f} ms; of that:")
    with _watched(rail) as spent:
        whole = [timed(lambda c=c: rail.hand_off(c)) for c in conversations(count, count + 1)]  # type: ignore[misc]
    known = {part: median(seconds) for part, seconds in spent.items() if seconds}
    known["the rest (begin, connection, checks)"] = median(whole) - sum(known.values())
    for part, seconds in known.items():
        note(f"{part:40} {seconds * 1e3:6.2f} ms {seconds / median(whole):5.0%}")


if __name__ == "__main__":
    given = options(__doc__, count=400)
    show(figures(chosen(given), given.count))
