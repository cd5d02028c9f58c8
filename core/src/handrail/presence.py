"""Presence: a process that works says so every few seconds; one that stops saying so is taken for dead.

Who looks after its peers needs no clock in common with them: it watches whether what they write changes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime

from handrail.store import Store, workers
from handrail.store.alive import is_alive, is_here, owner

BEAT_SECONDS = 4.0
SILENT_SECONDS = 13.0
"""A process of another machine that has said nothing for so long is dead, or cut off from the store.

With a beat, a look of its peers before and after, and the queue's poll, its work goes on within 30 s.
"""


class Presence:
    """This process's row, and what is known of the others. ``monotonic`` in seconds."""

    def __init__(
        self, store: Store, clock: Callable[[], datetime], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.store, self.clock, self.monotonic = store, clock, monotonic
        self._known: dict[str, tuple[datetime | None, float]] = {}
        self._beaten = float("-inf")
        self._lock = threading.Lock()

    def beat(self) -> None:
        """Say that this process is alive, unless it has just said so."""
        with self._lock:
            if self.monotonic() - self._beaten < BEAT_SECONDS:
                return
            self._beaten = self.monotonic()
        with self.store.begin() as connection:
            workers.seen(connection, owner(), self.clock())

    def end(self) -> None:
        """Leave: what this process held is free."""
        with self.store.begin() as connection:
            workers.forget(connection, owner())

    def dead(self, names: set[str]) -> set[str]:
        """Those of ``names`` that have ended, or have been silent for too long while we listened."""
        with self.store.read() as connection:
            said = dict(workers.all_seen(connection))
        return {name for name in names | set(said) if name != owner() and self._is_dead(name, said.get(name))}

    def _is_dead(self, name: str, said: datetime | None) -> bool:
        if is_here(name):
            return not is_alive(name)
        now = self.monotonic()
        last, since = self._known.get(name, (None, now))
        if name not in self._known or last != said:
            self._known[name] = said, now
            return False
        return now - since > SILENT_SECONDS

    def forget(self, name: str) -> None:
        """A dead process's row and slots go."""
        self._known.pop(name, None)
        with self.store.begin() as connection:
            workers.forget(connection, name)
