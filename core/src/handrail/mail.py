"""The one file that knows how mail is sent and fetched: SMTP by stages, IMAP without touching a flag.

Of a mail that goes out only one moment leaves a doubt: the final dot was sent and no whole answer came.
Everything that goes wrong before it is certainly not done. A refusal is a ``Reply`` with status 422 whose
headers ``stage``, ``code`` and ``recipient`` say what was refused.
"""

from __future__ import annotations

import base64
import contextlib
import re
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from typing import Any

from handrail.errors import DeskPaused, NotDone, Unsure
from handrail.mailbox import Mailbox, NoFolder
from handrail.mailsteps import NOT_KEPT, MailServer, MailServers
from handrail.mailtokens import Tokens, bearer
from handrail.steps import Reply
from handrail.text import one_line
from handrail.wire import Wire, is_loopback

CONNECT_SECONDS = 10.0
_PORTS = {"smtp": 587, "smtps": 465}
_CREDENTIALS = frozenset({530, 534, 535, 538})
_WAIT = re.compile(r"\b(\d{1,5}) ?(s|sec|seconds?|m|min|minutes?)\b", re.IGNORECASE)


class MailTransport:
    """Mail of one desk: ``SEND``, ``KEEP``, ``FETCH`` and ``TRY``. Each exchange has its own connection."""

    def __init__(self, servers: MailServers, *, timeout: float = 20.0) -> None:
        """``timeout`` in seconds: for each wait for an answer."""
        self.timeout = timeout
        self.tokens = Tokens(servers.token_command) if servers.token_command else None
        self.smtp = MailServer.of(servers.smtp)
        self.mailbox = Mailbox(MailServer.of(servers.imap), self.tokens, timeout) if servers.imap else None

    def close(self) -> None:
        """Nothing stays open between two exchanges."""

    def watch(self, ring: Callable[[], None], stop: threading.Event) -> None:
        """See ``handrail.wire.Transport``. Without a mailbox, or without IDLE, there is nothing to hear."""
        if self.mailbox is not None:
            self.mailbox.watch(ring, stop)

    def send(self, wire: Wire, headers: Mapping[str, str]) -> Reply:
        """One exchange; see ``handrail.wire.Transport``."""
        if wire.method in ("SEND", "TRY"):
            return self._smtp(wire)
        if self.mailbox is None:
            raise DeskPaused("no imap server is configured")
        if wire.method == "FETCH":
            return self._fetch(self.mailbox, wire)
        try:
            self.mailbox.keep(wire.path, wire.body, wire.headers)
        except (NotDone, DeskPaused, Unsure) as trouble:
            return Reply(NOT_KEPT, str(trouble).encode())
        return Reply(200)

    def _fetch(self, mailbox: Mailbox, wire: Wire) -> Reply:
        try:
            return Reply(200, found=mailbox.fetch(wire.path, wire.headers))
        except NoFolder as error:
            if not wire.path:
                raise DeskPaused(f"{error}; correct imap") from None
            return Reply(404, str(error).encode())

    def _smtp(self, wire: Wire) -> Reply:
        session = _Session(self.smtp, self.tokens, self.timeout)
        try:
            session.open()
            reply = session.deliver(wire) if wire.method == "SEND" else Reply(200)
            session.idle = True
            return reply
        except ssl.SSLCertVerificationError:
            raise NotDone("the mail server's TLS certificate is not valid; nothing was sent") from None
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise session.outcome(error) from None
        finally:
            session.end()


