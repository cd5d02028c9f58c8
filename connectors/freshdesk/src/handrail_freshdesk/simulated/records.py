"""The state of a simulated Freshdesk account: agents, contacts, tickets and what is said on them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from handrail.testing.desk import SimulatedFile
from handrail_freshdesk.simulated import text

STATUSES = {2: "Open", 3: "Pending", 4: "Resolved", 5: "Closed"}
CUSTOM_STATUSES = {6: "Waiting on Customer", 7: "Waiting on Third Party", 12: "Back Office"}
PRIORITIES = {1: "Low", 2: "Medium", 3: "High", 4: "Urgent"}
TARGETS = {1: (24, 72), 2: (8, 48), 3: (4, 24), 4: (1, 8)}
"""Hours to the first answer and to the solution by priority, where a ticket brings no times of its own."""

Row = dict[str, Any]


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def whole(moment: datetime) -> datetime:
    """To the second, as Freshdesk keeps times."""
    return moment.replace(microsecond=0)


@dataclass
class Person:
    """A contact or an agent; ``group_ids`` are those of an agent."""

    id: int
    name: str
    email: str | None = None
    phone: str | None = None
    external_id: str | None = None
    group_ids: set[int] = field(default_factory=set)


@dataclass
class Conversation:
    id: int
    ticket_id: int
    user: Person
    body: str
    private: bool
    incoming: bool
    source: int
    at: datetime
    files: list[SimulatedFile] = field(default_factory=list)

    def json(self) -> Row:
        known: Row = {"id": self.id, "ticket_id": self.ticket_id, "user_id": self.user.id}
        known |= {"body": self.body, "body_text": text.plain_of(self.body), "source": self.source}
        known |= {"private": self.private, "incoming": self.incoming, "support_email": None}
        known |= {"to_emails": [], "from_email": None, "cc_emails": [], "bcc_emails": []}
        known |= {"created_at": stamp(self.at), "updated_at": stamp(self.at)}
        return known | {"attachments": [attachment(self.id, file, self.at) for file in self.files]}


@dataclass
class Ticket:
    id: int
    data: Row
    created_at: datetime
    updated_at: datetime
    files: list[SimulatedFile] = field(default_factory=list)
    conversations: list[Conversation] = field(default_factory=list)
    stats: Row = field(default_factory=dict)
    deleted: bool = False
    spam: bool = False
    archived: bool = False

    def json(self, *, whole: bool = False) -> Row:
        """As a list shows it, or whole. ``deleted`` is only said of deleted ones."""
        known = {key: value for key, value in self.data.items() if whole or not key.startswith("description")}
        known |= {"id": self.id, "spam": self.spam, "created_at": stamp(self.created_at)}
        known |= {"updated_at": stamp(self.updated_at)} | ({"deleted": True} if self.deleted else {})
        if whole:
            known["attachments"] = [attachment(self.id, file, self.created_at) for file in self.files]
        return known


def attachment(owner: int, file: SimulatedFile, at: datetime) -> Row:
    known: Row = {"id": owner * 100 + 1, "name": file.name, "content_type": file.media_type}
    known |= {"size": len(file.content), "created_at": stamp(at), "updated_at": stamp(at)}
    return known | {"attachment_url": f"https://attachments.example.com/{owner}/{len(file.content)}"}


class Account:
    def __init__(
        self, clock: Callable[[], datetime], groups: Mapping[str, int], fields: Mapping[str, str]
    ) -> None:
        self.clock = clock
        self.groups = dict(groups)
        self.fields = dict(fields)
        self.mandatory: set[str] = set()
        self.people: dict[int, Person] = {}
        self.agents: dict[int, Person] = {}
        self.tickets: dict[int, Ticket] = {}
        self._ids = itertools.count(43_026_449_322, 11)
        self._ticket_ids = itertools.count(101)

    @property
    def now(self) -> datetime:
        return whole(self.clock())

    def agent(self, name: str, *, groups: bool = True) -> Person:
        """The agent of this name, of every group; hired on the spot where there is none."""
        for agent in self.agents.values():
            if agent.name == name:
                return agent
        email = f"{'.'.join(name.lower().split())}@agents.example.com"
        hired = Person(next(self._ids), name, email, group_ids=set(self.groups.values()) if groups else set())
        self.agents[hired.id] = hired
        return hired

    def contact(self, given: Mapping[str, Any]) -> Person:
        """The contact of this identity, or a new one."""
        found = self.known_contact(given)
        if found is None:
            name = given.get("name") or str(given.get("email") or given.get("phone") or "Unknown")
            found = Person(next(self._ids), str(name), given.get("email"), given.get("phone"))
            found.external_id = given.get("unique_external_id")
            self.people[found.id] = found
        return found

    def known_contact(self, given: Mapping[str, Any]) -> Person | None:
        for person in self.people.values():
            if given.get("requester_id") == person.id:
                return person
            if given.get("email") and (person.email or "").casefold() == str(given["email"]).casefold():
                return person
            for theirs, ours in (("phone", person.phone), ("unique_external_id", person.external_id)):
                if given.get(theirs) and given[theirs] == ours:
                    return person
        return None

    def create(self, values: Row, requester: Person, files: list[SimulatedFile]) -> Ticket:
        now = self.now
        ticket = Ticket(next(self._ticket_ids), {}, now, now, list(files))
        first, last = TARGETS[values.get("priority", 1)]
        ticket.data = {
            **{name: [] for name in ("cc_emails", "fwd_emails", "reply_cc_emails", "tags")},
            **dict.fromkeys(("type", "responder_id", "group_id", "product_id", "company_id")),
            **dict.fromkeys(("email_config_id", "to_emails")),
            **{"fr_escalated": False, "is_escalated": False, "priority": 1, "status": 2, "source": 2},
            "fr_due_by": stamp(now + timedelta(hours=first)),
            "due_by": stamp(now + timedelta(hours=last)),
            "requester_id": requester.id,
            **values,
            "custom_fields": dict.fromkeys(self.fields) | values.get("custom_fields", {}),
        }
        markup = text.sanitized(
            text.evaluated(str(values.get("description") or ""), self.placeholders(ticket))
        )
        ticket.data |= {"description": markup, "description_text": text.plain_of(markup)}
        ticket.stats = dict.fromkeys(
            ("agent_responded_at", "requester_responded_at", "first_responded_at", "status_updated_at")
        ) | dict.fromkeys(("reopened_at", "resolved_at", "closed_at", "pending_since"))
        self.tickets[ticket.id] = ticket
        return ticket

    def placeholders(self, ticket: Ticket) -> dict[str, str]:
        public = [said for said in ticket.conversations if not said.private]
        requester = self.people.get(ticket.data.get("requester_id", 0))
        latest = public[-1].body if public else ticket.data.get("description", "")
        known = {
            "ticket.id": ticket.id,
            "ticket.subject": ticket.data.get("subject"),
            "ticket.status_id": ticket.data.get("status"),
            "ticket.priority_id": ticket.data.get("priority"),
            "ticket.requester.id": ticket.data.get("requester_id"),
            "ticket.agent.id": ticket.data.get("responder_id"),
            "ticket.group.id": ticket.data.get("group_id"),
            "ticket.ticket_type": ticket.data.get("type"),
            "ticket.contact.email": requester.email if requester else None,
            "ticket.latest_public_comment_html": latest,
            "ticket.latest_public_comment": text.plain_of(latest),
        }
        return {name: "" if value is None else str(value) for name, value in known.items()}

    def converse(
        self,
        ticket: Ticket,
        user: Person,
        body: str,
        *,
        private: bool,
        incoming: bool = False,
        source: int,
        bump: bool = True,
        files: list[SimulatedFile] | None = None,
    ) -> Conversation:
        markup = text.sanitized(text.evaluated(body, self.placeholders(ticket)))
        said = Conversation(
            next(self._ids), ticket.id, user, markup, private, incoming, source, self.now, files or []
        )
        ticket.conversations.append(said)
        if not private:
            ticket.stats["requester_responded_at" if incoming else "agent_responded_at"] = stamp(self.now)
        if bump:
            ticket.updated_at = self.now
        return said

    def change(self, ticket: Ticket, values: Row) -> None:
        if "status" in values and values["status"] != ticket.data["status"]:
            ticket.stats["status_updated_at"] = stamp(self.now)
            for status, name in ((4, "resolved_at"), (5, "closed_at")):
                ticket.stats[name] = stamp(self.now) if values["status"] == status else None
        custom = ticket.data["custom_fields"] | values.get("custom_fields", {})
        ticket.data |= values | {"custom_fields": custom}
        ticket.updated_at = self.now
