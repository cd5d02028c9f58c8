"""The Jira connector: against scripted answers where one exchange matters, else against the simulated desk.

The tests named ``test_trap_NN_...`` stand for the traps of Jira's API that are known to cost tickets.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from jsonschema import Draft4Validator
from pydantic import ValidationError
from tests.outside import SHARED

from handrail import (
    Change,
    Customer,
    DeskPaused,
    Doorbell,
    File,
    Handoff,
    Hook,
    Message,
    Names,
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
    Unsure,
    UpdateKind,
    Urgency,
)
from handrail.journal import Journal
from handrail.testing import Clock, World, a_conversation, a_file
from handrail_jira import Jira, updates
from handrail_jira.adf import Adf, doc, text_of
from handrail_jira.fields import LIMIT, token
from handrail_jira.issues import word_of
from handrail_jira.shapes import shaped
from handrail_jira.simulated import SimulatedJira, text
from handrail_jira.wiki import Wiki, escaped

FIXTURES = SHARED / "fixtures" / "jira"
NOW = datetime(2026, 11, 20, 9, 45, tzinfo=UTC)
MARKER = "01HZ0000000000000000000001"
KNOWN = {"url": "https://acme.atlassian.net", "email": "bot@acme.test", "api_token": "t0k", "project": "SUP"}
SERVER = {"url": "https://jira.acme.test", "deployment": "data-center", "personal_access_token": "p"}
NAMES: dict[str, dict[str, str]] = {
    "groups": {"Support": "10100"},
    "issue types": {"Task": "10001"},
    "priorities": {"High": "2", "Medium": "3"},
    "me": {"me": "bot-account", "name": "AI desk"},
}
US = {"x-aaccountid": "bot-account"}


def jira(**settings: Any) -> Jira:
    given = {key: value for key, value in (KNOWN | settings).items() if value is not None}
    return Jira(**given)


def server(**settings: Any) -> Jira:
    return Jira(**(SERVER | {"project": "SUP"} | settings))


def handoff(**changed: Any) -> Handoff:
    known = {"id": MARKER, "key": "c-42:1", "desk": "support", "created_at": NOW, "urgency": Urgency.HIGH}
    return Handoff(**(known | {"conversation": a_conversation(id="c-42")} | changed))


def answer(data: Any, status: int = 200, **headers: str) -> Reply:
    return Reply(status, json.dumps(data).encode(), US | {k.replace("_", "-"): v for k, v in headers.items()})


def row(id: int = 10_400, **fields: Any) -> dict[str, Any]:
    status = {"name": "À faire", "statusCategory": {"key": "new"}}
    known = {
        "status": status,
        "updated": "2026-11-20T09:31:00.000+0000",
        "labels": ["handoff", token(MARKER)],
    }
    return {"id": str(id), "key": f"SUP-{id}", "fields": known | fields}


def ticket(**changed: Any) -> Ticket:
    known = {"id": "10400", "status": Status.OPEN, "updated_at": NOW - timedelta(minutes=14), "raw": row()}
    return Ticket(**(known | changed))


def said(text: str = "Any news?", role: Role = Role.CUSTOMER) -> Said:
    return Said("01HZMESSAGE1", (Message(role=role, text=text),), handoff())


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


Start = Callable[..., World]


@pytest.fixture
def start() -> Iterator[Start]:
    """``start(settings={...}, **options)``: a world with a simulated Jira; what goes wrong in it fails."""
    opened: list[Any] = []

    def begin(settings: dict[str, Any] | None = None, **options: Any) -> World:
        clock = Clock()
        desk = SimulatedJira(clock=clock, **options).start()
        opened.append(desk)
        opened.append(World(desk, Jira, clock=clock, settings={"timeout": "2s"} | (settings or {})))
        return opened[-1]

    yield begin
    for each in reversed(opened):
        each.close() if isinstance(each, World) else each.stop()
        assert getattr(each, "errors", []) == []


def only(world: World) -> Any:
    [found] = world.desk.tickets
    return found


def words(world: World) -> str:
    return "\n".join(comment.body for comment in only(world).comments)


def ticket_id(world: World, delivered: Handoff) -> str:
    return str(world.show(delivered)["ticket"]["id"])


def create(world: World, given: Handoff) -> Ticket:
    made = world.rail.context.driver("desk").run(lambda: world.connector.create(given), Journal())
    assert isinstance(made, Ticket)
    return made


# Settings.


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"email": None}, "email: is missing"),
        ({"email": None, "api_token": None}, "found none"),
        ({"personal_access_token": "p"}, "give one of"),
        ({"email": None, "api_token": None, "personal_access_token": "p"}, "Jira cloud takes"),
        ({"deployment": "data-center"}, "Jira data-center takes personal_access_token"),
        ({"email": None, "api_token": None, "client_id": "c", "client_secret": "s"}, "cloud_id"),
        ({"project": None}, "project"),
        ({"service_desk": "7"}, "request_type"),
        ({"group_as": "field:10001"}, "group_as"),
        ({"url": "http://jira.acme.test"}, "https"),
        ({"url": None}, "url"),
        ({"project": 'SUP" OR 1'}, "project"),
    ],
)
def test_wrong_settings_are_refused_by_name(settings: dict[str, Any], said: str) -> None:
    with pytest.raises((ValidationError, ValueError), match=re.escape(said)):
        jira(**settings)


def test_addresses_follow_from_the_settings() -> None:
    assert jira().at("/issue") == "/rest/api/3/issue"
    assert server(url="https://acme.test/jira/").at("/issue") == "/rest/api/2/issue"
    assert server(url="https://acme.test/jira/").base_url == "https://acme.test/jira"
    assert jira(url="https://acme.atlassian.net/rest/api/3").link("SUP-1").endswith("net/browse/SUP-1")


# The checklist of traps.


def test_trap_01_an_empty_list_counts_only_when_it_was_given_to_us() -> None:
    nothing = json.dumps({"issues": [], "isLast": True}).encode()
    anonymous, me = Reply(200, nothing), "/rest/api/3/myself"
    asked = Run(jira().find(handoff()), anonymous, answer({"accountId": "bot"}))
    assert (asked.requests[1].path, asked.result) == (me, None)
    assert len(Run(jira().find(handoff()), Reply(200, nothing, US)).requests) == 1
    with pytest.raises(DeskPaused):
        Run(jira().find(handoff()), anonymous, answer({}))
    named = {"x-ausername": "bot", "x-seraph-loginreason": "AUTHENTICATED_FAILED"}
    with pytest.raises(DeskPaused):
        Run(server().find(handoff()), Reply(200, nothing, named), answer({"name": "bot"}))
    polled = jira().poll_page(f"1:{int(NOW.timestamp() * 1000)}", [ticket()], NOW)
    assert [r.path for r in Run(polled, anonymous, answer({"accountId": "b"})).requests][-1] == me


def test_trap_01_a_look_with_expired_credentials_makes_no_second_issue(start: Start) -> None:
    world = start()
    world.deliver()
    world.desk.fault("lose", on="POST /issue", when="after")
    lost = world.hand_off(a_conversation("the second", id="c-2"))
    world.run(within=0)
    right, world.desk.api_token = world.desk.api_token, "expired"
    world.run(within=3600)
    shown = world.show(lost)
    assert shown["state"] == State.DELIVERING, "its issue may be there: what happens on it may be ours"
    assert "is paused" in shown["last_error"]
    world.desk.api_token = right
    world.rail.retry(lost.id)
    world.run(within=600)
    assert world.show(lost)["state"] == State.WITH_HUMANS
    assert len(world.desk.tickets) == 2


def test_trap_02_scoped_tokens_and_oauth_clients_go_to_the_gateway(start: Start) -> None:
    scoped = jira(cloud_id="11-22")
    assert (scoped.base_url, scoped.at("/x")) == ("https://api.atlassian.com", "/ex/jira/11-22/rest/api/3/x")
    assert scoped.link("SUP-1") == "https://acme.atlassian.net/browse/SUP-1"
    assert jira(url=None, cloud_id="11-22").link("SUP-1") is None
    oauth = jira(email=None, api_token=None, client_id="c", client_secret="s", cloud_id="11-22")
    steps = oauth.sign_in()
    assert steps is not None
    signed = Run(steps, answer({"access_token": "abc", "expires_in": 3600}))
    assert (signed.requests[0].path, signed.requests[0].public) == (
        "https://auth.atlassian.com/oauth/token",
        True,
    )
    world = start(oauth=True)
    assert world.show(world.deliver())["state"] == State.WITH_HUMANS
    assert {seen.path.partition("/rest/")[0] for seen in world.desk.seen("POST /issue")} == {
        f"/ex/jira/{world.connector.cloud_id}"
    }


REFUSED = {
    "labels": "Field 'labels' cannot be set.",
    "priority": "Field 'priority' cannot be set.",
    "components": "Field 'components' cannot be set.",
    "customfield_10050": "Field 'customfield_10050' cannot be set.",
}


def test_trap_03_fields_that_the_screen_refuses_move_into_the_text(start: Start) -> None:
    world = start({"fields": {"order_id": "customfield_10050"}}, refuses=REFUSED)
    delivered = world.deliver(a_conversation(fields={"order_id": "1182"}), group="Support")
    assert world.show(delivered)["state"] == State.WITH_HUMANS
    assert (only(world).tags, only(world).group, only(world).fields) == ([], None, {})
    for name in ("tags", "urgency", "group", "fields.order_id"):
        assert f"{name}: Field" in words(world)
    assert "1182" in words(world)
    assert len(world.desk.seen("POST /issue")) == 2


def test_trap_03_what_is_known_not_to_be_on_the_screen_is_not_even_tried(start: Start) -> None:
    world = start(off_screen=["labels", "priority", "components", "duedate"])
    world.deliver(group="Support")
    assert len(world.desk.seen("POST /issue")) == 1
    assert "group: components is not on the create screen" in words(world)
    world.desk.fault("lose", on="POST /issue", when="after")
    world.deliver(a_conversation("the second", id="c-2"))  # found by its text, for want of a label
    assert len(world.desk.tickets) == 2
    world.poll()
    world.desk.human_replies(world.desk.tickets[1].id, "Hello")
    assert world.poll() == 1


def test_trap_03_without_a_description_the_brief_is_the_first_comment(start: Start) -> None:
    world = start(off_screen=["description"])
    delivered = world.deliver(a_conversation("Where is my refund?"))
    assert only(world).comments[0].body == ""
    assert "Where is my refund?" in only(world).comments[1].body
    world.poll()
    assert [u.kind for u in world.updates(delivered)] == [UpdateKind.CREATED]


def test_trap_03_only_what_is_named_is_left_out() -> None:
    found = jira(fields={"order": "customfield_1"}).refused_fields
    assert found(answer({"errors": {"customfield_1": "no", "summary": "no"}}, 400)) == {"fields.order": "no"}
    assert found(answer({"errorMessages": ["Field 'priority' is required"], "errors": {}}, 400)) == {}
    told = "Field 'labels' cannot be set. It is not on the appropriate screen, or unknown."
    assert found(answer({"errorMessages": [told]}, 400)) == {"tags": told}
    assert found(answer({"errors": {"labels": "no"}}, 422)) == {}
    both = jira(group_as="label").refused_fields(answer({"errors": {"labels": "no"}}, 400))
    assert both == {"tags": "no", "group": "no"}
    person = jira(group_as="assignee").refused_fields(answer({"errors": {"assignee": "no"}}, 400))
    assert person == {"owner": "no", "group": "no"}
    team = jira(group_as="team").refused_fields(answer({"errors": {"customfield_9": "no"}}, 400))
    assert team == {"group": "no"}
    raised = {"errorMessage": "The user may not raise on behalf of others", "i18nErrorMessage": {}}
    assert set(found(answer(raised, 400))) == {"customer"}


HOSTILE = [
    "",
    "\n\n\n",
    "# h1\n> # quoted heading\n* # item\n|| table ||",
    '"}],"type":"x',
    "\ud83d\udc69\u200d\ud83d\udc67 ﷽ \x00\x07",
    "[x](javascript:alert(1)) <javascript:alert(1)>",
    "{code}{quote}{noformat}[~admin]!http://e.example/x.png!",
    "\\\\ \\{ &#123; &amp; -- --- ---- ----- (!) :) ;)",
    "*b* _i_ -d- +u+ ^s^ ~s~ ??c?? {{m}} h1. bq. # - ",
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_trap_04_every_document_is_valid_and_reads_as_it_was_written(hostile: str, shared: Path) -> None:
    schema = Draft4Validator(json.loads((shared / "specs" / "adf.schema.json").read_text()))
    talk = a_conversation(
        "q " + hostile,
        customer=Customer(
            name=hostile or "x", email="a@b.test", attributes={"k": hostile, hostile or "e": "v"}
        ),
        url="javascript:alert(1)",
        fields={"f": hostile},
        attempts=[{"action": hostile or "a", "arguments": {"x": hostile}, "outcome": "failed"}],
    )
    given = handoff(conversation=talk, next_steps=(hostile, "second"), summary=hostile or None)
    made = json.loads(jira().body(given).text)
    later = json.loads(jira().message_text(said(hostile)))
    for document in (made, later, doc(hostile)):
        assert [error.message for error in schema.iter_errors(document)] == []
        assert text.wrong(document) is None
    assert "href" not in json.dumps(made).replace('"href": "mailto:a@b.test"', "")
    assert list(schema.iter_errors(doc("x") | {"content": [{"type": "text", "text": ""}]}))


@pytest.mark.parametrize("hostile", HOSTILE)
def test_wiki_markup_is_escaped(hostile: str) -> None:
    clean = said(hostile).messages[0].text
    assert " ".join(text.plain(escaped(clean)).split()) == " ".join(clean.split())
    shown = text.plain(server().message_text(said(f"a {hostile} b")))
    assert " ".join(f"a {clean} b".split()) in " ".join(shown.split())


def test_escaped_markup_stays_readable() -> None:
    assert (
        escaped("snake_case and e-mail, 3 * 4 is 12. Really?")
        == "snake_case and e-mail, 3 * 4 is 12. Really?"
    )
    assert escaped("* one\n# two\nh1. x") == "\\* one\n\\# two\nh1&#46; x"
    assert escaped("[~admin] {color}") == "\\[\\~admin\\] \\{color\\}"
    assert escaped("a\\b &lt;") == "a&#92;b &amp;lt;"
    assert escaped("one\ntwo", in_line=True) == "one\n\\\\ two"


def test_documents_of_others_are_read_whatever_is_in_them() -> None:
    nodes = [
        {"type": "heading", "attrs": {"level": 1}, "content": [{"type": "text", "text": "Title"}]},
        {"type": "paragraph", "content": [{"type": "mention", "attrs": {"id": "1", "text": "@Bea"}}]},
        {"type": "bulletList", "content": [{"type": "listItem", "content": [doc("one")["content"][0]]}]},
        {
            "type": "paragraph",
            "content": [{"type": "emoji", "attrs": {"shortName": ":)"}}, {"type": "hardBreak"}],
        },
        {"type": "paragraph", "content": [{"type": "inlineCard", "attrs": {"url": "https://e.example"}}]},
        {"type": "newNode", "content": [{"type": "text", "text": "unknown"}]},
    ]
    read = text_of({"type": "doc", "version": 1, "content": nodes})
    assert read == "Title\n@Bea\none\n:)\nhttps://e.example\nunknown"
    assert [text_of(odd) for odd in (None, [], {}, {"content": 7}, "plain ", {"type": "text"})] == [
        "", "", "", "", "plain", ""
    ]  # fmt: skip


@pytest.mark.parametrize("desk", [jira(), server()], ids=["adf", "wiki"])
@pytest.mark.parametrize("filler", ["{*}", "é\n", "👩 ", "x"])
def test_limits_are_measured_after_the_conversion(desk: Jira, filler: str) -> None:
    long = a_conversation("start " + filler * 20_000 + " end")
    body = desk.body(handoff(conversation=long))
    assert len(body.text.encode("utf-16-le")) // 2 <= LIMIT < 32_767
    assert [file.name for file in body.files] == ["conversation.txt"]
    assert len(desk.message_text(said(filler * 20_000)).encode("utf-16-le")) // 2 <= LIMIT
    assert desk.dialect.size("👩") == 2


def test_a_long_conversation_arrives_whole_in_a_file(start: Start) -> None:
    for options in ({}, {"deployment": "data-center"}, {"service_desk": True}):
        world = start(**options)
        world.deliver(a_conversation("begin " + "{x} " * 15_000 + "finis"))
        [file] = only(world).files
        assert file.name == "conversation.txt"
        assert file.content.count(b"{x}") >= 15_000


def test_trap_05_the_label_is_searched_and_the_property_compared() -> None:
    desk = jira()
    asked = Run(desk.find(handoff()), answer({"issues": [row(9), row(101)], "isLast": True}))
    params = asked.requests[0].params
    assert params["jql"] == f'labels = "{token(MARKER)}"'
    assert (params["properties"], asked.result.id) == ("handoff", "9")
    assert re.fullmatch("ho-[a-z2-7]{20}", token(MARKER))
    other = row(5, labels=["handoff"]) | {"properties": {"handoff": {"id": "01HZother"}}}
    ours = row(7, labels=[]) | {"properties": {"handoff": {"id": MARKER}}}
    assert Run(desk.find(handoff()), answer({"issues": [other, ours]})).result.id == "7"
    assert Run(desk.find(handoff()), answer({"issues": [other]})).result is None


def test_trap_05_label_and_property_go_in_the_one_create(start: Start) -> None:
    world = start()
    delivered = world.deliver()
    sent = world.desk.seen("POST /issue")[0].json
    assert sent["properties"] == [{"key": "handoff", "value": {"id": delivered.id, "v": 1}}]
    assert {"handoff", token(delivered.id)} <= set(sent["fields"]["labels"])


@pytest.mark.parametrize("options", [{}, {"deployment": "data-center"}, {"service_desk": True}])
@pytest.mark.parametrize("kind", ["lose", "half", "status"])
def test_trap_06_a_search_that_lags_90_seconds_makes_no_second_issue(
    start: Start, options: dict[str, Any], kind: Any
) -> None:
    world = start(index_lag=90, **options)
    create = "POST /servicedeskapi/request" if options.get("service_desk") else "POST /issue"
    world.desk.fault(kind, on=create, when="after")
    lost = world.deliver()
    world.run(within=3600)
    assert world.show(lost)["state"] == State.WITH_HUMANS
    assert len(world.desk.tickets) == 1
    assert len(world.desk.seen(create)) == 1


def test_trap_06_it_is_looked_for_after_5_15_45_and_120_seconds(start: Start) -> None:
    world = start()
    began = world.clock()
    world.desk.fault("lose", on="POST /issue", when="before")
    world.deliver()
    looks = [(seen.at - began).total_seconds() for seen in world.desk.seen("GET /search/jql")]
    for first, last in ((5, 15), (15, 45), (45, 120), (120, 200)):
        assert any(first <= at < last for at in looks), (first, looks)
    again = world.desk.seen("POST /issue")[1]
    assert (again.at - began).total_seconds() >= 120
    assert len(world.desk.tickets) == 1


@pytest.mark.parametrize("options", [{}, {"deployment": "data-center"}, {"service_desk": True}])
def test_trap_06_a_twin_that_is_indexed_too_late_is_ended(start: Start, options: dict[str, Any]) -> None:
    world = start(index_lag=300, **options)
    create = "POST /servicedeskapi/request" if options.get("service_desk") else "POST /issue"
    world.desk.fault("lose", on=create, when="after")
    delivered = world.deliver()
    world.run(within=3600)
    world.let_pass(600)
    world.run(within=3600)
    kept = ticket_id(world, delivered)
    [twin] = [each for each in world.desk.tickets if each.id != kept]
    assert (twin.status, "handoff" in twin.tags) == ("done", False)
    assert "a second time" in twin.comments[-1].body
    issue = world.desk.issue(twin.id)
    assert [other.id for _, other in issue.links] == [kept]
    assert next(t for t in world.desk.tickets if t.id == kept).status == "new"
    driver, before = world.rail.context.driver("desk"), len(issue.comments)
    driver.run(lambda: world.connector.sweep(delivered, Ticket(id=kept)))  # once more changes nothing
    assert len(issue.comments) == before
    assert len(issue.links) == 1


@pytest.mark.parametrize("options", [{}, {"deployment": "data-center"}, {"service_desk": True}])
def test_trap_06_a_twin_on_which_people_have_written_stays_open_and_is_told(
    start: Start, options: dict[str, Any]
) -> None:
    """It is the older one, which people saw first: their answer there must not vanish without a word."""
    world = start(index_lag=300, **options)
    create = "POST /servicedeskapi/request" if options.get("service_desk") else "POST /issue"
    world.desk.fault("lose", on=create, when="after")
    delivered = world.hand_off()
    world.let_pass(300)
    kept = ticket_id(world, delivered)
    [twin] = [each.id for each in world.desk.tickets if each.id != kept]
    world.desk.human_replies(twin, "We have sent the refund")
    world.let_pass(900)
    by_id = {each.id: each for each in world.desk.tickets}
    assert (by_id[twin].status, by_id[kept].status) == ("new", "new")
    assert "the customer's conversation goes on" in by_id[twin].comments[-1].body
    assert "somebody has written there already" in by_id[kept].comments[-1].body
    assert [other.id for _, other in world.desk.issue(twin).links] == [kept]
    told = "\n".join(line["text"] for line in world.show(delivered)["timeline"])
    assert f"ticket {twin} on desk is a twin of {kept}; people have written on it" in told
    before = [len(each.comments) for each in world.desk.tickets]
    world.rail.delivery.sweep(delivered.id, 1)
    assert [len(each.comments) for each in world.desk.tickets] == before
    world.poll()
    assert world.updates(delivered, UpdateKind.REPLY) == world.updates(delivered, UpdateKind.NOTE) == []


def test_trap_07_queries_carry_unquoted_milliseconds() -> None:
    found = answer({"issues": [row()], "isLast": True})
    cursor = "1763631060000:1763631900000"
    run = Run(jira().poll_page(cursor, [ticket()], datetime.fromtimestamp(1763632000, UTC)), found)
    jql = run.requests[0].params["jql"]
    assert "updated >= 1763630760000 ORDER BY updated ASC" in jql
    assert 'project = "SUP" AND labels = "handoff"' in jql
    assert '"2' not in jql


def test_trap_06_the_cursor_never_jumps_to_what_is_newest() -> None:
    now = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
    moment = int(now.timestamp() * 1000)
    fresh = row(updated="2026-11-20T09:59:59.000+0000")
    known = ticket(updated_at=now)
    page = Run(
        jira().poll_page(f"{moment - 900_000}:{moment}", [known], now), answer({"issues": [fresh]})
    ).result
    assert page.cursor == f"{moment - 300_000}:{moment}"


def test_trap_06_a_poll_loses_nothing_that_the_search_shows_late(start: Start) -> None:
    world = start(index_lag=90)
    one = world.deliver(a_conversation("one", id="c-1"))
    two = world.deliver(a_conversation("two", id="c-2"))
    world.let_pass(600)
    world.desk.human_replies(ticket_id(world, one), "Early")
    world.clock.advance(60)
    world.desk.human_replies(ticket_id(world, two), "Late")
    for _ in range(3):
        world.poll()
    for each, wanted in ((one, "Early"), (two, "Late")):
        assert [u.text for u in world.updates(each, UpdateKind.REPLY)] == [wanted]
    moment = int(world.clock().timestamp() * 1000)
    [cursor] = {
        page.cursor for page in [world.rail.context.driver("desk").run(poll_of(world, f"1:{moment}"))]
    }
    assert int(cursor.partition(":")[0]) <= moment - 300_000


def poll_of(world: World, cursor: str) -> Callable[[], Any]:
    return lambda: world.connector.poll_page(cursor, [], world.clock())


def test_trap_08_all_comments_are_read_and_not_the_issues_own_list(start: Start) -> None:
    world = start(page_size=40)
    delivered = world.deliver()
    world.poll()
    for n in range(120):
        world.desk.human_replies(ticket_id(world, delivered), f"reply {n}")
    world.poll()
    replies = world.updates(delivered, UpdateKind.REPLY)
    assert sorted(int((each.text or "").split()[1]) for each in replies) == list(range(120))
    assert all("comment" not in seen.query.get("fields", "") for seen in world.desk.requests)


def test_trap_09_a_note_that_became_public_is_taken_away_and_said(start: Start) -> None:
    world = start(service_desk=True, shows_notes=True)
    delivered = world.deliver()
    shown = world.show(delivered)
    assert shown["state"] == State.UNDELIVERED
    assert "showed an internal note to the customer" in shown["last_error"]
    assert len(only(world).comments) == 1


def test_trap_09_what_does_not_say_that_it_is_public_is_a_note_at_a_service_desk() -> None:
    note = {"key": "sd.public.comment", "value": {"internal": True}}
    rows = [{}, {"jsdPublic": True}, {"jsdPublic": False}, {"public": True}, {"public": False}]
    rows += [
        {"properties": [note]},
        {"jsdPublic": True, "properties": [note]},
        {"visibility": {"type": "role"}},
    ]
    at_desk = [updates.is_public(each, True) for each in rows]
    assert at_desk == [False, True, False, True, False, False, False, False]
    assert updates.is_public({}, False) is True
    assert [updates.is_internal(each) for each in rows] == [
        False,
        False,
        True,
        False,
        True,
        True,
        True,
        False,
    ]


def test_trap_10_a_request_gets_labels_priority_and_property_by_a_second_request(start: Start) -> None:
    world = start({"labels": ["ai"]}, service_desk=True)
    delivered = world.deliver(a_conversation("My card 1182 fails"), group="Support", urgency=Urgency.URGENT)
    effects = [f"{s.method} {s.local}" for s in world.desk.requests if s.method != "GET"]
    id = ticket_id(world, delivered)
    assert effects[-3:] == [
        "POST /servicedeskapi/request",
        f"PUT /issue/{id}",
        f"POST /servicedeskapi/request/{id}/comment",
    ]
    [shown] = world.desk.tickets
    assert (shown.group, shown.priority, shown.requester) == ("Support", "Highest", "Ann Lee")
    assert {"ai", "handoff"} <= set(shown.tags)
    assert shown.external_id == delivered.id
    assert [comment.public for comment in shown.comments] == [True, False]
    assert delivered.id not in shown.comments[0].body
    assert word_of(delivered.id) in shown.comments[0].body
    assert "At a glance" in shown.comments[1].body


def test_trap_10_what_the_second_request_refuses_is_said_and_makes_no_second_request(start: Start) -> None:
    world = start({"fields": {"order_id": "customfield_10050"}}, service_desk=True, refuses=REFUSED)
    delivered = world.deliver(a_conversation(fields={"order_id": "1182"}), group="Support")
    assert world.show(delivered)["state"] == State.WITH_HUMANS
    assert len(world.desk.tickets) == 1
    for name in ("tags", "urgency", "group", "fields.order_id"):
        assert f"{name}: Field" in words(world)
    world.poll()
    world.desk.human_replies(only(world).id, "Hello")  # without a label it is polled by its id
    world.poll()
    assert [u.text for u in world.updates(delivered, UpdateKind.REPLY)] == ["Hello"]


def test_trap_10_a_refusal_in_unknown_words_sets_nothing_and_says_so(start: Start) -> None:
    world = start(service_desk=True)
    world.desk.fault("status", on="PUT *", status=400, body='{"errorMessages": ["Rien ne va plus"]}')
    assert world.show(world.deliver())["state"] == State.WITH_HUMANS
    assert "urgency: Rien ne va plus" in words(world)


@pytest.mark.parametrize("step", ["PUT *", "POST /servicedeskapi/request/*", "POST *attachTemporaryFile"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", ["lose", "half", "status"])
def test_no_step_of_a_request_happens_twice(start: Start, step: str, when: Any, kind: Any) -> None:
    world = start(service_desk=True)
    world.desk.fault(kind, on=step, when=when)
    delivered = world.deliver(files=[a_file()])
    assert len(world.desk.faults) == 0
    assert world.show(delivered)["state"] == State.WITH_HUMANS
    assert [len(comment.files) for comment in only(world).comments] == [0, 1]
    world.poll()
    assert world.updates(delivered, UpdateKind.NOTE) == []


def events(body: Any) -> list[Any]:
    return list(jira().events(Hook(json.dumps(body).encode(), {})))


def test_trap_11_comments_without_an_issue_name_it_in_their_address() -> None:
    linked = {"id": "10082", "self": "https://x/rest/api/2/issue/10013/comment/10082"}
    assert events({"webhookEvent": "comment_created", "comment": linked}) == [Doorbell("10013")]
    assert events({"webhookEvent": "comment_created", "comment": {"self": "https://x/comment/7"}}) == []
    assert events({"issue": {"id": 10013, "key": "SUP-1"}}) == [Doorbell("10013")]  # an automation rule's
    assert events({"webhookEvent": "jira:version_released", "issue": {"id": "7"}}) == []
    assert events({"webhookEvent": "jira:issue_updated", "issue": {"id": "../7"}}) == []


def test_trap_12_what_webhooks_lose_the_poll_brings(start: Start) -> None:
    world = start()
    world.take_webhooks()
    delivered = world.deliver()
    world.clock.advance(60)
    world.desk.fault("lose", on="webhook", times=9)
    world.desk.human_replies(ticket_id(world, delivered), "Lost on the way")
    world.run(within=120)
    assert world.updates(delivered, UpdateKind.REPLY) == []
    world.desk.faults.clear()
    world.poll()
    assert [u.text for u in world.updates(delivered, UpdateKind.REPLY)] == ["Lost on the way"]


def test_trap_13_a_wait_is_read_from_seconds_from_a_date_and_from_the_reset() -> None:
    wait = jira().retry_after
    reset = answer({}, 429, x_ratelimit_reset="2026-11-20T10:00:00Z")
    assert wait(reset, NOW) == 900
    assert wait(answer({}, 429, x_ratelimit_reset="2026-11-20T09:00:00Z"), NOW) == 0
    assert wait(answer({}, 429, x_ratelimit_reset="2027-11-20T09:00:00Z"), NOW) == 3600
    assert [wait(answer({}, 429, x_ratelimit_reset=odd), NOW) for odd in ("", "1763632800", "soon")] == [
        None
    ] * 3
    reason = answer({"errorMessages": ["Rate limit"]}, 429, ratelimit_reason="jira-quota-tenant-based")
    assert jira().explain(reason) == "Rate limit jira-quota-tenant-based"


@pytest.mark.parametrize("form", ["seconds", "date", "reset"])
def test_trap_13_a_spent_quota_waits_in_the_store_for_up_to_an_hour(start: Start, form: str) -> None:
    world = start()
    world.deliver()
    until = world.clock() + timedelta(seconds=3540)
    headers = {"RateLimit-Reason": "jira-quota-global-based"}
    headers |= {
        "seconds": {"Retry-After": "3540"},
        "date": {"Retry-After": until.strftime("%a, %d %b %Y %H:%M:%S GMT")},
        "reset": {"X-RateLimit-Reset": until.strftime("%Y-%m-%dT%H:%M:%SZ")},
    }[form]
    world.desk.fault("status", on="POST /issue", status=429, headers=headers)
    delivered = world.hand_off(a_conversation("later", id="c-2"))
    world.let_pass(3500)
    assert len(world.desk.seen("POST /issue")) == 2
    assert "jira-quota-global-based" in world.show(delivered)["last_error"]
    world.let_pass(60)
    assert world.show(delivered)["state"] == State.WITH_HUMANS


def test_trap_13_too_many_writes_to_one_issue_hold_up_no_other(start: Start) -> None:
    world = start()
    busy = world.deliver()
    reason = {"RateLimit-Reason": "jira-per-issue-on-write", "Retry-After": "30"}
    world.desk.fault("status", on="POST /issue/*/comment", status=429, headers=reason)
    world.rail.say(busy.id, Message(role=Role.CUSTOMER, text="Once more"))
    world.run(within=1)
    other = world.hand_off(a_conversation("another", id="c-2"))
    world.let_pass(20)
    assert world.show(other)["state"] == State.WITH_HUMANS
    assert "per-issue" in world.show(busy)["last_error"]
    world.let_pass(20)
    assert "Once more" in world.desk.tickets[0].comments[-1].body


def test_trap_13_too_many_look_ups_of_customers_hold_up_no_other_handoff(start: Start) -> None:
    """Only 5 a second are allowed, which has nothing to do with anything else that is asked."""
    world = start(service_desk=True)
    world.deliver(a_conversation("warm", id="c-0", customer=Customer()))
    burst = {"RateLimit-Reason": "jira-burst-based", "Retry-After": "30"}
    world.desk.fault("status", on="GET *servicedesk/*/customer", status=429, headers=burst)
    busy = world.hand_off(a_conversation("one", id="c-1"))
    world.run(within=1)
    other = world.hand_off(a_conversation("another", id="c-2", customer=Customer()))
    world.let_pass(20)
    assert world.show(other)["state"] == State.WITH_HUMANS
    assert "jira-burst-based" in world.show(busy)["last_error"]
    world.let_pass(20)
    assert world.show(busy)["state"] == State.WITH_HUMANS


@pytest.mark.parametrize("service_desk", [False, True])
def test_more_files_than_a_request_takes_go_in_several(start: Start, service_desk: bool) -> None:
    world = start(service_desk=service_desk)
    names = [f"f{n}.txt" for n in range(130)]
    world.deliver(files=[File.of(name, name.encode()) for name in names])
    kept = [*only(world).files, *(file for comment in only(world).comments for file in comment.files)]
    assert {file.name for file in kept} == set(names)
    assert "did not take" not in words(world)


def test_what_of_many_files_a_desk_refuses_is_named_and_the_rest_arrives(start: Start) -> None:
    world = start(service_desk=True)
    world.desk.fault("status", on="POST *attachTemporaryFile", status=413, body="too large", skip=1)
    world.deliver(files=[File.of(f"f{n}.txt", b"x") for n in range(70)])
    kept = [file.name for comment in only(world).comments for file in comment.files]
    assert (len(kept), "f59.txt" in kept, "f60.txt" in kept) == (60, True, False)
    assert "Jira did not take these files: f60.txt, " in words(world)
    assert "too large" in words(world)


def test_trap_14_the_number_is_stored_and_the_key_is_for_people(start: Start) -> None:
    world = start()
    delivered = world.deliver()
    before = world.show(delivered)["ticket"]
    assert before["id"].isdigit()
    assert before["url"].endswith("/browse/SUP-1")
    world.desk.human_moves(before["id"], "OPS-7")
    world.desk.human_replies(before["id"], "I took it to our project")
    world.clock.advance(900)  # the search by project shows it no more, the look by ids does
    world.poll()
    assert [u.text for u in world.updates(delivered, UpdateKind.REPLY)] == ["I took it to our project"]
    assert world.show(delivered)["ticket"]["url"].endswith("/browse/OPS-7")


# Webhook signatures.


def hook(body: bytes, **headers: str) -> Hook:
    return Hook(body, {name.replace("_", "-"): value for name, value in headers.items()})


def check(given: Hook, secret: str = "s3cret", now: datetime = NOW) -> None:
    assert jira().signature is not None
    jira().signature.check(given, secret, now)


def refused(given: Hook, secret: str = "s3cret", now: datetime = NOW) -> str:
    with pytest.raises(SignatureError) as caught:
        check(given, secret, now)
    return str(caught.value)


def test_the_vendors_vector_is_genuine() -> None:
    header = "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"
    genuine = hook(b"Hello World!", x_hub_signature=header)
    check(genuine, "It's a Secret to Everybody")
    assert "forged" in refused(hook(b"Hello World", x_hub_signature=header), "It's a Secret to Everybody")
    signed = jira().signature.sign(b"Hello World!", "It's a Secret to Everybody", NOW)
    assert signed == {"X-Hub-Signature": header}


def test_the_method_is_read_from_the_header_and_weak_ones_are_refused() -> None:
    for method in ("sha256", "sha512"):
        check(hook(b"{}", x_hub_signature=f"{method}={hmac.new(b's3cret', b'{}', method).hexdigest()}"))
    weak = hmac.new(b"s3cret", b"{}", hashlib.sha1).hexdigest()
    for header in (f"sha1={weak}", "none=", "=", "sha256", "sha256=é"):
        assert refused(hook(b"{}", x_hub_signature=header))


def test_an_empty_secret_is_no_secret() -> None:
    empty = hmac.new(b"", b"{}", "sha256").hexdigest()
    assert "webhook_secret" in refused(hook(b"{}", x_hub_signature=f"sha256={empty}"), "")


KEY = "an application's secret, of a length that is good for every method"


def a_jwt(key: str = KEY, method: str = "HS256", **claims: Any) -> str:
    known = {"iss": "app", "iat": NOW.timestamp(), "exp": (NOW + timedelta(minutes=3)).timestamp()}
    return jwt.encode({k: v for k, v in (known | claims).items() if v is not None}, key, algorithm=method)


def test_dynamic_webhooks_carry_a_jwt() -> None:
    check(hook(b"{}", authorization=f"Bearer {a_jwt()}"), KEY)
    check(hook(b"{}", authorization=f"JWT {a_jwt(aud='other')}"), KEY)
    for bad in (
        a_jwt("another secret of just as good length"),
        a_jwt(exp=None),
        a_jwt(exp="soon"),
        a_jwt(method="HS384"),
        jwt.encode({"exp": NOW.timestamp() + 60}, None, algorithm="none"),
        "x.y.z",
    ):
        assert refused(hook(b"{}", authorization=f"Bearer {bad}"), KEY)
    late = NOW + timedelta(minutes=9)
    assert "expired" in refused(hook(b"{}", authorization=f"Bearer {a_jwt()}"), KEY, late)


def test_a_server_that_signs_nothing_may_send_the_secret_itself() -> None:
    check(hook(b"{}", x_handrail_secret="s3cret"))
    for bad in (hook(b"{}", x_handrail_secret="other"), hook(b"{}"), hook(b"{}", authorization="Basic x")):
        assert "unsigned" in refused(bad)


def test_webhooks_of_yesterday_are_refused() -> None:
    body = json.dumps({"timestamp": int(NOW.timestamp() * 1000)}).encode()
    signed = hook(body, x_hub_signature=jira().signature.sign(body, "s3cret", NOW)["X-Hub-Signature"])
    check(signed, now=NOW + timedelta(hours=23))  # Jira repeats a delivery for hours
    assert "24 hours" in refused(signed, now=NOW + timedelta(hours=25))


# Groups, priorities, people, fields.


@pytest.mark.parametrize(
    ("group_as", "groups", "field", "value"),
    [
        ("component", {"billing": "Billing Tier 2"}, "components", [{"id": "10101"}]),
        ("component", {"billing": "10102"}, "components", [{"id": "10102"}]),
        ("label", {"billing": "tier two"}, "labels", "tier_two"),
        ("team", {"billing": "36885b3c-1bf0-4f85-a357-c5b858c31de4"}, "customfield_10001", "36885b3c"),
        ("assignee", {"billing": "sam support"}, "assignee", "Sam Support"),
        ("field:customfield_10052", {"billing": "APAC"}, "customfield_10052", {"id": "10201"}),
        (
            "field:customfield_10054",
            {"billing": "jira-billing"},
            "customfield_10054",
            {"name": "jira-billing"},
        ),
        ("field:customfield_10050", {}, "customfield_10050", "billing"),
    ],
)
@pytest.mark.parametrize("deployment", ["cloud", "data-center"])
def test_a_group_is_what_the_configuration_says(
    start: Start, deployment: str, group_as: str, groups: dict[str, str], field: str, value: Any
) -> None:
    world = start({"group_as": group_as, "groups": groups}, deployment=deployment)
    world.deliver(group="billing")
    sent = world.desk.seen("POST /issue")[0].json["fields"][field]
    if group_as == "assignee":
        assert only(world).assignee == value
    elif isinstance(value, str):
        assert any(str(each).startswith(value) for each in (sent if isinstance(sent, list) else [sent]))
    else:
        assert sent == value
    assert "Could not be set" not in words(world)


@pytest.mark.parametrize(
    ("group_as", "groups", "field", "value"),
    [
        ("component", {"billing": "Support", "next": "Premium"}, "components", [{"id": "10102"}]),
        ("label", {"billing": "tier two", "next": "leads"}, "labels", "leads"),
        ("assignee", {"billing": "ai desk", "next": "Sam Support"}, "assignee", "Sam Support"),
        (
            "field:customfield_10052",
            {"billing": "EMEA", "next": "APAC"},
            "customfield_10052",
            {"id": "10201"},
        ),
        ("team", {"next": "36885b3c-1bf0-4f85-a357-c5b858c31de4"}, "customfield_10001", "36885b3c"),
    ],
)
@pytest.mark.parametrize("deployment", ["cloud", "data-center"])
def test_an_issue_moves_to_the_next_group(
    start: Start, deployment: str, group_as: str, groups: dict[str, str], field: str, value: Any
) -> None:
    world = start({"group_as": group_as, "groups": groups}, deployment=deployment)
    world.deliver(group="billing")
    known = updates.ticket_of(world.connector, stored_issue(world))
    driver = world.rail.context.driver("desk")
    moved = driver.run(lambda: world.connector.change(known, Change(group="next")))
    (sent,) = [seen.json for seen in world.desk.requests if seen.method == "PUT"]
    if group_as == "label":
        assert sent == {"update": {"labels": [{"remove": "tier_two"}, {"add": "leads"}]}}
        assert {"handoff", "leads"} <= set(only(world).tags)
        assert "tier_two" not in only(world).tags
    elif group_as == "assignee":
        assert (only(world).assignee, moved.assignee) == (value, value)
    elif group_as == "team":
        assert str(sent["fields"][field]).startswith(value)
    else:
        assert sent == {"fields": {field: value}}
        assert moved.group == groups["next"]
    assert moved.updated_at == known.updated_at  # what was said meanwhile is still to be read


def stored_issue(world: World) -> dict[str, Any]:
    driver, path = world.rail.context.driver("desk"), world.connector.at(f"/issue/{only(world).id}")

    def asked() -> Generator[Any, Reply, Any]:
        return (yield Request("GET", path, params={"fields": world.connector.fields_read})).json

    return driver.run(asked)


@pytest.mark.parametrize("group_as", ["component", "team", "assignee", "field:customfield_10052"])
def test_a_group_that_is_not_there_is_said(start: Start, group_as: str) -> None:
    world = start({"group_as": group_as, "groups": {"billing": "Nobody at all"}})
    world.deliver(group="billing")
    assert "group: Jira has no group 'Nobody at all'" in words(world)


def test_priorities_count_by_id_and_names_are_translated_at_home(start: Start) -> None:
    world = start({"urgency": {"high": "Highest", "low": "77"}})
    for number, urgency in enumerate(Urgency):
        world.deliver(a_conversation(str(urgency), id=f"c-{number}"), urgency=urgency)
    assert [each.priority for each in world.desk.tickets] == ["Medium", "Medium", "Highest", "Highest"]
    low = "\n".join(comment.body for comment in world.desk.tickets[0].comments)
    assert "urgency: the project has no priority '77'" in low


@pytest.mark.parametrize("deployment", ["cloud", "data-center"])
def test_an_owner_is_assigned_or_said(start: Start, deployment: str) -> None:
    world = start(deployment=deployment)
    create(world, handoff(owner="sam support"))
    create(world, handoff(owner="nobody@acme.test", id=f"{MARKER[:-1]}2"))
    one, two = world.desk.tickets
    assert (one.assignee, two.assignee) == ("Sam Support", None)
    assert "owner: Jira has nobody 'nobody@acme.test'" in two.comments[0].body


def test_details_become_what_their_fields_take(start: Start) -> None:
    names = {"order": "50", "amount": "51", "region": "52", "story": "53"}
    fields = {name: f"customfield_100{n}" for name, n in names.items()}
    world = start({"fields": fields})
    known = {"order": 1182, "amount": "12.50", "region": "EMEA", "story": "line\nline"}
    world.deliver(a_conversation(fields=known))
    sent = world.desk.seen("POST /issue")[0].json["fields"]
    assert [sent[fields[name]] for name in ("order", "amount")] == ["1182", 12.5]
    assert sent[fields["region"]] == {"value": "EMEA"}
    assert sent[fields["story"]]["type"] == "doc"
    world.deliver(a_conversation("other", id="c-2", fields=known | {"amount": "much"}))
    assert "fields.amount: Operation value must be a number" in world.desk.tickets[1].comments[0].body


def test_values_take_the_shape_of_their_field() -> None:
    lists = {"type": "array", "items": "option", "allowed": {"A": "1"}}
    assert shaped(lists, "1, B", True) == [{"id": "1"}, {"value": "B"}]
    assert shaped({"type": "array", "items": "string"}, "a,,b", True) == ["a", "b"]
    assert shaped({"type": "array", "items": "string"}, '["a, b", null, 3]', True) == ["a, b", "3"]
    assert shaped({"type": "version"}, "1.0", True) == {"name": "1.0"}
    assert shaped({"type": "user"}, "x", True) == {"id": "x"}
    assert shaped({"type": "user"}, "x", False) == {"name": "x"}
    assert shaped({"custom": "x:textarea"}, "t", False) == "t"
    assert shaped({}, "t", True) == "t"


def test_a_due_date_and_tags_arrive(start: Start) -> None:
    world = start({"labels": ["from AI", "vip"]})
    create(world, handoff(tags=("two words", "vip")))
    assert {"from_AI", "vip", "two_words"} <= set(only(world).tags)
    due = handoff(due={"resolution": NOW})
    shapes = {"duedate": '{"type": "date"}', "labels": "{}", "priority": "{}", "description": "{}"}
    run = Run(jira().create(due), answer({"id": "1", "key": "SUP-1"}), names=NAMES | {"screen": shapes})
    assert run.requests[0].json["fields"]["duedate"] == "2026-11-20"


# Attachments.


def test_files_are_not_sent_twice(start: Start) -> None:
    for kind in ("lose", "half", "status"):
        world = start()
        world.desk.fault(kind, on="POST /issue/*", when="after")
        delivered = world.deliver(files=[a_file(), a_file("b.txt", b"two")])
        assert world.show(delivered)["state"] == State.WITH_HUMANS
        assert [file.name for file in only(world).files] == ["receipt.txt", "b.txt"]


@pytest.mark.parametrize("options", [{}, {"deployment": "data-center"}])
def test_files_that_jira_does_not_take_are_said(start: Start, options: dict[str, Any]) -> None:
    world = start(**options)
    world.desk.attachments_enabled = False
    delivered = world.deliver(files=[a_file()])
    assert world.show(delivered)["state"] == State.WITH_HUMANS
    assert "did not take these files: receipt.txt" in words(world)
    world.poll()
    assert [u.kind for u in world.updates(delivered)] == [UpdateKind.CREATED]


def test_a_service_desk_that_takes_no_files_still_gets_the_note(start: Start) -> None:
    world = start(service_desk=True)
    world.desk.fault("status", on="POST *attachTemporaryFile", status=413, body="{}")
    delivered = world.deliver(files=[a_file()])
    assert world.show(delivered)["state"] == State.WITH_HUMANS
    assert "At a glance" in words(world)
    assert "did not take these files: receipt.txt" in words(world)


def test_more_than_sixty_files_go_in_several_requests(start: Start) -> None:
    world = start()
    world.deliver(files=[File.of(f"{n}.txt", b"x") for n in range(61)])
    assert len(only(world).files) == 61
    assert len(world.desk.seen("POST /issue/*")) == 2


# Later messages and changes.


@pytest.mark.parametrize("options", [{}, {"deployment": "data-center"}, {"service_desk": True}])
def test_what_a_customer_says_after_the_end_opens_the_issue_again(
    start: Start, options: dict[str, Any]
) -> None:
    world = start(**options)
    delivered = world.deliver()
    world.desk.human_solves(ticket_id(world, delivered))
    world.poll()
    assert world.show(delivered)["state"] == State.SOLVED
    world.rail.say(delivered.id, Message(role=Role.CUSTOMER, text="It is broken again"))
    world.run(within=120)
    assert only(world).status == "indeterminate"
    assert "It is broken again" in words(world)
    assert world.show(delivered)["state"] == State.WITH_HUMANS


@pytest.mark.parametrize("options", [{}, {"deployment": "data-center"}, {"resolution_screen": False}])
def test_solving_takes_a_transition_by_its_category_and_fills_what_it_asks(
    start: Start, options: dict[str, Any]
) -> None:
    world = start(**options)
    delivered = world.deliver()
    world.rail.close(delivered.id)
    world.run(within=60)
    assert only(world).status == "done"
    world.rail.close(delivered.id)
    world.run(within=60)
    assert len(world.desk.seen("POST *transitions")) == 1


def ways(*rows: dict[str, Any]) -> Reply:
    return answer({"transitions": list(rows)})


def way(id: str, category: str, **fields: Any) -> dict[str, Any]:
    return {"id": id, "to": {"name": "x", "statusCategory": {"key": category}}, "fields": fields}


def test_the_transition_that_asks_for_least_is_taken_and_one_that_cannot_be_filled_is_not() -> None:
    choice = {"required": True, "allowedValues": [{"id": "5"}, {"id": "6"}]}
    several = choice | {"schema": {"type": "array"}}
    free, default = {"required": True}, {"required": True, "hasDefaultValue": True}
    here, solve = answer(row()), Change(status=Status.SOLVED)
    offered = ways(
        way("1", "done", why=free), way("2", "done", a=choice, b=several, c=default), way("3", "new")
    )
    run = Run(jira().change(ticket(), solve), here, offered, Reply(204))
    assert run.requests[-1].json == {
        "transition": {"id": "2"},
        "fields": {"a": {"id": "5"}, "b": [{"id": "5"}]},
    }
    assert run.result.status is Status.SOLVED
    plain = Run(
        jira().change(ticket(), solve), here, ways(way("2", "done", a=choice), way("4", "done")), Reply(204)
    )
    assert plain.requests[-1].json == {"transition": {"id": "4"}}
    for nothing in (ways(), ways(way("1", "done", why=free)), ways(way("3", "indeterminate"))):
        with pytest.raises(Refused):
            Run(jira().change(ticket(), solve), here, nothing)


def test_somebody_else_moving_the_issue_at_once_delays_only(start: Start) -> None:
    world = start()
    delivered = world.deliver()
    world.desk.fault("status", on="POST *transitions", status=409, body='{"errorMessages": ["busy"]}')
    world.rail.close(delivered.id)
    world.run(within=600)
    assert only(world).status == "done"


def test_changes_set_the_priority_and_leave_a_note_once(start: Start) -> None:
    world, journal = start(), Journal()
    known = Ticket(id=ticket_id(world, world.deliver()))
    change = Change(urgency=Urgency.LOW, note="calmer now", marker="m1")
    driver = world.rail.context.driver("desk")
    world.desk.fault("lose", on="POST *comment", when="after")
    with pytest.raises(Unsure):
        driver.run(lambda: world.connector.change(known, change), journal)
    again = Journal(entries=journal.entries)
    changed = driver.run(lambda: world.connector.change(known, change), again)
    assert only(world).priority == "Low"
    assert words(world).count("calmer now") == 1
    assert changed.ours == (f"comment:{only(world).comments[-1].id}",)
    with pytest.raises(Refused):
        Run(jira(urgency={"low": "77"}).change(ticket(), Change(urgency=Urgency.LOW)))
    with pytest.raises(Unsupported):
        Run(jira().change(ticket(), Change(status=Status.DELETED)))


# Updates.


def test_status_follows_the_category_never_the_name() -> None:
    for key, wanted in {
        "new": "open",
        "indeterminate": "open",
        "done": "solved",
        "undefined": "open",
    }.items():
        status = {"name": "Complete", "statusCategory": {"key": key, "name": "Complete"}}
        read = updates.ticket_of(jira(), row(status=status))
        assert (read.status.value, read.raw_status) == (wanted, "Complete")
    assert updates.status_of({"status": "Done", "statusCategory": "DONE"}) is Status.SOLVED


@pytest.mark.parametrize("options", [{}, {"deployment": "data-center"}])
def test_comments_for_the_team_only_are_notes(start: Start, options: dict[str, Any]) -> None:
    world = start(**options)
    delivered = world.deliver()
    world.desk.human_notes(ticket_id(world, delivered), "for us")
    world.desk.human_replies(ticket_id(world, delivered), "for all", name="Bea")
    world.desk.app_writes(ticket_id(world, delivered), "beep")
    world.poll()
    found = [(u.kind.value, u.text, u.actor.kind) for u in world.updates(delivered)][1:]
    robot = "system" if world.connector.is_cloud else "human"
    assert found == [("note", "for us", "human"), ("reply", "for all", "human"), ("reply", "beep", robot)]


@pytest.mark.parametrize("deployment", ["cloud", "data-center"])
def test_the_customers_own_words_in_the_portal_are_theirs(start: Start, deployment: str) -> None:
    world = start(service_desk=True, deployment=deployment)
    delivered = world.deliver()
    world.desk.customer_replies(ticket_id(world, delivered), "Any news?")
    world.desk.human_replies(ticket_id(world, delivered), "Soon")
    world.poll()
    found = [(u.kind.value, u.actor.kind) for u in world.updates(delivered)][1:]
    assert found == [("customer_message", "customer"), ("reply", "human")]


def test_people_may_write_with_our_account_and_our_own_words_do_not_come_back() -> None:
    us, bea = {"accountId": "bot-account"}, {"accountId": "bea"}
    ours = f"The customer wrote\n\nHandrail {MARKER}"
    rows = [(1, us, ours), (2, us, "written by hand"), (3, bea, f"> {ours}"), (4, bea, "Hello")]
    comments = [
        {"id": str(n), "author": who, "body": doc(words), "created": f"2026-11-20T09:4{n}:00.000+0000"}
        for n, who, words in rows
    ]
    run = Run(jira().read(ticket()), answer(row()), answer({"comments": comments[::-1], "total": 4}))
    assert [update.id for update in run.result.updates] == ["comment:2", "comment:3", "comment:4"]


def test_an_issue_that_is_gone_is_deleted_and_one_that_we_may_not_see_pauses(start: Start) -> None:
    world = start()
    delivered = world.deliver()
    world.take_webhooks()
    world.desk.human_deletes(ticket_id(world, delivered))
    world.run(within=60)
    assert world.show(delivered)["state"] == State.CLOSED
    gone = Reply(404, b'{"errorMessages": ["Issue does not exist"]}')
    with pytest.raises(DeskPaused):
        Run(jira().read(ticket()), gone, answer({}))


@pytest.mark.parametrize("deployment", ["cloud", "data-center"])
def test_every_quarter_of_an_hour_all_known_issues_are_looked_at_by_id(start: Start, deployment: str) -> None:
    world = start(deployment=deployment)
    kept = world.deliver(a_conversation("kept", id="c-1"))
    gone = world.deliver(a_conversation("gone", id="c-2"))
    world.poll()
    world.desk.human_unlabels(ticket_id(world, kept))
    world.desk.human_replies(ticket_id(world, kept), "Without its label")
    world.desk.human_deletes(ticket_id(world, gone))
    world.poll()
    assert world.updates(kept, UpdateKind.REPLY) == []
    world.clock.advance(900)
    world.poll()
    assert [u.text for u in world.updates(kept, UpdateKind.REPLY)] == ["Without its label"]
    assert world.show(gone)["state"] == State.CLOSED
    asked = len(world.desk.requests)
    world.poll()
    assert len(world.desk.requests) - asked <= 2


def test_a_quiet_poll_is_one_request(start: Start) -> None:
    world = start()
    world.deliver()
    for _ in range(6):
        world.poll()
    asked = len(world.desk.requests)
    world.poll()
    assert len(world.desk.requests) - asked == 1


def test_many_changes_are_read_page_by_page(start: Start) -> None:
    for deployment in ("cloud", "data-center"):
        world = start(page_size=2, deployment=deployment)
        delivered = [world.deliver(a_conversation(str(n), id=f"c-{n}")) for n in range(5)]
        world.poll()
        for each in delivered:
            world.desk.human_replies(ticket_id(world, each), "Hello")
        world.poll()
        assert [len(world.updates(each, UpdateKind.REPLY)) for each in delivered] == [1] * 5


def test_a_customers_answer_between_our_writing_and_the_next_poll_is_not_lost(start: Start) -> None:
    """What we write moves the issue's time: it must not hide what people wrote a moment before."""
    world = start()
    delivered = world.deliver()
    world.poll()
    world.clock.advance(5)
    world.desk.human_replies(ticket_id(world, delivered), "A moment before")
    world.rail.say(delivered.id, Message(role=Role.CUSTOMER, text="And?"))
    world.run(within=60)
    world.poll()
    assert [u.text for u in world.updates(delivered, UpdateKind.REPLY)] == ["A moment before"]


