"""Every definite failure is recognised, and no human's mail is mistaken for one."""

from __future__ import annotations

from pathlib import Path

import pytest

from handrail_email import bounces, parts

# Of the recorded ones these are no definite failure.
DELAYED = {"dsn_05", "dsn_06", "dsn_08", "dsn_17", "simple_03", "simple_21", "simple_35"}
HUMAN = {"groupwise_03", "qmail_08"}
# Nothing but the address that it went to tells that a machine wrote this one.
ANONYMOUS = {"simple_20"}


def test_every_recorded_bounce_is_what_it_is(fixtures: Path) -> None:
    recorded = {path.stem: parts.parsed(path.read_bytes()) for path in (fixtures / "bounces").glob("*.txt")}
    definite = {name for name, mail in recorded.items() if bounces.definite(mail, to_bounce_address=True)}
    elsewhere = {name for name, mail in recorded.items() if bounces.definite(mail, to_bounce_address=False)}

    assert len(recorded) > 70
    assert set(recorded) - definite == DELAYED | HUMAN
    assert definite - elsewhere == ANONYMOUS


def test_a_real_report_names_recipient_reason_and_our_mail(fixtures: Path) -> None:
    mail = parts.parsed((fixtures / "postfix_dsn_failed.eml").read_bytes())
    found = bounces.definite(mail, to_bounce_address=True)

    assert found
    assert found.why == "smtp; 550 5.1.1 User unknown"
    assert found.recipients == ("u@elsewhere.test",)
    assert "<h15@support.test>" in found.about
    assert found.envelope == "h15"


PEOPLE = {
    "forwards one": "From: Bea <bea@desk.test>\nSubject: Fwd: Undelivered Mail Returned to Sender\n\n"
    "Look, the customer's address does not work:\n> could not be delivered\n> 550 5.1.1 User unknown\n",
    "talks of one": "From: Bea <bea@desk.test>\nSubject: Re: parcel\n\nThe parcel could not be delivered.\n",
    "is away": "From: Bea <bea@desk.test>\nReturn-Path: <>\nAuto-Submitted: auto-replied\n"
    "Subject: Out of office\n\nI am away; undelivered parcels: ask Al.\n",
    "is away, quietly": "From: Bea <bea@desk.test>\nX-Autoreply: yes\nSubject: away\n\nmail not delivered\n",
}


@pytest.mark.parametrize("text", PEOPLE.values(), ids=PEOPLE)
def test_what_people_write_is_no_bounce(text: str, fixtures: Path) -> None:
    assert bounces.definite(parts.parsed(text.encode()), to_bounce_address=False) is None


def test_a_vacation_note_to_the_bounce_address_is_no_bounce() -> None:
    mail = parts.parsed(PEOPLE["is away"].encode())
    assert bounces.definite(mail, to_bounce_address=True) is None


@pytest.mark.parametrize("action", ["delayed", "delivered", "relayed", "expanded"])
def test_a_report_of_anything_but_failure_is_no_bounce(action: str) -> None:
    mail = parts.parsed(
        (
            "From: MAILER-DAEMON@x.test\nSubject: Undelivered Mail (not yet)\n"
            "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n"
            "Content-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\n"
            f"Final-Recipient: rfc822; a@x.test\nAction: {action}\nStatus: 4.0.0\n\n--b--\n"
        ).encode()
    )
    assert bounces.definite(mail, to_bounce_address=True) is None
