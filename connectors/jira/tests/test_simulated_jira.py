"""The simulated Jira: it keeps to the vendor's OpenAPI files, and it has the real site's traps."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from dataclasses import replace
from typing import Any

import openapi_core.exceptions
import pytest
import requests

from handrail.steps import Reply
from handrail.testing import Clock, World
from handrail.testing.wire import Seen
from handrail_jira import Jira
from handrail_jira.simulated import CLOUD_ID, SimulatedJira, jql, text

Exchange = tuple[Seen, Reply]
DOC = {"type": "doc", "version": 1, "content": [{"type": "paragraph", "content": []}]}
NEW = {"project": {"key": "SUP"}, "issuetype": {"id": "10001"}, "summary": "Refund", "description": DOC}
BODY = text.document("Please help")
FILE = {"file": ("a.png", b"\x89PNG\r\n\x00", "image/png")}
NO_CHECK = {"X-Atlassian-Token": "no-check"}
Wrong = (openapi_core.exceptions.OpenAPIError, AssertionError)


def sender(desk: SimulatedJira, session: requests.Session) -> Any:
    session.headers["Accept"] = "application/json"
    session.auth = ("bot@example.com", desk.api_token)

    def call(method: str, path: str, **more: Any) -> requests.Response:
        api = "/rest" if path.startswith("/servicedeskapi") else "/rest/api/3"
        return session.request(method, desk.url + api + path, timeout=10, **more)

    return call


def made(call: Any, **fields: Any) -> str:
    reply = call("POST", "/issue", json={"fields": NEW | fields})
    assert reply.status_code == 201, reply.text
    return str(reply.json()["id"])


# The vendor's contract.


def platform_tour(desk: SimulatedJira, call: Any) -> None:
    for path in ("/myself", "/serverInfo", "/priority", "/field", "/issueLinkType"):
        call("GET", path)
    call("GET", "/project/SUP/components")
    call("GET", "/issue/createmeta/SUP/issuetypes", params={"maxResults": 200, "startAt": 0})
    call("GET", "/issue/createmeta/SUP/issuetypes/10001", params={"maxResults": 200})
    call("GET", "/user/assignable/search", params={"query": "Sam", "project": "SUP"})
    person = desk.site.user("Sam Support")
    known = {"labels": ["handoff", "ho-1"], "priority": {"id": "2"}, "components": [{"id": "10100"}]}
    known |= {"assignee": {"id": person.id}, "duedate": "2026-12-01", "customfield_10050": "1182"}
    sent = {"fields": NEW | known, "properties": [{"key": "handoff", "value": {"id": "h1", "v": 1}}]}
    one, other = str(call("POST", "/issue", json=sent).json()["id"]), made(call)
    update = {"labels": [{"add": "more"}]}
    call("PUT", f"/issue/{one}", json={"fields": {"priority": {"id": "1"}}, "update": update})
    mark = [{"key": "handoff", "value": {"mid": "m1"}}]
    said = call("POST", f"/issue/{one}/comment", json={"body": BODY, "properties": mark}).json()
    desk.human_notes(one, "for the team only")
    desk.human_assigns(one, "Bea")
    call("POST", f"/issue/{one}/attachments", files=FILE, headers=NO_CHECK)
    call("POST", "/issueLink", json=link(other, one))
    call("GET", f"/issue/{one}/transitions", params={"expand": "transitions.fields"})
    done = {"transition": {"id": "31"}, "fields": {"resolution": {"id": "10000"}}}
    call("POST", f"/issue/{one}/transitions", json=done)
    call("GET", f"/issue/{one}", params={"expand": "changelog", "properties": "handoff"})
    call("GET", f"/issue/{one}/changelog")
    call("GET", f"/issue/{one}/properties/handoff")
    call("GET", f"/issue/{one}/comment", params={"orderBy": "-created", "expand": "properties"})
    call("DELETE", f"/issue/{one}/comment/{said['id']}")
    query = {"jql": 'labels = "ho-1"', "fields": "status,labels", "properties": "handoff"}
    call("GET", "/search/jql", params=query)
    call("POST", "/search/jql", json={"jql": "project = SUP", "fields": ["status"], "maxResults": 1})
    call("POST", "/issue/bulkfetch", json={"issueIdsOrKeys": [one, "99"], "fields": ["status"]})
    call("GET", "/issue/99")
    call("POST", "/issue", json={"fields": NEW | {"priority": {"id": "77"}}})


def service_tour(desk: SimulatedJira, call: Any) -> None:
    place = "/servicedeskapi/servicedesk/7"
    call("GET", place)
    call("GET", f"{place}/requesttype", params={"start": 0, "limit": 100})
    call("GET", f"{place}/requesttype/25/field")
    sent = {"email": "ann@example.com", "displayName": "Ann Lee"}
    ann = call("POST", "/servicedeskapi/customer", json=sent).json()
    call("POST", f"{place}/customer", json={"accountIds": [ann["accountId"]]})
    call("GET", f"{place}/customer", params={"query": "ann@example.com", "limit": 50})
    values = {"summary": "Refund", "description": "Where is it?"}
    asked = {"serviceDeskId": "7", "requestTypeId": "25", "requestFieldValues": values}
    raised = call("POST", "/servicedeskapi/request", json=asked | {"raiseOnBehalfOf": ann["accountId"]})
    request = f"/servicedeskapi/request/{raised.json()['issueId']}"
    call("POST", f"{request}/comment", json={"body": "internal", "public": False})
    call("GET", f"{request}/comment", params={"start": 0, "limit": 100})
    held = call("POST", f"{place}/attachTemporaryFile", files=FILE, headers=NO_CHECK).json()
    ids = [row["temporaryAttachmentId"] for row in held["temporaryAttachments"]]
    note = {"temporaryAttachmentIds": ids, "public": False, "additionalComment": {"body": "see"}}
    call("POST", f"{request}/attachment", json=note)
    call("POST", "/servicedeskapi/customer", json=sent)
    call("POST", "/servicedeskapi/request", json=asked | {"requestFieldValues": {"labels": ["x"]}})


def link(one: str, other: str) -> dict[str, Any]:
    return {"type": {"name": "Duplicate"}, "inwardIssue": {"id": one}, "outwardIssue": {"id": other}}


@pytest.fixture(scope="module")
def exchanges() -> dict[str, list[Exchange]]:
    """Every exchange of both tours by operation; refusals under ``refused``."""
    found: dict[str, list[Exchange]] = {}
    for service_desk, tour in ((False, platform_tour), (True, service_tour)):
        with SimulatedJira(clock=Clock(), service_desk=service_desk) as desk, requests.Session() as session:
            tour(desk, sender(desk, session))
        assert desk.errors == []
        for seen, reply in desk.exchanges:
            shape = re.sub(r"(?<=/)(?:[0-9]+|SUP|handoff)(?=/|$)", "{}", seen.local)
            name = f"{seen.method} {shape}" if reply.status < 400 else "refused"
            found.setdefault(name, []).append((seen, reply))
    return found


PLACE = "/servicedeskapi/servicedesk/{}"
READS = [
    "GET /myself",
    "GET /serverInfo",
    "GET /priority",
    "GET /field",
    "GET /issueLinkType",
    "GET /project/{}/components",
    "GET /issue/createmeta/{}/issuetypes",
    "GET /issue/createmeta/{}/issuetypes/{}",
    "GET /user/assignable/search",
    "POST /issue",
    "GET /issue/{}",
    "GET /issue/{}/changelog",
    "GET /issue/{}/properties/{}",
    "GET /issue/{}/comment",
    "POST /issue/{}/comment",
    "POST /issue/{}/attachments",
    "GET /issue/{}/transitions",
    "GET /search/jql",
    "POST /search/jql",
    "POST /issue/bulkfetch",
    f"GET {PLACE}",
    f"GET {PLACE}/requesttype",
    f"GET {PLACE}/requesttype/{{}}/field",
    f"GET {PLACE}/customer",
    "POST /servicedeskapi/customer",
    "POST /servicedeskapi/request",
    "GET /servicedeskapi/request/{}/comment",
    "POST /servicedeskapi/request/{}/comment",
    f"POST {PLACE}/attachTemporaryFile",
    "POST /servicedeskapi/request/{}/attachment",
]
"""Operations that answer with something to read; the vendor's files describe no type for some of them."""
UNTYPED = {"GET /issue/{}/properties/{}", "POST /servicedeskapi/servicedesk/{}/attachTemporaryFile"}
EMPTY = [
    "PUT /issue/{}",
    "DELETE /issue/{}/comment/{}",
    "POST /issue/{}/transitions",
    "POST /issueLink",
    f"POST {PLACE}/customer",
]
OPERATIONS = [*READS, *EMPTY]


