"""The mark in a store that was moved elsewhere. Nothing can be written there any more, by whatever version.

The ways of a mark: ``leaving`` from when the old store is closed until the new one has everything, then
``left``; in the new store it is ``arrived`` from the start. Both have the same id.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from handrail.errors import ConfigError
from handrail.store.schema import metadata, moves

_WORDS = "this installation was moved to "
_CURE = "; write that address as store in handrail.toml"


def mark(connection: sa.Connection) -> sa.Row[Any] | None:
    return connection.execute(moves.select().limit(1)).first()


def put(connection: sa.Connection, id: str, state: str, other: str, at: datetime) -> None:
    """Mark a store; ``other`` is the address of the other one, without a password."""
    connection.execute(moves.delete())
    connection.execute(moves.insert().values(id=id, state=state, other=other, at=at))


def freeze(connection: sa.Connection, other: str) -> None:
    """From the commit on, SQLite refuses every change of our tables, also by processes that run already."""
    words = sa.literal(f"{_WORDS}{other}{_CURE}").compile(
        dialect=connection.dialect, compile_kwargs={"literal_binds": True}
    )
    for name, table, change in _triggers():
        quoted = connection.dialect.identifier_preparer.quote(table)
        body = f"BEFORE {change} ON {quoted} BEGIN SELECT RAISE(ABORT, {words}); END"
        connection.exec_driver_sql(f"CREATE TRIGGER {name} {body}")


def thaw(connection: sa.Connection) -> None:
    """Take back ``freeze``, and the mark."""
    for name, _, _ in _triggers():
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")
    connection.execute(moves.delete())


def _triggers() -> Iterator[tuple[str, str, str]]:
    for table in metadata.sorted_tables:
        if table is not moves:
            for change in ("INSERT", "UPDATE", "DELETE"):
                yield f"moved_{table.name}_{change.lower()}", table.name, change


def refuse(connection: sa.Connection) -> None:
    """Raise ``ConfigError`` where the store is marked as left, or as being left."""
    found = mark(connection)
    if found is not None and found.state == "left":
        raise ConfigError(f"store: {_WORDS}{found.other}{_CURE}")
    if found is not None and found.state == "leaving":
        raise ConfigError(
            f"store: a move of this installation to {found.other} was cut off; "
            "run `handrail move-store` again to end it, or with --undo to take it back"
        )


@contextmanager
def said() -> Iterator[None]:
    """Say of a change that SQLite refused for a move what is the matter, as a ``ConfigError``."""
    try:
        yield
    except sa.exc.IntegrityError as error:
        words = str(error.orig)
        if words.startswith(_WORDS):
            raise ConfigError(f"store: {words}") from None
        raise
