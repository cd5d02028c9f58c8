"""How urgent a handoff may become, and which promise it is then held to: for what ``lint`` says of waits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from handrail.durations import format_duration
from handrail.model import Urgency
from handrail.policy.flow_model import FlowStep
from handrail.policy.model import Destination, raised

if TYPE_CHECKING:
    from handrail.policy.model import Trigger
    from handrail.policy.policy import Policy

Wish = tuple[str | None, bool]
"""An urgency or a step on the scale, and whether it always comes."""


def urgencies(trigger: Trigger, policy: Policy, *, flow: bool = True) -> set[Urgency]:
    """Every urgency that routes, and with ``flow`` the steps of its flow, may give to a trigger's handoff."""
    wishes = [(trigger.urgency, True), *((route.urgency, route.when is None) for route in policy.routes)]
    found = _named(wishes)
    steps = list(_of_flow(trigger, policy)) if flow else []
    for wish, always in [*(each for each in wishes if _is_step(each[0])), *steps]:
        more = {raised(one, wish) for one in found}
        found = more if always else found | more
    return found


def _is_step(wish: str | None) -> bool:
    return wish is not None and wish[0] in "+-"


def _named(wishes: Iterable[Wish]) -> set[Urgency]:
    """The first that names an urgency counts, wherever it comes; without any it is normal."""
    found = set[Urgency]()
    for wish, always in wishes:
        if wish is not None and not _is_step(wish):
            found.add(Urgency(wish))
            if always:
                return found
    return found | {Urgency.NORMAL}


def _of_flow(trigger: Trigger, policy: Policy) -> Iterator[Wish]:
    flow = policy.flows.get(trigger.flow or "")
    for step in flow.steps if flow else ():
        if step.hand_off and step.when is None:
            return  # what stands behind it changes nothing
        wish = _wish(step, policy)
        if wish is not None:
            yield wish, step.when is None


def _wish(step: FlowStep, policy: Policy) -> str | None:
    if step.set is not None:
        return step.set.urgency
    if isinstance(step.route, Destination):
        return step.route.urgency
    named = (route.urgency for route in policy.routes if route.name and route.name == step.route)
    return next(named, None)


def tightest(
    name: str, promised: Mapping[Urgency, timedelta], trigger: Trigger, found: Iterable[Urgency]
) -> tuple[timedelta, str] | None:
    """The shortest of the promises for these urgencies, and how it is told; None where there is none."""
    made = [(promised[urgency], urgency) for urgency in found if urgency in promised]
    if not made:
        return None
    within, urgency = min(made)
    own = raised(Urgency.NORMAL, trigger.urgency)
    how = "" if urgency == own else ", which a route or a step may make it"
    return within, f"the {name} is promised within {format_duration(within)} for {urgency}{how}"
