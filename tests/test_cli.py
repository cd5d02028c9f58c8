"""The command line: what it asks of the rail, what it prints, and with which status it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar, get_args

import pytest
from pluggy import PluginManager
from typer.testing import CliRunner, Result

from handrail import (
    Can,
    ConfigError,
    Conflict,
    Connector,
    Conversation,
    DeskPaused,
    Finding,
    InputError,
    Message,
    NotFound,
    Reason,
    RedactorFailed,
    Role,
    State,
    Ticket,
    Urgency,
    secret,
    setting,
)
from handrail.cli import app, common
from handrail.plugins import Hooks, hookimpl


class Acme(Connector):
    name: ClassVar[str] = "acme"
    title: ClassVar[str] = "Acme Desk"
    can: ClassVar[Can] = Can.ATTACH | Can.POLL

    account: str = setting("The 'x' of x.acme.example", examples=["x"])
    token: str = secret("API token")

    @property
    def base_url(self) -> str:
        return super().base_url or f"https://{self.account}.acme.example"


def a_handoff(handoff_id: str = "H1", **more: Any) -> dict[str, Any]:
    ticket = {"id": "35", "url": "https://x/35", "status": "open", "raw_status": "Open", "assignee": None}
    return {
        "id": handoff_id,
        "key": f"key-{handoff_id}",
        "conversation_id": "c-1",
        "state": "with_humans",
        "desk": "support",
        "group": None,
        "urgency": "normal",
        "reason": "configured",
        "trigger": None,
        "holder": "human",
        "created_at": "2026-11-20T09:31:00Z",
        "ticket": ticket,
        "attempts": 1,
        "last_error": None,
        "updates": [],
    } | more


class FakeRail:
    """Remembers what it was asked, and answers from ``known``."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.known: dict[str, dict[str, Any]] = {}
        self.refuse: dict[str, Exception] = {}
        self.on_wait: Callable[[str, float], Ticket | None] = lambda _id, _timeout: None
        self.findings = [Finding("desks.support: credentials", True, "accepted")]
        self.closed = 0

    def close_connections(self) -> None:
        self.closed += 1

    def hand_off(self, conversation: Conversation, **wishes: Any) -> SimpleNamespace:
        self.asked.append(("hand_off", conversation.id, wishes))
        if conversation.id in self.refuse:
            raise self.refuse[conversation.id]
        handoff_id = f"H-{conversation.id}"
        self.known.setdefault(handoff_id, a_handoff(handoff_id, state="accepted", ticket=None))
        return SimpleNamespace(id=handoff_id)

    def deliver(self, handoff_id: str, **more: Any) -> Ticket | None:
        self.known[handoff_id] = a_handoff(handoff_id, **more)
        return Ticket(id="35") if self.known[handoff_id]["ticket"] else None

    def wait(self, handoff_id: str, timeout: float = 30) -> Ticket | None:
        self.asked.append(("wait", handoff_id))
        return self.on_wait(handoff_id, timeout)

    def show(self, handoff_id: str) -> dict[str, Any]:
        if handoff_id not in self.known:
            raise NotFound(f"no handoff {handoff_id!r}; see `handrail list`")
        return {**self.known[handoff_id], "timeline": [{"at": "2026-11-20T09:31:00Z", "text": "accepted"}]}

    def list(self, **filters: Any) -> Any:
        self.asked.append(("list", filters))
        return list(self.known.values())

    def retry(self, handoff_id: str) -> None:
        self.show(handoff_id)
        self.asked.append(("retry", handoff_id))

    def retry_all(self) -> Any:
        return list(self.known)

    def say(self, handoff_id: str, message: Message) -> None:
        self.asked.append(("say", handoff_id, message))

    def attempt(self, handoff_id: str) -> None:
        self.asked.append(("attempt", handoff_id))

    def close(self, handoff_id: str) -> None:
        self.asked.append(("close", handoff_id))

    def cancel(self, handoff_id: str) -> None:
        raise Conflict(f"{handoff_id} is on the desk already; close it instead")

    def sync(self, desk: str | None, failed: Callable[[str, Exception], None]) -> dict[str, int]:
        self.asked.append(("sync", desk))
        for name, error in self.refuse.items():
            failed(name, error)
        return {"support": 2}

    def check(self, offline: bool = False) -> Any:
        self.asked.append(("check", offline))
        return self.findings

    def work_until_idle(self) -> None:
        self.asked.append(("work_until_idle",))

    @contextmanager
    def working(self) -> Iterator[None]:
        self.asked.append(("working",))
        yield
        self.asked.append(("stopped",))


