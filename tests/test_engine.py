"""The engine of the jobs, on both stores, in the real time: nothing here is simulated but the desk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.real import a_rail, connector, until, write_config

from handrail import ConfigError, Message, Role, State, StoreError, engine, keeper, presence
from handrail.engine import Duties, Jobs, Worker
from handrail.ids import ulid
from handrail.presence import Presence
from handrail.rail import Handrail
from handrail.store import Store, desks, workers
from handrail.store.alive import owner
from handrail.testing import SimulatedDesk, a_conversation

pytest_plugins = ["tests.stores"]


class Log:
    """A ``run_step`` that notes what it was asked, and does what a test wants of a step."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, str, int]] = []
        self.does: Mapping[str, Any] = {}
        self.dead: list[str] = []

    def take_over(self, name: str) -> int:
        self.dead.append(name)
        return 0

    def __call__(self, step: str, id: str, n: int) -> None:
        self.ran.append((step, id, n))
        self.does.get(id, lambda: None)()


@pytest.fixture(autouse=True)
def _brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an engine in this process does now and then, it does often."""
    monkeypatch.setattr(engine, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(engine, "MAX_PAUSE_SECONDS", 0.2)
    monkeypatch.setattr(keeper, "TICK_SECONDS", 0.05)
    monkeypatch.setattr(keeper, "REAP_SECONDS", 0.2)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = Store(store_url)
    yield opened
    opened.close()


@pytest.fixture
def jobs(store: Store) -> Jobs:
    return Jobs(store)


@pytest.fixture
def log() -> Log:
    return Log()


def a_worker(jobs: Jobs, log: Log, desks: Mapping[str, int] | None = None) -> Worker:
    """A worker that runs jobs and has nothing to deliver besides."""
    alive = Presence(jobs.store, lambda: datetime.now(UTC))
    return jobs.worker(desks or {"desk": 4}, Duties(log, lambda desk, go_on: None, log.take_over, alive))


@contextmanager
def working(jobs: Jobs, log: Log, desks: Mapping[str, int] | None = None) -> Iterator[Worker]:
    worker = a_worker(jobs, log, desks)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()


def schedule(jobs: Jobs, step: str, id: str, n: int = 0, delay: float = 0) -> None:
    with jobs.store.begin() as connection:
        jobs.schedule(connection, step, id, n, delay)


def status_table(store: Store) -> sa.Table:
    schema = None if store.is_sqlite else engine.SCHEMA
    return sa.Table("workflow_status", sa.MetaData(), schema=schema, autoload_with=store.engine)


def rows(store: Store) -> dict[str, Any]:
    """The engine's own rows by the job's id."""
    with store.read() as connection:
        return {row.workflow_uuid: row for row in connection.execute(status_table(store).select())}


def ended(store: Store) -> bool:
    return all(row.status in ("SUCCESS", "ERROR") for row in rows(store).values())


# Scheduling.


def test_a_job_runs_once_however_often_it_is_scheduled(jobs: Jobs, log: Log) -> None:
    for _ in range(3):
        schedule(jobs, "hook:desk", "a", 1)
    schedule(jobs, "hook:desk", "a", 2)
    schedule(jobs, "poll", "b")
    with working(jobs, log):
        until(lambda: len(log.ran) >= 3 and ended(jobs.store), "three jobs")
        schedule(jobs, "hook:desk", "a", 1)
        schedule(jobs, "hook:desk", "last")
        until(lambda: ("hook", "last", 0) in log.ran, "the last job")
    assert sorted(log.ran) == [("hook", "a", 1), ("hook", "a", 2), ("hook", "last", 0), ("poll", "b", 0)]


def test_a_rollback_leaves_no_job_and_a_commit_leaves_both(jobs: Jobs) -> None:
    def half() -> None:
        with jobs.store.begin() as connection:
            connection.execute(sa.text("update counters set value = 5"))
            jobs.schedule(connection, "hook", "rolled back", 0, 0)
            jobs.schedule(connection, "hook", "rolled back", 0, 60)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert rows(jobs.store) == {}
    with jobs.store.begin() as connection:
        connection.execute(sa.text("update counters set value = 6"))
        jobs.schedule(connection, "hook", "kept", 0, 0)
        with jobs.store.read() as other:
            assert other.execute(sa.text("select value from counters")).scalar() == 0
    assert list(rows(jobs.store)) == ["hook:kept:0"]
    with jobs.store.read() as connection:
        assert connection.execute(sa.text("select value from counters")).scalar() == 6


def test_a_delayed_job_waits_for_its_time(jobs: Jobs, log: Log) -> None:
    began = time.monotonic()
    schedule(jobs, "hook", "later", 0, 2)
    schedule(jobs, "hook", "far", 0, 3600)
    schedule(jobs, "hook", "now")
    with working(jobs, log):
        until(lambda: len(log.ran) == 2, "two jobs")
    assert log.ran == [("hook", "now", 0), ("hook", "later", 0)]
    assert time.monotonic() - began >= 2
    assert rows(jobs.store)["hook:far:0"].status == "DELAYED"


def test_what_is_stored_of_a_job_is_json_with_a_name_of_ours(jobs: Jobs) -> None:
    schedule(jobs, "hook:desk", "a")
    (row,) = rows(jobs.store).values()
    assert (row.serialization, row.application_version) == ("portable_json", engine.VERSION)
    assert (row.application_name, row.queue_name) == (engine.APPLICATION, "handrail/desk/back")
    inputs = "workflow_input" if jobs.store.is_sqlite else f"{engine.SCHEMA}.workflow_input"
    with jobs.store.read() as connection:
        stored = connection.execute(sa.text(f"select inputs from {inputs}")).scalar_one()
    assert json.loads(stored) == {"namedArgs": {}, "positionalArgs": ["hook:desk", "a", 0]}


def test_who_looks_whether_people_are_there_does_not_wait_for_their_desk(jobs: Jobs, log: Log) -> None:
    """A desk that hangs is when a promise is broken."""
    held = threading.Event()
    log.does = {"slow": lambda: held.wait(60)}
    with working(jobs, log, {"desk": 1}):
        schedule(jobs, "poll:desk", "slow")
        until(lambda: log.ran, "the poll")
        schedule(jobs, "watch:desk", "watched")
        until(lambda: len(log.ran) == 2, "the watch")
        held.set()


def test_a_step_that_has_failed_for_days_still_comes_back(jobs: Jobs) -> None:
    jobs.again("hook:desk:a:0~2000", "hook:desk", "a", 0)
    assert list(rows(jobs.store)) == ["hook:desk:a:0~2001"]


def test_a_queue_does_not_wait_for_another(jobs: Jobs, log: Log) -> None:
    held = threading.Event()
    log.does = {"slow": lambda: held.wait(60)}
    schedule(jobs, "deliver:slow", "slow")
    with working(jobs, log, {"slow": 1, "desk": 1}):
        until(lambda: ("deliver", "slow", 0) in log.ran, "the slow one begins")
        schedule(jobs, "deliver:slow", "behind it")
        schedule(jobs, "deliver:desk", "elsewhere")
        until(lambda: ("deliver", "elsewhere", 0) in log.ran, "the other desk's job")
        assert ("deliver", "behind it", 0) not in log.ran
        held.set()
        until(lambda: ("deliver", "behind it", 0) in log.ran, "the one behind")


# Surprises.


def test_a_step_that_raises_comes_back(jobs: Jobs, log: Log, caplog: pytest.LogCaptureFixture) -> None:
    def first_fails() -> None:
        if len(log.ran) < 3:
            raise RuntimeError("a surprise")

    log.does = {"desk/a:7": first_fails}
    schedule(jobs, "read:desk", "desk/a:7", 4)
    with working(jobs, log):
        until(lambda: len(log.ran) >= 3 and ended(jobs.store), "three tries")
    assert log.ran == [("read", "desk/a:7", 4)] * 3
    assert "step read:desk of desk/a:7 failed" in caplog.text
    assert set(rows(jobs.store)) == {f"read:desk:desk/a:7:4{again}" for again in ("", "~1", "~2")}


def test_a_job_that_is_killed_often_is_never_given_up(jobs: Jobs, log: Log) -> None:
    schedule(jobs, "hook", "a")
    with jobs.store.begin() as connection:
        connection.execute(status_table(jobs.store).update().values(recovery_attempts=500))
    with working(jobs, log):
        until(lambda: log.ran, "the job")


# Workers that die.

VICTIM = """
import os, sys, time
from datetime import UTC, datetime
from handrail.engine import Duties, Jobs
from handrail.presence import Presence
from handrail.store import Store

