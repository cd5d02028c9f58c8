"""Signals from plugins: the hook ``handrail_detect``, what each plugin declares, and what it may say."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from handrail.errors import ConfigError
from handrail.model import Conversation
from handrail.plugins import plugins
from handrail.text import one_line

KINDS: dict[type, str] = {bool: "true or false", int: "a number", float: "a number", str: "a text"}
"""The types that a signal may be declared with, and what conditions take it for."""


Detect = Callable[[Conversation], tuple[dict[str, Any], list[str]]]


def declared(built_in: Mapping[str, str]) -> dict[str, str]:
    """The signals of all detectors, each with its kind. Raises ``ConfigError`` for a name that is taken."""
    found: dict[str, str] = {}
    for plugin in plugins().hook.handrail_detect.get_hookimpls():
        for name, kind in _signals(plugin).items():
            if name in built_in or name in found:
                raise ConfigError(
                    f"the plugin {plugin.plugin_name} brings a signal {name!r}, and there is one of that "
                    "name already; rename it in the plugin, or uninstall the plugin"
                )
            if kind not in KINDS or not name.isidentifier():
                raise ConfigError(
                    f"the plugin {plugin.plugin_name} declares the signal {name!r} wrongly; write "
                    "signals = {'name': bool}, with bool, int, float or str"
                )
            found[name] = KINDS[kind]
    return found


def _signals(plugin: Any) -> Mapping[str, type]:
    signals = getattr(plugin.plugin, "signals", None)
    return signals if isinstance(signals, Mapping) else {}


def detect(conversation: Conversation) -> tuple[dict[str, Any], list[str]]:
    """What the detectors say of a conversation, and what went wrong. A detector that fails says nothing."""
    values: dict[str, Any] = {}
    errors: list[str] = []
    for plugin in plugins().hook.handrail_detect.get_hookimpls():
        signals = _signals(plugin)
        values |= dict.fromkeys(signals)
        try:
            said: Any = plugin.function(*(conversation for _ in plugin.argnames))
            for name, value in dict(said or {}).items():
                values[name] = _checked(name, value, signals)
        except Exception as error:
            why = one_line(str(error), 200) if isinstance(error, _Wrong) else type(error).__name__
            errors.append(f"the detector of plugin {plugin.plugin_name} failed ({why})")
    return values, errors


_KEPT = 256
_said: OrderedDict[str, dict[str, Any]] = OrderedDict()
_saying = threading.Lock()


def detect_once(conversation: Conversation) -> tuple[dict[str, Any], list[str]]:
    """The same, but what was said of a conversation lately is not asked again, unless a detector failed.

    Detectors may be slow. Whoever holds the store asks ahead, and finds the answer here.
    """
    key = hashlib.sha256(conversation.model_dump_json().encode("utf-8", "replace")).hexdigest()
    with _saying:
        known = _said.get(key)
    if known is not None:
        return known, []
    values, errors = detect(conversation)
    if not errors:
        with _saying:
            _said[key] = values
            while len(_said) > _KEPT:
                _said.popitem(last=False)
    return values, errors


def are_there() -> bool:
    """Whether any plugin brings a detector."""
    return bool(plugins().hook.handrail_detect.get_hookimpls())


class _Wrong(Exception):
    """What a detector said does not fit what it declared."""


def _checked(name: Any, value: Any, signals: Mapping[str, type]) -> Any:
    if name not in signals:
        raise _Wrong(f"it gives {name!r}, which its signals do not declare")
    kind = signals[name]
    fits = isinstance(value, (int, float) if kind in (int, float) else kind)
    if value is not None and (not fits or (isinstance(value, bool) and kind is not bool)):
        raise _Wrong(f"{name} is {type(value).__name__}, declared as {kind.__name__}")
    return value
