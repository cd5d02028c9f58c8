"""The report as lines and tables, the same for a terminal and for a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from handrail.durations import rough_duration
from handrail.policy.page import Advice, Block, Cell, Lines, Table

_TALLY = (
    "handoffs",
    "ended",
    "solved without human reply",
    "re-routed",
    "answered",
    "answer: median",
    "answer: 90 %",
    "SLA kept %",
    "repeated a detail",
)
MOST_DAYS = 400
"""Over a longer time, only days with handoffs are shown."""


def report_blocks(found: Mapping[str, Any]) -> list[Block]:
    """What ``report.report`` found."""
    return [
        Lines("What happened", tuple(_overall(found))),
        Lines("What to change", tuple(_findings(found["findings"]))),
        *_times(found),
        *(_by(name, found[f"by_{name}"]) for name in ("trigger", "group", "desk", "reason", "urgency")),
    ]


def _overall(found: Mapping[str, Any]) -> Iterable[str]:
    all = found["all"]
    yield f"{all['handoffs']:,} handoffs from {_day(found['since'])} to {_day(found['until'])}"
    if all["ended"]:
        yield (
            f"{all['solved_without_human_reply']:,} of {all['ended']:,} ended ones were solved without any "
            "human reply"
        )
    if all["answered"]:
        yield (
            f"{all['answered']:,} were answered by a human, half of them within "
            f"{_long(all['first_answer_median'])}, nine of ten within {_long(all['first_answer_p90'])}"
        )
    if (promised := all["sla_kept"] + all["sla_missed"]) > 0:
        yield f"{all['sla_kept']:,} of {promised:,} first answers that were promised came in time"
    if all["handoffs"]:
        yield f"{all['rerouted']:,} were moved to another group than the first"
        yield f"{all['repeated_a_detail']:,} customers repeated a detail that the handoff already held"


def _findings(found: Sequence[Mapping[str, Any]]) -> Iterable[str | Advice]:
    if not found:
        yield "Nothing that enough handoffs speak for"
    for each in found:
        yield Advice(each["says"], each["change"], each["command"])


def _times(found: Mapping[str, Any]) -> Iterable[Block]:
    days = tuple(_without_gaps({row["day"]: row["handoffs"] for row in found["by_day"]}))
    hours = tuple((f"{row['hour']:02}", row["handoffs"]) for row in found["by_hour"])
    yield Table("By day", ("day", "handoffs"), days, "columns", ("handoffs",), "Days are UTC.")
    if days:
        yield Table("By hour", ("hour", "handoffs"), hours, "columns", ("handoffs",), "Hours are UTC.")


def _without_gaps(counts: Mapping[str, int]) -> Iterable[tuple[str, int]]:
    """Each day from the first to the last: a day without handoffs must not look like no time at all."""
    days = list(counts)
    if counts:
        first, last = date.fromisoformat(min(counts)), date.fromisoformat(max(counts))
        if (last - first).days < MOST_DAYS:
            days = [(first + timedelta(days=number)).isoformat() for number in range((last - first).days + 1)]
    return ((day, counts.get(day, 0)) for day in days)


def _by(name: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    drawn = ("handoffs", "solved without human reply")
    told = tuple(_tally(name, row) for row in rows)
    return Table(f"By {name}", (name, *_TALLY), told, "bars", drawn, figures=_TALLY)


def _tally(name: str, row: Mapping[str, Any]) -> tuple[Cell, ...]:
    share = row["sla_kept_share"]
    return (
        row[name],
        row["handoffs"],
        row["ended"],
        row["solved_without_human_reply"],
        row["rerouted"],
        row["answered"],
        _long(row["first_answer_median"]),
        _long(row["first_answer_p90"]),
        None if share is None else round(100 * share),
        row["repeated_a_detail"],
    )


def _day(time: str) -> str:
    return time[:10]


def _long(seconds: int | None) -> str | None:
    return None if seconds is None else rough_duration(seconds)
