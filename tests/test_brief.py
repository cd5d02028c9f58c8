"""The brief says at a glance what matters; every dialect carries it whole, within limits and without harm."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handrail.brief import Brief, Entry, Fact, Item, compose
from handrail.model import Attempt, Conversation, Customer, Due, Handoff, Message
from handrail.render import Body, Dialect, Html, Plain, Writer
from handrail.transcripts import read_conversations

AIRLINE = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "tau-bench-airline.jsonl"
AT = datetime(2026, 11, 20, 9, 31, tzinfo=UTC)
NO_NOTICE = "left out"


def handoff(conversation: Conversation, **more: Any) -> Handoff:
    return Handoff(id="01JD", key="k", conversation=conversation, desk="support", created_at=AT, **more)


def talk(*texts: str, **more: Any) -> Conversation:
    said = tuple(Message(role="ai" if n % 2 else "customer", text=text) for n, text in enumerate(texts))
    return Conversation(messages=said, **more)


def rich() -> Handoff:
    conversation = Conversation(
        messages=(
            Message(role="system", text="SECRET"),
            Message(role="customer", text="Hi!", at=AT, name="Ann"),
            Message(role="customer", text="Where is my refund?\nOrder 1182", at=AT),
            Message(role="ai", text="I look it up.", at=AT),
            Message(role="tool", text="TRAFFIC"),
            Message(role="human", text="One moment", name="Bob"),
        ),
        channel="webchat",
        language="en",
        topic="refund",
        intent="refund_request",
        tags=("vip",),
        confidence=0.42,
        sentiment=-0.5,
        url="https://app.example.com/c/42?a=1&b=2",
        customer=Customer(
            id="u-7",
            name="Ann Lee",
            email="ann@example.com",
            phone="+1 415",
            segments=("gold",),
            attributes={"plan": "pro", "since": {"year": 2020}, "active": True, "none": None},
        ),
        attempts=(
            Attempt(action="look_up", arguments={"id": "1182"}, outcome="failed", detail="too old", at=AT),
            Attempt(action="greet", outcome="done"),
            Attempt(action="transfer_to_human", arguments={"summary": "Wants a refund"}, outcome="done"),
        ),
        fields={"order_id": "1182"},
    )
    return handoff(
        conversation,
        reason="policy",
        trigger="refund-over-200",
        group="billing",
        owner="maria",
        urgency="high",
        due=Due(first_response=AT, resolution=AT.replace(hour=18)),
        tags=("ai",),
        hop=1,
        came_from="jira",
        unset={"group": "There is no group 'Billing'"},
    )


class Shape(HTMLParser):
    """What a browser would make of it: tags, attributes, text, and the text outside of ``<code>``."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text, self.evaluated = "", ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag == "br":
            self.handle_data("\n")
        else:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        self.evaluated += "" if "code" in self._open else data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment came through: {data}")

    handle_decl = handle_pi = unknown_decl = handle_comment


OURS = {"h3", "p", "strong", "br", "blockquote", "ol", "li", "em", "a", "code"}


# What the brief says.


def test_the_brief_is_in_the_order_in_which_it_is_read() -> None:
    brief = compose(rich())

    assert [section.title for section in brief.sections] == [
        "At a glance",
        "Next steps",
        "Original question",
        "Customer",
        "What the AI tried",
        "Details",
    ]
    assert [(fact.label, fact.value) for fact in brief.sections[0].facts] == [
        ("Why", "The AI may not decide this on its own"),
        ("Summary", "Wants a refund"),
        ("Rule", "refund-over-200"),
        ("Urgency", "High"),
        ("First answer due", "2026-11-20 09:31 UTC"),
        ("Solution due", "2026-11-20 18:31 UTC"),
        ("Group", "billing"),
        ("Owner", "maria"),
        ("Could not be set", "group: There is no group 'Billing'"),
        ("Sent here because", "it could not be delivered to jira"),
    ]
    assert brief.reference == "Handrail 01JD-1"


def test_next_steps_are_the_given_ones_or_follow_from_what_happened() -> None:
    derived = compose(rich()).sections[1].items
    given_ = compose(handoff(talk("hi"), next_steps=("Check the record",))).sections[1].items

    assert [item.text for item in derived][1:] == ["Check why look_up failed: too old"]
    assert [item.text for item in given_] == ["Check the record"]


