"""What a simulated Zendesk account holds, and how each record looks in the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from handrail.testing.desk import SimulatedFile

HOST = "https://acme-mapped.example.com"
"""The host in every ``url`` of an answer: of a host-mapped account, never the one that was called."""

STATUSES = ("new", "open", "pending", "hold", "solved", "closed")
PRIORITIES = ("urgent", "high", "normal", "low")
TYPES = ("problem", "incident", "question", "task")

CHANGING = (
    "subject",
    "status",
    "custom_status_id",
    "priority",
    "type",
    "group_id",
    "assignee_id",
    "requester_id",
    "external_id",
    "tags",
    "brand_id",
    "ticket_form_id",
    "due_at",
    "custom_fields",
)
"""The properties of a ticket whose changes are recorded in its audits, in that order."""


def stamp(moment: datetime) -> str:
    """A time as the API writes it: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def via(channel: str) -> dict[str, Any]:
    return {"channel": channel, "source": {"from": {}, "to": {}, "rel": None}}


@dataclass
class User:
    """A person. ``role`` is ``admin``, ``agent`` or ``end-user``."""

    id: int
    name: str
    email: str | None
    role: str
    created_at: datetime
    external_id: str | None = None

    @property
    def is_staff(self) -> bool:
        return self.role != "end-user"

    def json(self) -> dict[str, Any]:
        at = stamp(self.created_at)
        known = {"id": self.id, "name": self.name, "email": self.email, "role": self.role}
        times = {"created_at": at, "updated_at": at, "time_zone": "UTC", "iana_time_zone": "Etc/UTC"}
        rest = {"phone": None, "organization_id": None, "locale": "en-US", "locale_id": 1, "photo": None}
        flags = {"active": True, "verified": self.is_staff, "suspended": False, "shared": False}
        url = f"{HOST}/api/v2/users/{self.id}.json"
        return {"url": url, "external_id": self.external_id, "tags": [], "user_fields": {}} | (
            known | times | rest | flags
        )


@dataclass(frozen=True)
class Group:
    id: int
    name: str
    created_at: datetime
    deleted: bool = False

    def json(self) -> dict[str, Any]:
        at = stamp(self.created_at)
        url = f"{HOST}/api/v2/groups/{self.id}.json"
        flags = {"default": False, "deleted": self.deleted, "is_public": True}
        known = {"id": self.id, "name": self.name, "description": ""}
        return {"url": url, **known, **flags, "created_at": at, "updated_at": at}


@dataclass(frozen=True)
class Attachment:
    id: int
    file: SimulatedFile

    def json(self) -> dict[str, Any]:
        content_url = f"https://files.example.net/attachments/token/{self.id}/?name={self.file.name}"
        return {
            "url": f"{HOST}/api/v2/attachments/{self.id}.json",
            "id": self.id,
            "file_name": self.file.name,
            "content_url": content_url,
            "mapped_content_url": content_url,
            "content_type": self.file.media_type,
            "size": len(self.file.content),
            "inline": False,
            "deleted": False,
            "thumbnails": [],
        }


@dataclass
class Upload:
    """A token and what was uploaded with it; it is gone once a comment took it, or at ``expires_at``."""

    token: str
    expires_at: datetime
    attachments: list[Attachment] = field(default_factory=list)

    def json(self) -> dict[str, Any]:
        all_of_them = [attachment.json() for attachment in self.attachments]
        known = {"token": self.token, "expires_at": stamp(self.expires_at)}
        return {"upload": known | {"attachment": all_of_them[-1], "attachments": all_of_them}}


@dataclass(frozen=True)
class Comment:
    id: int
    audit_id: int
    author_id: int
    html_body: str
    plain_body: str
    public: bool
    created_at: datetime
    channel: str
    attachments: Sequence[Attachment] = ()

    def event(self) -> dict[str, Any]:
        """As it stands among the events of an audit."""
        return {
            "id": self.id,
            "type": "Comment",
            "author_id": self.author_id,
            "body": self.plain_body,
            "html_body": self.html_body,
            "plain_body": self.plain_body,
            "public": self.public,
            "attachments": [attachment.json() for attachment in self.attachments],
            "audit_id": self.audit_id,
        }

    def json(self) -> dict[str, Any]:
        more = {"via": via(self.channel), "metadata": {"system": {}, "custom": {}}}
        return self.event() | {"created_at": stamp(self.created_at)} | more