def test_the_tours_visit_every_operation_and_only_those(exchanges: dict[str, list[Exchange]]) -> None:
    assert set(exchanges) == {*OPERATIONS, "refused"}


@pytest.mark.parametrize("operation", [*OPERATIONS, "refused"])
def test_every_answer_is_as_the_vendor_describes(
    operation: str, exchanges: dict[str, list[Exchange]], checker: Any
) -> None:
    assert exchanges[operation]
    for seen, reply in exchanges[operation]:
        checker.check_reply(seen, reply)


@pytest.mark.parametrize("operation", [each for each in READS if each not in UNTYPED])
def test_a_broken_answer_is_refused(
    operation: str, exchanges: dict[str, list[Exchange]], checker: Any
) -> None:
    seen, reply = exchanges[operation][0]
    broken = replace(reply, content=json.dumps(spoilt(reply.json)).encode())
    with pytest.raises(Wrong):
        checker.check_reply(seen, broken)


def spoilt(data: Any) -> Any:
    """An answer in which lists are texts and texts are numbers."""
    if isinstance(data, dict):
        return {name: spoilt(value) for name, value in data.items()}
    if isinstance(data, list):
        return "not a list" if not data or not isinstance(data[0], dict) else [spoilt(row) for row in data]
    return [data]


def test_a_broken_refusal_is_refused(exchanges: dict[str, list[Exchange]], checker: Any) -> None:
    seen, reply = exchanges["refused"][0]
    for body in (
        {},
        {"message": "no"},
        {"errorMessages": [], "errors": {}},
        {"errorMessages": [7], "errors": {}},
    ):
        with pytest.raises((*Wrong, KeyError)):
            checker.check_reply(seen, replace(reply, content=json.dumps(body).encode()))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_request_of_the_tours_is_as_the_vendor_describes(
    operation: str, exchanges: dict[str, list[Exchange]], checker: Any
) -> None:
    assert exchanges[operation]
    for seen, _ in exchanges[operation]:
        checker.check_request(seen)


