"""Accepting: a conversation becomes a durable handoff, once for each key."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, cast

import sqlalchemy as sa

from handrail import flows, waits
from handrail.context import Context
from handrail.errors import Conflict, InputError, RedactorFailed
from handrail.flows import Start
from handrail.ids import ulid
from handrail.model import Conversation, File, Handoff, Message, Reason, State, Urgency
from handrail.plugins import plugins
from handrail.policy.detect import are_there
from handrail.redact import mask, redact
from handrail.store import handoffs, operations
from handrail.text import clean
from handrail.transcripts import transfer_summary

MAX_KEY = 200
_SORTED = json.JSONEncoder(sort_keys=True)


@dataclass(frozen=True)
class Wish:
    """What the caller asked for beside the conversation; None where nothing was asked."""

    desk: str | None = None
    group: str | None = None
    urgency: Urgency | None = None
    reason: Reason | None = None
    trigger: str | None = None
    summary: str | None = None
    next_steps: tuple[str, ...] = ()
    key: str | None = None
    files: tuple[File, ...] = ()
    owner: str | None = None
    tags: tuple[str, ...] = ()
    until: datetime | None = None
    """When people take over, where the AI may still try; None: now."""
    decision: str | None = None
    """What the policy said, as JSON, for the record."""
    flow: str | None = None
    collecting: bool = False
    """True where the flow waits, at most ``until``, for answers."""


_NOT_GIVEN = {"key", "files", "until", "decision", "flow", "collecting"}
"""What of a wish is the key itself, is compared on its own, or is the policy's."""
_GIVEN = tuple(each.name for each in fields(Wish) if each.name not in _NOT_GIVEN)


def accept(context: Context, conversation: Conversation, wish: Wish) -> Handoff:
    """Store a handoff and its first job in one transaction; durable when it returns.

    The same key and content give the handoff that is there already; the same key with other content
    raises ``Conflict``. Without a key, a conversation whose last handoff has not ended gives that one, and
    messages that came since are added to it.
    """
    _check(context, wish)
    draft = _draft(context, redacted(conversation), _routed(context, conversation, wish))
    start = flows.start(context, draft, wish.flow, wish.until, collecting=wish.collecting)
    draft = waits.due(context, start.handoff, draft.created_at)
    digest = _digest(conversation, wish)
    _ask_ahead(context, draft)
    for _ in (1, 2):
        try:
            with context.store.begin() as connection:
                return _accept(context, connection, draft, start, wish, digest)
        except sa.exc.IntegrityError:  # another process was faster: its handoff is there now
            continue
    raise Conflict(f"the key {draft.conversation.id}:N that this handoff would get is another handoff's")


def _ask_ahead(context: Context, draft: Handoff) -> None:
    """Where the conversation waits in a flow, what its conditions need is asked before the store is held."""
    if not are_there():
        return
    with context.store.read() as connection:
        newest = handoffs.of_conversation(connection, draft.conversation.id)
    if newest is not None:
        waits.ask_ahead(context, newest.id, draft.conversation)


def _check(context: Context, wish: Wish) -> None:
    if wish.key is not None and not 0 < len(wish.key) <= MAX_KEY:
        raise InputError(f"a key has 1 to {MAX_KEY} characters, this one {len(wish.key)}", field="key")
    if wish.key is not None and clean(wish.key) != wish.key:
        raise InputError("a key has no control characters", field="key")
    if wish.desk:
        context.connector(wish.desk)


def _routed(context: Context, conversation: Conversation, wish: Wish) -> Wish:
    """The wish, filled up by the routes; a decision has been through them already.

    What they set is not the caller's: it makes no request under the same key another one.
    """
    policy = context.config.policy
    if policy is None or not policy.routes or wish.decision is not None:
        return wish
    found = policy.routed(conversation).items()
    return replace(wish, **{name: value for name, value in found if not getattr(wish, name)})


def redacted(conversation: Conversation) -> Conversation:
    """The conversation without card numbers and credentials, and past every plugin that masks more.

    A redactor that fails stops its handoff: ``RedactorFailed`` says which.
    """
    conversation = redact(conversation)
    for plugin in plugins().hook.handrail_redact.get_hookimpls():
        try:
            masked = cast(Callable[[Conversation], Conversation | None], plugin.function)(conversation)
        except Exception as error:
            raise RedactorFailed(
                f"the redactor of plugin {plugin.plugin_name} failed ({type(error).__name__}); "
                "nothing was handed off"
            ) from error
        conversation = masked or conversation
    return conversation


