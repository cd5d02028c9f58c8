"""Opening the store: an SQLAlchemy engine on SQLite or PostgreSQL, with its schema up to date."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import tenacity
from sqlalchemy.dialects import postgresql, sqlite

from handrail.errors import ConfigError, StoreError
from handrail.store import moves as moving

HEAD = "0001"
"""The newest migration; a test compares it with the migrations folder."""

BUSY_SECONDS = 60.0
"""For so long who wants to write on SQLite waits for those who do."""
_FULL = ("disk is full", "disk full", "no space left", "could not extend", "quota exceeded")
_AFTERWARDS = "handrail_afterwards"


class Store:
    """A database with our tables. ``begin`` for writing, ``read`` for reading."""

    def __init__(self, url: str, *, even_moved: bool = False) -> None:
        """``url``: ``sqlite:///path`` or ``postgresql://...``. Creates and migrates what is missing.

        Raises ``ConfigError`` where it cannot be opened, and for a store that was moved elsewhere unless
        ``even_moved``.
        """
        self.url = _driver_url(url)
        self._writing = threading.Lock()
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _sqlite(self.url) if self.is_sqlite else _postgresql(self.url)
        try:
            self._migrate()
            if not even_moved:
                self.refuse_moved()
        except (sa.exc.DBAPIError, sqlite3.Error, StoreError) as error:
            self.engine.dispose()
            raise ConfigError(
                f"store: cannot open {url_without_password(url)}: {_first_line(error)}"
            ) from None
        except BaseException:
            self.engine.dispose()
            raise

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """A transaction that commits at the end of its block; on SQLite it is the only writer.

        Raises ``StoreError`` where the database is away or full.
        """
        afterwards: list[Callable[[], None]] = []
        with self._said(), moving.said(), self._turn(), self.engine.begin() as connection:
            connection.info[_AFTERWARDS] = afterwards
            if self.is_sqlite:  # the driver would begin only before the first change, after what was read
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
        for act in afterwards:
            act()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """On SQLite the threads of this process write in turn: waiting for the file would be sleep
        of growing length, and the next one would find out late that it may write."""
        if not self.is_sqlite:
            yield
            return
        mine = self._writing.acquire(timeout=BUSY_SECONDS)
        try:
            yield
        finally:
            if mine:
                self._writing.release()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection for reading, which never holds the write lock. ``StoreError`` as in ``begin``."""
        with (
            self._said(),
            self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
        ):
            yield connection

    def refuse_moved(self) -> None:
        """Raise ``ConfigError`` where this store was moved elsewhere; only one on SQLite can be."""
        if self.is_sqlite:
            with self.read() as connection:
                moving.refuse(connection)

    @contextmanager
    def _said(self) -> Iterator[None]:
        """What a database that is away or full says, in words that name the cure."""
        try:
            yield
        except (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError) as error:
            driver = type(getattr(error, "orig", None)).__module__.partition(".")[0]
            if driver == ("psycopg" if self.is_sqlite else "sqlite3"):
                raise  # of another store that is used within
            words = _first_line(error)
            full = any(each in words.lower() for each in _FULL)
            cure = "make room on its disk" if full else "see that it answers"
            place = url_without_password(self.url.render_as_string(hide_password=False))
            raise StoreError(f"store {place}: {words}; {cure}, then do this again") from error

    def _migrate(self) -> None:
        """Our own tables come last: where they are up to date, those of the jobs are there too."""
        if self._version() == HEAD:
            return
        from alembic import command
        from alembic.config import Config
        from alembic.util import CommandError

        self._migrate_jobs()
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with self.begin() as connection:
            if not self.is_sqlite:  # two processes that open a new database at once
                connection.execute(sa.text("select pg_advisory_xact_lock(4712660815)"))
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError:
                raise ConfigError("store: made by a newer version of Handrail; update this one") from None

    def _version(self) -> str | None:
        with self.read() as connection:
            if not sa.inspect(connection).has_table("handrail_version"):
                return None
            return connection.execute(sa.text("select version_num from handrail_version")).scalar()

    def _migrate_jobs(self) -> None:
        """The tables of the job engine, in the same database."""
        from handrail.engine import migrate_jobs

        migrate_jobs(self)


def afterwards(connection: sa.Connection, act: Callable[[], None]) -> None:
    """Do something as soon as this transaction of ``Store.begin`` is committed, and only then."""
    connection.info[_AFTERWARDS].append(act)


def insert_missing(connection: sa.Connection, table: sa.Table, row: dict[str, Any]) -> bool:
    """Insert a row unless one with its key is there, or is being made by another; True where it is new."""
    return bool(connection.execute(_insert_missing(connection.dialect.name, table), row).rowcount)


@cache
def _insert_missing(name: str, table: sa.Table) -> sa.Insert:
    """Made once: to build a statement costs more than to send it."""
    insert = postgresql.insert if name == "postgresql" else sqlite.insert
    statement: sa.Insert = insert(table).on_conflict_do_nothing()
    return statement


def _driver_url(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):  # the words of the latter quote a part of the address
        raise ConfigError(
            "store: not a database address; write sqlite:///handrail.db or postgresql://..."
        ) from None
    backend = parsed.get_backend_name()
    if "@" in (parsed.host or ""):
        raise ConfigError("store: the address has two @; write one that belongs to the password as %40")
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise ConfigError(f"store: {backend} is not supported; use sqlite:///handrail.db or postgresql://...")
    return parsed


def url_without_password(url: str) -> str:
    """An address that may be shown. A password may also stand among its options."""
    parsed = sa.make_url(url)
    hidden = {name: "***" for name in parsed.query if "password" in name.casefold()}
    return parsed.update_query_dict(hidden).render_as_string(hide_password=True)


def _postgresql(url: sa.URL) -> sa.Engine:
    """A connection that a restart of the server has cut is found out before it is used."""
    return sa.create_engine(url, pool_size=16, max_overflow=16, pool_pre_ping=True, hide_parameters=True)


def _sqlite(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(
        url, connect_args={"isolation_level": "IMMEDIATE", "timeout": BUSY_SECONDS}, hide_parameters=True
    )

    @sa.event.listens_for(engine, "connect")
    def _settings(connection: Any, _record: Any) -> None:
        for pragma in (f"busy_timeout={BUSY_SECONDS * 1000:.0f}", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")
        _write_ahead(connection)

    return engine


@tenacity.retry(
    retry=tenacity.retry_if_exception_message(match=".*locked"),
    wait=tenacity.wait_random(0.01, 0.1),
    stop=tenacity.stop_after_delay(30),
    reraise=True,
)
def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch to the write-ahead log. A new file can be locked here, and SQLite does not wait for that."""
    connection.execute("PRAGMA journal_mode=WAL")


def _first_line(error: Exception) -> str:
    cause = error.__cause__ if isinstance(error, StoreError) else error
    said = str(getattr(cause, "orig", None) or cause).splitlines()
    return said[0] if said else type(cause).__name__