def step(step, id, n):
    os.write(1, (id + chr(10)).encode())  # in one piece: two threads write here
    time.sleep(600)

store = Store(sys.argv[1])
alive = Presence(store, lambda: datetime.now(UTC))
duties = Duties(step, lambda desk, go_on: None, lambda name: 0, alive)
Jobs(store).worker({"desk": 2}, duties).start()
time.sleep(600)
"""


@contextmanager
def process(script: str, *args: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", textwrap.dedent(script), *args]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield running
    finally:
        if running.poll() is None:
            running.kill()
        running.communicate()


def test_what_a_killed_worker_had_goes_on_elsewhere(jobs: Jobs, log: Log, store_url: str) -> None:
    for id in ("a", "b"):
        schedule(jobs, "deliver:desk", id)
    with process(VICTIM, store_url) as victim:
        assert victim.stdout
        assert {victim.stdout.readline().strip() for _ in "ab"} == {"a", "b"}
        if jobs.store.is_sqlite:
            victim.send_signal(signal.SIGKILL)
            victim.wait(20)
        with working(jobs, log, {"desk": 2}):  # as many as the victim, which is full with what it has
            if not jobs.store.is_sqlite:
                schedule(jobs, "deliver:desk", "c")
                until(lambda: ("deliver", "c", 0) in log.ran, "a job of the second worker")
                assert len(log.ran) == 1, "what a live worker has is left to it"
                victim.send_signal(signal.SIGKILL)
                victim.wait(20)
            until(lambda: {id for _, id, _ in log.ran} >= {"a", "b"}, "the jobs of the dead one")
            until(lambda: ended(jobs.store), "every job's end")
    assert sorted(log.ran)[:2] == [("deliver", "a", 0), ("deliver", "b", 0)]


def test_what_was_taken_longer_ago_than_an_attempt_lasts_is_taken_over(jobs: Jobs, log: Log) -> None:
    lease = keeper.TAKEN_SECONDS * 1000
    with working(jobs, log):
        for id, age in (("old", lease + 60_000), ("young", lease - 60_000)):
            schedule(jobs, "deliver:desk", id, 0, 3600)
            taken = {
                "status": "PENDING",
                "executor_id": "elsewhere:1",
                "started_at_epoch_ms": int(time.time() * 1000 - age),
            }
            table = status_table(jobs.store)
            with jobs.store.begin() as connection:
                connection.execute(
                    table.update().where(table.c.workflow_uuid == f"deliver:desk:{id}:0").values(taken)
                )
        until(lambda: log.ran, "the old job")
        schedule(jobs, "deliver:desk", "fresh")
        until(lambda: len(log.ran) == 2, "a fresh job")
    assert log.ran == [("deliver", "old", 0), ("deliver", "fresh", 0)]


def test_a_peer_of_another_machine_that_falls_silent_is_taken_for_dead(
    jobs: Jobs, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that goes on saying that it lives is left alone, whatever its clock says."""
    monkeypatch.setattr(presence, "SILENT_SECONDS", 1.5)
    schedule(jobs, "deliver:desk", "a", 0, 3600)
    schedule(jobs, "deliver:desk", "b", 0, 3600)
    table = status_table(jobs.store)
    with jobs.store.begin() as connection:
        for id, peer in (("a", "elsewhere:1:1"), ("b", "elsewhere:1:2")):
            taken = {"status": "PENDING", "executor_id": peer, "started_at_epoch_ms": int(time.time() * 1000)}
            connection.execute(
                table.update().where(table.c.workflow_uuid == f"deliver:desk:{id}:0").values(taken)
            )
    said = datetime(2001, 1, 1, tzinfo=UTC)

    def lives(peer: str) -> None:
        nonlocal said
        said += timedelta(seconds=1)
        with jobs.store.begin() as connection:
            workers.seen(connection, peer, said)

    lives("elsewhere:1:2")
    with working(jobs, log):
        until(lambda: lives("elsewhere:1:1") or bool(log.ran), "the job of the silent one")
        assert log.ran == [("deliver", "b", 0)]
        assert log.dead == ["elsewhere:1:2"]
        until(lambda: "elsewhere:1:1" in log.dead, "the other, which is silent now")


