"""The Zendesk connector by itself: generators are driven with scripted answers, without a network.

The tests named ``test_trap_NN_...`` stand for the traps of Zendesk's API that are known to cost tickets.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Generator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.outside import SHARED

from handrail import (
    Change,
    Conversation,
    Customer,
    Doorbell,
    File,
    Handoff,
    Hook,
    Message,
    Names,
    NotDone,
    Refused,
    Reply,
    Request,
    Said,
    SignatureError,
    State,
    Status,
    Ticket,
    Unsupported,
    Update,
    UpdateKind,
    Urgency,
)
from handrail.driver import Driver
from handrail.render import Body
from handrail.testing import Clock, World
from handrail.wire import Transport, Wire
from handrail_zendesk import Zendesk
from handrail_zendesk.account import TEST_SECRET
from handrail_zendesk.simulated import SimulatedZendesk

FIXTURES = SHARED / "fixtures" / "zendesk"
NOW = datetime(2026, 11, 20, 9, 45, tzinfo=UTC)
NAMES = {
    "groups": {"Support": "1", "Billing Tier 2": "2"},
    "me": {"me": "99"},
    "agent bo@acme.test": {"bo@acme.test": "7"},
}
CLOSED = {"status": [{"description": "Status: closed prevents ticket update"}]}


def zendesk(**settings: Any) -> Zendesk:
    given = {"subdomain": "acme", "oauth_token": "t0ken", "groups": {"billing": "Billing Tier 2"}} | settings
    return Zendesk(**given)


def handoff(**changed: Any) -> Handoff:
    conversation = Conversation(
        id="c-42",
        messages=(
            Message(role="customer", text="Where is my refund?"),
            Message(role="ai", text="One moment"),
        ),
        customer=Customer(name="Ann Lee", email="ann@example.com"),
        fields={"order_id": "1182"},
    )
    more = {"group": "billing", "urgency": Urgency.HIGH, "tags": ("vip",)} | changed
    known = {"id": "01HZ0000000000000000000001", "key": "c-42:1", "desk": "support", "created_at": NOW}
    return Handoff(**(known | {"conversation": conversation} | more))


def about(customer: Customer, **known: Any) -> Conversation:
    return Conversation(
        id="c-42", messages=(Message(role="customer", text="Hi there"),), customer=customer, **known
    )


def answer(data: Any, status: int = 200) -> Reply:
    return Reply(status, json.dumps(data).encode())


def row(**changed: Any) -> dict[str, Any]:
    known = {
        "id": 35436,
        "status": "open",
        "updated_at": "2026-11-20T09:31:00Z",
        "requester_id": 5,
        "group_id": 2,
    }
    return (
        known
        | {"external_id": "01HZ0000000000000000000001", "url": "https://mapped.example.net/35436"}
        | changed
    )


def made(**changed: Any) -> Reply:
    """What a POST or PUT is answered with."""
    events = [{"type": "Create", "id": 1}, {"type": "Comment", "id": 2127301148}]
    return answer({"ticket": row(**changed), "audit": {"events": events}}, 201)


def ticket(**changed: Any) -> Ticket:
    known = {"id": "35436", "status": Status.OPEN, "raw": row(), "updated_at": NOW - timedelta(minutes=14)}
    return Ticket(**(known | changed))


def comment(id: int, body: str, **changed: Any) -> dict[str, Any]:
    known = {"id": id, "body": body, "public": True, "author_id": 5, "created_at": "2026-11-20T09:40:00Z"}
    return known | changed


def said(text: str = "Any news?", role: str = "customer", **more: Any) -> Said:
    return Said("01HZMESSAGE1", (Message(role=role, text=text),), handoff(), **more)


class Run:
    """Drives a generator: ``requests`` are what it sent, ``result`` is what it returned."""

    def __init__(self, steps: Generator[Any, Reply, Any], *replies: Reply, names: Any = NAMES) -> None:
        self.requests: list[Request] = []
        left = list(replies)
        try:
            step = next(steps)
            while True:
                if isinstance(step, Names):
                    step = steps.send(answer(names.get(step.kind, {})))
                    continue
                self.requests.append(step)
                assert left, f"unexpected {step.method} {step.path} {step.params}"
                step = steps.send(left.pop(0))
        except StopIteration as done:
            self.result = done.value
        assert not left, f"{len(left)} replies were not asked for"

    @property
    def sent(self) -> list[str]:
        return [f"{request.method} {request.path}" for request in self.requests]

    def body(self, n: int = -1) -> dict[str, Any]:
        found: dict[str, Any] = self.requests[n].json["ticket"]
        return found


def created(desk: Zendesk | None = None, given: Handoff | None = None, **more: Any) -> Run:
    return Run((desk or zendesk()).create(given or handoff()), made(), **more)


def event(kind: str, *, time: str = "2026-11-20T09:40:30.123456789Z", **event: Any) -> dict[str, Any]:
    detail = {"id": "35436", "status": "OPEN", "updated_at": "2026-11-20T09:40:30Z", "external_id": "01HZ"}
    return {"type": f"zen:event-type:{kind}", "time": time, "detail": detail, "event": event}


def read(data: Any) -> list[Any]:
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    return list(zendesk().events(Hook(body, {})))


def spoken(*, staff: Any = True, public: Any = True, **changed: Any) -> dict[str, Any]:
    author = {"id": "8", "is_staff": staff, "name": "Bo"}
    return event(
        "ticket.comment_added",
        comment={"id": "77", "body": "Done", "is_public": public, "author": author} | changed,
    )


# Settings.


def test_the_address_comes_from_the_subdomain_or_from_url_without_the_api_path() -> None:
    assert zendesk().base_url == "https://acme.zendesk.com"
    assert zendesk(url="https://sandbox.example.com/api/v2/").base_url == "https://sandbox.example.com"


def test_without_subdomain_and_url_the_error_says_what_to_write() -> None:
    with pytest.raises(ValidationError, match="subdomain: write the 'acme'"):
        zendesk(subdomain=None)


@pytest.mark.parametrize("wrong", ["acme.zendesk.com", "evil.example/", "https://acme"])
def test_a_subdomain_is_one_label(wrong: str) -> None:
    with pytest.raises(ValidationError, match="subdomain"):
        zendesk(subdomain=wrong)


def test_no_credentials_is_an_error_that_names_the_fields() -> None:
    with pytest.raises(
        ValidationError, match=r"client_id \+ client_secret, or oauth_token, or email \+ api_token"
    ):
        Zendesk(subdomain="acme")


def test_two_kinds_of_credentials_is_an_error_that_names_both() -> None:
    with pytest.raises(ValidationError, match=r"found oauth_token and email \+ api_token"):
        zendesk(email="bot@acme.test", api_token="s3cret-a")


def test_half_of_the_credentials_is_an_error_that_names_the_missing_half() -> None:
    with pytest.raises(ValidationError, match="client_secret: is missing"):
        zendesk(oauth_token=None, client_id="handrail")


def test_the_public_test_key_is_refused_as_webhook_secret() -> None:
    with pytest.raises(ValidationError, match="webhook_secret: this is Zendesk's public test key"):
        zendesk(webhook_secret=TEST_SECRET)


def test_an_urgency_that_zendesk_has_no_priority_for_is_an_error() -> None:
    with pytest.raises(ValidationError, match=r"urgency\.high: 'critical' is no priority"):
        zendesk(urgency={"high": "critical"})


def test_a_custom_field_is_named_by_its_number() -> None:
    with pytest.raises(ValidationError, match=r"fields\.order_id: 'Order id' is no field id"):
        zendesk(fields={"order_id": "Order id"})


def test_secrets_stay_out_of_repr() -> None:
    desk = zendesk(webhook_secret="s3cret-w")
    assert "t0ken" not in repr(desk)
    assert "s3cret-w" not in repr(desk)


def test_no_secret_stands_in_an_error() -> None:
    with pytest.raises(ValidationError) as caught:
        zendesk(email="bot@acme.test", api_token="s3cret-a")
    assert "s3cret-a" not in str(caught.value)
    assert "t0ken" not in str(caught.value)


# Credentials.


def test_client_credentials_are_exchanged_for_a_token_at_the_root() -> None:
    desk = zendesk(oauth_token=None, client_id="handrail", client_secret="s3cret")
    steps = desk.sign_in()
    assert steps is not None
    run = Run(steps, answer({"access_token": "abc", "expires_in": 7200}))
    request = run.requests[0]
    assert (request.path, request.root, request.public, request.repeatable) == (
        "/oauth/tokens",
        True,
        True,
        True,
    )
    assert request.json["grant_type"] == "client_credentials"
    assert request.json["client_secret"] == "s3cret"
    assert (run.result.value, run.result.expires_in) == ("abc", 7200)
    assert desk.headers("abc")["Authorization"] == "Bearer abc"


def test_an_oauth_token_and_an_api_token_need_no_sign_in() -> None:
    by_token = zendesk(oauth_token=None, email="bot@acme.test", api_token="a1")
    assert zendesk().sign_in() is None
    assert by_token.sign_in() is None
    assert zendesk().headers(None)["Authorization"] == "Bearer t0ken"
    expected = base64.b64encode(b"bot@acme.test/token:a1").decode()
    assert by_token.headers(None)["Authorization"] == f"Basic {expected}"


# Creating.


def test_one_handoff_is_one_request_safe_by_key_and_by_look() -> None:
    run = created()
    assert run.sent == ["POST /tickets"]
    assert run.requests[0].key == handoff().marker
    assert run.requests[0].unless is not None
    assert zendesk().key_window == timedelta(minutes=110)


def test_group_urgency_tags_fields_and_settings_arrive() -> None:
    desk = zendesk(fields={"order_id": "360012345678"}, brand="3", form=4, tags=("from chat",), assignee="12")
    body = created(desk).body()
    assert (body["group_id"], body["priority"], body["assignee_id"]) == (2, "high", 12)
    assert body["tags"] == ["vip", "from_chat", "ai_handoff"]
    assert body["custom_fields"] == [{"id": 360012345678, "value": "1182"}]
    assert (body["brand_id"], body["ticket_form_id"]) == (3, 4)
    assert body["external_id"] == handoff().marker


def test_the_same_handoff_gives_the_same_requests() -> None:
    first, second = created().requests[0], created().requests[0]
    assert json.dumps(first.json) == json.dumps(second.json)
    assert (first.key, first.params, first.headers) == (second.key, second.params, second.headers)


def test_the_customer_is_the_requester_and_we_are_the_author_of_the_brief() -> None:
    body = created().body()
    assert body["requester"] == {"name": "Ann Lee", "email": "ann@example.com"}
    assert body["submitter_id"] == 99


def test_a_customer_without_an_email_makes_no_user() -> None:
    body = created(given=handoff(conversation=about(Customer(name="Ann", phone="+331")))).body()
    assert "requester" not in body
    assert "submitter_id" not in body


def test_an_unknown_author_is_left_to_zendesk() -> None:
    assert "submitter_id" not in created(names={"groups": NAMES["groups"]}).body()


@pytest.mark.parametrize(
    ("word", "members"),
    [
        ("group", ["group_id"]),
        ("urgency", ["priority"]),
        ("owner", ["assignee_id"]),
        ("tags", ["tags"]),
        ("customer", ["requester", "submitter_id"]),
        ("fields.order_id", ["custom_fields"]),
        ("brand", ["brand_id"]),
        ("form", ["ticket_form_id"]),
    ],
)
def test_what_the_desk_refused_is_left_out(word: str, members: list[str]) -> None:
    desk = zendesk(fields={"order_id": "36"}, assignee="12", brand=3, form=4)
    whole, without = created(desk).body(), created(desk, handoff(unset={word: "no such thing"})).body()
    assert all(member in whole and member not in without for member in members)
    assert "no such thing" in without["comment"]["html_body"]


def test_an_owner_is_found_by_email() -> None:
    assert created(given=handoff(owner="bo@acme.test")).body()["assignee_id"] == 7


def test_an_owner_whom_zendesk_does_not_have_is_said_in_the_brief() -> None:
    body = created(given=handoff(owner="nobody@acme.test")).body()
    assert "assignee_id" not in body
    assert "no agent &#x27;nobody@acme.test&#x27;" in body["comment"]["html_body"]


def test_a_group_that_zendesk_does_not_have_is_said_in_the_brief() -> None:
    body = created(zendesk(groups={"billing": "Gone"})).body()
    assert "group_id" not in body
    assert "Gone" in body["comment"]["html_body"]


def test_files_are_uploaded_first_and_go_with_the_comment() -> None:
    given = handoff(files=(File.of("a.txt", b"one", "text/plain"), File.of("b.png", b"two", "image/png")))
    run = Run(
        zendesk().create(given),
        answer({"upload": {"token": "t1"}}),
        answer({"upload": {"token": "t2"}}),
        made(),
    )
    assert run.sent == ["POST /uploads", "POST /uploads", "POST /tickets"]
    assert run.requests[0].params == {"filename": "a.txt"}
    assert (run.requests[1].body, run.requests[1].headers["Content-Type"]) == (b"two", "image/png")
    assert run.body()["comment"]["uploads"] == ["t1", "t2"]


UNPROCESSABLE = {"error": "AttachmentUnprocessable", "description": "Attachment file could not be processed."}


@pytest.mark.parametrize(
    ("refusal", "why"),
    [
        (answer(UNPROCESSABLE, 422), "AttachmentUnprocessable"),
        (Reply(413, b"<html>Too Large</html>"), "Too Large"),
    ],
)
def test_a_file_that_is_refused_is_left_out_and_said(refusal: Reply, why: str) -> None:
    files = (File.of("a.exe", b"one"), File.of("b.png", b"two", "image/png"))
    taken = answer({"upload": {"token": "t2"}})
    run = Run(zendesk().create(handoff(files=files)), refusal, taken, made())
    assert run.body()["comment"]["uploads"] == ["t2"]
    brief = run.body()["comment"]["html_body"]
    assert "Zendesk did not take a.exe" in brief
    assert why in brief
    later = Run(zendesk().say(ticket(), said(files=files)), refusal, taken, made())
    assert later.body()["comment"]["uploads"] == ["t2"]
    assert "Zendesk did not take a.exe" in later.body()["comment"]["html_body"]


def test_a_transcript_that_goes_to_a_file_because_of_that_is_uploaded_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, transcript = File.of("a.exe", b"one"), File.of("conversation.txt", b"all")
    monkeypatch.setattr(
        Zendesk, "body", lambda desk, given: Body("x", (one, transcript) if given.unset else (one,))
    )
    run = Run(
        zendesk().create(handoff(files=(one,))),
        answer(UNPROCESSABLE, 422),
        answer({"upload": {"token": "t2"}}),
        made(),
    )
    assert [each.params for each in run.requests[:2]] == [
        {"filename": "a.exe"},
        {"filename": "conversation.txt"},
    ]
    assert run.body()["comment"]["uploads"] == ["t2"]


def test_a_handoff_goes_without_a_file_that_the_desk_does_not_process(clock: Clock) -> None:
    with SimulatedZendesk(clock=clock) as desk, World(desk, Zendesk, clock=clock) as world:
        body = json.dumps(UNPROCESSABLE)
        desk.fault("status", on="POST /uploads", status=422, body=body)
        delivered = world.deliver(files=[File.of("a.exe", b"one"), File.of("b.txt", b"two")])
        assert world.show(delivered)["state"] == State.WITH_HUMANS
        [made] = desk.tickets
        assert [file.name for file in made.comments[0].files] == ["b.txt"]
        assert "Could not be set" in made.comments[0].body
        assert "a.exe: 422 AttachmentUnprocessable" in made.comments[0].body


def test_our_own_comment_is_known_from_the_answer() -> None:
    assert created().result.ours == ("comment:2127301148",)


def test_what_an_earlier_try_made_is_adopted() -> None:
    found = ticket(ours=("comment:1",))
    assert Run(zendesk().create(handoff()), Reply(200, found=found)).result is found


def test_a_second_hop_has_a_marker_of_its_own() -> None:
    run = created(given=handoff(hop=1))
    assert run.requests[0].key == run.body()["external_id"] == "01HZ0000000000000000000001-1"


# Finding.


def test_find_knows_the_brief_as_ours() -> None:
    listed = answer(
        {"comments": [comment(8, "later"), comment(3, "brief", created_at="2026-11-20T09:30:00Z")]}
    )
    run = Run(zendesk().find(handoff()), answer({"tickets": [row()]}), listed)
    assert run.requests[0].params == {"external_id": handoff().marker}
    assert (run.result.id, run.result.ours) == ("35436", ("comment:3",))


def test_find_returns_none_where_nothing_is() -> None:
    assert Run(zendesk().find(handoff()), answer({"tickets": []})).result is None


# Later messages.


def test_a_message_is_one_update_that_fails_when_the_ticket_has_moved() -> None:
    run = Run(zendesk().say(ticket(), said()), made())
    assert run.sent == ["PUT /tickets/35436"]
    assert run.body()["safe_update"] is True
    assert run.body()["updated_stamp"] == "2026-11-20T09:31:00Z"
    assert said().marker in run.body()["comment"]["html_body"]
    assert run.requests[0].unless is not None
    assert run.result.ours == ("comment:2127301148",)


def test_files_of_a_message_are_uploaded_first() -> None:
    steps = zendesk().say(ticket(), said(files=(File.of("a.txt", b"one"),)))
    run = Run(steps, answer({"upload": {"token": "t1"}}), made())
    assert run.body()["comment"]["uploads"] == ["t1"]


@pytest.mark.parametrize(
    ("role", "status", "expected"), [("customer", "pending", "open"), ("ai", "pending", None)]
)
def test_a_customer_who_answers_opens_a_pending_ticket(role: str, status: str, expected: str | None) -> None:
    run = Run(zendesk().say(ticket(status=Status(status)), said(role=role)), made())
    assert run.body().get("status") == expected


def test_a_message_goes_again_with_a_fresh_stamp_when_the_ticket_moved() -> None:
    moved = answer({"error": "UpdateConflict"}, 409)
    fresh = answer({"ticket": row(updated_at="2026-11-20T09:44:00Z")})
    run = Run(zendesk().say(ticket(), said()), moved, answer({"comments": []}), fresh, made())
    assert run.sent[-1] == "PUT /tickets/35436"
    assert run.body()["updated_stamp"] == "2026-11-20T09:44:00Z"


def test_a_conflict_with_our_own_first_try_is_success() -> None:
    landed = answer({"comments": [comment(9, f"Any news? {said().marker}"), comment(12, "other")]})
    run = Run(zendesk().say(ticket(), said()), answer({}, 409), landed, answer({"ticket": row()}))
    assert run.sent.count("PUT /tickets/35436") == 1
    assert run.result.ours == ("comment:9",)


def test_a_ticket_that_never_rests_is_at_last_written_without_a_stamp_and_left_for_later() -> None:
    once = (answer({}, 409), answer({"comments": []}), answer({"ticket": row()}))
    steps = zendesk().say(ticket(), said())
    with pytest.raises(NotDone):
        Run(steps, *once * 5)
    run = Run(zendesk().say(ticket(), said()), *once * 4, made())
    assert "updated_stamp" in run.body(-4)
    assert "safe_update" not in run.body()


def look(body: str, **changed: Any) -> Ticket | None:
    """What the look of a message finds when this comment is on the ticket."""
    run = Run(zendesk().say(ticket(), said()), made())
    unless = run.requests[0].unless
    assert unless is not None
    replies = [answer({"comments": [comment(9, body, **changed)]}), answer({"ticket": row()})]
    found: Ticket | None = Run(
        unless, *replies[: 2 if said().marker + "\n" in f"{body}\n{changed}\n" else 1]
    ).result
    return found


def test_the_look_finds_our_marker_and_nothing_like_it() -> None:
    assert look("Any news?\n01HZMESSAGE1\n") is not None
    assert look("Any news?\n01HZMESSAGE12") is None
    assert look("Any news?\n01HZMESSAGE1-2") is None


def test_a_mail_that_quotes_our_marker_is_not_taken_for_ours() -> None:
    rows = [comment(20, "> 01HZMESSAGE1"), comment(9, "01HZMESSAGE1")]
    run = Run(
        zendesk().say(ticket(), said()),
        answer({}, 409),
        answer({"comments": rows}),
        answer({"ticket": row()}),
    )
    assert run.result.ours == ("comment:9",)


def test_a_refused_message_says_why() -> None:
    refusal = answer(
        {"error": "RecordInvalid", "details": {"base": [{"description": "Too many comments"}]}}, 422
    )
    steps = zendesk().say(ticket(), said())
    with pytest.raises(Refused, match="Too many comments"):
        Run(steps, refusal, answer({"comments": []}), answer({"ticket": row()}))


def test_a_follow_up_that_an_earlier_try_made_is_adopted() -> None:
    found = ticket(id="36000")
    closed = answer({"ticket": row(status="closed")})
    steps = zendesk().say(ticket(), said())
    run = Run(
        steps, answer({"details": CLOSED}, 422), answer({"comments": []}), closed, Reply(200, found=found)
    )
    assert run.result is found


# Changes.


def test_urgency_and_status_are_set_by_a_request_that_may_be_repeated() -> None:
    run = Run(zendesk().change(ticket(), Change(urgency=Urgency.URGENT, status=Status.SOLVED)), made())
    assert run.sent == ["PUT /tickets/35436"]
    assert (run.body()["priority"], run.body()["status"], run.body()["safe_update"]) == (
        "urgent",
        "solved",
        True,
    )
    assert run.requests[0].repeatable
    assert "comment" not in run.body()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("new", "open"),
        ("open", "open"),
        ("pending", "pending"),
        ("on_hold", "hold"),
        ("solved", "solved"),
        ("closed", "solved"),
    ],
)
def test_closing_is_solving_and_every_status_has_a_word(ours: str, theirs: str) -> None:
    assert Run(zendesk().change(ticket(), Change(status=Status(ours))), made()).body()["status"] == theirs


def test_a_configured_urgency_is_used() -> None:
    run = Run(zendesk(urgency={"high": "urgent"}).change(ticket(), Change(urgency=Urgency.HIGH)), made())
    assert run.body()["priority"] == "urgent"


def test_a_ticket_moves_to_the_next_group_and_one_that_is_not_there_is_named() -> None:
    run = Run(zendesk().change(ticket(), Change(group="billing")), made(group_id=2))
    assert (run.body()["group_id"], run.result.group) == (2, "2")
    with pytest.raises(Refused) as refused:
        Run(zendesk().change(ticket(), Change(group="leads", note="x", marker="m")))
    assert refused.value.fields == {"group": "Zendesk Support has no group 'leads'"}


@pytest.mark.parametrize("marker", ["01HZCHANGE1", ""])
def test_a_note_is_internal_and_can_be_found_again(marker: str) -> None:
    run = Run(
        zendesk(visibility="public").change(ticket(), Change(note="Solved by the AI", marker=marker)), made()
    )
    assert run.body()["comment"]["public"] is False
    assert "Solved by the AI" in run.body()["comment"]["html_body"]
    assert (marker or "note-") in run.body()["comment"]["html_body"]
    assert run.requests[0].unless is not None
    assert not run.requests[0].repeatable


def test_no_change_sends_nothing() -> None:
    given = ticket(status=Status.PENDING)
    assert Run(zendesk().change(given, Change())).result == given


def test_closing_a_closed_ticket_is_done() -> None:
    refused = answer({"details": CLOSED}, 422)
    run = Run(
        zendesk().change(ticket(), Change(status=Status.SOLVED)),
        refused,
        answer({"ticket": row(status="closed")}),
    )
    assert run.result.status is Status.CLOSED


def test_a_note_for_a_closed_ticket_is_refused_and_not_dropped() -> None:
    replies = (
        answer({"details": CLOSED}, 422),
        answer({"comments": []}),
        answer({"ticket": row(status="closed")}),
    )
    steps = zendesk().change(ticket(), Change(note="x", marker="m1"))
    with pytest.raises(Refused, match="takes no note"):
        Run(steps, *replies)


def test_nothing_is_ever_deleted() -> None:
    with pytest.raises(Unsupported):
        next(zendesk().change(ticket(), Change(status=Status.DELETED)))


# Statuses.


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("new", "new"),
        ("open", "open"),
        ("pending", "pending"),
        ("hold", "on_hold"),
        ("solved", "solved"),
        ("closed", "closed"),
        ("deleted", "deleted"),
        ("archived", "closed"),
        ("scrubbed", "deleted"),
    ],
)
def test_every_status_is_read_from_answers_and_from_events(theirs: str, ours: str) -> None:
    for word in (theirs, theirs.upper()):
        found = Run(zendesk().create(handoff()), made(status=word)).result
        assert (found.status, found.raw_status) == (ours, theirs)
    (update,) = read(event("ticket.status_changed", current=theirs.upper(), previous="NEW"))
    assert (update.status, update.raw_status) == (ours, theirs)


# Events.


def test_a_public_comment_of_staff_is_a_reply() -> None:
    (update,) = read(spoken())
    assert (update.id, update.kind, update.ticket_id) == ("comment:77", UpdateKind.REPLY, "35436")
    assert (update.actor.kind, update.actor.name, update.text, update.public) == ("human", "Bo", "Done", True)
    assert update.at == datetime(2026, 11, 20, 9, 40, 30, 123456, tzinfo=UTC)
    assert update.handoff_id == "01HZ"


def test_an_internal_note_is_never_a_reply() -> None:
    (update,) = read(spoken(public=False))
    assert (update.kind, update.public) == (UpdateKind.NOTE, False)


def test_what_no_staff_wrote_is_a_customer_message() -> None:
    (update,) = read(spoken(staff=False))
    assert (update.kind, update.actor.kind) == (UpdateKind.CUSTOMER_MESSAGE, "customer")


@pytest.mark.parametrize(
    "odd",
    [
        spoken(public=None),
        spoken(staff="true"),
        spoken(id={"a": 1}),
        spoken(body=7),
        spoken(author=None),
        event("ticket.comment_added", comment=[]),
        event("ticket.comment_added"),
        event("ticket.status_changed", current=None),
        event("ticket.status_changed", current="FROZEN"),
        spoken() | {"time": "yesterday"},
        spoken() | {"time": None},
        spoken() | {"time": 10**30},
        {**spoken(), "detail": {"id": 35436, "updated_at": 5.5}},
        {**spoken(), "subject": "zen:ticket:35436", "detail": "none"},
        event("messaging_ticket.message_added", actor={"type": []}, message={}),
    ],
)
def test_an_event_unlike_its_documentation_rings_the_doorbell(odd: dict[str, Any]) -> None:
    assert read(odd) == [Doorbell("35436")]


def test_the_second_road_gives_a_status_the_same_id() -> None:
    (update,) = read(event("ticket.status_changed", current="SOLVED", previous="OPEN"))
    assert update.id == "status:35436:solved:20261120094030"
    assert update.kind is UpdateKind.STATUS
    (other,) = read(event("ticket.custom_status_changed", current="123", previous="1"))
    assert (other.id, other.status) == ("status:35436:open:20261120094030", Status.OPEN)


@pytest.mark.parametrize(("kind", "member"), [("agent", "assignee"), ("group", "group")])
def test_assignments_are_read(kind: str, member: str) -> None:
    (update,) = read(event(f"ticket.{kind}_assignment_changed", current="8447388090494", previous=None))
    assert (update.kind, getattr(update, member)) == (UpdateKind.ASSIGNMENT, "8447388090494")
    (nobody,) = read(event(f"ticket.{kind}_assignment_changed", current=None, previous="8"))
    assert getattr(nobody, member) is None


@pytest.mark.parametrize("kind", ["soft_deleted", "permanently_deleted", "marked_as_spam"])
def test_a_deletion_is_read(kind: str) -> None:
    (update,) = read(event(f"ticket.{kind}"))
    assert (update.kind, update.status) == (UpdateKind.DELETED, Status.DELETED)


def test_a_ticket_that_came_back_has_its_status_again() -> None:
    (update,) = read(event("ticket.undeleted"))
    assert (update.kind, update.status) == (UpdateKind.STATUS, Status.OPEN)


def test_a_merge_is_read() -> None:
    (update,) = read(event("ticket.merged"))
    assert update.kind is UpdateKind.MERGED


def test_messages_of_people_are_read_and_those_of_a_bot_are_not() -> None:
    message = {"id": "67ab", "body": "Hello"}
    (update,) = read(
        event("messaging_ticket.message_added", actor={"type": "agent", "name": "Bo"}, message=message)
    )
    assert (update.id, update.kind, update.text) == ("message:67ab", UpdateKind.REPLY, "Hello")
    (asked,) = read(event("messaging_ticket.message_added", actor={"type": "end_user"}, message=message))
    assert asked.kind is UpdateKind.CUSTOMER_MESSAGE
    assert read(event("messaging_ticket.message_added", actor={"type": "system"}, message=message)) == []


IGNORED = [
    "created",
    "comment_made_private",
    "comment_redacted",
    "priority_changed",
    "tags_changed",
    "external_id_changed",
    "requester_changed",
    "subject_changed",
    "description_changed",
    "form_changed",
    "brand_changed",
    "organization_changed",
    "custom_field_changed",
    "attachment_linked_to_comment",
    "attachment_redacted_from_comment",
    "csat_requested",
    "csat_received",
    "next_sla_breach_changed",
    "sla_policy_changed",
    "ola_policy_changed",
    "schedule_changed",
    "problem_link_changed",
    "followers_changed",
    "email_ccs_changed",
    "submitter_changed",
    "task_due_at_changed",
    "type_changed",
]


@pytest.mark.parametrize("kind", [*IGNORED, "something_new"])
def test_other_events_are_ignored_on_purpose(kind: str) -> None:
    assert read(event(f"ticket.{kind}", current="a", previous="b")) == []


@pytest.mark.parametrize("name", ["ticket_id", "ticketID", "id"])
@pytest.mark.parametrize("id", [35436, "35436"])
def test_a_trigger_of_ones_own_making_rings_the_doorbell(name: str, id: object) -> None:
    assert read({name: id, "type": "End User Comment"}) == [Doorbell("35436")]
    assert read({"ticket": {name: id}} if name == "id" else {name: id}) == [Doorbell("35436")]


def test_a_trigger_rings_once() -> None:
    assert read({"ticket_id": 5, "ticketID": 6, "id": 7}) == [Doorbell("5")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"nope",
        b'{"type": 5}',
        b'{"id": "../1"}',
        b'{"id": true}',
        b'{"ticket_id": {"a": 1}}',
        b'{"type": "zen:event-type:user.created", "id": "5", "detail": {"id": "5"}}',
        b'{"type": "zen:event-type:ticket.comment_added", "detail": {"id": "x"}}',
        b'{"type": "zen:event-type:ticket.comment_added", "detail": []}',
    ],
)
def test_what_names_no_ticket_is_ignored(body: bytes) -> None:
    assert read(body) == []


# Reading and polling.

USERS = [{"id": 5, "role": "end-user", "name": "Ann"}, {"id": 8, "role": "agent", "name": "Bo"}]


def test_reading_a_ticket_brings_its_state_and_its_comments() -> None:
    rows = [
        comment(78, "internal", author_id=8, public=False),
        comment(77, "Done", author_id=8),
        comment(70, "Hi"),
    ]
    run = Run(
        zendesk().read(ticket()),
        answer({"ticket": row(status="pending")}),
        answer({"comments": rows, "users": USERS}),
    )
    assert run.requests[1].params == {"sort": "-created_at", "page[size]": 100, "include": "users"}
    kinds = {update.id: (update.kind, update.actor.name) for update in run.result.updates}
    assert kinds == {
        "comment:78": (UpdateKind.NOTE, "Bo"),
        "comment:77": (UpdateKind.REPLY, "Bo"),
        "comment:70": (UpdateKind.CUSTOMER_MESSAGE, "Ann"),
    }
    assert run.result.tickets[0].status is Status.PENDING


def test_without_users_the_requester_is_the_customer() -> None:
    rows = [comment(77, "Done", author_id=8), comment(70, "Hi")]
    run = Run(zendesk().read(ticket()), answer({"ticket": row()}), answer({"comments": rows}))
    assert {u.id: u.kind for u in run.result.updates} == {
        "comment:77": UpdateKind.REPLY,
        "comment:70": UpdateKind.CUSTOMER_MESSAGE,
    }


def test_a_ticket_that_is_gone_is_deleted() -> None:
    run = Run(zendesk().read(ticket()), answer({"error": "RecordNotFound", "description": "Not found"}, 404))
    assert run.result.tickets[0].status is Status.DELETED
    assert run.requests[0].accept == {404}


def test_odd_comments_stop_nothing() -> None:
    odd = [
        comment(1, "a", created_at=None),
        comment(2, "b", public=None),
        {"created_at": "2026-11-20T09:40:00Z"},
    ]
    listed = answer({"comments": [*odd, comment(77, "Done")]})
    run = Run(zendesk().read(ticket()), answer({"ticket": row()}), listed)
    assert [update.id for update in run.result.updates] == ["comment:77"]


def test_an_end_user_in_copy_is_a_customer_too() -> None:
    users = [{"id": 6, "role": "end-user", "name": "Ann's partner"}]
    listed = answer({"comments": [comment(77, "Me too", author_id=6)], "users": users})
    run = Run(zendesk().read(ticket()), answer({"ticket": row()}), listed)
    assert run.result.updates[0].kind is UpdateKind.CUSTOMER_MESSAGE


@pytest.mark.parametrize(
    "body", [b"<html>No help desk</html>", b'{"error": {"title": "Invalid endpoint"}}', b"[]"]
)
def test_a_wrong_address_deletes_no_ticket(body: bytes) -> None:
    steps = zendesk().read(ticket())
    with pytest.raises(Refused, match="subdomain"):
        Run(steps, Reply(404, body))


def test_a_poll_reads_the_comments_of_tickets_that_moved_only() -> None:
    known = [ticket(), ticket(id="2", raw=row(id=2)), ticket(id="3", raw=row(id=3))]
    rows = [row(updated_at="2026-11-20T09:44:00Z"), row(id=2), row(id=3, updated_at="2026-11-20T09:20:00Z")]
    steps = zendesk().poll_page("2026-11-20T09:40:00Z", known, NOW)
    run = Run(steps, answer({"tickets": rows}), answer({"comments": [comment(77, "Done")], "users": USERS}))
    assert run.requests[0].params == {"ids": "35436,2,3"}
    assert run.sent == ["GET /tickets/show_many", "GET /tickets/35436/comments"]
    assert [update.id for update in run.result.updates] == ["comment:77"]
    assert [found.id for found in run.result.tickets] == ["35436", "2", "3"]
    assert (run.result.cursor, run.result.more) == ("2026-11-20T09:44:00Z", False)


def test_what_happened_before_our_own_write_is_still_polled() -> None:
    """We wrote after the human did: the ticket as we know it is newer than the reply that we do not know."""
    known = ticket(updated_at=datetime(2026, 11, 20, 9, 44, tzinfo=UTC))
    rows = answer({"tickets": [row(updated_at="2026-11-20T09:44:00Z")]})
    run = Run(
        zendesk().poll_page("2026-11-20T09:40:00Z", [known], NOW),
        rows,
        answer({"comments": [comment(77, "Done")]}),
    )
    assert [update.id for update in run.result.updates] == ["comment:77"]


@pytest.mark.parametrize(
    ("moved", "known", "since"),
    [
        ("2026-11-20T09:44:00Z", "2026-11-20T09:44:00Z", "2026-11-20T09:44:00Z"),  # the same second
        (
            "2026-11-20T09:30:00Z",
            "2026-11-20T09:29:00Z",
            "2026-11-20T09:44:00Z",
        ),  # a ticket that is new to us
    ],
)
def test_a_poll_reads_comments_rather_once_too_often(moved: str, known: str, since: str) -> None:
    rows, given = answer({"tickets": [row(updated_at=moved)]}), ticket(updated_at=known)
    run = Run(zendesk().poll_page(since, [given], NOW), rows, answer({"comments": [comment(77, "Done")]}))
    assert [update.id for update in run.result.updates] == ["comment:77"]


def test_an_archived_ticket_is_read_by_itself() -> None:
    listed = answer({"comments": [comment(77, "Done")]})
    replies = (answer({"tickets": []}), answer({"ticket": row(status="closed")}), listed)
    run = Run(zendesk().poll_page("2026-11-20T09:40:00Z", [ticket()], NOW), *replies)
    assert [update.id for update in run.result.updates] == ["comment:77"]
    assert run.result.tickets[0].status is Status.CLOSED


def test_a_poll_asks_for_a_hundred_tickets_at_a_time() -> None:
    known = [ticket(id=str(n), raw=row(id=n)) for n in range(1, 151)]
    pages = [answer({"tickets": [row(id=n) for n in range(*ends)]}) for ends in ((1, 101), (101, 151))]
    run = Run(zendesk().poll_page("2026-11-20T09:40:00Z", known, NOW), *pages)
    assert [len(str(request.params["ids"]).split(",")) for request in run.requests if request.params] == [
        100,
        50,
    ]


def test_a_ticket_that_the_list_does_not_show_is_asked_for_by_itself() -> None:
    gone = answer({"error": "RecordNotFound"}, 404)
    run = Run(zendesk().poll_page("2026-11-20T09:40:00Z", [ticket()], NOW), answer({"tickets": []}), gone)
    assert run.result.tickets[0].status is Status.DELETED


def test_a_poll_of_no_tickets_asks_nothing() -> None:
    assert Run(zendesk().poll_page(None, [], NOW)).sent == []


def exported(cursor: int, *events: dict[str, Any], known: list[Ticket] | None = None, **more: Any) -> Run:
    data = {
        "ticket_events": list(events),
        "count": len(events),
        "end_time": 1795160000,
        "end_of_stream": True,
    }
    tickets = [ticket()] if known is None else known
    return Run(zendesk(export=True).poll_page(since(cursor), tickets, NOW), answer(data | more))


def since(export: int, looked: datetime = NOW) -> str:
    """The cursor of the export, with when all known tickets were last looked at."""
    return f"{export}/{int(looked.timestamp())}"


def audit(*children: dict[str, Any], **changed: Any) -> dict[str, Any]:
    return {
        "ticket_id": 35436,
        "created_at": "2026-11-20T09:40:30Z",
        "child_events": list(children),
    } | changed


def test_the_export_brings_comments_and_changes_of_our_tickets_in_one_request() -> None:
    run = exported(
        1795159850,
        audit(
            {"event_type": "Comment"} | comment(77, "Done", author_id=8),
            {"event_type": "Comment"} | comment(70, "Thanks"),
            {"event_type": "Change", "status": "solved", "previous_value": "open"},
            {"event_type": "Change", "field_name": "assignee_id", "value": 8},
            {"event_type": "Change", "group_id": "2"},
            {"event_type": "Change", "priority": "low"},
            {"event_type": "Create", "status": "new"},
        ),
        audit({"event_type": "Comment"} | comment(79, "foreign"), ticket_id=1),
    )
    assert run.sent == ["GET /incremental/ticket_events"]
    assert run.requests[0].params == {"start_time": 1795159850, "include": "comment_events"}
    assert [(update.id, update.kind.value) for update in run.result.updates] == [
        ("comment:77", "reply"),
        ("comment:70", "customer_message"),
        ("status:35436:solved:20261120094030", "status"),
        ("assignee:35436:8:20261120094030", "assignment"),
        ("group:35436:2:20261120094030", "assignment"),
    ]


def test_the_export_goes_on_where_it_stopped_and_overlaps_at_its_end() -> None:
    more = exported(1795159850, audit(), end_of_stream=False)
    assert (more.result.cursor, more.result.more) == (since(1795160000), True)
    ended = exported(1795159850)
    assert (ended.result.cursor, ended.result.more) == (since(1795159940), False)
    full = exported(1795159850, count=1000, end_of_stream=True)
    assert full.result.more is False
    quiet = exported(1795159850, end_time=None)
    assert (quiet.result.cursor, quiet.result.more) == (since(1795159850), False)
    stuck = exported(1795160000, audit(), end_of_stream=False)
    assert stuck.result.more is False


def test_an_export_that_does_not_say_that_it_ended_has_ended_below_a_thousand() -> None:
    data = {"ticket_events": [], "end_time": 1795160000}
    for count, more in ((999, False), (1000, True)):
        run = Run(zendesk(export=True).poll_page(since(1795159850), [], NOW), answer(data | {"count": count}))
        assert run.result.more is more


def test_odd_events_of_an_export_stop_nothing() -> None:
    readable = {"event_type": "Comment"} | comment(77, "Done")
    frozen = {"event_type": "Change", "status": "frozen"}
    odd = audit({"event_type": "Comment", "id": 4}, frozen, {}, {"event_type": "Cc"})
    timeless = audit(readable | {"id": 78}, created_at=None)
    by_second = audit(readable, created_at=None, timestamp=1795160000)
    assert [u.id for u in exported(1795159850, odd, timeless, by_second).result.updates] == ["comment:77"]


def test_the_first_poll_with_the_export_reads_the_tickets_and_starts_earlier_than_now() -> None:
    run = Run(zendesk(export=True).poll_page(None, [], NOW))
    start, _, looked = run.result.cursor.partition("/")
    assert int(start) <= NOW.timestamp() - 60
    assert int(looked) == NOW.timestamp()


def test_the_export_reads_a_ticket_whose_requester_is_not_known() -> None:
    bare = ticket(raw={})
    steps = zendesk(export=True).poll_page(since(1795159850), [bare], NOW)
    data = answer(
        {"ticket_events": [audit({"event_type": "Comment"} | comment(77, "Done"))], "end_time": 1795160000}
    )
    listed = answer({"comments": [comment(77, "Done", author_id=8)], "users": USERS})
    run = Run(steps, data, answer({"ticket": row()}), listed)
    assert [(update.id, update.kind) for update in run.result.updates] == [("comment:77", UpdateKind.REPLY)]


def test_an_end_user_in_copy_is_a_customer_in_the_export_too() -> None:
    names = NAMES | {"user 6": {"role": "end-user"}, "user 8": {"role": "agent"}}
    said = [comment(n, "Hello", author_id=who) for n, who in ((1, 5), (2, 6), (3, 8), (4, 9))]
    events = audit(*({"event_type": "Comment"} | each for each in said))
    data = answer({"ticket_events": [events], "end_time": 1795160000, "end_of_stream": True})
    run = Run(zendesk(export=True).poll_page(since(1795159850), [ticket()], NOW), data, names=names)
    assert [update.actor.kind for update in run.result.updates] == ["customer", "customer", "human", "human"]


def test_a_users_role_is_asked_for_and_one_that_is_gone_has_none() -> None:
    run = Run(zendesk().names("user 6"), answer({"user": {"id": 6, "role": "end-user"}}))
    assert (run.sent, run.result["role"]) == (["GET /users/6"], "end-user")
    assert Run(zendesk().names("user 7"), answer({"error": "RecordNotFound"}, 404)).result == {}


def test_beside_the_export_all_tickets_are_looked_at_every_quarter_of_an_hour() -> None:
    """The export's documentation does not say how a ticket that was deleted looks there."""
    quiet = {"ticket_events": [], "end_time": 1795159501, "end_of_stream": True}
    gone, still = answer({"error": "RecordNotFound"}, 404), row(id=7, updated_at="2026-11-20T09:31:00Z")
    known = [ticket(), ticket(id="7", raw=still)]
    run = Run(
        zendesk(export=True).poll_page(since(1795159441, NOW - timedelta(minutes=15)), known, NOW),
        answer(quiet),
        answer({"tickets": [still]}),
        gone,
    )
    assert run.sent == ["GET /incremental/ticket_events", "GET /tickets/show_many", "GET /tickets/35436"]
    assert {each.id: each.status for each in run.result.tickets} == {
        "7": Status.OPEN,
        "35436": Status.DELETED,
    }
    assert run.result.cursor == since(1795159441)
    later = NOW + timedelta(minutes=14)
    within = Run(zendesk(export=True).poll_page(since(1795159441), known, later), answer(quiet))
    assert (within.sent, within.result.cursor) == (["GET /incremental/ticket_events"], since(1795159441))