# Service Management.


def test_a_known_customer_is_found_and_a_new_one_made_once(start: Start) -> None:
    world = start(service_desk=True)
    world.deliver(a_conversation("one", id="c-1"))
    world.deliver(a_conversation("two", id="c-2"))
    assert [each.requester for each in world.desk.tickets] == ["Ann Lee", "Ann Lee"]
    assert len(world.desk.seen("POST /servicedeskapi/customer")) == 1


def test_only_the_whole_address_makes_somebody_the_customer() -> None:
    """The search finds Joann for ann@x.test too: her portal must not show the question of another."""
    desk = jira(service_desk="7", request_type="25")
    who, known = "customer ann@x.test Ann", {"desk": {"id": "7"}}
    exists = answer({"errorMessage": "exists"}, 400)
    hidden = {"accountId": "qm:JOANN", "displayName": "Joann Miller"}
    other = hidden | {"emailAddress": "joann@x.test"}
    for found in ([hidden], [other], [hidden | {"emailAddress": ""}, other]):
        assert Run(desk.names(who), answer({"values": found}), exists, names=known).result == {}
    ann = {"accountId": "qm:ANN", "displayName": "Ann", "emailAddress": "Ann@x.test"}
    assert Run(desk.names(who), answer({"values": [other, ann]}), names=known).result == {"id": "qm:ANN"}


