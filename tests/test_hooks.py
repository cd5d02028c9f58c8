"""Hooks: fewer than nine, each with one sentence, one example that runs, and a line in the README."""

from __future__ import annotations

import inspect
import textwrap
from pathlib import Path
from typing import Any

import pluggy
import pytest

from handrail import hookimpl
from handrail.plugins import Hooks, connectors, plugins

ROOT = Path(__file__).resolve().parents[1]
HOOKS = {name: hook for name, hook in vars(Hooks).items() if name.startswith("handrail_")}


def example_of(hook: Any) -> str:
    _, _, example = (inspect.getdoc(hook) or "").partition("Example::")
    return textwrap.dedent(example)


def test_there_are_few_hooks() -> None:
    assert 0 < len(HOOKS) < 9


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_is_documented(name: str) -> None:
    readme = (ROOT / "README.md").read_text()

    assert f"`{name}`" in readme
    assert (inspect.getdoc(HOOKS[name]) or "").splitlines()[0].endswith(".")


@pytest.mark.parametrize("name", HOOKS)
def test_the_example_of_a_hook_runs(name: str) -> None:
    module: dict[str, Any] = {"hookimpl": hookimpl, "Acme": type("Acme", (), {"name": "acme"})}
    exec(example_of(HOOKS[name]), module)

    manager = pluggy.PluginManager("handrail")
    manager.add_hookspecs(Hooks)
    plugin = type("Plugin", (), {name: staticmethod(module[name])})
    manager.register(plugin)
    manager.check_pending()

    assert [impl.plugin for impl in getattr(manager.hook, name).get_hookimpls()] == [plugin]


def test_a_plugin_that_fails_to_name_its_connectors_takes_no_other_down(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken:
        @hookimpl
        def handrail_connectors(self) -> Any:
            yield type("Half", (), {"name": "half"})
            raise RuntimeError("no licence")

    before = connectors()
    plugins().register(Broken(), name="broken")
    try:
        assert connectors() == before
    finally:
        plugins().unregister(name="broken")
    assert "plugin broken failed to name its connectors" in caplog.text
