"""A clock that tests set: it stands still until it is moved."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
"""A Monday morning; where a clock begins unless a test says otherwise."""


class Clock:
    """A settable clock. Call it, or ``now()``, for an aware UTC time; it may be read from any thread."""

    def __init__(self, start: datetime = START) -> None:
        self._lock = threading.Lock()
        self._now = _aware(start)

    def __call__(self) -> datetime:
        return self.now()

    def now(self) -> datetime:
        """The time as it was set last, aware and in UTC."""
        with self._lock:
            return self._now

    def advance(self, by: float | timedelta) -> datetime:
        """Move the clock on by seconds or a ``timedelta`` and return the time as it is then."""
        step = by if isinstance(by, timedelta) else timedelta(seconds=by)
        with self._lock:
            self._now += step
            return self._now

    def set(self, moment: datetime) -> datetime:
        """Set the clock to an aware time; it may go back, as real clocks do."""
        with self._lock:
            self._now = _aware(moment)
            return self._now


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a clock needs an aware time; add tzinfo=UTC")
    return moment.astimezone(UTC)