def test_a_quiet_account_is_looked_at_every_quarter_of_an_hour_too() -> None:
    """Its export stands still: what was deleted there would else never be known."""
    quiet = answer({"ticket_events": [], "end_time": None, "end_of_stream": True})
    cursor, looks = since(1795159441), 0
    for minutes in range(1, 61):
        steps = zendesk(export=True).poll_page(cursor, [ticket()], NOW + timedelta(minutes=minutes))
        due = minutes % 15 == 0
        run = Run(steps, quiet, *[answer({"tickets": [row()]})] * due)
        cursor, looks = run.result.cursor, looks + len(run.sent) - 1
    assert (looks, cursor) == (4, since(1795159441, NOW + timedelta(minutes=60)))


def test_a_cursor_of_an_older_version_goes_on_and_looks_at_once() -> None:
    quiet = answer({"ticket_events": [], "end_time": 1795159501, "end_of_stream": True})
    run = Run(zendesk(export=True).poll_page("1795159441", [], NOW), quiet)
    assert run.result.cursor == since(1795159441)
    known = Run(zendesk(export=False).poll_page(since(1795159441), [], NOW))
    assert (known.sent, known.result.cursor) == ([], None)


def test_a_webhook_a_poll_and_the_export_give_one_comment_one_id() -> None:
    (hooked,) = read(spoken())
    polled = Run(
        zendesk().read(ticket()), answer({"ticket": row()}), answer({"comments": [comment(77, "Done")]})
    )
    from_export = exported(1795159850, audit({"event_type": "Comment"} | comment(77, "Done")))
    assert {hooked.id, polled.result.updates[0].id, from_export.result.updates[0].id} == {"comment:77"}


