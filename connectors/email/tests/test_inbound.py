"""What comes back by mail: each answer once, on its own handoff, and only from those who may give it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import make_msgid
from pathlib import Path
from typing import Any

import pytest

from handrail import Handoff, Mail, Message, Role, State, UpdateKind
from handrail.testing import World, a_conversation
from handrail_email import Email, inbound, sayings, trust
from handrail_email.parts import parsed
from handrail_email.simulated import OURS, SimulatedMail


def desk_of(world: World) -> SimulatedMail:
    assert isinstance(world.desk, SimulatedMail)
    return world.desk


def reply_to(world: World, number: int = -1) -> str:
    return str(desk_of(world).mails[number].mail["Reply-To"])


def said(world: World, handoff: Handoff) -> list[tuple[str, str | None]]:
    """What came back on a handoff: kind and text, or status, or assignee."""
    found = [update for update in world.updates(handoff) if update.kind is not UpdateKind.CREATED]
    return [(u.kind.value, u.text or (u.status and u.status.value) or u.assignee) for u in found]


def a_mail(text: str = "Done.", sender: str = "Bea <bea@desk.test>", **headers: str) -> bytes:
    mail = EmailMessage()
    mail["From"] = sender
    mail["Message-ID"] = headers.pop("Message_ID", make_msgid(domain="desk.test"))
    mail["Subject"] = headers.pop("Subject", "Re: your mail")
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    mail.set_content(text)
    return mail.as_bytes()


# Whose is it?


def test_the_signed_address_alone_is_enough(world: World) -> None:
    handoff = world.deliver()
    desk_of(world).arrives(a_mail(), to=reply_to(world))
    world.poll()

    assert said(world, handoff) == [("reply", "Done."), ("status", "pending")]


def test_so_is_our_message_id_in_references(world: World) -> None:
    handoff = world.deliver()
    ident = str(desk_of(world).mails[0].mail["Message-ID"])
    desk_of(world).arrives(a_mail(References=f"<other@desk.test> {ident}"))
    desk_of(world).arrives(a_mail("And more.", In_Reply_To=ident))
    world.poll()

    assert [text for kind, text in said(world, handoff) if kind == "reply"] == ["Done.", "And more."]


def test_so_is_the_tag_in_the_subject_from_a_colleague(world: World) -> None:
    first, second = world.deliver(), world.deliver(a_conversation("another", id="c-2"))
    subject = str(desk_of(world).mails[1].mail["Subject"])
    desk_of(world).arrives(a_mail(Subject=f"AW: {subject}"))
    desk_of(world).arrives(a_mail("I guess", "Eve <eve@elsewhere.test>", Subject=subject))
    world.poll()

    assert said(world, first) == []
    assert said(world, second) == [("reply", "Done."), ("status", "pending")]


def test_a_token_of_another_ticket_or_of_nobody_is_none(world: World) -> None:
    handoff = world.deliver()
    genuine = reply_to(world)
    head, mac = genuine.partition("@")[0].rsplit(".", 1)
    forged = f"{head}.{'a' * len(mac)}@handrail.test"
    bounce = desk_of(world).mails[0].sender
    for address in (forged, bounce, OURS):
        desk_of(world).arrives(a_mail(), to=address)
    world.poll()

    assert said(world, handoff) == []


def test_a_handoff_that_is_not_recorded_yet_gets_its_answer_later(world: World) -> None:
    """The mail was taken, our process did not hear of it, and the team is fast."""
    world.desk.fault("lose", when="after")
    handoff = world.hand_off()
    world.run()
    desk_of(world).arrives(a_mail("#solved\nQuick."), to=reply_to(world))
    world.rail.roads.poll("desk")
    assert said(world, handoff) == []

    world.run(within=600)
    world.poll()

    assert said(world, handoff) == [("reply", "Quick."), ("status", "solved")]
    assert world.show(handoff)["state"] == State.SOLVED


# Who may say it?


@pytest.mark.parametrize(
    ("sender", "verdict", "taken"),
    [
        ("Bea <bea@desk.test>", "pass", True),
        ("Bea <bea@desk.test>", "fail", False),
        ("Bea <bea@desk.test>", "none", False),
        ("Eve <eve@elsewhere.test>", "pass", False),
        ("Eve <eve@notdesk.test>", "pass", False),
        ("Eve <eve@desk.test.evil.test>", "pass", False),
        ("bea@desk.test <eve@elsewhere.test>", "pass", False),
        ("bea@desk.test, eve@elsewhere.test", "pass", False),
    ],
)
def test_only_a_colleague_whom_our_server_vouches_for_is_heard(
    world: World, sender: str, verdict: str, taken: bool
) -> None:
    handoff = world.deliver()
    raw = a_mail("#solved\nDone.").replace(b"Bea <bea@desk.test>", sender.encode())
    desk_of(world).arrives(raw, to=reply_to(world), verdict=verdict)
    world.poll()

    assert (world.show(handoff)["state"] == State.SOLVED) is taken
    assert (("reply", "Done.") in said(world, handoff)) is taken
    notes = world.updates(handoff, UpdateKind.NOTE)
    assert len(notes) == (0 if taken else 1)
    assert all("was not taken" in str(note.text) and note.public is False for note in notes)


def test_staff_are_domains_or_addresses(make_world: Any) -> None:
    world = make_world(settings={"staff": ["elsewhere.test", "bea@home.test"]})
    handoff = world.deliver()
    for sender in ("Al <al@elsewhere.test>", "Bea <bea@home.test>", "Eve <eve@home.test>", "C <c@desk.test>"):
        world.desk.arrives(a_mail(f"from {sender[:3]}", sender), to=reply_to(world))
    world.poll()

    replies = [text for kind, text in said(world, handoff) if kind == "reply"]
    assert replies == ["from Al", "from Bea"]


def test_neighbours_at_a_public_provider_are_no_colleagues() -> None:
    given = SimulatedMail().settings() | {"groups": {"default": "our.team@gmail.com"}}
    given.pop("connector")
    email = Email(**given)

    assert email.is_staff("our.team@gmail.com")
    assert not email.is_staff("somebody.else@gmail.com")


def test_the_customer_who_answers_the_mail_is_the_customer(world: World) -> None:
    handoff = world.deliver()
    desk_of(world).arrives(a_mail("#solved\nThanks!", "Ann <ann@example.com>"), to=reply_to(world))
    world.poll()

    (update,) = world.updates(handoff, UpdateKind.CUSTOMER_MESSAGE)
    assert update.actor.kind == "customer"
    assert world.show(handoff)["state"] == State.WITH_HUMANS


RESULTS = {
    "dmarc passes": ("mx.a; spf=pass; dmarc=pass header.from=desk.test", True),
    "dmarc fails": ("mx.a; dkim=pass header.d=desk.test; dmarc=fail header.from=desk.test", False),
    "of another domain": ("mx.a; dmarc=pass header.from=evil.test", False),
    "another server": ("mx.b; dmarc=pass header.from=desk.test", False),
    "a longer name": ("mx.a.evil.test; dmarc=pass header.from=desk.test", False),
    "aligned dkim": ("mx.a; dkim=pass header.d=desk.test", True),
    "dkim of the domain above": ("mx.a; dkim=pass header.i=@test.example", False),
    "foreign dkim": ("mx.a; dkim=pass header.d=evil.test", False),
    "spf alone": ("mx.a; spf=pass smtp.mailfrom=desk.test", False),
    "hidden in a comment": ("mx.a; dmarc=fail (dmarc=pass header.from=desk.test; dmarc=pass)", False),
    "with a version": ("mx.a 1; dmarc=pass (p=none) header.from=desk.test", True),
    "nothing": ("mx.a; none", False),
    "empty": ("", False),
}


@pytest.mark.parametrize(("results", "expected"), RESULTS.values(), ids=RESULTS)
def test_the_verdict_is_our_own_servers(results: str, expected: bool) -> None:
    mail = parsed(f"Authentication-Results: {results}\nFrom: bea@desk.test\n\nx".encode())
    assert trust.passes(mail, "desk.test", "mx.a") is expected


def test_only_the_topmost_verdict_counts() -> None:
    good, bad = "mx.a; dmarc=pass header.from=desk.test", "mx.a; dmarc=fail header.from=desk.test"
    mail = parsed(f"Authentication-Results: {bad}\nAuthentication-Results: {good}\n\nx".encode())

    assert not trust.passes(mail, "desk.test", "mx.a")
    assert not trust.passes(parsed(b"From: bea@desk.test\n\nx"), "desk.test", "mx.a")
    assert trust.passes(parsed(b"From: bea@desk.test\n\nx"), "desk.test", None)


# What machines write.


@pytest.mark.parametrize(
    "headers",
    [
        {"Auto_Submitted": "auto-replied"},
        {"Auto_Submitted": "auto-generated (vacation)"},
        {"X_Autoreply": "yes"},
        {"X_Autorespond": "away"},
        {"Precedence": "auto_reply"},
        {"Precedence": "bulk"},
        {"Precedence": "list", "List_Id": "<all.desk.test>"},
    ],
)
def test_what_a_machine_wrote_is_no_reply(world: World, headers: dict[str, str]) -> None:
    handoff = world.deliver()
    desk_of(world).arrives(a_mail("I am away", **headers), to=reply_to(world))
    world.poll()

    assert said(world, handoff) == []


def test_a_null_return_path_is_no_reply(world: World) -> None:
    handoff = world.deliver()
    desk_of(world).arrives(a_mail("I am away"), to=reply_to(world), sender="")
    world.poll()

    assert said(world, handoff) == []


def test_a_ticket_systems_people_are_heard_though_it_writes_bulk_mail(world: World) -> None:
    """As Request Tracker does: the first answer is automatic and teaches the tag, a person's has no more."""
    handoff = world.deliver()
    ident = str(desk_of(world).mails[0].mail["Message-ID"])
    automatic = {"Precedence": "bulk", "Auto_Submitted": "auto-replied", "In_Reply_To": ident}
    desk_of(world).arrives(
        a_mail(
            "Thank you for your mail", "RT <support@desk.test>", Subject="[desk.test #7] AutoReply: x",
            References=f"<RT-Ticket-7@desk.test> {ident}", **automatic,
        )
    )  # fmt: skip
    person = {"Precedence": "bulk", "References": "<RT-Ticket-7@desk.test>", "Subject": "[desk.test #7] x"}
    desk_of(world).arrives(a_mail("Solved it.", "Alice via RT <support@desk.test>", **person))
    world.poll()
    desk_of(world).arrives(a_mail("Once more.", "Alice via RT <support@desk.test>", **person))
    other = person | {"References": "<RT-Ticket-8@desk.test>", "Subject": "[desk.test #8] x"}
    desk_of(world).arrives(a_mail("Not yours.", "Alice via RT <support@desk.test>", **other))
    world.poll()

    assert [text for kind, text in said(world, handoff) if kind == "reply"] == ["Solved it.", "Once more."]


