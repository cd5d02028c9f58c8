"""A small desk of our own for tests of core, which knows no connector: ``Acme``, and ``SimulatedAcme``.

``Acme`` has no idempotency keys: what is in doubt is looked for, in an index that may lag. ``KeyedAcme`` has
keys, which the desk remembers for two hours.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from handrail import (
    Actor,
    Can,
    Change,
    Connector,
    Doorbell,
    Handoff,
    Hmac,
    Hook,
    Page,
    Plain,
    Reply,
    Request,
    Role,
    Said,
    Status,
    Steps,
    Ticket,
    Token,
    Unsure,
    Update,
    UpdateKind,
    secret,
    setting,
)
from handrail.config import Config
from handrail.rail import Handrail
from handrail.testing import (
    Clock,
    Refusal,
    Seen,
    SimulatedComment,
    SimulatedDesk,
    SimulatedTicket,
    World,
    answer,
    route,
)
from handrail.testing import action as acted

Row = dict[str, Any]
SECRET = "a webhook's secret"
OLD = timedelta(minutes=50)


class Acme(Connector):
    """Every request is made safe by a look for the marker."""

    name = "acme"
    title = "Acme"
    can = Can.ATTACH | Can.TAG | Can.NOTE | Can.REPLY | Can.WEBHOOK | Can.POLL | Can.CHANGE | Can.MOVE
    signature = Hmac(header="X-Acme-Signature", over="{timestamp}.{body}", timestamp_header="X-Acme-Time")
    dialect = Plain()
    api = "/v1"
    sweep_after = timedelta(minutes=10)

    client_secret: str | None = secret("With it access tokens are fetched", default=None)
    webhook_secret: str | None = secret("What events are signed with", default=SECRET)
    uploads: timedelta = setting("How long an upload may be referred to", default=OLD)
    asks_team: bool = setting("Make the customer known before the case", default=False)

    def headers(self, token: str | None) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {token}"} if token else {}

    def sign_in(self) -> Steps[Token] | None:
        return self._token() if self.client_secret else None

    def _token(self) -> Steps[Token]:
        body = {"secret": self.client_secret}
        reply = yield Request("POST", "/token", json=body, root=True, public=True, repeatable=True)
        return Token(reply.json["access"], reply.json.get("expires_in"))

    def names(self, kind: str) -> Steps[dict[str, str]]:
        reply = yield Request("GET", f"/{kind}")
        return {row["name"]: row["id"] for row in reply.rows}

    def create(self, handoff: Handoff) -> Steps[Ticket]:
        wishes = yield from self.wishes(handoff)
        final, body = wishes.handoff, self.body(wishes.handoff)
        if self.asks_team:
            yield Request("POST", "/people", json={"name": final.customer.name}, unless=self._person(final))
        files = []
        for file in body.files:
            params = {"name": file.name}
            reply = yield Request(
                "POST", "/files", params=params, body=file.content, repeatable=True, good_for=self.uploads
            )
            files.append(reply.json["token"])
        values = {
            "title": final.subject,
            "text": body.text,
            "marker": final.marker,
            "group": wishes.group,
            "urgency": wishes.urgency,
            "fields": dict(wishes.fields),
            "files": files,
        }
        reply = yield Request("POST", "/cases", json=values, **self.safe(final.marker, self.find(final)))
        return reply.found or self.ticket(reply.json)

    def safe(self, marker: str, look: Steps[Any]) -> dict[str, Any]:
        """How a request is made safe."""
        return {"unless": look}

    def _person(self, handoff: Handoff) -> Steps[Any]:
        reply = yield Request("GET", "/people", params={"name": handoff.customer.name or ""})
        return next(iter(reply.rows), None)

    def find(self, handoff: Handoff) -> Steps[Ticket | None]:
        reply = yield Request("GET", "/cases", params={"marker": handoff.marker})
        return next((self.ticket(row) for row in reply.rows if row["marker"] == handoff.marker), None)

    def sweep(self, handoff: Handoff, ticket: Ticket) -> Steps[list[str]]:
        reply = yield Request("GET", "/cases", params={"marker": handoff.marker})
        twins = [row["id"] for row in reply.rows if row["id"] != ticket.id]
        for twin in twins:
            yield Request("DELETE", f"/cases/{twin}", repeatable=True)
        return twins

    def say(self, ticket: Ticket, said: Said) -> Steps[Ticket]:
        values = {"text": self.message_text(said), "marker": said.marker}
        safe = self.safe(said.marker, self._note(ticket, said.marker))
        reply = yield Request("POST", f"/cases/{ticket.id}/notes", json=values, **safe)
        note = reply.found or reply.json
        return self.ticket(note["case"]).model_copy(update={"ours": (f"note:{note['id']}",)})

    def _note(self, ticket: Ticket, marker: str) -> Steps[Any]:
        reply = yield Request("GET", f"/cases/{ticket.id}/notes")
        return next((row for row in reply.rows if row["marker"] == marker), None)

    def change(self, ticket: Ticket, change: Change) -> Steps[Ticket]:
        group = (yield from self.group_to(change.group)) if change.group else None
        values = {"status": change.status, "urgency": change.urgency, "group": group}
        given = {key: value for key, value in values.items() if value}
        changed = yield Request("PUT", f"/cases/{ticket.id}", json=given, repeatable=True)
        case, ours = changed.json, tuple[str, ...]()
        if change.note:
            note = {"text": change.note, "marker": change.marker}
            safe = self.safe(change.marker, self._note(ticket, change.marker))
            reply = yield Request("POST", f"/cases/{ticket.id}/notes", json=note, **safe)
            noted = reply.found or reply.json
            case, ours = noted["case"], (f"note:{noted['id']}",)
        return self.ticket(case).model_copy(update={"ours": ours})

    def explain(self, reply: Reply) -> str:
        return str(reply.data.get("error")) if isinstance(reply.data, dict) else super().explain(reply)

    def refused_fields(self, reply: Reply) -> Mapping[str, str]:
        return dict(reply.data.get("fields") or {}) if isinstance(reply.data, dict) else {}

    # Back.

    def ticket(self, row: Row) -> Ticket:
        return Ticket(
            id=row["id"],
            url=f"{self.base_url}/cases/{row['id']}",
            status=Status(row["status"]),
            raw_status=row["status"].upper(),
            assignee=row["assignee"],
            group=row["group"],
            updated_at=datetime.fromisoformat(row["updated_at"]),
            raw={"marker": row["marker"]},
        )

    def events(self, hook: Hook) -> Iterable[Update | Ticket | Doorbell]:
        if hook.json.get("kind") == "bell":
            yield Doorbell(hook.json["case"])
        elif hook.json.get("kind") == "crash":
            raise KeyError("a bug in the connector")
        elif hook.json.get("event"):
            yield self.event(hook.json["event"])

    def event(self, row: Row) -> Update:
        known = {key: row[key] for key in ("text", "status", "public", "assignee") if key in row}
        who = Actor(kind=row.get("by", "human"), name=row.get("name"))
        return Update(
            id=row["id"],
            kind=UpdateKind(row["kind"]),
            ticket_id=row["case"],
            at=datetime.fromisoformat(row["at"]),
            actor=who,
            handoff_id=row.get("marker"),
            **known,
        )

    def read(self, ticket: Ticket) -> Steps[Page]:
        reply = yield Request("GET", f"/cases/{ticket.id}/events")
        case = (yield Request("GET", f"/cases/{ticket.id}")).json
        return Page([self.event(row) for row in reply.rows], [self.ticket(case)])

    def poll_page(self, cursor: str | None, tickets: Sequence[Ticket], now: datetime) -> Steps[Page]:
        data = (yield Request("GET", "/events", params={"after": cursor or "0"})).json
        cases = [self.ticket(row) for row in data["cases"]]
        return Page([self.event(row) for row in data["events"]], cases, data["next"], data["more"])


class LaggingAcme(Acme):
    """Its search shows a case a minute and a half after it was made."""

    lag = timedelta(seconds=90)


class KeyedAcme(Acme):
    """Idempotency keys, for two hours."""

    key_window = timedelta(hours=2)

    def safe(self, marker: str, look: Steps[Any]) -> dict[str, Any]:
        return {"unless": look, "key": marker}

    def key_is_used(self, reply: Reply) -> bool:
        return reply.status == 400 and isinstance(reply.data, dict) and reply.data.get("error") == "key used"


class BlindAcme(KeyedAcme):
    """Keys, and no way to look."""

    def safe(self, marker: str, look: Steps[Any]) -> dict[str, Any]:
        look.close()
        return {"key": marker}


class SimulatedAcme(SimulatedDesk):
    """Cases with notes. ``before`` runs in the middle of the next create or note, under no lock."""

    api = "/v1"

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.cases: dict[str, Row] = {}
        self.log: list[Row] = []
        self.files: dict[str, tuple[bytes, datetime]] = {}
        self.people: list[Row] = []
        self.keys: dict[str, tuple[datetime, bytes, Reply]] = {}
        self.tokens: set[str] = set()
        self.lag = timedelta(0)
        self.uploads = OLD
        self.key_window = timedelta(hours=2)
        self.groups = {"Support": "1", "Billing": "2"}
        self.page_size = 100
        self.before: Callable[[], Any] = lambda: None
        self._numbers = itertools.count(1)

    def settings(self) -> dict[str, Any]:
        return {"connector": "acme", "url": self.url}

    @property
    def tickets(self) -> list[SimulatedTicket]:
        return [
            SimulatedTicket(
                id=row["id"],
                subject=row["title"],
                status=row["status"],
                group=row["group"],
                priority=row["urgency"],
                fields=row["fields"],
                comments=[self._comment(note) for note in row["notes"]],
            )
            for row in self.cases.values()
        ]

    def _comment(self, note: Row) -> SimulatedComment:
        return SimulatedComment(note["id"], note["text"], note["public"], note["name"])

    def texts(self) -> list[str]:
        """What stands on the only case, comment by comment."""
        (case,) = self.cases.values()
        return [note["text"] for note in case["notes"]]

    # What it answers.

    def guard(self, seen: Seen) -> Reply | None:
        token = seen.headers.get("authorization", "").removeprefix("Bearer ")
        wants = self.tokens and seen.path != "/token"
        return answer({"error": "who are you?"}, 401) if wants and token not in self.tokens else None

    @route("POST", "/token")
    def sign_in(self, seen: Seen) -> Reply:
        self.tokens = {f"token-{next(self._numbers)}"}
        return answer({"access": next(iter(self.tokens)), "expires_in": 3600})

    @route("GET", "/groups")
    def list_groups(self, seen: Seen) -> Reply:
        return answer([{"name": name, "id": id} for name, id in self.groups.items()])

    @route("GET", "/people")
    def find_people(self, seen: Seen) -> Reply:
        return answer([row for row in self.people if row["name"] == seen.query["name"]])

    @route("POST", "/people")
    def make_person(self, seen: Seen) -> Reply:
        self.people.append(seen.json)
        return answer(seen.json, 201)

    @route("POST", "/files")
    def upload(self, seen: Seen) -> Reply:
        token = f"file-{next(self._numbers)}"
        self.files[token] = (seen.body, self.now())
        return answer({"token": token}, 201)

    @route("POST", "/cases")
    def make(self, seen: Seen) -> Reply:
        return self._once(seen, lambda: self._make(seen.json))

    def _once(self, seen: Seen, act: Callable[[], Reply]) -> Reply:
        key = seen.headers.get("idempotency-key")
        known = self.keys.get(key or "")
        if key is None or known is None or self.now() - known[0] >= self.key_window:
            done = act()
            if key and done.ok:
                self.keys[key] = (self.now(), seen.body, done)
            return done
        return known[2] if known[1] == seen.body else answer({"error": "key used"}, 400)

    def _make(self, given: Row) -> Reply:
        for token in given["files"]:
            if self.now() - self.files[token][1] > self.uploads:
                raise Refusal(answer({"error": f"{token} has expired"}, 422))
        before, self.before = self.before, lambda: None
        before()
        id = str(next(self._numbers))
        row = {**given, "id": id, "status": "new", "assignee": None, "notes": [], "made_at": self.now()}
        names = {number: name for name, number in self.groups.items()}
        row["group"] = names.get(given["group"], given["group"])
        self.cases[id] = row
        self._touch(id)
        note = {"text": given["text"], "marker": given["marker"], "public": False, "name": "", "by": "ai"}
        row["notes"].append({"id": str(next(self._numbers)), **note})  # part of the case, not an event of it
        return answer(self._seen(row), 201)

    @route("GET", "/cases")
    def search(self, seen: Seen) -> Reply:
        old = self.now() - self.lag
        rows = [row for row in self.cases.values() if row["made_at"] <= old]
        return answer([self._seen(row) for row in rows if row["marker"] == seen.query["marker"]])

    @route("GET", "/cases/{id}")
    def show(self, seen: Seen, id: str) -> Reply:
        return answer(self._seen(self._case(id)))

    @route("PUT", "/cases/{id}")
    def change(self, seen: Seen, id: str) -> Reply:
        names = {number: name for name, number in self.groups.items()}
        moved = {"group": names[seen.json["group"]]} if "group" in seen.json else {}
        self._case(id).update(seen.json | moved)
        self._touch(id)
        return answer(self._seen(self._case(id)))

    @route("DELETE", "/cases/{id}")
    def remove(self, seen: Seen, id: str) -> Reply:
        self.cases.pop(id, None)
        return Reply(204)

    @route("GET", "/cases/{id}/notes")
    def list_notes(self, seen: Seen, id: str) -> Reply:
        return answer([{**note, "case": self._seen(self._case(id))} for note in self._case(id)["notes"]])

    @route("POST", "/cases/{id}/notes")
    def add_note(self, seen: Seen, id: str) -> Reply:
        return self._once(seen, lambda: self._add_note(self._case(id), seen.json))

    def _add_note(self, case: Row, given: Row) -> Reply:
        before, self.before = self.before, lambda: None
        before()
        if case["status"] == "closed":
            case = self._follow_up(case)
        note = self._write(case["id"], given["text"], given["marker"], by="ai", public=False)
        return answer({**note, "case": self._seen(case)}, 201)

    def _follow_up(self, closed: Row) -> Row:
        id = str(next(self._numbers))
        self.cases[id] = {**closed, "id": id, "status": "new", "notes": []}
        self._touch(id)
        return self.cases[id]

    @route("GET", "/cases/{id}/events")
    def list_events(self, seen: Seen, id: str) -> Reply:
        return answer([event for event in self.log if event["case"] == id])

    @route("GET", "/events")
    def changes(self, seen: Seen) -> Reply:
        start = int(seen.query["after"])
        found = self.log[start : start + self.page_size]
        cases = [self._seen(self.cases[id]) for id in {row["case"] for row in found} if id in self.cases]
        end = start + len(found)
        return answer({"events": found, "cases": cases, "next": str(end), "more": end < len(self.log)})

    # What happens there.

    def _case(self, id: str) -> Row:
        if id not in self.cases:
            raise Refusal(answer({"error": f"no case {id}"}, 404))
        return self.cases[id]

    def _seen(self, row: Row) -> Row:
        return {key: value for key, value in row.items() if key not in ("notes", "made_at", "text")}

    def _touch(self, id: str) -> None:
        self.cases[id]["updated_at"] = self.now().isoformat()

    def _write(self, id: str, text: str, marker: str = "", **more: Any) -> Row:
        note = {"id": str(next(self._numbers)), "text": text, "marker": marker, "name": "", **more}
        self._case(id)["notes"].append(note)
        kind = "reply" if more["public"] else "note"
        self._touch(id)
        self.happens(id, kind, id=f"note:{note['id']}", text=text, by=more["by"], public=more["public"])
        return note

    def happens(self, case: str, kind: str, **more: Any) -> Row:
        """An event that polls and webhooks report."""
        event = {
            "id": f"event:{next(self._numbers)}",
            "kind": kind,
            "case": case,
            "at": self.now().isoformat(),
        }
        self.log.append({**event, **more})
        self.sends({"kind": kind, "event": self.log[-1]})
        return self.log[-1]

    def sends(self, data: Row) -> None:
        """A webhook, genuine as all that this desk sends."""
        body = answer(data).content
        assert Acme.signature is not None
        self.send_webhook(body, Acme.signature.sign(body, SECRET, self.now()))

    @acted
    def human_replies(self, ticket_id: str, text: str, *, name: str | None = None) -> str:
        return str(self._write(ticket_id, text, by="human", public=True, name=name or "Bea")["id"])

    @acted
    def human_notes(self, ticket_id: str, text: str, *, name: str | None = None) -> str:
        return str(self._write(ticket_id, text, by="human", public=False, name=name or "Bea")["id"])

    @acted
    def human_solves(self, ticket_id: str, text: str | None = None, *, name: str | None = None) -> None:
        self.human_sets(ticket_id, "solved")

    @acted
    def human_sets(self, ticket_id: str, status: str) -> None:
        """A person changes the status."""
        self._case(ticket_id)["status"] = status
        self._touch(ticket_id)
        self.happens(ticket_id, "status", status=status)

    @acted
    def human_assigns(self, ticket_id: str, name: str) -> None:
        self._case(ticket_id)["assignee"] = name
        self._touch(ticket_id)
        self.happens(ticket_id, "assignment", assignee=name)


class Worlds:
    """Worlds on one store and one clock, with the desks that a test names."""

    def __init__(self, clock: Clock, desk: SimulatedAcme, stack: contextlib.ExitStack, store: str) -> None:
        self.clock = clock
        self.desk = desk
        self.store = store
        self._stack = stack

    def __call__(self, kind: type[Acme] = Acme, *, backup: SimulatedDesk | None = None, **more: Any) -> World:
        """A world whose desk is ``kind``; with ``backup`` a second desk of that name to fall back to."""
        settings = {"timeout": timedelta(seconds=5), **more.pop("settings", {})}
        store = more.pop("store", self.store)
        clock = more.pop("clock", self.clock)
        world = World(self.desk, kind, clock=clock, store=store, settings=settings, **more)
        self._stack.callback(world.close)
        if backup is not None:
            self._add(world, {"backup": Acme(url=backup.url, timeout=timedelta(seconds=5))})
        return world

    def _add(self, world: World, desks: Mapping[str, Connector]) -> None:
        """Handrail once more, with a chain of desks: a world itself has one."""
        before = world.rail.config
        world.rail.close_connections()
        config = Config.model_construct(**{**dict(before), "desks": {**before.desks, **desks}})
        config = config.model_copy(update={"fallback": tuple(desks), "path": Path("handrail.toml")})
        world.rail = Handrail(config, clock=world.clock, schedule=world.agenda.schedule)


def customer_says(text: str) -> Any:
    from handrail import Message

    return Message(role=Role.CUSTOMER, text=text)


def in_threads(count: int, act: Callable[[int], Any]) -> list[Any]:
    """What ``act`` returned in each of so many threads that begin at the same moment; errors are raised."""
    gate, results, errors = threading.Barrier(count), [None] * count, []

    def run(number: int) -> None:
        gate.wait()
        try:
            results[number] = act(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


@contextlib.contextmanager
def raw_server(talk: Callable[[socket.socket, bytes], None], wrap: Any = None) -> Iterator[int]:
    """The port of a server that reads a request's head and leaves the rest to ``talk``."""
    listener, stop = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def serve() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection if wrap is None else wrap(connection) as own:
                    head = b""
                    while b"\r\n\r\n" not in head and (part := own.recv(65536)):
                        head += part
                    if head:
                        talk(own, head)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        stop.set()
        with contextlib.suppress(OSError), socket.create_connection(listener.getsockname()):
            pass
        thread.join()
        listener.close()


__all__ = [
    "OLD",
    "SECRET",
    "Acme",
    "BlindAcme",
    "KeyedAcme",
    "LaggingAcme",
    "SimulatedAcme",
    "Unsure",
    "Worlds",
    "customer_says",
    "in_threads",
    "raw_server",
]
