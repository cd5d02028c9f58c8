"""The first schema. Generated from ``store/schema.py`` and frozen: later changes are later migrations."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.BigInteger()
"""Microseconds since the epoch, UTC."""


def upgrade() -> None:
    op.create_table(
        "counters",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "desks",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("paused_because", sa.Text()),
        sa.Column("paused_at", MOMENT),
        sa.Column("cursor", sa.Text()),
        sa.Column("polled_at", MOMENT),
        sa.Column("poll_n", sa.Integer(), nullable=False),
        sa.Column("poll_due_at", MOMENT),
        sa.Column("poll_error", sa.Text()),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "handoffs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("conversation_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("desk", sa.Text(), nullable=False),
        sa.Column("hop", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("group", sa.Text()),
        sa.Column("urgency", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("trigger", sa.Text()),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("ticket_id", sa.Text()),
        sa.Column("last_error", sa.Text()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("trying_since", MOMENT),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("due_at", MOMENT),
        sa.Column("lease_by", sa.Text()),
        sa.Column("lease_until", MOMENT),
        sa.Column("parked_at", MOMENT),
        sa.Column("decision", sa.Text()),
        sa.Column("plan", sa.Text()),
        sa.Column("watch_n", sa.Integer(), server_default="0", nullable=False),
        sa.Column("watch_at", MOMENT),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
    )
    op.create_index("ix_handoffs_conversation_id", "handoffs", ["conversation_id"])
    op.create_index("ix_handoffs_created_at", "handoffs", ["created_at"])
    op.create_index("ix_handoffs_desk", "handoffs", ["desk", "created_at"])
    op.create_index("ix_handoffs_state", "handoffs", ["state", "created_at"])
    _partial("ix_handoffs_due_at", "handoffs", ["desk", "due_at"], "due_at IS NOT NULL")
    _partial("ix_handoffs_parked", "handoffs", ["desk", "id"], "parked_at IS NOT NULL")
    _partial("ix_handoffs_lease_by", "handoffs", ["lease_by"], "lease_by IS NOT NULL")
    _partial("ix_handoffs_watch_at", "handoffs", ["watch_at"], "watch_at IS NOT NULL")
    op.create_table(
        "hooks",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("desk", sa.Text(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("due_at", MOMENT),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_hooks_state", "hooks", ["state"])
    op.create_table(
        "journal",
        sa.Column("operation_id", sa.Text(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("first_sent", MOMENT, nullable=False),
        sa.Column("last_sent", MOMENT, nullable=False),
        sa.Column("doubt", sa.Boolean(), nullable=False),
        sa.Column("key_lost", sa.Boolean(), nullable=False),
        sa.Column("done", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("reply_headers", sa.Text()),
        sa.Column("reply", sa.LargeBinary()),
        sa.Column("answered_at", MOMENT),
        sa.PrimaryKeyConstraint("operation_id", "round", "n"),
    )
    op.create_table(
        "moves",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("other", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "operations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("handoff_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("done_at", MOMENT),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("handoff_id", "seq"),
    )
    _partial("ix_operations_unfinished", "operations", ["state", "handoff_id"], "state IN ('todo', 'failed')")
    op.create_table(
        "ours",
        sa.Column("desk", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("desk", "event_id"),
    )
    op.create_table(
        "paces",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("desk", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_paces_desk", "paces", ["desk", "at"])
    op.create_table(
        "slots",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("desk", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_slots_desk", "slots", ["desk"])
    op.create_table(
        "side_steps",
        sa.Column("handoff_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("flow", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("due_at", MOMENT),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("handoff_id", "number"),
    )
    _partial("ix_side_steps_due_at", "side_steps", ["due_at"], "due_at IS NOT NULL")
    op.create_table(
        "subscribers",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("due_at", MOMENT),
        sa.Column("failing_since", MOMENT),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "tickets",
        sa.Column("desk", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("handoff_id", sa.Text(), nullable=False),
        sa.Column("url", sa.Text()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("raw_status", sa.Text()),
        sa.Column("status_at", MOMENT),
        sa.Column("assignee", sa.Text()),
        sa.Column("group", sa.Text()),
        sa.Column("updated_at", MOMENT),
        sa.Column("raw", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("desk", "id"),
    )
    op.create_index("ix_tickets_handoff_id", "tickets", ["handoff_id"])
    op.create_index("ix_tickets_status", "tickets", ["desk", "status", "status_at"])
    op.create_table(
        "timeline",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("handoff_id", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_timeline_handoff_id", "timeline", ["handoff_id"])
    op.create_table(
        "updates",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("handoff_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
    )
    op.create_index("ix_updates_handoff_id", "updates", ["handoff_id"])
    op.create_table(
        "workers",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    # The row exists from the start: two writers that both have to make it would be in each other's way.
    op.execute("insert into counters (name, value) values ('updates', 0)")


def _partial(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
