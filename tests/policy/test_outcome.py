"""Whether a person took over is read from the conversation, and then hidden from the policy."""

from __future__ import annotations

from typing import Any

import pytest

from handrail.model import Conversation, Role
from handrail.policy.outcome import Known, Outcome
from handrail.transcripts import conversation_from


def call(name: str, id: str = "1") -> dict[str, Any]:
    function = {"name": name, "arguments": '{"summary": "wants a refund"}'}
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": id, "type": "function", "function": function}],
    }


def result(text: str, id: str = "1") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": text}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def chat(*messages: dict[str, Any], **more: Any) -> Conversation:
    return conversation_from({"messages": list(messages), **more})


TRANSFERRED = chat(
    user("My bag is lost"),
    call("find_bag", "0"),
    result("Error: not found", "0"),
    {"role": "assistant", "content": "Sorry"},
    user("And now?"),
    call("transfer_to_human_agents"),
    result("Transfer successful"),
    {"role": "assistant", "content": "You are being transferred to a human"},
    user("I want a human!"),
)


def test_a_call_that_hands_over_is_the_outcome_and_the_moment() -> None:
    seen, outcome = Known().look(TRANSFERRED)

    assert outcome == Outcome(True, 3)
    assert [message.text for message in seen.messages] == ["My bag is lost", "Sorry", "And now?"]
    assert [attempt.action for attempt in seen.attempts] == ["find_bag"]


def test_a_hand_over_that_failed_is_none_and_still_not_seen() -> None:
    conversation = chat(
        user("Help"), call("transfer_to_human_agents"), result("Error: nobody is there"), user("Well?")
    )
    seen, outcome = Known().look(conversation)

    assert outcome == Outcome(False)
    assert seen.attempts == ()
    assert len(seen.messages) == 2


def test_a_person_who_spoke_took_over() -> None:
    messages = [{"role": role, "text": role} for role in ("customer", "ai", "human", "customer")]
    seen, outcome = Known().look(conversation_from({"messages": messages}))

    assert outcome == Outcome(True, 2)
    assert [message.role for message in seen.messages] == [Role.CUSTOMER, Role.AI]


@pytest.mark.parametrize(
    ("mark", "transferred"),
    [
        ({"fields": {"transferred": True}}, True),
        ({"fields": {"Escalated": "yes"}}, True),
        ({"tags": ["handed_off"]}, True),
        ({"fields": {"transferred": False}}, False),
        ({"fields": {"transferred": "no"}}, False),
        ({"fields": {"other": True}}, False),
    ],
)
def test_a_field_or_a_tag_says_so_and_no_trigger_sees_it(mark: dict[str, Any], transferred: bool) -> None:
    seen, outcome = Known().look(chat(user("Help"), **mark))

    assert outcome == Outcome(transferred, None)
    assert set(seen.fields) == set(mark.get("fields", {})) & {"other"}
    assert seen.tags == ()


def test_names_of_ones_own_take_the_place_of_the_usual_ones() -> None:
    conversation = chat(user("a"), call("ring_the_bell"), result("ok"), user("b"), tags=["transferred"])

    assert Known().look(conversation)[1] == Outcome(True, None)
    assert Known(["Ring_The_Bell"]).look(conversation)[1] == Outcome(True, 1)
    assert Known(["transfer_to_human_agents"]).look(conversation)[1] == Outcome(False)


def test_an_ordinary_conversation_is_seen_whole() -> None:
    conversation = chat(user("a"), call("look_up"), result("ok"), user("b"))
    seen, outcome = Known().look(conversation)

    assert outcome == Outcome(False)
    assert seen is conversation
