"""Jira: one handoff becomes one issue, or one request of Jira Service Management.

API:       https://developer.atlassian.com/cloud/jira/platform/rest/v3/intro/
Server:    https://developer.atlassian.com/server/jira/platform/jira-rest-api-examples/
Requests:  https://developer.atlassian.com/cloud/jira/service-desk/rest/intro/
Webhooks:  https://developer.atlassian.com/cloud/jira/platform/webhooks/
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import ClassVar

from handrail import (
    Can,
    Change,
    Connector,
    Doorbell,
    Finding,
    Handoff,
    Hook,
    Page,
    Request,
    Role,
    Said,
    Status,
    Steps,
    Ticket,
    Unsupported,
    Urgency,
    hookimpl,
)
from handrail_jira import updates
from handrail_jira.checks import JiraChecks
from handrail_jira.customers import Row
from handrail_jira.fields import PROPERTY
from handrail_jira.signature import JiraSignature

__all__ = ["Jira"]


class Jira(JiraChecks):
    """Settings of one Jira site, and what becomes of handoffs there."""

    name = "jira"
    title = "Jira"
    can = Can.ATTACH | Can.TAG | Can.NOTE | Can.REPLY | Can.WEBHOOK | Can.POLL | Can.CHANGE | Can.MOVE
    signature = JiraSignature()
    lag = timedelta(seconds=120)
    looks = tuple(timedelta(seconds=seconds) for seconds in (5, 15, 45))
    sweep_after = timedelta(minutes=10)
    # Names of priorities are translated; these ids are a new site's Low, Medium, High and Highest.
    urgencies: ClassVar = dict(zip(Urgency, "4321", strict=True))
    simulated = "handrail_jira.simulated:SimulatedJira"

    def create(self, handoff: Handoff) -> Steps[Ticket]:
        if self.service_desk:
            return (yield from self.request(handoff))
        wishes = yield from self.wishes(handoff)
        optional, final = yield from self.optional(wishes)
        fields, body = optional | (yield from self._required(final)), self.body(final)
        apart = "description" in final.unset  # then the brief is the first comment
        fields |= {} if apart else {"description": self.written(body.text)}
        sent = {"fields": fields, "properties": [{"key": PROPERTY, "value": {"id": final.marker, "v": 1}}]}
        reply = yield Request("POST", self.at("/issue"), json=sent, unless=self.found(final))
        ticket = reply.found or self._made(reply.json, optional)
        ours = (yield from self.comment(ticket, body.text, final.marker)) if apart else ()
        ours += yield from self.attach(ticket, body.files, final.marker)
        return ticket.model_copy(update={"ours": ours})

    def _required(self, handoff: Handoff) -> Steps[Row]:
        id, key = (yield from self.type_id()), (yield from self.key())
        kind = {"id": id} if id else {"name": self.issue_type}
        return {"project": {"key": key}, "issuetype": kind, "summary": handoff.subject}

    def _made(self, row: Row, fields: Row) -> Ticket:
        """What was made. It has no time: whatever is said on it from now on is still to be read."""
        known = {"id": row["id"], "key": row["key"], "fields": {"labels": fields.get("labels") or []}}
        return updates.ticket_of(self, known)

    def find(self, handoff: Handoff) -> Steps[Ticket | None]:
        return self.found(handoff)

    def say(self, ticket: Ticket, said: Said) -> Steps[Ticket]:
        text = self.message_text(said)
        if self.service_desk:
            ours = yield from self.note(ticket, text, said.marker, said.files)
        else:
            ours = yield from self.comment(ticket, text, said.marker)
            ours += yield from self.attach(ticket, said.files, said.marker)
        asks = any(message.role is Role.CUSTOMER for message in said.messages)
        if asks and ticket.status is Status.SOLVED:  # else nobody would see that the customer asks again
            ticket = yield from self.move(ticket, Status.OPEN, must=False)
        return ticket.model_copy(update={"ours": ours})

    def change(self, ticket: Ticket, change: Change) -> Steps[Ticket]:
        if change.status is Status.DELETED:
            raise Unsupported("Handrail deletes no Jira issue; solve it")
        if change.urgency or change.group:
            ticket = yield from self.edit(ticket, change)
        ours: tuple[str, ...] = ()
        if change.note:
            digest = hashlib.sha256(f"{ticket.id} {change.note}".encode()).hexdigest()[:16]
            ours = yield from self.remark(ticket, change.note, change.marker or f"note-{digest}")
        moved = (yield from self.move(ticket, change.status)) if change.status else ticket
        return moved.model_copy(update={"ours": ours})

    def events(self, hook: Hook) -> Iterable[Doorbell]:
        return updates.events(hook)

    def read(self, ticket: Ticket) -> Steps[Page]:
        return self.read_issue(ticket)

    def poll_page(self, cursor: str | None, tickets: Sequence[Ticket], now: datetime) -> Steps[Page]:
        return self.poll_issues(cursor, tickets, now)

    def check(self) -> Steps[list[Finding]]:
        return self.findings()


@hookimpl
def handrail_connectors() -> list[type[Connector]]:
    return [Jira]
