"""The first claim on real material: 100 conversations of a real AI agent become 100 whole tickets."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from handrail.testing import SimulatedDesk, SimulatedTicket

FILE = Path(__file__).resolve().parents[2] / "shared" / "data" / "tau-bench-airline.jsonl"
pytestmark = pytest.mark.skipif(
    not FILE.exists(), reason="the real conversations (../shared/data) are not here"
)

CONFIG = """
[desks.support]
connector = "zendesk"
url = "{url}"
client_id = "{client_id}"
client_secret = "{client_secret}"
"""


def handrail(folder: Path, *arguments: str) -> tuple[int, Any]:
    """Run the command line in a folder; its exit status and its JSON."""
    command = [sys.executable, "-m", "handrail", *arguments, "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout or "null")


def words(text: str) -> str:
    """A text as a reader takes it in: white space folded, Markdown and markup of no account."""
    return " ".join(re.sub(r"[*_`#>\\]", "", text).split())


@pytest.fixture(scope="module")
def conversations() -> list[dict[str, Any]]:
    return [json.loads(line) for line in FILE.read_text().splitlines()]


@pytest.fixture(scope="module")
def desk() -> Iterator[SimulatedDesk]:
    simulated = pytest.importorskip(
        "handrail_zendesk.simulated", reason="the Zendesk connector is not installed"
    )
    with simulated.SimulatedZendesk() as running:
        yield running


@pytest.fixture(scope="module")
def handed(desk: SimulatedDesk, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, Any]:
    folder = tmp_path_factory.mktemp("rail")
    (folder / "handrail.toml").write_text(CONFIG.format(**desk.settings()))
    return (folder, *handrail(folder, "handoff", str(FILE), "--desk", "support", "--timeout", "120"))


@pytest.fixture(scope="module")
def tickets(desk: SimulatedDesk, handed: tuple[Path, int, Any]) -> list[SimulatedTicket]:
    """The tickets in the order of the conversations in the file."""
    by_id = {ticket.id: ticket for ticket in desk.tickets}
    return [by_id[handoff["ticket"]["id"]] for handoff in handed[2]["handoffs"]]


def everything(ticket: SimulatedTicket) -> str:
    files = (file.content.decode() for file in ticket.files)
    return words("\n".join([ticket.subject, *(comment.body for comment in ticket.comments), *files]))


def test_a_hundred_conversations_are_a_hundred_tickets(
    desk: SimulatedDesk, handed: tuple[Path, int, Any]
) -> None:
    _, status, printed = handed

    assert status == 0
    assert printed["errors"] == []
    assert {handoff["state"] for handoff in printed["handoffs"]} == {"with_humans"}
    assert len(printed["handoffs"]) == 100
    assert len(desk.tickets) == 100


def test_the_same_file_again_makes_no_ticket(desk: SimulatedDesk, handed: tuple[Path, int, Any]) -> None:
    folder, _, printed = handed
    status, again = handrail(folder, "handoff", str(FILE), "--desk", "support")

    assert status == 0
    assert [each["id"] for each in again["handoffs"]] == [each["id"] for each in printed["handoffs"]]
    assert len(desk.tickets) == 100


def test_every_message_of_customer_and_ai_arrives(
    conversations: list[dict[str, Any]], tickets: list[SimulatedTicket]
) -> None:
    compared = 0
    for conversation, ticket in zip(conversations, tickets, strict=True):
        text = everything(ticket)
        for message in conversation["messages"]:
            if message["role"] in ("user", "assistant") and message["content"]:
                assert words(message["content"]) in text
                compared += 1
    assert compared > 1400


def test_every_tool_call_arrives_as_an_attempt(
    conversations: list[dict[str, Any]], tickets: list[SimulatedTicket]
) -> None:
    compared = 0
    for conversation, ticket in zip(conversations, tickets, strict=True):
        text = everything(ticket)
        tried = text[text.index("What the AI tried") :] if "What the AI tried" in text else ""
        for message in conversation["messages"]:
            for call in message.get("tool_calls") or ():
                assert words(call["function"]["name"]) in tried
                compared += 1
    assert compared > 500


def test_no_word_of_the_system_prompt_arrives(
    conversations: list[dict[str, Any]], tickets: list[SimulatedTicket]
) -> None:
    prompt = words(conversations[0]["messages"][0]["content"])
    sentences = {part.strip() for part in re.split(r"(?<=[.:?])\s+", prompt) if len(part) > 40}
    said = words(
        " ".join(m["content"] or "" for c in conversations for m in c["messages"] if m["role"] != "system")
    )
    secret = [sentence for sentence in sentences if sentence not in said]

    assert len(secret) > 30
    for ticket in tickets:
        text = everything(ticket)
        assert [sentence for sentence in secret if sentence in text] == []