def sends(**given: Any) -> dict[str, Any]:
    return {"body": json.dumps(given).encode()}


BROKEN_REQUESTS: dict[str, dict[str, Any]] = {
    "GET /issue/createmeta/{}/issuetypes": {"query": {"maxResults": "many"}},
    "GET /search/jql": {"query": {"maxResults": "many"}},
    "GET /issue/{}/comment": {"query": {"startAt": "the beginning"}},
    "GET /issue/{}/changelog": {"query": {"startAt": "the beginning"}},
    "POST /issue": sends(fields={"description": "a text in place of a document"}),
    "PUT /issue/{}": sends(fields={"priority": "high"}),
    "POST /issue/{}/comment": sends(body=DOC, public=False),
    "POST /search/jql": sends(jql=7),
    "POST /issue/bulkfetch": sends(fields=["status"]),
    "POST /issueLink": sends(type={"name": "Duplicate"}),
    "POST /servicedeskapi/request": sends(serviceDeskId="7"),
    "POST /servicedeskapi/customer": sends(mail="ann@example.com"),
    "POST /servicedeskapi/request/{}/comment": sends(body="without saying to whom"),
    "POST /servicedeskapi/request/{}/attachment": sends(temporaryAttachmentIds=["t"]),
    "POST /issue/{}/attachments": {"body": b""},
    f"POST {PLACE}/attachTemporaryFile": {"body": b""},
    f"GET {PLACE}/requesttype": {"query": {"start": "the beginning"}},
    "GET /servicedeskapi/request/{}/comment": {"query": {"internal": "perhaps"}},
}


@pytest.mark.parametrize("operation", BROKEN_REQUESTS)
def test_a_broken_request_is_refused(
    operation: str, exchanges: dict[str, list[Exchange]], checker: Any
) -> None:
    seen, _ = exchanges[operation][0]
    with pytest.raises(Wrong):
        checker.check_request(replace(seen, **BROKEN_REQUESTS[operation]))


@pytest.mark.parametrize("options", [{}, {"service_desk": True}], ids=["project", "service desk"])
def test_the_connector_itself_keeps_to_the_contract(options: dict[str, Any], checker: Any) -> None:
    clock = Clock()
    with SimulatedJira(clock=clock, **options) as desk, World(desk, Jira, clock=clock) as world:
        handoff = world.deliver(group="Support")
        ticket = world.show(handoff)["ticket"]["id"]
        world.rail.close(handoff.id)
        world.run(within=60)
        desk.human_reopens(ticket)
        desk.human_replies(ticket, "Done")
        world.poll()
        world.poll()
        assert len(desk.exchanges) > 8
        for seen, reply in desk.exchanges:
            checker.check_request(seen)
            checker.check_reply(seen, reply)


