"""Moving an issue through its workflow, by whatever transitions it offers to us now.

https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/#api-rest-api-3-issue-issueidorkey-transitions-post
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from handrail import NotDone, Refused, Request, Status, Steps, Ticket
from handrail_jira import updates
from handrail_jira.customers import Row
from handrail_jira.issues import JiraIssues


class JiraMoves(JiraIssues):
    def move(
        self, ticket: Ticket, status: Status, *, must: bool = True, again: bool = False
    ) -> Steps[Ticket]:
        """Bring an issue to a status of this kind by whatever transition the workflow offers now."""
        wanted = ("done",) if status in (Status.SOLVED, Status.CLOSED) else ("indeterminate", "new")
        if there := (yield from self._is_in(ticket, wanted)):
            return there
        path = self.at(f"/issue/{ticket.id}/transitions")
        offered = (yield Request("GET", path, params={"expand": "transitions.fields"})).json["transitions"]
        way = _chosen(offered, wanted)
        if way is None:
            if must:
                raise Refused(
                    f"Jira offers us no transition to {wanted[0]!r} that we can fill in", status=400
                )
            return ticket
        known = {"transition": {"id": way["id"]}, "fields": _filled(way)}
        reply = yield Request(
            "POST",
            path,
            json={name: value for name, value in known.items() if value},
            accept=frozenset({409}),
            unless=self._is_in(ticket, wanted),
            repeatable=again,
        )
        if reply.status == 409:
            raise NotDone("somebody else is changing this issue right now", after=2.0)
        return reply.found or updates.moved(ticket, way.get("to") or {})

    def _is_in(self, ticket: Ticket, wanted: Sequence[str]) -> Steps[Ticket | None]:
        row = (yield Request("GET", self.at(f"/issue/{ticket.id}"), params={"fields": "status"})).json
        status = row["fields"]["status"]
        return updates.moved(ticket, status) if updates.category(status) in wanted else None


def _chosen(offered: Sequence[Row], wanted: Sequence[str]) -> Row | None:
    """By the category of where it leads, never by a name; the one that asks for the fewest fields."""
    for category in wanted:
        ways = [way for way in offered if updates.category(way.get("to") or {}) == category]
        ways = [way for way in ways if way.get("isAvailable", True) and None not in _filled(way).values()]
        if ways:
            return min(ways, key=lambda way: len(_filled(way)))
    return None


def _filled(way: Row) -> dict[str, Any]:
    """The fields that a transition insists on, each with its first allowed value; None: we know none."""
    asked = {name: row for name, row in (way.get("fields") or {}).items() if row.get("required")}
    return {name: _first(row) for name, row in asked.items() if not row.get("hasDefaultValue")}


def _first(row: Row) -> Any:
    allowed = row.get("allowedValues") or []
    if not allowed:
        return None
    first = {"id": allowed[0]["id"]} if isinstance(allowed[0], dict) and "id" in allowed[0] else allowed[0]
    return [first] if (row.get("schema") or {}).get("type") == "array" else first