def test_a_customer_whose_address_is_hidden_is_named_in_the_note(start: Start) -> None:
    world = start(service_desk=True)
    rows = '{"values": [{"accountId": "qm:JOANN", "displayName": "Joann Miller"}], "isLastPage": true}'
    world.desk.fault("status", on="GET */customer", status=200, body=rows)
    world.desk.fault("status", on="POST /servicedeskapi/customer", status=400, body='{"errorMessage": "no"}')
    assert world.show(world.deliver())["state"] == State.WITH_HUMANS
    assert only(world).requester == "AI desk"
    assert "customer: Jira made no customer of this address" in words(world)


def test_without_the_right_to_raise_for_others_the_note_says_who_it_is(start: Start) -> None:
    world = start(service_desk=True, may_raise=False)
    assert world.show(world.deliver())["state"] == State.WITH_HUMANS
    assert only(world).requester == "AI desk"
    assert "customer: we may not raise requests for customers" in words(world)


def test_a_customer_whom_jira_refuses_is_left_out_and_said(start: Start) -> None:
    world = start(service_desk=True)
    refusal = '{"errorMessage": "The customer may not use this portal"}'
    world.desk.fault("status", on="POST /servicedeskapi/request", status=400, body=refusal)
    assert world.show(world.deliver())["state"] == State.WITH_HUMANS
    assert "customer: The customer may not use this portal" in words(world)


