"""A simulated email desk: real SMTP and IMAP servers on loopback, with people who answer by mail.

``support@desk.test`` and ``billing@desk.test`` are the teams' mailboxes; ``bot@handrail.test`` is ours and
can be read by IMAP. A fault is about ``SEND /mail`` and goes wrong at ``stage=``: ``ehlo``, ``auth``,
``mail``, ``rcpt``, ``data`` or ``dot`` (the final dot, the default).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from email.utils import format_datetime, make_msgid
from threading import Event
from typing import Any, Self
from urllib.parse import quote

from handrail.testing.desk import SimulatedComment, SimulatedDesk, SimulatedFile, SimulatedTicket
from handrail.testing.faults import Fault
from handrail.testing.wire import Seen
from handrail_email.simulated.servers import Imap, Loop, Smtp

__all__ = ["Delivered", "SimulatedMail"]
GROUPS = {"Support": "support@desk.test", "Billing": "billing@desk.test"}
OURS, PASSWORD, SECRET = "bot@handrail.test", "simulated-password", "simulated-reply-secret"
AUTHSERV_ID = "mx.handrail.test"


@dataclass(frozen=True)
class Delivered:
    """A mail in a team's mailbox."""

    mailbox: str
    sender: str
    content: bytes
    mail: EmailMessage
    by_us: bool = True


class SimulatedMail(SimulatedDesk):
    """``imap=False``: the settings name no mailbox of ours. ``sent_folder`` is one that the server fills."""

    def __init__(
        self,
        *,
        clock: Callable[[], datetime] | None = None,
        port: int = 0,
        imap: bool = True,
        sent_folder: str | None = None,
    ) -> None:
        super().__init__(clock=clock, port=port)
        self.with_imap, self.sent_folder = imap, sent_folder
        self.mails: list[Delivered] = []
        self.released = Event()
        self.smtp = Smtp(self, user=OURS, password=PASSWORD)
        self.imap = Imap(OURS, PASSWORD)
        self.io: Loop | None = None

    # Life.

    def start(self) -> Self:
        super().start()
        self.io = Loop()
        self.io.run(self.imap.open())
        if self.sent_folder:
            self.io.run(self.imap.create(self.sent_folder))
        self.io.run(self.smtp.open())
        return self

    def stop(self) -> None:
        self.released.set()
        if self.io is not None:
            self.io.run(self.smtp.close())
            self.io.run(self.imap.close())
            self.io.close()
            self.io = None
        super().stop()

    def refuse(self) -> None:
        self._io.run(self.smtp.close())

    def accept_again(self) -> None:
        self._io.run(self.smtp.open())

    def release(self) -> None:
        hanging, self.released = self.released, Event()
        hanging.set()

    @property
    def _io(self) -> Loop:
        if self.io is None:
            raise RuntimeError("start() the desk first")
        return self.io

    def settings(self) -> dict[str, Any]:
        user = quote(OURS, safe="")
        known: dict[str, Any] = {
            "connector": "email",
            "smtp": f"smtp://{user}:{PASSWORD}@127.0.0.1:{self.smtp.port}",
            "from": f"AI desk <{OURS}>",
            "groups": {**GROUPS, "default": GROUPS["Support"]},
            "reply_secret": SECRET,
            "authserv_id": AUTHSERV_ID,
        }
        if self.sent_folder:
            known["sent_folder"] = self.sent_folder
        imap = {"imap": f"imap://{user}:{PASSWORD}@127.0.0.1:{self.imap.port}"} if self.with_imap else {}
        return known | imap

    # The server's side.

    def connected(self) -> Fault | None:
        """A client is here: what is to go wrong with it?"""
        self.requests.append(Seen("SEND", "/mail", {}, {}, b"", self.now(), "/mail"))
        return self.faults.take("SEND /mail")

    def knows(self, address: str) -> bool:
        return base(address) in {OURS, *GROUPS.values()}

    async def taken(self, sender: str, recipients: Sequence[str], content: bytes) -> None:
        """Put a mail into each recipient's mailbox."""
        mail = BytesParser(policy=default).parsebytes(content)
        for address in recipients:
            if base(address) == OURS:
                await self._into_ours(sender, address, content)
            else:
                with self.lock:
                    self.mails.append(Delivered(base(address), sender, content, mail))

    async def _into_ours(self, sender: str, address: str, content: bytes, verdict: str = "pass") -> None:
        found = BytesParser(policy=default).parsebytes(content, headersonly=True)
        domain = str(found["From"]).rpartition("@")[2].strip(" >")
        trace = f"Return-Path: <{sender}>\r\nDelivered-To: {address}\r\n"
        trace += f"Authentication-Results: {AUTHSERV_ID}; dmarc={verdict} header.from={domain}\r\n"
        await self.imap.append(trace.encode() + content, self.now())

    def arrives(
        self, content: bytes, *, to: str = OURS, sender: str = "bea@desk.test", verdict: str = "pass"
    ) -> None:
        """A mail from outside comes into our mailbox."""
        self._io.run(self._into_ours(sender, to, content, verdict))

    # What people see.

    @property
    def tickets(self) -> list[SimulatedTicket]:
        """Each mail that begins a thread; a second copy is a second ticket."""
        with self.lock:
            mails = list(self.mails)
        begun = [each for each in mails if each.by_us and "In-Reply-To" not in each.mail]
        firsts = {str(each.mail["X-Handoff-Id"]): each for each in reversed(begun)}
        return [
            _ticket(each, mails if firsts[str(each.mail["X-Handoff-Id"])] is each else ()) for each in begun
        ]

    # People.

    def human_replies(self, ticket_id: str, text: str, *, name: str | None = None) -> str:
        return self._writes(ticket_id, text, name)

    def human_notes(self, ticket_id: str, text: str, *, name: str | None = None) -> str:
        return self._writes(ticket_id, f"#note\n{text}", name)

    def human_solves(self, ticket_id: str, text: str | None = None, *, name: str | None = None) -> None:
        self._writes(ticket_id, f"#solved\n{text or ''}", name)

    def human_assigns(self, ticket_id: str, name: str) -> None:
        self._writes(ticket_id, f"#assign {name}", None)

    def _writes(self, ticket_id: str, text: str, name: str | None) -> str:
        """As a mail program does it: below the answer stands what is answered."""
        last = next(d for d in reversed(self.mails) if str(d.mail["X-Handoff-Id"]) == ticket_id and d.by_us)
        said, reply = last.mail, EmailMessage(policy=default)
        who = name or "Bea"
        reply["From"] = f"{who} <{who.lower()}@desk.test>"
        reply["To"] = str(said["Reply-To"])
        reply["Subject"] = f"Re: {said['Subject']}"
        reply["Date"] = format_datetime(self.now())
        reply["Message-ID"] = make_msgid(domain="desk.test")
        reply["In-Reply-To"] = str(said["Message-ID"])
        reply["References"] = f"{said['References']}"
        quoted = "\n".join(f"> {line}" for line in _text(said, "plain").splitlines())
        reply.set_content(f"{text}\n\nOn Mon, Nov 23, 2026 at 9:00 AM AI desk <{OURS}> wrote:\n{quoted}\n")
        self.arrives(reply.as_bytes(), to=str(said["Reply-To"]), sender=f"{who.lower()}@desk.test")
        with self.lock:
            self.mails.append(Delivered(last.mailbox, "", reply.as_bytes(), reply, by_us=False))
        return str(reply["Message-ID"])