def test_stopping_finishes_what_runs_and_gives_the_rest_back(jobs: Jobs, log: Log) -> None:
    ended_at: list[float] = []
    log.does = {"slow": lambda: (time.sleep(1.5), ended_at.append(time.monotonic()))}
    worker = a_worker(jobs, log, {"desk": 1})
    worker.start()
    schedule(jobs, "deliver:desk", "slow")
    schedule(jobs, "deliver:desk", "behind")
    until(lambda: log.ran, "the first job")
    table = status_table(jobs.store)
    with jobs.store.begin() as connection:  # as if it had been taken a moment before the end
        behind = table.update().where(table.c.workflow_uuid == "deliver:desk:behind:0")
        connection.execute(behind.values(status="PENDING", executor_id=worker.executor))
    worker.stop()
    assert len(ended_at) == 1
    assert {id: row.status for id, row in rows(jobs.store).items()} == {
        "deliver:desk:slow:0": "SUCCESS",
        "deliver:desk:behind:0": "ENQUEUED",
    }
    assert rows(jobs.store)["deliver:desk:behind:0"].queue_name == "handrail/desk"


# Growth.


def test_finished_jobs_are_retired_and_others_are_not(jobs: Jobs, log: Log) -> None:
    for number in range(7):
        schedule(jobs, "hook", f"{number}")
    schedule(jobs, "hook", "far", 0, 3600)
    with working(jobs, log) as worker:
        until(lambda: sum(row.status == "SUCCESS" for row in rows(jobs.store).values()) == 7, "seven jobs")
        assert worker.keeper.retire() == 0
        until(lambda: worker.keeper.retire(keep=0) == 0, "the clocks of both")
        assert list(rows(jobs.store)) == ["hook:far:0"]
    for table in ("workflow_input", "workflow_output", "operation_outputs"):
        name = table if jobs.store.is_sqlite else f"{engine.SCHEMA}.{table}"
        with jobs.store.read() as connection:
            left = connection.execute(sa.text(f"select count(*) from {name}")).scalar_one()
        assert left <= 1, table


