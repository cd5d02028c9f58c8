"""What Freshdesk says, in our words: tickets, conversations, webhooks.

Tickets:        https://developers.freshdesk.com/api/#tickets
Conversations:  https://developers.freshdesk.com/api/#conversations
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from handrail import Actor, Doorbell, Hook, Status, Ticket, Update, UpdateKind

Row = dict[str, Any]
STATUSES = {2: Status.OPEN, 3: Status.PENDING, 4: Status.SOLVED, 5: Status.CLOSED}
LABELS = {2: "Open", 3: "Pending", 4: "Resolved", 5: "Closed"}
USUAL = {"6": "Waiting on Customer", "7": "Waiting on Third Party"}
"""Custom statuses of a new account, for where the account's own list cannot be read."""
FORWARD = 8
"""``source`` of a forwarded mail: it went to somebody else than the customer."""
OURS = re.compile(r"(?<![\w-])Handrail ([0-9A-Z]{26}(-[0-9]+)?|note-[0-9a-f]{16})(?![\w-])")
"""Our reference line. A merged twin brings it along in a note that is not ours by its id."""
_ID = re.compile(r'"ticket(?:_id"|"\s{0,9}:\s{0,9}\{\s{0,9}"id")\s{0,9}:\s{0,9}"?([0-9]{1,20})(?!\w)')
NOT_OURS_TO_KEEP = ("description", "description_text", "conversations")
"""Not kept with a ticket: our own text, and what becomes updates."""


def number(value: object) -> str | None:
    """A Freshdesk id: a number in the API, a string in a webhook."""
    return str(value) if isinstance(value, int | str) and re.fullmatch("[0-9]{1,20}", str(value)) else None


def time(value: Any) -> datetime:
    moment = datetime.fromisoformat(value)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def stamp(moment: datetime) -> str:
    """A time as Freshdesk writes it, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def listed(data: Any) -> list[Row]:
    """The rows of a list. Anything else is no empty list: it says nothing."""
    if not isinstance(data, list):
        raise ValueError("no list")
    return data


def ticket_of(base_url: str, row: Row, status: tuple[Status, str], ours: Iterable[str] = ()) -> Ticket:
    return Ticket(
        id=str(row["id"]),
        url=f"{base_url}/a/tickets/{row['id']}",
        status=status[0],
        raw_status=status[1],
        assignee=number(row.get("responder_id")),
        group=number(row.get("group_id")),
        updated_at=row["updated_at"],
        ours=tuple(ours),
        raw={key: value for key, value in row.items() if key not in NOT_OURS_TO_KEEP},
    )


# https://developers.freshdesk.com/api/#ticket_attributes
def status_of(row: Row, known: Mapping[Status, str], labels: Mapping[str, str]) -> tuple[Status, str]:
    """Our status and the desk's word. Above 5 statuses are the account's own: ``known`` are those that the
    configuration names, ``labels`` the account's words by number; what neither tells is open.
    """
    if row.get("deleted") or row.get("spam"):
        return Status.DELETED, "deleted" if row.get("deleted") else "spam"
    n = int(row["status"])
    label = LABELS.get(n) or labels.get(str(n)) or USUAL.get(str(n)) or str(n)
    for ours, theirs in known.items():
        if theirs.casefold() in (label.casefold(), str(n)):
            return ours, label
    return STATUSES.get(n) or _guessed(label.casefold()), label


def _guessed(label: str) -> Status:
    if "customer" in label:
        return Status.PENDING
    return Status.ON_HOLD if "third party" in label or "hold" in label else Status.OPEN


def conversations(rows: Iterable[Row]) -> list[Update]:
    """The updates of a thread, oldest first, without what we wrote ourselves."""
    found = (_conversation(row) for row in rows if row.get("created_at"))
    return sorted((update for update in found if update), key=lambda update: (update.at, update.id))


def _conversation(row: Row) -> Update | None:
    if not isinstance(row.get("private"), bool) or not isinstance(row.get("incoming"), bool):
        return None
    text = row.get("body_text") or re.sub(r"<[^<>]*>", " ", str(row.get("body") or ""))
    if row["private"] and not row["incoming"] and OURS.search(text):
        return None
    internal = row["private"] or row.get("source") == FORWARD
    spoken = UpdateKind.NOTE if internal else UpdateKind.REPLY
    return Update(
        id=f"conversation:{row['id']}",
        kind=UpdateKind.CUSTOMER_MESSAGE if row["incoming"] else spoken,
        ticket_id=str(row["ticket_id"]),
        at=time(row["created_at"]),
        actor=Actor(kind="customer" if row["incoming"] else "human"),
        text=text,
        public=not internal,
        raw=row,
    )


# https://support.freshdesk.com/support/solutions/articles/132589
def events(hook: Hook) -> Iterator[Doorbell]:
    """The ticket that an automation rule rang for. Its text is written by hand and unsigned: only the id is
    believed, from JSON, from a form, and from JSON that a customer's quotation marks have broken.
    """
    data = hook.json
    found = _subject(data) or (None if data else _subject(_form(hook.body)) or _spelled(hook.body))
    if found:
        yield Doorbell(found)


def _subject(data: Row) -> str | None:
    for part in (data, data.get("ticket"), data.get("freshdesk_webhook")):
        if isinstance(part, dict):
            ids = [part.get("ticket_id"), part.get("id") if part is not data else None]
            if found := next(filter(None, map(number, ids)), None):
                return found
    return None


def _form(body: bytes) -> Row:
    fields = parse_qs(body[:65536].decode("utf-8", "replace"), max_num_fields=1000) if b"=" in body else {}
    return {re.sub(r"^.*\[|\]$", "", name): values[0] for name, values in fields.items()}


def _spelled(body: bytes) -> str | None:
    text = body[:65536].decode("utf-8", "replace")
    if not text.lstrip().startswith("{"):
        return None
    found = _ID.search(text)
    return found[1] if found else None
