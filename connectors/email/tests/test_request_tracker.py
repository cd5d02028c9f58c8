"""Against a real Request Tracker 5 through its mail gateway: a ticket by mail, and a person's answer back.

Request Tracker files a mail by the tag in its subject alone, opens a ticket for anything else, acknowledges
only what a person sent, and writes what its people answer as bulk mail that names only its own ids.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from handrail import Message, Role, State, Update, UpdateKind
from handrail.testing import Clock, World, a_conversation
from handrail_email import Email
from handrail_email.simulated import SimulatedMail

HOME = Path("/usr/share/request-tracker5")
SERVER, SETUP = HOME / "libexec" / "rt-server", Path("/usr/sbin/rt-setup-database-5")
QUEUES = {"support@desk.test": "Support", "billing@desk.test": "Billing"}
CONFIG = """
Set($rtname, 'desk.test'); Set($Organization, 'desk.test');
Set($CorrespondAddress, 'rt@desk.test'); Set($CommentAddress, 'rt-comment@desk.test');
Set($WebDomain, '127.0.0.1'); Set($WebPort, {port}); Set($WebPath, '');
Set($DatabaseType, 'SQLite'); Set($DatabaseName, '{folder}/rt.sqlite');
Set($DatabaseHost, ''); Set($DatabaseUser, ''); Set($DatabasePassword, '');
Set($LogToSyslog, undef); Set($LogToSTDERR, 'warning'); Set($LogToFile, undef); Set($Timezone, 'UTC');
Set($MailCommand, 'sendmailpipe'); Set($SendmailPath, '{folder}/sendmail'); Set($SendmailArguments, '-oi');
Set($MasonDataDir, '{folder}/mason'); Set($MasonSessionDir, '{folder}/cookies');
1;
"""
SENDMAIL = """#!{python}
import os, sys, time
name = "{folder}/out/" + str(time.time_ns())
with open(name + ".part", "wb") as file:
    file.write(sys.stdin.buffer.read())
os.rename(name + ".part", name + ".eml")
"""
SEED = r"""
use strict; use warnings; use RT; RT::LoadConfig(); RT::Init();
my $system = RT->SystemUser;
sub ok { my ($id, $message) = @_; die "$message\n" unless $id; $id }
for my $name (qw(Support Billing)) {
    my $queue = RT::Queue->new($system);
    ok($queue->Create(Name => $name, CorrespondAddress => lc($name) . '@desk.test'));
}
my $alice = RT::User->new($system);
ok($alice->Create(Name => 'alice', RealName => 'Alice', EmailAddress => 'alice@desk.test', Privileged => 1));
ok($alice->PrincipalObj->GrantRight(Right => $_, Object => RT->System))
    for qw(SeeQueue ShowTicket ShowTicketComments ReplyToTicket CommentOnTicket ModifyTicket OwnTicket);
