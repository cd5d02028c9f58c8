"""Whether a customer asks for a person, in many languages: the signal ``asked_for_human``.

A wish (to reach somebody) must stand near a word for a person, in one part of a sentence and in one language,
and nothing near them may take it back: "I don't want a human" asks for none. What is quoted, and questions
such as "are you a human?", do not ask. The words are data: ``words/asked_for_human.toml``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

from handrail.policy.phrases import BREAKS, Found, Heard, Phrases, plain, unquoted, words_of

GAP = 5
"""So many words may stand between a wish and the person."""
REACH = 4
"""A negation takes back a wish that begins within so many words."""
NEIGHBOURS = 8
"""So many of the known words around a person word are looked at."""
BARE = 8
"""A message of at most so many words may be nothing but a word for a person."""

_CLAUSE = re.compile(r"[.!?;,:\n…。！？、，；：؟،।]+")
Table = Mapping[str, Any]


@lru_cache(maxsize=1)
def languages() -> dict[str, Table]:
    """The built-in lists by language."""
    text = files("handrail.policy.words").joinpath("asked_for_human.toml").read_text("utf-8")
    return tomllib.loads(text)


class AskedForHuman:
    """Finds requests for a person."""

    def __init__(self, phrases: Iterable[str] | None = None, extra: Iterable[str] = ()) -> None:
        """``phrases`` takes the place of everything built in, ``extra`` is looked for besides."""
        tables = dict(languages())
        takes_back = [word for table in tables.values() for word in table["not"]]
        own = [*(phrases or ()), *extra]
        tables = tables if phrases is None else {}
        if own:
            tables["own"] = {"phrases": own, "not": takes_back}
        together = {name: table for name, table in tables.items() if not table.get("scattered")}
        pairs = list(_kinds(together))
        self._known = Phrases(pairs)
        self._who = Phrases(pair for pair in pairs if pair[1].partition(":")[2] in _WHO)
        self._meanings: dict[frozenset[str], _Meaning] = {}
        self._scattered = [_Scattered(table) for table in tables.values() if table.get("scattered")]
        if "own" in tables:
            self._scattered.append(_Scattered(tables["own"]))

    def asks(self, text: str) -> bool:
        """True when a customer's message asks for a person; linear in its length."""
        return self.asks_in(Heard(text))

    def asks_in(self, heard: Heard) -> bool:
        """The same of a message that was cut into words already."""
        text, words = heard.plain, heard.words
        if not heard.scattered and not self._who.may_be_among(heard.unique):
            return False
        if heard.quotes:
            text = plain(unquoted(heard.own))
            words = words_of(text)
        if heard.scattered and any(one.asks(text) for one in self._scattered):
            return True
        found = list(self._known.find(words))
        return any(self._asks(language, words, found) for language in self._languages(words, found))

    def _languages(self, words: list[str], found: list[Found]) -> Iterable[str]:
        """The languages in which a person is named, and wished for unless that may be all that is said."""
        meant = [self._meaning(each.kinds) for each in found]
        named = {language for meaning in meant for language in meaning.who}
        if not named or len(words) <= BARE:
            return sorted(named)
        return sorted(named & {language for meaning in meant for language in meaning.wishes})

    def _meaning(self, kinds: frozenset[str]) -> _Meaning:
        if kinds not in self._meanings:
            self._meanings[kinds] = _Meaning(kinds)
        return self._meanings[kinds]

    def _asks(self, language: str, words: list[str], found: list[Found]) -> bool:
        known = list(self._of_language(language, words, found))
        whos = [place for place, each in enumerate(known) if each.kinds & _WHO]
        if any(each.kinds & _WISHES for each in known):
            for place in whos:
                if _is_wished(known, place, words) or _is_rather_wanted(known, place):
                    return True
        return _is_nothing_else(known, words)

    def _of_language(self, language: str, words: list[str], found: list[Found]) -> Iterator[_Word]:
        part, seen = 0, 0
        for each in found:
            part += sum(word in BREAKS for word in words[seen : each.start])
            seen = each.start
            kinds = self._meaning(each.kinds).by_language.get(language)
            if kinds:
                part += "but" in kinds
                yield _Word(each, kinds, part)


_WHO = frozenset({"person", "someone", "phrases"})
_WISHES = frozenset({"contact", "want", "before", "phrases"})


