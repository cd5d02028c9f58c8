"""A mailbox over IMAP: by UIDVALIDITY and UID, read-only, so that people who share it notice nothing."""

from __future__ import annotations

import base64
import contextlib
import imaplib
import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from itertools import zip_longest
from typing import Any

from handrail.errors import DeskPaused, NotDone
from handrail.mailidle import can_idle, idle
from handrail.mailsteps import Fetched, Mail, MailServer
from handrail.mailtokens import Tokens, bearer
from handrail.text import one_line
from handrail.wire import is_loopback

MAX_BYTES = 1_000_000
"""So much of one mail is fetched; what people write stands at its beginning."""
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SIZE = re.compile(rb"RFC822\.SIZE (\d+)")
_UID = re.compile(rb"\bUID (\d+)")
_TEMPORARY = ("UNAVAILABLE", "INUSE", "LIMIT", "SERVERBUG", "CONTACTADMIN")


class NoFolder(Exception):
    """The account has no folder of that name."""


class Mailbox:
    """One account. Each visit is a connection of its own."""

    def __init__(self, url: MailServer, tokens: Tokens | None, timeout: float) -> None:
        self.url, self.tokens, self.timeout = url, tokens, timeout

    @property
    def folder(self) -> str:
        return self.url.folder or "INBOX"

    def fetch(self, folder: str, wanted: Mapping[str, str]) -> Fetched:
        """Mails by header, or those behind a cursor; see ``FetchMail``."""
        headers, limit = json.loads(wanted["headers"]), int(wanted["limit"])
        with self._visit() as imap:
            validity, following = self._open(imap, folder or self.folder)
            uids = _search(imap, _any_of(headers)) if headers else self._behind(imap, wanted, validity)
            page = uids[:limit]
            last = page[-1] if page else max(following - 1, 0)
            return Fetched(_fetch(imap, page), f"{validity}:{last}", len(uids) > limit)

    def keep(self, folder: str, content: bytes, wanted: Mapping[str, str]) -> None:
        """Append a mail that we sent, marked as read, unless the server has filed it itself."""
        headers = json.loads(wanted.get("headers", "[]"))
        with self._visit() as imap:
            if headers and self._holds(imap, folder, headers):
                return
            answer = imap.append(_folder(folder), r"(\Seen)", imaplib.Time2Internaldate(time.time()), content)
            _ok(answer, f"appending to {folder}")

    def _holds(self, imap: imaplib.IMAP4, folder: str, headers: Sequence[Sequence[str]]) -> bool:
        try:
            self._open(imap, folder)
        except NoFolder as error:
            raise NotDone(str(error)) from None
        return bool(_search(imap, _any_of(headers)))

    def watch(self, ring: Callable[[], None], stop: threading.Event) -> None:
        """Ring when mail comes, until ``stop`` is set; returns at once where the server cannot tell.

        Rings each time that it begins to listen, for what came while nobody did. Raises ``NotDone`` where the
        connection breaks, ``DeskPaused`` where the server refuses the credentials.
        """
        with self._visit() as imap:
            if not can_idle(imap):
                return
            self._open(imap, self.folder)
            while not stop.is_set():
                idle(imap, ring, stop)

    def _behind(self, imap: imaplib.IMAP4, wanted: Mapping[str, str], validity: int) -> list[int]:
        """Where the numbering is a new one, by date: what was seen before is then seen once more."""
        known, _, last = wanted["cursor"].partition(":")
        if known == str(validity) and last.isdigit():
            found = _search(imap, [f"UID {int(last) + 1}:*"])
            return [uid for uid in found if uid > int(last)]  # n:* always names the last mail
        since = date.fromisoformat(wanted["since"]) if wanted["since"] else datetime.now(UTC).date()
        return _search(imap, [f"SINCE {since.day}-{_MONTHS[since.month - 1]}-{since.year}"])

    def _open(self, imap: imaplib.IMAP4, folder: str) -> tuple[int, int]:
        """UIDVALIDITY and UIDNEXT. Opened for reading only: no mail becomes a seen one."""
        kind, data = imap.select(_folder(folder), readonly=True)
        if kind != "OK":
            raise NoFolder(f"there is no folder {folder!r} in the mailbox: {_words(data)}")
        return _number(imap, "UIDVALIDITY"), _number(imap, "UIDNEXT")

    # The connection.

    @contextmanager
    def _visit(self) -> Iterator[imaplib.IMAP4]:
        imap: imaplib.IMAP4 | None = None
        try:
            imap = self._connected()
            self._sign_in(imap)
            yield imap
        except ssl.SSLCertVerificationError:
            raise NotDone("the IMAP server's TLS certificate is not valid") from None
        except (imaplib.IMAP4.error, OSError, ValueError) as error:
            raise NotDone(f"the IMAP server: {_said(error)}") from None
        finally:
            if imap is not None:
                _leave(imap)

    def _connected(self) -> imaplib.IMAP4:
        host, context = self.url.host, ssl.create_default_context()
        if self.url.scheme == "imaps":
            return imaplib.IMAP4_SSL(host, self.url.port or 993, ssl_context=context, timeout=self.timeout)
        imap = imaplib.IMAP4(host, self.url.port or 143, timeout=self.timeout)
        try:
            if not is_loopback(host):
                imap.starttls(context)  # raises where the server has none: nothing goes in the clear
        except BaseException:
            imap.shutdown()
            raise
        return imap

    def _sign_in(self, imap: imaplib.IMAP4) -> None:
        user, password = self.url.user, self.url.password
        token = self.tokens.current() if self.tokens else None
        try:
            if token is None:
                imap.login(user, password)
            else:
                answer = bearer(user, token)
                imap.authenticate("XOAUTH2", lambda challenge: b"" if challenge else answer)
        except imaplib.IMAP4.abort:
            raise
        except imaplib.IMAP4.error as error:
            if self.tokens and token:
                self.tokens.forget(token)
            if any(f"[{word}]" in str(error) for word in _TEMPORARY):
                raise
            raise DeskPaused(f"the IMAP server refuses the credentials: {_said(error)}") from None