def test_a_form_without_a_description_carries_the_mark_in_its_summary(start: Start) -> None:
    world = start(service_desk=True)
    del world.desk.form["description"]
    world.desk.form["customfield_10050"] = ("Order", False)
    world.desk.fault("lose", on="POST /servicedeskapi/request", when="after")
    delivered = world.deliver()
    assert world.show(delivered)["state"] == State.WITH_HUMANS
    assert only(world).subject.endswith(f"[{word_of(delivered.id)}]")


def test_a_customer_who_quotes_the_request_does_not_hide_the_brief(start: Start) -> None:
    world = start(service_desk=True)
    world.desk.fault("lose", on="POST /servicedeskapi/request/*", when="before")
    world.hand_off()
    world.run(within=0)
    quoted = only(world).comments[0].body
    world.desk.customer_replies(only(world).id, f"> {quoted}")
    world.run(within=3600)
    assert "At a glance" in words(world)


def test_details_go_into_the_form_where_it_has_their_field(start: Start) -> None:
    world = start({"fields": {"order_id": "customfield_10050"}}, service_desk=True)
    world.desk.form["customfield_10050"] = ("Order", True)
    world.deliver(a_conversation(fields={"order_id": "1182"}))
    sent = world.desk.seen("POST /servicedeskapi/request")[0].json["requestFieldValues"]
    assert sent["customfield_10050"] == "1182"


