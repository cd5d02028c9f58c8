"""Moving an issue through its workflow, by whatever transitions it offers to us now.

https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/#api-rest-api-3-issue-issueidorkey-transitions-post
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from handrail import Change, NotDone, Refused, Request, Status, Steps, Ticket
from handrail_jira import updates
from handrail_jira.customers import Row
from handrail_jira.fields import label_of
from handrail_jira.issues import JiraIssues


class JiraMoves(JiraIssues):
    # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/#api-rest-api-3-issue-issueidorkey-put
    def edit(self, ticket: Ticket, change: Change) -> Steps[Ticket]:
        """Give an issue another priority, another group, or both; returns it as it is then."""
        shapes, sent = (yield from self.shapes()), dict[str, Row]()
        if change.urgency:
            word = {**self.urgencies, **self.urgency}[change.urgency]
            id = yield from self.priority(word, shapes)
            if id is None:
                why = f"the project has no priority {word!r}"
                raise Refused(why, fields={"urgency": why})
            sent["fields"] = {"priority": {"id": id}}
        if change.group:
            group = yield from self.group_to(change.group)
            if self.group_as == "label":
                sent["update"] = {"labels": self._relabelled(ticket, group)}
            else:
                valued = self._group_value(group, shapes, {})
                sent["fields"] = sent.get("fields", {}) | {
                    field: value for field, (_, value) in valued.items()
                }
        path = self.at(f"/issue/{ticket.id}")
        yield Request("PUT", path, json=sent, repeatable=True)
        if not change.group:
            return ticket
        row = (yield Request("GET", path, params={"fields": self.fields_read})).json
        return updates.ticket_of(self, row).model_copy(update={"updated_at": ticket.updated_at})

    def _relabelled(self, ticket: Ticket, group: str) -> list[Row]:
        """The group's label in place of those of other groups."""
        labels = (ticket.raw.get("fields") or {}).get("labels") or []
        others = {label_of(theirs) for theirs in self.groups.values()} - {label_of(group)}
        return [*({"remove": label} for label in labels if label in others), {"add": label_of(group)}]

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
