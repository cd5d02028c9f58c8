"""Accepting: one handoff for each key, whatever comes twice or at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.desks import SimulatedAcme, Worlds, customer_says, in_threads
from tests.policies import policy

from handrail import Conflict, Conversation, Decision, InputError, Message, NotFound, RedactorFailed, Role
from handrail.model import State
from handrail.plugins import hookimpl, plugins
from handrail.rail import Handrail
from handrail.testing import World, a_conversation

pytest_plugins = ["tests.stores"]
CARD = "4111 1111 1111 1111"


@pytest.fixture
def world(worlds: Worlds) -> World:
    return worlds()


@pytest.fixture
def plugin() -> Iterator[Callable[[Callable[[Conversation], Any]], None]]:
    """Installs a redactor for this test."""
    made: list[Any] = []

    def install(function: Callable[[Conversation], Any]) -> None:
        class Plugin:
            @hookimpl
            def handrail_redact(self, conversation: Conversation) -> Any:
                return function(conversation)

        made.append(Plugin())
        plugins().register(made[-1], name="a redactor of the test")

    yield install
    for each in made:
        plugins().unregister(each)


def spoken(*texts: str, id: str = "c-1") -> Conversation:
    return a_conversation(id=id, messages=tuple(customer_says(text) for text in texts))


def queued(world: World, handoff: Any) -> list[Any]:
    rows = [row for row in world.operations(handoff) if row.kind == "say" and row.state != "merged"]
    return [message["text"] for row in rows for message in json.loads(row.payload)["messages"]]


def notes(world: World, handoff: Any) -> list[str]:
    return [line["text"] for line in world.show(handoff)["timeline"]]


# Keys.


def test_it_is_durable_when_it_returns(worlds: Worlds) -> None:
    handoff = worlds().hand_off(a_conversation(id="c-1"), group="Billing")
    shown = worlds().show(handoff)
    assert (shown["state"], shown["group"], shown["key"]) == (State.ACCEPTED, "Billing", "c-1:1")
    assert [operation["kind"] for operation in shown["to_send"]] == ["create"]


def test_the_same_key_and_content_give_the_same_handoff(world: World, acme: SimulatedAcme) -> None:
    first = world.hand_off(a_conversation(id="c-1"), key="k", urgency="high", files=[])
    world.clock.advance(60)
    again = world.hand_off(a_conversation(id="c-1"), key="k", urgency="high")
    assert again == first
    world.run(within=60)
    assert len(acme.cases) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"group": "Billing"},
        {"urgency": "low"},
        {"reason": "policy"},
        {"summary": "s"},
        {"next_steps": ("a",)},
        {"conversation": a_conversation("something else", id="c-1")},
        {"conversation": a_conversation(id="c-2")},
    ],
)
def test_the_same_key_with_other_content_is_a_conflict(world: World, other: dict[str, Any]) -> None:
    first = world.hand_off(a_conversation(id="c-1"), key="k")
    with pytest.raises(Conflict, match=first.id):
        world.hand_off(**{"conversation": a_conversation(id="c-1"), "key": "k"} | other)
    assert len(world.rail.list()) == 1


def test_another_card_number_is_other_content_though_both_are_masked(world: World) -> None:
    world.hand_off(a_conversation(f"my card {CARD}", id="c-1"), key="k")
    with pytest.raises(Conflict):
        world.hand_off(a_conversation("my card 5500 0000 0000 0004", id="c-1"), key="k")


def test_a_key_is_good_though_the_configuration_has_changed(worlds: Worlds, backup: SimulatedAcme) -> None:
    first = worlds().hand_off(a_conversation(id="c-1"), key="k")
    other = worlds(backup=backup)
    object.__setattr__(other.rail.config, "desk", "backup")
    assert other.hand_off(a_conversation(id="c-1"), key="k").id == first.id


def test_a_redactor_that_masks_differently_each_time_does_not_break_the_key(
    world: World, plugin: Any
) -> None:
    times = iter(range(9))
    plugin(lambda c: c.model_copy(update={"subject": f"masked {next(times)}"}))
    first = world.hand_off(a_conversation(id="c-1"), key="k")
    assert world.hand_off(a_conversation(id="c-1"), key="k") == first


ROUTES = """
[[routes]]
when = 'topic == "refund"'
group = "billing"
urgency = "+1"
owner = "bo"
tags = ["money"]
next_steps = ["Look it up"]

