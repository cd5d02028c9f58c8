"""Flows that last: questions, answers by both roads, time limits, restarts, and what is done beside."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.desks import Acme, SimulatedAcme, Worlds, customer_says
from tests.policies import policy
from tests.test_subscribers import SECRET, Receiver, receiving

import handrail.engine as engine
from handrail import (
    Conflict,
    Conversation,
    Decision,
    Handoff,
    Handrail,
    InputError,
    Message,
    NotFound,
    Role,
    State,
    hookimpl,
)
from handrail.config import Config, Sla
from handrail.plugins import plugins
from handrail.policy.chain import Raise
from handrail.policy.detect import _said
from handrail.store import Store, handoffs, side_steps
from handrail.testing import World, a_conversation
from handrail.testing.world import _jobs

pytest_plugins = ["tests.stores"]

ASKED = '[[triggers]]\nname = "asked"\nwhen = "asked_for_human"\nurgency = "high"\n'
REFUND = '[[triggers]]\nname = "refund"\nwhen = \'topic == "refund"\'\nreason = "policy"\nflow = "refund"\n'
ORDER = (
    '{ collect = ["order_id"], ask = { order_id = "Which order is it about?" }, '
    'pattern = { order_id = "^[0-9]{4,}$" }, give_up_after = "30m" }'
)
QUESTION = "Which order is it about?"


def flow(*steps: str, before: str = ASKED, after: str = "") -> Any:
    return policy(f"{before}{REFUND}[flows.refund]\nsteps = [{', '.join(steps)}]\n{after}")


Make = Callable[..., World]


@pytest.fixture
def make(worlds: Worlds) -> Make:
    """A world whose only flow has these steps."""

    def made(*steps: str, before: str = ASKED, after: str = "", **more: Any) -> World:
        return worlds(policy=flow(*steps, before=before, after=after), **more)

    return made


@pytest.fixture
def world(make: Make) -> World:
    return make(
        ORDER, '{ when = "fields.amount > 1000", set = { urgency = "urgent" } }', "{ hand_off = true }"
    )


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
def install() -> Iterator[Callable[..., None]]:
    names: list[str] = []

    def installed(**steps: Any) -> None:
        plugin = SimpleNamespace(handrail_flow_steps=hookimpl(lambda: steps))
        names.append(f"steps-{len(names)}")
        plugins().register(plugin, name=names[-1])

    yield installed
    for name in names:
        plugins().unregister(name=name)


def talk(*more: str, **fields: Any) -> Conversation:
    said = [Message(role=Role.CUSTOMER, text=text) for text in ("Where is my refund?", *more)]
    return a_conversation(id="c-1", messages=tuple(said), topic="refund", fields=fields)


def begin(world: World, conversation: Conversation | None = None) -> Handoff:
    conversation = conversation or talk()
    return world.rail.hand_off(conversation, world.rail.decide(conversation))


def notes(world: World, handoff: Handoff) -> str:
    return "\n".join(line["text"] for line in world.show(handoff)["timeline"])


def text_of(desk: SimulatedAcme) -> str:
    (case,) = desk.cases.values()
    return str(case["notes"][0]["text"])


def side(world: World, handoff: Handoff, number: int = 0) -> Any:
    with world.rail.context.store.read() as connection:
        return side_steps.get(connection, handoff.id, number)


def plan(world: World, handoff: Handoff) -> Any:
    with world.rail.context.store.read() as connection:
        return handoffs.plan(handoffs.get(connection, handoff.id), "flow")


# Questions.


def test_a_question_comes_before_the_handoff(world: World, acme: SimulatedAcme) -> None:
    decision = world.rail.decide(talk())
    assert (decision.kind, decision.hand_off) == ("collect", True)
    assert (decision.questions, decision.missing) == ((QUESTION,), ("order_id",))
    assert decision.until == world.clock() + timedelta(minutes=30)
    handoff = begin(world)
    assert (world.show(handoff)["state"], world.rail.holder("c-1")) == (State.WAITING, "ai")
    world.let_pass(1799)
    assert acme.requests == []
    assert "asks for order_id: 30m to answer" in notes(world, handoff)


@pytest.mark.parametrize("road", ["conversation", "answer"])
def test_an_answer_lets_it_go_on_at_once(world: World, acme: SimulatedAcme, road: str) -> None:
    handoff = begin(world)
    world.let_pass(60)
    if road == "answer":
        assert world.rail.answer(handoff.id, {"order_id": " 1182 "}) == ()
    else:
        assert begin(world, talk("It is 1182.", order_id="1182")).id == handoff.id
    world.run()
    assert world.show(handoff)["state"] == State.WITH_HUMANS
    assert world.show(handoff)["missing"] == []
    assert "order_id: 1182" in text_of(acme)
    assert "Not collected" not in text_of(acme)
    assert "everything asked for is there" in notes(world, handoff)
    world.let_pass(7200)
    assert len(acme.cases) == 1


def test_a_time_that_is_over_hands_off_and_says_what_is_missing(world: World, acme: SimulatedAcme) -> None:
    handoff = begin(world)
    world.let_pass(1801)
    assert world.show(handoff)["state"] == State.WITH_HUMANS
    assert world.show(handoff)["missing"] == ["order_id"]
    assert "Not collected: order_id" in text_of(acme)
    assert "not collected: order_id" in notes(world, handoff)
    with pytest.raises(Conflict, match=r"asks nothing; it is with_humans"):
        world.rail.answer(handoff.id, {"order_id": "1182"})


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        (
            {"order_id": "abc"},
            "fields.order_id",
            r"it must match \^\[0-9\]\{4,\}\$ \(Which order is it about\?\)",
        ),
        ({"order_id": ""}, "fields.order_id", "is empty; give an answer"),
        ({"order_id": ["1182"]}, "fields.order_id", "is a list or a table"),
        ({"order_id": "1" * 10_001}, "fields.order_id", "10,001 characters long"),
        ({"order": "1182"}, "fields.order", "was not asked for; did you mean 'order_id'"),
        ({"order_id": "1182", "x": 1}, "fields.x", "was not asked for"),
        ({}, "fields", "give at least one"),
    ],
)
def test_a_wrong_answer_is_refused_and_changes_nothing(
    world: World, acme: SimulatedAcme, fields: Mapping[str, Any], field: str, said: str
) -> None:
    handoff = begin(world)
    before = plan(world, handoff)
    with pytest.raises(InputError, match=said) as caught:
        world.rail.answer(handoff.id, fields)
    assert caught.value.field == field
    assert plan(world, handoff) == before
    world.let_pass(60)
    assert acme.requests == []


def test_a_wrong_field_in_the_conversation_is_asked_for_again(world: World) -> None:
    handoff = begin(world, talk(order_id="no idea"))
    assert world.rail.decide(talk(order_id="no idea")).questions == (QUESTION,)
    assert world.show(handoff)["state"] == State.WAITING


def test_an_answer_that_must_be_masked_is_refused_in_words(make: Make) -> None:
    world = make('{ collect = ["code"], pattern = { code = "^[0-9 ]+$" } }')
    handoff = begin(world)
    with pytest.raises(InputError, match="holds what is masked"):
        world.rail.answer(handoff.id, {"code": "4242 4242 4242 4242"})
    assert "4242 4242" not in str(plan(world, handoff))


def test_an_unknown_handoff_has_no_questions(world: World) -> None:
    with pytest.raises(NotFound):
        world.rail.answer("01UNKNOWN", {"order_id": "1182"})


def test_several_questions_are_answered_in_any_order(make: Make, acme: SimulatedAcme) -> None:
    world = make('{ collect = ["order_id", "reason"], ask = { reason = "Why?" } }')
    handoff = begin(world)
    assert world.rail.answer(handoff.id, {"reason": "broken"}) == ("What is order_id?",)
    world.let_pass(600)
    assert world.show(handoff)["state"] == State.WAITING
    assert world.rail.answer(handoff.id, {"order_id": 7}) == ()
    world.run()
    assert "reason: broken" in text_of(acme)
    assert "order_id: 7" in text_of(acme)


def test_the_next_step_s_questions_get_their_own_time(make: Make, acme: SimulatedAcme) -> None:
    world = make(
        ORDER, '{ collect = ["photo"], when = \'fields.order_id == "1182"\', give_up_after = "10m" }'
    )
    handoff = begin(world)
    world.let_pass(1500)
    assert world.rail.answer(handoff.id, {"order_id": "1182"}) == ("What is photo?",)
    world.let_pass(599)
    assert world.show(handoff)["state"] == State.WAITING
    world.let_pass(2)
    assert world.show(handoff)["missing"] == ["photo"]
    assert "order_id: 1182" in text_of(acme)


def test_what_was_answered_survives_a_conversation_that_lacks_it(make: Make, acme: SimulatedAcme) -> None:
    world = make('{ collect = ["order_id", "reason"], pattern = { order_id = "^[0-9]+$" } }')
    handoff = begin(world)
    world.rail.answer(handoff.id, {"order_id": "1182"})
    begin(world, talk("Hello?", order_id="which?"))
    world.rail.say(handoff.id, customer_says("Still there?"))
    world.let_pass(1801)
    assert world.show(handoff)["missing"] == ["reason"]
    for part in ("order_id: 1182", "Hello?", "Still there?"):
        assert part in text_of(acme)


def test_a_customer_who_asks_for_a_person_is_asked_no_more(world: World, acme: SimulatedAcme) -> None:
    handoff = begin(world)
    world.let_pass(60)
    asking = talk("I want to talk to a person.")
    assert world.rail.decide(asking).trigger == "asked"
    assert begin(world, asking).id == handoff.id
    world.run()
    shown = world.show(handoff)
    assert (shown["state"], shown["trigger"], shown["urgency"]) == (State.WITH_HUMANS, "asked", "high")
    assert "the flow refund is left" in notes(world, handoff)
    assert (shown["missing"], plan(world, handoff)) == ([], None)
    world.let_pass(7200)
    assert len(acme.cases) == 1


@pytest.mark.parametrize("end", ["resolved", "cancel", "close"])
def test_what_is_solved_meanwhile_is_not_handed_over(make: Make, acme: SimulatedAcme, end: str) -> None:
    world = make(ORDER, '{ also = { desk = "desk" } }')
    handoff = begin(world)
    if end == "resolved":
        assert world.rail.resolved("c-1") is True
    else:
        getattr(world.rail, end)(handoff.id)
    world.let_pass(7200)
    assert acme.requests == []
    assert side(world, handoff) is None


def test_a_retry_ends_the_questions(world: World) -> None:
    handoff = begin(world)
    world.rail.retry(handoff.id)
    world.run()
    assert world.show(handoff)["missing"] == ["order_id"]


def test_a_decision_that_is_old_waits_no_more(world: World) -> None:
    decision = world.rail.decide(talk())
    world.clock.advance(3600)
    handoff = world.rail.hand_off(talk(), decision)
    assert world.show(handoff)["state"] == State.ACCEPTED
    assert handoff.missing == ("order_id",)


def test_a_wait_is_no_time_for_questions_and_says_what_is_missing(make: Make, acme: SimulatedAcme) -> None:
    world = make(
        ORDER,
        before=REFUND.replace("[[triggers]]", '[[triggers]]\ntiming = { wait = "10m" }').replace(
            '"refund"\nwhen', '"slow"\nwhen'
        ),
    )
    decision = world.rail.decide(talk())
    assert (decision.kind, decision.trigger, decision.questions) == ("wait", "slow", ())
    handoff = begin(world)
    world.rail.answer(handoff.id, {"order_id": "1182"})
    world.let_pass(590)
    assert world.show(handoff)["state"] == State.WAITING
    world.let_pass(11)
    assert world.show(handoff)["missing"] == []
    assert "order_id: 1182" in text_of(acme)


def test_a_flow_that_is_gone_stops_no_handoff(world: World, worlds: Worlds) -> None:
    decision = world.rail.decide(talk(order_id="1182"))
    handoff = worlds().rail.hand_off(talk(order_id="1182"), decision)
    assert "there is no flow 'refund' any more" in notes(world, handoff)
    world.run()
    assert world.show(handoff)["state"] == State.WITH_HUMANS


# What the steps change.


def test_steps_change_the_handoff_before_it_goes(make: Make, acme: SimulatedAcme) -> None:
    world = make(
        '{ set = { group = "billing", owner = "bea", tags = ["big"], next_steps = ["Call"], '
        'summary = "A refund.", fields = { source = "flow" } } }',
        '{ when = "fields.amount > 1000", set = { urgency = "+1" } }',
        '{ when = "fields.amount > 9000", set = { urgency = "urgent" } }',
        '{ route = "vip", when = \'urgency == "high"\' }',
        "{ hand_off = true }",
        after='[[routes]]\nname = "vip"\nwhen = \'"gold" in customer.segments\'\n'
        'group = "premium"\ntags = ["vip"]\n',
    )
    handoff = begin(world, talk(amount=2000))
    assert (handoff.group, handoff.owner, handoff.urgency) == ("premium", "bea", "high")
    assert (handoff.tags, handoff.next_steps) == (("big", "vip"), ("Call",))
    assert (handoff.summary, handoff.details["source"]) == ("A refund.", "flow")
    shown = world.show(handoff)
    assert (shown["group"], shown["urgency"]) == ("premium", "high")


@pytest.mark.parametrize("asks", [False, True])
def test_promises_follow_the_urgency_that_a_flow_sets(make: Make, asks: bool) -> None:
    sla = {"default": Sla.model_validate({"first_response": {"normal": "8h", "urgent": "1h"}})}
    world = make(*([ORDER] if asks else []), '{ set = { urgency = "urgent" } }', sla=sla)
    handoff = begin(world)
    if asks:
        world.rail.answer(handoff.id, {"order_id": "1182"})
    world.run()
    due = (world.clock() + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    assert world.show(handoff)["due"]["first_response"] == due


@pytest.mark.parametrize("asks", [False, True])
def test_a_flow_may_send_it_to_another_desk(
    make: Make, acme: SimulatedAcme, backup: SimulatedAcme, asks: bool
) -> None:
    world = make(
        *([ORDER] if asks else []), '{ route = { desk = "backup", urgency = "low" } }', backup=backup
    )
    handoff = begin(world)
    world.let_pass(1900)
    shown = world.show(handoff)
    assert (shown["state"], shown["desk"], shown["urgency"]) == (State.WITH_HUMANS, "backup", "low")
    assert (acme.requests, len(backup.cases)) == ([], 1)


def test_who_drains_one_desk_talks_to_no_other(
    make: Make, acme: SimulatedAcme, backup: SimulatedAcme
) -> None:
    world = make(ORDER, '{ route = { desk = "backup" } }', backup=backup)
    handoff = begin(world)
    world.clock.advance(1900)
    world.rail.delivery.drain("desk", lambda: True)
    assert (world.show(handoff)["desk"], backup.requests, acme.requests) == ("backup", [], [])
    world.run()
    assert len(backup.cases) == 1


def test_a_desk_that_is_gone_when_the_wait_is_over_is_named(
    make: Make, worlds: Worlds, acme: SimulatedAcme, backup: SimulatedAcme
) -> None:
    world = make(ORDER, '{ route = { desk = "backup" } }', backup=backup)
    handoff = begin(world)
    later = worlds()
    later.let_pass(1900)
    assert later.show(handoff)["desk"] == "desk"
    assert "not to desk backup, which is not configured any more" in notes(later, handoff)
    assert len(acme.cases) == 1


def test_a_condition_that_cannot_be_read_any_more_leaves_out_its_step(
    make: Make, acme: SimulatedAcme
) -> None:
    plugin = SimpleNamespace(signals={"angry": bool}, handrail_detect=hookimpl(lambda: {"angry": True}))
    plugins().register(plugin, name="mood")
    try:
        world = make(ORDER, '{ when = "angry", set = { urgency = "urgent" } }', '{ set = { owner = "bea" } }')
        handoff = begin(world)
    finally:
        plugins().unregister(name="mood")
    world.let_pass(1900)
    shown = world.show(handoff)
    assert (shown["state"], shown["urgency"]) == (State.WITH_HUMANS, "normal")
    assert "step 2 of the flow is left out: its condition cannot be read ('angry' is not known" in notes(
        world, handoff
    )
    assert "Owner: bea" in text_of(acme)


def test_a_paused_desk_keeps_no_flow_from_going_elsewhere(
    make: Make, acme: SimulatedAcme, backup: SimulatedAcme
) -> None:
    world = make(ORDER, '{ route = { desk = "backup" } }', backup=backup)
    handoff = begin(world)
    acme.fault("status", status=401)
    world.deliver(a_conversation(id="another"))
    world.let_pass(1900)
    assert world.show(handoff)["desk"] == "backup"
    assert len(backup.cases) == 1


# It survives.


def test_questions_survive_the_process_and_keep_their_policy(
    make: Make, worlds: Worlds, acme: SimulatedAcme
) -> None:
    handoff = begin(make(ORDER, '{ set = { group = "billing" } }', '{ route = "vip" }',
                         after='[[routes]]\nname = "vip"\nowner = "bea"\n'))  # fmt: skip
    other = worlds()  # on the same store, with no policy at all
    with pytest.raises(InputError, match="must match"):
        other.rail.answer(handoff.id, {"order_id": "no"})
    assert other.rail.answer(handoff.id, {"order_id": "1182"}) == ()
    other.run()
    shown = other.show(handoff)
    assert (shown["state"], shown["group"]) == (State.WITH_HUMANS, "billing")
    assert "Owner: bea" in text_of(acme)


class Killed(BaseException):
    """As by SIGKILL: nothing below is run."""


@contextlib.contextmanager
def dying_at(world: World, step: int) -> Iterator[list[int]]:
    """The ``step``-th transaction from now on dies before its commit; what was left is in the list."""
    store, left = world.rail.context.store, [step]
    begin_ = store.begin

    @contextlib.contextmanager
    def mortal() -> Iterator[Any]:
        with begin_() as connection:
            yield connection
            left[0] -= 1
            if left[0] == 0:
                raise Killed

    store.begin = mortal  # type: ignore[method-assign]
    try:
        yield left
    finally:
        store.begin = begin_  # type: ignore[method-assign]


def test_a_process_that_dies_between_any_two_steps_loses_and_doubles_nothing(
    clock: Any, tmp_path: Any, receiver: Receiver
) -> None:
    """The whole story, killed before its n-th commit for each n, and told again by another process."""
    steps = (ORDER, '{ set = { group = "Billing" } }', "{ hand_off = true }", '{ also = "backup" }',
             f'{{ also = {{ webhook = "{receiver.url}", secret = "{SECRET}" }} }}')  # fmt: skip

    def story(world: World) -> None:
        handoff = begin(world)
        if world.show(handoff)["state"] == State.WAITING:
            world.rail.answer(handoff.id, {"order_id": "1182"})
        world.run(within=7200)

    killed = 0
    for step in range(1, 60):
        with (
            SimulatedAcme(clock=clock) as desk,
            SimulatedAcme(clock=clock) as second,
            contextlib.ExitStack() as s,
        ):
            receiver.got.clear()
            make = Worlds(clock, desk, s, f"sqlite:///{tmp_path}/{step}.db")
            first = make(policy=flow(*steps), backup=second)
            with dying_at(first, step) as left, contextlib.suppress(Killed):
                story(first)
            other = make(policy=flow(*steps), backup=second)
            other.recover()
            story(other)
            assert (len(desk.cases), len(second.cases)) == (1, 1), f"killed at {step}"
            assert "order_id: 1182" in text_of(desk)
            assert len({posted.id for posted in receiver.got}) == 1
            killed += left[0] <= 0
            if left[0] > 0:
                break
    assert 8 < killed < 59


def test_both_stores_keep_flows(
    make: Make, store_url: str, acme: SimulatedAcme, backup: SimulatedAcme
) -> None:
    world = make(ORDER, '{ also = "backup" }', store=store_url, backup=backup)
    handoff = begin(world)
    assert world.rail.answer(handoff.id, {"order_id": "1182"}) == ()
    world.run()
    assert (len(acme.cases), len(backup.cases)) == (1, 1)
    assert side(world, handoff).due_at is None


def test_a_worker_of_the_engine_asks_waits_and_does_what_is_beside(
    store_url: str, receiver: Receiver, install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the real time, with the real jobs, over two processes' worth of rails."""
    monkeypatch.setattr(engine, "POLL_SECONDS", 0.05)
    install(book=lambda handoff, arguments: "booked")
    steps = (ORDER, "{ hand_off = true }", '{ also = "backup" }', '{ also = "book" }',
             f'{{ also = {{ webhook = "{receiver.url}", secret = "{SECRET}" }} }}')  # fmt: skip
    with SimulatedAcme() as desk, SimulatedAcme() as second:
        desks = {"desk": Acme(url=desk.url), "backup": Acme(url=second.url)}
        made = Config(
            path=Path("handrail.toml"), store=store_url, desk="desk", desks=desks, policy=flow(*steps)
        )
        with Handrail(made) as first:
            handoff = first.hand_off(talk(), first.decide(talk()))
        with Handrail(made) as rail:
            assert rail.answer(handoff.id, {"order_id": "1182"}) == ()
            rail.work_until_idle()
            lines = "\n".join(line["text"] for line in rail.show(handoff.id)["timeline"])
        assert (len(desk.cases), len(second.cases), len(receiver.got)) == (1, 1, 1)
        assert "the step book is done: booked" in lines


