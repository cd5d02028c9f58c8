"""Slots: how many threads talk to one desk at the same time, over all workers of one database.

On SQLite one process works, and its own count (``Driver``) is enough. On PostgreSQL a thread that talks to a
desk has a row; those of a process that died are freed by its peers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from handrail.ids import ulid
from handrail.store import Store, desks, workers
from handrail.store.alive import owner


class Slots:
    def __init__(self, store: Store, clock: Callable[[], datetime], beat: Callable[[], None]) -> None:
        """``beat`` says that this process is alive: who holds a slot must keep saying so."""
        self.store, self.clock, self.beat = store, clock, beat

    @contextmanager
    def of(self, desk: str, most: int) -> Iterator[bool]:
        """Within the block this thread has one of ``most`` slots; False where all are taken."""
        if self.store.is_sqlite:
            yield True
            return
        self.beat()
        id = ulid(self.clock())
        with self.store.begin() as connection:
            desks.lock(connection, desk)
            taken = workers.take_slot(connection, id, desk, owner(), most)
        try:
            yield taken
        finally:
            if taken:
                with self.store.begin() as connection:
                    workers.leave_slot(connection, id)
