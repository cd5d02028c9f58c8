"""Zendesk Support: one handoff becomes one ticket. STUB."""
