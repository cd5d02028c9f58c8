"""The report: what really happened to the handoffs since a time, and which rule causes what is not good."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from handrail.policy.findings import Finding, findings
from handrail.policy.history import Case, cases
from handrail.policy.measures import Tally, named
from handrail.policy.model import Trigger
from handrail.store import Store

BY = ("trigger", "group", "desk", "reason", "urgency")
"""What handoffs are counted by. A handoff that no trigger caused counts under ``BY_HAND``."""
BY_HAND = "(no trigger)"
NO_GROUP = "(no group)"


class Counted:
    """All cases together, and by each of ``BY``; days and hours are UTC."""

    def __init__(self) -> None:
        self.all = Tally()
        self.by: dict[str, dict[str, Tally]] = {name: {} for name in BY}
        self.days: Counter[str] = Counter()
        self.hours: Counter[int] = Counter()

    def add(self, case: Case) -> None:
        at = case.created_at.astimezone(UTC)
        self.days[f"{at:%Y-%m-%d}"] += 1
        self.hours[at.hour] += 1
        _count(self.all, case)
        keys = (case.trigger or BY_HAND, case.group or NO_GROUP, case.desk, case.reason, case.urgency)
        for name, key in zip(BY, keys, strict=True):
            tallies = self.by[name]
            _count(tallies.setdefault(named(key, tallies), Tally()), case)

    def document(self, since: datetime, until: datetime, found: Sequence[Finding]) -> dict[str, Any]:
        """The report as JSON has it."""
        return {
            "since": since.isoformat(),
            "until": until.isoformat(),
            "handoffs": self.all.handoffs,
            "all": self.all.numbers(),
            "by_day": [{"day": day, "handoffs": count} for day, count in sorted(self.days.items())],
            "by_hour": [{"hour": hour, "handoffs": self.hours[hour]} for hour in range(24)],
            **{f"by_{name}": _rows(name, self.by[name]) for name in BY},
            "findings": [each.document() for each in found],
        }


def report(
    store: Store,
    since: datetime,
    now: datetime,
    *,
    triggers: Iterable[Trigger] = (),
    groups: Mapping[str, Mapping[str, str]] | None = None,
    policy: str = "handrail.toml",
) -> dict[str, Any]:
    """The report on all handoffs since a time, both aware; see ``Counted.document``.

    ``triggers`` are those of today, for what to change in them; ``groups`` gives each desk's own words for
    our groups, by the desk's name; ``policy`` is the file that the printed replay commands name.
    """
    counted = Counted()
    for case in cases(store, since, now):
        counted.add(case)
    rules = {trigger.name: trigger for trigger in triggers}
    tallies = {name: tally for name, tally in counted.by["trigger"].items() if name != BY_HAND}
    return counted.document(since, now, findings(tallies, rules, groups or {}, policy))


def _count(tally: Tally, case: Case) -> None:
    tally.handoffs += 1
    tally.ended += case.ended
    tally.silent += case.silent
    tally.kept += case.in_time is True
    tally.late += case.in_time is False
    tally.heard += case.heard
    tally.repeated += bool(case.repeated)
    if case.answered_after is not None:
        tally.answers.add(case.answered_after)
    if case.moved_to is not None:
        tally.moved += 1
        place = (case.desk, case.moved_to)
        if place in tally.moved_to or len(tally.moved_to) < 50:
            tally.moved_to[place] += 1
    tally.repeats.update(named(name, tally.repeats) for name in case.repeated)


def _rows(name: str, tallies: Mapping[str, Tally]) -> list[dict[str, Any]]:
    most_first = sorted(tallies.items(), key=lambda item: (-item[1].handoffs, item[0]))
    return [{name: key, **tally.numbers()} for key, tally in most_first]
