"""Plugins that see updates (``handrail_update``): told as subscribers are, and never asked twice to take one.

One that raises is logged and goes on with the next update: what it does with them is its own affair.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from handrail.model import Update, UpdateKind
from handrail.plugins import plugins

log = logging.getLogger("handrail.subscribers")


@dataclass(frozen=True)
class Listener:
    plugin: str
    function: Callable[[Update], object]

    @property
    def name(self) -> str:
        """What its cursor is kept under."""
        return f"plugin:{self.plugin}"

    def wants(self, kind: UpdateKind) -> bool:
        return True

    def tell(self, update: Update) -> None:
        try:
            self.function(update)
        except Exception:
            log.exception("plugin %s failed at update %s", self.plugin, update.id)


def listeners() -> dict[str, Listener]:
    """The installed plugins that see updates, by name."""
    found = (
        Listener(each.plugin_name, each.function) for each in plugins().hook.handrail_update.get_hookimpls()
    )
    return {listener.name: listener for listener in found}
