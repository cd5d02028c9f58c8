"""The HTTP server, over real sockets."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import requests
import uvicorn

from handrail import ConfigError, Conflict, DeskError, InputError, NotFound, SignatureError, Unsupported
from handrail import server as serving
from handrail.server import MAX_WEBHOOK_BYTES, app


class FakeRail:
    """Stores the webhooks of the desk ``support``."""

    is_well = True

    def __init__(self) -> None:
        self.stored: list[tuple[Mapping[str, str], bytes]] = []
        self.settled: list[str] = []
        self.error: Exception | None = None
        self.on_settle: Callable[[], Any] = lambda: None
        self.happened = threading.Event()

    def receive(self, desk: str, headers: Mapping[str, str], body: bytes) -> str:
        if desk != "support":
            raise NotFound(f"no desk {desk!r} is configured; there is: support")
        if headers.get("x-secret") != "right":
            raise SignatureError("the header X-Secret is missing or wrong")
        if self.error:
            raise self.error
        self.stored.append((headers, body))
        return f"hook-{len(self.stored)}"

    def settle(self, hook_id: str) -> None:
        self.on_settle()
        self.settled.append(hook_id)
        self.happened.set()

    def list(self, limit: int = 50) -> Any:
        if self.error:
            raise self.error
        return []


@pytest.fixture
def rail() -> FakeRail:
    return FakeRail()


@contextlib.contextmanager
def listening(application: Any) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application, lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(20)
    listener.close()


@pytest.fixture
def address(rail: FakeRail) -> Iterator[str]:
    with listening(app(rail)) as url:  # type: ignore[arg-type]
        yield url


GENUINE = {"X-Secret": "right"}


def hook(address: str, body: Any = b"{}", desk: str = "support", **more: Any) -> requests.Response:
    url = f"{address}/v1/desks/{desk}/webhook"
    return requests.post(url, data=body, headers={**GENUINE, **more.pop("headers", {})}, timeout=20, **more)


def assert_problem(answer: requests.Response, status: int, detail: str) -> None:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert set(said) == {"type", "title", "status", "detail"}
    assert said["status"] == status
    assert detail in said["detail"]


def test_a_genuine_webhook_is_stored_and_settled_afterwards(address: str, rail: FakeRail) -> None:
    answer = hook(address, b'{"a": "\xc3\xa9"}', params={"q": "1"})
    assert (answer.status_code, answer.json()) == (200, {"id": "hook-1"})
    headers, body = rail.stored[0]
    assert body == b'{"a": "\xc3\xa9"}'
    assert headers["x-secret"] == "right"
    assert rail.happened.wait(5)
    assert rail.settled == ["hook-1"]


def test_the_answer_does_not_wait_for_the_settling(address: str, rail: FakeRail) -> None:
    go = threading.Event()
    rail.on_settle = lambda: go.wait(10)
    for _ in range(serving._SETTLERS * 6):
        assert hook(address).status_code == 200
    assert rail.settled == [], "an answer waited until something was settled"
    go.set()
    deadline = time.monotonic() + 10
    while len(rail.settled) < serving._SETTLERS * 6 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(rail.settled) == serving._SETTLERS * 6


def test_a_settling_that_fails_is_logged_without_a_secret(
    address: str, rail: FakeRail, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        rail.happened.set()
        raise RuntimeError("s3cr3t")

    rail.on_settle = broken
    assert hook(address).status_code == 200
    assert rail.happened.wait(5)
    assert hook(address).status_code == 200
    deadline = time.monotonic() + 5
    while "waits for the worker" not in caplog.text and time.monotonic() < deadline:
        time.sleep(0.02)
    assert "webhook hook-1 waits for the worker: RuntimeError" in caplog.text
    assert "s3cr3t" not in caplog.text


def test_a_forged_webhook_is_refused_and_not_stored(address: str, rail: FakeRail) -> None:
    assert_problem(hook(address, headers={"X-Secret": "wrong"}), 401, "X-Secret is missing or wrong")
    assert rail.stored == []


def test_an_unknown_desk_is_not_found(address: str) -> None:
    answer = hook(address, desk="sales")
    assert_problem(answer, 404, "no such desk")
    assert "support" not in answer.text  # the names of the desks are nobody's business


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [
        (Unsupported("this desk sends no webhooks"), 404, "sends no webhooks"),
        (InputError("must be an object", field="event"), 400, "event: must be an object"),
        (Conflict("stored with other content"), 409, "other content"),
        (ConfigError("desks.support.webhook_secret: missing"), 503, "send it again"),
        (DeskError("x"), 503, "send it again"),
        (RuntimeError("s3cr3t"), 503, "send it again"),
    ],
)
def test_each_error_has_its_status(
    address: str, rail: FakeRail, error: Exception, status: int, detail: str
) -> None:
    rail.error = error
    answer = hook(address)
    assert_problem(answer, status, detail)
    assert "s3cr3t" not in answer.text
    assert ("retry-after" in answer.headers) is (status == 503)


def chunks(size: int) -> Iterator[bytes]:
    for _ in range(0, size, 50_000):
        yield b"x" * 50_000


def test_a_body_at_the_limit_is_taken(address: str, rail: FakeRail) -> None:
    assert hook(address, b"x" * MAX_WEBHOOK_BYTES).status_code == 200
    assert hook(address, chunks(MAX_WEBHOOK_BYTES)).status_code == 200
    assert [len(body) for _, body in rail.stored] == [MAX_WEBHOOK_BYTES] * 2


def test_a_body_beyond_the_limit_is_413_with_and_without_its_length(address: str, rail: FakeRail) -> None:
    assert_problem(hook(address, b"x" * (MAX_WEBHOOK_BYTES + 1)), 413, "1,000,000 bytes")
    assert_problem(hook(address, chunks(MAX_WEBHOOK_BYTES + 50_000)), 413, "1,000,000 bytes")
    assert_problem(hook(address, chunks(10 * MAX_WEBHOOK_BYTES)), 413, "1,000,000 bytes")
    assert rail.stored == []


def test_an_endless_body_is_cut_off(address: str, rail: FakeRail) -> None:
    with contextlib.suppress(requests.ConnectionError):
        assert hook(address, chunks(10**10)).status_code == 413
    assert rail.stored == []
    assert hook(address).status_code == 200


def test_a_body_that_is_announced_as_enormous_is_refused_at_once(address: str) -> None:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=10)
    connection.putrequest("POST", "/v1/desks/support/webhook")
    connection.putheader("Content-Length", str(10**12))
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413
    assert json.loads(answer.read())["status"] == 413
    connection.close()


def test_a_body_that_does_not_come_is_408(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_BODY_SECONDS", 0.2)
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=10)
    connection.putrequest("POST", "/v1/desks/support/webhook")
    connection.putheader("Content-Length", "10")
    connection.endheaders(b"half")
    assert connection.getresponse().status == 408
    connection.close()


def test_a_sender_that_goes_away_stores_nothing(
    address: str, rail: FakeRail, caplog: pytest.LogCaptureFixture
) -> None:
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST /v1/desks/support/webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf"
        )
    assert hook(address).status_code == 200
    assert len(rail.stored) == 1
    assert "Traceback" not in caplog.text


def test_health_and_readiness(address: str, rail: FakeRail, caplog: pytest.LogCaptureFixture) -> None:
    for path in ("healthz", "readyz"):
        answer = requests.get(f"{address}/{path}", timeout=10)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    rail.error = RuntimeError("postgresql://u:s3cr3t@host")
    assert requests.get(f"{address}/healthz", timeout=10).status_code == 200
    assert_problem(requests.get(f"{address}/readyz", timeout=10), 503, "store")
    assert "not ready: RuntimeError" in caplog.text
    assert "s3cr3t" not in caplog.text


def test_a_server_whose_worker_is_not_well_is_not_ready(rail: FakeRail, address: str) -> None:
    rail.is_well = False
    assert_problem(requests.get(f"{address}/readyz", timeout=10), 503, "worker")
    assert requests.get(f"{address}/healthz", timeout=10).status_code == 200


def test_a_server_that_is_being_stopped_is_not_ready(rail: FakeRail) -> None:
    application = app(rail)  # type: ignore[arg-type]
    with listening(application) as address:
        assert requests.get(f"{address}/readyz", timeout=10).status_code == 200
        serving._server(application).stop(signal.SIGTERM, None)
        assert_problem(requests.get(f"{address}/readyz", timeout=10), 503, "being stopped")


def test_unknown_paths_and_methods_are_problems_too(address: str) -> None:
    assert_problem(requests.get(f"{address}/nothing", timeout=10), 404, "Not Found")
    answer = requests.get(f"{address}/v1/desks/support/webhook", timeout=10)
    assert_problem(answer, 405, "Method Not Allowed")
    assert answer.headers["allow"] == "POST"


# handrail serve

SERVE = """
    import logging, sys, time
    from contextlib import contextmanager
    import handrail.rail

    class Fake:
        def close_connections(self): print("closed", flush=True)
        def receive(self, desk, headers, body):
            time.sleep(1)
            return "hook-1"
        def settle(self, hook_id): pass
        @contextmanager
        def working(self):
            print("working", file=sys.stderr, flush=True)
            yield
            print("stopped", flush=True)

    handrail.rail.Handrail.open = classmethod(lambda cls, config=None: Fake())
    sys.argv = ["handrail", "serve", "--port", "0", *sys.argv[1:]]
    from handrail.cli import main
    main()
