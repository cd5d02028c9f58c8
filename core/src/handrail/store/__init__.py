"""Our own rows: handoffs, operations, journal, tickets, updates. SQLite by default, PostgreSQL by URL."""

from handrail.store.engine import Store

__all__ = ["Store"]
