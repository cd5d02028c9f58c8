"""The replay as lines and tables, the same for a terminal and for a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from handrail.policy.page import Block, Cell, Lines, Table
from handrail.policy.replay import BY, MOST_EXAMPLES, Entry, Result
from handrail.text import one_line

_CHANGES = {
    "added": "escalates now",
    "dropped": "escalates no more",
    "other_trigger": "by another trigger",
    "earlier": "earlier",
    "later": "later",
    "elsewhere": "elsewhere",
}
_MOST = 240
MOST_STEPS = 48
"""Over more turns, only those at which something escalates are shown."""
_NOTE = f"At most {MOST_EXAMPLES} are shown."


def replay_blocks(summary: Mapping[str, Any], examples: Mapping[str, Sequence[Entry]]) -> list[Block]:
    """What ``Replay.summary`` counted, with the examples that it kept."""
    sides = [summary[name] for name in ("policy", "against") if name in summary]
    blocks: list[Block] = [Lines("What would happen", tuple(_overall(summary, sides)))]
    if len(sides) == 2:
        blocks.append(_changed(summary, examples))
    blocks += [_by(name, sides) for name in BY]
    blocks += [_by_number("turn", sides), *([_by_number("hour", sides)] if _has_times(sides) else [])]
    told = (("miss", _missed), ("false_alarm", _added))
    who = sides[-1]["policy"] if len(sides) == 2 else ""
    return blocks + [
        table(examples[verdict], who)
        for verdict, table in told
        if summary["transferred"] and verdict in examples
    ]


def escalation_table(entries: Iterable[Entry], names: Sequence[str]) -> Table:
    """One line for each conversation that would escalate: when, by which trigger, to whom, and why."""
    columns = ("turn", "trigger", "desk", "group", "urgency", "really", "because")
    lead = ("conversation", "policy") if len(names) > 1 else ("conversation",)
    rows = [
        ((_who(entry), name)[: len(lead)] + _escalated(entry, result))
        for entry in entries
        for name, result in zip(names, entry.results, strict=True)
        if result.escalation
    ]
    return Table("Which conversations would escalate", (*lead, *columns), tuple(rows))


def _escalated(entry: Entry, result: Result) -> tuple[Cell, ...]:
    found = result.escalation
    assert found is not None
    when = f"{found.turn} of {entry.turns}"
    why = one_line(found.because, _MOST)
    really = result.verdict.replace("_", " ")
    return (when, found.trigger, found.desk, found.group, found.urgency, really, why)


def _who(entry: Entry) -> str:
    return f"{Path(entry.file).name}#{entry.number}"


def _overall(summary: Mapping[str, Any], sides: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Volume and truth of each policy, then what changes."""
    for side in sides:
        yield _volume(side)
        if side["waiting_at_end"]:
            yield (
                f"{side['policy']}: {side['waiting_at_end']:,} more would still wait when they end; they do "
                "not count as escalated"
            )
        if summary["transferred"]:
            yield from _truth(side, side["policy"] if len(sides) == 2 else "It")
    if not summary["transferred"]:
        yield (
            "No conversation shows that a person took over, so hits and misses cannot be told; "
            "--transferred-by names the tool, field or tag that shows it"
        )
    yield from _volume_change(summary, sides)


def _volume(side: Mapping[str, Any]) -> str:
    return (
        f"{side['policy']}: {side['escalated']:,} of {side['conversations']:,} conversations would escalate "
        f"({_percent(side['escalated'], side['conversations'])}){_later(side['kinds'])}"
    )


