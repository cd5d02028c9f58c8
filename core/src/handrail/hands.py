"""Hands: threads of a worker that deliver at once what is due, without waiting for the job of each handoff.

A job is the promise that a handoff is delivered, also after a crash; hands only come before it. A ring says
that something may be due on a desk.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from handrail.errors import StoreError

log = logging.getLogger("handrail.hands")


Drain = Callable[[str, Callable[[], bool]], None]
"""``drain(desk, go_on)`` delivers what is due on a desk until nothing is, or ``go_on()`` says no."""


class Hands:
    def __init__(self, desks: Mapping[str, int], drain: Drain) -> None:
        """``desks``: how many threads each desk may keep busy."""
        self._pools = {desk: _Pool(desk, threads, drain) for desk, threads in desks.items()}

    def ring(self, desk: str) -> None:
        """One more thread looks what is due on a desk, where one is free; returns at once."""
        pool = self._pools.get(desk)
        if pool is not None:
            pool.ring()

    def halt(self) -> None:
        """Begin nothing more."""
        for pool in self._pools.values():
            pool.stopping = True

    def stop(self) -> None:
        """Begin nothing more; returns when what was begun is finished."""
        self.halt()
        for pool in self._pools.values():
            pool.threads.shutdown(wait=True, cancel_futures=True)


class _Pool:
    """The threads of one desk. A ring that comes while they work makes them look once more."""

    def __init__(self, desk: str, most: int, drain: Drain) -> None:
        self.desk, self.most, self.drain = desk, most, drain
        self.threads = ThreadPoolExecutor(most, thread_name_prefix=f"handrail-{desk}")
        self.stopping = False
        self._active = 0
        self._rings = 0
        self._lock = threading.Lock()

    def ring(self) -> None:
        with self._lock:
            self._rings += 1
            if self.stopping or self._active >= self.most:
                return
            self._active += 1
        try:
            self.threads.submit(self._work)
        except RuntimeError:  # it is being stopped; jobs do the rest
            with self._lock:
                self._active -= 1

    def _work(self) -> None:
        while True:
            with self._lock:
                heard = self._rings
            try:
                self.drain(self.desk, lambda: not self.stopping)
            except StoreError as error:
                log.warning("delivering what is due on %s broke off: %s; its jobs go on", self.desk, error)
                heard = self._rings
            except Exception:
                log.exception("delivering what is due on %s broke off; its jobs go on", self.desk)
                heard = self._rings
            with self._lock:
                if heard == self._rings or self.stopping:
                    self._active -= 1
                    return
