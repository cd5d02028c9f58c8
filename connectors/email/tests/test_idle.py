"""IDLE is a doorbell: mail that comes is told of at once, and a server that cannot tell is only polled."""

from __future__ import annotations

import imaplib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, Queue

import pytest

from handrail import NotDone, UpdateKind
from handrail.context import transport
from handrail.testing import World

PATIENCE = 30.0


@contextmanager
def listening(world: World) -> Iterator[Queue[str]]:
    """The rings of the desk's mailbox, as they come."""
    rings: Queue[str] = Queue()
    stop = threading.Event()
    listener = threading.Thread(
        target=transport(world.connector).watch, args=(lambda: rings.put("rang"), stop)
    )
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


def test_a_server_that_cannot_tell_is_left_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imaplib.IMAP4, "capability", lambda imap: ("OK", [b"IMAP4rev1"]))
    with listening(world) as rings, pytest.raises(Empty):
        rings.get(timeout=0.2)


def test_a_broken_connection_is_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imaplib.IMAP4, "send", lambda imap, data: imap.sock.shutdown(socket.SHUT_RDWR))
    with pytest.raises(NotDone):
        transport(world.connector).watch(lambda: None, threading.Event())
