"""Waits: the AI has some time left, and people get what there is at its end, unless it was solved."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.desks import SimulatedAcme, Worlds, customer_says

from handrail import Conversation, Decision, Handoff, Message, Role
from handrail.config import Sla
from handrail.model import Reason, State, Urgency
from handrail.store import handoffs
from handrail.testing import Clock, World, a_conversation

TEN = timedelta(minutes=10)


@pytest.fixture
def world(worlds: Worlds) -> World:
    return worlds()


def talk(*more: str) -> Conversation:
    said = [Message(role=Role.CUSTOMER, text=text) for text in ("Where is my refund?", *more)]
    return a_conversation(id="c-1", messages=tuple(said))


def decided(world: World, wait: timedelta | None = TEN, **known: Any) -> Decision:
    until = world.clock() + wait if wait else None
    values = {"trigger": "stuck", "reason": Reason.UNCLEAR, "urgency": Urgency.NORMAL, "desk": "desk"}
    return Decision(
        kind="wait" if wait else "hand_off",
        conversation_id="c-1",
        at=world.clock(),
        because="stuck: turns is 6",
        until=until,
        **values | known,
    )


def notes(world: World, id: str) -> str:
    return "\n".join(line["text"] for line in world.rail.show(id)["timeline"])


def test_a_wait_is_handed_over_when_its_time_has_come(world: World, acme: SimulatedAcme) -> None:
    handoff = world.rail.hand_off(talk(), decided(world))
    assert (world.show(handoff)["state"], world.rail.holder("c-1")) == (State.WAITING, "ai")
    world.let_pass(599)
    assert acme.cases == {}
    world.let_pass(2)
    assert world.show(handoff)["state"] == State.WITH_HUMANS
    assert len(acme.cases) == 1
    assert "waits: the AI has 10m more" in notes(world, handoff.id)


def test_a_wait_survives_the_process(worlds: Worlds, acme: SimulatedAcme, tmp_path: Any) -> None:
    store = f"sqlite:///{tmp_path}/waits.db"
    handoff = worlds(store=store).rail.hand_off(talk(), decided(worlds(store=store)))
    other = worlds(store=store)
    other.clock.advance(TEN)
    other.run()
    assert other.show(handoff)["state"] == State.WITH_HUMANS


def test_what_is_solved_in_time_is_not_handed_over(world: World, acme: SimulatedAcme) -> None:
    handoff = world.rail.hand_off(talk(), decided(world))
    assert world.rail.resolved("c-1") is True
    assert world.rail.resolved("c-1") is False
    assert world.rail.resolved("c-unknown") is False
    world.let_pass(3600)
    assert acme.requests == []
    assert world.show(handoff)["state"] == State.CANCELLED
    assert "solved it in time" in notes(world, handoff.id)


def test_resolving_does_nothing_to_what_people_have(world: World, acme: SimulatedAcme) -> None:
    handoff = world.deliver(talk())
    assert world.rail.resolved("c-1") is False
    assert world.show(handoff)["state"] == State.WITH_HUMANS


def test_the_conversation_is_handed_over_as_it_stands_then(world: World, acme: SimulatedAcme) -> None:
    handoff = world.rail.hand_off(talk(), decided(world))
    world.let_pass(60)
    again = world.rail.hand_off(talk("It is order 1182."), decided(world))
    assert again.id == handoff.id
    world.rail.say(handoff.id, customer_says("Are you there?"))
    world.let_pass(3600)
    (case,) = acme.cases.values()
    for text in ("Where is my refund?", "It is order 1182.", "Are you there?"):
        assert case["text"].count(text) >= 1
    assert len(case["notes"]) == 1, "all of it stands in the ticket's first text"


@pytest.mark.parametrize("wait", [None, TEN])
def test_what_was_said_meanwhile_is_kept_whatever_the_host_sends(
    world: World, acme: SimulatedAcme, wait: timedelta | None
) -> None:
    """The host's own record need not hold what came in by ``say``."""
    handoff = world.rail.hand_off(talk(), decided(world))
    world.rail.say(handoff.id, customer_says("Are you there?"))
    world.rail.hand_off(talk("It is order 1182."), decided(world, wait))
    world.rail.hand_off(talk("It is order 1182.", "Are you there?"), decided(world, wait))
    world.let_pass(3600)
    (case,) = acme.cases.values()
    told = "\n".join(note["text"] for note in case["notes"])
    assert [told.count(text) for text in ("It is order 1182.", "Are you there?")] == [1, 1]


