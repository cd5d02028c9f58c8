"""Real processes, killed with SIGKILL again and again: nothing is lost and nothing is doubled."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.real import a_rail, connector, until, write_config

from handrail import Message, Role, State
from handrail.rail import Handrail
from handrail.testing import SimulatedDesk, a_conversation

pytest_plugins = ["tests.stores"]

HANDRAIL = str(Path(sys.executable).with_name("handrail"))
HANDOFFS = 40
SPOKEN = 10
"""So many of them get a later message."""
KILLS = 4
SEED = 7


@pytest.fixture
def desk() -> Iterator[SimulatedDesk]:
    connector("zendesk")
    from handrail.testing import SimulatedZendesk

    with SimulatedZendesk() as running:
        yield running
    assert running.errors == []


class Workers:
    """Processes of ``handrail work`` that are killed and started again."""

    def __init__(self, config: Path, count: int) -> None:
        self._command = [HANDRAIL, "work", "--config", str(config)]
        self._running = [self._start() for _ in range(count)]
        self.killed = 0

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(self._command, stderr=subprocess.PIPE, text=True)

    def kill_one(self) -> None:
        """SIGKILL one of them, without a warning; another takes its place."""
        victim = self._running.pop(0)
        assert victim.poll() is None, victim.communicate()[1]
        victim.kill()
        victim.communicate()
        self.killed += 1
        self._running.append(self._start())

    def end(self) -> list[int]:
        """The exit statuses after SIGTERM."""
        for worker in self._running:
            worker.terminate()
        said = [worker.communicate(timeout=40)[1] for worker in self._running]
        assert not any("Traceback" in words for words in said), "\n".join(said)
        return [worker.returncode for worker in self._running]

    def close(self) -> None:
        for worker in self._running:
            if worker.poll() is None:
                worker.kill()
                worker.communicate()


@contextmanager
def workers(config: Path, count: int) -> Iterator[Workers]:
    started = Workers(config, count)
    try:
        yield started
    finally:
        started.close()


def misbehave(desk: SimulatedDesk, seed: int) -> None:
    """Every few exchanges one goes wrong, before or after its effect."""
    chance = random.Random(seed)
    for _ in range(12):
        kind = chance.choice(["lose", "reset", "half", "status"])
        on = chance.choice(["POST /tickets", "POST /tickets", "PUT /tickets/{id}"])
        desk.fault(kind, on, when=chance.choice(["before", "after"]), skip=chance.randrange(4))  # type: ignore[arg-type]


def marker(number: int) -> str:
    return f"later message of {number:02}."


def accept_all(rail: Handrail) -> list[str]:
    ids = [
        rail.hand_off(a_conversation(f"question {number:02}", id=f"c-{number:02}")).id
        for number in range(HANDOFFS)
    ]
    for number in range(SPOKEN):
        rail.say(ids[number], Message(role=Role.CUSTOMER, text=marker(number)))
    return ids


def with_humans(rail: Handrail) -> list[dict[str, Any]]:
    return rail.list(state=State.WITH_HUMANS, limit=1000)


def all_there(rail: Handrail, ids: list[str]) -> bool:
    return len(with_humans(rail)) == HANDOFFS and not any(rail.show(id)["to_send"] for id in ids[:SPOKEN])


def assert_each_once(rail: Handrail, desk: SimulatedDesk, ids: list[str]) -> None:
    made = Counter(ticket.external_id for ticket in desk.tickets)
    assert len(desk.tickets) == len(ids), {key: count for key, count in made.items() if count > 1}
    found = {handoff["id"]: handoff["ticket"]["id"] for handoff in with_humans(rail)}
    assert sorted(found) == sorted(ids)
    assert sorted(found.values()) == sorted(ticket.id for ticket in desk.tickets)
    comments = Counter(comment.body for ticket in desk.tickets for comment in ticket.comments[1:])
    said = {
        number: sum(n for body, n in comments.items() if marker(number) in body) for number in range(SPOKEN)
    }
    assert said == dict.fromkeys(range(SPOKEN), 1)


def test_workers_that_are_killed_deliver_each_handoff_once(
    store_url: str, desk: SimulatedDesk, tmp_path: Path
) -> None:
    """On PostgreSQL two at once, of which one dies; on SQLite one, which is started again."""
    settings = desk.settings() | {"poll": "5s", "concurrency": 4}
    config = write_config(tmp_path, store_url, settings)
    misbehave(desk, seed=SEED)
    count = 1 if store_url.startswith("sqlite") else 2
    with ExitStack() as stack:
        rail = stack.enter_context(a_rail(store_url, {"support": settings}))
        ids = accept_all(rail)
        running = stack.enter_context(workers(config, count))
        while running.killed < KILLS:
            asked = len(desk.seen("POST /tickets"))
            until(lambda n=asked: len(desk.seen("POST /tickets")) > n or all_there(rail, ids), "a request")  # type: ignore[misc]
            running.kill_one()
        until(lambda: all_there(rail, ids), "everything delivered", patience=60)
        assert_each_once(rail, desk, ids)
        asked = len(desk.seen("POST /tickets"))
        assert set(running.end()) == {0}
        assert_each_once(rail, desk, ids)
        assert len(desk.seen("POST /tickets")) == asked


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
