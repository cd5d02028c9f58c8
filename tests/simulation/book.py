"""The book of a long run: what came of it so far, for the same command to go on with."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from tests.simulation.many import Order, Report, live_all, orders

IN_A_PART = 500
"""So many universes are lived through between two entries; a part that is broken off begins anew."""


@dataclass
class Book:
    file: Path
    seed: int
    handoffs: int
    kind: str | None = None
    parts: int = 0
    seconds: float = 0.0
    report: Report = field(default_factory=Report)

    @classmethod
    def open(cls, file: Path, seed: int, handoffs: int, kind: str | None) -> Book:
        """The book that is there; else a new one. Raises ``SystemExit`` for one of another run."""
        if not file.exists():
            return cls(file, seed, handoffs, kind)
        kept = json.loads(file.read_text())
        if (kept["handoffs"], kept["kind"]) != (handoffs, kind):
            raise SystemExit(f"{file} is of a run of {kept['handoffs']} handoffs, kind {kept['kind']}")
        broken = [(Order(*order), words) for order, words in kept["broken"]]
        report = Report(Counter(kept["counts"]), broken)
        return cls(file, kept["seed"], handoffs, kind, kept["parts"], kept["seconds"], report)

    def live(self, *, jobs: int, tell: Callable[[Report, Report], object]) -> Report:
        """Live through what is not lived through yet."""

        def count(new: Report, _of_this_part: Report) -> None:
            self.report.add(new)
            tell(new, self.report)

        wanted = islice(orders(self.seed, self.handoffs, self.kind), self.parts * IN_A_PART, None)
        while part := list(islice(wanted, IN_A_PART)):
            began = time.monotonic()
            live_all(part, jobs=jobs, tell=count)
            self.parts += 1
            self.seconds += time.monotonic() - began
            self._enter()
        return self.report

    def _enter(self) -> None:
        kept = {
            "seed": self.seed,
            "handoffs": self.handoffs,
            "kind": self.kind,
            "parts": self.parts,
            "seconds": self.seconds,
            "counts": self.report.counts,
            "broken": [
                ((order.seed, order.handoffs, order.kind), words) for order, words in self.report.broken
            ],
        }
        fresh = self.file.with_suffix(".new")
        fresh.write_text(json.dumps(kept, indent=1))
        fresh.replace(self.file)