# Beside the handoff.


def test_a_second_desk_gets_a_handoff_of_its_own(
    make: Make, acme: SimulatedAcme, backup: SimulatedAcme
) -> None:
    world = make("{ hand_off = true }", '{ also = { desk = "backup", group = "Support" } }', backup=backup)
    handoff = begin(world)
    world.let_pass(60)
    second = next(each for each in world.rail.list() if each["desk"] == "backup")
    assert (second["key"], second["state"]) == (f"{handoff.key}:also:1", State.WITH_HUMANS)
    assert second["group"] == "Support"
    assert "For backup too, by the flow refund; the customer is answered on the desk desk" in text_of(backup)
    assert f"also to desk backup as handoff {second['id']}" in notes(world, handoff)
    assert begin(world).id == handoff.id, "the first stays the conversation's own"
    assert (len(acme.cases), len(backup.cases)) == (1, 1)


def test_a_side_step_may_stand_before_the_handoff_and_have_a_condition(
    make: Make, acme: SimulatedAcme, backup: SimulatedAcme
) -> None:
    steps = ['{ also = "backup", when = \'intent == "defect"\' }', "{ hand_off = true }"]
    world = make(*steps, backup=backup)
    begin(world)
    world.run()
    assert backup.cases == {}
    begin(world, a_conversation(id="c-2", topic="refund", intent="defect"))
    world.run()
    assert (len(acme.cases), len(backup.cases)) == (2, 1)