def test_what_succeeded_in_the_end_needs_no_check() -> None:
    tried = (Attempt(action="pay", outcome="failed"), Attempt(action="pay", outcome="done"))

    assert len(compose(handoff(talk("hi", attempts=tried))).sections[1].items) == 1


def test_customer_attempts_and_details_are_all_there() -> None:
    _, _, question, customer, tried, details = compose(rich()).sections

    assert question.quote == "Where is my refund?\nOrder 1182"
    assert {fact.label: fact.value for fact in customer.facts} == {
        "Name": "Ann Lee",
        "E-mail": "ann@example.com",
        "Phone": "+1 415",
        "Id": "u-7",
        "Segments": "gold",
        "plan": "pro",
        "since": '{"year": 2020}',
        "active": "yes",
    }
    assert tried.items == (
        Item("look_up(id=1182) → too old", "Failed, 2026-11-20 09:31 UTC"),
        Item("greet()", "Done"),
        Item("transfer_to_human(summary=Wants a refund)", "Done"),
    )
    assert {fact.label: fact.value for fact in details.facts} == {
        "Topic": "refund",
        "Intent": "refund_request",
        "order_id": "1182",
        "Tags": "vip, ai",
        "Channel": "webchat",
        "Language": "en",
        "Confidence": "0.42",
        "Sentiment": "-0.5",
        "Link": "https://app.example.com/c/42?a=1&b=2",
    }


def test_the_transcript_has_speakers_and_times_and_no_system_or_tool_text() -> None:
    assert compose(rich()).transcript == (
        Entry("Customer (Ann)", "Hi!", AT),
        Entry("Customer", "Where is my refund?\nOrder 1182", AT),
        Entry("AI", "I look it up.", AT),
        Entry("Team (Bob)", "One moment"),
    )
    for dialect in (Html(), Plain()):
        text = dialect.render(compose(rich())).text
        assert "SECRET" not in text
        assert "TRAFFIC" not in text


def test_there_are_no_empty_sections() -> None:
    brief = compose(handoff(talk("hi")))

    assert [section.title for section in brief.sections] == ["At a glance", "Next steps", "Original question"]


def test_the_same_handoff_gives_the_same_text() -> None:
    assert Html().render(compose(rich())) == Html().render(compose(rich()))


def test_a_long_name_of_a_detail_is_not_lost() -> None:
    facts = compose(handoff(talk("hi", fields={"k" * 200: "v", " ": "w"}))).sections[-1].facts

    assert len(facts[0].label) == 80
    assert facts[0].value == f"{'k' * 200}: v"
    assert facts[1].label == "(no name)"


@pytest.mark.parametrize(
    ("address", "link"),
    [
        ("https://a.example/x?y=1&z='2'", True),
        ("http://a.example:8080", True),
        ("javascript:alert(1)", False),
        ("JaVaScRiPt://a.example/%0aalert(1)", False),
        ("data:text/html,x", False),
        ("//a.example", False),
        ('https://a.example/"onclick="x', False),
        ("https://a.example/{{ticket.id}}", False),
        ("https://user@a.example/", False),
        ("https://a.example/ x", False),
        ("https://a.example/" + "x" * 3000, False),
    ],
)
def test_only_plain_addresses_become_links(address: str, link: bool) -> None:
    shape = Shape(Html().render(compose(handoff(talk("hi", url=address)))).text)

    assert shape.attributes == ([("href", address)] if link else [])
    assert address in shape.text


# HTML.


def test_html_shows_everything_in_order() -> None:
    body = Html(limit=64_000).render(compose(rich()))
    shape = Shape(body.text)
    expected = [
        "At a glance",
        "High",
        "billing",
        "Next steps",
        "Original question",
        "Where is my refund?\nOrder 1182",
        "Customer",
        "ann@example.com",
        "What the AI tried",
        "Failed",
        "Details",
        "Conversation",
        "Customer (Ann)",
        "2026-11-20 09:31 UTC",
        "One moment",
        "Handrail 01JD-1",
    ]
    place = 0
    for text in expected:
        place = shape.text.index(text, place)

    assert body.files == ()
    assert ("href", "mailto:ann@example.com") in shape.attributes


