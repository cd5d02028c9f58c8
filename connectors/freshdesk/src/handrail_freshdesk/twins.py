"""Twins, which an unsure create may have left. One on which people have written is not taken from them."""

from __future__ import annotations

import hashlib

from handrail import Handoff, LeftOpen, Message, Reply, Request, Role, Status, Steps, Ticket
from handrail_freshdesk.asking import asked
from handrail_freshdesk.looking import find
from handrail_freshdesk.tickets import FreshdeskTickets

ENDED = (Status.SOLVED, Status.CLOSED, Status.DELETED)
NOT_MERGED = frozenset({400, 403, 404, 405, 409, 422})


class FreshdeskTwins(FreshdeskTickets):
    def sweep(self, handoff: Handoff, ticket: Ticket) -> Steps[list[str]]:
        twins: list[str] = []
        for row in (yield from find(self.mark(handoff.marker, handoff), handoff, everywhere=True)):
            twin = yield from self.ticket(row)
            if twin.id == ticket.id or twin.status in ENDED:
                continue
            written = (yield from self.read(twin)).updates
            if any(update.actor.kind != "system" for update in written):
                yield from self._leave(twin, ticket)
                twins.append(LeftOpen(twin.id))
            else:
                yield from self._end(twin, ticket)
                twins.append(twin.id)
        return twins

    def _leave(self, twin: Ticket, ticket: Ticket) -> Steps[None]:
        """Say on each of the two that there is the other: the twin may be what people saw first."""
        here = f"This is the same handoff as ticket {ticket.id}, where the customer's conversation goes on."
        yield from self._say_once(twin, f"{here} What is written here does not reach it: please go on there.")
        there = f"Ticket {twin.id} is the same handoff, and somebody has written on it already."
        yield from self._say_once(ticket, f"{there} Please look there before you answer.")

    def _say_once(self, ticket: Ticket, words: str) -> Steps[None]:
        marker = f"note-{hashlib.sha256(f'{ticket.id} {words}'.encode()).hexdigest()[:16]}"
        if (yield from self.noted(ticket, marker)):
            return
        text = self.dialect.messages([Message(role=Role.AI, text=words)], marker)
        note, path = {"body": text, "private": True}, f"/tickets/{ticket.id}/notes"
        yield from asked(Request("POST", path, json=note, repeatable=True))

    # https://developers.freshdesk.com/api/#ticket_merge (PUT by some sources, POST by others)
    def _end(self, twin: Ticket, ticket: Ticket) -> Steps[None]:
        """Merge a twin into the ticket; where that is refused, close it with a note that names the first."""
        given = {
            "primary_id": int(ticket.id),
            "ticket_ids": [int(twin.id)],
            "convert_recepients_to_cc": False,
        }
        for method in ("PUT", "POST"):
            reply: Reply = yield Request(
                method, "/tickets/merge", json=given, repeatable=True, accept=NOT_MERGED
            )
            if reply.ok:
                return
            if reply.status not in (404, 405):
                break
        yield from self._say_once(twin, f"The same handoff as ticket {ticket.id}: please go on there.")
        yield from asked(Request("PUT", f"/tickets/{twin.id}", json={"status": 5}, repeatable=True))
