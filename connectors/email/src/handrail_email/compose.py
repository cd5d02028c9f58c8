"""Composing mails: the same handoff gives the same bytes, and no text of a customer becomes a header.

Form:  https://www.rfc-editor.org/rfc/rfc5322
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime

from handrail import File, Handoff, Ticket, Wishes
from handrail_email import headers, tokens
from handrail_email.settings import EmailAccount

ABOVE = "##- Please reply above this line -##"
COMMANDS = "Lines of their own at the top of a reply: #solved, #pending, #open, #close, #note (internal)"
_TYPE = re.compile(r"(?!multipart/|message/)([a-z0-9.+-]{1,60})/([a-z0-9.+-]{1,80})")
_CHAIN = 20


@dataclass(frozen=True)
class Letter:
    """What a mail says, before it is one; ``texts`` are plain and HTML."""

    ticket: str
    marker: str
    subject: str
    texts: Sequence[str]
    at: datetime
    name: str | None = None
    references: Sequence[str] = ()
    files: Sequence[File] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def message_id(self, account: EmailAccount) -> str:
        return tokens.message_id(self.ticket, self.marker, account.address)


def first(wishes: Wishes, texts: Sequence[str], files: Sequence[File]) -> Letter:
    """The mail that is the handoff; ``texts`` are plain and HTML."""
    handoff = wishes.handoff
    known = {
        **headers.priority(handoff.urgency),
        "X-Handoff-Priority": wishes.urgency or handoff.urgency.value,
        "X-Handoff-Group": handoff.group or "",
        "X-Handoff-Reason": handoff.reason.value,
        "X-Handoff-Tags": ", ".join(_tags(handoff)),
        "X-Handoff-Customer": handoff.customer.email or "",
        **wishes.fields,
    }
    at, name = handoff.created_at, handoff.customer.name
    return Letter(handoff.marker, "0", subject(handoff), texts, at, name, (), files, known)


def later(ticket: Ticket, marker: str, texts: Sequence[str], at: datetime, files: Sequence[File]) -> Letter:
    """A further mail of the same thread; some desks go by nothing but their own tag in the subject."""
    known = ticket.raw
    marks = [tag for tag in known.get("tags", ()) if tag not in known["subject"]]
    about = " ".join(["Re:", *marks[:2], known["subject"]])
    chain = tuple(known.get("references", ()))
    return Letter(ticket.id, marker or "-", about, texts, at, known.get("name"), chain, files)


def subject(handoff: Handoff) -> str:
    """Our tag, and a title in which no desk finds a ticket's tag: ``[desk #7]`` would lead a mail there."""
    title = handoff.subject.translate(str.maketrans("[]#", "()№"))
    return f"{tokens.tag(handoff.marker)} {title}"


def message(account: EmailAccount, letter: Letter, to: str) -> bytes:
    """The whole mail. Its boundary follows from its id: a random one would make each try another mail."""
    mail, ident = EmailMessage(policy=headers.POLICY), letter.message_id(account)
    mail["Message-ID"] = ident
    mail["Date"] = format_datetime(letter.at.astimezone(UTC).replace(microsecond=0))
    mail["From"] = account.from_address(letter.name)
    mail["To"] = Address(addr_spec=to)
    mail["Reply-To"] = Address(addr_spec=account.signed(tokens.REPLY, letter.ticket))
    mail["Subject"] = headers.safe(letter.subject, 200)
    if letter.references:
        mail["In-Reply-To"] = letter.references[-1]
    mail["References"] = " ".join(
        [*_shortened(letter.references), ident]
    )  # ours too: some servers replace it
    for name, value in {**headers.machine(letter.ticket, account.auto_submitted), **letter.headers}.items():
        if headers.safe(value):
            mail[name] = headers.safe(value)
    _fill(mail, letter)
    for number, part in enumerate(part for part in mail.walk() if part.is_multipart()):
        part.set_boundary(f"=_{hashlib.sha256(f'{ident} {number}'.encode()).hexdigest()[:40]}")
    return mail.as_bytes()


def _fill(mail: EmailMessage, letter: Letter) -> None:
    plain, rich = letter.texts
    text = f"{ABOVE}\n\n{plain}\n\n-- \n{COMMANDS}\n"
    html = f"<p>{ABOVE}</p>\n{rich}\n<hr>\n<p><small>{COMMANDS}</small></p>\n"
    mail.set_content(text, charset="utf-8", cte="quoted-printable")
    mail.add_alternative(html, subtype="html", charset="utf-8", cte="quoted-printable")
    for file in letter.files:
        known = _TYPE.fullmatch(file.media_type.partition(";")[0].strip().lower())
        main, sub = known.groups() if known else ("application", "octet-stream")
        mail.add_attachment(file.content, maintype=main, subtype=sub, filename=file.name, cte="base64")


def _tags(handoff: Handoff) -> Iterable[str]:
    return dict.fromkeys([*handoff.conversation.tags, *handoff.tags])


def _shortened(references: Sequence[str]) -> Sequence[str]:
    """The first of a chain and its last ones (RFC 5322 lets the middle go)."""
    return references if len(references) <= _CHAIN else [references[0], *references[1 - _CHAIN :]]
