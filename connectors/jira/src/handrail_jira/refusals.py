"""Jira's ways of saying no, and of saying wait.

https://developer.atlassian.com/cloud/jira/platform/rest/v3/intro/#status-codes
https://developer.atlassian.com/cloud/jira/platform/rate-limiting/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from handrail import Reply

WORDS = {
    "components": "group",
    "priority": "urgency",
    "labels": "tags",
    "assignee": "owner",
    "duedate": "due",
    "reporter": "customer",
    "raiseOnBehalfOf": "customer",
    "description": "description",
}
"""Optional fields in our words. A description that is refused goes into a comment."""
TRACES = ("atl-traceid", "x-arequestid")
NARROW = ("per-issue", "burst")
"""Reasons that are about one issue, or about one path and method; a quota is about everything."""
MAX_WAIT = 3600.0
"""Seconds. A quota begins anew with each full hour."""


def explain(reply: Reply) -> str:
    """All that was said in one line, with the reason of a 429 and what Atlassian's support asks for."""
    words = dict.fromkeys(_texts(reply.data))
    text = "; ".join(words) or re.sub(r"<[^<>]*>", " ", reply.excerpt) or f"status {reply.status}"
    reason = reply.headers.get("ratelimit-reason")
    traces = [f"{name} {reply.headers[name]}" for name in TRACES if reply.headers.get(name)]
    return " ".join([" ".join(text.split())[:400], *([reason] if reason else []), *traces])[:500]


def retry_after(reply: Reply, now: datetime) -> float | None:
    """``X-RateLimit-Reset`` is an ISO time, not a number."""
    try:
        until = datetime.fromisoformat(reply.headers.get("x-ratelimit-reset", ""))
        return min(max((until - now).total_seconds(), 0.0), MAX_WAIT)
    except (ValueError, TypeError):
        return None


def is_for_all(reply: Reply) -> bool:
    """False where one issue was written to, or one operation asked for, too often."""
    reason = reply.headers.get("ratelimit-reason", "")
    return not any(word in reason for word in NARROW)


def refused_fields(reply: Reply, named: Mapping[str, str]) -> dict[str, str]:
    """What a 400 names, in our words; ``named`` are those of fields that the configuration names."""
    if reply.status != 400 or not isinstance(reply.data, dict):
        return {}
    words = WORDS | dict(named)
    found = {words[field]: why for field, why in _named(reply.data) if field in words}
    message = str(reply.data.get("errorMessage") or "")
    if re.search(r"behalf|customer|reporter|participant", message, re.IGNORECASE):
        found.setdefault("customer", message)
    return found


def custom(reply: Reply, known: Mapping[str, str]) -> str | None:
    """What is said about a custom field that the configuration does not name."""
    if reply.status != 400 or not isinstance(reply.data, dict):
        return None
    named = _named(reply.data)
    return next(
        (why for field, why in named if field.startswith("customfield_") and field not in known), None
    )


def _named(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Fields with what is wrong with each: from ``errors``, or quoted in a message that stands alone."""
    errors = data.get("errors")
    if isinstance(errors, dict):
        yield from ((str(field), "; ".join(_texts(why)) or "refused") for field, why in errors.items())
    for message in _texts([data.get("errorMessages"), data.get("errorMessage")]):
        if "required" not in message:  # then leaving it out is what is wrong
            yield from ((field, message) for field in re.findall(r"['\"](\w+)['\"]", message))


def _texts(data: Any) -> list[str]:
    """Every text of an answer, in its order, whatever its shape."""
    if isinstance(data, dict | list):
        items = data.values() if isinstance(data, dict) else data
        return [text for item in items for text in _texts(item)]
    return [data] if isinstance(data, str) and data else []
