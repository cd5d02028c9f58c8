"""Asking Zendesk what happened: to one ticket, to the tickets we know, or to all by the incremental export.

Comments:  https://developer.zendesk.com/api-reference/ticketing/tickets/ticket_comments/
Export:    https://developer.zendesk.com/api-reference/ticketing/ticket-management/incremental_exports/
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from handrail import Names, Page, Refused, Request, Status, Steps, Ticket, Update
from handrail_zendesk.updates import STATUSES, Row, Seen, number, ticket_of, time

LAG = 60
"""Seconds. The export leaves out the most recent minute, and may not be asked for it."""
START = 600
"""Seconds. The export begins this long before the poll that prepared it: clocks differ."""
EVERY = 900
"""Seconds between looks at all known tickets beside the export, which may not tell what was deleted."""
FIELDS = {"assignee_id": "assignee", "group_id": "group"}


def read(base_url: str, ticket: Ticket) -> Steps[Page]:
    """One ticket and its newest comments. A wrong address is a 404 too: only Zendesk's words mean deleted."""
    reply = yield Request("GET", f"/tickets/{ticket.id}", accept=frozenset({404}))
    if reply.status == 404:
        if not isinstance(reply.data, dict) or reply.data.get("error") != "RecordNotFound":
            raise Refused(f"404 for ticket {ticket.id}: is the subdomain right? {reply.excerpt}", status=404)
        gone = {"status": Status.DELETED, "raw_status": "deleted"}
        return Page(tickets=[ticket.model_copy(update=gone)])
    row = reply.json["ticket"]
    updates = yield from comments(row)
    return Page(updates, [ticket_of(base_url, row)])


def comments(row: Row) -> Steps[list[Update]]:
    """The newest 100 comments of a ticket, oldest first."""
    params: dict[str, str | int] = {"sort": "-created_at", "page[size]": 100, "include": "users"}
    data = (yield Request("GET", f"/tickets/{row['id']}/comments", params=params)).json
    users = {user.get("id"): user for user in data.get("users") or []}
    found = [_comment(row, comment, users) for comment in data["comments"]]
    return sorted((update for update in found if update), key=lambda update: update.at)


def _comment(row: Row, comment: Row, users: dict[object, Row]) -> Update | None:
    if not comment.get("created_at") or not _readable(comment):
        return None
    author = comment.get("author_id")
    user = users.get(author, {})
    staff = user["role"] != "end-user" if user.get("role") else author != row.get("requester_id")
    at = time(comment["created_at"])
    seen = Seen(str(row["id"]), at, at, comment)
    return seen.comment(
        comment.get("id"), comment.get("body"), comment.get("public"), staff, user.get("name")
    )


def _readable(comment: Row) -> bool:
    return number(comment.get("id")) is not None and isinstance(comment.get("public"), bool)


def poll(
    base_url: str, export: bool, cursor: str | None, tickets: Sequence[Ticket], now: datetime
) -> Steps[Page]:
    """The export from its second poll on; else, and at first, every known ticket."""
    seconds = int(now.timestamp())
    if not export:
        return (yield from known(base_url, "" if (cursor or "").isdigit() else cursor or "", tickets))
    if not (cursor or "").isdigit():
        page = yield from known(base_url, "", tickets)
        return replace(page, cursor=str(seconds - START))
    page = yield from exported(base_url, min(int(cursor or 0), seconds - LAG), tickets)
    if page.more or int(cursor or 0) // EVERY == int(page.cursor or 0) // EVERY:
        return page
    states = yield from known(base_url, "9", tickets)  # since never: comments only of what moved meanwhile
    return replace(page, updates=[*page.updates, *states.updates], tickets=states.tickets)


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
        if child.get("event_type") == "Comment" and _readable(child):
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
