"""What comes back: each thing once, in any order, by either road, and the handoff follows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from tests.desks import SECRET, Acme, SimulatedAcme, Worlds, customer_says, in_threads

from handrail import (
    Handoff,
    InputError,
    SignatureError,
    Status,
    Steps,
    StoreError,
    Ticket,
    Update,
    UpdateKind,
)
from handrail.connector import Connector, Page
from handrail.model import Actor, State
from handrail.plugins import hookimpl, plugins
from handrail.store import desks as desk_rows
from handrail.store import handoffs as handoff_rows
from handrail.store import operations
from handrail.store import updates as stored
from handrail.store.schema import desks, hooks
from handrail.sync import Taken
from handrail.testing import Clock, World, a_conversation
from handrail.testing.world import _jobs

pytest_plugins = ["tests.stores"]


@pytest.fixture
def world(worlds: Worlds) -> World:
    return worlds()


@pytest.fixture
def plugin() -> Iterator[Callable[[Callable[[Update], Any]], None]]:
    """Installs a plugin that sees updates, for this test."""
    made: list[Any] = []

    def install(function: Callable[[Update], Any]) -> None:
        class Plugin:
            @hookimpl
            def handrail_update(self, update: Update) -> None:
                function(update)

        made.append(Plugin())
        plugins().register(made[-1], name=f"plugin {len(made)} of the test")

    yield install
    for each in made:
        plugins().unregister(each)


def delivered(world: World, **more: Any) -> tuple[Handoff, str]:
    handoff = world.deliver(**more)
    return handoff, str(world.show(handoff)["ticket"]["id"])


def take(world: World, *items: Update | Ticket, patient: bool = False) -> list[Taken]:
    page = Page(
        [item for item in items if isinstance(item, Update)],
        [item for item in items if isinstance(item, Ticket)],
    )
    inbox = world.rail.inbox
    with inbox.taking("desk", page) as connection:
        return [inbox.take(connection, "desk", item, patient=patient) for item in items]


def at(world: World, seconds: float) -> Any:
    return world.clock() + timedelta(seconds=seconds)


def status(world: World, ticket: str, value: Status, seconds: float, id: str = "") -> Update:
    return Update(
        id=id or f"status:{value}:{seconds}",
        kind=UpdateKind.STATUS,
        ticket_id=ticket,
        at=at(world, seconds),
        status=value,
        raw_status=value.upper(),
        actor=Actor(kind="human"),
    )


def snapshot(world: World, ticket: str, value: Status, seconds: float, **more: Any) -> Ticket:
    return Ticket(id=ticket, status=value, raw_status=value.upper(), updated_at=at(world, seconds), **more)


def reply(world: World, ticket: str, id: str = "1", **more: Any) -> Update:
    known = {"kind": UpdateKind.REPLY, "text": "hello", "public": True, "actor": Actor(kind="human")}
    return Update(**{"id": f"note:x{id}", "ticket_id": ticket, "at": at(world, 1), **known, **more})


def kinds(world: World, handoff: Handoff) -> list[str]:
    return [update.kind.value for update in world.updates(handoff)]


def statuses(world: World, handoff: Handoff) -> list[str]:
    return [str(update.status) for update in world.updates(handoff, UpdateKind.STATUS)]


def state(world: World, handoff: Handoff) -> tuple[str, str]:
    return str(world.show(handoff)["state"]), world.rail.holder(handoff.conversation.id)


WITH_HUMANS, SOLVED, CLOSED = (State.WITH_HUMANS, "human"), (State.SOLVED, "ai"), (State.CLOSED, "ai")


# Once.


def test_a_reply_is_stored_with_all_that_is_known(world: World) -> None:
    handoff, ticket = delivered(world)
    assert take(world, reply(world, ticket)) == [Taken.STORED]
    (update,) = world.updates(handoff, UpdateKind.REPLY)
    assert update.id == "desk:note:x1"
    assert (update.handoff_id, update.conversation_id) == (handoff.id, handoff.conversation.id)
    assert (update.desk, update.text, update.public) == ("desk", "hello", True)


def test_the_same_thing_twice_is_one_update(world: World) -> None:
    handoff, ticket = delivered(world)
    item = reply(world, ticket)
    assert take(world, item, item) == [Taken.STORED, Taken.KNOWN]
    assert take(world, item) == [Taken.KNOWN]
    assert kinds(world, handoff) == ["created", "reply"]


def test_both_roads_give_each_thing_once(world: World, acme: SimulatedAcme) -> None:
    world.take_webhooks()
    handoff, ticket = delivered(world)
    acme.human_assigns(ticket, "Bea")
    world.clock.advance(5)
    acme.human_replies(ticket, "on its way")
    world.clock.advance(5)
    acme.human_notes(ticket, "difficult")
    world.clock.advance(5)
    acme.human_solves(ticket)
    for _ in range(2):
        world.run(within=60)
        world.poll()

    assert kinds(world, handoff) == ["created", "assignment", "reply", "note", "status"]
    assert state(world, handoff) == SOLVED


def test_an_internal_note_is_no_reply(world: World) -> None:
    handoff, ticket = delivered(world)
    take(world, reply(world, ticket, kind=UpdateKind.NOTE, public=False))
    assert world.updates(handoff, UpdateKind.REPLY) == []


@pytest.mark.parametrize("public", [False, None, True])
def test_whatever_a_connector_says_what_is_not_public_is_no_reply(world: World, public: bool | None) -> None:
    handoff, ticket = delivered(world)
    take(world, reply(world, ticket, public=public))
    assert kinds(world, handoff)[1:] == (["note"] if public is False else ["reply"])


# Statuses, in any order.


def test_statuses_move_the_handoff_and_the_holder(world: World) -> None:
    handoff, ticket = delivered(world)
    for seconds, value, expected in (
        (10, Status.OPEN, WITH_HUMANS),
        (20, Status.PENDING, WITH_HUMANS),
        (30, Status.ON_HOLD, WITH_HUMANS),
        (40, Status.SOLVED, SOLVED),
        (50, Status.CLOSED, CLOSED),
    ):
        assert take(world, status(world, ticket, value, seconds)) == [Taken.STORED]
        assert state(world, handoff) == expected
        assert world.show(handoff)["ticket"]["status"] == value


def test_a_ticket_that_is_reopened_takes_the_conversation_again(world: World) -> None:
    handoff, ticket = delivered(world)
    take(world, status(world, ticket, Status.SOLVED, 10), status(world, ticket, Status.OPEN, 20))
    assert kinds(world, handoff) == ["created", "status", "status", "reopened"]
    assert state(world, handoff) == WITH_HUMANS


def test_flip_flop_is_told_as_it_was(world: World) -> None:
    handoff, ticket = delivered(world)
    order = [Status.OPEN, Status.SOLVED] * 4
    for n, value in enumerate(order):
        take(world, status(world, ticket, value, 10 * n + 10))
    assert statuses(world, handoff) == order
    assert len(world.updates(handoff, UpdateKind.REOPENED)) == 3


@pytest.mark.parametrize("order", [(1, 0), (2, 1, 0), (1, 2, 0), (2, 0, 1)])
def test_statuses_out_of_order_never_move_the_ticket_back(world: World, order: tuple[int, ...]) -> None:
    handoff, ticket = delivered(world)
    values = [Status.OPEN, Status.PENDING, Status.SOLVED]
    items = [status(world, ticket, value, 10 * n + 10) for n, value in enumerate(values)]
    newest = -1
    for n in order:
        take(world, items[n])
        newest = max(newest, n)
        assert world.show(handoff)["ticket"]["status"] == values[newest]
    assert sorted(statuses(world, handoff)) == sorted(values[n] for n in order), "a late one is told too"
    assert world.updates(handoff, UpdateKind.REOPENED) == []


def test_two_statuses_of_one_second_that_are_told_again_and_again_move_nothing(world: World) -> None:
    """Desks count in seconds; a poll that asks for the same second again brings both once more."""
    handoff, ticket = delivered(world)
    items = status(world, ticket, Status.ON_HOLD, 10), status(world, ticket, Status.SOLVED, 10)
    assert take(world, *items) == [Taken.STORED, Taken.STORED]
    for again in (items, items[:1], items[1:]):
        assert set(take(world, *again)) == {Taken.KNOWN}
        assert state(world, handoff) == SOLVED
    assert statuses(world, handoff) == ["on_hold", "solved"]
    assert world.updates(handoff, UpdateKind.REOPENED) == []


def test_what_a_snapshot_told_first_does_not_come_back_behind_a_change_of_the_same_second(
    world: World,
) -> None:
    handoff, ticket = delivered(world)
    take(world, snapshot(world, ticket, Status.ON_HOLD, 10, assignee="Bea"))
    known = {"kind": UpdateKind.ASSIGNMENT, "text": None, "at": at(world, 10)}
    items = [
        status(world, ticket, Status.ON_HOLD, 10),
        reply(world, ticket, "a", assignee="Bea", **known),
        status(world, ticket, Status.SOLVED, 10),
        reply(world, ticket, "b", assignee="Cem", **known),
    ]
    assert take(world, *items) == [Taken.KNOWN, Taken.KNOWN, Taken.STORED, Taken.STORED]
    take(world, *items[:2])
    assert state(world, handoff) == SOLVED
    assert world.show(handoff)["ticket"]["assignee"] == "Cem"


def test_a_late_status_does_not_reopen(world: World) -> None:
    handoff, ticket = delivered(world)
    take(world, status(world, ticket, Status.SOLVED, 20))
    take(world, status(world, ticket, Status.OPEN, 10))
    assert state(world, handoff) == SOLVED
    assert world.updates(handoff, UpdateKind.REOPENED) == []


def test_of_two_late_statuses_of_one_second_the_one_that_a_snapshot_told_is_known(world: World) -> None:
    handoff, ticket = delivered(world)
    take(world, snapshot(world, ticket, Status.OPEN, 50))
    late = status(world, ticket, Status.SOLVED, 10), status(world, ticket, Status.OPEN, 10)
    assert take(world, *late) == [Taken.STORED, Taken.KNOWN]
    assert statuses(world, handoff) == ["open", "solved"]
    assert state(world, handoff) == WITH_HUMANS


@pytest.mark.parametrize("road", ["event", "snapshot"])
def test_behind_a_late_status_the_one_that_holds_is_told_again(world: World, road: str) -> None:
    """Solved, on hold, solved again, before anybody told us of the middle: on hold is not the last word."""
    handoff, ticket = delivered(world)
    make = {"event": status, "snapshot": snapshot}[road]
    take(world, status(world, ticket, Status.SOLVED, 10))
    take(world, make(world, ticket, Status.SOLVED, 30))  # type: ignore[operator]
    assert take(world, status(world, ticket, Status.ON_HOLD, 20)) == [Taken.STORED]
    assert take(world, status(world, ticket, Status.SOLVED, 30, id="the other road")) == [Taken.KNOWN]
    told = sorted(world.updates(handoff, UpdateKind.STATUS), key=lambda update: update.at)
    assert [str(update.status) for update in told] == ["solved", "on_hold", "solved"]
    assert state(world, handoff) == SOLVED
    assert world.updates(handoff, UpdateKind.REOPENED) == []


def test_a_late_status_that_a_snapshot_has_overtaken_does_not_solve(world: World) -> None:
    """Solved at 10 and open again at 20; the poll at 30 saw it open, only then the first event comes."""
    handoff, ticket = delivered(world)
    take(world, status(world, ticket, Status.OPEN, 5))
    take(world, snapshot(world, ticket, Status.OPEN, 30))
    take(world, status(world, ticket, Status.SOLVED, 10))
    assert world.show(handoff)["ticket"]["status"] == Status.OPEN
    assert state(world, handoff) == WITH_HUMANS
    assert world.updates(handoff, UpdateKind.REOPENED) == []


def test_a_snapshot_tells_what_no_event_did_and_the_event_is_then_known(world: World) -> None:
    handoff, ticket = delivered(world)
    assert take(world, snapshot(world, ticket, Status.SOLVED, 10)) == [Taken.STORED]
    assert take(world, status(world, ticket, Status.SOLVED, 9)) == [Taken.KNOWN]
    assert take(world, status(world, ticket, Status.SOLVED, 10)) == [Taken.KNOWN]
    assert statuses(world, handoff) == ["solved"]
    assert state(world, handoff) == SOLVED


def test_a_snapshot_that_counts_in_seconds_is_not_older_than_an_event_of_that_second(world: World) -> None:
    """Assigned, so open, and solved at once; the webhooks came in the other order."""
    handoff, ticket = delivered(world)
    second = at(world, 10).replace(microsecond=0)
    now = snapshot(world, ticket, Status.SOLVED, 10).model_copy(update={"updated_at": second})
    events = [
        status(world, ticket, value, 10).model_copy(update={"at": second + timedelta(seconds=0.478)})
        for value in (Status.SOLVED, Status.OPEN)
    ]
    take(world, now, *events)
    assert state(world, handoff) == WITH_HUMANS, "for all that is known"
    assert take(world, now) == [Taken.STORED]
    assert state(world, handoff) == SOLVED
    assert statuses(world, handoff) == ["solved", "open", "solved"]
    assert take(world, now) == [Taken.KNOWN]


def test_an_old_snapshot_changes_nothing(world: World) -> None:
    handoff, ticket = delivered(world)
    take(world, snapshot(world, ticket, Status.SOLVED, 20, assignee="Bea"))
    assert take(world, snapshot(world, ticket, Status.OPEN, 10, assignee="Ann")) == [Taken.KNOWN]
    assert world.show(handoff)["ticket"]["assignee"] == "Bea"
    assert state(world, handoff) == SOLVED


def test_an_assignment_is_told_once(world: World) -> None:
    handoff, ticket = delivered(world)
    known = {"kind": UpdateKind.ASSIGNMENT, "text": None}
    take(world, reply(world, ticket, "a", assignee="Bea", **known))
    take(world, snapshot(world, ticket, Status.NEW, 2, assignee="Bea"))
    take(world, reply(world, ticket, "b", assignee="Bea", **known))
    assert kinds(world, handoff) == ["created", "assignment"]
    take(world, snapshot(world, ticket, Status.NEW, 3, assignee="Cy", group="Billing"))
    assert kinds(world, handoff) == ["created", "assignment", "assignment"]


@pytest.mark.parametrize(
    ("kind", "value"), [(UpdateKind.DELETED, Status.DELETED), (UpdateKind.MERGED, Status.CLOSED)]
)
def test_a_ticket_that_is_gone_ends_the_handoff(world: World, kind: UpdateKind, value: Status) -> None:
    handoff, ticket = delivered(world)
    item = reply(world, ticket, kind=kind, text=None, public=None)
    assert take(world, item, item) == [Taken.STORED, Taken.KNOWN]
    assert world.show(handoff)["ticket"]["status"] == value
    assert state(world, handoff) == CLOSED
    assert kinds(world, handoff) == ["created", kind.value]


# Whose it is.


def test_a_ticket_that_is_not_ours_is_left_alone(world: World) -> None:
    handoff, _ = delivered(world)
    assert take(world, reply(world, "999"), snapshot(world, "999", Status.SOLVED, 9)) == [Taken.FOREIGN] * 2
    assert kinds(world, handoff) == ["created"]


@pytest.mark.parametrize("known", ["by its marker", "by patience", "not at all"])
def test_what_is_about_a_ticket_under_way_is_too_early(world: World, acme: SimulatedAcme, known: str) -> None:
    acme.fault("lose", on="POST /cases", when="after")
    handoff = world.hand_off()
    world.run()
    (ticket,) = acme.cases
    more = {"handoff_id": handoff.marker} if known == "by its marker" else {}
    found = take(world, reply(world, ticket, **more), patient=known == "by patience")
    assert found == [Taken.FOREIGN if known == "not at all" else Taken.TOO_EARLY]


def test_what_is_about_a_ticket_that_becomes_known_between_two_looks_is_too_early(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL shows each statement what is committed by then."""
    handoff, _ = delivered(world)

    def commits(connection: sa.Connection, id: str | None) -> bool:
        stored.save_ticket(connection, "desk", handoff.id, snapshot(world, "77", Status.NEW, 0), new=True)
        return False

    monkeypatch.setattr(handoff_rows, "being_created", commits)
    assert take(world, reply(world, "77"), patient=True) == [Taken.TOO_EARLY]


