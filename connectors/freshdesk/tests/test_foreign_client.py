"""The simulated Freshdesk as somebody else's client sees it: python-freshdesk, in its own environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.outside import driven, python_with

from handrail_freshdesk.simulated import FIELDS, GROUPS, SimulatedFreshdesk

SCRIPT = Path(__file__).with_name("drive_with_python_freshdesk.py")


@pytest.fixture(scope="module")
def foreign_python() -> Path:
    return python_with("python-freshdesk", "1.3.9", "requests", "python-dateutil")


def test_python_freshdesk_works_with_the_simulated_desk(
    foreign_python: Path, desk: SimulatedFreshdesk, checker: Any, tmp_path: Path
) -> None:
    file = tmp_path / "receipt.txt"
    file.write_bytes(b"one refund, please\n")
    seen = driven(foreign_python, SCRIPT, desk.url, str(file))
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