def _volume_change(summary: Mapping[str, Any], sides: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if len(sides) == 2:
        before, after = (side["escalated"] for side in sides)
        share = f" ({100 * (after - before) / before:+.0f} %)" if before else ""
        decisions = sum(summary["changes"].values())
        yield f"The volume changes by {after - before:+,}{share}; {decisions:,} decisions change"
    if summary["untimed"]:
        yield (
            f"{summary['untimed']:,} conversations in which a trigger waits have no times in their messages: "
            "they count as escalated where the wait begins"
        )
    if summary["bad"]:
        yield f"{summary['bad']:,} entries could not be read and are not counted"


def _later(kinds: Mapping[str, int]) -> str:
    words = {"wait": "would wait first", "collect": "would be asked for details first"}
    told = [f"{kinds[kind]:,} {said}" for kind, said in words.items() if kinds.get(kind)]
    return f"; of these {', '.join(told)}" if told else ""


def _truth(side: Mapping[str, Any], who: str) -> Iterator[str]:
    """Hits, misses and false alarms in sentences about ``who``: each of them is read alone."""
    hits, misses, false = side["hits"], side["misses"], side["false_alarms"]
    real, alone = hits + misses, side["left_alone"]
    yield f"{who} finds {hits:,} of the {real:,} real transfers ({_percent(hits, real)}){_when(side)}"
    yield f"{who} misses {misses:,}"
    yield (
        f"{who} adds {false:,}: conversations that it would escalate and nobody took over, of "
        f"{false + alone:,} such ({_percent(false, false + alone)})"
    )
    if hits + false:
        it = "it" if who == "It" else who
        yield f"Of all that {it} escalates, {_percent(hits, hits + false)} were really transferred"


def _when(side: Mapping[str, Any]) -> str:
    earlier = {int(turns): count for turns, count in side["turns_earlier"].items()}
    before = sum(count for turns, count in earlier.items() if turns > 0)
    if not earlier:
        return ""
    same = sum(earlier.values()) - before
    return f": {same:,} at the same turn of the customer, {before:,} earlier"


def _changed(summary: Mapping[str, Any], examples: Mapping[str, Sequence[Entry]]) -> Table:
    rows = []
    for kind, said in _CHANGES.items():
        for entry in examples.get(kind, ()):
            assert entry.change is not None
            rows.append((_who(entry), said, one_line(entry.change.because, _MOST)))
    counts = ", ".join(
        f"{said} {summary['changes'][k]:,}" for k, said in _CHANGES.items() if summary["changes"].get(k)
    )
    note = f"{counts or 'none'}; at most {MOST_EXAMPLES} of each kind are shown"
    return Table("Changed decisions", ("conversation", "change", "because"), tuple(rows), note=note)


def _by(name: str, sides: Sequence[Mapping[str, Any]]) -> Table:
    names = list(dict.fromkeys(key for side in sides for key in side[f"by_{name}"]))
    rows = [(key, *(side[f"by_{name}"].get(key, 0) for side in sides)) for key in names]
    return _counted(f"By {name}", name, rows, sides, "bars")


def _by_number(name: str, sides: Sequence[Mapping[str, Any]]) -> Table:
    numbers = _without_gaps({int(key) for side in sides for key in side[f"by_{name}"]})
    rows = [(str(n), *(side[f"by_{name}"].get(str(n), 0) for side in sides)) for n in numbers]
    title = "By turn: the customer's message at which it escalates" if name == "turn" else "By hour (UTC)"
    return _counted(title, name, rows, sides, "columns")


def _without_gaps(numbers: set[int]) -> Sequence[int]:
    """All from the first to the last: in a chart, the way from 3 to 12 is longer than from 3 to 4."""
    if numbers and max(numbers) - min(numbers) < MOST_STEPS:
        return range(min(numbers), max(numbers) + 1)
    return sorted(numbers)


def _counted(title: str, name: str, rows: list[Any], sides: Sequence[Mapping[str, Any]], chart: Any) -> Table:
    policies = tuple(side["policy"] for side in sides)
    if len(policies) == 1:
        return Table(title, (name, "escalations"), tuple(rows), chart, ("escalations",))
    rows = [(*row, f"{row[2] - row[1]:+d}") for row in rows]
    return Table(title, (name, *policies, "change"), tuple(rows), chart, policies, figures=("change",))


def _has_times(sides: Sequence[Mapping[str, Any]]) -> bool:
    return any(side["by_hour"] for side in sides)


def _missed(entries: Sequence[Entry], who: str) -> Table:
    rows = ((_who(entry), entry.turns, entry.said) for entry in entries)
    title = f"Missed{who and f' by {who}'}: a person took over, and the policy had not"
    return Table(
        title, ("conversation", "turns", "the customer's last words before"), tuple(rows), note=_NOTE
    )


def _added(entries: Sequence[Entry], who: str) -> Table:
    found = ((entry, entry.results[-1].escalation) for entry in entries)
    rows = ((_who(e), e.turns, f.turn, f.trigger, one_line(f.because, _MOST)) for e, f in found if f)
    title = f"Added{who and f' by {who}'}: the policy escalates, and nobody took over"
    return Table(title, ("conversation", "turns", "at turn", "trigger", "because"), tuple(rows), note=_NOTE)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "0 %"
