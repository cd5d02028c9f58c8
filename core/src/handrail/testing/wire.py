"""The sockets of a simulated desk: a threaded HTTP/1.1 server that can break an exchange in real ways."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from json import loads
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from handrail.steps import Reply

_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Seen:
    """One request as the desk saw it. Header names are lower-case, ``path`` is decoded and without query."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    at: datetime
    local: str = ""
    """The path as the desk's routes name it: without the API's prefix and suffix."""

    @property
    def json(self) -> Any:
        """The decoded body. Raises ``ValueError`` where it is no JSON."""
        return loads(self.body)


@dataclass(frozen=True)
class Delivery:
    """How a reply goes out: ``whole``, ``half``, not at all (``lose``), or as a TCP ``reset``."""

    reply: Reply = field(default_factory=lambda: Reply(500))
    how: str = "whole"


Answer = Callable[[str, str, Mapping[str, str], bytes], Delivery]
"""From method, target (path and query), headers and body to what goes out."""


def parts_of(target: str) -> tuple[str, dict[str, str]]:
    """The decoded path and the query of a request's target; of a repeated name the last value counts."""
    parts = urlsplit(target)
    return unquote(parts.path), dict(parse_qsl(parts.query, keep_blank_values=True))


class Cut(ConnectionError):
    """The connection ends here: raised in a handler to leave it without another byte."""


class Server(ThreadingMixIn, TCPServer):
    """Bound from the beginning, so that the port stays ours; it listens, and can be reached, when open."""

    allow_reuse_address = True
    daemon_threads = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], answer: Answer, errors: list[BaseException]) -> None:
        super().__init__(address, _Handler, bind_and_activate=False)
        self.answer = answer
        self.errors = errors
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None
        try:
            self.server_bind()
        except OSError:
            self.server_close()
            raise

    def open(self) -> None:
        """Listen and serve in a thread."""
        self.server_activate()
        self._thread = threading.Thread(
            target=self.serve_forever, args=(_POLL_SECONDS,), name="simulated-desk"
        )
        self._thread.start()

    @property
    def is_open(self) -> bool:
        return self._thread is not None

    def close(self) -> None:
        """Stop listening, end every connection and wait for the threads that served them."""
        if self._thread is not None:
            self.shutdown()
            self._thread.join()
        with self._guard:
            still_open = list(self._open)
        for connection in still_open:
            with contextlib.suppress(OSError):  # the client or its own thread was faster
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, ConnectionError):  # a client that left is no error
            self.errors.append(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def exchange(self) -> None:
        """Read one request, ask the desk, and let the reply go out as the desk says."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        if "transfer-encoding" in headers:
            self.send_error(HTTPStatus.LENGTH_REQUIRED)
            raise Cut
        body = self.rfile.read(int(headers.get("content-length", "0")))
        delivery = self.server.answer(self.command, self.path, headers, body)
        head, content = _bytes_of(delivery.reply, self.date_time_string())
        match delivery.how:
            case "lose":
                raise Cut
            case "reset":
                self._reset()
            case "half":
                self.connection.sendall(_first_half(head, content))
                raise Cut
        self.connection.sendall(head + content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = exchange

    def _reset(self) -> None:
        """Close with a TCP reset: no linger, and no orderly FIN before it."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()
        self.wfile.close()
        self.connection.close()
        raise Cut

    def log_message(self, format: str, *args: Any) -> None:
        """A simulated desk writes nothing: what it saw is in ``requests``."""


def _first_half(head: bytes, content: bytes) -> bytes:
    """The head and half of the content; of a reply without content half of the status line."""
    return head + content[: len(content) // 2] if content else head[: head.index(b"\r\n") // 2]


def _bytes_of(reply: Reply, date: str) -> tuple[bytes, bytes]:
    phrase = HTTPStatus(reply.status).phrase if reply.status in HTTPStatus._value2member_map_ else "Status"
    bodiless = reply.status in (204, 304)
    headers = {"date": date, **reply.headers}
    if not bodiless:
        headers["content-length"] = str(len(reply.content))
    lines = [f"HTTP/1.1 {reply.status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace"), b"" if bodiless else reply.content
