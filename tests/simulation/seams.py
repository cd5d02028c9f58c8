# ruff: noqa: E501
"""Where the simulation takes the place of the world: the store's file, processes, sockets, chance.

All that is patched in Handrail is patched here, and nowhere else.
"""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from handrail.store import Store

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.universe import Universe

_WATCH = """
create table sim_moves (n integer primary key, handoff_id text, desk text, ticket_id text, old text, new text);
create trigger sim_moved after update of state on handoffs when old.state <> new.state begin
  insert into sim_moves (handoff_id, desk, ticket_id, old, new)
  values (new.id, new.desk, new.ticket_id, old.state, new.state);
end;
create table sim_erased (what text);
create trigger sim_update_gone after delete on updates begin insert into sim_erased values (old.id); end;
create trigger sim_update_other after update on updates begin insert into sim_erased values (old.id); end;
create trigger sim_handoff_gone after delete on handoffs begin insert into sim_erased values (old.id); end;
create trigger sim_hook_gone after delete on hooks when old.state = 'todo' begin
  insert into sim_erased values (old.id);
end;
"""
"""Watches in the database itself, within its transactions, whatever the code above it does."""


@cache
def template() -> bytes:
    """A migrated, empty database as bytes; where $HANDRAIL_TEMPLATE names a file, from there."""
    made = os.environ.get("HANDRAIL_TEMPLATE")
    if made:
        return Path(made).read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "template.db"
        Store(f"sqlite:///{path}").close()
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("pragma journal_mode=delete")
            connection.executescript(_WATCH)
            names = "select name from sqlite_master where type = 'table' and sql is not null"
            ours = set(_our_tables()) | {"handrail_version", "sim_moves", "sim_erased"}
            for (name,) in connection.execute(names).fetchall():
                if name not in ours and not name.startswith("sqlite_"):
                    connection.execute(f'drop table "{name}"')  # the engine's: here is another agenda
            connection.commit()
            connection.execute("vacuum")
        return path.read_bytes()


def _our_tables() -> list[str]:
    from handrail.store.schema import metadata

    return list(metadata.tables)


@cache
def memory() -> tuple[sqlite3.Connection, sa.Connection]:
    """One connection to a database in memory, bare and as the store knows it: statements stay compiled.

    Transactions are begun and ended on the bare one. Nothing is lost by sharing it: a universe does one
    thing at a time, and what runs within an exchange runs outside of any transaction.
    """
    raw = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    engine = sa.create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
    return raw, engine.connect()


def empty() -> sqlite3.Connection:
    """The connection, with an empty store in it."""
    raw, _ = memory()
    raw.deserialize(template())
    raw.execute("pragma synchronous=off")
    return raw


class SimulatedStore(Store):
    """The store of one process. All processes of a universe have the same database."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.url = sa.make_url("sqlite:///simulated.db")
        self.is_sqlite = True
        self.engine = memory()[1].engine

    def close(self) -> None:
        """The database outlives its processes."""

    @contextlib.contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        universe = self.process.universe
        self.process.must_live()
        universe.transaction_begins()
        try:
            raw, connection = memory()
            raw.execute("begin immediate")
            try:
                yield connection
                self.process.may_die("before a commit")
            except BaseException:
                raw.execute("rollback")
                raise
            raw.execute("commit")
            universe.transaction_ends(committed=True)
        finally:
            universe.transaction_ends(committed=False)
        self.process.may_die("after a commit")

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        self.process.must_live()
        yield memory()[1]


class _Bits:
    """Stands for ``secrets`` where ids are made."""

    def __init__(self, stream: random.Random) -> None:
        self.randbits = stream.getrandbits


@contextlib.contextmanager
def patched(universe: Universe) -> Iterator[None]:
    """Handrail lives in ``universe``."""
    known = random.getstate()
    random.seed(f"{universe.chance.seed}:jitter")
    stands: dict[str, Any] = {
        "handrail.rail.Store": lambda url: SimulatedStore(universe.newborn),
        "handrail.context.transport": universe.transport,
        "handrail.claims.owner": lambda: universe.running.name,
        "handrail.store.handoffs.owner": lambda: universe.running.name,
        "handrail.store.handoffs.is_alive": universe.seems_alive,
        "handrail.again.is_alive": universe.seems_alive,
        "handrail.delivery.time": SimpleNamespace(monotonic=lambda: universe.now),
        "handrail.ids.secrets": _Bits(universe.chance.stream("ids")),
    }
    with contextlib.ExitStack() as stack:
        for where, stand in stands.items():
            stack.enter_context(mock.patch(where, stand))
        try:
            yield
        finally:
            random.setstate(known)
