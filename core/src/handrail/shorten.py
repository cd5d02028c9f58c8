"""Shorter texts that say how much they leave out. Nothing is cut silently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from handrail.brief import Entry, Fact, Item, Section
from handrail.text import shorter


@dataclass(frozen=True)
class Level:
    """How much of a section stays: characters of each text, and entries of each list."""

    characters: int
    entries: int


LEVELS = (Level(4000, 200), Level(2000, 60), Level(600, 25), Level(200, 12), Level(60, 6), Level(40, 3))


def shorter_section(section: Section, level: Level) -> Section:
    """The section with long texts and long lists shortened."""
    return replace(
        section,
        facts=_shorter_facts(section.facts, level),
        quote=shorter(section.quote, level.characters),
        items=_shorter_items(section.items, level),
    )


def _shorter_facts(facts: Sequence[Fact], level: Level) -> tuple[Fact, ...]:
    most = max(level.entries, 10)  # why, how urgent and for whom always stay
    kept = tuple(replace(fact, value=shorter(fact.value, level.characters)) for fact in facts[:most])
    more = len(facts) - len(kept)
    return (*kept, Fact("Left out here", f"{more:,} more")) if more else kept


def _shorter_items(items: Sequence[Item], level: Level) -> tuple[Item, ...]:
    """The first third and the last two thirds: what was done last tells the most."""
    first, last = level.entries // 3, level.entries - level.entries // 3
    if len(items) <= level.entries:
        first, last = len(items), 0
    kept = [*items[:first], *items[len(items) - last :]]
    short = [replace(item, text=shorter(item.text, level.characters)) for item in kept]
    more = len(items) - len(kept)
    gap = [Item(f"[… {more:,} more left out here …]")] if more else []
    return (*short[:first], *gap, *short[first:])


class Gap:
    """Says what is missing between two messages of a transcript."""

    def __init__(self, entries: Sequence[Entry], where: str) -> None:
        self._before = [0, *accumulate(len(entry.text) for entry in entries)]
        self._where = where

    @property
    def largest(self) -> str:
        """The longest thing that ``between`` may say."""
        return self._said(len(self._before), self._before[-1])

    def between(self, start: int, end: int) -> str:
        """The note for the messages from ``start`` up to ``end``, ``""`` where none is missing."""
        return self._said(end - start, self._before[end] - self._before[start]) if end > start else ""

    def _said(self, count: int, characters: int) -> str:
        messages = "message" if count == 1 else "messages"
        return f"{count:,} {messages} ({characters:,} characters) left out here; {self._where}."
