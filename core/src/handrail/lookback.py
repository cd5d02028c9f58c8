"""Looking back: what a desk that was given up in doubt may hold all the same.

While it was away nobody could ask it. Once it answers, the ticket that it holds is ended with a note of where
the conversation goes on; where no other desk has taken the handoff, that ticket is the one after all.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa

from handrail import again
from handrail.connector import Change, Connector, LeftOpen
from handrail.context import Context
from handrail.errors import HandrailError, Refused, StoreError, Unsupported
from handrail.ids import ulid
from handrail.journal import Superseded
from handrail.model import Handoff, Model, State, Status, Ticket, Update, UpdateKind
from handrail.store import handoffs, operations, updates
from handrail.store.operations import StoredJournal

log = logging.getLogger("handrail.delivery")

FIRST_AFTER = timedelta(minutes=10)
"""A request that was given up may be carried out so late, beside what the desk's search lags."""
LOOKS_FOR = timedelta(days=30)
"""So long a desk is asked that does not answer."""
LOOKS = 2
"""So many answers in a row must show nothing: a desk that has just come back may search an old index."""
_LONGEST = 3600.0
_AS_IT_STOOD = ("desk", "hop", "came_from", "left_in_doubt", "unset")
_SPOKEN = (UpdateKind.REPLY, UpdateKind.NOTE, UpdateKind.CUSTOMER_MESSAGE)
_ENDED = (Status.SOLVED, Status.CLOSED, Status.DELETED)


class Left(Model):
    """What was left in doubt: the handoff as it stood on that desk, and its create."""

    desk: str
    hop: int
    came_from: str | None
    left_in_doubt: bool
    unset: dict[str, str]
    operation: str
    round: int
    unseen: int = 0
    """How many looks in a row have shown nothing."""
    ticket: Ticket | None = None
    """What was found."""
    note: str | None = None
    written: bool = False
    """People have written on it, so that it is not closed under their hands."""

    def handoff(self, row: Any) -> Handoff:
        """The handoff with what it had on that desk: its marker there follows from it."""
        there = self.model_dump(include=set(_AS_IT_STOOD))
        return Handoff.model_validate_json(row.body).model_copy(update=there)


@dataclass
class Work:
    """One look under way; it counts only as long as no other has begun."""

    operation: Any
    left: Left
    handoff: Handoff
    """As it stood on that desk."""
    row: Any
    n: int


def remember(context: Context, connection: sa.Connection, row: Any) -> None:
    """A desk is given up in doubt: look there later. Before the handoff goes on, as it stands."""
    handoff, now = Handoff.model_validate_json(row.body), context.clock()
    create, id = operations.first_todo(connection, row.id), ulid(now)
    assert create is not None  # it is in doubt
    there = {name: getattr(handoff, name) for name in _AS_IT_STOOD}
    left = Left(operation=create.id, round=create.round, **there)
    operations.add(connection, id, row.id, "withdraw", left.model_dump(mode="json"), now, state="aside")
    context.schedule(connection, f"lookback:{left.desk}", id, 0, _settled(context, left.desk))


def _settled(context: Context, desk: str) -> float:
    """Seconds after which a desk that is well shows what it was asked to make."""
    known = context.config.desks.get(desk)
    lags = [known.lag, known.sweep_after or known.lag] if known else []
    return max([FIRST_AFTER, *lags]).total_seconds()


