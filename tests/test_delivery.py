"""Delivery: everything arrives, once and in its order, or a person is told."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from tests.desks import Acme, KeyedAcme, LaggingAcme, SimulatedAcme, Worlds, customer_says, in_threads

from handrail import (
    Conflict,
    Handoff,
    LeftOpen,
    Message,
    Request,
    Role,
    Steps,
    Ticket,
    Unsupported,
    UpdateKind,
    delivery,
)
from handrail.again import resume, take_over
from handrail.connector import Page
from handrail.engine import LEASE_SECONDS
from handrail.model import State
from handrail.store import handoffs, operations
from handrail.store.schema import journal as journal_rows
from handrail.store.schema import metadata
from handrail.testing import Clock, World, a_conversation, a_file
from handrail.testing.world import _jobs

pytest_plugins = ["tests.stores"]


@pytest.fixture
def world(worlds: Worlds) -> World:
    return worlds()


def say(world: World, handoff: Handoff, *texts: str) -> None:
    for text in texts:
        world.rail.say(handoff.id, customer_says(text))


def row(world: World, handoff: Handoff) -> Any:
    with world.rail.context.store.read() as connection:
        return handoffs.get(connection, handoff.id)


def change(world: World, handoff: Handoff, **values: Any) -> None:
    with world.rail.context.store.begin() as connection:
        handoffs.change(connection, handoff.id, **values)


def state(world: World, handoff: Handoff) -> str:
    return str(world.show(handoff)["state"])


def notes(world: World, handoff: Handoff) -> str:
    return "\n".join(line["text"] for line in world.show(handoff)["timeline"])


def jobs(world: World) -> list[Any]:
    with world.rail.context.store.read() as connection:
        return list(connection.execute(_jobs.select().order_by(_jobs.c.due_at)))


def during(
    world: World, act: Callable[[], Any], *, path: str = "/cases", method: str = "POST", done: bool = True
) -> None:
    """Do something while the next request is under way: the desk has done it (or not), we do not know yet."""
    transport = world.rail.context.driver("desk").transport
    inner = transport.send

    def send(wire: Any, headers: Any) -> Any:
        if wire.method != method or path not in wire.path:
            return inner(wire, headers)
        transport.send = inner  # type: ignore[method-assign]
        reply = inner(wire, headers) if done else None
        act()
        return reply or inner(wire, headers)

    transport.send = send  # type: ignore[method-assign]


@pytest.mark.parametrize(("skew", "seconds"), [(0, 0), (0, 4), (-20, 0)])
def test_what_a_poll_passed_over_while_the_ticket_was_made_is_read_afterwards(
    worlds: Worlds, acme: SimulatedAcme, clock: Clock, skew: float, seconds: float
) -> None:
    """A peer's poll saw the reply on a ticket that nobody knew yet, and went on; its clock may differ."""
    slow, peer = worlds(), worlds()
    handoff = slow.hand_off()

    def meanwhile() -> None:
        (case,) = acme.cases
        acme.human_replies(case, "I have it already")
        clock.advance(skew)
        peer.rail.roads.poll("desk")
        clock.advance(seconds - skew)

    during(slow, meanwhile)
    slow.run(within=60)
    slow.poll()
    assert [update.text for update in slow.updates(handoff, UpdateKind.REPLY)] == ["I have it already"]