def test_the_next_mail_carries_the_tag_that_the_desk_gave(world: World) -> None:
    """Learnt even where no poll has seen it: some desks open a second ticket without their tag."""
    handoff = world.deliver()
    ident = str(desk_of(world).mails[0].mail["Message-ID"])
    answer = {
        "Subject": "[desk.test #7] AutoReply: x",
        "In_Reply_To": ident,
        "Auto_Submitted": "auto-replied",
    }
    desk_of(world).arrives(a_mail("Thank you", "RT <support@desk.test>", **answer))
    world.rail.say(handoff.id, Message(role=Role.CUSTOMER, text="Any news?"))
    world.run(within=60)

    assert "[desk.test #7]" in str(desk_of(world).mails[-1].mail["Subject"])


def test_strangers_teach_nothing(world: World) -> None:
    handoff = world.deliver()
    forged = a_mail("x", "RT <support@desk.test>", Subject="[evil #1]")
    desk_of(world).arrives(forged, to=reply_to(world), verdict="fail")
    world.poll()
    world.rail.say(handoff.id, Message(role=Role.CUSTOMER, text="Any news?"))
    world.run(within=60)

    assert "[evil #1]" not in str(desk_of(world).mails[-1].mail["Subject"])


def test_an_id_that_hides_a_header_is_not_taken_over(world: World) -> None:
    handoff = world.deliver()
    for ident in ("<=?utf-8?q?x=0D=0ABcc:_evil@evil.test?=@desk.test>", "<bé@desk.test>"):
        raw = a_mail(f"from {ident[:4]}", Message_ID="<placeholder@desk.test>")
        desk_of(world).arrives(raw.replace(b"<placeholder@desk.test>", ident.encode()), to=reply_to(world))
    world.poll()
    world.rail.say(handoff.id, Message(role=Role.CUSTOMER, text="Any news?"))
    world.run(within=60)

    assert desk_of(world).mails[-1].mail["Bcc"] is None
    assert desk_of(world).mails[-1].mail["In-Reply-To"] is not None


