"""The state of a simulated Jira site: people, fields, issues, and the one way in which an issue changes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from handrail.testing.desk import SimulatedFile
from handrail_jira.simulated import text
from handrail_jira.simulated.records import (
    HOST,
    PRIORITIES,
    RESOLUTIONS,
    STATUSES,
    TRANSITIONS,
    Attachment,
    Change,
    Comment,
    Issue,
    Row,
    Status,
    User,
    millis,
    stamp,
)

PROJECT = "SUP"
COMPONENTS = {"10100": "Support", "10101": "Billing Tier 2", "10102": "Premium"}
ISSUE_TYPES = {"10001": "Task", "10002": "Bug", "10003": "Service request"}
DUPLICATE = {"id": "10002", "name": "Duplicate", "inward": "is duplicated by", "outward": "duplicates"}
REGIONS = {"10200": "EMEA", "10201": "APAC"}
_TYPES = "com.atlassian.jira.plugin.system.customfieldtypes"
CUSTOM: dict[str, tuple[str, dict[str, Any]]] = {
    "customfield_10001": (
        "Team",
        {"type": "team", "custom": "com.atlassian.teams:rm-teams-custom-field-team"},
    ),
    "customfield_10050": ("Order id", {"type": "string", "custom": f"{_TYPES}:textfield"}),
    "customfield_10051": ("Amount", {"type": "number", "custom": f"{_TYPES}:float"}),
    "customfield_10052": ("Region", {"type": "option", "custom": f"{_TYPES}:select"}),
    "customfield_10053": ("Details", {"type": "string", "custom": f"{_TYPES}:textarea"}),
    "customfield_10054": ("Support group", {"type": "group", "custom": f"{_TYPES}:grouppicker"}),
}
SYSTEM: dict[str, tuple[str, dict[str, Any]]] = {
    "summary": ("Summary", {"type": "string", "system": "summary"}),
    "issuetype": ("Issue Type", {"type": "issuetype", "system": "issuetype"}),
    "project": ("Project", {"type": "project", "system": "project"}),
    "description": ("Description", {"type": "string", "system": "description"}),
    "labels": ("Labels", {"type": "array", "items": "string", "system": "labels"}),
    "priority": ("Priority", {"type": "priority", "system": "priority"}),
    "components": ("Components", {"type": "array", "items": "component", "system": "components"}),
    "assignee": ("Assignee", {"type": "user", "system": "assignee"}),
    "duedate": ("Due date", {"type": "date", "system": "duedate"}),
}


class Site:
    """``cloud`` or a server; ``lag`` is how long the search does not show a change."""

    def __init__(self, clock: Callable[[], datetime], cloud: bool, lag: timedelta) -> None:
        self.clock = clock
        self.cloud = cloud
        self.lag = lag
        self.issues: dict[str, Issue] = {}
        self.users: dict[str, User] = {}
        self.off_screen: set[str] = set()
        self._ids = itertools.count(10_400, 3)
        self._numbers = itertools.count(1)

    def now(self) -> datetime:
        now = self.clock()
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def new_id(self) -> str:
        return str(next(self._ids))

    # People.

    def user(self, display_name: str, email: str | None = None, account_type: str = "atlassian") -> User:
        """The account of this address or name, or a new one."""
        address = (email or "").casefold()
        for known in self.users.values():
            if (address and known.email == address) or (not address and known.display_name == display_name):
                return known
        number = int(self.new_id())
        id = f"qm:a713c8ea:{number}" if account_type == "customer" else f"712020:{number:08d}-4f1c"
        name = address or display_name.casefold().replace(" ", ".")
        self.users[id] = User(id, name, display_name, address or None, account_type)
        return self.users[id]

    def person(self, given: Mapping[str, Any]) -> User | None:
        """The account that a client names: by account id on Cloud, by user name on a server."""
        wanted = given.get("id") or given.get("accountId") if self.cloud else given.get("name")
        return next((u for u in self.users.values() if wanted == (u.id if self.cloud else u.name)), None)

    # Fields.

    def screen(self) -> dict[str, tuple[str, dict[str, Any]]]:
        return {id: row for id, row in (SYSTEM | CUSTOM).items() if id not in self.off_screen}

    def meta(self, id: str) -> Row:
        """A field as create metadata shows it."""
        name, schema = (SYSTEM | CUSTOM)[id]
        known = {"fieldId": id, "key": id, "name": name, "schema": schema, "hasDefaultValue": False}
        if schema.get("custom"):
            known["schema"] = schema | {"customId": int(id.partition("_")[2])}
        allowed = self.allowed(id)
        return (
            known | {"required": id in ("summary", "issuetype", "project"), "operations": ["set"]} | allowed
        )

    def allowed(self, id: str) -> Row:
        lists = {"priority": (PRIORITIES, "name"), "components": (COMPONENTS, "name")}
        lists |= {"customfield_10052": (REGIONS, "value"), "issuetype": (ISSUE_TYPES, "name")}
        if id not in lists:
            return {}
        values, word = lists[id]
        return {"allowedValues": [{"id": key, word: value} for key, value in values.items()]}

    # Issues.

    def create(self, fields: Row, properties: Mapping[str, Any], by: User) -> Issue:
        now = self.now()
        key = f"{PROJECT}-{next(self._numbers)}"
        issue = Issue(self.new_id(), key, fields, STATUSES["new"], by, now, now)
        issue.properties.update(properties)
        self.issues[issue.id] = issue
        self._index(issue)
        return issue

    def find(self, id_or_key: str) -> Issue | None:
        for issue in self.issues.values():
            if not issue.deleted and id_or_key.upper() in (issue.id, issue.key):
                return issue
        return None

    def touch(self, issue: Issue) -> None:
        issue.updated = self.now()
        self._index(issue)

    def change(self, issue: Issue, by: User, fields: Row) -> Change | None:
        """Set fields; what really changes goes into the changelog."""
        items = []
        for name, value in fields.items():
            before = issue.fields.get(name)
            if before != value:
                items.append((name, _id(before), _short(before), _id(value), _short(value)))
        issue.fields |= fields
        return self._changed(issue, by, items)

    def transit(self, issue: Issue, by: User, status: Status, resolution: str | None = None) -> Change | None:
        before, issue.status = issue.status, status
        done = status.category == "done"
        issue.fields["resolution"] = (resolution or "10000") if done else None
        if before == status:
            return None
        return self._changed(issue, by, [("status", before.id, before.name, status.id, status.name)])

    def _changed(self, issue: Issue, by: User, items: list[Any]) -> Change | None:
        if not items:
            return None
        change = Change(self.new_id(), by, self.now(), items)
        issue.changes.append(change)
        self.touch(issue)
        return change

    def comment(self, issue: Issue, by: User, body: Any, **more: Any) -> Comment:
        comment = Comment(self.new_id(), by, body, self.now(), **more)
        issue.comments.append(comment)
        self.touch(issue)
        return comment

    def attach(self, issue: Issue, by: User, file: SimulatedFile) -> Attachment:
        attachment = Attachment(self.new_id(), file, by, self.now())
        issue.attachments.append(attachment)
        self.touch(issue)
        return attachment

    def _index(self, issue: Issue) -> None:
        texts = [
            issue.fields.get("summary"),
            issue.fields.get("description"),
            *(c.body for c in issue.comments),
        ]
        seen = {
            "labels": list(issue.fields.get("labels") or []),
            "project": issue.key.partition("-")[0],
            "id": issue.id,
            "key": issue.key,
            "status": [issue.status.id, issue.status.name],
            "updated": millis(issue.updated),
            "text": "\n".join(text.plain(each) for each in texts if each),
        }
        issue.index.append((issue.updated, seen))

    def indexed(self, issue: Issue) -> Mapping[str, Any] | None:
        """An issue as the search sees it by now; None while it does not."""
        shown = [seen for at, seen in issue.index if at + self.lag <= self.clock()]
        return shown[-1] if shown and not issue.deleted else None

    # How things look.

    def issue_json(self, issue: Issue, version: int, wanted: str | None, properties: str | None) -> Row:
        names = None if wanted in (None, "*all", "*navigable") else set(str(wanted).split(","))
        fields = self._all_fields(issue, version)
        if names is not None:
            fields = {name: value for name, value in fields.items() if name in names}
        row = {"id": issue.id, "key": issue.key, "self": f"{HOST}/rest/api/{version}/issue/{issue.id}"}
        asked = [key for key in (properties or "").split(",") if key]
        known = {key: issue.properties[key] for key in asked if key in issue.properties}
        return {**row, "fields": fields} | ({"properties": known} if asked else {})

    def _all_fields(self, issue: Issue, version: int) -> Row:
        set_ = issue.fields
        fields: Row = {name: set_[name] for name in CUSTOM if set_.get(name) is not None}
        if set_.get("customfield_10053"):
            fields["customfield_10053"] = self.shown(set_["customfield_10053"], version)
        for name in ("priority", "customfield_10052", "resolution"):
            if set_.get(name):
                fields[name] = self._chosen(name, str(set_[name]))
        who = {"reporter": issue.reporter, "creator": issue.reporter, "assignee": set_.get("assignee")}
        return fields | {
            "summary": set_.get("summary"),
            "description": self.shown(set_.get("description"), version),
            "labels": set_.get("labels") or [],
            "components": [{"id": id, "name": COMPONENTS[id]} for id in set_.get("components") or []],
            "duedate": set_.get("duedate"),
            "resolution": fields.get("resolution"),
            "issuetype": {"id": set_["issuetype"], "name": ISSUE_TYPES[set_["issuetype"]], "subtask": False},
            "project": {"id": "10000", "key": issue.key.partition("-")[0], "name": "Support"},
            "status": issue.status.json(),
            "created": stamp(issue.created),
            "updated": stamp(issue.updated),
            "attachment": [each.json(self.cloud) for each in issue.attachments],
            "issuelinks": [self._link(id, other) for id, other in issue.links],
            # The newest hundred only, although the total is true: the list of comments has all.
            "comment": {
                "comments": [self.comment_json(issue, each, version) for each in issue.comments[-100:]],
                "total": len(issue.comments),
                "maxResults": 100,
                "startAt": 0,
            },
            **{name: user.json(self.cloud) if user else None for name, user in who.items()},
        }

    def _chosen(self, name: str, id: str) -> Row:
        if name == "priority":
            return {"id": id, "name": PRIORITIES[id]}
        if name == "resolution":
            return {"id": id, "name": RESOLUTIONS[id]}
        return {"id": id, "value": REGIONS[id]}

    def _link(self, id: str, other: Issue) -> Row:
        return {"id": id, "type": DUPLICATE, "outwardIssue": {"id": other.id, "key": other.key}}

    def shown(self, value: Any, version: int) -> Any:
        """A long text as this version of the API shows it."""
        if version == 3 and isinstance(value, str):
            return text.document(value)
        return text.plain(value) if version == 2 and isinstance(value, dict) and "content" in value else value

    def comment_json(self, issue: Issue, comment: Comment, version: int, *, properties: bool = False) -> Row:
        author, at = comment.author.json(self.cloud), stamp(comment.created)
        row: Row = {
            "self": f"{HOST}/rest/api/{version}/issue/{issue.id}/comment/{comment.id}",
            "id": comment.id,
            "author": author,
            "body": self.shown(comment.body, version),
            "updateAuthor": author,
            "created": at,
            "updated": at,
        }
        row |= {"jsdPublic": not comment.internal} if self.cloud else {}
        row |= {"visibility": comment.visibility} if comment.visibility else {}
        return row | ({"properties": comment.properties} if properties else {})

    def transitions(self, required: bool, fields: bool) -> list[Row]:
        rows = []
        for id, category in TRANSITIONS.items():
            status = STATUSES[category]
            screen = required and category == "done"
            row: Row = {"id": id, "name": f"→ {status.name}", "to": status.json(), "hasScreen": screen}
            row |= {"isGlobal": True, "isInitial": False, "isConditional": False, "isAvailable": True}
            rows.append(row | ({"fields": _RESOLUTION if screen else {}} if fields else {}))
        return rows


def _id(value: Any) -> str | None:
    return value.id if isinstance(value, User) else None


def _short(value: Any) -> str | None:
    if isinstance(value, User):
        return value.display_name
    if isinstance(value, list):
        return " ".join(map(str, value))
    return None if value is None else text.plain(value) if isinstance(value, dict) else str(value)


_RESOLUTION = {
    "resolution": {
        "required": True,
        "schema": {"type": "resolution", "system": "resolution"},
        "name": "Resolution",
        "key": "resolution",
        "operations": ["set"],
        "hasDefaultValue": False,
        "allowedValues": [{"id": id, "name": name} for id, name in RESOLUTIONS.items()],
    }
}
