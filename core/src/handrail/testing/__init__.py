"""Tools for authors: the connector kit, simulated desks, a settable clock, samples.

Needs the extra ``handrail[testing]`` (pytest) for ``ConnectorTests``; the rest needs nothing beyond core.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from handrail.testing.clock import Clock
    from handrail.testing.desk import (
        SimulatedComment,
        SimulatedDesk,
        SimulatedFile,
        SimulatedTicket,
        answer,
        route,
    )
    from handrail.testing.kit import ConnectorTests
    from handrail.testing.world import World, a_conversation, a_file

_HOMES = {
    "handrail.testing.clock": "Clock",
    "handrail.testing.desk": "Refusal Seen SimulatedComment SimulatedDesk SimulatedFile "
    "SimulatedTicket action answer route",
    "handrail.testing.kit": "ConnectorTests",
    "handrail.testing.world": "World a_conversation a_file",
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = [
    "Clock",
    "ConnectorTests",
    "Refusal",
    "Seen",
    "SimulatedComment",
    "SimulatedDesk",
    "SimulatedFile",
    "SimulatedTicket",
    "World",
    "a_conversation",
    "a_file",
    "action",
    "answer",
    "route",
]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(import_module(_HOME_OF[name]), name)
    desk = _simulated(name)
    if desk is None:
        raise AttributeError(f"module 'handrail.testing' has no attribute {name!r}")
    return desk


def _simulated(name: str) -> Any:
    """The simulated desk of that class name which an installed connector brings, or None."""
    if not name.startswith("Simulated"):
        return None
    from handrail.plugins import connectors

    for connector in connectors().values():
        module, _, desk = (connector.simulated or "").partition(":")
        if desk == name:
            return getattr(import_module(module), desk)
    return None
