"""Reading a policy: its sections from ``handrail.toml`` or from a file of its own, with every mistake.

Nothing here imports the rule engine before there is a condition to read.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, ValidationError

from handrail.config_source import ENCODING, Complaint, Keys, Source, expand, names, unknown_key
from handrail.errors import ConfigError
from handrail.plugins import flow_steps
from handrail.policy.flow_model import Also, Flow, FlowStep, Setting, nearest
from handrail.policy.model import Destination, PhraseList, Route, Section, Signals, Timing, Trigger

if TYPE_CHECKING:
    from handrail.policy.due import DueBy
    from handrail.policy.policy import Policy


class Sections(Section):
    """What a policy's file may hold."""

    triggers: tuple[Trigger, ...] = Field(
        default=(), description="When to hand off; the first that fires decides"
    )
    routes: tuple[Route, ...] = Field(default=(), description="To whom handoffs go, in this order")
    flows: dict[str, Flow] = Field(default={}, description="Steps before a handoff, by name")
    signals: Signals = Field(default=Signals(), description="Word lists of the built-in signals")


SECTIONS = tuple(Sections.model_fields)
AT_THE_TOP = frozenset({*SECTIONS, "policy", "store", "fallback", "give_up_after"})
"""Keys that TOML takes for a table's own where they stand behind its header."""
FILE = "A file with triggers, routes, flows and signals, in place of these sections"


@dataclass
class PolicyText:
    """A policy as it was read, and the source that its mistakes are named in."""

    source: Source
    sections: Sections

    @classmethod
    def taken(cls, source: Source, data: dict[str, Any], environ: Mapping[str, str]) -> PolicyText:
        """Take the policy out of ``data``, following ``policy = "FILE"``. Raises ``ConfigError``."""
        given = {name: data.pop(name) for name in SECTIONS if name in data}
        file = data.pop("policy", None)
        if file is None:
            return cls(source, _sections(source, given))
        if given:
            source.fail([(("policy",), f"stands beside {', '.join(given)}; keep them in one place")])
        if not isinstance(file, str) or not file:
            source.fail([(("policy",), 'is no path; write policy = "policy.toml"')])
        place = source.path.parent / file
        try:
            own = Source(place, place.read_text(ENCODING))
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not UTF-8 text"
            source.fail([(("policy",), f"cannot read {place}: {why}; name a file that is there")])
        return cls.alone(own, environ)

    @classmethod
    def alone(cls, source: Source, environ: Mapping[str, str]) -> PolicyText:
        """A file that holds nothing but a policy."""
        data = source.parse()
        wrong = [((name,), unknown_key(name, SECTIONS)) for name in data if name not in SECTIONS]
        if wrong:
            source.fail(wrong)
        return cls(source, _sections(source, expand(source, data, environ)))

    def made(
        self,
        desks: Collection[str] | None = None,
        desk: str = "",
        promises: Collection[str] = (),
        due_by: DueBy | None = None,
    ) -> Policy | None:
        """The policy, or None where there is none. Raises ``ConfigError`` with every mistake.

        ``desks`` are the desks that there are (None: not known), ``desk`` the default one, ``promises`` the
        names of the promises that are made (``first_response``, ``resolution``).
        """
        if not self.sections.triggers and not self.sections.routes and not self.sections.flows:
            return None
        from handrail.policy.policy import Mistakes, Policy

        found: list[Complaint] = []
        if desks is not None:
            found = [*_misled(self.sections, desks, desk, promises), *_astray(self.sections.flows, desks)]
        try:
            policy = Policy(**dict(self.sections), due_by=due_by)
        except Mistakes as mistakes:
            self.source.fail([*mistakes.complaints, *found])
        if found:
            self.source.fail(found)
        return policy


def load_policy(path: str | Path, environ: Mapping[str, str] = os.environ) -> Policy:
    """The policy of a file: one of its own, or that of a whole ``handrail.toml``. Raises ``ConfigError``."""
    place = Path(path).absolute()
    try:
        source = Source(place, place.read_text(ENCODING))
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(f"cannot read the policy {place}: {why}; name a file that is there") from None
    if "desks" in source.parse():
        from handrail.config import load

        policy: Policy | None = load(place, environ).policy
    else:
        policy = PolicyText.alone(source, environ).made()
    if policy is None:
        raise ConfigError(f"{place}: triggers: there is none; add [[triggers]] with name and when")
    return policy


def _sections(source: Source, data: dict[str, Any]) -> Sections:
    for table in _also_tables(data):
        source.hide(table, Also)
    try:
        return Sections.model_validate(data)
    except ValidationError as error:
        source.fail(list(dict.fromkeys(_complaints(error))))


def _also_tables(data: Any) -> Iterator[Any]:
    """Whatever stands under a key ``also``, whether it is right or not: it may hold a secret."""
    if isinstance(data, dict):
        yield from (value for key, value in data.items() if key == "also")
    for value in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
        yield from _also_tables(value)


