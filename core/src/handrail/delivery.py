"""Delivery: one attempt at a handoff's next operations, in their order.

An attempt holds the row (see ``claims``), sends, and writes what became of it together with the next job.
Nothing here sleeps.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa
import tenacity

from handrail import again
from handrail.claims import Claims, Work, nothing, ticket_of
from handrail.connector import Change, Said
from handrail.context import Context
from handrail.errors import (
    DeskError,
    DeskPaused,
    HandrailError,
    NotFound,
    Refused,
    StoreError,
    Unsupported,
)
from handrail.fallback import give_up
from handrail.gate import HeldBack
from handrail.journal import Superseded
from handrail.lookback import of_twin
from handrail.model import Handoff, Message, State, Status, Ticket, Urgency
from handrail.pace import MINUTE
from handrail.roads import READS, read_soon
from handrail.steps import Steps
from handrail.store import desks, handoffs, operations, updates
from handrail.store.operations import StoredJournal
from handrail.sync import Inbox

log = logging.getLogger("handrail.delivery")

BACKOFF = tenacity.wait_random_exponential(multiplier=1, max=300)
"""Full jitter: the wait before try n is drawn between 0 and 2**(n-1) seconds, at most 300."""

TURN_SECONDS = 2.0
"""For so long a thread that drains keeps its slot on the desk."""

SLOW = timedelta(seconds=3)
"""A ticket that took longer to make may have been worked on before we knew that it is ours."""

SWEEPS = 10
"""So often a look for twins is tried again before it is left."""


class Delivery:
    def __init__(self, context: Context, inbox: Inbox) -> None:
        self.context = context
        self.inbox = inbox
        self.claims = Claims(context)
        self._under_way: set[tuple[str, int]] = set()
        self._left: set[tuple[str, int]] = set()

    def step(self, id: str, n: int) -> None:
        """The job: an attempt, unless the row has moved on since the job was written."""
        with self.context.store.read() as connection:
            row = handoffs.get(connection, id)
        if 0 <= n < row.n:  # the hands of a worker were faster: no slot need be taken to see that
            return
        with self.context.slot(row.desk, patient=n >= 0) as taken:
            if taken:
                self._work(self.claims.of(id, n))
            elif n >= 0:
                self.claims.put_off(id, n)

    def attempt(self, id: str) -> None:
        """An attempt now, in the caller's thread, where one is due and nobody else makes it."""
        self.step(id, -1)

    def drain(self, desk: str, go_on: Callable[[], bool]) -> None:
        """Attempts at what is due on a desk, the longest waiting first, until nothing is."""
        busy = True
        while busy and go_on():
            with self.context.slot(desk) as taken:
                busy = taken and self._drain_a_while(desk, go_on)
            if busy:
                self.context.step_aside(desk)

    def _drain_a_while(self, desk: str, go_on: Callable[[], bool]) -> bool:
        """True where there may be more: a slot is left now and then, for the peers."""
        until = time.monotonic() + TURN_SECONDS

        def more() -> bool:
            return go_on() and time.monotonic() < until

        def following(connection: sa.Connection) -> Work | None:
            return self.claims.follow(connection, desk) if more() else None

        while more():
            work = self.claims.next(desk)
            if work is None:
                return False
            self._work(work, following)
        return True

    def _work(self, work: Work | None, following: Callable[[sa.Connection], Work | None] = nothing) -> None:
        while work is not None:
            work.following = following
            work = self._perform(work)

    # Performing.

    def _perform(self, work: Work) -> Work | None:
        """Send one operation; the next piece of work, or None where this attempt ends."""
        this, work.since = (work.handoff.id, work.attempt), time.monotonic()
        self._under_way.add(this)
        try:
            return self._performed(work)
        except Superseded:
            self._overtaken(work)
            return None
        finally:
            self._under_way.discard(this)

    def _overtaken(self, work: Work) -> None:
        said = f"attempt {work.attempt} took so long that it counts no more; another is made"
        log.warning("%s: %s", work.handoff.id, said)
        with self.context.store.begin() as connection:
            handoffs.note(connection, work.handoff.id, self.context.clock(), said)

    def mend(self) -> int:
        """Make due what this process holds and no thread of it attempts: the store broke off an attempt.

        What was so at the last call too is meant; in between two operations nobody attempts it either.
        Returns how many.
        """
        left = again.held_here(self.context) - self._under_way
        lost, self._left = left & self._left, left
        return again.put_back(self.context, lost)

    def _performed(self, work: Work) -> Work | None:
        work.journal = StoredJournal(self.context.store, work.operation, partial(self._guard, work))
        try:
            ticket = self.context.driver(work.handoff.desk).run(self._steps(work), work.journal)
        except Refused as refusal:
            return self._refused(work, refusal)
        except Unsupported as refusal:
            return self._failed(work, str(refusal))
        except DeskPaused as pause:
            return self._pause(work, pause)
        except NotFound as gone:  # the configuration had this desk, and may have it again
            return self._later(work, str(gone), None)
        except HeldBack as early:
            return self._put_off(work, early)
        except DeskError as trouble:
            return self._later(work, str(trouble), trouble.after)
        except (Superseded, StoreError):
            raise
        except Exception as error:
            log.exception("delivering %s failed", work.handoff.id)
            words = str(error) if isinstance(error, HandrailError) else "see the log"
            return self._later(work, f"an error in the connector: {type(error).__name__}: {words}", None)
        return self._done(work, ticket)

    def _guard(self, work: Work, connection: sa.Connection) -> None:
        """Nothing is sent, and nothing noted, by an attempt that another has overtaken."""
        now, seconds = self.context.clock(), self.claims.lease(work.handoff.desk)
        if abs(now - work.began) < timedelta(seconds=seconds / 4):
            if not handoffs.holds(connection, work.handoff.id, work.attempt):
                raise Superseded
        elif not handoffs.renew(connection, work.handoff.id, work.attempt, now, seconds):
            raise Superseded

    def _mine(self, connection: sa.Connection, work: Work) -> Any:
        """The row, for what became of this attempt; the answers that it got are written with that."""
        row = handoffs.get(connection, work.handoff.id, lock=True)
        if not handoffs.is_attempt(row, work.attempt):
            raise Superseded
        work.journal.flush(connection)
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
            group=payload.get("group"),
        )
        return lambda: connector.change(ticket, change)

    # What became of it. Each is one transaction.

    def _done(self, work: Work, ticket: Ticket) -> Work | None:
        with self.inbox.taking() as connection:
            row, now = self._mine(connection, work), self.context.clock()
            operations.change(connection, work.operation.id, state="done", done_at=now, error=None)
            updates.save_ours(connection, row.desk, ticket.ours)
            if json.loads(work.operation.payload).get("group"):  # what we moved ourselves is no news
                updates.change_ticket(connection, row.desk, ticket.id, group=ticket.group)
            said = _DONE[work.operation.kind]
            handoffs.note(connection, row.id, now, f"{said} {row.desk}, ticket {ticket.id}")
            error = operations.failure(connection, row.id) if row.last_error else None
            state = self.inbox.delivered(connection, row, ticket, work.ticket)
            if work.operation.tries:
                self._follow_doubt(connection, work, ticket)
            elif ticket.id != row.ticket_id and self._passed_over(connection, work, now):
                self._read_soon(connection, work, ticket.id)
            known = {"trying_since": None, "ticket_id": ticket.id, "last_error": error, "state": state}
            next_work = self.claims.go_on(connection, row, now, **known) or work.following(connection)
            if ticket.id != row.ticket_id:
                self.inbox.created(connection, row, ticket)
            return next_work

    def _passed_over(self, connection: sa.Connection, work: Work, now: datetime) -> bool:
        """True where what people did on a new ticket may have been told already, when nobody knew it."""
        took = max(abs(now - work.began), timedelta(seconds=time.monotonic() - work.since))
        return took > SLOW or desks.polled(connection, work.handoff.desk) != work.polled

    def _follow_doubt(self, connection: sa.Connection, work: Work, ticket: Ticket) -> None:
        """An earlier try may have made the ticket: people may have acted on it, and it may have a twin."""
        desk, handoff = work.handoff.desk, work.handoff
        self._read_soon(connection, work, ticket.id)
        after = self.context.connector(desk).sweep_after
        if work.operation.kind == "create" and after is not None:
            self.context.schedule(connection, f"sweep:{desk}", handoff.id, 0, after.total_seconds())

    def _read_soon(self, connection: sa.Connection, work: Work, ticket_id: str) -> None:
        read_soon(self.context, connection, work.handoff.desk, ticket_id, work.attempt * READS)

    def sweep(self, id: str, n: int) -> None:
        """The job: end the twins that an unsure create may have left."""
        with self.context.store.read() as connection:
            row = handoffs.get(connection, id)
            ticket = ticket_of(connection, row)
        if ticket is None:
            return
        handoff, desk = Handoff.model_validate_json(row.body), row.desk
        try:
            twins = self.context.ask(desk, lambda: self.context.connector(desk).sweep(handoff, ticket))
        except HandrailError as error:
            return self._sweep_later(row, n, str(error))
        with self.context.store.begin() as connection:
            for twin in twins:
                handoffs.note(connection, id, self.context.clock(), of_twin(desk, twin, ticket.id))

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
            self._come_again(connection, row, delay, why, last_error=why)
        return None

    def _come_again(self, connection: sa.Connection, row: Any, delay: float, why: str, **values: Any) -> None:
        now = self.context.clock()
        self.claims.free(connection, row, due_at=now + timedelta(seconds=delay), **values)
        self.context.schedule(connection, f"deliver:{row.desk}", row.id, row.n + 1, delay)
        handoffs.note(connection, row.id, now, f"attempt {row.attempts}: {why}; again in {delay:.1f} s")

    def _put_off(self, work: Work, early: HeldBack) -> Work | None:
        """Nothing was sent, for a reason of our own: it counts for nothing, and towards nothing."""
        with self.context.store.begin() as connection:
            row = self._mine(connection, work)
            since = None if row.trying_since == work.began else row.trying_since
            delay = MINUTE.total_seconds() if early.after is None else early.after
            self._come_again(
                connection, row, delay, str(early), trying_since=since, state=_unbegun(connection, row)
            )
        return None

    def _pause(self, work: Work, pause: DeskPaused) -> Work | None:
        """A person is needed: the desk's handoffs wait until ``handrail check`` or ``retry`` succeeds."""
        now = self.context.clock()
        with self.context.store.begin() as connection:
            row = self._mine(connection, work)
            desks.change(connection, row.desk, paused_because=str(pause), paused_at=now)
            state = _unbegun(connection, row)
            self.claims.park(connection, row, f"{row.desk} is paused: {pause}", state=state)
            handoffs.note(connection, row.id, now, f"{row.desk} does not accept our credentials: {pause}")
        return None

    def _refused(self, work: Work, refusal: Refused) -> Work | None:
        """Again without the optional fields that the desk named, each once; else it is a final no."""
        known = work.handoff.unset
        named = {name: why for name, why in refusal.fields.items() if name not in known}
        if work.operation.kind == "change":
            return self._change_less(work, refusal)
        if not named or work.operation.kind != "create":
            return self._failed(work, str(refusal))
        handoff = work.handoff.model_copy(update={"unset": known | named})
        work.journal.new_round()
        now = self.context.clock()
        with self.context.store.begin() as connection:
            self._mine(connection, work)
            handoffs.change(connection, handoff.id, body=handoff.model_dump_json())
            for name, why in named.items():
                handoffs.note(
                    connection, handoff.id, now, f"{handoff.desk} refused {name}: {why}; sent without it"
                )
            return self.claims.take(connection, handoffs.get(connection, handoff.id), now)

    def _change_less(self, work: Work, refusal: Refused) -> Work | None:
        """A change without what of it the desk refused, which its note says; else it is a final no."""
        payload = json.loads(work.operation.payload)
        named = {name: why for name, why in refusal.fields.items() if name in _MAY_LACK and payload.get(name)}
        if not named:
            return self._failed(work, str(refusal))
        said = [payload.get("note"), *(f"Not set: {name} ({why})" for name, why in named.items())]
        kept = {name: value for name, value in payload.items() if name not in named}
        work.journal.new_round()
        with self.context.store.begin() as connection:
            row = self._mine(connection, work)
            less = json.dumps(kept | {"note": "\n".join(filter(None, said))})
            operations.change(connection, work.operation.id, payload=less)
            return self.claims.take(connection, row, self.context.clock())

    def _failed(self, work: Work, why: str) -> Work | None:
        with self.context.store.begin() as connection:
            row = self._mine(connection, work)
            return self._give_up(connection, row, work, why)

    def _give_up(self, connection: sa.Connection, row: Any, work: Work, why: str) -> Work | None:
        now = self.context.clock()
        if work.operation.kind != "create":
            # A no proves nothing of an earlier try: what may have happened all the same is looked at later.
            if work.operation.tries or operations.in_doubt(connection, row.id):
                self._read_soon(connection, work, row.ticket_id)
            operations.change(connection, work.operation.id, state="failed", error=why, done_at=now)
            handoffs.change(
                connection, row.id, last_error=f"{work.operation.kind} failed: {why}", trying_since=None
            )
            handoffs.note(connection, row.id, now, f"{work.operation.kind} failed for good: {why}")
            return self.claims.take(connection, handoffs.get(connection, row.id), now)
        give_up(self.context, connection, row, why)
        return None


_MAY_LACK = ("group", "urgency")
_DONE = {"create": "delivered to", "say": "message added on", "change": "change made on"}


def _unbegun(connection: sa.Connection, row: Any) -> str:
    """The state of a handoff that waits again: as before, where nothing of it can be on the desk."""
    return str(row.state) if row.ticket_id or operations.in_doubt(connection, row.id) else State.ACCEPTED


def _backoff(tries: int) -> float:
    """Seconds before the try after ``tries`` tries."""
    state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
    state.attempt_number = tries
    return BACKOFF(state)
