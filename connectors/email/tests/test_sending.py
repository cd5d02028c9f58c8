"""No mail is lost, and a second copy goes out only where nobody could know of the first."""

from __future__ import annotations

import re
import smtplib
import tempfile
from datetime import timedelta
from typing import Any

import pytest

from handrail import FetchMail, Message, Role, State, UpdateKind
from handrail.testing import Clock, World, a_conversation
from handrail.testing.crash import Mortals, story
from handrail_email import Email
from handrail_email.simulated import SimulatedMail

EARLY = ("ehlo", "auth", "mail", "rcpt", "data")
BREAKS = ("lose", "reset", "half", "hang")


def copies(world: World) -> list[bytes]:
    assert isinstance(world.desk, SimulatedMail)
    return [each.content for each in world.desk.mails]


@pytest.mark.parametrize("imap", [True, False])
@pytest.mark.parametrize("kind", [*BREAKS, "html", "empty", "status"])
@pytest.mark.parametrize("stage", EARLY)
def test_what_breaks_before_the_final_dot_is_sent_once(
    make_world: Any, imap: bool, stage: str, kind: Any
) -> None:
    world = make_world(imap=imap)
    world.desk.fault(kind, stage=stage)

    handoff = world.deliver()

    assert world.show(handoff)["state"] == State.WITH_HUMANS
    assert world.show(handoff)["attempts"] == 2
    assert len(copies(world)) == 1


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", [*BREAKS, "html", "empty", "status"])
def test_behind_the_final_dot_the_mailbox_knows(make_world: Any, kind: Any, when: Any) -> None:
    world = make_world()
    world.desk.fault(kind, when=when)

    handoff = world.deliver()

    assert world.show(handoff)["state"] == State.WITH_HUMANS
    assert len(copies(world)) == 1


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", BREAKS)
def test_without_a_mailbox_a_doubtful_mail_goes_out_again_as_the_same_bytes(
    make_world: Any, kind: Any, when: Any
) -> None:
    world = make_world(imap=False)
    world.desk.fault(kind, when=when)

    handoff = world.deliver()

    assert world.show(handoff)["state"] == State.WITH_HUMANS
    assert len(copies(world)) == (2 if when == "after" else 1)
    assert len(set(copies(world))) == 1


def test_the_folder_of_sent_mails_is_proof_as_well(make_world: Any) -> None:
    """A server that files what it takes, and no copy of our own."""
    world = make_world(sent_folder="Sent Mail", settings={"own_copy": False})
    world.desk.fault("lose", when="after")
    handoff = world.hand_off()
    world.run()
    assert len(copies(world)) == 1
    world.desk.io.run(world.desk.imap.append(copies(world)[0], world.clock(), "Sent Mail"))

    world.run(within=3600)

    assert world.show(handoff)["state"] == State.WITH_HUMANS
    assert len(copies(world)) == 1


def test_a_copy_is_put_into_the_sent_folder_once(make_world: Any) -> None:
    world = make_world(sent_folder="Sent")
    handoff = world.deliver()
    world.rail.say(handoff.id, Message(role=Role.CUSTOMER, text="Any news?"))
    world.run(within=60)

    found = world.rail.context.driver("desk").run(lambda: world.connector.kept(_ident(world, 0)))
    also = world.rail.context.driver("desk").run(lambda: world.connector.kept(_ident(world, 1)))
    never = world.rail.context.driver("desk").run(lambda: world.connector.kept("<ho.none.0@handrail.test>"))
    assert (found, also, never) == (True, True, None)


GMAIL = b"Message-ID: <CAF+handrail@mail.gmail.com>"


def renamed(content: bytes) -> bytes:
    """A mail as a server files it that puts in ids of its own."""
    return re.sub(rb"(?m)^Message-ID: <[^>\r\n]+>", GMAIL, content)


