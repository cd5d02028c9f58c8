"""Plugins: the hooks (pluggy, project name ``handrail``) and how installed ones are found.

A plugin is a module named by an entry point of the group ``handrail``. Importing this module loads none.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, cast

import pluggy

from handrail.errors import ConfigError

if TYPE_CHECKING:
    import typer

    from handrail.connector import Connector
    from handrail.model import Conversation, Handoff, Update

    FlowStep = Callable[[Handoff, Mapping[str, Any]], str | None]

log = logging.getLogger("handrail.plugins")
hookspec = pluggy.HookspecMarker("handrail")
hookimpl = pluggy.HookimplMarker("handrail")


class Hooks:
    """What a plugin may implement. An implementation takes only the arguments that it names."""

    @hookspec
    def handrail_connectors(self) -> Iterable[type[Connector]]:  # type: ignore[empty-body]
        """Name the connector classes that this plugin brings.

        Example::

            @hookimpl
            def handrail_connectors():
                return [Acme]
        """

    @hookspec
    def handrail_detect(self, conversation: Conversation) -> Mapping[str, bool | float | str | None] | None:
        """Say what you find in a conversation, as signals that the conditions of triggers may name.

        The plugin declares its signals and their types (bool, int, float, str) as ``signals``; a name of a
        built-in signal is refused. A detector that raises never stops a handoff: the decision records it.

        Example::

            signals = {"angry": bool}

            @hookimpl
            def handrail_detect(conversation):
                return {"angry": conversation.messages[-1].text.isupper()}
        """

    @hookspec
    def handrail_redact(self, conversation: Conversation) -> Conversation | None:
        """Return the conversation with what must not reach a desk masked, or None to leave it.

        A redactor that raises stops its handoff, visibly.

        Example::

            @hookimpl
            def handrail_redact(conversation):
                return conversation.model_copy(update={"fields": {}})
        """

    @hookspec
    def handrail_flow_steps(self) -> Mapping[str, FlowStep]:  # type: ignore[empty-body]
        """Bring steps that flows may do beside a handoff, by name.

        A step is called with the handoff and with what stands beside its name in the flow. What it returns,
        if that is a text, stands in the handoff's timeline. It runs as a job, at least once: ``handoff.id``
        tells it what it has done before. One that raises is tried again for a day, and never stops a handoff;
        one that takes more than five minutes may be begun a second time beside the first.

        Example::

            def book_call(handoff, arguments):
                return f"a call of {arguments['minutes']} minutes is booked for {handoff.customer.name}"

            @hookimpl
            def handrail_flow_steps():
                return {"book-call": book_call}
        """

    @hookspec
    def handrail_update(self, update: Update) -> None:
        """See an update after it was stored: at least once, in the order of storing, in a worker's process.

        ``update.id`` tells one that comes again. One that raises is logged, and goes on with the next.

        Example::

            @hookimpl
            def handrail_update(update):
                print(update.kind, update.text)
        """

    @hookspec
    def handrail_commands(self, app: typer.Typer) -> None:
        """Add commands to the command line.

        Example::

            @hookimpl
            def handrail_commands(app):
                @app.command()
                def hello() -> None:
                    print("hello")
        """


@cache
def plugins() -> pluggy.PluginManager:
    """The plugin manager with every installed plugin loaded; made at the first call."""
    manager = pluggy.PluginManager("handrail")
    manager.add_hookspecs(Hooks)
    for entry in sorted(entry_points(group="handrail"), key=lambda entry: entry.name):
        try:
            manager.register(entry.load(), name=entry.name)
        except Exception as error:
            # One broken plugin must not take the others down; whoever needs it is told that it is missing.
            log.error(
                "plugin %s (%s) cannot be loaded: %s: %s",
                entry.name,
                entry.value,
                type(error).__name__,
                error,
            )
    return manager


def connectors() -> dict[str, type[Connector]]:
    """Installed connectors by name. A plugin that raises is logged, and brings none.

    Raises ``ConfigError`` when two share a name.
    """
    found: dict[str, type[Connector]] = {}
    for plugin in plugins().hook.handrail_connectors.get_hookimpls():
        try:
            named = cast("Callable[[], Iterable[type[Connector]] | None]", plugin.function)
            brought = [(connector.name, connector) for connector in named() or ()]
        except Exception:
            log.exception("plugin %s failed to name its connectors", plugin.plugin_name)
            continue
        for name, connector in brought:
            other = found.setdefault(name, connector)
            if other is not connector:
                raise ConfigError(
                    f"two installed connectors are named {name!r}: {other.__module__} and "
                    f"{connector.__module__}; uninstall one"
                )
    return dict(sorted(found.items()))


def flow_steps() -> dict[str, FlowStep]:
    """The steps that plugins bring to flows. A plugin that raises is logged, and brings none.

    Raises ``ConfigError`` when two share a name.
    """
    found: dict[str, FlowStep] = {}
    for plugin in plugins().hook.handrail_flow_steps.get_hookimpls():
        try:
            brought = dict(cast("Callable[[], Mapping[str, FlowStep] | None]", plugin.function)() or {})
        except Exception:
            log.exception("plugin %s failed to name its steps", plugin.plugin_name)
            continue
        twice = sorted(found.keys() & brought.keys())
        if twice:
            raise ConfigError(f"two plugins bring a step {twice[0]!r}; rename it in one, or uninstall one")
        found |= brought
    return found
