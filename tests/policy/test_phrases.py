"""Known phrases in a text: what is not looked through is what holds none."""

from __future__ import annotations

import pytest

from handrail.policy.human import languages
from handrail.policy.phrases import Heard, Phrases
from handrail.policy.sensitive import built_in

LISTS = [
    *(phrases for table in languages().values() for phrases in table.values() if isinstance(phrases, list)),
    *built_in().values(),
]


def test_no_phrase_of_ours_is_overlooked() -> None:
    for phrases in LISTS:
        known = Phrases((phrase, "kind") for phrase in phrases)
        for phrase in phrases:
            heard = Heard(f"well, {phrase.upper()}, really")
            assert known.may_be_among(heard.unique) >= any(known.find(heard.words)), phrase


@pytest.mark.parametrize(
    ("text", "may"),
    [
        ("take me to court", True),
        ("the court, take me", False),
        ("court", False),
        ("to me take court", True),  # the words are there: the text is looked through
        ("", False),
    ],
)
def test_a_text_without_all_words_of_a_phrase_is_not_looked_through(text: str, may: bool) -> None:
    known = Phrases([("take me to court", "legal")])

    assert known.may_be_among(Heard(text).unique) is may
