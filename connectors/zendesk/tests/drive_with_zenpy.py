"""A script for an environment of its own: drives a simulated desk with zenpy, a client that others wrote.

``drive_with_zenpy.py work URL`` makes a ticket and works on it, ``export URL`` reads the exports; what zenpy
made of the answers is printed as one JSON object.
"""

from __future__ import annotations

import json
import sys
from typing import Any
from urllib.parse import urlsplit

from requests import Session
from requests.adapters import HTTPAdapter
from zenpy import Zenpy
from zenpy.lib.api_objects import Comment, Ticket, User


class ToLoopback(HTTPAdapter):
    """Sends what is meant for ``https://any.host/path`` to the simulated desk."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        meant = request.url
        parts = urlsplit(meant)
        request.url = f"{self.url}{parts.path}" + (f"?{parts.query}" if parts.query else "")
        response = super().send(request, *args, **kwargs)
        request.url = response.url = meant  # zenpy tells the kind of an answer by its address
        return response


def client(url: str) -> Zenpy:
    session = Session()
    session.mount("https://", ToLoopback(url))
    return Zenpy(subdomain="acme", email="bot@example.com", token="simulated-api-token", session=session)


def work(zendesk: Zenpy) -> dict[str, Any]:
    groups = {group.name: group.id for group in zendesk.groups() if not group.deleted}
    made = zendesk.tickets.create(
        Ticket(
            subject="Refund",
            comment=Comment(html_body="<p>Please help</p>", public=False),
            requester=User(name="Ann Lee", email="ann@example.com"),
            group_id=groups["Premium"],
            priority="high",
            external_id="h1",
            tags=["ai"],
        )
    )
    ticket = zendesk.tickets(id=made.ticket.id)
    ticket.comment = Comment(html_body="<p>Done</p>", public=True)
    ticket.status = "pending"
    updated = zendesk.tickets.update(ticket)
    comments = zendesk.tickets.comments(ticket=ticket.id)
    properties = [ticket.subject, ticket.priority, ticket.external_id]
    return {
        "me": zendesk.users.me().role,
        "groups": sorted(groups),
        "id": made.ticket.id,
        "first_comment": made.audit.events[0]["body"],
        "read": [*properties, ticket.group.name, ticket.requester.name],
        "updated": [updated.ticket.status, [event["type"] for event in updated.audit.events]],
        "comments": [[comment.body, comment.public] for comment in comments],
        "audits": len(list(zendesk.tickets.audits(ticket=ticket.id))),
        "by_external_id": [found.id for found in zendesk.tickets(external_id="h1")],
        "many": [found.id for found in zendesk.tickets(ids=[ticket.id])],
        "found": [user.name for user in zendesk.users.search(query="ann@example.com")],
        "fields": [field.title for field in zendesk.ticket_fields()],
        "upload": zendesk.attachments.upload(sys.argv[0], target_name="script.txt").token != "",
    }


def export(zendesk: Zenpy) -> dict[str, Any]:
    events = list(zendesk.tickets.events(start_time=1, include=["comment_events"]))
    children = [child for event in events for child in event.child_events]
    return {
        "tickets": [[ticket.id, ticket.status] for ticket in zendesk.tickets.incremental(start_time=1)],
        "said": [child["body"] for child in children if child["event_type"] == "Comment"],
        "statuses": [child["status"] for child in children if "status" in child],
    }


if __name__ == "__main__":
    print(json.dumps({"work": work, "export": export}[sys.argv[1]](client(sys.argv[2]))))