def test_what_happened_before_we_knew_the_ticket_is_read_afterwards(
    world: World, acme: SimulatedAcme
) -> None:
    acme.fault("lose", on="POST /cases", when="after")
    handoff = world.hand_off()
    world.run()
    (ticket,) = acme.cases
    acme.human_replies(ticket, "I have it already")
    world.run(within=3600)
    assert [update.text for update in world.updates(handoff, UpdateKind.REPLY)] == ["I have it already"]


def test_it_is_read_afterwards_each_time(world: World, acme: SimulatedAcme) -> None:
    """The engine runs a job of one number once and for all."""
    handoff, ticket = delivered(world)
    for text in ("one", "two"):
        acme.fault("lose", on="POST /cases/{id}/notes", when="after")
        world.rail.say(handoff.id, customer_says(text))
        world.run()
        world.let_pass(300)
    with world.rail.context.store.read() as connection:
        assert connection.execute(_jobs.select().where(_jobs.c.step == "read:desk")).all() == []
    assert len(acme.seen("GET /cases/{id}/events")) == 2
    assert [job.n for job in recorded_reads(world, acme, handoff)] != [0]
    assert ticket in acme.cases


class UnreadableAcme(Acme):
    """Polls are all that it has."""

    def read(self, ticket: Ticket) -> Steps[Page]:
        return Connector.read(self, ticket)