@pytest.fixture
def rail(monkeypatch: pytest.MonkeyPatch) -> FakeRail:
    fake = FakeRail()

    def opened(config: Path | None = None) -> FakeRail:
        fake.asked.append(("open", config))
        return fake

    monkeypatch.setattr("handrail.rail.Handrail.open", opened)
    return fake


@pytest.fixture
def conversations(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """What each file holds, by the file's name."""
    files: dict[str, list[Any]] = {}

    def read_conversations(path: Path) -> Iterator[Any]:
        if str(path) not in files:
            yield InputError("cannot be read", file=str(path))
            return
        yield from files[str(path)]

    module = ModuleType("handrail.transcripts")
    module.__dict__["read_conversations"] = read_conversations
    monkeypatch.setitem(sys.modules, "handrail.transcripts", module)
    return files


@pytest.fixture
def _acme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handrail.plugins.connectors", lambda: {"acme": Acme})


def conversation(conversation_id: str) -> Conversation:
    return Conversation(id=conversation_id, messages=(Message(role=Role.CUSTOMER, text="Where is it?"),))


def run(*args: str, status: int = 0) -> Result:
    result = CliRunner().invoke(app, args, prog_name="handrail")
    assert result.exit_code == status, (result.exit_code, result.output, result.exception)
    return result


def document(*args: str, status: int = 0) -> Any:
    """The one JSON document on stdout."""
    return json.loads(run(*args, "--json", status=status).stdout)


# handoff


def test_a_handoff_is_accepted_awaited_and_printed(
    rail: FakeRail, conversations: dict[str, list[Any]]
) -> None:
    conversations["a.json"] = [conversation("c1")]
    rail.on_wait = lambda handoff_id, _timeout: rail.deliver(handoff_id)
    result = run("handoff", "a.json", "--config", "x.toml")
    assert result.stdout.splitlines()[1].split("\t") == [
        "H-c1",
        "with_humans",
        "support",
        "35",
        "https://x/35",
    ]
    assert rail.asked[0] == ("open", Path("x.toml"))
    assert rail.closed == 1


def test_the_options_of_a_handoff_reach_the_rail(rail: FakeRail, conversations: dict[str, list[Any]]) -> None:
    conversations["a.json"] = [conversation("c1")]
    options = (
        "--desk d --group g --urgency high --reason policy --summary s --next-step a --next-step b --key k"
    )
    run("handoff", "a.json", "--no-wait", *options.split(), status=3)
    assert rail.asked[1] == (
        "hand_off",
        "c1",
        {
            "desk": "d",
            "group": "g",
            "urgency": "high",
            "reason": "policy",
            "summary": "s",
            "next_steps": ("a", "b"),
            "key": "k",
        },
    )
    assert "wait" not in [call[0] for call in rail.asked]


def test_what_is_not_delivered_in_time_ends_with_3(
    rail: FakeRail, conversations: dict[str, list[Any]]
) -> None:
    conversations["a.json"] = [conversation("c1")]
    waits: list[float] = []

    def on_wait(_id: str, timeout: float) -> None:
        waits.append(timeout)
        time.sleep(timeout)

    rail.on_wait = on_wait
    shown = document("handoff", "a.json", "--timeout", "0.2", status=3)
    assert 0 < sum(waits) <= 0.2
    assert shown["errors"] == []
    assert [h["state"] for h in shown["handoffs"]] == ["accepted"]


def test_the_timeout_is_for_all_together(rail: FakeRail, conversations: dict[str, list[Any]]) -> None:
    conversations["a.json"] = [conversation(f"c{n}") for n in range(40)]
    rail.on_wait = lambda _id, timeout: time.sleep(timeout)
    run("handoff", "a.json", "--timeout", "0.3", status=3)
    assert len({call[1] for call in rail.asked if call[0] == "wait"}) < 40, "those behind have no time left"


def test_several_handoffs_are_awaited_at_once(rail: FakeRail, conversations: dict[str, list[Any]]) -> None:
    together = threading.Barrier(8, timeout=5)

    def on_wait(handoff_id: str, _timeout: float) -> Ticket | None:
        together.wait()
        return rail.deliver(handoff_id)

    rail.on_wait = on_wait
    conversations["a.json"] = [conversation(f"c{n}") for n in range(8)]
    assert len(document("handoff", "a.json")["handoffs"]) == 8


def test_a_wait_is_resumed_until_the_ticket_is_there(
    rail: FakeRail, conversations: dict[str, list[Any]]
) -> None:
    def on_wait(handoff_id: str, timeout: float) -> Ticket | None:
        if [call[0] for call in rail.asked].count("wait") < 3:
            return time.sleep(timeout)
        return rail.deliver(handoff_id)

    rail.on_wait = on_wait
    conversations["a.json"] = [conversation("c1")]
    run("handoff", "a.json", "--timeout", "20")
    assert [call[0] for call in rail.asked].count("wait") == 3


def test_an_undelivered_handoff_ends_with_4_at_once(
    rail: FakeRail, conversations: dict[str, list[Any]]
) -> None:
    conversations["a.json"] = [conversation("c1"), conversation("c2")]
    rail.on_wait = lambda handoff_id, _timeout: (
        rail.deliver(handoff_id)
        if handoff_id == "H-c1"
        else rail.deliver(handoff_id, state="undelivered", ticket=None, last_error="422: no such group")
    )
    result = run("handoff", "a.json", status=4)
    assert "422: no such group" in result.stdout


def test_bad_input_is_named_and_the_good_ones_go_on(
    rail: FakeRail, conversations: dict[str, list[Any]]
) -> None:
    bad = InputError("must be text", file="a.jsonl", line=2, field="messages[0].text")
    conversations["a.jsonl"] = [conversation("c1"), bad, conversation("c2"), conversation("c3")]
    rail.refuse["c3"] = Conflict("the key c3 was used with other content; use another --key")
    rail.on_wait = lambda handoff_id, _timeout: rail.deliver(handoff_id)
    shown = document("handoff", "a.jsonl", "missing.json", status=4)
    assert [h["id"] for h in shown["handoffs"]] == ["H-c1", "H-c2"]
    assert "timeline" not in shown["handoffs"][0]
    assert shown["errors"] == [
        {"file": "a.jsonl", "line": 2, "field": "messages[0].text", "message": "must be text"},
        {
            "file": "a.jsonl",
            "line": None,
            "field": "key",
            "message": "the key c3 was used with other content; use another --key",
        },
        {
            "file": "missing.json",
            "line": None,
            "field": None,
            "message": "cannot be read",
        },
    ]
    result = run("handoff", "a.jsonl", status=4)
    assert "handrail: a.jsonl:2: messages[0].text: must be text" in result.stderr


def test_real_files_and_standard_input_are_read(rail: FakeRail, tmp_path: Path) -> None:
    good = {"id": "c1", "messages": [{"role": "customer", "text": "Where is it?"}]}
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps(good) + "\n{broken\n" + json.dumps(good | {"id": "c2"}), "utf-8")
    shown = document("handoff", str(file), "--no-wait", status=4)
    assert [h["id"] for h in shown["handoffs"]] == ["H-c1", "H-c2"]
    assert [(error["file"], error["line"]) for error in shown["errors"]] == [(str(file), 2)]
    piped = CliRunner().invoke(app, ["handoff", "-", "--no-wait"], input=json.dumps(good))
    assert (piped.exit_code, piped.stderr) == (3, "")
    assert document("handoff", str(tmp_path / "no.json"), status=4)["errors"][0]["field"] is None


