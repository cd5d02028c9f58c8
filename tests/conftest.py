"""Fixtures of the core tests: a clock that is set, the desk Acme, and worlds around it."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.desks import Acme, SimulatedAcme, Worlds

from handrail.testing import Clock
from handrail.testing.world import fresh_store


@pytest.fixture
def acme(clock: Clock) -> Iterator[SimulatedAcme]:
    with SimulatedAcme(clock=clock) as desk:
        yield desk
        assert desk.errors == [], "the simulated desk itself failed"


@pytest.fixture
def backup(clock: Clock) -> Iterator[SimulatedAcme]:
    with SimulatedAcme(clock=clock) as desk:
        yield desk
        assert desk.errors == [], "the simulated desk itself failed"


@pytest.fixture
def worlds(clock: Clock, acme: SimulatedAcme, tmp_path: Path) -> Iterator[Worlds]:
    with contextlib.ExitStack() as stack:
        yield Worlds(clock, acme, stack, fresh_store(tmp_path / "handrail.db"))


@pytest.fixture
def connector(acme: SimulatedAcme) -> Acme:
    return Acme(url=acme.url)


LONG = ("test_storm", "test_processes", "test_packaging", "test_serve", "test_engine", "test_benchmarks")
"""What mostly waits for real processes: begun first, so that nobody waits for it at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.path.name.startswith(LONG))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What the simulation lived through, wherever its shares ran."""
    from tests.simulation.many import Report

    total, seeds = Report(), []
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == "simulation" and report.when == "call":
                    total.counts.update(Counter(value["counts"]))
                    total.broken += [(None, "")] * value["broken"]  # type: ignore[list-item]
                    seeds.append(str(value["seed"]))
    if seeds:
        terminalreporter.write_line(f"{total.line}; seeds from {', '.join(seeds)}")
