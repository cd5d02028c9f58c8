"""The inbox: what a desk said becomes an update, once, and moves the handoff.

A webhook and a poll may report the same thing, late and in any order. Events carry the desk's own id;
statuses are compared with what is known and when it was so. What we wrote ourselves is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

import sqlalchemy as sa

from handrail.connector import Doorbell, Page
from handrail.context import Context
from handrail.model import Actor, State, Status, Ticket, Update, UpdateKind
from handrail.store import handoffs, operations, updates
from handrail.subscribers import Subscriptions

_FINAL = {Status.SOLVED: State.SOLVED, Status.CLOSED: State.CLOSED, Status.DELETED: State.CLOSED}
_SAME_MOMENT = timedelta(seconds=3)


class Taken(Enum):
    """What became of something that a desk said."""

    STORED = "stored"
    KNOWN = "known"
    OURS = "ours"
    FOREIGN = "foreign"
    TOO_EARLY = "too early"


class Inbox:
    """Takes what desks say, in a transaction of ``taking``."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.subscriptions = Subscriptions(context)

    @contextmanager
    def taking(self, desk: str = "", page: Page | None = None) -> Iterator[sa.Connection]:
        """A transaction in which the handoffs that a ``page`` is about are locked first, in one order.

        So two roads that report the same thing at once wait for each other.
        """
        with self.context.store.begin() as connection:
            if page is not None:
                ids = {item.id if isinstance(item, Ticket) else item.ticket_id for item in page.items}
                updates.lock(connection, desk, ids | {late.ticket_id for late in page.undone})
            yield connection

    def delivered(self, connection: sa.Connection, row: Any, ticket: Ticket, given: Ticket | None) -> str:
        """Our own operation succeeded: the ticket is as the desk says.

        ``row`` is the handoff as it was before; returns the state that it has now. A new ticket is to be
        told by ``created``. ``given`` is what the connector had to go by: where it comes back as it was, the
        desk has not said how the ticket is now, and what people did meanwhile is still to be read.
        """
        if given is not None and ticket.model_copy(update={"ours": given.ours}) == given:
            return str(row.state)
        at = ticket.updated_at or self.context.clock()
        new = ticket.id != row.ticket_id
        known = None if new else updates.ticket_of(connection, row.desk, ticket.id)
        if known is not None and any(since and at < since for since in (known.updated_at, known.status_at)):
            return str(row.state)  # it came late, or was given once more: the ticket has moved on since
        if known is not None and not operations.has_set_status(connection, row.id):
            self._snapshot(connection, known, ticket)  # what people changed meanwhile is told, not swallowed
            return str(handoffs.get(connection, row.id).state)
        # By our clock, which may be fast, what people do next would be late: a new ticket has no other past.
        since = ticket.updated_at if new else at
        updates.save_ticket(connection, row.desk, row.id, ticket, new=new, status_at=since)
        return self._state(connection, row, ticket.id, ticket.status, at, first=new)

    def created(self, connection: sa.Connection, row: Any, ticket: Ticket) -> None:
        """Tell of a new ticket. Best at the end of a transaction: updates are numbered in the order of
        commits, so whoever else stores one waits for ours.
        """
        created = Update(
            id=f"created:{ticket.id}",
            kind=UpdateKind.CREATED,
            ticket_id=ticket.id,
            at=ticket.updated_at or self.context.clock(),
            status=ticket.status,
            raw_status=ticket.raw_status,
            text=ticket.url,
            group=ticket.group,
        )
        self._store(connection, row, created)

    def happened(self, connection: sa.Connection, row: Any, kind: UpdateKind, id: str, text: str) -> bool:
        """Store what no desk said but what follows from the time; False where it is stored already."""
        now, ticket = self.context.clock(), row.ticket_id or ""
        return self._store(connection, row, Update(id=id, kind=kind, ticket_id=ticket, at=now, text=text))

    def take(
        self, connection: sa.Connection, desk: str, item: Update | Ticket | Doorbell, *, patient: bool = False
    ) -> Taken:
        """Store one thing that a desk said, unless it is known, ours or of a ticket that is not ours.

        ``patient`` takes the event of an unknown ticket for too early while any handoff is being created.
        A doorbell was of an unknown ticket when it was read; where that is known by now, it is too early too.
        """
        id = item.id if isinstance(item, Ticket) else item.ticket_id
        row = updates.ticket_of(connection, desk, id)
        if row is None:
            marker = item.handoff_id if isinstance(item, Update) else None
            return self._unknown(connection, desk, id, marker, patient)
        if isinstance(item, Doorbell):
            return Taken.TOO_EARLY
        if isinstance(item, Ticket):
            return self._snapshot(connection, row, item)
        if updates.is_ours(connection, desk, item.id):
            return Taken.OURS
        if updates.is_stored(connection, desk, item.id):  # said once, it moves nothing a second time
            return Taken.KNOWN
        if self._echo_of_running(connection, row.handoff_id, item):
            return Taken.TOO_EARLY
        if self._arrived_after_all(connection, row, item):
            return Taken.OURS
        taken = self._kind_of(item)(connection, row, item)
        if taken is Taken.KNOWN:
            # The other road has told it: again, behind a change of the same second, it would move the ticket.
            updates.save_ours(connection, desk, [item.id])
        return taken

    # Whose is it?

    def _unknown(
        self, connection: sa.Connection, desk: str, id: str, marker: str | None, patient: bool
    ) -> Taken:
        """A ticket that we do not know may be one whose creation is under way, or has just ended."""
        if not marker and not patient:
            return Taken.FOREIGN
        if handoffs.being_created(connection, marker[:26] if marker else None):
            return Taken.TOO_EARLY
        committed = updates.ticket_of(connection, desk, id) is not None  # between the two looks
        return Taken.TOO_EARLY if committed else Taken.FOREIGN

    def _echo_of_running(self, connection: sa.Connection, handoff_id: str, item: Update) -> bool:
        """True for a comment that carries the marker of an operation whose outcome is not known yet."""
        waiting = operations.todo(connection, handoff_id)
        return any(operation.tries and operation.id in (item.text or "") for operation in waiting)

    def _arrived_after_all(self, connection: sa.Connection, row: Any, item: Update) -> bool:
        """True for a comment of ours that had been given up in doubt; it is known now that it arrived."""
        text = item.text or ""
        for operation in operations.of_handoff(connection, row.handoff_id) if text else ():
            if operation.state == "failed" and operation.id in text:
                now = self.context.clock()
                operations.change(connection, operation.id, state="done", done_at=now, error=None)
                error = operations.failure(connection, row.handoff_id)
                handoffs.change(connection, row.handoff_id, last_error=error)
                handoffs.note(connection, row.handoff_id, now, f"{operation.kind} has arrived after all")
                updates.save_ours(connection, row.desk, [item.id])
                return True
        return False

    # Kinds of things.

    def _kind_of(self, item: Update) -> Callable[[sa.Connection, Any, Update], Taken]:
        if item.kind is UpdateKind.STATUS and item.status is not None:
            return self._status
        return self._assignment if item.kind is UpdateKind.ASSIGNMENT else self._event

    def _event(self, connection: sa.Connection, row: Any, item: Update) -> Taken:
        if item.kind is UpdateKind.REPLY and item.public is False:  # whatever the connector made of it
            item = item.model_copy(update={"kind": UpdateKind.NOTE})
        if not self._keep(connection, row, item):
            return Taken.KNOWN
        if item.kind in (UpdateKind.DELETED, UpdateKind.MERGED):
            status = Status.DELETED if item.kind is UpdateKind.DELETED else Status.CLOSED
            updates.change_ticket(connection, row.desk, row.id, status=status, status_at=item.at)
            self._move(connection, row, status, item.at)
        return Taken.STORED

    def _status(self, connection: sa.Connection, row: Any, item: Update) -> Taken:
        assert item.status is not None
        if row.status_at and item.at < row.status_at:
            return self._late_status(connection, row, item, item.status)
        updates.change_ticket(connection, row.desk, row.id, raw_status=item.raw_status, status_at=item.at)
        if row.status == item.status and (row.status_at is None or _is_of_that_moment(row, item)):
            return Taken.KNOWN  # else something was between, of which nobody has told us yet
        updates.change_ticket(connection, row.desk, row.id, status=item.status)
        self._keep(connection, row, item)
        self._move(connection, row, item.status, item.at)
        return Taken.STORED

    def _late_status(self, connection: sa.Connection, row: Any, item: Update, status: Status) -> Taken:
        """An older change never moves a ticket back; it is kept where the other road has not told it."""
        following = updates.next_status(connection, row.handoff_id, row.id, item.at, status, _SAME_MOMENT)
        if (following or Status(row.status)) is status:
            return Taken.KNOWN
        if not self._keep(connection, row, item):
            return Taken.KNOWN
        if following is None:  # what came behind it looked like no change, and was not told
            stamp = f"{row.status_at:%Y%m%d%H%M%S}"
            self._keep(connection, row, _status(updates.as_ticket(row), row.status_at, stamp))
        return Taken.STORED

    def _assignment(self, connection: sa.Connection, row: Any, item: Update) -> Taken:
        named = {"assignee": item.assignee, "group": item.group}
        changed = {name: value for name, value in named.items() if value and value != getattr(row, name)}
        if not changed or (row.updated_at and item.at < row.updated_at):
            return Taken.KNOWN
        updates.change_ticket(connection, row.desk, row.id, **changed)
        return Taken.STORED if self._keep(connection, row, item) else Taken.KNOWN

    def _snapshot(self, connection: sa.Connection, row: Any, ticket: Ticket) -> Taken:
        """A ticket as it is now: its differences from what is known are updates."""
        at = ticket.updated_at or self.context.clock()
        if row.updated_at and at < row.updated_at:
            return Taken.KNOWN
        stamp = f"{at:%Y%m%d%H%M%S}"
        if row.status_at and at < row.status_at and at == row.status_at.replace(microsecond=0):
            at = row.status_at  # this desk counts in seconds; what it said of this one may be told already
            stamp = f"{at:%Y%m%d%H%M%S%f}"
        taken = {self._assignment(connection, row, _assignment(ticket, at, stamp))}
        if ticket.status != row.status:
            if not self._is_stale(connection, row, ticket, at):
                taken.add(self._status(connection, row, _status(ticket, at, stamp)))
        elif not row.status_at or at > row.status_at:  # what is older than this is late
            updates.change_ticket(connection, row.desk, row.id, status_at=at)
        known = updates.ticket_of(connection, row.desk, row.id)
        assert known is not None
        kept = ticket.model_copy(update={"status": Status(known.status), "url": ticket.url or row.url})
        updates.save_ticket(connection, row.desk, row.handoff_id, kept)
        return Taken.STORED if Taken.STORED in taken else Taken.KNOWN

    def _is_stale(self, connection: sa.Connection, row: Any, ticket: Ticket, at: datetime) -> bool:
        """True for a snapshot from before a change that is known, which shows what was known before that."""
        if not row.status_at or at >= row.status_at:
            return False
        return updates.status_before(connection, row.handoff_id, row.id, at) is ticket.status

    # What follows.

    def _keep(self, connection: sa.Connection, ticket: Any, item: Update) -> bool:
        return self._store(connection, handoffs.get(connection, ticket.handoff_id), item)

    def _store(self, connection: sa.Connection, row: Any, item: Update) -> bool:
        """``row`` is the handoff that it is about."""
        about = {"handoff_id": row.id, "conversation_id": row.conversation_id, "desk": row.desk}
        update = item.model_copy(update={**about, "id": f"{row.desk}:{item.id}"})
        if not updates.add(connection, update, self.context.clock()):
            return False
        self.subscriptions.woken(connection, update.kind)
        return True

    def _move(self, connection: sa.Connection, ticket: Any, status: Status, at: datetime) -> None:
        """Move the handoff as its ticket moved; one that was superseded by a follow-up moves nothing."""
        row = handoffs.get(connection, ticket.handoff_id, lock=True)
        if (row.ticket_id, row.desk) != (ticket.id, ticket.desk):
            return
        state = self._state(connection, row, ticket.id, status, at)
        if state != row.state:
            handoffs.change(connection, row.id, state=state)
            handoffs.note(connection, row.id, self.context.clock(), f"{state}: the ticket is {status}")

    def _state(
        self,
        connection: sa.Connection,
        row: Any,
        ticket_id: str,
        status: Status,
        at: datetime,
        *,
        first: bool = False,
    ) -> str:
        """The state that a ticket's status gives its handoff; work that begins again is an update too."""
        state = _FINAL.get(status, State.WITH_HUMANS)
        if state is State.WITH_HUMANS and State(row.state).ended and not first:
            stamp = f"reopened:{ticket_id}:{at:%Y%m%d%H%M%S}"
            reopened = Update(id=stamp, kind=UpdateKind.REOPENED, ticket_id=ticket_id, at=at, status=status)
            self._store(connection, row, reopened)
        return state


def _is_of_that_moment(row: Any, item: Update) -> bool:
    """True for what may be the very change that a ticket shows: clocks of two roads differ."""
    return any(at and abs(item.at - at) <= _SAME_MOMENT for at in (row.status_at, row.updated_at))


def _status(ticket: Ticket, at: datetime, stamp: str) -> Update:
    return Update(
        id=f"status:{ticket.id}:{ticket.status}:{stamp}",
        kind=UpdateKind.STATUS,
        ticket_id=ticket.id,
        at=at,
        actor=Actor(kind="human"),
        status=ticket.status,
        raw_status=ticket.raw_status,
    )


def _assignment(ticket: Ticket, at: datetime, stamp: str) -> Update:
    return Update(
        id=f"assignment:{ticket.id}:{ticket.assignee}:{ticket.group}:{stamp}",
        kind=UpdateKind.ASSIGNMENT,
        ticket_id=ticket.id,
        at=at,
        actor=Actor(kind="human"),
        assignee=ticket.assignee,
        group=ticket.group,
    )
