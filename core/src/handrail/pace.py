"""The pace of one desk: no more requests a minute than the configuration allows, over all processes."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from handrail.gate import HeldBack
from handrail.store import Store, desks
from handrail.store.schema import paces

MINUTE = timedelta(minutes=1)


class TooFast(HeldBack):
    """The desk was not asked: as many requests as the configuration allows were sent already."""


class Pace:
    """Counts the requests of the last minute, in the store. Who comes too early is told when to come."""

    def __init__(self, store: Store, desk: str, rate: int | None) -> None:
        """``rate`` in requests a minute; None: as fast as the desk answers."""
        self._store, self._desk, self._rate = store, desk, rate

    def take(self, now: datetime) -> None:
        """Count a request. Raises ``TooFast`` with the seconds to wait where there were enough already."""
        if self._rate is None:
            return
        with self._store.begin() as connection:
            desks.lock(connection, self._desk)
            wait = self._wait(connection, self._rate, now)
            if wait is None:
                connection.execute(paces.insert(), {"desk": self._desk, "at": now})
        if wait is not None:
            raise TooFast(f"rate: {self._rate} requests a minute are sent already", after=wait)

    def _wait(self, connection: sa.Connection, rate: int, now: datetime) -> float | None:
        """Seconds until there is room; what is older than a minute, or was sent tomorrow, counts no more.

        Another thread may have counted before this one whose time is a little later, and clocks differ.
        """
        mine = paces.c.desk == self._desk
        old = sa.or_(paces.c.at <= now - MINUTE, paces.c.at > now + MINUTE)
        connection.execute(paces.delete().where(mine, old))
        sent = connection.execute(sa.select(paces.c.at).where(mine).order_by(paces.c.at)).scalars().all()
        return (sent[-rate] + MINUTE - now).total_seconds() if len(sent) >= rate else None
