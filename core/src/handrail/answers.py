"""Answers to the questions of a flow, given one by one while its handoff waits for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from handrail import flows, waits
from handrail.accept import redacted
from handrail.context import Context
from handrail.errors import Conflict, InputError
from handrail.model import Handoff, State
from handrail.policy.flow import Snapshot, answered
from handrail.store import handoffs


def answer(context: Context, handoff_id: str, fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Take answers, all or none; returns the questions that are still open. With the last one it goes on.

    Raises ``Conflict`` where nothing is asked (any more), ``InputError`` for an answer that will not do.
    """
    with context.store.read() as connection:
        row = handoffs.get(connection, handoff_id)
    given = answered(_asking(row), fields)
    safe = _masked(row, given)
    waits.ask_ahead(context, handoff_id, answers=safe)
    with context.store.begin() as connection:
        return _taken(context, connection, handoffs.get(connection, handoff_id, lock=True), safe)


def _asking(row: Any) -> Snapshot:
    flow = flows.of(row) if row.state == State.WAITING else None
    if flow is None or not flow.asked:
        raise Conflict(f"handoff {row.id} asks nothing; it is {row.state}")
    return flow


def _masked(row: Any, given: dict[str, Any]) -> dict[str, Any]:
    """The answers without what must not reach a desk, which may leave none of one."""
    conversation = Handoff.model_validate_json(row.body).conversation
    known = redacted(conversation.model_copy(update={"fields": {**conversation.fields, **given}})).fields
    gone = [name for name, value in given.items() if known.get(name) != value]
    for name in gone:
        try:
            answered(_asking(row), {name: known.get(name)})
        except InputError:
            why = "holds what is masked, such as a card number or a password; ask for something else"
            raise InputError(why, field=f"fields.{name}") from None
    return {name: known.get(name) for name in given}


def _taken(context: Context, connection: sa.Connection, row: Any, given: dict[str, Any]) -> tuple[str, ...]:
    flow = flows.answers_of(_asking(row), given)
    handoffs.change(connection, row.id, plan=flows.kept(row.plan, flow))
    handoffs.note(connection, row.id, context.clock(), f"answered: {', '.join(given)}")
    handoff = Handoff.model_validate_json(row.body)
    fields = {**handoff.conversation.fields, **given}
    conversation = handoff.conversation.model_copy(update={"fields": fields})
    row = handoffs.get(connection, row.id)
    handoff = waits.stands(connection, row, conversation)
    walked = waits.asked_on(context, connection, row, handoff, flow)
    return tuple(map(flow.steps[walked.at].question, walked.asks)) if walked.at is not None else ()
