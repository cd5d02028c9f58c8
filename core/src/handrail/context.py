"""What every step needs: configuration, store, clock, the desks' drivers and the seam to the jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

import sqlalchemy as sa

from handrail.config import Config
from handrail.connector import Connector
from handrail.driver import Driver
from handrail.engine import Schedule
from handrail.errors import DeskPaused, NotDone, NotFound
from handrail.http import Http
from handrail.journal import Journal
from handrail.mail import MailTransport
from handrail.pace import Pace
from handrail.presence import Presence
from handrail.slots import WAIT_SECONDS, Slots
from handrail.steps import Steps
from handrail.store import Store, desks
from handrail.wire import Transport

T = TypeVar("T")
Clock = Callable[[], datetime]
Finished = Callable[[sa.Connection, str, str, int], None]
"""``finished(connection, step, id, n)``: once this is committed, that job has nothing to do any more."""


def utc_now() -> datetime:
    return datetime.now(UTC)


def transport(connector: Connector) -> Transport:
    """The way to a desk: by mail where it has mail servers, else by HTTP."""
    timeout, servers = connector.timeout.total_seconds(), connector.mail_servers()
    if servers is not None:
        return MailTransport(servers, timeout=timeout)
    return Http(connector.base_url, timeout=timeout, connections=connector.concurrency)


@dataclass
class Context:
    config: Config
    store: Store
    schedule: Schedule
    clock: Clock = utc_now
    finished: Finished = lambda connection, step, id, n: None
    _drivers: dict[str, Driver] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.presence = Presence(self.store, self.clock)
        self._slots = Slots(self.store, self.clock, self.presence.beat)

    def slot(self, desk: str, *, patient: bool = True) -> AbstractContextManager[bool]:
        """Within it this thread may talk to a desk; False where as many do as are allowed to.

        ``patient`` waits a while for one, where waiting costs nothing.
        """
        patience = self._slots.idle_seconds if patient else 0.0
        return self._slots.of(desk, self.seats(desk), patience)

    def seats(self, desk: str) -> int:
        """How many threads of this process may attempt handoffs of a desk at once."""
        known = self.config.desks.get(desk)
        return self._slots.seats(known.concurrency if known else 1)

    def halt(self, halted: bool) -> None:
        """While halted, no thread of this process begins to talk to a desk."""
        self._slots.halt(halted)
        for driver in list(self._drivers.values()):
            driver.gate.halt(halted)

    def ask(
        self,
        desk: str,
        make: Callable[[], Steps[T]],
        *,
        paused_too: bool = False,
        journal: Journal | None = None,
    ) -> T:
        """Run steps in a slot of the desk's, and return their result; without a journal they only read.

        Raises ``DeskPaused`` where the desk is paused, ``NotDone`` where its slots stay taken, and what the
        desk makes of it.
        """
        if not paused_too:
            with self.store.read() as connection:
                why = desks.paused(connection, desk)
            if why is not None:
                raise DeskPaused(f"{desk} is paused: {why}; `handrail check` resumes it")
        with self._slots.of(desk, self.seats(desk), WAIT_SECONDS) as taken:
            if not taken:
                raise NotDone(
                    f"as many requests to {desk} are under way as its concurrency allows, or this ends"
                )
            return self.driver(desk).run(make, journal)

    def step_aside(self, desk: str) -> None:
        """Who delivers lets those go first, now and then, that only read."""
        self._slots.step_aside(desk)

    def tidy(self) -> None:
        """Leave slots that were taken and could not be left."""
        self._slots.tidy()

    def rest(self, desk: str) -> float:
        """Seconds for which a desk, or its rate in the configuration, wants to hear nothing from us."""
        driver = self._drivers.get(desk)
        return driver.rest() if driver else 0.0

    def connector(self, desk: str) -> Connector:
        """The desk's connector. Raises ``NotFound`` for a desk that the configuration does not have."""
        try:
            return self.config.desks[desk]
        except KeyError:
            known = ", ".join(self.config.desks)
            raise NotFound(f"there is no desk {desk!r} in the configuration; it has: {known}") from None

    def driver(self, desk: str) -> Driver:
        """The desk's driver, made at its first use; its connections stay open."""
        connector = self.connector(desk)
        with self._lock:
            if desk not in self._drivers:
                pace = Pace(self.store, desk, connector.rate)
                self._drivers[desk] = Driver(connector, transport(connector), self.clock, pace)
            return self._drivers[desk]

    def close(self) -> None:
        for driver in self._drivers.values():
            driver.transport.close()
        self.store.close()
