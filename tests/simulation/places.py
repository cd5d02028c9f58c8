"""The desks of a universe: what people see there, what they can do, and which lies its network can tell."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.desks import Acme, KeyedAcme, LaggingAcme, Row, SimulatedAcme

from handrail import Handoff, Reply, Request, Steps, Ticket, Unsure
from handrail.connector import Connector
from handrail.testing import Seen, SimulatedDesk, answer, route
from handrail.wire import Wire

if TYPE_CHECKING:
    from tests.simulation.universe import Universe


_STATUSES = ("open", "pending", "solved", "solved", "on_hold")


def _rows(reply: Reply) -> list[Any]:
    """A list, as asked for: an answer of another shape is not understood."""
    if not isinstance(reply.json, list):
        raise Unsure("the desk's answer is no list")
    return list(reply.json)


class Strict(Acme):
    """Takes no other shape of an answer for an empty list."""

    def find(self, handoff: Handoff) -> Steps[Ticket | None]:
        rows = _rows((yield Request("GET", "/cases", params={"marker": handoff.marker})))
        return next((self.ticket(row) for row in rows if row["marker"] == handoff.marker), None)

    def sweep(self, handoff: Handoff, ticket: Ticket) -> Steps[list[str]]:
        rows = _rows((yield Request("GET", "/cases", params={"marker": handoff.marker})))
        twins = [row["id"] for row in rows if row["id"] != ticket.id]
        for twin in twins:
            yield Request("DELETE", f"/cases/{twin}", repeatable=True)
        return twins

    def _note(self, ticket: Ticket, marker: str) -> Steps[Any]:
        rows = _rows((yield Request("GET", f"/cases/{ticket.id}/notes")))
        return next((row for row in rows if row["marker"] == marker), None)


class StrictLagging(LaggingAcme, Strict):
    pass


class StrictKeyed(KeyedAcme, Strict):
    pass


class CountingAcme(SimulatedAcme):
    """Counts what was made, and keeps every status that a case had."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.made: Counter[str] = Counter()
        self.history: dict[str, list[tuple[datetime, str, str]]] = {}
        """By case: when, which status, by whom."""

    def _make(self, given: Row) -> Reply:
        reply = super()._make(given)
        self.made[given["marker"]] += 1
        case = reply.json
        self.history[case["id"]] = [(self.now(), "new", "us")]
        return reply

    @route("PUT", "/cases/{id}")
    def change(self, seen: Seen, id: str) -> Reply:
        if "status" in seen.json and id in self.cases:
            self.history[id].append((self.now(), seen.json["status"], "us"))
        return super().change(seen, id)

    @route("GET", "/events")
    def changes(self, seen: Seen) -> Reply:
        start = int(seen.query["after"])
        found = self.log[start : start + self.page_size]
        ids = dict.fromkeys(row["case"] for row in found)
        cases = [self._seen(self.cases[id]) for id in ids if id in self.cases]
        end = start + len(found)
        return answer({"events": found, "cases": cases, "next": str(end), "more": end < len(self.log)})

    def human_sets(self, ticket_id: str, status: str) -> None:
        self.history[ticket_id].append((self.now(), status, "human"))
        super().human_sets(ticket_id, status)


