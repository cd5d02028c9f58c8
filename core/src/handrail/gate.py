"""The gate to one desk: how many requests this process has under way there, and how many may be noted.

Who delivers prepares its request while those of others are under way (see ``Slots.seats``). Noting one takes
a commit, so a few are noted ahead, where the desk is quick: a request that is noted must soon go out.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from handrail.errors import NotDone

QUICK_SECONDS = 1.0
"""A desk that takes longer for a request gains nothing from one that is noted ahead."""
_WEIGHT = 0.1


class HeldBack(NotDone):
    """Nothing was sent, for a reason of our own: the desk has nothing to do with it."""


class NoRoom(HeldBack):
    """This process ends before its turn comes."""


class TooLate(HeldBack):
    """A request was noted and did not go out soon: a peer may take us for dead, and send it."""


class Gate:
    """Safe to use from several threads. While it is halted nobody waits: who finds no room goes."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._count: Counter[str] = Counter()
        self._usual: float | None = None
        self._halted = False
        self._changed = threading.Condition()

    def halt(self, halted: bool) -> None:
        """While halted, who finds room ends what it has begun, and who would have to wait goes."""
        with self._changed:
            self._halted = halted
            self._changed.notify_all()

    @contextmanager
    def near(self) -> Iterator[None]:
        """Within it a request may be noted. Raises ``NoRoom`` where there is none, and halted."""
        with self._counted("near", lambda: self._room):
            yield

    @contextmanager
    def passed(self) -> Iterator[None]:
        """Within it a request may be under way. Raises ``NoRoom`` where there is none, and halted."""
        with self._counted("inside", lambda: self.most):
            began = time.monotonic()
            try:
                yield
            finally:
                self._learn(time.monotonic() - began)

    @contextmanager
    def _counted(self, place: str, most: Callable[[], int]) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: self._halted or self._count[place] < most())
            if self._count[place] >= most():
                raise NoRoom("the process ends, and others were first", after=0.0)
            self._count[place] += 1
        try:
            yield
        finally:
            with self._changed:
                self._count[place] -= 1
                self._changed.notify_all()

    @property
    def _room(self) -> int:
        """How many may be near: some more than may pass, once it is known that they do not wait for long."""
        quick = self._usual is not None and self._usual < QUICK_SECONDS
        return self.most + (self.most // 4 if quick else 0)

    def _learn(self, seconds: float) -> None:
        with self._changed:
            before = seconds if self._usual is None else self._usual
            self._usual = before + _WEIGHT * (seconds - before)
