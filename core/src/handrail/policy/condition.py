"""Conditions over a handoff as it stands: those of the steps of flows, and of ``[[raise]]``."""

from __future__ import annotations

from typing import Any

from handrail.errors import ConfigError
from handrail.model import Handoff
from handrail.policy.model import Signals, Trigger
from handrail.policy.policy import Mistakes, Policy
from handrail.policy.signals import HANDOFF


class Conditions:
    """Says whether conditions hold; each is read once. Safe to use from several threads."""

    def __init__(self, signals: Signals | None = None) -> None:
        """``signals`` are the word lists that count."""
        self._signals = signals
        self._read: dict[str, Policy] = {}

    def wrong(self, when: str) -> str | None:
        """What is wrong with a condition, with the cure; None: nothing."""
        try:
            self._policy(when)
        except Mistakes as found:
            return "; ".join(message for _, message in found.complaints)
        return None

    def holds(self, when: str, handoff: Handoff) -> bool:
        """Raises ``ConfigError`` for a condition that cannot be read."""
        try:
            policy = self._policy(when)
        except Mistakes as found:
            raise ConfigError("; ".join(message for _, message in found.complaints)) from None
        facts, _ = policy.heard(handoff.conversation)
        return bool(policy.rules[0].holds({**facts.values, **_about(handoff)}))

    def _policy(self, when: str) -> Policy:
        if when not in self._read:
            self._read[when] = Policy([Trigger(name="when", when=when)], signals=self._signals, names=HANDOFF)
        return self._read[when]


def _about(handoff: Handoff) -> dict[str, Any]:
    values = {name: getattr(handoff, name) for name in HANDOFF}
    return {name: None if value is None else str(value) for name, value in values.items()}
