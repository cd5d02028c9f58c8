"""The commands ``replay`` and ``report``: what they print, how they end, and that they send nothing."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from tests.desks import Acme, SimulatedAcme
from tests.real import write_config
from typer.testing import CliRunner, Result

from handrail import Conversation, Handrail
from handrail.cli import app
from handrail.config import load

TRIGGERS = """
[[triggers]]
name = "asked"
when = "asked_for_human"
reason = "customer_request"
group = "first-line"

[[triggers]]
name = "stuck"
when = "failed_attempts >= 2"
reason = "unclear"
"""
HOSTILE = '<script>alert(1)</script> "><img src=x onerror=alert(1)> I want a human'


def run(*args: str, status: int = 0, **more: Any) -> Result:
    result = CliRunner().invoke(app, args, prog_name="handrail", **more)
    assert result.exit_code == status, (result.exit_code, result.output, result.exception)
    return result


def said(id: str, *texts: str, transferred: bool = False) -> dict[str, Any]:
    roles = ("customer", "ai")
    messages = [{"role": roles[n % 2], "text": text} for n, text in enumerate(texts)]
    return {"id": id, "messages": messages} | ({"fields": {"transferred": True}} if transferred else {})


FOUND = said("found", "My bag is lost", "Where?", "A human please", transferred=True)
MISSED = said("missed", "My bag is lost", transferred=True)
ADDED = said("added", HOSTILE)
KEPT = said("kept", "Thank you, it is here")


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    place = tmp_path / "policy.toml"
    place.write_text(TRIGGERS)
    return place


@pytest.fixture
def file(tmp_path: Path) -> Path:
    place = tmp_path / "conversations.jsonl"
    place.write_text("".join(json.dumps(each) + "\n" for each in (FOUND, MISSED, ADDED, KEPT)))
    return place


def test_replay_tells_when_why_and_how_much_is_right(file: Path, policy: Path) -> None:
    lines = run("replay", str(file), "--policy", str(policy)).stdout.splitlines()
    rows = {line.split("\t")[0]: line.split("\t") for line in lines if "\t" in line}

    assert rows["conversations.jsonl#1"][1:7] == ["2 of 2", "asked", "", "first-line", "normal", "hit"]
    assert rows["conversations.jsonl#2"][2] == "My bag is lost", "what was missed, in the customer's words"
    assert f"  {policy}: 2 of 4 conversations would escalate (50 %)" in lines
    assert any("It finds 1 of the 2 real transfers (50 %)" in line for line in lines)
    assert any("It misses 1" in line for line in lines)
    assert any("It adds 1:" in line for line in lines)


def test_json_is_one_document_with_every_conversation(file: Path, policy: Path) -> None:
    found = json.loads(run("replay", str(file), "--policy", str(policy), "--json").stdout)
    each = {one["conversation_id"]: one for one in found["conversations"]}

    assert [
        one["verdict"] for one in (each[name]["policy"] for name in ("found", "missed", "added", "kept"))
    ] == [*("hit", "miss", "false_alarm", "kept")]
    assert (each["found"]["policy"]["turn"], each["found"]["policy"]["trigger"]) == (2, "asked")
    assert found["summary"]["policy"]["by_trigger"] == {"asked": 2}
    assert found["errors"] == []


def test_json_without_any_good_conversation_is_a_document_too(tmp_path: Path, policy: Path) -> None:
    found = json.loads(
        run("replay", str(tmp_path / "no.json"), "--policy", str(policy), "--json", status=4).stdout
    )

    assert found["conversations"] == []
    assert found["summary"]["bad"] == 1


def test_bad_conversations_are_named_and_the_good_ones_counted(file: Path, policy: Path) -> None:
    file.write_text(file.read_text() + "{broken\n" + json.dumps({"messages": [{"role": "customer"}]}))
    result = run("replay", str(file), "--policy", str(policy), status=4)
    found = json.loads(run("replay", str(file), "--policy", str(policy), "--json", status=4).stdout)

    assert f"{file}:5: " in result.stderr
    assert f"{file}:6: messages[0]" in result.stderr
    assert [(each["file"], each["line"]) for each in found["errors"]] == [(str(file), 5), (str(file), 6)]
    assert (found["summary"]["conversations"], found["summary"]["bad"]) == (4, 2)


def test_a_rate_above_the_most_fails(file: Path, policy: Path) -> None:
    run("replay", str(file), "--policy", str(policy), "--max-rate", "0.5")
    result = run("replay", str(file), "--policy", str(policy), "--max-rate", "0.49", status=1)

    assert "escalates 2 of 4 conversations, 0.5 of them; --max-rate allows 0.49" in result.stderr


def test_two_policies_are_compared_with_the_sentence_that_caused_each_change(
    file: Path, policy: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.toml"
    other.write_text(TRIGGERS.replace("asked_for_human", "asked_for_human and turns >= 2"))
    args = ("replay", str(file), "--policy", str(policy), "--against", str(other))
    lines = run(*args).stdout.splitlines()
    found = json.loads(run(*args, "--json").stdout)

    assert "  The volume changes by -1 (-50 %); 1 decisions change" in lines
    assert "asked\t2\t1\t-1" in lines
    assert found["summary"]["changes"] == {"dropped": 1}
    [change] = [one["change"] for one in found["conversations"] if one["change"]]
    assert change["kind"] == "dropped"
    assert "I want a human" in change["because"]
    assert found["summary"]["against"]["escalated"] == 1


def test_a_change_can_be_tried_without_a_second_file(file: Path, policy: Path) -> None:
    args = ("replay", str(file), "--policy", str(policy), "--try", "asked.when=turns >= 1")
    found = json.loads(run(*args, "--json").stdout)

    assert found["summary"]["changes"] == {"added": 2, "earlier": 1}
    wrong = run("replay", str(file), "--policy", str(policy), "--try", "askd.when=turns >= 1", status=1)
    assert "did you mean 'asked'" in wrong.stderr
    run(*args, "--against", str(policy), status=2)


def test_a_desk_that_is_not_there_is_not_tried(file: Path, config: Path) -> None:
    args = ("replay", str(file), "--config", str(config), "--try")
    (name,) = load(config).desks
    wrong = run(*args, f"asked.desk={name}s", status=1)

    assert f"no desk '{name}s' is configured; did you mean '{name}'?" in wrong.stderr
    run(*args, f"asked.desk={name}")


def test_a_page_that_cannot_be_written_is_said_before_the_work(
    file: Path, policy: Path, tmp_path: Path
) -> None:
    for place, why in ((tmp_path, "it is a folder"), (tmp_path / "no" / "x.html", "there is no folder")):
        result = run("replay", str(file), "--policy", str(policy), "--html", str(place), status=1)
        assert why in result.stderr
        assert result.stdout == ""


def test_a_placeholder_for_a_time_stops_no_replay(file: Path, tmp_path: Path) -> None:
    waiting = tmp_path / "waiting.toml"
    waiting.write_text(TRIGGERS.replace('"asked_for_human"', '"asked_for_human"\ntiming = { wait = "10m" }'))
    for year in ("0001", "9999"):
        talk = said("found", "A human please")
        talk["messages"][0]["at"] = f"{year}-12-31T23:59:59Z"
        file.write_text(json.dumps(talk))
        found = json.loads(run("replay", str(file), "--policy", str(waiting), "--json").stdout)
        assert found["summary"]["policy"]["kinds"] == {"wait": 1}


def test_another_mark_can_be_named(file: Path, policy: Path) -> None:
    args = ("replay", str(file), "--policy", str(policy), "--transferred-by", "handed_over", "--json")

    assert json.loads(run(*args).stdout)["summary"]["transferred"] == 0


def test_the_page_shows_hostile_words_as_words(file: Path, policy: Path, tmp_path: Path) -> None:
    place = tmp_path / "page.html"
    run("replay", str(file), "--policy", str(policy), "--html", str(place))
    html = place.read_text("utf-8")

    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<script" not in html
    assert "<img" not in html
    assert "<svg" in html


@pytest.mark.parametrize(
    "args",
    [
        ("replay",),
        ("replay", "f", "--max-rate", "2"),
        ("report", "--since", "soon"),
        ("report", "--since", "2999-01-01"),
        ("replay", "f", "--transferred-by", ""),
    ],
)
def test_wrong_usage_ends_with_2(args: tuple[str, ...]) -> None:
    assert run(*args, status=2).stdout == ""


def test_a_policy_that_cannot_be_read_is_said(file: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text(TRIGGERS.replace("failed_attempts", "failed_attemps"))

    assert "no.toml" in run("replay", str(file), "--policy", str(tmp_path / "no.toml"), status=1).stderr
    assert "failed_attempts" in run("replay", str(file), "--policy", str(broken), status=1).stderr


@pytest.fixture
def config(tmp_path: Path, acme: SimulatedAcme, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration whose desk is simulated and counts its requests."""
    monkeypatch.setattr("handrail.plugins.connectors", lambda: {"acme": Acme})
    store = f"sqlite:///{tmp_path}/handrail.db"
    place = write_config(tmp_path, store, {"connector": "acme", "url": acme.url})
    place.write_text(place.read_text() + TRIGGERS)
    return place