def test_a_redactor_that_fails_keeps_back_its_conversation_only(
    rail: FakeRail, conversations: dict[str, list[Any]]
) -> None:
    conversations["a.jsonl"] = [conversation(f"c{n}") for n in (1, 2, 3)]
    rail.refuse["c2"] = RedactorFailed("the redactor of plugin x failed (KeyError); nothing was handed off")
    shown = document("handoff", "a.jsonl", "--no-wait", status=4)
    assert [h["id"] for h in shown["handoffs"]] == ["H-c1", "H-c3"]
    assert [error["message"] for error in shown["errors"]] == [str(rail.refuse["c2"])]


def test_the_same_conversation_twice_is_one_handoff(
    rail: FakeRail, conversations: dict[str, list[Any]]
) -> None:
    conversations["a.json"] = [conversation("c1"), conversation("c1")]
    shown = document("handoff", "a.json", "a.json", "--no-wait", status=3)
    assert len(shown["handoffs"]) == 1


def test_a_key_is_for_one_conversation(rail: FakeRail, conversations: dict[str, list[Any]]) -> None:
    conversations["a.json"] = [conversation("c1"), conversation("c2")]
    assert "--key" in run("handoff", "a.json", "--key", "k", status=2).stderr
    assert rail.asked == []


def test_an_unknown_desk_is_an_error_in_what_was_asked(
    rail: FakeRail, conversations: dict[str, list[Any]]
) -> None:
    conversations["a.json"] = [conversation("c1")]
    rail.refuse["c1"] = NotFound("no desk 'x' is configured; known are support")
    result = run("handoff", "a.json", "--desk", "x", "--json", status=1)
    assert result.stderr == "handrail: no desk 'x' is configured; known are support\n"
    assert result.stdout == ""


