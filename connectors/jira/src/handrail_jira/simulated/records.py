"""What a simulated Jira site holds, and how each record looks in the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from handrail.testing.desk import SimulatedFile

Row = dict[str, Any]
HOST = "https://acme-mapped.example.net"
"""The host in every ``self`` of an answer: never the one that was called."""


def stamp(moment: datetime) -> str:
    """A time as the API writes it: milliseconds and an offset without a colon."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}+0000"


def millis(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


@dataclass(frozen=True)
class Status:
    id: str
    name: str
    category: str

    def json(self) -> Row:
        id, color, name = CATEGORIES[self.category]
        url = f"{HOST}/rest/api/2/statuscategory/{id}"
        kind = {"self": url, "id": id, "key": self.category, "colorName": color, "name": name}
        url = f"{HOST}/rest/api/2/status/{self.id}"
        return {"self": url, "description": "", "name": self.name, "id": self.id, "statusCategory": kind}


CATEGORIES = {
    "new": (2, "blue-gray", "À faire"),
    "indeterminate": (4, "yellow", "En cours"),
    "done": (3, "green", "Terminé"),
}
STATUSES = {
    "new": Status("10000", "À faire", "new"),
    "indeterminate": Status("10001", "En cours", "indeterminate"),
    "done": Status("10002", "Terminé", "done"),
}
"""Translated on purpose: whoever maps by name finds nothing."""
TRANSITIONS = {"11": "new", "21": "indeterminate", "31": "done"}
RESOLUTIONS = {"10000": "Terminé", "10001": "Abandonné"}
PRIORITIES = {"1": "Highest", "2": "High", "3": "Medium", "4": "Low", "5": "Lowest"}


@dataclass(frozen=True)
class User:
    """A person or an app. ``account_type`` is ``atlassian``, ``app`` or ``customer``."""

    id: str
    name: str
    display_name: str
    email: str | None
    account_type: str = "atlassian"

    def json(self, cloud: bool) -> Row:
        known: Row = {"displayName": self.display_name, "active": True, "timeZone": "Australia/Sydney"}
        if cloud:
            url = f"{HOST}/rest/api/3/user?accountId={self.id}"
            return {"self": url, "accountId": self.id, "accountType": self.account_type, **known}
        address = {"emailAddress": self.email} if self.email else {}
        url = f"{HOST}/rest/api/2/user?username={self.name}"
        return {"self": url, "name": self.name, "key": f"JIRAUSER{self.id[-5:]}", **address, **known}


@dataclass
class Comment:
    id: str
    author: User
    body: Any
    """A document, or a text in wiki markup: as it was written."""
    created: datetime
    internal: bool = False
    visibility: Row | None = None
    properties: list[Row] = field(default_factory=list)
    files: Sequence[SimulatedFile] = ()


@dataclass(frozen=True)
class Attachment:
    id: str
    file: SimulatedFile
    author: User
    created: datetime

    def json(self, cloud: bool) -> Row:
        known = {"id": self.id, "filename": self.file.name, "size": len(self.file.content)}
        more = {"mimeType": self.file.media_type, "created": stamp(self.created)}
        url = f"{HOST}/rest/api/2/attachment/{self.id}"
        return {
            "self": url,
            **known,
            **more,
            "author": self.author.json(cloud),
            "content": f"{url}/content",
        }


@dataclass(frozen=True)
class Change:
    """One entry of the changelog: items as (field, from, its text, to, its text)."""

    id: str
    author: User
    created: datetime
    items: Sequence[tuple[str, str | None, str | None, str | None, str | None]]

    def json(self, cloud: bool) -> Row:
        at = stamp(self.created)
        return {"id": self.id, "author": self.author.json(cloud), "created": at, "items": self.listed()}

    def listed(self) -> list[Row]:
        names = ("field", "from", "fromString", "to", "toString")
        extra = {"fieldtype": "jira"}
        return [dict(zip(names, item, strict=True)) | extra | {"fieldId": item[0]} for item in self.items]


@dataclass
class Issue:
    """``fields`` holds what was set, under the API's names, with ids in place of objects."""

    id: str
    key: str
    fields: Row
    status: Status
    reporter: User
    created: datetime
    updated: datetime
    comments: list[Comment] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    properties: dict[str, Any] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    links: list[tuple[str, Issue]] = field(default_factory=list)
    index: list[tuple[datetime, Mapping[str, Any]]] = field(default_factory=list)
    """What the search would show, each from a moment on."""
    deleted: bool = False
    request_type: str | None = None