@dataclass(frozen=True)
class Audit:
    """One update of a ticket: changes as ``(field, before, after)``, and a comment or none."""

    id: int
    ticket_id: int
    author_id: int
    created_at: datetime
    channel: str
    changes: Sequence[tuple[int, str, Any, Any]]
    """Each with an id of its own, the property's name, what it was and what it is."""
    comment: Comment | None = None
    custom: Mapping[str, Any] = field(default_factory=dict)
    first: bool = False

    def json(self) -> dict[str, Any]:
        kind = "Create" if self.first else "Change"
        events: list[dict[str, Any]] = [self.comment.event()] if self.comment else []
        for id_, name, before, after in self.changes:
            value = {"id": id_, "type": kind, "field_name": name, "value": _word(after)}
            events.append(value if self.first else value | {"previous_value": _word(before)})
        known = {"id": self.id, "ticket_id": self.ticket_id, "author_id": self.author_id, "events": events}
        metadata = {"system": {}, "custom": dict(self.custom)}
        return known | {"created_at": stamp(self.created_at), "metadata": metadata, "via": via(self.channel)}

    def exported(self, with_comments: bool) -> dict[str, Any]:
        """As an item of the incremental export of ticket events."""
        kind = "Create" if self.first else "Change"
        way = {"via": "Web service" if self.channel == "api" else "Web form", "via_reference_id": None}
        children = [self._exported_comment(with_comments) | way] if self.comment else []
        for id_, name, before, after in self.changes:
            child = {"id": id_, name: after, "event_type": kind} | way
            children.append(child if self.first else child | {"previous_value": before})
        at = {"created_at": stamp(self.created_at), "timestamp": int(self.created_at.timestamp())}
        known = {"id": self.id, "ticket_id": self.ticket_id, "updater_id": self.author_id, **at}
        rest = {"via": way["via"], "system": {}, "metadata": {"custom": dict(self.custom)}}
        return known | rest | {"event_type": "Audit", "child_events": children}

    def _exported_comment(self, whole: bool) -> dict[str, Any]:
        assert self.comment is not None
        known = {"id": self.comment.id, "comment_present": True, "comment_public": self.comment.public}
        return known | (self.comment.json() if whole else {}) | {"event_type": "Comment"}


def _word(value: Any) -> str | int | None:
    """A value in an audit: a list as its items in one text."""
    if isinstance(value, list):
        return " ".join(str(item) for item in value)
    return value if value is None or isinstance(value, int) else str(value)


@dataclass
class Ticket:
    """``data`` holds the properties under the API's own names."""

    id: int
    data: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    generated_at: datetime
    channel: str = "api"
    comments: list[Comment] = field(default_factory=list)
    audits: list[Audit] = field(default_factory=list)
    followup_ids: list[int] = field(default_factory=list)
    deleted: bool = False
    archived: bool = False
    private: bool = False
    """It began with an internal note, so later comments are internal unless they say otherwise."""

    def json(self) -> dict[str, Any]:
        fields = [{"id": id_, "value": value} for id_, value in self.data["custom_fields"].items()]
        known = {name: value for name, value in self.data.items() if name != "custom_fields"}
        followups = self.followup_ids if self.data["status"] == "closed" else []
        times = {
            "created_at": stamp(self.created_at),
            "updated_at": stamp(self.updated_at),
            "generated_timestamp": int(self.generated_at.timestamp()),
        }
        return (
            {"url": f"{HOST}/api/v2/tickets/{self.id}.json", "id": self.id, "via": via(self.channel)}
            | _CONSTANT
            | known
            | times
            | {"raw_subject": self.data["subject"], "description": self.comments[0].plain_body}
            | {"is_public": any(comment.public for comment in self.comments), "followup_ids": followups}
            | {"custom_fields": fields, "fields": fields}
            | ({"status": "deleted"} if self.deleted else {})
        )


_CONSTANT: dict[str, Any] = {
    "recipient": None,
    "organization_id": None,
    "collaborator_ids": [],
    "follower_ids": [],
    "email_cc_ids": [],
    "forum_topic_id": None,
    "problem_id": None,
    "has_incidents": False,
    "satisfaction_rating": None,
    "sharing_agreement_ids": [],
    "allow_channelback": False,
    "allow_attachments": True,
    "from_messaging_channel": False,
}
