"""When something is due, and how long the AI may still try."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from handrail import Due, Urgency
from handrail.config import Sla
from handrail.policy.hours import Calendar
from handrail.policy.timing import due, endless, wait_until

OFFICE = Calendar("Europe/Paris", {"mon-fri": "09:00-18:00"}, ["2026-12-25"])
SLA = Sla.model_validate(
    {"first_response": {"high": "2h", "normal": "8h"}, "resolution": {"high": "18h", "low": "0s"}}
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def minutes(value: float) -> timedelta:
    return timedelta(minutes=value)


@pytest.mark.parametrize(
    ("calendar", "urgency", "start", "first", "resolution"),
    [
        (None, "high", "2026-11-20T16:00", "2026-11-20T18:00", "2026-11-21T10:00"),
        (OFFICE, "high", "2026-11-20T16:00", "2026-11-23T09:00", "2026-11-24T16:00"),
        (OFFICE, "high", "2026-12-24T16:30", "2026-12-28T09:30", "2026-12-29T16:30"),
        (OFFICE, "high", "2026-11-22T12:00", "2026-11-23T10:00", "2026-11-24T17:00"),
        (OFFICE, "normal", "2026-11-23T09:00", "2026-11-23T17:00", None),
        (OFFICE, "low", "2026-11-23T09:00", None, None),
    ],
)
def test_due_times_count_working_time(
    calendar: Calendar | None, urgency: str, start: str, first: str | None, resolution: str | None
) -> None:
    assert due(SLA, Urgency(urgency), at(start), calendar) == Due(
        first_response=at(first) if first else None, resolution=at(resolution) if resolution else None
    )


def test_without_a_promise_nothing_is_due() -> None:
    assert due(None, Urgency.HIGH, at("2026-11-23T09:00"), OFFICE) == Due()


@pytest.mark.parametrize(
    ("calendar", "since", "now", "until"),
    [
        (None, "2026-11-20T16:00", "2026-11-20T16:00", "2026-11-20T17:40"),
        (None, "2026-11-20T16:00", "2026-11-20T18:00", "2026-11-20T18:00"),  # too late already: now
        (OFFICE, "2026-11-23T09:00", "2026-11-23T09:05", "2026-11-23T10:40"),
        (OFFICE, "2026-11-20T16:00", "2026-11-20T16:00", "2026-11-23T08:40"),  # over the weekend
        (OFFICE, "2026-11-20T15:10", "2026-11-20T15:10", "2026-11-20T16:50"),  # ten past eight is due
        (OFFICE, "2026-11-21T12:00", "2026-11-21T12:00", "2026-11-23T09:40"),
        (OFFICE, "2026-11-20T16:00", "2026-11-23T08:50", "2026-11-23T08:50"),
    ],
)
def test_the_ai_tries_as_long_as_people_can_still_keep_the_promise(
    calendar: Calendar | None, since: str, now: str, until: str
) -> None:
    assert wait_until(minutes(120), minutes(20), at(since), at(now), calendar) == at(until)


def test_people_have_the_lead_in_working_time() -> None:
    since = at("2026-11-20T15:10")
    until = wait_until(minutes(120), minutes(20), since, since, OFFICE)
    promised = due(SLA, Urgency.HIGH, since, OFFICE).first_response
    assert promised is not None
    assert OFFICE.working(until, promised) == minutes(20)


def test_a_lead_longer_than_the_promise_is_now() -> None:
    now = at("2026-11-23T09:00")
    assert wait_until(minutes(120), minutes(500), now, now, OFFICE) == now


def test_a_promise_of_more_than_five_years_is_named() -> None:
    weekly = 45 * 60
    most, more = f"{260 * weekly}m", f"{262 * weekly}m"
    assert endless(Sla.model_validate({"resolution": {"low": most}}), OFFICE) == []
    assert endless(Sla.model_validate({"resolution": {"low": more}}), None) == []
    ((keys, why),) = endless(Sla.model_validate({"resolution": {"low": more}}), OFFICE)
    assert keys == ("resolution", "low")
    assert "a week has 45h" in why


def test_a_lead_beyond_what_these_hours_ever_had_is_now() -> None:
    since = datetime(2026, 11, 20, 9, tzinfo=UTC)

    assert wait_until(minutes(120), timedelta(days=3000), since, since, OFFICE) == since
