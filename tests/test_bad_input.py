"""Bad and hostile input: a clear error, or harmless text; the rest of the file is still handed off."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from handrail.testing import SimulatedDesk

CONFIG = """
[desks.support]
connector = "zendesk"
url = "{url}"
client_id = "{client_id}"
client_secret = "{client_secret}"
"""


def said(text: Any, **known: Any) -> str:
    return json.dumps({"messages": [{"role": "customer", "text": text}], **known})


LINES = {
    "good first": said("The first good one", id="good-1"),
    "malformed JSON": '{"messages": [{"role": "customer", "text": "cut off',
    "no messages": json.dumps({"id": "nothing"}),
    "empty messages": json.dumps({"id": "empty", "messages": []}),
    "unknown role": json.dumps(
        {"messages": [{"role": "custommer", "text": "x"}, {"role": "customer", "text": "y"}]}
    ),
    "20 MB message": said("x" * 20_000_000),
    "NUL and controls": said("before\x00\x01\x1b[31mafter", id="controls"),
    "unpaired surrogates": (
        '{"id": "surrogates", "messages": [{"role": "customer", "text": "a\\ud800b\\udc00c"}]}'
    ),
    "placeholder": said("{{ticket.id}} {{current_user.email}} {% if x %}", id="placeholder"),
    "HTML": said(
        '<script>alert(1)</script><img src=x onerror=alert(2)> <a href="javascript:x">y</a>', id="html"
    ),
    "10,000 messages": json.dumps(
        {"id": "long", "messages": [{"role": "customer", "text": f"message {n}"} for n in range(10_000)]}
    ),
    "good last": said("The last good one", id="good-2"),
}
BAD = ["malformed JSON", "no messages", "empty messages", "unknown role", "20 MB message"]


@pytest.fixture(scope="module")
def desk() -> Iterator[SimulatedDesk]:
    simulated = pytest.importorskip(
        "handrail_zendesk.simulated", reason="the Zendesk connector is not installed"
    )
    with simulated.SimulatedZendesk() as running:
        yield running


@pytest.fixture(scope="module")
def printed(desk: SimulatedDesk, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("rail")
    (folder / "handrail.toml").write_text(CONFIG.format(**desk.settings()))
    (folder / "mixed.jsonl").write_text("\n".join(LINES.values()), "utf-8")
    command = [sys.executable, "-m", "handrail", "handoff", "mixed.jsonl", "--json", "--timeout", "60"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return {"status": done.returncode, "stderr": done.stderr, **json.loads(done.stdout)}


def line_of(name: str) -> int:
    return list(LINES).index(name) + 1


def text_of(desk: SimulatedDesk, printed: Any, conversation_id: str) -> Any:
    ids = {each["conversation_id"]: each["ticket"]["id"] for each in printed["handoffs"]}
    return next(ticket for ticket in desk.tickets if ticket.id == ids[conversation_id])


def test_bad_entries_are_named_and_good_ones_are_handed_off(desk: SimulatedDesk, printed: Any) -> None:
    assert printed["status"] == 4
    assert [error["line"] for error in printed["errors"]] == [line_of(name) for name in BAD]
    assert {error["file"] for error in printed["errors"]} == {"mixed.jsonl"}
    assert len(printed["handoffs"]) == len(LINES) - len(BAD)
    assert {handoff["state"] for handoff in printed["handoffs"]} == {"with_humans"}
    assert len(desk.tickets) == len(LINES) - len(BAD)
    assert "Traceback" not in printed["stderr"]


@pytest.mark.parametrize(
    ("name", "field", "word"),
    [
        ("malformed JSON", None, "JSON"),
        ("no messages", "messages", "messages"),
        ("empty messages", "messages", "customer"),
        ("unknown role", "messages[0].role", "customer"),
        ("20 MB message", "messages[0]", "20,000,000"),
    ],
)
def test_an_error_names_the_field_and_the_cure(printed: Any, name: str, field: str | None, word: str) -> None:
    error = next(each for each in printed["errors"] if each["line"] == line_of(name))

    assert error["field"] == field
    assert word in error["message"]
    assert len(error["message"]) < 500


def test_control_characters_and_surrogates_arrive_as_harmless_text(desk: SimulatedDesk, printed: Any) -> None:
    controls = text_of(desk, printed, "controls").comments[0].body
    surrogates = text_of(desk, printed, "surrogates").comments[0].body

    assert "before\ufffd\ufffd\ufffd[31mafter" in controls
    assert "a\ufffdb\ufffdc" in surrogates


def test_a_placeholder_is_text(desk: SimulatedDesk, printed: Any) -> None:
    ticket = text_of(desk, printed, "placeholder")

    assert "{{ticket.id}} {{current_user.email}} {% if x %}" in ticket.comments[0].body


def test_html_is_text(desk: SimulatedDesk, printed: Any) -> None:
    comment = text_of(desk, printed, "html").comments[0]

    assert "<script>alert(1)</script><img src=x onerror=alert(2)>" in comment.body
    assert "<script" not in comment.html_body
    assert "<img" not in comment.html_body
    assert 'href="javascript' not in comment.html_body


def test_a_long_conversation_is_shortened_in_the_middle_and_goes_along_whole(
    desk: SimulatedDesk, printed: Any
) -> None:
    ticket = text_of(desk, printed, "long")
    body = ticket.comments[0].body
    (file,) = ticket.files
    whole = file.content.decode()

    assert "message 0\n" in body
    assert "message 9999" in body
    assert "conversation.txt" in body
    assert "message 5000\n" not in body
    assert [n for n in range(10_000) if f"message {n}\n" not in whole + "\n"] == []
