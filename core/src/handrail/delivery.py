"""Delivery: one attempt at a handoff's next operations, in their order.

An attempt takes a lease on the row and, in the same transaction, leaves a job that comes back should this
process die. It then sends, and writes what became of it together with the next job. Nothing here sleeps.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa
import tenacity

from handrail import raising
from handrail.connector import Change, Said
from handrail.context import Context
from handrail.engine import LEASE_SECONDS
from handrail.errors import Conflict, DeskError, DeskPaused, HandrailError, Refused, Unsupported
from handrail.fallback import give_up
from handrail.journal import Superseded
from handrail.model import Handoff, Message, State, Status, Ticket, Urgency
from handrail.roads import READS
from handrail.steps import Steps
from handrail.store import desks, handoffs, operations, updates
from handrail.store.operations import StoredJournal
from handrail.sync import Inbox

log = logging.getLogger("handrail.delivery")

BACKOFF = tenacity.wait_random_exponential(multiplier=1, max=300)
"""Full jitter: the wait before try n is drawn between 0 and 2**(n-1) seconds, at most 300."""


SWEEPS = 10
"""So often a look for twins is tried again before it is left."""


@dataclass(frozen=True)
class Work:
    """One operation under way, with the handoff as it stood when the attempt began."""

    handoff: Handoff
    operation: Any
    ticket: Ticket | None
    attempt: int
    """Which attempt at this handoff this is; it counts only as long as no other has begun."""
    began: datetime


class Delivery:
    def __init__(self, context: Context, inbox: Inbox) -> None:
        self.context = context
        self.inbox = inbox

    def step(self, id: str, n: int) -> None:
        """The job: an attempt, unless the row has moved on since the job was written."""
        work = self._claim(id, n)
        while work is not None:
            work = self._perform(work)

    def attempt(self, id: str) -> None:
        """An attempt now, in the caller's thread, where one is due and nobody else makes it."""
        self.step(id, -1)

    # Claiming.

    def _claim(self, id: str, n: int) -> Work | None:
        now = self.context.clock()
        with self.context.store.begin() as connection:
            row = handoffs.get(connection, id, lock=True)
            if not self._is_due(row, n, now):
                return None
            if handoffs.held(row, now):
                if n >= 0:
                    self._come_back(connection, row, now)
                return None
            raising.begin(self.context, connection, row)
            why = desks.paused(connection, row.desk, lock=True)
            if why is not None:
                self._release(connection, row, last_error=f"{row.desk} is paused: {why}")
                return None
            return self._take(connection, row, now)

    def _come_back(self, connection: sa.Connection, row: Any, now: datetime) -> None:
        """This job is there for the case that the attempt dies, which may yet happen."""
        handoffs.change(connection, row.id, n=row.n + 1)
        delay = (row.lease_until - now).total_seconds() + 1
        self.context.schedule(connection, f"deliver:{row.desk}", row.id, row.n + 1, delay)

    def _lease(self, desk: str) -> float:
        """Seconds that no single exchange takes, its second try after a sign-in included."""
        known = self.context.config.desks.get(desk)
        return max(LEASE_SECONDS, 20 * known.timeout.total_seconds()) if known else LEASE_SECONDS

    def _is_due(self, row: Any, n: int, now: datetime) -> bool:
        if row.due_at is None:
            return False
        return row.n == n if n >= 0 else row.due_at <= now or row.lease_by is not None

    def _take(self, connection: sa.Connection, row: Any, now: datetime) -> Work | None:
        """Take the lease and the next operation; None and a free row where there is nothing to do."""
        operation = self._next_operation(connection, row.id)
        if operation is None:
            self._release(connection, row)
            return None
        seconds, attempt = self._lease(row.desk), row.attempts + 1
        n = handoffs.lease(connection, row, now, seconds)
        self.context.schedule(connection, f"deliver:{row.desk}", row.id, n, seconds + 1)
        operations.change(connection, operation.id, tries=operation.tries + 1)
        state = row.state if row.ticket_id else State.DELIVERING
        since = row.trying_since or now
        handoffs.change(connection, row.id, state=state, attempts=attempt, trying_since=since)
        handoff, ticket = Handoff.model_validate_json(row.body), self._ticket(connection, row)
        return Work(handoff, operation, ticket, attempt, now)

    def _next_operation(self, connection: sa.Connection, id: str) -> Any:
        """The first operation that is not done. Messages that wait behind a message go out with it."""
        waiting = operations.todo(connection, id)
        if not waiting or waiting[0].kind != "say":
            return waiting[0] if waiting else None
        together = []
        for operation in waiting:
            if operation.kind != "say" or operation.tries:
                break
            together.append(operation)
        if len(together) > 1:
            messages = [message for each in together for message in json.loads(each.payload)["messages"]]
            operations.change(connection, [each.id for each in together[1:]], state="merged")
            operations.change(connection, together[0].id, payload=json.dumps({"messages": messages}))
        return operations.first_todo(connection, id)

    def _ticket(self, connection: sa.Connection, row: Any) -> Ticket | None:
        stored = updates.ticket_of(connection, row.desk, row.ticket_id) if row.ticket_id else None
        return updates.as_ticket(stored) if stored is not None else None

    def _release(self, connection: sa.Connection, row: Any, **values: Any) -> None:
        free = {"n": row.n + 1, "due_at": None, "lease_by": None, "lease_until": None}
        handoffs.change(connection, row.id, **(free | values))

    # Performing.

    def _perform(self, work: Work) -> Work | None:
        """Send one operation; the next piece of work, or None where this attempt ends."""
        try:
            return self._performed(work)
        except Superseded:
            log.warning("an attempt at %s took so long that another has taken over", work.handoff.id)
            return None

    def _performed(self, work: Work) -> Work | None:
        guard = partial(self._guard, work)
        journal = StoredJournal(self.context.store, work.operation, guard)
        try:
            ticket = self.context.driver(work.handoff.desk).run(self._steps(work), journal)
        except Refused as refusal:
            return self._refused(work, journal, refusal)
        except Unsupported as refusal:
            return self._failed(work, str(refusal))
        except DeskPaused as pause:
            return self._pause(work, pause)
        except DeskError as trouble:
            return self._later(work, str(trouble), trouble.after)
        except Superseded:
            raise
        except Exception as error:
            log.exception("delivering %s failed", work.handoff.id)
            words = str(error) if isinstance(error, HandrailError) else "see the log"
            return self._later(work, f"an error in the connector: {type(error).__name__}: {words}", None)
        return self._done(work, ticket)

    def _guard(self, work: Work, connection: sa.Connection) -> None:
        """Nothing is sent, and nothing noted, by an attempt that another has overtaken."""
        now, seconds = self.context.clock(), self._lease(work.handoff.desk)
        if abs(now - work.began) < timedelta(seconds=seconds / 4):
            if not handoffs.is_attempt(handoffs.get(connection, work.handoff.id), work.attempt):
                raise Superseded
        elif not handoffs.renew(connection, work.handoff.id, work.attempt, now, seconds):
            raise Superseded

    def _mine(self, connection: sa.Connection, work: Work) -> Any:
        """The row, for what became of this attempt."""
        row = handoffs.get(connection, work.handoff.id, lock=True)
        if not handoffs.is_attempt(row, work.attempt):
            raise Superseded
        return row

    def _steps(self, work: Work) -> Callable[[], Steps[Ticket]]:
        connector, payload = self.context.connector(work.handoff.desk), json.loads(work.operation.payload)
        if work.operation.kind == "create":
            return lambda: connector.create(work.handoff)
        ticket = work.ticket
        if ticket is None:
            raise HandrailError("there is no ticket to add to")
        if work.operation.kind == "say":
            messages = tuple(Message.model_validate(each) for each in payload["messages"])
            return lambda: connector.say(ticket, Said(work.operation.id, messages, work.handoff))
        change = Change(
            urgency=Urgency(payload["urgency"]) if payload.get("urgency") else None,
            status=Status(payload["status"]) if payload.get("status") else None,
            note=payload.get("note"),
            marker=work.operation.id,
        )
        return lambda: connector.change(ticket, change)

    # What became of it. Each is one transaction.

    def _done(self, work: Work, ticket: Ticket) -> Work | None:
        now = self.context.clock()
        with self.inbox.taking() as connection:
            row = self._mine(connection, work)
            operations.change(connection, work.operation.id, state="done", done_at=now, error=None)
            updates.save_ours(connection, row.desk, ticket.ours)
            said = _DONE[work.operation.kind]
            handoffs.note(connection, row.id, now, f"{said} {row.desk}, ticket {ticket.id}")
            values = {"trying_since": None, "ticket_id": ticket.id}
            handoffs.change(connection, row.id, last_error=operations.failure(connection, row.id), **values)
            self.inbox.delivered(connection, work.handoff, ticket, new=ticket.id != row.ticket_id)
            if work.operation.tries:
                self._follow_doubt(connection, work, ticket)
            return self._take(connection, handoffs.get(connection, row.id), now)

    def _follow_doubt(self, connection: sa.Connection, work: Work, ticket: Ticket) -> None:
        """An earlier try may have made the ticket: people may have acted on it, and it may have a twin."""
        desk, handoff = work.handoff.desk, work.handoff
        self.context.schedule(connection, f"read:{desk}", f"{desk}/{ticket.id}", work.attempt * READS, 0)
        after = self.context.connector(desk).sweep_after
        if work.operation.kind == "create" and after is not None:
            self.context.schedule(connection, f"sweep:{desk}", handoff.id, 0, after.total_seconds())

    def sweep(self, id: str, n: int) -> None:
        """The job: end the twins that an unsure create may have left."""
        with self.context.store.read() as connection:
            row = handoffs.get(connection, id)
            ticket = self._ticket(connection, row)
        if ticket is None:
            return
        handoff, connector = Handoff.model_validate_json(row.body), self.context.connector(row.desk)
        try:
            twins = self.context.driver(row.desk).run(lambda: connector.sweep(handoff, ticket))
        except HandrailError as error:
            return self._sweep_later(row, n, str(error))
        with self.context.store.begin() as connection:
            for twin in twins:
                said = f"ticket {twin} on {row.desk} was a twin of {ticket.id} and is ended"
                handoffs.note(connection, id, self.context.clock(), said)

    def _sweep_later(self, row: Any, n: int, why: str) -> None:
        with self.context.store.begin() as connection:
            handoffs.note(connection, row.id, self.context.clock(), f"looking for twins failed: {why}")
            if n < SWEEPS:
                self.context.schedule(connection, f"sweep:{row.desk}", row.id, n + 1, 60.0 * 2**n)

    def _later(self, work: Work, why: str, after: float | None) -> Work | None:
        now = self.context.clock()
        with self.context.store.begin() as connection:
            row = self._mine(connection, work)
            spent = max(now - (row.trying_since or now), timedelta(0))
            left = self.context.config.give_up_after - spent
            if left <= timedelta(0):
                return self._give_up(connection, row, work, f"gave up after {spent}: {why}")
            delay = min(max(after or 0.0, _backoff(work.operation.tries + 1)), left.total_seconds())
            due = now + timedelta(seconds=delay)
            self._release(connection, row, due_at=due, last_error=why)
            self.context.schedule(connection, f"deliver:{row.desk}", row.id, row.n + 1, delay)
            handoffs.note(connection, row.id, now, f"attempt {row.attempts}: {why}; again in {delay:.1f} s")
        return None

    def _pause(self, work: Work, pause: DeskPaused) -> Work | None:
        """A person is needed: the desk's handoffs wait until ``handrail check`` or ``retry`` succeeds."""
        now = self.context.clock()
        with self.context.store.begin() as connection:
            row = self._mine(connection, work)
            desks.change(connection, row.desk, paused_because=str(pause), paused_at=now)
            state = row.state if row.ticket_id else State.ACCEPTED
            self._release(connection, row, state=state, last_error=f"{row.desk} is paused: {pause}")
            handoffs.note(connection, row.id, now, f"{row.desk} does not accept our credentials: {pause}")
        return None

    def _refused(self, work: Work, journal: StoredJournal, refusal: Refused) -> Work | None:
        """Again without the optional fields that the desk named, each once; else it is a final no."""
        known = work.handoff.unset
        named = {name: why for name, why in refusal.fields.items() if name not in known}
        if not named or work.operation.kind != "create":
            return self._failed(work, str(refusal))
        handoff = work.handoff.model_copy(update={"unset": known | named})
        journal.new_round()
        now = self.context.clock()
        with self.context.store.begin() as connection:
            self._mine(connection, work)
            handoffs.change(connection, handoff.id, body=handoff.model_dump_json())
            for name, why in named.items():
                handoffs.note(
                    connection, handoff.id, now, f"{handoff.desk} refused {name}: {why}; sent without it"
                )
            return self._take(connection, handoffs.get(connection, handoff.id), now)

    def _failed(self, work: Work, why: str) -> Work | None:
        with self.context.store.begin() as connection:
            row = self._mine(connection, work)
            return self._give_up(connection, row, work, why)

    def _give_up(self, connection: sa.Connection, row: Any, work: Work, why: str) -> Work | None:
        now = self.context.clock()
        if work.operation.kind != "create":
            operations.change(connection, work.operation.id, state="failed", error=why, done_at=now)
            handoffs.change(
                connection, row.id, last_error=f"{work.operation.kind} failed: {why}", trying_since=None
            )
            handoffs.note(connection, row.id, now, f"{work.operation.kind} failed for good: {why}")
            return self._take(connection, handoffs.get(connection, row.id), now)
        give_up(self.context, connection, row, why)
        return None


