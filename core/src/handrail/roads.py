"""The two roads by which updates come back: webhooks, and polls that run besides, always."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from datetime import datetime, timedelta

import sqlalchemy as sa

from handrail.connector import Can, Doorbell, Page
from handrail.context import Context
from handrail.errors import DeskPaused, HandrailError, SignatureError, Unsupported
from handrail.fallback import undone
from handrail.ids import ulid
from handrail.model import Ticket, Update
from handrail.signature import Hook
from handrail.store import desks, updates
from handrail.sync import Inbox, Taken

log = logging.getLogger("handrail.sync")

SOLVED_STAYS_WATCHED = timedelta(days=28)
"""A solved ticket may be reopened for this long before it is no longer asked for."""
PAGES_AT_ONCE = 20
PASS_SECONDS = 60.0
"""A pass that has taken so long leaves the next page to the next one: its job must not be taken for lost."""
READS = 1000
"""Numbers of the jobs that read one ticket: each occasion has so many of its own, for its tries."""
_RETRIES = 30
_PATIENCE = 3
_SOON = 5.0
_LONGEST_READ = 3600.0


class Roads:
    def __init__(self, context: Context, inbox: Inbox) -> None:
        self.context = context
        self.inbox = inbox

    # Webhooks.

    def receive(self, desk: str, headers: Mapping[str, str], body: bytes) -> str:
        """Verify and store a webhook, and the job that reads it; returns its id.

        Raises ``NotFound`` for an unknown desk, ``SignatureError`` for what is not genuine; then nothing
        is stored.
        """
        connector = self.context.connector(desk)
        hook = Hook(body, {name.lower(): value for name, value in headers.items()})
        secret = getattr(connector, "webhook_secret", None)
        if connector.signature is None or not secret:
            raise SignatureError(f"the desk {desk} has no webhook_secret in the configuration")
        now = self.context.clock()
        connector.signature.check(hook, secret, now)
        id = ulid(now)
        kept = {
            name: value for name, value in hook.headers.items() if name != connector.signature.header.lower()
        }
        kept.pop("authorization", None)
        with self.context.store.begin() as connection:
            desks.add_hook(connection, id, desk, kept, body, now)
            self.context.schedule(connection, f"hook:{desk}", id, 0, 0)
        return id

    def settle(self, id: str, n: int | None = None) -> None:
        """Turn a stored webhook into updates. What it reports too early is read again a little later."""
        with self.context.store.read() as connection:
            row = desks.hook(connection, id)
        if row.state != "todo" or (n is not None and row.n != n):
            return
        try:
            page, unknown = self._read_hook(row.desk, Hook(row.body, json.loads(row.headers)))
        except Exception as error:
            return self._later(id, _words("reading a webhook", error))
        with self.inbox.taking(row.desk, page) as connection:
            row = desks.hook(connection, id, lock=True)
            patient = row.n < _PATIENCE
            items = [*page.items, *unknown] if row.state == "todo" else []
            taken = {self.inbox.take(connection, row.desk, item, patient=patient) for item in items}
            if Taken.TOO_EARLY not in taken and row.state == "todo":
                desks.change_hook(connection, id, state="done", due_at=None, error=None)
                self.context.finished(connection, f"hook:{row.desk}", id, row.n)
        if Taken.TOO_EARLY in taken:
            self._later(id, "it is about something that is still being sent")

    def _read_hook(self, desk: str, hook: Hook) -> tuple[Page, list[Doorbell]]:
        """What a webhook says, its doorbells followed; those of tickets that nobody knows are given back."""
        found: list[Update | Ticket] = []
        unknown: list[Doorbell] = []
        for item in self.context.connector(desk).events(hook):
            page = self._page_of(desk, item.ticket_id) if isinstance(item, Doorbell) else None
            if page is not None:
                found += page.items
            elif isinstance(item, Doorbell):
                unknown.append(item)
            else:
                found.append(item)
        said = Page([x for x in found if isinstance(x, Update)], [x for x in found if isinstance(x, Ticket)])
        return said, unknown

    def _page_of(self, desk: str, ticket_id: str) -> Page | None:
        with self.context.store.read() as connection:
            row = updates.ticket_of(connection, desk, ticket_id)
        if row is None:
            return None
        return self.context.ask(desk, lambda: self.context.connector(desk).read(updates.as_ticket(row)))

    def _later(self, id: str, why: str) -> None:
        """Again in a little while; after many tries the polls have brought it, or it was never ours."""
        now = self.context.clock()
        with self.context.store.begin() as connection:
            row = desks.hook(connection, id, lock=True)
            if row.n >= _RETRIES and desks.paused(connection, row.desk) is None:
                desks.change_hook(connection, id, state="ignored", due_at=None, error=why)
                return
            delay = _SOON * min(row.n + 1, 12)
            due = now + timedelta(seconds=delay)
            desks.change_hook(connection, id, n=row.n + 1, due_at=due, error=why)
            self.context.schedule(connection, f"hook:{row.desk}", id, row.n + 1, delay)

    # Polls.

    def poll_step(self, desk: str, n: int) -> None:
        """The job: one pass, and the next job."""
        with self.context.store.read() as connection:
            row = desks.get(connection, desk)
        if row is None or row.poll_n != n or desk not in self.context.config.desks:
            return
        delay = self.context.connector(desk).poll.total_seconds()
        error = None
        try:
            if row.paused_because is None:
                self.poll(desk)
        except Exception as trouble:
            error = _words(f"polling {desk}", trouble)
            if isinstance(trouble, DeskPaused) and trouble.status == 401:  # a 403 may be about reading only
                self._pause(desk, error)
        self.schedule_poll(desk, delay, error)

    def _pause(self, desk: str, why: str) -> None:
        """What the desk no longer knows us for, it will not take from us either: no handoff need try that."""
        with self.context.store.begin() as connection:
            desks.change(connection, desk, paused_because=why, paused_at=self.context.clock())

    def schedule_poll(self, desk: str, delay: float, error: str | None = None) -> None:
        now = self.context.clock()
        with self.context.store.begin() as connection:
            row = desks.get(connection, desk)
            n = (row.poll_n if row is not None else 0) + 1
            due = now + timedelta(seconds=delay)
            desks.change(connection, desk, poll_n=n, poll_due_at=due, poll_error=error)
            self.context.schedule(connection, f"poll:{desk}", desk, n, delay)

    def poll(self, desk: str) -> int:
        """One pass over what changed since the last; returns how many updates were new."""
        connector, now = self.context.connector(desk), self.context.clock()
        if Can.POLL not in connector.can:
            raise Unsupported(f"the desk {desk} cannot be polled")
        with self.context.store.read() as connection:
            row = desks.get(connection, desk)
        cursor, fresh, began = (row.cursor if row is not None else None), 0, time.monotonic()
        for _ in range(PAGES_AT_ONCE):
            start, (known, newest) = cursor, self._known(desk, now)  # what the page before taught is known
            page: Page = self.context.ask(
                desk,
                lambda: connector.poll_page(start, known, now),  # noqa: B023 - runs at once
            )
            stored, complete = self._take_page(desk, page, since=newest)
            fresh += stored
            late = time.monotonic() - began > PASS_SECONDS
            if not page.more or not complete or page.cursor == cursor or late:
                break
            cursor = page.cursor
        return fresh

    def _known(self, desk: str, now: datetime) -> tuple[list[Ticket], int]:
        """The tickets that can still change, and the newest update: no ticket that is created behind it."""
        with self.context.store.read() as connection:
            newest = updates.newest(connection)
            rows = updates.open_tickets(connection, desk, now - SOLVED_STAYS_WATCHED)
        return [updates.as_ticket(row) for row in rows], newest

    def _take_page(self, desk: str, page: Page, *, since: int | None = None) -> tuple[int, bool]:
        """Store a page; of a poll also where the next begins, unless something came too early.

        ``since`` is the newest update before the page was asked for. A ticket that has become known behind
        it was not asked about, and the next page may begin behind what happened on it: it is read by itself.
        """
        with self.inbox.taking(desk, page) as connection:
            taken = [self.inbox.take(connection, desk, item) for item in page.items]
            taken += [undone(self.context, connection, desk, late) for late in page.undone]
            complete = Taken.TOO_EARLY not in taken
            if complete and since is not None:
                desks.change(
                    connection, desk, cursor=page.cursor, polled_at=self.context.clock(), poll_error=None
                )
                for ticket_id in updates.created_since(connection, desk, since):
                    read_soon(self.context, connection, desk, ticket_id, 0)
        return taken.count(Taken.STORED), complete

    def read_step(self, desk_and_ticket: str, n: int) -> None:
        """The job: read one ticket, for what happened on it before we knew that it was ours."""
        desk, _, ticket_id = desk_and_ticket.partition("/")
        known = self.context.config.desks.get(desk)
        if known is None or not known.can & (Can.POLL | Can.WEBHOOK):
            return
        try:
            self._take_page(desk, self._page_of(desk, ticket_id) or Page())
        except Unsupported:
            return  # its polls are all there is
        except Exception as error:
            _words(f"reading ticket {ticket_id} of {desk}", error)
            if n % READS < _RETRIES:
                self.schedule_read(desk, ticket_id, n + 1)

    def schedule_read(self, desk: str, ticket_id: str, n: int) -> None:
        with self.context.store.begin() as connection:
            delay = min(_SOON * 2.0 ** (n % READS - 1), _LONGEST_READ)
            read_soon(self.context, connection, desk, ticket_id, n, delay)


def read_soon(
    context: Context, connection: sa.Connection, desk: str, ticket_id: str, n: int, delay: float = 0
) -> None:
    """Schedule the job that reads one ticket; ``n`` is one of the numbers of its occasion, see ``READS``."""
    context.schedule(connection, f"read:{desk}", f"{desk}/{ticket_id}", n, delay)


def _words(doing: str, error: Exception) -> str:
    """What went wrong, for the log and for people; of an error that is not ours only the log says all."""
    if isinstance(error, HandrailError):
        log.warning("%s: %s", doing, error)
        return str(error)
    log.error("%s failed", doing, exc_info=error)
    return f"an error in the connector: {type(error).__name__}: see the log"