@pytest.mark.parametrize(
    "args",
    [
        ("handoff",),
        ("handoff", "a.json", "--urgency", "hot"),
        ("handoff", "a.json", "--reason", "bored"),
        ("handoff", "a.json", "--timeout", "-1"),
        ("list", "--state", "lost"),
        ("list", "--since", "yesterday"),
        ("list", "--limit", "0"),
        ("list", "--limit", str(2**63)),
        ("retry",),
        ("retry", "H1", "--all"),
        ("say", "H1", "  "),
        ("serve", "--port", "70000"),
        ("nonsense",),
        ("list", "--nonsense"),
    ],
)
def test_wrong_usage_ends_with_2(rail: FakeRail, args: tuple[str, ...]) -> None:
    assert run(*args, status=2).stdout == ""
    assert rail.asked == []


def test_the_words_of_the_options_are_those_of_the_model() -> None:
    assert get_args(common.UrgencyName) == tuple(Urgency)
    assert get_args(common.ReasonName) == tuple(Reason)
    assert get_args(common.StateName) == tuple(State)


# list, show, retry, cancel, say, close


def test_list_filters_and_prints(rail: FakeRail) -> None:
    rail.known = {"H1": a_handoff(), "H2": a_handoff("H2", state="undelivered", ticket=None)}
    result = run(
        "list", "--state", "undelivered", "--desk", "d", "--group", "g", "--since", "30d", "--limit", "7"
    )
    filters = rail.asked[1][1]
    assert abs(datetime.now(UTC) - timedelta(days=30) - filters.pop("since")) < timedelta(minutes=1)
    assert filters == {"state": State.UNDELIVERED, "desk": "d", "group": "g", "limit": 7}
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == ["HANDOFF", "H1", "H2"]
    assert [h["id"] for h in document("list")["handoffs"]] == ["H1", "H2"]


def test_an_id_stays_whole_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    known = a_handoff("01KB1V6Q3W8Z5T4R2P0N9M7K6J")
    known["ticket"] = known["ticket"] | {"url": "https://desk.example.com/agent/tickets/4294967356"}
    common.handoff_table([known])
    shown = capsys.readouterr().out
    assert known["id"] in shown
    assert max(map(len, shown.splitlines()[1:])) <= 80  # the first line has marks for bold


def test_since_may_be_a_time(rail: FakeRail) -> None:
    run("list", "--since", "2026-11-20T09:30:00+01:00")
    assert rail.asked[1][1]["since"] == datetime(2026, 11, 20, 8, 30, tzinfo=UTC)
    run("list", "--since", "2026-11-20")
    assert rail.asked[3][1]["since"] == datetime(2026, 11, 20, tzinfo=UTC)