def test_a_hand_off_with_a_condition_ends_the_flow_only_where_it_holds(make: Make) -> None:
    world = make('{ hand_off = true, when = "fields.amount > 10" }', ORDER)
    assert world.rail.decide(talk(amount=20)).kind == "hand_off"
    assert world.rail.decide(talk(amount=5)).kind == "collect"


def test_the_same_desk_gets_it_once(make: Make, acme: SimulatedAcme) -> None:
    world = make('{ also = "desk" }')
    handoff = begin(world)
    world.run()
    assert "not to desk desk, which has it already" in notes(world, handoff)
    assert len(acme.cases) == 1


def test_a_webhook_is_posted_once_signed_and_without_the_transcript(make: Make, receiver: Receiver) -> None:
    world = make(ORDER, f'{{ also = {{ webhook = "{receiver.url}", secret = "{SECRET}" }} }}')
    handoff = begin(world)
    world.rail.answer(handoff.id, {"order_id": "1182"})
    world.let_pass(86400)
    (posted,) = receiver.got
    assert posted.is_genuine()
    assert posted.id == f"{handoff.id}:also:1"
    assert (posted.data["id"], posted.data["details"]["order_id"]) == (handoff.id, "1182")
    assert "messages" not in posted.body.decode()
    host = receiver.url.removeprefix("http://").partition("/")[0]
    assert f"the webhook at {host} is done" in notes(world, handoff)
    with world.rail.context.store.read() as connection:
        row = handoffs.get(connection, handoff.id)
    assert SECRET not in str(row) + str(side(world, handoff)) + notes(world, handoff)


