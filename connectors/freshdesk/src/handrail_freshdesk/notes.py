"""Private notes, and what becomes of files that Freshdesk does not take: the text goes, and names them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from handrail import Body, File, Handoff, Message, Reply, Request, Role, Said, Steps, Ticket
from handrail_freshdesk import refusals
from handrail_freshdesk.asking import asked, every
from handrail_freshdesk.polls import FreshdeskPolls
from handrail_freshdesk.values import sent

GONE = frozenset({404})
"""Deleted for good, or archived: it takes neither notes nor changes."""
NOT_TAKEN = frozenset({400, 413})
"""What a form with files may be refused with. The note alone shows whether these are to blame."""


class FreshdeskNotes(FreshdeskPolls):
    def brief(self, handoff: Handoff) -> Body:
        """The brief with its files; once Freshdesk has refused them it names them, and none goes along."""
        body, why = self.body(handoff), handoff.unset.get("files")
        if why is None:
            return body
        unset = handoff.unset | {"files": f"{_named(body.files)}: {why}"}
        return Body(self.body(handoff.model_copy(update={"unset": unset})).text, ())

    def told(self, ticket: Ticket, said: Said) -> Steps[str | None]:
        """Later messages as a note. Without their files, where Freshdesk refuses these, and with a word."""
        reply = yield from self._note(ticket, self.message_text(said), said.files, said.marker)
        if reply.status in NOT_TAKEN:
            words = f"Freshdesk did not take {_named(said.files)}. It said: {refusals.explain(reply)}"
            less = replace(said, messages=(*said.messages, Message(role=Role.AI, text=words)))
            reply = yield from self._note(ticket, self.message_text(less), (), said.marker)
        return _id(reply)

    def note(self, ticket: Ticket, html: str, marker: str) -> Steps[str | None]:
        """Add a private note and return its update id; None where the ticket takes none."""
        return _id((yield from self._note(ticket, html, (), marker)))

    # https://developers.freshdesk.com/api/#add_note_to_a_ticket
    def _note(self, ticket: Ticket, html: str, files: Sequence[File], marker: str) -> Steps[Reply]:
        """A note is always private. A reply would be mailed to the customer, who wrote it."""
        path, given = f"/tickets/{ticket.id}/notes", {"body": html, "private": True}
        look, accept = self.noted(ticket, marker), GONE | (NOT_TAKEN if files else frozenset())
        return (yield from asked(Request("POST", path, unless=look, accept=accept, **sent(given, files))))

    def noted(self, ticket: Ticket, marker: str) -> Steps[str | None]:
        """The oldest conversation that holds the marker: a later one may quote it."""
        mark = re.compile(rf"(?<![\w-]){re.escape(marker)}(?![\w-])")
        rows = yield from every(f"/tickets/{ticket.id}/conversations", accept=GONE)
        ids = [int(row["id"]) for row in rows if mark.search(f"{row.get('body')} {row.get('body_text')}")]
        return f"conversation:{min(ids)}" if ids else None


def _id(reply: Reply) -> str | None:
    """The update id of a note that was made or found."""
    made = reply.ok and not reply.found
    return f"conversation:{int(reply.json['id'])}" if made else reply.found


def _named(files: Sequence[File]) -> str:
    return ", ".join(file.name for file in files)
