"""One universe: a seed, a clock, a store, processes that die, desks, people, and what goes wrong."""

from __future__ import annotations

import contextlib
import logging
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from tests.simulation import places, seams
from tests.simulation.agenda import Agenda
from tests.simulation.chance import Chance
from tests.simulation.network import Network
from tests.simulation.process import Killed, Process
from tests.simulation.story import Tale

from handrail import again
from handrail.config import Config
from handrail.connector import Can, Connector
from handrail.errors import SignatureError
from handrail.rail import Handrail
from handrail.testing.clock import START

HOUR = 3600.0
KINDS: dict[str, tuple[type[places.Place], int]] = {
    "acme": (places.Place, 42),
    "keyed": (places.KeyedPlace, 27),
    "lagging": (places.LaggingPlace, 25),
    "zendesk": (places.ZendeskPlace, 2),
    "freshdesk": (places.FreshdeskPlace, 2),
    "jira": (places.JiraPlace, 2),
}
"""What stands in a universe's first place, and in how many of a hundred."""
DEEPEST = 2


class Broken(Exception):
    """A promise was broken; the message says which."""


@dataclass(frozen=True)
class Settings:
    """What kind of universe it is. Shares are of one."""

    kind: str
    backup: bool
    faults: float
    crashes: float
    meanwhile: float
    mischief: float
    refusals: bool
    near: bool
    skewed: float
    jumps: float
    hooks: bool
    hook_loss: float
    poll: float
    hours: float
    give_up: float
    quick: float

    @classmethod
    def drawn(cls, chance: Chance, kind: str | None = None) -> Settings:
        draw = chance.stream("settings")
        kinds = {name: weight for name, (_, weight) in KINDS.items()}
        chosen = draw.choices(list(kinds), list(kinds.values()))[0]
        hooks = draw.random() < 0.8
        return cls(
            kind=kind or chosen,
            backup=draw.random() < 0.3,
            faults=draw.choice([0.01, 0.05, 0.15, 0.3]),
            crashes=draw.choice([0, 0.002, 0.01, 0.03]),
            meanwhile=draw.choice([0.02, 0.1, 0.3]),
            mischief=draw.choice([0, 0.02, 0.1]),
            refusals=draw.random() < 0.5,
            near=draw.random() < 0.6,
            skewed=draw.choice([0, 0, 2, 20]),
            jumps=draw.choice([0, 0, 0, 60, 600]),
            hooks=hooks,
            hook_loss=draw.choice([0, 0.1, 0.5]),
            poll=draw.choice([600, 1800, HOUR]) if not hooks or draw.random() < 0.7 else 6 * HOUR,
            hours=draw.choice([0.5, 1, 3]),
            give_up=draw.choice([0.25, 0.5, 4, 24]),
            quick=draw.choice([0, 0.1, 0.5]),
        )


