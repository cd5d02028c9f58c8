"""The report as lines and tables, the same for a terminal and for a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from handrail.durations import format_duration
from handrail.policy.page import Block, Cell, Lines, Table

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


def _findings(found: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    if not found:
        yield "Nothing that enough handoffs speak for"
    for each in found:
        yield f"{each['says']}. Try: {each['change']}. Test it first: {each['command']}"


def _times(found: Mapping[str, Any]) -> Iterable[Block]:
    days = tuple((row["day"], row["handoffs"]) for row in found["by_day"])
    hours = tuple((f"{row['hour']:02}", row["handoffs"]) for row in found["by_hour"])
    yield Table("By day", ("day", "handoffs"), days, "columns", ("handoffs",), "Days are UTC.")
    if days:
        yield Table("By hour", ("hour", "handoffs"), hours, "columns", ("handoffs",), "Hours are UTC.")


def _by(name: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    drawn = ("handoffs", "solved without human reply")
    return Table(f"By {name}", (name, *_TALLY), tuple(_tally(name, row) for row in rows), "bars", drawn)


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
    """Seconds for people, in as few units as tell enough: 47s, 12m, 3h20m, 4d."""
    if seconds is None:
        return None
    if seconds < 3600:
        return f"{seconds}s" if seconds < 120 else f"{round(seconds / 60)}m"
    if seconds < 2 * 86400:
        hours, minutes = divmod(round(seconds / 60), 60)
        return f"{hours}h{minutes}m" if minutes else f"{hours}h"
    return format_duration(timedelta(days=round(seconds / 86400)))
