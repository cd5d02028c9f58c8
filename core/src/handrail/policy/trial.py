"""A policy with something changed, to see in a replay what that does: ``stuck.when=failed_attempts >= 4``."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from handrail.errors import ConfigError, InputError
from handrail.policy.model import Trigger
from handrail.policy.policy import Policy

_FORM = "write TRIGGER.KEY=VALUE, such as stuck.timing=now"


def tried(policy: Policy, changes: Iterable[str], desks: Collection[str] = ()) -> Policy:
    """The policy with each change made, ``TRIGGER.KEY=VALUE``, the value in TOML or as plain text.

    ``desks`` are the desks that there are; none: not known. Raises ``InputError`` for a trigger, key or desk
    that is not there, and for a value that does not fit.
    """
    triggers = {trigger.name: trigger for trigger in policy.triggers}
    for change in changes:
        name, key, value = _parts(change, triggers)
        triggers[name] = _changed(triggers[name], key, value)
        if key == "desk" and desks and value not in desks:
            raise InputError(f"no desk {value!r} is configured; {_meant(str(value), desks)}", field="--try")
    try:
        return Policy(
            tuple(triggers.values()), policy.routes, policy.flows, policy.signals, due_by=policy.due_by
        )
    except ConfigError as error:
        raise InputError(str(error), field="--try") from None


def _parts(change: str, triggers: Iterable[str]) -> tuple[str, str, Any]:
    place, equals, value = change.partition("=")
    name, dot, key = place.strip().rpartition(".")
    if not equals or not dot:
        raise InputError(f"{change!r} is no change; {_FORM}", field="--try")
    if name not in set(triggers):
        raise InputError(f"there is no trigger {name!r}; {_meant(name, triggers)}", field="--try")
    if key not in Trigger.model_fields or key == "name":
        keys = [one for one in Trigger.model_fields if one != "name"]
        raise InputError(f"a trigger has no {key!r} to change; {_meant(key, keys)}", field="--try")
    return name, key, _value(value.strip())


def _meant(word: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = get_close_matches(word, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}"


def _value(text: str) -> Any:
    """Lists, tables and quoted texts as TOML has them; all else is text, a step such as +1 too."""
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    return value if isinstance(value, str | list | dict) else text


def _changed(trigger: Trigger, key: str, value: Any) -> Trigger:
    given = {name: getattr(trigger, name) for name in trigger.model_fields_set}
    try:
        return Trigger.model_validate(given | {key: value})
    except ValidationError as error:
        why = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise InputError(f"{trigger.name}.{key}: {why}", field="--try") from None
