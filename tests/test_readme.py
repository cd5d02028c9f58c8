"""The README says what is so: its commands, its configuration and its Python run."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from handrail.config import load
from handrail.testing import SimulatedDesk

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [text for kind, text in BLOCKS if kind == language]


def test_the_first_block_is_two_commands() -> None:
    demo, tests = BLOCKS[0][1].strip().splitlines()

    assert demo.endswith("uv run handrail demo")
    assert tests.endswith("uv run pytest")
    assert tests in (ROOT / ".ci" / "run").read_text()


def test_its_links_lead_somewhere() -> None:
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", README) if "://" not in target]

    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_every_connector_is_listed() -> None:
    members = [path for path in ROOT.glob("connectors/*") if (path / "pyproject.toml").exists()]

    assert [member.name for member in members if f"(connectors/{member.name})" not in README] == []


def test_its_commands_exist() -> None:
    import typer.main

    from handrail.cli import app

    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    used = {
        command for block in blocks("") for command in re.findall(r"^handrail ([\w-]+)", block, re.MULTILINE)
    }

    assert used
    assert used - set(known) == set()


def test_its_configuration_loads(tmp_path: Path) -> None:
    text = "\n".join(blocks("toml"))
    path = tmp_path / "handrail.toml"
    path.write_text(text)
    config = load(path, {"ZENDESK_CLIENT_SECRET": "s-1", "ZENDESK_WEBHOOK_SECRET": "s-2"})

    assert list(tomllib.loads(text)["desks"]) == list(config.desks) == ["support"]


def test_its_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulated = pytest.importorskip(
        "handrail_zendesk.simulated", reason="the Zendesk connector is not installed"
    )
    desk: SimulatedDesk
    with simulated.SimulatedZendesk(groups={"billing": 1001}) as desk:
        settings = {key: value for key, value in desk.settings().items() if isinstance(value, str)}
        lines = [f'{key} = "{value}"' for key, value in settings.items()]
        (tmp_path / "handrail.toml").write_text("[desks.support]\n" + "\n".join(lines))
        monkeypatch.chdir(tmp_path)
        names: dict[str, Any] = {"messages": [{"role": "user", "content": "Where is my refund?"}]}
        exec(blocks("python")[0], names)
        try:
            assert names["ticket"].id == desk.tickets[0].id
            assert next(names["rail"].updates()).kind == "created"
        finally:
            names["rail"].close_connections()
