"""The Freshdesk connector: by itself with scripted answers, and against the simulated desk where time counts.

The tests named ``test_trap_NN_...`` stand for the traps of Freshdesk's API that are known to cost tickets.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
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
    DeskPaused,
    Doorbell,
    Due,
    File,
    Handoff,
    Hook,
    Message,
    Names,
    NotDone,
    Refused,
    Reply,
    Request,
    Role,
    Said,
    SignatureError,
    State,
    Status,
    Ticket,
    Unsupported,
    UpdateKind,
    Urgency,
)
from handrail.store import handoffs
from handrail.testing import Clock, World, a_conversation, a_file
from handrail_freshdesk import Freshdesk
from handrail_freshdesk.looking import Mark
from handrail_freshdesk.polls import LAST_PAGE, Window
from handrail_freshdesk.simulated import GROUPS, SimulatedFreshdesk
from handrail_freshdesk.updates import stamp

FIXTURES = SHARED / "fixtures" / "freshdesk"
NOW = datetime(2026, 11, 20, 9, 45, tzinfo=UTC)
MARKER = "01HZ0000000000000000000001"
NAMES = {
    "groups": {"Support": "1", "Billing Tier 2": "2"},
    "fields": {"cf_order_id": "custom_text", "cf_amount": "custom_number", "cf_vip": "custom_checkbox"},
    "statuses": {"Open": "2", "Waiting on Customer": "6", "Waiting on Third Party": "7", "Back Office": "12"},
    "agent bo@acme.test": {"bo@acme.test": "7"},
}
NEXT = {"link": '<https://acme.freshdesk.com/api/v2/tickets?page=2>; rel="next"'}


def freshdesk(**settings: Any) -> Freshdesk:
    known = {"domain": "acme.freshdesk.com", "api_key": "k3y", "groups": {"billing": "Billing Tier 2"}}
    return Freshdesk(**(known | {"marker_field": "cf_handoff_id"} | settings))


def tagging(**settings: Any) -> Freshdesk:
    return freshdesk(marker_field=None, **settings)


def about(customer: Customer, **known: Any) -> Conversation:
    messages = (Message(role=Role.CUSTOMER, text="Where is my refund?"), Message(role=Role.AI, text="Hm"))
    return Conversation(**({"id": "c-42", "messages": messages, "customer": customer} | known))


ANN = Customer(id="u-7", name="Ann Lee", email="ann@example.com", phone="+331")


def handoff(**changed: Any) -> Handoff:
    known = {"id": MARKER, "key": "c-42:1", "desk": "support", "created_at": NOW, "group": "billing"}
    known |= {"conversation": about(ANN, fields={"order_id": "1182", "amount": 250, "vip": True})}
    return Handoff(**(known | {"urgency": Urgency.HIGH, "tags": ("vip",)} | changed))


def answer(data: Any, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, json.dumps(data).encode(), headers or {})


def row(id: int = 35, **changed: Any) -> dict[str, Any]:
    known = {"id": id, "status": 2, "priority": 3, "group_id": 2, "responder_id": None, "tags": []}
    known |= {"created_at": "2026-11-20T09:31:00Z", "updated_at": "2026-11-20T09:31:00Z"}
    return known | {"custom_fields": {"cf_handoff_id": MARKER}, "spam": False} | changed


def thread(*said: dict[str, Any], **changed: Any) -> Reply:
    return answer(row(**changed) | {"conversations": list(said)})


def said_row(id: int, text: str, **changed: Any) -> dict[str, Any]:
    known = {"id": id, "ticket_id": 35, "body": f"<div>{text}</div>", "body_text": text, "private": False}
    known |= {"incoming": False, "source": 0, "user_id": 9, "created_at": "2026-11-20T09:40:00Z"}
    return known | changed


def ticket(**changed: Any) -> Ticket:
    known = {
        "id": "35",
        "status": Status.OPEN,
        "raw": row(),
        "url": "https://acme.freshdesk.com/a/tickets/35",
    }
    return Ticket(**(known | {"updated_at": "2026-11-20T09:31:00Z"} | changed))


def said(text: str = "Any news?", role: Role = Role.CUSTOMER, **more: Any) -> Said:
    return Said("01HZMESSAGE100000000000000", (Message(role=role, text=text),), handoff(), **more)


def refusal(
    field: str, message: str = "It is wrong", code: str = "invalid_value", status: int = 400
) -> Reply:
    errors = [{"field": field, "message": message, "code": code}]
    return answer({"description": "Validation failed", "errors": errors}, status)


DENIED = answer({"code": "access_denied", "message": "You are not authorized to perform this action."}, 403)
LOCKED = answer({"code": "require_feature", "message": "The feature is not in your plan"}, 403)
EMPTY_404 = Reply(404)


class Run:
    """Drives a generator: ``requests`` are what it sent, ``result`` is what it returned."""

    def __init__(self, steps: Generator[Any, Reply, Any], *replies: Reply, names: Any = NAMES) -> None:
        self.requests: list[Request] = []
        self.looked_up: list[str] = []
        left = list(replies)
        try:
            step = next(steps)
            while True:
                if isinstance(step, Names):
                    self.looked_up.append(step.kind)
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

    def params(self, n: int = -1) -> dict[str, Any]:
        return dict(self.requests[n].params or {})


def created(desk: Freshdesk | None = None, given: Handoff | None = None, **more: Any) -> Run:
    return Run((desk or freshdesk()).create(given or handoff()), answer(row(), 201), **more)


def body(desk: Freshdesk | None = None, given: Handoff | None = None, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = created(desk, given, **more).requests[-1].json
    return found


def read_hook(data: Any) -> list[Any]:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return list(freshdesk().events(Hook(raw, {})))


@contextmanager
def world(
    clock: Clock, *, settings: dict[str, Any] | None = None, config: Any = None, **options: Any
) -> Iterator[World]:
    given = {"timeout": "1s"} | (settings or {})
    with SimulatedFreshdesk(clock=clock, **options) as desk:
        with World(desk, Freshdesk, clock=clock, settings=given, **(config or {})) as running:
            yield running
        assert desk.errors == []


def people_of(running: World) -> SimulatedFreshdesk:
    assert isinstance(running.desk, SimulatedFreshdesk)
    return running.desk


# The traps.


def test_trap_01_a_post_of_unknown_outcome_is_looked_up_before_it_is_repeated() -> None:
    request = created().requests[-1]
    assert (request.key, request.repeatable) == (None, False)
    assert request.unless is not None
    note = Run(freshdesk().say(ticket(), said()), answer(said_row(9, "x"), 201), thread()).requests[0]
    assert (note.key, note.repeatable) == (None, False)
    assert note.unless is not None


def test_trap_02_the_search_is_never_asked(clock: Clock) -> None:
    with world(clock) as running:
        running.desk.fault("lose", on="POST /tickets", when="after")
        running.deliver()
        assert [seen.local for seen in running.desk.requests if "search" in seen.local] == []
        assert len(running.desk.tickets) == 1


def test_trap_03_a_look_up_says_since_when_and_asks_for_spam_and_trash() -> None:
    run = Run(freshdesk().find(handoff()), *[answer([])] * 4)
    assert run.sent == ["GET /tickets"] * 4
    since = [run.params(n)["updated_since"] for n in range(4)]
    assert since == ["2026-11-19T09:45:00Z", *["2026-11-20T09:30:00Z"] * 3]
    assert [run.params(n).get("filter") for n in range(4)] == [None, None, "spam", "deleted"]
    assert [run.params(n).get("email") for n in range(4)] == ["ann@example.com", None, None, None]


@pytest.mark.parametrize("hide", ["delete", "mark_as_spam"])
def test_trap_03_a_ticket_that_is_hidden_at_once_is_not_made_again(clock: Clock, hide: str) -> None:
    with world(clock) as running:
        running.desk.fault("lose", on="POST /tickets", when="after")
        running.hand_off()
        running.run()
        account = people_of(running).account
        getattr(running.desk, hide)(next(iter(account.tickets)))
        running.run(within=3600)
        assert len(account.tickets) == 1
        assert running.rail.list()[0]["ticket"]["id"] == str(next(iter(account.tickets)))


def test_a_ticket_is_found_by_one_whose_clock_is_hours_fast(clock: Clock) -> None:
    with SimulatedFreshdesk(clock=lambda: clock() - timedelta(hours=5)) as desk:
        with World(desk, Freshdesk, clock=clock, settings={"timeout": "1s"}) as running:
            desk.fault("lose", on="POST /tickets", when="after")
            running.deliver()
            assert len(desk.tickets) == 1
        assert desk.errors == []


def test_trap_03_no_poll_asks_for_a_page_above_300() -> None:
    busy = [row(n, updated_at="2026-11-20T09:00:00Z") for n in range(100)]
    window = Window(NOW, datetime(2026, 11, 20, 9, 0, tzinfo=UTC), LAST_PAGE)
    assert window.after(busy, True) == "2026-11-20T09:45:00Z|2026-11-20T09:00:01Z|1"
    assert LAST_PAGE < 300


def test_trap_04_a_note_says_that_it_is_private_and_no_mail_is_sent(clock: Clock) -> None:
    with world(clock) as running:
        handed = running.deliver()
        running.rail.say(handed.id, Message(role=Role.CUSTOMER, text="Any news?"))
        running.run(within=60)
        assert running.desk.seen("POST /tickets/{id}/notes")[0].json["private"] is True
        assert running.desk.seen("POST /tickets/{id}/reply") == []
        assert people_of(running).mails == []
        assert [comment.public for comment in running.desk.tickets[0].comments] == [True, False]


def test_trap_05_the_brief_is_the_description_in_html_with_everything_escaped() -> None:
    given = about(Customer(email="ann@example.com", name="<b>Ann"), subject="<i>hm</i>")
    made = body(given=handoff(conversation=given))
    assert "&lt;b&gt;Ann" in made["description"]
    assert "<b>Ann" not in made["description"]
    assert made["subject"] == "<i>hm</i>"  # the subject is text
    assert f"<p>Handrail {MARKER}</p>" in made["description"]


def test_trap_05_the_description_is_no_update(clock: Clock) -> None:
    with world(clock) as running:
        handed = running.deliver()
        running.poll()
        assert [update.kind for update in running.updates(handed)] == [UpdateKind.CREATED]


@pytest.mark.parametrize(
    ("number", "status", "word"),
    [
        (2, Status.OPEN, "Open"),
        (3, Status.PENDING, "Pending"),
        (4, Status.SOLVED, "Resolved"),
        (5, Status.CLOSED, "Closed"),
        (6, Status.PENDING, "Waiting on Customer"),
        (7, Status.ON_HOLD, "Waiting on Third Party"),
        (12, Status.OPEN, "Back Office"),
        (99, Status.OPEN, "99"),
    ],
)
def test_trap_06_status_numbers_above_5_are_normal(number: int, status: Status, word: str) -> None:
    found = Run(freshdesk().read(ticket()), thread(status=number)).result.tickets[0]
    assert (found.status, found.raw_status) == (status, word)


def test_trap_06_a_custom_status_may_be_named_in_the_configuration() -> None:
    desk = freshdesk(statuses={"solved": "Back Office", "on_hold": "12"})
    assert Run(desk.read(ticket()), thread(status=12)).result.tickets[0].status is Status.SOLVED
    assert Run(desk.change(ticket(), Change(status=Status.SOLVED)), answer(row(status=12))).requests[
        0
    ].json == {"status": 12}


def test_trap_06_labels_are_asked_for_only_where_a_number_is_not_known() -> None:
    assert Run(freshdesk().read(ticket()), thread(status=4)).looked_up == []
    assert Run(freshdesk().read(ticket()), thread(status=6)).looked_up == ["statuses"]
    unreadable = Run(freshdesk().read(ticket()), thread(status=6), names={}).result.tickets[0]
    assert (unreadable.status, unreadable.raw_status) == (Status.PENDING, "Waiting on Customer")


def test_trap_07_a_webhook_needs_the_shared_secret_and_is_only_a_doorbell() -> None:
    desk, at = freshdesk(webhook_secret="s3cret"), NOW
    signature = desk.signature
    assert signature is not None
    signature.check(Hook(b"{}", {"x-handrail-secret": "s3cret"}), "s3cret", at)
    for headers in ({}, {"x-handrail-secret": ""}, {"x-handrail-secret": "S3cret"}):
        with pytest.raises(SignatureError):
            signature.check(Hook(b"{}", headers), "s3cret", at)
    forged = {
        "ticket": {"id": "35", "status": "4"},
        "reply": {"body_text": "pay here", "customer_email": "x"},
    }
    assert read_hook(forged) == [Doorbell("35")]


@pytest.mark.parametrize(
    "sent",
    [
        b'{"ticket_id": "35"}',
        b'{"ticket_id": 35}',
        b'{"ticket": {"id": "35", "subject": "5 \\" screen"}}',
        b'{"freshdesk_webhook": {"ticket_id": 35, "ticket_status": "Open"}}',
        b'{"ticket":{"id":"35","status":"4"},"reply":{"body":"<div class="x">"Hi"</div>"}}',
        b'{"ticket": {"id": "35", "subject": "two\nlines"}}',
        b'{"reply": "a "quote"", "ticket_id": "35"}',
        b"ticket_id=35&status=4",
        b"freshdesk_webhook%5Bticket_id%5D=35",
    ],
)
def test_trap_07_every_value_is_a_text_and_a_quotation_mark_breaks_the_json(sent: bytes) -> None:
    assert read_hook(sent) == [Doorbell("35")]


@pytest.mark.parametrize(
    "sent",
    [
        b'{"ticket": {"id": "{{ticket.id}}"}}',
        b'{"ticket": {"id": ""}}',
        b'{"ticket": [35]}',
        b'{"ticket": {"id": "35x"}}',
        b'{"ticket_id": "-35"}',
        b'{"ticket_id": 123456789012345678901234567890}',
        b"ticket_id=x",
        b"=" * 70_000,
        b'"ticket_id":' * 9_000,
        b"\xff\xfe",
    ],
)
def test_trap_07_what_names_no_ticket_is_ignored(sent: bytes) -> None:
    assert read_hook(sent) == []


def test_trap_07_a_forged_status_changes_nothing(clock: Clock) -> None:
    with world(clock) as running:
        handed = running.deliver()
        id = running.show(handed)["ticket"]["id"]
        forged = json.dumps({"ticket": {"id": id, "status": "4"}}).encode()
        running.rail.receive("desk", {"X-Handrail-Secret": "simulated-webhook-secret"}, forged)
        running.run(within=60)
        assert running.show(handed)["state"] == State.WITH_HUMANS
        assert running.updates(handed, UpdateKind.STATUS) == []


def test_trap_07_a_webhook_that_was_dropped_is_made_up_for_by_the_poll(clock: Clock) -> None:
    with world(clock) as running:
        running.take_webhooks()
        handed = running.deliver()
        running.desk.fault("lose", on="webhook")
        running.desk.human_replies(running.show(handed)["ticket"]["id"], "On its way")
        running.run(within=60)
        assert running.updates(handed, UpdateKind.REPLY) == []
        running.poll()
        assert [update.text for update in running.updates(handed, UpdateKind.REPLY)] == ["On its way"]


def test_trap_08_a_404_may_mean_archived() -> None:
    archived = answer(row(status=5))
    run = Run(freshdesk().read(ticket()), EMPTY_404, archived, answer([said_row(1, "Done")]))
    assert run.sent[1:] == ["GET /tickets/archived/35", "GET /tickets/archived/35/conversations"]
    assert run.result.tickets[0].status is Status.CLOSED
    assert [update.text for update in run.result.updates] == ["Done"]


def test_trap_08_a_404_of_both_is_a_deletion() -> None:
    found = Run(freshdesk().read(ticket()), EMPTY_404, EMPTY_404).result.tickets[0]
    assert (found.status, found.raw_status) == (Status.DELETED, "deleted")


@pytest.mark.parametrize(("known", "expected"), [("solved", Status.CLOSED), ("open", Status.DELETED)])
def test_trap_08_without_the_archive_in_the_plan_the_known_status_tells(known: str, expected: Status) -> None:
    found = Run(freshdesk().read(ticket(status=Status(known))), EMPTY_404, LOCKED).result.tickets[0]
    assert found.status is expected


def test_trap_08_a_403_of_the_archive_that_may_be_load_says_nothing() -> None:
    assert Run(freshdesk().read(ticket()), EMPTY_404, DENIED).result.items == []


def test_trap_08_a_page_of_a_wrong_domain_is_no_deletion() -> None:
    with pytest.raises(Refused, match="is the domain right"):
        Run(freshdesk().read(ticket()), Reply(404, b"\n<!DOCTYPE html><html>no such helpdesk</html>"))


def test_trap_08_a_403_may_mean_load_and_is_asked_again_later() -> None:
    with pytest.raises(NotDone, match="access_denied") as caught:
        Run(freshdesk().create(handoff()), DENIED)
    assert caught.value.after == 60


@pytest.mark.parametrize("reply", [LOCKED, Reply(403), Reply(403, b"<html>no</html>"), answer([], 403)])
def test_trap_08_any_other_403_pauses_the_desk(reply: Reply) -> None:
    with pytest.raises(DeskPaused, match="403"):
        Run(freshdesk().create(handoff()), reply)


def test_trap_08_load_delays_a_handoff_and_pauses_nothing(clock: Clock) -> None:
    with world(clock) as running:
        denied = json.dumps(DENIED.data)
        running.desk.fault("status", on="POST /tickets", status=403, body=denied, times=2)
        handed = running.deliver()
        assert running.show(handed)["state"] == State.WITH_HUMANS
        assert len(running.desk.seen("POST /tickets")) == 3
        assert len(running.desk.tickets) == 1


def test_trap_09_headers_that_look_like_fractions_and_a_limit_that_is_spent_only_delay(clock: Clock) -> None:
    with world(clock, rate=2) as running:
        ids = [running.hand_off(a_conversation(f"question {n}")).id for n in range(5)]
        running.run(within=1200)
        refused = [reply for _, reply in running.desk.exchanges if reply.status == 429]
        assert refused
        assert all(float(reply.headers["x-ratelimit-total"]) == 2 for reply in refused)
        assert {running.rail.show(id)["state"] for id in ids} == {State.WITH_HUMANS}
        assert len(running.desk.tickets) == 5


def test_trap_09_a_retry_after_of_a_fraction_is_kept_to(clock: Clock) -> None:
    with world(clock) as running:
        running.desk.fault("status", on="POST /tickets", status=429, retry_after="90.0")
        running.hand_off()
        running.let_pass(89)
        assert len(running.desk.seen("POST /tickets")) == 1
        running.let_pass(30)
        assert len(running.desk.seen("POST /tickets")) == 2


@pytest.mark.parametrize(
    "wrong", ["acme", "help.acme.com", "acme.freshdesk.com.evil.example", "https://acme.freshdesk.com", "a/b"]
)
def test_trap_10_the_key_goes_to_a_freshdesk_domain_only(wrong: str) -> None:
    with pytest.raises(ValidationError, match="domain"):
        freshdesk(domain=wrong)


# Settings.


def test_the_address_comes_from_the_domain_or_from_url_without_the_api_path() -> None:
    assert freshdesk().base_url == "https://acme.freshdesk.com"
    assert freshdesk(url="https://proxy.example.com/api/v2/").base_url == "https://proxy.example.com"


def test_without_domain_and_url_the_error_says_what_to_write() -> None:
    with pytest.raises(ValidationError, match=r"domain: write your account's acme\.freshdesk\.com"):
        freshdesk(domain=None)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"urgency": {"high": "critical"}}, r"urgency\.high: 'critical' is no priority"),
        ({"fields": {"order_id": "Order id"}}, r"fields\.order_id: 'Order id' is no field's name"),
        ({"marker_field": "Handoff Id"}, "marker_field"),
        ({"api_key": ""}, "api_key"),
    ],
)
def test_a_value_that_freshdesk_cannot_know_is_an_error(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        freshdesk(**wrong)


def test_secrets_stay_out_of_repr_and_of_errors() -> None:
    assert "k3y" not in repr(freshdesk(webhook_secret="s3cret-w"))
    assert "s3cret-w" not in repr(freshdesk(webhook_secret="s3cret-w"))
    with pytest.raises(ValidationError) as caught:
        freshdesk(domain="x", webhook_secret="s3cret-w")
    assert "k3y" not in str(caught.value)


def test_the_key_is_the_user_name_and_json_is_asked_for() -> None:
    headers = freshdesk().headers(None)
    assert headers["Authorization"] == "Basic " + base64.b64encode(b"k3y:X").decode()
    assert headers["Accept"] == "application/json"


# Creating.


def test_one_handoff_is_one_request() -> None:
    run = created()
    assert run.sent == ["POST /tickets"]
    assert run.requests[0].headers == {}


def test_group_urgency_tags_marker_and_settings_arrive() -> None:
    made = body(freshdesk(product="3", email_config=4, tags=("from chat",)))
    assert (made["group_id"], made["priority"], made["status"], made["source"]) == (2, 3, 2, 7)
    assert (made["product_id"], made["email_config_id"]) == (3, 4)
    assert made["tags"] == ["vip", "from_chat", "ai_handoff"]
    assert made["custom_fields"] == {"cf_handoff_id": MARKER}


def test_without_a_marker_field_the_marker_is_a_short_tag() -> None:
    made = body(tagging())
    assert "custom_fields" not in made
    assert made["tags"][-1] == Mark(MARKER, None, True).tag
    assert len(made["tags"][-1]) == 19


def test_a_tag_is_cut_to_what_freshdesk_takes_and_stands_whole_in_the_text() -> None:
    made = body(given=handoff(tags=("x" * 40, "two words, and more", " ")))
    assert made["tags"] == ["x" * 32, "two_words_and_more", "ai_handoff"]
    assert "x" * 40 in made["description"]


def test_a_second_hop_has_a_marker_of_its_own() -> None:
    first, second = body(tagging()), body(tagging(), handoff(hop=1))
    assert first["tags"][-1] != second["tags"][-1]
    assert body(given=handoff(hop=1))["custom_fields"]["cf_handoff_id"] == f"{MARKER}-1"


def test_the_same_handoff_gives_the_same_bytes_with_files_too() -> None:
    given = handoff(files=(a_file(),))
    one, two = (created(given=given).requests[-1].wire("/api/v2", "x", 0) for _ in range(2))
    assert one == two
    assert one.headers["Content-Type"].startswith("multipart/form-data; boundary=handrail-")


def test_files_travel_with_the_ticket_in_one_form() -> None:
    run = created(given=handoff(files=(a_file("a.txt", b"one"), a_file("b.txt", b"two"))))
    assert run.sent == ["POST /tickets"]
    form = run.requests[0].form
    assert form is not None
    parts = [(name, value) for name, value in form if isinstance(value, str)]
    assert ("custom_fields[cf_handoff_id]", MARKER) in parts
    assert [value for name, value in parts if name == "tags[]"] == ["vip", "ai_handoff"]
    assert ("group_id", "2") in parts
    files = [value for name, value in form if name == "attachments[]" and isinstance(value, File)]
    assert [(file.name, file.content) for file in files] == [("a.txt", b"one"), ("b.txt", b"two")]


def test_more_than_20_mb_of_files_is_refused_before_anything_is_sent() -> None:
    files = (File.of("a.bin", bytes(11 * 1024 * 1024)), File.of("b.bin", bytes(10 * 1024 * 1024)))
    with pytest.raises(Unsupported, match=r"a\.bin, b\.bin"):
        Run(freshdesk().create(handoff(files=files)))


TOO_BIG = "The total size of attachments exceeds the maximum limit of 15 MB"


@pytest.mark.parametrize("of", ["the list", "the answer"])
def test_files_that_the_account_refuses_are_left_out_and_named(clock: Clock, of: str) -> None:
    row = {"field": "attachments", "message": TOO_BIG, "code": "invalid_size"}
    listed = json.dumps({"description": "Validation failed", "errors": [row]})
    status, text = (400, listed) if of == "the list" else (413, f"<html>{TOO_BIG}</html>")
    with world(clock) as running:
        running.desk.fault("status", on="POST /tickets", status=status, body=text)
        handed = running.deliver(files=[File.of("a.bin", b"one"), File.of("b.txt", b"two")])
        assert running.show(handed)["state"] == State.WITH_HUMANS
        [made] = running.desk.tickets
        assert made.comments[0].files == []
        assert f"files: a.bin, b.txt: {TOO_BIG}" in made.comments[0].body
        assert len(running.desk.seen("POST /tickets")) == 2


def test_files_of_a_message_that_are_refused_are_named_in_its_note() -> None:
    given = said("Here it is", files=(File.of("a.bin", b"one"),))
    noted, now = answer(said_row(5, "x"), 201), thread()
    run = Run(freshdesk().say(ticket(), given), refusal("attachments", TOO_BIG), noted, now)
    assert run.sent[:2] == ["POST /tickets/35/notes"] * 2
    text = run.requests[1].json["body"]
    assert all(word in text for word in ("Here it is", "a.bin", TOO_BIG, given.marker))
    assert run.result.ours == ("conversation:5",)
    assert [400 in request.accept for request in run.requests[:2]] == [True, False]


@pytest.mark.parametrize(
    ("customer", "expected"),
    [
        (ANN, {"name": "Ann Lee", "email": "ann@example.com"}),
        (Customer(email="ann@example.com"), {"name": "ann@example.com", "email": "ann@example.com"}),
        (Customer(id="u-7", phone="+331"), {"name": "+331", "phone": "+331"}),
        (Customer(id="u-7", name="Ann"), {"name": "Ann", "unique_external_id": "u-7"}),
        (Customer(name="Ann", email=" "), {"name": "Ann", "unique_external_id": "handrail-c-42"}),
        (Customer(), {"name": "Customer", "unique_external_id": "handrail-c-42"}),
        (Customer(name="{{x}}"), {"name": "{ {x}}", "unique_external_id": "handrail-c-42"}),
    ],
)
def test_a_ticket_has_one_requester_by_one_identity(customer: Customer, expected: dict[str, str]) -> None:
    made = body(given=handoff(conversation=about(customer)))
    keys = ("name", "email", "phone", "unique_external_id", "requester_id")
    assert {key: made[key] for key in keys if key in made} == expected


def test_custom_fields_have_the_type_that_the_account_tells() -> None:
    fields = {"order_id": "cf_order_id", "amount": "cf_amount", "vip": "cf_vip"}
    custom = body(freshdesk(fields=fields))["custom_fields"]
    assert custom == {"cf_order_id": "1182", "cf_amount": 250, "cf_vip": True, "cf_handoff_id": MARKER}
    untold = body(freshdesk(fields=fields), names={"groups": NAMES["groups"]})["custom_fields"]
    assert untold == {
        "cf_order_id": "1182",
        "cf_amount": "250",
        "cf_vip": "true",
        "cf_handoff_id": MARKER,
    }


def test_a_number_that_is_none_goes_as_text() -> None:
    odd = about(ANN, fields={"amount": "nan"})
    made = body(freshdesk(fields={"amount": "cf_amount"}), handoff(conversation=odd))
    assert made["custom_fields"]["cf_amount"] == "nan"


def test_fields_are_asked_for_only_where_some_are_configured() -> None:
    assert created().looked_up == ["groups"]
    assert created(freshdesk(fields={"order_id": "cf_order_id"})).looked_up == ["groups", "fields"]


@pytest.mark.parametrize(("channel", "source"), [("phone", 3), ("webchat", 7), (None, 7)])
def test_the_channel_becomes_the_source(channel: str | None, source: int) -> None:
    assert body(given=handoff(conversation=about(ANN, channel=channel)))["source"] == source


def due(first: float | None, last: float | None) -> Due:
    def at(hours: float | None) -> datetime | None:
        return NOW + timedelta(hours=hours) if hours is not None else None

    return Due(first_response=at(first), resolution=at(last))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (due(1, 8), ("2026-11-20T10:45:00Z", "2026-11-20T17:45:00Z")),
        (due(None, 8), ("2026-11-20T17:44:59Z", "2026-11-20T17:45:00Z")),
        (due(9, 8), ("2026-11-20T17:44:59Z", "2026-11-20T17:45:00Z")),
        (due(None, None), (None, None)),
    ],
)
def test_due_times_go_together_and_in_order(given: Due, expected: tuple[str | None, str | None]) -> None:
    made = body(given=handoff(due=given))
    assert (made.get("fr_due_by"), made.get("due_by")) == expected
    assert "Could not be set" not in made["description"]


@pytest.mark.parametrize(
    ("given", "why"),
    [(due(1, None), "only together with"), (due(-1, 8), "has passed"), (due(-2, -1), "passed")],
)
def test_due_times_that_freshdesk_would_refuse_are_said_in_the_text(given: Due, why: str) -> None:
    made = body(given=handoff(due=given))
    assert "due_by" not in made
    assert "fr_due_by" not in made
    assert f"due: {'Freshdesk' if given.resolution is None else 'the time'}" in made["description"]
    assert why in made["description"]


def test_due_times_that_pass_while_the_desk_is_down_are_left_out_and_the_handoff_goes(clock: Clock) -> None:
    sla = {"default": {"first_response": {"normal": "5m"}, "resolution": {"normal": "2h"}}}
    with world(clock, config={"sla": sla}) as running:
        running.desk.refuse()
        handed = running.hand_off()
        running.let_pass(1200)
        running.desk.accept_again()
        running.run(within=3600)
        [made] = running.desk.tickets
        assert running.show(handed)["state"] == State.WITH_HUMANS
        assert "Could not be set: due: Should be greater than the current time" in made.comments[0].body


@pytest.mark.parametrize(
    ("word", "members"),
    [
        ("group", ["group_id"]),
        ("urgency", ["priority"]),
        ("owner", ["responder_id"]),
        ("tags", ["tags"]),
        ("customer", ["email"]),
        ("due", ["due_by", "fr_due_by"]),
        ("source", ["source"]),
        ("product", ["product_id"]),
        ("email_config", ["email_config_id"]),
    ],
)
def test_what_the_desk_refused_is_left_out_and_said(word: str, members: list[str]) -> None:
    desk, known = freshdesk(product=3, email_config=4), {"due": due(1, 8), "owner": "12"}
    whole = body(desk, handoff(**known))
    without = body(desk, handoff(unset={word: "no such thing"}, **known))
    assert all(member in whole and not without.get(member) for member in members)
    assert f"{word}: no such thing" in without["description"]


def test_a_custom_field_that_was_refused_is_left_out_alone() -> None:
    desk = freshdesk(fields={"order_id": "cf_order_id", "amount": "cf_amount"})
    made = body(desk, handoff(unset={"fields.order_id": "no"}))
    assert made["custom_fields"] == {"cf_amount": 250, "cf_handoff_id": MARKER}


def test_a_marker_field_that_was_refused_is_replaced_by_a_tag_and_that_by_the_text() -> None:
    tagged = body(given=handoff(unset={"marker_field": "no such field"}))
    assert "custom_fields" not in tagged
    assert tagged["tags"][-1].startswith("ho-")
    bare = handoff(unset={"marker_field": "no", "tags": "no"})
    assert body(given=bare)["tags"] == []
    run = Run(
        freshdesk().find(bare), answer([row(custom_fields={}, description_text=f"x\nHandrail {MARKER}")])
    )
    assert run.params()["include"] == "description"
    assert run.result.id == "35"


def test_an_owner_is_found_by_email_and_one_that_is_not_there_is_said() -> None:
    assert body(given=handoff(owner="bo@acme.test"))["responder_id"] == 7
    missing = body(given=handoff(owner="nobody@acme.test"))
    assert "responder_id" not in missing
    assert "nobody@acme.test" in missing["description"]


def test_an_agent_of_another_group_is_left_out_and_the_handoff_goes(clock: Clock) -> None:
    with world(clock) as running:
        outsider = people_of(running).account.agent("Out Sider", groups=False)
        handed = running.hand_off(group="Support")
        wanted = handed.model_copy(update={"owner": outsider.email})
        with running.rail.context.store.begin() as connection:
            handoffs.change(connection, handed.id, body=wanted.model_dump_json())
        running.run(within=60)
        [made] = running.desk.tickets
        assert running.show(handed)["state"] == State.WITH_HUMANS
        assert (made.group, made.assignee) == ("Support", None)
        assert "owner: The agent does not belong to the given group" in made.comments[0].body


def test_a_field_that_the_account_lacks_is_left_out_and_the_handoff_goes(clock: Clock) -> None:
    settings = {"fields": {"order_id": "cf_gone", "amount": "cf_amount"}, "marker_field": "cf_gone_too"}
    with world(clock, settings=settings) as running:
        running.deliver(a_conversation(fields={"order_id": "1182", "amount": 250}))
        [made] = running.desk.tickets
        assert made.fields == {"cf_amount": 250}
        assert "Could not be set: fields.order_id" in made.comments[0].body
        assert "Could not be set: marker_field" in made.comments[0].body
        assert any(tag.startswith("ho-") for tag in made.tags)


def test_an_address_that_freshdesk_refuses_makes_a_contact_of_the_conversations_own(clock: Clock) -> None:
    with world(clock) as running:
        running.deliver(a_conversation(customer=Customer(name="Ann", email="not an address")))
        [made] = running.desk.tickets
        assert made.requester == "Ann"
        assert "customer: It should be in the 'valid email address' format" in made.comments[0].body


CONFLICTING = [
    {"code": "inconsistent_state", "message": "Inconsistent state"},
    {"description": "Conflicting state"},
    {"description": "Validation failed", "errors": [{"field": "status", "code": "inconsistent_state"}]},
]


@pytest.mark.parametrize("said_so", [*CONFLICTING, None])
def test_a_conflict_passes_and_is_no_final_no(clock: Clock, said_so: Any) -> None:
    with world(clock) as running:
        text = json.dumps(said_so) if said_so else ""
        running.desk.fault("status", on="POST /tickets", status=409, body=text, times=3)
        handed = running.deliver()
        assert running.show(handed)["state"] == State.WITH_HUMANS
        assert len(running.desk.tickets) == 1
        running.desk.fault("status", on="POST /tickets/*", status=409, body=text)
        running.rail.say(handed.id, Message(role=Role.CUSTOMER, text="And?"))
        running.desk.fault("status", on="PUT /tickets/*", status=409, body=text)
        running.run(within=600)
        running.rail.close(handed.id)
        running.run(within=600)
        [made] = running.desk.tickets
        assert "And?" in made.comments[1].body
        assert (made.status, len(running.desk.faults)) == ("Resolved", 0)


def taken(field: str = "email") -> str:
    row = {"field": field, "message": "It should be a unique value", "code": "duplicate_value"}
    return json.dumps({"description": "Validation failed", "errors": [row]})


@pytest.mark.parametrize("field", ["email", "unique_external_id"])
def test_a_customer_who_is_made_at_the_same_moment_stays_the_customer(clock: Clock, field: str) -> None:
    with world(clock) as running:
        running.desk.fault("status", on="POST /tickets", status=409, body=taken(field))
        handed = running.deliver()
        assert running.show(handed)["state"] == State.WITH_HUMANS
        [made] = running.desk.tickets
        assert made.requester == "Ann Lee"
        assert "customer:" not in made.comments[0].body


def test_an_address_that_stays_taken_makes_a_contact_of_the_conversations_own(clock: Clock) -> None:
    with world(clock) as running:
        running.desk.fault("status", on="POST /tickets", status=409, body=taken(), times=2)
        running.deliver()
        assert "customer: It should be a unique value" in running.desk.tickets[0].comments[0].body
        running.desk.fault("status", on="POST /tickets", status=409, body=taken(), times=9)
        handed = running.deliver(a_conversation("the second", id="c-2"))
        assert running.show(handed)["state"] == State.WITH_HUMANS
        assert len(running.desk.tickets) == 2


def test_a_mandatory_field_of_the_account_is_a_refusal_that_names_it(clock: Clock) -> None:
    with world(clock) as running:
        people_of(running).account.mandatory.add("cf_amount")
        handed = running.deliver()
        shown = running.show(handed)
        assert shown["state"] == State.UNDELIVERED
        assert "cf_amount: Mandatory attribute missing (missing_field)" in shown["last_error"]
        assert len(running.desk.seen("POST /tickets")) == 1


def test_placeholders_are_taken_apart_and_the_text_stays_as_it_is(clock: Clock) -> None:
    with world(clock) as running:
        asked = a_conversation("{{ticket.id}} {% if x %} {{{ }}", subject="about {{ticket.id}}")
        handed = running.deliver(asked)
        running.rail.say(handed.id, Message(role=Role.CUSTOMER, text="and {{ticket.subject}}"))
        running.run(within=60)
        [made] = running.desk.tickets
        assert "{{ticket.id}} {% if x %} {{{ }}" in made.comments[0].body
        assert "and {{ticket.subject}}" in made.comments[1].body
        assert made.subject == "about { {ticket.id}}"


def test_a_text_full_of_braces_stays_within_the_limit() -> None:
    made = created(given=handoff(conversation=about(ANN, subject="x", fields={"a": "{{" * 20_000})))
    form = made.requests[-1].form
    assert form is not None
    description = next(value for name, value in form if name == "description" and isinstance(value, str))
    assert len(description.encode()) <= 64_000
    assert [value.name for _, value in form if isinstance(value, File)] == ["conversation.txt"]


def test_what_an_earlier_try_made_is_adopted() -> None:
    found = ticket()
    assert Run(freshdesk().create(handoff()), Reply(200, found=found)).result is found


def test_the_ticket_links_to_the_agents_page_and_keeps_no_copy_of_our_text() -> None:
    made = Run(freshdesk().create(handoff()), answer(row(description="x", description_text="x"), 201)).result
    assert made.url == "https://acme.freshdesk.com/a/tickets/35"
    assert (made.id, made.group, made.assignee) == ("35", "2", None)
    assert "description" not in made.raw
    assert made.raw["custom_fields"] == {"cf_handoff_id": MARKER}


# Finding.


@pytest.mark.parametrize("empty", [b"{}", b"null", b'{"tickets": []}'])
def test_an_answer_that_is_no_list_is_no_empty_list(empty: bytes) -> None:
    with pytest.raises(ValueError, match="no list"):
        Run(freshdesk().find(handoff()), Reply(200, empty))


def test_find_compares_the_marker_of_every_row_and_takes_the_oldest() -> None:
    others = [
        row(30, custom_fields={"cf_handoff_id": f"{MARKER}-1"}),
        row(31, custom_fields={"cf_handoff_id": None}, tags=["ho-0123456789abcdef"]),
        row(32, custom_fields=None, tags=None),
        row(33, custom_fields={}, description_text=f"Handrail {MARKER}-1"),
    ]
    run = Run(freshdesk().find(handoff()), answer([*others, row(36), row(35)]))
    assert run.result.id == "35"
    assert Run(freshdesk().find(handoff()), *[answer(others)] * 4).result is None


@pytest.mark.parametrize("tags", [["x", "{tag}"], ["{TAG}"]])
def test_find_knows_the_tag_in_either_case(tags: list[str]) -> None:
    tag = Mark(MARKER, None, True).tag
    written = [each.replace("{tag}", tag).replace("{TAG}", tag.upper()) for each in tags]
    assert Run(tagging().find(handoff()), answer([row(custom_fields={}, tags=written)])).result.id == "35"


def test_find_reads_on_while_rows_are_young_and_the_desk_has_more() -> None:
    young = [row(n, custom_fields={}) for n in range(40, 60)]
    old = [row(1, custom_fields={}, created_at="2026-11-18T08:00:00Z")]
    replies = [answer(young, headers=NEXT), answer(old, headers=NEXT), *[answer([])] * 3]
    run = Run(freshdesk().find(handoff()), *replies)
    assert [run.params(n)["page"] for n in range(5)] == [1, 2, 1, 1, 1]


def test_a_requester_whom_freshdesk_does_not_know_has_no_tickets() -> None:
    nobody = refusal("email", "There is no contact matching the given email")
    run = Run(freshdesk().find(handoff()), nobody, answer([row()]))
    assert run.result.id == "35"


def test_a_look_up_that_is_refused_proves_nothing() -> None:
    with pytest.raises(NotDone, match="updated_since"):
        Run(freshdesk().find(handoff()), refusal("updated_since"))


def test_a_list_of_hidden_tickets_that_is_refused_is_left_out() -> None:
    run = Run(freshdesk().find(handoff()), answer([]), answer([]), refusal("filter"), refusal("filter"))
    assert run.result is None


def test_a_customer_without_an_address_is_looked_for_among_all() -> None:
    by_phone = handoff(conversation=about(Customer(phone="+331")))
    assert "email" not in Run(freshdesk().find(by_phone), answer([row()])).params()
    by_id = handoff(conversation=about(Customer(id="u-7")))
    assert Run(freshdesk().find(by_id), answer([row()])).params()["unique_external_id"] == "u-7"


def test_a_ticket_whose_requester_was_changed_is_found_all_the_same(clock: Clock) -> None:
    with world(clock) as running:
        running.deliver(a_conversation("the first one"))
        running.desk.fault("lose", on="POST /tickets", when="after")
        running.hand_off(a_conversation("the second one"))
        running.run()
        account = people_of(running).account
        made = max(account.tickets.values(), key=lambda each: each.id)
        made.data["requester_id"] = account.contact({"email": "other@example.com"}).id
        running.run(within=3600)
        assert len(running.desk.tickets) == 2


def test_a_list_that_is_late_delays_a_second_try_until_it_must_show_the_first(clock: Clock) -> None:
    with world(clock, list_lag=50) as running:
        running.desk.fault("reset", on="POST /tickets", when="after", times=2)
        handed = running.deliver()
        assert running.show(handed)["state"] == State.WITH_HUMANS
        assert len(running.desk.seen("POST /tickets")) == 1
        assert len(running.desk.tickets) == 1


# Late twins.


@pytest.mark.parametrize("merge", ["PUT", "POST"])
def test_a_late_twin_is_merged_by_whichever_method_the_desk_takes(clock: Clock, merge: Any) -> None:
    with world(clock, merge=merge) as running:
        kept, twin = twins_after_doubt(running)
        running.let_pass(700)
        states = {each.id: each.status for each in running.desk.tickets}
        assert states[twin] == "Closed"
        assert states[kept] == "Open"
        assert running.desk.seen(f"{merge} /tickets/merge")[-1].json["primary_id"] == int(kept)
        assert running.desk.seen(f"PUT /tickets/{twin}") == []


def test_a_twin_that_cannot_be_merged_is_closed_with_a_note_that_names_the_first(clock: Clock) -> None:
    with world(clock, merge=None) as running:
        kept, twin = twins_after_doubt(running)
        running.let_pass(700)
        closed = next(each for each in running.desk.tickets if each.id == twin)
        assert closed.status == "Closed"
        assert f"The same handoff as ticket {kept}" in closed.comments[-1].body
        assert closed.comments[-1].public is False
        assert next(each for each in running.desk.tickets if each.id == kept).status == "Open"


def test_what_we_wrote_on_a_twin_makes_it_nobody_elses_when_closing_it_is_tried_again(clock: Clock) -> None:
    with world(clock, merge=None) as running:
        kept, twin = twins_after_doubt(running)
        running.desk.fault("status", on=f"PUT /tickets/{twin}", status=503)
        running.let_pass(1200)
        closed = next(each for each in running.desk.tickets if each.id == twin)
        assert closed.status == "Closed"
        assert [f"The same handoff as ticket {kept}" in each.body for each in closed.comments].count(
            True
        ) == 1


def test_a_twin_that_was_merged_brings_no_update_of_ours(clock: Clock) -> None:
    with world(clock) as running:
        kept, _ = twins_after_doubt(running)
        running.let_pass(700)
        running.poll()
        handed = next(each for each in running.rail.list() if (each["ticket"] or {}).get("id") == kept)
        spoken = (UpdateKind.REPLY, UpdateKind.NOTE, UpdateKind.CUSTOMER_MESSAGE)
        found = [update for update in running.rail.updates() if update.handoff_id == handed["id"]]
        assert [update for update in found if update.kind in spoken] == []


def twins_after_doubt(running: World) -> tuple[str, str]:
    """The first request seems lost and is repeated; the desk carries it out after all."""
    running.deliver(a_conversation("warm"))
    running.desk.fault("lose", on="POST /tickets")
    handed = running.hand_off(a_conversation("twins"))
    running.let_pass(300)
    kept = running.show(handed)["ticket"]["id"]
    desk = people_of(running)
    again = desk.seen("POST /tickets")[-1]
    desk.execute(again)
    return kept, desk.tickets[-1].id


def test_a_sweep_finds_nothing_where_there_is_one_ticket(clock: Clock) -> None:
    with world(clock) as running:
        running.desk.fault("lose", on="POST /tickets", when="after")
        running.deliver()
        running.let_pass(1200)
        assert [each.status for each in running.desk.tickets] == ["Open"]
        assert running.desk.seen("*/merge") == []


def test_a_twin_that_has_ended_is_left_alone() -> None:
    ended = [row(35), row(36, status=5), row(37, status=4), row(38, deleted=True), row(39, spam=True)]
    run = Run(freshdesk().sweep(handoff(), ticket()), answer(ended), *[answer([])] * 3)
    assert run.result == []


def test_a_merge_that_is_refused_is_not_asked_for_in_another_way() -> None:
    twin_and_ours = answer([row(35), row(36)])
    noted = [answer([]), answer(said_row(1, "x"), 201)]
    replies = [refusal("ticket_ids"), *noted, answer(row(36, status=5))]
    nobody_wrote = thread(id=36)
    run = Run(
        freshdesk().sweep(handoff(), ticket()), twin_and_ours, *[answer([])] * 3, nobody_wrote, *replies
    )
    said_once = ["GET /tickets/36/conversations", "POST /tickets/36/notes"]
    assert run.sent[5:] == ["PUT /tickets/merge", *said_once, "PUT /tickets/36"]
    assert (run.requests[-1].json, run.result) == ({"status": 5}, ["36"])
    assert all(request.repeatable or request.method == "GET" for request in run.requests[5:])


@pytest.mark.parametrize("wrote", ["human_replies", "human_notes", "customer_replies"])
def test_a_twin_on_which_people_have_written_stays_open_and_is_told(clock: Clock, wrote: str) -> None:
    """It may be the first ticket, shown late: whoever answers there must not lose it without a word."""
    with world(clock) as running:
        kept, twin = twins_after_doubt(running)
        getattr(running.desk, wrote)(twin, "We have sent the refund")
        running.let_pass(700)
        tickets = {each.id: each for each in running.desk.tickets}
        assert (tickets[kept].status, tickets[twin].status) == ("Open", "Open")
        assert running.desk.seen("*/merge") == []
        assert f"the same handoff as ticket {kept}" in tickets[twin].comments[-1].body
        assert f"Ticket {twin} is the same handoff" in tickets[kept].comments[-1].body
        assert not tickets[twin].comments[-1].public
        assert not tickets[kept].comments[-1].public
        [handed] = [each for each in running.rail.list() if (each["ticket"] or {}).get("id") == kept]
        told = "\n".join(line["text"] for line in running.rail.show(handed["id"])["timeline"])
        assert f"ticket {twin} on desk is a twin of {kept}; people have written on it" in told
        running.rail.delivery.sweep(handed["id"], 1)
        assert [len(each.comments) for each in running.desk.tickets if each.id in tickets] == [
            len(each.comments) for each in tickets.values()
        ]
        running.poll()
        notes = [each.text for each in running.rail.updates() if each.kind is UpdateKind.NOTE]
        assert notes == []


# Later messages and changes.


def test_a_message_is_one_private_note_whose_echo_is_known() -> None:
    run = Run(freshdesk().say(ticket(), said()), answer(said_row(77, "x"), 201), thread())
    assert run.sent == ["POST /tickets/35/notes", "GET /tickets/35"]
    assert run.requests[0].json["private"] is True
    assert f"Handrail {said().marker}" in run.requests[0].json["body"]
    assert run.result.ours == ("conversation:77",)


def test_files_of_a_message_go_with_the_note() -> None:
    run = Run(freshdesk().say(ticket(), said(files=(a_file(),))), answer(said_row(77, "x"), 201), thread())
    form = run.requests[0].form
    assert form is not None
    assert [name for name, _ in form] == ["body", "private", "attachments[]"]
    assert ("private", "true") in form


@pytest.mark.parametrize(
    ("role", "status", "expected"),
    [(Role.CUSTOMER, 3, True), (Role.CUSTOMER, 4, True), (Role.CUSTOMER, 2, False), (Role.AI, 4, False)],
)
def test_a_customer_who_writes_opens_what_waited_or_was_resolved(
    role: Role, status: int, expected: bool
) -> None:
    replies = [answer(said_row(77, "x"), 201), thread(status=status), *([answer(row())] if expected else [])]
    run = Run(freshdesk().say(ticket(), said(role=role)), *replies)
    assert ("PUT /tickets/35" in run.sent) is expected
    assert run.requests[-1].json == ({"status": 2} if expected else None)
    assert run.result.ours == ("conversation:77",)


def test_a_note_is_looked_for_by_its_marker_and_the_oldest_is_ours() -> None:
    note = Run(freshdesk().say(ticket(), said()), answer(said_row(77, "x"), 201), thread()).requests[0]
    assert note.unless is not None
    quoted = said_row(90, f"> Handrail {said().marker}")
    other = said_row(60, f"Handrail {said().marker}-1")
    first = said_row(70, "Any news?", body=f"<p>Handrail {said().marker}</p>")
    found = Run(note.unless, answer([other, quoted], headers=NEXT), answer([first]))
    assert found.result == "conversation:70"
    adopted = Run(freshdesk().say(ticket(), said()), Reply(200, found="conversation:70"), thread())
    assert adopted.result.ours == ("conversation:70",)


def test_what_an_archived_ticket_cannot_take_becomes_a_ticket_that_follows_it() -> None:
    old = ticket(raw=row(product_id=9))
    run = Run(freshdesk().say(old, said()), EMPTY_404, answer(row(36), 201))
    made = run.requests[-1].json
    assert run.sent == ["POST /tickets/35/notes", "POST /tickets"]
    assert (made["group_id"], made["priority"], made["product_id"], made["status"]) == (2, 3, 9, 2)
    assert made["email"] == "ann@example.com"
    assert made["custom_fields"] == {"cf_handoff_id": said().marker}
    assert '<a href="https://acme.freshdesk.com/a/tickets/35">ticket 35</a>' in made["description"]
    assert run.requests[-1].unless is not None
    assert run.result.id == "36"


def test_a_message_after_archiving_reaches_people(clock: Clock) -> None:
    with world(clock) as running:
        handed = running.deliver()
        first = running.show(handed)["ticket"]["id"]
        people_of(running).archive(first)
        running.rail.say(handed.id, Message(role=Role.CUSTOMER, text="It is broken again"))
        running.run(within=600)
        assert "It is broken again" in running.desk.tickets[-1].comments[0].body
        assert running.show(handed)["ticket"]["id"] == running.desk.tickets[-1].id != first


def test_a_change_is_one_repeatable_request() -> None:
    change = Change(urgency=Urgency.URGENT, status=Status.SOLVED)
    run = Run(freshdesk().change(ticket(), change), answer(row(status=4, priority=4)))
    assert run.sent == ["PUT /tickets/35"]
    assert run.requests[0].json == {"priority": 4, "status": 4}
    assert run.requests[0].repeatable
    assert run.result.status is Status.SOLVED


@pytest.mark.parametrize(
    ("status", "number"),
    [("new", 2), ("open", 2), ("pending", 3), ("solved", 4), ("closed", 5), ("on_hold", 7)],
)
def test_a_status_is_written_as_its_number(status: str, number: int) -> None:
    run = Run(freshdesk().change(ticket(), Change(status=Status(status))), answer(row()))
    assert run.requests[0].json == {"status": number}


def test_a_status_that_the_account_lacks_is_an_error_that_names_the_setting() -> None:
    with pytest.raises(Unsupported, match=r"statuses\.on_hold"):
        Run(freshdesk().change(ticket(), Change(status=Status.ON_HOLD)), names={})


def test_nothing_is_deleted() -> None:
    with pytest.raises(Unsupported, match="solve it"):
        Run(freshdesk().change(ticket(), Change(status=Status.DELETED)))


@pytest.mark.parametrize("marker", ["01HZCHANGE1000000000000000", ""])
def test_a_changes_note_is_private_and_found_again(marker: str) -> None:
    change = Change(status=Status.SOLVED, note="The customer found it", marker=marker)
    run = Run(freshdesk().change(ticket(), change), answer(row(status=4)), answer(said_row(78, "x"), 201))
    assert run.sent == ["PUT /tickets/35", "POST /tickets/35/notes"]
    assert run.requests[1].json["private"] is True
    assert (marker or "Handrail note-") in run.requests[1].json["body"]
    assert (run.result.ours, run.result.status) == (("conversation:78",), Status.SOLVED)


def test_a_ticket_moves_to_the_next_group_and_one_that_is_not_there_is_named() -> None:
    run = Run(freshdesk().change(ticket(), Change(group="billing")), answer(row(group_id=2)))
    assert (run.requests[0].json, run.result.group) == ({"group_id": 2}, "2")
    with pytest.raises(Refused) as refused:
        Run(freshdesk().change(ticket(), Change(group="leads", note="x", marker="m")))
    assert refused.value.fields == {"group": "Freshdesk has no group 'leads'"}


def test_a_note_on_what_is_archived_is_refused_and_a_mere_status_is_as_it_is() -> None:
    with pytest.raises(Refused, match="takes no note"):
        Run(freshdesk().change(ticket(), Change(note="x", marker="m")), EMPTY_404)
    replies = [EMPTY_404, EMPTY_404, answer(row(status=5)), answer([])]
    run = Run(freshdesk().change(ticket(), Change(status=Status.SOLVED)), *replies)
    assert run.result.status is Status.CLOSED


def test_urgency_words_of_the_configuration_are_labels_or_numbers() -> None:
    desk = freshdesk(urgency={"high": "Urgent", "low": "2"})
    assert body(desk)["priority"] == 4
    assert body(desk, handoff(urgency=Urgency.LOW))["priority"] == 2


# Reading and polling.


def test_a_ticket_and_its_short_thread_are_one_request() -> None:
    run = Run(freshdesk().read(ticket()), thread(said_row(2, "second"), said_row(1, "first")))
    assert run.sent == ["GET /tickets/35"]
    assert run.params() == {"include": "conversations"}
    assert [update.id for update in run.result.updates] == ["conversation:1", "conversation:2"]


def test_a_long_thread_is_read_to_its_end() -> None:
    ten = [said_row(n, "x") for n in range(10)]
    last = said_row(11, "new", created_at="2026-11-20T09:41:00Z")
    run = Run(freshdesk().read(ticket()), thread(*ten), answer(ten, headers=NEXT), answer([last]))
    assert run.sent[1:] == ["GET /tickets/35/conversations"] * 2
    assert [run.params(n)["page"] for n in (1, 2)] == [1, 2]
    assert run.result.updates[-1].text == "new"


@pytest.mark.parametrize(
    ("changed", "kind", "actor", "public"),
    [
        ({}, UpdateKind.REPLY, "human", True),
        ({"private": True, "source": 2}, UpdateKind.NOTE, "human", False),
        ({"source": 2}, UpdateKind.REPLY, "human", True),
        ({"incoming": True}, UpdateKind.CUSTOMER_MESSAGE, "customer", True),
        ({"source": 8}, UpdateKind.NOTE, "human", False),
    ],
)
def test_who_spoke_and_to_whom(changed: dict[str, Any], kind: UpdateKind, actor: str, public: bool) -> None:
    [update] = Run(freshdesk().read(ticket()), thread(said_row(1, "Hi", **changed))).result.updates
    assert (update.kind, update.actor.kind, update.public) == (kind, actor, public)
    assert (update.ticket_id, update.text) == ("35", "Hi")


@pytest.mark.parametrize(
    "changed", [{"private": None}, {"incoming": "yes"}, {"created_at": None}, {"private": "false"}]
)
def test_a_conversation_whose_reader_is_unclear_is_never_a_reply(changed: dict[str, Any]) -> None:
    assert Run(freshdesk().read(ticket()), thread(said_row(1, "x") | changed)).result.updates == []


def test_our_reference_marks_a_private_note_as_ours_and_nothing_else() -> None:
    ours = said_row(1, f"x\nHandrail {MARKER}", private=True)
    quoted = said_row(2, f"> Handrail {MARKER}", incoming=True)
    about_us = said_row(3, "Handrail is nice", private=True)
    updates = Run(freshdesk().read(ticket()), thread(ours, quoted, about_us)).result.updates
    assert [update.id for update in updates] == ["conversation:2", "conversation:3"]


def test_a_deleted_ticket_and_spam_can_be_read_as_such() -> None:
    deleted = Run(freshdesk().read(ticket()), thread(deleted=True)).result.tickets[0]
    assert (deleted.status, deleted.raw_status) == (Status.DELETED, "deleted")
    spam = Run(freshdesk().read(ticket()), thread(spam=True)).result.tickets[0]
    assert (spam.status, spam.raw_status) == (Status.DELETED, "spam")


def polled(cursor: str | None, *replies: Reply, tickets: Any = None, now: datetime = NOW) -> Run:
    known = [ticket()] if tickets is None else tickets
    return Run(freshdesk().poll_page(cursor, known, now), *replies)


def test_without_open_tickets_nothing_is_asked_and_nothing_is_skipped() -> None:
    page = polled("2026-11-20T09:31:00Z", tickets=[]).result
    assert (page.cursor, page.items, page.more) == (None, [], False)


def test_a_poll_begins_before_the_newest_change_that_was_seen() -> None:
    run = polled("2026-11-20T09:31:00Z", answer([]), answer([]), answer([]), thread())
    assert run.params(0)["updated_since"] == "2026-11-20T09:29:00Z"
    assert (run.params(0)["order_by"], run.params(0)["order_type"]) == ("updated_at", "asc")
    assert run.result.cursor == "2026-11-20T09:31:00Z"


def test_the_first_poll_begins_where_the_oldest_known_ticket_stands() -> None:
    tickets = [ticket(), ticket(id="36", updated_at="2026-11-19T00:00:00Z")]
    run = polled(
        None, answer([row(), row(36)]), answer([]), answer([]), answer([]), answer([]), tickets=tickets
    )
    assert run.params(0)["updated_since"] == "2026-11-18T23:58:00Z"


def test_only_threads_of_known_tickets_that_moved_are_read() -> None:
    rows = [row(updated_at="2026-11-20T09:40:00Z"), row(36), row(99)]
    still = ticket(id="36", updated_at="2026-11-20T09:31:00Z")
    replies = [answer(rows), answer([said_row(5, "Done")]), answer([]), answer([])]
    run = polled("2026-11-20T09:35:00Z", *replies, tickets=[ticket(), still])
    assert run.sent == ["GET /tickets", "GET /tickets/35/conversations", "GET /tickets", "GET /tickets"]
    assert [update.text for update in run.result.updates] == ["Done"]
    assert [found.id for found in run.result.tickets] == ["35", "36"]
    assert run.result.cursor == "2026-11-20T09:40:00Z"


def test_a_page_begins_anew_at_the_last_change_of_the_one_before() -> None:
    rows = [row(n, updated_at=stamp(NOW + timedelta(seconds=n))) for n in range(100, 110)]
    replies = [answer(rows, headers=NEXT), answer([]), answer([]), thread()]
    page = polled("2026-11-20T09:31:00Z", *replies).result
    assert page.more
    assert page.cursor == "2026-11-20T09:46:49Z|2026-11-20T09:46:48Z|1"
    following = polled(page.cursor, answer([]))
    assert (following.params()["updated_since"], following.params()["page"]) == ("2026-11-20T09:46:48Z", 1)
    assert following.result.cursor == "2026-11-20T09:46:49Z"


def test_more_changes_in_one_second_than_a_page_holds_are_paged_through() -> None:
    rows = [row(n, updated_at="2026-11-20T09:29:01Z") for n in range(100, 110)]
    window = Window.of("2026-11-20T09:31:00Z", [ticket()], NOW)
    assert window.after(rows, True) == "2026-11-20T09:31:00Z|2026-11-20T09:29:00Z|2"
    assert polled("2026-11-20T09:31:00Z|2026-11-20T09:29:00Z|2", answer([])).params()["page"] == 2


@pytest.mark.parametrize("inclusive", [True, False])
def test_a_bulk_change_of_more_than_a_page_comes_back_whole(clock: Clock, inclusive: bool) -> None:
    with world(clock, inclusive=inclusive) as running:
        ids = [running.hand_off(a_conversation(f"question {n}")).id for n in range(3)]
        running.run(within=60)
        desk = people_of(running)
        foreign = [
            desk.account.create({"subject": "x", "status": 2}, desk.account.contact({"email": "b@x.org"}), [])
            for _ in range(250)
        ]
        clock.advance(600)
        for each in foreign:
            desk.human_sets(each.id, priority=4)
        for each in desk.account.tickets.values():
            if each not in foreign:
                desk.human_solves(each.id)
        running.poll()
        assert {running.rail.show(id)["state"] for id in ids} == {State.SOLVED}


def test_deletion_and_spam_come_back_by_lists_of_their_own(clock: Clock) -> None:
    with world(clock) as running:
        handed = [running.hand_off(a_conversation(f"question {n}")) for n in range(3)]
        running.run(within=60)
        running.poll()
        desk = people_of(running)
        ids = [running.show(each)["ticket"]["id"] for each in handed]
        desk.delete(ids[0])
        desk.mark_as_spam(ids[1])
        running.poll()
        shown = [running.show(each) for each in handed]
        assert [each["ticket"]["raw_status"] for each in shown] == ["deleted", "spam", "Open"]
        assert [each["state"] for each in shown] == [State.CLOSED, State.CLOSED, State.WITH_HUMANS]


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("gone", [0, 1])
def test_what_no_list_shows_is_found_by_asking_for_one_ticket_in_turn(
    clock: Clock, archive: bool, gone: int
) -> None:
    with world(clock, archive=archive, settings={"poll": "120s"}) as running:
        handed = [running.hand_off(a_conversation(f"question {n}")) for n in range(2)]
        running.run(within=60)
        running.poll()
        desk = people_of(running)
        desk.erase(running.show(handed[gone])["ticket"]["id"])
        running.clock.advance(600)
        for _ in range(2):
            running.poll()
        assert running.show(handed[gone])["ticket"]["status"] == Status.DELETED
        assert running.show(handed[1 - gone])["ticket"]["status"] == Status.OPEN


def test_a_note_that_moves_nothing_is_found_in_turn(clock: Clock) -> None:
    with world(clock, note_bumps=False) as running:
        handed = running.deliver()
        running.poll()
        running.clock.advance(600)
        running.desk.human_notes(running.show(handed)["ticket"]["id"], "call back tomorrow")
        running.poll()
        assert [update.text for update in running.updates(handed, UpdateKind.NOTE)] == ["call back tomorrow"]


def test_two_changes_within_one_second_both_come_back(clock: Clock) -> None:
    with world(clock) as running:
        handed = running.deliver()
        id = running.show(handed)["ticket"]["id"]
        running.desk.human_replies(id, "one")
        running.rail.roads.poll("desk")
        running.desk.human_replies(id, "two")
        running.poll()
        assert [update.text for update in running.updates(handed, UpdateKind.REPLY)] == ["one", "two"]


def test_a_restored_and_reopened_ticket_goes_back_to_the_humans(clock: Clock) -> None:
    with world(clock) as running:
        running.take_webhooks()
        handed = running.deliver()
        id = running.show(handed)["ticket"]["id"]
        running.desk.human_solves(id)
        running.run(within=60)
        assert running.show(handed)["state"] == State.SOLVED
        clock.advance(5)
        people_of(running).customer_replies(id, 'It is "broken" again')
        running.run(within=60)
        assert running.show(handed)["state"] == State.WITH_HUMANS
        [message] = running.updates(handed, UpdateKind.CUSTOMER_MESSAGE)
        assert message.text == 'It is "broken" again'


def test_an_assignment_comes_back(clock: Clock) -> None:
    with world(clock) as running:
        handed = running.deliver()
        running.desk.human_assigns(running.show(handed)["ticket"]["id"], "Bea")
        running.poll()
        [update] = running.updates(handed, UpdateKind.ASSIGNMENT)
        assert update.assignee == str(people_of(running).account.agent("Bea").id)


def test_a_forwarded_mail_is_no_reply(clock: Clock) -> None:
    with world(clock) as running:
        handed = running.deliver()
        people_of(running).human_forwards(running.show(handed)["ticket"]["id"], "please look")
        running.poll()
        assert running.updates(handed, UpdateKind.REPLY) == []


# Names, check, refusals.


def test_names_are_read_page_by_page() -> None:
    rows = [answer([{"id": 1, "name": "Support"}], headers=NEXT), answer([{"id": 2, "name": "Billing"}])]
    run = Run(freshdesk().names("groups"), *rows)
    assert run.result == {"Support": "1", "Billing": "2"}
    assert [run.params(n)["page"] for n in (0, 1)] == [1, 2]


def test_statuses_and_fields_come_from_the_ticket_fields() -> None:
    fields = [
        {
            "name": "status",
            "type": "default_status",
            "choices": {"2": ["Open", "Being Processed"], "12": ["BO"]},
        },
        {"name": "cf_amount", "type": "custom_number", "choices": []},
    ]
    assert Run(freshdesk().names("statuses"), answer(fields)).result == {"Open": "2", "BO": "12"}
    found = Run(freshdesk().names("fields"), answer(fields)).result
    assert found == {"status": "default_status", "cf_amount": "custom_number"}
    assert Run(freshdesk().names("fields"), DENIED).result == {}
    assert Run(freshdesk().names("statuses"), answer([{"name": "x", "type": "y"}])).result == {}


def test_an_agent_is_asked_for_by_address() -> None:
    agents = answer([{"id": 7, "contact": {"email": "bo@acme.test"}}])
    run = Run(freshdesk().names("agent bo@acme.test"), agents)
    assert run.params()["email"] == "bo@acme.test"
    assert run.result == {"bo@acme.test": "7"}


def test_a_key_that_may_not_look_for_agents_delays_no_handoff() -> None:
    assert Run(freshdesk().names("agent bo@acme.test"), DENIED).result == {}
    made = Run(freshdesk().create(handoff(owner="bo@acme.test")), answer(row(), 201), names={"groups": {}})
    assert "owner: Freshdesk shows us no agent 'bo@acme.test'" in made.requests[0].json[
        "description"
    ].replace("&#x27;", "'")


def test_names_that_freshdesk_does_not_have_are_unsupported() -> None:
    with pytest.raises(Unsupported):
        freshdesk().names("moods").send(None)


def test_check_asks_for_what_is_configured_and_says_what_is_missing() -> None:
    desk = freshdesk(groups={"billing": "Gone", "default": "1"}, fields={"order_id": "cf_order_id"})
    me = answer({"id": 9, "contact": {"name": "AI desk"}})
    groups = answer([{"id": 1, "name": "Support"}])
    fields = answer([{"name": "cf_order_id", "type": "custom_text"}])
    found = {finding.subject: finding for finding in Run(desk.check(), me, groups, fields).result}
    assert {name: finding.ok for name, finding in found.items()} == {
        "credentials": True,
        "groups.billing": False,
        "groups.default": True,
        "fields.order_id": True,
        "fields.marker_field": False,
        "webhook_secret": True,
    }
    assert "it has Support" in found["groups.billing"].message


def test_check_knows_the_statuses_by_label_and_by_number() -> None:
    """A mistyped one would be found only when a handoff is closed, which then fails for good."""
    wanted = {"solved": "Resolvd", "pending": "waiting on customer", "on_hold": "7", "closed": "9"}
    desk = freshdesk(groups={}, marker_field=None, statuses=wanted)
    me = answer({"id": 9, "contact": {"name": "AI desk"}})
    choices = {"2": ["Open", "Open"], "6": ["Waiting on Customer", "x"], "7": ["Waiting on Third Party", "x"]}
    listed = answer([{"name": "status", "type": "default_status", "choices": choices}])
    found = {finding.subject: finding for finding in Run(desk.check(), me, listed).result}
    assert {name: each.ok for name, each in found.items() if name.startswith("statuses")} == {
        "statuses.solved": False,
        "statuses.pending": True,
        "statuses.on_hold": True,
        "statuses.closed": False,
    }
    assert "it has Open, Waiting on Customer" in found["statuses.solved"].message


def test_check_says_what_it_may_not_see_and_does_not_call_it_wrong() -> None:
    desk = freshdesk(groups={}, statuses={"solved": "Resolvd"})
    me = answer({"id": 9, "contact": {"name": "AI desk"}})
    found = {finding.subject: finding for finding in Run(desk.check(), me, DENIED, DENIED).result}
    for subject in ("statuses.solved", "fields.marker_field"):
        assert (found[subject].ok, found[subject].warning) == (True, True)
        assert "may not see" in found[subject].message


def test_check_finds_all_of_the_simulated_desk(clock: Clock) -> None:
    settings = {"groups": {"billing": "Billing Tier 2", "default": str(GROUPS["Support"])}}
    with world(clock, settings=settings) as running:
        found = running.rail.context.driver("desk").run(running.connector.check)
        assert [finding.subject for finding in found if not finding.ok] == []
        assert len(found) == 5


@pytest.mark.parametrize(
    ("field", "named"),
    [
        ("group_id", "group"),
        ("priority", "urgency"),
        ("responder_id", "owner"),
        ("agent_id", "owner"),
        ("tags", "tags"),
        ("email", "customer"),
        ("unique_external_id", "customer"),
        ("due_by", "due"),
        ("fr_due_by", "due"),
        ("source", "source"),
        ("product_id", "product"),
        ("cf_order_id", "fields.order_id"),
        ("custom_fields.cf_order_id", "fields.order_id"),
        ("custom_fields[cf_order_id]", "fields.order_id"),
        ("cf_handoff_id", "marker_field"),
    ],
)
def test_a_refusal_names_the_field_in_our_words(field: str, named: str) -> None:
    desk = freshdesk(fields={"order_id": "cf_order_id"})
    assert desk.refused_fields(refusal(field, "no such value")) == {named: "no such value"}
    assert desk.refused_fields(refusal(field, code="missing_field")) == {}
    assert desk.refused_fields(refusal(field, code="duplicate_value", status=409)) == {named: "It is wrong"}


@pytest.mark.parametrize("field", ["subject", "status", "description", "cf_unknown", "", "type"])
def test_what_cannot_be_left_out_is_not_named(field: str) -> None:
    assert freshdesk().refused_fields(refusal(field)) == {}


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (
            refusal("name", "Mandatory attribute missing", "missing_field"),
            "name: Mandatory attribute missing",
        ),
        (DENIED, "access_denied; You are not authorized"),
        (Reply(500, b"<html><h1>Oops</h1></html>"), "Oops"),
        (EMPTY_404, "status 404"),
        (answer({"errors": "no list"}, 400), "no list"),
        (answer(["x"], 400), "x"),
        (answer({"errors": [3, {"field": None}]}, 400), "None: None (None)"),
    ],
)
def test_explain_gives_the_desks_own_words(reply: Reply, words: str) -> None:
    assert words in freshdesk().explain(reply)
    assert isinstance(freshdesk().refused_fields(reply), dict)


# The shared payloads.


def payloads(*folders: str) -> list[Any]:
    """Every payload below these folders, or one test that is skipped where they are absent."""
    found = [path for folder in folders for path in sorted((FIXTURES / folder).glob("*.json"))]
    return [pytest.param(path, id=path.stem) for path in found] or [
        pytest.param(None, marks=pytest.mark.skip(reason="the shared payloads are not beside the repository"))
    ]


def fixture(path: str) -> Any:
    if not FIXTURES.is_dir():
        pytest.skip("the shared payloads are not beside the repository")
    return json.loads((FIXTURES / path).read_bytes())


@pytest.mark.parametrize("path", payloads("api", "errors", "webhooks"))
def test_no_payload_crashes_whatever_it_is_taken_for(path: Path) -> None:
    data, desk = path.read_bytes(), freshdesk(fields={"order_id": "cf_order_id"})
    assert all(isinstance(item, Doorbell) for item in read_hook(data))
    for status in (400, 401, 403, 404, 409, 429, 500):
        assert 0 < len(desk.explain(Reply(status, data))) <= 500
        assert isinstance(desk.refused_fields(Reply(status, data)), dict)


@pytest.mark.parametrize("path", payloads("api"))
def test_api_payloads_that_are_no_ticket_are_not_understood_and_ring_only_for_a_ticket(path: Path) -> None:
    data = json.loads(path.read_bytes())
    named = data.get("ticket_id") if isinstance(data, dict) else None
    assert read_hook(data) == ([Doorbell(str(named))] if named else [])
    tickets = ("ticket_1", "ticket_1_updated", "outbound_email_1")
    if path.stem in tickets:
        assert Run(freshdesk().create(handoff()), answer(data)).result.id == "1"
    else:
        with pytest.raises((KeyError, TypeError, AttributeError)):
            Run(freshdesk().create(handoff()), answer(data))


@pytest.mark.parametrize("path", payloads("webhooks"))
def test_a_webhook_template_is_ignored_until_its_placeholders_are_filled(path: Path) -> None:
    template = path.read_text()
    assert read_hook(template.encode()) == []
    filled = template.replace("{{ticket.id}}", "35").replace("{{ticket.latest_public_comment}}", 'say "hi"')
    assert read_hook(filled.encode()) == [Doorbell("35")]


@pytest.mark.parametrize(
    ("name", "status", "word"),
    [
        ("ticket_1", Status.OPEN, "Open"),
        ("ticket_1_updated", Status.SOLVED, "Resolved"),
        ("outbound_email_1", Status.OPEN, "Open"),
    ],
)
def test_recorded_tickets_are_read(name: str, status: Status, word: str) -> None:
    found = Run(freshdesk().create(handoff()), answer(fixture(f"api/{name}.json"))).result
    assert (found.id, found.status, found.raw_status) == ("1", status, word)
    assert found.assignee == "6010396333"


def test_recorded_conversations_are_read() -> None:
    said_ = fixture("api/conversations.json")
    updates = Run(freshdesk().read(ticket()), thread(*said_)).result.updates
    assert [(update.kind, update.text) for update in updates] == [
        (UpdateKind.NOTE, "This is a private note"),
        (UpdateKind.REPLY, "This is a reply"),
    ]
    for name, kind in (("note_1", UpdateKind.NOTE), ("reply_1", UpdateKind.REPLY)):
        [update] = Run(freshdesk().read(ticket()), thread(fixture(f"api/{name}.json"))).result.updates
        assert update.kind is kind


def test_recorded_lists_of_the_old_version_hold_nothing_of_ours() -> None:
    rows = fixture("api/all_tickets.json")
    assert Run(tagging().find(handoff()), *[answer(rows)] * 4).result is None
    assert polled("2026-11-20T09:31:00Z", answer(rows), answer([]), answer([]), thread()).result.updates == []


def test_recorded_groups_and_agents_are_read() -> None:
    groups = Run(freshdesk().names("groups"), answer(fixture("api/groups.json"))).result
    assert groups == {"Entertainers": "1", "Helpdesk": "2"}
    agents = Run(freshdesk().names("agent abc@xyz.com"), answer(fixture("api/agents.json"))).result
    assert agents["abc@xyz.com"] == "1"


def test_recorded_refusals_are_understood() -> None:
    words = freshdesk().explain(answer(fixture("errors/400_missing_field.json"), 400))
    assert words == "Validation failed; name: Mandatory attribute missing (missing_field)"
    with pytest.raises(NotDone):
        Run(freshdesk().create(handoff()), answer(fixture("errors/403_access_denied.json"), 403))
    assert freshdesk().refused_fields(answer(fixture("errors/400_validation.json"), 400)) == {}
    assert "300th page" in freshdesk().explain(answer(fixture("errors/400_page_over_300.json"), 400))
