"""Freshdesk: one handoff becomes one ticket, by one request.

API:       https://developers.freshdesk.com/api/
Webhooks:  https://support.freshdesk.com/support/solutions/articles/132589
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, ClassVar

from handrail import (
    Can,
    Change,
    Connector,
    Doorbell,
    Handoff,
    Hook,
    Message,
    Refused,
    Role,
    Said,
    SharedSecret,
    Status,
    Steps,
    Ticket,
    Unsupported,
    Urgency,
    hookimpl,
)
from handrail_freshdesk import updates
from handrail_freshdesk.twins import FreshdeskTwins
from handrail_freshdesk.values import Inert, due_times, inert, source

__all__ = ["Freshdesk"]


class Freshdesk(FreshdeskTwins):
    """Settings of one Freshdesk account, and what becomes of handoffs there."""

    name = "freshdesk"
    title = "Freshdesk"
    can = Can.ATTACH | Can.TAG | Can.NOTE | Can.WEBHOOK | Can.POLL | Can.CHANGE | Can.MOVE
    signature = SharedSecret(header="X-Handrail-Secret")
    dialect = Inert(limit=64_000)
    api = "/api/v2"
    lag = timedelta(seconds=60)
    sweep_after = timedelta(minutes=10)
    urgencies: ClassVar[Mapping[Urgency, str]] = dict(zip(Urgency, "1234", strict=True))
    simulated = "handrail_freshdesk.simulated:SimulatedFreshdesk"

    def create(self, handoff: Handoff) -> Steps[Ticket]:
        owner, handoff = yield from self.owner(handoff)
        wishes = yield from self.wishes(handoff)
        due, final = due_times(wishes.handoff)
        body = self.brief(final)
        custom = yield from self.custom(wishes.fields)
        values: dict[str, Any] = {
            "subject": inert(final.subject),
            "description": body.text,
            "status": 2,
            "priority": wishes.urgency and self.priority(wishes.urgency),
            "source": source(final),
            "group_id": wishes.group and int(wishes.group),
            "responder_id": owner,
            "product_id": None if "product" in final.unset else self.product,
            "email_config_id": None if "email_config" in final.unset else self.email_config,
            "custom_fields": custom,
            **due,
        }
        kept = {key: value for key, value in values.items() if value}
        return (yield from self.post(kept, body.files, final.marker, final))

    def find(self, handoff: Handoff) -> Steps[Ticket | None]:
        return self.landed(self.mark(handoff.marker, handoff), handoff)

    def say(self, ticket: Ticket, said: Said) -> Steps[Ticket]:
        noted = yield from self.told(ticket, said)
        if noted is None:
            return (yield from self.follow_up(ticket, said))
        now = yield from self.put(ticket, {}, [noted])
        asks = any(message.role is Role.CUSTOMER for message in said.messages)
        if asks and now.status in (Status.PENDING, Status.SOLVED, Status.CLOSED):
            return (yield from self.put(ticket, {"status": 2}, [noted]))  # as the customer's own mail does
        return now

    def change(self, ticket: Ticket, change: Change) -> Steps[Ticket]:
        if change.status is Status.DELETED:
            raise Unsupported("Handrail deletes no Freshdesk ticket; solve it")
        values: dict[str, Any] = {}
        if change.group:
            values["group_id"] = int((yield from self.group_to(change.group)))
        if change.urgency:
            values["priority"] = self.priority({**self.urgencies, **self.urgency}[change.urgency])
        if change.status:
            values["status"] = yield from self.status_number(change.status)
        now = (yield from self.put(ticket, values)) if values else None
        noted = [(yield from self._remark(ticket, change))] if change.note else []  # it says what was refused
        return (
            now.model_copy(update={"ours": tuple(noted)}) if now else (yield from self.put(ticket, {}, noted))
        )

    def events(self, hook: Hook) -> Iterable[Doorbell]:
        return updates.events(hook)

    def _remark(self, ticket: Ticket, change: Change) -> Steps[str]:
        """The note of a change; without a marker of the caller's it is found by a digest."""
        seed = f"{ticket.id} {ticket.raw.get('updated_at')} {change.note}".encode()
        marker = change.marker or f"note-{hashlib.sha256(seed).hexdigest()[:16]}"
        text = self.dialect.messages([Message(role=Role.AI, text=change.note or "")], marker)
        noted = yield from self.note(ticket, text, marker)
        if noted is None:
            raise Refused(f"ticket {ticket.id} is archived or deleted and takes no note", status=404)
        return noted


@hookimpl
def handrail_connectors() -> list[type[Connector]]:
    return [Freshdesk]
