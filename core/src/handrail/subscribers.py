"""Updates go out to subscribers, as signed webhooks, and to plugins: at least once, in their order.

Each subscriber has a cursor in the feed of all updates, and at most one job under way. The cursor moves
behind an update only when the subscriber has answered 2xx, and at once: a crash in between repeats that
one, under the same ``webhook-id``. What a subscriber does not take is tried again for ever; nothing is
skipped.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from handrail import views
from handrail.config_subscribers import Subscriber
from handrail.connector import Finding
from handrail.context import Context
from handrail.engine import LEASE_SECONDS
from handrail.http import Http
from handrail.listeners import Listener, listeners
from handrail.model import Update, UpdateKind
from handrail.posting import Trouble, http_to, pause, post
from handrail.store import subscribers, updates

log = logging.getLogger("handrail.subscribers")

PAGE = 100
SENDING = timedelta(seconds=15)
"""So long one job sends before it leaves the rest to the next; a worker that stops waits for it."""
TIMEOUT_SECONDS = 15.0
LONGEST_WAIT = 300.0
GIVEN_UP_WAIT = 3600.0
_SAFE_ID = re.compile(r"[A-Za-z0-9:_-]{1,128}")


class Subscriptions:
    def __init__(self, context: Context) -> None:
        self.context = context
        self._configured = {subscriber.name: subscriber for subscriber in context.config.subscribers}

    @property
    def named(self) -> dict[str, Subscriber | Listener]:
        """Who is told of updates: the configuration's subscribers, and plugins."""
        return {**self._configured, **listeners()}

    # Jobs.

    def woken(self, connection: sa.Connection, kind: UpdateKind) -> None:
        """In the transaction that stored an update: a job for each who asked for it and has none."""
        names = [name for name, subscriber in self.named.items() if subscriber.wants(kind)]
        if not names:
            return
        before = updates.newest(connection) - 1
        for row in subscribers.known(connection, names, before):
            if row.due_at is None and row.error is None:
                self._schedule(connection, row, 0)

    def resume(self) -> None:
        """At a worker's start: whoever is new begins now, and what was left is due, even after a 410."""
        if not self.named:
            return
        stale = self.context.clock() - timedelta(seconds=LEASE_SECONDS)
        with self.context.store.begin() as connection:
            newest = updates.newest(connection)
            for row in subscribers.known(connection, list(self.named), newest):
                left = row.cursor < newest if row.due_at is None else row.due_at < stale
                if left:
                    self._schedule(connection, row, 0)

    def due(self, connection: sa.Connection, before: datetime) -> bool:
        """True where something is to be sent before a time."""
        return bool(self.named) and subscribers.due(connection, list(self.named), before)

    def _schedule(self, connection: sa.Connection, row: Any, delay: float, **values: Any) -> None:
        due = self.context.clock() + timedelta(seconds=delay)
        subscribers.change(connection, row.name, n=row.n + 1, due_at=due, **values)
        self.context.schedule(connection, f"notify:{row.name}", row.name, row.n + 1, delay)

    # Sending.

    def step(self, name: str, n: int) -> None:
        """The job: send what waits, for a while, then leave a job for the rest or for another try.

        An engine may run a job twice at once. Each run moves the cursor only forward, and ends where the
        other was faster: an update may be sent twice, and never before one that was stored earlier.
        """
        with self.context.store.read() as connection:
            row = subscribers.get(connection, name)
            if row is None or row.n != n or row.due_at is None:
                return
            page = updates.after(connection, row.cursor, PAGE)
        subscriber = self.named.get(name)
        if subscriber is None:  # no longer in the configuration; its cursor stays, for its return
            with self.context.store.begin() as connection:
                subscribers.change(connection, name, due_at=None)
        else:
            self._send(subscriber, row, page)

    def _send(self, subscriber: Subscriber | Listener, row: Any, page: Sequence[tuple[int, Update]]) -> None:
        began, passed = self.context.clock(), row.cursor
        with self._way_to(subscriber) as tell:
            for seq, update in page:
                if abs(self.context.clock() - began) > SENDING:
                    break
                if subscriber.wants(update.kind):
                    trouble = tell(update.model_copy(update={"cursor": str(seq)}))
                    if trouble is not None and isinstance(subscriber, Subscriber):
                        return self._failed(subscriber, row, seq, trouble)
                    with self.context.store.begin() as connection:
                        if not subscribers.move(connection, row.name, row.n, seq):
                            return None
                passed = seq
        return self._settle(row, passed)

    @contextmanager
    def _way_to(self, subscriber: Subscriber | Listener) -> Iterator[Callable[[Update], Trouble | None]]:
        if isinstance(subscriber, Listener):
            yield subscriber.tell
        else:
            with closing(_http(subscriber)) as http:
                yield lambda update: self._post(http, subscriber, update)

    def _post(self, http: Http, subscriber: Subscriber, update: Update) -> Trouble | None:
        now = self.context.clock()
        return post(http, subscriber.url, subscriber.secret, _message_id(update), _body(update), now)

    # What became of it. Each is one transaction.

    def _settle(self, row: Any, passed: int) -> None:
        """All of the page is sent or was not asked for, or the time is up."""
        with self.context.store.begin() as connection:
            current = subscribers.get(connection, row.name, lock=True)
            if current is None or current.n != row.n:
                return
            cursor = max(current.cursor, passed)
            values = {"cursor": cursor, "failing_since": None, "error": None}
            if cursor < updates.newest(connection):
                self._schedule(connection, current, 0, **values)
            else:
                subscribers.change(connection, row.name, due_at=None, **values)

    def _failed(self, subscriber: Subscriber, row: Any, seq: int, trouble: Trouble) -> None:
        now = self.context.clock()
        with self.context.store.begin() as connection:
            current = subscribers.get(connection, row.name, lock=True)
            if current is None or current.n != row.n or current.cursor >= seq:
                return
            since: datetime = current.failing_since or now
            failing, spent = {"failing_since": since, "error": trouble.why}, now - since
            if trouble.gone:
                subscribers.change(connection, row.name, due_at=None, **failing)
            else:
                self._schedule(connection, current, _wait(subscriber, spent, trouble), **failing)
        hopeless = trouble.gone or spent >= subscriber.give_up_after
        level = logging.ERROR if hopeless else logging.WARNING
        log.log(level, "the subscriber at %s did not take an update: %s", subscriber.host, trouble.why)

    # Looking.

    def findings(self) -> list[Finding]:
        """How each subscriber stands, for ``handrail check``; nobody is asked."""
        with self.context.store.read() as connection:
            rows = [subscribers.get(connection, name) for name in self._configured]
            return [
                Finding(
                    f"subscribers[{number}]: {subscriber.host}", *self._standing(connection, subscriber, row)
                )
                for number, (subscriber, row) in enumerate(zip(self._configured.values(), rows, strict=True))
            ]

    def _standing(self, connection: sa.Connection, subscriber: Subscriber, row: Any) -> tuple[bool, str]:
        if row is None:
            return True, "begins with the next update"
        count = subscribers.waiting(connection, row.cursor, subscriber.events)
        if row.error is None:
            return True, f"{count} updates to send"
        since = f"{row.failing_since:%Y-%m-%d %H:%M} UTC"
        following = f"is tried again at {row.due_at:%H:%M} UTC" if row.due_at else _STOPPED
        return False, f"fails since {since}: {row.error}; {count} updates wait; {following}"


_STOPPED = "has stopped; a worker that is started tries again, or remove the table"


def _http(subscriber: Subscriber) -> Http:
    return http_to(subscriber.url, TIMEOUT_SECONDS, "the subscriber")


def _body(update: Update) -> bytes:
    """The same bytes for the same update."""
    data = views.update(update)
    payload = {"type": update.kind.value, "timestamp": data["at"], "data": data}
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()


def _message_id(update: Update) -> str:
    """The update's own id; where that is not fit for a header or has a full stop, a digest of it.

    A desk's ids may be chosen by a stranger, and the signature separates its parts by full stops.
    """
    if _SAFE_ID.fullmatch(update.id):
        return update.id
    return f"sha256:{hashlib.sha256(update.id.encode()).hexdigest()}"


def _wait(subscriber: Subscriber, spent: timedelta, trouble: Trouble) -> float:
    """Seconds before the next try; an hour where it has failed for long."""
    wait = pause(spent.total_seconds(), LONGEST_WAIT, trouble.after)
    return max(wait, GIVEN_UP_WAIT) if spent >= subscriber.give_up_after else wait
