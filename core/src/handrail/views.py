"""The JSON of a handoff, as the command line and the HTTP API give it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from handrail.model import Handoff, State, Update
from handrail.store import handoffs, operations, updates


def handoff(connection: sa.Connection, row: Any, *, whole: bool = False) -> dict[str, Any]:
    """One handoff; ``whole`` adds what was handed over and the timeline."""
    said = updates.of_handoff(connection, row.id)
    view = {
        "id": row.id,
        "key": row.key,
        "conversation_id": row.conversation_id,
        "state": row.state,
        "desk": row.desk,
        "group": row.group,
        "urgency": row.urgency,
        "reason": row.reason,
        "trigger": row.trigger,
        "holder": State(row.state).holder,
        "created_at": _iso(row.created_at),
        "ticket": _ticket(connection, row),
        "attempts": row.attempts,
        "last_error": row.last_error,
        "updates": [update(each) for each in said],
    }
    return view | (_whole(connection, row) if whole else {})


def _whole(connection: sa.Connection, row: Any) -> dict[str, Any]:
    full = Handoff.model_validate_json(row.body)
    lines: Sequence[Any] = handoffs.timeline_of(connection, row.id)
    todo = operations.todo(connection, row.id)
    return {
        "summary": full.summary,
        "next_steps": list(full.next_steps),
        "question": full.conversation.question,
        "unset": full.unset,
        "missing": list(full.missing),
        "due": {"first_response": _iso(full.due.first_response), "resolution": _iso(full.due.resolution)},
        "next_attempt_at": _iso(row.due_at),
        "to_send": [{"id": each.id, "kind": each.kind, "created_at": _iso(each.created_at)} for each in todo],
        "timeline": [{"at": _iso(line.at), "text": line.text} for line in lines],
    }


def _ticket(connection: sa.Connection, row: Any) -> dict[str, Any] | None:
    stored = updates.ticket_of(connection, row.desk, row.ticket_id) if row.ticket_id else None
    if stored is None:
        return None
    return {
        "id": stored.id,
        "url": stored.url,
        "status": stored.status,
        "raw_status": stored.raw_status,
        "assignee": stored.assignee,
        "group": stored.group,
        "updated_at": _iso(stored.updated_at),
    }


def posted(full: Handoff) -> dict[str, Any]:
    """A handoff as a flow's webhook gets it: what is known, without the transcript and without files."""
    beside = ("conversation", "files", "hop", "came_from", "left_in_doubt", "unset")
    about = {"conversation_id": full.conversation.id, "question": full.conversation.question}
    known = {"customer": full.customer.model_dump(mode="json"), "details": full.details}
    return full.model_dump(mode="json", exclude=set(beside)) | about | known


def update(item: Update) -> dict[str, Any]:
    """One update as the contract gives it, with the handoff that it belongs to."""
    return item.model_dump(mode="json")


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
