"""Zendesk Support: one handoff becomes one ticket.

API:       https://developer.zendesk.com/api-reference/ticketing/tickets/tickets/
Webhooks:  https://developer.zendesk.com/documentation/webhooks/verifying/
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from handrail import (
    Can,
    Change,
    Connector,
    Doorbell,
    Handoff,
    Hmac,
    Hook,
    Html,
    Message,
    Page,
    Refused,
    Role,
    Said,
    Status,
    Steps,
    Ticket,
    Unsupported,
    Update,
    hookimpl,
)
from handrail_zendesk import polls, threads, updates
from handrail_zendesk.tickets import ZendeskTickets, inert

__all__ = ["Zendesk"]
# Status words that differ: https://developer.zendesk.com/api-reference/ticketing/tickets/tickets/#json-format
WRITTEN = {Status.NEW: "open", Status.ON_HOLD: "hold", Status.CLOSED: "solved"}


class Zendesk(ZendeskTickets):
    """Settings of one Zendesk account, and what becomes of handoffs there."""

    name = "zendesk"
    title = "Zendesk Support"
    can = Can.ATTACH | Can.TAG | Can.NOTE | Can.REPLY | Can.WEBHOOK | Can.POLL | Can.CHANGE | Can.MOVE
    signature = Hmac(
        header="X-Zendesk-Webhook-Signature",
        over="{timestamp}{body}",
        timestamp_header="X-Zendesk-Webhook-Signature-Timestamp",
    )
    dialect = Html(limit=64_000, placeholders=True)
    api = "/api/v2"
    key_window = timedelta(minutes=110)
    simulated = "handrail_zendesk.simulated:SimulatedZendesk"

    def create(self, handoff: Handoff) -> Steps[Ticket]:
        owner, handoff = yield from self._owner(handoff)
        wishes = yield from self.wishes(handoff)
        final = wishes.handoff
        people = yield from self._people(final)
        brief, uploads = yield from self._brief(final)
        values = {
            "subject": inert(final.subject),
            "comment": self._comment(brief, uploads),
            **people,
            "assignee_id": owner,
            "group_id": int(wishes.group or 0),
            "priority": wishes.urgency,
            "tags": self._tags(final),
            "custom_fields": [{"id": int(field), "value": value} for field, value in wishes.fields.items()],
            "brand_id": None if "brand" in final.unset else self.brand,
            "ticket_form_id": None if "form" in final.unset else self.form,
        }
        return (yield from self._post(values, final.marker))

    def find(self, handoff: Handoff) -> Steps[Ticket | None]:
        return self._marked(handoff.marker)

    def say(self, ticket: Ticket, said: Said) -> Steps[Ticket]:
        text, uploads = yield from self._told(said)
        values: dict[str, Any] = {"comment": self._comment(text, uploads)}
        asks = any(message.role is Role.CUSTOMER for message in said.messages)
        back = asks and ticket.status in (Status.PENDING, Status.SOLVED)  # so does a customer's own mail
        done = yield from self._put(ticket, values | ({"status": "open"} if back else {}), said.marker)
        return done or (yield from self._follow_up(ticket, said, values))

    def change(self, ticket: Ticket, change: Change) -> Steps[Ticket]:
        if change.status is Status.DELETED:
            raise Unsupported("Handrail deletes no Zendesk ticket; solve it")
        values: dict[str, Any] = {}
        if change.group:
            values["group_id"] = int((yield from self.group_to(change.group)))
        if change.urgency:
            values["priority"] = {**self.urgencies, **self.urgency}[change.urgency]
        if change.status:
            values["status"] = WRITTEN.get(change.status, change.status.value)
        marker = _marker(ticket, change)
        if change.note:
            text = self.dialect.messages([Message(role=Role.AI, text=change.note)], marker)
            values["comment"] = {"html_body": text, "public": False}
        done = (yield from self._put(ticket, values, marker)) if values else ticket
        if done is None and change.note:
            raise Refused(f"ticket {ticket.id} is closed and takes no note", status=422)
        return done or ticket.model_copy(update={"status": Status.CLOSED, "raw_status": "closed"})

    def events(self, hook: Hook) -> Iterable[Update | Doorbell]:
        return updates.events(hook)

    def read(self, ticket: Ticket) -> Steps[Page]:
        return threads.read(self.base_url, ticket)

    def poll_page(self, cursor: str | None, tickets: Sequence[Ticket], now: datetime) -> Steps[Page]:
        return polls.poll(self.base_url, self.export, cursor, tickets, now)

    # https://developer.zendesk.com/documentation/ticketing/managing-tickets/creating-and-updating-tickets/
    def _follow_up(self, ticket: Ticket, said: Said, values: dict[str, Any]) -> Steps[Ticket]:
        """A new ticket that follows a closed one, and keeps whose it is and who works on it."""
        kept = {key: ticket.raw.get(key) for key in ("group_id", "priority", "requester_id", "brand_id")}
        new = {"subject": inert(said.handoff.subject), "via_followup_source_id": int(ticket.id)}
        return (yield from self._post(values | kept | new, said.marker))

    def _comment(self, html: str, uploads: list[str]) -> dict[str, Any]:
        """A comment whose visibility is always said: else that of the ticket's first comment counts."""
        comment = {"html_body": html, "public": self.visibility == "public"}
        return comment | ({"uploads": uploads} if uploads else {})


def _marker(ticket: Ticket, change: Change) -> str:
    """What finds a change's note again; a digest where the caller gave nothing."""
    seed = f"{ticket.id} {ticket.raw.get('updated_at')} {change.note}".encode()
    return (change.marker or f"note-{hashlib.sha256(seed).hexdigest()[:16]}") if change.note else ""


@hookimpl
def handrail_connectors() -> list[type[Connector]]:
    return [Zendesk]
