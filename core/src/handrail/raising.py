"""Raising: a handoff that nobody takes or answers in time is made more urgent, and told of.

The clock runs from the handoff's acceptance, also while its desk is down or paused. Each link of the chain
is one job, which reads the row, does one thing and leaves the next job.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from handrail import accept
from handrail.beside import hand_off_beside, where
from handrail.connector import Can
from handrail.context import Context
from handrail.model import Handoff, State, UpdateKind, Urgency
from handrail.policy.chain import Chain, Link, Raise, chain
from handrail.policy.detect import are_there
from handrail.policy.model import raised
from handrail.store import handoffs, updates
from handrail.sync import Inbox

Holds = Callable[[str, Handoff], bool]
"""Says whether a condition (``when`` of a raise) holds for a handoff."""

_NEEDLESS = {
    "taken": "nobody has taken it",
    "answered": "nobody has answered",
    "solved": "it is not solved",
}
_NAMES = {"first_response": "first response", "resolution": "resolution"}


def begin(context: Context, connection: sa.Connection, row: Any) -> None:
    """Watch a handoff from now on, with the chain of the policy as it is now; once for each handoff."""
    sla, rules = context.config.sla.get("default"), context.config.raises
    if not (sla or rules) or handoffs.plan(row, "raise") is not None:
        return
    handoff, calendar = Handoff.model_validate_json(row.body), context.config.calendar(sla) if sla else None
    _go_on(context, connection, row, chain(rules, handoff.due, handoff.created_at, calendar))


class Raising:
    def __init__(self, context: Context, inbox: Inbox, holds: Holds = lambda when, handoff: True) -> None:
        self.context = context
        self.inbox = inbox
        self.holds = holds

    def step(self, id: str, n: int) -> None:
        """The job: one link of a handoff's chain, unless a person was there before it."""
        self._ask_ahead(id, n)
        with self.inbox.taking() as connection:
            row = handoffs.get(connection, id, lock=True)
            made = Chain.model_validate(handoffs.plan(row, "raise") or {})
            if row.watch_n != n or row.watch_at is None or made.next is None:
                return
            if made.next.at <= self.context.clock():
                self._act(connection, row, made.next)
                made = made.passed()
            _go_on(self.context, connection, row, made)

    def _ask_ahead(self, id: str, n: int) -> None:
        """Ask the detectors that a condition needs, while nobody holds the store: they may be slow."""
        if not are_there():
            return
        with self.context.store.read() as connection:
            row = handoffs.get(connection, id)
        link = Chain.model_validate(handoffs.plan(row, "raise") or {}).next
        if row.watch_n == n and link is not None and link.rule is not None and link.rule.when is not None:
            self.holds(link.rule.when, Handoff.model_validate_json(row.body))

    def resume(self) -> None:
        """Make due what a process that died has left."""
        now = self.context.clock()
        with self.context.store.begin() as connection:
            for id in handoffs.watched(connection, now):
                row = handoffs.get(connection, id, lock=True)
                if row.watch_at is not None:
                    handoffs.change(connection, id, watch_n=row.watch_n + 1)
                    self.context.schedule(connection, f"watch:{row.desk}", id, row.watch_n + 1, 0)

    def _act(self, connection: sa.Connection, row: Any, link: Link) -> None:
        if _is_met(connection, row, link.unless):
            return
        if link.rule is None:
            said = f"{_NAMES[link.of]} was due at {_minute(link.at)}: {_NEEDLESS[link.unless]}"
            self._tell(connection, row, UpdateKind.SLA_BREACHED, f"sla:{link.of}:{row.id}", said)
        elif link.rule.when is None or self.holds(link.rule.when, Handoff.model_validate_json(row.body)):
            self._raise(connection, row, link, link.rule)

    def _raise(self, connection: sa.Connection, row: Any, link: Link, rule: Raise) -> None:
        done = self._change(connection, row, rule)
        done += [self._second_desk(connection, row, link, rule.desk)] if rule.desk else []
        said = "; ".join([f"raised, for {_NEEDLESS[rule.unless]}", *done])
        id = f"sla:at_risk:{link.of}:{row.id}:{link.number}"
        self._tell(connection, row, UpdateKind.SLA_AT_RISK, id, said)

    def _tell(self, connection: sa.Connection, row: Any, kind: UpdateKind, id: str, said: str) -> None:
        if self.inbox.happened(connection, row, kind, id, said):
            handoffs.note(connection, row.id, self.context.clock(), said)

    def _change(self, connection: sa.Connection, row: Any, rule: Raise) -> list[str]:
        """Queue what the ticket is told; returns what was done, in words."""
        before = Urgency(row.urgency)
        urgency = raised(before, rule.urgency)
        lines = [rule.notice, f"Next group: {rule.group}" if rule.group else None]
        note = "\n".join(filter(None, lines))
        change = {"urgency": urgency if urgency != before else None, "note": note or None}
        desk = self.context.config.desks.get(row.desk)
        if desk and Can.MOVE in desk.can:
            change["group"] = rule.group
        given = {name: value for name, value in change.items() if value}
        if given:
            accept.queue(self.context, connection, row.id, "change", given)
        handoffs.change(connection, row.id, urgency=urgency)
        done = [f"urgency {urgency}"] if urgency != before else []
        return done + ([f"next group {rule.group}"] if rule.group else []) + (["noted"] if note else [])

    def _second_desk(self, connection: sa.Connection, row: Any, link: Link, desk: str) -> str:
        why = f"{_NEEDLESS[link.unless].capitalize()} on {where(connection, row)}."
        key = f"{row.key}:raise:{link.number}"
        return hand_off_beside(self.context, connection, row, desk, key, why)


def _go_on(context: Context, connection: sa.Connection, row: Any, made: Chain) -> None:
    """Keep the chain, with a job for its next link that a person has not made needless."""
    while made.next is not None and _is_settled(connection, row, made.next):
        made = made.passed()
    n, at = row.watch_n + 1, made.next.at if made.next else None
    plan = handoffs.planned(row.plan, "raise", made.model_dump(mode="json"))
    handoffs.change(connection, row.id, watch_n=n, watch_at=at, plan=plan)
    if at is not None:
        delay = max(at - context.clock(), timedelta(0)).total_seconds()
        context.schedule(connection, f"watch:{row.desk}", row.id, n, delay)


def _is_settled(connection: sa.Connection, row: Any, link: Link) -> bool:
    """True for what can never be needed again: an answer stays, a solved ticket may be reopened."""
    if row.state == State.CANCELLED:
        return True
    return link.unless != "solved" and _is_answered(connection, row)


def _is_met(connection: sa.Connection, row: Any, unless: str) -> bool:
    if State(row.state).ended or unless == "solved":
        return State(row.state).ended
    return _is_answered(connection, row) or (unless == "taken" and _is_taken(connection, row))


def _is_answered(connection: sa.Connection, row: Any) -> bool:
    """True where a person has written to the customer; that a desk's automation did is not enough."""
    said = updates.of_handoff(connection, row.id)
    return any(each.kind is UpdateKind.REPLY and each.actor.kind == "human" for each in said)


def _is_taken(connection: sa.Connection, row: Any) -> bool:
    ticket = updates.ticket_of(connection, row.desk, row.ticket_id) if row.ticket_id else None
    return ticket is not None and bool(ticket.assignee)


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
