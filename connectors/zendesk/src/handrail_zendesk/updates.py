"""What happened to a ticket, as updates. A webhook and a poll give the same thing the same id.

Events:  https://developer.zendesk.com/api-reference/webhooks/event-types/ticket-events/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from handrail import Actor, Doorbell, Hook, Status, Ticket, Update, UpdateKind

# https://developer.zendesk.com/api-reference/ticketing/tickets/tickets/#json-format
STATUSES = {"hold": Status.ON_HOLD, "archived": Status.CLOSED, "scrubbed": Status.DELETED}
STATUSES |= {status.value: status for status in Status if status is not Status.ON_HOLD}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Row = dict[str, Any]


def number(value: object) -> str | None:
    """A Zendesk id, which comes as a number (REST) or as a string (events)."""
    return str(value) if isinstance(value, int | str) and re.fullmatch("[0-9]{1,20}", str(value)) else None


def ticket_of(base_url: str, row: Row, ours: tuple[str, ...] = ()) -> Ticket:
    """A ticket from Zendesk's row. The row's ``url`` may show another host: the link is made here."""
    word = str(row.get("status") or "new").lower()
    return Ticket(
        id=str(row["id"]),
        url=f"{base_url}/agent/tickets/{row['id']}",
        status=STATUSES.get(word, Status.OPEN),
        raw_status=word,
        assignee=number(row.get("assignee_id")),
        group=number(row.get("group_id")),
        updated_at=row.get("updated_at"),
        ours=ours,
        raw=row,
    )


@dataclass(frozen=True)
class Seen:
    """Something that was seen to happen to a ticket. ``changed`` is the time by the ticket's own clock,
    ``marker`` the ticket's external id where it is known.
    """

    ticket_id: str
    at: datetime
    changed: datetime
    raw: Row
    marker: str | None = None

    def make(self, kind: UpdateKind, ident: str, **more: Any) -> Update:
        known: Row = {"ticket_id": self.ticket_id, "handoff_id": self.marker, "at": self.at, "raw": self.raw}
        return Update(id=ident, kind=kind, **known, **more)

    def change(self, kind: UpdateKind, what: str, value: str, **more: Any) -> Update:
        return self.make(kind, f"{what}:{self.ticket_id}:{value}:{self.changed:%Y%m%d%H%M%S}", **more)

    def comment(self, ident: object, text: Any, public: object, staff: object, name: Any) -> Update:
        if not number(ident) or not isinstance(public, bool) or not isinstance(staff, bool):
            raise ValueError("a comment without a readable id, visibility or author")
        spoken = UpdateKind.REPLY if public else UpdateKind.NOTE
        actor = Actor(kind="human" if staff else "customer", name=name)
        kind = spoken if staff else UpdateKind.CUSTOMER_MESSAGE
        return self.make(kind, f"comment:{ident}", actor=actor, text=text, public=public)

    def status(self, word: str) -> Update:
        status = STATUSES[word.lower()]
        kind = UpdateKind.DELETED if status is Status.DELETED else UpdateKind.STATUS
        return self.change(kind, "status", status.value, status=status, raw_status=word.lower())

    def assignment(self, what: str, value: object) -> Update:
        known = number(value) if value != "0" else None
        return self.change(UpdateKind.ASSIGNMENT, what, known or "none", **{what: known})


def _comment_added(seen: Seen) -> Update:
    comment = seen.raw["event"]["comment"]
    author = comment["author"]
    return seen.comment(
        comment["id"], comment["body"], comment["is_public"], author["is_staff"], author.get("name")
    )


def _message_added(seen: Seen) -> Update | None:
    actor, message = seen.raw["event"]["actor"], seen.raw["event"]["message"]
    staff = {"agent": True, "admin": True, "end_user": False, "end-user": False, "user": False}.get(
        actor["type"]
    )
    if staff is None:
        return None
    update = seen.comment(0, message["body"], True, staff, actor.get("name"))
    return update.model_copy(update={"id": f"message:{message['id']}"})


READERS: dict[str, Callable[[Seen], Update | None]] = {
    "ticket.comment_added": _comment_added,
    "messaging_ticket.message_added": _message_added,
    "ticket.status_changed": lambda seen: seen.status(seen.raw["event"]["current"]),
    "ticket.custom_status_changed": lambda seen: seen.status(seen.raw["detail"]["status"]),
    "ticket.agent_assignment_changed": lambda seen: seen.assignment("assignee", seen.raw["event"]["current"]),
    "ticket.group_assignment_changed": lambda seen: seen.assignment("group", seen.raw["event"]["current"]),
    "ticket.merged": lambda seen: seen.make(UpdateKind.MERGED, f"merged:{seen.ticket_id}"),
    "ticket.undeleted": lambda seen: seen.status(seen.raw["detail"]["status"]),
    "ticket.soft_deleted": lambda seen: seen.status("deleted"),
    "ticket.permanently_deleted": lambda seen: seen.status("deleted"),
    "ticket.marked_as_spam": lambda seen: seen.status("deleted"),
}
"""Every other event is left alone on purpose: it changes nothing that a handoff shows."""


def events(hook: Hook) -> Iterator[Update | Doorbell]:
    """An event's update; a doorbell for a trigger's own payload and for an event unlike its documentation."""
    data = hook.json
    kind = str(data.get("type"))
    if not kind.startswith("zen:"):
        nested = data.get("ticket") if isinstance(data.get("ticket"), dict) else {}
        ids = (number(value) for value in (*map(data.get, ("ticket_id", "ticketID", "id")), nested.get("id")))
        yield from (Doorbell(found) for found in list(filter(None, ids))[:1])
    elif (reader := READERS.get(kind.removeprefix("zen:event-type:"))) and (ticket_id := _subject(data)):
        try:
            found = reader(_seen(ticket_id, data))
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError):
            found = None
            yield Doorbell(ticket_id)
        if found:
            yield found


def _subject(data: Row) -> str | None:
    detail = data.get("detail")
    known = detail.get("id") if isinstance(detail, dict) else None
    return number(known) or number(str(data.get("subject")).removeprefix("zen:ticket:"))


def _seen(ticket_id: str, data: Row) -> Seen:
    at, detail = time(data["time"]), data["detail"]
    changed = time(detail["updated_at"]) if detail.get("updated_at") else at
    return Seen(ticket_id, at, changed, data, detail.get("external_id") or None)


def time(value: Any) -> datetime:
    """A time as a text or as seconds since the epoch; without a zone it is UTC."""
    moment = EPOCH + timedelta(seconds=value) if isinstance(value, int) else datetime.fromisoformat(value)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