class _Meaning:
    """What a phrase stands for, by language, and in which of them it names a person or is a wish."""

    __slots__ = ("by_language", "who", "wishes")

    def __init__(self, kinds: frozenset[str]) -> None:
        pairs = [kind.split(":") for kind in kinds]
        self.by_language = {name: frozenset(k for n, k in pairs if n == name) for name, _ in pairs}
        self.who = tuple(name for name, kind in pairs if kind in _WHO)
        self.wishes = tuple(name for name, kind in pairs if kind in _WISHES)


def _kinds(tables: Mapping[str, Table]) -> Iterator[tuple[str, str]]:
    for language, table in tables.items():
        for kind, phrases in table.items():
            if isinstance(phrases, list):
                yield from ((phrase, f"{language}:{kind}") for phrase in phrases)


class _Word:
    """A known word of one language, and in which part of the text it stands."""

    __slots__ = ("end", "kinds", "part", "start")

    def __init__(self, found: Found, kinds: frozenset[str], part: int) -> None:
        self.start, self.end, self.kinds, self.part = found.start, found.end, kinds, part


def _is_wished(known: list[_Word], place: int, words: list[str]) -> bool:
    who = known[place]
    if "phrases" in who.kinds:
        return not _is_taken_back(known, place, place, words)
    for other in range(max(0, place - NEIGHBOURS), min(len(known), place + NEIGHBOURS + 1)):
        if _wishes(known[other], who) and not _is_taken_back(
            known, min(place, other), max(place, other), words
        ):
            return True
    return False


def _wishes(wish: _Word, who: _Word) -> bool:
    """True when ``wish`` is a wish that may belong to ``who``."""
    if wish.part != who.part:
        return False
    follows = wish.start > who.start
    gap = wish.start - who.end if follows else who.start - wish.end
    if "contact" in wish.kinds:
        return gap <= GAP
    if "person" not in who.kinds:
        return False
    return ("want" in wish.kinds and gap <= GAP - 1) or ("before" in wish.kinds and not follows and gap <= 1)


def _is_taken_back(known: list[_Word], first: int, last: int, words: list[str]) -> bool:
    begin, end, part = known[first].start, known[last].end, known[first].part
    for each in known[max(0, first - NEIGHBOURS) : last + 3]:
        if "not" not in each.kinds or each.part != part:
            continue
        at_the_end = each.start >= end and (each.end == len(words) or words[each.end] in BREAKS)
        if begin - REACH <= each.start < end or at_the_end:
            return True
    return False


def _is_rather_wanted(known: list[_Word], place: int) -> bool:
    """The human of "I don't want a bot, but a human": what is taken back before is another wish."""
    begin = place
    while begin and known[begin - 1].kinds & _BARE and known[begin].start == known[begin - 1].end:
        begin -= 1
        if "but" in known[begin].kinds:
            before = known[max(0, begin - NEIGHBOURS) : begin]
            kinds = [each.kinds for each in before if 0 < known[begin].part - each.part <= 2]
            return any("not" in one for one in kinds) and any(one & _WISHES for one in kinds)
    return False


def _is_nothing_else(known: list[_Word], words: list[str]) -> bool:
    """A message that is only a word for a person, with a "please"."""
    if len(words) > BARE or not any(each.kinds & {"person", "someone"} for each in known):
        return False
    if any(not each.kinds & _BARE for each in known):
        return False
    covered = sum(each.end - each.start for each in known)
    return covered == sum(word not in BREAKS for word in words)


_BARE = frozenset({"person", "someone", "filler", "but"})


class _Scattered:
    """The same for scripts without spaces: a wish and a person in one part, and no negation."""

    def __init__(self, table: Table) -> None:
        self._of = {kind: tuple(map(plain, v)) for kind, v in table.items() if isinstance(v, list)}

    def asks(self, text: str) -> bool:
        for phrase in self._of.get("other", ()):
            text = text.replace(phrase, " ")
        return any(self._asks(part.strip()) for part in _CLAUSE.split(text) if part)

    def _asks(self, part: str) -> bool:
        if self._has("not", part):
            return False
        if self._has("phrases", part) or part in self._of.get("person", ()):
            return True
        if self._has("person", part):
            return self._has("contact", part) or self._has("want", part)
        return self._has("someone", part) and self._has("contact", part)

    def _has(self, kind: str, part: str) -> bool:
        return any(phrase in part for phrase in self._of.get(kind, ()))
