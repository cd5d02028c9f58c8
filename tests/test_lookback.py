"""A desk that was given up in doubt is looked at again: what it made all the same is ended, or is the one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.desks import Acme, SimulatedAcme, Worlds, customer_says

from handrail import Handoff, Refused, Status, UpdateKind
from handrail.lookback import LOOKS_FOR
from handrail.model import State
from handrail.testing import World
from handrail.testing.world import _jobs

pytest_plugins = ["tests.stores"]

HOUR = 3600


@pytest.fixture
def doubted(worlds: Worlds, acme: SimulatedAcme, backup: SimulatedAcme, store_url: str) -> World:
    """The first desk makes a ticket and does not say so, then it is down; after two hours it is given up."""
    return leave(worlds(backup=backup, store=store_url, give_up_after=timedelta(hours=2)), acme)


def leave(world: World, acme: SimulatedAcme) -> World:
    acme.fault("lose", on="POST /cases", when="after")
    acme.fault("status", status=503, times=9999)
    return world


def returns(acme: SimulatedAcme) -> None:
    acme.faults.clear()


def lines(world: World, handoff: Handoff, about: str) -> list[str]:
    return [line["text"] for line in world.show(handoff)["timeline"] if about in line["text"]]


def looks(world: World) -> list[Any]:
    with world.rail.context.store.read() as connection:
        rows = connection.execute(_jobs.select()).all()
    return [row for row in rows if row.step.startswith("lookback:")]


def test_the_ticket_that_a_desk_made_all_the_same_is_ended_once_it_answers(
    doubted: World, acme: SimulatedAcme, backup: SimulatedAcme
) -> None:
    world, handoff = doubted, doubted.hand_off()
    world.let_pass(9 * HOUR)
    (left,), (kept,) = acme.cases.values(), backup.cases.values()
    assert (left["status"], world.show(handoff)["desk"]) == ("new", "backup")
    returns(acme)
    world.let_pass(HOUR)

    assert left["status"] == Status.SOLVED
    (note,) = [note["text"] for note in left["notes"][1:]]
    assert f"goes on in ticket {kept['id']} on backup (http" in note
    assert lines(world, handoff, "twin") == [
        f"ticket {left['id']} on desk was a twin of {kept['id']} on backup and is ended"
    ]
    assert (world.show(handoff)["state"], world.show(handoff)["ticket"]["id"]) == (
        State.WITH_HUMANS,
        kept["id"],
    )
    assert len(acme.cases) == len(backup.cases) == 1
    assert looks(world) == []


def test_a_ticket_on_which_people_have_written_stays_open_and_is_told(
    doubted: World, acme: SimulatedAcme, backup: SimulatedAcme
) -> None:
    world, handoff = doubted, doubted.hand_off()
    world.let_pass(3 * HOUR)
    (left,), (kept,) = acme.cases.values(), backup.cases.values()
    acme.human_replies(left["id"], "I have a look")
    returns(acme)
    world.let_pass(2 * HOUR)

    assert left["status"] not in (Status.SOLVED, Status.CLOSED)
    assert "please go on there" in left["notes"][-1]["text"]
    (line,) = lines(world, handoff, "twin")
    assert (
        f"ticket {left['id']} on desk is a twin of {kept['id']} on backup; people have written on it" in line
    )
    assert world.updates(handoff, UpdateKind.REPLY) == []


def test_a_desk_that_holds_nothing_is_asked_twice(
    worlds: Worlds, acme: SimulatedAcme, backup: SimulatedAcme
) -> None:
    world = worlds(backup=backup, give_up_after=timedelta(hours=2))
    acme.fault("lose", on="POST /cases", when="before")
    acme.fault("status", status=503, times=9999)
    handoff = world.hand_off()
    world.let_pass(3 * HOUR)
    returns(acme)
    asked = len(acme.requests)
    world.let_pass(24 * HOUR)

    assert [seen.method for seen in acme.requests[asked:]] == ["GET", "GET"]
    assert lines(world, handoff, "looked at") == ["looked at desk again: it shows no ticket"]
    assert acme.cases == {}
    assert looks(world) == []


def test_what_no_desk_has_taken_goes_back_to_the_ticket_that_was_made(
    doubted: World, acme: SimulatedAcme, backup: SimulatedAcme
) -> None:
    backup.fault("status", on="POST /cases", status=422, times=99, body='{"error": "full"}')
    world, handoff = doubted, doubted.hand_off()
    world.rail.say(handoff.id, customer_says("and more"))
    world.let_pass(3 * HOUR)
    assert world.show(handoff)["state"] == State.UNDELIVERED
    returns(acme)
    world.let_pass(2 * HOUR)

    (case,) = acme.cases.values()
    shown = world.show(handoff)
    assert (shown["state"], shown["desk"], shown["ticket"]["id"]) == (State.WITH_HUMANS, "desk", case["id"])
    assert [note["text"].count("and more") for note in case["notes"]] == [0, 1]
    assert lines(world, handoff, "after all") == [
        f"desk holds ticket {case['id']} after all; it goes on there"
    ]
    assert backup.cases == {}


def test_what_the_only_desk_made_all_the_same_is_found_when_it_answers(
    worlds: Worlds, acme: SimulatedAcme
) -> None:
    world = leave(worlds(give_up_after=timedelta(hours=2)), acme)
    handoff = world.hand_off()
    world.let_pass(3 * HOUR)
    assert world.show(handoff)["state"] == State.UNDELIVERED
    returns(acme)
    world.let_pass(2 * HOUR)
    assert (world.show(handoff)["state"], len(acme.cases)) == (State.WITH_HUMANS, 1)


def test_what_was_sent_again_meanwhile_is_left_to_its_delivery(worlds: Worlds, acme: SimulatedAcme) -> None:
    world = leave(worlds(give_up_after=timedelta(hours=2)), acme)
    handoff = world.hand_off()
    world.let_pass(2 * HOUR + 60)
    returns(acme)
    world.rail.retry(handoff.id)
    world.run()
    assert world.show(handoff)["state"] == State.WITH_HUMANS
    world.let_pass(24 * HOUR)
    ((case,), shown) = acme.cases.values(), world.show(handoff)
    assert (case["status"], shown["state"], looks(world)) == ("new", State.WITH_HUMANS, [])
    assert lines(world, handoff, "ticket ")[-1] == f"delivered to desk, ticket {case['id']}"


def test_a_handoff_that_is_still_on_its_way_keeps_the_ticket_that_may_become_its_own(
    doubted: World, acme: SimulatedAcme, backup: SimulatedAcme
) -> None:
    backup.fault("status", status=503, times=9999)
    world, handoff = doubted, doubted.hand_off()
    world.let_pass(2 * HOUR + 60)
    returns(acme)
    world.let_pass(HOUR)
    (left,) = acme.cases.values()
    assert (left["status"], world.show(handoff)["desk"]) == ("new", "backup")
    world.let_pass(4 * HOUR)
    shown = world.show(handoff)
    assert (shown["desk"], shown["ticket"]["id"]) == ("desk", left["id"])


def test_a_look_that_dies_at_any_point_is_made_again_and_says_one_thing_once(
    doubted: World, acme: SimulatedAcme
) -> None:
    world = doubted
    world.hand_off()
    world.let_pass(3 * HOUR)
    returns(acme)
    acme.fault("lose", on="POST /cases/", when="after", times=3)
    acme.fault("lose", on="PUT /cases/", when="after", times=2)
    world.let_pass(12 * HOUR)
    (left,) = acme.cases.values()
    assert [note["text"].count("goes on in ticket") for note in left["notes"]] == [0, 1]


def test_a_look_that_another_overtakes_sends_nothing_more(doubted: World, acme: SimulatedAcme) -> None:
    world = doubted
    world.hand_off()
    world.let_pass(3 * HOUR)
    returns(acme)
    (job,) = looks(world)
    inner, again = acme.execute, []

    def slowly(seen: Any) -> Any:
        if seen.method == "PUT" and not again:
            again.append(seen)
            world.rail.look_back.step(job.id, job.n)
        return inner(seen)

    acme.execute = slowly  # type: ignore[method-assign]
    world.rail.look_back.step(job.id, job.n)
    (left,) = acme.cases.values()
    assert again
    assert [note["text"].count("goes on in ticket") for note in left["notes"]] == [0, 1]


def test_what_a_desk_does_not_let_us_end_is_told(
    doubted: World, acme: SimulatedAcme, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no(*_: object) -> Any:
        raise Refused("this workflow has no such step")

    monkeypatch.setattr(Acme, "change", no)
    world, handoff = doubted, doubted.hand_off()
    world.let_pass(3 * HOUR)
    returns(acme)
    world.let_pass(2 * HOUR)
    (line,) = lines(world, handoff, "twin")
    assert "to be ended by hand" in line
    assert "this workflow has no such step" in line


def test_a_desk_that_does_not_come_back_is_given_up_for_good_with_a_line(
    doubted: World, acme: SimulatedAcme
) -> None:
    world, handoff = doubted, doubted.hand_off()
    world.let_pass(LOOKS_FOR.total_seconds() + 4 * HOUR)
    (line,) = lines(world, handoff, "may still hold a ticket")
    assert "503" in line
    assert looks(world) == []
