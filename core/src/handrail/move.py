"""Moving an installation from SQLite to PostgreSQL: every row once, and every job that is still to be done.

While it copies, the old store takes no writes. At the end the old store is closed for good first, and the
copy is committed after that: whenever the process dies, at most one of the two can be worked on. Run again,
it begins anew, or ends what was cut off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from handrail.context import Clock, utc_now
from handrail.engine import Jobs
from handrail.errors import ConfigError, HandrailError, StoreError
from handrail.ids import ulid
from handrail.keeper import WORKFLOW
from handrail.store import Store, handoffs, lock, moves
from handrail.store.engine import url_without_password
from handrail.store.schema import counters, metadata
from handrail.store.schema import handoffs as stored
from handrail.store.schema import moves as marks

Progress = Callable[[int, int], None]
"""``progress(rows copied, rows in all)``."""

_OF_PROCESSES = ("workers", "slots", "moves")
_TABLES = [table for table in metadata.sorted_tables if table.name not in _OF_PROCESSES]
"""What is copied: all but what speaks of live processes. A new table is copied without a word here."""
_BATCH_ROWS = 500
_BATCH_BYTES = 8_000_000
_UNDONE = ["ENQUEUED", "DELAYED", "PENDING"]
_BUSY = (
    "a worker or server works on {path}; stop it (`handrail work`, `handrail serve`) "
    "and every other process that hands off, then run `handrail move-store` again"
)


@dataclass(frozen=True)
class Moved:
    """What was moved. The addresses are without passwords."""

    source: str
    target: str
    rows: dict[str, int]
    """How many rows of each table; a copy has been counted again."""
    jobs: int
    """Jobs that are still to be done."""
    ended: bool
    """True where an earlier run had copied everything, and this one only closed the old store."""


def move(source: str, target: str, *, clock: Clock = utc_now, progress: Progress | None = None) -> Moved:
    """Copy the SQLite store at ``source`` to the PostgreSQL database at ``target``; close the old store.

    Raises ``ConfigError`` where an address is wrong, a worker has the old store, it was moved already, or
    the target is in use; ``HandrailError`` where the move was cut off: then run it again.
    """
    with _both(source, target) as (old, new):
        mark = _begun(old, target)
        id = mark.id if mark is not None else ulid(clock())
        with _cut_off(target), new.begin() as there:
            _lock(there)
            if _has_arrived(there, id):
                moved = _ended(old, source, target)
            else:
                _refuse_used(there)
                with old.begin() as here:  # its commit closes the old store, before the copy counts
                    moved = _copy(_Sides(old, new, here, there, clock()), source, target, progress)
                    moves.put(there, id, "arrived", moved.source, clock())
                    if mark is None:
                        moves.freeze(here, moved.target)
                        moves.put(here, id, "leaving", moved.target, clock())
        with _cut_off(target), old.begin() as here:
            moves.put(here, id, "left", moved.target, clock())
    return moved


def undo(source: str, target: str) -> bool:
    """Open the old store again after a move that was cut off; False where none was.

    Raises ``ConfigError`` where the target has everything already: then the move can only be ended.
    """
    with _both(source, target) as (old, new):
        mark = _begun(old, target)
        if mark is None:
            return False
        with _cut_off(target), new.begin() as there:
            _lock(there)
            if _has_arrived(there, mark.id):
                raise ConfigError(
                    f"{mark.other} has everything already; run `handrail move-store` without --undo to end "
                    "the move"
                )
            with old.begin() as here:
                moves.thaw(here)
        return True


# Both sides.


@contextmanager
def _both(source: str, target: str) -> Iterator[tuple[Store, Store]]:
    """Both stores, the old one under the lock that a worker takes."""
    path = _file(source)
    if not target.startswith("postgresql"):
        raise ConfigError("--to: must be the address of a database, postgresql://USER@HOST/DATABASE")
    with (
        closing(Store(source, even_moved=True)) as old,
        lock.held(old, _BUSY.format(path=path)),
        closing(Store(target)) as new,
    ):
        yield old, new


def _file(source: str) -> str:
    """The old store's file, which must be there: opening it would make a new one."""
    scheme, _, rest = source.partition("://")
    path = rest.removeprefix("/").partition("?")[0]
    if scheme.partition("+")[0] != "sqlite":
        raise ConfigError(
            "--from: only an SQLite store can be moved; name the old one, sqlite:///handrail.db, where the "
            "configuration has the new one already"
        )
    if not Path(path).is_file():
        raise ConfigError(f"--from: there is no file {path}")
    return path


def _begun(old: Store, target: str) -> Any:
    """The mark of a move that was cut off, or None. Raises ``ConfigError`` for one that is over."""
    with old.read() as connection:
        mark = moves.mark(connection)
        if mark is None or mark.state == "arrived":
            return None
        if mark.state == "left":
            moves.refuse(connection)
    if mark.other != url_without_password(target):
        raise ConfigError(
            f"a move to {mark.other} was cut off; run `handrail move-store` with this address to end it, "
            "or with this address and --undo to take it back"
        )
    return mark


