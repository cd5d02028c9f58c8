"""Opening hours as people write them: ``mon-fri = "09:00-12:00, 13:00-18:00"``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise

DAY = 86_400
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME = re.compile(r"(\d\d?):(\d\d)")
_FORM = 'write "09:00-18:00", or several with a comma between them'

Span = tuple[int, int]
"""Seconds from midnight, the end not included; an end above a day's seconds lies on the day after."""
Week = tuple[tuple[Span, ...], ...]
"""The spans of each day, Monday first."""


def week(days: Mapping[str, str]) -> Week:
    """The table of ``days``. Raises ``ValueError`` for what is not understood, or where it is never open."""
    spans: dict[str, tuple[Span, ...]] = {}
    of: dict[str, str] = {}
    for key, text in days.items():
        for day in _days(key):
            if day in spans:
                raise ValueError(f"{day} stands in {of[day]!r} and in {key!r}; name each day once")
            spans[day], of[day] = _spans(key, text), key
    if not spans:
        raise ValueError('it is never open; write days such as { mon-fri = "09:00-18:00" }')
    return tuple(spans.get(day, ()) for day in DAYS)


def seconds(week: Week) -> int:
    """How long it is open in a week without holidays."""
    return sum(end - begin for spans in week for begin, end in spans)


def _days(key: str) -> Iterator[str]:
    for part in key.split(","):
        first, dash, last = (name.strip().lower() for name in part.partition("-"))
        for name in (first, last) if dash else (first,):
            if name not in DAYS:
                raise ValueError(f'{name!r} in {key!r} is no day; write mon-fri, sat or "mon,wed"')
        begin = DAYS.index(first)
        length = (DAYS.index(last) - begin) % 7 if dash else 0
        yield from (DAYS[(begin + number) % 7] for number in range(length + 1))


def _spans(key: str, text: str) -> tuple[Span, ...]:
    spans = sorted(_span(key, part.strip()) for part in text.split(","))
    for (_, end), (begin, _) in pairwise(spans):
        if begin < end:
            raise ValueError(f"the hours of {key!r} overlap: {text!r}; {_FORM}")
    return tuple(spans)


def _span(key: str, text: str) -> Span:
    first, _, last = (each.strip() for each in text.partition("-"))
    begin, end = _seconds(first), _seconds(last)
    if begin is None or end is None or begin == DAY:
        raise ValueError(f"{text!r} of {key!r} is no span of time; {_FORM}")
    if begin == end:
        raise ValueError(f'{text!r} of {key!r} begins when it ends; a whole day is "00:00-24:00"')
    return begin, end if end > begin else end + DAY


def _seconds(text: str) -> int | None:
    found = _TIME.fullmatch(text)
    if found is None or not text.isascii():
        return None
    hours, minutes = int(found[1]), int(found[2])
    whole = hours * 3600 + minutes * 60
    return whole if minutes < 60 and whole <= DAY else None