# Names and check.


def test_groups_are_listed_page_by_page_without_deleted_ones() -> None:
    first = {
        "groups": [{"id": 1, "name": "Old", "deleted": True}],
        "meta": {"has_more": True, "after_cursor": "x"},
    }
    second = {"groups": [{"id": 2, "name": "Support"}], "meta": {"has_more": False, "after_cursor": "y"}}
    run = Run(zendesk().names("groups"), answer(first), answer(second))
    assert run.result == {"Support": "2"}
    assert run.sent == ["GET /groups/assignable"] * 2
    assert [request.params for request in run.requests] == [
        {"page[size]": 100},
        {"page[size]": 100, "page[after]": "x"},
    ]


def test_a_list_that_never_ends_is_left() -> None:
    page = {"groups": [], "meta": {"has_more": True, "after_cursor": "x"}}
    assert len(Run(zendesk().names("groups"), *[answer(page)] * 100).requests) == 100


def test_agents_are_looked_up_and_customers_are_not_taken_for_agents() -> None:
    users = [
        {"id": 7, "email": "bo@acme.test", "role": "agent"},
        {"id": 8, "email": "ann@acme.test", "role": "end-user"},
    ]
    run = Run(zendesk().names("agent bo@acme.test"), answer({"users": users}))
    assert run.requests[0].params == {"query": "email:bo@acme.test"}
    assert run.result == {"bo@acme.test": "7"}