def test_a_worker_retires_by_itself(jobs: Jobs, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "RETIRE_SECONDS", 0.2)
    monkeypatch.setattr(keeper, "_BATCH", 2)
    for number in range(5):
        schedule(jobs, "hook", f"{number}")
    with working(jobs, log):
        until(lambda: len(log.ran) == 5 and ended(jobs.store), "five jobs")
        with jobs.store.begin() as connection:
            old = int((time.time() - keeper.KEEP_SECONDS - 60) * 1000)
            connection.execute(status_table(jobs.store).update().values(completed_at=old))
        until(lambda: not rows(jobs.store), "an empty table")


def test_webhooks_are_forgotten_a_week_after_they_were_read(jobs: Jobs, log: Log) -> None:
    now = datetime.now(UTC)
    old, week = now - timedelta(days=8), now - timedelta(days=6)
    ids = {"old": ulid(old), "kept": ulid(week), "unread": ulid(old), "new": ulid(now)}
    with jobs.store.begin() as connection:
        for name, id in ids.items():
            desks.add_hook(connection, id, "desk", {}, b"{}", now)
            if name != "unread":
                desks.change_hook(connection, id, state="done")
    with working(jobs, log) as worker:
        assert worker.keeper.forget_hooks() == 1
    with jobs.store.read() as connection:
        left = connection.execute(sa.text("select id from hooks")).scalars().all()
    assert set(left) == set(ids.values()) - {ids["old"]}


