"""Words of a text and known phrases among them, in time that grows with the text alone.

No pattern here backtracks: a text is cut into words once, and phrases are found by looking words up.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

BREAKS = frozenset(".!?;,:\n…。！？、，；：؟،।()–—")
"""Stand among the words where a sentence or a part of it ends."""

# Each pattern is one class of characters, or stops at the first character that could begin it again, so
# that none looks at a character more than twice.
_WORD = re.compile(r"[^\W_]++(?:'[^\W_]++)*+|[.!?;,:\n…。！？、，；：؟،।()–—]")
_ASCII_WORD = re.compile(r"[a-z0-9]++(?:'[a-z0-9]++)*+|[.!?;,:\n()]")
_QUOTED = re.compile(
    r'"[^"\n]*"|[“„”][^“„”"\n]*[“”"]|«[^«»\n]*»|»[^«»\n]*«|‹[^‹›\n]*›|「[^「」\n]*」|『[^『』\n]*』'
    r"|(?<![^\s(])'[^'\n]*'(?![^\W_])|(?<![^\s(])‘[^‘’\n]*’(?![^\W_])"
)
_SCATTERED = re.compile("[\u0600-\u06ff\u0900-\u097f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_APOSTROPHES = str.maketrans("’‘ʼ`´′", "''''''")
_QUOTE = re.compile("[\"“”„«»‹›「『'‘]")


def plain(text: str) -> str:
    """``text`` in lower case with one kind of apostrophe."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text.casefold().replace("i̇", "i"))
        return text.translate(_APOSTROPHES)
    return text.lower().replace("`", "'")


def own_words(text: str) -> str:
    """``text`` without the lines of others, that begin with ``>``."""
    if ">" not in text:
        return text
    return "\n".join(line for line in text.split("\n") if not line.lstrip().startswith(">"))


def unquoted(text: str) -> str:
    """``text`` without what stands in quotation marks, unless all of it does."""
    if not _QUOTE.search(text):
        return text
    stripped = text.strip()
    whole = _QUOTED.match(stripped)
    if whole and whole.end() == len(stripped):
        return stripped[1:-1]
    return _QUOTED.sub(_left_out, text)


def _left_out(quoted: re.Match[str]) -> str:
    """One or two words in quotation marks are stressed, not quoted."""
    inner = quoted[0][1:-1]
    return f" {inner} " if len(inner) < 40 and len(inner.split()) <= 2 else " , "


def words_of(text: str) -> list[str]:
    """The words of a plain text in their order, with one of ``BREAKS`` where a part ends."""
    return (_ASCII_WORD if text.isascii() else _WORD).findall(text)


def is_scattered(text: str) -> bool:
    """True for text in a script whose words do not stand apart, or take endings that grow on them."""
    return not text.isascii() and _SCATTERED.search(text) is not None


class Heard:
    """A message, cut into words once for all that look at it. ``own`` is it without the lines of others."""

    __slots__ = ("own", "plain", "scattered", "unique", "words")

    def __init__(self, text: str) -> None:
        self.own = own_words(text)
        self.plain = plain(self.own)
        self.words = words_of(self.plain)
        self.unique = frozenset(self.words)
        self.scattered = is_scattered(self.plain)

    @property
    def quotes(self) -> bool:
        """True where something may stand in quotation marks."""
        return _QUOTE.search(self.plain) is not None


class Found(NamedTuple):
    """A phrase among words, from ``start`` to before ``end``; ``kinds`` is what the phrase stands for."""

    start: int
    end: int
    kinds: frozenset[str]


class Phrases:
    """Known phrases, each with kinds; the longest that begins at a word is taken."""

    def __init__(self, phrases: Iterable[tuple[str, str]]) -> None:
        """``phrases`` are pairs of a phrase and a kind; one with accents is known without them as well."""
        self._by_first: dict[str, dict[tuple[str, ...], frozenset[str]]] = {}
        self.scattered: dict[str, frozenset[str]] = {}
        for phrase, kind in phrases:
            written = plain(phrase)
            if is_scattered(written):
                self.scattered[written] = self.scattered.get(written, frozenset()) | {kind}
            for form in {written, bare(written)}:
                self._add(tuple(words_of(form)), kind)
        self._longest = {word: max(map(len, known)) for word, known in self._by_first.items()}
        self._by_rarest = _by_rarest(words for known in self._by_first.values() for words in known)
        self._rarest = frozenset(self._by_rarest)

    def _add(self, words: tuple[str, ...], kind: str) -> None:
        if words:  # none are left of a phrase that is all signs
            known = self._by_first.setdefault(words[0], {})
            known[words] = known.get(words, frozenset()) | {kind}

    def may_be_among(self, unique: frozenset[str]) -> bool:
        """False where no phrase has all of its words among these: most texts need not be looked through."""
        if self._rarest.isdisjoint(unique):
            return False
        known = self._by_rarest
        return any(others <= unique for word in unique & self._rarest for others in known[word])

    def find(self, words: list[str]) -> Iterator[Found]:
        """Every phrase among ``words``, none overlapping another."""
        first, free = self._by_first, 0
        for start in [place for place, word in enumerate(words) if word in first]:
            if start >= free:
                found = self._at(words, start, words[start])
                if found is not None:
                    free = found.end
                    yield found

    def _at(self, words: list[str], start: int, word: str) -> Found | None:
        known = self._by_first[word]
        for length in range(min(self._longest[word], len(words) - start), 0, -1):
            kinds = known.get(tuple(words[start : start + length]))
            if kinds is not None:
                return Found(start, start + length, kinds)
        return None

    def inside(self, text: str) -> Iterator[tuple[str, frozenset[str]]]:
        """The phrases of scattered scripts that stand anywhere in a plain text."""
        return ((phrase, kinds) for phrase, kinds in self.scattered.items() if phrase in text)


def _by_rarest(phrases: Iterable[tuple[str, ...]]) -> dict[str, list[frozenset[str]]]:
    """Phrases as sets of words, by the word of each that the fewest others have."""
    sets = {frozenset(words) for words in phrases}
    times = Counter(word for words in sets for word in words)
    found: dict[str, list[frozenset[str]]] = {}
    for words in sets:
        rarest = min(words, key=lambda word: (times[word], -len(word), word))
        found.setdefault(rarest, []).append(words)
    return found


def bare(text: str) -> str:
    """``text`` without accents, as many write on a foreign keyboard."""
    letters = unicodedata.normalize("NFD", text)
    kept = (one for one in letters if not "\u0300" <= one <= "\u036f")
    return unicodedata.normalize("NFC", "".join(kept))