def test_an_anonymous_user_is_nobody() -> None:
    assert Run(zendesk().names("me"), answer({"user": {"id": None, "name": "Anonymous user"}})).result == {}


def test_unknown_names_are_refused() -> None:
    with pytest.raises(Unsupported):
        Run(zendesk().names("planets"))


def findings(desk: Zendesk, user: dict[str, Any], *more: Reply) -> dict[str, tuple[bool, str]]:
    found = Run(desk.check(), answer({"user": user}), *more).result
    return {finding.subject: (finding.ok, finding.message) for finding in found}


ADMIN = {"id": 99, "name": "AI desk", "role": "admin"}


def test_check_finds_what_is_there_and_what_is_missing() -> None:
    desk = zendesk(
        groups={"billing": "BILLING tier 2", "ops": "Ops", "id": "5"}, fields={"order_id": "36", "gone": "37"}
    )
    groups = answer({"groups": [{"id": 5, "name": "Billing Tier 2"}]})
    found = findings(desk, ADMIN, groups, answer({"ticket_fields": [{"id": 36, "title": "Order id"}]}))
    assert {subject: ok for subject, (ok, _) in found.items()} == {
        "credentials": True,
        "groups.billing": True,
        "groups.ops": False,
        "groups.id": True,
        "fields.order_id": True,
        "fields.gone": False,
        "webhook_secret": True,
    }
    assert "Billing Tier 2" in found["groups.ops"][1]