class LookBack:
    def __init__(self, context: Context) -> None:
        self.context = context

    def step(self, id: str, n: int) -> None:
        """The job: one look, and what follows from what it shows."""
        work = self._begin(id, n)
        if work is None:
            return
        try:
            self._look(work)
        except Superseded:
            log.warning("%s: this look took so long that it counts no more", work.row.id)

    def _look(self, work: Work) -> None:
        try:
            self._looked(work)
        except StoreError:
            raise
        except HandrailError as trouble:
            self._later(work, str(trouble))

    def _begin(self, id: str, n: int) -> Work | None:
        with self.context.store.begin() as connection:
            operation = operations.get(connection, id, lock=True)
            if operation.state != "aside":
                return None
            operations.change(connection, id, tries=operation.tries + 1)
            row = handoffs.get(connection, operation.handoff_id)
            left = Left.model_validate_json(operation.payload)
            if (row.desk, row.hop) == (left.desk, left.hop) and row.state != State.UNDELIVERED:
                operations.change(connection, id, state="ended")  # it was sent again: its delivery looks
                return None
            return Work(operations.get(connection, id), left, left.handoff(row), row, n)

    def _looked(self, work: Work) -> None:
        left, row = work.left, work.row
        found = left.ticket or self._found(work)
        if found is None:
            self._nothing(work)
        elif row.ticket_id or row.state == State.CANCELLED:
            self._end(work, left if left.ticket else self._judged(work, found), found)
        elif row.state == State.UNDELIVERED:
            self._take_back(work, found)
        else:
            self._later(work, f"it holds ticket {found.id}, and {row.desk} has not taken the handoff yet")

    def _found(self, work: Work) -> Ticket | None:
        connector = self.context.connector(work.left.desk)
        return self.context.ask(work.left.desk, lambda: connector.find(work.handoff))

    def _nothing(self, work: Work) -> None:
        """Look once more, or believe it."""
        left = work.left.model_copy(update={"unseen": work.left.unseen + 1})
        with self._mine(work) as connection:
            if left.unseen < LOOKS:
                self._keep(connection, work, left)
                self._again(connection, work, _settled(self.context, left.desk))
            else:
                self._over(connection, work, f"looked at {left.desk} again: it shows no ticket")

    def _judged(self, work: Work, found: Ticket) -> Left:
        """What is to become of a ticket that was found: decided once, however often it is then tried."""
        desk, connector = work.left.desk, self.context.connector(work.left.desk)
        twins = self.context.ask(desk, lambda: connector.sweep(work.handoff, found))
        said = self._said_on(connector, desk, found)
        by_people = [u for u in said if u.kind in _SPOKEN and u.actor.kind != "system"]
        written = any(work.row.id not in (update.text or "") for update in by_people)
        decided = {"ticket": found, "note": self._words(work, written=written), "written": written}
        left = work.left.model_copy(update=decided)
        with self._mine(work) as connection:
            for twin in twins:
                handoffs.note(connection, work.row.id, self.context.clock(), of_twin(desk, twin, found.id))
            self._keep(connection, work, left)
        return left

    def _said_on(self, connector: Connector, desk: str, ticket: Ticket) -> Sequence[Update]:
        whole = ticket.model_copy(update={"updated_at": None})
        try:
            return self.context.ask(desk, lambda: connector.read(whole)).updates
        except Unsupported:
            return ()

    def _words(self, work: Work, *, written: bool) -> str:
        """The note for the people at the desk."""
        if work.row.state == State.CANCELLED:
            return "This handoff was cancelled; nothing is to be done."
        with self.context.store.read() as connection:
            ticket = updates.ticket_of(connection, work.row.desk, work.row.ticket_id)
        link = f" ({ticket.url})" if ticket and ticket.url else ""
        words = (
            f"The customer's conversation goes on in ticket {work.row.ticket_id} on {work.row.desk}{link}."
        )
        return f"{words} What is written here does not reach it: please go on there." if written else words

    def _end(self, work: Work, left: Left, ticket: Ticket) -> None:
        """Say on the ticket where the conversation goes on, and solve it if nobody has written on it."""
        connector, row = self.context.connector(left.desk), work.row
        first = f"{row.ticket_id} on {row.desk}" if row.ticket_id else "what was cancelled"
        status = None if left.written else Status.SOLVED
        change = Change(status=status, note=left.note, marker=work.operation.id)
        line = of_twin(left.desk, LeftOpen(ticket.id) if left.written else ticket.id, first)
        try:
            if ticket.status not in _ENDED:
                journal = StoredJournal(self.context.store, work.operation, partial(self._guard, work))
                self.context.ask(left.desk, lambda: connector.change(ticket, change), journal=journal)
        except (Refused, Unsupported) as no:
            line = f"ticket {ticket.id} on {left.desk} is a twin of {first}, and is to be ended by hand: {no}"
        with self._mine(work) as connection:
            self._over(connection, work, line)

    def _take_back(self, work: Work, found: Ticket) -> None:
        """No desk has it but this one: its create goes on where it was left, and finds what it has made."""
        left, now = work.left, self.context.clock()
        with self._mine(work) as connection:
            row = handoffs.get(connection, work.row.id, lock=True)
            create = operations.first_todo(connection, row.id)
            if row.state != State.UNDELIVERED or create is None or create.kind != "create":
                return self._again(connection, work, FIRST_AFTER.total_seconds())
            operations.change(connection, create.id, id=left.operation, round=left.round, tries=1)
            there = {"desk": left.desk, "hop": left.hop, "body": left.handoff(row).model_dump_json()}
            again.due(self.context, connection, row, now, **there, trying_since=None, state=State.ACCEPTED)
            self._over(connection, work, f"{left.desk} holds ticket {found.id} after all; it goes on there")

    # Each look ends in one transaction.

    @contextmanager
    def _mine(self, work: Work) -> Iterator[sa.Connection]:
        with self.context.store.begin() as connection:
            self._guard(work, connection)
            yield connection

    def _guard(self, work: Work, connection: sa.Connection) -> None:
        """Nothing is sent, and nothing noted, by a look that another has overtaken."""
        now = operations.get(connection, work.operation.id, lock=True)
        if (now.tries, now.state) != (work.operation.tries, "aside"):
            raise Superseded

    def _keep(self, connection: sa.Connection, work: Work, left: Left) -> None:
        operations.change(connection, work.operation.id, payload=left.model_dump_json())

    def _again(self, connection: sa.Connection, work: Work, delay: float) -> None:
        self.context.schedule(connection, f"lookback:{work.left.desk}", work.operation.id, work.n + 1, delay)

    def _later(self, work: Work, why: str) -> None:
        since = self.context.clock() - work.operation.created_at
        with self._mine(work) as connection:
            if since <= LOOKS_FOR:
                self._again(connection, work, min(60.0 * 2 ** min(work.n, 10), _LONGEST))
            else:
                desk = work.left.desk
                self._over(connection, work, f"{desk} may still hold a ticket; not looked at any more: {why}")

    def _over(self, connection: sa.Connection, work: Work, line: str) -> None:
        now = self.context.clock()
        operations.change(connection, work.operation.id, state="ended", done_at=now)
        handoffs.note(connection, work.row.id, now, line)


def of_twin(desk: str, twin: str, first: str) -> str:
    """The line of a timeline about a second ticket."""
    left = "is a twin of {}; people have written on it, so it stays open; nothing comes back from it"
    end = left if isinstance(twin, LeftOpen) else "was a twin of {} and is ended"
    return f"ticket {twin} on {desk} {end.format(first)}"