# Once, and without a trace.


def test_a_mail_that_lies_there_twice_is_one_reply(world: World) -> None:
    handoff = world.deliver()
    raw = a_mail(Message_ID="<one@desk.test>")
    desk_of(world).arrives(raw, to=reply_to(world))
    desk_of(world).arrives(raw, to=reply_to(world))
    desk_of(world).arrives(a_mail("Another text.", Message_ID="<one@desk.test>"), to=reply_to(world))
    world.poll()

    replies = [text for kind, text in said(world, handoff) if kind == "reply"]
    assert replies == ["Done.", "Another text."]


def test_a_mailbox_that_is_numbered_anew_loses_nothing_and_repeats_nothing(world: World) -> None:
    handoff = world.deliver()
    desk, address = desk_of(world), reply_to(world)
    first, second = a_mail("#pending\nFirst."), a_mail("#solved\nSecond.")
    desk.arrives(first, to=address)
    world.poll()
    assert desk.io
    desk.io.run(desk.imap.close())
    desk.io.run(desk.imap.open())  # an empty server, with other numbers
    desk.arrives(first, to=address)
    desk.arrives(second, to=address)
    world.poll()
    world.poll()

    assert said(world, handoff) == [
        ("reply", "First."), ("status", "pending"), ("reply", "Second."), ("status", "solved"),
    ]  # fmt: skip


