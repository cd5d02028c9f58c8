"""Dialects: the brief as HTML, as plain text, and whatever a connector adds.

A dialect says how a heading, a fact or a message is written; ``Writer`` does the rest. Where a desk takes
only so much, the brief stays whole and the transcript loses its middle, visibly; only where the brief alone
is too long are its parts shortened as well. What was left out is in the file ``conversation.txt``.
"""

from __future__ import annotations

import html
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from handrail.brief import Brief, Entry, Fact, Item, Section, entry, reference, written
from handrail.model import File, Message
from handrail.shorten import LEVELS, Gap, shorter_section
from handrail.text import shorter

FILE_NAME = "conversation.txt"
_IN_FILE = f"the whole is in the attached {FILE_NAME}"
_NOT_TAKEN = "the desk takes no longer text"
_BELOW = "the whole is in the conversation below"
_SMALLEST_LIMIT = 4000
_MAX_QUOTE = 5000


@dataclass(frozen=True)
class Body:
    """Rendered text and the files that must go along with it: the whole text where it was shortened."""

    text: str
    files: tuple[File, ...] = ()


class Dialect(Protocol):
    """How a desk wants its text."""

    def render(self, brief: Brief) -> Body:
        """The brief within the desk's limit, and the files that go along."""

    def messages(self, messages: Sequence[Message], marker: str) -> str:
        """Later messages; the last line is ``Handrail MARKER``."""


