"""Business hours: what is read, what is refused, and that the counting agrees with a walk of minutes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.desks import SimulatedAcme, Worlds

from handrail import HandrailError
from handrail.policy import dayoff
from handrail.policy.hours import Calendar, Hours
from handrail.policy.spans import DAYS

MINUTE = timedelta(minutes=1)
OFFICE = {"mon-fri": "09:00-18:00"}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def hours(value: float) -> timedelta:
    return timedelta(hours=value)


# Against a walk of minutes.

ZONES = [
    "UTC",
    "Europe/Paris",
    "America/New_York",
    "Australia/Lord_Howe",  # half an hour in summer
    "America/Santiago",  # the southern summer, changed at midnight
    "Africa/Casablanca",  # the month of Ramadan
    "Asia/Kathmandu",  # quarters of an hour, no summer time
    "Asia/Kolkata",
    "Pacific/Chatham",
    "America/St_Johns",
    "America/Havana",  # midnight comes twice, or not at all
    "Africa/Cairo",
    "Pacific/Apia",  # left out a whole day
    "America/Caracas",  # moved for good
]
FIRST = datetime(2011, 1, 1, tzinfo=UTC)


@cache
def changes(zone: str) -> tuple[datetime, ...]:
    """The days, in UTC, on which local time jumps; the first one where it never does."""
    days = [FIRST + timedelta(days=number) for number in range(20 * 365)]
    offsets = [day.astimezone(ZoneInfo(zone)).utcoffset() for day in days]
    jumps = (day for day, now, then in zip(days, offsets, offsets[1:], strict=False) if now != then)
    return tuple(jumps) or (FIRST,)


@st.composite
def day_spans(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Up to three spans of a day in minutes; the last one may go over midnight."""
    bounds = sorted(draw(st.lists(st.integers(0, 1440), min_size=2, max_size=6, unique=True)))
    found = list(zip(bounds[::2], bounds[1::2], strict=False))
    if draw(st.booleans()):
        begin, end = bounds[-1] % 1440, bounds[0]
        if end < begin:
            found = [span for span in found if span[1] <= begin] + [(begin, end + 1440)]
    return found


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Calendar, Any, datetime]:
    """A calendar, the same as a function that says whether it is open, and a moment near a jump."""
    zone = draw(st.sampled_from(ZONES))
    table = draw(st.dictionaries(st.integers(0, 6), day_spans(), min_size=1))
    start = draw(st.sampled_from(changes(zone))) + timedelta(minutes=draw(st.integers(-2880, 2880)))
    off = {start.date() + timedelta(days=n) for n in draw(st.lists(st.integers(-3, 9), max_size=4))}
    table = {day: spans for day, spans in table.items() if spans} or {0: [(0, 1440)]}
    days = {DAYS[day]: ", ".join(map(written, spans)) for day, spans in table.items()}
    calendar = Calendar(zone, days, [day.isoformat() for day in off])
    return calendar, walker(ZoneInfo(zone), table, off), start


def written(span: tuple[int, int]) -> str:
    begin, end = span
    end = end - 1440 if end > 1440 else end
    return f"{begin // 60:02}:{begin % 60:02}-{end // 60:02}:{end % 60:02}"


def walker(zone: ZoneInfo, table: dict[int, list[tuple[int, int]]], off: set[date]) -> Any:
    def is_open(moment: datetime) -> bool:
        local = moment.astimezone(zone)
        for back in (0, 1):
            day, minute = local.date() - timedelta(days=back), local.hour * 60 + local.minute + 1440 * back
            spans = table.get(day.weekday(), []) if day not in off else []
            if any(begin <= minute < end for begin, end in spans):
                return True
        return False

    return is_open