@pytest.mark.parametrize("auto_submitted", [True, False])
def test_our_own_copy_is_known_by_any_name(
    make_world: Any, monkeypatch: pytest.MonkeyPatch, auto_submitted: bool
) -> None:
    """Found after a loss behind the final dot, and then no mail that came in."""
    world = make_world(settings={"auto_submitted": auto_submitted})
    desk = world.desk
    assert isinstance(desk, SimulatedMail)
    into_ours = desk._into_ours

    async def under_another_id(sender: str, address: str, content: bytes, verdict: str = "pass") -> None:
        await into_ours(sender, address, renamed(content), verdict)

    monkeypatch.setattr(desk, "_into_ours", under_another_id)
    desk.fault("lose", when="after")
    handoff = world.deliver()
    assert world.show(handoff)["state"] == State.WITH_HUMANS
    assert len(copies(world)) == 1

    world.poll()
    assert [update.kind for update in world.updates(handoff)] == [UpdateKind.CREATED]


@pytest.mark.parametrize("name", [bytes, renamed], ids=["our id", "another id"])
def test_a_sent_folder_that_the_server_fills_gets_no_second_copy(
    make_world: Any, monkeypatch: pytest.MonkeyPatch, name: Any
) -> None:
    world = make_world(sent_folder="Sent", settings={"own_copy": False})
    taken = world.desk.taken

    async def filed(sender: str, recipients: Any, content: bytes) -> None:
        await world.desk.imap.append(name(content), world.clock(), "Sent")
        await taken(sender, recipients, content)

    monkeypatch.setattr(world.desk, "taken", filed)
    handoff = world.deliver()
    world.rail.say(handoff.id, Message(role=Role.CUSTOMER, text="Any news?"))
    world.desk.fault("lose", when="after")
    world.run(within=3600)

    def in_the_folder() -> Any:
        reply = yield FetchMail("Sent", since=world.clock().date() - timedelta(days=2))
        return reply.found.mails

    assert len(copies(world)) == 2
    assert len(world.rail.context.driver("desk").run(in_the_folder)) == 2


def test_a_sent_folder_that_is_not_there_stops_nothing(make_world: Any) -> None:
    world = make_world(settings={"sent_folder": "Nicht da ü"})
    world.desk.fault("lose", when="after")

    handoff = world.deliver()

    assert world.show(handoff)["state"] == State.WITH_HUMANS
    assert len(copies(world)) == 1


def test_a_mailbox_that_is_the_teams_own_gets_no_second_copy(make_world: Any) -> None:
    world = make_world(settings={"reply_to": "support@desk.test"})
    assert isinstance(world.connector, Email)
    world.deliver()

    assert len(copies(world)) == 1
    assert world.connector.copy_to("support@desk.test") is None
    assert world.connector.copy_to("billing@desk.test") == "support@desk.test"


def test_a_copy_that_our_own_server_refuses_is_no_failure(make_world: Any) -> None:
    world = make_world(settings={"reply_to": "nobody@handrail.test"})

    handoff = world.deliver()

    assert world.show(handoff)["attempts"] == 1
    assert len(copies(world)) == 1


def test_a_group_whose_mailbox_is_gone_falls_to_the_default_one(make_world: Any) -> None:
    world = make_world(settings={"groups": {"vip": "gone@desk.test", "default": "support@desk.test"}})

    handoff = world.deliver(group="vip")

    assert world.show(handoff)["state"] == State.WITH_HUMANS
    text = world.desk.tickets[0].comments[0].body
    assert "Could not be set: group: RCPT: 550 5.1.1 no such user here" in " ".join(text.split())


def test_no_mailbox_at_all_is_a_final_no(make_world: Any) -> None:
    world = make_world(settings={"groups": {"default": "gone@desk.test"}})

    handoff = world.deliver()

    shown = world.show(handoff)
    assert shown["state"] == State.UNDELIVERED
    assert "550 5.1.1 no such user here" in shown["last_error"]
    assert shown["attempts"] == 1


@pytest.mark.parametrize(
    ("reply", "stage", "state", "attempts"),
    [
        ("421 4.3.2 closing", "mail", State.WITH_HUMANS, 2),
        ("450 4.2.0 greylisted", "rcpt", State.WITH_HUMANS, 2),
        ("452 4.3.1 full", "data", State.WITH_HUMANS, 2),
        ("451 4.7.1 later", "dot", State.WITH_HUMANS, 2),
        ("552 5.3.4 too large", "mail", State.UNDELIVERED, 1),
        ("550 5.7.1 not you", "rcpt", State.UNDELIVERED, 1),
        ("554 5.6.0 bad content", "dot", State.UNDELIVERED, 1),
        ("535 5.7.8 bad credentials", "auth", State.ACCEPTED, 1),
        ("530 5.7.0 sign in first", "mail", State.ACCEPTED, 1),
        ("454 4.7.0 try later", "auth", State.WITH_HUMANS, 2),
    ],
)
def test_each_answer_has_its_decision(
    world: World, reply: str, stage: str, state: State, attempts: int
) -> None:
    world.desk.fault("status", reply=reply, stage=stage)

    handoff = world.deliver()

    shown = world.show(handoff)
    assert (shown["state"], shown["attempts"]) == (state, attempts)
    assert len(copies(world)) == (state == State.WITH_HUMANS)