def test_a_ticket_that_cannot_be_read_by_itself_is_not_asked_for_again(
    worlds: Worlds, caplog: pytest.LogCaptureFixture
) -> None:
    world = worlds(UnreadableAcme)
    _, ticket = delivered(world)
    world.rail.roads.read_step(f"desk/{ticket}", 0)
    assert world.run(within=3600) == 0
    assert caplog.records == []


def recorded_reads(world: World, acme: SimulatedAcme, handoff: Handoff) -> list[Any]:
    """The jobs of one more doubtful message, before they are run."""
    acme.fault("lose", on="POST /cases/{id}/notes", when="after")
    world.rail.say(handoff.id, customer_says("three"))
    world.run()
    world.clock.advance(300)
    world.rail.attempt(handoff.id)
    with world.rail.context.store.read() as connection:
        return list(connection.execute(_jobs.select().where(_jobs.c.step == "read:desk")))


def test_our_own_comment_is_no_update(world: World, acme: SimulatedAcme) -> None:
    handoff, _ = delivered(world)
    world.rail.say(handoff.id, customer_says("Any news?"))
    world.run()
    own = [event for event in acme.log if "Any news?" in str(event.get("text"))]
    assert take(world, world.connector.event(own[0])) == [Taken.OURS]
    assert kinds(world, handoff) == ["created"]