def _draft(context: Context, conversation: Conversation, wish: Wish) -> Handoff:
    now = context.clock()
    urgency = wish.urgency or Urgency.NORMAL
    return Handoff(
        id=ulid(now),
        key="",
        conversation=conversation,
        desk=wish.desk or context.config.desk,
        reason=wish.reason or Reason.CONFIGURED,
        trigger=wish.trigger,
        summary=mask(wish.summary) if wish.summary else transfer_summary(conversation),
        group=wish.group,
        urgency=urgency,
        owner=wish.owner,
        tags=wish.tags,
        next_steps=tuple(map(mask, wish.next_steps)),
        files=wish.files,
        created_at=now,
    )


def _digest(conversation: Conversation, wish: Wish) -> str:
    """What makes two requests under one key the same: all that the caller gave, as it was given."""
    wished = [getattr(wish, name) for name in _GIVEN]
    files = [file.model_dump(mode="json") for file in wish.files]
    known = conversation.model_dump(mode="json", exclude={"messages"})
    said = conversation.model_dump_json(include={"messages"})  # most of it, and nothing in it needs an order
    content = _SORTED.encode([known, wished, files])
    return hashlib.sha256(f"{content}\n{said}".encode()).hexdigest()


def _accept(
    context: Context, connection: sa.Connection, draft: Handoff, start: Start, wish: Wish, digest: str
) -> Handoff:
    if wish.key is not None:
        there = handoffs.by_key(connection, wish.key)
        if there is not None:
            return _the_same(there, digest, wish.key)
    newest = handoffs.of_conversation(connection, draft.conversation.id)
    if wish.key is None and newest is not None:
        newest = handoffs.get(connection, newest.id, lock=True)
        if not State(newest.state).ended:
            return _continued(context, connection, newest, start)
    number = newest.number + 1 if newest is not None else 1
    key = wish.key or f"{draft.conversation.id}:{number}"
    handoff = draft.model_copy(update={"number": number, "key": key})
    now, until = handoff.created_at, start.until
    state = State.WAITING if until else State.ACCEPTED
    more = {"state": state, "due_at": until or now, "decision": wish.decision, "plan": start.plan}
    handoffs.insert(connection, handoff, digest, **more)
    operations.add(connection, ulid(now), handoff.id, "create", {}, now, first=True)
    if until:
        waits.begun(context, connection, handoff, until, start)
    else:
        handoffs.note(connection, handoff.id, now, f"accepted for {handoff.desk}")
    if start.walked is not None:
        flows.set_out(context, connection, handoff, wish.flow or "", start.walked)
    delay = (until - now).total_seconds() if until else 0
    context.schedule(connection, f"deliver:{handoff.desk}", handoff.id, 0, delay)
    return handoff


def _the_same(there: Any, digest: str, key: str) -> Handoff:
    if there.digest != digest:
        raise Conflict(f"the key {key!r} was used before, for other content: handoff {there.id}")
    return Handoff.model_validate_json(there.body)


def _continued(context: Context, connection: sa.Connection, there: Any, start: Start) -> Handoff:
    """The running handoff of a conversation; what was said since it was accepted goes to the ticket."""
    if there.state == State.WAITING:
        return waits.sooner(context, connection, there, start)
    running = Handoff.model_validate_json(there.body)
    known, given = running.conversation.spoken, start.draft.conversation.spoken
    if [_words(each) for each in given[: len(known)]] != [_words(each) for each in known]:
        return running
    since = Counter(_said_since(connection, there.id))
    fresh = []
    for message in given[len(known) :]:
        since[_words(message)] -= 1
        if since[_words(message)] < 0:  # so often it has not been said yet
            fresh.append(message)
    if fresh:
        queue(context, connection, there.id, "say", said(fresh))
    return running


def _words(message: Message) -> tuple[str, str]:
    return message.role, message.text