def test_people_who_share_the_mailbox_notice_nothing(world: World) -> None:
    import imaplib

    handoff = world.deliver()
    desk_of(world).arrives(a_mail(), to=reply_to(world))
    world.poll()
    port = desk_of(world).imap.port
    with imaplib.IMAP4("127.0.0.1", port) as imap:
        imap.login(OURS, desk_of(world).imap.password)
        imap.select("INBOX", readonly=True)
        _, unseen = imap.search(None, "UNSEEN")
        _, everything = imap.search(None, "ALL")

    assert ("reply", "Done.") in said(world, handoff)
    assert unseen == everything
    assert len(everything[0].split()) == 2  # our own copy, and the reply


def test_a_page_is_no_limit(world: World) -> None:
    handoff = world.deliver()
    for number in range(120):
        desk_of(world).arrives(a_mail(f"number {number}"), to=reply_to(world))
        world.clock.advance(60)
    world.poll()
    world.poll()

    replies = [text for kind, text in said(world, handoff) if kind == "reply"]
    assert replies == [f"number {number}" for number in range(120)]


def test_two_machines_that_answer_each_other_come_to_an_end(world: World) -> None:
    handoff = world.deliver()

    def more(count: int) -> list[tuple[str, str | None]]:
        for number in range(count):
            desk_of(world).arrives(a_mail(f"Thank you ({number} of {count})"), to=reply_to(world))
            world.clock.advance(5)
        world.poll()
        return [each for each in said(world, handoff) if each[0] != "status"]

    first = more(70)
    assert [kind for kind, _ in first] == ["reply"] * 60 + ["note"]
    assert "More than 60 mails came within an hour" in str(first[-1][1])
    assert more(5) == first

    world.rail.say(handoff.id, Message(role=Role.CUSTOMER, text="Any news?"))  # reads the thread once more
    world.let_pass(7200)
    assert [each for each in said(world, handoff) if each[0] != "status"] == first
    assert [kind for kind, _ in more(1)][-1] == "reply"


def test_a_huge_mail_is_read_from_its_beginning(world: World) -> None:
    handoff = world.deliver()
    desk_of(world).arrives(a_mail("Done.\n\n" + "x" * 70 + "\n" * 2 + "y" * 3_000_000), to=reply_to(world))
    world.poll()

    (reply,) = world.updates(handoff, UpdateKind.REPLY)
    assert str(reply.text).startswith("Done.")
    assert len(str(reply.text)) < 1_100_000


def test_one_unreadable_mail_does_not_hold_up_the_others(world: World) -> None:
    handoff = world.deliver()
    for raw in (b"", b"\xff\xfe\x00", b"From: \xff\n\n\xff", b"Content-Type: text/plain; charset=x\n\nhi"):
        desk_of(world).arrives(raw, to=reply_to(world))
    desk_of(world).arrives(a_mail(), to=reply_to(world))
    world.poll()

    assert ("reply", "Done.") in said(world, handoff)


