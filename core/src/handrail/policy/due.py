"""When a trigger whose timing is ``sla`` hands over: early enough for people to keep the promise."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from handrail.model import Urgency
from handrail.policy.hours import Calendar
from handrail.policy.model import Timing
from handrail.policy.timing import Promise, wait_until

DueBy = Callable[[Timing, Urgency, datetime, datetime], datetime | None]
"""From a timing with ``sla``, the urgency, when the customer last wrote, and now: when it hands over at the
latest; None where nothing is promised for that urgency."""


def nothing_promised(timing: Timing, urgency: Urgency, since: datetime, now: datetime) -> None:
    """Where no promise is known, a timing with ``sla`` hands over at once."""
    return


def promised(sla: Promise, calendar: Calendar | None) -> DueBy:
    """A ``due_by`` for the promises of ``sla``, in the hours of ``calendar``; None: every hour counts."""

    def due_by(timing: Timing, urgency: Urgency, since: datetime, now: datetime) -> datetime | None:
        target = getattr(sla, timing.sla or "", {}).get(urgency)
        if target is None:
            return None
        return wait_until(target, timing.lead or timedelta(0), since, now, calendar)

    return due_by
