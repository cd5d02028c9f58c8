"""What must not be left to a machine: the signal ``sensitive``, a list of categories."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.resources import files

from handrail.policy.phrases import Phrases, is_scattered, plain


@lru_cache(maxsize=1)
def built_in() -> dict[str, list[str]]:
    """The built-in lists by category: self_harm, legal, account_takeover, payment_dispute."""
    text = files("handrail.policy.words").joinpath("sensitive.toml").read_text("utf-8")
    return tomllib.loads(text)


class Sensitive:
    """Finds the categories that a message touches."""

    def __init__(self, replaced: Mapping[str, Iterable[str]] = {}) -> None:
        """``replaced`` are lists that take the place of built-in ones, or new categories."""
        lists = {**built_in(), **replaced}
        self._known = Phrases((phrase, name) for name, phrases in lists.items() for phrase in phrases)
        self._first = self._known.first_words

    def categories(self, words: list[str], text: str) -> list[str]:
        """The categories of a message, given its words and its text, in the order of the alphabet."""
        found: set[str] = set()
        if not self._first.isdisjoint(words):
            found.update(*(each.kinds for each in self._known.find(words)))
        if is_scattered(text):
            found.update(*(kinds for _, kinds in self._known.inside(plain(text))))
        return sorted(found)
