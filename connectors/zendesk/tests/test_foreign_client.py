"""The simulated Zendesk as somebody else's client sees it: zenpy, in an environment of its own.

zenpy is under the GPL, so it is never installed beside this project's code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.outside import driven, python_with

from handrail.testing import Clock
from handrail_zendesk.simulated import GROUPS, SimulatedZendesk

SCRIPT = Path(__file__).with_name("drive_with_zenpy.py")


@pytest.fixture(scope="module")
def foreign_python() -> Path:
    return python_with("zenpy", "2.0.57")


def test_zenpy_works_with_the_simulated_desk(
    foreign_python: Path, desk: SimulatedZendesk, clock: Clock, checker: Any
) -> None:
    seen = driven(foreign_python, SCRIPT, "work", desk.url)
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
    exported = driven(foreign_python, SCRIPT, "export", desk.url)
    assert exported["tickets"] == [[int(ticket.id), "solved"]]
    assert exported["said"] == ["Please help", "Done", "Refunded"]
    assert exported["statuses"] == ["new", "pending", "solved"]
    for request, reply in desk.exchanges:
        checker.check_reply(request, reply)
