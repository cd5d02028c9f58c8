"""Memory of a worker process: resident, idle and after deliveries.

    uv run python tests/benchmarks/memory.py [--store sqlite|postgresql] [--count 2000] [--idle 3]

``idle``: seconds before each look. The ratio tells whether deliveries leave something behind.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import psutil
from common import (
    STORES,
    Figure,
    Figures,
    a_desk,
    a_rail,
    chosen,
    configuration,
    conversations,
    options,
    show,
    stores,
    workers,
)

WARM = 0.1
"""The share of the deliveries after which connections and caches are as large as they get."""


def figures(kinds: tuple[str, ...] = STORES, count: int = 2000, idle: float = 3.0) -> Figures:
    for kind in kinds:
        with stores(kind) as fresh, a_desk() as desk, tempfile.TemporaryDirectory() as folder:
            url = fresh()
            with (
                a_rail(url, desk.url) as rail,
                workers(configuration(Path(folder), url, desk.url)) as running,
            ):
                process = psutil.Process(running[0].process.pid)
                sizes = []
                for done in (0, max(1, int(count * WARM)), count):
                    for conversation in conversations(done - len(desk.times()), first=len(desk.times())):
                        rail.hand_off(conversation)
                    desk.wait(done)
                    time.sleep(idle)
                    sizes.append(process.memory_info().rss / 1e6)
        fresh_size, warm, after = sizes
        yield Figure(f"memory of a worker, {kind}, idle", fresh_size, "MB")
        yield Figure(f"memory of a worker, {kind}, after {count:,} deliveries", after, "MB")
        yield Figure(
            f"memory of a worker, {kind}, that to what it was after {int(count * WARM):,}", after / warm
        )


if __name__ == "__main__":
    given = options(__doc__, count=2000, idle=3)
    show(figures(chosen(given), given.count, given.idle))
