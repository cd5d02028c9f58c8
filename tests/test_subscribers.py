"""Updates go out: signed, in order, at least once, whatever the receiver or our own process does."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.desks import Acme, SimulatedAcme, in_threads
from tests.real import a_rail, connector, until, write_config

import handrail.engine as engine
import handrail.posting as posting
import handrail.subscribers as sending
from handrail import Handoff, Hook, Update, UpdateKind
from handrail.config_subscribers import Subscriber
from handrail.connector import Page
from handrail.store import subscribers as stored
from handrail.testing import Clock, SimulatedDesk, World, a_conversation

pytest_plugins = ["tests.stores"]

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
HANDRAIL = str(Path(sys.executable).with_name("handrail"))
Answer = tuple[int, Mapping[str, str], bytes]


@dataclass
class Posted:
    """One request as it came in."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def data(self) -> Any:
        return json.loads(self.body)["data"]

    def is_genuine(self, key: bytes = KEY) -> bool:
        """The specification, written once more: HMAC-SHA256 over ``id.timestamp.body``."""
        signed = b".".join([self.id.encode(), self.headers["webhook-timestamp"].encode(), self.body])
        digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        return self.headers["webhook-signature"] == f"v1,{digest}"


@dataclass
class Receiver:
    """Takes webhooks over HTTP. ``answers`` are given first, then 204; ``before`` runs before each answer."""

    got: list[Posted] = field(default_factory=list)
    answers: list[Answer | None] = field(default_factory=list)
    before: Callable[[Posted], Any] = lambda posted: None
    url: str = ""

    def fails(self, *statuses: int, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers += [(status, named, b"no") for status in statuses]

    def loses(self) -> None:
        """The next connection breaks after the request was read."""
        self.answers.append(None)

    def ids(self) -> list[str]:
        return [posted.id for posted in self.got]

    def once(self) -> list[str]:
        """The ids as a receiver sees them that drops what it knows."""
        return list(dict.fromkeys(self.ids()))


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            posted = Posted(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            answer = receiver.answers.pop(0) if receiver.answers else (204, {}, b"")
            receiver.got.append(posted)
            receiver.before(posted)
            if answer is None:
                self.close_connection = True
                return
            self.send_response(answer[0])
            for name, value in {**answer[1], "Content-Length": str(len(answer[2]))}.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.wfile.write(answer[2])

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/in?tenant=7"
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


def subscriber(receiver: Receiver, **more: Any) -> Subscriber:
    return Subscriber(**{"url": receiver.url, "secret": SECRET, **more})


Make = Callable[..., World]


BOTH = pytest.mark.usefixtures("store_url")
"""Such a test runs on both stores, the others on SQLite."""


@pytest.fixture
def make(clock: Clock, acme: SimulatedAcme, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Make]:
    """Worlds on one store, each with these subscribers."""
    both = "store_url" in request.fixturenames
    store = request.getfixturevalue("store_url") if both else f"sqlite:///{tmp_path}/handrail.db"
    with contextlib.ExitStack() as stack:

        def made(*subscribers: Subscriber) -> World:
            world = World(acme, Acme, clock=clock, store=store, subscribers=subscribers)
            stack.callback(world.close)
            return world

        yield made


@pytest.fixture
def world(make: Make, receiver: Receiver) -> World:
    return make(subscriber(receiver))


def happens(world: World, handoff: Handoff, *ids: str, kind: UpdateKind = UpdateKind.REPLY) -> None:
    """The desk says this about a handoff's ticket; nothing is sent yet."""
    ticket = world.show(handoff)["ticket"]["id"]
    items = [
        Update(id=id, kind=kind, ticket_id=ticket, at=world.clock(), text="hello", public=True) for id in ids
    ]
    with world.rail.inbox.taking("desk", Page(items)) as connection:
        for item in items:
            world.rail.inbox.take(connection, "desk", item)


def quiet(world: World, receiver: Receiver) -> Handoff:
    """A handoff whose creation has been told and forgotten."""
    handoff = world.deliver()
    receiver.got.clear()
    return handoff


def feed(world: World) -> list[str]:
    return [update.id for update in world.rail.updates()]


def row(world: World) -> Any:
    (name,) = world.rail.subscriptions.named
    with world.rail.context.store.read() as connection:
        return stored.get(connection, name)


def finding(world: World) -> Any:
    return next(each for each in world.rail.check(offline=True) if each.subject.startswith("subscribers"))


def step(world: World) -> None:
    """The job that is under way, once, without the engine."""
    world.rail.run_step("notify", row(world).name, row(world).n)


# What is sent.


@BOTH
def test_an_update_arrives_as_the_contract_gives_it(world: World, receiver: Receiver) -> None:
    world.deliver()
    (posted,) = receiver.got
    (update,) = world.rail.updates()
    payload = json.loads(posted.body)
    assert posted.path == "/in?tenant=7"
    assert posted.headers["content-type"] == "application/json"
    assert payload == {
        "type": "created",
        "timestamp": payload["data"]["at"],
        "data": update.model_dump(mode="json"),
    }
    assert payload["data"]["cursor"]
    assert (posted.id, payload["timestamp"]) == (update.id, "2026-11-23T09:00:00Z")


@pytest.mark.parametrize(
    ("secret", "key"),
    [(SECRET, KEY), ("whsec-is-not-there", b"whsec-is-not-there")],
    ids=["standard", "of one's own"],
)
def test_it_is_signed_as_the_specification_says(
    make: Make, receiver: Receiver, secret: str, key: bytes
) -> None:
    world = make(subscriber(receiver, secret=secret))
    world.hand_off()
    world.run()
    (posted,) = receiver.got
    assert posted.is_genuine(key)
    assert posted.headers["webhook-timestamp"] == str(int(world.clock().timestamp()))
    posting._SIGNATURE.check(Hook(posted.body, posted.headers), secret, world.clock())


def test_a_repeated_post_has_the_time_of_its_own_and_the_same_id_and_body(
    world: World, receiver: Receiver
) -> None:
    receiver.fails(500, retry_after="60")
    world.deliver()
    first, second = receiver.got
    assert (first.id, first.body) == (second.id, second.body)
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) >= 60
    assert first.is_genuine()
    assert second.is_genuine()


@BOTH
def test_only_what_was_asked_for_arrives(make: Make, receiver: Receiver) -> None:
    world = make(subscriber(receiver, events=["reply", "assignment"]))
    handoff = world.deliver()
    happens(world, handoff, "n:1", kind=UpdateKind.NOTE)
    assert row(world) is None, "nobody is woken for what nobody asked for"
    happens(world, handoff, "r:1", "r:2")
    happens(world, handoff, "n:2", kind=UpdateKind.NOTE)
    world.run()
    assert receiver.ids() == ["desk:r:1", "desk:r:2"]
    assert finding(world).message == "0 updates to send"


@pytest.mark.parametrize("id", ["a.b", "é", "two\nlines", "x" * 5000, "a b", "<m.1@mail.example>"])
def test_an_id_that_no_header_or_signature_should_hold_is_sent_as_its_digest(
    world: World, receiver: Receiver, id: str
) -> None:
    handoff = quiet(world, receiver)
    happens(world, handoff, id, id + "2")
    receiver.fails(500)
    world.run(within=60)
    again, first, second = receiver.got
    assert again.id == first.id == f"sha256:{hashlib.sha256(first.data['id'].encode()).hexdigest()}"
    assert first.data["id"] == f"desk:{id}"
    assert second.id != first.id
    assert first.is_genuine()


# Order and repetition.


@BOTH
def test_each_arrives_in_order_whatever_the_receiver_does(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "TIMEOUT_SECONDS", 0.2)
    one, two = quiet(world, receiver), world.deliver()
    receiver.got.clear()
    released = threading.Event()
    receiver.before = lambda posted: released.wait(10) if len(receiver.got) == 5 else None
    receiver.fails(500, 429, 400)
    receiver.loses()
    receiver.fails(200, 503, 401)
    for number in range(4):
        happens(world, one, f"r:{number}a")
        happens(world, two, f"r:{number}b")
    world.run(within=3600)
    released.set()
    assert receiver.once() == [f"desk:r:{number}{of}" for number in range(4) for of in "ab"]
    assert receiver.ids()[:5] == ["desk:r:0a"] * 5
    assert len(receiver.got) == 8 + 4 + 3


@BOTH
def test_a_process_that_dies_between_post_and_commit_repeats_that_post(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def dies(*_: Any) -> bool:
        raise Killed

    handoff = quiet(world, receiver)
    happens(world, handoff, "r:1", "r:2")
    with monkeypatch.context() as patch:
        patch.setattr(stored, "move", dies)
        with pytest.raises(Killed):
            world.run()
    world.run()
    assert receiver.ids() == ["desk:r:1", "desk:r:1", "desk:r:2"]


@BOTH
def test_two_runs_of_one_job_never_turn_the_order(world: World, receiver: Receiver) -> None:
    handoff = quiet(world, receiver)
    happens(world, handoff, "r:1", "r:2", "r:3")
    both = threading.Barrier(2)
    receiver.before = lambda posted: both.wait(10) if posted.id == "desk:r:1" else None
    now = row(world)
    in_threads(2, lambda _: world.rail.run_step("notify", now.name, now.n))
    assert receiver.ids() == ["desk:r:1", "desk:r:1", "desk:r:2", "desk:r:3"]
    assert finding(world).message == "0 updates to send"


def test_a_job_that_is_out_of_date_sends_nothing(world: World, receiver: Receiver) -> None:
    handoff = quiet(world, receiver)
    happens(world, handoff, "r:1")
    receiver.fails(500)
    before = row(world).n
    step(world)
    assert row(world).n == before + 1
    world.rail.run_step("notify", row(world).name, before)
    assert receiver.ids() == ["desk:r:1"]
    world.run(within=60)
    assert receiver.ids() == ["desk:r:1"] * 2
    world.rail.run_step("notify", row(world).name, row(world).n)
    assert receiver.ids() == ["desk:r:1"] * 2


@BOTH
def test_what_is_stored_while_the_last_one_is_sent_goes_out_too(world: World, receiver: Receiver) -> None:
    handoff = quiet(world, receiver)
    happens(world, handoff, "r:1")
    receiver.before = lambda posted: happens(world, handoff, "r:2") if posted.id == "desk:r:1" else None
    world.run()
    assert receiver.ids() == ["desk:r:1", "desk:r:2"]


def test_a_job_is_short_and_leaves_the_rest_to_the_next(world: World, receiver: Receiver) -> None:
    handoff = quiet(world, receiver)
    happens(world, handoff, *(f"r:{number}" for number in range(5)))
    receiver.before = lambda posted: world.clock.advance(10)
    step(world)
    assert receiver.ids() == ["desk:r:0", "desk:r:1"]
    receiver.before = lambda posted: None
    world.run()
    assert receiver.ids() == [f"desk:r:{number}" for number in range(5)]


def test_more_than_a_page_arrives(world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "PAGE", 3)
    handoff = quiet(world, receiver)
    happens(world, handoff, *(f"r:{number}" for number in range(7)))
    world.run()
    assert receiver.ids() == [f"desk:r:{number}" for number in range(7)]


# Trouble.


@pytest.mark.parametrize("asked", ["600", "Mon, 23 Nov 2026 09:10:00 GMT"])
def test_a_subscriber_that_asks_for_time_gets_it(world: World, receiver: Receiver, asked: str) -> None:
    began = world.clock()
    receiver.fails(429, Retry_After=asked)
    world.deliver()
    assert len(receiver.got) == 2
    assert world.clock() - began >= timedelta(seconds=600)


@pytest.mark.parametrize("asked", ["9" * 400, "1e9", "-5", "soon", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_no_wait_is_longer_than_a_day(world: World, receiver: Receiver, asked: str) -> None:
    receiver.fails(503, Retry_After=asked)
    world.hand_off()
    world.run(within=86400)
    assert len(receiver.got) == 2


def test_waits_grow_to_five_minutes_and_the_update_is_never_skipped(world: World, receiver: Receiver) -> None:
    handoff = quiet(world, receiver)
    began = world.clock()
    receiver.fails(*[500] * 400)
    happens(world, handoff, "r:1")
    waits = []
    while world.clock() - began < timedelta(hours=3) and len(waits) < 1000:
        step(world)
        waits.append((row(world).due_at - world.clock()).total_seconds())
        world.clock.set(row(world).due_at)
        receiver.answers += [(500, {}, b"")]
    assert min(waits) >= 0
    assert 100 < max(waits) <= 300
    assert max(waits[:1]) <= 1
    receiver.answers.clear()
    world.run(within=300)
    assert receiver.once() == ["desk:r:1"]
    assert finding(world).ok


def test_a_subscriber_that_fails_for_days_is_tried_hourly_and_shown(
    make: Make, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    world = make(subscriber(receiver, give_up_after="1h"))
    handoff, began = quiet(world, receiver), world.clock()
    receiver.fails(*[500] * 3000)
    happens(world, handoff, "r:1", "r:2")
    assert finding(world).message == "2 updates to send"
    world.run(within=3600)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    world.run(within=7200)
    wait = row(world).due_at - world.clock()
    tried = len(receiver.got)
    world.run(within=10 * 3600)
    assert timedelta(0) <= wait <= timedelta(hours=1)
    assert 9 <= len(receiver.got) - tried <= 10
    assert [record for record in caplog.records if record.levelno == logging.ERROR]
    shown = finding(world)
    assert not shown.ok
    assert shown.message.startswith(
        f"fails since {began:%Y-%m-%d %H:%M} UTC: 500 no; 2 updates wait; is tried again"
    )
    receiver.answers.clear()
    world.run(within=3600)
    assert receiver.once() == ["desk:r:1", "desk:r:2"]
    assert (finding(world).ok, row(world).failing_since, row(world).error) == (True, None, None)


@BOTH
def test_410_stops_a_subscriber_until_a_worker_starts(
    make: Make, world: World, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    handoff = quiet(world, receiver)
    receiver.fails(410)
    happens(world, handoff, "r:1")
    world.run(within=86400)
    happens(world, handoff, "r:2")
    world.run(within=86400)
    assert receiver.ids() == ["desk:r:1"]
    shown = finding(world)
    assert not shown.ok
    assert "410 no; 2 updates wait; has stopped" in shown.message
    assert caplog.records[-1].levelno == logging.ERROR
    world.recover()
    world.run()
    assert receiver.ids() == ["desk:r:1", "desk:r:1", "desk:r:2"]
    assert finding(world).ok


def test_a_redirect_is_not_followed(world: World, receiver: Receiver) -> None:
    handoff = quiet(world, receiver)
    happens(world, handoff, "r:1")
    with receiving() as elsewhere:
        receiver.fails(301, 302, 307, 308, Location=elsewhere.url)
        for _ in range(4):
            step(world)
            assert "; the subscriber answers from another address: correct url; 1 " in finding(world).message
        assert elsewhere.got == []
    assert receiver.ids() == ["desk:r:1"] * 4


@BOTH
def test_one_that_is_down_holds_up_no_other(make: Make, receiver: Receiver) -> None:
    with receiving() as down:
        world = make(subscriber(down), subscriber(receiver))
        world.rail.subscriptions.resume()
        down.fails(*[500] * 1000)
        handoff = world.deliver()
        happens(world, handoff, "r:1")
        world.run()
        assert receiver.ids() == feed(world)
        assert set(down.ids()) == {feed(world)[0]}


def test_no_secret_shows(world: World, receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    handoff = quiet(world, receiver)
    long_answer = b"x" * (300 - len(SECRET) // 2) + SECRET.encode()
    receiver.answers += [(500, {}, f"bad: {SECRET}".encode()), (500, {}, long_answer)]
    happens(world, handoff, "r:1")
    shown = []
    for _ in range(2):
        step(world)
        shown += [finding(world).message, str(row(world)), repr(world.rail.config)]
    said = "\n".join([*shown, *(record.getMessage() for record in caplog.records)])
    assert "bad: ***" in said
    assert SECRET not in said
    assert SECRET[6:20] not in said


# Who is new, who returns, and what was left.


@BOTH
def test_a_new_subscriber_begins_now(make: Make, receiver: Receiver) -> None:
    before = make()
    handoff = before.deliver()
    happens(before, handoff, "r:1")
    world = make(subscriber(receiver))
    assert finding(world).message == "begins with the next update"
    world.recover()
    world.run()
    assert receiver.ids() == []
    happens(world, handoff, "r:2")
    world.run()
    assert receiver.ids() == ["desk:r:2"]


@BOTH
def test_one_that_was_never_seen_begins_with_what_wakes_it(make: Make, receiver: Receiver) -> None:
    handoff = make().deliver()
    world = make(subscriber(receiver))
    happens(world, handoff, "r:1", "r:2")
    world.run()
    assert receiver.ids() == ["desk:r:1", "desk:r:2"]


@BOTH
def test_a_worker_s_start_sends_what_a_process_without_the_subscriber_has_stored(
    make: Make, world: World, receiver: Receiver
) -> None:
    handoff = quiet(world, receiver)
    happens(make(), handoff, "r:1")
    world.run()
    assert receiver.ids() == []
    world.recover()
    world.recover()
    world.run()
    assert receiver.ids() == ["desk:r:1"]


@BOTH
def test_a_job_that_was_lost_is_made_anew_and_one_that_may_run_is_not(
    world: World, receiver: Receiver
) -> None:
    handoff = quiet(world, receiver)
    happens(world, handoff, "r:1")
    lost = row(world).n
    world.recover()
    assert row(world).n == lost
    world.clock.advance(engine.LEASE_SECONDS + 1)
    world.recover()
    assert row(world).n == lost + 1
    world.rail.run_step("notify", row(world).name, lost)
    assert receiver.ids() == []
    step(world)
    assert receiver.ids() == ["desk:r:1"]


@BOTH
def test_after_a_restart_it_goes_on_where_it_was(make: Make, world: World, receiver: Receiver) -> None:
    handoff = quiet(world, receiver)
    receiver.fails(204, 500, Retry_After="5")
    happens(world, handoff, "r:1", "r:2", "r:3")
    step(world)
    world.close()
    after = make(subscriber(receiver, secret="another secret for it"))
    after.run(within=60)
    assert receiver.ids() == ["desk:r:1", "desk:r:2", "desk:r:2", "desk:r:3"]
    assert receiver.got[-1].is_genuine(b"another secret for it")


def test_one_that_is_taken_out_of_the_configuration_and_put_back_misses_nothing(
    make: Make, world: World, receiver: Receiver
) -> None:
    handoff = quiet(world, receiver)
    happens(world, handoff, "r:1")
    without = make()
    without.run()
    happens(without, handoff, "r:2")
    assert receiver.ids() == []
    happens(world, handoff, "r:3")
    world.run()
    assert receiver.ids() == ["desk:r:1", "desk:r:2", "desk:r:3"]


# A real worker in the real time.


@pytest.fixture
def desk() -> Iterator[SimulatedDesk]:
    connector("zendesk")
    from handrail.testing import SimulatedZendesk

    with SimulatedZendesk() as running:
        yield running
    assert running.errors == []


def test_a_worker_sends_and_is_idle_only_when_all_is_sent(
    store_url: str, desk: SimulatedDesk, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "POLL_SECONDS", 0.05)
    receiver.fails(500)
    with a_rail(store_url, {"support": desk}, subscribers=(subscriber(receiver),)) as rail:
        for number in range(3):
            rail.hand_off(a_conversation(id=f"c-{number}"))
        rail.work_until_idle()
        expected = [update.id for update in rail.updates()]
        assert len(expected) >= 3
        assert receiver.once() == expected
        assert len(receiver.got) == len(expected) + 1
        assert all(posted.is_genuine() for posted in receiver.got)


def test_a_worker_that_is_killed_in_the_middle_of_a_post_repeats_it(
    desk: SimulatedDesk, receiver: Receiver, tmp_path: Path
) -> None:
    store, settings = f"sqlite:///{tmp_path}/handrail.db", desk.settings()
    config = write_config(tmp_path, store, settings)
    table = {"url": receiver.url, "secret": SECRET}
    with config.open("a") as file:
        file.write("\n".join(["[[subscribers]]", *(f"{k} = {json.dumps(v)}" for k, v in table.items())]))
    running: list[subprocess.Popen[bytes]] = []

    def kills(posted: Posted) -> None:
        if len(receiver.got) == 1:
            running[0].kill()
            running[0].wait()

    receiver.before = kills
    try:
        with a_rail(store, {"support": settings}, subscribers=(subscriber(receiver),)) as rail:
            assert rail.wait(rail.hand_off(a_conversation()).id)
            running.append(subprocess.Popen([HANDRAIL, "work", "--config", str(config)]))
            until(lambda: receiver.got and running[0].poll() is not None, "a killed worker")
            running.append(subprocess.Popen([HANDRAIL, "work", "--config", str(config)]))
            until(lambda: len(receiver.got) > 1, "the post once more")
            first, second, *_ = receiver.got
            assert (first.id, first.body) == (second.id, second.body)
            assert first.id == next(iter(rail.updates())).id
    finally:
        for process in running:
            process.kill()
            process.wait()
