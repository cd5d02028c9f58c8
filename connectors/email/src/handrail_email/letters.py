"""One mail that came in: whose it is, what it names, and what it teaches about its desk."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from email.message import Message
from functools import cached_property
from typing import Any

from handrail import Mail, Ticket
from handrail_email import bounces, parts, tokens, trust
from handrail_email.settings import EmailAccount

_ADDRESSED = ("Delivered-To", "X-Original-To", "Envelope-To", "To", "Cc")
_TAG = re.compile(r"\[[^\[\]#]{0,60}#[0-9]{1,12}\]")
_IDENT = re.compile(r"<(?![^>]{0,200}=\?)[!-;=?-~]{3,200}>")  # they go into headers of ours
_REMEMBERED = 40


@dataclass(frozen=True)
class Letter:
    account: EmailAccount
    mail: Message
    arrived: Mail

    @classmethod
    def of(cls, account: EmailAccount, arrived: Mail) -> Letter:
        return cls(account, parts.parsed(arrived.content), arrived)

    def header(self, name: str) -> str:
        return parts.header(self.mail, name)

    @cached_property
    def sender(self) -> tuple[str, str]:
        """Name and address."""
        return parts.sender(self.mail)

    @cached_property
    def is_from_staff(self) -> bool:
        return self.account.is_staff(self.sender[1])

    @cached_property
    def is_genuine(self) -> bool:
        """True where our own server vouches for the sender, as far as we know which that is."""
        return trust.passes(self.mail, self.sender[1].rpartition("@")[2], self.account.authserv_id)

    @cached_property
    def is_automatic(self) -> bool:
        return trust.is_automatic(self.mail)

    @property
    def is_ours(self) -> bool:
        return bool(tokens.ours(parts.every(self.mail, "Message-ID"))) or "X-Handoff-Version" in self.mail

    @cached_property
    def text(self) -> str:
        return parts.plain_text(self.mail)

    @cached_property
    def idents(self) -> list[str]:
        """The ids that it names, its own first."""
        return _IDENT.findall(" ".join(parts.every(self.mail, "Message-ID", "In-Reply-To", "References")))

    @cached_property
    def tags(self) -> list[str]:
        """What looks like a desk's own tag in the subject, such as ``[desk.test #7]``."""
        return _TAG.findall(self.header("Subject"))

    @cached_property
    def names(self) -> frozenset[str]:
        return frozenset((*self.idents, *self.tags))

    def addressed(self, purpose: str) -> str | None:
        """The ticket of a genuine token in the addresses."""
        return tokens.read(parts.every(self.mail, *_ADDRESSED), purpose, self.account.reply_secret)

    @cached_property
    def bounce(self) -> bounces.Bounce | None:
        back = self.addressed(tokens.BOUNCE) is not None and not self.is_from_staff
        return bounces.definite(self.mail, to_bounce_address=back)

    @cached_property
    def digest(self) -> str:
        """The same for the same mail wherever it lies; another text under the same id is another mail."""
        said = (self.header("Message-ID"), self.header("From"), self.text)
        return hashlib.sha256("\0".join(said).encode("utf-8", "replace")).hexdigest()[:24]


def names_of(ticket: Ticket | None) -> set[str]:
    """Tags and ids by which a ticket's desk calls it."""
    return {*ticket.raw.get("desk_ids", ()), *ticket.raw.get("tags", ())} if ticket else set()


def remembering(ticket: Ticket, letter: Letter) -> Ticket:
    """The ticket with what its desk calls it, for later mails that name neither us nor our ids."""
    if not (letter.is_from_staff and letter.is_genuine):
        return ticket
    foreign = [ident for ident in letter.idents if not tokens.ours([ident])]
    raw: dict[str, Any] = dict(ticket.raw)
    raw["tags"] = _joined(raw.get("tags", ()), letter.tags)[:5]
    raw["desk_ids"] = _joined(raw.get("desk_ids", ()), foreign)[-_REMEMBERED:]
    if foreign and not letter.is_automatic:
        raw["references"] = _joined(raw.get("references", ()), foreign[:1])[-_REMEMBERED:]
    return ticket.model_copy(update={"raw": raw})


def _joined(known: Any, more: list[str]) -> list[str]:
    return list(dict.fromkeys([*known, *more]))