def test_mails_that_no_parser_likes_are_no_error() -> None:
    given = SimulatedMail().settings()
    given.pop("connector")
    deep = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(2000))
    raws = [
        b"From: Bea <bea@desk.test>\n" + deep,
        b"From: " + b"(" * 5000 + b"\n\nx",
        b"\0" * 100,
        b"\n" * 100,
    ]
    raws += [b"Content-Type: " + b"multipart/" * 500 + b"\n\n", b"References: " + b"<" * 100_000 + b"\n\n"]
    raws += [b"Subject: =?utf-8?q?" + b"=C3" * 5000 + b"?=\n\nx", b"Authentication-Results: " + b"(" * 9000]
    mails = [Mail(n, raw, len(raw), datetime(2026, 11, 23, tzinfo=UTC)) for n, raw in enumerate(raws)]

    page = inbound.page(Email(**given), mails, (), "1:9", False)
    assert (page.updates, page.undone, page.cursor) == ([], [], "1:9")


def test_assigning_and_noting(world: World) -> None:
    handoff = world.deliver()
    ticket = world.show(handoff)["ticket"]["id"]
    world.desk.human_assigns(ticket, "bob@desk.test")
    world.desk.human_notes(ticket, "she is angry")
    world.poll()

    assert said(world, handoff) == [("assignment", "bob@desk.test"), ("note", "she is angry")]
    assert world.show(handoff)["ticket"]["assignee"] == "bob@desk.test"


def test_solved_and_open_again(world: World) -> None:
    handoff = world.deliver()
    desk_of(world).arrives(a_mail("#solved"), to=reply_to(world))
    world.poll()
    assert world.show(handoff)["state"] == State.SOLVED
    world.clock.advance(60)
    desk_of(world).arrives(a_mail("#open"), to=reply_to(world))
    world.poll()

    assert world.show(handoff)["state"] == State.WITH_HUMANS
    assert [update.kind for update in world.updates(handoff)].count(UpdateKind.REOPENED) == 1


# What was cut off.

QUOTED = "On Mon, Nov 23, 2026 at 9:00 AM AI desk <bot@handrail.test> wrote:\n> brief\n> not ours"


@pytest.mark.parametrize("text", ["Done.", "#solved", "#note\nShe is angry.", "#assign bob"])
@pytest.mark.parametrize("sender", ["Bea <bea@desk.test>", "Ann <ann@example.com>"])
def test_the_whole_text_is_kept_beside_what_was_read_in_it(world: World, text: str, sender: str) -> None:
    handoff = world.deliver()
    desk_of(world).arrives(a_mail(f"{text}\n\n{QUOTED}", sender), to=reply_to(world))
    world.poll()

    first, *more = (each for each in world.updates(handoff) if each.kind is not UpdateKind.CREATED)
    assert "not ours" not in str(first.text)
    assert first.raw["text"].rstrip() == f"{text}\n\n{QUOTED}"
    assert not any("text" in each.raw for each in more)


def test_of_a_huge_text_a_part_is_kept_and_of_a_strangers_nothing(world: World) -> None:
    handoff = world.deliver()
    desk_of(world).arrives(a_mail("Done.\n" + "x\n" * 100_000), to=reply_to(world))
    desk_of(world).arrives(a_mail("I am nobody", "Eve <eve@elsewhere.test>"), to=reply_to(world))
    world.poll()

    (reply,) = world.updates(handoff, UpdateKind.REPLY)
    (note,) = world.updates(handoff, UpdateKind.NOTE)
    assert len(reply.raw["text"]) == sayings.MAX_TEXT
    assert "text" not in note.raw


# The customer asks again.


@pytest.mark.parametrize("order", ["#solved", "#close", "#pending", "Done."])
def test_a_customer_who_writes_again_by_mail_finds_it_open(world: World, order: str) -> None:
    handoff = world.deliver()
    desk_of(world).arrives(a_mail(order), to=reply_to(world))
    if order == "#close":
        world.clock.advance(60)  # once it is known as closed, nobody asks for it any more
    else:
        world.poll()
    desk_of(world).arrives(a_mail("It is still broken.", "Ann <ann@example.com>"), to=reply_to(world))
    world.poll()

    shown = world.show(handoff)
    assert (shown["state"], shown["ticket"]["status"]) == (State.WITH_HUMANS, "open")
    assert [u.actor.kind for u in world.updates(handoff) if u.raw_status == sayings.ASKS] == ["customer"]


