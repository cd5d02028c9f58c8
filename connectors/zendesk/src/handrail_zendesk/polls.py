"""Asking Zendesk what happened: to the tickets we know, or to all by the incremental export.

https://developer.zendesk.com/api-reference/ticketing/ticket-management/incremental_exports/
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from handrail import Names, Page, Request, Steps, Ticket, Update
from handrail_zendesk.threads import comments, read, readable
from handrail_zendesk.updates import STATUSES, Row, Seen, number, ticket_of, time

LAG = 60
"""Seconds. The export leaves out the most recent minute, and may not be asked for it."""
START = 600
"""Seconds. The export begins this long before the poll that prepared it: clocks differ."""
EVERY = 900
"""Seconds between looks at all known tickets beside the export, which may not tell what was deleted.
The cursor is ``EXPORT/LOOK``: on a quiet account the export stands still, and the last look does not."""
FIELDS = {"assignee_id": "assignee", "group_id": "group"}


def poll(
    base_url: str, export: bool, cursor: str | None, tickets: Sequence[Ticket], now: datetime
) -> Steps[Page]:
    """The export from its second poll on; else, and at first, every known ticket."""
    seconds = int(now.timestamp())
    start, _, looked = (cursor or "").partition("/")
    if not export:
        return (yield from known(base_url, "" if start.isdigit() else start, tickets))
    if not start.isdigit():
        page = yield from known(base_url, "", tickets)
        return replace(page, cursor=f"{seconds - START}/{seconds}")
    page = yield from exported(base_url, min(int(start), seconds - LAG), tickets)
    due = not page.more and seconds - int(looked or 0) >= EVERY
    if due:
        states = yield from known(
            base_url, "9", tickets
        )  # since never: only comments of what moved meanwhile
        page = replace(page, updates=[*page.updates, *states.updates], tickets=states.tickets)
    return replace(page, cursor=f"{page.cursor}/{seconds if due else looked or 0}")


def known(base_url: str, since: str, tickets: Sequence[Ticket]) -> Steps[Page]:
    """Known tickets, and the comments of those that moved since the last poll, by the desk's own clock."""
    rows: dict[str, Row] = {}
    for n in range(0, len(tickets), 100):
        ids = ",".join(ticket.id for ticket in tickets[n : n + 100])
        reply = yield Request("GET", "/tickets/show_many", params={"ids": ids})
        rows |= {str(row["id"]): row for row in reply.json["tickets"]}
    updates: list[Update] = []
    missing: list[Ticket] = []
    for ticket in tickets:
        if (row := rows.get(ticket.id)) is None:
            page = yield from read(base_url, ticket)
            updates += page.updates
            missing += page.tickets
        elif _moved(row, ticket, since):
            updates += yield from comments(row)
    newest = max([since, *(str(row.get("updated_at") or "") for row in rows.values())])
    return Page(updates, [*(ticket_of(base_url, row) for row in rows.values()), *missing], newest or None)


def _moved(row: Row, ticket: Ticket, since: str) -> bool:
    at = row.get("updated_at")
    return not at or at >= since or ticket.updated_at is None or time(at) > ticket.updated_at


def exported(base_url: str, start: int, tickets: Sequence[Ticket]) -> Steps[Page]:
    """Everything that happened to known tickets since ``start`` (seconds since the epoch), in one request."""
    params: dict[str, str | int] = {"start_time": start, "include": "comment_events"}
    data = (yield Request("GET", "/incremental/ticket_events", params=params)).json
    ours = {ticket.id: ticket for ticket in tickets}
    updates: list[Update] = []
    for event in data["ticket_events"]:
        ticket = ours.get(str(event.get("ticket_id")))
        if ticket is not None and number(ticket.raw.get("requester_id")):
            updates += _children(event, ticket, (yield from _customers(event, ticket)))
        elif ticket is not None:
            updates += (yield from read(base_url, ticket)).updates
    end = int(data.get("end_time") or start)
    ended = data.get("end_of_stream", int(data.get("count") or 0) < 1000)
    more = not ended and end > start
    return Page(updates, (), str(end if more else max(start, end - LAG)), more)


def _customers(event: Row, ticket: Ticket) -> Steps[set[str | None]]:
    """Who of an event's authors is a customer: the requester, and whoever else is in copy."""
    found = {number(ticket.raw.get("requester_id"))}
    authors = (number(child.get("author_id")) for child in event.get("child_events") or [])
    for author in dict.fromkeys(filter(None, authors)):
        if author not in found and (yield Names(f"user {author}")).json.get("role") == "end-user":
            found.add(author)
    return found


def _children(event: Row, ticket: Ticket, customers: set[str | None]) -> Iterator[Update]:
    moment = event.get("created_at") or event.get("timestamp")
    for child in (moment and event.get("child_events")) or []:
        seen = Seen(ticket.id, time(moment), time(moment), child)
        if child.get("event_type") == "Comment" and readable(child):
            staff = number(child.get("author_id")) not in customers
            yield seen.comment(child.get("id"), child.get("body"), child["public"], staff, None)
        elif child.get("event_type") == "Change":
            yield from _changes(seen, child)


def _changes(seen: Seen, child: Row) -> Iterator[Update]:
    if isinstance(name := child.get("field_name"), str):
        child = {name: child.get("value")}
    if str(child.get("status")).lower() in STATUSES:
        yield seen.status(child["status"])
    yield from (seen.assignment(what, child[field]) for field, what in FIELDS.items() if field in child)