def test_a_webhook_that_fails_is_tried_again_and_stops_nothing(
    make: Make, acme: SimulatedAcme, receiver: Receiver
) -> None:
    world = make(f'{{ also = {{ webhook = "{receiver.url}", secret = "{SECRET}" }} }}')
    receiver.fails(500, 503, 302)
    handoff = begin(world)
    world.let_pass(3600)
    assert world.show(handoff)["state"] == State.WITH_HUMANS
    assert len(receiver.got) == 4
    assert len(set(receiver.ids())) == 1
    assert "failed: 500 no; again in" in notes(world, handoff)
    assert side(world, handoff).due_at is None


def test_a_webhook_that_never_takes_it_is_given_up_visibly(
    make: Make, acme: SimulatedAcme, receiver: Receiver
) -> None:
    world = make(f'{{ also = {{ webhook = "{receiver.url}", secret = "{SECRET}" }} }}')
    receiver.fails(*[500] * 500)
    handoff = begin(world)
    world.let_pass(86400 - 3700)
    assert side(world, handoff).due_at is not None
    world.let_pass(86400)
    assert "failed for good after 1d: 500 no" in notes(world, handoff)
    assert 10 < len(receiver.got) < 200
    assert (side(world, handoff).due_at, side(world, handoff).error) == (None, "500 no")
    assert world.show(handoff)["state"] == State.WITH_HUMANS


