"""Rows of operations: what one handoff's desk must be told, in order, and the journal of each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from handrail.journal import Entry, Journal
from handrail.steps import Reply
from handrail.store.engine import Store
from handrail.store.schema import journal, operations
from handrail.wire import Wire

_OPEN = (
    operations.select()
    .where(operations.c.handoff_id == sa.bindparam("handoff"), operations.c.state == "todo")
    .order_by(operations.c.seq)
)
_FIRST = _OPEN.limit(1)
_BY_ID = operations.select().where(operations.c.id == sa.bindparam("this"))
_LOCKED = _BY_ID.with_for_update()
_ANY = (
    sa.select(operations.c.id)
    .where(operations.c.handoff_id == sa.bindparam("handoff"), operations.c.state == "todo")
    .limit(1)
)
_ALL = (
    operations.select().where(operations.c.handoff_id == sa.bindparam("handoff")).order_by(operations.c.seq)
)
_LAST = sa.select(sa.func.coalesce(sa.func.max(operations.c.seq), 0)).where(
    operations.c.handoff_id == sa.bindparam("handoff")
)
_FAILED = (
    sa.select(operations.c.kind, operations.c.error)
    .where(operations.c.handoff_id == sa.bindparam("handoff"), operations.c.state == "failed")
    .order_by(operations.c.seq.desc())
    .limit(1)
)
_ADD = operations.insert()
_CHANGE = operations.update().where(operations.c.id == sa.bindparam("this"))
_ENTRY = sa.and_(
    journal.c.operation_id == sa.bindparam("this"),
    journal.c.round == sa.bindparam("in_round"),
    journal.c.n == sa.bindparam("at"),
)
_SENT = journal.insert()
_ENTRIES = (
    journal.select()
    .where(journal.c.operation_id == sa.bindparam("this"), journal.c.round == sa.bindparam("in_round"))
    .order_by(journal.c.n)
)
_UNDONE = sa.select(operations.c.id).where(
    operations.c.handoff_id == sa.bindparam("handoff"), operations.c.state == "todo"
)
_DOUBTED = journal.c.doubt.is_(sa.true())
_IN_DOUBT = (
    sa.select(journal.c.n)
    .where(journal.c.operation_id.in_(_UNDONE), sa.or_(_DOUBTED, journal.c.done.is_(sa.true())))
    .limit(1)
)
_LAST_SENT = sa.select(sa.func.max(journal.c.last_sent)).where(journal.c.operation_id.in_(_UNDONE), _DOUBTED)
_LAST_DONE = (
    operations.select()
    .where(operations.c.handoff_id == sa.bindparam("handoff"), operations.c.state == "done")
    .order_by(operations.c.done_at.desc(), operations.c.seq.desc())
    .limit(1)
)
_ANSWERED = journal.update().where(_ENTRY)

Guard = Callable[[sa.Connection], None]
_SECRET_HEADERS = frozenset({"set-cookie", "set-cookie2", "authorization", "proxy-authorization"})


def add(
    connection: sa.Connection,
    id: str,
    handoff_id: str,
    kind: str,
    payload: Any,
    now: datetime,
    *,
    first: bool = False,
    state: str = "todo",
) -> None:
    """Queue an operation behind those that the handoff has already; ``first`` where it has none.

    One ``aside`` is not in the queue: something else than the delivery performs it.
    """
    row = {
        "id": id,
        "handoff_id": handoff_id,
        "seq": 1 if first else connection.execute(_LAST, {"handoff": handoff_id}).scalar_one() + 1,
        "kind": kind,
        "payload": json.dumps(payload),
        "state": state,
        "tries": 0,
        "round": 0,
        "created_at": now,
    }
    connection.execute(_ADD, row)


def get(connection: sa.Connection, id: str, *, lock: bool = False) -> sa.Row[Any]:
    """The operation, which must be there. ``lock`` keeps other writers of it out until the commit."""
    return connection.execute(_LOCKED if lock else _BY_ID, {"this": id}).one()


def first_todo(connection: sa.Connection, handoff_id: str) -> sa.Row[Any] | None:
    return connection.execute(_FIRST, {"handoff": handoff_id}).first()


def is_todo(connection: sa.Connection, handoff_id: str) -> bool:
    return connection.execute(_ANY, {"handoff": handoff_id}).first() is not None


def todo(connection: sa.Connection, handoff_id: str) -> Sequence[sa.Row[Any]]:
    return connection.execute(_OPEN, {"handoff": handoff_id}).all()


def failure(connection: sa.Connection, handoff_id: str) -> str | None:
    """What the newest operation that failed for good failed of, or None."""
    row = connection.execute(_FAILED, {"handoff": handoff_id}).first()
    return f"{row.kind} failed: {row.error}" if row is not None else None


def of_handoff(connection: sa.Connection, handoff_id: str) -> Sequence[sa.Row[Any]]:
    return connection.execute(_ALL, {"handoff": handoff_id}).all()


def change(connection: sa.Connection, ids: Sequence[str] | str, **values: Any) -> None:
    for id in [ids] if isinstance(ids, str) else ids:
        connection.execute(_CHANGE, {"this": id, **values})


def in_doubt(connection: sa.Connection, handoff_id: str) -> bool:
    """True while a request for this handoff may have had, or had, an effect that no ticket of ours shows."""
    return connection.execute(_IN_DOUBT, {"handoff": handoff_id}).first() is not None


def last_sent(connection: sa.Connection, handoff_id: str) -> datetime | None:
    """When a request for this handoff went out last of which we do not know what became of it."""
    found: datetime | None = connection.execute(_LAST_SENT, {"handoff": handoff_id}).scalar()
    return found


def has_set_status(connection: sa.Connection, handoff_id: str) -> bool:
    """True when what was done last for this handoff was to set its ticket's status."""
    row = connection.execute(_LAST_DONE, {"handoff": handoff_id}).first()
    return row is not None and bool(json.loads(row.payload).get("status"))