def test_replay_sends_nothing(
    file: Path, config: Path, acme: SimulatedAcme, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: Any) -> None:
        raise AssertionError("a replay opened a connection")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, forbidden)
    found = json.loads(run("replay", str(file), "--config", str(config), "--json").stdout)

    assert found["summary"]["policy"]["escalated"] == 2
    assert found["conversations"][0]["policy"]["desk"] == "support"
    assert acme.requests == []
    assert not (config.parent / "handrail.db").exists(), "nor does it store anything"


def test_replay_needs_no_desks_secrets(file: Path, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACME_TOKEN_UNSET", raising=False)
    text = config.read_text().replace("[desks.support]", '[desks.support]\ntoken = "${ACME_TOKEN_UNSET}"')
    config.write_text(text)
    result = run("replay", str(file), "--config", str(config), "--json")

    assert json.loads(result.stdout)["summary"]["policy"]["escalated"] == 2
    assert "only the policy of" in result.stderr
    assert "ACME_TOKEN_UNSET" in result.stderr


def test_a_mistake_in_the_policy_is_one_even_without_secrets(file: Path, config: Path) -> None:
    text = config.read_text().replace("asked_for_human", "asked_for_humans")
    config.write_text(text.replace("[desks.support]", '[desks.support]\ntoken = "${ACME_TOKEN_UNSET}"'))

    assert "asked_for_human" in run("replay", str(file), "--config", str(config), status=1).stderr


REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "tau-bench-airline.jsonl"


@pytest.mark.skipif(not REAL.exists(), reason="the real conversations (../shared/data) are not here")
@pytest.mark.usefixtures("config")
def test_the_first_policy_on_real_conversations_says_what_it_finds_and_adds(tmp_path: Path) -> None:
    first = tmp_path / "first.toml"
    run("init", "--config", str(first))
    found = json.loads(run("replay", str(REAL), "--config", str(first), "--json").stdout)["summary"]
    lines = run("replay", str(REAL), "--config", str(first)).stdout
    counted = found["policy"]

    assert (found["conversations"], found["transferred"]) == (100, 22)
    assert counted["hits"] + counted["misses"] == 22
    assert counted["hits"] > 10
    assert f"It finds {counted['hits']} of the 22 real transfers" in lines
    assert f"It adds {counted['false_alarms']}:" in lines


def test_report_prints_the_same_as_lines_json_and_a_page(config: Path, tmp_path: Path) -> None:
    with Handrail.open(config) as rail:
        for number in range(3):
            conversation = Conversation.from_openai([{"role": "user", "content": HOSTILE}], id=f"c-{number}")
            rail.hand_off(conversation, group=HOSTILE)
    place = tmp_path / "page.html"
    lines = run("report", "--config", str(config), "--html", str(place)).stdout.splitlines()
    found = json.loads(run("report", "--config", str(config), "--since", "1h", "--json").stdout)
    html = place.read_text("utf-8")

    assert any("3 handoffs from" in line for line in lines)
    assert any(line.startswith("support\t3\t") for line in lines)
    assert found["handoffs"] == 3
    assert found["by_desk"][0]["desk"] == "support"
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_report_of_an_empty_store_says_so(config: Path, tmp_path: Path) -> None:
    place = tmp_path / "page.html"
    lines = run("report", "--config", str(config), "--html", str(place)).stdout.splitlines()

    assert any("0 handoffs from" in line for line in lines)
    assert "Nothing to show." in place.read_text("utf-8")
