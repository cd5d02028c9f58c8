"""A script for an environment of its own: drives a simulated desk with python-freshdesk, which others wrote.

``drive_with_python_freshdesk.py URL FILE`` makes tickets and works on them; what the client made of the
answers is printed as one JSON object.
"""

from __future__ import annotations

import json
import sys
from typing import Any
from urllib.parse import urlsplit

from freshdesk.v2.api import API
from freshdesk.v2.errors import FreshdeskBadRequest, FreshdeskNotFound, FreshdeskUnauthorized
from requests.adapters import HTTPAdapter

DOMAIN = "acme.freshdesk.com"


class ToLoopback(HTTPAdapter):
    """Sends what is meant for ``https://any.host/path`` to the simulated desk."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        parts = urlsplit(request.url)
        request.url = f"{self.url}{parts.path}" + (f"?{parts.query}" if parts.query else "")
        return super().send(request, *args, **kwargs)


def client(url: str, key: str) -> API:
    api = API(DOMAIN, key)
    api._session.mount("https://", ToLoopback(url))
    return api


def refused(kind: type[Exception], call: Any, *args: Any, **named: Any) -> str | None:
    """The words of the refusal that a call ends in."""
    try:
        call(*args, **named)
    except kind as error:
        return str(error)
    return None


def work(api: API, file: str) -> dict[str, Any]:
    groups = {group.name: group.id for group in api.groups.list_groups()}
    who = {"name": "Ann Lee", "email": "ann@example.com", "description": "<p>Please help</p>"}
    custom = {"cf_handoff_id": "h1"}
    made = api.tickets.create_ticket(
        "Refund", priority=3, group_id=groups["Premium"], tags=["ai"], custom_fields=custom, **who
    )
    filed = api.tickets.create_ticket("With a file", tags=["ai"], attachments=(file,), **who)
    note = api.comments.create_note(made.id, "<p>internal</p>", private=True)
    reply = api.comments.create_reply(made.id, "<p>On its way</p>")
    updated = api.tickets.update_ticket(made.id, status=4, priority=4)
    read = api.tickets.get_ticket(made.id, "stats", "requester", "conversations")
    listed = api.tickets.list_tickets(filter_name=None, updated_since="2020-01-01T00:00:00Z", per_page=1)
    api.tickets.delete_ticket(filed.id)
    return {
        "groups": sorted(groups),
        "ids": [made.id, filed.id],
        "made": [made.subject, made.priority, made.status, made.tags, made.custom_fields["cf_handoff_id"]],
        "attachment": filed.attachments[0]["name"],
        "note": [note.source, note.private, note.body_text],
        "reply": [reply.source, reply.private, str(reply)],
        "updated": [updated.status, updated.priority],
        "read": [read.stats["resolved_at"] is not None, read.requester["name"], len(read.conversations)],
        "comments": [comment.body_text for comment in api.comments.list_comments(made.id)],
        "listed": [ticket.id for ticket in listed],
        "deleted": [ticket.id for ticket in api.tickets.list_deleted_tickets()],
        "me": api.agents.currently_authenticated_agent().contact["name"],
        "contacts": [contact.name for contact in api.contacts.list_contacts()],
        "fields": [field.name for field in api.ticket_fields.list_ticket_fields()],
        "found": [ticket.id for ticket in api.tickets.filter_tickets("cf_handoff_id:'h1'")],
        "refused": refused(FreshdeskBadRequest, api.tickets.create_ticket, "x", priority=9, **who),
        "missing": refused(FreshdeskNotFound, api.tickets.get_ticket, 999_999),
    }


if __name__ == "__main__":
    sys.stdout, out = sys.stderr, sys.stdout  # the client prints each deletion
    seen = work(client(sys.argv[1], "simulated-api-key"), sys.argv[2])
    seen["stranger"] = refused(FreshdeskUnauthorized, client(sys.argv[1], "wrong").groups.list_groups)
    print(json.dumps(seen), file=out)
