"""The simulation's share of the suite: 400 handoffs on fresh seeds, and faults planted that it must find.

The gate lives through 20,000 more by ``tests/simulation/run.py``; a long run is the same with
``--handoffs 1000000 --jobs 2``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tests.simulation import book
from tests.simulation.book import Book
from tests.simulation.many import Order, Report, fresh_seed, live, live_all, orders
from tests.simulation.planted import Unplantable, check, hunt
from tests.simulation.plants import PLANTS, Plant
from tests.simulation.shrink import shrink

HANDOFFS = int(os.environ.get("HANDRAIL_SIMULATED_HANDOFFS", "400"))


class TestPromises:
    def test_nothing_is_lost_doubled_or_silent_whatever_goes_wrong(self, record_property: Any) -> None:
        seed = fresh_seed()
        report = live_all(orders(seed, HANDOFFS), stop=True)
        counts = {"seed": seed, "counts": dict(report.counts), "broken": len(report.broken)}
        record_property("simulation", counts)
        for order, words in report.broken:
            pytest.fail(f"{words}\nreplay it: {order.command}\nshrunk:    {shrink(order).command}")
        assert report.counts["handoffs"] == HANDOFFS
        ended = sum(number for name, number in report.counts.items() if name.startswith("state "))
        assert ended == report.counts["handoffs"]


class TestReplay:
    @pytest.mark.parametrize("kind", ["acme", "jira"])
    def test_a_seed_replays_exactly(self, kind: str) -> None:
        traces = []
        for _ in range(2):
            universe = Order(7, 10, kind).universe(verbose=True)
            universe.run()
            traces.append(universe.lines)

        assert traces[0] == traces[1]
        assert len(traces[0]) > 20

    def test_a_strike_that_is_left_out_does_not_happen(self) -> None:
        whole = Order(8, 10, "acme").universe()
        whole.run()
        assert whole.chance.struck

        quiet = Order(8, 10, "acme", only=frozenset()).universe()
        quiet.run()

        assert quiet.chance.struck == []


class TestPlanted:
    @pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
    def test_a_planted_fault_fits_the_code_as_it_is(self, plant: Plant) -> None:
        check(plant)

    def test_a_plant_that_no_longer_fits_is_told_loudly(self) -> None:
        with pytest.raises(Unplantable, match="0 places in delivery"):
            check(Plant("outdated", (("delivery.py", "no such line", ""),)))

    @pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
    def test_a_planted_fault_is_found(self, plant: Plant) -> None:
        found = hunt(plant, plant.seed)

        assert found.seed is not None, f"{plant.name} was not found in {found.seconds:.0f} seconds"


def test_a_universe_counts_what_went_wrong_in_it() -> None:
    report = live(Order(3, 20, "keyed"))

    assert report.broken == []
    assert report.counts["handoffs"] == 20
    assert report.counts["exchange"] > 20


def test_a_run_that_is_broken_off_goes_on_and_counts_what_one_run_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book, "IN_A_PART", 2)
    file, seed, seen = tmp_path / "book.json", 7, list[int]()

    def break_off(new: Report, total: Report) -> None:
        seen.append(total.counts["universes"])
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Book.open(file, seed, 160, None).live(jobs=1, tell=break_off)
    again = Book.open(file, 99, 160, None)
    assert (again.seed, again.parts, again.report.counts["universes"]) == (seed, 1, 2)
    report = again.live(jobs=1, tell=lambda new, total: None)
    whole = live_all(orders(seed, 160))
    assert _untimed(report) == _untimed(whole)
    assert Book.open(file, seed, 160, None).live(jobs=1, tell=break_off).counts == report.counts
    with pytest.raises(SystemExit, match="160 handoffs"):
        Book.open(file, seed, 200, None)


def _untimed(report: Report) -> dict[str, int]:
    return {name: count for name, count in report.counts.items() if not name.startswith("ms of")}
