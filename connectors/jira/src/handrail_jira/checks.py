"""What ``handrail check`` asks a Jira site. Nothing here is needed to hand off."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from handrail import Finding, Reply, Request, Steps
from handrail_jira import refusals
from handrail_jira.customers import Row
from handrail_jira.twins import JiraTwins


class JiraChecks(JiraTwins):
    def findings(self) -> Steps[list[Finding]]:
        me = yield from self.of("me")
        found = [Finding("credentials", bool(me.get("me")), me.get("name") or "these are of nobody")]
        found.append((yield from self._deployment()))
        shapes = yield from self.shapes()
        found.append((yield from self._type(shapes)))
        for ours, theirs in self.groups.items():
            id = theirs if theirs.isdigit() else (yield from self.id_of("groups", theirs))
            found.append(_found(f"groups.{ours}", theirs, bool(id), "Jira has no such group"))
        for urgency, word in {**self.urgencies, **self.urgency}.items():
            id = yield from self.priority(word, shapes)
            found.append(_found(f"urgency.{urgency}", word, bool(id), "the project has no such priority"))
        for name, field in self.fields.items():
            there = not shapes or field in shapes
            found.append(_found(f"fields.{name}", field, there, "it is not on the create screen"))
        hint = "set" if self.webhook_secret else "not set: replies come by polling only (see the README)"
        return [*found, Finding("webhook_secret", True, hint)]

    # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-server-info/
    def _deployment(self) -> Steps[Finding]:
        told = str((yield Request("GET", self.at("/serverInfo"))).json.get("deploymentType"))
        right = (told == "Cloud") == self.is_cloud
        return Finding("deployment", right, f"Jira says {told}" + ("" if right else ": correct deployment"))

    def _type(self, shapes: Mapping[str, Row]) -> Steps[Finding]:
        if self.service_desk:
            kind = yield from self.of("request type")
            return Finding("request_type", bool(kind["type"]), f"{self.request_type!r}: id {kind['id']}")
        names = yield from self.of("issue types")
        right = self.issue_type in (*names, *names.values())
        known = f"Jira shows us {', '.join(names) or 'none'} in {self.project}"
        return Finding("issue_type", right, f"{self.issue_type!r}: {'found' if right else known}")

    # What Jira says about a request.

    def explain(self, reply: Reply) -> str:
        return refusals.explain(reply)

    def retry_after(self, reply: Reply, now: datetime) -> float | None:
        return refusals.retry_after(reply, now)

    def is_for_all(self, reply: Reply) -> bool:
        return refusals.is_for_all(reply)

    def refused_fields(self, reply: Reply) -> Mapping[str, str]:
        named = {theirs: f"fields.{ours}" for ours, theirs in self.fields.items()}
        named |= {self.group_field: "group"} if self.group_as.startswith("field:") else {}
        found = refusals.refused_fields(reply, named)
        also = {"label": "tags", "assignee": "owner"}.get(self.group_as)
        if also in found:  # the same field carries the group
            found["group"] = found[also]
        if self.group_as == "team" and (why := refusals.custom(reply, named)):
            found["group"] = why
        return found


def _found(subject: str, word: str, there: bool, otherwise: str) -> Finding:
    return Finding(subject, there, f"{word!r}: {'found' if there else otherwise}")