def _leave(imap: imaplib.IMAP4) -> None:
    """The library closes the connection only where the server says goodbye."""
    with contextlib.suppress(imaplib.IMAP4.error, OSError):
        imap.logout()
    with contextlib.suppress(OSError):
        imap.shutdown()


def _said(error: Exception) -> str:
    """What the server said; imaplib keeps some of it as bytes."""
    said = error.args[0] if error.args else ""
    words = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(error)
    return one_line(words or type(error).__name__, 200)


def _any_of(headers: Sequence[Sequence[str]]) -> list[str]:
    """A search for mails in which one of the headers holds its text, in IMAP's prefix notation."""
    keys = [f"HEADER {_quoted(name)} {_quoted(text)}" for name, text in headers]
    return [*["OR"] * (len(keys) - 1), *keys]


def _search(imap: imaplib.IMAP4, keys: Sequence[str]) -> list[int]:
    data = _ok(imap.uid("SEARCH", *keys), "searching")
    return sorted({int(uid) for part in data if part for uid in part.split()})


def _fetch(imap: imaplib.IMAP4, uids: Sequence[int]) -> list[Mail]:
    """One request for all: what is missing in the answer was removed in between."""
    if not uids:
        return []
    what = f"(UID INTERNALDATE RFC822.SIZE BODY.PEEK[]<0.{MAX_BYTES}>)"
    data: list[Any] = _ok(imap.uid("FETCH", ",".join(map(str, uids)), what), "fetching")
    pairs = zip(data, [*data[1:], b""], strict=True)
    mails = [_mail(part, after) for part, after in pairs if isinstance(part, tuple)]
    return sorted((mail for mail in mails if mail and mail.uid in set(uids)), key=lambda mail: mail.uid)


def _mail(part: tuple[bytes, bytes], after: Any) -> Mail | None:
    """Servers put the UID before the literal, or behind it."""
    about = part[0] + b" " + (after if isinstance(after, bytes) else b"")
    uid, size, moment = _UID.search(about), _SIZE.search(about), imaplib.Internaldate2tuple(about)
    if uid is None:
        return None
    at = datetime.fromtimestamp(time.mktime(moment), UTC) if moment else datetime.now(UTC)
    return Mail(int(uid[1]), part[1], int(size[1]) if size else len(part[1]), at)


def _ok(answer: tuple[str, list[Any]], what: str) -> list[Any]:
    kind, data = answer
    if kind != "OK":
        raise NotDone(f"the IMAP server: {what}: {_words(data)}")
    return data


def _number(imap: imaplib.IMAP4, name: str) -> int:
    """A number that the server gave when the folder was opened."""
    _, data = imap.response(name)
    return int(data[0]) if data and data[0] else 0


def _folder(name: str) -> str:
    """A folder's name in IMAP's modified UTF-7."""
    parts = re.split(r"([^\x20-\x7e]+)", name.replace("&", "&-"))
    coded = (
        base64.b64encode(part.encode("utf-16-be")).decode().rstrip("=").replace("/", ",")
        for part in parts[1::2]
    )
    marked = (f"&{code}-" for code in coded)
    return _quoted("".join(plain + code for plain, code in zip_longest(parts[::2], marked, fillvalue="")))


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _words(data: Sequence[Any]) -> str:
    parts = [part.decode("utf-8", "replace") for part in data if isinstance(part, bytes)]
    return one_line(" ".join(parts), 200)
