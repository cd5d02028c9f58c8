"""Deciding: the triggers and routes of a policy, compiled, and what they say of a conversation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from handrail.durations import format_duration
from handrail.errors import ConfigError
from handrail.model import Conversation, Message, Role, Urgency
from handrail.policy.detect import Detect, declared, detect, detect_once
from handrail.policy.due import DueBy, nothing_promised
from handrail.policy.facts import Detectors, Facts, Ground, because
from handrail.policy.flow import Snapshot, mistakes, snapshot
from handrail.policy.flow_model import Flow
from handrail.policy.model import Decision, Destination, Fired, Route, Signals, Timing, Trigger, raised
from handrail.policy.moments import counted, places, until
from handrail.policy.rules import Rule, compiled
from handrail.policy.sensitive import built_in
from handrail.policy.signals import HANDOFF, SIGNALS, RuleError, unknown

Keys = tuple[str | int, ...]
Fresh = tuple[tuple[str, list[Ground]], ...]
"""Names of triggers, each with the signals that make it fire."""


class Mistakes(ConfigError):
    """A policy that cannot be used. ``complaints`` are pairs of a key's path and what is wrong with it."""

    def __init__(self, complaints: Sequence[tuple[Keys, str]]) -> None:
        self.complaints = tuple(complaints)
        super().__init__("\n".join(f"{_dotted(keys)}: {message}" for keys, message in complaints))


def _dotted(keys: Keys) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).lstrip(".")


@dataclass(slots=True)
class Turn:
    """What a message of a conversation changed.

    ``index`` is the message's place from 0. ``firing`` are the names of all triggers that fire after it, in
    the policy's order; ``fired`` are those that did not fire before it.
    """

    index: int
    message: Message
    firing: tuple[str, ...]
    _fresh: Fresh = ()

    @property
    def fired(self) -> tuple[Fired, ...]:
        """The triggers that fire now and did not before; their sentences are made when this is asked."""
        return tuple(Fired(name=name, because=_sentence(grounds)) for name, grounds in self._fresh)


