"""Against a real Dovecot: LMTP, plus-addressing, folders, flags and numbers as a server has them."""

from __future__ import annotations

import asyncio
import grp
import imaplib
import os
import pwd
import shutil
import smtplib
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import make_msgid
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from handrail import FetchMail, Handoff, Message, Role, State, UpdateKind
from handrail.context import transport
from handrail.mailbox import _folder
from handrail.testing import Clock, SimulatedDesk, World
from handrail_email import Email

PASSWORD = "dovecot-password"
CONFIG = """
base_dir = {folder}/run
log_path = {folder}/dovecot.log
listen = 127.0.0.1
protocols = imap lmtp
ssl = no
disable_plaintext_auth = no
mail_location = maildir:{folder}/mail/%u
mail_uid = {user}
mail_gid = {group}
first_valid_uid = 1
recipient_delimiter = +
{internal}
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={folder}/mail/%u allow_all_users=yes
}}
service imap-login {{
  {chroot}
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  {chroot}
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
}}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Dovecot:
    """A Dovecot of its own, with an SMTP server before its LMTP."""

    def __init__(self, folder: Path) -> None:
        self.imap, self.lmtp, self.smtp = free_port(), free_port(), free_port()
        self.lose = 0
        is_root = os.getuid() == 0
        me = pwd.getpwuid(os.getuid())
        user, group = ("nobody", "nogroup") if is_root else (me.pw_name, grp.getgrgid(me.pw_gid).gr_name)
        internal = (
            f"default_internal_user = {user}\ndefault_internal_group = {group}\ndefault_login_user = {user}"
        )
        (folder / "mail").mkdir()
        folder.chmod(0o755)
        if is_root:
            shutil.chown(folder / "mail", user, group)
        (folder / "dovecot.conf").write_text(
            CONFIG.format(
                folder=folder, user=user, group=group, password=PASSWORD, imap=self.imap, lmtp=self.lmtp,
                internal="" if is_root else internal, chroot="" if is_root else "chroot =",
            )
        )  # fmt: skip
        self._process = subprocess.Popen(
            ["dovecot", "-F", "-c", str(folder / "dovecot.conf")], stderr=subprocess.DEVNULL
        )
        self._log = folder / "dovecot.log"
        self._front = Controller(self, hostname="127.0.0.1", port=self.smtp)

    def start(self) -> None:
        deadline = time.monotonic() + 30
        while not self._listens():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.05)
        self._front.start()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.imap)) == 0

    def stop(self) -> None:
        self._front.stop()
        self._process.terminate()
        self._process.wait(timeout=20)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        await asyncio.to_thread(self.deliver, envelope.mail_from or "", envelope.rcpt_tos, envelope.content)
        if self.lose:
            self.lose -= 1
            server.transport.close()
            raise asyncio.CancelledError
        return "250 ok"

    def deliver(self, sender: str, recipients: list[str], content: bytes) -> None:
        for recipient in recipients:  # LMTP answers for each one, and the library reads one answer
            with smtplib.LMTP("127.0.0.1", self.lmtp, timeout=20) as lmtp:
                assert lmtp.sendmail(sender, [recipient], content) == {}

    def visit(self, user: str) -> imaplib.IMAP4:
        imap = imaplib.IMAP4("127.0.0.1", self.imap, timeout=20)
        imap.login(user, PASSWORD)
        return imap

    def mails(self, user: str, folder: str = "INBOX") -> list[bytes]:
        with self.visit(user) as imap:
            imap.select(folder, readonly=True)
            _, found = imap.uid("SEARCH", "ALL")
            return [imap.uid("FETCH", uid, "(BODY.PEEK[])")[1][0][1] for uid in found[0].decode().split()]


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    if shutil.which("dovecot") is None or not Path("/usr/lib/dovecot/lmtp").exists():
        pytest.skip("Dovecot is not installed (Debian: dovecot-imapd, dovecot-lmtpd)")
    with tempfile.TemporaryDirectory(prefix="dovecot-") as folder:
        server = Dovecot(Path(folder))
        server.start()
        yield server
        server.stop()


class Elsewhere(SimulatedDesk):
    """A desk that is no simulation: only its settings are known."""

    def __init__(self, known: dict[str, Any]) -> None:
        super().__init__()
        self._known = known

    def settings(self) -> dict[str, Any]:
        return self._known


MakeWorld = Callable[..., World]


@pytest.fixture
def make_world(dovecot: Dovecot) -> Iterator[MakeWorld]:
    """``make_world(folder="", sent_folder=...)``: a rail with mailboxes that nobody used before."""
    with ExitStack() as stack:

        def make(folder: str = "", password: str = PASSWORD, **more: Any) -> World:
            user = f"t{time.time_ns() % 10**12}"
            known = {
                "smtp": f"smtp://127.0.0.1:{dovecot.smtp}",
                "imap": f"imap://{user}%40handrail.test:{password}@127.0.0.1:{dovecot.imap}/{folder}",
                "from": f"AI desk <{user}@handrail.test>",
                "groups": {"default": f"{user}@desk.test"},
                "reply_secret": "a-secret",
                "timeout": "20s",
            }
            clock = Clock(datetime.now(UTC))
            return stack.enter_context(World(Elsewhere(known | more), Email, clock=clock))

        yield make


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world()


def email_of(world: World) -> Email:
    assert isinstance(world.connector, Email)
    return world.connector


def our_user(world: World) -> str:
    return email_of(world).answers


def team_user(world: World) -> str:
    return email_of(world).groups["default"]


def handed_off(world: World, **wishes: Any) -> Handoff:
    handoff = world.hand_off(**wishes)
    world.run(within=600)
    assert world.show(handoff)["state"] == State.WITH_HUMANS
    return handoff


def answered(dovecot: Dovecot, world: World, text: str, sender: str = "Bea <bea@desk.test>") -> None:
    """The team answers the last mail, by mail."""
    said = message_from_bytes(dovecot.mails(team_user(world))[-1], policy=policy.default)
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, str(said["Reply-To"]), f"Re: {said['Subject']}"
    mail["Message-ID"], mail["In-Reply-To"] = make_msgid(domain="desk.test"), str(said["Message-ID"])
    mail.set_content(text)
    dovecot.deliver("bea@desk.test", [str(said["Reply-To"])], mail.as_bytes())


def test_there_and_back_again(dovecot: Dovecot, world: World) -> None:
    handoff = handed_off(world)
    assert len(dovecot.mails(team_user(world))) == 1
    answered(dovecot, world, "Your refund is on its way.\n#solved")
    world.poll()
    world.poll()

    assert [update.text for update in world.updates(handoff, UpdateKind.REPLY)] == [
        "Your refund is on its way."
    ]
    assert world.show(handoff)["state"] == State.SOLVED


def test_a_lost_answer_is_looked_up(dovecot: Dovecot, world: World) -> None:
    dovecot.lose = 1
    handoff = handed_off(world)

    assert world.show(handoff)["attempts"] == 2
    assert len(dovecot.mails(team_user(world))) == 1


def test_nothing_is_marked_as_read(dovecot: Dovecot, world: World) -> None:
    handoff = handed_off(world)
    answered(dovecot, world, "Done.")
    world.poll()
    with dovecot.visit(our_user(world)) as imap:
        imap.select("INBOX", readonly=True)
        flags = imap.uid("FETCH", "1:*", "(FLAGS)")[1]

    assert len(world.updates(handoff, UpdateKind.REPLY)) == 1
    assert len(flags) == 2
    assert not any(b"Seen" in flag for flag in flags)


def test_a_folder_that_was_made_anew_is_read_from_its_beginning(
    dovecot: Dovecot, make_world: MakeWorld
) -> None:
    world = make_world(folder="Handrail")
    handoff = handed_off(world)
    with dovecot.visit(our_user(world)) as imap:
        for text in ("First.", "Second."):
            imap.delete("Handrail")
            imap.create("Handrail")
            answered(dovecot, world, text)
            imap.select("INBOX")
            imap.uid("COPY", "1:*", "Handrail")
            world.poll()
            world.poll()

    assert [update.text for update in world.updates(handoff, UpdateKind.REPLY)] == ["First.", "Second."]


def test_an_empty_page_stays_empty_although_the_last_mail_is_always_named(
    dovecot: Dovecot, world: World
) -> None:
    handed_off(world)
    driver = world.rail.context.driver("desk")

    def fetched(cursor: str | None) -> Any:
        reply = yield FetchMail(cursor=cursor, since=world.clock().date())
        return reply.found

    first = driver.run(lambda: fetched(None))
    second = driver.run(lambda: fetched(first.cursor))
    assert len(first.mails) == 1
    assert second.mails == []
    assert second.cursor == first.cursor


@pytest.mark.parametrize("folder", ["Sent", "Gesendet & so", "Отправленные"])
def test_a_copy_is_kept_in_any_folder(dovecot: Dovecot, make_world: MakeWorld, folder: str) -> None:
    world, name = make_world(sent_folder=folder), _folder(folder)
    with dovecot.visit(our_user(world)) as imap:
        imap.create(name)
    handoff = handed_off(world)
    world.rail.say(handoff.id, Message(role=Role.CUSTOMER, text="Any news?"))
    world.run(within=60)

    kept = dovecot.mails(our_user(world), name)
    assert len(kept) == 2
    assert all(mail.endswith(copy) for mail, copy in zip(dovecot.mails(team_user(world)), kept, strict=True))


def test_a_wrong_password_pauses_the_desk(make_world: MakeWorld) -> None:
    found = make_world(password="another-word").rail.check()

    assert any(not each.ok and "refuses the credentials" in each.message for each in found)
    assert not any("another-word" in each.message for each in found)


def test_idle_rings_when_mail_comes(world: World, dovecot: Dovecot) -> None:
    rings: Queue[str] = Queue()
    stop = threading.Event()
    watch = transport(world.connector).watch
    listener = threading.Thread(target=watch, args=(lambda: rings.put("rang"), stop))
    listener.start()
    try:
        assert rings.get(timeout=30) == "rang"
        dovecot.deliver("bea@desk.test", [our_user(world)], b"Subject: news\r\n\r\nHello\r\n")
        assert rings.get(timeout=30) == "rang"
    finally:
        stop.set()
        listener.join(30)
    assert not listener.is_alive()