def test_a_ticket_that_took_long_is_read_though_the_clock_went_back_meanwhile(
    worlds: Worlds, acme: SimulatedAcme, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its webhooks came too early for so long that they were left; nobody has polled since."""
    seconds = [0.0]
    monkeypatch.setattr(delivery, "time", SimpleNamespace(monotonic=lambda: seconds[0]))
    world = worlds()
    handoff = world.hand_off()

    def meanwhile() -> None:
        (case,) = acme.cases
        acme.human_replies(case, "I have it already")
        seconds[0] += 40
        clock.advance(-1)

    during(world, meanwhile)
    world.run(within=10)
    assert [update.text for update in world.updates(handoff, UpdateKind.REPLY)] == ["I have it already"]


class ChoosyAcme(Acme):
    """Its polls take what is about the tickets that are known when they begin."""

    def poll_page(self, cursor: str | None, tickets: Sequence[Ticket], now: datetime) -> Steps[Page]:
        known = {ticket.id for ticket in tickets}
        page = yield from super().poll_page(cursor, tickets, now)
        updates = [update for update in page.updates if update.ticket_id in known]
        return replace(
            page, updates=updates, tickets=[ticket for ticket in page.tickets if ticket.id in known]
        )


def test_what_a_poll_under_way_passes_over_is_read_afterwards(worlds: Worlds, acme: SimulatedAcme) -> None:
    """It began before the ticket was known, and ends behind that."""
    peer, world = worlds(ChoosyAcme), worlds(ChoosyAcme)
    peer.rail.roads.schedule_poll("desk", 0)
    handoff = world.hand_off()

    def replies() -> None:
        (case,) = acme.cases
        acme.human_replies(case, "I have it already")

    def delivers() -> None:
        world.rail.attempt(handoff.id)

    during(world, replies)
    during(peer, delivers, path="/events", method="GET", done=False)
    peer.rail.roads.poll_step("desk", 1)
    world.run()
    world.poll()
    assert [update.text for update in world.updates(handoff, UpdateKind.REPLY)] == ["I have it already"]


def test_a_doorbell_of_a_ticket_that_is_still_being_made_is_followed_later(
    world: World, acme: SimulatedAcme
) -> None:
    """Somebody writes between the desk's answer and our commit, and the desk rings but once."""
    handoff = world.hand_off()

    def meanwhile() -> None:
        (ticket,) = acme.cases
        acme.human_replies(ticket, "I have it already")
        world.take_webhooks()
        acme.sends({"kind": "bell", "case": ticket})
        acme.hooks.post()
        (hook,) = [job.id for job in jobs(world) if job.step.startswith("hook:")]
        world.rail.roads.settle(hook, 0)

    during(world, meanwhile)
    world.run(within=60)
    assert [update.text for update in world.updates(handoff, UpdateKind.REPLY)] == ["I have it already"]


# Order.


def test_create_messages_and_changes_arrive_in_their_order(world: World, acme: SimulatedAcme) -> None:
    handoff = world.hand_off()
    say(world, handoff, "first", "second")
    world.rail.set_urgency(handoff.id, "urgent")
    say(world, handoff, "third")
    world.run(within=60)

    effects = [(seen.method, seen.local.rpartition("/")[2]) for seen in acme.requests if seen.method != "GET"]
    (id,) = acme.cases
    assert effects == [("POST", "cases"), ("POST", "notes"), ("PUT", id), ("POST", "notes")]
    _, both, last = acme.texts()
    assert both.index("first") < both.index("second")
    assert "third" in last
    assert acme.cases[id]["urgency"] == "urgent"
    assert [operation.state for operation in world.operations(handoff)] == [
        "done",
        "done",
        "merged",
        "done",
        "done",
    ]


def test_a_change_stands_between_messages(world: World, acme: SimulatedAcme) -> None:
    handoff = world.deliver()
    say(world, handoff, "before")
    world.rail.close(handoff.id)
    say(world, handoff, "after")
    acme.requests.clear()
    world.run(within=60)
    assert [seen.method for seen in acme.requests if seen.method != "GET"] == ["POST", "PUT", "POST"]


def test_messages_that_pile_up_go_out_as_one(world: World, acme: SimulatedAcme) -> None:
    handoff = world.deliver()
    acme.refuse()
    say(world, handoff, "0.")
    world.run()
    say(world, handoff, *(f"{n}." for n in range(1, 9)))
    acme.accept_again()
    world.run(within=3600)

    first, *rest = acme.texts()[1:]
    assert "0." in first
    assert len(rest) == 1
    assert [rest[0].index(f"{n}.") for n in range(1, 9)] == sorted(
        rest[0].index(f"{n}.") for n in range(1, 9)
    )


def test_a_message_that_may_have_gone_out_is_never_joined_with_others(
    world: World, acme: SimulatedAcme
) -> None:
    handoff = world.deliver()
    acme.fault("lose", on="POST /cases/{id}/notes", when="after")
    say(world, handoff, "first.")
    world.run()
    say(world, handoff, "second.", "third.")
    world.run(within=3600)

    text = "\n".join(acme.texts())
    assert [text.count(word) for word in ("first.", "second.", "third.")] == [1, 1, 1]
    assert text.index("first.") < text.index("second.") < text.index("third.")


def test_closing_stands_behind_the_create(world: World, acme: SimulatedAcme) -> None:
    acme.fault("status", on="POST /cases", status=429, retry_after="60")
    handoff = world.hand_off()
    world.run()
    world.rail.close(handoff.id)
    world.rail.close(handoff.id)
    assert acme.cases == {}
    world.run(within=3600)
    assert [case["status"] for case in acme.cases.values()] == ["solved"]
    assert state(world, handoff) == State.SOLVED
    assert world.rail.holder(handoff.conversation.id) == "ai"


def test_what_is_said_while_an_attempt_runs_is_taken_along(world: World, acme: SimulatedAcme) -> None:
    handoff = world.hand_off()
    during(world, lambda: say(world, handoff, "meanwhile"))
    world.run()
    assert "meanwhile" in acme.texts()[-1]


# Trying again.


def test_each_try_is_written_down_and_later_than_the_last(
    world: World, acme: SimulatedAcme, clock: Clock
) -> None:
    acme.refuse()
    handoff = world.hand_off()
    begin = clock()
    world.run(within=1800)
    shown = world.show(handoff)
    assert shown["state"] == State.DELIVERING
    assert shown["attempts"] >= 5
    assert "refused" in shown["last_error"]
    assert notes(world, handoff).count("again in") == shown["attempts"]
    assert row(world, handoff).trying_since == begin
    assert row(world, handoff).due_at <= clock() + timedelta(seconds=300)


def test_a_retry_after_is_waited_for_but_not_beyond_giving_up(world: World, acme: SimulatedAcme) -> None:
    acme.fault("status", on="POST /cases", status=429, retry_after="99999999999", times=99)
    handoff = world.hand_off()
    world.run(within=86400)
    assert state(world, handoff) == State.UNDELIVERED
    assert len(acme.seen("POST /cases")) == 2, "at once, and when the time is over"


def test_a_clock_that_goes_back_stops_nothing(world: World, acme: SimulatedAcme, clock: Clock) -> None:
    acme.fault("status", on="POST /cases", status=503, times=3)
    handoff = world.hand_off()
    world.run()
    clock.advance(timedelta(days=-30))
    for _ in range(4):  # the engine counts time by itself: the jobs come, whatever our clock says
        for job in jobs(world):
            world.rail.run_step(job.step.partition(":")[0], job.id, job.n)
            world._done(job)
    assert state(world, handoff) == State.WITH_HUMANS
    assert len(acme.cases) == 1


@pytest.mark.parametrize("error", [KeyError("secret-word"), TypeError("secret-word"), ZeroDivisionError()])
def test_an_error_in_the_connector_is_visible_and_tried_again(
    world: World, acme: SimulatedAcme, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(self: Acme, handoff: Handoff) -> Any:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Acme, "create", broken)
        handoff = world.hand_off()
        world.run(within=60)
        shown = world.show(handoff)
        assert shown["state"] == State.DELIVERING
        assert f"an error in the connector: {type(error).__name__}: see the log" in shown["last_error"]
        assert "secret-word" not in notes(world, handoff)

    world.run(within=3600)
    assert state(world, handoff) == State.WITH_HUMANS


def test_a_desk_that_left_the_configuration_is_visible(world: World, acme: SimulatedAcme) -> None:
    handoff = world.hand_off()
    kept = world.rail.config.desks.pop("desk")
    world.run(within=60)
    assert "there is no desk 'desk'" in world.show(handoff)["last_error"]

    world.rail.config.desks["desk"] = kept
    world.run(within=3600)
    assert state(world, handoff) == State.WITH_HUMANS


def test_twins_of_an_unsure_create_are_ended(worlds: Worlds, acme: SimulatedAcme) -> None:
    world = worlds(LaggingAcme)
    acme.lag = timedelta(minutes=5)  # the desk lags more than its connector knows
    acme.fault("lose", on="POST /cases", when="after")
    handoff = world.hand_off()
    world.run(within=300)
    assert len(acme.cases) == 2

    world.run(within=3600)

    assert list(acme.cases) == [world.show(handoff)["ticket"]["id"]]
    assert "was a twin of" in notes(world, handoff)


class CarefulAcme(LaggingAcme):
    def sweep(self, handoff: Handoff, ticket: Ticket) -> Steps[list[str]]:
        rows = (yield Request("GET", "/cases", params={"marker": handoff.marker})).json
        return [LeftOpen(row["id"]) for row in rows if row["id"] != ticket.id]


def test_a_twin_that_is_left_open_is_told(worlds: Worlds, acme: SimulatedAcme) -> None:
    world = worlds(CarefulAcme)
    acme.lag = timedelta(minutes=5)
    acme.fault("lose", on="POST /cases", when="after")
    handoff = world.hand_off()
    world.run(within=3600)
    assert len(acme.cases) == 2
    assert "so it stays open" in notes(world, handoff)
    assert "is ended" not in notes(world, handoff)


def test_a_sweep_that_fails_is_tried_again(worlds: Worlds, acme: SimulatedAcme) -> None:
    world = worlds()
    acme.fault("lose", on="POST /cases", when="after")
    acme.fault("status", on="GET /cases", skip=1, status=503, times=2)
    handoff = world.deliver()
    world.run(within=3600)
    assert notes(world, handoff).count("looking for twins failed") == 2
    assert len(acme.seen("GET /cases")) == 4


# Giving up.


def test_after_a_final_no_the_fallback_gets_it_and_says_why(
    worlds: Worlds, acme: SimulatedAcme, backup: SimulatedAcme
) -> None:
    world = worlds(backup=backup)
    acme.fault("status", on="POST /cases", status=422, body='{"error": "we are full"}')
    handoff = world.hand_off()
    say(world, handoff, "and more")
    world.run(within=60)

    shown = world.show(handoff)
    assert (shown["state"], shown["desk"]) == (State.WITH_HUMANS, "backup")
    (case,) = backup.cases.values()
    assert case["marker"] == f"{handoff.id}-1"
    assert "could not be delivered to desk: POST /cases: 422 we are full" in backup.texts()[0]
    assert "it may hold a ticket" not in backup.texts()[0]
    assert "and more" in backup.texts()[1]
    assert acme.cases == {}


@pytest.fixture
def doubted(worlds: Worlds, acme: SimulatedAcme, backup: SimulatedAcme) -> World:
    """The first desk makes a ticket and does not say so, then it is down; after two hours it is given up."""
    world = worlds(backup=backup, give_up_after=timedelta(hours=2))
    acme.fault("lose", on="POST /cases", when="after")
    acme.fault("status", status=503, times=999)
    return world


def test_after_giving_up_the_fallback_says_that_the_first_may_hold_a_ticket(
    doubted: World, backup: SimulatedAcme
) -> None:
    world, handoff = doubted, doubted.hand_off()
    world.let_pass(7190)
    assert world.show(handoff)["desk"] == "desk"
    world.let_pass(60)

    assert world.show(handoff)["desk"] == "backup"
    assert "gave up after 2:00:00" in backup.texts()[0]
    assert "it may hold a ticket all the same" in backup.texts()[0]


def test_what_a_desk_that_was_given_up_may_hold_cannot_be_cancelled(
    doubted: World, acme: SimulatedAcme, backup: SimulatedAcme
) -> None:
    world, handoff = doubted, doubted.hand_off()
    backup.fault("status", status=429, retry_after="3600")
    world.let_pass(7250)
    shown = world.show(handoff)
    assert (shown["desk"], len(acme.cases), len(backup.cases)) == ("backup", 1, 0)
    with pytest.raises(Conflict, match="a desk that was given up may hold the ticket"):
        world.rail.cancel(handoff.id)
    world.let_pass(7200)
    assert world.show(handoff)["state"] == State.WITH_HUMANS


def test_what_a_desk_says_of_itself_keeps_nothing_from_being_cancelled(
    worlds: Worlds, acme: SimulatedAcme, backup: SimulatedAcme
) -> None:
    world = worlds(backup=backup)
    no = '{"error": "we are full; it may hold a ticket all the same"}'
    acme.fault("status", on="POST /cases", status=422, body=no)
    backup.fault("status", status=429, retry_after="3600")
    handoff = world.hand_off()
    world.run()
    assert world.show(handoff)["desk"] == "backup"
    world.rail.cancel(handoff.id)
    assert world.show(handoff)["state"] == State.CANCELLED


def test_the_chain_ends_with_a_person(worlds: Worlds, acme: SimulatedAcme, backup: SimulatedAcme) -> None:
    world = worlds(backup=backup)
    acme.fault("status", on="POST /cases", status=422, body='{"error": "the first is full"}')
    backup.fault("status", on="POST /cases", status=422, body='{"error": "the second too"}')
    handoff = world.hand_off()
    world.run(within=60)

    shown = world.show(handoff)
    assert (shown["state"], shown["holder"]) == (State.UNDELIVERED, "ai")
    assert "the second too" in shown["last_error"]
    assert "the first is full" in notes(world, handoff)
    asked = len(acme.requests) + len(backup.requests)
    world.run(within=86400)
    assert len(acme.requests) + len(backup.requests) == asked

    world.rail.retry(handoff.id)
    world.run(within=60)
    assert state(world, handoff) == State.WITH_HUMANS
    assert len(backup.cases) == 1
    assert "desk: POST /cases: 422 the first is full" in backup.texts()[0]


def test_each_desk_of_a_chain_is_named_with_its_own_reason(world: World) -> None:
    from handrail.fallback import give_up

    config = world.rail.config
    config.desks.update(second=config.desks["desk"], third=config.desks["desk"])
    object.__setattr__(config, "fallback", ("second", "third"))
    handoff = world.hand_off()
    for why in ("too full", "too empty"):
        with world.rail.context.store.begin() as connection:
            give_up(world.rail.context, connection, handoffs.get(connection, handoff.id), why)
    moved = Handoff.model_validate_json(row(world, handoff).body)
    assert (moved.desk, moved.hop, moved.came_from) == ("third", 2, "desk: too full; second: too empty")


def test_a_desk_that_cannot_take_it_is_a_final_no(
    worlds: Worlds, acme: SimulatedAcme, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Acme, "can", Acme.can & ~type(Acme.can).ATTACH)
    world = worlds()
    handoff = world.deliver(files=[a_file()])
    assert state(world, handoff) == State.UNDELIVERED
    assert "receipt.txt" in world.show(handoff)["last_error"]
    assert acme.seen("POST /cases") == []


def test_a_message_that_is_refused_does_not_stop_the_next_and_stays_visible(
    world: World, acme: SimulatedAcme
) -> None:
    handoff = world.deliver()
    acme.fault("status", on="POST /cases/{id}/notes", status=422, body='{"error": "too rude"}')
    say(world, handoff, "rude")
    world.run()
    say(world, handoff, "polite")
    world.run()

    assert "polite" in acme.texts()[-1]
    shown = world.show(handoff)
    assert (shown["state"], shown["last_error"]) == (
        State.WITH_HUMANS,
        f"say failed: POST /cases/{shown['ticket']['id']}/notes: 422 too rude",
    )
    assert world.rail.retry_all() == [handoff.id]
    world.run()
    assert "rude" in acme.texts()[-1]
    assert world.show(handoff)["last_error"] is None


def test_what_was_cancelled_does_not_keep_the_others_from_being_sent_again(
    world: World, acme: SimulatedAcme
) -> None:
    acme.fault("status", on="POST /cases", status=422, body='{"error": "no"}', times=2)
    gone, kept = world.deliver(), world.deliver(a_conversation(id="c-2"))
    assert {world.show(each)["state"] for each in (gone, kept)} == {State.UNDELIVERED}
    say(world, gone, "too rude")
    world.rail.cancel(gone.id)
    with world.rail.context.store.begin() as connection:  # a ticket that came back late leaves it so
        operations.change(connection, world.operations(gone)[-1].id, state="failed")

    assert world.rail.retry_all() == [kept.id]
    world.run()
    assert (world.show(gone)["state"], world.show(kept)["state"]) == (State.CANCELLED, State.WITH_HUMANS)


def test_a_message_that_may_have_arrived_before_it_failed_is_not_sent_twice(
    worlds: Worlds, acme: SimulatedAcme
) -> None:
    world = worlds(give_up_after=timedelta(minutes=10))
    handoff = world.deliver()
    acme.fault("lose", on="POST /cases/{id}/notes", when="after")
    for look in ("GET /cases/{id}/notes", "GET /cases/{id}/events"):
        acme.fault("status", on=look, status=503, times=99)
    say(world, handoff, "once only")
    world.run(within=3600)
    assert "say failed: gave up" in world.show(handoff)["last_error"]

    acme.faults.clear()
    world.rail.retry(handoff.id)
    world.run(within=3600)

    assert "\n".join(acme.texts()).count("once only") == 1
    assert world.show(handoff)["last_error"] is None


def test_a_change_that_may_have_happened_before_it_was_refused_is_looked_for(
    worlds: Worlds, acme: SimulatedAcme
) -> None:
    """A no to the second try proves nothing of the first, whose answer was lost."""
    world = worlds()
    handoff = world.deliver()
    acme.fault("lose", on="PUT /cases/{id}", when="after")
    acme.fault("status", on="PUT /cases/{id}", status=422, body='{"error": "it is solved"}')
    world.rail.close(handoff.id)
    world.run(within=600)

    shown = world.show(handoff)
    assert shown["last_error"].startswith("change failed: PUT /cases/")
    assert (shown["state"], shown["ticket"]["status"]) == (State.SOLVED, "solved")


@pytest.mark.parametrize("minutes", [1, 60])
@pytest.mark.parametrize("kind", [Acme, KeyedAcme])
def test_a_dead_letter_is_sent_in_new_words(
    worlds: Worlds, acme: SimulatedAcme, kind: type[Acme], minutes: int
) -> None:
    """The bytes of the first try would be refused for ever, whatever has been mended since."""
    world = worlds(kind, settings={"asks_team": True})
    acme.fault("status", on="POST /cases", status=422, body='{"error": "no such group"}')
    handoff = world.deliver(group="Support", files=[a_file()])
    assert state(world, handoff) == State.UNDELIVERED
    acme.groups["Support"] = "77"
    world.rail.context.close()
    world = worlds(kind, settings={"asks_team": True})
    world.clock.advance(60 * minutes)

    world.rail.retry(handoff.id)
    world.run(within=60)

    assert state(world, handoff) == State.WITH_HUMANS
    first, second = acme.seen("POST /cases")
    assert (first.json["group"], second.json["group"]) == ("1", "77")
    assert len(acme.people) == 1, "the customer was made known once"
    assert len(acme.seen("POST /files")) == (1 if minutes == 1 else 2)
    assert len(acme.cases) == 1


def test_a_dead_letter_that_may_have_arrived_is_looked_for(worlds: Worlds, acme: SimulatedAcme) -> None:
    world = worlds(give_up_after=timedelta(minutes=10))
    acme.fault("lose", on="POST /cases", when="after")
    acme.fault("status", on="GET /cases", status=503, times=99)
    handoff = world.deliver()
    assert state(world, handoff) == State.UNDELIVERED

    acme.faults.clear()
    world.rail.retry(handoff.id)
    world.run(within=3600)

    assert state(world, handoff) == State.WITH_HUMANS
    assert len(acme.seen("POST /cases")) == 1


# A desk that does not let us in.


def test_a_401_pauses_that_desk_and_no_other(
    worlds: Worlds, acme: SimulatedAcme, backup: SimulatedAcme
) -> None:
    world = worlds(backup=backup)
    acme.fault("status", status=401, times=99)
    here, there = (
        world.hand_off(a_conversation(id="a")),
        world.hand_off(a_conversation(id="b"), desk="backup"),
    )
    later = world.hand_off(a_conversation(id="c"))
    world.run(within=86400 * 3)

    assert state(world, there) == State.WITH_HUMANS
    for waiting in (here, later):
        assert state(world, waiting) == State.ACCEPTED
        assert "desk is paused" in world.show(waiting)["last_error"]
    assert len(acme.requests) == 1

    acme.faults.clear()
    assert world.rail.check()[-1].ok
    world.run(within=60)
    assert {state(world, each) for each in (here, there, later)} == {State.WITH_HUMANS}


def test_the_time_in_a_pause_counts_for_nothing(worlds: Worlds, acme: SimulatedAcme) -> None:
    world = worlds()
    acme.fault("status", status=401)
    handoff = world.hand_off()
    world.let_pass(86400 * 5)
    acme.fault("status", on="POST /cases", status=503)
    resume(world.rail.context)
    world.run(within=3600)
    assert state(world, handoff) == State.WITH_HUMANS
    assert world.show(handoff)["last_error"] is None


def test_a_resume_leaves_an_attempt_that_runs_alone(world: World, acme: SimulatedAcme) -> None:
    handoff = world.hand_off()
    during(world, lambda: resume(world.rail.context))
    world.run(within=3600)
    assert state(world, handoff) == State.WITH_HUMANS
    assert world.show(handoff)["attempts"] == 1
    assert len(acme.seen("POST /cases")) == 1


def test_a_desk_is_resumed_while_an_attempt_finds_it_paused(
    worlds: Worlds, acme: SimulatedAcme, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Either the attempt sees that the pause is over, or the resume sees that the attempt gave up."""
    world = worlds(store=store_url)
    acme.fault("status", status=401)
    world.deliver(a_conversation(id="a"))
    waiting = world.hand_off(a_conversation(id="b"))
    resuming = threading.Thread(target=lambda: resume(world.rail.context))
    inner = delivery.desks.paused

    def paused(connection: Any, name: str, **more: Any) -> str | None:
        why = inner(connection, name, **more)
        if not resuming.ident:
            resuming.start()
            resuming.join(0.5)  # it waits for us, or is through
        return why

    with monkeypatch.context() as patch:
        patch.setattr(delivery.desks, "paused", paused)
        world.rail.attempt(waiting.id)
    resuming.join()
    world.run(within=60)
    assert state(world, waiting) == State.WITH_HUMANS


@pytest.mark.parametrize("do", ["retry", "cancel", "say"])
def test_an_attempt_that_runs_is_not_disturbed(world: World, acme: SimulatedAcme, do: str) -> None:
    handoff = world.hand_off()

    def act() -> None:
        if do == "cancel":
            with pytest.raises(Conflict):
                world.rail.cancel(handoff.id)
        elif do == "retry":
            world.rail.retry(handoff.id)
        else:
            say(world, handoff, "x")

    during(world, act)
    world.run(within=3600)
    assert state(world, handoff) == State.WITH_HUMANS
    assert len(acme.cases) == 1


# Optional fields that are refused.


def test_a_refused_field_is_left_out_and_said(worlds: Worlds, acme: SimulatedAcme) -> None:
    world = worlds(settings={"fields": {"order": "f1", "size": "f2"}})
    why = '{"error": "no", "fields": {"group": "it is on holiday", "fields.order": "unknown"}}'
    acme.fault("status", on="POST /cases", status=422, body=why)
    conversation = a_conversation(fields={"order": "17", "size": "L"})
    handoff = world.deliver(conversation, group="Billing")

    assert state(world, handoff) == State.WITH_HUMANS
    first, second = (seen.json for seen in acme.seen("POST /cases"))
    assert (first["group"], first["fields"]) == ("2", {"f1": "17", "f2": "L"})
    assert (second["group"], second["fields"]) == (None, {"f2": "L"})
    assert second["urgency"] == first["urgency"]
    text = acme.texts()[0]
    assert "group: it is on holiday" in text
    assert "fields.order: unknown" in text
    assert "17" in text
    assert "desk refused group: it is on holiday; sent without it" in notes(world, handoff)


def test_a_field_that_is_refused_again_is_a_final_no(world: World, acme: SimulatedAcme) -> None:
    why = '{"error": "no", "fields": {"group": "gone"}}'
    acme.fault("status", on="POST /cases", status=422, body=why, times=99)
    handoff = world.deliver(group="Billing")
    assert state(world, handoff) == State.UNDELIVERED
    assert len(acme.seen("POST /cases")) == 2


@pytest.mark.parametrize("kind", [Acme, KeyedAcme])
def test_a_field_that_is_refused_after_a_doubtful_try(
    worlds: Worlds, acme: SimulatedAcme, kind: type[Acme]
) -> None:
    world = worlds(kind)
    why = '{"error": "no", "fields": {"group": "gone"}}'
    acme.fault("lose", on="POST /cases")
    acme.fault("status", on="POST /cases", status=422, body=why)
    handoff = world.deliver(group="Billing")
    assert state(world, handoff) == State.WITH_HUMANS
    assert "group: gone" in acme.texts()[0]


# One attempt at a time.


@pytest.fixture
def pair(worlds: Worlds, store_url: str) -> tuple[World, World]:
    """Two workers on one store."""
    return worlds(store=store_url), worlds(store=store_url)


def test_two_workers_make_one_attempt(pair: tuple[World, World], acme: SimulatedAcme) -> None:
    made = [pair[0].hand_off(a_conversation(id=f"c-{n}")) for n in range(10)]
    in_threads(8, lambda n: [pair[n % 2].rail.run_step("deliver", each.id, 0) for each in made])
    assert [pair[0].show(each)["attempts"] for each in made] == [1] * 10
    assert len(acme.seen("POST /cases")) == len(acme.cases) == 10


def test_a_waiting_caller_and_a_worker_make_one_attempt(
    pair: tuple[World, World], acme: SimulatedAcme
) -> None:
    handoff = pair[0].hand_off()
    acts = [
        lambda: pair[0].rail.wait(handoff.id, 20),
        lambda: pair[1].rail.run_step("deliver", handoff.id, 0),
    ]
    in_threads(2, lambda n: acts[n]())
    assert pair[0].show(handoff)["attempts"] == 1
    assert len(acme.cases) == 1


def test_a_stale_job_does_nothing(world: World, acme: SimulatedAcme) -> None:
    handoff = world.deliver()
    before, seen = row(world, handoff), len(acme.requests)
    for n in range(before.n):
        world.rail.run_step("deliver", handoff.id, n)
    world.run(within=86400)
    assert row(world, handoff) == before
    assert len(acme.requests) == seen


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def leased(world: World, handoff: Handoff, by: str) -> None:
    until = world.clock() + timedelta(seconds=300)
    change(world, handoff, lease_by=by, lease_until=until, due_at=until, state=State.DELIVERING)


def test_what_a_dead_process_held_is_taken_over_at_once(world: World, acme: SimulatedAcme) -> None:
    handoff = world.hand_off()
    place = handoffs.owner().rpartition(":")[0]  # the host, and when a process of it began
    leased(world, handoff, f"{place}:{dead_pid()}")
    assert world.rail.wait(handoff.id, 0) is not None
    assert state(world, handoff) == State.WITH_HUMANS


@pytest.mark.parametrize("by", ["elsewhere:1", "me"])
def test_what_may_still_run_is_left_until_the_lease_ends(world: World, acme: SimulatedAcme, by: str) -> None:
    handoff = world.hand_off()
    leased(world, handoff, handoffs.owner() if by == "me" else by)
    world.rail.attempt(handoff.id)
    resume(world.rail.context)
    world.rail.retry(handoff.id)
    assert acme.requests == []
    world.clock.advance(300)
    world.rail.attempt(handoff.id)
    assert state(world, handoff) == State.WITH_HUMANS


def test_a_job_that_comes_too_early_comes_again(world: World, acme: SimulatedAcme) -> None:
    """The engine's clock is ahead of ours, or the lease was made longer: the job must not be lost."""
    handoff = world.hand_off()
    leased(world, handoff, "elsewhere:1")
    with world.rail.context.store.begin() as connection:
        connection.execute(_jobs.delete())
        world.agenda.schedule(connection, "deliver:desk", handoff.id, 0, 10)
    world.let_pass(299)
    assert acme.requests == []
    assert len(jobs(world)) == 1
    world.let_pass(10)
    assert state(world, handoff) == State.WITH_HUMANS


@pytest.mark.parametrize("kind", [Acme, KeyedAcme])
def test_a_slow_attempt_that_was_overtaken_changes_nothing_any_more(
    worlds: Worlds, acme: SimulatedAcme, clock: Clock, kind: type[Acme]
) -> None:
    slow, fast = worlds(kind), worlds(kind)
    handoff = slow.hand_off()
    after: list[Any] = []

    def overtake() -> None:
        clock.advance(LEASE_SECONDS + 60)
        fast.rail.attempt(handoff.id)
        after.append((row(fast, handoff), fast.show(handoff)))

    during(slow, overtake)
    slow.rail.attempt(handoff.id)

    assert after[0][0].state == State.WITH_HUMANS
    known, shown = after[0]
    (*lines, said), now = slow.show(handoff)["timeline"], slow.show(handoff)
    assert (row(slow, handoff), now | {"timeline": lines}) == (known, shown)
    assert said["text"] == "attempt 1 took so long that it counts no more; another is made"
    assert len(acme.cases) == 1


@pytest.mark.parametrize(("kind", "more"), [(Acme, 15), (KeyedAcme, 0), (LaggingAcme, 0)])
def test_who_takes_over_looks_when_no_exchange_can_be_under_way(
    worlds: Worlds, acme: SimulatedAcme, clock: Clock, kind: type[Acme], more: int
) -> None:
    """A request may have left a little after it was noted, and its connection may have taken a while."""
    slow, fast = worlds(kind), worlds(kind)
    handoff = slow.hand_off()
    waits: list[timedelta] = []

    def take() -> None:
        assert take_over(fast.rail.context, handoffs.owner()) == 1
        waits.append(row(fast, handoff).due_at - clock())

    during(slow, take)
    slow.rail.attempt(handoff.id)
    assert waits == [slow.rail.config.desks["desk"].timeout + timedelta(seconds=more)]


def test_a_slow_attempt_that_was_overtaken_sends_nothing_more(
    worlds: Worlds, acme: SimulatedAcme, clock: Clock
) -> None:
    """It comes back from its upload and would make the ticket that another attempt has made already."""
    slow, fast = worlds(), worlds()
    handoff = slow.hand_off(files=[a_file()])

    def overtake() -> None:
        clock.advance(LEASE_SECONDS + 60)
        fast.rail.attempt(handoff.id)

    during(slow, overtake, path="/files")
    slow.rail.attempt(handoff.id)

    assert state(slow, handoff) == State.WITH_HUMANS
    assert len(acme.seen("POST /cases")) == len(acme.cases) == 1


def test_trouble_of_an_attempt_that_was_overtaken_is_nobody_s(
    worlds: Worlds, acme: SimulatedAcme, clock: Clock
) -> None:
    slow, fast = worlds(), worlds()
    acme.fault("status", on="GET /groups", status=503)
    handoff = slow.hand_off(group="Support")

    def overtake() -> None:
        clock.advance(LEASE_SECONDS + 60)
        fast.rail.attempt(handoff.id)

    during(slow, overtake, path="/groups", method="GET")
    slow.rail.attempt(handoff.id)
    shown = slow.show(handoff)
    assert (shown["state"], shown["last_error"]) == (State.WITH_HUMANS, None)
    assert row(slow, handoff).due_at is None
    assert "again in" not in notes(slow, handoff)


def test_a_worker_whose_clock_is_ahead_overtakes_and_nothing_is_sent_twice(
    worlds: Worlds, acme: SimulatedAcme, clock: Clock
) -> None:
    ahead = Clock(clock() + timedelta(seconds=LEASE_SECONDS + 60))
    slow, fast = worlds(), worlds(clock=ahead)
    handoff = slow.hand_off(files=[a_file()])
    during(slow, lambda: fast.rail.attempt(handoff.id), path="/files")
    slow.rail.attempt(handoff.id)
    assert state(slow, handoff) == State.WITH_HUMANS
    assert len(acme.seen("POST /cases")) == 1


def test_a_no_to_an_attempt_that_was_overtaken_is_not_believed(
    worlds: Worlds, acme: SimulatedAcme, clock: Clock
) -> None:
    slow, fast = worlds(give_up_after=timedelta(minutes=1)), worlds()
    acme.fault("status", on="POST /cases", status=422)
    handoff = slow.hand_off()

    def overtake() -> None:
        clock.advance(LEASE_SECONDS + 60)
        fast.rail.attempt(handoff.id)

    during(slow, overtake)
    slow.rail.attempt(handoff.id)
    assert state(slow, handoff) == State.WITH_HUMANS


def test_an_attempt_of_many_slow_steps_keeps_its_lease(
    worlds: Worlds, acme: SimulatedAcme, clock: Clock
) -> None:
    slow, fast = worlds(), worlds()
    handoff = slow.hand_off(files=[a_file(f"{n}.txt") for n in range(8)])
    transport = slow.rail.context.driver("desk").transport
    inner, running = transport.send, []

    def send(wire: Any, headers: Any) -> Any:
        clock.advance(LEASE_SECONDS / 3)
        fast.rail.attempt(handoff.id)
        running.append(row(fast, handoff).attempts)
        return inner(wire, headers)

    transport.send = send  # type: ignore[method-assign]
    slow.rail.attempt(handoff.id)

    assert running == [1] * 9
    assert state(slow, handoff) == State.WITH_HUMANS
    slow.run(within=86400)
    assert len(acme.cases) == 1


def test_a_crash_between_the_answer_and_its_commit_sends_nothing_again(
    worlds: Worlds, acme: SimulatedAcme, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """As by SIGKILL: nothing below is run."""

    world = worlds()
    handoff = world.hand_off()
    with monkeypatch.context() as patch:
        patch.setattr(world.rail.delivery, "_done", lambda *_: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            world.rail.attempt(handoff.id)
    assert state(world, handoff) == State.DELIVERING
    seen = len(acme.requests)
    world.run(within=LEASE_SECONDS + 10)

    assert state(world, handoff) == State.WITH_HUMANS
    assert {request.method for request in acme.requests[seen:]} == {"GET"}, "it looks, and finds its ticket"
    assert len(acme.cases) == 1


# What is kept.


def test_no_secret_is_stored_logged_or_said(
    worlds: Worlds, acme: SimulatedAcme, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    acme.tokens = {"none is good"}
    acme.reply_headers = {"set-cookie": "session=very-secret"}
    world = worlds(settings={"client_secret": "very-secret", "webhook_secret": "very-secret"})
    acme.fault("lose", on="POST /cases", when="after")
    handoff = world.deliver()
    say(world, handoff, "more")
    world.run(within=3600)
    assert state(world, handoff) == State.WITH_HUMANS

    with world.rail.context.store.read() as connection:
        stored = str([list(connection.execute(table.select())) for table in metadata.sorted_tables])
        assert connection.execute(sa.select(sa.func.count()).select_from(journal_rows)).scalar_one() >= 2
    (token,) = acme.tokens
    for secret in ("very-secret", token):
        assert secret not in stored + caplog.text + str(world.show(handoff))


def test_a_late_no_sends_everything_to_the_fallback_in_its_own_bytes(
    worlds: Worlds, acme: SimulatedAcme, backup: SimulatedAcme
) -> None:
    from handrail.connector import Undone
    from handrail.fallback import undone

    world = worlds(backup=backup)
    handoff = world.deliver()
    say(world, handoff, "one")
    world.run()
    acme.fault("status", on="POST /cases/{id}/notes", status=429, retry_after="600")
    say(world, handoff, "two")
    world.run()
    late = Undone(world.show(handoff)["ticket"]["id"], "it bounced")
    with world.rail.context.store.begin() as connection:
        undone(world.rail.context, connection, "desk", late)
    world.run(within=3600)

    assert world.show(handoff)["desk"] == "backup"
    brief, both = backup.texts()
    assert "it bounced" in brief
    assert both.index("one") < both.index("two")


def test_a_human_message_is_carried_too(world: World, acme: SimulatedAcme) -> None:
    handoff = world.deliver()
    world.rail.say(handoff.id, Message(role=Role.HUMAN, name="Zoe", text="I know this one"))
    world.run()
    assert "Zoe" in acme.texts()[-1]


def test_what_a_desk_does_not_take_fails_that_message_only(
    world: World, acme: SimulatedAcme, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no(self: Acme, ticket: Any, said: Any) -> Any:
        raise Unsupported("Acme takes no later messages")

    handoff = world.deliver()
    monkeypatch.setattr(Acme, "say", no)
    say(world, handoff, "x")
    world.run(within=60)
    shown = world.show(handoff)
    assert (shown["state"], shown["last_error"]) == (
        State.WITH_HUMANS,
        "say failed: Acme takes no later messages",
    )
