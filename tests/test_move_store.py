"""``handrail move-store``: an SQLite installation goes on in PostgreSQL, with nothing lost or repeated."""

from __future__ import annotations

import io
import json
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from tests.desks import SECRET, Acme, SimulatedAcme, customer_says
from tests.real import connector, until, write_config
from typer.testing import CliRunner

from handrail import ConfigError, Conflict, Connector, HandrailError, State, engine, keeper
from handrail.cli import app
from handrail.cli import moving as command
from handrail.config import Config
from handrail.engine import Jobs
from handrail.move import Moved, move, undo
from handrail.rail import Handrail
from handrail.store import Store, alive, handoffs, lock
from handrail.store.schema import Moment, metadata
from handrail.testing import a_conversation, answer

pytest_plugins = ["tests.stores"]

NOT_COPIED = {"workers", "slots", "moves"}


@pytest.fixture(autouse=True)
def _brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(engine, "MAX_PAUSE_SECONDS", 0.2)
    monkeypatch.setattr(keeper, "TICK_SECONDS", 0.05)
    monkeypatch.setattr(keeper, "REAP_SECONDS", 0.2)


@pytest.fixture
def desk() -> Iterator[SimulatedAcme]:
    with SimulatedAcme() as running:
        yield running
        assert running.errors == [], "the simulated desk itself failed"


@pytest.fixture
def closed_desk() -> Iterator[SimulatedAcme]:
    """A desk whose credentials are not accepted at first."""
    with SimulatedAcme() as running:
        yield running
        assert running.errors == [], "the simulated desk itself failed"


@pytest.fixture
def old_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/handrail.db"


def a_rail(store: str, **desks: SimulatedAcme) -> Handrail:
    kinds: dict[str, Connector] = {
        name: Acme(url=each.url, poll=timedelta(seconds=2)) for name, each in desks.items()
    }
    return Handrail(Config(path=Path("handrail.toml"), store=store, desk=next(iter(desks)), desks=kinds))


@pytest.fixture
def old(old_url: str, desk: SimulatedAcme, closed_desk: SimulatedAcme) -> Iterator[Handrail]:
    with a_rail(old_url, support=desk, closed=closed_desk) as rail:
        yield rail


def shown(rail: Handrail, id: str) -> dict[str, Any]:
    return rail.show(id)


def row(store: Store, id: str) -> Any:
    with store.read() as connection:
        return handoffs.get(connection, id)