def test_a_refused_quit_is_success(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def quit(self: smtplib.SMTP) -> None:
        raise smtplib.SMTPServerDisconnected("gone")

    monkeypatch.setattr(smtplib.SMTP, "quit", quit)

    handoff = world.deliver()

    assert world.show(handoff)["attempts"] == 1
    assert len(copies(world)) == 1


def test_a_copy_that_comes_late_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two mail servers a minute is nothing: the look is repeated before the mail is."""
    desk = world.desk
    assert isinstance(desk, SimulatedMail)
    late: list[bytes] = []

    async def hold(sender: str, address: str, content: bytes, verdict: str = "pass") -> None:
        late.append(content)

    with monkeypatch.context() as held:
        held.setattr(desk, "_into_ours", hold)
        desk.fault("lose", when="after")
        handoff = world.hand_off()
        world.run(within=60)
    assert world.show(handoff)["state"] == State.DELIVERING
    desk.arrives(late[0])
    world.run(within=3600)

    assert world.show(handoff)["state"] == State.WITH_HUMANS
    assert len(copies(world)) == 1


def test_a_mailbox_that_cannot_be_read_delays_a_doubtful_mail_and_loses_nothing(world: World) -> None:
    desk = world.desk
    assert isinstance(desk, SimulatedMail)
    assert desk.io
    desk.io.run(desk.imap.close())
    desk.fault("lose", when="after")
    handoff = world.deliver()
    assert world.show(handoff)["state"] == State.DELIVERING
    assert len(copies(world)) == 1

    desk.io.run(desk.imap.open())  # another server, which knows nothing
    desk.arrives(copies(world)[0])
    world.run(within=3600)

    assert world.show(handoff)["state"] == State.WITH_HUMANS
    assert len(copies(world)) == 1


def test_killed_at_any_step_without_a_mailbox_every_copy_is_the_same_mail(clock: Clock) -> None:
    step, fate = 0, "killed"
    with SimulatedMail(clock=clock, imap=False) as desk, Mortals() as mortals:
        known = {key: value for key, value in desk.settings().items() if key != "connector"}
        while fate == "killed":
            step += 1
            desk.mails.clear()
            with tempfile.TemporaryDirectory() as folder:
                store = f"sqlite:///{folder}/{step}.db"
                order = {"step": step, "store": store, "settings": known, "more": {"timeout": "5s"}}
                fate = mortals.live(connector="email", now=clock().isoformat(), **order)
                with World(desk, Email, clock=clock, store=store, settings={"timeout": "5s"}) as world:
                    world.recover()
                    story(world)
                    assert world.rail.list()[0]["state"] == State.WITH_HUMANS, f"killed at step {step}"
            sent = [each.content for each in desk.mails]
            begun = [each for each in desk.mails if "In-Reply-To" not in each.mail]
            assert len(set(sent)) == 2, f"killed at step {step}"
            assert len(begun) in (1, 2), f"killed at step {step}"
            assert len(sent) <= 3, f"killed at step {step}"
    assert fate == "done"
    assert step > 10


def test_many_handoffs_at_once(world: World) -> None:
    handoffs = [world.hand_off(a_conversation(f"question {n}", id=f"c-{n}")) for n in range(10)]
    world.run(within=60)

    assert {world.show(handoff)["state"] for handoff in handoffs} == {State.WITH_HUMANS}
    assert len(set(copies(world))) == len(copies(world)) == 10


def _ident(world: World, number: int) -> str:
    assert isinstance(world.desk, SimulatedMail)
    return str(world.desk.mails[number].mail["Message-ID"])
