"""What is suspicious about a policy that works: the part of ``handrail check`` that needs no network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from handrail.connector import Finding
from handrail.durations import format_duration
from handrail.model import Reason
from handrail.policy.lint_flow import AT_RISK, flows, questions
from handrail.policy.lint_urgency import tightest, urgencies

if TYPE_CHECKING:
    from handrail.config import Config
    from handrail.policy.model import Trigger
    from handrail.policy.policy import Policy

MANY = 10
"""More triggers than these are more than a team can keep in mind."""


def lint(config: Config) -> list[Finding]:
    """Findings about the policy of ``config``: one that is ok for a policy without warnings."""
    policy = config.policy
    besides = [*_unused(config), *_unmapped(_raised_groups(config), config)]
    found = [Finding(subject, True, message, warning=True) for subject, message in besides]
    if policy is None:
        return found
    warnings = found + [
        Finding(subject, True, message, warning=True)
        for look in (_number, _unreachable, _overlapping, _waiting, _groups, flows, questions)
        for subject, message in look(policy, config)
    ]
    return warnings or [Finding("policy", True, f"triggers: {len(policy.triggers)}, nothing suspicious")]


Warned = Iterator[tuple[str, str]]


def _subject(trigger: Trigger) -> str:
    return f"triggers.{trigger.name}"


def _unused(config: Config) -> Warned:
    """Promises and hours that stand in the file and count for nothing."""
    for name in config.sla:
        if name != "default":
            yield f"sla.{name}", "counts for nothing: promises are those of [sla.default]; join them"
    for name in config.hours:
        if all(sla.hours != name for sla in config.sla.values()):
            yield f"hours.{name}", f'no promise counts in these hours; add hours = "{name}" to [sla.default]'


def _number(policy: Policy, config: Config) -> Warned:
    if not policy.triggers:
        yield "policy", "has no trigger, so nothing is ever handed off by it; add [[triggers]]"
    if len(policy.triggers) > MANY:
        yield (
            "policy",
            f"has {len(policy.triggers)} triggers; more than {MANY} are hard to keep apart: join conditions "
            "with or, and leave differences to routes",
        )


def _unreachable(policy: Policy, config: Config) -> Warned:
    first: dict[str, str] = {}
    always: str | None = None
    for trigger, rule in zip(policy.triggers, policy.rules, strict=True):
        text = " ".join(rule.text.split())
        if rule.always is False:
            yield _subject(trigger), "never fires: its condition is always false; remove it"
        elif always is not None:
            yield _subject(trigger), f"never decides: {always} stands before it and always fires; move it up"
        elif text in first:
            yield _subject(trigger), f"never decides: {first[text]} has the same condition; remove one"
        elif part := next((name for known, name in first.items() if _implied(text, known)), None):
            yield _subject(trigger), f"never decides: whenever it fires, {part} fires before it; move it up"
        first.setdefault(text, trigger.name)
        always = trigger.name if rule.always else always


def _implied(text: str, earlier: str) -> bool:
    """True when ``text`` is ``earlier and ...``: whatever it wants, the earlier one fires too."""
    if " or " in text or " or " in earlier or "(" in text or '"' in text or "'" in text:
        return False  # what stands in brackets or texts cannot be told apart by words
    return set(earlier.split(" and ")) <= set(text.split(" and "))


def _overlapping(policy: Policy, config: Config) -> Warned:
    """Triggers that ask for the same signals and want different things: the order decides."""
    pairs = list(zip(policy.triggers, policy.rules, strict=True))
    for n, (trigger, rule) in enumerate(pairs):
        for earlier, other in pairs[:n]:
            shared = sorted(set(_alternatives(rule.text)) & set(_alternatives(other.text)))
            if shared and rule.text != other.text:
                yield (
                    _subject(trigger),
                    f"overlaps with {earlier.name}, which is asked first: both fire on {shared[0]}; take it "
                    "out of one of them",
                )


def _alternatives(text: str) -> list[str]:
    """``a or b`` as its parts; one part where it is no plain list of alternatives."""
    if "(" in text:
        return [text.strip()]
    return [part.strip() for part in text.split(" or ") if " and " not in part]


def _waiting(policy: Policy, config: Config) -> Warned:
    """A customer who asks for a person, or is at risk, is never made to wait by accident."""
    at_once: list[tuple[str, Trigger]] = []
    for trigger, rule in reversed(list(zip(policy.triggers, policy.rules, strict=True))):
        risks = [one for one in sorted(AT_RISK & rule.uses) if f"not {one}" not in rule.text]
        if trigger.timing.now:
            at_once += [(risk, trigger) for risk in risks]
            continue
        if risks or trigger.reason in _RISKY:
            about = risks[0] if risks else trigger.reason.value
            yield _subject(trigger), f'makes a customer wait, and is about {about}; write timing = "now"'
        for risk, other in at_once:
            if not risks and f"not {risk}" not in rule.text:
                yield (
                    _subject(trigger),
                    f"waits and stands before {other.name}: where both fire, the customer waits; move it "
                    f"behind, or add: and not {risk}",
                )
        yield from _longer_than_promised(trigger, policy, config)
    lists = policy.signals.asked_for_human
    if policy.triggers and not any("asked_for_human" in rule.uses for rule in policy.rules):
        yield "policy", "no trigger asks for asked_for_human: a customer who wants a person is not heard"
    elif lists.phrases == () and not lists.extra:
        yield "signals.asked_for_human", "phrases is empty, so nobody is heard; write some, or remove it"


_RISKY = (Reason.CUSTOMER_REQUEST, Reason.SENSITIVE)


def _longer_than_promised(trigger: Trigger, policy: Policy, config: Config) -> Warned:
    name, wait, lead = trigger.timing.sla or "first_response", trigger.timing.wait, trigger.timing.lead
    promised = getattr(config.sla.get("default"), name, {})
    told = tightest(name, promised, trigger, urgencies(trigger, policy))
    if told and wait is not None and wait >= told[0]:
        yield _subject(trigger), f"waits {format_duration(wait)}, and {told[1]}; wait less"
    # what the steps of a flow change comes later than the lead is counted
    told = tightest(name, promised, trigger, urgencies(trigger, policy, flow=False))
    if told and lead is not None and lead >= told[0]:
        yield (
            _subject(trigger),
            f"has a lead of {format_duration(lead)}, and {told[1]}: it hands off at once; make the lead "
            "shorter",
        )


def _groups(policy: Policy, config: Config) -> Warned:
    yield from _unmapped(_wanted_groups(policy, config), config)


def _unmapped(wanted: Iterator[tuple[str, str, str | None]], config: Config) -> Warned:
    """Groups that no desk knows by our name and that cannot fall back to a default."""
    for subject, group, desk in wanted:
        desks = [desk] if desk else list(config.desks)
        if any(group in config.desks[name].groups for name in desks):
            continue
        if not any(config.desks[name].groups for name in desks):
            continue  # no desk maps anything: groups go by their own names
        where = f"desks.{desks[0]}.groups"
        default = all("default" in config.desks[each].groups for each in desks)
        then = (
            "it is looked for by that very name, then goes to the default" if default else "it may get lost"
        )
        yield subject, f"no desk maps the group {group!r}: {then}; add it to {where}"


def _wanted_groups(policy: Policy, config: Config) -> Iterator[tuple[str, str, str | None]]:
    """Every group that a policy names, where, and the desk that it is on (None: not known)."""
    named: list[tuple[str, Any]] = [(_subject(each), each) for each in policy.triggers]
    named += [(f"routes.{each.name or f'[{n}]'}", each) for n, each in enumerate(policy.routes)]
    for name, flow in policy.flows.items():
        for n, step in enumerate(flow.steps):
            named += [(f"flows.{name}.steps[{n}]", part) for part in (step.set, step.route, step.also)]
    for subject, each in named:
        group = getattr(each, "group", None)
        if group is not None:
            yield subject, group, getattr(each, "desk", None)


def _raised_groups(config: Config) -> Iterator[tuple[str, str, str | None]]:
    """The next groups of ``[[raise]]``, each on whatever desk the handoff is; its own desk gets another."""
    for n, rule in enumerate(config.raises):
        if rule.group is not None:
            yield f"raise[{n}]", rule.group, None
