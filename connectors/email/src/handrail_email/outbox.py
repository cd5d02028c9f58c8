"""Sending mails so that none is lost, and none is sent twice where a mailbox shows what was sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from handrail import FetchMail, File, Handoff, KeepMail, Page, SendMail, Status, Steps, Ticket
from handrail_email import compose, inbound, tokens
from handrail_email.compose import Letter
from handrail_email.sayings import ASKS
from handrail_email.settings import EmailAccount

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class EmailOutbox(EmailAccount):
    def mailbox(self, handoff: Handoff) -> str:
        """The mailbox of a handoff's group; the default one where there is none, or where it refused."""
        wanted = None if "group" in handoff.unset else handoff.group
        return self.groups.get(wanted or "default", self.groups["default"])

    def ticket(self, handoff: Handoff) -> Ticket:
        """The mail as a ticket. What later mails of the thread need stands in ``raw``."""
        ident, mailbox = tokens.message_id(handoff.marker, "0", self.address), self.mailbox(handoff)
        raw: dict[str, Any] = {"to": mailbox, "subject": compose.subject(handoff), "references": [ident]}
        raw |= {"name": handoff.customer.name, "customer": handoff.customer.email}
        at = handoff.created_at.replace(microsecond=0)  # mailboxes tell whole seconds only
        return Ticket(id=handoff.marker, status=Status.NEW, group=mailbox, updated_at=at, raw=raw)

    def send(self, letter: Letter, to: str) -> Steps[None]:
        content, ident = compose.message(self, letter, to), letter.message_id(self)
        look = self.seen(ident) if self.imap else None
        sender = self.signed(tokens.BOUNCE, letter.ticket)
        envelope = tokens.envelope_id(letter.ticket, letter.marker)
        yield SendMail(content, sender, to, self.copy_to(to), envelope, unless=look, repeatable=not look)
        if self.imap and self.sent_folder:
            yield KeepMail(content, self.sent_folder, named(ident), unless=self.kept(ident))

    def seen(self, ident: str) -> Steps[bool | None]:
        """True where a mailbox holds the mail, or an answer to it."""
        headers = [*named(ident), ("In-Reply-To", ident)]
        found = (yield FetchMail(headers=headers, limit=1)).found
        return bool(found.mails) or (self.sent_folder and (yield from self.kept(ident))) or None

    def kept(self, ident: str) -> Steps[bool | None]:
        """True where the folder of sent mails holds it; some servers put it there themselves."""
        missing = frozenset({404})
        found = (yield FetchMail(self.sent_folder, named(ident), limit=1, accept=missing)).found
        return bool(found and found.mails) or None

    def add(
        self, ticket: Ticket, marker: str, texts: Sequence[str], at: datetime, files: Sequence[File] = ()
    ) -> Steps[Ticket]:
        """A further mail of the thread; ``texts`` are plain and HTML."""
        ticket = yield from self._as_the_desk_calls_it(ticket)
        letter = compose.later(ticket, marker, texts, time_of(marker) or at, files)
        yield from self.send(letter, ticket.raw["to"])
        chain = [*ticket.raw.get("references", ()), letter.message_id(self)]
        return ticket.model_copy(update={"raw": ticket.raw | {"references": chain}})

    def _as_the_desk_calls_it(self, ticket: Ticket) -> Steps[Ticket]:
        """Some desks thread by their own tag alone: look for their answer before the next mail goes out."""
        if self.imap and not ticket.raw.get("tags"):
            page = yield from self.read(ticket)
            return next(iter(page.tickets), ticket)
        return ticket

    def read(self, ticket: Ticket) -> Steps[Page]:
        if not self.imap:
            return Page()
        ident = ticket.id.lower()
        headers = [(name, f"ho.{ident}.") for name in ("References", "In-Reply-To")]
        headers += [(name, f"+{tokens.REPLY}.{ident}.") for name in ("To", "Cc", "Delivered-To")]
        found = (yield FetchMail(headers=headers)).found
        return inbound.page(self, found.mails, [ticket], found.cursor, False)


def named(ident: str) -> list[tuple[str, str]]:
    """Where a mail of ours is found by its id: some servers put in one of their own, and leave References."""
    return [("Message-ID", ident), ("References", ident)]


def asked_again(ticket: Ticket, marker: str) -> Ticket:
    """The ticket as the customer's own mail would leave it: open, from the moment in which they wrote.

    That moment is behind everything known: mails that are read once more do not close it again.
    """
    known = ticket.updated_at or datetime.fromtimestamp(0, UTC)
    asked = (time_of(marker) or known).replace(microsecond=0)  # mailboxes tell whole seconds only
    at = max(asked, known + timedelta(seconds=1))
    return ticket.model_copy(update={"status": Status.OPEN, "raw_status": ASKS, "updated_at": at})


def time_of(marker: str) -> datetime | None:
    """The time in a ULID, so that the same message always has the same date."""
    if len(marker) != 26 or any(character not in _ALPHABET for character in marker):
        return None
    milliseconds = sum(_ALPHABET.index(c) << (5 * n) for n, c in enumerate(reversed(marker[:10])))
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
