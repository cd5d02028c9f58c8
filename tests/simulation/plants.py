# ruff: noqa: E501 - what is replaced stands as it stands in the code
"""Faults to be planted in a copy of Handrail: each breaks a promise, and the simulation must find it.

A plant is a list of substitutions ``(file, old, new)``; ``old`` must stand in the file exactly once.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plant:
    """``seed``: universes from here on break soon, for the short run in the test suite."""

    name: str
    changes: tuple[tuple[str, str, str], ...]
    seed: int = 0


def _one(name: str, file: str, old: str, new: str, seed: int = 0) -> Plant:
    return Plant(name, ((file, old, new),), seed)


PLANTS = (
    _one(
        "the look before a repetition is dropped",
        "driver.py",
        "found = self._look(request.unless)",
        "found = None",
        seed=2,
    ),
    _one(
        "done is written before the request leaves",
        "claims.py",
        "operations.change(connection, operation.id, tries=operation.tries + 1)",
        'operations.change(connection, operation.id, tries=operation.tries + 1, state="done")',
    ),
    _one(
        "the journal is written after sending",
        "journal.py",
        "        self.entries.append(entry)\n        self.keep(entry)\n        return entry\n\n    def again",
        "        self.entries.append(entry)\n        return entry\n\n    def again",
        seed=2,
    ),
    _one(
        "a webhook is acknowledged before it is stored",
        "roads.py",
        '        kept.pop("authorization", None)\n',
        '        kept.pop("authorization", None)\n        if now.microsecond % 4 == 0:\n            return id\n',
    ),
    _one(
        "the order of operations is forgotten",
        "store/operations.py",
        '"todo")\n    .order_by(operations.c.seq)\n)\n_FIRST',
        '"todo")\n    .order_by(operations.c.kind, operations.c.seq.desc())\n)\n_FIRST',
    ),
    _one(
        "a 5xx counts as not done",
        "driver.py",
        "if reply.status >= 500 or (reply.status == 409 and request.key):\n            return Unsure(",
        "if reply.status >= 500 or (reply.status == 409 and request.key):\n            return NotDone(",
        seed=21,
    ),
    _one(
        "an answer that was not understood counts as not done",
        "driver.py",
        "            raise Unsure(\n                f\"the desk's answer was not understood",
        "            if journal and journal.entries:\n                journal.without_effect(journal.entries[-1], False)\n"
        "            raise Unsure(\n                f\"the desk's answer was not understood",
        seed=9,
    ),
    _one(
        "our own comments are not remembered",
        "delivery.py",
        "            updates.save_ours(connection, row.desk, ticket.ours)\n",
        "",
    ),
    _one(
        "the echo of what is being sent is taken for new",
        "sync.py",
        'return any(operation.tries and operation.id in (item.text or "") for operation in waiting)',
        "return False",
    ),
    _one(
        "a late status moves the ticket back",
        "sync.py",
        "        if row.status_at and item.at < row.status_at:\n            return self._late_status(connection, row, item, item.status)\n",
        "",
        seed=12,
    ),
    _one(
        "a stale snapshot is believed",
        "sync.py",
        "        if row.updated_at and at < row.updated_at:\n            return Taken.KNOWN\n        stamp",
        "        at = self.context.clock()\n        stamp",
        seed=47,
    ),
    _one(
        "an update is told once for each road",
        "sync.py",
        'update = item.model_copy(update={**about, "id": f"{row.desk}:{item.id}"})',
        'update = item.model_copy(update={**about, "id": f"{row.desk}:{item.id}:{self.context.clock().minute}"})',
    ),
    _one(
        "what a poll passed over before the ticket was known is lost",
        "delivery.py",
        " or desks.polled(connection, work.handoff.desk) != work.polled",
        "",
        seed=231691902,
    ),
    _one(
        "nobody looks for twins",
        "delivery.py",
        'if work.operation.kind == "create" and after is not None:',
        "if False and after is not None:",
        seed=27,
    ),
    _one(
        "who holds a handoff is not asked",
        "store/handoffs.py",
        "return bool(row.lease_until and row.lease_until > now and is_alive(row.lease_by))",
        "return False",
        seed=3,
    ),
    _one(
        "an attempt that was overtaken goes on",
        "store/handoffs.py",
        "return bool(row.attempts == attempt and row.lease_by == owner())",
        "return True",
        seed=6,
    ),
    _one(
        "the next try is not scheduled",
        "delivery.py",
        '        self.context.schedule(connection, f"deliver:{row.desk}", row.id, row.n + 1, delay)\n        handoffs.note(',
        "        handoffs.note(",
        seed=1,
    ),
    _one(
        "messages that go out together lose their text",
        "claims.py",
        'operations.change(connection, together[0].id, payload=json.dumps({"messages": messages}))',
        "assert messages",
        seed=1,
    ),
    _one(
        "a failed attempt leaves no line",
        "delivery.py",
        'handoffs.note(connection, row.id, now, f"attempt {row.attempts}: {why}; again in {delay:.1f} s")',
        "del now",
    ),
    _one(
        "a longer conversation adds nothing",
        "accept.py",
        "    if fresh:\n        queue(",
        "    if len(fresh) > 1:\n        queue(",
    ),
    _one(
        "a handoff is stored without its job",
        "accept.py",
        '    context.schedule(connection, f"deliver:{handoff.desk}", handoff.id, 0, delay)\n    return handoff',
        "    return handoff",
        seed=6,
    ),
    _one(
        "a request is sent inside of a transaction",
        "delivery.py",
        "            ticket = self.context.driver(work.handoff.desk).run(self._steps(work), work.journal)\n",
        "            with self.context.store.begin():\n"
        "                ticket = self.context.driver(work.handoff.desk).run(self._steps(work), work.journal)\n",
    ),
    _one(
        "a desk that was given up in doubt is forgotten",
        "fallback.py",
        "        lookback.remember(context, connection, row)\n",
        "        pass\n",
        seed=6,
    ),
    _one(
        "a ticket is ended that no other desk has taken over",
        "lookback.py",
        "        elif row.ticket_id or row.state == State.CANCELLED:\n",
        "        elif row.ticket_id or row.state in (State.CANCELLED, State.UNDELIVERED):\n",
        seed=6,
    ),
)