class StoredJournal(Journal):
    """A journal whose entries are durable before their request leaves.

    An answer that says yes is written with what follows from it, in one transaction: with the next request's
    entry, or by ``flush`` with the attempt's end. Until then the request is in doubt, as it is after a crash.
    """

    def __init__(self, store: Store, operation: Any, guard: Guard | None = None) -> None:
        """``guard`` is called in the transaction of every entry, and raises where this attempt is over."""
        self.store = store
        self.guard = guard
        self.operation_id: str = operation.id
        self._unwritten: list[Entry] = []
        entries = self._load(operation.round) if operation.tries else []
        self._stored = {entry.n for entry in entries}
        super().__init__(operation.round, entries, self._load(operation.round - 1) if operation.round else ())

    def _load(self, round_: int) -> list[Entry]:
        with self.store.read() as connection:
            rows = connection.execute(_ENTRIES, {"this": self.operation_id, "in_round": round_}).all()
        return [_entry(row) for row in rows]

    @contextmanager
    def _guarded(self) -> Iterator[sa.Connection]:
        with self.store.begin() as connection:
            if self.guard:
                self.guard(connection)
            self.flush(connection)
            yield connection

    def keep(self, entry: Entry) -> None:
        with self._guarded() as connection:
            self._write(connection, entry)

    def keep_soon(self, entry: Entry) -> None:
        self._unwritten.append(entry)

    def flush(self, connection: sa.Connection) -> None:
        """Write the answers that are not written yet."""
        waiting, self._unwritten = self._unwritten, []
        for entry in waiting:
            self._write(connection, entry)

    def _write(self, connection: sa.Connection, entry: Entry) -> None:
        if entry.n in self._stored:
            key = {"this": self.operation_id, "in_round": self.round, "at": entry.n}
            connection.execute(_ANSWERED, key | _state(entry))
            return
        place = {"operation_id": self.operation_id, "round": self.round, "n": entry.n}
        connection.execute(_SENT, place | _sent(entry) | _state(entry))
        self._stored.add(entry.n)

    def new_round(self) -> None:
        with self._guarded() as connection:  # what was answered belongs to the round that ends
            change(connection, self.operation_id, round=self.round + 1)
        self._stored = set()
        super().new_round()


def fresh_round(connection: sa.Connection, operation_id: str) -> None:
    """Let an operation that certainly failed be asked for in new words; what it had done stays done."""
    mine = sa.and_(journal.c.operation_id == operation_id, journal.c.round == operations.c.round)
    sent = sa.select(journal.c.n).where(mine)
    doubt = sent.where(journal.c.doubt.is_(sa.true()))
    certain = sa.and_(operations.c.id == operation_id, sa.exists(sent), ~sa.exists(doubt))
    connection.execute(operations.update().where(certain).values(round=operations.c.round + 1))


def _sent(entry: Entry) -> dict[str, Any]:
    wire = entry.wire
    headers = json.dumps(dict(wire.headers))
    return {"method": wire.method, "path": wire.path, "headers": headers, "body": wire.body}


def _state(entry: Entry) -> dict[str, Any]:
    answer = entry.answer
    return {
        "first_sent": entry.first_sent,
        "last_sent": entry.last_sent,
        "doubt": entry.doubt,
        "key_lost": entry.key_lost,
        "done": entry.done,
        "status": answer.status if answer else None,
        "reply_headers": json.dumps(_harmless(answer.headers)) if answer else None,
        "reply": answer.content if answer else None,
        "answered_at": entry.answered_at,
    }


def _harmless(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers without those that let somebody in."""
    return {name: value for name, value in headers.items() if name not in _SECRET_HEADERS}


def _entry(row: Any) -> Entry:
    answer = None
    if row.status is not None:
        answer = Reply(row.status, row.reply or b"", json.loads(row.reply_headers or "{}"))
    wire = Wire(row.method, row.path, json.loads(row.headers), row.body)
    return Entry(
        n=row.n,
        wire=wire,
        first_sent=row.first_sent,
        last_sent=row.last_sent,
        doubt=row.doubt,
        key_lost=row.key_lost,
        answer=answer,
        done=row.done,
        answered_at=row.answered_at,
    )
