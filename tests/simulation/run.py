"""``python tests/simulation/run.py --handoffs N --jobs 2 --seed S|fresh``: live through universes, and count."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.simulation.universe import Broken, Universe  # noqa: E402

PER_UNIVERSE = 40


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--handoffs", type=int, default=2000)
    parser.add_argument("--seed", default="fresh")
    parser.add_argument("--kind")
    parser.add_argument("--trace", action="store_true")
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(10**9) if given.seed == "fresh" else int(given.seed)
    counts: Counter[str] = Counter()
    began = time.perf_counter()
    for n in range(-(-given.handoffs // PER_UNIVERSE)):
        universe = Universe(seed + n, min(PER_UNIVERSE, given.handoffs), kind=given.kind, verbose=given.trace)
        t = time.perf_counter()
        try:
            universe.run()
        except Broken as error:
            print(f"seed {seed + n} ({universe.settings.kind}): {error}")
            counts["broken"] += 1
            if given.trace:
                print("\n".join(universe.lines))
        counts.update(universe.chance.counts)
        counts[f"handoffs {universe.settings.kind}"] += len(universe.tales)
        counts[f"ms {universe.settings.kind}"] += int((time.perf_counter() - t) * 1000)
    print(f"{time.perf_counter() - began:.1f} s", dict(sorted(counts.items())))
    return int(bool(counts["broken"]))


if __name__ == "__main__":
    sys.exit(main())
