"""What a handoff becomes in an issue's fields. Custom fields take what their type says.

https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/#api-rest-api-3-issue-post
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from handrail import Dialect, Handoff, Steps, Wishes
from handrail_jira.adf import Adf
from handrail_jira.customers import Row
from handrail_jira.names import TEAM_FIELD
from handrail_jira.polls import LABEL, JiraPolls
from handrail_jira.shapes import shaped
from handrail_jira.wiki import Wiki

LIMIT = 32_000
"""Below Jira's 32,767: https://confluence.atlassian.com/adminjiraserver/advanced-jira-application-configuration-938847680.html"""
PROPERTY = "handoff"
_ADF, _WIKI = Adf(limit=LIMIT), Wiki(limit=LIMIT)


class JiraFields(JiraPolls):
    @property
    def dialect(self) -> Dialect:  # type: ignore[override]  # follows from the deployment
        """Service Management takes wiki markup on Cloud as well."""
        return _ADF if self.is_cloud and not self.service_desk else _WIKI

    def written(self, text: str) -> Any:
        """A rendered text as the platform's API takes it."""
        return json.loads(text) if self.dialect is _ADF else text

    def optional(self, wishes: Wishes) -> Steps[tuple[Row, Handoff]]:
        """Fields that a handoff would like to have, and the handoff with what cannot be set noted in it."""
        handoff, shapes = wishes.handoff, (yield from self.shapes())
        unset = dict(handoff.unset)
        wanted: dict[str, tuple[str, Any]] = {"labels": ("tags", self.labels_of(handoff))}
        if handoff.due.resolution and "duedate" in shapes:  # a date of ours is not worth a refusal
            wanted["duedate"] = ("due", f"{handoff.due.resolution:%Y-%m-%d}")
        wanted |= yield from self._urgency(wishes, shapes, unset)
        wanted |= yield from self._owner(handoff, unset)
        for field, value in wishes.fields.items():
            wanted[field] = (self._named(field), shaped(shapes.get(field, {}), value, self.is_cloud))
        wanted |= self._group_value(wishes.group, shapes, wanted)
        if shapes and not self.service_desk:
            asked = [*((ours, field) for field, (ours, _) in wanted.items()), ("description", "description")]
            absent = [(ours, field) for ours, field in asked if field not in shapes]
            unset = {ours: f"{field} is not on the create screen" for ours, field in absent} | unset
        if self.group_as == "label" and wishes.group and "tags" in unset:
            unset.setdefault("group", unset["tags"])
        kept = {field: value for field, (ours, value) in wanted.items() if ours not in unset}
        return kept, handoff.model_copy(update={"unset": unset})

    def labels_of(self, handoff: Handoff) -> list[str]:
        plain = [LABEL, token(handoff.marker), *self.labels, *handoff.tags]
        return list(dict.fromkeys(label for given in plain if (label := label_of(given))))

    def _urgency(self, wishes: Wishes, shapes: Mapping[str, Row], unset: dict[str, str]) -> Steps[Row]:
        word = wishes.urgency
        if not word:
            return {}
        id = yield from self.priority(word, shapes)
        if id is None:
            unset.setdefault("urgency", f"the project has no priority {word!r}")
        return {"priority": ("urgency", {"id": id})} if id else {}

    def priority(self, word: str, shapes: Mapping[str, Row]) -> Steps[str | None]:
        """A priority's id, by id or by name, among those of the project where Jira tells them."""
        allowed = shapes.get("priority", {}).get("allowed") or (yield from self.of("priorities"))
        names = {name.casefold(): id for name, id in allowed.items()}
        return word if word in names.values() else names.get(word.casefold())

    def _owner(self, handoff: Handoff, unset: dict[str, str]) -> Steps[Row]:
        who = handoff.owner
        if not who or "owner" in unset:
            return {}
        id = yield from self.id_of(f"user {who}", who)
        if id is None:
            unset["owner"] = f"Jira has nobody {who!r} to whom issues of this project can be assigned"
        return {"assignee": ("owner", self.person(id))} if id else {}

    def person(self, id: str) -> Row:
        return {"id" if self.is_cloud else "name": id}

    def _group_value(self, group: str | None, shapes: Mapping[str, Row], wanted: Row) -> Row:
        if group is None:
            return {}
        if self.group_as == "component":
            return {"components": ("group", [{"id": group}])}
        if self.group_as == "label":
            ours, labels = wanted["labels"]
            return {"labels": (ours, [*labels, label_of(group)])}
        if self.group_as == "assignee":
            return {} if "assignee" in wanted else {"assignee": ("group", self.person(group))}
        field = self.group_field
        if self.group_as == "team":
            field = next((name for name, shape in shapes.items() if shape.get("custom") == TEAM_FIELD), field)
        return {field: ("group", shaped(shapes.get(field, {}), group, self.is_cloud))}

    def _named(self, field: str) -> str:
        return f"fields.{next(name for name, theirs in self.fields.items() if theirs == field)}"


def token(marker: str) -> str:
    """The label by which an issue is found again: lower case, one word, the same for the same marker."""
    digest = hashlib.sha256(marker.encode()).digest()
    return f"ho-{base64.b32encode(digest).decode().lower()[:20]}"


def label_of(text: str) -> str:
    """A label has no white space and at most 255 characters."""
    return re.sub(r"[\s,]+", "_", text.strip())[:255]