# One process.


def test_a_second_worker_on_the_same_file_is_refused(tmp_path: Path, log: Log) -> None:
    store = Store(f"sqlite:///{tmp_path}/handrail.db")
    settings = {"connector": "zendesk", "subdomain": "x", "oauth_token": "x"}
    connector("zendesk")
    config = write_config(tmp_path, f"sqlite:///{tmp_path}/handrail.db", settings)
    command = [sys.executable, "-m", "handrail", "work", "--config", str(config)]
    if not (Path(engine.__file__).parent / "__main__.py").exists():
        command = [str(Path(sys.executable).with_name("handrail")), *command[3:]]
    with working(Jobs(store), log):
        refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        with pytest.raises(ConfigError, match="another worker process works on"):
            a_worker(Jobs(store), log).start()
    assert refused.returncode == 1
    assert "on SQLite there can be one. Stop it, or use store" in refused.stderr
    assert "Traceback" not in refused.stderr
    with working(Jobs(store), log):
        """The lock is free again."""
    store.close()


HOST = """
import sys, threading
from dbos import DBOS
from handrail import ConfigError
from handrail.engine import Jobs
from handrail.store import Store

store = Store(sys.argv[1])
jobs = Jobs(store)
ran = threading.Event()

def refused():
    try:
        jobs.worker({"desk": 1}, None).start()
    except ConfigError as error:
        print(error)

@DBOS.workflow()
def mine():
    ran.set()

refused()
DBOS(config={"name": "host", "system_database_url": sys.argv[2], "log_level": "ERROR"})
refused()
DBOS.launch()
refused()
with store.begin() as connection:
    jobs.schedule(connection, "hook", "a", 0, 0)
DBOS.start_workflow(mine).get_result()
assert ran.is_set()
assert [each.name for each in DBOS.list_workflows()] == [mine.__qualname__]
DBOS.destroy()
store.close()
print("undisturbed")
"""


def test_a_host_that_runs_dbos_itself_is_not_disturbed(store_url: str, tmp_path: Path) -> None:
    theirs = store_url if store_url.startswith("postgresql") else f"sqlite:///{tmp_path}/host.db"
    with process(HOST, store_url, theirs) as host:
        out, err = host.communicate(timeout=60)
    assert host.returncode == 0, err
    assert out.count("start `handrail work` as a process of its own") == 3
    assert out.endswith("undisturbed\n")