def base(address: str) -> str:
    """An address without what stands behind its plus."""
    local, _, domain = address.lower().rpartition("@")
    return f"{local.partition('+')[0]}@{domain}"


def _ticket(first: Delivered, mails: Sequence[Delivered]) -> SimulatedTicket:
    mail, ident = first.mail, str(first.mail["X-Handoff-Id"])
    later = [m for m in mails if m is not first and "In-Reply-To" in m.mail and _is_about(m.mail, ident)]
    names = {mailbox: name for name, mailbox in GROUPS.items()}
    return SimulatedTicket(
        id=ident,
        subject=str(mail["Subject"]),
        status="new",
        external_id=ident,
        group=names.get(first.mailbox),
        group_id=first.mailbox,
        priority=str(mail["X-Priority"]),
        requester=str(mail["X-Handoff-Customer"] or ""),
        tags=str(mail["X-Handoff-Tags"] or "").split(", "),
        comments=[_comment(each) for each in (first, *later)],
    )


def _is_about(mail: EmailMessage, ident: str) -> bool:
    return f"ho.{ident.lower()}." in str(mail["References"])


def _comment(each: Delivered) -> SimulatedComment:
    mail, files = each.mail, [_file(part) for part in each.mail.iter_attachments()]
    ident, texts = str(mail["Message-ID"]), (_text(mail, "plain"), _text(mail, "html"))
    return SimulatedComment(ident, texts[0], True, str(mail["From"]), texts[1], files)


def _file(part: Any) -> SimulatedFile:
    return SimulatedFile(part.get_filename() or "", part.get_payload(decode=True), part.get_content_type())


def _text(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    return str(part.get_content()) if part is not None else ""
