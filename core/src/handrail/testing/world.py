"""A whole Handrail with one simulated desk and a clock that is set: for the kit and for tests.

Jobs stand in a table of the same database and are run here, in the order of their times, by moving the
clock; nothing waits.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa

from handrail.again import resume
from handrail.config import Config
from handrail.connector import Connector
from handrail.errors import SignatureError
from handrail.model import Conversation, Customer, File, Handoff, Message, Role, Update, UpdateKind
from handrail.rail import Handrail
from handrail.signature import Hook
from handrail.store import Store, operations
from handrail.store.schema import Moment, hooks
from handrail.testing.clock import Clock
from handrail.testing.desk import SimulatedDesk

_jobs = sa.Table(
    "simulated_jobs",
    sa.MetaData(),
    sa.Column("due_at", Moment, primary_key=True),
    sa.Column("step", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("n", sa.Integer, primary_key=True),
)


@cache
def _fresh() -> bytes:
    """The file of an empty store: making one for each world would take longer than most tests do."""
    with tempfile.TemporaryDirectory(prefix="handrail-") as folder:
        path = Path(folder) / "fresh.db"
        Store(f"sqlite:///{path}").close()
        return path.read_bytes()


def fresh_store(path: Path) -> str:
    """The address of an empty store in a file of its own at ``path``."""
    path.write_bytes(_fresh())
    return f"sqlite:///{path}"


class Agenda:
    """The seam ``schedule`` with a clock that is set in place of an engine."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def schedule(self, connection: sa.Connection, step: str, id: str, n: int, delay: float) -> None:
        same = sa.and_(_jobs.c.step == step, _jobs.c.id == id, _jobs.c.n == n)
        if connection.execute(sa.select(_jobs.c.n).where(same)).first() is None:
            due = self.clock() + timedelta(seconds=delay)
            connection.execute(_jobs.insert().values(due_at=due, step=step, id=id, n=n))


class World:
    """One rail, one desk, one clock. ``settings`` of the desk may be added to.

    Each name in ``fallback`` is the same desk once more, under that name.
    A ``store`` address that is given is used as it is and left there, so that a second world can go on.
    """

    def __init__(
        self,
        desk: SimulatedDesk,
        connector: type[Connector],
        *,
        clock: Clock,
        store: str | None = None,
        settings: Mapping[str, Any] | None = None,
        fallback: Sequence[str] = (),
        **config: Any,
    ) -> None:
        self.desk = desk
        self.clock = clock
        self.agenda = Agenda(clock)
        self._folder = tempfile.TemporaryDirectory(prefix="handrail-")
        given = {key: value for key, value in desk.settings().items() if key != "connector"}
        given |= dict(settings or {})
        self.connector = connector(**given)
        self.rail = Handrail(
            Config(
                path=Path(self._folder.name) / "handrail.toml",
                store=store or fresh_store(Path(self._folder.name) / "handrail.db"),
                desk="desk",
                desks={"desk": self.connector} | {name: connector(**given) for name in fallback},
                fallback=tuple(fallback),
                **config,
            ),
            clock=clock,
            schedule=self.agenda.schedule,
        )
        self.webhooks: list[Hook] = []
        self._receiver: _Receiver | None = None
        _jobs.create(self.rail.context.store.engine, checkfirst=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._receiver is not None:
            self._receiver.close()
        self.rail.close_connections()
        self._folder.cleanup()

    def hand_off(self, conversation: Conversation | None = None, **wishes: Any) -> Handoff:
        """Accept a conversation, by default a small one; nothing is sent yet."""
        return self.rail.hand_off(conversation or a_conversation(), **wishes)

    def run(self, within: float = 0.0) -> int:
        """Run the jobs that are due within so many seconds, moving the clock; returns how many ran."""
        until, ran = self.clock() + timedelta(seconds=within), 0
        while (job := self._next(until)) is not None:
            self.rail.run_step(job.step.partition(":")[0], job.id, job.n)
            self._done(job)
            ran += 1
        return ran

    def let_pass(self, seconds: float) -> None:
        """Run what is due within so many seconds; the clock then stands at their end."""
        until = self.clock() + timedelta(seconds=seconds)
        self.run(within=seconds)
        self.clock.set(until)

    def _next(self, until: datetime) -> Any:
        with self.rail.context.store.read() as connection:
            query = _jobs.select().where(_jobs.c.due_at <= until).order_by(_jobs.c.due_at, _jobs.c.step)
            job = connection.execute(query.limit(1)).first()
        if job is not None and job.due_at > self.clock():
            self.clock.set(job.due_at)
        return job

    def _done(self, job: Any) -> None:
        """Only now: a job whose process dies is run again, as an engine does."""
        same = (_jobs.c.step == job.step, _jobs.c.id == job.id, _jobs.c.n == job.n)
        with self.rail.context.store.begin() as connection:
            connection.execute(_jobs.delete().where(*same))

    def recover(self) -> None:
        """What a worker does at its start: take up what a dead process left."""
        resume(self.rail.context)
        self.rail.subscriptions.resume()
        self.rail.raising.resume()
        self.rail.side_steps.resume()

    def deliver(self, conversation: Conversation | None = None, **wishes: Any) -> Handoff:
        """Hand off and run until it is delivered, or an hour has passed on the clock."""
        handoff = self.hand_off(conversation, **wishes)
        self.run(within=3600)
        return handoff

    def take_webhooks(self) -> None:
        """From now on the desk's webhooks come in, over HTTP; ``webhooks`` keeps each as it was sent."""
        if self._receiver is None:
            self._receiver = _Receiver(self)
            self.desk.webhook = (self._receiver.url, str(getattr(self.connector, "webhook_secret", "")))

    def stored_hooks(self) -> int:
        with self.rail.context.store.read() as connection:
            return connection.execute(sa.select(sa.func.count()).select_from(hooks)).scalar_one()

    def show(self, handoff: Handoff) -> dict[str, Any]:
        return self.rail.show(handoff.id)

    def operations(self, handoff: Handoff) -> Sequence[Any]:
        with self.rail.context.store.read() as connection:
            return operations.of_handoff(connection, handoff.id)

    def poll(self) -> int:
        """Two minutes later, one polling pass; returns the number of new updates."""
        self.clock.advance(120)
        return self.rail.roads.poll("desk")

    def updates(self, handoff: Handoff, kind: UpdateKind | None = None) -> list[Update]:
        found = [update for update in self.rail.updates() if update.handoff_id == handoff.id]
        return [update for update in found if kind in (None, update.kind)]


class _Receiver:
    """Takes webhooks over HTTP as ``handrail serve`` does, in the world's own time."""

    def __init__(self, world: World) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                hook = Hook(self.rfile.read(int(self.headers["Content-Length"])), dict(self.headers))
                world.webhooks.append(hook)
                try:
                    world.rail.receive("desk", hook.headers, hook.body)
                    self.send_response(200)
                except SignatureError:
                    self.send_response(401)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/webhook"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def a_conversation(text: str = "Where is my refund?", **known: Any) -> Conversation:
    """A small conversation with a customer who has an address."""
    messages = known.pop("messages", None) or (
        Message(role=Role.CUSTOMER, text=text),
        Message(role=Role.AI, text="I could not find it, a colleague will look."),
    )
    customer = known.pop("customer", Customer(id="u-7", name="Ann Lee", email="ann@example.com"))
    return Conversation(messages=messages, customer=customer, **known)


def a_file(name: str = "receipt.txt", content: bytes = b"one refund, please\n") -> File:
    return File.of(name, content, "text/plain")
