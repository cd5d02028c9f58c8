"""Slots: how many threads talk to one desk at the same time, over all workers of one database.

On SQLite one process works, and counts its threads in memory. On PostgreSQL a thread that talks to a desk has
a row; those of a process that died are freed by its peers.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime

from handrail.ids import ulid
from handrail.store import Store, desks, workers
from handrail.store.alive import owner

WAIT_SECONDS = 10.0
"""For so long one who only reads waits for a slot."""
_LOOK_SECONDS = 0.05
_ASIDE_SECONDS = 1.0


class Slots:
    def __init__(self, store: Store, clock: Callable[[], datetime], beat: Callable[[], None]) -> None:
        """``beat`` says that this process is alive: who holds a slot must keep saying so."""
        self.store, self.clock, self.beat = store, clock, beat
        self._taken: set[str] = set()
        self._untidy = False
        self._waiting: Counter[str] = Counter()
        self._used: Counter[str] = Counter()
        self._halted = False
        self._changed = threading.Condition()

    @property
    def idle_seconds(self) -> float:
        """For so long who delivers waits for a slot: not at all where each look asks the database."""
        return WAIT_SECONDS if self.store.is_sqlite else 0.0

    def seats(self, concurrency: int) -> int:
        """How many threads may attempt handoffs of a desk at once, that takes so many requests at once.

        In the one process of SQLite half as many more: they prepare and finish while the requests of others
        are under way, which the desk's ``Gate`` counts. Twice as many would only wait for the interpreter.
        """
        return concurrency + concurrency // 2 if self.store.is_sqlite else concurrency

    def halt(self, halted: bool) -> None:
        """While halted, nobody gets a slot; who has one keeps it to the end, and who waits for one goes."""
        with self._changed:
            self._halted = halted
            self._changed.notify_all()

    def of(self, desk: str, most: int, patience: float = 0.0) -> AbstractContextManager[bool]:
        """Within the block this thread has one of ``most`` slots; False where all stay taken, or halted.

        ``patience`` is the time in seconds for which a slot is waited for.
        """
        return (self._near if self.store.is_sqlite else self._far)(desk, most, patience)

    @contextmanager
    def _near(self, desk: str, most: int, patience: float) -> Iterator[bool]:
        taken = self._sit(desk, most, patience)
        try:
            yield taken
        finally:
            if taken:
                with self._changed:
                    self._used[desk] -= 1
                    self._changed.notify_all()

    def _sit(self, desk: str, most: int, patience: float) -> bool:
        with self._changed:
            self._waiting[desk] += 1
            try:
                self._changed.wait_for(lambda: self._halted or self._used[desk] < most, patience)
                taken = not self._halted and self._used[desk] < most
                self._used[desk] += taken
                return taken
            finally:
                self._waiting[desk] -= 1
                self._changed.notify_all()

    @contextmanager
    def _far(self, desk: str, most: int, patience: float) -> Iterator[bool]:
        id = self._wait(desk, most, patience) if patience else self._take(desk, most)
        try:
            yield id is not None
        finally:
            if id is not None:
                self._leave(id)

    def step_aside(self, desk: str) -> None:
        """Who has just left a slot and wants one again lets those go first that wait, for a moment."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting[desk], _ASIDE_SECONDS)

    def _wait(self, desk: str, most: int, patience: float) -> str | None:
        until = time.monotonic() + patience
        self._count(desk, 1)
        try:
            while (id := self._take(desk, most)) is None and time.monotonic() < until and not self._halted:
                time.sleep(_LOOK_SECONDS)
            return id
        finally:
            self._count(desk, -1)

    def _count(self, desk: str, more: int) -> None:
        with self._changed:
            self._waiting[desk] += more
            self._changed.notify_all()

    def _take(self, desk: str, most: int) -> str | None:
        if self._halted:
            return None
        self.beat()
        self.tidy()
        id = ulid(self.clock())
        self._taken.add(id)
        taken = False
        try:
            with self.store.begin() as connection:
                desks.lock(connection, desk)
                taken = workers.take_slot(connection, id, desk, owner(), most)
        except BaseException:
            taken = False
            self._untidy = True  # nobody knows whether this was committed
            raise
        finally:
            if not taken:
                self._taken.discard(id)
        return id if taken else None

    def _leave(self, id: str) -> None:
        try:
            with self.store.begin() as connection:
                workers.leave_slot(connection, id)
        except BaseException:
            self._untidy = True
            raise
        finally:
            self._taken.discard(id)

    def tidy(self) -> None:
        """Free the slots of this process that no thread of it has: the store was away when they were left."""
        if self._untidy:
            self._untidy = False
            try:
                with self.store.begin() as connection:
                    workers.leave_slots(connection, owner(), self._taken)
            except BaseException:
                self._untidy = True
                raise