# Who is asking.


def test_whoever_is_not_signed_in_finds_nothing_without_a_word(desk: SimulatedJira, call: Any) -> None:
    made(call, labels=["here"])
    query = {"jql": "labels = here", "fields": "id"}
    nobody = requests.get(f"{desk.url}/rest/api/3/search/jql", params=query, timeout=10)
    assert (nobody.status_code, nobody.json()) == (200, {"issues": [], "isLast": True})
    assert "X-Aaccountid" not in nobody.headers
    known = call("GET", "/search/jql", params=query)
    assert (len(known.json()["issues"]), known.headers["X-Aaccountid"]) == (1, desk.api_user.id)
    assert requests.get(f"{desk.url}/rest/api/3/myself", timeout=10).status_code == 401
    assert requests.post(f"{desk.url}/rest/api/3/issue", json={}, timeout=10).status_code == 401


def test_a_server_takes_a_personal_access_token_and_knows_version_2_only() -> None:
    with SimulatedJira(deployment="data-center") as desk:
        bearer = {"Authorization": f"Bearer {desk.api_token}"}
        two = requests.get(f"{desk.url}/rest/api/2/myself", headers=bearer, timeout=10)
        three = requests.get(f"{desk.url}/rest/api/3/myself", headers=bearer, timeout=10)
        basic = base64.b64encode(f"bot@example.com:{desk.api_token}".encode()).decode()
        head = {"Authorization": f"Basic {basic}"}
        assert requests.get(f"{desk.url}/rest/api/2/myself", headers=head, timeout=10).status_code == 401
        assert (two.status_code, two.json()["name"], three.status_code) == (200, "bot@example.com", 404)
        assert "accountId" not in two.json()


def test_tokens_of_an_oauth_client_open_the_gateway_for_an_hour() -> None:
    clock = Clock()
    with SimulatedJira(clock=clock, oauth=True) as desk:
        grant = {"client_id": "handrail", "client_secret": "simulated-secret"}
        got = requests.post(f"{desk.url}/oauth/token", json=grant, timeout=10).json()
        bearer = {"Authorization": f"Bearer {got['access_token']}"}
        address = f"{desk.url}/ex/jira/{CLOUD_ID}/rest/api/3/myself"
        assert requests.get(address, headers=bearer, timeout=10).status_code == 200
        clock.advance(3600)
        assert requests.get(address, headers=bearer, timeout=10).status_code == 401


# Creating and searching.


def test_a_field_that_is_not_on_the_screen_fails_the_whole_create(desk: SimulatedJira, call: Any) -> None:
    desk.site.off_screen = {"labels"}
    reply = call("POST", "/issue", json={"fields": NEW | {"labels": ["x"], "priority": {"id": "9"}}})
    assert reply.status_code == 400
    assert set(reply.json()["errors"]) == {"labels", "priority"}
    assert desk.tickets == []


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"summary": "two\nlines"}, "summary"),
        ({"summary": "x" * 256}, "summary"),
        ({"labels": ["two words"]}, "labels"),
        ({"description": "a text"}, "description"),
        ({"description": {"type": "doc", "version": 1}}, "description"),
        ({"description": DOC | {"content": [{"type": "text", "text": ""}]}}, "description"),
        ({"description": text.document("x" * 33_000)}, "description"),
        ({"components": [{"id": "1"}]}, "components"),
        ({"assignee": {"id": "nobody"}}, "assignee"),
        ({"project": {"key": "NO"}}, "project"),
        ({"issuetype": None}, "issuetype"),
        ({"duedate": "tomorrow"}, "duedate"),
        ({"customfield_10051": "three"}, "customfield_10051"),
        ({"customfield_10054": "plain"}, "customfield_10054"),
    ],
)
def test_bad_values_are_refused_by_name(call: Any, fields: dict[str, Any], named: str) -> None:
    reply = call("POST", "/issue", json={"fields": NEW | fields})
    assert (reply.status_code, list(reply.json()["errors"])) == (400, [named])


def test_the_same_create_twice_makes_two_issues(desk: SimulatedJira, call: Any) -> None:
    assert made(call) != made(call)
    assert len(desk.tickets) == 2


