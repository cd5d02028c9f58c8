"""What a site calls its things: groups, priorities, fields, people. Jira's names are translated, ids are not.

Create metadata: https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/
Teams: https://developer.atlassian.com/platform/teams/components/team-field-in-jira-rest-api
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from handrail import Request, Steps
from handrail_jira.customers import ABSENT, JiraCustomers, Row

TEAM = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(-[0-9]+)?")
TEAM_FIELD = "com.atlassian.teams:rm-teams-custom-field-team"


class JiraNames(JiraCustomers):
    def names(self, kind: str) -> Steps[dict[str, str]]:
        """Ids by name: ``groups``, ``priorities``, ``issue types``, ``me``, ``desk``, ``request type``,
        ``form``, ``user WHO``, ``customer ADDRESS NAME``; ``screen`` has fields with what they take.
        """
        first, _, who = kind.partition(" ")
        special = {"user": self._people_named, "customer": self.customer_named}
        if who and first in special:
            return (yield from special[first](who))
        lists = {
            "groups": self._groups,
            "priorities": self._priorities,
            "issue types": self._issue_types,
            "screen": self._fields_on_screen,
            "me": self._me,
            "desk": self.desk_named,
            "request type": self.request_type_named,
            "form": self.form_named,
        }
        return (yield from lists[kind]()) if kind in lists else (yield from super().names(kind))

    def id_of(self, kind: str, name: str) -> Steps[str | None]:
        """Labels, teams and free fields have no list to look into."""
        if kind != "groups" or self.group_as in ("component", "assignee"):
            return (yield from super().id_of(kind, name))
        if self.group_as == "team":
            return name if TEAM.fullmatch(name) else None
        allowed = (yield from self.shapes()).get(self.group_field, {}).get("allowed")
        return (yield from super().id_of(kind, name)) if allowed else name

    @property
    def group_field(self) -> str:
        """The field that holds the group; a team's is known from the screen only."""
        known = {"component": "components", "label": "labels", "assignee": "assignee", "team": "team"}
        return known.get(self.group_as) or self.group_as.partition(":")[2]

    def shapes(self) -> Steps[dict[str, Row]]:
        """Fields of new issues with what each takes; empty where Jira does not tell."""
        return {name: json.loads(value) for name, value in (yield from self.of("screen")).items()}

    # Lists.

    def _groups(self) -> Steps[dict[str, str]]:
        if self.group_as == "component":
            rows = (yield Request("GET", self.at(f"/project/{(yield from self.key())}/components"))).json
            return {str(row["name"]): str(row["id"]) for row in rows}
        if self.group_as == "assignee":
            found: dict[str, str] = {}
            for who in self.groups.values():
                found |= yield from self.of(f"user {who}")
            return found
        return dict((yield from self.shapes()).get(self.group_field, {}).get("allowed") or {})

    def _priorities(self) -> Steps[dict[str, str]]:
        rows = (yield Request("GET", self.at("/priority"))).json
        return {str(row["name"]): str(row["id"]) for row in rows}

    def _issue_types(self) -> Steps[dict[str, str]]:
        rows = yield from self._listed(
            f"/issue/createmeta/{(yield from self.key())}/issuetypes", "issueTypes"
        )
        return {str(row["name"]): str(row["id"]) for row in rows}

    def _fields_on_screen(self) -> Steps[dict[str, str]]:
        key, id = (yield from self.key()), (yield from self.type_id())
        rows = (yield from self._listed(f"/issue/createmeta/{key}/issuetypes/{id}", "fields")) if id else []
        return {str(row.get("fieldId") or row.get("key")): json.dumps(_shape(row)) for row in rows}

    def _listed(self, path: str, key: str) -> Steps[list[Row]]:
        """Data Center names the same lists ``values``."""
        rows: list[Row] = []
        for _ in range(20):
            params = {"startAt": len(rows), "maxResults": 200}
            reply = yield Request("GET", self.at(path), params=params, accept=ABSENT)
            page = (reply.json.get(key) or reply.json.get("values") or []) if reply.ok else []
            rows += page
            if not page or len(rows) >= int(reply.json.get("total") or 0):
                break
        return rows

    def _me(self) -> Steps[dict[str, str]]:
        user = (yield Request("GET", self.at("/myself"))).json
        return {"me": self.user_id(user), "name": str(user.get("displayName") or "")}

    # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-user-search/
    def _people_named(self, who: str) -> Steps[dict[str, str]]:
        """Assignable people with this name, address or id. Privacy rules may hide an address."""
        asked = {"query" if self.is_cloud else "username": who, "project": (yield from self.key())}
        rows = (yield Request("GET", self.at("/user/assignable/search"), params=asked, accept=ABSENT)).data
        rows = rows if isinstance(rows, list) else []
        names = ("displayName", "emailAddress", "accountId", "name")
        return {str(row[name]): self.user_id(row) for row in rows for name in names if row.get(name)}

    def user_id(self, user: Mapping[str, Any]) -> str:
        return str(user.get("accountId" if self.is_cloud else "name") or "")

    def type_id(self) -> Steps[str]:
        """The issue type's id; the name itself where Jira lists no such type to us."""
        if self.service_desk:
            return (yield from self.of("request type"))["type"]
        numeric = self.issue_type.isdigit()
        return self.issue_type if numeric else (yield from self.id_of("issue types", self.issue_type)) or ""


def _shape(row: Row) -> Row:
    """What a field takes: its type, and the ids of its values by name where it has a list of them."""
    schema, rows = row.get("schema") or {}, row.get("allowedValues") or []
    known = [each for each in rows if isinstance(each, dict) and each.get("id")]
    allowed = {str(each.get("name") or each.get("value")): str(each["id"]) for each in known}
    return {name: schema.get(name) for name in ("type", "items", "custom")} | {"allowed": allowed}
