"""The tables. Times are microseconds since the epoch, UTC; bodies are JSON text made by the models."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Moment(sa.types.TypeDecorator[datetime]):
    """An aware UTC time as an integer, so that both databases compare and sort it alike."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> int | None:
        return None if value is None else (value - EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: int | None, dialect: Any) -> datetime | None:
        return None if value is None else EPOCH + timedelta(microseconds=value)


class Words(sa.types.TypeDecorator[str]):
    """Text that any store can hold: PostgreSQL takes no NUL, and none takes half a surrogate pair."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        if value is None or (value.isascii() and "\0" not in value):
            return value
        return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


metadata = sa.MetaData()

handoffs = sa.Table(
    "handoffs",
    metadata,
    sa.Column("id", Words, primary_key=True),
    sa.Column("key", Words, nullable=False, unique=True),
    sa.Column("conversation_id", Words, nullable=False, index=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("digest", Words, nullable=False),
    sa.Column("desk", Words, nullable=False),
    sa.Column("hop", sa.Integer, nullable=False),
    sa.Column("state", Words, nullable=False),
    sa.Column("group", Words),
    sa.Column("urgency", Words, nullable=False),
    sa.Column("reason", Words, nullable=False),
    sa.Column("trigger", Words),
    sa.Column("body", Words, nullable=False),
    sa.Column("created_at", Moment, nullable=False, index=True),
    sa.Column("ticket_id", Words),
    sa.Column("last_error", Words),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("trying_since", Moment),
    # n numbers the jobs of this row: a job with another number is out of date and does nothing
    sa.Column("n", sa.Integer, nullable=False),
    sa.Column("due_at", Moment),
    sa.Column("lease_by", Words),
    sa.Column("lease_until", Moment),
    # since when a person is needed before the next attempt
    sa.Column("parked_at", Moment),
    # what the policy said, as JSON; what is still to be done by a flow or a chain of raises, as JSON
    sa.Column("decision", Words),
    sa.Column("plan", Words),
    # watch_n numbers the jobs that look whether somebody has taken or answered this in time
    sa.Column("watch_n", sa.Integer, nullable=False, server_default="0"),
    sa.Column("watch_at", Moment),
)
_open = handoffs.c.due_at.is_not(None)
sa.Index("ix_handoffs_desk", handoffs.c.desk, handoffs.c.created_at)
sa.Index("ix_handoffs_state", handoffs.c.state, handoffs.c.created_at)
# Few rows are ever due or leased: their indexes stay small, however many handoffs are stored.
sa.Index("ix_handoffs_due_at", handoffs.c.desk, handoffs.c.due_at, sqlite_where=_open, postgresql_where=_open)
sa.Index(
    "ix_handoffs_lease_by",
    handoffs.c.lease_by,
    sqlite_where=handoffs.c.lease_by.is_not(None),
    postgresql_where=handoffs.c.lease_by.is_not(None),
)
sa.Index(
    "ix_handoffs_watch_at",
    handoffs.c.watch_at,
    sqlite_where=handoffs.c.watch_at.is_not(None),
    postgresql_where=handoffs.c.watch_at.is_not(None),
)
sa.Index(
    "ix_handoffs_parked",
    handoffs.c.desk,
    handoffs.c.id,
    sqlite_where=handoffs.c.parked_at.is_not(None),
    postgresql_where=handoffs.c.parked_at.is_not(None),
)

operations = sa.Table(
    "operations",
    metadata,
    sa.Column("id", Words, primary_key=True),
    sa.Column("handoff_id", Words, nullable=False),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("kind", Words, nullable=False),
    sa.Column("payload", Words, nullable=False),
    sa.Column("state", Words, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("round", sa.Integer, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("done_at", Moment),
    sa.Column("error", Words),
    sa.UniqueConstraint("handoff_id", "seq"),
)
_unfinished = operations.c.state.in_([sa.literal_column("'todo'"), sa.literal_column("'failed'")])
sa.Index(
    "ix_operations_unfinished",
    operations.c.state,
    operations.c.handoff_id,
    sqlite_where=_unfinished,
    postgresql_where=_unfinished,
)

side_steps = sa.Table(
    "side_steps",
    metadata,
    # what a flow does beside a handoff; tries numbers the jobs of a row, due_at is null where it has ended
    sa.Column("handoff_id", Words, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("flow", Words, nullable=False),
    sa.Column("step", Words, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("due_at", Moment),
    sa.Column("error", Words),
)
_to_do = side_steps.c.due_at.is_not(None)
sa.Index("ix_side_steps_due_at", side_steps.c.due_at, sqlite_where=_to_do, postgresql_where=_to_do)

journal = sa.Table(
    "journal",
    metadata,
    sa.Column("operation_id", Words, primary_key=True),
    sa.Column("round", sa.Integer, primary_key=True),
    sa.Column("n", sa.Integer, primary_key=True),
    sa.Column("method", Words, nullable=False),
    sa.Column("path", Words, nullable=False),
    sa.Column("headers", Words, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("first_sent", Moment, nullable=False),
    sa.Column("last_sent", Moment, nullable=False),
    sa.Column("doubt", sa.Boolean, nullable=False),
    sa.Column("key_lost", sa.Boolean, nullable=False),
    sa.Column("done", sa.Boolean, nullable=False),
    sa.Column("status", sa.Integer),
    sa.Column("reply_headers", Words),
    sa.Column("reply", sa.LargeBinary),
    sa.Column("answered_at", Moment),
)

tickets = sa.Table(
    "tickets",
    metadata,
    sa.Column("desk", Words, primary_key=True),
    sa.Column("id", Words, primary_key=True),
    sa.Column("handoff_id", Words, nullable=False, index=True),
    sa.Column("url", Words),
    sa.Column("status", Words, nullable=False),
    sa.Column("raw_status", Words),
    sa.Column("status_at", Moment),
    sa.Column("assignee", Words),
    sa.Column("group", Words),
    sa.Column("updated_at", Moment),
    sa.Column("raw", Words, nullable=False),
    sa.Index("ix_tickets_status", "desk", "status", "status_at"),
)

ours = sa.Table(
    "ours",
    metadata,
    sa.Column("desk", Words, primary_key=True),
    sa.Column("event_id", Words, primary_key=True),
)

updates = sa.Table(
    "updates",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("id", Words, nullable=False, unique=True),
    sa.Column("handoff_id", Words, nullable=False, index=True),
    sa.Column("kind", Words, nullable=False),
    sa.Column("at", Moment, nullable=False),
    sa.Column("received_at", Moment, nullable=False),
    sa.Column("body", Words, nullable=False),
)

hooks = sa.Table(
    "hooks",
    metadata,
    sa.Column("id", Words, primary_key=True),
    sa.Column("desk", Words, nullable=False),
    sa.Column("headers", Words, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("received_at", Moment, nullable=False),
    sa.Column("state", Words, nullable=False, index=True),
    sa.Column("n", sa.Integer, nullable=False),
    sa.Column("due_at", Moment),
    sa.Column("error", Words),
)

desks = sa.Table(
    "desks",
    metadata,
    sa.Column("name", Words, primary_key=True),
    sa.Column("paused_because", Words),
    sa.Column("paused_at", Moment),
    sa.Column("cursor", Words),
    sa.Column("polled_at", Moment),
    sa.Column("poll_n", sa.Integer, nullable=False),
    sa.Column("poll_due_at", Moment),
    sa.Column("poll_error", Words),
)

paces = sa.Table(
    "paces",
    metadata,
    # one row for each request of the last minute, of desks whose configuration has a rate
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("desk", Words, nullable=False),
    sa.Column("at", Moment, nullable=False),
    sa.Index("ix_paces_desk", "desk", "at"),
)

slots = sa.Table(
    "slots",
    metadata,
    # one row for each thread that talks to a desk, where several workers share one database
    sa.Column("id", Words, primary_key=True),
    sa.Column("desk", Words, nullable=False, index=True),
    sa.Column("holder", Words, nullable=False),
)

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("name", Words, primary_key=True),
    sa.Column("seen_at", Moment, nullable=False),
)

subscribers = sa.Table(
    "subscribers",
    metadata,
    sa.Column("name", Words, primary_key=True),
    sa.Column("cursor", sa.BigInteger, nullable=False),
    sa.Column("n", sa.Integer, nullable=False),
    sa.Column("due_at", Moment),
    sa.Column("failing_since", Moment),
    sa.Column("error", Words),
)

timeline = sa.Table(
    "timeline",
    metadata,
    # SQLite numbers rows by itself only where the key is a plain INTEGER
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("handoff_id", Words, nullable=False, index=True),
    sa.Column("at", Moment, nullable=False),
    sa.Column("text", Words, nullable=False),
)

counters = sa.Table(
    "counters",
    metadata,
    sa.Column("name", Words, primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)

moves = sa.Table(
    "moves",
    metadata,
    # one row in a store that was moved away, and one in the store that it was moved to
    sa.Column("id", Words, primary_key=True),
    sa.Column("state", Words, nullable=False),
    sa.Column("other", Words, nullable=False),
    sa.Column("at", Moment, nullable=False),
)
