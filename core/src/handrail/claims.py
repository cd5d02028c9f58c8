"""Claiming: who makes the next attempt at a handoff.

The row is the truth: an attempt holds it by a lease. The job that brought the attempt is what comes back
should this process die; an attempt that was made without its job finds one waiting in the queue.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from handrail import raising, waits
from handrail.context import Context
from handrail.engine import LEASE_SECONDS
from handrail.model import Handoff, State, Ticket
from handrail.policy.detect import are_there
from handrail.store import desks, handoffs, operations, updates
from handrail.store.alive import owner
from handrail.store.operations import StoredJournal

log = logging.getLogger("handrail.delivery")

FULL_SECONDS = 2.0
"""How soon a job comes again that found all of its desk's slots taken."""


def nothing(_connection: sa.Connection) -> Work | None:
    """No other handoff follows."""
    return None


@dataclass
class Work:
    """One operation under way, with the handoff as it stood when the attempt began.

    ``following`` claims another handoff in the transaction that ends this attempt, where one is to follow.
    """

    handoff: Handoff
    operation: Any
    ticket: Ticket | None
    attempt: int
    """Which attempt at this handoff this is; it counts only as long as no other has begun."""
    began: datetime
    polled: datetime | None
    """When the desk was polled last, by the clock of who did: it tells whether somebody has polled since."""
    since: float = field(init=False)
    """When its sending began, in seconds that no setting of the clock moves."""
    journal: StoredJournal = field(init=False)
    following: Callable[[sa.Connection], Work | None] = nothing


