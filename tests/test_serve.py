"""``handrail serve`` as a process: what humans do at the desk comes back by both roads, once."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from tests.real import PATIENCE, a_rail, connector, until, write_config

from handrail import Message, Role, State
from handrail.rail import Handrail
from handrail.server import MAX_WEBHOOK_BYTES
from handrail.testing import SimulatedDesk, a_conversation

pytest_plugins = ["tests.stores"]

HANDRAIL = str(Path(sys.executable).with_name("handrail"))


class Server:
    """A running ``handrail serve``; ``lines`` is what it printed."""

    def __init__(self, config: Path, *more: str) -> None:
        command = [HANDRAIL, "serve", "--port", "0", "--config", str(config), *more]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines: queue.Queue[str] = queue.Queue()
        self.errors: list[str] = []
        self._readers = [threading.Thread(target=self._out), threading.Thread(target=self._err)]
        for reader in self._readers:
            reader.start()
        self.url = self._address()

    def _out(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.put(line)

    def _err(self) -> None:
        assert self.process.stderr
        self.errors.extend(self.process.stderr)

    def _address(self) -> str:
        try:
            line = self.lines.get(timeout=PATIENCE)
        except queue.Empty:
            self.kill()
            raise AssertionError(f"no address was printed: {''.join(self.errors)}") from None
        said, _, url = line.strip().rpartition(" ")
        assert said == "Handrail listens on"
        return url

    def post(self, body: bytes, headers: Mapping[str, str], desk: str = "support") -> requests.Response:
        url = f"{self.url}/v1/desks/{desk}/webhook"
        return requests.post(url, data=body, headers=dict(headers), timeout=20)

    def end(self) -> int:
        """The exit status after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join()
        return status

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            if stream:
                stream.close()


@contextmanager
def serving(config: Path, *more: str) -> Iterator[Server]:
    server = Server(config, *more)
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def desk() -> Iterator[SimulatedDesk]:
    connector("zendesk")
    from handrail.testing import SimulatedZendesk

    with SimulatedZendesk() as running:
        yield running
    assert running.errors == []


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/handrail.db"


def kinds(rail: Handrail) -> list[str]:
    return [str(update.kind) for update in rail.updates()]


def hooks(rail: Handrail) -> int:
    import sqlalchemy as sa

    with rail.context.store.read() as connection:
        return int(connection.execute(sa.text("select count(*) from hooks")).scalar_one())


def hand_off(rail: Handrail) -> tuple[str, str]:
    """The ids of a handoff that the server's worker delivers, and of its ticket."""
    id = rail.hand_off(a_conversation()).id
    until(lambda: rail.show(id)["ticket"], "a ticket")
    return id, rail.show(id)["ticket"]["id"]


def answer_and_solve(desk: SimulatedDesk, ticket: str) -> None:
    desk.human_notes(ticket, "only among us", name="Bea")
    desk.human_replies(ticket, "Your refund is on its way.", name="Bea")
    desk.human_solves(ticket, name="Bea")


def assert_told_once(rail: Handrail, id: str) -> None:
    found = rail.show(id)
    told = [(update["kind"], update["text"], update["public"]) for update in found["updates"]]
    replies = [text for kind, text, _ in told if kind == "reply"]
    assert replies == ["Your refund is on its way."]
    assert [text for kind, text, public in told if kind == "note" and not public] == ["only among us"]
    assert not [text for kind, text, _ in told if kind == "customer_message"]
    assert [u["status"] for u in found["updates"] if u["kind"] == "status"].count("solved") == 1
    assert (found["state"], found["holder"]) == (State.SOLVED, "ai")
    assert not any("one more thing" in (text or "") for _, text, _ in told), "our own comment is no update"


def test_answers_come_back_by_signed_webhook(desk: SimulatedDesk, store_url: str, tmp_path: Path) -> None:
    settings = desk.settings() | {"poll": "1h"}
    config = write_config(tmp_path, store_url, settings)
    with serving(config) as server, a_rail(store_url, {"support": settings}) as rail:
        desk.webhook = (f"{server.url}/v1/desks/support/webhook", settings["webhook_secret"])
        id, ticket = hand_off(rail)
        rail.say(id, Message(role=Role.CUSTOMER, text="one more thing"))
        until(lambda: not rail.show(id)["to_send"], "the message on the ticket")
        desk.fault("duplicate", "webhook", times=2)
        answer_and_solve(desk, ticket)
        until(lambda: rail.show(id)["state"] == State.SOLVED, "solved")
        until(lambda: {"reply", "note"} <= set(kinds(rail)), "reply and note")
        assert set(desk.webhook_answers) == {200}
        desk.webhook = None
        rail.sync("support")
        rail.sync("support")
        assert_told_once(rail, id)
        assert server.end() == 0


def test_answers_come_back_by_polling(desk: SimulatedDesk, store_url: str, tmp_path: Path) -> None:
    settings = desk.settings() | {"poll": "1s"}
    config = write_config(tmp_path, store_url, settings)
    with serving(config) as server, a_rail(store_url, {"support": settings}) as rail:
        id, ticket = hand_off(rail)
        rail.say(id, Message(role=Role.CUSTOMER, text="one more thing"))
        until(lambda: not rail.show(id)["to_send"], "the message on the ticket")
        answer_and_solve(desk, ticket)
        until(lambda: rail.show(id)["state"] == State.SOLVED, "solved")
        until(lambda: {"reply", "note"} <= set(kinds(rail)), "reply and note")
        asked = len(desk.requests)
        until(lambda: len(desk.requests) > asked + 1, "another poll")
        assert_told_once(rail, id)
        assert server.end() == 0


