"""Slots in one process: counted in memory, given to who waits, and to nobody while the process ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from tests.desks import Acme, SimulatedAcme, Worlds
from tests.real import until

from handrail import NotDone
from handrail.context import Context
from handrail.engine import LEASE_SECONDS
from handrail.testing import World


@pytest.fixture
def world(worlds: Worlds) -> World:
    return worlds(Acme, settings={"concurrency": 1})


@contextmanager
def waiting(context: Context, seen: list[bool]) -> Iterator[None]:
    """Another thread that wants a slot and says what it got."""

    def wants() -> None:
        with context.slot("desk") as taken:
            seen.append(taken)

    thread = threading.Thread(target=wants)
    thread.start()
    until(lambda: context._slots._waiting["desk"] == 1, "it waits")
    yield
    thread.join()


def test_a_slot_that_is_left_is_given_to_who_waits(world: World) -> None:
    context, seen, stack = world.rail.context, list[bool](), ExitStack()
    with context.slot("desk") as first:
        assert first
        with context.slot("desk", patient=False) as second:
            assert not second
        stack.enter_context(waiting(context, seen))
        assert seen == []
    stack.close()
    assert seen == [True]


def test_who_waits_when_the_process_ends_gets_none_and_who_has_one_keeps_it(world: World) -> None:
    context, seen = world.rail.context, list[bool]()
    with context.slot("desk") as first, waiting(context, seen):
        context.halt(True)
    assert (first, seen) == (True, [False])
    with pytest.raises(NotDone):
        context.ask("desk", lambda: Acme.find(context.connector("desk"), None))  # type: ignore[arg-type]
    context.halt(False)
    with context.slot("desk", patient=False) as again:
        assert again


def test_a_job_that_finds_all_slots_taken_outlives_who_holds_its_handoff(
    world: World, acme: SimulatedAcme
) -> None:
    """The attempt may break off and say nothing: no other job would ever come."""
    handoff = world.hand_off()
    assert world.rail.delivery.claims.of(handoff.id, -1) is not None
    with world.rail.context.slot("desk"):
        world.rail.context.halt(True)
        world.run()
        world.rail.context.halt(False)
    world.let_pass(LEASE_SECONDS + 2)
    assert world.show(handoff)["state"] == "with_humans"
    assert len(acme.cases) == 1


def test_a_job_claims_nothing_where_all_slots_are_taken_and_comes_back(
    world: World, acme: SimulatedAcme
) -> None:
    """What is claimed and then waits would be begun after its worker was told to end."""
    handoff = world.hand_off()
    with world.rail.context.slot("desk"):
        world.rail.context.halt(True)
        world.run()
        world.rail.context.halt(False)
    shown = world.show(handoff)
    assert (shown["state"], shown["attempts"]) == ("accepted", 0)
    assert acme.requests == []
    world.clock.advance(3)
    world.run()
    assert world.show(handoff)["state"] == "with_humans"
