"""What tests of real processes and engines share: a rail in the real time, its file, and patience."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from handrail.config import Config
from handrail.plugins import connectors
from handrail.rail import Handrail

PATIENCE = 40.0


def until(done: Callable[[], Any], what: str = "", patience: float = PATIENCE) -> Any:
    """Wait until something is so, and return it; fail after ``patience`` seconds."""
    deadline = time.monotonic() + patience
    while not (result := done()):
        assert time.monotonic() < deadline, f"not so after {patience:.0f} s: {what}"
        time.sleep(0.02)
    return result


def connector(name: str) -> Any:
    """The class of an installed connector, else the test is skipped."""
    if name not in connectors():
        pytest.skip(f"the connector {name} is not installed")
    return connectors()[name]


def a_rail(store: str, desks: Mapping[str, Any], **more: Any) -> Handrail:
    """A Handrail in the real time whose desks are simulated: a desk, or its settings, by its name."""
    made = {}
    for name, desk in desks.items():
        given = dict(desk if isinstance(desk, Mapping) else desk.settings())
        made[name] = connector(given.pop("connector"))(**given)
    first = next(iter(made))
    return Handrail(Config(path=Path("handrail.toml"), store=store, desk=first, desks=made, **more))


def write_config(folder: Path, store: str, settings: Mapping[str, Any], **more: Any) -> Path:
    """A ``handrail.toml`` with one desk, ``support``, for processes."""
    lines = [f"store = {json.dumps(store)}", *(f"{key} = {json.dumps(value)}" for key, value in more.items())]
    lines += ["[desks.support]", *(f"{key} = {json.dumps(value)}" for key, value in settings.items())]
    path = folder / "handrail.toml"
    path.write_text("\n".join(lines) + "\n")
    return path
