"""What is suspicious about the flows of a policy that works."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from handrail.durations import format_duration
from handrail.model import Reason
from handrail.policy.flow_model import Also, Flow, FlowStep
from handrail.policy.lint_urgency import tightest, urgencies
from handrail.policy.model import Destination

if TYPE_CHECKING:
    from handrail.config import Config
    from handrail.policy.model import Trigger
    from handrail.policy.policy import Policy

Warned = Iterator[tuple[str, str]]


def flows(policy: Policy, config: Config) -> Warned:
    """Flows that nobody uses, steps that never come, and side steps that change nothing."""
    for name, flow in policy.flows.items():
        using = [trigger for trigger in policy.triggers if trigger.flow == name]
        if not using:
            yield f"flows.{name}", f'no trigger uses it; add flow = "{name}" to one, or remove it'
        for number, why in [*_never(flow), *_same_desk(flow, using, policy, config)]:
            yield f"flows.{name}.steps[{number}]", why


def questions(policy: Policy, config: Config) -> Warned:
    """Questions that take longer than the answer that was promised, or stand before a person."""
    for place, trigger in enumerate(policy.triggers):
        flow = policy.flows.get(trigger.flow or "")
        asking = [step for step in flow.steps if step.collect] if flow and trigger.timing.now else []
        if asking:
            yield from _longer_than_promised(trigger, asking, policy, config)
            yield from _held_up(policy, place)


def _never(flow: Flow) -> Iterator[tuple[int, str]]:
    gone = False
    for number, step in enumerate(flow.steps):
        if gone and step.also is None:
            what = "asks for" if step.collect else "does"
            yield number, f"never {what} anything: it stands behind hand_off; move it before that"
        gone = gone or (bool(step.hand_off) and step.when is None)


def _same_desk(flow: Flow, using: list[Trigger], policy: Policy, config: Config) -> Iterator[tuple[int, str]]:
    routed = [*policy.routes, *(s.route for s in flow.steps if isinstance(s.route, Destination))]
    if any(route.desk for route in routed) or any(isinstance(step.route, str) for step in flow.steps):
        return  # where it goes is known only at the time
    desks = {trigger.desk or config.desk for trigger in using}
    for number, step in enumerate(flow.steps):
        to = step.also.desk if isinstance(step.also, Also) else step.also
        if to in desks:
            yield number, f"the desk {to} has the handoff already; name another desk, or remove the step"


def _longer_than_promised(trigger: Trigger, asking: list[FlowStep], policy: Policy, config: Config) -> Warned:
    promised = getattr(config.sla.get("default"), "first_response", {})
    told = tightest("first_response", promised, trigger, urgencies(trigger, policy))
    for step in asking:
        if told and step.patience >= told[0]:
            yield (
                f"triggers.{trigger.name}",
                f"its flow waits {format_duration(step.patience)} for {', '.join(step.collect or ())}, and "
                f"{told[1]}; make give_up_after shorter",
            )


def _held_up(policy: Policy, place: int) -> Warned:
    """A customer who is at risk, or asks for a person, is asked no questions first, unless that is meant."""
    trigger, rule = policy.triggers[place], policy.rules[place]
    if ("sensitive" in rule.uses and "not sensitive" not in rule.text) or trigger.reason is Reason.SENSITIVE:
        yield (
            f"triggers.{trigger.name}",
            "asks questions first, and is about what is sensitive; give it no flow that collects",
        )
    if not AT_RISK.isdisjoint(rule.uses):
        return
    for other, later in list(zip(policy.triggers, policy.rules, strict=True))[place + 1 :]:
        for risk in sorted(AT_RISK & later.uses) if other.timing.now else ():
            if f"not {risk}" not in later.text:
                yield (
                    f"triggers.{trigger.name}",
                    f"asks questions and stands before {other.name}: a customer who {_WHO[risk]} must answer "
                    "first; move it behind",
                )


AT_RISK = frozenset({"asked_for_human", "sensitive"})
"""Signals after which nobody may be made to wait."""
_WHO = {"asked_for_human": "wants a person", "sensitive": "is at risk"}
