"""A simulated desk: a real HTTP server on loopback with state, faults and humans who act.

A subclass names the desk, adds its routes and its state::

    class SimulatedAcme(SimulatedDesk):
        api = "/v1"

        @route("POST", "/cases/{id}/notes")
        def add_note(self, seen: Seen, id: str) -> Reply:
            ...
            return answer({"ok": True}, 201)

Routes run one at a time, under ``lock``.
"""

from __future__ import annotations

import json
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import wraps
from typing import Any, ClassVar, Concatenate, ParamSpec, Self, TypeVar

from handrail.steps import Reply
from handrail.testing.faults import Fault, Faults, Kind, When, matches, path_pattern
from handrail.testing.hooks_out import HooksOut
from handrail.testing.wire import Delivery, Seen, Server, parts_of

CONTROL = "/_simulated/"
"""Paths below this are for whoever drives the desk; they are not recorded and never go wrong."""

P = ParamSpec("P")
T = TypeVar("T")
D = TypeVar("D", bound="SimulatedDesk")
R = TypeVar("R", bound=Callable[..., Reply])
_NO_REPLY = frozenset({"lose", "reset", "half"})


class Refusal(Exception):
    """Raised in a route to end it with this reply."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


def route(method: str, path: str) -> Callable[[R], R]:
    """Make a method answer ``method path``; what ``{name}`` stands for arrives as the argument ``name``."""

    def mark(function: R) -> R:
        function.__dict__.setdefault("routes", []).append((method, path))
        return function

    return mark


def action(function: Callable[Concatenate[D, P], T]) -> Callable[Concatenate[D, P], T]:
    """Make a method a human's action: it runs under the desk's lock, its webhooks are posted after that."""

    @wraps(function)
    def acted(desk: D, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with desk.lock:
            result = function(desk, *args, **kwargs)
        desk.hooks.post()
        return result

    return acted


def answer(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """A JSON reply."""
    content = json.dumps(data, ensure_ascii=False).encode()
    return Reply(status, content, {"content-type": "application/json; charset=utf-8"} | dict(headers or {}))


@dataclass(frozen=True)
class SimulatedFile:
    """A file that the desk received."""

    name: str
    content: bytes
    media_type: str = "application/octet-stream"


@dataclass(frozen=True)
class SimulatedComment:
    """A comment as people at the desk read it. ``body`` is plain text, ``author`` a name."""

    id: str
    body: str
    public: bool
    author: str
    html_body: str = ""
    files: Sequence[SimulatedFile] = ()


@dataclass(frozen=True)
class SimulatedTicket:
    """A ticket as people at the desk see it: ids and names are the desk's own words."""

    id: str
    subject: str
    status: str
    external_id: str | None = None
    group: str | None = None
    group_id: str | None = None
    priority: str | None = None
    assignee: str | None = None
    requester: str | None = None
    tags: Sequence[str] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    comments: Sequence[SimulatedComment] = ()

    @property
    def files(self) -> list[SimulatedFile]:
        """The files of all comments, in order."""
        return [file for comment in self.comments for file in comment.files]


