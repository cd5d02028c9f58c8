"""From accepting to the desk: how long it takes until the request for a ticket is there, one at a time.

    uv run python tests/benchmarks/latency.py [--store sqlite|postgresql] [--count 200]

Counted from the call of ``hand_off`` until the server has read the request, so accepting is part of it.
With a worker in the same process its hands begin at the commit; with one in another process it looks into
its queue every half second. The bounds are for the first.
"""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path

from common import (
    STORES,
    Desk,
    Figure,
    Figures,
    a_desk,
    a_rail,
    chosen,
    configuration,
    conversations,
    options,
    percentile,
    show,
    stores,
    workers,
)

from handrail import Handrail

PAUSE = 0.05
"""Seconds between two, so that each finds an idle worker."""


def latencies(rail: Handrail, desk: Desk, count: int) -> list[float]:
    """Seconds for each handoff; the first, which opens connections, is left out."""
    desk.reset()
    drawn = random.Random(7)
    found = []
    for number, conversation in enumerate(conversations(count + 1)):
        time.sleep(PAUSE * (1 + drawn.random()))
        began = time.monotonic()
        rail.hand_off(conversation)
        found.append(desk.wait(number + 1)[-1] - began)
    return found[1:]


def figures(kinds: tuple[str, ...] = STORES, count: int = 200) -> Figures:
    for kind in kinds:
        with stores(kind) as fresh, a_desk() as desk, a_rail(fresh(), desk.url) as rail, rail.working():
            seconds = latencies(rail, desk, count)
        said = f"from accepting to the desk, {kind}, worker in"
        yield Figure(f"{said} the process, p50", percentile(seconds, 50) * 1e3, "ms", at_most=50)
        yield Figure(f"{said} the process, p99", percentile(seconds, 99) * 1e3, "ms", at_most=1000)
        seconds = _by_another_process(kind, max(2, count // 4))
        yield Figure(f"{said} another process, p50", percentile(seconds, 50) * 1e3, "ms")
        yield Figure(f"{said} another process, p99", percentile(seconds, 99) * 1e3, "ms")


def _by_another_process(kind: str, count: int) -> list[float]:
    with stores(kind) as fresh, a_desk() as desk, tempfile.TemporaryDirectory() as folder:
        url = fresh()
        with a_rail(url, desk.url) as rail, workers(configuration(Path(folder), url, desk.url)):
            return latencies(rail, desk, count)


if __name__ == "__main__":
    given = options(__doc__, count=200)
    show(figures(chosen(given), given.count))
