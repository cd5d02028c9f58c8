"""The simulated Freshdesk: it keeps to the community's OpenAPI file, and it has the real desk's traps."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import openapi_core.exceptions
import pytest
import requests

from handrail.steps import Reply
from handrail.testing import Clock, World, a_conversation, a_file
from handrail.testing.wire import Seen
from handrail_freshdesk import Freshdesk
from handrail_freshdesk.simulated import FIELDS, GROUPS, SimulatedFreshdesk
from handrail_freshdesk.simulated.records import stamp

Call = Callable[..., requests.Response]
Exchange = tuple[Seen, Reply]

NEW = {"name": "Ann Lee", "email": "ann@example.com", "subject": "Refund", "description": "<p>Please</p>"}
PLAIN = {"status": 2, "priority": 2}


def made(call: Call, **given: Any) -> dict[str, Any]:
    """A new ticket, as the desk answered."""
    reply = call("POST", "/tickets", json=NEW | PLAIN | given)
    assert reply.status_code == 201, reply.text
    return dict(reply.json())


def errors(reply: requests.Response) -> dict[str, str]:
    """The codes of a refusal by field."""
    assert reply.status_code == 400, reply.text
    return {error["field"]: error["code"] for error in reply.json()["errors"]}


def listed(call: Call, **params: Any) -> list[int]:
    reply = call("GET", "/tickets", params=params)
    assert reply.status_code == 200, reply.text
    return [row["id"] for row in reply.json()]


# The contract.


def tour(desk: SimulatedFreshdesk, call: Call, clock: Clock) -> None:
    """Every operation once, and the commonest refusals."""
    custom = {"cf_handoff_id": "h1", "cf_amount": 250}
    due = {"fr_due_by": stamp(clock() + timedelta(hours=1)), "due_by": stamp(clock() + timedelta(hours=8))}
    known = {"group_id": GROUPS["Premium"], "tags": ["ai"], "source": 7, "custom_fields": custom}
    first, second = made(call, **known, **due), made(call)
    id, other = first["id"], second["id"]
    call("PUT", f"/tickets/{id}", json={"status": 6, "priority": 4})
    call("POST", f"/tickets/{id}/notes", json={"body": "<p>hm</p>", "private": True})
    call("POST", f"/tickets/{id}/reply", json={"body": "<p>Done</p>"})
    desk.human_replies(id, "Done")
    desk.human_solves(id, "Bye")
    clock.advance(600)
    call(
        "GET", "/tickets", params={"updated_since": "2020-01-01T00:00:00Z", "per_page": 1, "include": "stats"}
    )
    call("GET", f"/tickets/{id}", params={"include": "conversations,stats"})
    call("GET", f"/tickets/{id}/conversations")
    call("GET", "/search/tickets", params={"query": "\"cf_handoff_id:'h1'\""})
    call("PUT", "/tickets/merge", json={"primary_id": id, "ticket_ids": [other]})
    call("DELETE", f"/tickets/{other}")
    call("PUT", f"/tickets/{other}/restore", json={})
    for path in ("/groups", "/agents", "/contacts", "/ticket_fields"):
        call("GET", path)
    call("POST", "/tickets", json={})
    call("PUT", f"/tickets/{id}", json={"status": 77})
    call("GET", "/tickets/1")
    call("GET", "/tickets", params={"page": 301})


@pytest.fixture(scope="module")
def exchanges() -> dict[str, list[Exchange]]:
    """Every exchange of the tour by operation, such as ``PUT /tickets/{id}``; refusals under ``refused``."""
    clock = Clock()
    with SimulatedFreshdesk(clock=clock) as desk, requests.Session() as session:
        session.auth = ("simulated-api-key", "X")

        def call(method: str, path: str, **more: Any) -> requests.Response:
            return session.request(method, f"{desk.url}/api/v2{path}", timeout=10, **more)

        tour(desk, call, clock)
    found: dict[str, list[Exchange]] = {}
    for seen, reply in desk.exchanges:
        shape = "/".join("{id}" if part.isdigit() else part for part in seen.local.split("/"))
        key = f"{seen.method} {shape}" if reply.status < 400 else "refused"
        found.setdefault(key, []).append((seen, reply))
    assert desk.errors == []
    return found


READS = [
    "POST /tickets",
    "GET /tickets",
    "GET /tickets/{id}",
    "PUT /tickets/{id}",
    "GET /tickets/{id}/conversations",
    "POST /tickets/{id}/notes",
    "POST /tickets/{id}/reply",
    "GET /search/tickets",
    "GET /groups",
    "GET /agents",
    "GET /contacts",
    "GET /ticket_fields",
]
SILENT = ["PUT /tickets/merge", "DELETE /tickets/{id}", "PUT /tickets/{id}/restore"]
OPERATIONS = [*READS, *SILENT]
Wrong = (openapi_core.exceptions.OpenAPIError, AssertionError)


def test_the_tour_visits_every_operation_and_only_those(exchanges: dict[str, list[Exchange]]) -> None:
    assert set(exchanges) == {*OPERATIONS, "refused"}


@pytest.mark.parametrize("operation", [*OPERATIONS, "refused"])
def test_every_answer_is_as_the_file_describes(
    operation: str, exchanges: dict[str, list[Exchange]], checker: Any
) -> None:
    assert exchanges[operation]
    for seen, reply in exchanges[operation]:
        checker.check_reply(seen, reply)


def spoilt(data: Any) -> Any:
    """An answer with its first id as a text."""
    if isinstance(data, dict):
        if isinstance(data.get("id"), int):
            return data | {"id": str(data["id"])}
        return {name: spoilt(value) for name, value in data.items()}
    return [spoilt(value) for value in data] if isinstance(data, list) else data


@pytest.mark.parametrize("operation", READS)
def test_a_broken_answer_is_refused(
    operation: str, exchanges: dict[str, list[Exchange]], checker: Any
) -> None:
    seen, reply = exchanges[operation][0]
    broken = replace(reply, content=json.dumps(spoilt(reply.json)).encode())
    assert broken.json != reply.json
    with pytest.raises(Wrong):
        checker.check_reply(seen, broken)


@pytest.mark.parametrize("operation", SILENT)
def test_a_body_where_none_belongs_is_refused(
    operation: str, exchanges: dict[str, list[Exchange]], checker: Any
) -> None:
    seen, reply = exchanges[operation][0]
    with pytest.raises(Wrong):
        checker.check_reply(seen, replace(reply, content=b"{}"))


@pytest.mark.parametrize("member", ["id", "status", "updated_at", "custom_fields"])
def test_a_ticket_without_an_essential_member_is_refused(
    member: str, exchanges: dict[str, list[Exchange]], checker: Any
) -> None:
    seen, reply = exchanges["POST /tickets"][0]
    less = {name: value for name, value in reply.json.items() if name != member}
    with pytest.raises(Wrong):
        checker.check_reply(seen, replace(reply, content=json.dumps(less).encode()))


def test_a_broken_refusal_is_refused(exchanges: dict[str, list[Exchange]], checker: Any) -> None:
    seen, reply = exchanges["refused"][0]
    for body in ({}, {"error": "no"}, {"description": "Validation failed", "errors": []}):
        with pytest.raises((*Wrong, KeyError)):
            checker.check_reply(seen, replace(reply, content=json.dumps(body).encode()))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_request_of_the_tour_is_as_the_file_describes(
    operation: str, exchanges: dict[str, list[Exchange]], checker: Any
) -> None:
    assert exchanges[operation]
    for seen, _ in exchanges[operation]:
        checker.check_request(seen)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_request_without_credentials_is_refused(
    operation: str, exchanges: dict[str, list[Exchange]], checker: Any
) -> None:
    seen, _ = exchanges[operation][0]
    headers = {name: value for name, value in seen.headers.items() if name != "authorization"}
    with pytest.raises(Wrong):
        checker.check_request(replace(seen, headers=headers))


@pytest.mark.parametrize(
    ("operation", "changed"),
    [
        ("POST /tickets", {"subject": None}),
        ("POST /tickets", {"urgency": "high"}),
        ("POST /tickets", {"priority": 5}),
        ("POST /tickets", {"tags": "ai"}),
        ("PUT /tickets/{id}", {"status": "4"}),
        ("POST /tickets/{id}/notes", {"private": "yes"}),
        ("POST /tickets/{id}/notes", {"visible": True}),
        ("POST /tickets/{id}/reply", {"body": None}),
        ("PUT /tickets/merge", {"ticket_ids": 5}),
    ],
)
def test_a_broken_request_is_refused(
    operation: str, changed: dict[str, Any], exchanges: dict[str, list[Exchange]], checker: Any
) -> None:
    seen, _ = exchanges[operation][0]
    sent = {name: value for name, value in (seen.json | changed).items() if value is not None}
    with pytest.raises(Wrong):
        checker.check_request(replace(seen, body=json.dumps(sent).encode()))


@pytest.mark.parametrize("query", [{"filter": "all"}, {"order_by": "id"}, {"per_page": "101"}, {"page": "0"}])
def test_a_broken_query_is_refused(
    query: dict[str, str], exchanges: dict[str, list[Exchange]], checker: Any
) -> None:
    seen, _ = exchanges["GET /tickets"][0]
    with pytest.raises(Wrong):
        checker.check_request(replace(seen, query=query))


def test_all_that_the_connector_does_is_as_the_file_describes(clock: Clock, checker: Any) -> None:
    with SimulatedFreshdesk(clock=clock) as desk, World(desk, Freshdesk, clock=clock) as world:
        desk.fault("lose", on="POST /tickets", when="after")
        handed = world.hand_off(group="Premium")
        world.let_pass(300)
        desk.execute(desk.seen("POST /tickets")[0])
        world.deliver(a_conversation("with a file"), files=[a_file()])
        desk.human_replies(world.show(handed)["ticket"]["id"], "Done")
        world.poll()
        world.rail.close(handed.id)
        world.run(within=1200)
        world.let_pass(1200)
        known = [(s, r) for s, r in desk.exchanges if "multipart" not in s.headers.get("content-type", "")]
        assert {f"{seen.method} {seen.local.rstrip('0123456789')}" for seen, _ in known} >= {
            "POST /tickets",
            "GET /tickets",
            "PUT /tickets/",
            "PUT /tickets/merge",
            "GET /groups",
        }
        for seen, reply in known:
            checker.check_request(without_extras(seen))
            checker.check_reply(without_extras(seen), reply)


def without_extras(seen: Seen) -> Seen:
    """A merge without what the file does not know of."""
    if not seen.local.endswith("/merge"):
        return seen
    sent = {key: value for key, value in seen.json.items() if key != "convert_recepients_to_cc"}
    return replace(seen, body=json.dumps(sent).encode())


# Credentials, headers, limits.


@pytest.mark.parametrize(("user", "status"), [("simulated-api-key", 200), ("wrong", 401), ("", 401)])
def test_the_api_key_is_the_user_name_and_any_password_will_do(
    desk: SimulatedFreshdesk, user: str, status: int
) -> None:
    reply = requests.get(f"{desk.url}/api/v2/agents/me", auth=(user, "anything"), timeout=10)
    assert reply.status_code == status


def test_another_scheme_is_no_credential(desk: SimulatedFreshdesk) -> None:
    for scheme in ("Bearer simulated-api-key", "Basic x", ""):
        headers = {"Authorization": scheme}
        assert requests.get(f"{desk.url}/api/v2/groups", headers=headers, timeout=10).status_code == 401


def test_accept_and_content_type_are_looked_at(call: Call) -> None:
    assert call("GET", "/groups", headers={"Accept": "text/html"}).status_code == 406
    assert call("GET", "/groups", headers={"Accept": "*/*"}).status_code == 200
    assert call("POST", "/tickets", data="x", headers={"Content-Type": "text/plain"}).status_code == 415
    broken = call("POST", "/tickets", data="{", headers={"Content-Type": "application/json"})
    assert (broken.status_code, broken.json()["code"]) == (400, "invalid_json")


def test_the_limit_counts_every_request_and_its_headers_look_like_fractions(clock: Clock) -> None:
    with SimulatedFreshdesk(clock=clock, rate=2) as desk:
        address = f"{desk.url}/api/v2/groups"
        first = requests.get(address, auth=("wrong", "X"), timeout=10)
        second = requests.get(address, auth=("simulated-api-key", "X"), timeout=10)
        third = requests.get(address, auth=("simulated-api-key", "X"), timeout=10)
        assert [reply.status_code for reply in (first, second, third)] == [401, 200, 429]
        assert second.headers["X-RateLimit-Remaining"] == "0.0"
        assert third.headers["Retry-After"] == "60"
        clock.advance(60)
        assert requests.get(address, auth=("simulated-api-key", "X"), timeout=10).status_code == 200


# Creating.


def test_a_ticket_arrives_with_its_properties(desk: SimulatedFreshdesk, call: Call) -> None:
    custom = {"cf_order_id": "1182", "cf_amount": 250, "cf_vip": True}
    row = made(call, group_id=GROUPS["Premium"], priority=4, tags=["b", "a"], custom_fields=custom)
    [ticket] = desk.tickets
    assert (ticket.subject, ticket.status, ticket.priority, ticket.group) == (
        "Refund",
        "Open",
        "Urgent",
        "Premium",
    )
    assert (ticket.tags, ticket.fields, ticket.requester) == (["b", "a"], custom, "Ann Lee")
    assert ticket.comments[0].body == "Please"
    assert row["description_text"] == "Please"
    assert "deleted" not in row


def test_a_repeated_post_makes_a_second_ticket(desk: SimulatedFreshdesk, call: Call) -> None:
    assert made(call)["id"] != made(call)["id"]
    assert len(desk.tickets) == 2


def test_one_address_is_one_contact(desk: SimulatedFreshdesk, call: Call) -> None:
    first, second = made(call), made(call, email="ANN@example.com")
    assert first["requester_id"] == second["requester_id"]
    assert len(desk.account.people) == 1


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"email": None}, {"email": "missing_field"}),
        ({"email": "not an address"}, {"email": "invalid_value"}),
        ({"email": None, "phone": "+331", "name": None}, {"name": "missing_field"}),
        ({"requester_id": 5, "email": None}, {"requester_id": "invalid_value"}),
        ({"priority": 5}, {"priority": "invalid_value"}),
        ({"priority": "2"}, {"priority": "datatype_mismatch"}),
        ({"status": 77}, {"status": "invalid_value"}),
        ({"source": 15}, {"source": "invalid_value"}),
        ({"group_id": 1}, {"group_id": "invalid_value"}),
        ({"responder_id": 1}, {"responder_id": "invalid_value"}),
        ({"tags": ["x" * 33]}, {"tags": "too_long"}),
        ({"tags": [7]}, {"tags": "datatype_mismatch"}),
        ({"custom_fields": {"cf_gone": "x"}}, {"cf_gone": "invalid_field"}),
        ({"custom_fields": {"cf_amount": "250"}}, {"cf_amount": "datatype_mismatch"}),
        ({"custom_fields": {"cf_order_id": 1182}}, {"cf_order_id": "datatype_mismatch"}),
        ({"urgency": "high"}, {"urgency": "invalid_field"}),
        ({"due_by": "2030-01-01T00:00:00Z"}, {"fr_due_by": "missing_field"}),
        ({"fr_due_by": "2030-01-01T00:00:00Z"}, {"due_by": "missing_field"}),
        (
            {"fr_due_by": "2020-01-01T00:00:00Z", "due_by": "2030-01-01T00:00:00Z"},
            {"fr_due_by": "invalid_value"},
        ),
        (
            {"fr_due_by": "2030-01-02T00:00:00Z", "due_by": "2030-01-01T00:00:00Z"},
            {"fr_due_by": "invalid_value"},
        ),
    ],
)
def test_what_is_wrong_is_named(
    desk: SimulatedFreshdesk, call: Call, given: dict[str, Any], expected: dict[str, str]
) -> None:
    sent = {name: value for name, value in (NEW | PLAIN | given).items() if value is not None}
    found = errors(call("POST", "/tickets", json=sent))
    assert expected.items() <= found.items()
    assert desk.tickets == []


def test_an_agent_is_of_the_group_or_is_refused(desk: SimulatedFreshdesk, call: Call) -> None:
    outsider = desk.account.agent("Out Sider", groups=False).id
    sent = NEW | PLAIN | {"responder_id": outsider}
    refused = call("POST", "/tickets", json=sent | {"group_id": GROUPS["Premium"]})
    assert errors(refused) == {"responder_id": "invalid_value"}
    assert call("POST", "/tickets", json=sent).status_code == 201


def test_a_mandatory_field_is_missed_on_create_only(desk: SimulatedFreshdesk, call: Call) -> None:
    ticket = made(call)
    desk.account.mandatory.add("cf_amount")
    assert errors(call("POST", "/tickets", json=NEW | PLAIN)) == {"cf_amount": "missing_field"}
    assert call("PUT", f"/tickets/{ticket['id']}", json={"priority": 3}).status_code == 200


def test_files_come_in_a_form_whose_values_are_texts(desk: SimulatedFreshdesk, call: Call) -> None:
    fields = [*(NEW | {"status": "2", "priority": "3", "custom_fields[cf_amount]": "250"}).items()]
    fields += [("tags[]", "one"), ("tags[]", "two"), ("group_id", str(GROUPS["Premium"]))]
    files = [("attachments[]", ("a.bin", b"\r\n--x\r\n\x00", "image/png")), ("attachments[]", ("b.txt", b""))]
    reply = call("POST", "/tickets", data=fields, files=files)
    assert reply.status_code == 201, reply.text
    [ticket] = desk.tickets
    assert (ticket.tags, ticket.fields, ticket.group) == (["one", "two"], {"cf_amount": 250}, "Premium")
    assert [(file.name, file.content) for file in ticket.files] == [
        ("a.bin", b"\r\n--x\r\n\x00"),
        ("b.txt", b""),
    ]
    assert [row["size"] for row in reply.json()["attachments"]] == [8, 0]


def test_more_than_20_mb_of_files_is_refused(desk: SimulatedFreshdesk, call: Call) -> None:
    fields = NEW | {"status": "2", "priority": "3"}
    files = {"attachments[]": ("a.bin", bytes(20 * 1024 * 1024 + 1))}
    assert errors(call("POST", "/tickets", data=fields, files=files)) == {"attachments": "invalid_size"}
    assert desk.tickets == []


def test_texts_are_sanitised_and_their_placeholders_evaluated(desk: SimulatedFreshdesk, call: Call) -> None:
    text = '<p data-mark="x">{{ticket.subject}}{{unknown}}</p><script>x</script><!-- y -->{<span>{x}}</span>'
    row = made(call, description=text)
    assert row["description"] == "<p>Refund</p>{<span>{x}}</span>"
    assert desk.tickets[0].comments[0].body == "Refund\n{{x}}"


# Lists.


def test_a_list_hides_spam_trash_and_archive_and_shows_them_by_name(
    desk: SimulatedFreshdesk, call: Call
) -> None:
    ids = [made(call)["id"] for _ in range(4)]
    desk.delete(ids[0])
    desk.mark_as_spam(ids[1])
    desk.archive(ids[2])
    assert listed(call) == [ids[3]]
    assert listed(call, filter="deleted") == [ids[0]]
    assert listed(call, filter="spam") == [ids[1]]


def test_a_list_shows_30_days_unless_it_is_told_since_when(call: Call, clock: Clock) -> None:
    old = made(call)["id"]
    clock.advance(timedelta(days=31))
    new = made(call)["id"]
    assert listed(call) == [new]
    assert listed(call, updated_since="2026-11-01T00:00:00Z") == [new, old]


@pytest.mark.parametrize(("inclusive", "expected"), [(True, 1), (False, 0)])
def test_since_may_or_may_not_include_its_own_second(clock: Clock, inclusive: bool, expected: int) -> None:
    with SimulatedFreshdesk(clock=clock, inclusive=inclusive) as desk:
        who = desk.account.contact({"email": "a@example.com"})
        ticket = desk.account.create({"subject": "x"}, who, [])
        reply = requests.get(
            f"{desk.url}/api/v2/tickets",
            params={"updated_since": stamp(ticket.updated_at)},
            auth=("simulated-api-key", "X"),
            timeout=10,
        )
        assert len(reply.json()) == expected


def test_a_list_may_be_late(clock: Clock) -> None:
    with SimulatedFreshdesk(clock=clock, list_lag=30) as desk:
        desk.account.create({"subject": "x"}, desk.account.contact({"email": "a@example.com"}), [])
        address, key = f"{desk.url}/api/v2/tickets", ("simulated-api-key", "X")
        assert requests.get(address, auth=key, timeout=10).json() == []
        clock.advance(30)
        assert len(requests.get(address, auth=key, timeout=10).json()) == 1


def test_the_next_page_stands_in_the_link_and_the_last_has_none(call: Call) -> None:
    for _ in range(5):
        made(call)
    first = call("GET", "/tickets", params={"per_page": 2})
    assert 'page=2>; rel="next"' in first.headers["link"]
    last = call("GET", "/tickets", params={"per_page": 2, "page": 3})
    assert "link" not in last.headers
    assert [len(first.json()), len(last.json())] == [2, 1]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"page": 301}, "page"),
        ({"per_page": 101}, "per_page"),
        ({"filter": "all"}, "filter"),
        ({"order_by": "id"}, "order_by"),
        ({"include": "everything"}, "include"),
        ({"updated_since": "yesterday"}, "updated_since"),
        ({"query": "x"}, "query"),
        ({"email": "nobody@example.com"}, "email"),
        ({"page": "x"}, "page"),
    ],
)
def test_a_wrong_query_is_refused(call: Call, params: dict[str, Any], field: str) -> None:
    assert field in errors(call("GET", "/tickets", params=params))


def test_a_list_shows_a_description_only_when_asked(call: Call) -> None:
    made(call, unique_external_id="u-7", email=None, name="Ann")
    assert "description" not in call("GET", "/tickets").json()[0]
    [row] = call("GET", "/tickets", params={"include": "description", "unique_external_id": "u-7"}).json()
    assert row["description_text"] == "Please"


def test_rows_are_in_the_order_that_was_asked_for(desk: SimulatedFreshdesk, call: Call, clock: Clock) -> None:
    ids = []
    for _ in range(3):
        ids.append(made(call)["id"])
        clock.advance(1)
    desk.human_notes(ids[0], "x")
    assert listed(call) == ids[::-1]
    assert listed(call, order_by="updated_at", order_type="asc") == [ids[1], ids[2], ids[0]]
    assert listed(call, requester_id=next(iter(desk.account.people))) == ids[::-1]


def test_the_search_is_minutes_late_and_knows_no_archive(
    desk: SimulatedFreshdesk, call: Call, clock: Clock
) -> None:
    id = made(call, custom_fields={"cf_handoff_id": "h1"}, tags=["mine"])["id"]

    def found(query: str) -> list[int]:
        return [
            row["id"] for row in call("GET", "/search/tickets", params={"query": query}).json()["results"]
        ]

    assert found("\"cf_handoff_id:'h1'\"") == []
    clock.advance(180)
    assert found("\"cf_handoff_id:'h1'\"") == found("\"tag:'mine'\"") == [id]
    assert found("\"cf_handoff_id:'h2'\"") == []
    desk.archive(id)
    assert found("\"cf_handoff_id:'h1'\"") == []
    assert "query" in errors(call("GET", "/search/tickets", params={"query": "free text"}))


# Conversations.


def test_a_note_is_private_unless_it_says_otherwise_and_a_reply_is_mailed(
    desk: SimulatedFreshdesk, call: Call
) -> None:
    id = made(call)["id"]
    assert call("POST", f"/tickets/{id}/notes", json={"body": "a"}).json()["private"] is True
    assert call("POST", f"/tickets/{id}/notes", json={"body": "b", "private": False}).json()["source"] == 2
    assert desk.mails == []
    reply = call("POST", f"/tickets/{id}/reply", json={"body": "c"}).json()
    assert (reply["private"], reply["incoming"], reply["source"]) == (False, False, 0)
    assert desk.mails == [(id, "c")]
    assert errors(call("POST", f"/tickets/{id}/notes", json={})) == {"body": "missing_field"}


def test_a_ticket_embeds_its_ten_oldest_conversations(desk: SimulatedFreshdesk, call: Call) -> None:
    id = made(call)["id"]
    for n in range(12):
        desk.human_notes(id, f"note {n}")
    row = call("GET", f"/tickets/{id}", params={"include": "conversations"}).json()
    assert [said["body_text"] for said in row["conversations"]] == [f"note {n}" for n in range(10)]
    assert len(call("GET", f"/tickets/{id}/conversations", params={"per_page": 100}).json()) == 12
    assert "conversations" not in call("GET", f"/tickets/{id}").json()


@pytest.mark.parametrize("bumps", [True, False])
def test_a_private_note_may_or_may_not_move_the_ticket(clock: Clock, bumps: bool) -> None:
    with SimulatedFreshdesk(clock=clock, note_bumps=bumps) as desk:
        ticket = desk.account.create({"subject": "x"}, desk.account.contact({"email": "a@example.com"}), [])
        clock.advance(10)
        desk.human_notes(ticket.id, "x")
        assert (ticket.updated_at > ticket.created_at) is bumps
        desk.human_replies(ticket.id, "x")
        assert ticket.updated_at > ticket.created_at


# What ends tickets.


@pytest.mark.parametrize(("shows", "status"), [(True, 200), (False, 404)])
def test_a_ticket_in_the_trash_may_or_may_not_be_shown(clock: Clock, shows: bool, status: int) -> None:
    with SimulatedFreshdesk(clock=clock, shows_deleted=shows) as desk:
        ticket = desk.account.create({"subject": "x"}, desk.account.contact({"email": "a@example.com"}), [])
        desk.delete(ticket.id)
        address, key = f"{desk.url}/api/v2/tickets/{ticket.id}", ("simulated-api-key", "X")
        reply = requests.get(address, auth=key, timeout=10)
        assert reply.status_code == status
        assert requests.put(address, json={"status": 4}, auth=key, timeout=10).status_code == 404
        desk.restore(ticket.id)
        assert requests.get(address, auth=key, timeout=10).json()["status"] == 2


@pytest.mark.parametrize(("plan", "status"), [(True, 200), (False, 403)])
def test_an_archived_ticket_is_missing_but_for_the_archive(clock: Clock, plan: bool, status: int) -> None:
    with SimulatedFreshdesk(clock=clock, archive=plan) as desk:
        ticket = desk.account.create({"subject": "x"}, desk.account.contact({"email": "a@example.com"}), [])
        desk.human_notes(ticket.id, "x")
        desk.archive(ticket.id)

        def got(path: str) -> requests.Response:
            return requests.get(f"{desk.url}/api/v2{path}", auth=("simulated-api-key", "X"), timeout=10)

        missing = got(f"/tickets/{ticket.id}")
        assert (missing.status_code, missing.content) == (404, b"")
        assert got(f"/tickets/{ticket.id}/conversations").status_code == 404
        assert got(f"/tickets/archived/{ticket.id}").status_code == status
        assert got(f"/tickets/archived/{ticket.id}/conversations").status_code == status
        assert got("/tickets/archived/999").status_code == (404 if plan else 403)


@pytest.mark.parametrize(
    ("merge", "expected"), [("PUT", (204, 405)), ("POST", (405, 204)), (None, (404, 404))]
)
def test_tickets_are_merged_by_one_method_at_most(
    clock: Clock, merge: Any, expected: tuple[int, int]
) -> None:
    with SimulatedFreshdesk(clock=clock, merge=merge) as desk:
        who = desk.account.contact({"email": "a@example.com"})
        ids = [desk.account.create({"subject": "x", "description": "<p>y</p>"}, who, []).id for _ in range(2)]
        sent = {"primary_id": ids[0], "ticket_ids": ids[1:], "convert_recepients_to_cc": False}
        address, key = f"{desk.url}/api/v2/tickets/merge", ("simulated-api-key", "X")
        replies = [requests.request(m, address, json=sent, auth=key, timeout=10) for m in ("PUT", "POST")]
        assert tuple(reply.status_code for reply in replies) == expected
        target, source = desk.tickets
        assert (target.status, source.status) == ("Open", "Closed" if merge else "Open")
        assert ("y" in target.comments[-1].body and len(target.comments) == 2) is bool(merge)


# People and rules.


def test_people_act_and_rules_ring_with_a_secret_and_without_a_signature(clock: Clock) -> None:
    with SimulatedFreshdesk(clock=clock) as desk, World(desk, Freshdesk, clock=clock) as world:
        world.take_webhooks()
        id = world.show(world.deliver())["ticket"]["id"]
        desk.human_replies(id, "one", name="Bea")
        desk.human_assigns(id, "Bea")
        desk.human_sets(id, status="Back Office", group="Premium", priority=4)
        desk.customer_replies(id, "two")
        desk.human_solves(id, "three")
        [ticket] = desk.tickets
        assert (ticket.status, ticket.assignee, ticket.group, ticket.priority) == (
            "Resolved",
            "Bea",
            "Premium",
            "Urgent",
        )
        said = [(comment.body, comment.author, comment.public) for comment in ticket.comments[1:]]
        assert said == [("one", "Bea", True), ("two", "Ann Lee", True), ("three", "Sam Support", True)]
        assert len(world.webhooks) == 6
        headers = {name.lower(): value for name, value in world.webhooks[0].headers.items()}
        assert headers["x-handrail-secret"] == "simulated-webhook-secret"
        assert not any("signature" in name for name in headers)
        assert desk.webhook_answers == [200] * 6


def test_every_value_of_a_webhook_is_a_text_and_quotation_marks_break_it(clock: Clock) -> None:
    with SimulatedFreshdesk(clock=clock) as desk, World(desk, Freshdesk, clock=clock) as world:
        world.take_webhooks()
        id = world.show(world.deliver())["ticket"]["id"]
        desk.human_solves(id)
        assert json.loads(world.webhooks[-1].body)["ticket"]["id"] == id
        assert json.loads(world.webhooks[-1].body)["ticket"]["status"] == "4"
        desk.human_replies(id, 'say "hi"')
        with pytest.raises(ValueError, match="delimiter"):
            json.loads(world.webhooks[-1].body)


def test_an_automation_opens_what_a_customer_answers(desk: SimulatedFreshdesk, call: Call) -> None:
    id = made(call)["id"]
    desk.human_solves(id)
    desk.customer_replies(id, "no")
    assert call("GET", f"/tickets/{id}", params={"include": "stats,requester"}).json()["status"] == 2


def test_a_fields_list_tells_types_and_statuses(call: Call) -> None:
    rows = {row["name"]: row for row in call("GET", "/ticket_fields").json()}
    assert rows["status"]["choices"]["12"] == ["Back Office", "Back Office"]
    assert {name: rows[name]["type"] for name in FIELDS} == FIELDS


def test_agents_and_contacts_are_found_by_address(desk: SimulatedFreshdesk, call: Call) -> None:
    made(call)
    desk.account.agent("Bea")
    agents = call("GET", "/agents", params={"email": "bea@agents.example.com"}).json()
    assert [agent["contact"]["name"] for agent in agents] == ["Bea"]
    assert [who["name"] for who in call("GET", "/contacts", params={"email": "ann@example.com"}).json()] == [
        "Ann Lee"
    ]
    assert call("GET", "/agents/me").json()["contact"]["name"] == "AI desk"


def test_the_desk_can_be_served_by_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "handrail.testing", "freshdesk"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        try:
            assert requests.get(f"{url}/api/v2/groups", timeout=10).status_code == 401
            settings = requests.get(f"{url}/_simulated/settings", timeout=10).json()
            assert settings["connector"] == "freshdesk"
            who = {"name": "Ann", "email": "ann@example.com"}
            sent = {"subject": "x", "description": "y", **PLAIN, **who}
            row = requests.post(
                f"{url}/api/v2/tickets", json=sent, auth=(settings["api_key"], "X"), timeout=10
            )
            spoken = {"action": "replies", "ticket_id": row.json()["id"], "text": "Done"}
            assert requests.post(f"{url}/_simulated/human", json=spoken, timeout=10).status_code == 200
            state = requests.get(f"{url}/_simulated/state", timeout=10).json()
            assert [comment["body"] for comment in state["tickets"][0]["comments"]] == ["y", "Done"]
        finally:
            process.terminate()
