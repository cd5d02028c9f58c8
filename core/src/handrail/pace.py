"""The pace of one desk: no more requests a minute than the configuration allows."""

from __future__ import annotations

import threading
from collections import deque
from datetime import datetime, timedelta

from handrail.errors import NotDone

MINUTE = timedelta(minutes=1)


class Pace:
    """Counts the requests of the last minute, in this process. Who comes too early is told when to come."""

    def __init__(self, rate: int | None) -> None:
        """``rate`` in requests a minute; None: as fast as the desk answers."""
        self._rate = rate
        self._lock = threading.Lock()
        self._sent: deque[datetime] = deque()

    def take(self, now: datetime) -> None:
        """Count a request. Raises ``NotDone`` with the seconds to wait where there were enough already."""
        if self._rate is None:
            return
        with self._lock:
            while self._sent and not now - MINUTE < self._sent[0] <= now:
                self._sent.popleft()
            if len(self._sent) >= self._rate:
                wait = (self._sent[0] + MINUTE - now).total_seconds()
                raise NotDone(f"rate: {self._rate} requests a minute are sent already", after=wait)
            self._sent.append(now)