my $everyone = RT::Group->new($system); $everyone->LoadSystemInternalGroup('Everyone');
ok($everyone->PrincipalObj->GrantRight(Right => $_, Object => RT->System)) for qw(CreateTicket ReplyToTicket);
my ($id, $message, $token) = RT::AuthToken->new($system)->Create(Owner => $alice->id, Description => 'test');
ok($id, $message); print "$token\n";
"""


class RequestTracker(SimulatedMail):
    """Mail servers whose team mailboxes are the queues of a Request Tracker."""

    def __init__(self, folder: Path, *, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.web = probe.getsockname()[1]
        self.place = {
            **os.environ,
            "RT_SITE_CONFIG": f"{folder}/RT_SiteConfig.pm",
            "RT_SITE_CONFIG_DIR": f"{folder}/conf.d",
        }

    def install(self) -> None:
        for name in ("conf.d", "mason", "cookies", "out"):
            (self.folder / name).mkdir()
        (self.folder / "RT_SiteConfig.pm").touch()
        config = CONFIG.replace("{folder}", str(self.folder)).replace("{port}", str(self.web))
        (self.folder / "conf.d" / "desk.pm").write_text(config)
        (self.folder / "sendmail").write_text(SENDMAIL.format(python=sys.executable, folder=self.folder))
        (self.folder / "sendmail").chmod(0o755)
        self._run([str(SETUP), "--action", "init", "--skip-create"])
        seeded = self._run(["perl", f"-I{HOME}/lib", "-"], SEED.encode())
        self.token = seeded.decode().split()[-1]
        command = [str(SERVER), "--server", "Starlet", "--host", "127.0.0.1", "--port", str(self.web)]
        self.log = (self.folder / "server.log").open("wb")
        self.process = subprocess.Popen(
            [*command, "--max-workers", "2"], env=self.place, stdout=self.log, stderr=self.log
        )
        self._wait(lambda: self.api("rt")["Version"])

    def remove(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)
        self.log.close()

    def _run(self, command: Sequence[str], given: bytes = b"") -> bytes:
        done = subprocess.run(command, input=given, env=self.place, capture_output=True, timeout=180)
        assert done.returncode == 0, done.stderr.decode()[-2000:]
        return done.stdout

    def _wait(self, ready: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + 60
        while True:
            with suppress(OSError):
                if found := ready():
                    return found
            assert self.process.poll() is None, (self.folder / "server.log").read_text()[-2000:]
            assert time.monotonic() < deadline, (self.folder / "server.log").read_text()[-2000:]
            time.sleep(0.05)

    def api(self, path: str, data: Any = None) -> Any:
        headers = {"Authorization": f"token {self.token}", "Content-Type": "application/json"}
        body = json.dumps(data).encode() if data is not None else None
        request = urllib.request.Request(f"http://127.0.0.1:{self.web}/REST/2.0/{path}", body, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def rt_tickets(self) -> list[dict[str, Any]]:
        fields = "fields=Subject,Queue,Status&fields[Queue]=Name&query=id>0"
        found: list[dict[str, Any]] = self.api(f"tickets?{fields}")["items"]
        return found

    async def taken(self, sender: str, recipients: Sequence[str], content: bytes) -> None:
        await super().taken(sender, recipients, content)
        for queue in (QUEUES[address] for address in recipients if address in QUEUES):
            gate = ["rt-mailgate-5", "--url", f"http://127.0.0.1:{self.web}", "--queue", queue]
            await asyncio.to_thread(self._run, [*gate, "--action", "correspond"], content)

    def hand_out(self) -> int:
        """Bring what Request Tracker wrote to whom it wrote it; the number of mails to us."""
        ours = 0
        for path in sorted((self.folder / "out").glob("*.eml")):
            content = path.read_bytes()
            path.unlink()
            found = message_from_bytes(content, policy=policy.default)
            to = [a.addr_spec for name in ("To", "Cc", "Bcc") if found[name] for a in found[name].addresses]
            for address in (each for each in to if each.endswith("@handrail.test")):
                self.arrives(content, to=address, sender="www-data@desk.test")
                ours += 1
        return ours


@pytest.fixture(scope="module")
def rt() -> Iterator[RequestTracker]:
    if not (SERVER.exists() and SETUP.exists() and shutil.which("rt-mailgate-5")):
        pytest.skip(
            "Request Tracker 5 is not installed "
            "(Debian: request-tracker5, rt5-standalone, rt5-clients, libdbd-sqlite3-perl)"
        )
    with tempfile.TemporaryDirectory(prefix="rt-") as folder:
        desk = RequestTracker(Path(folder), clock=Clock(datetime.now(UTC)))
        desk.install()
        with desk:
            yield desk
            assert desk.errors == []
        desk.remove()


@pytest.fixture(params=["as usual", "not auto_submitted"])
def world(rt: RequestTracker, request: pytest.FixtureRequest) -> Iterator[World]:
    assert isinstance(rt.clock, Clock)
    settings = {"timeout": "30s", "auto_submitted": request.param == "as usual"}
    with World(rt, Email, clock=rt.clock, settings=settings) as world:
        yield world


def correspond(rt: RequestTracker, ticket: dict[str, Any], text: str) -> None:
    """Alice answers."""
    rt.api(f"ticket/{ticket['id']}/correspond", {"Content": text, "ContentType": "text/plain"})


def replies(updates: Sequence[Update]) -> list[str]:
    return [str(update.text) for update in updates if update.kind is UpdateKind.REPLY]


def test_a_ticket_a_persons_answer_and_the_customers_next_message(rt: RequestTracker, world: World) -> None:
    before = {ticket["id"] for ticket in rt.rt_tickets()}
    other = world.hand_off(a_conversation("Another one", id="c-other"))
    handoff = world.hand_off(a_conversation("Where is my refund?", id="c-mine"), group="Billing")
    world.run(within=600)
    made = {t["Subject"]: t for t in rt.rt_tickets() if t["id"] not in before}
    (mine,) = [ticket for subject, ticket in made.items() if "refund" in subject]
    assert len(made) == 2
    assert mine["Queue"]["Name"] == "Billing"

    rt.hand_out()
    world.poll()
    assert replies(world.updates(handoff)) == []  # what it acknowledged by itself is no answer

    rt.api(
        f"ticket/{mine['id']}/correspond",
        {"Content": "Your refund is on its way.", "ContentType": "text/plain"},
    )
    assert rt.hand_out() == 1
    world.poll()
    world.poll()
    assert replies(world.updates(handoff)) == ["Your refund is on its way."]
    assert world.updates(handoff, UpdateKind.REPLY)[0].actor.kind == "human"
    assert replies(world.updates(other)) == []

    world.rail.say(handoff.id, Message(role=Role.CUSTOMER, text="When will it arrive?"))
    world.run(within=600)
    assert world.show(handoff)["state"] == State.WITH_HUMANS
    assert len([t for t in rt.rt_tickets() if t["id"] not in before]) == 2
    history = rt.api(f"ticket/{mine['id']}/history?fields=Type&per_page=100")["items"]
    assert [each["Type"] for each in history].count("Correspond") == 2

    correspond(rt, mine, "On Friday.\n#solved")
    rt.hand_out()
    world.poll()
    assert replies(world.updates(handoff)) == ["Your refund is on its way.", "On Friday."]
    assert world.show(handoff)["state"] == State.SOLVED
    assert world.show(other)["state"] == State.WITH_HUMANS


def test_a_message_before_any_answer_was_read(rt: RequestTracker, world: World) -> None:
    """Only what is not said to be a machine's is acknowledged, and the acknowledgement tells the tag."""
    before = {ticket["id"] for ticket in rt.rt_tickets()}
    handoff = world.hand_off(a_conversation("Is anybody there?", id="c-early"))
    world.run(within=600)
    acknowledged = rt.hand_out()
    world.rail.say(handoff.id, Message(role=Role.CUSTOMER, text="Hello?"))
    world.run(within=600)

    assert isinstance(world.connector, Email)
    opened = len([ticket for ticket in rt.rt_tickets() if ticket["id"] not in before])
    assert (acknowledged, opened) == ((0, 2) if world.connector.auto_submitted else (1, 1))


def test_a_subject_with_another_tickets_tag_opens_a_ticket_of_its_own(
    rt: RequestTracker, world: World
) -> None:
    victim = world.hand_off(a_conversation("The victim", id="c-victim"))
    world.run(within=600)
    number = max(int(t["id"]) for t in rt.rt_tickets() if "The victim" in t["Subject"])
    before = len(rt.rt_tickets())
    world.hand_off(a_conversation("x", id="c-thief", subject=f"[desk.test #{number}] please add this"))
    world.run(within=600)

    assert world.show(victim)["state"] == State.WITH_HUMANS
    assert len(rt.rt_tickets()) == before + 1


def test_a_lost_answer_leaves_one_ticket(rt: RequestTracker, world: World) -> None:
    before = len(rt.rt_tickets())
    rt.fault("lose", when="after")
    handoff = world.hand_off(a_conversation("Only once, please", id="c-once"))
    world.run(within=600)

    assert world.show(handoff)["attempts"] == 2
    assert len(rt.rt_tickets()) == before + 1
