"""IDLE is a doorbell: mail that comes is told of at once, and a server that cannot tell is only polled."""

from __future__ import annotations

import imaplib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, Queue

import pytest

from handrail import NotDone, UpdateKind, mailidle
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


class Elapsing:
    """A clock by which each look takes a minute, and that lets nobody wait for a whole hour."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 60
        assert self.now < 3600, "nothing renewed it"
        return self.now


def test_a_wait_is_renewed_before_a_server_may_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, said, (ours, theirs) = Elapsing(), dict[bytes, float](), socket.socketpair()
    answers = {b"HANDRAIL IDLE\r\n": b"+ idling\r\n", b"DONE\r\n": b"HANDRAIL OK done\r\n"}

    class Server:
        sock = ours

        def send(self, data: bytes) -> None:
            said[data] = clock.now
            theirs.sendall(answers[data])

    monkeypatch.setattr(mailidle, "time", clock)
    with ours, theirs:
        mailidle.idle(Server(), lambda: None, threading.Event())  # type: ignore[arg-type]

    assert list(said) == list(answers)
    assert 10 * 60 < said[b"DONE\r\n"] < 29 * 60


def test_who_renews_a_wait_looks_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the same connection, and without a mail that came."""
    monkeypatch.setattr(mailidle, "RENEW_SECONDS", 0.0)
    with listening(world) as rings:
        assert [rings.get(timeout=PATIENCE) for _ in range(3)] == ["rang"] * 3


def test_a_server_that_cannot_tell_is_left_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imaplib.IMAP4, "capability", lambda imap: ("OK", [b"IMAP4rev1"]))
    with listening(world) as rings, pytest.raises(Empty):
        rings.get(timeout=0.2)


def test_a_broken_connection_is_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imaplib.IMAP4, "send", lambda imap, data: imap.sock.shutdown(socket.SHUT_RDWR))
    with pytest.raises(NotDone):
        transport(world.connector).watch(lambda: None, threading.Event())
