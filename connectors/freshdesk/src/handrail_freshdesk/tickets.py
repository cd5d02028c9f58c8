"""Writing to Freshdesk so that nothing is written twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from handrail import DeskError, File, Handoff, Names, Refused, Reply, Request, Said, Steps, Ticket
from handrail_freshdesk import refusals
from handrail_freshdesk.asking import asked
from handrail_freshdesk.looking import Mark, find, requester
from handrail_freshdesk.notes import GONE, FreshdeskNotes
from handrail_freshdesk.values import inert, sent, tags, typed

CONFLICT = frozenset({409})


class FreshdeskTickets(FreshdeskNotes):
    def mark(self, marker: str, handoff: Handoff) -> Mark:
        """The marker's place; one that Freshdesk refused is left for the next."""
        field = self.marker_field if "marker_field" not in handoff.unset else None
        return Mark(marker, field, tagged=field is None and "tags" not in handoff.unset)

    # https://developers.freshdesk.com/api/#create_ticket
    def post(
        self, values: dict[str, Any], files: Sequence[File], marker: str, handoff: Handoff
    ) -> Steps[Ticket]:
        mark = self.mark(marker, handoff)
        given = {**requester(handoff), **values, "tags": self._tags(handoff, mark)}
        if mark.field:
            given["custom_fields"] = {**values.get("custom_fields", {}), mark.field: marker}
        for _ in range(2):  # two handoffs of one new customer: the second time the contact is there
            look = self.landed(mark, handoff)
            request = Request("POST", "/tickets", unless=look, accept=CONFLICT, **sent(given, files))
            reply: Reply = yield from asked(request)
            if not refusals.is_taken(reply):
                break
        if reply.status in CONFLICT:
            raise self._conflict(request, reply, handoff)
        return reply.found or (yield from self.ticket(reply.json))

    def _conflict(self, request: Request, reply: Reply, handoff: Handoff) -> DeskError:
        """A 409 is about what can be left out, or passes: it is never the end of a handoff."""
        named = {name: why for name, why in self.refused_fields(reply).items() if name not in handoff.unset}
        return Refused(self.explain(reply), fields=named) if named else refusals.conflicting(request, reply)

    def landed(self, mark: Mark, handoff: Handoff) -> Steps[Ticket | None]:
        """The oldest ticket with our mark."""
        rows = yield from find(mark, handoff)
        return (yield from self.ticket(rows[0])) if rows else None

    def _tags(self, handoff: Handoff, mark: Mark) -> list[str]:
        wanted = [] if "tags" in handoff.unset else [*handoff.tags, *self.tags, "ai_handoff"]
        return tags([*wanted, *([mark.tag] if mark.tagged else [])])

    def custom(self, fields: Mapping[str, str]) -> Steps[dict[str, Any]]:
        """Values of custom fields in their own types, as far as the account tells them."""
        types = (yield Names("fields")).json if fields else {}
        return {name: typed(types.get(name), value) for name, value in fields.items()}

    def owner(self, handoff: Handoff) -> Steps[tuple[int | None, Handoff]]:
        """The agent who was asked for; one that Freshdesk does not have is noted in the handoff."""
        who = handoff.owner
        if not who or "owner" in handoff.unset:
            return None, handoff
        found = who if who.isascii() and who.isdigit() else (yield from self.id_of(f"agent {who}", who))
        why = {} if found else {"owner": f"Freshdesk shows us no agent {who!r}"}
        return int(found) if found else None, handoff.model_copy(update={"unset": handoff.unset | why})

    # https://developers.freshdesk.com/api/#update_ticket
    def put(self, ticket: Ticket, values: dict[str, Any], ours: Sequence[str] = ()) -> Steps[Ticket]:
        """Change a ticket and return it as it is then. What is archived or deleted stays as it is."""
        if values:
            path = f"/tickets/{ticket.id}"
            reply = yield from asked(Request("PUT", path, json=values, repeatable=True, accept=GONE))
            if reply.ok:
                return (yield from self.ticket(reply.json, ours))
        now = (yield from self.read(ticket)).tickets
        return (now[0] if now else ticket).model_copy(update={"ours": tuple(ours)})

    def follow_up(self, ticket: Ticket, said: Said) -> Steps[Ticket]:
        """A new ticket for what an archived or deleted one can no longer take."""
        kept = {key: ticket.raw[key] for key in ("group_id", "priority", "product_id") if ticket.raw.get(key)}
        before = (
            f'<p>Follows <a href="{ticket.url}">ticket {int(ticket.id)}</a>, which is closed for good.</p>'
        )
        values = {
            "subject": inert(said.handoff.subject),
            "description": before + self.message_text(said),
            "status": 2,
        }
        return (yield from self.post(values | kept, said.files, said.marker, said.handoff))