@pytest.mark.parametrize("order", ["#solved", "#close", "#pending", "Done."])
def test_a_customers_message_that_we_pass_on_opens_it_too(world: World, order: str) -> None:
    handoff = world.deliver()
    desk_of(world).arrives(a_mail(order), to=reply_to(world))
    world.poll()
    world.clock.advance(60)
    world.rail.say(handoff.id, Message(role=Role.CUSTOMER, text="It is still broken."))
    world.run(within=60)

    shown = world.show(handoff)
    assert (shown["state"], shown["ticket"]["status"]) == (State.WITH_HUMANS, "open")
    ended = order in ("#solved", "#close")
    assert [u.kind for u in world.updates(handoff)].count(UpdateKind.REOPENED) == ended

    world.rail.set_urgency(handoff.id, "urgent")  # reads the thread once more, with the order in it
    world.run(within=60)
    world.poll()
    assert world.show(handoff)["ticket"]["status"] == "open"
    desk_of(world).arrives(a_mail("#solved"), to=reply_to(world))
    world.poll()
    assert world.show(handoff)["state"] == State.SOLVED


def test_an_answer_that_crossed_with_the_customers_question_does_not_close_it(world: World) -> None:
    """Nobody of the team has seen the question yet when the answer is written."""
    handoff = world.deliver()
    desk_of(world).arrives(a_mail("#pending"), to=reply_to(world))
    world.poll()
    world.clock.advance(60)
    desk_of(world).arrives(a_mail("#solved"), to=reply_to(world))
    world.clock.advance(60)
    world.rail.say(handoff.id, Message(role=Role.CUSTOMER, text="And another thing."))
    world.run(within=60)
    world.poll()

    assert world.show(handoff)["state"] == State.WITH_HUMANS


def test_what_the_ai_says_opens_nothing(world: World) -> None:
    handoff = world.deliver()
    desk_of(world).arrives(a_mail("#solved"), to=reply_to(world))
    world.poll()
    world.rail.say(handoff.id, Message(role=Role.AI, text="The customer is happy."))
    world.run(within=60)

    assert world.show(handoff)["state"] == State.SOLVED


def test_a_customers_old_mail_that_is_read_once_more_opens_nothing(world: World) -> None:
    handoff = world.deliver()
    desk_of(world).arrives(a_mail("Where is it?", "Ann <ann@example.com>"), to=reply_to(world))
    world.poll()
    world.rail.close(handoff.id)
    world.run(within=60)
    assert world.show(handoff)["state"] == State.SOLVED
    world.rail.set_urgency(handoff.id, "low")  # reads the thread once more, with the question in it
    world.run(within=60)
    world.poll()

    assert world.show(handoff)["state"] == State.SOLVED


# Mails that come back.


def a_bounce(
    world: World, number: int = 0, action: str = "failed", recipient: str = "support@desk.test"
) -> bytes:
    about = desk_of(world).mails[number].mail
    return (
        f"From: MAILER-DAEMON@mx.test\nSubject: Undelivered Mail\nAuto-Submitted: auto-replied\n"
        f"To: {desk_of(world).mails[number].sender}\n"
        f"Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\nsorry\n--b\n"
        f"Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx.test\n\n"
        f"Final-Recipient: rfc822; {recipient}\nAction: {action}\nStatus: 5.1.1\n"
        f"Diagnostic-Code: smtp; 550 5.1.1 no such user\n--b\nContent-Type: text/rfc822-headers\n\n"
        f"Message-ID: {about['Message-ID']}\nSubject: x\n--b--\n"
    ).encode()


@pytest.fixture
def with_fallback(make_world: Any) -> World:
    """Two email desks at the same servers: ``backup`` writes to another mailbox."""
    world: World = make_world()
    world.rail.close_connections()
    again: World = make_world(fallback=["backup"])
    given = {key: value for key, value in again.desk.settings().items() if key != "connector"}
    backup = Email(**given | {"groups": {"default": "billing@desk.test"}})
    again.rail.config.desks["backup"] = backup
    return again


def test_a_mail_that_came_back_goes_to_the_fallback_once(with_fallback: World) -> None:
    world = with_fallback
    handoff = world.deliver()
    world.rail.say(handoff.id, Message(role=Role.CUSTOMER, text="Any news?"))
    world.run(within=60)
    bounce = a_bounce(world)
    desk_of(world).arrives(bounce, to=desk_of(world).mails[0].sender, sender="")
    world.poll()
    world.run(within=3600)
    desk_of(world).arrives(bounce, to=desk_of(world).mails[0].sender, sender="")
    world.poll()
    world.run(within=3600)

    shown = world.show(handoff)
    assert (shown["state"], shown["desk"]) == (State.WITH_HUMANS, "backup")
    moved = [each for each in desk_of(world).mails if each.mailbox == "billing@desk.test"]
    assert len(moved) == 2
    first, later = ("".join(each.mail.get_body(("plain",)).get_content().split("\n  ")) for each in moved)
    assert "it could not be delivered to desk: the mail came back" in first
    assert "550 5.1.1 no such user" in first
    assert "Any news?" in later
    desk_of(world).arrives(a_mail("Got it."), to=str(moved[0].mail["Reply-To"]))
    world.rail.roads.poll("backup")
    assert ("reply", "Got it.") in said(world, handoff)


