"""Detectors of plugins: their signals in conditions, and that none of them can stop a handoff."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from tests.policies import NOW, fires, rule, said

from handrail import ConfigError, Conversation, hookimpl
from handrail.plugins import plugins


@pytest.fixture
def install() -> Iterator[Any]:
    names: list[str] = []

    def installed(name: str, signals: Any, detect: Any) -> None:
        plugins().register(SimpleNamespace(signals=signals, handrail_detect=hookimpl(detect)), name=name)
        names.append(name)

    yield installed
    for name in names:
        plugins().unregister(name=name)


def test_hook_handrail_detect_gives_signals_to_conditions(install: Any) -> None:
    def angry(conversation: Conversation) -> dict[str, Any]:
        return {"angry": conversation.messages[-2].text.isupper(), "score": 0.9, "mood": "bad"}

    install("mood", {"angry": bool, "score": float, "mood": str}, angry)

    assert fires('angry and score > 0.5 and mood == "bad"', said("WHERE IS IT"))
    assert not fires("angry", said("where is it"))


def test_a_signal_s_type_is_checked_when_the_policy_is_read(install: Any) -> None:
    install("mood", {"angry": bool}, lambda conversation: {})
    with pytest.raises(ConfigError, match="angry is true or false, which cannot be ordered"):
        rule("angry > 3")
    with pytest.raises(ConfigError, match=r"'angri' is not known; did you mean angry\?"):
        rule("angri")


@pytest.mark.parametrize(
    ("signals", "said_of_it"),
    [
        ({"turns": int}, "brings a signal 'turns', and there is one of that name already; rename it"),
        ({"mood": list}, "declares the signal 'mood' wrongly; write signals = {'name': bool}"),
        ({"my mood": str}, "declares the signal 'my mood' wrongly"),
    ],
)
def test_a_wrong_declaration_is_refused(install: Any, signals: Any, said_of_it: str) -> None:
    install("mood", signals, lambda conversation: {})
    with pytest.raises(ConfigError) as caught:
        rule("turns > 1")

    assert "plugin mood" in str(caught.value)
    assert said_of_it in str(caught.value)


def test_two_plugins_cannot_bring_the_same_signal(install: Any) -> None:
    install("one", {"mood": str}, lambda conversation: {})
    install("two", {"mood": str}, lambda conversation: {})
    with pytest.raises(ConfigError, match="there is one of that name already"):
        rule("turns > 1")


def fail(conversation: Conversation) -> dict[str, Any]:
    raise RuntimeError("s3cr3t")


@pytest.mark.parametrize(
    ("detect", "error"),
    [
        (fail, "the detector of plugin mood failed (RuntimeError)"),
        (lambda conversation: {"anger": 1}, "failed (it gives 'anger', which its signals do not declare)"),
        (lambda conversation: {"angry": "yes"}, "failed (angry is str, declared as bool)"),
        (lambda conversation: 3, "failed (TypeError)"),
    ],
)
def test_a_detector_that_fails_is_recorded_and_the_rest_goes_on(
    install: Any, detect: Any, error: str
) -> None:
    install("mood", {"angry": bool}, detect)
    install("other", {"calm": bool}, lambda conversation: {"calm": True})
    decision = rule("angry or calm").decide(said("hello"), NOW, default_desk="d")

    assert decision.kind == "hand_off"
    assert [error in one for one in decision.errors] == [True]
    assert "s3cr3t" not in repr(decision)


def test_a_detector_is_asked_only_where_a_trigger_needs_it(install: Any) -> None:
    asked: list[str] = []
    install("mood", {"angry": bool}, lambda conversation: asked.append(conversation.id))
    rule("turns > 1").decide(said("a"), NOW, default_desk="d")
    rule("angry").decide(said("a"), NOW, default_desk="d")

    assert asked == ["c-1"]


def test_in_a_walk_a_detector_sees_the_conversation_as_it_was(install: Any) -> None:
    install("count", {"seen": int}, lambda conversation: {"seen": len(conversation.messages)})
    turns = list(rule("seen > 2").walk(said("a", "b", "c")))

    assert [turn.index for turn in turns if turn.fired] == [2]
