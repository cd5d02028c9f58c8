"""The gate to one desk: how many requests this process has under way there.

Who delivers prepares the next request while those of others are under way (see ``Slots.seats``), and waits
here before it is noted: a request that is noted goes out at once.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from handrail.errors import NotDone


class Gate:
    """Safe to use from several threads; one that is inside passes again without being counted twice."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._inside = 0
        self._halted = False
        self._changed = threading.Condition()
        self._mine = threading.local()

    def halt(self, halted: bool) -> None:
        """While halted, nobody waits: who finds no room goes, who finds some ends what it has begun."""
        with self._changed:
            self._halted = halted
            self._changed.notify_all()

    @contextmanager
    def passed(self) -> Iterator[None]:
        """Within it a request may be under way. Raises ``NotDone`` where there is no room, and halted."""
        if getattr(self._mine, "inside", False):
            yield
            return
        with self._changed:
            self._changed.wait_for(lambda: self._halted or self._inside < self.most)
            if self._inside >= self.most:
                raise NotDone("the process ends, and others were first")
            self._inside += 1
        self._mine.inside = True
        try:
            yield
        finally:
            self._mine.inside = False
            with self._changed:
                self._inside -= 1
                self._changed.notify()
