"""Storms: real processes that are killed, stopped and starved while they work; each thing happens once."""

from __future__ import annotations

import random
import threading
from contextlib import ExitStack
from pathlib import Path

from tests.real import a_rail, until, write_config
from tests.storming import (
    SURE_SOON,
    Herd,
    a_port,
    a_slow,
    all_delivered,
    assert_each_once,
    assert_said_in_order,
    herd,
    marker,
    polled,
    say,
)

from handrail.rail import Handrail
from handrail.testing import SimulatedDesk, a_conversation

pytest_plugins = ["tests.stores"]

HANDOFFS = 25
BY_COMMAND = 10
"""So many of them are handed off by ``handrail handoff --no-wait``."""
KILLS = 4


class Clients:
    """A host application and the humans of the desk, who go on while processes die."""

    def __init__(self, rail: Handrail, desk: SimulatedDesk, count: int) -> None:
        self.rail, self.desk, self.count = rail, desk, count
        self.ids: list[str] = []
        self.spoken: dict[str, list[str]] = {}
        self.answered: dict[str, str] = {}
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._hand_off), threading.Thread(target=self._answer)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _hand_off(self) -> None:
        for number in range(self.count):
            self.ids.append(self.rail.hand_off(a_conversation(f"question {number}", id=f"c-{number}")).id)
            if number % 3 == 0:
                early = self.ids[number // 2]
                if early not in self.spoken:
                    self.spoken[early] = [marker(number, part) for part in (1, 2)]
                    for text in self.spoken[early]:
                        say(self.rail, early, text)
            self._done.wait(0.02)

    def _answer(self) -> None:
        """Each third ticket is answered as soon as it is there."""
        while not self._done.wait(0.1):
            for ticket in self.desk.tickets[::3]:
                if ticket.id not in self.answered:
                    self.answered[ticket.id] = f"answer to {ticket.id}, at last"
                    self.desk.human_replies(ticket.id, self.answered[ticket.id])

    def replies(self) -> list[tuple[str, str]]:
        return sorted(
            (u.ticket_id, u.text or "") for u in self.rail.updates(limit=10_000) if u.kind == "reply"
        )


def rage(processes: Herd, desk: SimulatedDesk, seed: int) -> None:
    """SIGKILL one process after the other, each time while the desk is busy with requests."""
    chance = random.Random(seed)
    names = list(processes.members)
    for _ in range(KILLS):
        asked = len(desk.requests)
        until(lambda n=asked: len(desk.requests) > n + 3 and desk.in_flight, "requests in flight")  # type: ignore[misc]
        processes.kill(chance.choice(names))


def another_poll(rail: Handrail) -> None:
    """Wait until a poll has ended; the one before may have died with its process, and none have ended yet."""
    now = rail.context.clock()
    until(lambda: (polled(rail) or now) > now, "another poll")


def storm(kind: str, store_url: str, tmp_path: Path, seed: int) -> None:
    with ExitStack() as stack:
        desk = stack.enter_context(a_slow(kind, 0.1))
        settings = desk.settings() | {"poll": "2s", "concurrency": 4}
        config = write_config(tmp_path, store_url, settings)
        rail = stack.enter_context(a_rail(store_url, {"support": settings}))
        file = tmp_path / "conversations.jsonl"
        lines = [a_conversation(f"asked {number}", id=f"f-{number}") for number in range(BY_COMMAND)]
        file.write_text("".join(line.model_dump_json() + "\n" for line in lines))
        processes = stack.enter_context(herd(tmp_path, config, SURE_SOON))
        port = a_port()
        alone = store_url.startswith("sqlite")
        processes.start("serve", "serve", "--port", str(port), *(["--no-worker"] if alone else []))
        for name in ["one"] if alone else ["one", "two"]:
            processes.start(name, "work")
        desk.webhook = (f"http://127.0.0.1:{port}/v1/desks/support/webhook", settings["webhook_secret"])
        command = stack.enter_context(herd(tmp_path, config)).start(
            "handoff", "handoff", str(file), "--no-wait"
        )
        clients = stack.enter_context(Clients(rail, desk, HANDOFFS))
        rage(processes, desk, seed)
        assert command.ended() == 3, command.errors
        until(lambda: len(clients.ids) == HANDOFFS, "every conversation handed off")
        ids = [each["id"] for each in rail.list(limit=1000)]
        assert len(ids) == HANDOFFS + BY_COMMAND
        until(lambda: all_delivered(rail, ids, list(clients.spoken)), "everything delivered", patience=90)
        until(lambda: len(clients.answered) >= len(desk.tickets) // 3, "humans answered")
        clients.leave()
        until(lambda: len(clients.replies()) >= len(clients.answered), "every answer")
        for _ in range(2):  # what another poll would double, it doubles now
            another_poll(rail)
        processes.end()

        assert processes.killed == KILLS
        assert_each_once(rail, desk, ids)
        for id, texts in clients.spoken.items():
            assert_said_in_order(rail, desk, id, texts)
        assert clients.replies() == sorted(clients.answered.items())


class TestStorm:
    def test_a_storm_loses_nothing_and_doubles_nothing(self, database: str, tmp_path: Path) -> None:
        storm("Zendesk", database, tmp_path, 1)


class TestStormWithoutKeys:
    def test_a_storm_on_a_desk_that_knows_no_keys(self, tmp_path: Path) -> None:
        storm("Freshdesk", f"sqlite:///{tmp_path}/handrail.db", tmp_path, 2)
