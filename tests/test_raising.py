"""Raising: what nobody takes or answers in time becomes more urgent and is told; an answer stops it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.desks import SimulatedAcme, Worlds

from handrail import Handoff, State, UpdateKind
from handrail.config import Sla
from handrail.policy.chain import Raise
from handrail.policy.hours import Hours
from handrail.store import handoffs
from handrail.testing import World, a_conversation
from handrail.testing.world import _jobs

pytest_plugins = ["tests.stores"]

HOUR = 3600.0
SLA = {"default": Sla.model_validate({"first_response": {"normal": "2h"}, "resolution": {"normal": "8h"}})}
NOTICE = "Nobody has taken this yet."
RAISE = Raise(urgency="+1", group="leads", notice=NOTICE)
RISK, BREACH = UpdateKind.SLA_AT_RISK, UpdateKind.SLA_BREACHED


@pytest.fixture
def raising(worlds: Worlds, acme: SimulatedAcme) -> Callable[..., World]:
    """A world that raises; its promises: an answer in two hours, a solution in eight."""
    acme.groups["leads"] = "3"

    def make(*rules: Raise, **more: Any) -> World:
        return worlds(**{"sla": SLA, "raises": rules or (RAISE,)} | more)

    return make


def row(world: World, handoff: Handoff) -> Any:
    with world.rail.context.store.read() as connection:
        return handoffs.get(connection, handoff.id)


def told(world: World, handoff: Handoff) -> list[str]:
    return [each.id.partition(":")[2] for each in world.updates(handoff) if each.kind in (RISK, BREACH)]


def timeline(world: World, handoff: Handoff) -> str:
    return "\n".join(line["text"] for line in world.show(handoff)["timeline"])


def delivered(world: World) -> tuple[Handoff, str]:
    handoff = world.hand_off()
    world.run(within=60)
    return handoff, str(world.show(handoff)["ticket"]["id"])


def at_risk(handoff: Handoff, number: int = 1, of: str = "first_response") -> str:
    return f"sla:at_risk:{of}:{handoff.id}:{number}"


def breach(handoff: Handoff, of: str = "first_response") -> str:
    return f"sla:{of}:{handoff.id}"


# Nobody is there.


def test_what_nobody_takes_is_raised_at_three_quarters_of_the_time(
    raising: Callable[..., World], acme: SimulatedAcme
) -> None:
    world = raising()
    handoff, ticket = delivered(world)
    world.let_pass(1.5 * HOUR - 60)
    assert told(world, handoff) == []
    assert acme.cases[ticket]["urgency"] == "normal"

    world.let_pass(60)
    assert told(world, handoff) == [at_risk(handoff)]
    assert (acme.cases[ticket]["urgency"], world.show(handoff)["urgency"]) == ("high", "high")
    assert acme.texts()[1:] == [f"{NOTICE}\nNext group: leads"]
    assert acme.cases[ticket]["group"] == "leads"
    said = "raised, for nobody has taken it; urgency high; next group leads; noted"
    assert said in timeline(world, handoff)
    (update,) = world.updates(handoff, RISK)
    assert (update.text, update.ticket_id, update.at) == (said, ticket, world.clock())


@pytest.mark.parametrize("refused", ["group", "urgency"])
def test_what_the_desk_refuses_of_a_raise_is_said_in_its_note(
    raising: Callable[..., World], acme: SimulatedAcme, refused: str
) -> None:
    world = raising()
    handoff, ticket = delivered(world)
    body = json.dumps({"error": "no", "fields": {refused: "not for you"}})
    acme.fault("status", on="PUT /cases/*", status=422, body=body)
    world.let_pass(1.5 * HOUR)

    case = acme.cases[ticket]
    kept = {"group": "leads", "urgency": "high"} | {refused: {"group": None, "urgency": "normal"}[refused]}
    assert {name: case[name] for name in kept} == kept
    assert acme.texts()[1:] == [f"{NOTICE}\nNext group: leads\nNot set: {refused} (not for you)"]
    assert world.show(handoff)["last_error"] is None


def test_a_raise_that_is_refused_for_another_reason_has_failed(
    raising: Callable[..., World], acme: SimulatedAcme
) -> None:
    world = raising()
    handoff, _ = delivered(world)
    acme.fault("status", on="PUT /cases/*", status=422, body='{"error": "no", "fields": {"owner": "?"}}')
    world.let_pass(1.5 * HOUR)

    assert "change failed" in world.show(handoff)["last_error"]
    assert acme.texts()[1:] == []


def test_breaches_are_told_once_each(raising: Callable[..., World], acme: SimulatedAcme) -> None:
    world = raising()
    handoff, _ = delivered(world)
    world.let_pass(2 * HOUR)
    assert told(world, handoff) == [at_risk(handoff), breach(handoff)]
    world.let_pass(100 * HOUR)
    assert told(world, handoff) == [at_risk(handoff), breach(handoff), breach(handoff, "resolution")]
    assert "first response was due at 2026-11-23 11:00 UTC: nobody has answered" in timeline(world, handoff)
    assert row(world, handoff).watch_at is None
    assert len(acme.texts()) == 2


def test_breaches_are_told_without_any_raise(worlds: Worlds) -> None:
    world = worlds(sla=SLA)
    handoff, _ = delivered(world)
    world.let_pass(9 * HOUR)
    assert told(world, handoff) == [breach(handoff), breach(handoff, "resolution")]


def test_raises_follow_one_another(raising: Callable[..., World], acme: SimulatedAcme) -> None:
    world = raising(
        Raise(unless="answered", at="120%", notice="second"),
        Raise(at="30m", notice="first"),
        Raise(unless="solved", at="50%", urgency="urgent"),
    )
    handoff, ticket = delivered(world)
    world.let_pass(9 * HOUR)
    order = [
        at_risk(handoff, 2),
        breach(handoff),
        at_risk(handoff, 1),
        at_risk(handoff, 3, "resolution"),
        breach(handoff, "resolution"),
    ]
    assert told(world, handoff) == order
    assert acme.texts()[1:] == ["first", "second"]
    assert acme.cases[ticket]["urgency"] == "urgent"


def test_what_is_most_urgent_stays_so(raising: Callable[..., World], acme: SimulatedAcme) -> None:
    sla = {"default": Sla.model_validate({"first_response": {"urgent": "2h"}})}
    world = raising(Raise(urgency="+1"), sla=sla)
    handoff = world.deliver(urgency="urgent")
    world.let_pass(2 * HOUR)
    assert told(world, handoff) == [at_risk(handoff), breach(handoff)]
    assert [each.kind for each in world.operations(handoff)] == ["create"]


def test_a_share_of_a_time_that_nobody_promised_never_comes(raising: Callable[..., World]) -> None:
    world = raising()
    handoff = world.deliver(urgency="low")
    world.let_pass(100 * HOUR)
    assert told(world, handoff) == []
    assert row(world, handoff).watch_at is None


def test_a_watch_begins_once(raising: Callable[..., World]) -> None:
    world = raising()
    schedule, jobs = world.rail.context.schedule, list[str]()
    world.rail.context.schedule = lambda connection, step, *rest: (
        jobs.append(step),
        schedule(connection, step, *rest),
    )[1]
    delivered(world)

    assert [step.partition(":")[0] for step in jobs].count("watch") == 1


def test_without_promises_nothing_is_watched(worlds: Worlds) -> None:
    world = worlds()
    handoff = world.deliver()
    assert (row(world, handoff).plan, row(world, handoff).watch_n) == (None, 0)


def test_the_clock_stands_still_outside_business_hours(raising: Callable[..., World]) -> None:
    hours = Hours(timezone="UTC", days={"mon-fri": "09:00-18:00"}, holidays=("2026-11-30",))
    sla = {"default": SLA["default"].model_copy(update={"hours": "office"})}
    world = raising(sla=sla, hours={"office": hours})
    world.clock.set(datetime(2026, 11, 27, 17, 0, tzinfo=UTC))  # a Friday; the Monday is off
    handoff, _ = delivered(world)
    assert handoff.due.first_response == datetime(2026, 12, 1, 10, 0, tzinfo=UTC)
    world.let_pass(86400 * 3.5)
    assert told(world, handoff) == []
    assert row(world, handoff).watch_at == datetime(2026, 12, 1, 9, 30, tzinfo=UTC)
    world.let_pass(86400 * 0.25)
    assert told(world, handoff) == [at_risk(handoff), breach(handoff)]


# Somebody is there.


@pytest.mark.parametrize("road", ["webhook", "poll"])
def test_an_answer_stops_it(raising: Callable[..., World], acme: SimulatedAcme, road: str) -> None:
    world = raising()
    if road == "webhook":
        world.take_webhooks()
    handoff, ticket = delivered(world)
    world.let_pass(HOUR)
    acme.human_replies(ticket, "It is on its way.")
    if road == "poll":
        assert world.poll() == 1
    world.run()
    world.let_pass(6 * HOUR)
    assert told(world, handoff) == []
    assert acme.cases[ticket]["urgency"] == "normal"
    assert row(world, handoff).watch_at == handoff.due.resolution  # only this is still open


def test_what_a_machine_of_the_desk_says_is_no_answer(
    raising: Callable[..., World], acme: SimulatedAcme
) -> None:
    world = raising(Raise(unless="answered", at="80%"))
    handoff, ticket = delivered(world)
    acme.happens(ticket, "reply", id="note:900", text="We have your request.", by="system", public=True)
    assert world.poll() == 1
    world.let_pass(3 * HOUR)
    assert told(world, handoff) == [at_risk(handoff), breach(handoff)]


def test_an_answer_after_the_raise_keeps_the_breach_away(
    raising: Callable[..., World], acme: SimulatedAcme
) -> None:
    world = raising(RAISE, Raise(unless="answered", at="90%", notice="again"))
    handoff, ticket = delivered(world)
    world.let_pass(1.6 * HOUR)
    acme.human_replies(ticket, "It is on its way.")
    world.poll()
    world.let_pass(3 * HOUR)
    assert told(world, handoff) == [at_risk(handoff)]


def test_who_takes_it_is_left_alone_but_must_answer(
    raising: Callable[..., World], acme: SimulatedAcme
) -> None:
    world = raising(RAISE, Raise(unless="answered", at="80%"))
    handoff, ticket = delivered(world)
    acme.human_assigns(ticket, "Bea")
    world.poll()
    world.let_pass(3 * HOUR)
    assert told(world, handoff) == [at_risk(handoff, 2), breach(handoff)]


def test_an_internal_note_is_no_answer(raising: Callable[..., World], acme: SimulatedAcme) -> None:
    world = raising(Raise(unless="answered"))
    handoff, ticket = delivered(world)
    acme.human_notes(ticket, "Who knows this customer?")
    world.poll()
    world.let_pass(1.5 * HOUR)
    assert told(world, handoff) == [at_risk(handoff)]


def test_what_the_ai_writes_is_no_answer(raising: Callable[..., World], acme: SimulatedAcme) -> None:
    world = raising(Raise(unless="answered"))
    handoff, ticket = delivered(world)
    acme.happens(ticket, "reply", text="I am only a machine.", by="ai", public=True)
    assert world.poll() == 1
    world.let_pass(1.5 * HOUR)
    assert told(world, handoff) == [at_risk(handoff)]


def test_what_is_solved_is_left_alone_until_it_is_reopened(
    raising: Callable[..., World], acme: SimulatedAcme
) -> None:
    world = raising(RAISE, Raise(unless="solved", at="50%"), Raise(unless="solved", at="75%"))
    handoff, ticket = delivered(world)
    acme.human_solves(ticket)
    world.poll()
    world.let_pass(5 * HOUR)
    assert told(world, handoff) == []
    acme.human_sets(ticket, "open")
    world.poll()
    world.let_pass(5 * HOUR)
    assert told(world, handoff) == [at_risk(handoff, 3, "resolution"), breach(handoff, "resolution")]


# Trouble.


def test_the_clock_goes_on_while_the_desk_is_paused(
    raising: Callable[..., World], acme: SimulatedAcme
) -> None:
    world = raising()
    acme.fault("status", status=401)
    handoff = world.hand_off()
    world.let_pass(3 * HOUR)
    assert told(world, handoff) == [at_risk(handoff), breach(handoff)]
    assert world.show(handoff)["ticket"] is None

    acme.faults.clear()
    world.recover()
    world.run(within=60)
    assert acme.texts()[1:] == [f"{NOTICE}\nNext group: leads"]
    assert next(iter(acme.cases.values()))["urgency"] == "high"


def test_the_clock_goes_on_where_it_is_undelivered(
    raising: Callable[..., World], acme: SimulatedAcme
) -> None:
    world = raising()
    acme.fault("status", on="POST /cases", status=422)
    handoff = world.hand_off()
    world.let_pass(3 * HOUR)
    assert world.show(handoff)["state"] == State.UNDELIVERED
    assert told(world, handoff) == [at_risk(handoff), breach(handoff)]


def test_a_desk_that_is_paused_before_the_first_attempt_stops_no_clock(
    raising: Callable[..., World], acme: SimulatedAcme
) -> None:
    world = raising()
    acme.fault("status", status=401)
    world.deliver()
    second = world.hand_off(a_conversation(id="another"))
    world.let_pass(3 * HOUR)
    assert told(world, second) == [at_risk(second), breach(second)]


def test_what_was_cancelled_is_watched_no_more(raising: Callable[..., World], acme: SimulatedAcme) -> None:
    world = raising()
    acme.fault("status", on="POST /cases", status=401)
    handoff = world.hand_off()
    world.run(within=60)
    world.rail.cancel(handoff.id)
    world.let_pass(1.5 * HOUR)
    assert row(world, handoff).watch_at is None
    world.let_pass(10 * HOUR)
    assert told(world, handoff) == []


def test_a_watch_keeps_the_chain_that_it_began_with(raising: Callable[..., World], worlds: Worlds) -> None:
    world = raising()
    handoff, _ = delivered(world)
    later = worlds()  # on the same store, with neither promises nor raises
    later.let_pass(9 * HOUR)
    assert told(later, handoff) == [at_risk(handoff), breach(handoff), breach(handoff, "resolution")]


def test_a_job_that_is_out_of_date_does_nothing(raising: Callable[..., World]) -> None:
    world = raising()
    handoff, _ = delivered(world)
    n = row(world, handoff).watch_n
    world.clock.advance(1.6 * HOUR)
    world.rail.run_step("watch", handoff.id, n + 1)
    world.rail.run_step("watch", handoff.id, n - 1)
    assert told(world, handoff) == []
    world.rail.run_step("watch", handoff.id, n)
    world.rail.run_step("watch", handoff.id, n)
    assert told(world, handoff) == [at_risk(handoff)]


def test_a_job_that_comes_too_early_waits_on(raising: Callable[..., World]) -> None:
    world = raising()
    handoff, _ = delivered(world)
    world.rail.run_step("watch", handoff.id, row(world, handoff).watch_n)
    assert told(world, handoff) == []
    world.let_pass(1.5 * HOUR)
    assert told(world, handoff) == [at_risk(handoff)]


def test_a_starting_worker_takes_up_a_watch_whose_job_was_lost(raising: Callable[..., World]) -> None:
    world = raising()
    handoff, _ = delivered(world)
    with world.rail.context.store.begin() as connection:
        connection.execute(_jobs.delete())
    world.recover()
    world.let_pass(1.6 * HOUR)
    assert told(world, handoff) == []  # it was not due at the start
    world.recover()
    world.let_pass(HOUR)
    assert told(world, handoff) == [at_risk(handoff), breach(handoff)]


def test_both_stores_watch(raising: Callable[..., World], store_url: str) -> None:
    world = raising(store=store_url)
    handoff, _ = delivered(world)
    world.clock.advance(1.6 * HOUR)
    world.recover()
    world.run()
    assert told(world, handoff) == [at_risk(handoff)]
    world.let_pass(HOUR)
    assert told(world, handoff) == [at_risk(handoff), breach(handoff)]


# The second desk.


def test_a_second_desk_gets_a_handoff_that_says_why(
    worlds: Worlds, acme: SimulatedAcme, backup: SimulatedAcme
) -> None:
    world = worlds(backup=backup, sla=SLA, raises=(Raise(desk="backup", urgency="+1"),))
    handoff, ticket = delivered(world)
    world.let_pass(1.5 * HOUR)

    (case,) = backup.cases.values()
    assert "Nobody has taken it on the desk desk" in case["notes"][0]["text"]
    assert f"/cases/{ticket}" in case["notes"][0]["text"]
    assert case["urgency"] == "high"
    second = next(each for each in world.rail.list() if each["desk"] == "backup")
    assert second["key"] == f"{handoff.key}:raise:1"
    assert second["conversation_id"] == handoff.conversation.id
    assert f"also to desk backup as handoff {second['id']}" in timeline(world, handoff)
    assert handoff.id in world.rail.show(second["id"])["timeline"][0]["text"]

    world.let_pass(10 * HOUR)
    assert len(backup.cases) == 1
    assert [each for each in world.rail.updates() if each.handoff_id == second["id"]][1:] == []


def test_the_first_handoff_stays_the_conversation_s_own(
    worlds: Worlds, acme: SimulatedAcme, backup: SimulatedAcme
) -> None:
    world = worlds(backup=backup, sla=SLA, raises=(Raise(desk="backup"),))
    handoff, ticket = delivered(world)
    world.let_pass(1.5 * HOUR)
    assert world.hand_off().id == handoff.id
    acme.human_solves(ticket)
    world.poll()
    assert world.rail.holder(handoff.conversation.id) == "ai"
    assert world.hand_off().number == 2


def test_a_second_desk_that_has_it_or_is_gone_is_named(
    raising: Callable[..., World], acme: SimulatedAcme
) -> None:
    world = raising(Raise(desk="desk"), Raise(desk="gone"))
    handoff, _ = delivered(world)
    world.let_pass(1.5 * HOUR)
    assert "not to desk desk, which has it already" in timeline(world, handoff)
    assert "not to desk gone, which is not configured any more" in timeline(world, handoff)
    assert len(acme.cases) == 1


def test_a_key_that_is_taken_stops_no_raise(
    worlds: Worlds, acme: SimulatedAcme, backup: SimulatedAcme
) -> None:
    world = worlds(backup=backup, sla=SLA, raises=(Raise(desk="backup", urgency="+1"),))
    handoff, ticket = delivered(world)
    world.hand_off(a_conversation(id="another"), key=f"{handoff.key}:raise:1")
    world.let_pass(1.5 * HOUR)
    assert "not to desk backup, which has it already" in timeline(world, handoff)
    assert acme.cases[ticket]["urgency"] == "high"
    assert len(backup.cases) == 1  # that of the other one, which is raised too


# Conditions.


def test_a_condition_is_asked_at_its_time(raising: Callable[..., World]) -> None:
    world = raising(Raise(when="yes"), Raise(when="no"))
    asked: list[str] = []

    def holds(when: str, handoff: Handoff) -> bool:
        asked.append(f"{when} {handoff.id}")
        return when == "yes"

    world.rail.raising.holds = holds
    handoff, _ = delivered(world)
    assert asked == []
    world.let_pass(1.5 * HOUR)
    assert asked == [f"yes {handoff.id}", f"no {handoff.id}"]
    assert told(world, handoff) == [at_risk(handoff, 1)]


def test_due_times_of_the_handoff_are_those_of_the_promise(raising: Callable[..., World]) -> None:
    world = raising()
    handoff, _ = delivered(world)
    assert handoff.due.first_response == handoff.created_at + timedelta(hours=2)
    assert row(world, handoff).watch_at == handoff.created_at + timedelta(minutes=90)


def test_a_worker_is_not_idle_while_a_promise_is_overdue(raising: Callable[..., World]) -> None:
    world = raising()
    delivered(world)
    world.rail.roads.schedule_poll("desk", 24 * HOUR)
    assert world.rail._idle()

    world.clock.advance(1.5 * HOUR)
    assert not world.rail._idle()
    world.run()
    assert world.rail._idle()
