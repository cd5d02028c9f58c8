"""A command that is killed with SIGKILL: nothing is lost and nothing is doubled."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.real import connector, until, write_config

from handrail.testing import SimulatedDesk, a_conversation

pytest_plugins = ["tests.stores"]

HANDRAIL = str(Path(sys.executable).with_name("handrail"))
HANDOFFS = 40


@pytest.fixture
def desk() -> Iterator[SimulatedDesk]:
    connector("zendesk")
    from handrail.testing import SimulatedZendesk

    with SimulatedZendesk() as running:
        yield running
    assert running.errors == []


def test_a_command_that_is_killed_is_simply_run_again(
    desk: SimulatedDesk, store_url: str, tmp_path: Path
) -> None:
    config = write_config(tmp_path, store_url, desk.settings())
    file = tmp_path / "conversations.jsonl"
    lines = [a_conversation(f"question {number}", id=f"c-{number}") for number in range(HANDOFFS)]
    file.write_text("".join(line.model_dump_json() + "\n" for line in lines))
    desk.fault("reset", "POST /tickets", when="after", skip=2)
    command = [HANDRAIL, "handoff", str(file), "--config", str(config), "--timeout", "60", "--json"]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        until(lambda: len(desk.tickets) >= 5 or first.poll() is not None, "five tickets")
    finally:
        first.kill()
        first.communicate()
    assert first.returncode == -9, "it was over before it could be killed"
    again = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    handoffs = json.loads(again.stdout)["handoffs"]
    assert len(desk.tickets) == len(handoffs) == HANDOFFS
    assert {handoff["state"] for handoff in handoffs} == {"with_humans"}
    assert {handoff["ticket"]["id"] for handoff in handoffs} == {ticket.id for ticket in desk.tickets}
