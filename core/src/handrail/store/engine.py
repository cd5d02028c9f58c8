"""Opening the store: an SQLAlchemy engine on SQLite or PostgreSQL, with its schema up to date."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from handrail.errors import ConfigError

HEAD = "0001"
"""The newest migration; a test compares it with the migrations folder."""


class Store:
    """A database with our tables. ``begin`` for writing, ``read`` for reading."""

    def __init__(self, url: str) -> None:
        """``url``: ``sqlite:///path`` or ``postgresql://...``. Creates and migrates what is missing."""
        self.url = _driver_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = (
            _sqlite(self.url) if self.is_sqlite else sa.create_engine(self.url, pool_size=16, max_overflow=16)
        )
        try:
            self._migrate()
        except (sa.exc.OperationalError, sqlite3.Error) as error:
            self.engine.dispose()
            raise ConfigError(
                f"store: cannot open {url_without_password(url)}: {_first_line(error)}"
            ) from None

    def close(self) -> None:
        self.engine.dispose()

    def begin(self) -> Any:
        """A transaction that commits at the end of its block; on SQLite it holds the write lock."""
        return self.engine.begin()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection for reading, which never holds the write lock."""
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            yield connection

    def _migrate(self) -> None:
        if self._version() == HEAD:
            return
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with self.begin() as connection:
            if not self.is_sqlite:  # two processes that open a new database at once
                connection.execute(sa.text("select pg_advisory_xact_lock(4712660815)"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        self._migrate_jobs()

    def _version(self) -> str | None:
        with self.read() as connection:
            if not sa.inspect(connection).has_table("handrail_version"):
                return None
            return connection.execute(sa.text("select version_num from handrail_version")).scalar()

    def _migrate_jobs(self) -> None:
        """The tables of the job engine, in the same database."""
        from handrail.engine import migrate_jobs

        migrate_jobs(self)


def _driver_url(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise ConfigError(
            "store: not a database address; write sqlite:///handrail.db or postgresql://..."
        ) from None
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise ConfigError(f"store: {backend} is not supported; use sqlite:///handrail.db or postgresql://...")
    return parsed


def url_without_password(url: str) -> str:
    return sa.make_url(url).render_as_string(hide_password=True)


def _sqlite(url: sa.URL) -> sa.Engine:
    """Every transaction takes the write lock at its beginning: none fails half way because another wrote."""
    engine = sa.create_engine(url, connect_args={"isolation_level": "IMMEDIATE", "timeout": 60})

    @sa.event.listens_for(engine, "connect")
    def _settings(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=60000", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return engine


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]
