"""The simulated Freshdesk as somebody else's client sees it: python-freshdesk, in its own environment."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from handrail_freshdesk.simulated import FIELDS, GROUPS, SimulatedFreshdesk

VERSION = "1.3.9"
SCRIPT = Path(__file__).with_name("drive_with_python_freshdesk.py")


@pytest.fixture(scope="module")
def foreign_python() -> Path:
    """The interpreter of an environment that holds the client; made once, kept in the temporary folder."""
    kept = Path(tempfile.gettempdir()) / f"handrail-python-freshdesk-{VERSION}"
    if not (kept / "ready").exists():
        made = Path(tempfile.mkdtemp(prefix="handrail-python-freshdesk-"))
        install(made)
        if kept.exists():  # left over from a run that was broken off
            shutil.rmtree(kept)
        made.rename(kept)
    return interpreter(kept)


def install(environment: Path) -> None:
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "-q", "--clear", "--relocatable", str(environment)], check=True)
    wanted = [f"python-freshdesk=={VERSION}", "requests", "python-dateutil"]
    command = [*uv, "pip", "install", "-q", "--python", str(interpreter(environment)), *wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(environment)
        pytest.skip(f"python-freshdesk {VERSION} cannot be installed here: {done.stderr.strip()[:300]}")
    (environment / "ready").touch()


def interpreter(environment: Path) -> Path:
    windows = environment / "Scripts" / "python.exe"
    return windows if windows.exists() else environment / "bin" / "python"


def driven(python: Path, url: str, file: Path) -> dict[str, Any]:
    """What the client made of the desk's answers."""
    command = [str(python), str(SCRIPT), url, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_python_freshdesk_works_with_the_simulated_desk(
    foreign_python: Path, desk: SimulatedFreshdesk, checker: Any, tmp_path: Path
) -> None:
    file = tmp_path / "receipt.txt"
    file.write_bytes(b"one refund, please\n")
    seen = driven(foreign_python, desk.url, file)
    first, second = desk.account.tickets.values()
    refused, missing = seen.pop("refused"), seen.pop("missing")
    assert seen == {
        "groups": sorted(GROUPS),
        "ids": [first.id, second.id],
        "made": ["Refund", "high", "open", ["ai"], "h1"],
        "attachment": "receipt.txt",
        "note": ["note", True, "internal"],
        "reply": ["reply", False, "On its way"],
        "updated": ["resolved", "urgent"],
        "read": [True, "Ann Lee", 2],
        "comments": ["internal", "On its way"],
        "listed": [second.id, first.id],
        "deleted": [second.id],
        "me": "AI desk",
        "contacts": ["Ann Lee"],
        "fields": ["status", *FIELDS],
        "found": [],  # the search is minutes late
        "stranger": "You have to be logged in to perform this action.",
    }
    assert "priority" in refused
    assert "It should be one of these values: '1,2,3,4'" in refused
    assert missing == "Freshdesk Request Failed"

    [ticket] = desk.tickets
    assert (ticket.subject, ticket.status, ticket.priority, ticket.group, ticket.tags) == (
        "Refund",
        "Resolved",
        "Urgent",
        "Premium",
        ["ai"],
    )
    assert [(comment.body, comment.public) for comment in ticket.comments] == [
        ("Please help", True),
        ("internal", False),
        ("On its way", True),
    ]
    assert second.files[0].content == b"one refund, please\n"
    for request, reply in desk.exchanges:
        if not request.local.startswith("/agents/"):  # the file knows agents by number only
            checker.check_reply(request, reply)
