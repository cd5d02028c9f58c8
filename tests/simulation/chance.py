"""The only source of chance in a universe: streams made of one seed, and strikes that can be left out.

A strike is one thing that goes wrong. Strikes are numbered in the order in which they are asked for; a
universe that is run with ``only`` lets none but those happen, which is how a failing seed is shrunk.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Chance:
    """``struck`` lists what happened, as (number, name); ``only`` is None or the numbers that may."""

    seed: int
    only: frozenset[int] | None = None
    quiet: bool = False
    """True while nothing may go wrong any more."""
    struck: list[tuple[int, str]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    _asked: int = 0

    def __post_init__(self) -> None:
        self._stream = self.stream("strikes")
        self.time = self.stream("time")

    def stream(self, name: str) -> random.Random:
        """A generator of its own for one purpose: what one draws moves no other."""
        return random.Random(f"{self.seed}:{name}")

    def strike(self, name: str, share: float) -> random.Random | None:
        """None, or in a ``share`` of the cases a generator for the details of what goes wrong now."""
        if self.quiet or share <= 0:
            return None
        self._asked += 1
        number = self._asked
        if self._stream.random() >= share or (self.only is not None and number not in self.only):
            return None
        self.struck.append((number, name))
        return random.Random(f"{self.seed}:strike:{number}")

    def count(self, what: str) -> None:
        self.counts[what] += 1