def test_without_a_fallback_it_waits_for_a_person(world: World) -> None:
    handoff = world.deliver()
    desk_of(world).arrives(a_bounce(world), to=desk_of(world).mails[0].sender, sender="")
    world.poll()
    shown = world.show(handoff)
    assert shown["state"] == State.UNDELIVERED
    assert "550 5.1.1 no such user" in shown["last_error"]

    world.rail.retry(handoff.id)
    world.run(within=60)
    assert world.show(handoff)["state"] == State.WITH_HUMANS
    assert len(desk_of(world).mails) == 2


def test_a_report_that_a_mail_is_late_is_a_note_and_changes_nothing(with_fallback: World) -> None:
    world = with_fallback
    handoff = world.deliver()
    sender = desk_of(world).mails[0].sender
    desk_of(world).arrives(a_bounce(world, action="delayed"), to=sender, sender="")
    desk_of(world).arrives(a_bounce(world, action="delayed"), to="bot+b.x.y@handrail.test", sender="")
    world.poll()

    assert world.show(handoff)["desk"] == "desk"
    [(kind, text)] = said(world, handoff)
    assert (kind, "its server goes on trying: smtp; 550 5.1.1" in str(text)) == ("note", True)


@pytest.mark.parametrize("action", ["relayed", "delivered"])
def test_a_report_of_something_else_changes_nothing(with_fallback: World, action: str) -> None:
    world = with_fallback
    handoff = world.deliver()
    desk_of(world).arrives(a_bounce(world, action=action), to=desk_of(world).mails[0].sender, sender="")
    world.poll()

    assert world.show(handoff)["desk"] == "desk"
    assert said(world, handoff) == []


def test_that_our_own_copy_came_back_means_nothing(with_fallback: World) -> None:
    world = with_fallback
    handoff = world.deliver()
    desk_of(world).arrives(a_bounce(world, recipient=OURS), to=desk_of(world).mails[0].sender, sender="")
    world.poll()

    assert world.show(handoff)["desk"] == "desk"


def test_a_bounce_after_people_have_answered_is_only_noted(with_fallback: World) -> None:
    world = with_fallback
    handoff = world.deliver()
    desk_of(world).arrives(a_mail(), to=reply_to(world))
    world.poll()
    desk_of(world).arrives(a_bounce(world), to=desk_of(world).mails[0].sender, sender="")
    world.poll()

    shown = world.show(handoff)
    assert (shown["desk"], shown["state"]) == ("desk", State.WITH_HUMANS)


def test_a_later_message_that_came_back_is_a_failed_message(with_fallback: World) -> None:
    world = with_fallback
    handoff = world.deliver()
    world.rail.say(handoff.id, Message(role=Role.CUSTOMER, text="Any news?"))
    world.run(within=60)
    desk_of(world).arrives(a_bounce(world, 1), to=desk_of(world).mails[1].sender, sender="")
    world.poll()
    shown = world.show(handoff)
    assert (shown["desk"], shown["state"]) == ("desk", State.WITH_HUMANS)
    assert "say failed: the mail came back" in shown["last_error"]

    world.rail.retry(handoff.id)
    world.run(within=600)
    assert len(desk_of(world).mails) == 3
    assert world.show(handoff)["last_error"] is None
    texts = [each.mail.get_body(("plain",)).get_content() for each in desk_of(world).mails]
    assert ["Any news?" in text for text in texts] == [False, True, True]


def without_headers(bounce: bytes, envelope: str) -> bytes:
    """As servers report that return nothing of the mail."""
    head, report = bounce.split(b"Reporting-MTA", 1)
    report = report.split(b"--b\nContent-Type: text/rfc822-headers")[0]
    return head + f"Original-Envelope-Id: {envelope}\nReporting-MTA".encode() + report + b"--b--\n"


