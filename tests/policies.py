"""What tests of the policy share: conversations in a line, policies from text, and a clock's time."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from handrail import Conversation
from handrail.config_source import Source
from handrail.policy.load import PolicyText
from handrail.policy.policy import Policy

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "tau-bench-airline.jsonl"


def said(*texts: str, **known: Any) -> Conversation:
    """A conversation of customer messages, each answered by the AI; "HUMAN ..." is said by a human."""
    messages: list[dict[str, Any]] = []
    for text in texts:
        if text.startswith("HUMAN "):
            messages.append({"role": "human", "text": text.removeprefix("HUMAN ")})
        else:
            messages += [{"role": "customer", "text": text}, {"role": "ai", "text": "I see."}]
    return Conversation.model_validate({"id": "c-1", "messages": messages, **known})


def policy(text: str) -> Policy:
    """The policy that stands in ``text``."""
    made = PolicyText.alone(Source(Path("policy.toml"), text), {}).made()
    assert made is not None
    return made


def rule(when: str, **more: Any) -> Policy:
    """A policy with one trigger."""
    from handrail.policy.model import Trigger

    return Policy([Trigger(name="t", when=when, **more)])


def fires(when: str, conversation: Conversation) -> bool:
    return rule(when).decide(conversation, NOW, default_desk="support").hand_off
