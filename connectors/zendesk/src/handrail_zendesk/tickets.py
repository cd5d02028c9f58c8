"""Writing to Zendesk so that nothing is written twice."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from handrail import Handoff, NotDone, Refused, Reply, Request, Steps, Ticket
from handrail_zendesk import refusals, threads
from handrail_zendesk.files import ZendeskFiles
from handrail_zendesk.updates import number, ticket_of

TRIES = 5
"""So often an update is sent again because the ticket moved; the last time without asking whether it did."""


class ZendeskTickets(ZendeskFiles):
    # https://developer.zendesk.com/api-reference/ticketing/introduction/#idempotency
    def _post(self, values: dict[str, Any], marker: str) -> Steps[Ticket]:
        ticket = {"external_id": marker} | {key: value for key, value in values.items() if value}
        look = self._marked(marker)
        reply = yield Request("POST", "/tickets", json={"ticket": ticket}, key=marker, unless=look)
        return reply.found or self._ticket(reply)

    def _marked(self, marker: str) -> Steps[Ticket | None]:
        """The ticket with this external id, the oldest where there are several; its first comment is ours."""
        reply = yield Request("GET", "/tickets", params={"external_id": marker})
        rows = [row for row in reply.json["tickets"] if row.get("external_id") == marker]
        if not rows:
            return None
        row = min(rows, key=lambda row: int(row["id"]))
        written = yield from threads.comments(row)
        return ticket_of(self.base_url, row, tuple(update.id for update in written[:1]))

    # https://developer.zendesk.com/api-reference/ticketing/tickets/tickets/#protecting-against-ticket-update-collisions
    def _put(self, ticket: Ticket, values: dict[str, Any], marker: str = "") -> Steps[Ticket | None]:
        """Update a ticket that may move under our hands; None when it is closed. A comment has a marker."""
        path, stamp = f"/tickets/{ticket.id}", ticket.raw.get("updated_at")
        for n in range(TRIES):
            safe = {"safe_update": True, "updated_stamp": stamp} if stamp and n < TRIES - 1 else {}
            reply = yield Request(
                "PUT",
                path,
                json={"ticket": values | safe},
                accept=frozenset({409, 422}),
                unless=self._landed(ticket, marker) if marker else None,
                repeatable=not marker,
            )
            if reply.found or reply.ok:
                return reply.found or self._ticket(reply)
            if marker and (landed := (yield from self._landed(ticket, marker))):
                return landed
            row = (yield Request("GET", path)).json["ticket"]
            if reply.status == 422:
                self._must_be_closed(row, reply)
                return None
            stamp = row.get("updated_at")
        raise NotDone(f"ticket {ticket.id} moved {TRIES} times while it was written to")

    def _must_be_closed(self, row: Mapping[str, Any], reply: Reply) -> None:
        """Zendesk words this refusal in several ways and languages; the ticket itself says it in one."""
        if row.get("status") != "closed":
            raise Refused(self.explain(reply), fields=self.refused_fields(reply), status=reply.status)

    def _landed(self, ticket: Ticket, marker: str) -> Steps[Ticket | None]:
        """The ticket, if a comment holds the marker. The oldest is ours: a customer's mail may quote it."""
        path, mark = f"/tickets/{ticket.id}", re.compile(rf"(?<![\w-]){re.escape(marker)}(?![\w-])")
        reply = yield Request("GET", f"{path}/comments", params={"sort": "-created_at", "page[size]": 100})
        for comment in sorted(reply.json["comments"], key=lambda comment: int(comment["id"])):
            if any(mark.search(str(comment.get(part))) for part in ("body", "html_body", "plain_body")):
                row = (yield Request("GET", path)).json["ticket"]
                return ticket_of(self.base_url, row, (f"comment:{comment['id']}",))
        return None

    def _ticket(self, reply: Reply) -> Ticket:
        """The ticket of an answer. Its audit names our own comment, whose echo is then known."""
        data = reply.json
        events = (data.get("audit") or {}).get("events") or []
        written = (number(event.get("id")) for event in events if event.get("type") == "Comment")
        return ticket_of(self.base_url, data["ticket"], tuple(f"comment:{id}" for id in written if id))

    def _people(self, handoff: Handoff) -> Steps[dict[str, Any]]:
        """The customer, and us as the author of the brief: without a submitter the customer would be."""
        customer = handoff.customer
        if not customer.email or "customer" in handoff.unset:
            return {}
        name = " ".join(inert(customer.name or customer.email).split())
        me = yield from self.id_of("me", "me")
        return {"requester": {"name": name, "email": customer.email.strip()}, "submitter_id": int(me or 0)}

    def _owner(self, handoff: Handoff) -> Steps[tuple[int, Handoff]]:
        """The agent who was asked for; one that Zendesk does not have is noted in the handoff."""
        who = handoff.owner or self.assignee
        if not who or "owner" in handoff.unset:
            return 0, handoff
        found = who if who.isascii() and who.isdigit() else (yield from self.id_of(f"agent {who}", who))
        why = {} if found else {"owner": f"Zendesk has no agent {who!r}"}
        return int(found or 0), handoff.model_copy(update={"unset": handoff.unset | why})

    def _tags(self, handoff: Handoff) -> list[str]:
        tags = [] if "tags" in handoff.unset else [*handoff.tags, *self.tags, "ai_handoff"]
        return list(dict.fromkeys(re.sub(r"[\s,]+", "_", tag.strip()) for tag in tags if tag.strip()))

    def explain(self, reply: Reply) -> str:
        return refusals.explain(reply)

    def refused_fields(self, reply: Reply) -> Mapping[str, str]:
        return refusals.refused_fields(reply, self.fields)

    def key_is_used(self, reply: Reply) -> bool:
        return refusals.key_is_used(reply)

    def is_for_all(self, reply: Reply) -> bool:
        return refusals.is_for_all(reply)


def inert(text: str) -> str:
    """Text in which nothing is a placeholder: Zendesk would replace ``{{ticket.id}}``."""
    return re.sub(r"\{(?=[{%])", "{ ", text)
