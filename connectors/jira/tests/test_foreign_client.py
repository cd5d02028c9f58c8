"""The simulated Jira as somebody else's client sees it: ``jira`` from PyPI, in an environment of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.outside import driven, python_with

from handrail.testing import Clock
from handrail_jira.simulated import SimulatedJira
from handrail_jira.simulated.records import PRIORITIES
from handrail_jira.simulated.site import COMPONENTS, CUSTOM, ISSUE_TYPES, SYSTEM

SCRIPT = Path(__file__).with_name("drive_with_jira.py")


@pytest.fixture(scope="module")
def foreign_python() -> Path:
    return python_with("jira", "3.10.5")


@pytest.mark.parametrize("kind", ["cloud", "data-center"])
def test_the_client_works_with_the_simulated_desk(foreign_python: Path, kind: str) -> None:
    with SimulatedJira(deployment=kind, clock=Clock()) as desk:
        seen = driven(foreign_python, SCRIPT, kind, desk.url)
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
