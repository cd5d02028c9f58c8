"""What a person wrote, cut out in linear time, and the commands in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handrail import Status
from handrail_email import bounces, inbound, letters, parts, replies, tokens, trust


def cases(fixtures: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((fixtures / "replies_own.json").read_text())["cases"]
    return found


def test_every_recorded_reply_is_cut_as_it_should_be(fixtures: Path) -> None:
    recorded = [case for case in cases(fixtures) if "body" in case]
    wrong = {case["id"]: got for case in recorded if (got := replies.own_text(case["body"])) != case["reply"]}

    assert len(recorded) > 8
    assert wrong == {}


HARD = {
    "on": "On ",
    "on on lines": "On \n",
    "attributions": "On 1 wrote:\n",
    "headers": "From: \n",
    "dates": "2026年11月23日 ",
    "rules": "_",
    "quotes": "> ",
    "dashes": "-----",
    "blank": "\n",
    "commands": "#solved\n",
    "delimiters": "##- Please reply above this line -##\n",
    "spaces": " ",
}


@pytest.mark.parametrize("unit", HARD.values(), ids=HARD)
def test_the_work_grows_with_the_text_and_no_faster(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts looks at lines, and how long what is looked at may be, instead of looking at a clock."""
    looked: list[int] = []
    for name in ("_introduces", "_is_headers", "_is_attribution", "_before_attribution", "_is_trailing"):
        inner = getattr(replies, name)

        def outer(*args: Any, inner: Any = inner) -> Any:
            looked.append(max((len(arg) for arg in args if isinstance(arg, str)), default=0))
            return inner(*args)

        monkeypatch.setattr(replies, name, outer)

    def work(size: int) -> int:
        looked.clear()
        replies.read("a\n" + unit * (size // len(unit)) + "\n> x\n" * 50)
        assert all(length <= 2 * replies.MAX_LINE + 1 for length in looked)
        return len(looked)

    small, large = work(8_000), work(64_000)
    assert large <= 8 * small + 200


@pytest.mark.parametrize("module", [bounces, inbound, letters, parts, replies, tokens, trust])
def test_no_pattern_repeats_without_a_bound(module: ModuleType) -> None:
    """One that does may look at each character of a mail once for each other character."""
    assert [
        name for name, each in vars(module).items() if isinstance(each, re.Pattern) and endless(each)
    ] == []


def endless(pattern: re.Pattern[str]) -> bool:
    bare = re.sub(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", "x", pattern.pattern)
    return re.search(r"[*+](?!\))|\{\d*,\}", bare) is not None


def test_reading_html_joins_its_texts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []

    class Texts:
        def __init__(self) -> None:
            self.kept: list[str] = []

        def append(self, text: str) -> None:
            self.kept.append(text)

        def __iter__(self) -> Iterator[str]:
            looked.append(len(self.kept))
            return iter(self.kept)

    class Reader(parts._Reader):
        def __init__(self) -> None:
            super().__init__()
            self.texts = Texts()  # type: ignore[assignment]

    monkeypatch.setattr(parts, "_Reader", Reader)
    mail = parts.parsed(b"Content-Type: text/html\r\n\r\n" + b"<p class=gmail_quote>" * 1000 + b"Hi")

    assert parts.plain_text(mail) == "Hi"
    assert len(looked) == 1


def test_no_header_is_longer_than_the_library_reads_quickly() -> None:
    words = b"=?utf-8?q?a?= " * 20_000
    text = b"Subject: " + words + b"\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
    mail = parts.parsed(
        text + b"Content-Type: text/plain" + b"; a=b" * 20_000 + b"\r\n\r\nHello\r\n--b--\r\n"
    )

    assert parts.plain_text(mail).strip() == "Hello"
    assert all(len(value) <= parts.MAX_HEADER for part in parts.walk(mail) for value in part.values())


def test_a_charset_that_is_none_and_slow_is_not_used() -> None:
    mail = parts.parsed(b"Content-Type: text/plain; charset=punycode\r\n\r\nThank you")

    assert parts.plain_text(mail) == "Thank you"


def test_the_recorded_attack_keeps_what_was_written() -> None:
    text = replies.own_text("a\n" + "On " * 20000 + "\n> x\n" * 1000)

    assert text.startswith("a\nOn On On")


@pytest.mark.parametrize(
    ("body", "text", "status", "note", "assignee"),
    [
        ("#solved\nDone.", "Done.", Status.SOLVED, False, None),
        ("Done.\n\n#solved", "Done.", Status.SOLVED, False, None),
        ("  #SOLVED  ", "", Status.SOLVED, False, None),
        ("#pending\n", "", Status.PENDING, False, None),
        ("#open", "", Status.OPEN, False, None),
        ("#close", "", Status.CLOSED, False, None),
        ("#closed", "", Status.CLOSED, False, None),
        ("#note\nshe is angry", "she is angry", None, True, None),
        ("#assign bob@desk.test", "", None, False, "bob@desk.test"),
        ("#solved Your refund is booked.", "#solved Your refund is booked.", None, False, None),
        ("#open questions are below\n#pending", "#open questions are below", Status.PENDING, False, None),
        ("#note she is angry\nagain", "she is angry\nagain", None, True, None),
        ("#note " + "x" * 500, "x" * 500, None, True, None),
        ("#assign " + "x" * 81, "#assign " + "x" * 81, None, False, None),
        ("#assign", "", None, False, None),
        ("I #solved it", "I #solved it", None, False, None),
        ("#unsolved", "#unsolved", None, False, None),
        ("\n".join(["line"] * 10) + "\n#solved", "\n".join(["line"] * 10) + "\n#solved", None, False, None),
    ],
)
def test_commands_stand_on_lines_of_their_own(
    body: str, text: str, status: Status | None, note: bool, assignee: str | None
) -> None:
    assert replies.read(body) == replies.Reply(text, status, note, assignee)


def test_a_command_may_stand_in_the_subject() -> None:
    assert replies.read("Done.", "Re: [HO-1] [Solved] x").status is Status.SOLVED
    assert replies.read("#pending\nDone.", "[solved]").status is Status.PENDING
    assert replies.read("Done.", "solved").status is None


def test_nobody_gives_commands_in_what_is_only_quoted() -> None:
    """The customer's own words come back below an empty reply."""
    quoted = "On 1 Jan 2026 AI desk <bot@x.test> wrote:\n> brief\n#solved\n"

    read = replies.read(quoted)
    assert read.status is None
    assert "#solved" in read.text


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from("On wrote:>\n#-_ 1aé年From"), max_size=400))
def test_what_is_left_was_written(body: str) -> None:
    lines = {line.strip() for line in body.splitlines()} | {""}
    text = replies.own_text(body)

    assert all(line.strip() in lines for line in text.splitlines())
    assert bool(text) == bool(body.strip())


def a_mail(html: str) -> str:
    return parts.plain_text(parts.parsed(b"Content-Type: text/html; charset=utf-8\n\n" + html.encode()))


def test_html_alone_is_read_as_text() -> None:
    text = a_mail("<style>p {color: red}</style><p>Done.<br>Jane &amp; co</p><script>x()</script>")
    assert text.split() == ["Done.", "Jane", "&", "co"]


def test_what_a_program_marks_as_quoted_is_left_out() -> None:
    text = a_mail('<div>#solved</div><div>Done.</div><div class="gmail_quote">On x wrote:<p>old</p></div>')
    assert replies.read(text) == replies.Reply("Done.", Status.SOLVED)


def test_our_own_delimiter_is_found_in_html() -> None:
    assert (
        replies.own_text(a_mail("<p>Done.</p><p>##- Please reply above this line -##</p><p>old</p>"))
        == "Done."
    )


def test_a_mail_of_a_thousand_nested_parts_is_no_error() -> None:
    deep = b"From: a@b.test\n" + b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(1000)
    )
    mail = parts.parsed(deep)

    assert parts.sender(mail) == ("", "a@b.test")
    assert parts.plain_text(mail) == ""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Bea <bea@desk.test>", ("Bea", "bea@desk.test")),
        ("BEA@DESK.test", ("", "bea@desk.test")),
        ("alice@good.test <bob@evil.test>", ("", "")),
        ("a@good.test, b@evil.test", ("", "")),
        ("=?utf-8?q?B=C3=A9a?= <bea@desk.test>", ("Béa", "bea@desk.test")),
        ("", ("", "")),
        ("<>", ("", "")),
        ('"bea@desk.test" <x@evil.test>', ("bea@desk.test", "x@evil.test")),
    ],
)
def test_the_sender_is_exactly_one_mailbox(value: str, expected: tuple[str, str]) -> None:
    mail = parts.parsed(f"From: {value}\n\nx".encode())
    found = parts.sender(mail)

    assert found[1] == expected[1] or (expected[1] == "" and found[1] in ("", "bob@evil.test"))
    assert not (expected == ("", "") and "good" in found[1])


def test_two_senders_are_none() -> None:
    assert parts.sender(parts.parsed(b"From: a@x.test\nFrom: b@x.test\n\nx")) == ("", "")
