"""Asking Freshdesk what happened: to one ticket, and to all since the last poll.

https://developers.freshdesk.com/api/#list_all_tickets
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from handrail import Page, Refused, Reply, Request, Status, Steps, Ticket
from handrail_freshdesk.account import FreshdeskAccount
from handrail_freshdesk.asking import asked, every, following
from handrail_freshdesk.updates import Row, conversations, listed, stamp, time

OVERLAP = timedelta(minutes=2)
"""A poll begins this long before the newest change that the last one saw: a list may be late."""
LAST_PAGE = 290
"""Freshdesk refuses page 301."""
EMBEDDED = 10
"""So many conversations come along with a ticket at most; they are the oldest."""
SECOND = timedelta(seconds=1)
MISSING, NOT_THERE = frozenset({404}), frozenset({403, 404})


@dataclass(frozen=True)
class Window:
    """Where a poll reads on: ``since`` a change, and the ``newest`` that was seen, by the desk's clock.

    Pages shift while tickets change, so each page begins anew at the last change of the one before; only
    where more tickets than a page holds changed in one second is the next page asked for.
    """

    newest: datetime
    since: datetime
    page: int = 1
    fresh: bool = False

    @classmethod
    def of(cls, cursor: str | None, tickets: Sequence[Ticket], now: datetime) -> Window:
        if cursor and "|" in cursor:
            newest, since, page = cursor.split("|")
            return cls(time(newest), time(since), int(page))
        first = min(ticket.updated_at or now - timedelta(days=1) for ticket in tickets)
        newest_ = time(cursor) if cursor else first
        return cls(newest_, newest_ - OVERLAP, fresh=True)

    def after(self, rows: Sequence[Row], more: bool) -> str:
        """The cursor behind these rows."""
        last = max((time(row["updated_at"]) for row in rows), default=self.since)
        newest = max(self.newest, last)
        if not more:
            return stamp(newest)
        since, page = self.since, self.page + 1
        if last - SECOND > since:  # updated_since may or may not include its own second
            since, page = last - SECOND, 1
        elif page > LAST_PAGE:
            since, page = since + SECOND, 1
        return f"{stamp(newest)}|{stamp(since)}|{page}"

    def holds(self, row: Row, ticket: Ticket) -> bool:
        """True where the row may have changed since the ticket was read; two changes fit into one second."""
        at = time(row["updated_at"])
        return ticket.updated_at is None or at > ticket.updated_at or at >= self.newest


class FreshdeskPolls(FreshdeskAccount):
    def read(self, ticket: Ticket) -> Steps[Page]:
        """One ticket and its thread. A short thread comes along; a 404 may also mean archived."""
        path = f"/tickets/{ticket.id}"
        reply = yield from asked(Request("GET", path, params={"include": "conversations"}, accept=MISSING))
        if reply.status == 404:
            return (yield from self._archived(ticket, reply))
        row = reply.json
        said = listed(row["conversations"])
        if len(said) >= EMBEDDED:
            said = yield from every(f"{path}/conversations")
        return Page(conversations(said), [(yield from self.ticket(row))])

    def _archived(self, ticket: Ticket, missing: Reply) -> Steps[Page]:
        """Where there is no such ticket. The archive is not in every plan; its 403 may also mean load."""
        if b"<" in missing.content[:200]:
            raise Refused(f"404 for ticket {ticket.id}: is the domain right? {missing.excerpt}", status=404)
        path = f"/tickets/archived/{ticket.id}"
        reply = yield Request("GET", path, accept=NOT_THERE)
        if reply.ok:
            said = yield from every(f"{path}/conversations", accept=NOT_THERE)
            return Page(conversations(said), [(yield from self.ticket(reply.json))])
        if reply.status == 404:
            return Page(tickets=[_as(ticket, Status.DELETED, "deleted")])
        if not isinstance(reply.data, dict) or reply.data.get("code") != "require_feature":
            return Page()
        ended = ticket.status in (Status.SOLVED, Status.CLOSED)
        known = (Status.CLOSED, "archived") if ended else (Status.DELETED, "deleted")
        return Page(tickets=[_as(ticket, *known)])

    def poll_page(self, cursor: str | None, tickets: Sequence[Ticket], now: datetime) -> Steps[Page]:
        """What changed on known tickets, a page at a time; the first also asks for what lists hide."""
        if not tickets:
            return Page()
        window, known = Window.of(cursor, tickets, now), {ticket.id: ticket for ticket in tickets}
        params = _query(window.since) | {"order_type": "asc", "page": window.page}
        reply = yield from asked(Request("GET", "/tickets", params=params))
        rows, more = listed(reply.json), following(reply)
        found = yield from self._changed(window, rows, known)
        if window.fresh:
            hidden = yield from self._hidden(window.since)
            found = _joined(found, (yield from self._changed(window, hidden, known)))
            ticket = tickets[int(now.timestamp() // max(1, self.poll.total_seconds())) % len(tickets)]
            if not {str(row["id"]) for row in (*rows, *hidden)} & {ticket.id}:
                found = _joined(found, (yield from self.read(ticket)))
        return replace(found, cursor=window.after(rows, more), more=more)

    def _changed(self, window: Window, rows: Sequence[Row], known: dict[str, Ticket]) -> Steps[Page]:
        """The known tickets among the rows, and the threads of those that moved."""
        found = Page()
        for row in rows:
            ticket = known.get(str(row["id"]))
            if ticket is None:
                continue
            moved = window.holds(row, ticket)
            said = (yield from every(f"/tickets/{ticket.id}/conversations", accept=MISSING)) if moved else []
            found = _joined(found, Page(conversations(said), [(yield from self.ticket(row))]))
        return found

    def _hidden(self, since: datetime) -> Steps[list[Row]]:
        """What was deleted or taken for spam."""
        rows: list[Row] = []
        for name in ("deleted", "spam"):
            params = _query(since) | {"order_type": "desc", "filter": name}
            reply = yield from asked(Request("GET", "/tickets", params=params, accept=frozenset({400})))
            rows += [row | {name: True} for row in listed(reply.json)] if reply.ok else []
        return rows


def _query(since: datetime) -> dict[str, Any]:
    return {"updated_since": stamp(since), "order_by": "updated_at", "per_page": 100}


def _joined(one: Page, other: Page) -> Page:
    return Page([*one.updates, *other.updates], [*one.tickets, *other.tickets])


def _as(ticket: Ticket, status: Status, word: str) -> Ticket:
    return ticket.model_copy(update={"status": status, "raw_status": word})