_DONE = {"create": "delivered to", "say": "message added on", "change": "change made on"}


def _backoff(tries: int) -> float:
    """Seconds before the try after ``tries`` tries."""
    state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
    state.attempt_number = tries
    return BACKOFF(state)


def retry(context: Context, handoff_id: str) -> None:
    """Send what failed again, now: a dead letter, a failed message, or whatever waits for its time.

    What certainly failed is put in new words: the configuration or the desk may have been mended since.
    """
    now = context.clock()
    with context.store.begin() as connection:
        row = handoffs.get(connection, handoff_id, lock=True)
        if row.state == State.CANCELLED:
            raise Conflict(f"handoff {handoff_id} was cancelled")
        failed = [each.id for each in operations.of_handoff(connection, handoff_id) if each.state == "failed"]
        operations.change(connection, failed, state="todo", tries=1)
        first = operations.first_todo(connection, handoff_id)
        dead = row.state == State.UNDELIVERED
        for id in [*failed, *([first.id] if dead and first is not None else [])]:
            operations.fresh_round(connection, id)
        if first is None or handoffs.held(row, now):
            return
        desks.change(connection, row.desk, paused_because=None, paused_at=None)
        free = {"lease_by": None, "lease_until": None, "trying_since": None}
        state = State.ACCEPTED if dead else row.state
        handoffs.change(connection, handoff_id, state=state, n=row.n + 1, due_at=now, **free)
        handoffs.note(connection, handoff_id, now, "sent again by command")
        context.schedule(connection, f"deliver:{row.desk}", handoff_id, row.n + 1, 0)


def resume(context: Context, desk: str | None = None) -> None:
    """Unpause desks, and make due what waited for them or was left by a process that died."""
    now = context.clock()
    with context.store.begin() as connection:
        for name in [desk] if desk else list(context.config.desks):
            if desks.paused(connection, name) is not None:
                desks.change(connection, name, paused_because=None, paused_at=None)
    with context.store.begin() as connection:  # behind the commit no attempt finds its desk paused
        for found in handoffs.left_over(connection, desk):
            row = handoffs.get(connection, found.id, lock=True)
            if row.n == found.n and not handoffs.held(row, now):
                since = row.trying_since if row.due_at else None  # a pause counts for nothing
                free = {"lease_by": None, "lease_until": None, "trying_since": since}
                handoffs.change(connection, row.id, n=row.n + 1, due_at=now, **free)
                context.schedule(connection, f"deliver:{row.desk}", row.id, row.n + 1, 0)
