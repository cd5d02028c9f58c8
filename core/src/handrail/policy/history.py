"""What really happened to each handoff, read from the store in pages: a million handoffs need no more memory.

Only the parts that are counted leave the database, never a whole conversation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any

import sqlalchemy as sa

from handrail.model import State, UpdateKind
from handrail.store import Store
from handrail.store.schema import Moment, handoffs, operations, updates

PAGE = 500
MIN_DETAIL = 4
"""A detail shorter than this stands in many texts by chance."""

_MOST_TEXT = 20_000
_AT_ONCE = 50
_KINDS = (
    UpdateKind.CREATED,
    UpdateKind.ASSIGNMENT,
    UpdateKind.REPLY,
    UpdateKind.CUSTOMER_MESSAGE,
    UpdateKind.MERGED,
    UpdateKind.DELETED,
)


@dataclass(frozen=True)
class Case:
    """One handoff and what became of it.

    ``answered_after``: seconds until the first public reply of a human, None without one. ``in_time``:
    whether that reply kept the promise, None where nothing was promised or it can still be kept. ``silent``:
    solved or closed, and no human ever replied. ``moved_to``: the last group of its ticket, where that
    group differs from its first. ``heard``: the customer wrote again after a human had. ``repeated``:
    details that the handoff held and the customer wrote nevertheless after a human had replied.
    """

    trigger: str | None
    group: str | None
    desk: str
    reason: str
    urgency: str
    topic: str | None
    created_at: datetime
    ended: bool
    silent: bool
    answered_after: float | None
    in_time: bool | None
    moved_to: str | None
    heard: bool
    repeated: tuple[str, ...]


@dataclass(frozen=True)
class _Event:
    """An update, or a message that went through us: what of it is counted."""

    kind: str
    at: datetime
    text: str = ""
    group: str | None = None


def cases(store: Store, since: datetime, now: datetime) -> Iterator[Case]:
    """Every handoff that was accepted since a time, oldest first."""
    last: Any = None
    while True:
        with store.read() as connection:
            page = connection.execute(_page(connection, since, last)).all()
            events = _events(connection, [row.id for row in page])
            later = {row.id: _later(events[row.id]) for row in page}
            held = _held(
                connection,
                [id for id, said in later.items() if any(_names_something(each.text) for each in said)],
            )
        for row in page:
            yield _case(row, events[row.id], later[row.id], held.get(row.id, {}), now)
        if len(page) < PAGE:
            return
        last = page[-1]


def _json(connection: sa.Connection, column: sa.Column[str]) -> Any:
    """A column of JSON text as something to take parts from."""
    if connection.dialect.name == "postgresql":
        return sa.cast(column, sa.JSON)
    return sa.type_coerce(column, sa.JSON)


def _page(connection: sa.Connection, since: datetime, last: Any) -> sa.Select[Any]:
    body = _json(connection, handoffs.c.body)
    names = ("id", "trigger", "group", "desk", "reason", "urgency", "created_at", "state")
    query = sa.select(
        *(handoffs.c[name] for name in names),
        body[("due", "first_response")].as_string().label("due"),
        body[("conversation", "topic")].as_string().label("topic"),
    )
    query = query.order_by(handoffs.c.created_at, handoffs.c.id).limit(PAGE)
    if last is None:
        return query.where(handoffs.c.created_at >= since)
    place = sa.tuple_(handoffs.c.created_at, handoffs.c.id)
    behind = sa.tuple_(sa.literal(last.created_at, Moment), sa.literal(last.id))
    return query.where(handoffs.c.created_at >= last.created_at, place > behind)


def _events(connection: sa.Connection, ids: Sequence[str]) -> dict[str, list[_Event]]:
    """What happened to each of these handoffs, in its order."""
    body, found = _json(connection, updates.c.body), defaultdict(list)
    text = sa.func.substr(body["text"].as_string(), 1, _MOST_TEXT)
    query = sa.select(
        updates.c.handoff_id, updates.c.kind, updates.c.at, text.label("text"), body["group"].as_string()
    ).where(updates.c.handoff_id.in_(ids), updates.c.kind.in_([str(kind) for kind in _KINDS]))
    for handoff_id, kind, at, words, group in connection.execute(query.order_by(updates.c.seq)):
        found[handoff_id].append(_Event(kind, at, words or "", group))
    for handoff_id, event in _said_through_us(connection, ids):
        found[handoff_id].append(event)
    return found


def _said_through_us(connection: sa.Connection, ids: Sequence[str]) -> Iterator[tuple[str, _Event]]:
    """What the customer wrote elsewhere and we carried to the ticket."""
    payload = _json(connection, operations.c.payload)["messages"].as_json()
    query = sa.select(operations.c.handoff_id, operations.c.created_at, payload.label("messages"))
    query = query.where(operations.c.handoff_id.in_(ids), operations.c.kind == "say")
    for handoff_id, at, messages in connection.execute(query.order_by(operations.c.id)):
        for message in messages or ():
            if message["role"] == "customer":
                yield handoff_id, _Event(UpdateKind.CUSTOMER_MESSAGE, at, message["text"][:_MOST_TEXT])


def _later(events: Sequence[_Event]) -> list[_Event]:
    """What the customer said after a human had first replied."""
    answer = _answer(events)
    said = (each for each in events if each.kind == UpdateKind.CUSTOMER_MESSAGE)
    return [each for each in said if answer is not None and each.at > answer]


def _answer(events: Iterable[_Event]) -> datetime | None:
    return min((each.at for each in events if each.kind == UpdateKind.REPLY), default=None)


def _case(
    row: Any, events: Sequence[_Event], later: Sequence[_Event], held: Mapping[str, str], now: datetime
) -> Case:
    answer = _answer(events)
    gone = any(each.kind in (UpdateKind.MERGED, UpdateKind.DELETED) for each in events)
    ended = row.state in (State.SOLVED, State.CLOSED) and not gone
    names = ("trigger", "group", "desk", "reason", "urgency", "topic", "created_at")
    return Case(
        **{name: getattr(row, name) for name in names},
        ended=ended,
        silent=ended and answer is None,
        answered_after=(answer - row.created_at).total_seconds() if answer else None,
        in_time=_in_time(row.due, answer, State(row.state).ended, now),
        moved_to=_moved_to(events),
        heard=bool(later),
        repeated=tuple(_repeated(held, events, later)),
    )


def _in_time(due: str | None, answer: datetime | None, ended: bool, now: datetime) -> bool | None:
    if due is None:
        return None
    until = datetime.fromisoformat(due)
    if answer is not None:
        return answer <= until
    return None if ended or now <= until else False


def _moved_to(events: Iterable[_Event]) -> str | None:
    """The last group of the ticket that is another than its first; None where it stayed."""
    known = (UpdateKind.CREATED, UpdateKind.ASSIGNMENT)
    groups = [event.group for event in events if event.kind in known and event.group]
    others = [group for group in groups if group.casefold() != groups[0].casefold()]
    return others[-1] if others else None


def _held(connection: sa.Connection, ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """The details of each handoff that somebody could be asked for: an order's number, an address."""
    body, found = _json(connection, handoffs.c.body), {}
    customer, fields = (
        body[("conversation", "customer")].as_json(),
        body[("conversation", "fields")].as_json(),
    )
    for some in (ids[n : n + _AT_ONCE] for n in range(0, len(ids), _AT_ONCE)):
        query = sa.select(handoffs.c.id, customer, fields).where(handoffs.c.id.in_(some))
        for id, who, known in connection.execute(query):
            found[id] = _details(who or {}, known or {})
    return found