def test_a_later_decision_does_not_make_it_wait_longer(world: World, acme: SimulatedAcme) -> None:
    handoff = world.rail.hand_off(talk(), decided(world))
    world.let_pass(540)
    world.rail.hand_off(talk("more"), decided(world, trigger="other"))
    world.let_pass(61)
    shown = world.show(handoff)
    assert (shown["state"], shown["trigger"]) == (State.WITH_HUMANS, "stuck")


@pytest.mark.parametrize("wait", [None, timedelta(minutes=1)])
def test_a_customer_who_asks_for_a_person_waits_no_longer(
    world: World, acme: SimulatedAcme, wait: timedelta | None
) -> None:
    handoff = world.rail.hand_off(talk(), decided(world))
    asked = decided(world, wait, trigger="asked", reason=Reason.CUSTOMER_REQUEST, urgency=Urgency.HIGH)
    assert world.rail.hand_off(talk("A person, please."), asked).id == handoff.id
    world.let_pass(61)
    shown = world.show(handoff)
    assert (shown["state"], shown["trigger"], shown["urgency"]) == (State.WITH_HUMANS, "asked", "high")
    (case,) = acme.cases.values()
    assert "A person, please." in case["text"]
    world.let_pass(3600)
    assert len(acme.cases) == 1


@pytest.mark.parametrize("end", ["cancel", "close"])
def test_a_wait_can_be_ended_by_hand(world: World, acme: SimulatedAcme, end: str) -> None:
    handoff = world.rail.hand_off(talk(), decided(world))
    getattr(world.rail, end)(handoff.id)
    world.let_pass(3600)
    assert acme.requests == []
    assert world.show(handoff)["state"] == State.CANCELLED


def test_what_was_promised_counts_from_when_people_take_over(worlds: Worlds, acme: SimulatedAcme) -> None:
    hour = Sla.model_validate({"first_response": {"normal": "1h"}})
    world = worlds(sla={"default": hour})
    began = world.clock()
    handoff = world.rail.hand_off(talk(), decided(world))
    world.let_pass(601)
    due = world.show(handoff)["due"]["first_response"]
    assert due == (began + TEN + timedelta(hours=1)).isoformat().replace("+00:00", "Z")


def test_a_retry_ends_a_wait(world: World, acme: SimulatedAcme) -> None:
    handoff = world.rail.hand_off(talk(), decided(world))
    world.rail.retry(handoff.id)
    world.run()
    assert world.show(handoff)["state"] == State.WITH_HUMANS


def test_a_time_that_has_passed_is_no_wait(world: World, clock: Clock, acme: SimulatedAcme) -> None:
    late = decided(world)
    clock.advance(TEN)
    handoff = world.rail.hand_off(talk(), late)
    world.run()
    assert world.show(handoff)["state"] == State.WITH_HUMANS


def test_an_urgency_that_is_changed_during_a_wait_is_handed_over_with_its_promises(
    worlds: Worlds, acme: SimulatedAcme
) -> None:
    sla = Sla.model_validate({"first_response": {"normal": "8h", "urgent": "30m"}})
    world = worlds(sla={"default": sla})
    handoff = world.rail.hand_off(talk(), decided(world))
    world.rail.set_urgency(handoff.id, "urgent")
    assert world.show(handoff)["urgency"] == "urgent"
    assert [each["kind"] for each in world.show(handoff)["to_send"]] == ["create"]

    world.let_pass(601)
    (case,) = acme.cases.values()
    assert (case["urgency"], world.show(handoff)["urgency"]) == ("urgent", "urgent")
    with world.rail.context.store.read() as connection:
        body = Handoff.model_validate_json(handoffs.get(connection, handoff.id).body)
    assert (body.urgency, body.due.first_response) == ("urgent", body.created_at + timedelta(minutes=30))
