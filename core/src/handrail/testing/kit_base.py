"""What all parts of the kit share: a simulated desk, a clock that is set, and a Handrail between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest

from handrail.connector import Can, Connector
from handrail.testing.clock import Clock
from handrail.testing.desk import SimulatedDesk
from handrail.testing.world import World, a_conversation


class KitBase:
    """Values that an author fills in, and fixtures."""

    connector: ClassVar[type[Connector]]
    desk: ClassVar[type[SimulatedDesk]]
    desk_options: ClassVar[Mapping[str, Any]] = {}
    settings: ClassVar[Mapping[str, Any]] = {}
    """Settings beside those that the simulated desk gives."""
    group: ClassVar[str] = "Support"
    """A group that the simulated desk has."""
    next_group: ClassVar[str] = "Premium"
    """Another one, to which tickets can be moved."""
    requests_per_handoff: ClassVar[int] = 1
    """With a warm cache, without files."""
    create_request: ClassVar[str | None] = None
    """``METHOD /path`` of the request that creates, where others with an effect follow it."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock(datetime(2026, 11, 23, 9, 0, 0, 250_000, tzinfo=UTC))

    @pytest.fixture
    def simulated(self, clock: Clock) -> Iterator[SimulatedDesk]:
        with self.desk(clock=clock, **self.desk_options) as desk:
            yield desk
            assert desk.errors == [], "the simulated desk itself failed"

    @pytest.fixture
    def world(self, simulated: SimulatedDesk, clock: Clock) -> Iterator[World]:
        settings = {"timeout": "5s", **self.settings}
        with World(simulated, self.connector, clock=clock, settings=settings) as world:
            yield world

    @pytest.fixture
    def hasty(self, simulated: SimulatedDesk, clock: Clock) -> Iterator[World]:
        """A world that soon gives up a desk that hangs, as a slow machine seems to: count no requests."""
        settings = {"timeout": "0.5s", **self.settings}
        with World(simulated, self.connector, clock=clock, settings=settings) as world:
            yield world

    def needs(self, can: Can) -> None:
        if can not in self.connector.can:
            pytest.skip(f"{self.connector.name} does not declare {can}")

    def create_path(self, world: World) -> str:
        """``METHOD /path`` of the request that creates, as the desk saw it; a handoff is made to learn it."""
        if not world.desk.tickets:
            world.deliver(a_conversation("to learn the path", id="c-path"))
        return self.create_request or self.last_effect(world)

    def last_effect(self, world: World) -> str:
        effects = [seen for seen in world.desk.requests if seen.method not in ("GET", "HEAD")]
        return f"{effects[-1].method} {effects[-1].local}"