def _details(customer: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, str]:
    attributes: Mapping[str, Any] = customer.get("attributes") or {}
    known = chain(customer.items(), attributes.items(), fields.items())
    return {name: str(value).casefold() for name, value in known if _is_detail(value)}


def _is_detail(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return False
    return MIN_DETAIL <= len(str(value)) <= 100 and _names_something(str(value))


def _names_something(text: str) -> bool:
    return "@" in text or any(letter.isdigit() for letter in text)


def _repeated(held: Mapping[str, str], events: Iterable[_Event], later: Iterable[_Event]) -> Iterator[str]:
    """Details in what the customer wrote that no human had written before: then they had not seen them.

    A line that quotes (``>``) is not the customer's.
    """
    replies = " ".join(event.text.casefold() for event in events if event.kind == UpdateKind.REPLY)
    lines = (line for event in later for line in event.text.casefold().splitlines())
    said = "\n".join(line for line in lines if not line.lstrip().startswith(">"))
    for name, value in held.items():
        if stands_in(value, said) and not stands_in(value, replies):
            yield name


def stands_in(value: str, text: str) -> bool:
    """True where ``value`` stands in ``text`` as a word of its own, not inside a longer one."""
    place = text.find(value)
    while place >= 0:
        end = place + len(value)
        if not text[max(0, place - 1) : place].isalnum() and not text[end : end + 1].isalnum():
            return True
        place = text.find(value, place + 1)
    return False