def test_details_that_the_form_refuses_without_a_name_go_into_the_text(start: Start) -> None:
    """Service Management says one sentence and names no field."""
    fields = {"amount": "customfield_10051", "order_id": "customfield_10050"}
    world = start({"fields": fields}, service_desk=True)
    world.desk.form |= {field: (field, False) for field in fields.values()}
    delivered = world.deliver(a_conversation(fields={"amount": "1182", "order_id": "7" * 300}))
    assert world.show(delivered)["state"] == State.WITH_HUMANS
    assert (only(world).requester, only(world).fields) == ("Ann Lee", {})
    for name in fields:
        assert f"fields.{name}: Your request could not be created" in words(world)
    assert "7" * 300 in words(world)
    assert len(world.desk.seen("POST /servicedeskapi/request")) == 2


def test_a_refused_form_without_details_goes_for_nobody_before_it_is_given_up(start: Start) -> None:
    world = start(service_desk=True)
    refusal = '{"errorMessage": "Die Anfrage konnte nicht erstellt werden."}'
    world.desk.fault("status", on="POST /servicedeskapi/request", status=400, body=refusal)
    assert world.show(world.deliver())["state"] == State.WITH_HUMANS
    assert "customer: Die Anfrage konnte nicht erstellt werden." in words(world)
    world.desk.fault("status", on="POST /servicedeskapi/request", status=400, body=refusal, times=9)
    lost = world.deliver(a_conversation("the second", id="c-2"))
    assert world.show(lost)["state"] == State.UNDELIVERED
    assert len(world.desk.seen("POST /servicedeskapi/request")) == 4