class Policy:
    """Triggers, routes and flows, checked and compiled. Safe to use from several threads."""

    def __init__(
        self,
        triggers: Sequence[Trigger],
        routes: Sequence[Route] = (),
        flows: Mapping[str, Flow] = {},
        signals: Signals | None = None,
        *,
        due_by: DueBy | None = None,
        names: Mapping[str, str] = {},
    ) -> None:
        """``due_by`` says when a promise is due, ``names`` are what conditions may name besides signals.

        Raises ``Mistakes``: every wrong condition, with its key.
        """
        self.triggers, self.routes, self.flows = tuple(triggers), tuple(routes), dict(flows)
        self.signals = signals or Signals()
        self.due_by = due_by or nothing_promised
        plugged = declared(SIGNALS)
        self.rules, self.route_rules = self._compiled(plugged, names)
        used = [*self.rules, *(rule for rule in self.route_rules if rule is not None)]
        self._uses = frozenset[str]().union(*(rule.uses for rule in used))
        self._asks_plugins = not self._uses.isdisjoint(plugged)
        self._searches = list({search.key: search for rule in used for search in rule.searches}.values())
        lists = self.signals.asked_for_human
        self._detectors = Detectors(lists.phrases, lists.extra, self.signals.sensitive)
        self._conditions: Any = None
        self.digest = self._digest()

    def _digest(self) -> str:
        parts: list[Any] = [each.model_dump(mode="json") for each in (*self.triggers, *self.routes)]
        parts += [{name: flow.model_dump(mode="json") for name, flow in self.flows.items()}]
        text = json.dumps([*parts, self.signals.model_dump(mode="json")], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _compiled(
        self, plugged: Mapping[str, str], names: Mapping[str, str]
    ) -> tuple[list[Rule], list[Rule | None]]:
        complaints: list[tuple[Keys, str]] = []
        categories = {*built_in(), *self.signals.sensitive}

        def rule(text: str, *keys: str | int, names: Mapping[str, str] = names) -> Rule | None:
            try:
                made = compiled(text, {**plugged, **names})
            except RuleError as error:
                complaints.append(((*keys, "when"), str(error)))
                return None
            wrong = [name for name in made.categories if name not in categories]
            complaints.extend(((*keys, "when"), unknown_category(name, categories)) for name in wrong)
            return made

        rules = [rule(each.when, "triggers", n) for n, each in enumerate(self.triggers)]
        routes = [rule(each.when, "routes", n) if each.when else None for n, each in enumerate(self.routes)]
        for name, flow in self.flows.items():
            for n, step in enumerate(flow.steps):
                if step.when:
                    rule(step.when, "flows", name, "steps", n, names=HANDOFF)
            wrong = mistakes(flow, self._named_routes)
            complaints += [(("flows", name, *keys), message) for keys, message in wrong]
        complaints += self._unfit()
        if complaints:
            raise Mistakes(complaints)
        return [each for each in rules if each is not None], routes

    def _unfit(self) -> Iterator[tuple[Keys, str]]:
        seen: dict[str, int] = {}
        for n, trigger in enumerate(self.triggers):
            first = seen.setdefault(trigger.name, n)
            if first != n:
                yield (
                    ("triggers", n, "name"),
                    f"{trigger.name!r} is triggers[{first}] already; give another name",
                )
            if trigger.flow is not None and trigger.flow not in self.flows:
                known = ", ".join(sorted(self.flows)) or "none"
                yield (
                    ("triggers", n, "flow"),
                    f"there is no flow {trigger.flow!r}; write [flows.{trigger.flow}], or one of: {known}",
                )

    @property
    def _named_routes(self) -> dict[str, Route]:
        return {route.name: route for route in self.routes if route.name}

    def flow(self, name: str | None, **more: Any) -> Snapshot | None:
        """A flow as it is now, with its routes' contents; None where there is none of that name."""
        if name is None or name not in self.flows:
            return None
        return snapshot(name, self.flows[name], self._named_routes, self.signals, **more)

    # Deciding.

    def heard(self, conversation: Conversation) -> tuple[Facts, tuple[str, ...]]:
        """What is known of a conversation, and which detectors failed."""
        hearing = self._hear(conversation)
        return hearing.facts, hearing.ask_plugins(conversation, detect_once)[1]

    def _hear(self, conversation: Conversation) -> _Hearing:
        hearing = _Hearing(self, conversation)
        for index, message in enumerate(conversation.messages):
            hearing.hear(index, message)
        return hearing

    def decide(self, conversation: Conversation, now: datetime, *, default_desk: str) -> Decision:
        """What the policy says at ``now`` (an aware time). It changes nothing and asks nobody."""
        hearing = self._hear(conversation)
        _, errors = hearing.ask_plugins(conversation)
        return self._decided(conversation, hearing, errors, now, default_desk)

    def _decided(
        self,
        conversation: Conversation,
        hearing: _Hearing,
        errors: tuple[str, ...],
        now: datetime,
        default_desk: str,
    ) -> Decision:
        fired = tuple(
            Fired(name=trigger.name, because=hearing.because(rule))
            for trigger, rule in zip(self.triggers, self.rules, strict=True)
            if rule.holds(hearing.facts.values)
        )
        head: dict[str, Any] = {
            "conversation_id": conversation.id,
            "at": now,
            "errors": errors,
            "policy": self.digest,
        }
        if not fired:
            return Decision(kind="keep", because="no trigger fires", **head)
        trigger = next(each for each in self.triggers if each.name == fired[0].name)
        head["since"] = _last_words(conversation, now)
        decision = self._decision(trigger, fired, hearing, now, default_desk, head)
        return self._asking(decision, trigger, conversation) if trigger.flow else decision

    def _asking(self, decision: Decision, trigger: Trigger, conversation: Conversation) -> Decision:
        """The decision to ask first, where its flow has questions that are open."""
        from handrail.policy.asking import asked
        from handrail.policy.condition import Conditions

        self._conditions = self._conditions or Conditions(self.signals)
        flow = self.flow(trigger.flow)
        if flow is None or not trigger.timing.now:
            return decision
        return asked(decision, flow, conversation, self._conditions.holds)

    def _decision(
        self,
        trigger: Trigger,
        fired: tuple[Fired, ...],
        hearing: _Hearing,
        now: datetime,
        desk: str,
        head: Any,
    ) -> Decision:
        routes = [
            n for n, rule in enumerate(self.route_rules) if rule is None or rule.holds(hearing.facts.values)
        ]
        to = _destination([trigger, *(self.routes[n] for n in routes)])
        urgency = to.pop("urgency")
        until = self._until(trigger.timing, urgency, head.pop("since"), now)
        kind: Literal["wait", "hand_off"] = "wait" if until is not None and until > now else "hand_off"
        why = f"{fired[0].name}: {fired[0].because}"
        return Decision(
            kind=kind,
            because=f"{why}; {_waits(trigger.timing)}" if kind == "wait" else why,
            trigger=trigger.name,
            reason=trigger.reason,
            urgency=urgency,
            desk=to.pop("desk") or desk,
            flow=trigger.flow,
            until=until if kind == "wait" else None,
            timing=trigger.timing,
            fired=fired,
            routes=tuple(self._routed(n, hearing) for n in routes),
            **to,
            **head,
        )

    def _until(self, timing: Timing, urgency: Urgency, since: datetime, now: datetime) -> datetime | None:
        if timing.wait is not None:
            return now + timing.wait
        return self.due_by(timing, urgency, since, now) if timing.sla is not None else None

    def _routed(self, n: int, hearing: _Hearing) -> Fired:
        route, rule = self.routes[n], self.route_rules[n]
        why = "takes every handoff" if rule is None else hearing.because(rule)
        return Fired(name=route.name or f"routes[{n}]", because=why)

    def routed(self, conversation: Conversation) -> dict[str, Any]:
        """Where the routes send a handoff that no trigger decided: what they set, by its name."""
        facts, _ = self.heard(conversation)
        rules = zip(self.routes, self.route_rules, strict=True)
        chosen = [route for route, rule in rules if rule is None or rule.holds(facts.values)]
        return {name: value for name, value in _destination(chosen).items() if value}

    def decisions(self, conversation: Conversation, default_desk: str = "") -> Iterator[tuple[int, Decision]]:
        """The messages after which another trigger decides, as places from 0, and what is decided then.

        A moment is a message and what the AI tried before the next one. The decision is made on the
        conversation as it was then, at the time of that message.
        """
        hearing, decides = _Hearing(self, conversation), ""
        for index, message in enumerate(conversation.messages):
            hearing.step(index, message)
            if hearing.firing and hearing.firing[0] != decides:
                decides = hearing.firing[0]
                then, now = until(conversation, index + 1), counted(message.at) or datetime.now(UTC)
                if self._asks_plugins:
                    yield index, self.decide(then, now, default_desk=default_desk)
                else:
                    yield index, self._decided(then, hearing, (), now, default_desk)

    def walk(self, conversation: Conversation) -> Iterator[Turn]:
        """The conversation as it happened: what changed with each message.

        Each message is looked at once, and a trigger only when one of the signals it uses may have changed.
        After the last message exactly the triggers fire that ``decide`` would name.
        """
        hearing = _Hearing(self, conversation)
        for index, message in enumerate(conversation.messages):
            fresh = hearing.step(index, message)
            yield Turn(index, message, hearing.firing, fresh)


def _last_words(conversation: Conversation, now: datetime) -> datetime:
    """When the customer wrote last, as far as is known: promises count from there."""
    said = (counted(each.at) for each in conversation.messages if each.role is Role.CUSTOMER)
    times = [at for at in said if at is not None]
    return min(max(times), now) if times else now


def unknown_category(name: str, known: set[str]) -> str:
    return unknown(name, known).partition(" What your")[0] + f" A new category is signals.sensitive.{name}"


class _Hearing:
    """One conversation on its way through a policy."""

    def __init__(self, policy: Policy, conversation: Conversation) -> None:
        self._policy = policy
        self.facts = Facts(conversation, policy._detectors, policy._uses, policy._searches)
        self._conversation = conversation
        self._state = [False] * len(policy.rules)
        self.firing: tuple[str, ...] = ()
        """The triggers that fire by now."""
        self._attempts = places(conversation) if "failed_attempts" in policy._uses else {}

    def hear(self, index: int, message: Message) -> AbstractSet[str]:
        """The next message, and what the AI tried before the one after it."""
        changed = self.facts.hear(message)
        if self._attempts:
            for place in (0, 1) if index == 0 else (index + 1,):
                changed |= self.facts.attempted(self._attempts.get(place, ()))
        return changed

    def ask_plugins(
        self, conversation: Conversation, ask: Detect = detect
    ) -> tuple[set[str], tuple[str, ...]]:
        """Which signals of detectors changed, and which detectors failed."""
        if not self._policy._asks_plugins:
            return set(), ()
        values, errors = ask(conversation)
        return self.facts.detected(values), tuple(errors)

    def step(self, index: int, message: Message) -> Fresh:
        """The next message; the triggers that fire now and did not before, with why."""
        changed = self.hear(index, message)
        if self._policy._asks_plugins and message.role is Role.CUSTOMER:
            changed |= self.ask_plugins(until(self._conversation, index + 1))[0]
        if index == 0 or not self._policy._uses.isdisjoint(changed):
            before = list(self._state)
            self._update(changed, index == 0)
            if self._state != before:
                return self._turned(before)
        return ()

    def _turned(self, before: list[bool]) -> Fresh:
        triggers = self._policy.triggers
        self.firing = tuple(each.name for each, now in zip(triggers, self._state, strict=True) if now)
        new = (n for n, now in enumerate(self._state) if now and not before[n])
        return tuple((triggers[n].name, self.grounds(self._policy.rules[n])) for n in new)

    def _update(self, changed: AbstractSet[str], every: bool) -> None:
        """Ask the rules again that depend on what ``changed``, or ``every`` one."""
        for n, rule in enumerate(self._policy.rules):
            if every or not rule.uses.isdisjoint(changed):
                self._state[n] = bool(rule.holds(self.facts.values))

    def grounds(self, rule: Rule) -> list[Ground]:
        return [self.facts.ground(path) for path in rule.grounds(self.facts.values)]

    def because(self, rule: Rule) -> str:
        return _sentence(self.grounds(rule))


def _sentence(grounds: list[Ground]) -> str:
    return "; ".join(map(because, grounds)) or "it always applies"


def _waits(timing: Timing) -> str:
    if timing.wait is not None:
        return f"the AI has {format_duration(timing.wait)} more"
    lead = f"{format_duration(timing.lead)} before " if timing.lead else "when "
    return f"handed off {lead}the {timing.sla} is due"


def _destination(chosen: Sequence[Destination]) -> dict[str, Any]:
    """The first one's wishes, filled up by those of the others in their order."""
    absolute = [one.urgency for one in chosen if one.urgency and one.urgency[0] not in "+-"]
    urgency = Urgency(absolute[0]) if absolute else Urgency.NORMAL
    for one in chosen:
        if one.urgency and one.urgency[0] in "+-":
            urgency = raised(urgency, one.urgency)
    first = {
        name: next((value for one in chosen if (value := getattr(one, name))), None)
        for name in ("desk", "group", "owner")
    }
    every = {
        name: tuple(dict.fromkeys(value for one in chosen for value in getattr(one, name)))
        for name in ("tags", "next_steps")
    }
    return {"urgency": urgency, **first, **every}
