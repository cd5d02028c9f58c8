"""Zendesk's ways of saying no. https://developer.zendesk.com/api-reference/introduction/requests/"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from handrail import Reply

WORDS = {
    "group": "group",
    "priority": "urgency",
    "assignee": "owner",
    "tags": "tags",
    "current_tags": "tags",
    "requester": "customer",
    "submitter": "customer",
    "brand": "brand",
    "form": "form",
    "ticket_form": "form",
}
"""Fields that a refusal names, in our words. A submitter goes with the customer."""
ACCOUNT = ("x-rate-limit-remaining", "rate-limit-remaining")
ENDPOINT = ("zendesk-ratelimit-", "zendesk-rate-limit-")


def explain(reply: Reply) -> str:
    """Error, description and details in one line; the text of a page where the answer is no JSON."""
    words = dict.fromkeys(_texts(reply.data))
    text = "; ".join(words) or re.sub(r"<[^<>]*>", " ", reply.excerpt)
    return " ".join(text.split())[:500] or f"status {reply.status}"


def refused_fields(reply: Reply, fields: Mapping[str, str]) -> dict[str, str]:
    """What the details of a 422 name, in our words; ``fields`` are our names of custom fields."""
    details = _of(reply).get("details") if reply.status == 422 else None
    found: dict[str, str] = {}
    for key, items in details.items() if isinstance(details, dict) else ():
        for item in items if isinstance(items, list) else [items]:
            why = "; ".join(_texts(item))
            spoken = why.partition(":")[0] if key == "base" else key
            named = _custom(f"{key} {item}", fields) or WORDS.get(
                re.sub("_(id|email)$", "", spoken.strip().lower())
            )
            if named:
                found.setdefault(named, why)
    return found


def key_is_used(reply: Reply) -> bool:
    return reply.status == 400 and _of(reply).get("error") == "IdempotentRequestError"


# https://developer.zendesk.com/api-reference/introduction/rate-limits/
def is_for_all(reply: Reply) -> bool:
    """False for the limit of one endpoint, such as 30 updates of one ticket in 10 minutes, or 10 exports a
    minute. The account's own limit may be under either of two names, each endpoint's under its own.
    """
    left = next((reply.headers[name] for name in ACCOUNT if name in reply.headers), None)
    if left is not None:
        return not re.fullmatch("0*[1-9][0-9]*", left.strip())
    spent = (value for name, value in reply.headers.items() if name.startswith(ENDPOINT))
    return not any(re.search(r"remaining=0\b", value) for value in spent)


def _custom(text: str, fields: Mapping[str, str]) -> str | None:
    """Our name of the custom field whose number stands in a refusal."""
    numbers = set(re.findall("[0-9]+", text))
    return next((f"fields.{name}" for name, number in fields.items() if number in numbers), None)


def _of(reply: Reply) -> dict[str, Any]:
    return reply.data if isinstance(reply.data, dict) else {}


def _texts(data: Any) -> list[str]:
    """Every text of an answer, in its order, whatever its shape."""
    if isinstance(data, dict | list):
        items = data.values() if isinstance(data, dict) else data
        return [text for item in items for text in _texts(item)]
    return [data] if isinstance(data, str) and data else []
