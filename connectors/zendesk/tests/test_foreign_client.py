"""The simulated Zendesk as somebody else's client sees it: zenpy, in an environment of its own.

zenpy is under the GPL, so it is never installed beside this project's code.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from handrail.testing.clock import Clock
from handrail_zendesk.simulated import GROUPS, SimulatedZendesk

VERSION = "2.0.57"
SCRIPT = Path(__file__).with_name("drive_with_zenpy.py")


@pytest.fixture(scope="module")
def foreign_python() -> Path:
    """The interpreter of an environment that holds zenpy; made once, kept in the temporary folder."""
    kept = Path(tempfile.gettempdir()) / f"handrail-zenpy-{VERSION}"
    if not (kept / "ready").exists():
        made = Path(tempfile.mkdtemp(prefix="handrail-zenpy-"))
        install(made)
        if kept.exists():  # left over from a run that was broken off
            shutil.rmtree(kept)
        made.rename(kept)
    return interpreter(kept)


def install(environment: Path) -> None:
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "-q", "--clear", "--relocatable", str(environment)], check=True)
    command = [*uv, "pip", "install", "-q", "--python", str(interpreter(environment)), f"zenpy=={VERSION}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(environment)
        pytest.skip(f"zenpy {VERSION} cannot be installed here: {done.stderr.strip()[:300]}")
    (environment / "ready").touch()


def interpreter(environment: Path) -> Path:
    windows = environment / "Scripts" / "python.exe"
    return windows if windows.exists() else environment / "bin" / "python"


def driven(python: Path, phase: str, url: str) -> dict[str, Any]:
    """What zenpy made of the desk's answers."""
    command = [str(python), str(SCRIPT), phase, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_zenpy_works_with_the_simulated_desk(
    foreign_python: Path, desk: SimulatedZendesk, clock: Clock, checker: Any
) -> None:
    seen = driven(foreign_python, "work", desk.url)
    [ticket] = desk.tickets
    assert seen == {
        "me": "admin",
        "groups": sorted(GROUPS),
        "id": int(ticket.id),
        "first_comment": "Please help",
        "read": ["Refund", "high", "h1", "Premium", "Ann Lee"],
        "updated": ["pending", ["Comment", "Change", "Change"]],
        "comments": [["Please help", False], ["Done", True]],
        "audits": 2,
        "by_external_id": [int(ticket.id)],
        "many": [int(ticket.id)],
        "found": ["Ann Lee"],
        "fields": ["Subject", "Status", "Order id", "Amount"],
        "upload": True,
    }
    assert (ticket.subject, ticket.status, ticket.group, ticket.tags) == (
        "Refund",
        "pending",
        "Premium",
        ["ai"],
    )
    assert [(comment.body, comment.public) for comment in ticket.comments] == [
        ("Please help", False),
        ("Done", True),
    ]

    desk.human_solves(ticket.id, "Refunded")
    clock.advance(120)
    exported = driven(foreign_python, "export", desk.url)
    assert exported["tickets"] == [[int(ticket.id), "solved"]]
    assert exported["said"] == ["Please help", "Done", "Refunded"]
    assert exported["statuses"] == ["new", "pending", "solved"]
    for request, reply in desk.exchanges:
        checker.check_reply(request, reply)