@settings(max_examples=60, deadline=None)
@given(worlds(), st.integers(0, 3000))
def test_working_time_agrees_with_a_walk_of_minutes(world: Any, length: int) -> None:
    calendar, is_open, start = world
    walked = [start + MINUTE * number for number in range(length) if is_open(start + MINUTE * number)]

    assert calendar.working(start, start + MINUTE * length) == MINUTE * len(walked)
    assert calendar.is_open(start) == is_open(start)


@settings(max_examples=60, deadline=None)
@given(worlds(), st.integers(0, 900))
def test_adding_agrees_with_a_walk_of_minutes(world: Any, minutes: int) -> None:
    calendar, is_open, start = world
    end, left = start, minutes
    while left and end < start + timedelta(days=5):
        left -= is_open(end)
        end += MINUTE
    found = calendar.add(start, MINUTE * minutes)

    assert found == end if not left else found > end
    assert calendar.working(start, found) == MINUTE * minutes


@settings(max_examples=60, deadline=None)
@given(worlds(), st.integers(0, 900))
def test_subtracting_agrees_with_a_walk_back(world: Any, minutes: int) -> None:
    calendar, is_open, end = world
    start, left = end, minutes
    while left and start > end - timedelta(days=5):
        start -= MINUTE
        left -= is_open(start)
    found = calendar.subtract(end, MINUTE * minutes)

    assert found == start if not left else found < start
    assert calendar.working(found, end) == MINUTE * minutes


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_the_next_opening_agrees_with_a_walk_of_minutes(world: Any) -> None:
    calendar, is_open, start = world
    steps = (start + MINUTE * number for number in range(4 * 1440))
    first = next((moment for moment in steps if is_open(moment)), None)

    found = calendar.next_open(start)
    assert found == first if first else found >= start + timedelta(days=4)


# By example.


@pytest.mark.parametrize(
    ("zone", "days", "start", "add", "end"),
    [
        ("Europe/Paris", OFFICE, "2026-11-23T09:30", 2, "2026-11-23T11:30"),
        ("Europe/Paris", OFFICE, "2026-11-23T05:00", 2, "2026-11-23T10:00"),  # before it opens
        ("Europe/Paris", OFFICE, "2026-11-20T16:00", 2, "2026-11-23T09:00"),  # over a weekend
        ("Europe/Paris", OFFICE, "2026-11-20T16:00", 1, "2026-11-20T17:00"),  # to the very end
        ("Europe/Paris", OFFICE, "2026-03-27T16:30", 1, "2026-03-30T07:30"),  # over a change of the clocks
        ("UTC", {"mon-sun": "00:00-24:00"}, "2024-02-28T00:00", 48, "2024-03-01T00:00"),
        ("UTC", {"fri-mon": "22:00-06:00"}, "2026-11-20T12:00", 9, "2026-11-21T23:00"),
        ("UTC", {"mon,wed": "09:00-10:00"}, "2026-11-23T09:30", 1, "2026-11-25T09:30"),
        ("UTC", {"mon": "18:00-00:00"}, "2026-11-23T09:30", 6, "2026-11-24T00:00"),
        ("UTC", {"Mon-Fri": "9:00-12:00, 13:00-18:00"}, "2026-11-23T11:00", 2, "2026-11-23T14:00"),
        ("Asia/Kolkata", OFFICE, "2026-11-23T03:00", 1, "2026-11-23T04:30"),
        # two is left out, or comes twice
        ("Europe/Paris", {"sun": "01:00-04:00"}, "2026-03-29T00:00", 2, "2026-03-29T02:00"),
        ("Europe/Paris", {"sun": "02:00-03:00"}, "2026-03-28T12:00", 1, "2026-04-05T01:00"),
        ("Europe/Paris", {"sun": "02:00-03:00"}, "2026-10-24T12:00", 2, "2026-10-25T02:00"),
    ],
)
def test_working_time_is_added(zone: str, days: dict[str, str], start: str, add: float, end: str) -> None:
    calendar = Calendar(zone, days)
    assert calendar.add(at(start), hours(add)) == at(end)
    assert calendar.working(at(start), at(end)) == hours(add)