def test_the_search_shows_a_change_only_after_its_lag(clock: Clock) -> None:
    with SimulatedJira(clock=clock, index_lag=90) as desk, requests.Session() as session:
        call = sender(desk, session)
        id = made(call, labels=["here"])
        query = {"jql": "labels = here"}
        assert call("GET", "/search/jql", params=query).json()["issues"] == []
        clock.advance(89)
        assert call("GET", "/search/jql", params=query).json()["issues"] == []
        clock.advance(1)
        assert call("GET", "/search/jql", params=query).json()["issues"] == [{"id": id}]
        asked = {"issueIdsOrKeys": [id], "fields": ["labels"]}
        call("PUT", f"/issue/{id}", json={"update": {"labels": [{"remove": "here"}]}})
        assert call("POST", "/issue/bulkfetch", json=asked).json()["issues"][0]["fields"]["labels"] == []
        assert len(call("GET", "/search/jql", params=query).json()["issues"]) == 1


def test_pages_go_on_by_token_and_the_old_search_is_gone(desk: SimulatedJira, call: Any) -> None:
    ids = [made(call) for _ in range(3)]
    query = {"jql": "project = SUP ORDER BY updated ASC", "maxResults": 2}
    first = call("GET", "/search/jql", params=query).json()
    second = call("GET", "/search/jql", params=query | {"nextPageToken": first["nextPageToken"]}).json()
    assert [row["id"] for row in first["issues"] + second["issues"]] == ids
    assert (first["isLast"], second["isLast"], "nextPageToken" in second) == (False, True, False)
    assert call("GET", "/search/jql", params=query | {"nextPageToken": "x"}).status_code == 400
    for most in (0, 5001):
        assert call("GET", "/search/jql", params=query | {"maxResults": most}).status_code == 400
    assert call("GET", "/search", params=query).status_code == 410
    assert call("GET", "/search/jql", params={"jql": "ORDER BY updated"}).status_code == 400


def test_queries_are_understood_or_refused() -> None:
    row = {"labels": ["A-b", "c"], "project": "SUP", "id": "7", "key": "SUP-1", "status": ["1"]}
    row |= {"updated": 1000, "text": "Ref: ho4k7 and 01HZ-1"}
    true = [
        'labels = "a-b"',
        'project = SUP AND labels in (x, "c")',
        "updated >= 1000",
        'text ~ "\\"01HZ-1\\""',
    ]
    false = ["labels = b", "updated > 1000 AND x = 1 OR id = 8", "text ~ ho4", "(id = 8 OR key = SUP-2)"]
    assert [jql.Query(each).matches(row) for each in true] == [True] * 4
    for each in (false[0], false[3]):
        assert not jql.Query(each).matches(row)
    for bad in (
        false[1],
        "labels",
        "labels = ",
        "(id = 7",
        "id = 7 id = 8",
        'updated >= "2026-11-20"',
        "a ! b",
    ):
        with pytest.raises(jql.BadQuery):
            jql.Query(bad).matches({**row, "updated": 2000} if "x = 1" in bad else row)


# Comments, files, workflow.


def test_an_issues_own_list_of_comments_drops_the_oldest(desk: SimulatedJira, call: Any) -> None:
    id = made(call)
    said = [desk.human_replies(id, f"comment {n}") for n in range(105)]
    inside = call("GET", f"/issue/{id}", params={"fields": "comment"}).json()["fields"]["comment"]
    assert (len(inside["comments"]), inside["total"]) == (100, 105)
    assert inside["comments"][0]["id"] == said[5]
    newest = call("GET", f"/issue/{id}/comment", params={"orderBy": "-created", "maxResults": 2}).json()
    assert [row["id"] for row in newest["comments"]] == said[:-3:-1]
    assert call("GET", f"/issue/{id}/comment", params={"orderBy": "author"}).status_code == 400


def test_attachments_need_their_header_and_arrive_as_they_are(desk: SimulatedJira, call: Any) -> None:
    id = made(call)
    bare = call("POST", f"/issue/{id}/attachments", files=FILE)
    assert (bare.status_code, bare.text) == (403, "XSRF check failed")
    call("POST", f"/issue/{id}/attachments", files=FILE, headers=NO_CHECK)
    [file] = desk.tickets[0].files
    assert (file.name, file.content, file.media_type) == ("a.png", b"\x89PNG\r\n\x00", "image/png")
    many = [("file", (f"{n}.txt", b"x")) for n in range(61)]
    assert call("POST", f"/issue/{id}/attachments", files=many, headers=NO_CHECK).status_code == 413


