"""What happens when: jobs of the engine, acts of people, webhooks on their way."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

KEEP_SECONDS = 3600.0
"""For so long the engine knows a job that has finished, and takes no second one of its name."""


@dataclass(order=True)
class Event:
    at: float
    number: int
    act: Callable[[], Any] = field(compare=False)
    name: str = field(compare=False, default="")
    recurring: bool = field(compare=False, default=False)


class Agenda:
    """Events in the order of their times; two of the same time in the order in which they came."""

    def __init__(self) -> None:
        self._heap: list[Event] = []
        self._numbers = 0
        self.standing = 0
        """How many events wait that do not recur for ever."""
        self._jobs: dict[tuple[str, str, int], float | None] = {}

    def add(self, at: float, act: Callable[[], Any], name: str, *, recurring: bool = False) -> None:
        self._numbers += 1
        self.standing += not recurring
        heapq.heappush(self._heap, Event(at, self._numbers, act, name, recurring))

    def due(self, before: float) -> Event | None:
        return self.take() if self._heap and self._heap[0].at <= before else None

    def take(self) -> Event | None:
        if not self._heap:
            return None
        event = heapq.heappop(self._heap)
        self.standing -= not event.recurring
        return event

    def waits(self, beginning: str) -> bool:
        """True while an event is to come whose name begins so."""
        return any(event.name.startswith(beginning) for event in self._heap)

    # The engine's jobs have names.

    def knows(self, job: tuple[str, str, int], now: float) -> bool:
        if job not in self._jobs:
            return False
        ended = self._jobs[job]
        return ended is None or now - ended < KEEP_SECONDS

    def begun(self, job: tuple[str, str, int]) -> None:
        self._jobs[job] = None

    def ended(self, job: tuple[str, str, int], now: float) -> None:
        self._jobs[job] = now
