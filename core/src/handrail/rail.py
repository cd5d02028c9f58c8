"""The facade: what a host application, the command line and the server use."""

from __future__ import annotations

import builtins
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from handrail import accept as accepting
from handrail import again, answers, delivery, views, waits
from handrail.config import Config, load
from handrail.connector import Can, Finding
from handrail.context import Clock, Context, utc_now
from handrail.engine import Duties, Jobs, Schedule, Worker
from handrail.errors import ConfigError, DeskError, DeskPaused, InputError
from handrail.flows import raising_holds
from handrail.lookback import LookBack
from handrail.model import (
    Conversation,
    File,
    Handoff,
    Holder,
    Message,
    Reason,
    State,
    Ticket,
    Update,
    Urgency,
)
from handrail.policy.model import Decision
from handrail.policy.wish import wish_from
from handrail.raising import Raising
from handrail.roads import Roads
from handrail.sidesteps import SideSteps
from handrail.store import Store, desks, handoffs, side_steps, updates
from handrail.sync import Inbox
from handrail.watch import watching

E = TypeVar("E", Urgency, Reason)

IDLE_HORIZON = timedelta(seconds=60)
"""``work_until_idle`` waits for what is due within this time; what waits longer, waits for another day."""


class Handrail:
    """Handoffs of one configuration. Safe to use from several threads; close it, or use it in ``with``."""

    def __init__(self, config: Config, *, clock: Clock = utc_now, schedule: Schedule | None = None) -> None:
        """``clock`` and ``schedule`` are for tests that set the time and run the jobs themselves."""
        self.config = config
        store = Store(config.store)
        self._jobs = Jobs(store)
        self._worker: Worker | None = None
        self.context = Context(config, store, schedule or self._jobs.schedule, clock)
        if schedule is None:
            self.context.finished = self._jobs.finished
        self.inbox = Inbox(self.context)
        self.subscriptions = self.inbox.subscriptions
        self.delivery = delivery.Delivery(self.context, self.inbox)
        self.roads = Roads(self.context, self.inbox)
        self.raising = Raising(self.context, self.inbox, raising_holds(self.context))
        self.look_back = LookBack(self.context)
        self.side_steps = SideSteps(self.context)

    @classmethod
    def open(cls, config: str | Path | None = None) -> Handrail:
        """Open by a configuration file; None: $HANDRAIL_CONFIG, then ./handrail.toml."""
        return cls(load(config))

    def __enter__(self) -> Handrail:
        return self

    def __exit__(self, *_: object) -> None:
        self.close_connections()

    def close_connections(self) -> None:
        """Close the connections to desks and store."""
        self._jobs.drop_finished()
        self.context.close()

    # Handing off.

    def hand_off(
        self,
        conversation: Conversation,
        decision: Decision | None = None,
        *,
        desk: str | None = None,
        group: str | None = None,
        urgency: Urgency | str | None = None,
        reason: Reason | str | None = None,
        summary: str | None = None,
        next_steps: Sequence[str] = (),
        key: str | None = None,
        files: Sequence[File] = (),
    ) -> Handoff:
        """Accept a conversation; durable when it returns.

        Raises ``Conflict`` where the key was used for other content, ``NotFound`` for an unknown desk,
        ``InputError`` for an unknown urgency or reason, and for a decision that does not hand off. What is
        given besides a decision wins over it, and without one over what the routes set. Nothing is sent yet:
        a worker does, or ``wait``.
        """
        given = {
            "desk": desk,
            "group": group,
            "urgency": _enum(Urgency, urgency, "urgency"),
            "reason": _enum(Reason, reason, "reason"),
            "summary": summary,
            "next_steps": tuple(next_steps),
            "key": key,
            "files": tuple(files),
        }
        wished = wish_from(decision, conversation.id)
        wished |= {name: value for name, value in given.items() if value not in (None, ())}
        return accepting.accept(self.context, conversation, accepting.Wish(**wished))

    def decide(self, conversation: Conversation, now: datetime | None = None) -> Decision:
        """What the policy says of a conversation at ``now`` (an aware time; None: by the clock).

        Stores nothing and sends nothing. Where no policy is configured, the AI keeps every conversation.
        """
        now = now or self.context.clock()
        policy = self.config.policy
        if policy is None:
            because = "no policy is configured; add [[triggers]] to the configuration"
            return Decision(kind="keep", conversation_id=conversation.id, at=now, because=because)
        decision: Decision = policy.decide(conversation, now, default_desk=self.config.desk)
        return decision

    def resolved(self, conversation_id: str) -> bool:
        """The AI has solved a conversation: its wait ends. False where none was running."""
        return waits.resolved(self.context, conversation_id)

    def answer(self, handoff_id: str, fields: Mapping[str, Any]) -> tuple[str, ...]:
        """What the customer answered to the questions of a flow, by field; the questions still open.

        With the last answer the handoff goes on. All are taken or none: raises ``InputError`` for one that
        was not asked for or does not look as it should, ``Conflict`` where nothing is asked any more.
        """
        return answers.answer(self.context, handoff_id, fields)

    def wait(self, handoff_id: str, timeout: float = 30) -> Ticket | None:
        """The ticket, as soon as there is one; None after ``timeout`` seconds, or where none will come.

        While it waits, the caller's thread makes the attempts that are due and nobody else makes.
        """
        deadline = time.monotonic() + timeout
        while True:
            self.delivery.attempt(handoff_id)
            row, ticket = self._look(handoff_id)
            stuck = row.due_at is None or row.state in (State.UNDELIVERED, State.CANCELLED)
            if ticket is not None or stuck or time.monotonic() >= deadline:
                return ticket
            time.sleep(max(0.0, min(self._pause(row.due_at), deadline - time.monotonic())))

    def attempt(self, handoff_id: str) -> None:
        """Send now, in the caller's thread, what is due and nobody else sends; one attempt, no waiting."""
        self.delivery.attempt(handoff_id)

    def _look(self, handoff_id: str) -> tuple[Any, Ticket | None]:
        with self.context.store.read() as connection:
            row = handoffs.get(connection, handoff_id)
            stored = updates.ticket_of(connection, row.desk, row.ticket_id) if row.ticket_id else None
            return row, updates.as_ticket(stored) if stored is not None else None

    def _pause(self, due_at: datetime) -> float:
        """Another process may deliver before our own next attempt is due: look every 0.2 seconds."""
        return min(0.2, max(0.01, (due_at - self.context.clock()).total_seconds()))

    def say(self, handoff_id: str, message: Message) -> None:
        """Add a later message to the ticket; durable when it returns, delivered in order."""
        accepting.say(self.context, handoff_id, message)

    def set_urgency(self, handoff_id: str, urgency: Urgency | str) -> None:
        """Change how urgent a handoff is, also on its desk."""
        accepting.set_urgency(self.context, handoff_id, _enum(Urgency, urgency, "urgency") or Urgency.NORMAL)

    def close(self, handoff_id: str) -> None:
        """Close the ticket as solved, behind everything that was queued before."""
        accepting.close(self.context, handoff_id)

    def cancel(self, handoff_id: str) -> None:
        """Stop a handoff that has not reached its desk. Raises ``Conflict`` where it has, or may have."""
        accepting.cancel(self.context, handoff_id)

    def retry(self, handoff_id: str) -> None:
        """Send what failed again."""
        again.retry(self.context, handoff_id)

    def retry_all(self) -> builtins.list[str]:
        """Send every dead letter again, and what waits for a paused desk; the ids of all of them."""
        with self.context.store.read() as connection:
            ids = [row.id for row in handoffs.stuck(connection)]
        for id in ids:
            self.retry(id)
        return ids

    # Looking.

    def show(self, handoff_id: str) -> dict[str, Any]:
        """One handoff with its updates and its whole timeline. Raises ``NotFound``."""
        with self.context.store.read() as connection:
            return views.handoff(connection, handoffs.get(connection, handoff_id), whole=True)

    def list(
        self,
        *,
        state: State | None = None,
        desk: str | None = None,
        group: str | None = None,
        since: datetime | None = None,
        limit: int = 50,
    ) -> builtins.list[dict[str, Any]]:
        """Handoffs, newest first."""
        with self.context.store.read() as connection:
            rows = handoffs.listing(connection, state=state, desk=desk, group=group, since=since, limit=limit)
            return [views.handoff(connection, row) for row in rows]

    def holder(self, conversation_id: str) -> Holder:
        """Who answers the customer now."""
        with self.context.store.read() as connection:
            row = handoffs.of_conversation(connection, conversation_id)
            return State(row.state).holder if row is not None else "ai"

    def updates(self, after: str | None = None, limit: int = 1000) -> Iterator[Update]:
        """Updates behind a cursor (None: from the first), in the order in which they were stored."""
        if after is not None and not re.fullmatch("[0-9]{1,18}", after):
            raise InputError(
                f"{after!r} is no cursor of ours; use one that came with an update", field="after"
            )
        with self.context.store.read() as connection:
            found = updates.after(connection, int(after or 0), limit)
        for seq, update in found:
            yield update.model_copy(update={"cursor": str(seq)})

    # Both roads back.

    def receive(self, desk: str, headers: Mapping[str, str], body: bytes) -> str:
        """A webhook: verified and stored when it returns (its id). Raises SignatureError, NotFound."""
        return self.roads.receive(desk, headers, body)

    def settle(self, hook_id: str) -> None:
        """Turn a stored webhook into updates now; a job does it anyway."""
        self.roads.settle(hook_id)

    def sync(
        self, desk: str | None = None, failed: Callable[[str, DeskError], None] | None = None
    ) -> dict[str, int]:
        """One polling pass now: the number of new updates by desk.

        A desk that fails does not keep the others from being polled: ``failed`` is told its name and why;
        without ``failed`` the first such error is raised at the end.
        """
        names = [desk] if desk else [n for n, c in self.config.desks.items() if Can.POLL in c.can]
        found, errors = dict[str, int](), dict[str, DeskError]()
        for name in names:
            try:
                found[name] = self.roads.poll(name)
            except DeskError as error:
                errors[name] = error
        for name, why in errors.items():
            if failed is None:
                raise why
            failed(name, why)
        return found

    def check(self, offline: bool = False) -> builtins.list[Finding]:
        """What is right and wrong, the policy included; a desk that answers well is no longer paused.

        Subscribers are not asked: what is known of them is told.
        """
        from handrail.policy.lint import lint

        found = [Finding("store", True, "opened"), *lint(self.config), *self.subscriptions.findings()]
        found += [Finding(f"hours.{name}", True, str(hours)) for name, hours in self.config.hours.items()]
        found += [Finding(f"desks.{name}", False, again.GONE) for name in again.desks_gone(self.context)]
        for name in self.config.desks:
            findings = [Finding("settings", True, "read")] if offline else self._ask(name)
            found += [replace(each, subject=f"desks.{name}: {each.subject}") for each in findings]
            if not offline and all(each.ok for each in findings):
                again.resume(self.context, name)
        return found

    def _ask(self, desk: str) -> builtins.list[Finding]:
        try:
            return self.context.ask(desk, self.context.connector(desk).check, paused_too=True)
        except DeskPaused as error:
            return [Finding("credentials", False, f"{error}; check those in [desks.{desk}]")]
        except DeskError as error:
            return [Finding("connection", False, str(error))]

    # Working.

    def run_step(self, step: str, id: str, n: int) -> None:
        """One job of the engine."""
        if step == "deliver":
            self.delivery.step(id, n)
        elif step == "hook":
            self.roads.settle(id, n)
        elif step == "poll":
            self.roads.poll_step(id, n)
        elif step == "sweep":
            self.delivery.sweep(id, n)
        elif step == "lookback":
            self.look_back.step(id, n)
        elif step == "read":
            self.roads.read_step(id, n)
        elif step == "ring":
            self._jobs.ring(id)
        elif step == "notify":
            self.subscriptions.step(id, n)
        elif step == "watch":
            self.raising.step(id, n)
        elif step == "also":
            self.side_steps.step(id, n)
        else:
            raise ConfigError(f"a job of a newer version: {step}")

    @contextmanager
    def working(self) -> Iterator[None]:
        """A worker in this process. On SQLite one process at a time may work."""
        names = [*again.desks_gone(self.context), *self.config.desks]
        slots = {name: self.context.seats(name) for name in names}
        duties = Duties(
            self.run_step,
            self.delivery.drain,
            partial(again.take_over, self.context),
            self.context.presence,
            self._mend,
            self.context.halt,
        )
        worker = self._jobs.worker(slots, duties, others=self.subscriptions.named)
        worker.start()
        self._worker = worker
        try:
            again.resume(self.context)
            self.subscriptions.resume()
            self.raising.resume()
            self.side_steps.resume()
            for name, connector in self.config.desks.items():
                if Can.POLL in connector.can:
                    self.roads.schedule_poll(name, 0)
            with watching(self.context, lambda desk: self.roads.schedule_poll(desk, 0)):
                yield
        finally:
            self._worker = None
            worker.stop()

    @property
    def is_well(self) -> bool:
        """False where a worker of this process no longer looks after its work."""
        worker = self._worker
        return worker is None or worker.keeper.is_well

    def _mend(self) -> None:
        self.context.tidy()
        self.delivery.mend()

    def work_until_idle(self, stop: threading.Event | None = None) -> None:
        """Work until nothing is due within a minute."""
        stop = stop or threading.Event()
        with self.working():
            while not self._idle() and not stop.wait(0.1):
                pass

    def _idle(self) -> bool:
        now = self.context.clock()
        soon = now + IDLE_HORIZON
        with self.context.store.read() as connection:
            polls = [desks.get(connection, n) for n, c in self.config.desks.items() if Can.POLL in c.can]
            polled = all(row is not None and row.poll_due_at and row.poll_due_at > now for row in polls)
            if not polled or handoffs.is_due(connection, self.config.desks, soon):
                return False
            if desks.due_hooks(connection, soon) or side_steps.due(connection, soon):
                return False
            if handoffs.is_watched(connection, self.config.desks, soon):
                return False
            return not self.subscriptions.due(connection, soon) and not handoffs.at_work(connection)


def _enum(kind: type[E], value: E | str | None, field: str) -> E | None:
    if value is None:
        return None
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(kind)
        raise InputError(f"{value!r} is unknown; use one of {known}", field=field) from None