@dataclass(frozen=True)
class Writer(ABC):
    """A dialect by its parts. Each part is a text of its own; ``join`` puts them together.

    ``limit`` is the most that the desk takes, at least 4,000, in the unit of ``size`` (UTF-8 bytes
    unless overridden; a character is one unit or more); None: no limit. ``gap`` is what ``join`` adds for
    each part, at most.
    """

    limit: int | None = None
    gap: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < _SMALLEST_LIMIT:
            raise ValueError(f"limit: {self.limit} is too small for a brief; give {_SMALLEST_LIMIT} or more")

    @abstractmethod
    def heading(self, title: str) -> str:
        """A section's title."""

    @abstractmethod
    def facts(self, facts: Sequence[Fact]) -> str:
        """Labels with their values."""

    @abstractmethod
    def items(self, items: Sequence[Item]) -> str:
        """A numbered list."""

    @abstractmethod
    def quote(self, text: str) -> str:
        """Somebody's own words."""

    @abstractmethod
    def entry(self, entry: Entry) -> str:
        """One message of a transcript with its speaker and time."""

    @abstractmethod
    def note(self, text: str) -> str:
        """A remark of ours, such as what was left out."""

    @abstractmethod
    def reference(self, text: str) -> str:
        """The last line."""

    def join(self, parts: Iterable[str]) -> str:
        return "\n".join(parts)

    def size(self, text: str) -> int:
        return len(text.encode("utf-8", "surrogatepass"))

    def render(self, brief: Brief) -> Body:
        title, last = self.heading("Conversation"), self.reference(brief.reference)
        if self._may_fit(*brief.sections, *brief.transcript):
            whole = [*self._head(brief.sections), title, *map(self.entry, brief.transcript), last]
            if self._fits(whole):
                return Body(self.join(whole))
        budget = self._room() - self._cost([title, last])
        head = self._shorter_head(brief.sections, budget * 3 // 4)
        said = self._shorter_transcript(brief.transcript, budget - self._cost(head), _IN_FILE)
        return Body(self.join([*head, title, *said, last]), (whole_text(brief),))

    def messages(self, messages: Sequence[Message], marker: str) -> str:
        said, last = [entry(message) for message in messages], self.reference(reference(marker))
        if self._may_fit(*said) and self._fits(whole := [*map(self.entry, said), last]):
            return self.join(whole)
        return self.join(
            [*self._shorter_transcript(said, self._room() - self._cost([last]), _NOT_TAKEN), last]
        )

    def _head(self, sections: Iterable[Section]) -> Iterator[str]:
        for section in sections:
            yield self.heading(section.title)
            if section.facts:
                yield self.facts(section.facts)
            if section.quote:
                yield self.quote(shorter(section.quote, _MAX_QUOTE, _BELOW))
            if section.items:
                yield self.items(section.items)

    def _room(self) -> int:
        assert self.limit is not None
        return self.limit - self.size(self.join([]))

    def _cost(self, parts: Iterable[str]) -> int:
        return sum(self.size(part) + self.gap for part in parts)

    def _may_fit(self, *parts: Section | Entry) -> bool:
        """False where it is clear, before anything is written, that this is too long."""
        return self.limit is None or sum(part.length for part in parts) <= self.limit

    def _fits(self, parts: list[str]) -> bool:
        return self.limit is None or self._cost(parts) <= self._room()

    def _shorter_head(self, sections: Sequence[Section], budget: int) -> list[str]:
        """The head within ``budget``: its parts are shortened more and more, the least that is enough."""
        if self._may_fit(*sections) and self._cost(head := list(self._head(sections))) <= budget:
            return head
        note = self.note(f"Parts of this brief were shortened; {_IN_FILE}.")
        for level in LEVELS:
            head = [note, *self._head(shorter_section(section, level) for section in sections)]
            if self._cost(head) <= budget:
                return head
        return list(self._as_many_as_fit(head, budget))

    def _as_many_as_fit(self, parts: Iterable[str], budget: int) -> Iterator[str]:
        for part in parts:
            budget -= self._cost([part])
            if budget < 0:
                return
            yield part

    def _shorter_transcript(self, entries: Sequence[Entry], budget: int, where: str) -> list[str]:
        """The beginning and, three times as much, the end; between them how much was left out."""
        gap = Gap(entries, where)
        budget -= self._cost([self.note(gap.largest)])
        most = budget if len(entries) == 1 else budget // 4
        first = self._whole_ones(entries, most, most, where)
        rest = entries[len(first) :]
        last = self._whole_ones(rest[::-1], budget - self._cost(first), most, where)[::-1]
        left_out = gap.between(len(first), len(entries) - len(last))
        return [*first, *([self.note(left_out)] if left_out else []), *last]

    def _whole_ones(self, entries: Sequence[Entry], budget: int, most: int, where: str) -> list[str]:
        """Entries from the first on while they fit; the first and any that is over ``most`` are shortened."""
        parts: list[str] = []
        for said in entries:
            part = self._short_entry(said, min(most, budget), where, not parts or len(said.text) > most)
            if part is None:
                break
            budget -= self._cost([part])
            parts.append(part)
        return parts

    def _short_entry(self, said: Entry, budget: int, where: str, may_shorten: bool) -> str | None:
        """The entry within ``budget``, its middle left out where it must and may be; None without room."""
        if len(said.text) <= budget:
            part = self.entry(said)
            if self._cost([part]) <= budget:
                return part
        if not may_shorten:
            return None

        def shortened(kept: int) -> str:
            return self.entry(Entry(said.speaker, shorter(said.text, kept, where), said.at))

        return _longest(shortened, min(len(said.text) - 1, budget), lambda part: self._cost([part]) <= budget)


def _longest(write: Callable[[int], str], most: int, fits: Callable[[str], bool]) -> str | None:
    """What ``write`` makes of the largest number up to ``most`` that fits; None where less than 40 does."""
    low, high, best = 40, most, None
    while low <= high:
        middle = (low + high) // 2
        text = write(middle)
        if fits(text):
            best, low = text, middle + 1
        else:
            high = middle - 1
    return best


def whole_text(brief: Brief) -> File:
    """The whole brief with the whole transcript as a plain text file."""
    text = Plain().render(brief).text
    return File.of(FILE_NAME, f"{text}\n".encode("utf-8", "replace"), "text/plain; charset=utf-8")


class Markup(str):
    """Text that is HTML already; everything else is escaped."""

    __slots__ = ()


@dataclass(frozen=True)
class Html(Writer):
    """HTML, built from elements with everything escaped. ``limit`` counts UTF-8 bytes.

    ``placeholders``: the desk would evaluate ``{{...}}`` and ``{%...%}``; they are put into ``<code>``, with
    the visible text unchanged.
    """

    placeholders: bool = False

    def heading(self, title: str) -> str:
        return self._tag("h3", title)

    def facts(self, facts: Sequence[Fact]) -> str:
        return self._tag("p", *_separated(Markup("<br>\n"), [self._fact(fact) for fact in facts]))

    def items(self, items: Sequence[Item]) -> str:
        return self._tag("ol", *(self._tag("li", *self._item(item)) for item in items))

    def quote(self, text: str) -> str:
        return self._tag("blockquote", text)

    def entry(self, entry: Entry) -> str:
        when = f" · {written(entry.at)}" if entry.at else ""
        return self._tag("p", self._tag("strong", entry.speaker), when) + self.quote(entry.text)

    def note(self, text: str) -> str:
        return self._tag("p", self._tag("em", text))

    def reference(self, text: str) -> str:
        return self._tag("p", text)

    def _fact(self, fact: Fact) -> Markup:
        value = self._tag("a", fact.value, href=fact.link) if fact.link else self._text(fact.value)
        return Markup(self._tag("strong", f"{fact.label}:") + " " + value)

    def _item(self, item: Item) -> list[str]:
        return [self._tag("strong", item.lead), ": ", item.text] if item.lead else [item.text]

    def _tag(self, name: str, *children: str, href: str | None = None) -> Markup:
        inside = "".join(child if isinstance(child, Markup) else self._text(child) for child in children)
        attribute = f' href="{html.escape(href)}"' if href else ""
        return Markup(f"<{name}{attribute}>{inside}</{name}>")

    def _text(self, text: str) -> Markup:
        if not self.placeholders or not _BRACES.search(text):
            return _escaped(text)
        pieces = (_code(piece) if is_run else _escaped(piece) for is_run, piece in _runs(text))
        return Markup("".join(pieces))


def _separated(separator: Markup, parts: list[Markup]) -> Iterator[Markup]:
    for number, part in enumerate(parts):
        if number:
            yield separator
        yield part


def _escaped(text: str) -> Markup:
    return Markup(html.escape(text).replace("\n", "<br>"))


def _code(text: str) -> Markup:
    return Markup(f"<code>{_escaped(text)}</code>")


_BRACES = re.compile(r"\{[{%]|[}%]\}")
_CLOSES = {"{{": "}}", "{%": "%}"}


def _runs(text: str) -> Iterator[tuple[bool, str]]:
    """The text in pieces, each with whether a desk might evaluate it; an open run goes to the end."""
    done, opened = 0, ""
    for brace in _BRACES.finditer(text):
        if opened and brace[0] == _CLOSES[opened]:
            yield True, text[done : brace.end()]
            done, opened = brace.end(), ""
        elif not opened:
            yield False, text[done : brace.start()]
            done, opened = brace.start(), brace[0] if brace[0] in _CLOSES else ""
            if not opened:
                yield True, brace[0]
                done = brace.end()
    yield bool(opened), text[done:]


@dataclass(frozen=True)
class Plain(Writer):
    """Plain text. Headings and the reference alone begin a line, so that no quoted text can look like one."""

    def heading(self, title: str) -> str:
        return f"\n{title}\n{'-' * len(title)}"

    def facts(self, facts: Sequence[Fact]) -> str:
        return "\n".join(f"  {fact.label}: {_indented(fact.value, '      ')}" for fact in facts)

    def items(self, items: Sequence[Item]) -> str:
        leads = (f"{item.lead}: " if item.lead else "" for item in items)
        numbered = enumerate(zip(leads, items, strict=True), 1)
        return "\n".join(f"  {n}. {lead}{_indented(item.text, '      ')}" for n, (lead, item) in numbered)

    def quote(self, text: str) -> str:
        return f"  | {_indented(text, '  | ')}"

    def entry(self, entry: Entry) -> str:
        when = f", {written(entry.at)}" if entry.at else ""
        return f"  {entry.speaker}{when}:\n{self.quote(entry.text)}"

    def note(self, text: str) -> str:
        return f"  [{text}]"

    def reference(self, text: str) -> str:
        return f"\n{text}"

    def join(self, parts: Iterable[str]) -> str:
        return "\n".join(parts).lstrip("\n")


def _indented(text: str, indent: str) -> str:
    return text.replace("\n", f"\n{indent}")
