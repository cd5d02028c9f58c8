"""The policy that a replay runs: nothing is sent, so no desk's credentials need be set."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handrail.config_source import ENCODING, Source
from handrail.errors import ConfigError
from handrail.policy.load import SECTIONS, PolicyText, load_policy
from handrail.policy.policy import Policy


@dataclass(frozen=True)
class Readable:
    """A policy, the desk it sends to where nothing else is said, and what could not be read beside it.

    ``desks`` are the desks that there are; none: not known.
    """

    policy: Policy
    desk: str = ""
    notice: str = ""
    desks: tuple[str, ...] = ()


def read_policy(path: Path, environ: Mapping[str, str] = os.environ) -> Readable:
    """The policy of a file of its own, or of a ``handrail.toml``. Raises ``ConfigError``.

    Where a configuration cannot be used as it is (a secret that is not set), its policy alone is read, and
    ``notice`` says why; promises do not count then, and a trigger that waits for one hands off at once.
    """
    data = _parsed(path)
    if "desks" not in data and "policy" not in data:
        return Readable(load_policy(path, environ))
    from handrail.config import load

    try:
        config = load(path, environ)
    except ConfigError as error:
        policy = _policy_alone(path, data, environ)
        why = str(error).splitlines()[0]
        return Readable(policy, _only_desk(data), f"only the policy of {path} is used: {why}")
    if config.policy is None:
        raise _none(path)
    return Readable(config.policy, config.desk, desks=tuple(config.desks))


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return Source(path.absolute(), path.read_text(ENCODING)).parse()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(f"cannot read the policy {path}: {why}; name a file that is there") from None


def _policy_alone(path: Path, data: Mapping[str, Any], environ: Mapping[str, str]) -> Policy:
    source = Source(path.absolute(), path.read_text(ENCODING))
    own = {name: data[name] for name in (*SECTIONS, "policy") if name in data}
    policy = PolicyText.taken(source, own, environ).made()
    if policy is None:
        raise _none(path)
    return policy


def _none(path: Path) -> ConfigError:
    return ConfigError(f"{path}: triggers: there is none; add [[triggers]] with name and when")


def _only_desk(data: Mapping[str, Any]) -> str:
    desks = data.get("desks")
    names = list(desks) if isinstance(desks, Mapping) else []
    return str(data.get("desk") or (names[0] if len(names) == 1 else ""))
