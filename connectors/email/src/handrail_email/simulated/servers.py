"""Real mail servers on loopback: aiosmtpd takes mail in, pymap shows mailboxes; both in one thread."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import threading
from argparse import Namespace
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, TypeVar

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from proxyprotocol.reader import ProxyProtocolReader
from pymap.backend.dict import DictBackend, Identity
from pymap.imap import IMAPServer
from pymap.parsing.message import AppendMessage
from pysasl.hashing import BuiltinHash

from handrail.testing.faults import Fault

T = TypeVar("T")
logging.getLogger("mail.log").setLevel(logging.ERROR)
_GARBAGE = {"html": "<html><body>Something went wrong</body></html>", "empty": "{}"}
_LATER = frozenset({408, 425, 429})


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="simulated-mail")
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=30)

    def close(self) -> None:
        self.run(_cancel_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


async def _cancel_all() -> None:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for _ in range(3):  # a closed connection gives its socket back a round later
        await asyncio.sleep(0)
    await asyncio.get_running_loop().shutdown_default_executor()


class Imap:
    """One account with any number of folders."""

    def __init__(self, user: str, password: str) -> None:
        self.user, self.password = user, password
        self.port = 0

    async def open(self) -> None:
        options = Namespace(
            host=None, port="0", cert=None, key=None, tls=False, proxy_protocol=None, debug=False
        )
        options.__dict__ |= {"demo_data": False, "demo_user": self.user, "demo_password": self.password}
        quick = BuiltinHash(rounds=1)  # the account is made for a test; nobody attacks it
        backend, config = await DictBackend.init(options, hash_context=quick)
        config.apply_context()
        serve = ProxyProtocolReader(config.proxy_protocol).get_callback(IMAPServer(backend.login, config))
        self._login = backend.login
        self._server = await asyncio.start_server(serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def append(self, content: bytes, at: datetime, folder: str = "INBOX") -> None:
        async with Identity(self.user, self._login, None, frozenset()).new_session() as session:
            mailbox = await session.mailbox_set.get_mailbox(folder)
            await mailbox.append(AppendMessage(content, at, frozenset()))

    async def create(self, folder: str) -> None:
        async with Identity(self.user, self._login, None, frozenset()).new_session() as session:
            await session.mailbox_set.add_mailbox(folder)

    async def remove(self, folder: str) -> None:
        """Empty the account: a folder that is made anew has another UIDVALIDITY."""
        async with Identity(self.user, self._login, None, frozenset()).new_session() as session:
            await session.mailbox_set.delete_mailbox(folder)

    async def close(self) -> None:
        self._server.close()


class Smtp:
    """Takes mail for some addresses. ``taken`` does with it what a server does, and returns its answer."""

    def __init__(self, desk: Any, *, user: str, password: str) -> None:
        self.desk, self.user, self.password = desk, user, password
        self.port = 0
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        await self.close()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, how: str, what: Any) -> Any:
        known = LoginPassword(self.user.encode(), self.password.encode())
        return AuthResult(success=isinstance(what, LoginPassword) and what == known, handled=False)


class _Connection(SMTP):
    """One client. What is to go wrong is decided when it connects, and does so at its stage."""

    def __init__(self, smtp: Smtp) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(
            self, hostname="mx.desk.test", auth_require_tls=False, authenticator=smtp.authenticate, loop=loop
        )
        self._auth_required = True  # as an argument it is warned about: without TLS, which loopback can do
        self.desk = smtp.desk
        self.fault: Fault | None = None

    # The commands: each may go wrong before it is carried out.

    async def smtp_EHLO(self, hostname: str) -> None:
        self.fault = self.desk.connected()
        await self._at("ehlo", super().smtp_EHLO, hostname)

    async def smtp_AUTH(self, arg: str) -> None:
        await self._at("auth", super().smtp_AUTH, arg)

    async def smtp_MAIL(self, arg: str) -> None:
        await self._at("mail", super().smtp_MAIL, arg)

    async def smtp_RCPT(self, arg: str) -> None:
        await self._at("rcpt", super().smtp_RCPT, arg)

    async def smtp_DATA(self, arg: str) -> None:
        await self._at("data", super().smtp_DATA, arg)

    async def _at(self, stage: str, do: Callable[[str], Coroutine[Any, Any, None]], arg: str) -> None:
        if self.fault is None or _stage(self.fault) != stage:
            await do(arg)
        else:
            await self.push(await self._spoilt(self.fault))

    # What the library asks its handler, which is this connection.

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if not self.desk.knows(address):
            return "550 5.1.1 no such user here"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        fault = self.fault if self.fault and _stage(self.fault) == "dot" else None
        if fault is None or fault.when == "after" or fault.kind == "duplicate":
            await self.desk.taken(envelope.mail_from or "", envelope.rcpt_tos, envelope.content)
        if fault is not None and fault.kind == "duplicate":
            await self.desk.taken(envelope.mail_from or "", envelope.rcpt_tos, envelope.content)
        return "250 2.0.0 queued" if fault is None else await self._spoilt(fault)

    async def handle_exception(self, error: Exception) -> str:
        self.desk.errors.append(error)
        return "451 4.3.0 the simulation failed"

    async def _spoilt(self, fault: Fault) -> str:
        """What the client reads instead of an answer; an ended connection does not return."""
        if fault.kind in _GARBAGE:
            return _GARBAGE[fault.kind]
        if fault.kind == "duplicate":
            return "250 2.0.0 queued"
        if fault.kind == "status" and fault.when == "before":
            return _refusal(fault, self.desk.now())
        if fault.kind == "hang":
            await asyncio.to_thread(self.desk.released.wait, fault.details.get("seconds"))
        elif fault.kind == "half":
            self._writer.write(b"2")
        elif fault.kind == "reset":
            no_linger = struct.pack("ii", 1, 0)
            raw = self._writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
        self._writer.close()
        raise asyncio.CancelledError


def _stage(fault: Fault) -> str:
    usual = "auth" if fault.details.get("status") in (401, 403) else "dot"
    return str(fault.details.get("stage", usual))


def _refusal(fault: Fault, now: datetime) -> str:
    """An HTTP status in SMTP's words; ``reply=`` is an SMTP answer as it stands."""
    if "reply" in fault.details:
        return str(fault.details["reply"])
    status = fault.details.get("status", 503)
    if status in (401, 403):
        return "535 5.7.8 authentication failed"
    if 400 <= status < 500 and status not in _LATER:
        return "550 5.7.1 refused"
    wait = fault.details.get("retry_after")
    if wait is not None and not str(wait).isdigit():
        until = datetime.strptime(str(wait), "%a, %d %b %Y %H:%M:%S %Z").replace(tzinfo=now.tzinfo)
        wait = -(-(until - now).total_seconds() // 1)
    return "451 4.7.1 try again" + (f" in {int(wait)} seconds" if wait is not None else " later")