def test_a_worker_whose_keeper_does_not_come_round_is_not_well(
    jobs: Jobs, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    with working(jobs, log) as worker:
        assert worker.keeper.is_well
        monkeypatch.setattr(keeper, "WELL_SECONDS", -1.0)
        assert not worker.keeper.is_well
        monkeypatch.setattr(keeper, "WELL_SECONDS", 30.0)
        assert worker.keeper.is_well
    assert not worker.keeper.is_well


def test_a_job_that_could_not_be_scheduled_again_is_owed(
    jobs: Jobs, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is away when a step fails, and also a moment later; the job comes back all the same."""
    times = []
    enqueue = jobs.client.enqueue

    def away(*given: Any) -> Any:
        times.append(given)
        if len(times) < 3:
            raise sa.exc.OperationalError("insert", {}, Exception("away"))
        return enqueue(*given)

    def first_fails() -> None:
        if len(log.ran) == 1:
            raise StoreError("the store is away")

    monkeypatch.setattr(jobs.client, "enqueue", away)
    log.does = {"a": first_fails}
    schedule(jobs, "hook", "a")
    with working(jobs, log):
        until(lambda: len(log.ran) == 2, "the second try")
    assert len(times) == 3


def test_a_worker_leaves_nothing_behind_in_its_process(jobs: Jobs, log: Log) -> None:
    before = set(threading.enumerate())
    for round_ in range(2):
        schedule(jobs, "hook", f"{round_}")
        with working(jobs, log):
            until(lambda n=round_: len(log.ran) > n, "a job")  # type: ignore[misc]
            if not jobs.store.is_sqlite:
                listening = "select count(*) from pg_stat_activity where query ilike 'listen %'"
                with jobs.store.read() as connection:
                    assert connection.execute(sa.text(listening)).scalar() == 0
        until(lambda: not [t for t in set(threading.enumerate()) - before if t.is_alive()], "no thread")


def test_scheduling_needs_no_thread(jobs: Jobs) -> None:
    before = threading.active_count()
    schedule(jobs, "hook", "a")
    assert threading.active_count() == before


# A whole rail.


@pytest.fixture
def desk() -> Iterator[SimulatedDesk]:
    connector("zendesk")
    from handrail.testing import SimulatedZendesk

    with SimulatedZendesk() as running:
        yield running
    assert running.errors == []


@pytest.fixture
def rail(store_url: str, desk: SimulatedDesk) -> Iterator[Handrail]:
    with a_rail(store_url, {"support": desk}) as opened:
        yield opened


def state(rail: Handrail, id: str) -> str:
    return str(rail.show(id)["state"])


def delivered(rail: Handrail, id: str) -> bool:
    shown = rail.show(id)
    return shown["state"] == State.WITH_HUMANS and not shown["to_send"]


def test_a_worker_takes_up_what_waits_for_a_desk_that_is_no_longer_configured(
    store_url: str, desk: SimulatedDesk
) -> None:
    with a_rail(store_url, {"old": desk, "support": desk}) as before:
        id = before.hand_off(a_conversation(id="c-1")).id
    more = {"fallback": ("support",), "give_up_after": timedelta(seconds=1)}
    with a_rail(store_url, {"support": desk}, **more) as rail:
        with rail.working():
            until(lambda: delivered(rail, id), "it went on to the fallback")
        assert rail.show(id)["desk"] == "support"


def customer(text: str) -> Message:
    return Message(role=Role.CUSTOMER, text=text)


ACCEPT = """
import sys
from handrail.rail import Handrail
from handrail.testing import a_conversation

with Handrail.open(sys.argv[1]) as rail:
    print(rail.hand_off(a_conversation(id="c-1")).id)
"""


def test_one_process_accepts_and_another_delivers(
    rail: Handrail, desk: SimulatedDesk, store_url: str, tmp_path: Path
) -> None:
    config = write_config(tmp_path, store_url, desk.settings())
    with process(ACCEPT, str(config)) as accepting:
        out, err = accepting.communicate(timeout=60)
    assert accepting.returncode == 0, err
    id = out.strip()
    assert state(rail, id) == State.ACCEPTED
    with rail.working():
        until(lambda: delivered(rail, id), "delivered")
    assert len(desk.tickets) == 1


def test_a_retry_fires_by_itself(rail: Handrail, desk: SimulatedDesk) -> None:
    desk.fault("status", "POST /tickets", status=429, retry_after=1)
    desk.fault("reset", "POST /tickets", when="after")
    with rail.working():
        handoff = rail.hand_off(a_conversation())
        until(lambda: delivered(rail, handoff.id), "delivered at the third attempt")
    assert rail.show(handoff.id)["attempts"] == 3
    assert len(desk.tickets) == 1


def test_what_is_said_arrives_in_its_order(rail: Handrail, desk: SimulatedDesk) -> None:
    desk.fault("status", "PUT /tickets/{id}", status=503, times=2, skip=1)
    with rail.working():
        handoff = rail.hand_off(a_conversation())
        for number in range(12):
            rail.say(handoff.id, customer(f"message {number:02}"))
        until(lambda: delivered(rail, handoff.id), "everything said")
    said = " ".join(comment.body for comment in desk.tickets[0].comments)
    places = [said.find(f"message {number:02}") for number in range(12)]
    assert -1 not in places
    assert places == sorted(places)
    assert all(said.count(f"message {number:02}") == 1 for number in range(12))


def test_work_until_idle_ends_when_all_is_done(rail: Handrail, desk: SimulatedDesk) -> None:
    desk.fault("hang", "POST /tickets", seconds=0.5, times=2)
    desk.fault("status", "POST /tickets", status=503)
    ids = [rail.hand_off(a_conversation(id=f"c-{number}")).id for number in range(5)]
    rail.work_until_idle()
    assert all(delivered(rail, id) for id in ids)
    assert len(desk.tickets) == 5
    rail.work_until_idle()
    assert len(desk.tickets) == 5


def test_a_stale_job_does_nothing(rail: Handrail, desk: SimulatedDesk) -> None:
    handoff = rail.hand_off(a_conversation())
    with rail.context.store.begin() as connection:
        for n in (3, 4):
            rail.context.schedule(connection, "deliver:support", handoff.id, n, 0)
    rail.work_until_idle()
    asked = len(desk.seen("POST /tickets"))
    with rail.context.store.begin() as connection:
        for n in (1, 7):
            rail.context.schedule(connection, "deliver:support", handoff.id, n + 100, 0)
        rail.context.schedule(connection, "hook:support", "01JUNKNOWNUNKNOWNUNKNOWN00", 0, 3600)
    rail.work_until_idle()
    assert (len(desk.tickets), len(desk.seen("POST /tickets"))) == (1, asked)
    assert rail.show(handoff.id)["attempts"] == 1


def test_the_polls_of_a_desk_go_on_after_one_that_broke(
    desk: SimulatedDesk, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_rail(store_url, {"support": desk.settings() | {"poll": "1s"}}) as rail:
        poll, calls = rail.roads.poll, []

        def broken(name: str) -> int:
            calls.append(name)
            if len(calls) == 1:
                raise RuntimeError("a surprise")
            return poll(name)

        monkeypatch.setattr(rail.roads, "poll", broken)
        with rail.working():
            handoff = rail.hand_off(a_conversation())
            until(lambda: delivered(rail, handoff.id), "delivered")
            desk.human_replies(rail.show(handoff.id)["ticket"]["id"], "here is my answer")
            until(lambda: any(u.kind == "reply" for u in rail.updates()), "the reply")
        assert len(calls) >= 2


def test_a_waiting_caller_and_a_worker_make_one_ticket(rail: Handrail, desk: SimulatedDesk) -> None:
    with rail.working():
        for number in range(8):
            handoff = rail.hand_off(a_conversation(id=f"c-{number}"))
            assert rail.wait(handoff.id, 30)
    assert len(desk.tickets) == 8
    assert len(desk.seen("POST /tickets")) == 8


# The command line.


@pytest.mark.parametrize("command", [["list"], ["show", "ID"], ["check", "--offline"]])
def test_looking_imports_no_engine(command: list[str], tmp_path: Path, desk: SimulatedDesk) -> None:
    store = f"sqlite:///{tmp_path}/handrail.db"
    config = write_config(tmp_path, store, desk.settings())
    with a_rail(store, {"support": desk}) as rail:
        id = rail.hand_off(a_conversation()).id
    words = [id if word == "ID" else word for word in command]
    script = """
        import sys
        from handrail.cli import main
        sys.argv = ["handrail", *sys.argv[1:]]
        try:
            main()
        except SystemExit as ended:
            assert not ended.code, ended.code
        print("loaded:", *sorted({name.partition(".")[0] for name in sys.modules}))
    """
    with process(script, *words, "--config", str(config)) as looking:
        out, err = looking.communicate(timeout=60)
    assert looking.returncode == 0, err
    loaded = set(out.rpartition("loaded:")[2].split())
    assert loaded
    assert loaded & {"dbos", "alembic", "psycopg", "starlette", "uvicorn"} == set()


def test_the_processes_of_the_tests_are_ours() -> None:
    assert os.getpid() == int(owner().rpartition(":")[2])
