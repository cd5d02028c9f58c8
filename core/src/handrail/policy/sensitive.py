"""What must not be left to a machine: the signal ``sensitive``, a list of categories."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.resources import files

from handrail.policy.phrases import Heard, Phrases


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

    def categories(self, heard: Heard) -> list[str]:
        """The categories of a message, in the order of the alphabet. Quotations count as well."""
        found: set[str] = set()
        if self._known.may_be_among(heard.unique):
            found.update(*(each.kinds for each in self._known.find(heard.words)))
        if heard.scattered:
            found.update(*(kinds for _, kinds in self._known.inside(heard.plain)))
        return sorted(found)
