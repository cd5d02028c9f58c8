"""What Zendesk refuses: the body of each refusal, and the checks of what a client sends about a ticket."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from handrail.steps import Reply
from handrail.testing.desk import Refusal, answer
from handrail_zendesk.simulated.account import Account
from handrail_zendesk.simulated.records import PRIORITIES, STATUSES, TYPES, Ticket, User

_ADDRESS = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+\.[^@\s,;<>.]+")
_WORDS = {"priority": PRIORITIES, "status": STATUSES, "type": TYPES}
_PLAIN = ["external_id", "due_at", "brand_id", "ticket_form_id"]


def error(status: int, kind: str, description: str) -> Refusal:
    return Refusal(answer({"error": kind, "description": description}, status))


def invalid(field: str, description: str, kind: str = "InvalidValue") -> Refusal:
    """A 422 that names one field."""
    details = {field: [{"description": description, "error": kind}]}
    body = {"error": "RecordInvalid", "description": "Record validation errors", "details": details}
    return Refusal(answer(body, 422))


def unauthorized() -> Reply:
    return answer(
        {"error": "Couldn't authenticate you"}, 401, {"www-authenticate": 'Basic realm="Web Password"'}
    )


def not_found() -> Refusal:
    return error(404, "RecordNotFound", "Not found")


def changeable(ticket: Ticket, given: Mapping[str, Any]) -> None:
    """Refuse an update of a closed ticket, and a safe update of one that has moved since."""
    if ticket.data["status"] == "closed":
        details = {"status": [{"description": "Status: closed prevents ticket update"}]}
        body = {"error": "RecordInvalid", "description": "Record validation errors", "details": details}
        raise Refusal(answer(body, 422))
    if "safe_update" in given and _moved(ticket, given.get("updated_stamp")):  # false means true here
        words = "Safe Update prevented the update due to outdated ticket data."
        raise error(409, "UpdateConflict", words)


def _moved(ticket: Ticket, seen: Any) -> bool:
    try:
        moment = datetime.fromisoformat(str(seen))
    except ValueError:
        return True
    return moment.tzinfo is None or int(moment.timestamp()) != int(ticket.updated_at.timestamp())


def properties(account: Account, given: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """The properties that a client sets, checked and in the desk's own form."""
    found = {name: _word(name, given[name]) for name in _WORDS if name in given}
    found |= {name: given[name] for name in _PLAIN if name in given}
    if given.get("subject"):
        found["subject"] = str(given["subject"])
    if "tags" in given:
        found["tags"] = sorted({str(tag).lower() for tag in given["tags"] or ()})
    if "group_id" in given:
        found["group_id"] = _group(account, given["group_id"])
    if "assignee_id" in given:
        found["assignee_id"] = _assignee(account, given["assignee_id"])
    if "custom_fields" in given:
        found["custom_fields"] = account.custom_fields(given["custom_fields"], before["custom_fields"])
    return found | _status(account, given, found, before)


def _word(name: str, value: Any) -> Any:
    if value is not None and value not in _WORDS[name]:
        raise invalid(name, f"{name.title()}: {value} is not a valid {name}")
    return value


def _group(account: Account, value: Any) -> int | None:
    if value is None:
        return None
    group = account.groups.get(value) if isinstance(value, int) else None
    if group is None or group.deleted:
        raise invalid("group", f"Group: {value} is invalid")
    return group.id


def _assignee(account: Account, value: Any) -> int | None:
    user = account.users.get(value) if isinstance(value, int) else None
    if value is not None and (user is None or not user.is_staff):
        raise invalid("assignee", f"Assignee: {value} is invalid")
    return user.id if user else None


def _status(
    account: Account, given: Mapping[str, Any], found: Mapping[str, Any], before: Mapping[str, Any]
) -> dict[str, Any]:
    """Status and custom status always go together; a new ticket that is assigned is open."""
    custom = given.get("custom_status_id")
    if custom is not None:
        category = account.category(custom)
        if category is None:
            raise invalid("custom_status_id", f"Custom status: {custom} is invalid")
        return {"status": category, "custom_status_id": custom}
    status = found.get("status") or before["status"]
    if status == "new" and found.get("assignee_id"):
        status = "open"
    if status == before["status"]:
        return {"status": status}
    return {"status": status, "custom_status_id": account.status_id(status)}


def requester(account: Account, given: Mapping[str, Any], otherwise: User) -> User:
    """Whoever the ticket is for: by id, inline by address or name, or the authenticated user."""
    if given.get("requester_id") is not None:
        known = account.users.get(given["requester_id"])
        if known is None:
            raise invalid("requester", "Requester: is invalid")
        return known
    inline = given.get("requester")
    return _inline(account, inline) if inline else otherwise


def _inline(account: Account, inline: Mapping[str, Any]) -> User:
    email, name = inline.get("email"), inline.get("name")
    if email and not _ADDRESS.fullmatch(str(email)):
        raise invalid("requester", f"Requester: Email:  {email} is not properly formatted")
    if not email and not str(name or "").strip():
        raise invalid("requester", "Requester: Name:  is too short (minimum is 1 characters)")
    return account.user(str(name or str(email).partition("@")[0]), email)