def test_a_field_that_the_desk_quotes_is_left_out_alone() -> None:
    named = {"errorMessage": "Field 'customfield_1' is not valid", "i18nErrorMessage": {"i18nKey": "x"}}
    desk = jira(fields={"order": "customfield_1", "other": "customfield_2"})
    assert set(desk.refused_fields(answer(named, 400))) == {"fields.order"}


# Check.


def findings(world: World) -> dict[str, tuple[bool, str]]:
    found = world.rail.context.driver("desk").run(world.connector.check)
    return {each.subject: (each.ok, each.message) for each in found}


@pytest.mark.parametrize("options", [{}, {"deployment": "data-center"}, {"service_desk": True}])
def test_check_finds_everything_in_order(start: Start, options: dict[str, Any]) -> None:
    world = start({"groups": {"billing": "Premium"}, "fields": {"o": "customfield_10050"}}, **options)
    assert {subject: ok for subject, (ok, _) in findings(world).items() if not ok} == {}
    assert world.desk.tickets == []


def test_check_names_what_is_wrong(start: Start) -> None:
    wrong = {"groups": {"billing": "Nobody"}, "fields": {"o": "customfield_9"}, "urgency": {"low": "77"}}
    world = start(wrong | {"issue_type": "Epos", "webhook_secret": ""})
    found = findings(world)
    bad = {subject for subject, (ok, _) in found.items() if not ok}
    assert bad == {"groups.billing", "urgency.low", "issue_type"}
    assert found["webhook_secret"][1].startswith("not set")
    assert "Task" in found["issue_type"][1]
    told = answer({"deploymentType": "Server"})
    steps = jira().check()
    run = Run(steps, told, names=NAMES | {"screen": {}})
    deployment = next(each for each in run.result if each.subject == "deployment")
    assert (deployment.ok, "correct deployment" in deployment.message) == (False, True)


