"""The simulated Zendesk: it keeps to the vendor's OpenAPI file, and it has the real desk's traps."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import openapi_core.exceptions
import pytest
import requests
from urllib3.util import SKIP_HEADER

from handrail.steps import Reply
from handrail.testing.clock import Clock
from handrail.testing.wire import Seen
from handrail_zendesk.simulated import DELETED_GROUPS, FIELDS, GROUPS, SimulatedZendesk
from handrail_zendesk.simulated.hooks import signature

Call = Callable[..., requests.Response]
Exchange = tuple[Seen, Reply]

NOTE = {"html_body": "<p>Please help</p>", "public": False}
SIGNED_IN = {"Accept": "application/json", "Authorization": "Bearer simulated-oauth-token"}
ANN = {"name": "Ann Lee", "email": "ann@example.com"}


def made(call: Call, key: str | None = None, **ticket: Any) -> dict[str, Any]:
    """A new ticket, as the desk answered."""
    sent = {"ticket": {"subject": "Refund", "comment": NOTE, "requester": ANN} | ticket}
    reply = call("POST", "/tickets", json=sent, headers={"Idempotency-Key": key} if key else {})
    assert reply.status_code == 201, reply.text
    return dict(reply.json()["ticket"])


def changed(call: Call, ticket: dict[str, Any], **wanted: Any) -> requests.Response:
    return call("PUT", f"/tickets/{ticket['id']}", json={"ticket": wanted})


def details(reply: requests.Response) -> dict[str, Any]:
    assert reply.status_code == 422, reply.text
    return dict(reply.json()["details"])


# The vendor's contract.


def tour(desk: SimulatedZendesk, call: Call, clock: Clock) -> None:
    """Every operation once, and the commonest refusals."""
    credentials = {"client_id": "handrail", "client_secret": "simulated-secret"}
    call(
        "POST",
        "/oauth/tokens",
        json={"grant_type": "client_credentials", "scope": "read write", **credentials},
    )
    token = call(
        "POST",
        "/uploads",
        params={"filename": "a.png"},
        data=b"\x89PNG",
        headers={"Content-Type": "image/png"},
    )
    uploads = [token.json()["upload"]["token"]]
    fields = [{"id": FIELDS["Order id"], "value": "1182"}]
    known = {"group_id": GROUPS["Premium"], "priority": "high", "external_id": "h1", "tags": ["ai"]}
    comment = NOTE | {"uploads": uploads}
    ticket = made(call, "key-1", custom_fields=fields, comment=comment, metadata={"our": "mark"}, **known)
    other = made(call)
    changed(
        call, ticket, status="open", priority="urgent", comment={"html_body": "<p>More</p>", "public": True}
    )
    changed(call, ticket)
    desk.human_replies(ticket["id"], "Done")
    desk.human_solves(other["id"], "Bye")
    desk.delete(made(call)["id"])
    clock.advance(90)
    ids = f"{ticket['id']},{other['id']}"
    call("GET", "/tickets", params={"external_id": "h1"})
    call("GET", "/tickets/show_many", params={"ids": ids})
    call("GET", f"/tickets/{ticket['id']}")
    for what in ("comments", "audits"):
        call("GET", f"/tickets/{ticket['id']}/{what}", params={"page[size]": 2, "include": "users"})
    for path in ("/groups", "/groups/assignable", "/ticket_fields", "/custom_statuses", "/users/me"):
        call("GET", path)
    call("GET", "/users/search", params={"query": "ann@example.com"})
    call("GET", f"/users/{ticket['requester_id']}")
    call("GET", "/incremental/ticket_events", params={"start_time": 1, "include": "comment_events"})
    call("GET", "/incremental/tickets/cursor", params={"start_time": 1})
    call("GET", "/incremental/tickets/cursor.json", params={"cursor": "MXwx"})
    call("GET", "/tickets/1")
    changed(call, ticket, group_id=1)
    changed(call, ticket, safe_update=True, updated_stamp="2020-01-01T00:00:00Z")


@pytest.fixture(scope="module")
def exchanges() -> dict[str, list[Exchange]]:
    """Every exchange of the tour by operation, such as ``PUT /tickets/{id}``; refusals under ``refused``."""
    clock = Clock()
    with SimulatedZendesk(clock=clock) as desk, requests.Session() as session:
        session.headers.update(SIGNED_IN)

        def call(method: str, path: str, **more: Any) -> requests.Response:
            prefix = "" if path.startswith("/oauth") else "/api/v2"
            return session.request(method, desk.url + prefix + path, timeout=10, **more)

        tour(desk, call, clock)
    found: dict[str, list[Exchange]] = {}
    for seen, reply in desk.exchanges:
        shape = "/".join("{id}" if part.isdigit() else part for part in seen.local.split("/"))
        found.setdefault(f"{seen.method} {shape}" if reply.status < 400 else "refused", []).append(
            (seen, reply)
        )
    assert desk.errors == []
    return found


OPERATIONS = [
    "POST /oauth/tokens",
    "POST /uploads",
    "POST /tickets",
    "PUT /tickets/{id}",
    "GET /tickets",
    "GET /tickets/show_many",
    "GET /tickets/{id}",
    "GET /tickets/{id}/comments",
    "GET /tickets/{id}/audits",
    "GET /groups",
    "GET /groups/assignable",
    "GET /ticket_fields",
    "GET /custom_statuses",
    "GET /users/me",
    "GET /users/search",
    "GET /users/{id}",
    "GET /incremental/ticket_events",
    "GET /incremental/tickets/cursor",
]
Wrong = (openapi_core.exceptions.OpenAPIError, AssertionError)


def test_the_tour_visits_every_operation_and_only_those(exchanges: dict[str, list[Exchange]]) -> None:
    assert set(exchanges) == {*OPERATIONS, "refused"}


@pytest.mark.parametrize("operation", [*OPERATIONS, "refused"])
def test_every_answer_is_as_the_vendor_describes(
    operation: str, exchanges: dict[str, list[Exchange]], checker: Any
) -> None:
    assert exchanges[operation]
    for seen, reply in exchanges[operation]:
        checker.check_reply(seen, reply)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_broken_answer_is_refused(
    operation: str, exchanges: dict[str, list[Exchange]], checker: Any
) -> None:
    seen, reply = exchanges[operation][0]
    broken = replace(reply, content=json.dumps(spoilt(reply.json)).encode())
    assert broken.json != reply.json
    with pytest.raises(Wrong):
        checker.check_reply(seen, broken)


def test_a_broken_refusal_is_refused(exchanges: dict[str, list[Exchange]], checker: Any) -> None:
    seen, reply = exchanges["refused"][0]
    for body in ({}, {"message": "no"}, {"error": "RecordInvalid", "details": {"group": [{}]}}):
        with pytest.raises((*Wrong, KeyError)):
            checker.check_reply(seen, replace(reply, content=json.dumps(body).encode()))


def spoilt(data: Any) -> Any:
    """An answer with its first id as a text, or without an access token."""
    if isinstance(data, dict):
        if "access_token" in data:
            return {name: value for name, value in data.items() if name != "access_token"}
        if isinstance(data.get("id"), int):
            return data | {"id": str(data["id"])}
        return {name: spoilt(value) for name, value in data.items()}
    return [spoilt(value) for value in data] if isinstance(data, list) else data


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_request_of_the_tour_is_as_the_vendor_describes(
    operation: str, exchanges: dict[str, list[Exchange]], checker: Any
) -> None:
    assert exchanges[operation]
    for seen, _ in exchanges[operation]:
        checker.check_request(seen)


def body(**given: Any) -> dict[str, Any]:
    return {"body": json.dumps(given).encode(), "headers": {"content-type": "application/json"}}


BROKEN_REQUESTS: dict[str, dict[str, Any]] = {
    "POST /oauth/tokens": body(grant_type="password", client_id="x", client_secret="y", scope="read"),
    "POST /uploads": {"headers": {"content-type": "application/json"}},
    "POST /tickets": body(ticket={"subject": "without a comment"}),
    "PUT /tickets/{id}": body(ticket={"priority": "extreme"}),
    "GET /tickets": {"headers": {"authorization": ""}},
    "GET /tickets/show_many": {"query": {}},
    "GET /tickets/{id}": {"path": "/api/v2/tickets/abc"},
    "GET /tickets/{id}/comments": {"query": {"include_inline_images": "perhaps"}},
    "GET /tickets/{id}/audits": {"path": "/api/v2/tickets/abc/audits"},
    "GET /groups": {"query": {"exclude_deleted": "perhaps"}},
    "GET /groups/assignable": {"headers": {"authorization": ""}},
    "GET /ticket_fields": {"query": {"creator": "perhaps"}},
    "GET /custom_statuses": {"query": {"active": "perhaps"}},
    "GET /users/me": {"headers": {"accept": "text/html"}},
    "GET /users/search": {"headers": {"authorization": ""}},
    "GET /users/{id}": {"path": "/api/v2/users/abc"},
    "GET /incremental/ticket_events": {"query": {}},
    "GET /incremental/tickets/cursor": {"query": {"start_time": "yesterday"}},
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_broken_request_is_refused(
    operation: str, exchanges: dict[str, list[Exchange]], checker: Any
) -> None:
    seen, _ = exchanges[operation][0]
    broken = BROKEN_REQUESTS[operation]
    headers = {**seen.headers, **broken.get("headers", {})}
    headers = {name: value for name, value in headers.items() if value}
    with pytest.raises(Wrong):
        checker.check_request(replace(seen, **(broken | {"headers": headers})))


def test_an_unknown_property_of_a_ticket_is_refused(
    exchanges: dict[str, list[Exchange]], checker: Any
) -> None:
    for operation in ("POST /tickets", "PUT /tickets/{id}"):
        seen, _ = exchanges[operation][0]
        sent = json.dumps({"ticket": {"comment": NOTE, "urgency": "high"}}).encode()
        with pytest.raises(Wrong):
            checker.check_request(replace(seen, body=sent))


# Credentials and headers.


def test_oauth_tokens_open_the_desk_until_they_expire(
    desk: SimulatedZendesk, call: Call, clock: Clock
) -> None:
    known = {"grant_type": "client_credentials", "client_id": "handrail", "client_secret": "simulated-secret"}
    got = call("POST", "/oauth/tokens", json=known | {"scope": "read write", "expires_in": 300}).json()
    bearer = {"Authorization": f"Bearer {got['access_token']}"}
    assert got["expires_in"] == 300
    assert call("GET", "/users/me", headers=bearer).json()["user"]["role"] == "admin"
    clock.advance(300)
    late = call("GET", "/users/me", headers=bearer)
    assert (late.status_code, late.json()) == (401, {"error": "Couldn't authenticate you"})


def test_an_unknown_client_gets_no_token(call: Call) -> None:
    known = {"grant_type": "client_credentials", "client_id": "handrail", "client_secret": "wrong"}
    reply = call("POST", "/oauth/tokens", json=known)
    assert (reply.status_code, reply.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize(
    ("user", "password", "status"),
    [
        ("bot@example.com/token", "simulated-api-token", 200),
        ("bot@example.com/token", "wrong", 401),
        ("bot@example.com", "simulated-api-token", 401),
        ("b\xf6t@example.com/token", "simulated-api-token", 401),
    ],
)
def test_an_api_token_goes_with_the_address(
    desk: SimulatedZendesk, user: str, password: str, status: int
) -> None:
    reply = requests.get(f"{desk.url}/api/v2/users/me.json", auth=(user, password), timeout=10)
    assert reply.status_code == status


def test_a_request_without_accept_or_user_agent_looks_like_an_outage(call: Call) -> None:
    assert call("GET", "/users/me", headers={"Accept": None}).status_code == 415
    assert call("GET", "/users/me", headers={"Accept": "text/html"}).text == "Unsupported Media Type"
    nameless = {"User-Agent": SKIP_HEADER}  # left out, the HTTP library would give its own
    assert call("GET", "/users/me", headers=nameless).status_code == 500


# Creating.


def test_a_repeated_key_gives_the_same_answer_and_no_second_ticket(
    desk: SimulatedZendesk, call: Call
) -> None:
    sent = {"ticket": {"subject": "Refund", "comment": NOTE}}
    first = call("POST", "/tickets", json=sent, headers={"Idempotency-Key": "k"})
    second = call("POST", "/tickets.json", json=sent, headers={"Idempotency-Key": "k"})
    assert first.headers["x-idempotency-lookup"] == "miss"
    assert second.headers["x-idempotency-lookup"] == "hit"
    assert (second.status_code, second.content) == (201, first.content)
    assert len(desk.tickets) == 1


def test_a_key_with_another_body_is_refused_and_after_two_hours_forgotten(
    desk: SimulatedZendesk, call: Call, clock: Clock
) -> None:
    made(call, "k", subject="one")
    sent = {"ticket": {"subject": "two", "comment": NOTE}}
    other = call("POST", "/tickets", json=sent, headers={"Idempotency-Key": "k"})
    assert (other.status_code, other.json()["error"]) == (400, "IdempotentRequestError")
    clock.advance(timedelta(hours=2))
    made(call, "k", subject="one")
    assert [ticket.subject for ticket in desk.tickets] == ["one", "one"]


def test_a_ticket_arrives_with_its_properties(desk: SimulatedZendesk, call: Call) -> None:
    fields = [{"id": FIELDS["Order id"], "value": "1182"}, {"id": 1, "value": "dropped without a word"}]
    made(
        call,
        group_id=GROUPS["Premium"],
        priority="high",
        external_id="h1",
        tags=["b", "a"],
        custom_fields=fields,
    )
    [ticket] = desk.tickets
    assert (ticket.subject, ticket.status, ticket.priority) == ("Refund", "new", "high")
    assert (ticket.group, ticket.group_id) == ("Premium", str(GROUPS["Premium"]))
    assert (ticket.external_id, ticket.tags) == ("h1", ["a", "b"])
    assert ticket.fields == {str(FIELDS["Order id"]): "1182"}
    assert (ticket.requester, ticket.comments[0].public) == ("Ann Lee", False)


def test_ids_are_longer_than_32_bits_and_urls_name_another_host(desk: SimulatedZendesk, call: Call) -> None:
    ticket = made(call)
    assert min(ticket["id"], ticket["requester_id"]) > 2**31
    assert not ticket["url"].startswith(desk.url)


def test_an_inline_requester_is_matched_by_address(desk: SimulatedZendesk, call: Call) -> None:
    first, second = made(call), made(call, requester={"name": "A. Lee", "email": "ANN@example.com"})
    nameless = [made(call, requester={"name": "Bob"})["requester_id"] for _ in range(2)]
    assert first["requester_id"] == second["requester_id"]
    assert len({first["requester_id"], *nameless}) == 3


def test_a_wrong_property_is_refused_by_name(desk: SimulatedZendesk, call: Call) -> None:
    wrong: dict[str, dict[str, Any]] = {
        "group": {"group_id": 12},
        "requester": {"requester": {"name": "Ann", "email": "not an address"}},
        "priority": {"priority": "extreme"},
        "status": {"status": "parked"},
        "assignee": {"assignee_id": 12},
        "custom_status_id": {"custom_status_id": 12},
        "via_followup_source_id": {"via_followup_source_id": 12},
        "submitter": {"submitter_id": 12},
    }
    for field, given in wrong.items():
        sent = {"ticket": {"comment": {"body": "x"}} | given}
        assert list(details(call("POST", "/tickets", json=sent))) == [field]
    assert list(details(call("POST", "/tickets", json={"ticket": {"subject": "empty"}}))) == ["base"]
    assert desk.tickets == []


def test_a_deleted_group_is_listed_first_and_cannot_be_used(call: Call) -> None:
    groups = call("GET", "/groups").json()["groups"]
    assert (groups[0]["name"], groups[0]["deleted"]) == ("Support", True)
    sent = {"ticket": {"comment": NOTE, "group_id": DELETED_GROUPS["Support"]}}
    assert "group" in details(call("POST", "/tickets", json=sent))
    assert len(call("GET", "/groups/assignable").json()["groups"]) == len(groups) - 1
    assert len(call("GET", "/groups", params={"exclude_deleted": "true"}).json()["groups"]) == len(groups) - 1


def test_a_request_that_makes_no_sense_is_refused(desk: SimulatedZendesk, call: Call) -> None:
    json_type = {"Content-Type": "application/json"}
    assert call("POST", "/tickets", data=b"{", headers=json_type).status_code == 422
    assert call("POST", "/tickets", data=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415
    assert call("POST", "/tickets", json={"subject": "outside"}).status_code == 400
    sent = {"ticket": {"comment": NOTE}}
    assert call("POST", "/tickets", json=sent, headers={"Idempotency-Key": "k" * 256}).status_code == 400
    for path in ("/nothing", "/users/1", "/tickets/1", "/tickets/one"):
        assert call("GET", path).status_code == 404
    too_many = ",".join(str(number) for number in range(101))
    assert call("GET", "/tickets/show_many", params={"ids": too_many}).status_code == 400
    assert call("GET", "/groups", params={"page[size]": 1, "page[after]": "no cursor"}).status_code == 400
    assert call("GET", "/incremental/tickets/cursor").status_code == 400
    grant = {"grant_type": "password", "client_id": "handrail", "client_secret": "simulated-secret"}
    assert call("POST", "/oauth/tokens", json=grant).json()["error"] == "unsupported_grant_type"
    assert desk.tickets == []


def test_who_wrote_the_first_comment_can_be_said(desk: SimulatedZendesk, call: Call) -> None:
    ann = made(call)["requester_id"]
    bot = call("GET", "/users/me").json()["user"]["id"]
    made(call, requester={}, requester_id=ann, comment={"body": "from Ann"})
    made(call, submitter_id=bot, comment={"body": "for Ann"})
    made(call, comment={"body": "as Ann", "author_id": ann, "public": False})
    made(call, requester=None, comment={"body": "mine"})
    authors = [(ticket.comments[0].author, ticket.requester) for ticket in desk.tickets[1:]]
    assert authors == [
        ("Ann Lee", "Ann Lee"),
        ("AI desk", "Ann Lee"),
        ("Ann Lee", "Ann Lee"),
        ("AI desk", "AI desk"),
    ]
    for requester in ({"requester_id": 1}, {"requester": {"name": " "}}):
        sent = {"ticket": {"comment": NOTE} | requester}
        assert list(details(call("POST", "/tickets", json=sent))) == ["requester"]


def test_a_custom_status_stands_for_a_status(desk: SimulatedZendesk, call: Call) -> None:
    params = {"status_categories": "hold"}
    [hold, bank] = call("GET", "/custom_statuses", params=params).json()["custom_statuses"]
    ticket = made(call, assignee_id=call("GET", "/users/me").json()["user"]["id"])
    assert ticket["status"] == "open"
    after = changed(call, ticket, custom_status_id=bank["id"], group_id=None, assignee_id=None).json()[
        "ticket"
    ]
    assert (after["status"], after["custom_status_id"]) == ("hold", bank["id"])
    assert changed(call, ticket, status="open").json()["ticket"]["custom_status_id"] != hold["id"]
    requester = {"name": "Bob", "email": "bob@example.com"}
    changed(call, ticket, requester=requester, custom_fields=[{"id": FIELDS["Amount"], "value": "3"}])
    assert (desk.tickets[0].requester, desk.tickets[0].fields) == ("Bob", {str(FIELDS["Amount"]): "3"})


# Text.


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ({"html_body": "<p>id {{ticket.external_id}} {{secret}}</p>"}, "<p>id h1 </p>"),
        ({"html_body": "<p><code>{{ticket.id}}</code></p>"}, "<p><code>{{ticket.id}}</code></p>"),
        ({"html_body": "<p>a<script>x</script>b</p>"}, "<p>ab</p>"),
        ({"body": "a  b\n\n\nc \\{{ticket.id}}"}, '<div class="zd-comment">a b<br>c {{ticket.id}}</div>'),
        ({"body": "a <b>c</b> & d"}, '<div class="zd-comment">a c &amp; d</div>'),
    ],
)
def test_a_comment_of_an_agent_is_rewritten(
    desk: SimulatedZendesk, call: Call, sent: dict[str, Any], shown: str
) -> None:
    made(call, external_id="h1", comment=sent | {"public": False})
    assert desk.tickets[0].comments[0].html_body == shown


def test_placeholders_of_a_customer_stay(desk: SimulatedZendesk, call: Call) -> None:
    made(call, comment={"html_body": "<p>{{ticket.id}}</p>", "public": True})
    [comment] = desk.tickets[0].comments
    assert (comment.author, comment.body) == ("Ann Lee", "{{ticket.id}}")


def test_more_than_64_kb_are_cut_without_a_word(desk: SimulatedZendesk, call: Call) -> None:
    made(call, comment={"html_body": "é" * 40_000, "public": False})
    assert len(desk.tickets[0].comments[0].html_body) == 32_768


# Updating.


def test_comment_and_properties_travel_together(desk: SimulatedZendesk, call: Call) -> None:
    ticket = made(call, tags=["a"])
    comment = {"html_body": "<p>Hello</p>", "public": True}
    reply = changed(call, ticket, comment=comment, status="pending", tags=["b"], group_id=GROUPS["Premium"])
    assert [event["type"] for event in reply.json()["audit"]["events"]][:2] == ["Comment", "Change"]
    [after] = desk.tickets
    assert (after.status, after.tags, after.group) == ("pending", ["b"], "Premium")
    assert (after.comments[1].body, after.comments[1].public) == ("Hello", True)


def test_a_ticket_that_began_privately_stays_private_unless_told(desk: SimulatedZendesk, call: Call) -> None:
    private, public = made(call), made(call, comment={"body": "x"})
    for ticket in (private, public):
        changed(call, ticket, comment={"body": "and?"})
    changed(call, private, comment={"body": "loud", "public": True})
    assert [comment.public for comment in desk.tickets[0].comments] == [False, False, True]
    assert [comment.public for comment in desk.tickets[1].comments] == [True, True]


def test_a_safe_update_needs_a_stamp_that_is_a_time(call: Call) -> None:
    ticket = made(call)
    for stamp in (None, "soon", "2026-11-23T09:00:00"):
        assert changed(call, ticket, safe_update=True, updated_stamp=stamp, priority="low").status_code == 409


@pytest.mark.parametrize("safe", [True, False])
def test_a_safe_update_of_a_ticket_that_moved_is_refused_and_false_means_true(
    desk: SimulatedZendesk, call: Call, clock: Clock, safe: bool
) -> None:
    ticket = made(call)
    clock.advance(1)
    wanted = {"safe_update": safe, "updated_stamp": ticket["updated_at"], "comment": {"body": "once"}}
    assert changed(call, ticket, **wanted).status_code == 200
    again = changed(call, ticket, **wanted)
    assert (again.status_code, again.json()["error"]) == (409, "UpdateConflict")
    assert len(desk.tickets[0].comments) == 2


def test_two_updates_within_one_second_have_the_same_stamp(call: Call, clock: Clock) -> None:
    ticket = made(call)
    clock.advance(0.4)
    wanted = {"safe_update": True, "updated_stamp": ticket["updated_at"], "comment": {"body": "twice"}}
    assert [changed(call, ticket, **wanted).status_code for _ in range(2)] == [200, 200]


def test_an_update_that_changes_nothing_leaves_the_time_alone(call: Call, clock: Clock) -> None:
    ticket = made(call, priority="high")
    clock.advance(60)
    reply = changed(call, ticket, priority="high").json()
    assert (reply["audit"], reply["ticket"]["updated_at"]) == (None, ticket["updated_at"])


def test_a_closed_ticket_takes_nothing_but_a_follow_up(desk: SimulatedZendesk, call: Call) -> None:
    ticket = made(call, tags=["vip"])
    early = {"ticket": {"comment": NOTE, "via_followup_source_id": ticket["id"]}}
    assert "via_followup_source_id" in details(call("POST", "/tickets", json=early))
    changed(call, ticket, status="closed")
    words = details(changed(call, ticket, comment={"body": "late"}))["status"][0]["description"]
    assert words == "Status: closed prevents ticket update"
    follow_up = made(call, via_followup_source_id=ticket["id"])
    source = call("GET", f"/tickets/{ticket['id']}").json()["ticket"]
    assert (source["followup_ids"], follow_up["tags"]) == ([follow_up["id"]], ["vip"])


def test_an_external_id_is_not_unique_and_archived_tickets_are_not_listed(
    desk: SimulatedZendesk, call: Call
) -> None:
    ids = [made(call, external_id="twin")["id"] for _ in range(3)]
    made(call, external_id="other")
    desk.archive(ids[1])
    found = call("GET", "/tickets", params={"external_id": "twin"}).json()
    assert [row["id"] for row in found["tickets"]] == [ids[0], ids[2]]


def test_lists_are_paged_by_cursor_and_by_offset(clock: Clock) -> None:
    with SimulatedZendesk(clock=clock, page_size=2) as desk, requests.Session() as session:
        session.headers["Authorization"] = "Bearer simulated-oauth-token"
        address, names = f"{desk.url}/api/v2/groups", []
        params: dict[str, Any] = {"page[size]": 100}
        while True:
            page = session.get(address, params=params, timeout=10).json()
            names += [group["name"] for group in page["groups"]]
            if not page["meta"]["has_more"]:
                break
            params["page[after]"] = page["meta"]["after_cursor"]
        assert names == ["Support", "Support", "Billing Tier 2", "Premium"]
        second = session.get(address, params={"page": 2}, timeout=10).json()
        assert (second["count"], len(second["groups"]), second["next_page"]) == (4, 2, None)


def test_comments_come_newest_first_when_asked(desk: SimulatedZendesk, call: Call) -> None:
    ticket = made(call)
    desk.human_replies(ticket["id"], "Hello", name="Eve")
    params = {"sort": "-created_at", "include": "users", "page[size]": 1}
    page = call("GET", f"/tickets/{ticket['id']}/comments", params=params).json()
    assert [comment["body"] for comment in page["comments"]] == ["Hello"]
    assert [user["name"] for user in page["users"]] == ["Eve"]


# Files.


def upload(call: Call, name: str, content: bytes, **params: str) -> dict[str, Any]:
    headers = {"Content-Type": "text/plain"}
    reply = call("POST", "/uploads", params={"filename": name, **params}, data=content, headers=headers)
    assert reply.status_code == 201
    return dict(reply.json()["upload"])


def test_an_upload_is_taken_once(desk: SimulatedZendesk, call: Call) -> None:
    first = upload(call, "a.txt", b"one")
    token = upload(call, "b.txt", b"two", token=first["token"])["token"]
    assert token == first["token"]
    for _ in range(2):
        made(call, comment=NOTE | {"uploads": [token]})
    files = [[(file.name, file.content, file.media_type) for file in ticket.files] for ticket in desk.tickets]
    assert files == [[("a.txt", b"one", "text/plain"), ("b.txt", b"two", "text/plain")], []]


def test_an_upload_lives_an_hour(desk: SimulatedZendesk, call: Call, clock: Clock) -> None:
    held = upload(call, "a.txt", b"one")
    assert held["expires_at"] == "2026-11-23T10:00:00Z"
    clock.advance(timedelta(minutes=60))
    made(call, comment=NOTE | {"uploads": [held["token"]]})
    assert desk.tickets[0].files == []


def test_a_file_is_announced_by_an_event_of_its_own(desk: SimulatedZendesk, call: Call) -> None:
    token = upload(call, "a.txt", b"one")["token"]
    with receiver() as (url, got):
        desk.webhook = (url, "s3cr")
        made(call, comment=NOTE | {"uploads": [token]})
    assert kinds(got) == ["created", "comment_added", "attachment_linked_to_comment"]


def test_an_upload_without_a_name_is_refused(call: Call) -> None:
    reply = call("POST", "/uploads", data=b"x")
    assert (reply.status_code, reply.json()["error"]) == (422, "AttachmentUnprocessable")


# Exports.


def events(call: Call, start: int) -> dict[str, Any]:
    params = {"start_time": start, "include": "comment_events"}
    return dict(call("GET", "/incremental/ticket_events", params=params).json())


def test_the_event_export_leaves_out_the_last_minute_and_repeats_the_last_second(
    desk: SimulatedZendesk, call: Call, clock: Clock
) -> None:
    start = int(clock.now().timestamp())
    ticket = made(call)
    clock.advance(30)
    desk.human_replies(ticket["id"], "Hello")
    clock.advance(30)
    first = events(call, start)
    assert [item["event_type"] for item in first["ticket_events"]] == ["Audit"]
    clock.advance(30)
    second = events(call, first["end_time"])
    assert second["ticket_events"][0] == first["ticket_events"][0]
    [comment] = second["ticket_events"][1]["child_events"]
    assert (comment["body"], comment["comment_public"]) == ("Hello", True)


def test_an_export_from_the_last_minute_is_refused(call: Call, clock: Clock) -> None:
    params = {"start_time": int(clock.now().timestamp()) - 59}
    assert call("GET", "/incremental/ticket_events", params=params).status_code == 422


def test_the_ticket_export_goes_on_from_its_cursor(desk: SimulatedZendesk, call: Call, clock: Clock) -> None:
    one, two = made(call), made(call)
    clock.advance(100)
    path = "/incremental/tickets/cursor"
    first = call("GET", path, params={"start_time": 0, "per_page": 1}).json()
    rest = call("GET", path, params={"cursor": first["after_cursor"]}).json()
    assert [row["id"] for row in first["tickets"] + rest["tickets"]] == [one["id"], two["id"]]
    assert (first["end_of_stream"], rest["end_of_stream"]) == (False, True)
    desk.delete(one["id"])
    clock.advance(100)
    later = call("GET", path, params={"cursor": rest["after_cursor"]}).json()
    assert [(row["id"], row["status"]) for row in later["tickets"]] == [(one["id"], "deleted")]


def test_the_exports_are_for_admins(clock: Clock) -> None:
    with SimulatedZendesk(clock=clock, admin=False) as desk:
        headers = {"Authorization": "Bearer simulated-oauth-token"}
        address = f"{desk.url}/api/v2/incremental/ticket_events"
        assert requests.get(address, params={"start_time": 1}, headers=headers, timeout=10).status_code == 403


# People and webhooks.


@contextmanager
def receiver(status: int = 200) -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """An endpoint that keeps the headers and the body of each webhook."""
    got: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            got.append((headers, self.rfile.read(int(headers["content-length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing is logged."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/hook", got
        server.shutdown()
        thread.join()


def kinds(got: list[tuple[dict[str, str], bytes]]) -> list[str]:
    return [json.loads(body)["type"].removeprefix("zen:event-type:ticket.") for _, body in got]


def test_a_reply_is_announced_signed_and_in_zendesks_spelling(
    desk: SimulatedZendesk, call: Call, clock: Clock
) -> None:
    ticket = made(call, priority="high", external_id="h1")
    with receiver() as (url, got):
        desk.webhook = (url, "s3cr")
        comment_id = desk.human_replies(ticket["id"], "Hello", name="Eve")
    [(headers, raw)] = got
    event = json.loads(raw)
    assert event["type"] == "zen:event-type:ticket.comment_added"
    assert event["event"]["comment"]["id"] == comment_id
    assert event["event"]["comment"]["author"]["is_staff"] is True
    assert event["event"]["comment"] | {"id": "", "author": {}} == {
        "id": "", "author": {}, "body": "Hello", "is_public": True
    }  # fmt: skip
    detail = event["detail"]
    assert (detail["id"], detail["priority"], detail["status"]) == (str(ticket["id"]), "HIGH", "NEW")
    at = headers["x-zendesk-webhook-signature-timestamp"]
    assert (at, headers["user-agent"]) == ("2026-11-23T09:00:00Z", "Zendesk Webhook")
    assert headers["x-zendesk-webhook-signature"] == signature("s3cr", at, raw)
    assert raw.count(b"\n") > 10
    assert desk.webhook_answers == [200]


def test_the_signature_is_the_documented_one(shared: Path) -> None:
    vector = json.loads((shared / "fixtures/zendesk/webhooks/signature_vector.json").read_text())
    assert signature(vector["secret"], vector["timestamp"], vector["body"].encode()) == vector["signature"]


def test_each_change_is_an_event_and_our_own_comments_are_announced_too(
    desk: SimulatedZendesk, call: Call
) -> None:
    with receiver() as (url, got):
        desk.webhook = (url, "s3cr")
        ticket, other = made(call), made(call)
        assert kinds(got) == ["created", "comment_added"] * 2
        got.clear()
        changed(call, ticket, comment={"body": "ours"})
        desk.human_sets(ticket["id"], status="hold", assignee="Eve", group="Premium", priority="low")
        desk.human_notes(ticket["id"], "internal")
        desk.human_solves(ticket["id"])
        desk.customer_replies(ticket["id"], "No!")
    status = ["status_changed", "custom_status_changed"]
    moved = ["priority_changed", "group_assignment_changed", "agent_assignment_changed"]
    comment = ["comment_added"]
    assert kinds(got) == comment + status + moved + comment + status + status + comment
    changes = [json.loads(body)["event"] for _, body in got]
    assert (changes[1]["current"], changes[1]["previous"]) == ("HOLD", "NEW")
    assert changes[6]["comment"]["is_public"] is False
    assert changes[-1]["comment"]["author"]["is_staff"] is False
    assert other["id"] != ticket["id"]


def test_merging_closes_the_source_and_deleting_hides_it(desk: SimulatedZendesk, call: Call) -> None:
    one, two, three = (made(call) for _ in range(3))
    with receiver() as (url, got):
        desk.webhook = (url, "s3cr")
        desk.merge(one["id"], two["id"])
        desk.delete(three["id"])
    assert [(ticket.status, ticket.tags) for ticket in desk.tickets] == [
        ("closed", ["closed_by_merge"]),
        ("new", []),
    ]
    assert call("GET", f"/tickets/{three['id']}").json()["error"] == "RecordNotFound"
    assert (kinds(got)[-2:], json.loads(got[-2][1])["event"]["target_ticket_id"]) == (
        ["merged", "soft_deleted"], str(two["id"])
    )  # fmt: skip


def test_a_webhook_that_nobody_takes_is_recorded_and_not_repeated(desk: SimulatedZendesk, call: Call) -> None:
    with receiver(status=403) as (url, got):
        desk.webhook = (url, "s3cr")
        desk.human_replies(made(call)["id"], "Hello")
        assert len(got) == 3
    desk.human_replies(desk.tickets[0].id, "Anybody?")
    assert desk.webhook_answers[:3] == [403, 403, 403]
    assert str(desk.webhook_answers[3]).startswith("ConnectionRefusedError")


def test_webhooks_are_lost_doubled_and_overtaken_on_demand(desk: SimulatedZendesk, call: Call) -> None:
    ticket = made(call)
    with receiver() as (url, got):
        desk.webhook = (url, "s3cr")
        for kind in ("lose", "duplicate", "late"):
            desk.fault(kind, on="webhook")  # type: ignore[arg-type]
        for text in ("lost", "twice", "late", "early"):
            desk.human_replies(ticket["id"], text)
    said = [json.loads(body)["event"]["comment"]["body"] for _, body in got]
    assert said == ["twice", "twice", "early", "late"]


def test_a_person_at_the_desk_solves_with_an_answer(desk: SimulatedZendesk, call: Call) -> None:
    ticket = made(call)
    desk.human_assigns(ticket["id"], "Eve")
    assert (desk.tickets[0].status, desk.tickets[0].assignee) == ("open", "Eve")
    desk.human_solves(ticket["id"], "Refunded", name="Eve")
    [after] = desk.tickets
    assert (after.status, after.assignee, after.comments[-1].author) == ("solved", "Eve", "Eve")
    assert (after.comments[-1].body, after.comments[-1].public) == ("Refunded", True)


def test_the_desk_serves_in_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "handrail.testing", "zendesk"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
        requests.Session() as session,
    ):
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        session.headers.update(SIGNED_IN)
        session.post(f"{url}/api/v2/tickets", json={"ticket": {"comment": {"body": "x"}}}, timeout=10)
        control = f"{url}/_simulated"
        [ticket] = session.get(f"{control}/state", timeout=10).json()["tickets"]
        for order in (
            {"action": "replies", "text": "Hi"},
            {"action": "sets", "status": "pending"},
            {"action": "merge"},
        ):
            given = order | {"ticket_id": ticket["id"]}
            last = session.post(f"{control}/human", json=given, timeout=10)
        [after] = session.get(f"{control}/state", timeout=10).json()["tickets"]
        process.terminate()
        assert process.wait(30) == 0
    assert (after["status"], [comment["body"] for comment in after["comments"]]) == ("pending", ["x", "Hi"])
    assert (last.status_code, "'ticket_id'" in last.json()["error"]) == (400, True)


def test_the_settings_are_those_of_the_connector(desk: SimulatedZendesk) -> None:
    settings = desk.settings()
    assert settings["connector"] == "zendesk"
    assert settings["url"] == desk.url
    assert {"client_id", "client_secret", "webhook_secret"} <= set(settings)
    assert desk.now().tzinfo is UTC