hostile = (
    st.text(alphabet="<>&\"'{%}/ax=\n `\u0301\U0001f469\u200d")
    | st.text()
    | st.sampled_from(
        [
            "<script>alert(1)</script>",
            "<!-- x -->",
            "{{ticket.id}}",
            "{% raw %}",
            "{{",
            "}}",
            "{",
            "%}",
            "<img src=x onerror=y>",
            "]]>",
            "&lt;",
            "<?php ?>",
            "{{a\nb}}",
            "{{%}}",
            "{%}}",
        ]
    )
)


@st.composite
def hostile_handoffs(draw: st.DrawFn, text: st.SearchStrategy[str] = hostile) -> Handoff:
    values = st.dictionaries(text, text | st.lists(text, max_size=2), max_size=3)
    conversation = Conversation(
        messages=tuple(
            Message(role="customer", text=t, name=draw(text)) for t in draw(st.lists(text, min_size=1))
        ),
        url=draw(text),
        topic=draw(text),
        channel=draw(text),
        tags=tuple(draw(st.lists(text, max_size=2))),
        customer=Customer(name=draw(text), email=draw(text), attributes=draw(values)),
        fields=draw(values),
        attempts=tuple(
            Attempt(action=draw(text), arguments=draw(values), detail=draw(text)) for _ in range(2)
        ),
    )
    return handoff(conversation, summary=draw(text), group=draw(text), unset={"group": draw(text)})


@settings(deadline=None)
@given(hostile_handoffs(), st.booleans())
def test_no_hostile_text_becomes_html_and_none_is_changed(given_: Handoff, placeholders: bool) -> None:
    brief = compose(given_)
    shape = Shape(Html(placeholders=placeholders).render(brief).text)

    assert shape.tags <= OURS
    for name, value in shape.attributes:
        assert name == "href"
        assert re.match(r"https?://|mailto:", value or "")
    for entry in brief.transcript:
        assert entry.text in shape.text
    for fact in (fact for section in brief.sections for fact in section.facts):
        assert f"{fact.label}: {fact.value}" in shape.text


@settings(deadline=None)
@given(hostile_handoffs(), st.sampled_from([None, 4000]))
def test_no_placeholder_is_left_where_it_would_be_evaluated(given_: Handoff, limit: int | None) -> None:
    text = Html(limit=limit, placeholders=True).render(compose(given_)).text
    outside = re.sub(r"<code>.*?</code>", "<code></code>", text, flags=re.DOTALL)

    assert not re.search(r"\{\{|\{%|%\}|\}\}", outside)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a {{ticket.id}} b", "a <code>{{ticket.id}}</code> b"),
        (
            "{% for x %}{{x}}{% endfor %}",
            "<code>{% for x %}</code><code>{{x}}</code><code>{% endfor %}</code>",
        ),
        ("a {{open\n<b>", "a <code>{{open<br>&lt;b&gt;</code>"),
        ("shut}} %} b", "shut<code>}}</code> <code>%}</code> b"),
        ("{{a %} b}} c", "<code>{{a %} b}}</code> c"),
        ("{x} {y}", "{x} {y}"),
    ],
)
def test_placeholders_stand_in_code(text: str, written: str) -> None:
    assert f"<blockquote>{written}</blockquote>" in Html(placeholders=True).messages(talk(text).messages, "M")
    assert "<code>" not in Html().messages(talk(text).messages, "M")


# Plain text.


@settings(deadline=None)
@given(hostile_handoffs(st.text(alphabet="-\nAt a glnceUrgy:HdrilM0") | hostile))
def test_no_quoted_line_of_plain_text_looks_like_a_heading(given_: Handoff) -> None:
    brief = compose(given_)
    lines = Plain().render(brief).text.split("\n")
    titles = [section.title for section in brief.sections] + ["Conversation"]
    flush = [line for line in lines if line and not line.startswith("  ")]

    assert flush == [line for title in titles for line in (title, "-" * len(title))] + [brief.reference]


def test_plain_text_quotes_every_line_of_a_message() -> None:
    text = Plain().render(compose(rich())).text

    assert "  Customer, 2026-11-20 09:31 UTC:\n  | Where is my refund?\n  | Order 1182\n" in text
    assert text.startswith("At a glance\n-----------\n  Why: ")
    assert text.endswith("\nHandrail 01JD-1")


