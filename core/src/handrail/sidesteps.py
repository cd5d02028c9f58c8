"""Side steps: what a flow does beside a handoff. Each is a job; none of them can stop the handoff.

A second desk gets a handoff of its own, a webhook a signed POST, a plugin's step is called. What fails is
tried again for as long as a desk would be, and then left; the handoff's timeline says so.
"""

from __future__ import annotations

import json
import logging
from contextlib import closing
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa

from handrail import views
from handrail.beside import hand_off_beside, where
from handrail.context import Context
from handrail.durations import format_duration
from handrail.engine import LEASE_SECONDS
from handrail.errors import HandrailError
from handrail.model import Handoff, State
from handrail.policy.flow_model import Also
from handrail.posting import Trouble, http_to, pause, post
from handrail.store import handoffs, side_steps
from handrail.text import one_line

log = logging.getLogger("handrail.flows")

STRIDE = 1_000_000
"""A job's number is that of the step, times this, and how often it was tried."""
LONGEST_WAIT = 3600.0
TIMEOUT_SECONDS = 15.0


def schedule(
    context: Context, connection: sa.Connection, handoff_id: str, number: int, tries: int, delay: float
) -> None:
    context.schedule(connection, "also", handoff_id, number * STRIDE + tries, delay)


class SideSteps:
    def __init__(self, context: Context) -> None:
        self.context = context

    def step(self, id: str, n: int) -> None:
        """The job: one try at one step, unless the row has moved on since the job was written."""
        number, tries = divmod(n, STRIDE)
        with self.context.store.read() as connection:
            side, row = side_steps.get(connection, id, number), handoffs.get(connection, id)
        if side is None or not _is_due(side, tries):
            return
        also = Also.model_validate_json(side.step)
        if row.state == State.CANCELLED:
            self._end(side, f"{_named(also)} is left out: the handoff was cancelled")
        elif also.desk:
            self._second_desk(side, also, also.desk)
        else:
            self._try(side, also, Handoff.model_validate_json(row.body))

    def resume(self) -> None:
        """At a worker's start: make due what a process that died has left."""
        stale = self.context.clock() - timedelta(seconds=LEASE_SECONDS)
        with self.context.store.begin() as connection:
            for found in side_steps.due(connection, stale):
                side = side_steps.get(connection, found.handoff_id, found.number, lock=True)
                if _is_due(side, found.tries):
                    self._again(connection, side, 0)

    def _again(self, connection: sa.Connection, side: Any, delay: float, error: str | None = None) -> None:
        due = self.context.clock() + timedelta(seconds=delay)
        values = {"tries": side.tries + 1, "due_at": due, "error": error}
        side_steps.change(connection, side.handoff_id, side.number, **values)
        schedule(self.context, connection, side.handoff_id, side.number, side.tries + 1, delay)

    # Doing it.

    def _second_desk(self, side: Any, also: Also, desk: str) -> None:
        with self.context.store.begin() as connection:
            row = handoffs.get(connection, side.handoff_id, lock=True)
            if not _is_due(side_steps.get(connection, row.id, side.number, lock=True), side.tries):
                return
            main = where(connection, row)
            why = f"For {desk} too, by the flow {side.flow}; the customer is answered on {main}."
            more = {"group": also.group} if also.group else {}
            key = f"{row.key}:also:{side.number + 1}"
            said = hand_off_beside(self.context, connection, row, desk, key, why, **more)
            self._ended(connection, side, said)

    def _try(self, side: Any, also: Also, handoff: Handoff) -> None:
        try:
            trouble = self._post(side, also.webhook, handoff) if also.webhook else self._call(also, handoff)
        except Exception as error:
            log.exception("%s of handoff %s failed", _named(also), handoff.id)
            known = isinstance(error, HandrailError)
            trouble = Trouble(one_line(str(error), 300) if known else f"{type(error).__name__}; see the log")
        if isinstance(trouble, Trouble):
            self._failed(side, also, trouble)
        else:
            said = f": {one_line(trouble, 300)}" if isinstance(trouble, str) and trouble else ""
            self._end(side, f"{_named(also)} is done{said}")

    def _post(self, side: Any, url: str, handoff: Handoff) -> Trouble | None:
        secret = _secret_of(self.context, url)
        if secret is None:
            return Trouble("it is not configured any more", gone=True)
        data = views.posted(handoff)
        payload = {"type": "handoff", "timestamp": data["created_at"], "data": data}
        body = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
        id, now = f"{handoff.id}:also:{side.number + 1}", self.context.clock()
        with closing(http_to(url, TIMEOUT_SECONDS, "the webhook")) as http:
            return post(http, url, secret, id, body, now)

    def _call(self, also: Also, handoff: Handoff) -> Any:
        from handrail.plugins import flow_steps

        step = flow_steps().get(also.step or "")
        if step is None:
            return Trouble("no plugin that is installed brings it")
        return step(handoff, dict(also.arguments))

    # What became of it. Each is one transaction.

    def _end(self, side: Any, said: str) -> None:
        with self.context.store.begin() as connection:
            current = side_steps.get(connection, side.handoff_id, side.number, lock=True)
            if _is_due(current, side.tries):
                self._ended(connection, side, said)

    def _ended(self, connection: sa.Connection, side: Any, said: str, error: str | None = None) -> None:
        side_steps.change(connection, side.handoff_id, side.number, due_at=None, error=error)
        handoffs.note(connection, side.handoff_id, self.context.clock(), said)

    def _failed(self, side: Any, also: Also, trouble: Trouble) -> None:
        now, named = self.context.clock(), _named(also)
        with self.context.store.begin() as connection:
            current = side_steps.get(connection, side.handoff_id, side.number, lock=True)
            if not _is_due(current, side.tries):
                return
            spent = now - side.created_at
            left = self.context.config.give_up_after - spent
            if trouble.gone or left <= timedelta(0):
                after = f" after {format_duration(timedelta(seconds=int(spent.total_seconds())))}"
                said = f"{named} failed for good{'' if trouble.gone else after}: {trouble.why}"
                return self._ended(connection, side, said, trouble.why)
            delay = min(pause(spent.total_seconds(), LONGEST_WAIT, trouble.after), left.total_seconds())
            said = f"{named} failed: {trouble.why}; again in {delay:.1f} s"
            handoffs.note(connection, side.handoff_id, now, said)
            self._again(connection, side, delay, trouble.why)


def _is_due(side: Any, tries: int) -> bool:
    return side is not None and side.due_at is not None and bool(side.tries == tries)


def _named(also: Also) -> str:
    """The step in the timeline; of an address only the host, for a path may hold what nobody should know."""
    if also.webhook:
        return f"the webhook at {urlsplit(also.webhook).netloc}"
    return f"the step {also.step}" if also.step else f"the desk {also.desk}"


def _secret_of(context: Context, url: str) -> str | None:
    """Secrets are not stored: the one that the configuration has now for this address."""
    flows = context.config.policy.flows.values() if context.config.policy else ()
    steps = (step.also for flow in flows for step in flow.steps)
    return next((a.secret for a in steps if isinstance(a, Also) and a.webhook == url and a.secret), None)
