"""What a policy says of a conversation: signals, triggers, routes, timing, and the walk through it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.policies import DATA, NOW, fires, policy, rule, said

from handrail import Attempt, Conversation, Reason, Urgency
from handrail.policy.amount import amount_in
from handrail.policy.facts import Detectors, Facts
from handrail.policy.phrases import Heard
from handrail.policy.policy import Policy
from handrail.transcripts import conversation_from, read_conversations

REFUND = said(
    "Where is my refund of 250 euros?",
    "I was charged twice, I will call my lawyer",
    topic="refund",
    channel="chat",
    tags=["vip"],
    confidence=0.4,
    sentiment=-0.7,
    customer={"id": "u-7", "segments": ["gold"], "attributes": {"plan": "pro", "orders": 12}},
    fields={"amount": "250.50", "order-id": 7, "fragile": True, "nested": {"a": {"b": 1}}},
    attempts=[{"action": "x", "outcome": "failed"}, {"action": "x", "outcome": "done"}],
)


@pytest.mark.parametrize(
    "when",
    [
        'topic == "refund" and fields.amount > 200',
        '"gold" in customer.segments',
        'customer.attributes.plan == "pro" and customer.attributes.orders >= 10',
        'fields["order-id"] == 7',
        'fields["order-id"] == "7"',
        "fields.fragile",
        "fields.nested.a.b == 1",
        "amount > 250",
        '"legal" in sensitive and "payment_dispute" in sensitive',
        "sensitive",
        "sensitive.length == 2",
        "turns == 2 and failed_attempts == 1",
        'channel in ["chat", "phone"]',
        '"vip" in tags',
        "confidence < 0.5 and sentiment < -0.5",
        "subject == null",
        "not asked_for_human and not repeated_question",
        '"REFUND" in question and "lawyer" in last',
        '"refund" in text and matches(text, "charged\\s+twice")',
        'matches(last, "^i WAS")',
        r"matches(text, '\bcharged\s+twice\b')",
        "(fields.nothing ?? 3) == 3",
        "turns * 10 - 1 > 18 and -turns < 0 and turns / 0 == null",
        "true",
    ],
)
def test_a_condition_holds(when: str) -> None:
    assert fires(when, REFUND)


@pytest.mark.parametrize(
    "when",
    [
        "fields.nothing > 3",
        "fields.nothing < 3",
        "fields.nothing == 3",
        "fields.nothing != 3",
        'subject != "x"',
        '"x" in subject',
        '"x" in fields.nothing',
        'matches(subject, "x")',
        "fields.nothing.more > 1",
        "fields.fragile > 3",
        "fields.fragile == 1",
        "fields.nested > 3",
        "fields.amount * fields.nothing > 3",
        "sentiment > confidence",
        "fields.amount > topic",
        "false",
    ],
)
def test_what_is_missing_or_of_another_kind_is_no_error_and_does_not_hold(when: str) -> None:
    assert not fires(when, REFUND)


def test_one_missing_value_does_not_spoil_the_other_half() -> None:
    assert fires("fields.nothing > 3 or turns == 2", REFUND)
    assert not fires("fields.nothing > 3 and turns == 2", REFUND)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("I paid $1,234.50 and then €99", 1234.5),
        ("1.234,50 EUR bitte", 1234.5),
        ("it was 20 dollars", 20.0),
        ("USD 15", 15.0),
        ("£0.99", 0.99),
        ("3000円です", 3000.0),
        ("1 234 zł", 1234.0),
        ("order 1182 from 2024", None),
        ("no digits, many dollars", None),
        ("my flight is at 12:30", None),
    ],
)
def test_an_amount_of_money_is_read(text: str, amount: float | None) -> None:
    assert amount_in(Heard(text)) == amount


def test_the_largest_amount_that_was_named_counts_unless_the_host_gives_one() -> None:
    talk = said("I want $50 back", "no, $700", "or $600")

    assert fires("amount == 700", talk)
    assert fires("amount == 5", talk.model_copy(update={"fields": {"amount": 5}}))


def test_a_question_is_repeated_when_most_of_its_words_are() -> None:
    asked = "Where is the order that I placed on Monday?"

    assert fires("repeated_question", said(asked, "Thanks", "so WHERE is the order that I placed on monday"))
    assert not fires("repeated_question", said(asked, "Where can I change the address of my account?"))
    assert not fires("repeated_question", said("yes please", "yes please"))


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("I want to kill myself", "self_harm"),
        ("Ich will sterben", "self_harm"),
        ("quiero morir", "self_harm"),
        ("死にたい", "self_harm"),
        ("You will hear from my attorney.", "legal"),
        ("mon avocat vous écrira", "legal"),
        ("我要找律师", "legal"),
        ("My account was hacked!", "account_takeover"),
        ("взломали мой аккаунт", "account_takeover"),
        ("You charged me twice", "payment_dispute"),
        ("Es wurde doppelt abgebucht", "payment_dispute"),
        ("some days I just want to end it all", "self_harm"),
        ("my account was stolen", "account_takeover"),
        ("mi cuenta fue hackeada", "account_takeover"),
        ("I did not make this charge", "payment_dispute"),
    ],
)
def test_what_is_sensitive_is_found(text: str, category: str) -> None:
    assert fires(f'"{category}" in sensitive', said(text))


def test_words_of_a_sensitive_kind_inside_other_words_are_none() -> None:
    assert not fires("sensitive", said("I have an issue with the lawyering of grass, and pursue your offer"))


def test_a_list_of_sensitive_words_can_be_replaced_and_added() -> None:
    lists = '[signals.sensitive]\nlegal = ["paragraph"]\nvip = ["the mayor"]\n'
    made = policy('[[triggers]]\nname = "t"\nwhen = "sensitive"\n' + lists)
    found = [
        made.decide(said(text), NOW, default_desk="d").hand_off
        for text in ("my lawyer", "a Paragraph", "I am the mayor", "suicide")
    ]

    assert found == [False, True, True, True]


THREE = """
[[triggers]]
name = "asked"
when = "asked_for_human"
reason = "customer_request"
urgency = "high"
tags = ["asked"]

