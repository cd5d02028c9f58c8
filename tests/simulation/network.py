"""The network between a process and a desk: bytes to the desk's own answer function, without a socket."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from handrail.errors import NotDone, Unsure
from handrail.steps import Reply
from handrail.wire import Wire

if TYPE_CHECKING:
    from tests.simulation.places import Place
    from tests.simulation.process import Process

_HTML = Reply(200, b"<html><body><h1>Something went wrong</h1></body></html>", {"content-type": "text/html"})
_EMPTY = Reply(200, b"{}", {"content-type": "application/json"})

KINDS = {
    "refused": 4,
    "lost before": 6,
    "lost after": 10,
    "half": 4,
    "hang before": 4,
    "hang after": 6,
    "5xx before": 4,
    "5xx after": 6,
    "429": 6,
    "408": 1,
    "html after": 3,
    "html before": 2,
    "empty after": 3,
    "late": 3,
    "401": 1,
    "422": 4,
    "field": 2,
}


class Network:
    """Implements ``handrail.wire.Transport`` for one process and one desk."""

    def __init__(self, process: Process, place: Place) -> None:
        self.process = process
        self.place = place
        self.universe = process.universe

    def watch(self, ring: Callable[[], None], stop: threading.Event) -> None:
        """Nothing to listen to."""

    def close(self) -> None:
        """Nothing to close."""

    def send(self, wire: Wire, headers: Mapping[str, str]) -> Reply:
        universe = self.universe
        universe.check(not universe.in_transaction, f"{wire.method} {wire.path} inside a transaction")
        self.process.may_die("before an exchange")
        universe.chance.count("exchange")
        universe.step_exchanges += 1
        try:
            reply = self._exchanged(wire, headers)
        except (NotDone, Unsure) as error:
            universe.trace(f"{self.process.name} {wire.method} {wire.path[:60]}: {error}")
            raise
        universe.trace(f"{self.process.name} {wire.method} {wire.path[:60]}: {reply.status}")
        self.process.may_die("after an exchange")
        return reply

    def _exchanged(self, wire: Wire, headers: Mapping[str, str]) -> Reply:
        universe, time = self.universe, self.universe.chance.time
        if universe.now < self.place.out_until:
            universe.chance.count("exchange in an outage")
            return self._out(time, wire, headers)
        draw = universe.chance.strike("exchange", universe.settings.faults)
        if draw is not None:
            return self._spoilt(draw, wire, headers)
        universe.elapse(time.uniform(0.01, 0.2))
        reply, quick = self._seen_at_once(wire, headers)
        universe.elapse(time.uniform(0.01, 0.2), self.process, quick)
        return reply

    def _seen_at_once(self, wire: Wire, headers: Mapping[str, str]) -> tuple[Reply, random.Random | None]:
        """The desk does what it is told; of what is new on it, people may see something before we know it."""
        universe = self.universe
        share = universe.settings.quick if wire.method == "POST" else 0
        quick = universe.chance.strike("quick person", share)
        known = self.place.ids() if quick else set()
        reply = self._done(wire, headers)
        for ticket_id in sorted(self.place.ids() - known) if quick else ():
            universe.new_on_desk(self.place, ticket_id, quick)
        return reply, quick

    def _out(self, time: random.Random, wire: Wire, headers: Mapping[str, str]) -> Reply:
        kind = self.place.out_kind
        if kind == "refuses":
            raise NotDone("no connection to the desk: it refused, or its name is unknown")
        if kind == "503":
            return Reply(503, b"down for maintenance")
        if kind == "mute" and wire.method != "GET":  # it takes what it is told, and never answers
            self._seen_at_once(wire, headers)
        self.universe.elapse(time.uniform(5, 60), self.process)
        raise Unsure("the desk did not answer in time")

    def _done(self, wire: Wire, headers: Mapping[str, str]) -> Reply:
        sent = {name.lower(): value for name, value in {**headers, **wire.headers}.items()}
        delivery = self.place.desk._answer(wire.method, wire.path, sent, wire.body)
        reply = delivery.reply
        self.universe.chance.count("request answered")
        return Reply(reply.status, reply.content, {k.lower(): str(v) for k, v in reply.headers.items()})

    def _spoilt(self, draw: random.Random, wire: Wire, headers: Mapping[str, str]) -> Reply:
        """What goes wrong, and what the desk did of it all the same."""
        universe, kind = self.universe, _kind(draw, self.place, wire)
        universe.chance.count(f"fault {kind}")
        universe.trace(f"fault {kind}")
        universe.elapse(draw.uniform(0.01, 2))
        after = None
        if kind.endswith("after") or kind == "half":
            after = self._done(wire, headers)
        if kind.startswith("hang"):
            universe.elapse(draw.uniform(5, 60), self.process)
        else:
            universe.elapse(draw.uniform(0.01, 2), self.process)
        if after is not None and not after.ok:
            return after  # a no stays a no: nothing was done that could be lost
        match kind:
            case "refused":
                raise NotDone("no connection to the desk: it refused, or its name is unknown")
            case "late":
                universe.late.append(wire.body)
                universe.later(draw.uniform(1, 240), lambda: self._done(wire, headers))
                raise Unsure("the connection broke before the whole answer was read")
            case "5xx before" | "5xx after":
                return Reply(draw.choice([500, 502, 503, 504]), b"oops")
            case "429":
                return Reply(429, b'{"error": "slow down"}', self._retry_after(draw))
            case "408":
                return Reply(draw.choice([408, 425]), b"")
            case "html before" | "html after":
                return _HTML
            case "empty after":
                return _EMPTY
            case "401":
                return Reply(draw.choice([401, 403]), b'{"error": "who are you?"}')
            case "422":
                return Reply(draw.choice([400, 422]), b'{"error": "no"}')
            case "field":
                return Reply(422, b'{"error": "no such group", "fields": {"group": "no such group"}}')
        raise Unsure("the connection broke before the whole answer was read")

    def _retry_after(self, draw: random.Random) -> dict[str, str]:
        seconds = draw.choice([1, 30, 90, 600])
        if draw.random() < 0.2:
            return {}
        if draw.random() < 0.5:
            return {"retry-after": str(seconds)}
        until = self.universe.moment() + timedelta(seconds=seconds)
        return {"retry-after": until.strftime("%a, %d %b %Y %H:%M:%S GMT")}


def _kind(draw: random.Random, place: Place, wire: Wire) -> str:
    """One of the kinds that can be told of this request; the others would be lies that no client sees."""
    for _ in range(20):
        kind = draw.choices(list(KINDS), list(KINDS.values()))[0]
        if place.can_suffer(kind, wire):
            return kind
    return "lost before"