def test_an_echo_that_is_faster_than_the_answer_waits_for_it(world: World, acme: SimulatedAcme) -> None:
    world.take_webhooks()
    handoff, _ = delivered(world)
    acme.fault("lose", on="POST /cases/{id}/notes", when="after")
    world.rail.say(handoff.id, customer_says("Any news?"))
    world.run()
    assert [hook.json["kind"] for hook in world.webhooks][-1] == "note"
    assert world.stored_hooks() == len(world.webhooks)

    world.run(within=3600)
    world.poll()

    assert "note" not in kinds(world, handoff)[1:]
    assert "reply" not in kinds(world, handoff)


def test_somebody_else_s_words_pass_while_ours_are_in_doubt(world: World, acme: SimulatedAcme) -> None:
    handoff, ticket = delivered(world)
    acme.fault("lose", on="POST /cases/{id}/notes", when="after")
    world.rail.say(handoff.id, customer_says("Any news?"))
    world.run()
    assert take(world, reply(world, ticket)) == [Taken.STORED]
    assert kinds(world, handoff) == ["created", "reply"]


def test_an_answer_that_comes_late_does_not_move_the_ticket_back(world: World, acme: SimulatedAcme) -> None:
    """A human solves while our message is under way; the answer to it shows the ticket as it was before."""
    handoff, ticket = delivered(world)
    world.rail.say(handoff.id, customer_says("Any news?"))
    take(world, status(world, ticket, Status.SOLVED, 60))
    world.run()
    assert state(world, handoff) == SOLVED
    assert world.show(handoff)["ticket"]["status"] == Status.SOLVED
    assert "reopened" not in kinds(world, handoff)