def test_a_webhook_that_is_gone_is_asked_once(make: Make, receiver: Receiver) -> None:
    world = make(f'{{ also = {{ webhook = "{receiver.url}", secret = "{SECRET}" }} }}')
    receiver.fails(410)
    handoff = begin(world)
    world.let_pass(86400)
    assert len(receiver.got) == 1
    assert "failed for good: 410 no" in notes(world, handoff)


def test_a_webhook_whose_secret_was_taken_away_gets_nothing(
    make: Make, worlds: Worlds, receiver: Receiver
) -> None:
    handoff = begin(make(f'{{ also = {{ webhook = "{receiver.url}", secret = "{SECRET}" }} }}'))
    other = worlds()
    other.run()
    assert receiver.got == []
    assert "failed for good: it is not configured any more" in notes(other, handoff)


def test_hook_handrail_flow_steps_brings_steps(make: Make, install: Callable[..., None]) -> None:
    seen: list[Any] = []

    def book(handoff: Handoff, arguments: Mapping[str, Any]) -> str:
        seen.append((handoff.id, arguments))
        return "a call is booked"

    install(book=book, plain=lambda handoff, arguments: None)
    world = make('{ also = { step = "book", minutes = 15 } }', '{ also = "plain" }')
    handoff = begin(world)
    world.let_pass(3600)
    assert seen == [(handoff.id, {"minutes": 15})]
    assert "the step book is done: a call is booked" in notes(world, handoff)
    assert "the step plain is done" in notes(world, handoff)


