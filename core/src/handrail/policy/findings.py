"""Findings: a trigger, a number, the change to try, and the replay command that tries it.

A finding is made only where enough handoffs speak for it; the thresholds stand here, and nowhere else.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from handrail.durations import format_duration, rough_duration
from handrail.model import Reason
from handrail.policy.measures import Tally
from handrail.policy.model import Trigger

ENOUGH = 10
"""Fewer handoffs than this say nothing about a rule."""
TOO_SILENT = 0.3
"""So many of the ended handoffs of a rule were solved without a human's reply: it may escalate too much."""
TOO_MOVED = 0.2
"""So many were moved to another group than the first."""
TOO_LATE = 0.2
"""So many first answers missed what was promised."""
TOO_REPEATED = 0.1
"""So many customers who wrote again repeated a detail that the handoff held."""

CONVERSATIONS = "conversations.jsonl"
"""Stands in the printed commands for the reader's own file."""

_AT_LEAST = re.compile(r"\b(\w+) (>=|>) (\d+)(?![\d.])")
_AT_MOST = re.compile(r"\b(confidence|sentiment) (<=|<) (-?\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Finding:
    """``number`` of ``of`` handoffs of ``trigger``; ``change`` is what to try, ``command`` tries it."""

    kind: str
    trigger: str
    number: int
    of: int
    says: str
    change: str
    command: str

    def document(self) -> dict[str, Any]:
        return asdict(self)


def findings(
    tallies: Mapping[str, Tally],
    rules: Mapping[str, Trigger],
    groups: Mapping[str, Mapping[str, str]],
    policy: str,
) -> list[Finding]:
    """What the counts say of each trigger, the largest numbers first.

    ``rules`` are the triggers of today: of one that is gone nothing is said, for it cannot be changed.
    """
    found: list[Finding] = []
    for name, tally in tallies.items():
        if name in rules:
            found += _of_one(tally, rules[name], groups, policy)
    return sorted(found, key=lambda finding: (-finding.number, finding.trigger, finding.kind))


def _of_one(
    tally: Tally, rule: Trigger, groups: Mapping[str, Mapping[str, str]], policy: str
) -> Iterator[Finding]:
    if _many(tally.silent, tally.ended, TOO_SILENT):
        yield _silent(tally, rule, policy)
    if _many(tally.moved, tally.handoffs, TOO_MOVED):
        yield _moved(tally, rule, groups, policy)
    if _many(tally.late, tally.kept + tally.late, TOO_LATE):
        yield _late(tally, rule, policy)
    if _many(tally.repeated, tally.heard, TOO_REPEATED):
        yield _repeated(tally, rule, policy)


def _many(number: int, of: int, share: float) -> bool:
    return of >= ENOUGH and number >= of * share


def _silent(tally: Tally, rule: Trigger, policy: str) -> Finding:
    key, value, words = _stricter(rule)
    return Finding(
        "over_escalation",
        rule.name,
        tally.silent,
        tally.ended,
        f"{rule.name}: {tally.silent} of {tally.ended} ended handoffs were solved without any human reply; "
        "the AI may have been able to finish them",
        words,
        _command(policy, f"{rule.name}.{key}={value}"),
    )


def _stricter(rule: Trigger) -> tuple[str, str, str]:
    """A key of the trigger, another value for it, and both as a sentence."""
    if found := _AT_LEAST.search(rule.when):
        more = f"{found[1]} {found[2]} {int(found[3]) + 1}"
        return "when", rule.when.replace(found[0], more, 1), f"raise `{found[0]}` to `{more}`"
    if found := _AT_MOST.search(rule.when):
        less = f"{found[1]} {found[2]} {round(float(found[3]) - 0.1, 4):g}"
        return "when", rule.when.replace(found[0], less, 1), f"lower `{found[0]}` to `{less}`"
    if rule.timing.now and rule.reason is not Reason.CUSTOMER_REQUEST:
        return "timing", '{ wait = "10m" }', 'let the AI try ten minutes more: `timing = { wait = "10m" }`'
    if rule.timing.wait is not None:
        longer = f'{{ wait = "{format_duration(2 * rule.timing.wait)}" }}'
        return "timing", longer, f"let the AI try twice as long: `timing = {longer}`"
    narrower = f"({rule.when}) and failed_attempts >= 1"
    return "when", narrower, f"let the AI try at least once before: `when = {json.dumps(narrower)}`"


def _moved(tally: Tally, rule: Trigger, groups: Mapping[str, Mapping[str, str]], policy: str) -> Finding:
    (desk, word), count = tally.moved_to.most_common(1)[0]
    ours = next((name for name, theirs in groups.get(desk, {}).items() if theirs == word), word)
    return Finding(
        "wrong_queue",
        rule.name,
        tally.moved,
        tally.handoffs,
        f"{rule.name}: {tally.moved} of {tally.handoffs} handoffs were moved to another group than the "
        f"first, {count} of them to {word}",
        f"route {rule.name} to that group at once: `group = {json.dumps(ours, ensure_ascii=False)}`",
        _command(policy, f"{rule.name}.group={ours}"),
    )


def _late(tally: Tally, rule: Trigger, policy: str) -> Finding:
    if not rule.timing.now:
        key, value, words = "timing", "now", 'hand off at once: `timing = "now"`'
    else:
        key, value, words = "urgency", "+1", 'raise the urgency by a step: `urgency = "+1"`'
    of = tally.kept + tally.late
    median = tally.answers.below(0.5)
    answered = f"; half of all answers took more than {rough_duration(median)}" if median else ""
    return Finding(
        "late_answer",
        rule.name,
        tally.late,
        of,
        f"{rule.name}: {tally.late} of {of} first answers missed what was promised{answered}",
        words,
        _command(policy, f"{rule.name}.{key}={value}"),
    )


def _repeated(tally: Tally, rule: Trigger, policy: str) -> Finding:
    details = ", ".join(f"{name} ({count})" for name, count in tally.repeats.most_common(3))
    step = f"Do not ask again; the details hold {', '.join(n for n, _ in tally.repeats.most_common(3))}"
    steps = json.dumps([*rule.next_steps, step], ensure_ascii=False)
    return Finding(
        "repeated_detail",
        rule.name,
        tally.repeated,
        tally.heard,
        f"{rule.name}: {tally.repeated} of {tally.heard} customers who wrote again after a human's reply "
        f"repeated a detail that the handoff already held: {details}",
        f"fill the desk's own field (`fields` of the desk), and say it as a step: `next_steps = {steps}`",
        _command(policy, f"{rule.name}.next_steps={steps}"),
    )


def _command(policy: str, change: str) -> str:
    return f"handrail replay {CONVERSATIONS} --policy {shlex.quote(policy)} --try {shlex.quote(change)}"