class SimulatedDesk:
    """An HTTP server on loopback that behaves like one kind of desk, and misbehaves when told to.

    ``requests`` are the requests seen, in order; ``exchanges`` pairs each one that was not spoilt before its
    effect with the desk's reply. ``errors`` holds what a route raised by mistake (the client got a 500).
    ``webhook`` is ``(url, secret)`` of whoever wants the desk's events; they are posted before the reply of
    the exchange that caused them goes out, so an echo can be faster than the answer. ``clock`` gives aware
    UTC times.
    """

    api: ClassVar[str] = ""
    actions: ClassVar[tuple[str, ...]] = ("human_replies", "human_notes", "human_solves", "human_assigns")
    """What ``POST /_simulated/human`` may call."""
    _routes: ClassVar[list[tuple[str, Any, str]]] = []

    def __init__(self, *, clock: Callable[[], datetime] | None = None, port: int = 0) -> None:
        self.clock = clock or (lambda: datetime.now(UTC))
        self.requests: list[Seen] = []
        self.exchanges: list[tuple[Seen, Reply]] = []
        self.errors: list[BaseException] = []
        self.reply_headers: dict[str, str] = {}
        self.webhook: tuple[str, str] | None = None
        self.lock = threading.RLock()
        self.faults = Faults()
        self.hooks = HooksOut(self.faults)
        self._port = port
        self._server: Server | None = None
        self._released = threading.Event()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        names = dict.fromkeys(name for base in reversed(cls.__mro__) for name in vars(base))
        found = [
            (method, path, name)
            for name in names
            for method, path in getattr(getattr(cls, name, None), "__dict__", {}).get("routes", ())
        ]
        found.sort(key=lambda row: row[1].count("{"))  # a fixed path wins over one with placeholders
        cls._routes = [(method, path_pattern(path), name) for method, path, name in found]

    # What a subclass brings.

    @property
    def tickets(self) -> list[SimulatedTicket]:
        """The tickets as people at the desk see them, oldest first."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """The ``[desks.NAME]`` settings of a connector that talks to this desk."""
        raise NotImplementedError

    def human_replies(self, ticket_id: str, text: str, *, name: str | None = None) -> str:
        """A person at the desk answers the customer; returns the comment's id."""
        raise NotImplementedError

    def human_notes(self, ticket_id: str, text: str, *, name: str | None = None) -> str:
        """A person at the desk writes an internal note; returns the comment's id."""
        raise NotImplementedError

    def human_solves(self, ticket_id: str, text: str | None = None, *, name: str | None = None) -> None:
        """A person at the desk solves the ticket, with a public answer where there is ``text``."""
        raise NotImplementedError

    def human_assigns(self, ticket_id: str, name: str) -> None:
        """A person takes the ticket, or is given it."""
        raise NotImplementedError

    # What a subclass may change.

    def local(self, path: str) -> str:
        """A request's path as the routes name it."""
        return path.removeprefix(self.api) if path.startswith(self.api + "/") else path

    def guard(self, seen: Seen) -> Reply | None:
        """A refusal before any route is asked: credentials, headers. None lets the request pass."""
        return None

    def no_route(self, seen: Seen) -> Reply:
        """The answer where no route fits."""
        return answer({"error": f"no route for {seen.method} {seen.local}"}, 404)

    # Life.

    def start(self) -> Self:
        """Bind the port and serve. Returns the desk itself."""
        self._server = self._bind()
        self._server.open()
        return self

    def stop(self) -> None:
        """End every connection, a hanging one too, and free the port. A second call does nothing."""
        self._released.set()  # and stays so until the desk serves again: nothing may hang from now on
        if self._server is not None:
            self._server.close()
            self._server = None

    def __enter__(self) -> Self:
        return self if self._server is not None else self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The desk's address without a slash at the end."""
        if self._port == 0:
            raise RuntimeError("the desk has no address yet: start() it")
        return f"http://127.0.0.1:{self._port}"

    def refuse(self) -> None:
        """From now on connecting is refused, and open connections are cut; the port stays ours."""
        self.stop()
        self._server = self._bind()

    def accept_again(self) -> None:
        """Serve again, at the same address and with the same state."""
        if self._server is None or self._server.is_open:
            self.stop()
            self._server = self._bind()
        self._server.open()

    def _bind(self) -> Server:
        server = Server(("127.0.0.1", self._port), self._answer, self.errors)
        self._port = server.server_address[1]
        self._released = threading.Event()
        return server

    # Faults.

    def fault(
        self,
        kind: Kind,
        on: str = "*",
        *,
        when: When = "before",
        times: int = 1,
        skip: int = 0,
        **details: Any,
    ) -> None:
        """Let exchanges go wrong; see ``Fault`` for ``on``, ``when``, ``times`` and ``skip``. Kinds:

        * ``lose``: the connection is closed without a byte; ``reset``: by a TCP reset;
        * ``half``: the whole length is announced, half of the body comes;
        * ``hang``: no answer until ``release()``, ``stop()`` or ``seconds=``, then as ``lose``, or, with
          ``when="after"``, the late answer;
        * ``status``: ``status=`` (503), with ``body=``, ``headers=``, ``retry_after=``;
        * ``html``, ``empty``: ``status=`` (200) with a web page, with ``{}``;
        * ``duplicate``: what was asked is done twice (by a proxy that repeats), answered once.

        With ``on="webhook"``: ``lose``, ``duplicate``, and ``late``, which lets the next one overtake.
        """
        self.faults.add(Fault(kind, on, when, times, skip, details))

    def release(self) -> None:
        """Let every exchange that hangs now go on."""
        hanging, self._released = self._released, threading.Event()
        hanging.set()

    # Exchanges.

    def now(self) -> datetime:
        return self.clock()

    def seen(self, pattern: str) -> list[Seen]:
        """The requests that fit ``METHOD /path``, as in ``fault``."""
        return [seen for seen in list(self.requests) if matches(pattern, f"{seen.method} {seen.local}")]

    def execute(self, seen: Seen) -> Reply:
        """Do what was asked and return the desk's answer."""
        with self.lock:
            reply = self._routed(seen)
            reply = Reply(reply.status, reply.content, {**self.reply_headers, **reply.headers})
            self.exchanges.append((seen, reply))
        return reply

    def _routed(self, seen: Seen) -> Reply:
        refusal = self.guard(seen)
        if refusal is not None:
            return refusal
        for method, pattern, name in self._routes:
            found = pattern.fullmatch(seen.local) if method == seen.method else None
            if found:
                return self._run(getattr(self, name), seen, found.groupdict())
        return self.no_route(seen)

    def _run(self, function: Callable[..., Reply], seen: Seen, arguments: Mapping[str, str]) -> Reply:
        try:
            return function(seen, **arguments)
        except Refusal as refusal:
            return refusal.reply

    def _answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Delivery:
        path, query = parts_of(target)
        seen = Seen(method, path, query, headers, body, self.now(), self.local(path))
        try:
            return self._controlled(seen) if path.startswith(CONTROL) else self._with_faults(seen)
        except Exception as error:  # a bug of the simulation: told to the client and kept for the test
            self.errors.append(error)
            return Delivery(Reply(500, traceback.format_exc().encode(), {"content-type": "text/plain"}))

    def _controlled(self, seen: Seen) -> Delivery:
        from handrail.testing.control import controlled

        return Delivery(controlled(self, seen))

    def _with_faults(self, seen: Seen) -> Delivery:
        self.requests.append(seen)
        released = self._released
        fault = self.faults.take(f"{seen.method} {seen.local}")
        if fault is None:
            return Delivery(self._done(seen))
        reply = self._done(seen) if fault.when == "after" or fault.kind == "duplicate" else None
        if fault.kind == "duplicate":
            self._done(seen)
        if fault.kind == "hang":
            released.wait(fault.details.get("seconds"))
            return Delivery(reply) if reply else Delivery(how="lose")
        if fault.kind in _NO_REPLY:
            return Delivery(reply or answer({"before": seen.local}), fault.kind)
        return Delivery(reply if reply and fault.kind == "duplicate" else fault.reply())

    def _done(self, seen: Seen) -> Reply:
        reply = self.execute(seen)
        self.hooks.post()
        return reply

    # Webhooks.

    @property
    def webhook_answers(self) -> list[int | str]:
        """What the receiver answered to each webhook: a status, or the words of the error."""
        return self.hooks.answers

    def send_webhook(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Queue a webhook for whoever listens; it is posted at the end of the exchange or the ``action``."""
        if self.webhook is not None:
            self.hooks.add(self.webhook[0], body, headers)

    def state(self) -> dict[str, Any]:
        """What ``GET /_simulated/state`` shows, fit for JSON but for the bytes of files."""
        with self.lock:
            return {"tickets": [asdict(ticket) for ticket in self.tickets], "requests": len(self.requests)}