def test_show_prints_facts_ticket_and_the_timeline_in_order(rail: FakeRail) -> None:
    reply = {
        "id": "u1",
        "kind": "reply",
        "at": "2026-11-20T09:40:00.5Z",
        "actor": {"kind": "human", "name": "Ann\x1b[31m"},
        "text": "Two\nlines",
        "status": None,
    }
    more = {
        "due": {"first_response": "2026-11-20T12:00:00Z", "resolution": None},
        "to_send": [{"kind": "say"}],
    }
    rail.known["H1"] = a_handoff(updates=[reply], next_steps=["Look", "Answer"], **more)
    lines = run("show", "H1").stdout.splitlines()
    said = dict(line.split("  ", 1) for line in lines if "  " in line)
    said = {name: value.strip() for name, value in said.items()}
    assert said["id"] == "H1"
    assert said["ticket url"] == "https://x/35"
    assert said["next steps"] == "Look; Answer"
    assert said["due first response"] == "2026-11-20T12:00:00Z"
    assert said["to send"] == "say"
    assert "due resolution" not in said
    assert lines[-2].split("\t") == ["2026-11-20T09:31:00Z", "handrail", "", "accepted"]
    assert lines[-1].split("\t") == ["2026-11-20T09:40:00.5Z", "reply", "Ann�[31m", "Two lines"]
    assert document("show", "H1")["updates"] == [reply]


def test_an_unknown_handoff_is_an_error_without_a_traceback(rail: FakeRail) -> None:
    result = run("show", "H9", status=1)
    assert result.stderr == "handrail: no handoff 'H9'; see `handrail list`\n"
    assert rail.closed == 1


def test_retry_tries_each_and_says_which_are_unknown(rail: FakeRail) -> None:
    rail.known = {"H1": a_handoff(), "H2": a_handoff("H2")}
    result = run("retry", "H1", "H9", "H2", "H1", "--json", status=1)
    assert [h["id"] for h in json.loads(result.stdout)["handoffs"]] == ["H1", "H2"]
    assert "'H9'" in result.stderr
    assert [h["id"] for h in document("retry", "--all")["handoffs"]] == ["H1", "H2"]
    rail.known = {}
    assert run("retry", "--all").stdout == "Nothing to do\n"


def test_say_is_the_customer_s_message(rail: FakeRail) -> None:
    rail.known["H1"] = a_handoff()
    assert document("say", "H1", "Any news?")["id"] == "H1"
    _, handoff_id, message = rail.asked[1]
    assert (handoff_id, message.role, message.text) == ("H1", Role.CUSTOMER, "Any news?")
    assert ("attempt", "H1") in rail.asked


def test_what_is_durable_and_not_on_the_desk_yet_ends_with_3(rail: FakeRail) -> None:
    rail.known["H1"] = a_handoff(to_send=[{"kind": "say"}])
    for command in (("say", "H1", "Any news?"), ("close", "H1"), ("retry", "H1")):
        run(*command, status=3)


def test_close_and_cancel(rail: FakeRail) -> None:
    rail.known["H1"] = a_handoff()
    assert "H1\twith_humans" in run("close", "H1").stdout
    assert ("close", "H1") in rail.asked
    assert "close it instead" in run("cancel", "H1", status=1).stderr


# check, connectors, init, schema, demo, sync, work


def test_check_prints_findings_and_its_status_says_whether_all_is_well(rail: FakeRail) -> None:
    assert "ok\tdesks.support: credentials\taccepted" in run("check").stdout
    rail.findings.append(Finding("desks.support: groups", False, "no group 'Billing'; create it"))
    shown = document("check", "--offline", status=1)
    assert shown["findings"][1] == {
        "subject": "desks.support: groups",
        "ok": False,
        "message": "no group 'Billing'; create it",
    }
    assert rail.asked[-1] == ("check", True)


def test_check_of_a_broken_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(_config: Path | None) -> Any:
        raise ConfigError("desks.support.poll: 'soon' is no duration")

    monkeypatch.setattr("handrail.rail.Handrail.open", opened)
    assert "'soon' is no duration" in run("check", status=1).stderr
    assert document("check", status=1)["findings"] == [
        {"subject": "configuration", "ok": False, "message": "desks.support.poll: 'soon' is no duration"}
    ]