class _Session:
    """One SMTP connection. ``dotted`` is True from the moment in which the final dot may have left."""

    def __init__(self, url: MailServer, tokens: Tokens | None, timeout: float) -> None:
        self.url, self.tokens, self.timeout = url, tokens, timeout
        self.stage, self.dotted, self.idle = "connecting", False, False
        self.smtp: smtplib.SMTP | None = None

    # Signing in.

    def open(self) -> None:
        host, port = self.url.host, self.url.port or _PORTS[self.url.scheme]
        kind: Any = smtplib.SMTP_SSL if self.url.scheme == "smtps" or port == 465 else smtplib.SMTP
        more = {"context": ssl.create_default_context()} if kind is smtplib.SMTP_SSL else {}
        self.smtp = smtp = kind(
            timeout=min(CONNECT_SECONDS, self.timeout), local_hostname=_our_name(), **more
        )
        smtp._host = host  # the name to verify, which otherwise only the constructor sets, and connects
        self._yes("greeting", *smtp.connect(host, port))
        assert smtp.sock is not None
        smtp.sock.settimeout(self.timeout)
        self._hello(smtp)
        if kind is smtplib.SMTP:
            self._encrypt(smtp, host)
        if self.url.user:
            self._sign_in(smtp)

    def _hello(self, smtp: smtplib.SMTP) -> None:
        self.stage = "EHLO"
        code, text = smtp.ehlo()
        if code == 500 or code == 502:  # a server of before 1995
            code, text = smtp.helo()
        self._yes("EHLO", code, text)

    def _encrypt(self, smtp: smtplib.SMTP, host: str) -> None:
        """STARTTLS, which may be missing on loopback only: nothing goes out in the clear."""
        self.stage = "STARTTLS"
        if smtp.has_extn("starttls") and not is_loopback(host):
            self._yes("STARTTLS", *smtp.starttls(context=ssl.create_default_context()))
            self._hello(smtp)
        elif not is_loopback(host):
            raise NotDone("the mail server offers no TLS; nothing was sent")

    def _sign_in(self, smtp: smtplib.SMTP) -> None:
        self.stage = "AUTH"
        user, password = self.url.user, self.url.password
        try:
            if self.tokens is None:
                smtp.login(user, password, initial_response_ok=True)
                return
            token = self.tokens.current()
            answer = base64.b64encode(bearer(user, token)).decode()
            code, text = smtp.docmd("AUTH", f"XOAUTH2 {answer}")
            if code == 334:  # the reason of a refusal, which wants an empty answer
                code, text = smtp.docmd("")
            if code != 235:
                self.tokens.forget(token)
                raise smtplib.SMTPAuthenticationError(code, text)
        except smtplib.SMTPAuthenticationError as error:
            self._yes("AUTH", error.smtp_code, error.smtp_error)
        except (smtplib.SMTPServerDisconnected, smtplib.SMTPResponseException):
            raise
        except smtplib.SMTPException as error:
            raise DeskPaused(f"the mail server takes no sign-in of ours: {error}") from None

    # Sending.

    def deliver(self, wire: Wire) -> Reply:
        assert self.smtp is not None
        for stage, command in self._envelope(wire):
            self.stage = stage
            code, text = self.smtp.docmd(command)
            if stage != "copy" and (no := self._refusal(stage, code, text, wire)):
                return no
        self.stage = "DATA"
        code, text = self.smtp.docmd("DATA")
        if code != 354 and (no := self._refusal("DATA", code, text, wire)):
            return no
        self.smtp.send(_stuffed(wire.body))
        self.stage, self.dotted = "the final dot", True
        self.smtp.send(b".\r\n")
        code, text = self.smtp.getreply()
        if not 200 <= code < 600 or 300 <= code < 400:
            raise Unsure("the mail server's answer to the final dot was not understood")
        return self._refusal("content", code, text, wire) or Reply(200, text, {"code": str(code)})

    def _envelope(self, wire: Wire) -> list[tuple[str, str]]:
        """The commands before DATA. Delivery reports are asked for where the server makes them."""
        assert self.smtp is not None
        envelope, dsn = wire.headers, self.smtp.has_extn("dsn")
        size = f" SIZE={len(wire.body)}" if self.smtp.has_extn("size") else ""
        ret = f" RET=HDRS ENVID={envelope['envid']}" if dsn and envelope.get("envid") else ""
        report, silent = (" NOTIFY=FAILURE,DELAY", " NOTIFY=NEVER") if dsn else ("", "")
        commands = [
            ("MAIL", f"MAIL FROM:<{envelope['from']}>{size}{ret}"),
            ("RCPT", f"RCPT TO:<{envelope['to']}>{report}"),
        ]
        copy = envelope.get("copy")
        return [*commands, *([("copy", f"RCPT TO:<{copy}>{silent}")] if copy else [])]

    def _refusal(self, stage: str, code: int, text: bytes, wire: Wire) -> Reply | None:
        """A final no as a reply; raises for every other answer that is no yes."""
        if 500 <= code < 600 and code not in _CREDENTIALS:
            words = f"{stage}: {code} {_words(text)}"
            return Reply(
                422, words.encode(), {"stage": stage, "code": str(code), "recipient": wire.headers["to"]}
            )
        self._yes(stage, code, text)
        return None

    # Answers.

    def _yes(self, stage: str, code: int, text: bytes | str) -> None:
        """Raise unless the server says yes; nothing was done then."""
        message = f"the mail server said at {stage}: {code} {_words(text)}"
        if code in _CREDENTIALS or (stage == "AUTH" and code >= 500):
            raise DeskPaused(message)
        if not 200 <= code < 300:
            raise NotDone(message, after=_asked_to_wait(text))

    def outcome(self, error: Exception) -> Exception:
        """How a session ended that broke."""
        if isinstance(error, TimeoutError):
            what = "did not answer in time"
        elif isinstance(error, smtplib.SMTPServerDisconnected | OSError):
            what = "ended the connection" if self.stage != "connecting" else "cannot be reached"
        else:
            what = f"gave an answer that was not understood ({type(error).__name__})"
        message = f"the mail server {what}, at {self.stage}"
        return Unsure(message) if self.dotted else NotDone(f"{message}; nothing was sent")

    def end(self) -> None:
        """Leave in peace; a mail that was accepted is accepted, whatever happens to QUIT."""
        if self.smtp is not None:
            with contextlib.suppress(smtplib.SMTPException, OSError, ValueError):
                if self.idle and self.smtp.sock is not None:
                    self.smtp.sock.settimeout(min(2.0, self.timeout))
                    self.smtp.quit()
            self.smtp.close()


def _our_name() -> str:
    """What EHLO says; the library's default may wait for a name server."""
    name = socket.gethostname()
    return name if "." in name else "[127.0.0.1]"


def _stuffed(content: bytes) -> bytes:
    """The content with CRLF line ends, its leading dots doubled, and a line end at its end."""
    lines = re.sub(rb"\r\n|\r|\n", b"\r\n", content)
    return re.sub(rb"(?m)^\.", b"..", lines.removesuffix(b"\r\n")) + b"\r\n"


def _words(text: bytes | str) -> str:
    return one_line(text if isinstance(text, str) else text.decode("utf-8", "replace"), 300)


def _asked_to_wait(text: bytes | str) -> float | None:
    """Seconds, where a greylisting server says how long; else None."""
    found = _WAIT.search(_words(text))
    return int(found[1]) * (60.0 if found[2].lower().startswith("m") else 1.0) if found else None