def test_nothing_added_is_the_same_moment_and_parts_of_a_second_count() -> None:
    calendar = Calendar("Europe/Paris", OFFICE)
    sunday = at("2026-11-22T10:00")
    assert calendar.add(sunday, timedelta(0)) == sunday == calendar.subtract(sunday, timedelta(0))
    assert calendar.add(sunday, timedelta(microseconds=1)) == at("2026-11-23T08:00:00.000001")
    assert calendar.subtract(sunday, timedelta(microseconds=1)) == at("2026-11-20T16:59:59.999999")


def test_times_of_any_zone_are_taken_and_naive_ones_refused() -> None:
    calendar = Calendar("Europe/Paris", OFFICE)
    here = at("2026-11-23T10:00").astimezone(ZoneInfo("Asia/Tokyo"))
    assert calendar.add(here, hours(1)) == at("2026-11-23T11:00")
    assert calendar.add(here, hours(1)).tzinfo is UTC
    with pytest.raises(ValueError, match="aware"):
        calendar.is_open(here.replace(tzinfo=None))


@pytest.mark.parametrize(
    ("holidays", "end"),
    [
        ((), "2026-12-25T09:00"),
        (("FR",), "2026-12-28T09:00"),
        (("2026-12-25",), "2026-12-28T09:00"),
        (("DE-BY", "2026-12-28"), "2026-12-29T09:00"),
        (("FR", "GB-ENG"), "2026-12-29T09:00"),  # Boxing Day, a Saturday, is moved to the Monday
    ],
)
def test_holidays_are_left_out(holidays: tuple[str, ...], end: str) -> None:
    calendar = Calendar("Europe/Paris", OFFICE, holidays)
    assert calendar.add(at("2026-12-24T16:00"), hours(2)) == at(end)


def test_a_region_has_holidays_of_its_own() -> None:
    epiphany = at("2026-01-06T12:00")
    assert Calendar("Europe/Berlin", OFFICE, ["DE"]).is_open(epiphany)
    assert not Calendar("Europe/Berlin", OFFICE, ["DE-BY"]).is_open(epiphany)


def test_a_night_belongs_to_the_day_on_which_it_begins() -> None:
    calendar = Calendar("UTC", {"mon-sun": "22:00-06:00"}, ["2026-11-24"])
    assert calendar.is_open(at("2026-11-24T05:59"))
    assert not calendar.is_open(at("2026-11-24T22:00"))
    assert not calendar.is_open(at("2026-11-25T05:59"))
    assert calendar.is_open(at("2026-11-25T22:00"))


def test_nothing_is_looked_for_beyond_ten_years() -> None:
    calendar = Calendar("UTC", {"mon": "09:00-10:00"})
    assert calendar.add(at("2026-11-23T00:00"), hours(520)) == at("2036-11-03T10:00")
    for count in (calendar.add, calendar.subtract):
        with pytest.raises(HandrailError, match="ten years"):
            count(at("2026-11-23T00:00"), hours(530))


def test_a_calendar_whose_every_day_is_off_ends_in_an_error() -> None:
    days = [(date(2026, 1, 1) + timedelta(days=n)).isoformat() for n in range(12 * 366)]
    with pytest.raises(HandrailError, match="ten years"):
        Calendar("UTC", OFFICE, days).next_open(at("2026-01-01T00:00"))


