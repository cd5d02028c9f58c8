"""A desk for benchmarks: answers as Zendesk's ticket API does, and spends as little time on it as Python can.

    uv run python tests/benchmarks/desk.py [--delay MILLISECONDS]

It prints its address. ``GET /seen`` tells when each ticket was asked for (seconds of the system's monotonic
clock, which all processes of a machine share), ``GET /wait?N`` does so once there are N, ``GET /body`` has
the last request's body, ``POST /reset`` forgets.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import time

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_ONE = re.compile(rb"/api/v2/tickets/([0-9]+)")
_NAMES = {
    b"/api/v2/groups": {"groups": [{"id": 1, "name": "Support"}], "meta": {"has_more": False}},
    b"/api/v2/users/": {"user": {"id": 5, "role": "admin"}},
}
_NOTHING = {"tickets": [], "comments": [], "users": [], "count": 0, "meta": {"has_more": False}}
_TICKET = (
    '{"id":%s,"url":"u","status":"new","custom_status_id":null,"created_at":"2026-11-23T10:00:00Z",'
    '"updated_at":"2026-11-23T10:00:00Z","assignee_id":null,"group_id":null,"external_id":null,"tags":[]}'
)


class Desk:
    """What was asked so far, and who waits for more."""

    def __init__(self, delay: float) -> None:
        """``delay``: seconds that each ticket takes."""
        self.delay = delay
        self.numbered = 0
        self.times: list[float] = []
        self.body = b""
        self.waiting: list[tuple[int, Connection]] = []

    def create(self, connection: Connection, body: bytes) -> None:
        self.times.append(time.monotonic())
        self.numbered += 1
        self.body = body
        ticket = _TICKET % self.numbered
        answer = f'{{"ticket":{ticket},"audit":{{"id":{self.numbered},"events":[]}}}}'.encode()
        if self.delay:
            asyncio.get_running_loop().call_later(self.delay, connection.answer, 201, answer)
        else:
            connection.answer(201, answer)
        for wanted, other in [each for each in self.waiting if each[0] <= len(self.times)]:
            self.waiting.remove((wanted, other))
            self.tell(other)

    def tell(self, connection: Connection) -> None:
        connection.answer(200, json.dumps(self.times).encode())

    def wait(self, connection: Connection, wanted: int) -> None:
        if wanted <= len(self.times):
            self.tell(connection)
        else:
            self.waiting.append((wanted, connection))

    def reset(self, connection: Connection) -> None:
        self.times.clear()
        connection.answer(200, b"{}")


class Connection(asyncio.Protocol):
    """One connection with a client: requests one after the other."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.received[:end])
            found = _LENGTH.search(head)
            whole = end + 4 + (int(found[1]) if found else 0)
            if len(self.received) < whole:
                return
            body = bytes(self.received[end + 4 : whole])
            del self.received[:whole]
            self.asked(*head.split(b" ", 2)[:2], body)

    def asked(self, method: bytes, path: bytes, body: bytes) -> None:
        if method == b"POST" and path.startswith(b"/api/v2/tickets"):
            self.desk.create(self, body)
        elif path.startswith(b"/wait?"):
            self.desk.wait(self, int(path.partition(b"?")[2]))
        elif path == b"/seen":
            self.desk.tell(self)
        elif path == b"/body":
            self.answer(200, self.desk.body)
        elif path == b"/reset":
            self.desk.reset(self)
        elif path.startswith(b"/api/v2/tickets/show_many?ids="):
            ids = path.partition(b"=")[2].decode().split("%2C")
            self.answer(200, f'{{"tickets":[{",".join(_TICKET % id for id in ids)}]}}'.encode())
        elif (one := _ONE.fullmatch(path)) is not None:
            self.answer(200, f'{{"ticket":{_TICKET % one[1].decode()}}}'.encode())
        else:
            known = next((value for start, value in _NAMES.items() if path.startswith(start)), _NOTHING)
            self.answer(200, json.dumps(known).encode())

    def answer(self, status: int, body: bytes) -> None:
        head = b"HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self.transport.write(head % (status, len(body)) + body)


async def serve(delay: float) -> None:
    desk = Desk(delay)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(desk), "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="a fast desk for benchmarks")
    parser.add_argument("--delay", type=float, default=0.0, help="milliseconds that each ticket takes")
    asyncio.run(serve(parser.parse_args().delay / 1000))
