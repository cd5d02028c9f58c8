"""Conversation files: every format, every mistake named with its cure, nothing good lost beside it."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handrail.errors import InputError
from handrail.model import Conversation, Customer, Message, Role
from handrail.parsing import Twice, parsed
from handrail.transcripts import conversation_from, read_conversations, transfer_summary

AIRLINE = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "tau-bench-airline.jsonl"
HELLO = {"role": "user", "content": "Where is my refund?"}


def wrong(data: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        conversation_from(data)
    return caught.value


def read(path: Path, content: str | bytes) -> list[Conversation | InputError]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_conversations(path))


def call(name: str, arguments: str, identity: str = "1") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"role": "assistant", "content": None, "tool_calls": [{"id": identity, "function": function}]}


def answer(text: str, identity: str = "1") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identity, "content": text}


# The formats.


def test_a_native_conversation_keeps_everything() -> None:
    data = {
        "id": "c-42",
        "channel": "webchat",
        "subject": "Refund",
        "language": "en",
        "topic": "refund",
        "intent": "refund_request",
        "tags": ["vip"],
        "confidence": 0.42,
        "url": "https://app.example.com/c/42",
        "customer": {
            "id": "u-7",
            "name": "Ann",
            "email": "ann@example.com",
            "phone": None,
            "segments": ["gold"],
            "attributes": {"plan": "pro"},
        },
        "messages": [
            {"role": "customer", "text": "Where?", "at": "2026-11-20T09:31:00Z"},
            {"role": "ai", "text": "."},
        ],
        "attempts": [{"action": "look", "arguments": {"id": "1"}, "outcome": "failed", "detail": "too old"}],
        "fields": {"order_id": "1182"},
    }

    assert conversation_from(data) == Conversation.model_validate(data)


def test_openai_messages_become_messages_and_attempts() -> None:
    conversation = Conversation.from_openai(
        [
            {"role": "system", "content": "SECRET POLICY"},
            {"role": "developer", "content": "SECRET TOO"},
            HELLO,
            call("look_up", '{"id": "1182"}'),
            answer("Error: order too old"),
            call("think", "not json {", "2"),
            answer('{"error": null, "ok": true}', "2"),
            call("wait", "", "3"),
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "Sorry"}, {"type": "refusal", "refusal": "no"}],
            },
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}],
            },
        ],
        id="c-42",
        customer=Customer(email="ann@example.com"),
    )

    assert [(m.role.value, m.text) for m in conversation.messages] == [
        ("customer", "Where is my refund?"),
        ("ai", "Sorry\nno"),
        ("customer", "[image]"),
    ]
    assert [(a.action, a.arguments, a.outcome, a.detail) for a in conversation.attempts] == [
        ("look_up", {"id": "1182"}, "failed", "Error: order too old"),
        ("think", {"arguments": "not json {"}, "done", '{"error": null, "ok": true}'),
        ("wait", {}, "unknown", None),
    ]
    assert conversation.customer.email == "ann@example.com"
    assert "SECRET" not in conversation.model_dump_json()


def test_anthropic_blocks_become_messages_and_attempts() -> None:
    conversation = Conversation.from_anthropic(
        [
            {"role": "user", "content": "Refund please"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "PRIVATE"},
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "t1", "name": "refund", "input": {"order": 1182}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "t1",
                        "is_error": True,
                        "content": [{"type": "text", "text": "no"}],
                    },
                    {"type": "document", "title": "bill.pdf", "source": {}},
                    {"type": "text", "text": "Well?"},
                ],
            },
        ]
    )

    assert [m.text for m in conversation.messages] == [
        "Refund please",
        "I look.",
        "[document] bill.pdf\nWell?",
    ]
    assert [(a.action, a.arguments, a.outcome, a.detail) for a in conversation.attempts] == [
        ("refund", {"order": 1182}, "failed", "no")
    ]
    assert "PRIVATE" not in conversation.model_dump_json()


def test_function_calls_of_the_older_format_are_attempts() -> None:
    old = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "[1]"}}
    conversation = conversation_from(
        {"messages": [HELLO, old, {"role": "function", "name": "f", "content": "1"}]}
    )

    assert [(a.action, a.arguments, a.outcome) for a in conversation.attempts] == [
        ("f", {"arguments": [1]}, "done")
    ]


def test_a_call_id_that_is_used_again_gets_its_own_result() -> None:
    rounds = [call("a", "{}"), answer("one"), call("b", "{}"), answer("Error: two"), answer("three", "lost")]
    attempts = conversation_from({"messages": [HELLO, *rounds]}).attempts

    assert [(a.action, a.outcome, a.detail) for a in attempts] == [
        ("a", "done", "one"),
        ("b", "failed", "Error: two"),
        ("tool", "done", "three"),
    ]


def test_a_result_by_name_does_not_overwrite_an_answered_call() -> None:
    late = {"role": "tool", "name": "a", "content": "late"}
    attempts = conversation_from({"messages": [HELLO, call("a", "{}"), answer("one"), late]}).attempts

    assert [(a.action, a.detail) for a in attempts] == [("a", "one"), ("a", "late")]


def test_native_keys_stand_beside_chat_messages_and_explicit_attempts_come_first() -> None:
    given_ = [{"action": "first", "outcome": "done"}]
    messages = [{**HELLO, "at": "2026-11-20T09:31:00+02:00"}, call("second", "{}")]
    conversation = conversation_from({"messages": messages, "attempts": given_, "topic": "refund", "id": 42})

    assert [a.action for a in conversation.attempts] == ["first", "second"]
    assert (conversation.id, conversation.topic) == ("42", "refund")
    assert conversation.messages[0].at == datetime(2026, 11, 20, 7, 31, tzinfo=UTC)


def test_system_text_and_request_settings_are_dropped() -> None:
    native = {"role": "system", "text": "SECRET"}
    data = {"messages": [native, {"role": "customer", "text": "hi"}], "system": "SECRET", "tools": ["SECRET"]}

    assert "SECRET" not in conversation_from(data).model_dump_json()


def test_a_long_result_is_masked_before_it_is_cut() -> None:
    text = "x" * 290 + " 4111 1111 1111 1111 " + "y" * 9_000_000
    detail = conversation_from({"messages": [HELLO, call("f", "{}"), answer(text)]}).attempts[0].detail

    assert detail is not None
    assert len(detail) <= 300
    assert "4111" not in detail
    assert detail.endswith("…")


def test_unknown_keys_are_kept() -> None:
    data = {
        "messages": [HELLO],
        "task_id": 7,
        "meta": {"a": [1]},
        "customer": {"plan": "pro"},
        "nothing": None,
    }
    conversation = conversation_from(data)

    assert conversation.fields == {"task_id": 7, "meta": '{"a": [1]}'}
    assert conversation.customer.attributes == {"plan": "pro"}


def test_the_same_content_gets_the_same_id_and_another_another() -> None:
    one, same, other = (conversation_from({"messages": [HELLO], "n": n}).id for n in (1, 1, 2))

    assert one == same != other


def test_reading_what_was_written_changes_nothing() -> None:
    conversation = Conversation(
        messages=(Message(role="customer", text="hi", name="Ann"), Message(role="human", text="yes")),
        tags=("a",),
    )

    assert conversation_from(conversation.model_dump(mode="json")) == conversation
    assert conversation_from(conversation) == conversation


@pytest.mark.parametrize(
    "name", ["transfer_to_human_agents", "escalateToHuman", "handoff_to_support", "escalate"]
)
def test_the_summary_of_a_hand_over_is_found(name: str) -> None:
    told = conversation_from({"messages": [HELLO, call(name, '{"summary": "wants money"}'), answer("ok")]})
    untold = conversation_from({"messages": [HELLO, call("transfer_money", '{"summary": "x"}')]})

    again = [call(name, '{"summary": "first"}'), answer("busy"), call(name, '{"reason": "second"}', "2")]

    assert transfer_summary(told) == "wants money"
    assert transfer_summary(conversation_from({"messages": [HELLO, *again]})) == "second"
    assert transfer_summary(untold) is None


# The mistakes.


@pytest.mark.parametrize(
    ("data", "field", "cure"),
    [
        ([], None, "object with 'messages'"),
        ({}, "messages", "is missing"),
        ({"mesages": []}, "mesages", "'messages'"),
        ({"messages": {}}, "messages", "list"),
        ({"messages": []}, "messages", "no customer message"),
        ({"messages": [HELLO], "custmer": {}}, "custmer", "'customer'"),
        ({"messages": [HELLO], "customer": {"emial": "x"}}, "customer.emial", "'email'"),
        ({"messages": [HELLO], "customer": "Ann"}, "customer", "curly brackets"),
        ({"messages": [HELLO, 5]}, "messages[1]", "no object"),
        ({"messages": [HELLO, {"role": "asistant", "content": "x"}]}, "messages[1].role", "'assistant'"),
        ({"messages": [{"role": "custmer", "text": "x"}]}, "messages[0].role", "'customer'"),
        ({"messages": [{"role": "agent", "text": "x"}]}, "messages[0].role", "'ai' or 'human'"),
        ({"messages": [{"text": "x"}]}, "messages[0].role", "missing"),
        ({"messages": [{"role": ["x"], "text": "x"}]}, "messages[0].role", "no role"),
        ({"messages": [{"role": "user", "text": "x"}]}, "messages[0].role", "'customer'"),
        ({"messages": [{"role": "customer", "txt": "x"}]}, "messages[0].txt", "'text'"),
        ({"messages": [{"role": "customer", "content": "x"}]}, "messages[0].content", "'text'"),
        ({"messages": [{"role": "customer", "text": 5}]}, "messages[0].text", "quotes"),
        ({"messages": [{"role": "customer"}]}, "messages[0].text", "missing"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "missing"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "list of parts"),
        ({"messages": [{"role": "user", "content": [5]}]}, "messages[0].content[0]", "no part"),
        (
            {"messages": [{"role": "user", "content": [{"text": 5}]}]},
            "messages[0].content[0].text",
            "no text",
        ),
        (
            {"messages": [{"role": "system", "content": "s"}, {**HELLO, "at": "soon"}]},
            "messages[1].at",
            "2026-",
        ),
        ({"messages": [HELLO, {"role": "assistant", "tool_calls": 5}]}, "messages[1].tool_calls", "list"),
        (
            {"messages": [HELLO, {"role": "assistant", "tool_calls": [5]}]},
            "messages[1].tool_calls[0]",
            "function",
        ),
        ({"messages": [{**HELLO, "at": "0001-01-01T00:00:00+14:00"}]}, "messages[0].at", "no time"),
        (
            {"messages": [HELLO], "attempts": [{"action": "a", "at": "9999-12-31T23:59:59-12:00"}]},
            "attempts[0].at",
            "after all time",
        ),
        ({"messages": [HELLO], "tags": "vip"}, "tags", "square brackets"),
        ({"messages": [HELLO], "channel": 5}, "channel", "quotes"),
        ({"messages": [HELLO], "confidence": "high"}, "confidence", "0.42"),
        ({"messages": [HELLO], "sentiment": {}}, "sentiment", "neither"),
        ({"messages": [HELLO], "id": "x" * 201}, "id", "at most 200"),
        (
            {"messages": [HELLO], "attempts": [{"action": "a", "outcom": "done"}]},
            "attempts[0].outcom",
            "'outcome'",
        ),
        (
            {"messages": [HELLO], "attempts": [{"action": "a", "outcome": "ok"}]},
            "attempts[0].outcome",
            "'failed'",
        ),
        ({"messages": [HELLO], "attempts": 5}, "attempts", "square brackets"),
        ({"messages": [HELLO], "order": 1, "fields": {"order": 2}}, "order", "keep one"),
        ({"messages": [HELLO], "fields": {"x": float("nan")}}, "fields", "null"),
    ],
)
def test_a_mistake_is_named_with_its_cure(data: Any, field: str | None, cure: str) -> None:
    error = wrong(data)

    assert error.field == field
    assert cure in error.message


def test_too_much_is_refused_and_the_longest_part_named() -> None:
    error = wrong({"messages": [HELLO, {"role": "user", "content": "x" * 20_000_000}]})

    assert error.field == "messages[1]"
    assert "20,000,000" in error.message
    assert wrong({"messages": [HELLO], "fields": {"x": "y" * 11_000_000}}).field == "fields"


def test_nesting_has_an_end() -> None:
    deep: Any = "x"
    for _ in range(5000):
        deep = [deep]

    assert wrong({"messages": [HELLO], "fields": {"x": deep}}).field == "fields"
    assert wrong({"messages": [HELLO], "x": deep}).field == "fields"
    assert "deep" in wrong({"messages": [HELLO], "customer": {"attributes": {"x": deep}}}).message


# Files.


def test_a_bad_line_hides_no_good_one(tmp_path: Path) -> None:
    good = json.dumps({"messages": [HELLO], "id": "a"})
    bad = json.dumps({"messages": [{"role": "usr", "content": "x"}]})
    found = read(
        tmp_path / "c.jsonl", f"{good}\n\n{{'a': 1}}\n[1]\n{bad}\n{good[:-5]}\n{good.replace('a', 'b')}"
    )

    assert [getattr(item, "line", None) for item in found] == [None, 3, 4, 5, 6, 7]
    errors = [item for item in found if isinstance(item, InputError)]
    assert all(error.file == str(tmp_path / "c.jsonl") for error in errors)
    assert "double quotes" in errors[0].message
    assert ".json" in errors[1].message
    assert errors[2].field == "messages[0].role"
    assert str(errors[2]).startswith(f"{tmp_path / 'c.jsonl'}:5: messages[0].role: ")


def test_a_bad_item_of_a_list_is_named_by_its_place(tmp_path: Path) -> None:
    found = read(tmp_path / "c.json", json.dumps([{"messages": [HELLO]}, 5, {"messages": [{"role": "x"}]}]))

    assert isinstance(found[0], Conversation)
    assert [item.field for item in found[1:] if isinstance(item, InputError)] == [
        "[1]",
        "[2].messages[0].role",
    ]


def test_the_content_decides_where_the_name_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = {"messages": [HELLO]}
    lines, pretty, many = f"{json.dumps(one)}\n" * 2, json.dumps(one, indent=2), json.dumps([one] * 3)

    assert [len(read(tmp_path / "c.txt", text)) for text in (lines, pretty, many)] == [2, 1, 3]
    assert [type(c) for c in read(tmp_path / "c", f"{{bad\n{lines}")] == [
        InputError,
        Conversation,
        Conversation,
    ]

    class Stdin:
        buffer = io.BytesIO(lines.encode())

    monkeypatch.setattr("sys.stdin", Stdin)
    assert [type(c) for c in read_conversations("-")] == [Conversation, Conversation]


@pytest.mark.parametrize("name", ["c.json", "c.jsonl", "c.txt"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_every_unicode_encoding_is_read(tmp_path: Path, name: str, encoding: str) -> None:
    data = {"messages": [{"role": "user", "content": "Où est 我的 💶?"}]}
    (found,) = read(tmp_path / name, json.dumps(data, ensure_ascii=False).encode(encoding))

    assert isinstance(found, Conversation), found
    assert found.question == "Où est 我的 💶?"


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    good = json.dumps({"messages": [HELLO]}).encode()
    second, first = read(tmp_path / "c.jsonl", good + b'\n{"a": "\xff"}')
    (document,) = read(tmp_path / "c.json", b'{"a":\n"\xff"}')

    assert isinstance(first, InputError)
    assert isinstance(second, Conversation)
    assert isinstance(document, InputError)
    assert (first.line, document.line) == (2, 2)
    assert "byte 8 (0xff) is no UTF-8; save the file as UTF-8" in first.message


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("[" * 100_000, "deep"),
        ('{"messages": [], "x": ' + "9" * 5000 + "}", "digits"),
        ('{"messages": [], "x": NaN}', "NaN"),
        ('{"messages": [{"role": "user", "content": "x"}], "x": 1e999}', "null"),
        ('{"a": "line\nbreak"}', "\\n"),
        ('{"a": "cut', "cut off"),
        ("{} {}", ".jsonl"),
        ("", "no conversation"),
        (" \n ", "no conversation"),
        ("[]", "no conversation"),
    ],
)
def test_json_that_cannot_be_read_says_why(tmp_path: Path, text: str, cure: str) -> None:
    (error,) = read(tmp_path / "c.json", text)

    assert isinstance(error, InputError)
    assert cure in error.message
    assert error.file == str(tmp_path / "c.json")


def test_a_file_that_is_not_there_is_an_error_too(tmp_path: Path) -> None:
    (missing,) = read_conversations(tmp_path / "none.jsonl")
    (folder,) = read_conversations(tmp_path)

    assert isinstance(missing, InputError)
    assert isinstance(folder, InputError)
    assert "No such file" in missing.message


def test_surrogates_and_nul_break_nothing(tmp_path: Path) -> None:
    said = '{"role": "user", "content": "a\\ud800b\\u0000c"}'
    text = f'{{"messages": [{said}], "\\udfff": "\\ud800", "sentiment": "\\ud800"}}'
    (found,) = read(tmp_path / "c.jsonl", text)

    assert isinstance(found, Conversation)
    assert found.question == "a\ufffdb\ufffdc"
    found.model_dump_json().encode()
    (error,) = read(tmp_path / "c.jsonl", '{"messages": [{"role": "\\ud800\\n", "content": "x"}]}')
    str(error).encode()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
keys = st.sampled_from(
    ["role", "content", "text", "at", "name", "tool_calls", "tool_call_id", "type", "function"]
)
words = st.sampled_from(
    ["user", "assistant", "tool", "customer", "ai", "system", "text", "tool_use", "tool_result"]
)
messages = st.lists(
    st.dictionaries(keys, words | json_values | st.lists(st.dictionaries(keys, words | json_values)))
)


OTHER_KEYS = {key: json_values for key in Conversation.model_fields if key != "messages"}


@settings(deadline=None)
@given(st.fixed_dictionaries({"messages": messages | json_values}, optional=OTHER_KEYS))
def test_whatever_comes_is_a_conversation_or_an_input_error(data: dict[str, Any]) -> None:
    try:
        conversation = conversation_from(data)
    except InputError as error:
        str(error).encode()
    else:
        conversation.model_dump_json().encode()


@pytest.mark.skipif(not AIRLINE.exists(), reason="the shared real conversations are not beside this checkout")
def test_real_conversations_are_read_whole() -> None:
    found = list(read_conversations(AIRLINE))
    sources = [json.loads(line) for line in AIRLINE.read_text().splitlines()]

    assert sum(transfer_summary(c) is not None for c in found if isinstance(c, Conversation)) == 22
    for source, conversation in zip(sources, found, strict=True):
        assert isinstance(conversation, Conversation)
        said = [
            m["content"] for m in source["messages"] if m["role"] in ("user", "assistant") and m["content"]
        ]
        assert [message.text for message in conversation.messages] == said
        assert {message.role for message in conversation.messages} <= {Role.CUSTOMER, Role.AI}
        assert source["messages"][0]["content"][:40] not in conversation.model_dump_json()
        calls = [c["function"]["name"] for m in source["messages"] for c in m.get("tool_calls") or []]
        assert [attempt.action for attempt in conversation.attempts] == calls
        assert "unknown" not in {attempt.outcome for attempt in conversation.attempts} or calls
        assert conversation.fields == {"task_id": source["task_id"], "trial": source["trial"]}


def test_a_key_that_stands_twice_far_within_costs_no_more_than_its_text() -> None:
    """Each object around it would keep a place of its own, longer than the last."""
    name = "a" * 1000
    text = "".join([f'{{"{name}": ' * 300, '{"b": 1, "b": 2}', "}" * 300])
    place, found = parsed(text, "-"), 0
    while isinstance(place, Twice):
        assert len(place.field) <= 200
        place, found = place.get(name), found + 1
    assert found == 301


SAID = '"messages": [{"role": "customer", "text": "hello"}]'


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (f'{{"id": "a", {SAID}, "id": "b"}}', "id"),
        (f'{{{SAID}, "customer": {{"email": "a@x.example", "email": "b@x.example"}}}}', "customer.email"),
        (
            '{"messages": [{"role": "ai"}, {"role": "customer", "text": "a", "text": "b"}]}',
            "messages[1].text",
        ),
        (f'{{{SAID}, "fields": {{"a": [1, {{"b": {{"c": 1, "c": 1}}}}]}}}}', "fields.a[1].b.c"),
        (f'{{{SAID}, "fields": {{"a": [[1, {{"b": 1, "b": 1}}]]}}}}', "fields.a[0][1].b"),
    ],
)
def test_a_key_that_stands_twice_is_named_and_the_other_conversations_are_read(
    text: str, field: str, tmp_path: Path
) -> None:
    good = f'{{"id": "good", {SAID}}}'
    (tmp_path / "a.jsonl").write_text(f"{good}\n{text}\n{good}\n")
    (tmp_path / "a.json").write_text(f"[{good}, {text}, {good}]")
    (tmp_path / "one.json").write_text(text)
    (tmp_path / "by-content").write_text(f"{text}\n{good}\n")
    files = {name: list(read_conversations(tmp_path / name)) for name in ("a.jsonl", "a.json", "one.json")}

    places = {
        name: [(e.line, e.field) for e in read if isinstance(e, InputError)] for name, read in files.items()
    }
    assert places == {
        "a.jsonl": [(2, field)],
        "a.json": [(None, f"[1].{field}")],
        "one.json": [(None, field)],
    }
    assert [len(read) for read in files.values()] == [3, 3, 1]
    (wrong, read) = read_conversations(tmp_path / "by-content")
    assert "stands twice in the same object" in str(wrong)
    assert isinstance(read, Conversation)