# Limits.


HUGE = {
    "many messages": lambda: talk(*["how are you? " * 9] * 10_000),
    "a huge message": lambda: talk("x" * 9_000_000),
    "only <": lambda: talk("<" * 9_000_000),
    "only {{": lambda: talk("{{" * 4_500_000),
    "only newlines": lambda: talk("\n" * 9_000_000),
    "emoji": lambda: talk("👩‍👩‍👧" * 1_000_000),
    "combining marks": lambda: talk("a" + "\u0301" * 5_000_000),
    "a huge message in the middle": lambda: talk("my question", *["y" * 4_000_000] * 2, "thank you, bye"),
    "many attributes": lambda: talk(
        "hi", customer=Customer(attributes={f"k{n}": "{{<" for n in range(20_000)})
    ),
    "many attempts": lambda: talk(
        "hi", attempts=tuple(Attempt(action="<x>" * 30, arguments={"a": "b" * 500}) for _ in range(10_000))
    ),
    "huge details": lambda: talk("hi", fields={"a" * 1_000_000: "b" * 5_000_000, "list": ["<"] * 100_000}),
}
DIALECTS = [Html(64_000, placeholders=True), Html(4000, placeholders=True), Plain(32_000), Plain(4000)]


@pytest.mark.parametrize("name", HUGE)
def test_the_limit_holds_and_the_file_has_everything(name: str) -> None:
    given_ = handoff(HUGE[name]())
    whole = Plain().render(compose(given_)).text
    for dialect in DIALECTS:
        body = dialect.render(compose(given_))

        assert dialect.limit is not None
        assert len(body.text.encode()) <= dialect.limit
        assert "conversation.txt" in body.text
        assert "Urgency" in body.text
        assert body.text.rstrip("</p>").endswith("Handrail 01JD")
        (file,) = body.files
        assert file.name == "conversation.txt"
        assert file.content.decode() == f"{whole}\n"


@pytest.mark.parametrize(
    "name", ["many messages", "a huge message", "only {{", "a huge message in the middle"]
)
def test_later_messages_keep_the_limit_and_say_so(name: str) -> None:
    messages = HUGE[name]().messages
    for dialect in DIALECTS:
        text = dialect.messages(messages, "M-1")

        assert dialect.limit is not None
        assert len(text.encode()) <= dialect.limit
        assert "left out here; the desk takes no longer text" in text
        assert text.split("\n")[-1] in ("Handrail M-1", "<p>Handrail M-1</p>")


def test_what_fits_is_not_shortened() -> None:
    brief = compose(rich())
    whole = Plain().render(brief)
    exact = Plain(limit=max(4000, len(whole.text.encode()) + 200)).render(brief)

    assert exact == whole == Body(whole.text)
    assert NO_NOTICE not in whole.text


def test_the_brief_stays_whole_and_the_transcript_loses_its_middle() -> None:
    texts = [f"message number {n} of this conversation" for n in range(1000)]
    brief = compose(handoff(talk(*texts)))
    text = Plain(limit=8000).render(brief).text
    kept = [n for n in range(1000) if f"number {n} of" in text.partition("Conversation\n")[2]]
    (notice,) = re.findall(r"\[([\d,]+) messages \(([\d,]+) characters\) left out here; (.*)\]", text)
    lost = [len(text) for n, text in enumerate(texts) if n not in kept]

    assert (
        text.partition("\nConversation\n")[0] == Plain().render(brief).text.partition("\nConversation\n")[0]
    )
    assert notice == (f"{len(lost):,}", f"{sum(lost):,}", "the whole is in the attached conversation.txt.")
    assert kept[0] == 0
    assert kept[-1] == 999
    gap = next(n for n in range(1000) if n not in kept)
    assert 1 <= gap < len(kept) - gap  # a beginning, and more of the end


def test_a_huge_message_keeps_its_beginning_and_its_end() -> None:
    said = talk("my question", "begin" + "z" * 99_990 + "end", "bye")
    text = Plain(limit=8000).render(compose(handoff(said))).text
    notice = r"\| \[… ([\d,]+) characters left out here; the whole is in the attached conversation.txt …\]"
    (count,) = re.findall(notice, text)

    assert int(count.replace(",", "")) + text.count("z") == 99_990
    assert "| begin" in text
    assert "zzzend" in text
    assert "  | bye" in text