def test_both_roads_tell_it_once(desk: SimulatedDesk, sqlite: str, tmp_path: Path) -> None:
    settings = desk.settings() | {"poll": "1s"}
    config = write_config(tmp_path, sqlite, settings)
    with serving(config) as server, a_rail(sqlite, {"support": settings}) as rail:
        desk.webhook = (f"{server.url}/v1/desks/support/webhook", settings["webhook_secret"])
        id, ticket = hand_off(rail)
        desk.fault("late", "webhook")
        answer_and_solve(desk, ticket)
        until(lambda: rail.show(id)["state"] == State.SOLVED, "solved")
        until(lambda: {"reply", "note"} <= set(kinds(rail)), "reply and note")
        asked = len(desk.requests)
        until(lambda: len(desk.requests) > asked + 1, "another poll")
        assert_told_once(rail, id)
        assert server.end() == 0


def test_a_webhook_outlives_the_server_that_took_it(desk: SimulatedDesk, sqlite: str, tmp_path: Path) -> None:
    """Without a worker the server only stores and answers; killed at once, a worker reads it later."""
    settings = desk.settings() | {"poll": "1h"}
    config = write_config(tmp_path, sqlite, settings)
    with a_rail(sqlite, {"support": settings}) as rail:
        id = rail.hand_off(a_conversation()).id
        assert rail.wait(id, 30)
        with serving(config, "--no-worker") as server:
            desk.webhook = (f"{server.url}/v1/desks/support/webhook", settings["webhook_secret"])
            desk.human_replies(rail.show(id)["ticket"]["id"], "an answer", name="Bea")
            assert desk.webhook_answers[-1] == 200
            server.process.kill()
        rail.work_until_idle()
        assert kinds(rail).count("reply") == 1


@pytest.fixture
def served(desk: SimulatedDesk, sqlite: str, tmp_path: Path) -> Iterator[tuple[Server, Handrail, Any]]:
    settings = desk.settings() | {"poll": "1h"}
    config = write_config(tmp_path, sqlite, settings)
    with serving(config, "--no-worker") as server, a_rail(sqlite, {"support": settings}) as rail:
        yield server, rail, rail.config.desks["support"]


def event(ticket: str = "1") -> bytes:
    kind = "zen:event-type:ticket.status_changed"
    body = {"type": kind, "id": "e-1", "time": datetime.now(UTC).isoformat(), "detail": {"id": ticket}}
    return json.dumps(body | {"event": {"current": "SOLVED", "previous": "OPEN"}}).encode()


def signed(desk: Any, body: bytes, age: timedelta = timedelta()) -> dict[str, str]:
    headers: dict[str, str] = desk.signature.sign(body, desk.webhook_secret, datetime.now(UTC) - age)
    return headers


def test_what_is_not_genuine_is_refused_and_not_stored(served: tuple[Server, Handrail, Any]) -> None:
    server, rail, desk = served
    body = event()
    tampered = body.replace(b"SOLVED", b"CLOSED")
    cases = {
        "unsigned": (body, {}),
        "forged": (tampered, signed(desk, body)),
        "old": (body, signed(desk, body, timedelta(minutes=6))),
        "of tomorrow": (body, signed(desk, body, -timedelta(minutes=6))),
        "no header": (body, dict.fromkeys(signed(desk, body), "")),
    }
    for what, (sent, headers) in cases.items():
        answer = server.post(sent, headers)
        assert answer.status_code == 401, what
        assert answer.headers["content-type"] == "application/problem+json", what
    assert hooks(rail) == 0
    assert server.post(body, signed(desk, body)).status_code == 200
    assert hooks(rail) == 1
    assert server.end() == 0
    log = "".join(server.errors)
    assert desk.webhook_secret not in log
    assert "Traceback" not in log


def test_size_desk_and_health(served: tuple[Server, Handrail, Any]) -> None:
    server, rail, desk = served
    large = b"x" * (MAX_WEBHOOK_BYTES + 1)
    assert server.post(large, signed(desk, large)).status_code == 413
    assert server.post(event(), signed(desk, event()), desk="nobody").status_code == 404
    assert hooks(rail) == 0
    for path in ("healthz", "readyz"):
        answer = requests.get(f"{server.url}/{path}", timeout=20)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert server.end() == 0


def test_a_second_server_on_the_same_file_serves_only_without_a_worker(
    desk: SimulatedDesk, sqlite: str, tmp_path: Path
) -> None:
    config = write_config(tmp_path, sqlite, desk.settings() | {"poll": "1h"})
    with serving(config) as first:
        command = [HANDRAIL, "serve", "--port", "0", "--config", str(config)]
        second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert second.returncode == 1
        assert "another worker process works on" in second.stderr
        with serving(config, "--no-worker") as third:
            assert requests.get(f"{third.url}/healthz", timeout=20).status_code == 200
            assert third.end() == 0
        assert first.end() == 0