def test_check_is_content_with_a_whole_configuration() -> None:
    desk = zendesk(groups={}, webhook_secret="s3cret", export=True)
    assert all(ok for ok, _ in findings(desk, ADMIN).values())


@pytest.mark.parametrize(
    ("user", "word"),
    [({"id": None, "role": "agent"}, "agent"), ({"id": 5, "role": "end-user"}, "agent"), ({}, "nobody")],
)
def test_check_wants_an_agents_credentials(user: dict[str, Any], word: str) -> None:
    ok, message = findings(zendesk(groups={}), user)["credentials"]
    assert not ok
    assert word in message


def test_check_knows_that_the_export_is_for_admins() -> None:
    ok, message = findings(zendesk(groups={}, export=True), ADMIN | {"role": "agent"})["credentials"]
    assert not ok
    assert "export = false" in message


# Refusals.


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error":"Couldn\'t authenticate you"}', "Couldn't authenticate you"),
        (b'{"error":"RecordInvalid","description":"Bad","details":{"x":[{"description":"X: no"}]}}', "X: no"),
        (b'{"error":{"title":"Forbidden","message":"No access"}}', "Forbidden; No access"),
        (b"Unsupported media type", "Unsupported media type"),
        (b"<html><title>No help desk here</title></html>", "No help desk here"),
        (b"[1, 2]", "[1, 2]"),
        (b"", "status 422"),
        (b"{}", "{}"),
    ],
)
def test_a_refusal_is_explained_in_zendesks_words(body: bytes, words: str) -> None:
    text = zendesk().explain(Reply(422, body))
    assert words in text
    assert "<" not in text