"""


@contextlib.contextmanager
def served(*args: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(SERVE), *args]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Handrail listens on http://"), line
        yield process, line.removeprefix("Handrail listens on ").strip()
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_serve_says_where_and_ends_gracefully_on_sigterm() -> None:
    with served() as (process, address):
        assert address.startswith("http://127.0.0.1:")
        assert not address.endswith(":0")
        assert requests.get(f"{address}/healthz", timeout=10).status_code == 200
        answers: list[requests.Response] = []
        call = threading.Thread(target=lambda: answers.append(hook(address, params={"token": "s3cr3t"})))
        call.start()
        time.sleep(0.4)
        process.send_signal(signal.SIGTERM)
        call.join(20)
        out, err = process.communicate(timeout=30)
    assert [answer.status_code for answer in answers] == [200]
    assert (process.returncode, out) == (0, "stopped\nclosed\n")
    assert "working" in err
    assert "s3cr3t" not in err
    assert "Traceback" not in err


def test_serve_without_a_worker_ends_with_130_on_ctrl_c() -> None:
    with served("--no-worker", "--host", "localhost") as (process, address):
        assert address.startswith("http://localhost:")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "closed\n")
    assert "Traceback" not in err


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}: .*--port"):
            serving._listen("127.0.0.1", port)


def test_an_ipv6_address_is_written_with_brackets() -> None:
    with serving._listen("::1", 0) as listener:
        assert serving._address("::1", listener) == f"http://[::1]:{listener.getsockname()[1]}"
