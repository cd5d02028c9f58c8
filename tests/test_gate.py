"""The gate: as many requests at once as a desk allows, prepared by a few threads more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import pytest
from tests.desks import Acme, SimulatedAcme, Worlds, in_threads
from tests.real import until

from handrail import NotDone
from handrail.gate import QUICK_SECONDS, Gate
from handrail.store.schema import journal
from handrail.testing import World, a_conversation

Way = Callable[[], AbstractContextManager[None]]


@contextmanager
def wanting(gate: Gate, way: Way, seen: list[str]) -> Iterator[None]:
    """Another thread that wants to go this way, and says what became of it; it waits, or has gone it."""

    def wants() -> None:
        try:
            with way():
                seen.append("passed")
        except NotDone:
            seen.append("sent away")

    thread = threading.Thread(target=wants)
    thread.start()
    until(lambda: seen or waits(gate), "it waits, or has passed")
    yield
    thread.join()


def waits(gate: Gate) -> int:
    return len(gate._changed._waiters)  # type: ignore[attr-defined]


def taking(gate: Gate, seconds: float) -> Gate:
    """The gate, having learned how long requests to its desk take."""
    gate._learn(seconds)
    return gate


@pytest.mark.parametrize("way", [Gate.near, Gate.passed])
def test_who_finds_no_room_waits_until_another_has_left(
    way: Callable[[Gate], AbstractContextManager[None]],
) -> None:
    gate, seen, inside = Gate(1), list[str](), ExitStack()
    inside.enter_context(way(gate))
    with wanting(gate, lambda: way(gate), seen):
        assert seen == []
        inside.close()
    assert seen == ["passed"]


@pytest.mark.parametrize("way", [Gate.near, Gate.passed])
def test_who_waits_while_the_process_ends_is_sent_away_and_who_has_room_goes_on(
    way: Callable[[Gate], AbstractContextManager[None]],
) -> None:
    gate, seen = Gate(1), list[str]()
    with way(gate), wanting(gate, lambda: way(gate), seen):
        gate.halt(True)
    assert seen == ["sent away"]
    with way(gate), pytest.raises(NotDone), way(gate):
        pass
    gate.halt(False)
    with wanting(gate, lambda: way(gate), seen):
        pass
    assert seen == ["sent away", "passed"]


def test_a_few_are_noted_ahead_once_the_desk_is_known_to_be_quick() -> None:
    """What is noted must go out soon, and behind a slow request it would not."""
    gate = Gate(8)
    assert gate._room == 8
    assert taking(gate, QUICK_SECONDS / 2)._room == 10
    for _ in range(10):
        taking(gate, QUICK_SECONDS * 20)
    assert gate._room == 8
    assert taking(Gate(1), 0.0)._room == 1


def test_how_long_the_desk_takes_is_learned_from_what_passes() -> None:
    gate = taking(Gate(8), 40 * QUICK_SECONDS)
    for _ in range(50):
        with gate.passed():
            pass
    assert gate._room == 10


def test_a_request_is_not_noted_before_it_can_go_out(worlds: Worlds, acme: SimulatedAcme) -> None:
    """Who dies while it waits leaves no doubt behind."""
    world: World = worlds(Acme, settings={"concurrency": 1})
    handoff = world.hand_off()
    gate = world.rail.context.driver("desk").gate
    with gate.near():
        thread = threading.Thread(target=lambda: world.rail.attempt(handoff.id))
        thread.start()
        until(lambda: waits(gate), "it waits")
        with world.rail.context.store.read() as connection:
            assert connection.execute(journal.select()).all() == []
    thread.join()
    assert world.show(handoff)["state"] == "with_humans"


def test_what_is_sent_away_at_the_end_of_a_process_is_due_again(worlds: Worlds, acme: SimulatedAcme) -> None:
    world: World = worlds(Acme, settings={"concurrency": 1})
    handoff = world.hand_off()
    gate = world.rail.context.driver("desk").gate
    with gate.near():
        world.rail.context.halt(True)
        world.rail.context._slots.halt(False)
        world.rail.attempt(handoff.id)
    assert acme.requests == []
    world.rail.context.halt(False)
    assert world.show(handoff)["last_error"] is None
    world.run()
    assert world.show(handoff)["state"] == "with_humans"


def test_no_more_requests_are_under_way_than_the_desk_allows(worlds: Worlds, acme: SimulatedAcme) -> None:
    world: World = worlds(Acme, settings={"concurrency": 4})
    gate = taking(world.rail.context.driver("desk").gate, 0.0)
    for number in range(24):
        world.hand_off(a_conversation(f"question {number}", id=f"c-{number}"))
    seats = world.rail.context.seats("desk")
    assert seats == 6
    now, most, lock, inner = [0], [0], threading.Lock(), acme.execute

    def counted(seen: object) -> object:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        until(lambda: now[0] + waits(gate) >= seats or len(acme.cases) > 12, "each is here, or waits")
        try:
            return inner(seen)  # type: ignore[arg-type]
        finally:
            with lock:
                now[0] -= 1

    acme.execute = counted  # type: ignore[method-assign, assignment]
    in_threads(seats, lambda _: world.rail.delivery.drain("desk", lambda: True))
    assert len(acme.cases) == 24
    assert most[0] == 4