def test_a_shortened_brief_says_so_and_counts_what_is_missing() -> None:
    customer = Customer(attributes={f"key{n}": "v" for n in range(5000)})
    text = Plain(limit=8000).render(compose(handoff(talk("hi", customer=customer), group="billing"))).text

    assert "Parts of this brief were shortened; the whole is in the attached conversation.txt." in text
    assert "Group: billing" in text
    shown = len(re.findall(r"key\d+: v", text))
    assert f"Left out here: {5000 - shown:,} more" in text


@settings(deadline=None)
@given(hostile_handoffs(), st.integers(min_value=1, max_value=60), st.sampled_from([4000, 4999, 9000]))
def test_the_limit_always_holds(given_: Handoff, times: int, limit: int) -> None:
    conversation = given_.conversation
    more = tuple(m.model_copy(update={"text": m.text * times * 7}) for m in conversation.messages) * times
    longer = given_.model_copy(update={"conversation": conversation.model_copy(update={"messages": more})})
    whole = Html(placeholders=True).render(compose(longer))
    for dialect in (Html(limit, placeholders=True), Plain(limit)):
        body = dialect.render(compose(longer))
        assert len(body.text.encode()) <= limit
        assert len(dialect.messages(more, "M").encode()) <= limit
        assert bool(body.files) == ("conversation.txt" in body.text)
    if len(whole.text.encode()) + 100 <= limit:
        assert Html(limit, placeholders=True).render(compose(longer)) == whole


def test_no_accent_is_torn_from_its_letter() -> None:
    text = "e\u0301" * 100_000
    for limit in range(4000, 4010):
        pieces = re.findall("\\| ([e\u0301]+)", Plain(limit=limit).messages(talk(text).messages, "M"))
        assert len(pieces) == 2
        assert all(piece.startswith("e") and piece.endswith("\u0301") for piece in pieces)


def test_a_limit_that_holds_no_brief_is_refused() -> None:
    with pytest.raises(ValueError, match="limit: 100 is too small"):
        Html(limit=100)


# A further dialect.


@dataclass(frozen=True)
class Tree(Writer):
    """A dialect that writes a JSON document, as an author would add one: a few lines, and no shortening."""

    def heading(self, title: str) -> str:
        return json.dumps({"heading": title})

    def facts(self, facts: Sequence[Fact]) -> str:
        return json.dumps({"facts": {fact.label: fact.value for fact in facts}})

    def items(self, items: Sequence[Item]) -> str:
        return json.dumps({"items": [f"{item.lead} {item.text}" for item in items]})

    def quote(self, text: str) -> str:
        return json.dumps({"quote": text})

    def entry(self, entry: Entry) -> str:
        return json.dumps({"said": [entry.speaker, entry.text]})

    def note(self, text: str) -> str:
        return json.dumps({"note": text})

    def reference(self, text: str) -> str:
        return json.dumps({"reference": text})

    def join(self, parts: Iterator[str] | Sequence[str]) -> str:  # type: ignore[override]
        return f'{{"content": [{",".join(parts)}]}}'


@pytest.mark.parametrize("name", ["many messages", "a huge message", "many attributes", "many attempts"])
def test_another_dialect_gets_the_shortening_for_nothing(name: str) -> None:
    dialect: Dialect = Tree(limit=30_000)
    body = dialect.render(compose(handoff(HUGE[name]())))

    assert len(body.text) <= 30_000
    assert json.loads(body.text)["content"][-1] == {"reference": "Handrail 01JD"}
    assert len(body.files) == 1


@pytest.mark.skipif(not AIRLINE.exists(), reason="the shared real conversations are not beside this checkout")
def test_real_conversations_arrive_whole() -> None:
    for conversation in read_conversations(AIRLINE):
        assert isinstance(conversation, Conversation)
        body = Html(limit=64_000, placeholders=True).render(compose(handoff(conversation)))
        assert body.files == ()
        shape = Shape(body.text)
        assert all(message.text in shape.text for message in conversation.messages)


def test_a_brief_is_a_value() -> None:
    assert isinstance(hash(compose(rich())), int)
    assert isinstance(compose(rich()), Brief)
