"""The replay: stored conversations through one or two policies, turn by turn, without sending anything.

Each conversation is seen once and then forgotten: what stays are counters and a bounded number of examples,
so that any number of conversations needs the same memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from handrail.model import Conversation
from handrail.policy.measures import named
from handrail.policy.outcome import Known, Outcome
from handrail.policy.policy import Policy
from handrail.policy.turns import Escalation, Fate, fate, last_words, turns_of

MOST_EXAMPLES = 20
"""So many examples are kept of each kind of change and of verdict."""
BY = ("trigger", "group", "urgency", "desk", "reason")
NONE = "(none)"


@dataclass(frozen=True)
class Running:
    """A policy under the name to show, and the desk that it sends to where nothing else is said.

    ``desks`` are the desks that there are; none: not known.
    """

    name: str
    policy: Policy
    desk: str = ""
    desks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """What one policy does with a conversation, and how that compares with what really happened.

    ``verdict``: ``hit`` (a person took over, and it fires no later), ``miss`` (a person took over, and it
    does not), ``false_alarm`` (it fires, and nobody took over), ``kept`` (neither). ``earlier``: by how many
    turns a hit comes before the person, None where the data do not say when that was. Where it still waits
    when the conversation ends, it has not fired.
    """

    fate: Fate
    verdict: str
    earlier: int | None = None

    @property
    def escalation(self) -> Escalation | None:
        return self.fate.escalation

    def document(self) -> dict[str, Any]:
        told = self.fate.escalation or self.fate.waiting
        return {
            "escalates": self.fate.escalation is not None,
            "waiting_at_end": self.fate.waiting is not None,
            "verdict": self.verdict,
            "turns_earlier": self.earlier,
            **(told.document() if told else {}),
        }


@dataclass(frozen=True)
class Entry:
    """One conversation; ``number`` counts those of its file from 1. ``results`` has one for each policy.

    ``said`` is what the customer said last before a person took over, masked and cut; None where nobody did.
    """

    file: str
    number: int
    conversation_id: str
    turns: int
    transferred: bool
    transferred_at_turn: int | None
    results: tuple[Result, ...]
    change: Change | None = None
    said: str | None = None

    def document(self) -> dict[str, Any]:
        """The entry as JSON has it."""
        names = ("file", "number", "conversation_id", "turns", "transferred", "transferred_at_turn", "said")
        told = {name: getattr(self, name) for name in names}
        told |= zip(("policy", "against"), (result.document() for result in self.results), strict=False)
        return told | ({"change": asdict(self.change) if self.change else None} if self.results[1:] else {})


@dataclass(frozen=True)
class Change:
    """What differs between two policies, and the sentence that caused it.

    ``kind``: ``added``, ``dropped``, ``other_trigger``, ``earlier``, ``later``, ``elsewhere`` (desk, group or
    urgency differ).
    """

    kind: str
    because: str


@dataclass
class Side:
    """The counters of one policy. ``waiting`` are conversations that ended before a wait was over."""

    name: str
    conversations: int = 0
    escalated: int = 0
    waiting: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    earlier: Counter[int] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    turns: Counter[int] = field(default_factory=Counter)
    hours: Counter[int] = field(default_factory=Counter)
    by: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in BY})

    @property
    def rate(self) -> float:
        """The share of all conversations that it escalates."""
        return self.escalated / self.conversations if self.conversations else 0.0

    def add(self, result: Result) -> None:
        self.conversations += 1
        self.verdicts[result.verdict] += 1
        self.waiting += result.fate.waiting is not None
        if result.earlier is not None:
            self.earlier[result.earlier] += 1
        if (found := result.escalation) is not None:
            self._count(found)

    def _count(self, found: Escalation) -> None:
        self.escalated += 1
        self.kinds[found.kind] += 1
        self.turns[found.turn] += 1
        if found.at is not None:
            self.hours[found.at.hour] += 1
        for name, counts in self.by.items():
            counts[named(getattr(found, name) or NONE, counts)] += 1

    def document(self) -> dict[str, Any]:
        counts = {name: dict(counter.most_common()) for name, counter in self.by.items()}
        return {
            "policy": self.name,
            "conversations": self.conversations,
            "escalated": self.escalated,
            "rate": round(self.rate, 4),
            "waiting_at_end": self.waiting,
            "kinds": dict(self.kinds),
            **{f"by_{name}": numbers for name, numbers in counts.items()},
            "by_turn": {str(turn): self.turns[turn] for turn in sorted(self.turns)},
            "by_hour": {str(hour): self.hours[hour] for hour in range(24)} if self.hours else {},
            **{name: self.verdicts[kind] for name, kind in _VERDICTS.items()},
            "turns_earlier": {str(turns): self.earlier[turns] for turns in sorted(self.earlier)},
        }


_VERDICTS = {"hits": "hit", "misses": "miss", "false_alarms": "false_alarm", "left_alone": "kept"}


class Replay:
    """Sees conversations one by one, and counts. Days and hours are UTC.

    ``running`` are one or two policies; the changes are those from the first to the second.
    """

    def __init__(self, running: Sequence[Running], known: Known | None = None) -> None:
        self._running = tuple(running)
        self._known = known or Known()
        self.sides = [Side(each.name) for each in running]
        self.bad = 0
        self.transferred = 0
        self.untimed = 0
        self.changes: Counter[str] = Counter()
        self.examples: dict[str, list[Entry]] = {}

    def see(self, conversation: Conversation, file: str, number: int) -> Entry:
        """Replay one conversation: what each policy does, and when."""
        seen, outcome = self._known.look(conversation)
        when = None if outcome.messages is None else turns_of(seen.messages)
        results = tuple(_result(each, seen, outcome, when) for each in self._running)
        change = _change(*(result.fate for result in results)) if len(results) == 2 else None
        entry = Entry(
            file,
            number,
            conversation.id,
            turns_of(conversation.messages),
            outcome.transferred,
            when,
            results,
            change,
            last_words(seen) if outcome.transferred else None,
        )
        self._count(entry)
        return entry

    def _count(self, entry: Entry) -> None:
        self.transferred += entry.transferred
        self.untimed += any(result.fate.untimed for result in entry.results)
        for side, result in zip(self.sides, entry.results, strict=True):
            side.add(result)
        verdict = entry.results[-1].verdict
        if entry.change is not None:
            self.changes[entry.change.kind] += 1
            self._keep(entry.change.kind, entry)
        if verdict in ("miss", "false_alarm"):
            self._keep(verdict, entry)

    def _keep(self, kind: str, entry: Entry) -> None:
        kept = self.examples.setdefault(kind, [])
        if len(kept) < MOST_EXAMPLES:
            kept.append(entry)

    def summary(self) -> dict[str, Any]:
        """The counts as JSON has them."""
        first, *second = (side.document() for side in self.sides)
        found = {
            "conversations": self.sides[0].conversations,
            "bad": self.bad,
            "transferred": self.transferred,
            "untimed": self.untimed,
            "policy": first,
        }
        return found | ({"against": second[0], "changes": dict(self.changes)} if second else {})


def _result(running: Running, seen: Conversation, outcome: Outcome, when: int | None) -> Result:
    found = fate(running.policy, seen, running.desk, outcome.at)
    if found.escalation is None:
        return Result(found, "miss" if outcome.transferred else "kept")
    if not outcome.transferred:
        return Result(found, "false_alarm")
    return Result(found, "hit", None if when is None else when - found.escalation.turn)


def _change(first: Fate, second: Fate) -> Change | None:
    before, after = first.escalation, second.escalation
    if before is None or after is None:
        return _came_or_went(before, after, second.waiting)
    if before.trigger != after.trigger:
        return Change("other_trigger", after.because)
    if before.message != after.message:
        return Change("earlier" if after.message < before.message else "later", after.because)
    different = [
        f"{name} {getattr(before, name)} becomes {getattr(after, name)}"
        for name in ("desk", "group", "urgency", "kind")
        if getattr(before, name) != getattr(after, name)
    ]
    return Change("elsewhere", f"{', '.join(different)}: {after.because}") if different else None


def _came_or_went(
    before: Escalation | None, after: Escalation | None, waiting: Escalation | None
) -> Change | None:
    if after is not None:
        return Change("added", after.because)
    if before is None:
        return None
    return Change(
        "dropped", f"{waiting.because}; it would still wait at the end" if waiting else before.because
    )