def test_a_step_that_raises_is_tried_again_and_stops_nothing(
    make: Make, acme: SimulatedAcme, install: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[int] = []

    def shaky(handoff: Handoff, arguments: Mapping[str, Any]) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise RuntimeError("a secret of the plugin")

    install(shaky=shaky)
    world = make('{ also = "shaky" }')
    handoff = begin(world)
    world.let_pass(3600)
    assert len(tries) == 3
    assert world.show(handoff)["state"] == State.WITH_HUMANS
    assert "the step shaky failed: RuntimeError; see the log; again in" in notes(world, handoff)
    assert "a secret of the plugin" not in notes(world, handoff)
    assert "the step shaky is done" in notes(world, handoff)


def test_a_plugin_that_is_gone_is_named(make: Make, install: Callable[..., None]) -> None:
    world = make('{ also = { step = "book" } }')
    handoff = begin(world)
    world.run()
    assert "the step book failed: no plugin that is installed brings it" in notes(world, handoff)
    install(book=lambda handoff, arguments: "there")
    world.let_pass(3600)
    assert "the step book is done: there" in notes(world, handoff)


def test_side_steps_go_although_the_desk_is_paused(
    make: Make, acme: SimulatedAcme, receiver: Receiver
) -> None:
    acme.fault("status", status=401)
    world = make(f'{{ also = {{ webhook = "{receiver.url}", secret = "{SECRET}" }} }}')
    handoff = begin(world)
    world.let_pass(60)
    assert len(receiver.got) == 1
    assert world.show(handoff)["ticket"] is None


def test_what_was_cancelled_in_time_has_no_side_steps(make: Make, receiver: Receiver) -> None:
    world = make(f'{{ also = {{ webhook = "{receiver.url}", secret = "{SECRET}" }} }}')
    handoff = begin(world)
    world.rail.cancel(handoff.id)
    world.let_pass(60)
    assert receiver.got == []
    assert "is left out: the handoff was cancelled" in notes(world, handoff)


def test_a_job_that_is_out_of_date_does_nothing(make: Make, receiver: Receiver) -> None:
    world = make(f'{{ also = {{ webhook = "{receiver.url}", secret = "{SECRET}" }} }}')
    handoff = begin(world)
    for n in (1, 1_000_000):
        world.rail.run_step("also", handoff.id, n)
    assert receiver.got == []
    for _ in (1, 2):
        world.rail.run_step("also", handoff.id, 0)
    assert len(receiver.got) == 1


def test_a_starting_worker_takes_up_a_side_step_whose_job_was_lost(make: Make, receiver: Receiver) -> None:
    world = make(f'{{ also = {{ webhook = "{receiver.url}", secret = "{SECRET}" }} }}')
    begin(world)
    with world.rail.context.store.begin() as connection:
        connection.execute(_jobs.delete())
    world.clock.advance(400)
    world.recover()
    world.run()
    assert len(receiver.got) == 1


# Raises.


def test_a_raise_has_a_condition(make: Make, acme: SimulatedAcme) -> None:
    rules = (
        Raise(at="10m", when='fields.amount > 100 and urgency == "normal"', urgency="high"),
        Raise(at="20m", when="fields.amount > 1000", urgency="urgent"),
    )
    world = make("{ hand_off = true }", raises=rules)
    handoff = begin(world, talk(amount=500))
    world.let_pass(3600)
    assert world.show(handoff)["urgency"] == "high"


def test_a_raise_whose_condition_cannot_be_read_any_more_takes_place(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    world = make("{ hand_off = true }", raises=(Raise(at="10m", when="angry", urgency="high"),))
    handoff = begin(world)
    world.let_pass(3600)
    assert world.show(handoff)["urgency"] == "high"
    assert "'angry' is not known" in caplog.text


def test_a_decision_to_collect_is_a_decision_like_any_other(world: World) -> None:
    decision = world.rail.decide(talk())
    assert Decision.model_validate_json(decision.model_dump_json()) == decision


# Detectors, which may be slow.


@pytest.fixture
def asked_while_held(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """For each time that a detector was asked, whether somebody held the store for writing then."""
    asked, holding = list[bool](), list[int]()
    begin = Store.begin

    @contextmanager
    def held(store: Store) -> Iterator[Any]:
        with begin(store) as connection:
            holding.append(1)
            try:
                yield connection
            finally:
                holding.pop()

    def detected() -> dict[str, bool]:
        asked.append(bool(holding))
        return {"angry": True}

    monkeypatch.setattr(Store, "begin", held)
    plugins().register(SimpleNamespace(signals={"angry": bool}, handrail_detect=hookimpl(detected)), name="m")
    _said.clear()
    yield asked
    plugins().unregister(name="m")
    _said.clear()


ANGRY = '{ when = "angry", set = { urgency = "urgent" } }'


def test_a_detector_is_asked_for_a_flow_while_nobody_holds_the_store(
    make: Make, asked_while_held: list[bool]
) -> None:
    world = make(ANGRY, ORDER, ANGRY)
    handoff = begin(world)
    world.let_pass(1900)

    assert world.show(handoff)["urgency"] == "urgent"
    assert asked_while_held
    assert not any(asked_while_held)


def test_who_drains_asks_a_detector_while_nobody_holds_the_store(
    make: Make, asked_while_held: list[bool]
) -> None:
    world = make(ORDER, ANGRY)
    handoffs = [begin(world, talk().model_copy(update={"id": f"c-{number}"})) for number in range(3)]
    world.clock.advance(1900)
    world.rail.delivery.drain("desk", lambda: True)

    assert [world.show(each)["urgency"] for each in handoffs] == ["urgent"] * 3
    assert asked_while_held
    assert not any(asked_while_held)


def test_an_answer_waits_for_no_detector_with_the_store_held(
    make: Make, asked_while_held: list[bool]
) -> None:
    world = make(ORDER, ANGRY)
    handoff = begin(world)
    world.rail.answer(handoff.id, {"order_id": "1182"})
    world.run(within=60)

    assert world.show(handoff)["urgency"] == "urgent"
    assert asked_while_held
    assert not any(asked_while_held)


def test_a_conversation_that_goes_on_waits_for_no_detector_with_the_store_held(
    make: Make, asked_while_held: list[bool]
) -> None:
    world = make(ORDER, ANGRY)
    begin(world)
    handoff = begin(world, talk("It is 1182", order_id="1182"))
    world.run(within=60)

    assert world.show(handoff)["urgency"] == "urgent"
    assert asked_while_held
    assert not any(asked_while_held)


def test_a_raise_waits_for_no_detector_with_the_store_held(make: Make, asked_while_held: list[bool]) -> None:
    world = make("{ hand_off = true }", raises=(Raise(at="30m", urgency="urgent", when="angry"),))
    handoff = begin(world)
    world.let_pass(1900)

    assert world.show(handoff)["urgency"] == "urgent"
    assert asked_while_held
    assert not any(asked_while_held)