# Real and documented payloads.


def payloads(folder: str) -> list[Any]:
    found = [pytest.param(path, id=path.stem) for path in sorted((FIXTURES / folder).glob("*.json"))]
    skip = pytest.mark.skip(reason="the shared payloads are not beside the repository")
    return found or [pytest.param(None, marks=skip)]


@pytest.mark.parametrize("path", payloads("webhooks"))
def test_every_recorded_webhook_rings_for_its_issue(path: Path) -> None:
    data = json.loads(path.read_bytes())
    address = str((data.get("comment") or {}).get("self"))
    wanted = str((data.get("issue") or {}).get("id") or address.split("/")[-3])
    assert list(jira().events(Hook(path.read_bytes(), {}))) == [Doorbell(wanted)]
    if "comment" in data:
        shown = updates.comment(jira(), {"id": wanted}, data["comment"])
        assert shown.id == f"comment:{data['comment']['id']}"
    if "issue" in data and (data["issue"].get("fields") or {}).get("status"):
        assert updates.ticket_of(jira(), data["issue"]).id == wanted


IGNORED = {
    "platform_add_comment_request", "platform_bulkfetch_request", "platform_changelog_bulkfetch_200",
    "platform_comments_by_ids_200", "platform_comments_by_ids_request", "platform_create_issue_request",
    "platform_create_issues_bulk_201", "platform_create_issues_bulk_400",
    "platform_create_issues_bulk_request",
    "platform_do_transition_request", "platform_fields_200", "platform_project_statuses_200",
    "platform_statuscategories_200", "platform_webhook_failed_200", "platform_webhook_register_200",
    "platform_webhook_register_request", "cloud-get-create-issue-metadata-for-project",
    "cloud-get-create-issue-metadata-for-project-many-fields",
}  # fmt: skip
"""Requests of others, and operations that a handoff needs not (bulk creation, the old create metadata)."""


