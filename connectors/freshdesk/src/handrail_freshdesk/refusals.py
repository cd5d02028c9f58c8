"""Freshdesk's ways of saying no. https://developers.freshdesk.com/api/#error"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from handrail import DeskError, DeskPaused, NotDone, Reply, Request

WORDS = {
    "group_id": "group",
    "priority": "urgency",
    "responder_id": "owner",
    "agent_id": "owner",
    "tags": "tags",
    "email": "customer",
    "phone": "customer",
    "requester_id": "customer",
    "unique_external_id": "customer",
    "due_by": "due",
    "fr_due_by": "due",
    "source": "source",
    "product_id": "product",
    "email_config_id": "email_config",
    "attachments": "files",
}
"""Fields that a refusal names, in our words. Both due times go together."""
TOO_LARGE = 413
BUSY_SECONDS = 60.0
"""So long we wait after a 403 that may have come from load."""


def explain(reply: Reply) -> str:
    """Description and each error with its field, or code and message; the text of a page that is no JSON."""
    data = reply.data if isinstance(reply.data, dict) else {}
    words = [str(data[key]) for key in ("description", "code", "message") if data.get(key)]
    words += [
        f"{error.get('field')}: {error.get('message')} ({error.get('code')})" for error in errors(reply)
    ]
    text = "; ".join(words) or re.sub(r"<[^<>]*>", " ", reply.excerpt)
    return " ".join(text.split())[:500] or f"status {reply.status}"


def errors(reply: Reply) -> list[dict[str, Any]]:
    """The ``errors`` of an answer, whatever its shape."""
    found = reply.data.get("errors") if isinstance(reply.data, dict) else None
    return [error for error in found if isinstance(error, dict)] if isinstance(found, list) else []


def refused_fields(reply: Reply, fields: Mapping[str, str], marker_field: str | None) -> dict[str, str]:
    """What a refusal names that can be left out; a field that is mandatory cannot.

    ``fields`` are our names of custom fields.
    """
    ours = WORDS | {theirs: f"fields.{name}" for name, theirs in fields.items()}
    ours |= {marker_field: "marker_field"} if marker_field else {}
    found: dict[str, str] = {}
    for error in errors(reply):
        named = ours.get(_field(error))
        if named and error.get("code") != "missing_field":
            found.setdefault(named, str(error.get("message") or error.get("code") or "refused"))
    if reply.status == TOO_LARGE:
        found.setdefault("files", explain(reply))
    return found


def about(reply: Reply, *names: str) -> bool:
    """True when a 400 is about these fields and no others."""
    named = {_field(error) for error in errors(reply)}
    return bool(named) and named <= set(names)


def forbidden(request: Request, reply: Reply) -> DeskError:
    """A 403. Freshdesk says ``access_denied`` under load too, so that alone is asked again a little later.

    https://github.com/singer-io/tap-freshdesk/issues/28
    """
    words = f"{request.method} {request.path}: 403 {explain(reply)}"
    if isinstance(reply.data, dict) and reply.data.get("code") == "access_denied":
        return NotDone(f"{words} (load, or a right that the API key's agent lacks)", after=BUSY_SECONDS)
    return DeskPaused(words)


def conflicting(request: Request, reply: Reply) -> NotDone:
    """A 409: what is there is being changed by somebody else right now, and nothing of ours was done."""
    return NotDone(f"{request.method} {request.path}: 409 {explain(reply)}")


def is_taken(reply: Reply) -> bool:
    """True when a contact of this requester has come into being since Freshdesk looked for one."""
    taken = {_field(error) for error in errors(reply) if error.get("code") == "duplicate_value"}
    return reply.status == 409 and any(WORDS.get(field) == "customer" for field in taken)


def _field(error: Mapping[str, Any]) -> str:
    """The field of an error: ``cf_x``, ``custom_fields.cf_x`` and ``custom_fields[cf_x]`` are one."""
    return re.sub(r"^custom_fields?[.\[]|\]$", "", str(error.get("field")))
