"""The base of connectors: settings, wishes in the desk's own words, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from tests.desks import Acme, SimulatedAcme, customer_says

from handrail import Can, Handoff, Hook, Said, Ticket, Unsupported, Update, UpdateKind, Urgency
from handrail.connector import Change, Page
from handrail.context import transport
from handrail.driver import Driver
from handrail.testing import Clock, a_conversation, a_file

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
URL = "http://127.0.0.1:1"


def a_handoff(**more: Any) -> Handoff:
    known = {"id": "H" * 26, "key": "k", "desk": "desk", "created_at": NOW, "conversation": a_conversation()}
    return Handoff(**known | more)


class Bare(Acme):
    """A desk that can nothing."""

    can = Can(0)


@pytest.fixture
def ask(acme: SimulatedAcme, clock: Clock) -> Iterator[Any]:
    made: list[Driver] = []

    def wishes(handoff: Handoff, **settings: Any) -> Any:
        own = Acme(url=acme.url, **settings)
        made.append(Driver(own, transport(own), clock))
        return made[-1].run(lambda: own.wishes(handoff))

    yield wishes
    for driver in made:
        driver.transport.close()


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        ("https://acme.example.com", True),
        ("http://127.0.0.1:80", True),
        ("http://[::1]:80", True),
        ("http://localhost", True),
        ("http://acme.example.com", False),
        ("http://127.0.0.1.example.com", False),
        ("http://localhost.example.com", False),
        ("ftp://127.0.0.1", False),
        ("acme.example.com", False),
        ("", False),
        (None, False),
    ],
)
def test_without_tls_there_is_this_machine_only(url: str | None, fine: bool) -> None:
    if fine:
        assert Acme(url=url).base_url == url
    else:
        with pytest.raises(ValidationError, match="https://"):
            Acme(url=url)


def test_a_slash_at_the_end_of_the_address_does_not_matter() -> None:
    assert Acme(url=URL + "/").base_url == URL


@pytest.mark.parametrize("wrong", [{"concurrency": 0}, {"rate": 0}, {"poll": "soon"}, {"colour": "red"}])
def test_a_wrong_setting_is_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Acme(url=URL, **wrong)


def test_secrets_are_not_shown() -> None:
    own = Acme(url=URL, client_secret="very-secret", webhook_secret="very-secret")
    assert "very-secret" not in repr(own) + str(own)
    with pytest.raises(ValidationError) as caught:
        Acme(url="nothing", client_secret="very-secret")
    assert "very-secret" not in str(caught.value)


def test_a_connector_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Acme(url=URL).url = "https://other.example.com"  # type: ignore[misc]


# Wishes.


def test_a_group_is_the_desk_s_own_id(ask: Any) -> None:
    for group, settings in (
        ("Billing", {}),
        ("billing", {}),
        ("money", {"groups": {"money": "Billing"}}),
        ("money", {"groups": {"money": "2"}}),
        (None, {"groups": {"default": "Billing"}}),
    ):
        wishes = ask(a_handoff(group=group), **settings)
        assert (wishes.group, wishes.handoff.unset) == ("2", {})


def test_no_group_is_no_group(ask: Any, acme: SimulatedAcme) -> None:
    assert ask(a_handoff()).group is None
    assert acme.requests == []


def test_a_group_that_the_desk_lacks_becomes_the_default_and_is_said(ask: Any) -> None:
    wishes = ask(a_handoff(group="Nobody"), groups={"default": "Support"})
    assert wishes.group == "1"
    assert wishes.handoff.unset == {"group": "Acme has no group 'Nobody'"}


def test_what_was_refused_is_not_wished_again(ask: Any) -> None:
    conversation = a_conversation(fields={"order": "17", "size": "L"})
    unset = {"group": "refused", "urgency": "refused", "fields.order": "refused"}
    handoff = a_handoff(group="Billing", conversation=conversation, unset=unset)
    wishes = ask(handoff, fields={"order": "f1", "size": "f2", "colour": "f3"})
    assert (wishes.group, wishes.urgency, wishes.fields) == (None, None, {"f2": "L"})
    assert wishes.handoff.unset == unset


def test_details_are_written_as_a_desk_can_take_them(ask: Any) -> None:
    details = {
        "text": "L",
        "count": 17,
        "share": 0.5,
        "nothing": None,
        "vip": True,
        "paid": False,
        "items": ["a", {"n": 1}],
        "table": {"ü": None},
        "empty": "",
    }
    wishes = ask(a_handoff(conversation=a_conversation(fields=details)), fields={n: n for n in details})
    assert wishes.fields == {
        "text": "L",
        "count": "17",
        "share": "0.5",
        "vip": "true",
        "paid": "false",
        "items": '["a", {"n": 1}]',
        "table": '{"ü": null}',
        "empty": "",
    }


def test_urgencies_are_the_desk_s_words(ask: Any) -> None:
    handoff = a_handoff(urgency=Urgency.HIGH)
    assert ask(handoff).urgency == "high"
    assert ask(handoff, urgency={"high": "P2"}).urgency == "P2"


# What is refused.


def test_files_that_the_desk_does_not_take_are_refused_by_name() -> None:
    with pytest.raises(Unsupported, match=r"takes no attachments: receipt\.txt"):
        Bare(url=URL).body(a_handoff(files=(a_file(),)))
    assert Bare(url=URL).body(a_handoff()).files == ()


def test_what_a_connector_does_not_write_is_unsupported() -> None:
    from handrail import Connector

    class Nothing(Connector):
        name = "nothing"

    own, ticket = Nothing(url=URL), Ticket(id="1")
    for call in (
        lambda: own.say(ticket, Said("m", (customer_says("a"),), a_handoff())),
        lambda: own.change(ticket, Change()),
        lambda: own.read(ticket),
        lambda: own.poll_page(None, (), NOW),
        lambda: own.names("groups"),
    ):
        with pytest.raises(Unsupported):
            call()
    for call in (lambda: own.create(a_handoff()), lambda: own.find(a_handoff())):
        with pytest.raises(NotImplementedError):
            call()
    assert own.events(Hook(b"{}", {})) == ()
    assert own.sign_in() is None


def test_events_come_before_snapshots() -> None:
    update = Update(id="1", kind=UpdateKind.NOTE, ticket_id="1", at=NOW)
    assert Page([update], [Ticket(id="1")]).items == [update, Ticket(id="1")]


def test_the_marker_stands_in_a_later_message() -> None:
    said = Said("M1", (customer_says("Any news?"),), a_handoff())
    text = Acme(url=URL).message_text(said)
    assert text.splitlines()[-1] == "Handrail M1"
    assert "Any news?" in text


def test_durations_are_settings() -> None:
    assert Acme(url=URL, timeout="90s", poll="5m").timeout == timedelta(seconds=90)
