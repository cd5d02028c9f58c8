"""Business hours: how much working time lies between two moments, and when so much of it has passed.

All is counted in instants. A local time that a change of the clocks leaves out is no working time; one
that comes twice counts twice.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from functools import cached_property, lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import BaseModel, ConfigDict, Field, field_validator

from handrail.durations import format_duration
from handrail.errors import HandrailError
from handrail.policy import dayoff, spans
from handrail.policy.spans import DAY

HORIZON_DAYS = 3653
"""Ten years: nothing is looked for beyond."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_SECOND = 1_000_000
_PROBE = 6 * 3600
"""No zone changes its clocks and changes them back within so many seconds."""

Opening = tuple[int, int]
"""Microseconds since the epoch, UTC; the end is not included."""


class Calendar:
    """Working time of one place. All times given are aware, all times returned are in UTC.

    ``days`` and ``holidays`` are as in the configuration. A span belongs to the day on which it begins: one
    over midnight that begins before a holiday is worked to its end, one that begins on it is not. Raises
    ``ValueError`` for what is not understood.
    """

    def __init__(self, timezone: str, days: Mapping[str, str], holidays: Iterable[str] = ()) -> None:
        self._zone = zone(timezone)
        self._week = spans.week(days)
        self._off = dayoff.DaysOff(tuple(holidays))
        self._openings = lru_cache(maxsize=1024)(self._find_openings)

    @property
    def weekly(self) -> timedelta:
        """How long it is open in a week without holidays."""
        return timedelta(seconds=spans.seconds(self._week))

    def is_open(self, at: datetime) -> bool:
        now = _micros(at)
        return any(begin <= now < end for begin, end in self._openings(now // (DAY * _SECOND)))

    def next_open(self, at: datetime) -> datetime:
        """The first moment from ``at`` on that is working time. Raises ``HandrailError`` where none comes."""
        now = _micros(at)
        return _moment(max(now, next(self._from(now))[0]))

    def working(self, start: datetime, end: datetime) -> timedelta:
        """How much working time lies between two moments; zero where ``end`` is not behind ``start``."""
        first, last = _micros(start), _micros(end)
        days = range(first // (DAY * _SECOND), last // (DAY * _SECOND) + 1)
        parts = (min(e, last) - max(b, first) for day in days for b, e in self._openings(day))
        return timedelta(microseconds=sum(part for part in parts if part > 0))

    def add(self, start: datetime, duration: timedelta) -> datetime:
        """The first moment at which ``duration`` of working time has passed since ``start``.

        Raises ``HandrailError`` where that takes more than ten years.
        """
        now, left = _micros(start), _length(duration)
        if left <= 0:
            return _moment(now)
        for begin, end in self._from(now):
            begin = max(begin, now)
            if end - begin >= left:
                return _moment(begin + left)
            left -= end - begin
        raise AssertionError("openings end in an error")  # pragma: no cover

    def subtract(self, end: datetime, duration: timedelta) -> datetime:
        """The last moment from which ``duration`` of working time passes until ``end``; see ``add``."""
        now, left = _micros(end), _length(duration)
        if left <= 0:
            return _moment(now)
        for begin, close in self._until(now):
            close = min(close, now)
            if close - begin >= left:
                return _moment(close - left)
            left -= close - begin
        raise AssertionError("openings end in an error")  # pragma: no cover

    def _from(self, now: int) -> Iterator[Opening]:
        """Openings that end behind a moment, in their order; an error at the end of ten years."""
        today = now // (DAY * _SECOND)
        for day in range(today, today + HORIZON_DAYS):
            yield from (opening for opening in self._openings(day) if opening[1] > now)
        raise HandrailError("these business hours do not have so much working time within ten years")

    def _until(self, now: int) -> Iterator[Opening]:
        """Openings that begin before a moment, the last one first."""
        today = now // (DAY * _SECOND)
        for day in range(today, today - HORIZON_DAYS, -1):
            yield from (opening for opening in reversed(self._openings(day)) if opening[0] < now)
        raise HandrailError("these business hours did not have so much working time in the last ten years")

    # One day, in UTC: there days have one length, and none comes twice.

    def _find_openings(self, day: int) -> tuple[Opening, ...]:
        found: list[Opening] = []
        for begin, end, offset in self._offsets(day):
            for local in range((begin + offset) // DAY - 1, (end - 1 + offset) // DAY + 1):
                for opens, closes in self._spans(local):
                    first, last = max(opens - offset, begin), min(closes - offset, end)
                    if first < last:
                        found.append((first * _SECOND, last * _SECOND))
        return tuple(_merged(sorted(found)))

    def _spans(self, local_day: int) -> Iterator[spans.Span]:
        """The spans that begin on a local day, in seconds of local time since the epoch."""
        today = self._week[(local_day + 3) % 7]  # the epoch began on a Thursday
        if today and date.fromordinal(local_day + _EPOCH_ORDINAL) not in self._off:
            yield from ((local_day * DAY + opens, local_day * DAY + closes) for opens, closes in today)

    def _offsets(self, day: int) -> Iterator[tuple[int, int, int]]:
        """A day in UTC as pieces with one offset of local time: begin, end and offset in seconds."""
        begin, stop = day * DAY, (day + 1) * DAY
        while begin < stop:
            offset = self._offset(begin)
            end = self._change(begin, stop, offset)
            yield begin, end, offset
            begin = end

    def _change(self, same: int, stop: int, offset: int) -> int:
        """The first second with another offset, or ``stop``."""
        for probe in (*range(same + _PROBE, stop, _PROBE), stop - 1):
            if self._offset(probe) != offset:
                return bisect_left(range(same, probe), True, key=lambda at: self._offset(at) != offset) + same
            same = probe
        return stop

    def _offset(self, at: int) -> int:
        offset = datetime.fromtimestamp(at, self._zone).utcoffset()
        assert offset is not None
        return int(offset.total_seconds())


def _merged(openings: Iterable[Opening]) -> Iterator[Opening]:
    current: Opening | None = None
    for opening in openings:
        if current is not None and opening[0] <= current[1]:
            current = (current[0], max(current[1], opening[1]))
            continue
        if current is not None:
            yield current
        current = opening
    if current is not None:
        yield current


def _micros(at: datetime) -> int:
    if at.tzinfo is None:
        raise ValueError("business hours need an aware time; add tzinfo=UTC")
    return _length(at - _EPOCH)


def _length(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)


def _moment(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def zone(name: str) -> ZoneInfo:
    """The time zone of a name such as ``Europe/Paris``. Raises ``ValueError`` with the nearest name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    known = {each.casefold(): each for each in available_timezones()}
    known |= {each.rpartition("/")[2]: name for each, name in known.items() if "/" in each} | known
    near = get_close_matches(name.casefold().replace(" ", "_"), known, n=1, cutoff=0.6)
    cure = f"did you mean {known[near[0]]!r}?" if near else "write one such as Europe/Paris or UTC"
    raise ValueError(f"{name!r} is no time zone; {cure}")


class Hours(BaseModel):
    """The table ``[hours.NAME]``."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    timezone: str = Field(description="Where the hours count, such as Europe/Paris")
    days: dict[str, str] = Field(
        description="Opening hours by day: mon-fri, sat or mon,wed to 09:00-12:00, 13:00-18:00",
        examples=[{"mon-fri": "09:00-18:00"}],
    )
    holidays: tuple[str, ...] = Field(
        default=(),
        description="Days off: a country (FR), a region (DE-BY), a date (2026-12-24), or a list of these",
        json_schema_extra={"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
    )

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        zone(value)
        return value

    @field_validator("days")
    @classmethod
    def _known_days(cls, value: dict[str, str]) -> dict[str, str]:
        spans.week(value)
        return value

    @field_validator("holidays", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        """One rule stands alone; TOML has dates of its own."""
        rules = value if isinstance(value, list | tuple) else [value]
        return tuple(each.isoformat() if type(each) is date else each for each in rules)

    @field_validator("holidays")
    @classmethod
    def _known_holidays(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for rule in value:
            dayoff.check(rule)
        return value

    def __str__(self) -> str:
        weekly = format_duration(timedelta(seconds=spans.seconds(spans.week(self.days))))
        off = f", without the holidays of {', '.join(self.holidays)}" if self.holidays else ""
        return f"{weekly} a week in {self.timezone}{off}"

    @cached_property
    def calendar(self) -> Calendar:
        return Calendar(self.timezone, self.days, self.holidays)
