"""The store: its schema, opening it, its transactions, and what never stands in it."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from tests.real import connector, until

import handrail.store.engine as opening
from handrail import ConfigError, Ticket, Update, UpdateKind
from handrail.store import Store, desks, handoffs, updates
from handrail.store.schema import counters, metadata
from handrail.testing import Clock, World, a_conversation, a_file

pytest_plugins = ["tests.stores"]

MIGRATIONS = Path(opening.__file__).parent / "migrations"


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = Store(store_url)
    yield opened
    opened.close()


# The schema.


def test_the_migrations_make_exactly_the_schema(store: Store) -> None:
    def ours(_object: object, name: str | None, kind: str, reflected: bool, _to: object) -> bool:
        return not (kind == "table" and reflected and name not in metadata.tables)

    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": ours, "compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_the_comparison_would_find_a_difference(store: Store) -> None:
    with store.begin() as connection:
        connection.execute(sa.text("drop index ix_handoffs_due_at"))
        connection.execute(sa.text("alter table handoffs drop column last_error"))
    with store.engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), metadata)
    assert {difference[0] for difference in found} >= {"add_index", "add_column"}


def test_head_is_the_newest_migration() -> None:
    scripts = ScriptDirectory(str(MIGRATIONS))
    assert scripts.get_heads() == [opening.HEAD]


def test_no_migration_reads_the_schema_of_today() -> None:
    for path in sorted((MIGRATIONS / "versions").glob("*.py")):
        assert "from handrail" not in path.read_text(), f"{path.name} changes when schema.py does"


# Opening.

OPENERS = 3
OPEN = """
import sys, alembic.command, dbos
from handrail.store import Store
print("ready", flush=True)
sys.stdin.read(1)
Store(sys.argv[1]).close()
"""


def test_processes_that_open_a_new_database_at_once_all_succeed(store_url: str) -> None:
    command = [sys.executable, "-W", "error", "-c", OPEN, store_url]
    pipe = subprocess.PIPE
    openers = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(OPENERS)
    ]
    for opener in openers:
        assert opener.stdout
        assert opener.stdout.readline() == "ready\n"
    for opener in openers:
        assert opener.stdin
        opener.stdin.write("x")
        opener.stdin.flush()
    errors = [opener.communicate(timeout=60)[1] for opener in openers]
    assert [opener.returncode for opener in openers] == [0] * OPENERS, "\n".join(errors)


def test_a_store_whose_opening_was_cut_off_is_completed(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_store: Store) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Store, "_migrate_jobs", killed)
        with pytest.raises(KeyboardInterrupt):
            Store(store_url)
    store = Store(store_url)
    schema = None if store.is_sqlite else "handrail_jobs"
    assert sa.inspect(store.engine).has_table("workflow_status", schema=schema)
    store.close()


def test_a_store_of_a_newer_version_is_left_alone(store: Store, store_url: str) -> None:
    with store.begin() as connection:
        connection.execute(sa.text("update handrail_version set version_num = '9999'"))
    with pytest.raises(ConfigError, match="newer version of Handrail"):
        Store(store_url)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://x/y", "mysql is not supported"),
        ("nonsense", "not a database address"),
        ("sqlite:////no/such/folder/x.db", "cannot open"),
        ("postgresql://u:s3cr3t@127.0.0.1:1/x", "cannot open"),
    ],
)
def test_what_cannot_be_opened_is_said_without_a_password(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        Store(url)
    assert "s3cr3t" not in str(caught.value)


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("this is no database, whatever its name says\n" * 100)
    with pytest.raises(ConfigError, match="not a database"):
        Store(f"sqlite:///{tmp_path}/x.db")


# Transactions.


def test_what_a_transaction_has_read_stays_so_until_its_end(store: Store) -> None:
    """Two that read a number and write the next one: on SQLite the second waits at its beginning."""

    def count() -> None:
        for _ in range(20):
            with store.begin() as connection:
                row = sa.select(counters.c.value).where(counters.c.name == "updates").with_for_update()
                value = connection.execute(row).scalar_one()
                connection.execute(counters.update().values(value=value + 1))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with store.read() as connection:
        assert connection.execute(sa.select(counters.c.value)).scalar_one() == 80


def test_a_reader_does_not_keep_writers_out(store: Store) -> None:
    with store.read() as reading:
        reading.execute(sa.select(counters)).all()
        with store.begin() as writing:
            writing.execute(counters.update().values(value=7))
        assert reading.execute(sa.select(counters.c.value)).scalar_one() == 7


class Counted:
    """A lock that counts how often it was asked for."""

    def __init__(self) -> None:
        self.asked = 0
        self.lock = threading.Lock()
        self.release = self.lock.release

    def acquire(self, timeout: float) -> bool:
        self.asked += 1
        return self.lock.acquire(timeout=timeout)


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_on_sqlite_threads_of_a_process_write_in_turn_and_hold_nothing_while_they_wait(store: Store) -> None:
    """Else a connection would wait for the file, asleep, each time longer."""
    wrote: list[str] = []
    turns = store._writing = Counted()  # type: ignore[assignment]

    def write() -> None:
        with store.begin() as connection:
            wrote.append("second")
            desks.change(connection, "second", cursor="2")

    with store.begin() as connection:
        other = threading.Thread(target=write)
        other.start()
        until(lambda: turns.asked == 2, "the other thread waits for its turn")
        assert store.engine.pool.checkedout() == 1  # type: ignore[attr-defined]
        wrote.append("first")
        desks.change(connection, "first", cursor="1")
    other.join()
    assert wrote == ["first", "second"]


def test_an_error_rolls_everything_back(store: Store) -> None:
    def change() -> None:
        with store.begin() as connection:
            connection.execute(counters.update().values(value=7))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change()
    with store.read() as connection:
        assert connection.execute(sa.select(counters.c.value)).scalar_one() == 0


def test_an_error_of_the_database_shows_no_values(store: Store) -> None:
    row = counters.insert().values(name="updates", value=7_654_321)
    with pytest.raises(sa.exc.IntegrityError) as caught, store.begin() as connection:
        connection.execute(row)
    assert "7654321" not in str(caught.value)


def test_rows_that_two_make_at_once_are_made_once(store: Store) -> None:
    barrier, errors = threading.Barrier(4), []

    def change() -> None:
        try:
            for n in range(10):
                barrier.wait(20)
                with store.begin() as connection:
                    desks.change(connection, f"desk-{n}", poll_n=1)
        except Exception as error:
            errors.append(error)
            barrier.abort()

    threads = [threading.Thread(target=change) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []


# Hostile text.

NASTY = "a \0 NUL and half \ud800 a pair"
SAID = json.dumps({"error": NASTY, "description": NASTY, "details": {"base": [{"description": NASTY}]}})


@pytest.mark.parametrize("status", [400, 403, 422, 503])
@pytest.mark.parametrize("body", [SAID.encode(), b"raw \x00\xff\xed\xa0\x80"])
def test_any_text_can_be_stored(store_url: str, status: int, body: bytes) -> None:
    zendesk = connector("zendesk")
    from handrail.testing import SimulatedZendesk

    clock = Clock()
    with SimulatedZendesk(clock=clock) as desk, World(desk, zendesk, clock=clock, store=store_url) as world:
        desk.fault("status", "POST /tickets", status=status, body=body)
        handoff = world.hand_off(a_conversation(NASTY, id=NASTY), group=NASTY, summary=NASTY)
        world.run(within=600)
        shown = world.show(handoff)
        assert shown["timeline"]
        assert "\0" not in str(shown)
        ended = {400: "undelivered", 422: "undelivered", 403: "accepted", 503: "with_humans"}
        assert shown["state"] == ended[status]


def test_text_of_a_desk_is_stored_whatever_it_is(store: Store) -> None:
    raw = {NASTY: [NASTY, {"deep": NASTY}]}
    ticket = Ticket(id=NASTY, url=NASTY, raw_status=NASTY, assignee=NASTY, raw=raw)
    update = Update(
        id=NASTY,
        kind=UpdateKind.REPLY,
        ticket_id=NASTY,
        at=datetime.now(UTC),
        text=NASTY,
        raw=raw,
        handoff_id="h",
    )
    with store.begin() as connection:
        updates.save_ticket(connection, "desk", "h", ticket)
        assert updates.add(connection, update, datetime.now(UTC))
        handoffs.note(connection, "h", datetime.now(UTC), NASTY)
        desks.change(connection, "desk", paused_because=NASTY)
    with store.read() as connection:
        assert updates.ticket_of(connection, "desk", ticket.id)
        assert updates.of_handoff(connection, "h") == [update]
        assert "\0" not in str(desks.paused(connection, "desk"))
        assert handoffs.timeline_of(connection, "h")[0].text.startswith("a \ufffd NUL")


# Secrets.

SECRETS = ("simulated-secret", "simulated-webhook-secret", "simulated-oauth-token", "simulated-api-token")


def dump(url: str) -> bytes:
    """Everything that is stored, raw."""
    if url.startswith("sqlite"):
        path = Path(sa.make_url(url).database or "")
        return b"".join(each.read_bytes() for each in sorted(path.parent.glob(f"{path.name}*")))
    found = b""
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "select format('%I.%I', table_schema, table_name) from information_schema.tables "
            "where table_schema not in ('pg_catalog', 'information_schema') and table_type = 'BASE TABLE'"
        ).fetchall()
        for (table,) in tables:
            for (row,) in connection.execute(f"select t::text from {table} t"):  # type: ignore[call-overload]
                found += row.encode() + b"\n"
    return found


@pytest.mark.parametrize("credentials", ["oauth", "token"])
def test_no_secret_stands_in_the_store(store_url: str, credentials: str) -> None:
    zendesk = connector("zendesk")
    from handrail.testing import SimulatedZendesk

    clock = Clock()
    with SimulatedZendesk(clock=clock) as desk:
        basic = {
            "client_id": None,
            "client_secret": None,
            "email": "bot@example.com",
            "api_token": SECRETS[3],
        }
        settings = {} if credentials == "oauth" else basic
        with World(desk, zendesk, clock=clock, store=store_url, settings=settings) as world:
            world.take_webhooks()
            desk.fault("status", status=503)
            desk.fault("reset", "POST /tickets", when="after")
            handoff = world.deliver(a_conversation(id="c-1"), files=[a_file()])
            ticket = world.show(handoff)["ticket"]["id"]
            desk.human_replies(ticket, "the human's answer")
            until(lambda: world.run(within=60) or world.updates(handoff, UpdateKind.REPLY), "a reply")
            world.poll()
            desk.tokens.clear()
            desk.api_token = "another"
            world.hand_off(a_conversation(id="c-2"))
            world.run(within=60)
            desk.human_solves(ticket)
            world.run(within=60)
        spoken = {value for seen in desk.requests if (value := seen.headers.get("authorization"))}
        signatures = {hook.headers["X-Zendesk-Webhook-Signature"] for hook in world.webhooks}
    stored = dump(store_url)
    assert b"the human's answer" in stored
    assert spoken
    assert signatures
    tokens = {value.partition(" ")[2] for value in spoken}
    plain = {base64.b64decode(token).decode() for token in tokens if credentials == "token"}
    for secret in {*SECRETS, *tokens, *plain, *signatures}:
        assert secret.encode() not in stored, secret
    assert b"uthorization" not in stored
