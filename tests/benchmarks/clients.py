"""What deliveries are compared with: clients that send the same tickets and remember nothing.

``clients.py bare URL THREADS COUNT BODY`` is one ``requests.Session`` for each thread that posts the bytes of
the file BODY; ``clients.py zenpy ...`` creates tickets of the same content with zenpy, in an environment of
its own.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import requests

Send = Callable[[], object]
HEADERS = {"Content-Type": "application/json", "Accept": "application/json", "Authorization": "Basic YTpi"}
ZENPY = Path(__file__).resolve().parents[2] / "connectors" / "zendesk" / "tests"


def bare(url: str, body: bytes) -> Send:
    session = requests.Session()
    return lambda: session.post(f"{url}/api/v2/tickets", data=body, headers=HEADERS).json()["ticket"]["id"]


def zenpy(url: str, body: bytes) -> Send:
    sys.path.insert(0, str(ZENPY))
    from drive_with_zenpy import client
    from zenpy.lib.api_objects import Comment, Ticket, User

    known = json.loads(body)["ticket"]
    zendesk = client(url)

    def create() -> object:
        given = dict(known)
        comment = Comment(**given.pop("comment"))
        requester = User(**given.pop("requester"))
        return zendesk.tickets.create(Ticket(comment=comment, requester=requester, **given)).ticket.id

    return create


def send(make: Callable[[str, bytes], Send], url: str, threads: int, count: int, body: bytes) -> None:
    """``count`` tickets, shared out among ``threads``."""

    def work(share: int) -> None:
        one = make(url, body)
        for _ in range(share):
            one()

    shares = [count // threads + (number < count % threads) for number in range(threads)]
    running = [threading.Thread(target=work, args=(share,)) for share in shares]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


if __name__ == "__main__":
    _, kind, url, threads, count, body = sys.argv
    send({"bare": bare, "zenpy": zenpy}[kind], url, int(threads), int(count), Path(body).read_bytes())