def one(reply: Reply) -> dict[str, str]:
    return dict(Run(jira().names("screen"), reply).result)


READ: dict[str, Callable[[Reply], Any]] = {
    "platform_add_attachment_200": lambda reply: reply.json[0]["filename"],
    "platform_add_comment_201": lambda reply: updates.comment(jira(), {"id": "1"}, reply.json).text[:11],
    "platform_bulkfetch_200": lambda reply: [
        updates.ticket_of(jira(), each).id for each in reply.json["issues"]
    ],
    "platform_components_200": lambda reply: sorted(Run(jira().names("groups"), reply).result),
    "platform_create_issue_201": lambda reply: Run(jira().create(handoff()), reply).result.id,
    "platform_create_issue_400": lambda reply: jira().explain(reply),
    "platform_createmeta_fields_200": one,
    "platform_createmeta_fields_400": lambda reply: jira().explain(reply),
    "platform_createmeta_issuetypes_200": lambda reply: Run(jira().names("issue types"), reply).result,
    "platform_createmeta_issuetypes_400": lambda reply: jira().refused_fields(reply),
    "platform_get_comments_200": lambda reply: len(Run(jira().comments("1"), reply).result),
    "platform_get_issue_200": lambda reply: updates.ticket_of(jira(), reply.json).id,
    "platform_get_transitions_200": lambda reply: [
        updates.category(each["to"]) for each in reply.json["transitions"]
    ],
    "platform_myself_200": lambda reply: Run(jira().names("me"), reply).result["me"],
    "platform_priorities_200": lambda reply: reply.json["values"][0]["id"],
    "platform_search_jql_200": lambda reply: [
        updates.ticket_of(jira(), each).id for each in reply.json["issues"]
    ],
    "platform_serverinfo_200": lambda reply: Run(jira()._deployment(), reply).result.ok,
    "platform_user_search_200": lambda reply: len(Run(jira().names("user x"), reply).result),
}
EXPECTED: dict[str, Any] = {
    "platform_add_attachment_200": "picture.jpg",
    "platform_add_comment_201": "Lorem ipsum",
    "platform_bulkfetch_200": ["10002", "10005", "10005"],
    "platform_components_200": ["Component 1", "PXA"],
    "platform_create_issue_201": "10000",
    "platform_create_issue_400": "Field 'priority' is required",
    "platform_createmeta_fields_400": "Parameter 'maxResults' must not exceed the limit '200'",
    "platform_createmeta_issuetypes_200": {"Bug": "1"},
    "platform_createmeta_issuetypes_400": {},
    "platform_get_comments_200": 1,
    "platform_get_issue_200": "10002",
    "platform_get_transitions_200": ["in-flight", "completed"],
    "platform_myself_200": "5b10a2844c20165700ede21g",
    "platform_priorities_200": "1",
    "platform_search_jql_200": ["10002"],
    "platform_serverinfo_200": False,  # the example is of a server
    "platform_user_search_200": 4,
}


@pytest.mark.parametrize("path", payloads("api"))
def test_every_documented_payload_is_read_or_ignored_on_purpose(path: Path) -> None:
    name = path.stem
    assert (name in READ) is not (name in IGNORED)
    status = int(name[-3:]) if name[-3:].isdigit() else 200
    reply = Reply(status, path.read_bytes(), US)
    if name in READ:
        read = READ[name](reply)
        assert read == EXPECTED.get(name, read)
        assert read is not None
    for refusal in (400, 401, 404, 409, 422, 429, 500):
        odd = Reply(refusal, path.read_bytes())
        assert 0 < len(jira().explain(odd)) <= 500
        known = {"group", "urgency", "owner", "tags", "customer", "due", "description"}
        assert set(jira().refused_fields(odd)) <= known


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"null", b"<html><h1>502</h1></html>", b'{"errors": [7]}']
)
def test_ugly_refusals_are_explained(body: bytes) -> None:
    for status in (400, 429, 502):
        assert jira().explain(Reply(status, body))
        assert jira().refused_fields(Reply(status, body)) == {}
    assert "trace-1" in jira().explain(Reply(500, b"", {"atl-traceid": "trace-1"}))


def test_dialects_are_chosen_by_the_deployment() -> None:
    assert isinstance(jira().dialect, Adf)
    assert isinstance(server().dialect, Wiki)
    assert isinstance(jira(service_desk="7", request_type="25").dialect, Wiki)
