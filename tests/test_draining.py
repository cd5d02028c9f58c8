"""Draining: what a worker's hands do with all that is due on a desk, one handoff after the other."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from tests.desks import SimulatedAcme, Worlds

from handrail import Handoff
from handrail.driver import START_SECONDS
from handrail.store import handoffs
from handrail.testing import World, a_conversation, a_file

pytest_plugins = ["tests.stores"]


@pytest.fixture
def world(worlds: Worlds, store_url: str) -> World:
    return worlds(store=store_url)


def made(world: World, count: int) -> list[Handoff]:
    found = []
    for number in range(count):
        found.append(world.hand_off(a_conversation(f"question {number}", id=f"c-{count}-{number}")))
        world.clock.advance(1)
    return found


def drain(world: World) -> None:
    world.rail.delivery.drain("desk", lambda: True)


def states(world: World, given: list[Handoff]) -> list[str]:
    with world.rail.context.store.read() as connection:
        return [handoffs.get(connection, each.id).state for each in given]


def test_what_waited_longest_goes_first(world: World, acme: SimulatedAcme) -> None:
    given = made(world, 4)
    drain(world)
    assert states(world, given) == ["with_humans"] * 4
    assert [case["marker"][:26] for case in acme.cases.values()] == [each.id for each in given]


def test_the_end_of_one_and_the_beginning_of_the_next_are_one_transaction(world: World) -> None:
    commits: list[Any] = []
    sa.event.listen(world.rail.context.store.engine, "commit", commits.append)
    counted = []
    for count in (2, 1, 6):  # the first of them makes the process known to its peers
        made(world, count)
        before = len(commits)
        drain(world)
        counted.append(len(commits) - before)
    assert counted[2] - counted[1] == 2 * 5, "a journal and an end each; the claims are in the ends"


def test_who_is_told_to_stop_claims_nothing_more(world: World, acme: SimulatedAcme) -> None:
    given = made(world, 3)
    world.rail.delivery.drain("desk", lambda: not acme.cases)
    assert states(world, given) == ["with_humans", "accepted", "accepted"]
    assert [world.show(each)["attempts"] for each in given] == [1, 0, 0]


def test_a_handoff_that_cannot_be_read_spoils_no_other(
    world: World, acme: SimulatedAcme, caplog: pytest.LogCaptureFixture
) -> None:
    given = made(world, 3)
    with world.rail.context.store.begin() as connection:
        handoffs.change(connection, given[1].id, body="not json")
    with pytest.raises(ValueError, match="Invalid JSON"):
        drain(world)
    assert states(world, given) == ["with_humans", "accepted", "accepted"]
    assert "is left to its job" in caplog.text
    world.rail.attempt(given[2].id)
    assert states(world, given)[2] == "with_humans"
    assert len(acme.cases) == 2


def test_waiting_for_our_own_rate_gives_nothing_up(worlds: Worlds, acme: SimulatedAcme) -> None:
    """A backlog of more than ``give_up_after`` is no desk that does not answer."""
    world = worlds(settings={"rate": 1, "asks_team": True}, give_up_after=timedelta(minutes=1))
    given = made(world, 8)
    world.run(within=3600)
    assert states(world, given) == ["with_humans"] * 8
    assert len(acme.cases) == 8
    assert world.show(given[7])["last_error"] is None


def test_a_handoff_of_which_a_part_is_on_the_desk_is_no_new_one(worlds: Worlds, acme: SimulatedAcme) -> None:
    """Whoever reads the desk meanwhile must know that it is being created."""
    world = worlds(settings={"rate": 1})
    handoff = world.hand_off(files=[a_file()])
    world.run()
    assert len(acme.seen("POST /files")) == 1
    assert world.show(handoff)["state"] == "delivering"
    untouched = world.hand_off(a_conversation("another", id="c-2"))
    world.rail.context.driver("desk").rest_for(None)
    world.run()
    assert world.show(untouched)["state"] == "accepted"
    world.run(within=600)
    assert states(world, [handoff, untouched]) == ["with_humans"] * 2


def test_a_request_that_could_not_go_out_in_time_is_nobody_s_trouble(
    worlds: Worlds, acme: SimulatedAcme
) -> None:
    world = worlds()
    handoff = world.hand_off()
    driver = world.rail.context.driver("desk")

    class Slow:
        def take(self, now: Any) -> None:
            driver._pace = None
            world.clock.advance(START_SECONDS + 1)

    driver._pace = Slow()  # type: ignore[assignment]
    world.rail.attempt(handoff.id)
    shown = world.show(handoff)
    assert (shown["state"], shown["last_error"], acme.requests) == ("accepted", None, [])
    world.run()
    assert world.show(handoff)["state"] == "with_humans"
    assert len(acme.seen("POST /cases")) == 1


def test_the_rate_does_not_make_a_desk_that_is_down_any_younger(worlds: Worlds, acme: SimulatedAcme) -> None:
    world = worlds(settings={"rate": 1}, give_up_after=timedelta(minutes=30))
    acme.fault("status", status=503, times=999)
    given = made(world, 8)
    world.run(within=7200)
    assert states(world, given) == ["undelivered"] * 8