def _lock(there: sa.Connection) -> None:
    """Keep everybody out of the new store until the commit; an earlier run whose end is not known, too."""
    quote = there.dialect.identifier_preparer.quote
    names = ", ".join(quote(table.name) for table in metadata.sorted_tables)
    there.exec_driver_sql(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE")


def _has_arrived(there: sa.Connection, id: str) -> bool:
    mark = moves.mark(there)
    return mark is not None and mark.id == id


def _refuse_used(there: sa.Connection) -> None:
    used = [table.name for table in [*_TABLES, marks] if table is not counters and _count(there, table)]
    if used:
        raise ConfigError(
            f"--to: this database is in use, it has rows in {', '.join(used)}; name an empty one"
        )


@contextmanager
def _cut_off(target: str) -> Iterator[None]:
    """Say of an error of a database what to do, without an address that has a password."""
    try:
        yield
    except (sa.exc.DBAPIError, StoreError) as error:
        why = (str(getattr(error, "orig", error)).splitlines() or [""])[0]
        raise HandrailError(
            f"the move to {url_without_password(target)} was cut off: {why}; run it again"
        ) from None


# Copying.


@dataclass(frozen=True)
class _Sides:
    old: Store
    new: Store
    here: sa.Connection
    there: sa.Connection
    now: datetime


def _copy(sides: _Sides, source: str, target: str, progress: Progress | None) -> Moved:
    rows = _counts(sides.here)
    done = 0
    for table in _TABLES:
        if table is counters:  # a new store has some from the start
            sides.there.execute(counters.delete())
        for batch in _batches(sides.here, table):
            sides.there.execute(table.insert(), batch)
            done += len(batch)
            if progress is not None:
                progress(done, sum(rows.values()))
        _go_on_counting(sides.there, table)
    jobs = _copy_jobs(sides)
    _free(sides)
    _compare(rows, _counts(sides.there))
    return Moved(url_without_password(source), url_without_password(target), rows, jobs, ended=False)


def _ended(old: Store, source: str, target: str) -> Moved:
    """What an earlier run has copied; nobody has changed the old store since."""
    with old.read() as here:
        rows = _counts(here)
    jobs = len({job[:3] for job in _undone(old, utc_now())})
    return Moved(url_without_password(source), url_without_password(target), rows, jobs, ended=True)


def _batches(here: sa.Connection, table: sa.Table) -> Iterator[Sequence[dict[str, Any]]]:
    """A table's rows, so many at a time as fit well into memory."""
    batch: list[dict[str, Any]] = []
    size = 0
    rows = here.execute(table.select(), execution_options={"yield_per": 20}).mappings()
    for row in rows:
        batch.append(dict(row))
        size += sum(len(value) for value in row.values() if isinstance(value, str | bytes))
        if len(batch) >= _BATCH_ROWS or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _go_on_counting(there: sa.Connection, table: sa.Table) -> None:
    """Rows that the new store numbers itself must come behind those that were copied with a number."""
    column = table.autoincrement_column
    if column is not None:
        sequence = sa.func.pg_get_serial_sequence(table.name, column.name)
        behind = sa.select(sa.func.coalesce(sa.func.max(column), 0) + 1).scalar_subquery()
        there.execute(sa.select(sa.func.setval(sequence, behind, sa.false())))


def _count(connection: sa.Connection, table: sa.Table) -> int:
    return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def _counts(connection: sa.Connection) -> dict[str, int]:
    return {table.name: _count(connection, table) for table in _TABLES}


def _compare(before: dict[str, int], after: dict[str, int]) -> None:
    wrong = [f"{name}: {before[name]} and {after[name]}" for name in before if before[name] != after[name]]
    if wrong:
        raise HandrailError(
            f"the copy has not as many rows as the old store ({', '.join(wrong)}); nothing was moved"
        )


# What is due next.


def _copy_jobs(sides: _Sides) -> int:
    """Schedule what is still to be done, after the time that is left; what was taken already, at once."""
    jobs, seen = Jobs(sides.new), set()
    for step, id, n, delay in sorted(_undone(sides.old, sides.now), key=lambda job: job[3]):
        jobs.schedule(sides.there, step, id, n, delay)
        seen.add((step, id, n))
    return len(seen)


def _undone(old: Store, now: datetime) -> list[tuple[str, str, int, float]]:
    """(step, id, n, seconds that are left) of each job that has not ended."""
    client = Jobs(old).client
    found = client.list_workflows(name=WORKFLOW, status=_UNDONE, load_input=True, load_output=False)
    return [_job(each, now) for each in found]


def _job(job: Any, now: datetime) -> tuple[str, str, int, float]:
    if job.input is None:
        raise HandrailError(f"the job {job.workflow_id} cannot be read; nothing was moved")
    step, id, n = job.input["args"]
    due = job.delay_until_epoch_ms if job.status == "DELAYED" else None
    return step, id, n, max(0.0, due / 1000 - now.timestamp()) if due else 0.0


def _free(sides: _Sides) -> None:
    """Handoffs whose attempt died with its process are due now.

    One whose attempt may still run keeps its lease, and is looked after when that ends: what the attempt
    may have sent stands in the journal, and it can send nothing more.
    """
    jobs = Jobs(sides.new)
    leased = stored.select().where(stored.c.lease_by.is_not(None))
    for row in sides.there.execute(leased).all():
        if not handoffs.held(row, sides.now):
            handoffs.change(sides.there, row.id, due_at=sides.now, n=row.n + 1, **handoffs.FREE)
            jobs.schedule(sides.there, f"deliver:{row.desk}", row.id, row.n + 1, 0)