class Hooks:
    """Stands for ``desk.hooks``: webhooks go to the universe's network."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.answers: list[int | str] = []

    def add(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        self.place.universe.webhook(self.place, body, dict(headers))

    def post(self) -> None:
        """They are on their way already."""


class Place:
    """One desk of a universe with its connector."""

    is_acme = True
    acts = ("reply", "note", "assign", "status")

    def __init__(self, universe: Universe, name: str, number: int) -> None:
        self.universe = universe
        self.name = name
        self.out_until = 0.0
        self.out_kind = "refuses"
        self.desk: SimulatedDesk = self.make_desk(universe.moment, 4000 + number)
        self.desk.hooks = Hooks(self)  # type: ignore[assignment]
        self.connector = self.make_connector(universe)
        secret = getattr(self.connector, "webhook_secret", None)
        if universe.settings.hooks:
            self.desk.webhook = ("http://127.0.0.1/hook", str(secret or ""))

    kind: type[Acme] = Strict

    def make_desk(self, clock: Any, port: int) -> SimulatedDesk:
        desk = CountingAcme(clock=clock, port=port)
        desk.lag = self.kind.lag * 0.9
        # Clocks differ: a desk that forgets keys in the very second that it says is not what is tested.
        desk.key_window = timedelta(hours=3)
        return desk

    def make_connector(self, universe: Universe) -> Connector:
        settings = {k: v for k, v in self.desk.settings().items() if k != "connector"}
        return self.connector_type()(**settings, poll=timedelta(seconds=universe.settings.poll))

    def connector_type(self) -> type[Connector]:
        return self.kind

    def can_suffer(self, kind: str, wire: Wire) -> bool:
        effect = wire.method != "GET"
        match kind:
            case "late":
                return wire.method == "POST" and self.late_is_fair(wire)
            case "html before":
                return wire.method in ("GET", "POST")
            case "empty after":
                return wire.method in ("GET", "POST")
            case "422":
                return effect and self.universe.settings.refusals
            case "field":
                return self.is_acme and effect and wire.path == "/v1/cases"
        return True

    def late_is_fair(self, wire: Wire) -> bool:
        """Only where the desk knows keys, or twins are looked for afterwards."""
        return wire.path == "/v1/cases" or self.kind is StrictKeyed

    @property
    def exact(self) -> bool:
        """True where not even for a moment there may be a second ticket."""
        return self.kind is not StrictLagging

    # What people do.

    def ids(self) -> set[str]:
        assert isinstance(self.desk, CountingAcme)
        return set(self.desk.cases)

    def known(self, ticket_id: str) -> bool:
        return ticket_id in self.ids()

    def is_of(self, ticket_id: str, token: str) -> bool:
        """True where the ticket is about what a customer asked with this token."""
        assert isinstance(self.desk, CountingAcme)
        return token in self.desk.cases[ticket_id]["title"]

    def act(self, ticket_id: str, what: str, token: str, draw: random.Random) -> str | None:
        """Do it; the status that was set, for a status."""
        desk = self.desk
        match what:
            case "reply":
                desk.human_replies(ticket_id, f"Answer {token}.")
            case "note":
                desk.human_notes(ticket_id, f"Note {token}.")
            case "assign":
                desk.human_assigns(ticket_id, draw.choice(["Bea", "Cem", "Dag"]))
            case "status":
                return self.set_status(ticket_id, draw)
        return None

    def set_status(self, ticket_id: str, draw: random.Random) -> str | None:
        assert isinstance(self.desk, CountingAcme)
        known = self.desk.cases[ticket_id]["status"]
        status = draw.choice([each for each in _STATUSES if each != known])
        self.desk.human_sets(ticket_id, status)
        return status


class LaggingPlace(Place):
    kind = StrictLagging


class KeyedPlace(Place):
    kind = StrictKeyed


class RealPlace(Place):
    """A real connector with the desk that it brings."""

    is_acme = False
    acts = ("reply", "note", "assign", "solve")
    options: Mapping[str, Any] = {}

    def make_desk(self, clock: Any, port: int) -> SimulatedDesk:
        return self.desk_type()(clock=clock, port=port, **self.options)

    def desk_type(self) -> type[SimulatedDesk]:
        raise NotImplementedError

    def ids(self) -> set[str]:
        return {ticket.id for ticket in self.desk.tickets}

    def is_of(self, ticket_id: str, token: str) -> bool:
        return any(ticket.id == ticket_id and token in ticket.subject for ticket in self.desk.tickets)

    def set_status(self, ticket_id: str, draw: random.Random) -> str | None:
        raise NotImplementedError

    def act(self, ticket_id: str, what: str, token: str, draw: random.Random) -> str | None:
        if what == "solve":
            self.desk.human_solves(ticket_id)
            return "solved"
        return super().act(ticket_id, what, token, draw)

    exact = False


class ZendeskPlace(RealPlace):
    def desk_type(self) -> type[SimulatedDesk]:
        from handrail_zendesk.simulated import SimulatedZendesk

        return SimulatedZendesk

    def connector_type(self) -> type[Connector]:
        from handrail_zendesk import Zendesk

        return Zendesk

    def late_is_fair(self, wire: Wire) -> bool:
        return wire.path.endswith("/tickets.json") or wire.path.endswith("/tickets")


class FreshdeskPlace(RealPlace):
    def desk_type(self) -> type[SimulatedDesk]:
        from handrail_freshdesk.simulated import SimulatedFreshdesk

        return SimulatedFreshdesk

    def connector_type(self) -> type[Connector]:
        from handrail_freshdesk import Freshdesk

        return Freshdesk

    def late_is_fair(self, wire: Wire) -> bool:
        return False


class JiraPlace(RealPlace):
    options = {"index_lag": 20}  # noqa: RUF012

    def desk_type(self) -> type[SimulatedDesk]:
        from handrail_jira.simulated import SimulatedJira

        return SimulatedJira

    def connector_type(self) -> type[Connector]:
        from handrail_jira import Jira

        return Jira

    def late_is_fair(self, wire: Wire) -> bool:
        return False
