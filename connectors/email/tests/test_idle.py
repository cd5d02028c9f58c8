"""IDLE is a doorbell: mail that comes is told of at once, and a server that cannot tell is only polled."""

from __future__ import annotations

import imaplib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, Queue

import pytest

from handrail import NotDone, UpdateKind
from handrail.context import transport
from handrail.testing import World

PATIENCE = 30.0


@contextmanager
def listening(world: World, ring: Callable[[], None] = lambda: None) -> Iterator[Queue[str]]:
    """The rings of the desk's mailbox, as they come; ``ring`` is called at each."""
    rings: Queue[str] = Queue()
    stop = threading.Event()

    def rang() -> None:
        ring()
        rings.put("rang")

    listener = threading.Thread(target=transport(world.connector).watch, args=(rang, stop))
    listener.start()
    try:
        yield rings
    finally:
        stop.set()
        listener.join(PATIENCE)
        assert not listener.is_alive()


def test_an_answer_rings(world: World) -> None:
    handoff = world.deliver()
    with listening(world) as rings:
        assert rings.get(timeout=PATIENCE) == "rang", "nobody looked for what came before"
        world.desk.human_replies(world.show(handoff)["ticket"]["id"], "On its way.")
        assert rings.get(timeout=PATIENCE) == "rang"
        world.desk.human_replies(world.show(handoff)["ticket"]["id"], "And here.")
        assert rings.get(timeout=PATIENCE) == "rang"

    world.poll()
    assert [update.text for update in world.updates(handoff, UpdateKind.REPLY)] == [
        "On its way.",
        "And here.",
    ]


def test_what_comes_while_nobody_listens_rings(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two waits a server need not tell; pymap does not always."""
    ticket, send, waits = world.show(world.deliver())["ticket"]["id"], imaplib.IMAP4.send, 0
    order: list[str] = []

    def sent(imap: imaplib.IMAP4, data: bytes) -> None:
        nonlocal waits
        if data.endswith(b" IDLE\r\n"):
            waits += 1
            if waits == 2:
                world.desk.human_replies(ticket, "In between.")
                order.append("mail")
        send(imap, data)

    monkeypatch.setattr(imaplib.IMAP4, "send", sent)
    with listening(world, lambda: order.append("ring")) as rings:
        assert rings.get(timeout=PATIENCE) == "rang"
        world.desk.human_replies(ticket, "On its way.")
        assert rings.get(timeout=PATIENCE) == "rang"
    assert order[:3] == ["ring", "mail", "ring"]


def test_a_server_that_cannot_tell_is_left_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imaplib.IMAP4, "capability", lambda imap: ("OK", [b"IMAP4rev1"]))
    with listening(world) as rings, pytest.raises(Empty):
        rings.get(timeout=0.2)


def test_a_broken_connection_is_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imaplib.IMAP4, "send", lambda imap, data: imap.sock.shutdown(socket.SHUT_RDWR))
    with pytest.raises(NotDone):
        transport(world.connector).watch(lambda: None, threading.Event())