def every_row(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """What stands in every table that is copied."""
    with store.read() as connection:
        return {
            table.name: sorted(map(tuple, connection.execute(table.select())), key=repr)
            for table in metadata.sorted_tables
            if table.name not in NOT_COPIED
        }


def counts(store: Store) -> dict[str, int]:
    return {name: len(rows) for name, rows in every_row(store).items()}


def undone_jobs(store: Store) -> set[str]:
    found = Jobs(store).client.list_workflows(status=["ENQUEUED", "DELAYED", "PENDING"])
    return {job.workflow_id for job in found}


def dead_process() -> str:
    """The name of a process that has ended."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    return f"{handoffs.owner().rpartition(':')[0]}:{ended.pid}"


def lease(rail: Handrail, id: str, holder: str) -> None:
    """An attempt at ``id`` has begun, in the process ``holder``."""
    assert rail.delivery.claims.of(id, 0) is not None
    with rail.context.store.begin() as connection:
        handoffs.change(connection, id, lease_by=holder)


def webhook(rail: Handrail, desk: SimulatedAcme) -> str:
    """The desk's last event comes in as a webhook, and is not read yet."""
    body = answer({"kind": "reply", "event": desk.log[-1]}).content
    assert Acme.signature is not None
    return rail.receive("support", Acme.signature.sign(body, SECRET, datetime.now(UTC)), body)


class Installation:
    """Handoffs in every state. ``ids`` maps what each is about to its id."""

    def __init__(self, rail: Handrail, desk: SimulatedAcme, closed: SimulatedAcme) -> None:
        self.rail, self.desk, self.closed = rail, desk, closed
        self.ids: dict[str, str] = {}
        self.deliver()
        self.fail()
        self.ids["untried"] = self.accept("untried")
        self.ids["cancelled"] = self.accept("cancelled")
        rail.cancel(self.ids["cancelled"])
        self.ids["died"] = self.accept("died")
        lease(rail, self.ids["died"], dead_process())
        desk.human_replies(self.ticket, "the second answer")
        self.hook = webhook(rail, desk)
        rail.roads.schedule_poll("support", 3600)

    def accept(self, about: str, **wishes: Any) -> str:
        return self.rail.hand_off(a_conversation(f"about {about}", id=f"c-{about}"), **wishes).id

    def deliver(self) -> None:
        """One with a ticket and an answer, of which an update is stored, and a message that is not sent."""
        self.ids["delivered"] = id = self.accept("delivered", key="a key of the host's")
        ticket = self.rail.wait(id)
        assert ticket is not None
        self.ticket = ticket.id
        self.desk.human_replies(ticket.id, "the first answer")
        assert self.rail.sync("support")["support"] >= 1
        self.rail.say(id, customer_says("said to delivered"))

    def fail(self) -> None:
        self.desk.fault("status", "POST /cases", status=429, retry_after=2)
        self.tried("later")
        self.rail.context.driver("support").rest_for(None)  # the others are tried all the same
        self.desk.fault("reset", "POST /cases", when="after")
        self.tried("in doubt")
        self.rail.say(self.ids["in doubt"], customer_says("said to in doubt"))
        self.desk.fault("status", "POST /cases", status=422)
        self.tried("refused")
        self.closed.fault("status", "POST /cases", status=403)
        self.tried("paused", desk="closed")

    def tried(self, about: str, **wishes: Any) -> None:
        self.ids[about] = self.accept(about, **wishes)
        self.rail.attempt(self.ids[about])

    def states(self) -> dict[str, str]:
        return {about: shown(self.rail, id)["state"] for about, id in self.ids.items()}


@pytest.fixture
def installation(old: Handrail, desk: SimulatedAcme, closed_desk: SimulatedAcme) -> Installation:
    return Installation(old, desk, closed_desk)


STATES = {
    "delivered": "with_humans",
    "later": "delivering",
    "in doubt": "delivering",
    "refused": "undelivered",
    "paused": "accepted",
    "untried": "accepted",
    "cancelled": "cancelled",
    "died": "delivering",
}


# Going on elsewhere.


def finished(rail: Handrail, installation: Installation) -> bool:
    sent = set(STATES) - {"refused", "cancelled"}
    each = [rail.show(installation.ids[about]) for about in sent]
    done = all(one["state"] == State.WITH_HUMANS and not one["to_send"] for one in each)
    with rail.context.store.read() as connection:
        state = connection.execute(sa.text("select state from hooks")).scalar_one()
    texts = [update.text for update in rail.updates()]
    return done and state == "done" and "the second answer" in texts


def test_a_worker_on_the_new_store_finishes_everything_once(
    installation: Installation,
    desk: SimulatedAcme,
    closed_desk: SimulatedAcme,
    old_url: str,
    database: str,
) -> None:
    assert installation.states() == STATES
    before = list(installation.rail.updates())
    jobs = undone_jobs(installation.rail.context.store)
    moved = move(old_url, database)
    assert moved.rows == counts(installation.rail.context.store)
    assert moved.jobs == len(jobs) >= 6
    asked = len(desk.requests)
    with a_rail(database, support=desk, closed=closed_desk) as rail:
        assert undone_jobs(rail.context.store) >= jobs
        assert list(rail.updates()) == before
        with rail.working():
            until(lambda: finished(rail, installation), "everything done")
        after = list(rail.updates(after=before[-1].cursor))
        assert [int(update.cursor or 0) for update in [*before, *after]] == [
            *range(1, len(before) + len(after) + 1)
        ]
        assert len({update.id for update in [*before, *after]}) == len(before) + len(after)
        assert shown(rail, installation.ids["refused"])["state"] == "undelivered"
        assert shown(rail, installation.ids["cancelled"])["state"] == "cancelled"
        assert_keys_hold(rail, installation)
        made = Counter(case["text"].count("about in doubt") for case in desk.cases.values())
        assert made[0] == len(desk.cases) - 1, "one ticket for what was in doubt"
        assert len(desk.cases) == 5
        assert len(closed_desk.cases) == 1
    assert_looked_up_first(desk, asked)
    assert_said_once(desk)


def assert_keys_hold(rail: Handrail, installation: Installation) -> None:
    again = a_conversation("about delivered", id="c-delivered")
    assert rail.hand_off(again, key="a key of the host's").id == installation.ids["delivered"]
    with pytest.raises(Conflict):
        rail.hand_off(a_conversation("other content"), key="a key of the host's")
    running = a_conversation("about in doubt", id="c-in doubt")
    assert rail.hand_off(running).id == installation.ids["in doubt"]


def assert_looked_up_first(desk: SimulatedAcme, asked: int) -> None:
    """What may have been sent before the move was looked for, and found, and not sent again."""
    marker = next(case["marker"] for case in desk.cases.values() if "about in doubt" in case["text"])
    later = desk.requests[asked:]
    assert [seen for seen in later if seen.path == "/v1/cases" and seen.query.get("marker") == marker]
    posted = [seen.json["marker"] for seen in later if (seen.method, seen.path) == ("POST", "/v1/cases")]
    assert marker not in posted
    assert len(posted) == len(set(posted)) == 3


def assert_said_once(desk: SimulatedAcme) -> None:
    texts = [note["text"] for case in desk.cases.values() for note in case["notes"][1:]]
    for about in ("delivered", "in doubt"):
        assert sum(f"said to {about}" in text for text in texts) == 1


def test_every_table_is_copied_value_for_value(old_url: str, database: str) -> None:
    """Also one that nobody has thought of here: rows are made from the columns' types."""
    with closing(Store(old_url)) as before:
        with before.begin() as connection:
            for table in metadata.sorted_tables:
                if table.name == "moves":
                    continue
                connection.execute(table.delete())
                connection.execute(table.insert(), [a_row(table, number) for number in (3, 4)])
        wanted = every_row(before)
    moved = move(old_url, database)
    assert moved.rows == {table.name: 2 for table in metadata.sorted_tables if table.name not in NOT_COPIED}
    with closing(Store(database)) as after:
        assert every_row(after) == wanted
        with after.begin() as connection:
            assert connection.execute(sa.text("select count(*) from workers")).scalar_one() == 0
            handoffs.note(connection, "h", datetime.now(UTC), "numbered by the new store")
            assert connection.execute(sa.text("select max(id) from timeline")).scalar_one() == 5


def a_row(table: sa.Table, number: int) -> dict[str, Any]:
    return {column.name: a_value(column, number) for column in table.columns}


def a_value(column: sa.Column[Any], number: int) -> Any:
    if column.name == "lease_by":  # one that is over would be freed
        return None
    if column.name == "state":
        return "done"
    kinds: list[tuple[type, Any]] = [
        (Moment, datetime(2026, 11, 20, 9, 31, number, 123_457, tzinfo=UTC)),
        (sa.Boolean, bool(number % 2)),
        (sa.BigInteger, number),
        (sa.Integer, number),
        (sa.LargeBinary, bytes(range(256)) * number),
    ]
    return next(
        (value for kind, value in kinds if isinstance(column.type, kind)), f"{column.name} \u2603{number}"
    )


def test_text_that_postgresql_cannot_hold_is_moved_readable(old_url: str, database: str) -> None:
    """A store that another program wrote to: nothing of ours stores a NUL."""
    Store(old_url).close()
    with closing(sqlite3.connect(old_url.removeprefix("sqlite:///"))) as raw:
        raw.execute("insert into timeline (handoff_id, at, text) values ('h', 1, 'a ' || char(0) || ' NUL')")
        raw.commit()
    assert move(old_url, database).rows["timeline"] == 1
    with closing(Store(database)) as after, after.read() as connection:
        assert handoffs.timeline_of(connection, "h")[0].text == "a \ufffd NUL"


def test_large_rows_are_copied_a_few_at_a_time(
    old_url: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handrail.move._BATCH_BYTES", 2_000)
    monkeypatch.setattr("handrail.move._BATCH_ROWS", 5)
    with closing(Store(old_url)) as store, store.begin() as connection:
        for number in range(30):
            text = "x" * (1_500 if number < 4 else 10)
            handoffs.note(connection, "h", datetime.now(UTC), f"{number} {text}")
    said: list[tuple[int, int]] = []
    moved = move(old_url, database, progress=lambda done, total: said.append((done, total)))
    assert moved.rows["timeline"] == 30
    assert [done for done, _ in said] == [1, 3, 5, 10, 15, 20, 25, 30, 31]
    assert {total for _, total in said} == {31}


# Leases.


def test_what_may_still_be_sent_keeps_its_lease(
    old: Handrail,
    desk: SimulatedAcme,
    closed_desk: SimulatedAcme,
    old_url: str,
    database: str,
    request: pytest.FixtureRequest,
) -> None:
    """An attempt of a process that lives: the new store waits for the lease's end, and then looks."""
    other = subprocess.Popen(["sleep", "600"])
    request.addfinalizer(lambda: (other.kill(), other.wait()))
    live = old.hand_off(a_conversation(id="c-live")).id
    lease(old, live, alive._name(other.pid))
    dead = old.hand_off(a_conversation(id="c-dead")).id
    lease(old, dead, dead_process())
    before = row(old.context.store, live)
    move(old_url, database)
    with a_rail(database, support=desk, closed=closed_desk) as rail:
        assert row(rail.context.store, live) == before
        freed = row(rail.context.store, dead)
        assert (freed.lease_by, freed.lease_until) == (None, None)
        assert freed.due_at <= datetime.now(UTC)
        waiting = undone_jobs(rail.context.store)
        assert {f"deliver:support:{live}:{before.n}", f"deliver:support:{dead}:{freed.n}"} <= waiting
        with rail.working():
            until(lambda: shown(rail, dead)["state"] == State.WITH_HUMANS, "the dead one's")
        assert len(desk.cases) == 1


def test_jobs_keep_the_time_that_is_left_and_what_was_taken_comes_at_once(
    old_url: str, database: str
) -> None:
    with closing(Store(old_url)) as store:
        jobs = Jobs(store)
        with store.begin() as connection:
            for id, delay in (("far", 3600.0), ("taken", 3600.0), ("now", 0.0), ("over", 0.0)):
                jobs.schedule(connection, "hook:support", id, 7, delay)
            change = "update workflow_status set status = :status where workflow_uuid = :id"
            for id, status in (("taken", "PENDING"), ("over", "SUCCESS")):
                connection.execute(sa.text(change), {"id": f"hook:support:{id}:7", "status": status})
        jobs.again("hook:support:now:7", "hook:support", "now", 7)
        before = {job.workflow_id: job for job in jobs.client.list_workflows()}
    assert move(old_url, database).jobs == 3
    with closing(Store(database)) as there:
        after = {job.workflow_id.split(":")[2]: job for job in Jobs(there).client.list_workflows()}
    assert {id: job.status for id, job in after.items()} == {
        "far": "DELAYED",
        "taken": "ENQUEUED",
        "now": "ENQUEUED",
    }
    assert {job.queue_name for job in after.values()} == {"handrail/support/back"}
    due = before["hook:support:far:7"].delay_until_epoch_ms
    assert abs(after["far"].delay_until_epoch_ms - due) < 30_000


# The old store.


def test_the_old_store_takes_nothing_any_more(
    installation: Installation, desk: SimulatedAcme, old_url: str, database: str
) -> None:
    rail, before = installation.rail, every_row(installation.rail.context.store)
    asked = len(desk.requests)
    move(old_url, database)
    tries: list[Callable[[], Any]] = [
        lambda: rail.hand_off(a_conversation(id="c-new")),
        lambda: rail.say(installation.ids["delivered"], customer_says("more")),
        lambda: rail.attempt(installation.ids["untried"]),
        lambda: rail.retry(installation.ids["refused"]),
        lambda: rail.cancel(installation.ids["untried"]),
        lambda: webhook(rail, desk),
        lambda: rail.settle(installation.hook),
        lambda: rail.roads.schedule_poll("support", 0),
        lambda: rail.__class__(rail.config),
    ]
    for attempt in tries:
        with pytest.raises(ConfigError, match=r"was moved to postgresql://.*write that address as store"):
            attempt()
    assert every_row(rail.context.store) == before
    assert [seen for seen in desk.requests[asked:] if seen.method != "GET"] == []


def test_a_store_that_is_open_can_look_whether_it_was_moved(old_url: str, database: str) -> None:
    with closing(Store(old_url)) as opened:
        move(old_url, database)
        with pytest.raises(ConfigError, match="was moved to"):
            opened.refuse_moved()


def test_moving_again_says_where_it_went(old_url: str, database: str) -> None:
    Store(old_url).close()
    move(old_url, database)
    with pytest.raises(ConfigError, match="was moved to postgresql://"):
        move(old_url, database)
    with pytest.raises(ConfigError, match="was moved to postgresql://"):
        undo(old_url, database)


def test_nobody_writes_to_either_store_meanwhile(old: Handrail, old_url: str, database: str) -> None:
    old.hand_off(a_conversation())
    refused: list[str] = []

    def while_copying(_done: int, _total: int) -> None:
        if refused:
            return
        with (
            closing(sqlite3.connect(old_url.removeprefix("sqlite:///"), timeout=0)) as raw,
            pytest.raises(sqlite3.OperationalError) as caught,
        ):
            raw.execute("update counters set value = 99")
        refused.append(str(caught.value))
        with psycopg.connect(database, autocommit=True) as there:
            there.execute("set lock_timeout = '50ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable) as late:
                there.execute("insert into timeline (handoff_id, at, text) values ('h', 1, 'early')")
        refused.append(str(late.value))

    move(old_url, database, progress=while_copying)
    assert "locked" in refused[0]
    assert "lock timeout" in refused[1]


# Refusals before anything is done.


def test_a_worker_on_the_old_store_is_in_the_way(old: Handrail, old_url: str, database: str) -> None:
    with old.working(), pytest.raises(ConfigError, match=r"a worker or server works on .*; stop it"):
        move(old_url, database)
    assert move(old_url, database).jobs >= 0


def test_a_target_in_use_is_refused(old: Handrail, old_url: str, database: str, desk: SimulatedAcme) -> None:
    id = old.hand_off(a_conversation()).id
    with a_rail(database, support=desk) as there:
        other = there.hand_off(a_conversation(id="c-other")).id
    with pytest.raises(ConfigError, match=r"in use, it has rows in handoffs, operations, timeline"):
        move(old_url, database)
    with a_rail(database, support=desk) as there:
        assert [one["id"] for one in there.list()] == [other]
    old.say(id, customer_says("the old store goes on"))


def test_a_copy_of_another_installation_is_a_target_in_use(tmp_path: Path, database: str) -> None:
    for name in ("one", "two"):
        Store(f"sqlite:///{tmp_path}/{name}.db").close()
    move(f"sqlite:///{tmp_path}/one.db", database)
    with pytest.raises(ConfigError, match="in use, it has rows in moves"):
        move(f"sqlite:///{tmp_path}/two.db", database)


@pytest.mark.parametrize(
    ("source", "target", "says"),
    [
        ("sqlite:////no/such/file.db", "postgresql://h/d", "there is no file /no/such/file.db"),
        ("postgresql://u:s3cr3t@h/d", "postgresql://h/d", "only an SQLite store can be moved"),
        ("OLD", "sqlite:///other.db", "--to: must be the address of a database"),
        ("OLD", "s3cr3t", "--to: must be"),
        ("OLD", "postgresql://u:s3cr3t@127.0.0.1:1/x", r"cannot open postgresql://u:\*\*\*@127.0.0.1:1/x"),
        ("OLD", "postgresql://u@127.0.0.1:1/x?password=s3cr3t", "cannot open postgresql"),
        ("OLD", "postgresql://u:not/quoted:s3cr3t@h/x", "cannot open postgresql"),
        ("OLD", "postgresql://u@h:s3cr3t/x", "not a database address"),
        ("OLD", "postgresql://u:p@s3cr3t@h/x", "two @"),
    ],
)
def test_a_wrong_address_is_said_without_its_password(
    source: str, target: str, says: str, old_url: str
) -> None:
    Store(old_url).close()
    with pytest.raises(ConfigError, match=says) as caught:
        move(source.replace("OLD", old_url), target)
    assert "s3cr3t" not in str(caught.value)


def test_a_refused_source_makes_no_file(tmp_path: Path, database: str) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        move(f"sqlite:///{tmp_path}/typo.db", database)
    assert list(tmp_path.iterdir()) == []


# Cut off.

MOVER = """
import os, signal, sys
import sqlalchemy as sa
from handrail import move

source, target, point = sys.argv[1:]
go_on, put = move._go_on_counting, move.moves.put
armed = []

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def between_tables(there, table):
    if point == "while copying" and table.name == "journal":
        die()
    go_on(there, table)

def marking(connection, id, state, other, at):
    put(connection, id, state, other, at)
    if state == "leaving":
        armed.append(True)
        if point == "before the old store is closed":
            die()
    if state == "left" and point == "after the copy":
        die()

def committing(connection):
    if armed and connection.dialect.name == "postgresql" and point == "before the copy counts":
        die()

move._go_on_counting, move.moves.put = between_tables, marking
sa.event.listen(sa.Engine, "commit", committing)
move.move(source, target)
"""

HARMLESS = ["while copying", "before the old store is closed"]
CLOSED = ["before the copy counts", "after the copy"]


def killed(source: str, target: str, point: str) -> None:
    done = subprocess.run([sys.executable, "-c", MOVER, source, target, point], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("point", [*HARMLESS, *CLOSED])
def test_a_move_that_was_killed_is_simply_run_again(
    point: str,
    installation: Installation,
    desk: SimulatedAcme,
    closed_desk: SimulatedAcme,
    old_url: str,
    database: str,
) -> None:
    rail = installation.rail
    killed(old_url, database, point)
    with closing(Store(database)) as there:
        arrived = counts(there)["handoffs"]
    assert arrived == (len(STATES) if point == "after the copy" else 0)
    if point in HARMLESS:
        installation.ids["since"] = installation.accept("since")
    else:
        with pytest.raises(ConfigError, match="was moved to"):
            rail.hand_off(a_conversation(id="c-since"))
        with pytest.raises(ConfigError, match="was cut off; run `handrail move-store` again"):
            Store(rail.config.store)
    if point == "after the copy":
        with pytest.raises(ConfigError, match=r"has everything already; run .* without --undo"):
            undo(old_url, database)
    wanted, jobs = every_row(rail.context.store), undone_jobs(rail.context.store)
    moved = move(old_url, database)
    assert moved.ended == (point == "after the copy")
    assert (moved.rows, moved.jobs) == (counts(rail.context.store), len(jobs))
    with closing(Store(database)) as there:
        found, there_jobs = every_row(there), undone_jobs(there)
    assert jobs < there_jobs
    assert {name for name in wanted if wanted[name] != found[name]} == {"handoffs"}, "one lease was freed"
    assert sorted(each[0] for each in wanted["handoffs"]) == sorted(each[0] for each in found["handoffs"])
    with pytest.raises(ConfigError, match="was moved to"):
        Store(rail.config.store)


def test_an_error_of_the_database_leaves_both_as_they_were(
    installation: Installation, old_url: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(there: sa.Connection, table: sa.Table) -> None:
        if table.name == "journal":
            there.exec_driver_sql("select pg_terminate_backend(pg_backend_pid())")

    with monkeypatch.context() as patched:
        patched.setattr("handrail.move._go_on_counting", broken)
        with pytest.raises(HandrailError, match=r"the move to postgresql://.* was cut off: .*; run it again"):
            move(old_url, database)
    with closing(Store(database)) as there:
        assert set(counts(there).values()) == {0, 1}  # one counter, which is there from the start
    installation.accept("since")
    assert move(old_url, database).rows["handoffs"] == len(STATES) + 1


def test_a_copy_with_fewer_rows_does_not_count(
    installation: Installation, old_url: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loses(there: sa.Connection, table: sa.Table) -> None:
        if table.name == "operations":
            there.execute(table.delete())

    monkeypatch.setattr("handrail.move._go_on_counting", loses)
    with pytest.raises(HandrailError, match=r"\(operations: \d+ and 0\); nothing was moved"):
        move(old_url, database)
    installation.accept("since")


def test_a_move_that_was_cut_off_can_be_taken_back(
    installation: Installation, old_url: str, database: str
) -> None:
    before = every_row(installation.rail.context.store)
    assert undo(old_url, database) is False
    killed(old_url, database, "before the copy counts")
    for act in (move, undo):
        with pytest.raises(ConfigError, match=r"a move to postgresql://.* was cut off; run .* this address"):
            act(old_url, f"{database}&application_name=another")
    assert undo(old_url, database) is True
    with closing(Store(old_url)) as opened:
        assert every_row(opened) == before
        triggers = sa.text("select count(*) from sqlite_master where type = 'trigger'")
        with opened.read() as connection:
            assert connection.execute(triggers).scalar_one() == 0
    installation.accept("since")
    assert move(old_url, database).rows["handoffs"] == len(STATES) + 1


def test_the_lock_is_free_for_a_worker_after_a_refusal(old: Handrail, old_url: str) -> None:
    with pytest.raises(ConfigError, match="cannot open"):
        move(old_url, "postgresql://u@127.0.0.1:1/x")
    with old.working(), pytest.raises(ConfigError, match="taken"):
        lock.take(old.context.store, "taken")
    with lock.held(old.context.store, "taken"), pytest.raises(ConfigError, match="taken"):
        lock.take(old.context.store, "taken")


def test_postgresql_needs_no_lock(database: str) -> None:
    with closing(Store(database)) as store, lock.held(store, "taken"), lock.held(store, "taken"):
        assert lock.take(store, "taken") is None


# The command.


def run(*args: str, status: int = 0) -> Any:
    result = CliRunner().invoke(app, ["move-store", *args], prog_name="handrail")
    assert result.exit_code == status, (result.exit_code, result.output, result.exception)
    return result


@pytest.fixture
def config(tmp_path: Path, old_url: str) -> Path:
    connector("zendesk")
    settings = {"connector": "zendesk", "subdomain": "x", "oauth_token": "x"}
    with closing(Store(old_url)) as store, store.begin() as connection:
        handoffs.note(connection, "h", datetime.now(UTC), "a line")
        Jobs(store).schedule(connection, "deliver:support", "h", 0, 60)
    return write_config(tmp_path, old_url, settings)


def test_the_command_says_what_it_moved_and_what_to_do_next(config: Path, database: str) -> None:
    secret = database.replace("postgres@", "postgres:s3cr3t@") + "&sslpassword=s3cr3t"
    result = run("--to", secret, "--config", str(config))
    lines = result.stdout.splitlines()
    assert lines[0] == "TABLE\tROWS"
    assert {"timeline\t1", "counters\t1", "handoffs\t0"} <= set(lines)
    assert "1 jobs are still to be done there" in lines
    assert lines[-1].startswith('Now write store = "postgresql://postgres:***@/')
    assert "s3cr3t" not in result.output
    again = run("--to", secret, "--config", str(config), status=1)
    assert "was moved to postgresql://postgres:***@/" in again.stderr
    assert "s3cr3t" not in again.output


def test_the_command_as_json_needs_no_configuration(config: Path, old_url: str, database: str) -> None:
    config.unlink()
    document = json.loads(run("--from", old_url, "--to", database, "--json").stdout)
    assert (document["jobs"], document["rows"]["timeline"], document["ended"]) == (1, 1, False)
    assert set(document) == set(Moved.__dataclass_fields__)


def test_the_command_takes_back_what_was_cut_off(config: Path, old_url: str, database: str) -> None:
    words = ("--to", database, "--config", str(config), "--undo")
    assert "No move of this store was cut off" in run(*words).stdout
    killed(old_url, database, "before the copy counts")
    assert "The old store is open again" in run(*words).stdout
    assert json.loads(run(*words, "--json").stdout) == {"undone": False}


def test_a_progress_bar_is_drawn_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    with command._progress() as advance:
        assert advance is None
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with command._progress() as advance:
        assert advance is not None
        advance(3, 3)
    assert "Copying" in terminal.getvalue()
