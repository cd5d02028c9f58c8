"""The simulated desk: real sockets, every fault before and after the effect, and no leaks."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import requests

from handrail.steps import Reply
from handrail.testing.clock import START, Clock
from handrail.testing.desk import Refusal, SimulatedDesk, SimulatedTicket, action, answer, route
from handrail.testing.wire import Seen


class Cases(SimulatedDesk):
    """A desk of two routes. ``made`` holds what was posted."""

    api = "/v1"

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.made: list[str] = []
        self.busy = threading.Event()

    @route("POST", "/cases")
    def make(self, seen: Seen) -> Reply:
        self.made.append(str(seen.json["title"]))
        self.busy.set()
        self.send_webhook(seen.body, {"X-Kind": "made"})
        return answer({"id": len(self.made), "title": self.made[-1]}, 201, {"Location": "/v1/cases/1"})

    @route("GET", "/cases/{id}")
    def show(self, seen: Seen, id: str) -> Reply:
        if not id.isdigit() or not 0 < int(id) <= len(self.made):
            raise Refusal(answer({"error": f"no case {id}"}, 404))
        return answer({"id": int(id), "title": self.made[int(id) - 1]})

    @route("GET", "/cases/newest")
    def newest(self, seen: Seen) -> Reply:
        return answer({"title": self.made[-1]})

    @route("DELETE", "/cases/{id}")
    def remove(self, seen: Seen, id: str) -> Reply:
        return Reply(204)

    @property
    def tickets(self) -> list[SimulatedTicket]:
        return [SimulatedTicket(str(n), title, "open") for n, title in enumerate(self.made, 1)]

    def settings(self) -> dict[str, Any]:
        return {"connector": "cases", "url": self.url}

    @action
    def human_replies(self, ticket_id: str, text: str, *, name: str | None = None) -> str:
        self.send_webhook(text.encode(), {})
        return f"{ticket_id}: {text}"


@pytest.fixture
def desk() -> Iterator[Cases]:
    with Cases(clock=Clock()) as running:
        yield running


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as own:
        yield own


def post(desk: Cases, session: requests.Session, title: str = "one") -> requests.Response:
    return session.post(f"{desk.url}/v1/cases", json={"title": title}, timeout=10)


def test_routes_answer_and_requests_are_seen_in_order(desk: Cases, session: requests.Session) -> None:
    made = post(desk, session, "Grüße")
    assert (made.status_code, made.json(), made.headers["Location"]) == (
        201,
        {"id": 1, "title": "Grüße"},
        "/v1/cases/1",
    )
    assert session.get(f"{desk.url}/v1/cases/1?a=b%20c&a=d").json()["title"] == "Grüße"
    first, second = desk.requests
    assert (first.method, first.path, first.local, first.json) == (
        "POST",
        "/v1/cases",
        "/cases",
        {"title": "Grüße"},
    )
    assert (second.query, second.body, second.at) == ({"a": "d"}, b"", START)
    assert second.headers["host"].startswith("127.0.0.1:")
    assert [seen.method for seen in desk.seen("GET /cases/{id}")] == ["GET"]
    assert [reply.status for _, reply in desk.exchanges] == [201, 200]


def test_one_connection_serves_many_requests(desk: Cases) -> None:
    with socket.create_connection(("127.0.0.1", int(desk.url.rpartition(":")[2])), timeout=10) as raw:
        for _ in range(3):
            raw.sendall(b"DELETE /v1/cases/1 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert raw.recv(4096).startswith(b"HTTP/1.1 204 No Content\r\n")


def test_a_fixed_path_wins_and_an_unknown_one_is_a_404(desk: Cases, session: requests.Session) -> None:
    post(desk, session)
    assert session.get(f"{desk.url}/v1/cases/newest").json() == {"title": "one"}
    assert session.get(f"{desk.url}/v1/cases/7").json() == {"error": "no case 7"}
    assert session.put(f"{desk.url}/v1/cases/7").status_code == 404
    assert session.get(f"{desk.url}/v2/cases/7").status_code == 404


def test_a_mistake_in_a_route_is_a_500_and_is_kept(desk: Cases, session: requests.Session) -> None:
    reply = session.post(f"{desk.url}/v1/cases", data=b"no json", timeout=10)
    assert reply.status_code == 500
    assert "JSONDecodeError" in reply.text
    assert [type(error) for error in desk.errors] == [json.JSONDecodeError]


def test_a_body_without_a_length_is_refused(desk: Cases, session: requests.Session) -> None:
    reply = session.post(f"{desk.url}/v1/cases", data=iter([b"{}"]), timeout=10)
    assert (reply.status_code, desk.requests) == (411, [])


def test_a_length_that_is_no_number_ends_the_connection_and_is_kept(desk: Cases) -> None:
    with socket.create_connection(("127.0.0.1", int(desk.url.rpartition(":")[2])), timeout=10) as raw:
        raw.sendall(b"GET /v1/cases/1 HTTP/1.1\r\nContent-Length: many\r\n\r\n")
        assert raw.recv(4096) == b""
    assert [type(error) for error in desk.errors] == [ValueError]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("lose", requests.ConnectionError, "without response"),
        ("reset", requests.ConnectionError, "reset"),
        ("half", requests.exceptions.ChunkedEncodingError, "IncompleteRead"),
    ],
)
def test_an_exchange_breaks_before_or_after_its_effect(
    desk: Cases, session: requests.Session, kind: Any, when: Any, error: type[Exception], words: str
) -> None:
    desk.fault(kind, "POST /cases", when=when)
    with pytest.raises(error, match=words):
        post(desk, session)
    assert desk.made == (["one"] if when == "after" else [])
    assert post(desk, session, "two").status_code == 201


def test_half_of_a_reply_without_a_body_is_half_of_its_head(desk: Cases, session: requests.Session) -> None:
    desk.fault("half", when="after")
    with pytest.raises(requests.ConnectionError):
        session.delete(f"{desk.url}/v1/cases/1")
    assert len(desk.requests) == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_status_is_answered_with_what_comes_along(
    desk: Cases, session: requests.Session, when: Any
) -> None:
    desk.fault(
        "status", when=when, status=429, retry_after=7, body='{"error": "slow"}', headers={"X-Left": 0}
    )
    reply = post(desk, session)
    assert (reply.status_code, reply.headers["Retry-After"], reply.headers["X-Left"]) == (429, "7", "0")
    assert (reply.json(), reply.headers["Content-Type"]) == ({"error": "slow"}, "application/json")
    assert desk.made == (["one"] if when == "after" else [])


def test_replies_that_are_no_answer(desk: Cases, session: requests.Session) -> None:
    desk.fault("html")
    desk.fault("html", status=502)
    desk.fault("empty")
    desk.fault("status")
    got = [post(desk, session) for _ in range(4)]
    assert [reply.status_code for reply in got] == [200, 502, 200, 503]
    assert [reply.text.startswith("<html>") for reply in got] == [True, True, False, False]
    assert (got[2].json(), got[3].content, desk.made) == ({}, b"", [])


def test_a_doubled_request_has_its_effect_twice(desk: Cases, session: requests.Session) -> None:
    desk.fault("duplicate", "POST *")
    assert post(desk, session).json()["id"] == 1
    assert desk.made == ["one", "one"]


def test_faults_wait_for_their_turn(desk: Cases, session: requests.Session) -> None:
    desk.fault("status", "POST /cases", status=500, skip=1, times=2)
    desk.fault("status", "/cases/{id}", status=502)
    desk.fault("status", "POST /cases", status=503)
    assert [post(desk, session).status_code for _ in range(5)] == [201, 500, 500, 503, 201]
    assert len(desk.faults) == 1
    assert session.get(f"{desk.url}/v1/cases/1").status_code == 502
    desk.fault("lose")
    desk.faults.clear()
    assert post(desk, session).status_code == 201


@pytest.mark.parametrize(
    ("kind", "more", "words"),
    [
        ("explode", {}, "no such fault"),
        ("half", {"on": "webhook"}, "cannot go wrong"),
        ("lose", {"when": "during"}, "before"),
    ],
)
def test_an_impossible_fault_is_refused(desk: Cases, kind: Any, more: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        desk.fault(kind, **more)


@pytest.mark.parametrize(("when", "made"), [("before", []), ("after", ["one"])])
def test_a_hanging_exchange_goes_on_when_released(
    desk: Cases, session: requests.Session, when: Any, made: list[str]
) -> None:
    desk.fault("hang", when=when)
    with pytest.raises(requests.Timeout):
        session.post(f"{desk.url}/v1/cases", json={"title": "one"}, timeout=(5, 0.05))
    assert desk.made == made
    desk.fault("hang", when="after")
    desk.busy.clear()
    got: list[int] = []
    waiting = threading.Thread(target=lambda: got.append(post(desk, session, "late").status_code))
    waiting.start()
    assert desk.busy.wait(10)
    desk.release()
    waiting.join(10)
    assert got == [201]


def test_a_hanging_exchange_ends_by_itself_after_its_seconds(desk: Cases, session: requests.Session) -> None:
    desk.fault("hang", when="after", seconds=0.01)
    assert post(desk, session).status_code == 201


def test_stopping_ends_what_hangs_and_leaves_no_thread(session: requests.Session) -> None:
    before = set(threading.enumerate())
    desk = Cases().start()
    post(desk, session)  # an open, idle connection
    desk.fault("hang")
    with pytest.raises(requests.Timeout):
        session.get(f"{desk.url}/v1/cases/1", timeout=(5, 0.05))
    desk.stop()
    desk.stop()
    assert set(threading.enumerate()) == before
    with pytest.raises(requests.ConnectionError):
        requests.get(desk.url, timeout=5)


def test_a_desk_that_refuses_keeps_port_and_state(desk: Cases, session: requests.Session) -> None:
    post(desk, session)
    url = desk.url
    desk.refuse()
    with pytest.raises(requests.ConnectionError, match="refused"):
        post(desk, session)
    desk.accept_again()
    assert (desk.url, post(desk, session, "two").json()["id"]) == (url, 2)
    desk.accept_again()  # harmless while it serves
    assert post(desk, session, "three").json()["id"] == 3


def test_nobody_else_gets_the_port_of_a_desk_that_refuses(desk: Cases) -> None:
    desk.refuse()  # before any connection, which would keep the port for a while by itself
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", int(desk.url.rpartition(":")[2])))


def test_a_port_that_is_taken_is_said_at_once(desk: Cases) -> None:
    with pytest.raises(OSError, match="in use"), Cases(port=int(desk.url.rpartition(":")[2])):
        pytest.fail("two desks on one port")
    with pytest.raises(RuntimeError, match="start"):
        Cases().url  # noqa: B018


def test_headers_for_every_reply(desk: Cases, session: requests.Session) -> None:
    desk.reply_headers["X-Rate-Limit"] = "700"
    assert post(desk, session).headers["X-Rate-Limit"] == "700"


def test_a_bare_desk_says_what_is_missing() -> None:
    desk = SimulatedDesk()
    assert desk.now().tzinfo is UTC
    for ask in (
        lambda: desk.tickets,
        desk.settings,
        lambda: desk.human_replies("1", "x"),
        lambda: desk.human_notes("1", "x"),
        lambda: desk.human_solves("1"),
        lambda: desk.human_assigns("1", "Eve"),
    ):
        with pytest.raises(NotImplementedError):
            ask()


# Webhooks.


def test_webhooks_arrive_before_the_reply_and_after_an_action(session: requests.Session) -> None:
    with Cases() as receiver, Cases() as desk:
        post(desk, session)
        desk.webhook = (f"{receiver.url}/v1/cases?from=desk", "secret")
        post(desk, session, "told")
        assert [(seen.query, seen.json) for seen in receiver.requests] == [
            ({"from": "desk"}, {"title": "told"})
        ]
        assert receiver.requests[0].headers["x-kind"] == "made"
        receiver.fault("lose")
        desk.human_replies("1", "{}")
        assert desk.webhook_answers[0] == 201
        assert str(desk.webhook_answers[1]).startswith("RemoteDisconnected")


def test_a_receiver_may_ask_the_desk_while_it_is_told(session: requests.Session) -> None:
    class Curious(Cases):
        asked: list[dict[str, Any]]

        @route("POST", "/hook")
        def hook(self, seen: Seen) -> Reply:
            self.asked.append(requests.get(f"{desk.url}/v1/cases/newest", timeout=5).json())
            post(desk, session, "again") if len(self.asked) == 1 else None
            return Reply(200)

    with Curious() as receiver, Cases() as desk:
        receiver.asked = []
        desk.webhook = (f"{receiver.url}/v1/hook", "secret")
        with requests.Session() as other:
            post(desk, other)
        assert receiver.asked == [{"title": "one"}, {"title": "again"}]
        assert desk.webhook_answers == [200, 200]


# Control.


def test_a_driver_controls_the_desk_over_http(desk: Cases, session: requests.Session) -> None:
    control = f"{desk.url}/_simulated"
    assert session.post(f"{control}/fault", json={"kind": "status", "status": 503}).json() == {"faults": 1}
    assert [post(desk, session).status_code for _ in range(2)] == [503, 201]
    state = session.get(f"{control}/state").json()
    assert (state["requests"], state["tickets"][0]["subject"]) == (2, "one")
    assert session.get(f"{control}/settings").json() == {"connector": "cases", "url": desk.url}
    reply = session.post(f"{control}/human", json={"action": "replies", "ticket_id": "1", "text": "Hi"})
    assert reply.json() == {"result": "1: Hi"}
    hook = {"url": "http://127.0.0.1:9/", "secret": "s"}
    assert session.post(f"{control}/webhook", json=hook).json() == {"webhook": hook["url"]}
    assert desk.webhook == (hook["url"], "s")
    assert session.post(f"{control}/webhook", json={}).json() == {"webhook": None}
    assert session.post(f"{control}/release").json() == {}
    assert len(desk.requests) == 2


def test_the_bytes_of_files_are_base64_in_the_state(desk: Cases, session: requests.Session) -> None:
    desk.state = lambda: {"file": b"abc"}  # type: ignore[method-assign]
    assert session.get(f"{desk.url}/_simulated/state").json() == {"file": "YWJj"}
    desk.state = lambda: {"file": object()}  # type: ignore[method-assign]
    assert session.get(f"{desk.url}/_simulated/state").json()["error"].startswith("TypeError")


@pytest.mark.parametrize(
    ("path", "given", "status", "words"),
    [
        ("fault", {"kind": "explode"}, 400, "no such fault"),
        ("fault", {"sort": "lose"}, 400, "'kind'"),
        ("human", {"action": "stop"}, 400, "no action 'stop'"),
        ("human", {"action": "notes", "ticket_id": "1", "text": "x"}, 400, "NotImplementedError"),
        ("explode", {}, 404, "no POST"),
    ],
)
def test_a_wrong_order_to_the_desk_is_refused_with_a_reason(
    desk: Cases, session: requests.Session, path: str, given: dict[str, Any], status: int, words: str
) -> None:
    reply = session.post(f"{desk.url}/_simulated/{path}", json=given)
    assert reply.status_code == status
    assert words in reply.json()["error"]


SERVED = """
import sys
from handrail.testing import __main__ as served
from handrail.testing.desk import SimulatedDesk