def test_what_people_do_is_not_late_where_our_clock_is_fast(
    world: World, acme: SimulatedAcme, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A desk that does not say when it made the ticket: by our clock it is from a time to come."""
    monkeypatch.setattr(Acme, "ticket", lambda self, row: Ticket(id=row["id"], status=Status(row["status"])))
    handoff, ticket = delivered(world)
    assert take(world, snapshot(world, ticket, Status.SOLVED, -600)) == [Taken.STORED]
    assert state(world, handoff) == SOLVED
    assert take(world, status(world, ticket, Status.OPEN, -500)) == [Taken.STORED]
    assert state(world, handoff) == WITH_HUMANS
    assert take(world, status(world, ticket, Status.PENDING, -550)) == [Taken.STORED], "but this one is late"
    assert world.show(handoff)["ticket"]["status"] == Status.OPEN


def test_our_own_message_that_opens_the_ticket_again_is_a_reopening(
    world: World, acme: SimulatedAcme
) -> None:
    handoff, ticket = delivered(world)
    acme.human_solves(ticket)
    world.poll()
    acme.cases[ticket]["status"] = "open"
    world.clock.advance(60)
    world.rail.say(handoff.id, customer_says("It is still broken"))
    world.run()
    assert state(world, handoff) == WITH_HUMANS
    assert "reopened" in kinds(world, handoff)


def test_a_follow_up_takes_the_place_of_the_ticket(world: World, acme: SimulatedAcme) -> None:
    handoff, old = delivered(world)
    acme.human_sets(old, "closed")
    world.poll()
    assert state(world, handoff) == CLOSED
    world.rail.say(handoff.id, customer_says("It is still broken"))
    world.run()

    new = world.show(handoff)["ticket"]["id"]
    assert new != old
    assert state(world, handoff) == WITH_HUMANS
    assert [update.ticket_id for update in world.updates(handoff, UpdateKind.CREATED)] == [old, new]
    take(world, status(world, old, Status.DELETED, 3600))
    assert state(world, handoff) == WITH_HUMANS, "the old ticket moves nothing any more"


def test_what_plainly_is_of_another_desk_is_not_mixed_up(worlds: Worlds, backup: SimulatedAcme) -> None:
    world = worlds(backup=backup)
    here, there = world.deliver(a_conversation(id="a")), world.deliver(a_conversation(id="b"), desk="backup")
    ids = {world.show(each)["ticket"]["id"] for each in (here, there)}
    assert len(ids) == 1, "both desks count from one"
    take(world, status(world, ids.pop(), Status.SOLVED, 9))
    assert (state(world, here), state(world, there)) == (SOLVED, WITH_HUMANS)


# Webhooks.


def genuine(world: World, data: bytes) -> dict[str, str]:
    assert Acme.signature is not None
    return Acme.signature.sign(data, SECRET, world.clock())


def test_only_a_genuine_webhook_is_stored(world: World) -> None:
    body = b'{"kind": "bell", "case": "1"}'
    headers = genuine(world, body)
    for given, content in (({}, body), (headers, body + b" "), ({**headers, "X-Acme-Signature": "x"}, body)):
        with pytest.raises(SignatureError):
            world.rail.receive("desk", given, content)
    world.clock.advance(301)
    with pytest.raises(SignatureError, match="old"):
        world.rail.receive("desk", headers, body)
    assert world.stored_hooks() == 0


def test_without_a_secret_no_webhook_is_taken(worlds: Worlds) -> None:
    world = worlds(settings={"webhook_secret": None})
    with pytest.raises(SignatureError, match="no webhook_secret"):
        world.rail.receive("desk", genuine(world, b"{}"), b"{}")


def test_credentials_in_a_webhook_are_not_stored(world: World) -> None:
    headers = genuine(world, b"{}") | {"Authorization": "Bearer very-secret", "X-Kept": "yes"}
    world.rail.receive("desk", headers, b"{}")
    with world.rail.context.store.read() as connection:
        kept = connection.execute(sa.select(hooks.c.headers)).scalar_one()
    assert "very-secret" not in kept
    assert headers["X-Acme-Signature"] not in kept
    assert "x-kept" in kept


def test_a_doorbell_makes_the_ticket_be_read(world: World, acme: SimulatedAcme) -> None:
    handoff, ticket = delivered(world)
    acme.human_replies(ticket, "hello")
    acme.human_solves(ticket)
    world.take_webhooks()
    acme.sends({"kind": "bell", "case": ticket})
    acme.sends({"kind": "bell", "case": "999"})
    acme.hooks.post()
    world.run(within=10)
    assert kinds(world, handoff) == ["created", "reply", "status"]
    assert state(world, handoff) == SOLVED
    assert acme.seen("GET /cases/999*") == []


def test_a_doorbell_that_nobody_can_place_is_done_with(world: World, acme: SimulatedAcme) -> None:
    """However long something is being made."""
    acme.fault("status", on="POST /cases", status=503, times=99)
    world.hand_off()
    world.run()
    body = b'{"kind": "bell", "case": "999"}'
    world.rail.receive("desk", genuine(world, body), body)
    world.run(within=20)
    assert hook_states(world) == ["todo"]
    world.run(within=40)
    assert hook_states(world) == ["done"]


def test_a_doorbell_that_cannot_be_followed_is_followed_later(world: World, acme: SimulatedAcme) -> None:
    handoff, ticket = delivered(world)
    acme.human_replies(ticket, "hello")
    acme.fault("status", on="GET /cases/{id}", status=503, times=2)
    body = b'{"kind": "bell", "case": "%s"}' % ticket.encode()
    world.rail.receive("desk", genuine(world, body), body)
    world.run(within=60)
    assert kinds(world, handoff) == ["created", "reply"]
    assert hook_states(world) == ["done"]


def hook_states(world: World) -> list[str]:
    with world.rail.context.store.read() as connection:
        return list(connection.execute(sa.select(hooks.c.state)).scalars())


def test_an_error_in_the_connector_does_not_lose_a_webhook(
    world: World, acme: SimulatedAcme, monkeypatch: pytest.MonkeyPatch
) -> None:
    handoff, ticket = delivered(world)
    event = acme.happens(ticket, "reply", text="hello", public=True)
    body = json.dumps({"kind": "reply", "event": event}).encode()
    with monkeypatch.context() as patch:
        patch.setattr(Acme, "events", lambda self, hook: {}["a bug"])
        world.rail.receive("desk", genuine(world, body), body)
        world.run(within=10)
        assert hook_states(world) == ["todo"]
        with world.rail.context.store.read() as connection:
            error = connection.execute(sa.select(hooks.c.error)).scalar_one()
        assert error == "an error in the connector: KeyError: see the log"
    world.run(within=60)
    assert kinds(world, handoff) == ["created", "reply"]
    assert hook_states(world) == ["done"]


def test_a_webhook_that_can_never_be_read_is_left_in_the_end(world: World) -> None:
    body = b'{"kind": "crash"}'
    world.rail.receive("desk", genuine(world, body), body)
    world.run(within=86400)
    assert hook_states(world) == ["ignored"]
    with world.rail.context.store.read() as connection:
        assert connection.execute(_jobs.select()).all() == []


def test_a_webhook_is_settled_once(world: World, acme: SimulatedAcme) -> None:
    handoff, ticket = delivered(world)
    world.take_webhooks()
    acme.human_replies(ticket, "hello")
    with world.rail.context.store.read() as connection:
        (id,) = connection.execute(sa.select(hooks.c.id)).scalars()
    in_threads(4, lambda _: world.rail.settle(id))
    world.run(within=60)
    assert kinds(world, handoff) == ["created", "reply"]


# Polls.


def test_pages_are_followed_and_the_cursor_stays_where_they_end(world: World, acme: SimulatedAcme) -> None:
    handoff, ticket = delivered(world)
    acme.page_size = 2
    for n in range(7):
        acme.human_replies(ticket, f"{n}")
    assert world.poll() == 7
    acme.requests.clear()
    assert world.poll() == 0
    assert [seen.query["after"] for seen in acme.seen("GET /events")] == [str(len(acme.log))]
    assert [update.text for update in world.updates(handoff, UpdateKind.REPLY)] == list("0123456")


def test_a_page_whose_storing_fails_is_asked_for_again(
    world: World, acme: SimulatedAcme, monkeypatch: pytest.MonkeyPatch, plugin: Any
) -> None:
    handoff, ticket = delivered(world)
    seen: list[str] = []
    plugin(lambda update: seen.append(update.text or ""))
    acme.human_replies(ticket, "one")
    acme.human_replies(ticket, "two")
    broken = sa.exc.OperationalError("", {}, Exception())
    with monkeypatch.context() as patch:
        patch.setattr(desk_rows, "change", lambda *_, **__: (_ for _ in ()).throw(broken))
        with pytest.raises(StoreError):
            world.poll()
    assert kinds(world, handoff) == ["created"]
    assert seen == []

    take(world)  # a transaction that stores nothing shows nothing
    assert seen == []
    assert world.poll() == 2
    world.run()
    assert seen == ["one", "two"]


def test_polling_goes_on_whatever_happens(
    world: World, acme: SimulatedAcme, monkeypatch: pytest.MonkeyPatch
) -> None:
    handoff, ticket = delivered(world)
    acme.human_replies(ticket, "hello")
    world.rail.roads.schedule_poll("desk", 0)
    with monkeypatch.context() as patch:
        patch.setattr(Acme, "poll_page", lambda *_: {}["a bug"])
        world.run(within=90)
        assert poll_error(world) == "an error in the connector: KeyError: see the log"
    acme.fault("status", on="GET /events", status=503)
    world.run(within=60)
    assert "503" in str(poll_error(world))
    world.run(within=60)
    assert poll_error(world) is None
    assert kinds(world, handoff) == ["created", "reply"]


def poll_error(world: World) -> str | None:
    with world.rail.context.store.read() as connection:
        return connection.execute(sa.select(desks.c.poll_error)).scalar()


def test_a_desk_that_is_paused_is_not_polled(world: World, acme: SimulatedAcme) -> None:
    acme.fault("status", status=401)
    world.deliver()
    world.rail.roads.schedule_poll("desk", 0)
    asked = len(acme.requests)
    world.run(within=600)
    assert len(acme.requests) == asked
    world.rail.check()
    world.run(within=120)
    assert acme.seen("GET /events") != []


def test_a_poll_that_the_desk_refuses_our_credentials_pauses_it(world: World, acme: SimulatedAcme) -> None:
    world.deliver()
    acme.fault("status", on="GET /events", status=401, times=2)
    world.rail.roads.schedule_poll("desk", 0)
    world.run(within=10)

    asked = len(acme.requests)
    waiting = world.hand_off(a_conversation("while it is paused", id="c-paused"))
    world.run(within=600)
    assert len(acme.requests) == asked
    assert "paused" in world.show(waiting)["last_error"]

    acme.faults.clear()
    world.rail.check()
    world.run(within=120)
    assert world.show(waiting)["state"] == State.WITH_HUMANS


def test_a_poll_that_we_may_not_make_stops_no_handoff(world: World, acme: SimulatedAcme) -> None:
    acme.fault("status", on="GET /events", status=403, times=99)
    world.rail.roads.schedule_poll("desk", 0)
    world.run(within=10)

    assert "403" in (poll_error(world) or "")
    assert world.show(world.deliver())["state"] == State.WITH_HUMANS


def test_an_old_poll_job_does_nothing(world: World, acme: SimulatedAcme) -> None:
    world.rail.roads.schedule_poll("desk", 0)
    world.rail.roads.schedule_poll("desk", 0)
    world.run()
    assert len(acme.seen("GET /events")) == 1


# The feed.


def test_the_feed_is_in_order_and_its_cursor_goes_on(world: World) -> None:
    _, ticket = delivered(world)
    take(world, *(reply(world, ticket, str(n)) for n in range(5)))
    everything = list(world.rail.updates())
    assert len(everything) == 6
    for n, update in enumerate(everything):
        assert list(world.rail.updates(after=update.cursor)) == everything[n + 1 :]
    assert [update.cursor for update in world.rail.updates(limit=2)] == [u.cursor for u in everything[:2]]


@pytest.mark.parametrize("cursor", ["", "x", "-1", "²", "1.5", "9" * 40, " 1"])
def test_a_cursor_that_is_none_is_an_error(world: World, cursor: str) -> None:
    with pytest.raises(InputError, match="no cursor of ours"):
        list(world.rail.updates(after=cursor))


def test_a_reader_misses_nothing_of_writers_at_once(worlds: Worlds, store_url: str) -> None:
    world = worlds(store=store_url)
    tickets = [delivered(world, conversation=a_conversation(id=f"c-{n}"))[1] for n in range(4)]
    first = list(world.rail.updates())
    seen: list[str] = []

    def act(number: int) -> None:
        if number < 4:
            for n in range(10):
                take(world, reply(world, tickets[number], f"{number}-{n}"))
            return
        cursor = first[-1].cursor
        while len(seen) < 40:
            for update in world.rail.updates(after=cursor, limit=3):
                seen.append(update.id)
                cursor = update.cursor

    in_threads(5, act)
    assert len(seen) == len(set(seen)) == 40
    for number in range(4):
        own = [id for id in seen if f"x{number}-" in id]
        assert own == [f"desk:note:x{number}-{n}" for n in range(10)]


# At once, on both stores.


@pytest.mark.parametrize("same", [True, False])
def test_both_roads_at_once_store_each_thing_once(
    worlds: Worlds, acme: SimulatedAcme, store_url: str, same: bool
) -> None:
    world = worlds(store=store_url)
    made = [delivered(world, conversation=a_conversation(id=f"c-{n}")) for n in range(4)]
    items: list[Any] = [reply(world, ticket, ticket) for _, ticket in made]
    solved = [status(world, ticket, Status.SOLVED, 10, id=f"s:{ticket}") for _, ticket in made]
    polled = solved if same else [snapshot(world, ticket, Status.SOLVED, 10) for _, ticket in made]
    taken = in_threads(
        6, lambda n: take(world, *([*items, *solved] if n % 2 else [*reversed(items), *polled]))
    )

    assert sum(each.count(Taken.STORED) for each in taken) == 8
    for handoff, _ in made:
        assert kinds(world, handoff) == ["created", "reply", "status"]
        assert state(world, handoff) == SOLVED


def test_an_event_and_a_snapshot_at_once_are_one_change(
    worlds: Worlds, acme: SimulatedAcme, store_url: str
) -> None:
    world = worlds(store=store_url)
    handoff, ticket = delivered(world)
    values = [Status.OPEN, Status.PENDING] * 5
    for n, value in enumerate(values):
        event = status(world, ticket, value, 10 * n + 10, id=f"s:{n}")
        seen = snapshot(world, ticket, value, 10 * n + 10)
        taken = in_threads(4, lambda number, both=(event, seen): take(world, both[number % 2]))
        assert taken.count([Taken.STORED]) == 1, taken
    assert statuses(world, handoff) == values


def test_deliveries_and_updates_at_once_are_in_nobody_s_way(
    worlds: Worlds, acme: SimulatedAcme, store_url: str
) -> None:
    world = worlds(store=store_url)
    made = [delivered(world, conversation=a_conversation(id=f"c-{n}")) for n in range(3)]

    def act(number: int) -> None:
        for n in range(6):
            if number < 3:
                world.rail.say(made[number][0].id, customer_says(f"message {n}."))
                world.rail.attempt(made[number][0].id)
            else:
                order = made[:: 1 - 2 * (n % 2)]
                value = Status.PENDING if n % 2 else Status.OPEN
                take(world, *(status(world, ticket, value, 10 * n + 10) for _, ticket in order))
                take(world, *(reply(world, ticket, f"{ticket}-{n}") for _, ticket in order))

    in_threads(5, act)
    world.run(within=3600)
    for handoff, ticket in made:
        assert kinds(world, handoff).count("reply") == 6
        text = "\n".join(note["text"] for note in acme.cases[ticket]["notes"])
        assert [text.count(f"message {n}.") for n in range(6)] == [1] * 6


# Plugins.


def test_plugins_see_what_was_stored(world: World, plugin: Any) -> None:
    seen: list[str] = []
    plugin(lambda update: seen.append(update.id))
    _, ticket = delivered(world)
    take(world, reply(world, ticket), reply(world, ticket))
    world.run()
    assert seen == [f"desk:created:{ticket}", "desk:note:x1"]


def test_what_a_plugin_could_not_see_before_the_process_died_it_sees_afterwards(
    worlds: Worlds, plugin: Any
) -> None:
    seen: list[str] = []
    plugin(lambda update: seen.append(update.id))
    world = worlds()
    _, ticket = delivered(world)
    take(world, reply(world, ticket, "1"))
    take(world, reply(world, ticket, "2"))
    assert seen == [f"desk:created:{ticket}"]
    worlds().run()
    assert seen == [f"desk:created:{ticket}", "desk:note:x1", "desk:note:x2"]


def test_a_plugin_that_raises_changes_nothing(world: World, plugin: Any, caplog: Any) -> None:
    seen: list[str] = []
    plugin(lambda update: 1 / 0)
    plugin(lambda update: seen.append(update.kind))
    handoff, ticket = delivered(world)
    assert take(world, status(world, ticket, Status.SOLVED, 9)) == [Taken.STORED]
    world.run()
    assert seen == ["created", "status"]
    assert state(world, handoff) == SOLVED
    assert "plugin 1 of the test failed at update" in caplog.text


def test_a_plugin_may_hand_things_back(world: World, plugin: Any, acme: SimulatedAcme) -> None:
    """It runs behind the commit: it can use the rail."""
    handoff, ticket = delivered(world)
    plugin(
        lambda update: world.rail.say(handoff.id, customer_says("seen")) if update.kind == "reply" else None
    )
    take(world, reply(world, ticket))
    world.run()
    assert "seen" in acme.texts()[-1]


def test_solved_tickets_are_watched_for_a_while(world: World, clock: Clock) -> None:
    _, ticket = delivered(world)
    take(world, status(world, ticket, Status.SOLVED, 0.5))

    def watched(days: float) -> list[str]:
        with world.rail.context.store.read() as connection:
            since = clock() + timedelta(days=days - 28)
            return [row.id for row in stored.open_tickets(connection, "desk", since)]

    assert watched(27.9) == [ticket]
    assert watched(28.1) == []


def test_a_message_that_was_given_up_and_arrived_all_the_same_is_ours(
    world: World, acme: SimulatedAcme
) -> None:
    handoff, _ = delivered(world)
    acme.fault("lose", on="POST /cases/{id}/notes", when="after")
    world.rail.say(handoff.id, customer_says("more"))
    world.run()
    operation = world.operations(handoff)[-1]
    with world.rail.context.store.begin() as connection:
        operations.change(connection, operation.id, state="failed", error="gave up")
        handoff_rows.change(connection, handoff.id, due_at=None, last_error="say failed: gave up")
    world.poll()

    assert kinds(world, handoff) == ["created"]
    assert world.operations(handoff)[-1].state == "done"
    shown = world.show(handoff)
    assert shown["last_error"] is None
    assert "say has arrived after all" in str(shown["timeline"])