# What is refused.


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("timezone", "Europe/Pris", "'Europe/Pris' is no time zone; did you mean 'Europe/Paris'?"),
        ("timezone", "paris", "did you mean 'Europe/Paris'?"),
        ("timezone", "new york", "did you mean 'America/New_York'?"),
        ("timezone", "../../etc/passwd", "is no time zone; write one such as Europe/Paris or UTC"),
        ("timezone", "", "is no time zone"),
        ("days", {}, "it is never open; write days such as"),
        ("days", {"monday": "09:00-18:00"}, "'monday' in 'monday' is no day; write mon-fri, sat or"),
        ("days", {"mon-": "09:00-18:00"}, "'' in 'mon-' is no day"),
        ("days", {"mon": "9-18"}, "'9-18' of 'mon' is no span of time; write"),
        ("days", {"mon": "09:00"}, "is no span of time"),
        ("days", {"mon": "09:60-10:00"}, "is no span of time"),
        ("days", {"mon": "09:00-24:01"}, "is no span of time"),
        ("days", {"mon": "24:00-06:00"}, "is no span of time"),
        ("days", {"mon": "09:00-18:00,"}, "'' of 'mon' is no span of time"),
        ("days", {"mon": "\u0660\u0669:00-10:00"}, "is no span of time"),
        ("days", {"mon": "09:00-09:00"}, 'begins when it ends; a whole day is "00:00-24:00"'),
        ("days", {"mon": "09:00-12:00, 11:00-13:00"}, "the hours of 'mon' overlap"),
        ("days", {"mon-fri": "09:00-18:00", "fri": "09:00-15:00"}, "fri stands in 'mon-fri' and in 'fri'"),
        ("holidays", "FX", "'FX' is no country that we know the holidays of; did you mean"),
        ("holidays", "fr", "did you mean 'FR'?"),
        ("holidays", "Germany", "did you mean 'DE'?"),
        ("holidays", "??", "write a code such as FR or DE-BY, or a date such as 2026-12-24"),
        ("holidays", ["FR", "DE-BX"], "DE has no region 'BX'; did you mean"),
        ("holidays", "DE-???", "DE has no region '???'; known are BB, BE"),
        ("holidays", "AF-X", "AF has no region 'X'; it has none; write 'AF'"),
        ("holidays", "2026-02-30", "'2026-02-30' is no date; write 2026-12-24"),
        ("holidays", [5], "valid string"),
    ],
)
def test_what_is_not_understood_is_refused_with_the_cure(key: str, value: object, said: str) -> None:
    given = {"timezone": "UTC", "days": OFFICE, "holidays": "FR", key: value}
    with pytest.raises(ValidationError) as caught:
        Hours.model_validate(given)
    (error,) = caught.value.errors()
    assert error["loc"][0] == key
    assert said in error["msg"]


def test_dates_of_toml_are_taken() -> None:
    given = {"timezone": "UTC", "days": OFFICE, "holidays": date(2026, 11, 24)}
    assert Hours.model_validate(given).holidays == ("2026-11-24",)
    assert not Hours.model_validate(given).calendar.is_open(at("2026-11-24T10:00"))


def test_a_check_shows_the_hours_and_asks_no_desk(worlds: Worlds, acme: SimulatedAcme) -> None:
    office = Hours(timezone="Europe/Paris", days=OFFICE, holidays=("FR", "2026-12-24"))
    world = worlds(hours={"office": office, "always": Hours(timezone="UTC", days={"mon-sun": "00:00-24:00"})})
    found = {each.subject: each.message for each in world.rail.check(offline=True) if each.ok}
    assert found["hours.office"] == "45h a week in Europe/Paris, without the holidays of FR, 2026-12-24"
    assert found["hours.always"] == "7d a week in UTC"
    assert acme.requests == []


def test_every_code_that_is_accepted_is_known_to_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    import holidays

    codes = dayoff._countries()
    for code in ("DE", "DEU", "FR", "GB", "US", "JP", "BR", "AU"):
        read = dayoff._regions(*codes[code])
        entity = getattr(holidays, code)
        assert read == [*entity.subdivisions, *entity.subdivisions_aliases]
    assert [code for code in codes if not hasattr(holidays, code)] == []

    monkeypatch.setattr(dayoff, "_folder", lambda: dayoff.Path("nowhere"))
    assert dayoff._countries.__wrapped__() == codes
    assert dayoff._regions(*codes["DE"])[:2] == ["BB", "BE"]
