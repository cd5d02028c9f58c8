"""Many universes: live through them, count, and say how a broken one is replayed."""

from __future__ import annotations

import gc
import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from tests.simulation.universe import Broken, Universe

PER_UNIVERSE = 40


@dataclass(frozen=True)
class Order:
    """One universe to live through. ``only`` and ``tales`` leave out strikes and conversations."""

    seed: int
    handoffs: int = PER_UNIVERSE
    kind: str | None = None
    only: frozenset[int] | None = None
    tales: frozenset[int] | None = None

    def universe(self, *, verbose: bool = False) -> Universe:
        return Universe(
            self.seed, self.handoffs, kind=self.kind, only=self.only, tales=self.tales, verbose=verbose
        )

    @property
    def command(self) -> str:
        """What replays it, to the byte."""
        parts = ["uv run python tests/simulation/run.py --replay", f"--seed {self.seed}"]
        parts += [f"--handoffs {self.handoffs}", f"--kind {self.kind}" if self.kind else ""]
        for name in ("tales", "only"):
            numbers = getattr(self, name)
            parts += (
                [f"--{name} {','.join(map(str, sorted(numbers))) or 'none'}"] if numbers is not None else []
            )
        return " ".join(filter(None, parts))


@dataclass
class Report:
    """What came of many universes. ``broken`` are the orders with the words of what was broken."""

    counts: Counter[str] = field(default_factory=Counter)
    broken: list[tuple[Order, str]] = field(default_factory=list)

    def add(self, other: Report) -> None:
        self.counts.update(other.counts)
        self.broken += other.broken

    @property
    def line(self) -> str:
        """One line for people."""
        count = self.counts
        faults = sum(number for name, number in count.items() if name.startswith(("fault ", "webhook ")))
        return (
            f"simulation: {count['handoffs']:,} handoffs in {count['universes']:,} universes: "
            f"{count['tickets']:,} tickets, {count['state undelivered']:,} undelivered with a reason, "
            f"{count['state cancelled']:,} cancelled; {len(self.broken)} broken promises; "
            f"{count['exchange']:,} exchanges, {faults:,} faults, {count['crash']:,} crashes"
        )


def live(order: Order) -> Report:
    """One universe, to its end or to the first promise that is broken."""
    report, began = Report(), time.process_time()
    universe = order.universe()
    gc.disable()  # a universe is small and short; its rubbish goes all at once
    try:
        universe.run()
    except Broken as error:
        report.broken.append((order, str(error)))
    finally:
        gc.enable()
    kind = universe.settings.kind
    report.counts.update(universe.chance.counts)
    report.counts.update({"universes": 1, "handoffs": len(universe.tales), f"of {kind}": len(universe.tales)})
    report.counts[f"ms of {kind}"] += int((time.process_time() - began) * 1000)
    return report


def orders(seed: int, handoffs: int, kind: str | None = None) -> Iterator[Order]:
    """Universes of neighbouring seeds that have so many handoffs together."""
    for n in range(-(-handoffs // PER_UNIVERSE)):
        yield Order(seed + n, min(PER_UNIVERSE, handoffs - n * PER_UNIVERSE), kind)


def fresh_seed() -> int:
    return random.SystemRandom().randrange(10**9)


def live_all(
    wanted: Iterable[Order],
    *,
    jobs: int = 1,
    stop: bool = False,
    tell: Callable[[Report, Report], object] = lambda new, total: None,
) -> Report:
    """Live through all, ``jobs`` at once; with ``stop`` only to the first that is broken.

    ``tell(new, total)`` is called after each universe.
    """
    if jobs == 1:
        return _sum(map(live, wanted), stop, tell)
    with multiprocessing.Pool(jobs) as pool:
        return _sum(pool.imap_unordered(live, wanted), stop, tell)


def _sum(reports: Iterable[Report], stop: bool, tell: Callable[[Report, Report], object]) -> Report:
    total = Report()
    for report in reports:
        total.add(report)
        tell(report, total)
        if stop and total.broken:
            break
    return total
