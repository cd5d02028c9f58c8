"""The gate: as many requests at once as a desk allows, prepared by a few threads more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.desks import Acme, SimulatedAcme, Worlds, in_threads
from tests.real import until

from handrail import NotDone
from handrail.gate import Gate
from handrail.store.schema import journal
from handrail.testing import World, a_conversation


@contextmanager
def waiting(gate: Gate, seen: list[str]) -> Iterator[threading.Thread]:
    """Another thread that wants to pass, and says what became of it."""

    def wants() -> None:
        try:
            with gate.passed():
                seen.append("passed")
        except NotDone:
            seen.append("sent away")

    thread = threading.Thread(target=wants)
    thread.start()
    until(lambda: seen or gate._changed._waiters, "it waits, or has passed")  # type: ignore[attr-defined]
    yield thread
    thread.join()


def test_who_finds_no_room_waits_until_another_has_left() -> None:
    gate, seen = Gate(1), list[str]()
    with gate.passed():
        with waiting(gate, seen) as thread:
            assert seen == []
            gate.most = 2  # nobody is told: it still waits
            gate.halt(False)
            thread.join()
        assert seen == ["passed"]


def test_who_is_inside_passes_again_and_is_counted_once() -> None:
    gate, seen = Gate(2), list[str]()
    with gate.passed(), gate.passed(), waiting(gate, seen):
        pass
    assert seen == ["passed"]


def test_who_waits_while_the_process_ends_is_sent_away_and_who_has_room_goes_on() -> None:
    gate, seen = Gate(1), list[str]()
    with gate.passed(), waiting(gate, seen):
        gate.halt(True)
    assert seen == ["sent away"]
    with gate.passed(), pytest.raises(NotDone), _elsewhere(gate):
        pass
    gate.halt(False)
    with waiting(gate, seen):
        pass
    assert seen == ["sent away", "passed"]


@contextmanager
def _elsewhere(gate: Gate) -> Iterator[None]:
    """Pass as another thread would."""
    gate._mine = threading.local()
    with gate.passed():
        yield


def test_a_request_is_not_noted_before_it_can_go_out(worlds: Worlds, acme: SimulatedAcme) -> None:
    """Who dies while it waits leaves no doubt behind."""
    world: World = worlds(Acme, settings={"concurrency": 1})
    handoff = world.hand_off()
    gate = world.rail.context.driver("desk").gate
    with gate.passed():
        thread = threading.Thread(target=lambda: world.rail.attempt(handoff.id))
        thread.start()
        until(lambda: gate._changed._waiters, "it waits")  # type: ignore[attr-defined]
        with world.rail.context.store.read() as connection:
            assert connection.execute(journal.select()).all() == []
    thread.join()
    assert world.show(handoff)["state"] == "with_humans"


def test_no_more_requests_are_under_way_than_the_desk_allows(worlds: Worlds, acme: SimulatedAcme) -> None:
    world: World = worlds(Acme, settings={"concurrency": 2})
    for number in range(9):
        world.hand_off(a_conversation(f"question {number}", id=f"c-{number}"))
    assert world.rail.context.seats("desk") == 3
    most, inner, lock = [0, 0], acme.execute, threading.Lock()

    def counted(seen: object) -> object:
        with lock:
            most[0] += 1
            most[1] = max(most)
        until(lambda: most[0] == 2 or len(acme.cases) >= 6, "two at once")
        try:
            return inner(seen)  # type: ignore[arg-type]
        finally:
            with lock:
                most[0] -= 1

    acme.execute = counted  # type: ignore[method-assign, assignment]
    in_threads(3, lambda _: world.rail.delivery.drain("desk", lambda: True))
    assert len(acme.cases) == 9
    assert most[1] == 2