def test_solving_asks_for_a_resolution_and_refuses_other_fields(desk: SimulatedJira, call: Any) -> None:
    id = made(call)
    path, done = f"/issue/{id}/transitions", {"transition": {"id": "31"}}
    assert list(call("POST", path, json=done).json()["errors"]) == ["resolution"]
    assert list(call("POST", path, json=done | {"fields": {"labels": []}}).json()["errors"]) == ["labels"]
    named = {"fields": {"resolution": {"name": "Terminé"}}}
    assert call("POST", path, json=done | named).status_code == 204
    row = call("GET", f"/issue/{id}").json()["fields"]
    assert (row["status"]["statusCategory"]["key"], row["resolution"]["id"]) == ("done", "10000")
    assert call("POST", path, json={"transition": {"id": "99"}}).status_code == 400


def test_changes_stand_in_the_changelog(desk: SimulatedJira, call: Any) -> None:
    id = made(call)
    desk.human_assigns(id, "Bea")
    desk.human_solves(id, "Bye", name="Bea")
    rows = call("GET", f"/issue/{id}/changelog").json()["values"]
    assert [item["field"] for row in rows for item in row["items"]] == ["assignee", "status"]
    assert {row["author"]["displayName"] for row in rows} == {"Bea"}


def test_a_request_takes_only_the_fields_of_its_form_and_notes_are_internal() -> None:
    with SimulatedJira(service_desk=True) as desk, requests.Session() as session:
        call = sender(desk, session)
        known = {"serviceDeskId": "7", "requestTypeId": "25"}
        values = {"summary": "Refund", "labels": ["x"]}
        sent = known | {"requestFieldValues": values}
        assert call("POST", "/servicedeskapi/request", json=sent).status_code == 400
        sent = known | {"requestFieldValues": {"summary": "Refund"}}
        id = call("POST", "/servicedeskapi/request", json=sent).json()["issueId"]
        desk.human_notes(id, "between us")
        platform = {"body": BODY, "jsdPublic": False}  # read-only: it stays public
        assert call("POST", f"/issue/{id}/comment", json=platform).json()["jsdPublic"] is True
        mark = [{"key": "sd.public.comment", "value": {"internal": True}}]
        said = call("POST", f"/issue/{id}/comment", json={"body": BODY, "properties": mark}).json()
        assert said["jsdPublic"] is False
        assert [each.public for each in desk.tickets[0].comments] == [True, False, True, False]


# Webhooks.


@pytest.fixture
def hooks(clock: Clock) -> Any:
    """What each deployment posts for a comment and for a status, with the headers."""

    def listen(**options: Any) -> list[Any]:
        with SimulatedJira(clock=clock, **options) as desk, World(desk, Jira, clock=clock) as world:
            world.take_webhooks()
            ticket = world.show(world.deliver())["ticket"]["id"]
            world.webhooks.clear()
            desk.human_replies(ticket, "Hello")
            desk.human_solves(ticket)
            return list(world.webhooks)

    return listen


def test_webhooks_are_signed_over_their_bytes(hooks: Any) -> None:
    for hook in hooks():
        digest = hmac.new(b"simulated-webhook-secret", hook.body, hashlib.sha256).hexdigest()
        assert hook.headers["X-Hub-Signature"] == f"sha256={digest}"
        assert hook.headers["X-Atlassian-Webhook-Identifier"]


def test_a_servers_comment_event_has_no_issue(hooks: Any) -> None:
    cloud, server = hooks(), hooks(deployment="data-center")
    first = json.loads(cloud[0].body)
    assert (first["webhookEvent"], first["comment"]["body"]) == ("comment_created", "Hello")
    assert set(first) == {"timestamp", "webhookEvent", "comment", "issue"}
    bare, second = (json.loads(hook.body) for hook in server[:2])
    assert set(bare) == {"timestamp", "webhookEvent", "comment"}
    assert (second["webhookEvent"], second["issue_event_type_name"]) == (
        "jira:issue_updated",
        "issue_commented",
    )
    assert "/rest/api/2/issue/" in bare["comment"]["self"]


def test_wiki_markup_is_read_as_people_see_it() -> None:
    shown = {
        "*bold* and _em_": "bold and em",
        r"\*not\* \{x\} &#92; &amp;": r"*not* {x} \ &",
        "h3. Title\n# one\n{quote}\nsaid\n{quote}": "Title\none\n\nsaid",
        "[text|https://e.example] !image.png!": "text",
        "{code}x{code} {{mono}}": "x",
        "snake_case_name 3*4*5": "snake_case_name 3*4*5",
    }
    assert {markup: text.plain(markup) for markup in shown} == shown
