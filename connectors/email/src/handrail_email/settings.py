"""An email desk's settings: servers, our own address, the teams' mailboxes, and whose mail counts."""

from __future__ import annotations

import re
from email.headerregistry import Address
from email.utils import parseaddr

from pydantic import model_validator

from handrail import Connector, MailServer, MailServers, Steps, secret, setting
from handrail_email import tokens
from handrail_email.words import EVERYBODYS

SCHEMES = {"smtp": ("smtp", "smtps"), "imap": ("imap", "imaps")}
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_HEADER = re.compile(r"X-[A-Za-z0-9-]{1,60}")


class EmailAccount(Connector):
    smtp: str = secret("smtp://USER:PASSWORD@HOST:587 (STARTTLS) or smtps://USER:PASSWORD@HOST (TLS)")
    imap: str | None = secret(
        "imaps://USER:PASSWORD@HOST[/FOLDER]: where replies and bounces arrive", default=None
    )
    oauth_token_command: str | None = setting(
        "Prints an OAuth access token, for XOAUTH2 in place of passwords", default=None
    )
    sender: str = setting("Our own address", alias="from", examples=["AI desk <handoff@example.com>"])
    groups: dict[str, str] = setting(
        "Our group names to mailboxes; default is a must", examples=[{"default": "support@example.com"}]
    )
    reply_to: str | None = setting("Where replies go; plus-addressing works there", default=None)
    reply_secret: str | None = secret("Signs reply addresses; any long random text", default=None)
    staff: tuple[str, ...] = setting(
        "Domains or addresses whose replies count; empty: the groups' own domains", default=()
    )
    authserv_id: str | None = setting(
        "What your mail server writes first in Authentication-Results", default=None
    )
    sent_folder: str | None = setting("Folder for copies of what we sent, such as 'Sent'", default=None)
    auto_submitted: bool = setting(
        "Say that no person wrote our mails; false for desks that then acknowledge nothing", default=True
    )
    own_copy: bool = setting("With imap: a copy to our own mailbox, the proof that a mail left", default=True)

    def mail_servers(self) -> MailServers:
        return MailServers(self.smtp, self.imap, self.oauth_token_command)

    @property
    def address(self) -> str:
        return parseaddr(self.sender)[1]

    @property
    def answers(self) -> str:
        """The address whose mailbox we read."""
        return self.reply_to or self.address

    def from_address(self, via: str | None) -> Address:
        """Our own address always: another's would fail DMARC. The customer's name may stand before it."""
        ours = plain_name(parseaddr(self.sender)[0]) or "AI desk"
        name = f"{plain_name(via)} via {ours}" if via and plain_name(via) else ours
        return Address(name, addr_spec=self.address)

    def signed(self, purpose: str, ticket: str) -> str:
        if not self.reply_secret:
            return self.answers
        return tokens.signed(self.answers, purpose, ticket, self.reply_secret)

    def copy_to(self, mailbox: str) -> str | None:
        """Our own mailbox, unless it is the one that gets the mail anyway."""
        user = MailServer.of(self.imap).user.casefold() if self.imap else ""
        name = mailbox.casefold()
        same = user in (name, name.partition("@")[0]) or name == self.answers.casefold()
        return self.answers if self.imap and self.own_copy and not same else None

    def is_staff(self, address: str) -> bool:
        known = [entry.casefold() for entry in self.staff] or self._team()
        address = address.casefold()
        return address in known or address.rpartition("@")[2] in (entry.removeprefix("@") for entry in known)

    def _team(self) -> list[str]:
        mailboxes = [mailbox.casefold() for mailbox in self.groups.values()]
        domains = {mailbox.rpartition("@")[2] for mailbox in mailboxes}
        return [*mailboxes, *(domains - EVERYBODYS)]

    def names(self, kind: str) -> Steps[dict[str, str]]:
        """Groups are mailboxes: the configured ones and no others, whatever a conversation says."""
        return {mailbox: mailbox for mailbox in self.groups.values()} if kind == "groups" else {}
        yield  # makes this a generator; there is nobody to ask

    @model_validator(mode="after")
    def _sound(self) -> EmailAccount:
        problem = next(filter(None, (self._servers(), self._addresses(), self._replies())), None)
        if problem:
            raise ValueError(problem)
        return self

    def _servers(self) -> str | None:
        if self.url:
            return "url: an email desk has smtp and imap instead"
        for name, schemes in SCHEMES.items():
            url = getattr(self, name) or f"{schemes[0]}://none"
            if not any(url.startswith(f"{scheme}://") for scheme in schemes) or not _is_address(url):
                return f"{name}: write {schemes[0]}://USER:PASSWORD@HOST or {schemes[1]}://..."
        return None

    def _addresses(self) -> str | None:
        given = {"from": self.address, "reply_to": self.answers}
        given |= {f"groups.{name}": mailbox for name, mailbox in self.groups.items()}
        for name, address in given.items():
            if not _ADDRESS.fullmatch(address):
                return f"{name}: {address!r} is no plain address such as help@example.com"
        if "default" not in self.groups:
            return "groups: name the mailbox of handoffs without a group: default = ..."
        wrong = next((header for header in self.fields.values() if not _HEADER.fullmatch(header)), None)
        return f"fields: {wrong!r} is no header's name such as X-Order" if wrong else None

    def _replies(self) -> str | None:
        if self.imap and not self.reply_secret:
            return "reply_secret: needed beside imap, to sign the addresses that replies go to"
        if self.reply_secret and len(self.answers.partition("@")[0]) > tokens.LOCAL_PART:
            return f"reply_to: at most {tokens.LOCAL_PART} characters before the @, a token is added"
        return None


def _is_address(url: str) -> bool:
    try:
        return bool(MailServer.of(url))
    except ValueError:
        return False


def plain_name(text: str | None) -> str:
    """A display name without anything that means something in a header."""
    return " ".join(re.sub(r"[^\w .\'&/+-]", " ", text or "").split())[:60].strip(" .")
