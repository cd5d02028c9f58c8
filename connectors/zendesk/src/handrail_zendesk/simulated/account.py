"""The state of a simulated Zendesk account, and the one way it changes: an update with an audit."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from handrail.testing.desk import SimulatedFile
from handrail_zendesk.simulated import text
from handrail_zendesk.simulated.records import (
    CHANGING,
    Attachment,
    Audit,
    Comment,
    Group,
    Ticket,
    Upload,
    User,
)

UPLOAD_LIVES = timedelta(minutes=60)
_STATUS_IDS = {
    name: 9_061_000_000_001 + n for n, name in enumerate(("new", "open", "pending", "hold", "solved"))
}
WAITS_FOR_BANK = 9_061_000_000_101


class Account:
    """Users, groups, tickets and uploads. Ids are as long as real ones: none fits into 32 bits."""

    def __init__(
        self,
        clock: Callable[[], datetime],
        groups: Mapping[str, int],
        deleted_groups: Mapping[str, int],
        fields: Mapping[str, int],
    ) -> None:
        self.clock = clock
        self._ids = itertools.count(22_130_000_000_011, 7)
        self._ticket_ids = itertools.count(4_294_967_311)
        now = clock()
        self.groups = {id_: Group(id_, name, now, deleted=True) for name, id_ in deleted_groups.items()}
        self.groups |= {id_: Group(id_, name, now) for name, id_ in groups.items()}
        self.fields = dict(fields)
        self.users: dict[int, User] = {}
        self.tickets: dict[int, Ticket] = {}
        self.uploads: dict[str, Upload] = {}

    # People.

    def user(self, name: str, email: str | None, role: str = "end-user") -> User:
        """The user of this address, or a new one; without an address always a new one."""
        known = self.user_by_email(email) if email else None
        if known is None:
            known = User(next(self._ids), name, email, role, self.clock())
            self.users[known.id] = known
        return known

    def user_by_email(self, email: str) -> User | None:
        wanted = email.casefold()
        return next((user for user in self.users.values() if (user.email or "").casefold() == wanted), None)

    def agent(self, name: str) -> User:
        """The agent of this name; hired on the spot where there is none."""
        for user in self.users.values():
            if user.is_staff and user.name == name:
                return user
        return self.user(name, f"{'.'.join(name.lower().split())}@agents.example.com", "agent")

    def group_id(self, name: str) -> int:
        """The id of a live group by its name. Raises ``KeyError`` where there is none."""
        for group in self.groups.values():
            if group.name == name and not group.deleted:
                return group.id
        raise KeyError(name)

    # Statuses.

    def status_id(self, status: str) -> int:
        """The id of the custom status that stands for a status; a closed ticket keeps that of ``solved``."""
        return _STATUS_IDS["solved" if status == "closed" else status]

    def category(self, status_id: int) -> str | None:
        """The status that a custom status belongs to."""
        if status_id == WAITS_FOR_BANK:
            return "hold"
        return next((name for name, id_ in _STATUS_IDS.items() if id_ == status_id), None)

    # Uploads.

    def upload(self, token: str | None, file: SimulatedFile) -> Upload:
        """Keep a file under a new token, or under one that is still good."""
        held = self.uploads.get(token or "")
        if held is None or held.expires_at <= self.clock():
            held = Upload(secrets.token_urlsafe(18), self.clock() + UPLOAD_LIVES)
            self.uploads[held.token] = held
        held.attachments.append(Attachment(next(self._ids), file))
        return held

    def _consumed(self, tokens: Iterable[str]) -> list[Attachment]:
        """The files of these tokens, which are good only once and only in time; others bring nothing."""
        found = [upload for token in tokens if (upload := self.uploads.pop(token, None))]
        return [a for upload in found if upload.expires_at > self.clock() for a in upload.attachments]

    # Tickets.

    def create(self, data: dict[str, Any], comment: Mapping[str, Any], author: User, **more: Any) -> Ticket:
        """A new ticket whose first comment is by ``author``; ``more`` goes to ``update``."""
        now = self.clock()
        ticket = Ticket(next(self._ticket_ids), data, now, now, now)
        self.tickets[ticket.id] = ticket
        ticket.private = comment.get("public") is False
        self._record(ticket, author, [("", None, None)], comment, first=True, **more)
        return ticket

    def update(
        self,
        ticket: Ticket,
        updater: User,
        wanted: Mapping[str, Any],
        comment: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Audit | None:
        """Set properties and add a comment; None, and nothing touched, where nothing would change."""
        changes = [
            change for name in CHANGING if name in wanted for change in _diff(ticket, name, wanted[name])
        ]
        if not changes and comment is None:
            return None
        for name in CHANGING:
            if name in wanted:
                ticket.data[name] = wanted[name]
        return self._record(ticket, updater, changes, comment, **more)

    def _record(
        self,
        ticket: Ticket,
        updater: User,
        changes: Sequence[tuple[str, Any, Any]],
        comment: Mapping[str, Any] | None,
        *,
        channel: str = "api",
        custom: Mapping[str, Any] | None = None,
        first: bool = False,
    ) -> Audit:
        if first:
            changes = [(name, None, ticket.data[name]) for name in CHANGING if ticket.data[name]]
            changes = [change for change in changes if change[0] != "custom_fields"]
        audit_id = next(self._ids)
        written = self._comment(ticket, audit_id, updater, comment, channel) if comment is not None else None
        ticket.comments += [written] if written else []
        rows = [(next(self._ids), *change) for change in changes]
        audit = Audit(
            audit_id, ticket.id, updater.id, self.clock(), channel, rows, written, custom or {}, first
        )
        ticket.audits.append(audit)
        ticket.updated_at = ticket.generated_at = audit.created_at
        return audit

    def _comment(
        self, ticket: Ticket, audit_id: int, updater: User, given: Mapping[str, Any], channel: str
    ) -> Comment:
        author = self.users.get(given.get("author_id") or updater.id, updater)
        public = given.get("public")
        if public is None:
            public = not ticket.private
        markup, plain = self._texts(ticket, author, given)
        files = self._consumed(given.get("uploads") or ())
        at = self.clock()
        return Comment(next(self._ids), audit_id, author.id, markup, plain, public, at, channel, files)

    def _texts(self, ticket: Ticket, author: User, given: Mapping[str, Any]) -> tuple[str, str]:
        """The comment as HTML and as plain text, after everything that the desk does to it."""
        raw = text.cut(str(given.get("html_body") or given.get("body") or given.get("value") or ""))
        if author.is_staff:
            raw = text.evaluated(raw, lambda name: _placeholder(ticket, name))
        if given.get("html_body"):
            markup = text.sanitized(raw)
            return markup, text.plain_of(markup)
        plain = text.collapsed(raw)
        return text.markup_of(plain), plain

    def custom_fields(
        self, given: Sequence[Mapping[str, Any]] | None, before: Mapping[int, Any]
    ) -> dict[int, Any]:
        """All custom fields with their values; an id that no field has is dropped without a word."""
        values = dict.fromkeys(self.fields.values()) | dict(before)
        for item in given or ():
            id_ = int(item["id"])
            if id_ in values:
                values[id_] = item["value"]
        return values


_PLACEHOLDERS: dict[str, Callable[[Ticket], str]] = {
    "ticket.id": lambda ticket: str(ticket.id),
    "ticket.title": lambda ticket: str(ticket.data["subject"]),
    "ticket.status": lambda ticket: str(ticket.data["status"]).title(),
    "ticket.external_id": lambda ticket: str(ticket.data["external_id"] or ""),
}


def _placeholder(ticket: Ticket, name: str) -> str:
    """What a placeholder stands for; an unknown one is stripped."""
    known = _PLACEHOLDERS.get(name)
    return known(ticket) if known else ""


def _diff(ticket: Ticket, name: str, after: Any) -> list[tuple[str, Any, Any]]:
    before = ticket.data[name]
    if name == "custom_fields":
        return [
            (str(id_), before.get(id_), value) for id_, value in after.items() if before.get(id_) != value
        ]
    return [] if before == after else [(name, before, after)]
