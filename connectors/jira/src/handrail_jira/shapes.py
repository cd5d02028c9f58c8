"""A detail as a custom field takes it, by the type that Jira tells.

https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from handrail_jira import adf


def shaped(shape: Mapping[str, Any], value: str, is_cloud: bool) -> Any:
    """A value as a field of this type takes it; a text where the type is not known."""
    kind = str(shape.get("type") or "string")
    if kind == "array":
        return [shaped({**shape, "type": shape.get("items")}, part, is_cloud) for part in _parts(value)]
    if kind == "number":
        return _number(value)
    if kind in ("option", "priority", "component", "version", "option-with-child"):
        ids = (shape.get("allowed") or {}).values()
        return {"id": value} if value in ids else {"value" if kind.startswith("option") else "name": value}
    if kind == "group":
        return {"name": value}
    if kind == "user":
        return {"id" if is_cloud else "name": value}
    if is_cloud and str(shape.get("custom")).endswith(":textarea"):
        return adf.doc(value)
    return value


def _parts(value: str) -> list[str]:
    """The members of a list, which comes as JSON or with commas between them."""
    try:
        given = json.loads(value)
    except ValueError:
        given = None
    known = [str(each) for each in given if each is not None] if isinstance(given, list) else None
    parts = value.split(",") if known is None else known
    return [part.strip() for part in parts if part.strip()]


def _number(value: str) -> Any:
    try:
        return float(value)
    except ValueError:
        return value  # Jira says in its own words what it wants
