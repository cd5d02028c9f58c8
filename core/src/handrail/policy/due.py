"""When a promise is due, for a trigger whose timing is ``sla``: the seam for business hours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from handrail.model import Urgency
from handrail.policy.model import Timing

DueBy = Callable[[Timing, Urgency, datetime], datetime | None]
"""When a timing with ``sla`` hands off at the latest; None where nothing is promised for that urgency."""


def nothing_promised(timing: Timing, urgency: Urgency, now: datetime) -> None:
    """Where no promise is known, a timing with ``sla`` hands off at once."""
    return


def plain_hours(promises: Mapping[str, Mapping[Urgency, timedelta]]) -> DueBy:
    """A ``due_by`` that counts every hour: ``promises`` by name (first_response, resolution) and urgency."""

    def due_by(timing: Timing, urgency: Urgency, now: datetime) -> datetime | None:
        promise = promises.get(timing.sla or "", {}).get(urgency)
        return None if promise is None else now + promise - (timing.lead or timedelta(0))

    return due_by