class Universe:
    def __init__(
        self,
        seed: int,
        handoffs: int = 40,
        *,
        only: frozenset[int] | None = None,
        tales: frozenset[int] | None = None,
        kind: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.chance = Chance(seed, only)
        self.settings = Settings.drawn(self.chance, kind)
        self.verbose = verbose
        self.lines: list[str] = []
        self.now = 0.0
        self.jump = 0.0
        self.agenda = Agenda()
        self.broken: list[str] = []
        self.late: list[bytes] = []
        """Bodies of requests that the desk acted on after their sender had given them up."""
        self.processes: list[Process] = []
        self.stack: list[Process] = []
        self.in_transaction = False
        self.step_exchanges = 0
        self.longest = 0.0
        """Seconds that anything took which a process did in one go."""
        self.pending: list[tuple[str, str, int, float]] = []
        self.feed: list[tuple[int, str]] = []
        self.raw = seams.empty()
        first = KINDS[self.settings.kind][0]
        self.places = {"first": first(self, "first", 0)}
        if self.settings.backup:
            self.places["backup"] = places.Place(self, "backup", 1)
        self.tales = [Tale(self, k) for k in range(handoffs) if tales is None or k in tales]
        self.newborn: Process

    # Time and what is seen.

    def moment(self) -> datetime:
        return START + timedelta(seconds=round(self.now, 6))

    def skew(self) -> float:
        return self.chance.time.uniform(-1, 1) * self.settings.skewed

    def trace(self, line: str) -> None:
        if self.verbose:
            self.lines.append(f"{self.now:10.2f} {'  ' * len(self.stack)}{line}")

    def check(self, holds: object, words: str) -> None:
        """A promise; what is broken ends the universe at its next step."""
        if not holds:
            self.broken.append(words)
            self.trace(f"BROKEN: {words}")

    # Seams.

    def transaction_begins(self) -> None:
        self.check(not self.in_transaction, "a transaction within a transaction")
        self.in_transaction = True
        self.pending = []

    def transaction_ends(self, *, committed: bool) -> None:
        if committed:
            for step, id, n, delay in self.pending:
                self._job(step, id, n, delay)
        self.pending = []
        self.in_transaction = False

    def schedule(self, connection: sa.Connection, step: str, id: str, n: int, delay: float) -> None:
        self.check(self.in_transaction, f"the job {step} {id} is scheduled outside of a transaction")
        self.pending.append((step, id, n, delay))

    def _job(self, step: str, id: str, n: int, delay: float) -> None:
        job = (step, id, n)
        if self.agenda.knows(job, self.now):
            return
        self.agenda.begun(job)
        late = self.chance.strike("late job", self.settings.mischief)
        self._put(job, max(delay, 0) + (late.uniform(0, 120) if late else 0))

    def _put(self, job: tuple[str, str, int], delay: float) -> None:
        name = f"{job[0]} {job[1]} {job[2]}"
        recurring = job[0].startswith("poll:")
        self.agenda.add(self.now + delay, lambda: self._run(job), name, recurring=recurring)

    def transport(self, connector: Connector) -> Network:
        place = next(place for place in self.places.values() if place.connector is connector)
        return Network(self.running, place)

    @property
    def running(self) -> Process:
        return self.stack[-1]

    def seems_alive(self, holder: str | None) -> bool:
        found = next((process for process in self.processes if process.name == holder), None)
        return bool(holder) and (found is None or found.alive or not found.is_near)

    # Processes.

    def birth(self) -> Process:
        """A worker begins: it takes up what a dead one left, and asks for polls."""
        process = Process(self, len(self.processes))
        self.processes.append(process)
        self.newborn = process
        desks = {name: place.connector for name, place in self.places.items()}
        config = Config(
            path=Path("handrail.toml"),
            store="sqlite:///simulated.db",
            desk="first",
            fallback=("backup",) if self.settings.backup else (),
            give_up_after=timedelta(hours=self.settings.give_up),
            desks=desks,
        )
        process.rail = Handrail(config, clock=process.clock, schedule=self.schedule)
        self.trace(f"{process.name} begins")
        with self.inside(process):
            again.resume(process.rail.context)
            for name, connector in desks.items():
                if Can.POLL in connector.can:
                    process.rail.roads.schedule_poll(name, 0)
        return process

    def _begin_anew(self) -> None:
        if sum(process.alive for process in self.processes) < 3:
            with contextlib.suppress(Killed):
                self.birth()

    def pick(self) -> Process:
        """A living process that does nothing else just now."""
        free = [p for p in self.processes if p.alive and p not in self.stack]
        while not free:
            with contextlib.suppress(Killed):
                free = [self.birth()]
        return self.chance.time.choice(free)

    @contextlib.contextmanager
    def inside(self, process: Process) -> Iterator[None]:
        self.stack.append(process)
        try:
            yield
        finally:
            self.stack.pop()

    def call(self, act: Callable[[Any], Any], otherwise: Callable[[], Any] | None = None) -> Any:
        """Call a process's rail. Where the process is killed, ``otherwise`` is called and None returned."""
        process, began = self.pick(), self.now
        try:
            with self.inside(process):
                return act(process.rail)
        except Killed:
            self.later(self.chance.time.uniform(18, 30), lambda: self._missed(process), "missed")
            self.agenda.add(self.now + self.chance.time.uniform(1, 90), self._begin_anew, "a worker begins")
            if otherwise is not None:
                otherwise()
            return None
        finally:
            self.longest = max(self.longest, self.now - began)

    def _missed(self, dead: Process) -> None:
        """Peers notice that a process has said nothing for a while: what it held goes on."""
        self.call(lambda rail: again.take_over(rail.context, dead.name), lambda: self._missed_later(dead))

    def _missed_later(self, dead: Process) -> None:
        self.later(5, lambda: self._missed(dead), "missed")

    def _run(self, job: tuple[str, str, int]) -> None:
        step, id, n = job
        self.trace(f"job {step} {id} {n}")
        died: list[bool] = []
        kind, _, desk = step.partition(":")
        hands = kind == "deliver" and self.chance.time.random() < 0.3
        lines, self.step_exchanges = None if hands else self._lines_of(step, id), 0

        def work(rail: Any) -> None:
            if hands:  # where one is due, more may be: as a worker's hands do
                rail.delivery.drain(desk, lambda: not self.broken)
            rail.run_step(kind, id, n)

        try:
            self.call(work, lambda: died.append(True))
        except Exception as error:
            self.check(False, f"the step {step} raised {type(error).__name__}: {error}")
            return
        if died:
            delay = (1, 12) if self.settings.near else (300, 420)
            self._put(job, self.chance.time.uniform(*delay))
            return
        if lines is not None and self.step_exchanges and not self.stack:
            self.check(self._lines_of(step, id) != lines, f"an attempt at {id} left no line behind")
        self.agenda.ended(job, self.now)
        twice = self.chance.strike("job twice", self.settings.mischief / 2)
        if twice:
            self._put(job, twice.uniform(0, 400))

    def _lines_of(self, step: str, id: str) -> int | None:
        if not step.startswith("deliver:"):
            return None
        return int(
            self.raw.execute("select count(*) from timeline where handoff_id = ?", (id,)).fetchone()[0]
        )

    # Time passes.

    def elapse(
        self, seconds: float, process: Process | None = None, slow: random.Random | None = None
    ) -> None:
        """Time passes within an exchange of ``process``; others may work meanwhile, with ``slow`` surely."""
        self.now += seconds
        if process is None or len(self.stack) > DEEPEST:
            return
        slow = slow or self.chance.strike("meanwhile", self.settings.meanwhile)
        if slow is None:
            return
        until, left = self.now + slow.choice([1, 10, 50]) * slow.random(), 12
        if until - self.now < 15 and self.chance.strike("taken for dead", 3 * self.settings.mischief):
            self.call(lambda rail: again.take_over(rail.context, process.name))
        while left and not self.broken and (event := self.agenda.due(until)) is not None:
            left -= 1
            self.now = max(self.now, event.at)
            self.chance.count("interleaved")
            exchanges = self.step_exchanges
            event.act()
            self.step_exchanges = exchanges
        self.now = max(self.now, until)

    def new_on_desk(self, place: places.Place, ticket_id: str, draw: random.Random) -> None:
        """Somebody at the desk, or a rule of it, works on a new ticket before we know that it is ours."""
        tale = next((tale for tale in self.tales if tale.id and place.is_of(ticket_id, tale.token)), None)
        if tale is None:
            return
        self.chance.count("somebody was quick")
        if draw.random() < 0.6:  # a worker begins elsewhere, and polls
            self.later(draw.uniform(0, 0.3), lambda: self._polls(place.name), "a poll")
        self.later(
            draw.choice([0, 0, 2]) * draw.random(), lambda: tale.quick(place, ticket_id, draw), "quick"
        )

    def _polls(self, name: str) -> None:
        self.call(lambda rail: rail.roads.schedule_poll(name, 0))

    def later(self, delay: float, act: Callable[[], Any], name: str = "late") -> None:
        self.agenda.add(self.now + delay, act, name)

    # Webhooks.

    def webhook(self, place: places.Place, body: bytes, headers: dict[str, str]) -> None:
        delay = self.chance.time.expovariate(self.chance.time.choice([0.5, 20]))
        draw = self.chance.strike("webhook", self.settings.hook_loss)
        kind = draw.choice(["lost", "lost", "twice", "late", "late"]) if draw else ""
        if kind:
            self.chance.count(f"webhook {kind}")
        if draw and kind == "late":
            delay += draw.uniform(1, 280)
        if kind != "lost":
            self.later(delay, lambda: self._arrives(place, body, headers, self.now), "webhook")
        if draw and kind == "twice":
            self.later(delay + draw.uniform(0, 200), lambda: self._arrives(place, body, headers, self.now))
        if self.chance.strike("forged webhook", self.settings.mischief / 4) and place.is_acme:
            self.later(delay, lambda: self._forged(place, body + b" ", headers))

    def _arrives(self, place: places.Place, body: bytes, headers: dict[str, str], sent: float) -> None:
        def again() -> None:
            self.later(20, lambda: self._arrives(place, body, headers, sent))

        try:
            id = self.call(lambda rail: rail.receive(place.name, headers, body), again)
        except SignatureError as error:
            self.chance.count("webhook too old")
            self.check("old" in str(error), f"a genuine webhook was refused: {error}")
            return
        if id is not None:
            found = self.raw.execute("select state from hooks where id = ?", (id,)).fetchone()
            self.check(found is not None, f"the webhook {id} was acknowledged and is not stored")
            self.chance.count("webhook")

    def _forged(self, place: places.Place, body: bytes, headers: dict[str, str]) -> None:
        try:
            id = self.call(lambda rail: rail.receive(place.name, headers, body))
            self.check(id is None, "a forged webhook was taken")
        except SignatureError:
            self.chance.count("webhook forged")

    # The whole life.

    def run(self) -> None:
        """Live to the end. Raises ``Broken``."""
        logger = logging.getLogger("handrail")
        before = logger.level
        logger.setLevel(logging.CRITICAL + 1)
        try:
            with seams.patched(self):
                self._live()
        finally:
            logger.setLevel(before)
        if self.broken:
            raise Broken(self.broken[0])

    def _live(self) -> None:
        from tests.simulation.invariants import at_the_end, on_the_way

        self.trace(f"{self.settings}")
        for _ in range(2):
            self._begin_anew()
        for tale in self.tales:
            tale.begin()
        self._weather()
        end = self.settings.hours * HOUR
        for hour in range(1, 5):
            self._until(end * hour / 4)
            on_the_way(self)
        self._calm()
        if not self.broken:
            on_the_way(self)
            at_the_end(self)

    def _weather(self) -> None:
        """Outages of minutes and hours, clocks that jump, workers that are stopped, operators who help."""
        draw, end = self.chance.stream("weather"), self.settings.hours * HOUR
        often = 0.9 if self.settings.give_up < 1 else 0.4  # where an outage ends more than patience
        for place in self.places.values():
            if draw.random() < often:
                at, lasts = draw.uniform(0, end), draw.choice([300, HOUR, 3 * HOUR]) * draw.random()
                kind = draw.choice(["refuses", "503", "hangs", "mute", "mute"])
                self.agenda.add(at, lambda p=place, s=lasts, k=kind: self._outage(p, s, k), "outage")  # type: ignore[misc]
        for _ in range(draw.randint(0, 3) if self.settings.jumps else 0):
            by = draw.uniform(-1, 1) * self.settings.jumps
            self.agenda.add(draw.uniform(0, end), lambda by=by: self._jumps(by), "the clock jumps")  # type: ignore[misc]
        for at in range(1, 5):
            self.agenda.add(end * at / 4, self._operator, "an operator looks")

    def _outage(self, place: places.Place, seconds: float, kind: str) -> None:
        if self.chance.strike("outage", 1):
            self.chance.count("outage")
            self.trace(f"{place.name} is out for {seconds:.0f} s: {kind}")
            place.out_until, place.out_kind = self.now + seconds, kind

    def _jumps(self, by: float) -> None:
        if self.chance.strike("clock jump", 1):
            self.chance.count("clock jump")
            self.trace(f"the clock jumps by {by:.0f} s")
            self.jump += by

    def _operator(self) -> None:
        """What `handrail check` does once it has found a desk well."""
        self.call(lambda rail: again.resume(rail.context))

    def _until(self, end: float) -> None:
        while not self.broken and (event := self.agenda.due(end)) is not None:
            self.now = max(self.now, event.at)
            event.act()
        self.now = max(self.now, end)

    def _calm(self) -> None:
        """Nothing goes wrong any more; what is due runs until nothing is, then the desks are asked again."""
        self.chance.quiet = True
        for place in self.places.values():
            place.out_until = 0
        for process in self.processes:  # those that hang or are far away are stopped, as by a deployment
            process.alive = False
            process.is_near = True
        self.birth()
        limit = self.now + 72 * HOUR
        while not self.broken and self.agenda.standing:
            event = self.agenda.take()
            assert event is not None
            self.now = max(self.now, event.at)
            if self.now > limit:
                self.check(False, f"after three days there is still something to do: {event.name}")
            event.act()
        for _ in range(3):
            self.now += 200
            for name in self.places:
                if not self.broken:
                    self.call(lambda rail, name=name: rail.sync(name))
            while not self.broken and self.agenda.standing and (event := self.agenda.take()) is not None:
                self.now = max(self.now, event.at)
                event.act()