@pytest.mark.usefixtures("_acme")
def test_connectors_and_their_settings() -> None:
    assert document("connectors") == {
        "connectors": [{"name": "acme", "title": "Acme Desk", "can": ["attach", "poll"]}]
    }
    assert "acme\tAcme Desk\tattach, poll" in run("connectors").stdout
    settings = {each["name"]: each for each in document("connectors", "acme")["settings"]}
    assert settings["token"] == {
        "name": "token",
        "description": "API token",
        "required": True,
        "default": None,
        "secret": True,
    }
    assert settings["poll"]["default"] == "1m"
    assert "token\tyes\t\tyes\tAPI token" in run("connectors", "acme").stdout
    assert "did you mean 'acme'?" in run("connectors", "acne", status=1).stderr


def test_no_connector_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handrail.plugins.connectors", dict)
    assert "pip install" in run("connectors").stdout


@pytest.mark.usefixtures("_acme")
def test_init_writes_a_file_that_loads_and_never_replaces_one(tmp_path: Path) -> None:
    from handrail.config import load

    place = tmp_path / "handrail.toml"
    shown = document("init", "--config", str(place))
    assert shown == {"path": str(place), "desks": ["acme"], "variables": ["ACME_TOKEN"]}
    assert load(place, {"ACME_TOKEN": "t"}).desks == {"acme": Acme(account="x", token="t")}
    place.write_text("mine")
    assert "is there already" in run("init", "--config", str(place), status=1).stderr
    assert place.read_text() == "mine"
    assert "ACME_TOKEN" in run("init", "--config", str(place), "--force").stdout
    assert place.read_text() != "mine"
    assert "cannot write" in run("init", "--config", str(tmp_path / "no" / "x.toml"), status=1).stderr


def test_init_sets_up_one_desk_or_those_that_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from handrail.config import load

    known = {"acme": Acme, "best": type("Best", (Acme,), {"name": "best"})}
    monkeypatch.setattr("handrail.plugins.connectors", lambda: known)
    place = tmp_path / "handrail.toml"
    said = run("init", "--config", str(place)).stdout
    assert "with the desk acme" in said
    assert "(best): `handrail init NAME --force`" in said
    assert list(load(place, {"ACME_TOKEN": "t"}).desks) == ["acme"]
    shown = document("init", "best", "acme", "--force", "--config", str(place))
    assert shown["desks"] == ["best", "acme"]
    assert shown["variables"] == ["ACME_TOKEN", "BEST_TOKEN"]
    assert load(place, {"ACME_TOKEN": "t", "BEST_TOKEN": "t"}).desk == "best"
    wrong = run("init", "bets", "--force", "--config", str(place), status=1).stderr
    assert "did you mean 'best'?" in wrong


@pytest.mark.usefixtures("_acme")
def test_schema_is_one_json_document() -> None:
    assert json.loads(run("schema").stdout)["title"] == "handrail.toml"
    assert document("schema", "--config", "any")["title"] == "handrail.toml"


@pytest.mark.parametrize(("answer", "status"), [(None, 0), (0, 0), (1, 1)])
def test_demo_ends_with_the_status_of_the_demo(
    monkeypatch: pytest.MonkeyPatch, answer: int | None, status: int
) -> None:
    module = ModuleType("handrail.demo")
    module.__dict__["run"] = lambda: answer
    monkeypatch.setitem(sys.modules, "handrail.demo", module)
    run("demo", status=status)


@pytest.mark.usefixtures("_acme")
def test_a_demo_says_which_desk_it_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Acme, "simulated", "no_such_package_at_all:Desk")
    monkeypatch.setattr("handrail.demo.connectors", lambda: {"acme": Acme})
    said = run("demo", status=1).stdout
    assert "Acme Desk is left out" in said
    assert "pip install 'handrail-acme[testing]'" in said


def test_sync_and_work_until_idle(rail: FakeRail) -> None:
    assert document("sync", "--desk", "support") == {"desks": {"support": 2}}
    assert "support\t2" in run("sync").stdout
    run("work", "--until-idle")
    assert ("work_until_idle",) in rail.asked
    assert ("sync", "support") in rail.asked


def test_a_desk_that_fails_does_not_hide_what_the_others_told(rail: FakeRail) -> None:
    rail.refuse["billing"] = DeskPaused("401")
    shown = run("sync", "--json", status=1)
    assert json.loads(shown.stdout) == {"desks": {"support": 2}}
    assert "desks.billing: 401" in shown.stderr


# failures


