"""The events that Zendesk posts: envelope, spelling and signature (webhooks of event subscriptions).

See https://developer.zendesk.com/api-reference/webhooks/event-types/ticket-events and
https://developer.zendesk.com/documentation/webhooks/verifying.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import uuid
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from handrail_zendesk.simulated.records import Audit, Comment, Ticket, User, stamp

ACCOUNT_ID = 22129848
_EVENT_OF = {
    "status": "status_changed",
    "custom_status_id": "custom_status_changed",
    "priority": "priority_changed",
    "type": "type_changed",
    "group_id": "group_assignment_changed",
    "assignee_id": "agent_assignment_changed",
    "requester_id": "requester_changed",
    "external_id": "external_id_changed",
    "subject": "subject_changed",
}
_ENUMS = frozenset({"status", "priority", "type"})

Event = tuple[str, dict[str, Any]]
"""The type without its prefix, such as ``comment_added``, and what is special about it."""


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Base64 of an HMAC-SHA256 over the time and the raw body; the secret is used as it is."""
    digest = hmac.new(secret.encode(), timestamp.encode() + body, hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def events_of(audit: Audit, author: User) -> Iterator[Event]:
    """What one update of a ticket is announced as: one event for each thing that changed."""
    if audit.first:
        yield "created", {}
    else:
        yield from _changes(audit)
    if audit.comment:
        yield "comment_added", {"comment": _comment(audit.comment, author)}
        for attachment in audit.comment.attachments:
            linked = {"id": str(attachment.id), "filename": attachment.file.name}
            yield (
                "attachment_linked_to_comment",
                {"attachment": linked, "comment": {"id": str(audit.comment.id)}},
            )


def _changes(audit: Audit) -> Iterator[Event]:
    for _, name, before, after in audit.changes:
        if name in _EVENT_OF and after != "deleted":  # a deletion has an event of its own
            yield _EVENT_OF[name], {"current": _spelt(name, after), "previous": _spelt(name, before)}
        elif name == "tags":
            added = [tag for tag in after if tag not in before]
            yield "tags_changed", {"tags_added": added, "tags_removed": [t for t in before if t not in after]}


def _comment(comment: Comment, author: User) -> dict[str, Any]:
    who = {"id": str(author.id), "is_staff": author.is_staff, "name": author.name}
    known = {"id": str(comment.id), "body": comment.plain_body, "is_public": comment.public}
    return known | {"author": who}


def _spelt(name: str, value: Any) -> str | None:
    if value is None:
        return None
    return str(value).upper() if name in _ENUMS else str(value)


def envelopes(ticket: Ticket, audit: Audit, events: Iterable[Event]) -> Iterator[dict[str, Any]]:
    """The bodies of the events of one update; all ids in them are texts."""
    detail = _detail(ticket, audit.author_id)
    for position, (kind, special) in enumerate(events, 1):
        meta = {"meta": {"sequence": {"id": f"{audit.id:026d}", "position": position}}}
        yield {
            "account_id": ACCOUNT_ID,
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"zen:ticket:{ticket.id}:{audit.id}:{position}")),
            "time": audit.created_at.strftime("%Y-%m-%dT%H:%M:%S.%f000Z"),
            "type": f"zen:event-type:ticket.{kind}",
            "zendesk_event_version": "2022-11-06",
            "subject": f"zen:ticket:{ticket.id}",
            "detail": detail,
            "event": special | meta,
        }


def _detail(ticket: Ticket, actor_id: int) -> dict[str, Any]:
    data = ticket.data
    ids = ("assignee_id", "brand_id", "group_id", "requester_id", "submitter_id")
    known: dict[str, Any] = {name: _spelt(name, data[name]) for name in (*ids, "priority", "type")}
    return known | {
        "id": str(ticket.id),
        "actor_id": str(actor_id),
        "created_at": stamp(ticket.created_at),
        "updated_at": stamp(ticket.updated_at),
        "custom_status": _spelt("custom_status_id", data["custom_status_id"]),
        "description": ticket.comments[0].plain_body,
        "external_id": data["external_id"],
        "form_id": _spelt("ticket_form_id", data["ticket_form_id"]),
        "is_public": any(comment.public for comment in ticket.comments),
        "organization_id": None,
        "status": "DELETED" if ticket.deleted else _spelt("status", data["status"]),
        "subject": data["subject"],
        "tags": data["tags"],
        "via": {"channel": ticket.channel},
    }


def delivery(envelope: dict[str, Any], secret: str, now: datetime) -> tuple[bytes, dict[str, str]]:
    """The raw, pretty-printed body and the headers of one delivery."""
    body = json.dumps(envelope, indent=2, ensure_ascii=False).encode()
    at = stamp(now)
    return body, {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "Zendesk Webhook",
        "X-Zendesk-Account-Id": str(ACCOUNT_ID),
        "X-Zendesk-Webhook-Id": "01HZENDESKSIMULATEDWEBHOOK",
        "X-Zendesk-Webhook-Invocation-Id": uuid.uuid4().hex,
        "X-Zendesk-Webhook-Signature": signature(secret, at, body),
        "X-Zendesk-Webhook-Signature-Timestamp": at,
    }