class Claims:
    def __init__(self, context: Context) -> None:
        self.context = context

    def of(self, id: str, n: int) -> Work | None:
        """The work of a job, unless the row has moved on since the job was written.

        ``n`` below 0: whatever is due and nobody else does.
        """
        now = self.context.clock()
        waits.ask_ahead(self.context, id)
        with self.context.store.begin() as connection:
            row = handoffs.get(connection, id, lock=True)
            if not _is_due(row, n, now):
                return None
            if handoffs.held(row, now):
                if n >= 0:
                    self._outlive(connection, row, now)
                return None
            if row.state == State.WAITING:  # whatever its desk says, the wait is over
                row = waits.fired(self.context, connection, row, now)
                if row is None:
                    return None
            rest = self.context.rest(row.desk)
            if rest > 0:
                raising.begin(self.context, connection, row)
                self._come_back(connection, row, rest, due_at=now + timedelta(seconds=rest))
                return None
            why = desks.paused(connection, row.desk, lock=True)
            if why is not None:
                raising.begin(self.context, connection, row)
                self.park(connection, row, f"{row.desk} is paused: {why}")
                return None
            return self.take(connection, row, now)

    def next(self, desk: str) -> Work | None:
        """The work of the handoff that has waited longest on a desk, if the desk can take any now."""
        if are_there():
            with self.context.store.read() as connection:
                row = handoffs.next_due(connection, desk, self.context.clock())
            if row is not None:
                waits.ask_ahead(self.context, row.id)
        with self.context.store.begin() as connection:
            return self._next(connection, desk)

    def follow(self, connection: sa.Connection, desk: str) -> Work | None:
        """``next`` within a transaction about another handoff, which it never spoils.

        Where detectors would have to be asked, which may be slow, nothing follows: ``next`` asks them first.
        """
        if are_there():
            return None
        try:
            with connection.begin_nested():
                return self._next(connection, desk)
        except Exception:
            log.exception("what is due next on %s is left to its job", desk)
            return None

    def _next(self, connection: sa.Connection, desk: str) -> Work | None:
        now = self.context.clock()
        row = handoffs.next_due(connection, desk, now)
        if row is None or desks.paused(connection, desk, lock=True) is not None:
            return None
        rest = self.context.rest(desk)
        if rest > 0:
            number = int((now + timedelta(seconds=rest)).timestamp()) + 1
            self.context.schedule(connection, f"ring:{desk}", desk, number, rest)
            return None
        return self.take(connection, row, now)

    def put_off(self, id: str, n: int) -> None:
        """The job comes again in a moment: all slots of its desk are taken."""
        now = self.context.clock()
        with self.context.store.begin() as connection:
            row = handoffs.get(connection, id, lock=True)
            if not _is_due(row, n, now):
                return
            if handoffs.held(row, now):
                self._outlive(connection, row, now)
            else:
                self._come_back(connection, row, FULL_SECONDS)

    def _outlive(self, connection: sa.Connection, row: Any, now: datetime) -> None:
        """The job is there for the case that the attempt dies which holds the row: that may yet happen."""
        self._come_back(connection, row, (row.lease_until - now).total_seconds() + 1)

    def _come_back(self, connection: sa.Connection, row: Any, delay: float, **values: Any) -> None:
        handoffs.change(connection, row.id, n=row.n + 1, **values)
        self.context.schedule(connection, f"deliver:{row.desk}", row.id, row.n + 1, delay)

    def take(self, connection: sa.Connection, row: Any, now: datetime) -> Work | None:
        """Take the lease and the next operation; None and a free row where there is nothing to do."""
        if row.state == State.WAITING:
            row = waits.fired(self.context, connection, row, now)
            if row is None:  # its flow sends it to another desk
                return None
        raising.begin(self.context, connection, row)
        operation = _next_operation(connection, row.id)
        if operation is None:
            self.free(connection, row)
            return None
        attempt, until = row.attempts + 1, now + timedelta(seconds=self.lease(row.desk))
        operations.change(connection, operation.id, tries=operation.tries + 1)
        values = {"lease_by": owner(), "lease_until": until, "due_at": until, "attempts": attempt}
        state = row.state if row.ticket_id else State.DELIVERING
        since = row.trying_since or now
        handoffs.change(connection, row.id, state=state, trying_since=since, parked_at=None, **values)
        handoff = Handoff.model_validate_json(row.body)
        polled = desks.polled(connection, row.desk)
        return Work(handoff, operation, ticket_of(connection, row), attempt, now, polled)

    def go_on(self, connection: sa.Connection, row: Any, now: datetime, **known: Any) -> Work | None:
        """The attempt's next operation, if there is one; what has become known of the row is written."""
        if not operations.is_todo(connection, row.id):
            self.free(connection, row, **known)
            return None
        handoffs.change(connection, row.id, **known)
        return self.take(connection, handoffs.get(connection, row.id), now)

    def lease(self, desk: str) -> float:
        """Seconds that no single exchange takes, its second try after a sign-in included."""
        known = self.context.config.desks.get(desk)
        return max(LEASE_SECONDS, 20 * known.timeout.total_seconds()) if known else LEASE_SECONDS

    def free(self, connection: sa.Connection, row: Any, **values: Any) -> None:
        """End the attempt at a row; its jobs are out of date then."""
        handoffs.change(connection, row.id, **({"n": row.n + 1, "due_at": None} | handoffs.FREE | values))
        self.context.finished(connection, f"deliver:{row.desk}", row.id, row.n)

    def park(self, connection: sa.Connection, row: Any, why: str, **values: Any) -> None:
        """A person is needed before the next attempt."""
        self.free(connection, row, last_error=why, parked_at=self.context.clock(), **values)


def ticket_of(connection: sa.Connection, row: Any) -> Ticket | None:
    stored = updates.ticket_of(connection, row.desk, row.ticket_id) if row.ticket_id else None
    return updates.as_ticket(stored) if stored is not None else None


def _is_due(row: Any, n: int, now: datetime) -> bool:
    if row.due_at is None:
        return False
    return row.n == n if n >= 0 else row.due_at <= now or row.lease_by is not None


def _next_operation(connection: sa.Connection, id: str) -> Any:
    """The first operation that is not done. Messages that wait behind a message go out with it."""
    waiting = operations.todo(connection, id)
    if not waiting or waiting[0].kind != "say":
        return waiting[0] if waiting else None
    together = []
    for operation in waiting:
        if operation.kind != "say" or operation.tries:
            break
        together.append(operation)
    if len(together) < 2:
        return waiting[0]
    messages = [message for each in together for message in json.loads(each.payload)["messages"]]
    operations.change(connection, [each.id for each in together[1:]], state="merged")
    operations.change(connection, together[0].id, payload=json.dumps({"messages": messages}))
    return operations.first_todo(connection, id)