def _said_since(connection: sa.Connection, handoff_id: str) -> Iterator[tuple[str, str]]:
    for row in operations.of_handoff(connection, handoff_id):
        if row.kind == "say" and row.state != "merged":
            yield from (_words(Message.model_validate(each)) for each in json.loads(row.payload)["messages"])


def said(messages: Sequence[Message]) -> dict[str, Any]:
    return {"messages": [message.model_dump(mode="json") for message in messages]}


def say(context: Context, handoff_id: str, message: Message) -> None:
    """Queue a later message, without what must not reach a desk."""
    with context.store.read() as connection:
        row = handoffs.get(connection, handoff_id)
    conversation = Handoff.model_validate_json(row.body).conversation
    safe = redacted(conversation.model_copy(update={"messages": (message,)})).messages
    if safe:
        with context.store.begin() as connection:
            queue(context, connection, handoff_id, "say", said(safe))


def set_urgency(context: Context, handoff_id: str, urgency: Urgency) -> None:
    """Change how urgent a handoff is: one that waits as it stands, any other also on its desk."""
    with context.store.begin() as connection:
        row = handoffs.get(connection, handoff_id, lock=True)
        if row.state == State.WAITING:
            waits.urged(context, connection, row, urgency)
            return
        queue(context, connection, handoff_id, "change", {"urgency": urgency})
        handoffs.change(connection, handoff_id, urgency=urgency)


def queue(
    context: Context, connection: sa.Connection, handoff_id: str, kind: str, payload: dict[str, Any]
) -> None:
    """Add an operation to a handoff and see that it is delivered, behind those before it."""
    now = context.clock()
    row = handoffs.get(connection, handoff_id, lock=True)
    if row.state == State.CANCELLED:
        raise Conflict(f"handoff {handoff_id} was cancelled")
    if row.state == State.WAITING and kind == "say":
        waits.said(connection, row, tuple(map(Message.model_validate, payload["messages"])))
        return
    operations.add(connection, ulid(now), handoff_id, kind, payload, now)
    if row.state != State.UNDELIVERED:
        wake(context, connection, row, now)


def wake(context: Context, connection: sa.Connection, row: Any, now: datetime) -> None:
    """Make a handoff due now, unless an attempt runs, which will see what is new, or waits for its time."""
    if handoffs.held(row, now) or (row.due_at and row.due_at > now and not row.lease_by):
        return
    handoffs.change(connection, row.id, n=row.n + 1, due_at=now, **handoffs.FREE)
    context.schedule(connection, f"deliver:{row.desk}", row.id, row.n + 1, 0)


def cancel(context: Context, handoff_id: str) -> None:
    """Stop a handoff that has not reached its desk. Raises ``Conflict`` where it has, or may have."""
    now = context.clock()
    with context.store.begin() as connection:
        row = handoffs.get(connection, handoff_id, lock=True)
        if row.state == State.CANCELLED:
            return
        if row.ticket_id or State(row.state).ended:
            raise Conflict(f"handoff {handoff_id} is {row.state}; close it instead")
        if row.state == State.WAITING:
            waits.ended(context, connection, row, "cancelled")
            return
        if handoffs.held(row, now) or operations.in_doubt(connection, handoff_id):
            raise Conflict(
                f"handoff {handoff_id} may have reached {row.desk} already; wait until that is known"
            )
        if Handoff.model_validate_json(row.body).left_in_doubt:
            raise Conflict(
                f"a desk that was given up may hold the ticket of handoff {handoff_id} (`handrail show` says "
                f"which); close the handoff once {row.desk} has it"
            )
        ended = {"state": State.CANCELLED, "n": row.n + 1, "due_at": None}
        handoffs.change(connection, handoff_id, **ended, **handoffs.FREE)
        context.finished(connection, f"deliver:{row.desk}", row.id, row.n)
        handoffs.note(connection, handoff_id, now, "cancelled")


def close(context: Context, handoff_id: str) -> None:
    """Close the ticket as solved, behind everything that was queued before."""
    with context.store.begin() as connection:
        row = handoffs.get(connection, handoff_id, lock=True)
        if State(row.state).ended:
            return
        if row.state == State.WAITING:
            waits.ended(context, connection, row, "closed before anything was handed over")
            return
        queue(context, connection, handoff_id, "change", {"status": "solved"})
        handoffs.note(connection, handoff_id, context.clock(), "closing was asked for")
