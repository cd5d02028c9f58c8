"""When something is due: what the team promised, and how long the AI may still try."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Protocol

from handrail.durations import format_duration
from handrail.model import Due, Urgency
from handrail.policy.hours import Calendar

LONGEST = timedelta(days=5 * 365)
"""No promise takes longer, counted in business hours."""


class Promise(Protocol):
    """The table ``[sla.NAME]``."""

    @property
    def first_response(self) -> Mapping[Urgency, timedelta]: ...
    @property
    def resolution(self) -> Mapping[Urgency, timedelta]: ...


def due(sla: Promise | None, urgency: Urgency, start: datetime, calendar: Calendar | None = None) -> Due:
    """When people promised to have acted on what begins at ``start``, an aware time.

    Durations are working time of ``calendar``; without one every hour counts.
    """
    if sla is None:
        return Due()
    return Due(
        first_response=_due(sla.first_response.get(urgency), start, calendar),
        resolution=_due(sla.resolution.get(urgency), start, calendar),
    )


def _due(target: timedelta | None, start: datetime, calendar: Calendar | None) -> datetime | None:
    return later(start, target, calendar) if target else None


def later(start: datetime, duration: timedelta, calendar: Calendar | None = None) -> datetime:
    """``start`` and so much working time; without a calendar every hour counts."""
    return calendar.add(start, duration) if calendar else start + duration


def earlier(end: datetime, duration: timedelta, calendar: Calendar | None = None) -> datetime:
    """So much working time before ``end``; without a calendar every hour counts."""
    return calendar.subtract(end, duration) if calendar else end - duration


def wait_until(
    target: timedelta,
    lead: timedelta,
    since: datetime,
    now: datetime,
    calendar: Calendar | None = None,
) -> datetime:
    """When to hand over so that a promise of ``target`` can still be kept: never before ``now``.

    The promise counts from ``since``, the customer's message that waits for an answer; people get ``lead``
    of working time before it is due. Where they want all of it or more, that is now.
    """
    if lead >= target:
        return now
    return max(now, earlier(later(since, target, calendar), lead, calendar))


def too_long(duration: timedelta, calendar: Calendar | None) -> str | None:
    """Why so much working time cannot be waited for: it takes more than five years of these hours."""
    if calendar is None or duration <= calendar.weekly * (LONGEST / timedelta(weeks=1)):
        return None
    weekly = format_duration(calendar.weekly)
    return f"{format_duration(duration)} of working time take years; a week has {weekly}"


def endless(sla: Promise, calendar: Calendar | None) -> list[tuple[tuple[str, str], str]]:
    """Promises that take longer than five years of these hours, or no time, each with its keys and why."""
    return list(_endless(sla, calendar))


def _endless(sla: Promise, calendar: Calendar | None) -> Iterator[tuple[tuple[str, str], str]]:
    for name, targets in (("first_response", sla.first_response), ("resolution", sla.resolution)):
        for urgency, target in targets.items():
            if target <= timedelta(0):
                yield (name, urgency.value), "is no time at all; write a duration such as 30m, or remove it"
            elif why := too_long(target, calendar):
                yield (name, urgency.value), why
