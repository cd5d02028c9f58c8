"""A simulated process: a Handrail with a name, a clock that may be wrong, and a life that may end."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.simulation.universe import Universe


class Killed(BaseException):
    """The process ends here, as if by SIGKILL: nothing of it runs any more."""


class Process:
    def __init__(self, universe: Universe, number: int) -> None:
        self.universe = universe
        self.name = f"host-{number % 3}:{number}"
        self.alive = True
        self.is_near = universe.settings.near
        """A peer on the same machine sees at once that it has died; one elsewhere does not."""
        self.off = universe.skew()
        self.rail: Any = None

    def clock(self) -> datetime:
        """What this process takes for the time."""
        return self.universe.moment() + timedelta(seconds=self.off + self.universe.jump)

    def must_live(self) -> None:
        """What unwinds through a dead process does nothing more."""
        if not self.alive:
            raise Killed

    def may_die(self, where: str) -> None:
        self.must_live()
        if self.universe.chance.strike(f"crash {where}", self.universe.settings.crashes):
            self.universe.trace(f"{self.name} is killed {where}")
            self.universe.chance.count("crash")
            self.alive = False
            raise Killed