@pytest.mark.parametrize("case", [str.upper, str.lower])
def test_a_report_without_the_mails_headers_tells_it_by_the_envelope(with_fallback: World, case: Any) -> None:
    world = with_fallback
    handoff = world.deliver()
    world.rail.say(handoff.id, Message(role=Role.CUSTOMER, text="Any news?"))
    world.run(within=60)
    (operation,) = (each for each in world.operations(handoff) if each.kind == "say")
    bounce = without_headers(a_bounce(world, 1), case(f"{handoff.id}.{operation.id}"))
    desk_of(world).arrives(bounce, to=desk_of(world).mails[1].sender, sender="")
    world.poll()

    shown = world.show(handoff)
    assert (shown["desk"], shown["state"]) == ("desk", State.WITH_HUMANS)
    assert "say failed: the mail came back" in shown["last_error"]


HOSTILE = {
    "the handoff itself": "{id}.0",
    "nothing": "",
    "another's": "01M83T4CM0MYK646N6V6PH407M.01M83T4CM0MYK646N6V6PH407M",
    "a word": "h15",
    "a query": "{id}.' OR 1=1 --",
    "a long one": "{id}." + "A" * 50_000,
    "a folded one": "{id}\n .{id}",
    "not of this world": "{id}.\u00e9\0=?utf-8?q?=0D=0A?=",
}


@pytest.mark.parametrize("envelope", HOSTILE.values(), ids=HOSTILE)
def test_an_envelope_that_names_no_message_is_that_of_the_handoff(
    with_fallback: World, envelope: str
) -> None:
    world = with_fallback
    handoff = world.deliver()
    bounce = without_headers(a_bounce(world), envelope.format(id=handoff.id))
    desk_of(world).arrives(bounce, to=desk_of(world).mails[0].sender, sender="")
    world.poll()
    world.run(within=600)

    assert world.show(handoff)["desk"] == "backup"


def test_an_envelopes_id_without_the_signed_address_moves_nothing(with_fallback: World) -> None:
    world = with_fallback
    handoff = world.deliver()
    forged = without_headers(a_bounce(world), f"{handoff.id}.0").replace(b"+b.", b"+b.0")
    desk_of(world).arrives(forged, to=desk_of(world).mails[0].sender.replace("b.", "b.0"), sender="")
    world.poll()

    assert world.show(handoff)["desk"] == "desk"


def test_a_forged_bounce_is_none(with_fallback: World) -> None:
    world = with_fallback
    handoff = world.deliver()
    forged = a_bounce(world).replace(b"<ho.", b"<xx.").replace(b"+b.", b"+b.0")
    desk_of(world).arrives(forged, to=desk_of(world).mails[0].sender.replace("b.", "b.0"), sender="")
    world.poll()

    assert world.show(handoff)["desk"] == "desk"


def test_a_bounce_of_a_handoff_that_is_not_recorded_yet_is_not_forgotten(with_fallback: World) -> None:
    world = with_fallback
    world.desk.fault("lose", when="after")
    handoff = world.hand_off()
    world.run()
    desk_of(world).arrives(a_bounce(world), to=desk_of(world).mails[0].sender, sender="")
    world.rail.roads.poll("desk")
    world.run(within=600)
    world.poll()
    world.run(within=600)

    assert world.show(handoff)["desk"] == "backup"


def test_every_recorded_bounce_turns_its_handoff_to_the_fallback(
    with_fallback: World, fixtures: Path
) -> None:
    world, desk = with_fallback, desk_of(with_fallback)
    names = ["dsn_11", "exim_01", "qmail_05", "postfix_01", "yahoo_13", "simple_20", "dsn_08", "qmail_08"]
    handoffs = {}
    for name in names:
        handoffs[name] = world.deliver(a_conversation(name, id=name))
        raw = (fixtures / "bounces" / f"{name}.txt").read_bytes()
        desk.arrives(raw, to=desk.mails[-1].sender, sender="")
    world.poll()
    world.run(within=600)

    moved = {name for name, handoff in handoffs.items() if world.show(handoff)["desk"] == "backup"}
    assert set(names) - moved == {"dsn_08", "qmail_08"}


def test_old_tickets_are_still_watched(world: World) -> None:
    handoff = world.deliver()
    world.poll()
    world.clock.advance(timedelta(days=20))
    desk_of(world).arrives(a_mail("At last."), to=reply_to(world))
    world.poll()

    assert ("reply", "At last.") in said(world, handoff)
