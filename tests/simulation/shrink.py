"""Shrinking: as few conversations and as few strikes as still break a promise."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from tests.simulation.many import Order
from tests.simulation.universe import Broken

SECONDS = 60.0


def breaks(order: Order) -> bool:
    try:
        order.universe().run()
    except Broken:
        return True
    return False


def shrink(order: Order, seconds: float = SECONDS) -> Order:
    """A smaller order that breaks, found within about so many seconds."""
    deadline = time.monotonic() + seconds
    universe = order.universe()
    try:
        universe.run()
    except Broken:
        small = replace(
            order,
            tales=frozenset(tale.number for tale in universe.tales),
            only=frozenset(number for number, _ in universe.chance.struck),
        )
        if breaks(small):
            for _ in range(3):
                before = small
                small = _fewer(small, "tales", deadline)
                small = _fewer(small, "only", deadline)
                if small == before:
                    break
            return small
    return order


def _fewer(order: Order, name: str, deadline: float) -> Order:
    """Delta debugging over one of the sets."""

    def still(kept: list[int]) -> bool:
        return breaks(replace(order, **{name: frozenset(kept)}))

    kept = _reduced(sorted(getattr(order, name)), still, deadline)
    return replace(order, **{name: frozenset(kept)})


def _reduced(kept: list[int], still: Callable[[list[int]], bool], deadline: float) -> list[int]:
    size = max(1, len(kept) // 2)
    while kept and time.monotonic() < deadline:
        found = False
        for start in range(0, len(kept), size):
            rest = kept[:start] + kept[start + size :]
            if time.monotonic() < deadline and still(rest):
                kept, found = rest, True
                break
        if not found:
            if size == 1:
                break
            size = max(1, size // 2)
    return kept