@pytest.mark.parametrize(
    ("key", "description", "ours"),
    [
        ("group", "Group: 5 is invalid", "group"),
        ("group_id", "is invalid", "group"),
        ("brand_id", "is invalid", "brand"),
        ("ticket_form_id", "is not active", "form"),
        ("base", "Form: is invalid", "form"),
        ("priority", "Priority: x is not valid", "urgency"),
        ("assignee", "Assignee: is invalid", "owner"),
        ("assignee_id", "is invalid", "owner"),
        ("requester", "Requester: Email is invalid", "customer"),
        ("submitter", "Submitter: is invalid", "customer"),
        ("tags", "Tags: too many", "tags"),
        ("base", "Assignee: is invalid", "owner"),
        ("base", "Order id (360012345678): is invalid", "fields.order_id"),
        ("ticket_field_360012345678", "is invalid", "fields.order_id"),
    ],
)
def test_a_refused_field_is_named_in_our_words(key: str, description: str, ours: str) -> None:
    body = {
        "error": "RecordInvalid",
        "details": {key: [{"description": description, "error": "InvalidValue"}]},
    }
    refused = zendesk(fields={"order_id": "360012345678"}).refused_fields(answer(body, 422))
    assert list(refused) == [ours]
    assert description in refused[ours]


def test_a_refused_field_may_be_named_by_number_beside_the_words() -> None:
    body = {"details": {"base": [{"description": "Order: no", "ticket_field_id": 36}]}}
    assert zendesk(fields={"order_id": "36"}).refused_fields(answer(body, 422)) == {
        "fields.order_id": "Order: no"
    }