[[routes]]
desk = "backup"
group = "everyone"
"""


def test_without_a_decision_routes_say_where_it_goes(worlds: Worlds, backup: SimulatedAcme) -> None:
    world = worlds(policy=policy(ROUTES), backup=backup)
    made = world.rail.hand_off(a_conversation(id="c-1", topic="refund"))
    assert (made.desk, made.group, made.urgency, made.owner) == ("backup", "billing", "high", "bo")
    assert (made.tags, made.next_steps) == (("money",), ("Look it up",))
    shown = world.show(made)
    assert (shown["desk"], shown["group"], shown["urgency"]) == ("backup", "billing", "high")
    other = world.rail.hand_off(a_conversation(id="c-2"))
    assert (other.desk, other.group, other.urgency) == ("backup", "everyone", "normal")


def test_what_the_caller_says_wins_over_routes(worlds: Worlds, backup: SimulatedAcme) -> None:
    world = worlds(policy=policy(ROUTES), backup=backup)
    given = {"desk": "desk", "group": "first-line", "urgency": "low", "next_steps": ("Call",)}
    made = world.rail.hand_off(a_conversation(topic="refund"), **given)
    assert (made.desk, made.group, made.urgency, made.next_steps) == ("desk", "first-line", "low", ("Call",))
    assert made.owner == "bo"


def test_a_decision_is_not_routed_again(worlds: Worlds, backup: SimulatedAcme) -> None:
    world = worlds(policy=policy(ROUTES), backup=backup)
    known = {"conversation_id": "c-1", "at": world.clock(), "because": "", "urgency": "normal"}
    decision = Decision(kind="hand_off", desk="desk", **known)
    made = world.rail.hand_off(a_conversation(id="c-1", topic="refund"), decision)
    assert (made.desk, made.group, made.urgency) == ("desk", None, "normal")


def test_a_key_is_good_though_the_routes_have_changed(worlds: Worlds, backup: SimulatedAcme) -> None:
    first = worlds(backup=backup).hand_off(a_conversation(id="c-1"), key="k")
    other = worlds(policy=policy(ROUTES), backup=backup)
    assert other.hand_off(a_conversation(id="c-1"), key="k").id == first.id


@pytest.mark.parametrize("key", ["", "k" * 201])
def test_a_key_has_1_to_200_characters(world: World, key: str) -> None:
    with pytest.raises(InputError, match="key"):
        world.hand_off(key=key)


def test_an_unknown_desk_is_refused_before_anything_is_stored(world: World) -> None:
    with pytest.raises(NotFound, match="it has: desk"):
        world.hand_off(desk="nowhere")
    assert world.rail.list() == []


@pytest.mark.parametrize("wrong", [{"urgency": "asap"}, {"reason": "because"}])
def test_an_unknown_urgency_or_reason_is_refused(world: World, wrong: dict[str, str]) -> None:
    with pytest.raises(InputError, match="use one of"):
        world.hand_off(**wrong)


def test_a_key_of_ours_that_somebody_took_is_a_conflict(world: World) -> None:
    world.hand_off(a_conversation(id="other"), key="c-1:1")
    with pytest.raises(Conflict, match="c-1"):
        world.hand_off(a_conversation(id="c-1"))


# The number of an escalation.


def test_an_escalation_after_the_last_was_solved_is_another(world: World, acme: SimulatedAcme) -> None:
    first = world.deliver(a_conversation(id="c-1"))
    acme.human_solves(world.show(first)["ticket"]["id"])
    world.poll()
    assert world.rail.holder("c-1") == "ai"

    second = world.deliver(a_conversation(id="c-1"))

    assert (second.number, second.key) == (2, "c-1:2")
    assert len(acme.cases) == 2
    assert world.rail.holder("c-1") == "human"


def test_escalations_with_keys_count_too(world: World) -> None:
    keyed = [world.hand_off(a_conversation(id="c-1"), key=key) for key in ("a", "b")]
    assert [handoff.number for handoff in keyed] == [1, 2]
    world.rail.cancel(keyed[1].id)
    assert world.hand_off(a_conversation(id="c-1")).number == 3


def test_a_cancelled_one_makes_room(world: World) -> None:
    first = world.hand_off(a_conversation(id="c-1"))
    world.rail.cancel(first.id)
    assert world.hand_off(a_conversation(id="c-1")).number == 2


# A conversation that goes on.


def test_what_is_new_goes_to_the_running_handoff_once(world: World, acme: SimulatedAcme) -> None:
    first = world.deliver(spoken("one"))
    for _ in range(3):
        assert world.hand_off(spoken("one", "two", "three")).id == first.id
    assert world.hand_off(spoken("one", "two", "three", "four")).id == first.id
    world.run(within=60)

    text = "\n".join(acme.texts())
    assert [text.count(word) for word in ("two", "three", "four")] == [1, 1, 1]
    assert text.index("two") < text.index("three") < text.index("four")


def test_nothing_new_sends_nothing(world: World, acme: SimulatedAcme) -> None:
    world.deliver(spoken("one"))
    before = len(acme.requests)
    world.deliver(spoken("one"))
    world.run(within=600)
    assert len(acme.requests) == before


def test_what_was_said_already_is_not_said_again(world: World) -> None:
    handoff = world.hand_off(spoken("one"))
    world.rail.say(handoff.id, customer_says("two"))
    world.hand_off(spoken("one", "two", "three"))
    assert queued(world, handoff) == ["two", "three"]


def test_something_that_only_we_said_hides_nothing(world: World) -> None:
    handoff = world.hand_off(spoken("one"))
    world.rail.say(handoff.id, Message(role=Role.AI, text="an aside of the application"))
    world.hand_off(spoken("one", "two"))
    assert queued(world, handoff) == ["an aside of the application", "two"]


def test_the_same_words_twice_are_two_messages(world: World) -> None:
    handoff = world.hand_off(spoken("hello?"))
    world.hand_off(spoken("hello?", "hello?", "hello?"))
    world.hand_off(spoken("hello?", "hello?", "hello?"))
    assert queued(world, handoff) == ["hello?", "hello?"]


def test_a_conversation_that_is_not_the_same_adds_nothing(world: World) -> None:
    handoff = world.hand_off(spoken("one", "two"))
    assert world.hand_off(spoken("something", "else", "three")).id == handoff.id
    assert queued(world, handoff) == []


# Redaction.


def test_card_numbers_are_masked_everywhere(world: World, acme: SimulatedAcme) -> None:
    steps = [f"charge {CARD}"]
    handoff = world.deliver(
        a_conversation(f"card {CARD}", id="c-1"), summary=f"paid {CARD}", next_steps=steps
    )
    world.rail.say(handoff.id, customer_says(f"again {CARD}"))
    world.run(within=60)

    text = "\n".join(acme.texts())
    assert text.count("[card ending 1111]") >= 4
    assert CARD not in text + str(world.rail.list()) + str(world.operations(handoff))


def test_a_redactor_sees_later_messages_too(world: World, acme: SimulatedAcme, plugin: Any) -> None:
    def hide(conversation: Conversation) -> Conversation:
        hidden = [
            m.model_copy(update={"text": m.text.replace("Atlantis", "…")}) for m in conversation.messages
        ]
        return conversation.model_copy(update={"messages": tuple(hidden)})

    plugin(hide)
    handoff = world.deliver(spoken("I am in Atlantis"))
    world.rail.say(handoff.id, Message(role=Role.HUMAN, text="Atlantis it is"))
    world.run(within=60)
    assert "Atlantis" not in "\n".join(acme.texts())
    assert "it is" in acme.texts()[-1]


def test_a_redactor_that_leaves_things_is_fine(world: World, plugin: Any) -> None:
    plugin(lambda conversation: None)
    assert world.hand_off(spoken("one")).conversation.question == "one"


def test_a_redactor_that_fails_stops_its_handoff_visibly(world: World, plugin: Any) -> None:
    handoff = world.hand_off(spoken("one"))
    plugin(lambda conversation: 1 / 0)
    with pytest.raises(RedactorFailed, match=r"a redactor of the test failed \(ZeroDivisionError\)"):
        world.hand_off(spoken("two", id="c-2"))
    with pytest.raises(RedactorFailed, match="a redactor of the test"):
        world.rail.say(handoff.id, customer_says("more"))
    assert len(world.rail.list()) == 1
    assert queued(world, handoff) == []


# At once. On both stores.


@pytest.mark.parametrize("key", [None, "k"])
def test_twenty_at_once_are_one_handoff(
    worlds: Worlds, acme: SimulatedAcme, store_url: str, key: Any
) -> None:
    world = worlds(store=store_url)
    made = in_threads(20, lambda _: world.hand_off(spoken("one"), key=key))
    assert len({handoff.id for handoff in made}) == 1
    world.run(within=3600)
    assert len(acme.cases) == 1


def test_two_processes_at_once_add_what_is_new_once(
    worlds: Worlds, acme: SimulatedAcme, store_url: str
) -> None:
    rails: list[Handrail] = [worlds(store=store_url).rail for _ in range(2)]
    world = worlds(store=store_url)
    handoff = world.hand_off(spoken("one"))
    in_threads(8, lambda n: rails[n % 2].hand_off(spoken("one", "two", "three")))
    assert queued(world, handoff) == ["two", "three"]


def test_messages_at_once_all_arrive(worlds: Worlds, acme: SimulatedAcme, store_url: str) -> None:
    world = worlds(store=store_url)
    handoff = world.deliver(spoken("one"))
    in_threads(8, lambda n: world.rail.say(handoff.id, customer_says(f"message {n}.")))
    world.run(within=3600)
    text = "\n".join(acme.texts())
    assert [text.count(f"message {n}.") for n in range(8)] == [1] * 8


# Cancelling.


def test_what_has_not_been_sent_can_be_cancelled(world: World, acme: SimulatedAcme) -> None:
    handoff = world.hand_off()
    world.rail.cancel(handoff.id)
    world.rail.cancel(handoff.id)
    world.run(within=86400)
    assert world.show(handoff)["state"] == State.CANCELLED
    assert notes(world, handoff).count("cancelled") == 1
    assert acme.requests == []


def test_what_was_delivered_cannot_be_cancelled(world: World) -> None:
    handoff = world.deliver()
    with pytest.raises(Conflict, match="close it instead"):
        world.rail.cancel(handoff.id)


def test_what_may_have_been_delivered_cannot_be_cancelled(world: World, acme: SimulatedAcme) -> None:
    acme.fault("lose", on="POST /cases", when="after")
    handoff = world.hand_off()
    world.run()
    with pytest.raises(Conflict, match="may have reached"):
        world.rail.cancel(handoff.id)


def test_what_certainly_did_not_arrive_can_be_cancelled(world: World, acme: SimulatedAcme) -> None:
    acme.fault("status", on="POST /cases", status=429, retry_after="60")
    handoff = world.hand_off()
    world.run()
    world.rail.cancel(handoff.id)
    world.run(within=3600)
    assert acme.cases == {}


@pytest.mark.parametrize("do", ["say", "retry"])
def test_a_cancelled_handoff_takes_nothing_more(world: World, acme: SimulatedAcme, do: str) -> None:
    handoff = world.hand_off()
    world.rail.cancel(handoff.id)
    acts = {"say": lambda: world.rail.say(handoff.id, customer_says("more"))}
    acts["retry"] = lambda: world.rail.retry(handoff.id)
    with pytest.raises(Conflict, match="cancelled"):
        acts[do]()
    world.run(within=3600)
    assert acme.requests == []
