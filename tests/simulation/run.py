"""Live through universes and count: ``uv run python tests/simulation/run.py --handoffs 20000 --jobs 2``.

``--replay`` lives through one universe again and prints what happened in it; a broken seed is shrunk first
and its replay printed, unless ``--no-shrink`` is given. A long run with ``--keep FILE`` goes on where it was
broken off, by the same command.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.simulation.book import Book  # noqa: E402
from tests.simulation.many import Order, Report, fresh_seed, live_all, orders  # noqa: E402
from tests.simulation.shrink import shrink  # noqa: E402
from tests.simulation.universe import Broken  # noqa: E402


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    seed = fresh_seed() if given.seed == "fresh" else int(given.seed)
    if given.replay:
        handoffs = given.handoffs or 40
        return replay(Order(seed, handoffs, given.kind, _numbers(given.only), _numbers(given.tales)))
    began, handoffs, tell = time.perf_counter(), given.handoffs or 20_000, _Teller(given.progress)
    if given.keep:
        book = Book.open(given.keep, seed, handoffs, given.kind)
        report = book.live(jobs=given.jobs, tell=tell)
        seed, seconds = book.seed, book.seconds
    else:
        report = live_all(orders(seed, handoffs, given.kind), jobs=given.jobs, tell=tell)
        seconds = time.perf_counter() - began
    print(report.line)
    print(f"seeds from {seed}, {seconds:.0f} seconds")
    _table(report)
    if report.broken and not given.no_shrink:
        small = shrink(report.broken[0][0])
        print(f"\nshrunk: {small.command}")
        replay(small)
    return int(bool(report.broken))


class _Teller:
    """Says at once what is broken; a long run also how far it is, each so many seconds."""

    def __init__(self, every: float) -> None:
        self.every, self.said = every, time.monotonic()

    def __call__(self, new: Report, total: Report) -> None:
        for order, words in new.broken:
            print(f"BROKEN: {words}\n  {order.command}", flush=True)
        if self.every and time.monotonic() - self.said > self.every:
            self.said = time.monotonic()
            print(total.line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--handoffs", type=int, help="how many (20,000; of a replay 40)")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once")
    parser.add_argument("--seed", default="fresh", help="a number, or fresh")
    parser.add_argument("--kind", help="only universes whose first desk is of this kind")
    parser.add_argument("--replay", action="store_true", help="one universe, with its trace")
    parser.add_argument("--tales", help="of a replay: the conversations to keep")
    parser.add_argument("--only", help="of a replay: the strikes to keep")
    parser.add_argument("--progress", type=float, default=0, help="say how far it is, each so many seconds")
    parser.add_argument(
        "--keep", type=Path, help="a file for what came of it so far; the run goes on from it"
    )
    parser.add_argument("--no-shrink", action="store_true")
    return parser


def _numbers(text: str | None) -> frozenset[int] | None:
    if text is None:
        return None
    return frozenset() if text == "none" else frozenset(map(int, text.split(",")))


def replay(order: Order) -> int:
    """Print what happens in one universe; 1 where a promise is broken."""
    universe = order.universe(verbose=True)
    try:
        universe.run()
    except Broken as error:
        print("\n".join(universe.lines))
        print(f"BROKEN: {error}")
        return 1
    print("\n".join(universe.lines))
    print("no promise was broken")
    return 0


def _table(report: Report) -> None:
    for name, number in sorted(report.counts.items()):
        print(f"  {name:28} {number:>12,}")


if __name__ == "__main__":
    sys.exit(main())