@pytest.mark.parametrize(
    "reply",
    [
        answer({"details": {"group": []}}, 422),
        Reply(422, b"<p>"),
        answer([], 422),
        answer({"details": 5}, 422),
        answer({"details": {"group": [{"description": "x"}]}}, 400),
        answer({"details": {"subject": [{"description": "too long"}]}}, 422),
    ],
)
def test_other_refusals_name_no_field(reply: Reply) -> None:
    assert zendesk().refused_fields(reply) == {}


# The traps of Zendesk's API.


def test_trap_01_every_request_has_accept_and_user_agent() -> None:
    for desk in (zendesk(), zendesk(oauth_token=None, email="bot@acme.test", api_token="a1")):
        for token in (None, "abc"):
            assert desk.headers(token)["Accept"] == "application/json"
            assert desk.headers(token)["User-Agent"]


def test_trap_02_signing_in_does_not_rotate_a_refresh_token() -> None:
    """Client credentials give independent tokens: two workers cannot end each other's."""
    steps = zendesk(oauth_token=None, client_id="handrail", client_secret="s").sign_in()
    assert steps is not None
    request = Run(steps, answer({"access_token": "abc", "refresh_token": "r"})).requests[0]
    assert request.json["grant_type"] == "client_credentials"
    assert "refresh_token" not in request.json


def test_trap_03_the_scope_is_asked_for_and_check_makes_a_real_request() -> None:
    steps = zendesk(oauth_token=None, client_id="handrail", client_secret="s").sign_in()
    assert steps is not None
    assert Run(steps, answer({"access_token": "abc"})).requests[0].json["scope"] == "read write"
    request = next(zendesk().check())
    assert isinstance(request, Request)
    assert (request.path, request.accept) == ("/users/me", frozenset())  # so the driver sees a 403


@pytest.mark.parametrize(("visibility", "public"), [("note", False), ("public", True)])
def test_trap_04_visibility_is_said_every_time(visibility: str, public: bool) -> None:
    desk = zendesk(visibility=visibility)
    assert created(desk).body()["comment"]["public"] is public
    assert Run(desk.say(ticket(), said()), made()).body()["comment"]["public"] is public
    closed = answer({"ticket": row(status="closed")})
    run = Run(
        desk.say(ticket(), said()), answer({"details": CLOSED}, 422), answer({"comments": []}), closed, made()
    )
    assert run.body()["comment"]["public"] is public


def test_trap_05_only_html_with_inert_placeholders_below_64_kb() -> None:
    text = "{{ticket.requester.email}} " + "é" * 60_000
    conversation = about(Customer(email="a@b.test", name="{{x}}"), subject="Re {{{ticket.id}}} {% if %}")
    first = conversation.messages[0].model_copy(update={"text": text})
    steps = zendesk().create(handoff(conversation=conversation.model_copy(update={"messages": (first,)})))
    requests, reply = [], answer({})
    try:
        step = next(steps)
        while True:
            requests.append(step)
            known = answer(NAMES.get(getattr(step, "kind", ""), {}))
            upload = answer({"upload": {"token": "t"}})
            reply = known if isinstance(step, Names) else upload if step.path == "/uploads" else made()
            step = steps.send(reply)
    except StopIteration:
        body = requests[-1].json["ticket"]
    assert set(body["comment"]) <= {"html_body", "public", "uploads"}
    assert len(body["comment"]["html_body"].encode()) <= 64_000
    assert "{{" not in re.sub(r"<code>.*?</code>", "", body["comment"]["html_body"], flags=re.DOTALL)
    assert body["subject"].startswith("Re { { {ticket.id}}}")
    assert not re.search(r"\{[{%]", body["subject"] + body["requester"]["name"])
    update = Run(zendesk().say(ticket(), said("{{ticket.id}}")), made()).body()["comment"]["html_body"]
    assert "{{" not in re.sub(r"<code>.*?</code>", "", update, flags=re.DOTALL)


def test_trap_06_upload_tokens_are_used_within_the_hour_and_attachments_are_not_fetched() -> None:
    steps = zendesk().create(handoff(files=(File.of("a.txt", b"one"),)))
    run = Run(steps, answer({"upload": {"token": "t1"}}), made())
    good_for = run.requests[0].good_for
    assert good_for is not None
    assert good_for < timedelta(minutes=60)
    rows = [comment(77, "see file", attachments=[{"content_url": "https://elsewhere.example/f"}])]
    polled = Run(zendesk().read(ticket()), answer({"ticket": row()}), answer({"comments": rows}))
    assert all("elsewhere" not in request.path for request in polled.requests)


def test_trap_07_updates_send_no_tags_and_never_safe_update_false() -> None:
    for stamp in ("2026-11-20T09:31:00Z", None):
        known = ticket(raw=row(updated_at=stamp))
        for steps in (zendesk().say(known, said()), zendesk().change(known, Change(urgency=Urgency.LOW))):
            body = Run(steps, made()).body()
            assert "tags" not in body
            assert body.get("safe_update", True) is True
            assert ("safe_update" in body) is (stamp is not None)


def test_trap_08_external_id_is_compared_and_the_lowest_id_is_adopted() -> None:
    rows = [
        row(id=9),
        row(id=101),
        row(id=3, external_id="01HZ0000000000000000000001-1"),
        row(id=2, external_id=None),
    ]
    run = Run(zendesk().find(handoff()), answer({"tickets": rows}), answer({"comments": []}))
    assert run.result.id == "9"
    others = [row(external_id="other"), row(external_id=None)]
    assert Run(zendesk().find(handoff()), answer({"tickets": others})).result is None


def test_trap_09_a_used_key_is_recognised_and_the_window_ends_before_two_hours() -> None:
    used = {"error": "IdempotentRequestError", "description": "Request parameters don't match"}
    assert zendesk().key_is_used(answer(used, 400))
    assert not zendesk().key_is_used(answer(used, 422))
    assert not zendesk().key_is_used(answer({"error": "BadRequest"}, 400))
    assert not zendesk().key_is_used(Reply(400, b"[]"))
    assert zendesk().key_window is not None
    assert zendesk().key_window < timedelta(hours=2)


def test_trap_10_many_messages_are_one_update() -> None:
    messages = tuple(Message(role="customer", text=f"line {n}") for n in range(40))
    run = Run(zendesk().say(ticket(), Said("01HZMESSAGE1", messages, handoff())), made())
    assert run.sent == ["PUT /tickets/35436"]
    assert all(f"line {n}" in run.body()["comment"]["html_body"] for n in range(40))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, True),
        ({"x-rate-limit-remaining": "0"}, True),
        ({"x-rate-limit-remaining": "0", "zendesk-ratelimit-x": "total=9; remaining=0; resets=9"}, True),
        ({"x-rate-limit-remaining": "soon"}, True),
        ({"x-rate-limit-remaining": "612"}, False),
        ({"rate-limit-remaining": "612"}, False),
        ({"zendesk-rate-limit-tickets-update": "total=30; remaining=0; resets=540"}, False),
        ({"zendesk-ratelimit-tickets-index": "total=100; remaining=10; resets=9"}, True),
    ],
)
def test_trap_10_the_limit_of_one_ticket_or_of_the_export_holds_up_nothing_else(
    headers: dict[str, str], expected: bool
) -> None:
    reply = Reply(429, b"{}", {"retry-after": "540"} | headers)
    driver = Driver(zendesk(), Answering(reply), lambda: NOW)
    with pytest.raises(NotDone) as late:
        driver.run(lambda: zendesk().names("groups"))

    assert late.value.after == 540
    assert (driver.rest() == 540) is expected


