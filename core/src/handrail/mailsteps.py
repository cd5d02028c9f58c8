"""Steps of desks that are reached by mail: ``SendMail``, ``KeepMail``, ``FetchMail``, ``TryMail``.

A ``SendMail`` is an exchange with an effect like any ``Request``: its exact bytes are journalled before it
goes out. It is repeated as the same bytes with the same Message-ID, after a look into the mailbox where
``unless`` gives one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from urllib.parse import unquote

from handrail.steps import Exchange, Reply, Step
from handrail.wire import Wire

NOT_KEPT = 424
"""The status of a ``KeepMail`` that did not succeed, for whatever reason."""


_URL = re.compile(
    r"(?P<scheme>[a-z]+)://(?:(?P<user>[^:]*)(?::(?P<password>.*))?@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:/@?#\s\[\]]+)(?::(?P<port>[0-9]{1,5}))?(?:/(?P<folder>[^@]*))?"
)


@dataclass(frozen=True)
class MailServer:
    """One server of a URL. User and password may be percent-encoded."""

    scheme: str
    host: str
    port: int | None = None
    user: str = ""
    password: str = field(default="", repr=False)
    folder: str = ""

    @classmethod
    def of(cls, url: str) -> MailServer:
        """Raises ``ValueError``, which does not quote the URL. A password may hold ``/``, ``@`` and ``#``."""
        found = _URL.fullmatch(url)
        if found is None:
            raise ValueError("is no address such as scheme://USER:PASSWORD@HOST:PORT")
        part = {name: unquote(value or "") for name, value in found.groupdict().items()}
        port = int(part["port"]) if part["port"] else None
        host, folder = part["host"].strip("[]"), part["folder"].strip("/")
        return cls(part["scheme"], host, port, part["user"], part["password"], folder)


@dataclass(frozen=True)
class MailServers:
    """Where mail goes out and comes in, as URLs with user and password.

    ``smtp``: TLS from the beginning, or STARTTLS, which is then insisted on; plain for loopback only.
    ``token_command`` is run for an OAuth access token, which then stands in place of the passwords.
    """

    smtp: str = field(repr=False)
    imap: str | None = field(default=None, repr=False)
    token_command: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class SendMail(Exchange):
    """One mail to one recipient. ``content`` are the whole message's bytes, ``sender`` is the envelope's.

    ``copy`` gets one too, where the server accepts it; a refused copy is no failure. ``envelope_id`` comes
    back in delivery reports, where the server knows DSN.
    """

    content: bytes
    sender: str
    recipient: str
    copy: str | None = None
    envelope_id: str = ""
    unless: Generator[Step, Reply, Any] | None = None
    repeatable: bool = False

    @property
    def title(self) -> str:
        return f"mail to {self.recipient}"

    @property
    def has_effect(self) -> bool:
        return True

    def wire(self, api: str, key_header: str, round_: int) -> Wire:
        envelope = {"from": self.sender, "to": self.recipient, "envid": self.envelope_id}
        return Wire("SEND", "", envelope | ({"copy": self.copy} if self.copy else {}), self.content)


@dataclass(frozen=True)
class KeepMail(Exchange):
    """Put a copy into a folder. It never fails: the answer's status is 424 where that could not be done.

    ``known_by`` are (name, text) pairs as in ``FetchMail``: where the folder holds such a mail, because the
    server has filed one itself, nothing is put there.
    """

    content: bytes
    folder: str
    known_by: Sequence[tuple[str, str]] = ()
    unless: Generator[Step, Reply, Any] | None = None
    repeatable: bool = False
    accept: frozenset[int] = frozenset({NOT_KEPT})

    @property
    def title(self) -> str:
        return f"copy into {self.folder}"

    @property
    def has_effect(self) -> bool:
        return True

    def wire(self, api: str, key_header: str, round_: int) -> Wire:
        return Wire("KEEP", self.folder, {"headers": json.dumps(list(self.known_by))}, self.content)


@dataclass(frozen=True)
class FetchMail(Exchange):
    """Mails of a folder (None: the one that the URL names), oldest first; no flag is changed.

    ``headers`` are (name, text) pairs: a mail is found where at least one of these headers holds the text.
    Without them come the mails behind ``cursor``, which is a ``Fetched.cursor``; without a cursor, or where
    the server has numbered its mails anew, those since the day ``since``. ``reply.found`` is a ``Fetched``.
    A folder that is named and not there is a 404.
    """

    folder: str | None = None
    headers: Sequence[tuple[str, str]] = ()
    cursor: str | None = None
    since: date | None = None
    limit: int = 50
    accept: frozenset[int] = frozenset()

    @property
    def title(self) -> str:
        return f"mails of {self.folder or 'the mailbox'}"

    @property
    def has_effect(self) -> bool:
        return False

    def wire(self, api: str, key_header: str, round_: int) -> Wire:
        wanted = {"cursor": self.cursor or "", "since": self.since.isoformat() if self.since else ""}
        wanted |= {"headers": json.dumps(list(self.headers)), "limit": str(self.limit)}
        return Wire("FETCH", self.folder or "", wanted)


@dataclass(frozen=True)
class TryMail(Exchange):
    """Sign in at the SMTP server, send nothing, and leave: for ``Connector.check``."""

    @property
    def title(self) -> str:
        return "signing in"

    @property
    def has_effect(self) -> bool:
        return False

    def wire(self, api: str, key_header: str, round_: int) -> Wire:
        return Wire("TRY", "")


@dataclass(frozen=True)
class Mail:
    """A mail as it lies in a mailbox. ``size`` is that of the whole; of a very long one ``content`` has the
    beginning. ``at`` is when the server took it in.
    """

    uid: int
    content: bytes
    size: int
    at: datetime


@dataclass(frozen=True)
class Fetched:
    """What a ``FetchMail`` found. ``more``: there are further mails behind ``cursor``."""

    mails: Sequence[Mail]
    cursor: str
    more: bool = False
