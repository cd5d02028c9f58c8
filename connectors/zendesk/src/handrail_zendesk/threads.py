"""One ticket and what was said on it.

https://developer.zendesk.com/api-reference/ticketing/tickets/ticket_comments/
"""

from __future__ import annotations

from handrail import Page, Refused, Request, Status, Steps, Ticket, Update
from handrail_zendesk.updates import Row, Seen, number, ticket_of, time


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
    if not comment.get("created_at") or not readable(comment):
        return None
    author = comment.get("author_id")
    user = users.get(author, {})
    staff = user["role"] != "end-user" if user.get("role") else author != row.get("requester_id")
    at = time(comment["created_at"])
    seen = Seen(str(row["id"]), at, at, comment)
    return seen.comment(
        comment.get("id"), comment.get("body"), comment.get("public"), staff, user.get("name")
    )


def readable(comment: Row) -> bool:
    return number(comment.get("id")) is not None and isinstance(comment.get("public"), bool)