def test_an_unexpected_error_is_short_and_says_how_to_see_more(
    rail: FakeRail, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**_: Any) -> Any:
        raise RuntimeError("postgresql://u:s3cr3t@host/db\nand more")

    monkeypatch.setattr(rail, "list", broken)
    monkeypatch.delenv("HANDRAIL_DEBUG", raising=False)
    result = run("list", status=1)
    assert "unexpected RuntimeError: postgresql://u:***@host/db\n" in result.stderr
    assert "HANDRAIL_DEBUG=1" in result.stderr
    monkeypatch.setenv("HANDRAIL_DEBUG", "1")
    assert isinstance(CliRunner().invoke(app, ["list"]).exception, RuntimeError)


def test_a_pipe_that_breaks_elsewhere_is_no_success(rail: FakeRail, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: Any) -> Any:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(rail, "list", broken)
    assert "BrokenPipeError" in run("list", status=1).stderr


def test_ctrl_c_ends_with_130_and_says_nothing(rail: FakeRail, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(**_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(rail, "list", interrupted)
    assert run("list", status=130).output == ""
    assert rail.closed == 1


# plugins


class Hello:
    @hookimpl
    def handrail_commands(self, app: Any) -> None:
        @app.command()
        def hello(name: str) -> None:
            print(f"hello {name}")


def test_a_plugin_adds_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = PluginManager("handrail")
    manager.add_hookspecs(Hooks)
    manager.register(Hello())
    monkeypatch.setattr("handrail.plugins.plugins", lambda: manager)
    assert run("hello", "Ann").stdout == "hello Ann\n"
    run("nonsense", status=2)


def test_a_plugin_that_fails_leaves_the_other_commands_alone(
    rail: FakeRail, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Any:
        raise ImportError("no module named x")

    monkeypatch.setattr("handrail.plugins.plugins", broken)
    assert "could not be loaded: ImportError: no module named x" in run("nonsense", status=2).stderr
    run("list")


# processes


def python(code: str, **more: Any) -> subprocess.Popen[str]:
    """A Python process. Its stdout is ours to read."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def test_help_imports_nothing_heavy() -> None:
    code = """
        import sys
        sys.argv = ["handrail", "--help"]
        from handrail.cli import main
        try:
            main()
        except SystemExit as end:
            heavy = {"pydantic", "sqlalchemy", "requests", "dbos", "starlette", "uvicorn", "rich", "pluggy"}
            print("HEAVY", sorted(heavy & set(sys.modules)), end.code)
    """
    process = python(code)
    out, err = process.communicate(timeout=60)
    assert out.splitlines()[-1] == "HEAVY [] 0", err
    for command in ("handoff", "init", "check", "serve", "work"):
        assert f"\n  {command} " in out


def test_the_command_is_installed_and_tells_its_version() -> None:
    command = Path(sys.executable).parent / "handrail"
    done = subprocess.run([command, "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("handrail 0.")


WITH_FAKE = """
    import sys
    from contextlib import contextmanager
    import handrail.rail

    class Fake:
        def close_connections(self): print("closed", file=sys.stderr, flush=True)
        def list(self, **_): return [{"id": "H" * 80, "state": "s", "desk": "d"}] * LINES
        @contextmanager
        def working(self):
            print("working", flush=True)
            yield
            print("stopped", flush=True)

    handrail.rail.Handrail.open = classmethod(lambda cls, config=None: Fake())
    sys.argv = ["handrail", *ARGS]
    from handrail.cli import main
    main()
"""


def fake_process(args: list[str], lines: int = 1) -> subprocess.Popen[str]:
    return python(WITH_FAKE.replace("ARGS", repr(args)).replace("LINES", str(lines)))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_work_stops_on_a_signal(number: signal.Signals, status: int) -> None:
    process = fake_process(["work"])
    assert process.stdout is not None
    assert process.stdout.readline() == "working\n"
    time.sleep(0.3)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (status, "stopped\n"), err
    assert "Traceback" not in err
    assert err.endswith("closed\n")


def test_a_broken_pipe_is_quiet() -> None:
    read, write = os.pipe()
    os.close(read)
    code = WITH_FAKE.replace("ARGS", repr(["list", "--json"])).replace("LINES", "5000")
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "closed\n")
