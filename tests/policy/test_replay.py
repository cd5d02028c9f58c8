"""The replay: when a policy would have escalated, what it could know then, what two policies differ in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from handrail.errors import InputError
from handrail.model import Conversation
from handrail.policy.flow_model import Flow
from handrail.policy.model import Route, Trigger
from handrail.policy.outcome import Known
from handrail.policy.policy import Policy
from handrail.policy.replay import MOST_EXAMPLES, Entry, Replay, Running
from handrail.policy.shown_replay import replay_blocks
from handrail.policy.trial import tried
from handrail.transcripts import conversation_from

START = datetime(2026, 11, 20, 9, 58, tzinfo=UTC)
HUMAN = Trigger(name="asked", when="asked_for_human", reason="customer_request", group="first-line")
STUCK = Trigger(name="stuck", when="failed_attempts >= 2", reason="unclear", urgency="high")
POLICY = Policy([HUMAN, STUCK])


def user(text: str, at: datetime | None = None) -> dict[str, Any]:
    return {"role": "user", "content": text} | ({"at": at.isoformat()} if at else {})


def ai(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def tool(name: str, answer: str) -> list[dict[str, Any]]:
    calls = [{"id": name, "type": "function", "function": {"name": name, "arguments": "{}"}}]
    called = {"role": "assistant", "content": "", "tool_calls": calls}
    return [called, {"role": "tool", "tool_call_id": name, "content": answer}]


TRANSFER = tool("transfer_to_human_agents", "Transfer successful")


def chat(*messages: dict[str, Any], **more: Any) -> Conversation:
    return conversation_from({"messages": list(messages), **more})


def replay(*conversations: Conversation, known: Any = None) -> Any:
    run = Replay([Running("p", POLICY)], known)
    entries = [run.see(one, "f.jsonl", number) for number, one in enumerate(conversations, 1)]
    return run, entries


def one(conversation: Conversation, *policies: Policy) -> Entry:
    run = Replay([Running(f"p{n}", policy) for n, policy in enumerate(policies or (POLICY,))])
    return run.see(conversation, "f.jsonl", 1)


ASKS = chat(
    user("Hello", START),
    ai("Hi"),
    user("Where is it?", START + timedelta(minutes=1)),
    ai("Lost"),
    user("Let me talk to a human", START + timedelta(minutes=5)),
    ai("Wait"),
    user("I want a human now", START + timedelta(minutes=9)),
)


def test_the_first_moment_is_named_with_its_turn_time_trigger_and_sentence() -> None:
    entry = one(ASKS)
    found = entry.results[0].escalation

    assert found is not None
    assert (found.turn, found.message, entry.turns) == (3, 5, 4)
    assert found.at == START + timedelta(minutes=5)
    assert (found.trigger, found.reason, found.group) == ("asked", "customer_request", "first-line")
    assert "Let me talk to a human" in found.because
    assert "now" not in found.because


def test_a_conversation_that_no_trigger_takes_is_left_alone() -> None:
    entry = one(chat(user("Where is it?"), ai("Here"), user("Thanks")))

    assert entry.results[0].escalation is None
    assert entry.results[0].verdict == "kept"


FAILS = [*tool("a", "Error: no"), *tool("b", "Error: no")]


def test_what_failed_counts_from_the_moment_when_it_failed() -> None:
    entry = one(chat(user("One"), ai("Yes?"), user("Two"), *FAILS, ai("Sorry"), user("Three")))
    found = entry.results[0].escalation

    assert found is not None
    assert (found.trigger, found.turn) == ("stuck", 2)


def test_nothing_after_the_transfer_is_seen_and_the_transfer_itself_triggers_nothing() -> None:
    calls = Policy([Trigger(name="any", when='"transfer" in text'), STUCK])
    conversation = chat(
        user("My bag"), ai("Hm"), user("And?"), *TRANSFER, ai("transferred"), user("a human!")
    )

    assert one(conversation).results[0].verdict == "miss"
    assert one(conversation, calls).results[0].verdict == "miss"
    after = chat(user("My bag"), *TRANSFER, *FAILS, user("more"))
    assert one(after).results[0].verdict == "miss"


def test_what_was_tried_after_a_person_spoke_is_not_seen() -> None:
    person = {"role": "human", "text": "Bo here"}
    conversation = chat(user("My bag"), ai("Hm"), person, *FAILS, user("Well?"))

    assert one(conversation).results[0].verdict == "miss"


def test_a_hit_fires_at_the_transfer_or_before_it() -> None:
    at_once = one(chat(user("Hi there, my bag"), user("A human please"), *TRANSFER))
    earlier = one(chat(user("A human please"), ai("No"), user("But"), ai("No"), user("Well"), *TRANSFER))

    assert [each.results[0].verdict for each in (at_once, earlier)] == ["hit", "hit"]
    assert [each.results[0].earlier for each in (at_once, earlier)] == [0, 2]
    assert earlier.transferred_at_turn == 3


def test_the_counts_hold_every_verdict_and_say_so_in_sentences() -> None:
    hit, miss = chat(user("A human please"), *TRANSFER), chat(user("My bag"), *TRANSFER)
    false_alarm, kept = chat(user("I want a human")), chat(user("My bag is here"))
    run, _ = replay(hit, miss, miss, false_alarm, kept)
    counted = run.summary()["policy"]
    sentences = replay_blocks(run.summary(), run.examples)[0].lines

    assert [counted[name] for name in ("hits", "misses", "false_alarms", "left_alone")] == [1, 2, 1, 1]
    assert counted["rate"] == 0.4
    assert any("finds 1 of the 3 real transfers (33 %)" in line for line in sentences)
    assert any("It misses 2" in line for line in sentences)
    assert any("It adds 1" in line for line in sentences)


def test_without_any_outcome_nothing_is_said_of_hits() -> None:
    run, _ = replay(chat(user("I want a human")), chat(user("My bag")))
    sentences = " ".join(replay_blocks(run.summary(), run.examples)[0].lines)

    assert "--transferred-by" in sentences
    assert "finds" not in sentences


def test_of_two_policies_each_sentence_and_table_names_its_own() -> None:
    run = Replay([Running("a.toml", Policy([HUMAN])), Running("b.toml", Policy([STUCK]))])
    run.see(chat(user("A human please"), *TRANSFER), "f.jsonl", 1)
    first, *tables = replay_blocks(run.summary(), run.examples)

    assert {"a.toml misses 0", "b.toml misses 1"} <= set(first.lines)
    assert not [line for line in first.lines if line.startswith("It ")]
    assert [table.title.partition(":")[0] for table in tables][-1] == "Missed by b.toml"


def test_turns_at_which_nothing_escalates_keep_their_place_in_the_chart() -> None:
    run, _ = replay(chat(user("I want a human")), ASKS)
    [by_turn] = [block for block in replay_blocks(run.summary(), run.examples) if "By turn" in block.title]

    assert by_turn.rows == (("1", 1), ("2", 0), ("3", 1))


def test_volume_is_counted_by_trigger_group_urgency_turn_and_hour() -> None:
    run, _ = replay(ASKS, chat(user("One"), *FAILS), known=Known())
    counted = run.summary()["policy"]

    assert counted["by_trigger"] == {"asked": 1, "stuck": 1}
    assert counted["by_group"] == {"first-line": 1, "(none)": 1}
    assert counted["by_urgency"] == {"normal": 1, "high": 1}
    assert counted["by_turn"] == {"1": 1, "3": 1}
    assert {hour: n for hour, n in counted["by_hour"].items() if n} == {"10": 1}


def changed(before: Policy, after: Policy, conversation: Conversation) -> tuple[str, str] | None:
    change = one(conversation, before, after).change
    return (change.kind, change.because) if change else None


def test_each_changed_decision_has_the_sentence_that_caused_it() -> None:
    stricter = Policy([HUMAN, Trigger(name="stuck", when="failed_attempts >= 3", reason="unclear")])
    fails = chat(user("One"), *FAILS, ai("Sorry"), user("A human please"))
    asks = chat(user("A human please"))
    elsewhere = Policy([HUMAN, STUCK], [Route(when="asked_for_human", urgency="urgent")])

    assert changed(POLICY, POLICY, fails) is None
    kind, because = changed(Policy([STUCK]), POLICY, asks) or ("", "")
    assert kind == "added"
    assert "A human please" in because
    kind, because = changed(POLICY, stricter, chat(user("One"), *FAILS)) or ("", "")
    assert kind == "dropped"
    assert "failed_attempts is 2" in because
    assert (changed(POLICY, stricter, fails) or ("", ""))[0] == "other_trigger"
    assert (
        changed(
            Policy([STUCK]),
            Policy([stricter.triggers[1]]),
            chat(user("One"), *FAILS, ai("Sorry"), user("Again"), *tool("c", "Error: no")),
        )
        or ("", "")
    )[0] == "later"
    kind, because = changed(POLICY, elsewhere, asks) or ("", "")
    assert kind == "elsewhere"
    assert "urgency normal becomes urgent" in because


WAITS = Policy(
    [
        Trigger(name="asked", when="asked_for_human and turns >= 3", group="first-line"),
        Trigger(name="stuck", when='"lost" in text', timing={"wait": "10m"}, group="slow"),
    ]
)
"""The one that waits is asked second: a later decision of the first ends its wait."""


def at(minute: float) -> datetime:
    return START + timedelta(minutes=minute)


def test_a_conversation_that_ends_before_the_wait_is_over_is_not_escalated() -> None:
    run = Replay([Running("p", WAITS)])
    entry = run.see(chat(user("It is lost", at(0)), ai("Hm"), user("Found it", at(1))), "f.jsonl", 1)
    counted, told = run.summary()["policy"], entry.document()["policy"]

    assert (entry.results[0].escalation, entry.results[0].verdict) == (None, "kept")
    assert (counted["escalated"], counted["rate"], counted["waiting_at_end"]) == (0, 0.0, 1)
    assert (counted["false_alarms"], counted["left_alone"], counted["by_trigger"]) == (0, 1, {})
    assert (told["escalates"], told["waiting_at_end"], told["trigger"]) == (False, True, "stuck")
    sentences = replay_blocks(run.summary(), run.examples)[0].lines
    assert "p: 1 more would still wait when they end; they do not count as escalated" in sentences


def test_a_wait_hands_over_when_it_is_over() -> None:
    slow = chat(user("It is lost", at(0)), ai("Hm"), user("Well?", at(9)), ai("Hm"), user("Well?", at(10)))
    entry = one(slow, WAITS)
    found = entry.results[0].escalation

    assert found is not None
    assert (found.turn, found.message, found.at, found.kind) == (3, 5, at(10), "wait")
    assert "It is lost" in found.because


def test_a_person_who_is_there_before_the_wait_is_over_was_not_found_by_it() -> None:
    def taken(minute: float) -> Entry:
        person = {"role": "human", "text": "Bo here", "at": at(minute).isoformat()}
        return one(chat(user("It is lost", at(0)), ai("Hm"), user("Well?", at(2)), person), WAITS)

    early, late = taken(3), taken(10)

    assert (early.results[0].verdict, early.results[0].fate.waiting is not None) == ("miss", True)
    assert (late.results[0].verdict, late.results[0].earlier) == ("hit", 0)
    assert late.results[0].escalation is not None
    assert late.results[0].escalation.at == at(10)


def test_a_decision_that_says_now_ends_a_wait() -> None:
    asks = chat(
        user("It is lost", at(0)), user("Well?", at(2)), user("A human please", at(4)), user("So?", at(20))
    )
    late = chat(user("It is lost", at(0)), user("Well?", at(2)), user("A human please", at(10)))

    for conversation, trigger, turn in ((asks, "asked", 3), (late, "stuck", 3)):
        found = one(conversation, WAITS).results[0].escalation
        assert found is not None
        assert (found.trigger, found.turn) == (trigger, turn)


def test_a_longer_wait_does_not_put_off_the_one_that_runs_and_a_shorter_one_ends_it() -> None:
    def run(first: str) -> Any:
        other = Trigger(name="other", when='"angry" in text', timing={"wait": first})
        policy = Policy([other, WAITS.triggers[1]])
        said = [user("It is lost", at(0)), user("I am angry", at(2)), user("So?", at(7)), user("So?", at(30))]
        found = one(chat(*said), policy).results[0].escalation
        return found and (found.trigger, found.turn, found.at)

    assert run("5m") == ("other", 3, at(7))
    assert run("20m") == ("stuck", 4, at(10))


def test_without_times_a_wait_counts_where_it_begins_and_that_is_said_once() -> None:
    run = Replay([Running("a", WAITS), Running("b", WAITS)])
    for number in (1, 2):
        entry = run.see(chat(user("Hello"), user("It is lost"), user("Well?")), "f.jsonl", number)
        assert [each.escalation and each.escalation.turn for each in entry.results] == [2, 2]
    run.see(chat(user("It is lost", at(0)), user("Well?", at(60))), "f.jsonl", 3)
    [said] = [line for line in replay_blocks(run.summary(), run.examples)[0].lines if "no times" in line]

    assert run.summary()["untimed"] == 2
    assert said.startswith("2 conversations in which a trigger waits")


def test_a_longer_wait_changes_the_volume_and_says_why() -> None:
    now = Policy([Trigger(name="stuck", when='"lost" in text')])
    kind, because = changed(now, WAITS, chat(user("It is lost", at(0)), user("Found it", at(1)))) or ("", "")

    assert kind == "dropped"
    assert because.endswith("it would still wait at the end")


def test_questions_of_a_flow_count_where_they_begin_for_they_end_with_people_too() -> None:
    flow = Flow.model_validate({"steps": [{"collect": ["order_id"]}]})
    policy = Policy([Trigger(name="lost", when='"lost" in text', flow="ask")], flows={"ask": flow})
    found = one(chat(user("It is lost", at(0)), user("Well?", at(1))), policy).results[0].escalation

    assert found is not None
    assert (found.kind, found.turn) == ("collect", 1)


def test_examples_are_few_however_many_conversations() -> None:
    run = Replay([Running("a", Policy([])), Running("b", POLICY)])
    for number in range(10 * MOST_EXAMPLES):
        run.see(chat(user("A human please")), "f.jsonl", number)

    assert run.changes == {"added": 10 * MOST_EXAMPLES}
    assert {kind: len(kept) for kind, kept in run.examples.items()} == {
        "added": MOST_EXAMPLES,
        "false_alarm": MOST_EXAMPLES,
    }


def test_a_conversation_that_begins_with_a_person_has_no_turn_of_the_policys() -> None:
    said = (("ai", "Welcome"), ("human", "Bo here"), ("customer", "A human please"))
    messages = [{"role": role, "text": text} for role, text in said]
    always = Policy([Trigger(name="always", when='question != "x" or turns >= 0')])
    entry = one(conversation_from({"messages": messages}), always)

    assert entry.transferred
    assert entry.results[0].verdict == "miss"


@pytest.mark.parametrize(
    ("change", "key", "value"),
    [
        ("stuck.when=failed_attempts >= 4", "when", "failed_attempts >= 4"),
        ("stuck.group=billing", "group", "billing"),
        ("stuck.urgency=+1", "urgency", "+1"),
        ('stuck.next_steps=["a", "b"]', "next_steps", ("a", "b")),
    ],
)
def test_a_change_can_be_tried(change: str, key: str, value: Any) -> None:
    after = tried(POLICY, [change])

    assert getattr(after.triggers[1], key) == value
    assert after.triggers[0] == HUMAN
    assert getattr(POLICY.triggers[1], key) != value


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("stuk.when=true", "did you mean 'stuck'"),
        ("stuck.wen=true", "did you mean 'when'"),
        ("stuck.name=other", "no 'name' to change"),
        ("stuck.when=nonsense >= 2", "nonsense"),
        ("stuck.urgency=hot", "no urgency"),
        ("stuck", "TRIGGER.KEY=VALUE"),
    ],
)
def test_a_change_that_cannot_be_made_is_said(change: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        tried(POLICY, [change])


def test_what_was_heard_is_not_heard_again_to_decide() -> None:
    made, looked = Policy([Trigger(name="t", when='"lost" in text')]), list[str]()
    finds = made._searches[0].finds
    object.__setattr__(made._searches[0], "finds", lambda text: looked.append(text) or finds(text))

    found = one(chat(user("Hello"), ai("Hi"), user("It is lost"), ai("Oh"), user("Well?")), made)

    assert found.results[0].escalation is not None
    assert looked == ["Hello", "It is lost"]
