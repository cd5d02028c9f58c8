"""The simulated Jira as somebody else's client sees it: ``jira`` from PyPI, in an environment of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from handrail.testing import Clock
from handrail_jira.simulated import SimulatedJira
from handrail_jira.simulated.records import PRIORITIES
from handrail_jira.simulated.site import COMPONENTS, CUSTOM, ISSUE_TYPES, SYSTEM

VERSION = "3.10.5"
SCRIPT = Path(__file__).with_name("drive_with_jira.py")


@pytest.fixture(scope="module")
def foreign_python() -> Path:
    """The interpreter of an environment that holds the client; made once, kept in the temporary folder."""
    kept = Path(tempfile.gettempdir()) / f"handrail-jira-{VERSION}"
    if not (kept / "ready").exists():
        made = Path(tempfile.mkdtemp(prefix="handrail-jira-"))
        install(made)
        if kept.exists():  # left over from a run that was broken off
            shutil.rmtree(kept)
        made.rename(kept)
    return interpreter(kept)


def install(environment: Path) -> None:
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "-q", "--clear", "--relocatable", str(environment)], check=True)
    command = [*uv, "pip", "install", "-q", "--python", str(interpreter(environment)), f"jira=={VERSION}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(environment)
        pytest.skip(f"jira {VERSION} cannot be installed here: {done.stderr.strip()[:300]}")
    (environment / "ready").touch()


def interpreter(environment: Path) -> Path:
    windows = environment / "Scripts" / "python.exe"
    return windows if windows.exists() else environment / "bin" / "python"


def driven(python: Path, kind: str, url: str) -> dict[str, Any]:
    """What the client made of the desk's answers."""
    command = [str(python), str(SCRIPT), kind, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("kind", ["cloud", "data-center"])
def test_the_client_works_with_the_simulated_desk(foreign_python: Path, kind: str) -> None:
    with SimulatedJira(deployment=kind, clock=Clock()) as desk:
        seen = driven(foreign_python, kind, desk.url)
        ticket, twin = desk.tickets
        assert seen == {
            "me": "AI desk",
            "deployment": {"cloud": "Cloud", "data-center": "Server"}[kind],
            "fields": ["Amount", "Details"],
            "priorities": list(PRIORITIES.values()),
            "components": list(COMPONENTS.values()),
            "meta": [] if kind == "cloud" else [list(ISSUE_TYPES.values()), len(SYSTEM | CUSTOM)],
            "id": ticket.id,
            "comment": ["On it", ["On it"]],
            "attachment": [["script.txt", True]],
            "found": [[ticket.id, "Refund"]],
            "status": "done",
            "resolution": "10000",
            "priority": "High",
            "changes": ["status", "labels"],
            "linked": [ticket.id],
        }
        assert (ticket.subject, ticket.status, ticket.group, ticket.priority) == (
            "Refund",
            "done",
            "Premium",
            "High",
        )
        assert list(ticket.tags) == ["seen", "vip"]
        assert [comment.body for comment in ticket.comments] == ["Please help", "On it"]
        assert ticket.files[0].content == SCRIPT.read_bytes()
        assert twin.subject == "Twin"
        assert desk.errors == []