class Empty(SimulatedDesk):
    tickets = []

class Acme:
    simulated = "__main__:Empty"

class Bare:
    simulated = None

class Wrong:
    simulated = "builtins:dict"

class Extra:
    simulated = "no_such_package_at_all:Desk"

served.connectors = lambda: {"acme": Acme, "bare": Bare, "extra": Extra, "wrong": Wrong}
sys.exit(served.main(sys.argv[1:]))
"""


def test_a_desk_serves_in_a_process_of_its_own_until_it_is_told_to_stop() -> None:
    command = [sys.executable, "-c", textwrap.dedent(SERVED), "acme"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        state = requests.get(f"{url}/_simulated/state", timeout=10).json()
        process.terminate()
        _, errors = process.communicate(timeout=30)
    assert state == {"tickets": [], "requests": 0}
    assert (process.returncode, errors) == (0, "")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nobody", "acme, bare, extra, wrong"),
        ("bare", "no simulated"),
        ("extra", "pip install 'handrail-extra[testing]'"),
        ("wrong", "dict is not"),
    ],
)
def test_a_desk_that_cannot_be_served_is_explained(name: str, words: str) -> None:
    command = [sys.executable, "-c", textwrap.dedent(SERVED), name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert words in done.stderr


# The clock.


def test_a_clock_stands_still_until_it_is_moved() -> None:
    clock = Clock()
    assert clock() == clock.now() == START
    assert clock.advance(1.5) == START + timedelta(seconds=1.5)
    assert clock.advance(timedelta(hours=1)) == START + timedelta(hours=1, seconds=1.5)
    noon = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert clock.set(noon).isoformat() == "2026-01-01T10:00:00+00:00"


def test_a_clock_takes_no_time_without_a_zone() -> None:
    with pytest.raises(ValueError, match="aware"):
        Clock(datetime(2026, 1, 1))  # noqa: DTZ001
