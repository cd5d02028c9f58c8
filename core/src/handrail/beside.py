"""A second desk: a further handoff beside the first, which stays the conversation's own."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from handrail.context import Context
from handrail.ids import ulid
from handrail.model import Handoff, Urgency
from handrail.policy.chain import Chain
from handrail.store import handoffs, operations, updates


def where(connection: sa.Connection, row: Any) -> str:
    """A handoff's desk and ticket, for people on another desk."""
    ticket = updates.ticket_of(connection, row.desk, row.ticket_id) if row.ticket_id else None
    shown = (ticket.url or f"ticket {ticket.id}") if ticket is not None else "without a ticket so far"
    return f"the desk {row.desk} ({shown})"


def hand_off_beside(
    context: Context, connection: sa.Connection, row: Any, desk: str, key: str, why: str, **more: Any
) -> str:
    """Accept it for ``desk``, once for each ``key``; returns what was done, in words.

    It has the number 0 and is not watched: the first one is what the conversation is asked after.
    """
    if desk == row.desk or handoffs.by_key(connection, key) is not None:
        return f"not to desk {desk}, which has it already"
    if desk not in context.config.desks:
        return f"not to desk {desk}, which is not configured any more"
    now, first = context.clock(), Handoff.model_validate_json(row.body)
    known = {
        "id": ulid(now),
        "key": key,
        "number": 0,
        "desk": desk,
        "hop": 0,
        "came_from": None,
        "left_in_doubt": False,
        "unset": {},
        "urgency": Urgency(handoffs.get(connection, row.id).urgency),
        "summary": f"{why} {first.summary or ''}".strip(),
        "created_at": now,
    }
    second = first.model_copy(update=known | more)
    plan = handoffs.planned(None, "raise", Chain().model_dump(mode="json"))
    handoffs.insert(connection, second, row.digest, due_at=now, plan=plan)
    operations.add(connection, ulid(now), second.id, "create", {}, now)
    handoffs.note(connection, second.id, now, f"accepted for {desk}, beside {row.id}: {why}")
    context.schedule(connection, f"deliver:{desk}", second.id, 0, 0)
    return f"also to desk {desk} as handoff {second.id}"
