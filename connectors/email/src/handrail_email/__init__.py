"""Email: one handoff becomes one mail to a team's mailbox, and the replies come back by IMAP.

Threads:  https://www.rfc-editor.org/rfc/rfc5322#section-3.6.4
Bounces:  https://www.rfc-editor.org/rfc/rfc3464
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from handrail import (
    Can,
    Change,
    Connector,
    FetchMail,
    Finding,
    Handoff,
    Html,
    Message,
    Page,
    Plain,
    Reply,
    Role,
    Said,
    Status,
    Steps,
    Ticket,
    TryMail,
    Unsupported,
    hookimpl,
)
from handrail_email import compose, inbound, tokens
from handrail_email.outbox import EmailOutbox, asked_again
from handrail_email.sayings import ANSWERED

__all__ = ["Email"]
LIMIT = 100_000
"""Bytes of a mail's text: readers such as Gmail clip longer ones. The whole is then in an attached file."""
SAID = {Status.SOLVED: "solved", Status.CLOSED: "closed", Status.OPEN: "open again"}


class Email(EmailOutbox):
    """Settings of one email desk, and what becomes of handoffs there."""

    name = "email"
    title = "Email"
    can = Can.ATTACH | Can.TAG | Can.NOTE | Can.REPLY | Can.POLL | Can.CHANGE
    dialect = Plain(limit=LIMIT)
    html: ClassVar[Html] = Html(limit=LIMIT)
    lag = timedelta(minutes=2)
    simulated = "handrail_email.simulated:SimulatedMail"

    def create(self, handoff: Handoff) -> Steps[Ticket]:
        wishes = yield from self.wishes(handoff)
        final = wishes.handoff
        bodies = self.body(final), self.body(final, self.html)
        files = list({file.name: file for body in bodies for file in body.files}.values())
        letter = compose.first(wishes, [body.text for body in bodies], files)
        yield from self.send(letter, self.mailbox(final))
        return self.ticket(final)

    def find(self, handoff: Handoff) -> Steps[Ticket | None]:
        if not self.imap:
            return None
        seen = yield from self.seen(tokens.message_id(handoff.marker, "0", self.address))
        return self.ticket(handoff) if seen else None

    def say(self, ticket: Ticket, said: Said) -> Steps[Ticket]:
        texts = self._texts(said.messages, said.marker)
        done = yield from self.add(ticket, said.marker, texts, said.handoff.created_at, said.files)
        asks = any(message.role is Role.CUSTOMER for message in said.messages)
        return asked_again(done, said.marker) if asks and done.status in ANSWERED else done

    def change(self, ticket: Ticket, change: Change) -> Steps[Ticket]:
        """A mail that says so: nobody but the readers can change anything in a mailbox."""
        if change.status is Status.DELETED:
            raise Unsupported("a mail cannot be taken back; close the handoff")
        words = [f"Urgency is now: {change.urgency.value}"] if change.urgency else []
        words += [f"This handoff is {SAID.get(change.status, change.status.value)}"] if change.status else []
        words += [change.note] if change.note else []
        texts = self._texts([Message(role=Role.AI, text="\n".join(words))], change.marker)
        at = ticket.updated_at or datetime.fromtimestamp(0, UTC)
        done = yield from self.add(ticket, change.marker, texts, at)
        return done.model_copy(update={"status": change.status or done.status})

    def poll_page(self, cursor: str | None, tickets: Sequence[Ticket], now: datetime) -> Steps[Page]:
        if not self.imap:
            return Page(cursor=cursor)
        oldest = min((ticket.updated_at for ticket in tickets if ticket.updated_at), default=now)
        found = (yield FetchMail(cursor=cursor, since=(oldest - timedelta(days=1)).date())).found
        return inbound.page(self, found.mails, tickets, found.cursor, found.more)

    def check(self) -> Steps[list[Finding]]:
        yield TryMail()
        found = [Finding("smtp", True, "signed in")]
        if not self.imap:
            return [*found, Finding("imap", True, "not set: replies and bounces are not read")]
        for folder in [None, *([self.sent_folder] if self.sent_folder else [])]:
            yield FetchMail(folder, headers=[("Message-ID", "<handrail.check>")])
            found.append(Finding("imap", True, f"{folder or 'the mailbox'} can be read"))
        if self.authserv_id:
            return found
        hint = "not set: whoever writes in a colleague's name is believed (see the README)"
        return [*found, Finding("authserv_id", True, hint, warning=True)]

    def refused_fields(self, reply: Reply) -> Mapping[str, str]:
        """A group's mailbox that does not exist: the default one takes its handoffs."""
        refused = reply.headers.get("stage") == "RCPT" and reply.headers.get("recipient")
        return {"group": self.explain(reply)} if refused and refused != self.groups["default"] else {}

    def _texts(self, messages: Sequence[Message], marker: str) -> list[str]:
        return [dialect.messages(messages, marker) for dialect in (self.dialect, self.html)]


@hookimpl
def handrail_connectors() -> list[type[Connector]]:
    return [Email]