class Answering(Transport):
    """A way to a desk that always gives one answer."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply

    def send(self, wire: Wire, headers: Mapping[str, str]) -> Reply:
        return self.reply

    def close(self) -> None:
        return None


def test_trap_11_ids_may_be_text_or_numbers_and_words_may_be_capitals() -> None:
    for id in (77, "77"):
        (update,) = read(spoken(id=id))
        assert update.id == "comment:77"
    numbered = event("ticket.status_changed", current="Solved")
    numbered["detail"]["id"] = 35436
    (update,) = read(numbered)
    assert (update.ticket_id, update.status) == ("35436", Status.SOLVED)
    assert read(event("ticket.updated")) == []
    assert read(event("ticket.comment_made_public")) == []


def test_trap_12_lost_events_are_polled_and_genuine_ones_are_never_refused() -> None:
    """Zendesk repeats nothing after a 403: whatever it signs is taken, also long after it happened."""
    desk, now = zendesk(webhook_secret="s3cret"), datetime(2026, 11, 20, 9, 48, tzinfo=UTC)
    body = json.dumps(spoken(), indent=2).encode()
    headers = {name.lower(): value for name, value in desk.signature.sign(body, "s3cret", now).items()}
    desk.signature.check(Hook(body, headers), "s3cret", now)
    with pytest.raises(SignatureError):
        desk.signature.check(Hook(body + b" ", headers), "s3cret", now)
    polled = Run(
        zendesk().poll_page(None, [ticket()], NOW),
        answer({"tickets": [row()]}),
        answer({"comments": [comment(77, "Done")]}),
    )
    assert [update.id for update in polled.result.updates] == [update.id for update in read(body)]


def test_trap_13_the_export_is_not_asked_for_its_last_minute_nor_for_a_kind_of_ticket() -> None:
    run = exported(int(NOW.timestamp()) - 5, end_time=int(NOW.timestamp()))
    assert run.requests[0].params == {"start_time": int(NOW.timestamp()) - 60, "include": "comment_events"}
    assert run.requests[0].path == "/incremental/ticket_events"
    assert len(run.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"error": "RecordInvalid", "description": "Record validation errors", "details": CLOSED},
        {"error": "ClosedTicket", "description": "Ticket is closed"},
        {"error": "RecordInvalid", "details": {"base": CLOSED["status"]}},
        {"error": "RecordInvalid", "details": {"status": [{"description": "Statut : fermé"}]}},
    ],
)
def test_trap_14_a_closed_ticket_gets_a_follow_up(body: dict[str, Any]) -> None:
    closed = answer({"ticket": row(status="closed")})
    steps = zendesk().say(ticket(), said())
    run = Run(steps, answer(body, 422), answer({"comments": []}), closed, made(id=36000))
    assert run.sent[-1] == "POST /tickets"
    request, sent = run.requests[-1], run.body()
    assert (sent["via_followup_source_id"], sent["external_id"], request.key) == (
        35436,
        "01HZMESSAGE1",
        "01HZMESSAGE1",
    )
    assert (sent["group_id"], sent["requester_id"]) == (2, 5)
    assert "01HZMESSAGE1" in sent["comment"]["html_body"]
    assert run.result.id == "36000"
    assert request.unless is not None
    look = Run(request.unless, answer({"tickets": []}))
    assert look.requests[0].params == {"external_id": "01HZMESSAGE1"}


def test_trap_15_the_link_is_made_from_the_configuration() -> None:
    assert created().result.url == "https://acme.zendesk.com/agent/tickets/35436"
    run = Run(zendesk().read(ticket()), answer({"ticket": row()}), answer({"comments": []}))
    assert run.result.tickets[0].url == "https://acme.zendesk.com/agent/tickets/35436"


# Real and documented payloads.


def payloads(*folders: str) -> list[Any]:
    found = [path for folder in folders for path in sorted((FIXTURES / folder).glob("*.json"))]
    return [pytest.param(path, id=path.stem) for path in found] or [
        pytest.param(None, marks=pytest.mark.skip(reason="the shared payloads are not beside the repository"))
    ]


@pytest.mark.parametrize("path", payloads("webhooks", "errors", "zendesk-go", "oas_examples"))
def test_no_payload_crashes_whatever_it_is_taken_for(path: Path) -> None:
    data = path.read_bytes()
    assert all(isinstance(item, Update | Doorbell) for item in read(data))
    for status in (400, 401, 404, 409, 422, 429, 500):
        reply, desk = Reply(status, data), zendesk(fields={"order_id": "27642"})
        assert 0 < len(desk.explain(reply)) <= 500
        assert set(desk.refused_fields(reply)) <= {
            "group",
            "urgency",
            "owner",
            "tags",
            "customer",
            "fields.order_id",
        }
        desk.key_is_used(reply)


def fixture(path: str) -> Any:
    if not FIXTURES.is_dir():
        pytest.skip("the shared payloads are not beside the repository")
    return json.loads((FIXTURES / path).read_bytes())


@pytest.mark.parametrize("name", ["TicketResponseExample", "TicketUpdateResponseExample"])
def test_documented_tickets_are_read(name: str) -> None:
    data = fixture(f"oas_examples/{name}.json")
    found = Run(zendesk().create(handoff()), answer(data)).result
    assert (found.id, found.status) == ("35436", Status.OPEN)
    assert found.ours == (("comment:206091192547",) if "audit" in data else ())


@pytest.mark.parametrize(
    "name", ["oas_examples/TicketCommentsResponseExample", "zendesk-go/ticket_comments_list"]
)
def test_documented_comments_are_read(name: str) -> None:
    data = fixture(f"{name}.json")
    run = Run(zendesk().read(ticket()), answer({"ticket": row(requester_id=123123)}), answer(data))
    kinds = [(update.id, update.kind.value) for update in run.result.updates]
    assert kinds == [("comment:1274", "customer_message"), ("comment:1275", "note")][: len(data["comments"])]


def test_documented_lists_of_tickets_are_read() -> None:
    data = fixture("oas_examples/TicketsResponseExample.json")
    run = Run(zendesk().poll_page("2026-11-20T09:40:00Z", [ticket()], NOW), answer(data))
    assert [found.group for found in run.result.tickets] == ["98738"]


@pytest.mark.parametrize("name", ["TicketAuditsForTicketResponseExample", "TicketAuditResponseExample"])
def test_documented_audits_name_our_comment(name: str) -> None:
    data = fixture(f"oas_examples/{name}.json")
    audit = data.get("audit") or data["audits"][0]
    assert Run(zendesk().create(handoff()), answer({"ticket": row(), "audit": audit})).result.ours == (
        "comment:2127301148",
    )


def test_the_vendors_wrong_example_of_an_export_stops_nothing() -> None:
    data = fixture("oas_examples/ExportIncrementalTicketEventsResponseExample.json")
    known = [ticket(id="155")]
    run = Run(zendesk(export=True).poll_page(since(1601357430), known, NOW), answer(data))
    assert (list(run.result.updates), run.result.cursor) == ([], since(1601357443))


def test_documented_webhooks_are_read() -> None:
    (update,) = read(fixture("webhooks/event_ticket_comment_added.json"))
    assert (update.id, update.kind, update.actor.name) == (
        "comment:9876543210",
        UpdateKind.REPLY,
        "Support Agent",
    )
    assert update.text.startswith("We are investigating")
    assert read(fixture("webhooks/event_messaging_message_added.json")) == []
    assert read(fixture("zendesk-go/trigger_webhook_ticket_update.json")) == [Doorbell("12345")]


def test_the_signature_vector_is_genuine() -> None:
    vector = fixture("webhooks/signature_vector.json")
    signature = zendesk().signature
    at = datetime.fromisoformat(vector["timestamp"])
    headers = {
        signature.header.lower(): vector["signature"],
        signature.timestamp_header.lower(): vector["timestamp"],
    }
    signature.check(Hook(vector["body"].encode(), headers), vector["secret"], at)


def test_documented_refusals_are_understood() -> None:
    words = zendesk().explain(
        Reply(422, json.dumps(fixture("zendesk-go/error_422_closed_ticket.json")).encode())
    )
    assert "Status: closed prevents ticket update" in words
    assert zendesk().key_is_used(answer(fixture("errors/error_idempotency_mismatch_400.json"), 400))
    groups, fields = (
        fixture("oas_examples/GroupsResponseExample.json"),
        fixture("oas_examples/TicketFieldsResponseExample.json"),
    )
    assert Run(zendesk().names("groups"), answer(groups)).result == {"DJs": "211", "MCs": "122"}
    assert Run(zendesk().names("fields"), answer(fields)).result == {"Subject": "34"}
