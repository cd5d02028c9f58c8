"""The mail that goes out: complete, the same every time, and without a header of a customer's making."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from handrail import Conversation, Customer, File, Handoff, Message, Reply, Role, SendMail, Ticket, Urgency
from handrail.testing import World, a_conversation, a_file
from handrail_email import Email, compose, outbox, tokens

ID = "01M83T4CM0MYK646N6V6PH407M"
SETTINGS: dict[str, Any] = {
    "smtp": "smtp://bot:smtp-password@127.0.0.1:1",
    "imap": "imap://bot:imap-password@127.0.0.1:1",
    "from": "AI desk <bot@handrail.test>",
    "groups": {"billing": "billing@desk.test", "default": "support@desk.test"},
    "reply_secret": "a-long-secret-of-our-own",
    "authserv_id": "mx.handrail.test",
}


@pytest.fixture
def email() -> Email:
    """A connector that talks to nobody."""
    return Email(**SETTINGS)


def a_handoff(text: str = "Where is my refund?", **more: Any) -> Handoff:
    known = {key: more.pop(key) for key in ("customer", "subject", "fields", "tags") if key in more}
    conversation = a_conversation(text, id="c-1", **known)
    at = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
    return Handoff(id=ID, key="k", conversation=conversation, desk="desk", created_at=at, **more)


NAMES = b'{"billing@desk.test": "billing@desk.test", "support@desk.test": "support@desk.test"}'


def sent(email: Email, handoff: Handoff) -> SendMail:
    """The mail that ``create`` sends."""
    steps = email.create(handoff)
    step = next(steps)
    while not isinstance(step, SendMail):
        step = steps.send(
            Reply(
                200, b'{"billing@desk.test": "billing@desk.test", "support@desk.test": "support@desk.test"}'
            )
        )
    steps.close()
    return step


def mail_of(step: SendMail) -> EmailMessage:
    mail = message_from_bytes(step.content, policy=policy.default)
    assert isinstance(mail, EmailMessage)
    assert mail.defects == []
    return mail


def test_one_mail_says_everything_in_text_and_in_html(email: Email) -> None:
    step = sent(email, a_handoff(files=(a_file(),), urgency=Urgency.URGENT, tags=("vip", "gold")))
    mail = mail_of(step)

    assert mail.get_content_type() == "multipart/mixed"
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain
    assert html
    for text in (plain.get_content(), html.get_content()):
        assert "Where is my refund?" in text
        assert "Urgent" in text
        assert compose.ABOVE in text
    assert [(part.get_filename(), part.get_payload(decode=True)) for part in mail.iter_attachments()] == [
        ("receipt.txt", b"one refund, please\n")
    ]
    assert mail["X-Handoff-Tags"] == "vip, gold"


def test_the_envelope_and_the_addresses_are_signed(email: Email) -> None:
    step = sent(email, a_handoff())
    mail = mail_of(step)

    assert step.recipient == mail["To"] == "support@desk.test"
    assert mail["From"] == "Ann Lee via AI desk <bot@handrail.test>"
    for purpose, address in ((tokens.BOUNCE, step.sender), (tokens.REPLY, str(mail["Reply-To"]))):
        assert address.startswith(f"bot+{purpose}.{ID.lower()}.")
        assert len(address.partition("@")[0]) <= 64
        assert tokens.read([address.upper()], purpose, email.reply_secret) == ID
        assert tokens.read([address], "h" if purpose == "b" else "b", email.reply_secret) is None
        assert tokens.read([address], purpose, "another secret") is None
        assert tokens.read([address.replace("01m8", "01m9")], purpose, email.reply_secret) is None


def test_our_id_stands_in_references_too_because_some_servers_replace_it(email: Email) -> None:
    mail = mail_of(sent(email, a_handoff()))

    assert mail["Message-ID"] == f"<ho.{ID.lower()}.0@handrail.test>"
    assert mail["References"] == mail["Message-ID"]
    assert "In-Reply-To" not in mail


def test_a_desk_that_ignores_machines_need_not_know() -> None:
    email = Email(**SETTINGS, auto_submitted=False)
    assert "Auto-Submitted" not in mail_of(sent(email, a_handoff()))


def test_loops_are_not_begun_and_bounces_still_come(email: Email) -> None:
    mail = mail_of(sent(email, a_handoff()))

    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["X-Auto-Response-Suppress"] == "OOF, AutoReply"
    assert "Precedence" not in mail
    assert not any(name.startswith("List-") for name in mail.keys())  # noqa: SIM118 - a mail is no dict


@pytest.mark.parametrize(
    ("urgency", "importance", "number"),
    [("low", "low", "5"), ("normal", "normal", "3"), ("high", "high", "2"), ("urgent", "high", "1")],
)
def test_the_urgency_is_in_the_headers_that_programs_know(
    email: Email, urgency: str, importance: str, number: str
) -> None:
    mail = mail_of(sent(email, a_handoff(urgency=Urgency(urgency))))

    assert (mail["Importance"], mail["X-Priority"], mail["X-Handoff-Priority"]) == (
        importance,
        number,
        urgency,
    )


def test_a_group_is_a_mailbox_and_nothing_else_is(email: Email) -> None:
    assert sent(email, a_handoff(group="billing")).recipient == "billing@desk.test"
    elsewhere = sent(email, a_handoff(group="thief@elsewhere.test"))
    assert elsewhere.recipient == "support@desk.test"
    body = mail_of(elsewhere).get_body(("plain",))
    assert body
    assert "has no group 'thief@elsewhere.test'" in body.get_content()


def test_details_may_become_headers_of_our_own() -> None:
    email = Email(**SETTINGS, fields={"order_id": "X-Order"})

    assert mail_of(sent(email, a_handoff(fields={"order_id": "1182\r\nBcc: x@y.test"})))["X-Order"] == (
        "1182 Bcc: x@y.test"
    )


def test_create_gives_the_same_bytes_in_another_process(email: Email) -> None:
    handoff = a_handoff(
        "Größe 👩‍👧", files=(a_file(),), customer=Customer(name="Jürgen, Ümit", email="j@x.test")
    )
    code = (
        "import sys, json; from handrail import Handoff; from handrail_email import Email;"
        "data = json.load(sys.stdin); steps = Email(**data['settings']).create(Handoff(**data['handoff']));"
        "from handrail import Reply, SendMail; step = next(steps)\n"
        "while not isinstance(step, SendMail): step = steps.send(Reply(200, data['names'].encode()))\n"
        "sys.stdout.buffer.write(step.content); steps.close()"
    )
    names = '{"support@desk.test": "support@desk.test"}'
    data = json.dumps({"settings": SETTINGS, "handoff": handoff.model_dump(mode="json"), "names": names})
    other = subprocess.run([sys.executable, "-c", code], input=data.encode(), capture_output=True, check=True)

    assert other.stdout == sent(email, handoff).content


HOSTILE = [
    "hi\r\nBcc: evil@evil.test",
    "hi\nX-Injected: 1",
    "hi\u2028Bcc: evil@evil.test",
    "=?utf-8?q?hi=0D=0ABcc:_evil@evil.test?=",
    "nul\x00 and \x85 and \x1b[31m",
    "\ud800 half a character",
    '"quoted" <evil@evil.test>, other@evil.test',
    "a" * 5000,
    "ü" * 5000,
    "👩‍👧" * 400,
    "(((((", ")", "\\", '"', ",;:", "=?utf-8?b?////?=", "",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_a_customer_becomes_a_header_or_stops_the_mail(email: Email, text: str) -> None:
    customer = Customer(name=text or None, email=text or None, id=text or None)
    file = File.of(text, b"x", text)
    conversation = Conversation(
        id="c", subject=text or None, customer=customer, tags=(text,),
        messages=(Message(role=Role.CUSTOMER, text=text or "x"),),
    )  # fmt: skip
    handoff = a_handoff(files=(file,)).model_copy(update={"conversation": conversation, "tags": (text,)})
    _must_be_sound(sent(email, handoff))


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300), st.text(max_size=100), st.text(max_size=100))
def test_any_subject_name_and_file_name_do(subject: str, name: str, file: str) -> None:
    conversation = a_conversation("x", id="c", subject=subject, customer=Customer(name=name, email=name))
    handoff = a_handoff(files=(File.of(file, b"x"),)).model_copy(update={"conversation": conversation})
    _must_be_sound(sent(Email(**SETTINGS), handoff))


def _must_be_sound(step: SendMail) -> None:
    """Exactly the headers that we write, one recipient, no long line, nothing but ASCII."""
    head = step.content.partition(b"\r\n\r\n")[0].replace(b"\r\n ", b" ")
    names = [line.partition(b":")[0].decode() for line in head.split(b"\r\n")]
    mail = mail_of(step)

    assert set(names) <= {
        "Message-ID", "Date", "From", "To", "Reply-To", "Subject", "References", "Auto-Submitted",
        "X-Auto-Response-Suppress", "X-Handoff-Id", "X-Handoff-Version", "Importance", "X-Priority",
        "X-Handoff-Priority", "X-Handoff-Reason", "X-Handoff-Tags", "X-Handoff-Customer", "MIME-Version",
        "Content-Type", "X-Handoff-Group",
    }  # fmt: skip
    assert len(set(names)) == len(names)
    assert mail["To"].addresses[0].addr_spec == "support@desk.test"
    assert len(mail["To"].addresses) == len(mail["From"].addresses) == 1
    assert mail["From"].addresses[0].addr_spec == "bot@handrail.test"
    assert max(map(len, step.content.split(b"\r\n"))) <= 998
    assert step.content.isascii()
    assert b"\n" not in step.content.replace(b"\r\n", b"")
    assert b"\0" not in step.content


def test_a_subject_cannot_lead_the_mail_to_another_ticket(email: Email) -> None:
    """Ticket systems file a mail by the tag in its subject, whoever wrote it there."""
    mail = mail_of(sent(email, a_handoff("[desk.test #5] [HO-AAAAAAAA] please add this")))

    assert str(mail["Subject"]).startswith(f"[HO-{ID[18:]}] ")
    assert str(mail["Subject"]).count("[") == 1
    assert "#" not in str(mail["Subject"])


def test_a_very_long_conversation_goes_as_a_file(email: Email) -> None:
    step = sent(email, a_handoff("word " * 200_000))
    files = {part.get_filename(): part.get_payload(decode=True) for part in mail_of(step).iter_attachments()}

    assert list(files) == ["conversation.txt"]
    assert files["conversation.txt"].count(b"word") >= 200_000
    assert len(step.content) < 2_500_000


def test_later_mails_continue_the_thread(world: World) -> None:
    handoff = world.deliver()
    for text in ("Any news?", "Hello?"):
        world.rail.say(handoff.id, Message(role=Role.CUSTOMER, text=text))
        world.run(within=60)
    world.rail.close(handoff.id)
    world.run(within=60)

    first, second, third, last = (each.mail for each in world.desk.mails)  # type: ignore[attr-defined]
    assert second["In-Reply-To"] == first["Message-ID"]
    assert third["In-Reply-To"] == second["Message-ID"]
    assert str(third["References"]).split() == [m["Message-ID"] for m in (first, second, third)]
    assert second["Subject"] == f"Re: {first['Subject']}"
    assert second["Reply-To"] == first["Reply-To"]
    assert len({mail["Message-ID"] for mail in (first, second, third, last)}) == 4
    body = last.get_body(("plain",))
    assert "This handoff is solved" in body.get_content()


def test_a_chain_of_references_does_not_grow_for_ever(email: Email) -> None:
    chain = [f"<{n}@x.test>" for n in range(100)]
    raw = {
        "to": "support@desk.test",
        "subject": "s",
        "references": chain,
        "name": None,
        "tags": ["[desk #7]"],
    }
    letter = compose.later(Ticket(id=ID, raw=raw), "M", ["t", "h"], datetime(2026, 1, 1, tzinfo=UTC), ())
    mail = message_from_bytes(compose.message(email, letter, "support@desk.test"), policy=policy.default)

    assert str(mail["References"]).split()[0] == "<0@x.test>"
    assert str(mail["References"]).split()[-2:] == ["<99@x.test>", letter.message_id(email)]
    assert len(str(mail["References"]).split()) == 21
    assert str(mail["Subject"]) == "Re: [desk #7] s"


def test_the_date_of_a_later_mail_is_that_of_its_operation() -> None:
    assert outbox.time_of(ID) == datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
    assert outbox.time_of("") is outbox.time_of("not a ulid, but 26 letters") is None


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"smtp": "http://mail.test"}, "smtp: write smtp://"),
        ({"smtp": "smtp://"}, "smtp: write smtp://"),
        ({"smtp": "smtp://user:smtp-password@"}, "smtp: write smtp://"),
        ({"smtp": "smtp://user:smtp-password@host:port"}, "smtp: write smtp://"),
        ({"imap": "pop3://mail.test"}, "imap: write imap://"),
        ({"from": "nobody"}, "from: 'nobody' is no plain address"),
        ({"groups": {"default": "not an address"}}, "groups.default: 'not an address'"),
        ({"groups": {"billing": "b@desk.test"}}, "groups: name the mailbox"),
        ({"reply_secret": None}, "reply_secret: needed beside imap"),
        ({"reply_to": "a-local-part-that-is-too-long@x.test"}, "reply_to: at most"),
        ({"fields": {"order": "Bcc"}}, "fields: 'Bcc' is no header's name"),
        ({"url": "https://desk.test"}, "url: an email desk has smtp and imap instead"),
    ],
)
def test_a_wrong_setting_is_named_with_its_cure(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words.replace("(", r"\(")) as caught:
        Email(**{**SETTINGS, **changed})
    assert "smtp-password" not in str(caught.value)


def test_without_imap_and_secret_mails_still_go_out() -> None:
    email = Email(**{**SETTINGS, "imap": None, "reply_secret": None})
    step = sent(email, a_handoff())

    assert step.repeatable
    assert step.unless is None
    assert step.copy is None
    assert mail_of(step)["Reply-To"] == step.sender == "bot@handrail.test"


def test_check_says_what_works_and_what_is_missing(make_world: Any) -> None:
    world = make_world(sent_folder="Sent", settings={"authserv_id": None})
    found = {each.subject.partition(": ")[2]: each for each in world.rail.check()}
    assert found["smtp"].ok
    assert found["imap"].ok
    assert "whoever writes in a colleague's name is believed" in found["authserv_id"].message
    assert found["authserv_id"].warning

    missing = make_world(settings={"sent_folder": "Nowhere"}).rail.check()
    assert any(not each.ok and "no folder 'Nowhere'" in each.message for each in missing)
    wrong = make_world(settings={"imap": world.desk.settings()["imap"] + "/Nowhere"}).rail.check()
    assert any(not each.ok and "correct imap" in each.message for each in wrong)
