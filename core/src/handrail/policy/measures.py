"""Counting that stays small: times in steps, and names up to a number."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, TypeVar

_STEP = math.log(1.02)

MOST_NAMES = 200
"""So many names are counted on their own; what comes later counts together."""
OTHERS = "(others)"

T = TypeVar("T")


@dataclass
class Times:
    """How long things took, in seconds, in steps of two percent: no larger for a million than for ten."""

    steps: Counter[int] = field(default_factory=Counter)

    def add(self, seconds: float) -> None:
        self.steps[round(math.log1p(max(0.0, seconds)) / _STEP)] += 1

    def below(self, share: float) -> float | None:
        """The time within which this share of all was done, in seconds; None where there is none."""
        left = math.ceil(self.steps.total() * share)
        for step in sorted(self.steps):
            left -= self.steps[step]
            if left <= 0:
                return math.expm1(step * _STEP)
        return None


@dataclass
class Tally:
    """What became of the handoffs of one trigger, group, desk, reason or urgency.

    ``ended`` are solved or closed ones; ``silent`` those of them that no human answered. ``kept`` and
    ``late`` count first answers against what was promised. ``moved`` went to another group than the first,
    ``repeated`` made the customer say what the handoff already held.
    """

    handoffs: int = 0
    ended: int = 0
    silent: int = 0
    moved: int = 0
    kept: int = 0
    late: int = 0
    heard: int = 0
    repeated: int = 0
    answers: Times = field(default_factory=Times)
    moved_to: Counter[tuple[str, str]] = field(default_factory=Counter)
    repeats: Counter[str] = field(default_factory=Counter)

    def numbers(self) -> dict[str, Any]:
        """The numbers by their names in JSON; times in seconds, None where nothing was measured."""
        return {
            "handoffs": self.handoffs,
            "ended": self.ended,
            "solved_without_human_reply": self.silent,
            "rerouted": self.moved,
            "answered": self.answers.steps.total(),
            "first_answer_median": _whole(self.answers.below(0.5)),
            "first_answer_p90": _whole(self.answers.below(0.9)),
            "sla_kept": self.kept,
            "sla_missed": self.late,
            "sla_kept_share": round(self.kept / (self.kept + self.late), 4)
            if self.kept + self.late
            else None,
            "repeated_a_detail": self.repeated,
        }


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds)


def named(name: str, known: dict[str, T] | Counter[str]) -> str:
    """``name``, or ``(others)`` where it is new and there are enough names already."""
    return name if name in known or len(known) < MOST_NAMES else OTHERS