[[triggers]]
name = "stuck"
when = "failed_attempts >= 3 or turns > 5"
reason = "unclear"
timing = { wait = "10m" }
group = "tier-1"
owner = "ann"

[[triggers]]
name = "refund"
when = 'topic == "refund"'
reason = "policy"
next_steps = ["Check the record"]
desk = "money"

[[routes]]
name = "gold"
when = '"gold" in customer.segments'
urgency = "+1"
group = "premium"
tags = ["gold", "asked"]

[[routes]]
group = "everyone"
owner = "team"
urgency = "low"
next_steps = ["Say hello"]
"""


def test_the_first_trigger_decides_and_all_that_fire_are_recorded() -> None:
    talk = said("I want to talk to a person", topic="refund", customer={"segments": ["gold"]})
    decision = policy(THREE).decide(talk, NOW, default_desk="support")

    assert (decision.kind, decision.trigger, decision.reason) == (
        "hand_off",
        "asked",
        Reason.CUSTOMER_REQUEST,
    )
    assert [each.name for each in decision.fired] == ["asked", "refund"]
    assert (
        decision.because == 'asked: asked_for_human: the customer wrote "I want to talk to a person" (turn 1)'
    )
    assert decision.fired[1].because == 'topic is "refund"'
    assert (decision.conversation_id, decision.at, decision.until) == ("c-1", NOW, None)


def test_routes_fill_up_what_the_trigger_leaves_open() -> None:
    talk = said("I want to talk to a person", customer={"segments": ["gold"]})
    decision = policy(THREE).decide(talk, NOW, default_desk="support")

    assert (decision.desk, decision.group, decision.owner) == ("support", "premium", "team")
    assert decision.urgency is Urgency.URGENT  # high by the trigger, one step up by the route
    assert decision.tags == ("asked", "gold")
    assert decision.next_steps == ("Say hello",)
    assert [(each.name, each.because) for each in decision.routes] == [
        ("gold", "customer.segments is gold"),
        ("routes[1]", "takes every handoff"),
    ]


def test_the_trigger_s_own_wishes_win_over_routes() -> None:
    decision = policy(THREE).decide(said("Hello", topic="refund"), NOW, default_desk="support")

    assert (decision.desk, decision.group, decision.urgency) == ("money", "everyone", Urgency.LOW)
    assert decision.next_steps == ("Check the record", "Say hello")


def test_nothing_fires_and_the_ai_keeps_the_conversation() -> None:
    decision = policy(THREE).decide(said("Hello"), NOW, default_desk="support")

    assert (decision.kind, decision.hand_off, decision.fired) == ("keep", False, ())
    assert decision.because == "no trigger fires"


def test_a_wait_lasts_from_now() -> None:
    decision = policy(THREE).decide(said(*"abcdef"), NOW, default_desk="support")

    assert (decision.kind, decision.hand_off) == ("wait", True)
    assert decision.until == NOW + timedelta(minutes=10)
    assert decision.because == "stuck: turns is 6; the AI has 10m more"


def test_the_timing_of_a_promise_is_asked_of_whoever_counts_hours() -> None:
    from handrail.config import Sla
    from handrail.policy.due import promised

    promises = {"first_response": {Urgency.HIGH: timedelta(hours=2), Urgency.LOW: timedelta(minutes=5)}}

    def until(urgency: str) -> tuple[str, object]:
        trigger = rule("true", timing={"sla": "first_response", "lead": "20m"}, urgency=urgency).triggers
        policy = Policy(trigger, due_by=promised(Sla(**promises), None))
        decision = policy.decide(said("a"), NOW, default_desk="d")
        return decision.kind, decision.until

    assert until("high") == ("wait", NOW + timedelta(minutes=100))
    assert until("low") == ("hand_off", None)  # the lead is longer than the promise: too late to wait
    assert until("normal") == ("hand_off", None)  # nothing is promised


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_a_placeholder_for_a_time_is_none_that_a_promise_counts_from(at: str) -> None:
    from handrail.config import Sla
    from handrail.policy.due import promised
    from handrail.policy.hours import Calendar

    promises = Sla(first_response={Urgency.NORMAL: timedelta(hours=2)})
    office = Calendar("America/New_York", {"mon-sun": "00:00-24:00"})
    trigger = rule("true", timing={"sla": "first_response"}).triggers
    talk = Conversation.model_validate({"id": "c", "messages": [{"role": "customer", "text": "a", "at": at}]})
    decision = Policy(trigger, due_by=promised(promises, office)).decide(talk, NOW, default_desk="d")

    assert decision.until == NOW + timedelta(hours=2)


def test_a_reason_says_what_made_the_condition_true_and_masks_what_is_secret() -> None:
    talk = said("my card 4111 1111 1111 1111 was charged twice", fields={"a": 1})
    decision = rule("sensitive or fields.a == 2").decide(talk, NOW, default_desk="d")

    assert decision.because == (
        "t: sensitive (payment_dispute): the customer wrote "
        '"my card [card ending 1111] was charged twice" (turn 1)'
    )


def test_a_decision_can_be_stored_and_read() -> None:
    from handrail import Decision

    decision = policy(THREE).decide(said(*"abcdef"), NOW, default_desk="support")

    assert Decision.model_validate_json(decision.model_dump_json()) == decision


def test_the_digest_changes_with_the_policy() -> None:
    digests = {policy(text).digest for text in (THREE, THREE, THREE.replace("high", "low"))}

    assert len(digests) == 2


# The walk.

EVERYTHING = """
[[triggers]]
name = "asked"
when = "asked_for_human"
[[triggers]]
name = "sensitive"
when = "sensitive"
[[triggers]]
name = "stuck"
when = "failed_attempts >= 2 or repeated_question"
[[triggers]]
name = "long"
when = "turns >= 4 and not asked_for_human"
[[triggers]]
name = "money"
when = 'amount > 100 and "refund" in text'
[[triggers]]
name = "last"
when = 'matches(last, "thank|cancel")'
[[triggers]]
name = "question"
when = '"flight" in question'
"""


def prefixes(conversation: Conversation) -> Iterator[tuple[int, Conversation]]:
    """The conversation as it was after each message."""
    for end in range(1, len(conversation.messages) + 1):
        messages = conversation.messages[:end]
        attempts = tuple(each for each in conversation.attempts if (each.after or 0) <= end)
        yield end - 1, conversation.model_copy(update={"messages": messages, "attempts": attempts})


def assert_same(made: Policy, conversation: Conversation) -> int:
    walked = {turn.index: turn for turn in made.walk(conversation)}
    fired = set[str]()
    for index, so_far in prefixes(conversation):
        decision = made.decide(so_far, NOW, default_desk="d")
        assert walked[index].firing == tuple(each.name for each in decision.fired)
        fresh = {each.name: each.because for each in walked[index].fired}
        assert set(fresh) == set(walked[index].firing) - fired
        assert all(fresh.get(each.name, each.because) == each.because for each in decision.fired)
        fired = set(walked[index].firing)
    return sum(len(turn.fired) for turn in walked.values())


@pytest.mark.skipif(not DATA.exists(), reason="the real conversations are not here")
def test_the_walk_through_real_conversations_is_what_would_have_been_decided_each_time() -> None:
    made = policy(EVERYTHING)
    fired = sum(
        assert_same(made, talk) for talk in read_conversations(DATA) if isinstance(talk, Conversation)
    )

    assert fired > 100


TEXTS = st.sampled_from(
    [
        "I want a human",
        "no human please",
        "refund of $200",
        "my lawyer",
        "hello",
        "thank you",
        "cancel the flight",
    ]
)
STEP = st.tuples(st.sampled_from(["customer", "customer", "ai", "human"]), TEXTS, st.integers(0, 2))


@settings(max_examples=60, deadline=None, database=None)
@given(st.lists(STEP, min_size=1, max_size=12))
def test_the_walk_is_what_would_have_been_decided_each_time(steps: list[tuple[str, str, int]]) -> None:
    first = {"role": "customer", "text": "hello"}
    messages = [first, *({"role": role, "text": text} for role, text, _ in steps)]
    attempts = [
        Attempt(action="x", outcome="failed", after=place + 2)
        for place, (_, _, count) in enumerate(steps)
        for _ in range(count)
    ]
    talk = Conversation.model_validate({"id": "c", "messages": messages})

    assert_same(policy(EVERYTHING), talk.model_copy(update={"attempts": tuple(attempts)}))


def test_a_tool_call_has_its_place_among_the_messages() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    chat = [
        {"role": "user", "content": "Where is it?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "Error: gone"},
        {"role": "assistant", "content": "I cannot find it"},
        {"role": "user", "content": "Why?"},
    ]
    talk = conversation_from({"messages": chat})
    turns = list(rule("failed_attempts == 1").walk(talk))

    assert [attempt.after for attempt in talk.attempts] == [1]
    assert [bool(turn.fired) for turn in turns] == [True, False, False]


def test_an_attempt_is_placed_by_its_time_and_without_one_at_the_end() -> None:
    times = ["2026-11-20T09:00:00Z", "2026-11-20T09:10:00Z", "2026-11-20T09:20:00Z"]
    messages = [{"role": "customer", "text": "a", "at": at} for at in times]
    dated = {"action": "x", "outcome": "failed", "at": "2026-11-20T09:05:00Z"}
    undated = {"action": "x", "outcome": "failed"}

    def fired_at(attempt: dict[str, str], said_when: bool) -> list[int]:
        own = [each if said_when else {**each, "at": None} for each in messages]
        talk = Conversation.model_validate({"id": "c", "messages": own, "attempts": [attempt]})
        return [turn.index for turn in rule("failed_attempts == 1").walk(talk) if turn.fired]

    assert fired_at(dated, True) == [0]
    assert fired_at(undated, True) == [2]
    assert fired_at(dated, False) == [2]


# Cost and hostile text.


def test_a_walk_looks_at_each_message_once_and_only_at_triggers_whose_inputs_changed() -> None:
    made, looked, asked = policy(EVERYTHING), list[str](), list[int]()
    finds = made._searches[0].finds
    object.__setattr__(made._searches[0], "finds", lambda text: looked.append(text) or finds(text))
    holds = made.rules[0].holds
    object.__setattr__(made.rules[0], "holds", lambda values: asked.append(1) or holds(values))
    talk = said(*(f"message {n}" for n in range(50)))
    list(made.walk(talk))

    assert len(looked) == 50
    assert len(asked) == 1  # asked_for_human never changed


def test_a_signal_that_no_trigger_uses_is_not_looked_for() -> None:
    detectors = Detectors()
    facts = Facts(said("I want a human"), detectors, frozenset({"turns"}), [])
    for message in said("I want a human").messages:
        facts.hear(message)

    assert facts.values["turns"] == 1
    assert "asked_for_human" not in vars(detectors)  # its word lists were not even read


HOSTILE = [
    "human " * 20_000,
    "not " * 20_000 + "speak to a human",
    "'" * 100_000,
    '" ' * 50_000,
    "„" * 100_000,
    "$" * 50_000 + "1" * 50_000,
    "1,234" * 20_000 + " dollars",
    "> " * 50_000,
    "人" * 100_000,
    "a" * 500_000,
    "\u0000\ud800",
    "<<<{{{" * 10_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_decided_like_any_other(text: str) -> None:
    decision = policy(EVERYTHING).decide(said(text), NOW, default_desk="d")

    assert decision.kind in ("keep", "hand_off")
    assert len(json.dumps(decision.model_dump(mode="json"))) < 5_000