def _complaints(error: ValidationError) -> Iterator[Complaint]:
    every = error.errors(include_input=False, include_url=False, include_context=False)
    for found in every:
        if found["type"] == "too_short" and any(_is_in(found["loc"], other["loc"]) for other in every):
            continue  # what is wrong itself is not counted
        where = tuple(part for part in found["loc"] if not str(part).startswith(("[", "function-")))
        where = where[:-1] if where[-1:] in (("str",), ("dict[str,any]",)) else where
        message = found["msg"].removeprefix("Value error, ")
        head, colon, rest = message.partition(": ")
        model = _model_of(where[:-1])
        if found["type"] == "extra_forbidden" and where[-1] in AT_THE_TOP:
            message = "stands in this table; move it to the top of the file, before the first [table]"
        elif found["type"] == "extra_forbidden":
            message = unknown_key(str(where[-1]), names(model))
        elif found["type"] == "missing":
            message = f"missing; it is required ({names(model)[str(where[-1])].description})"
        elif colon and head in names(_model_of(where)):
            where, message = (*where, head), rest
        yield where, _plainer(message, found["type"])


def _is_in(where: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return len(other) > len(where) and other[: len(where)] == where


_PLAINER = {
    "tuple_type": "should be a list; write it in square brackets, or as [[tables]]",
    "dict_type": "should be a table",
    "model_type": "should be a table",
    "string_type": "should be a text; put it in quotes",
    "string_too_short": "is empty; write a condition, or a text",
    "string_pattern_mismatch": "a name has letters, digits, - _ and ., at most 64",
    "too_short": "is empty; write at least one",
    "bool_type": "should be true or false",
}


def _plainer(message: str, kind: str) -> str:
    return _PLAINER.get(kind) or message.replace("Input should", "should", 1)


_IN_A_STEP: dict[str, type[BaseModel]] = {"set": Setting, "route": Destination, "also": Also}


def _model_of(where: Keys) -> type[BaseModel]:
    """The model of the table that stands at a path."""
    match [part for part in where if isinstance(part, str)]:
        case ["triggers" | "routes", "timing", *_]:
            return Timing
        case ["triggers", *_]:
            return Trigger
        case ["routes", *_]:
            return Route
        case ["flows", _, "steps", "set" | "route" | "also" as kind, *_]:
            return _IN_A_STEP[kind]
        case ["flows", _, "steps", *_]:
            return FlowStep if len(where) > 3 else Flow
        case ["flows", *_]:
            return Flow
        case ["signals", "asked_for_human", *_]:
            return PhraseList
        case ["signals", *_]:
            return Signals
    return Sections


def _misled(
    sections: Sections, desks: Collection[str], desk: str, promises: Collection[str]
) -> Iterator[Complaint]:
    """Desks that are not there, promises that nobody made, and triggers that lead nowhere."""
    rules: Iterable[tuple[str, tuple[Any, ...]]] = (
        ("triggers", sections.triggers),
        ("routes", sections.routes),
    )
    for section, each in ((name, pair) for name, all_ in rules for pair in enumerate(all_)):
        number, rule = each
        if rule.desk is not None and rule.desk not in desks:
            yield (section, number, "desk"), _no_desk(rule.desk, desks)
    anywhere = desk or any(route.when is None and route.desk for route in sections.routes)
    for number, trigger in enumerate(sections.triggers):
        if not anywhere and not trigger.desk:
            yield (
                ("triggers", number),
                f"{trigger.name!r} can reach no route; give it a desk, or write desk = ... at the top",
            )
        if trigger.timing.sla is not None and trigger.timing.sla not in promises:
            yield (
                ("triggers", number, "timing"),
                f"nobody promises a {trigger.timing.sla}; add it to [sla.default], or write another timing",
            )


def _astray(flows: Mapping[str, Flow], desks: Collection[str]) -> Iterator[Complaint]:
    """Steps of flows that name a desk, or a plugin's step, that is not there."""
    for name, flow in flows.items():
        for number, step in enumerate(flow.steps):
            found = [*_unrouted(step, desks), *_nowhere(step.also, desks)]
            yield from ((("flows", name, "steps", number, *keys), why) for keys, why in found)


def _unrouted(step: FlowStep, desks: Collection[str]) -> Iterator[Complaint]:
    if isinstance(step.route, Destination) and step.route.desk and step.route.desk not in desks:
        yield ("route", "desk"), _no_desk(step.route.desk, desks)


def _nowhere(also: str | Also | None, desks: Collection[str]) -> Iterator[Complaint]:
    if isinstance(also, str):
        if also not in desks and also not in flow_steps():
            near = nearest(also, {*desks, *flow_steps()})
            yield ("also",), f"neither a desk nor a plugin's step has the name {also!r}; {near}"
    elif also is not None and also.desk and also.desk not in desks:
        yield ("also", "desk"), _no_desk(also.desk, desks)
    elif also is not None and also.step and also.step not in flow_steps():
        yield ("also", "step"), f"no plugin brings a step {also.step!r}; {nearest(also.step, flow_steps())}"


def _no_desk(name: str, desks: Collection[str]) -> str:
    near = get_close_matches(name, sorted(desks), n=1, cutoff=0.6)
    cure = f"did you mean {near[0]!r}?" if near else f"write one of {', '.join(sorted(desks))}"
    return f"no desk {name!r} is configured; {cure}"
