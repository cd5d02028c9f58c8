"""Lists in the three ways that Zendesk pages them: by offset, by cursor, by time."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from handrail.steps import Reply
from handrail.testing.desk import answer
from handrail.testing.wire import Seen
from handrail_zendesk.simulated.checks import error
from handrail_zendesk.simulated.records import HOST

RECENT_SECONDS = 60
"""The exports leave out the most recent minute."""
MAX_EXPORTED = 1000

Row = dict[str, Any]


def listed(seen: Seen, name: str, rows: Sequence[Row], limit: int) -> dict[str, Any]:
    """One page of a list: by cursor where the client says ``page[size]``, else by offset."""
    if "page[size]" in seen.query:
        return _by_cursor(seen, name, rows, limit)
    size = min(_number(seen, "per_page", limit), limit)
    page = _number(seen, "page", 1)
    start = (page - 1) * size
    more = start + size < len(rows)
    return {
        name: list(rows[start : start + size]),
        "count": len(rows),
        "next_page": _address(seen, page=page + 1) if more else None,
        "previous_page": _address(seen, page=page - 1) if page > 1 else None,
    }


def _by_cursor(seen: Seen, name: str, rows: Sequence[Row], limit: int) -> dict[str, Any]:
    size = min(_number(seen, "page[size]", limit), limit)
    start = _position(seen.query["page[after]"]) if "page[after]" in seen.query else 0
    shown = list(rows[start : start + size])
    end = start + len(shown)
    after, more = _cursor(end) if shown else None, end < len(rows)
    following = _address(seen, **{"page[after]": after}) if after and more else None
    meta = {"has_more": more, "after_cursor": after, "before_cursor": _cursor(start) if shown else None}
    return {name: shown, "meta": meta, "links": {"prev": None, "next": following}}


def time_based(seen: Seen, name: str, rows: Sequence[Row], now: datetime) -> Reply:
    """An export from ``start_time`` on. Its end is the next start, so the last second comes twice."""
    start = _start(seen, now)
    shown = [row for row in rows if start <= row["timestamp"] <= now.timestamp() - RECENT_SECONDS]
    limit = min(_number(seen, "per_page", MAX_EXPORTED), MAX_EXPORTED)
    page = shown[:limit]
    page += [row for row in shown[limit:] if row["timestamp"] == page[-1]["timestamp"]]
    end = page[-1]["timestamp"] if page else start
    body = {name: page, "count": len(page), "end_time": end, "end_of_stream": len(page) == len(shown)}
    return answer(body | {"next_page": _address(seen, start_time=end)})


def cursor_based(seen: Seen, name: str, rows: Sequence[Row], now: datetime) -> Reply:
    """An export from ``start_time`` on, or of what changed after ``cursor``."""
    given = seen.query.get("cursor")
    after = (_position(given), _position(given, 1)) if given else (_start(seen, now) - 1, 1 << 62)
    ready = [row for row in rows if row["generated_timestamp"] <= now.timestamp() - RECENT_SECONDS]
    ready = [row for row in ready if (row["generated_timestamp"], row["id"]) > after]
    page = ready[: min(_number(seen, "per_page", MAX_EXPORTED), MAX_EXPORTED)]
    last = (page[-1]["generated_timestamp"], page[-1]["id"]) if page else after
    cursor = _cursor(*last)
    following = f"{HOST}{seen.path}?{urlencode({'cursor': cursor})}"
    body = {
        name: page,
        "after_cursor": cursor,
        "after_url": following,
        "end_of_stream": len(page) == len(ready),
    }
    return answer(body | {"before_cursor": None, "before_url": None})


def _start(seen: Seen, now: datetime) -> int:
    start = _number(seen, "start_time", -1)
    if start < 0:
        raise error(400, "InvalidValue", "start_time is missing")
    if start > now.timestamp() - RECENT_SECONDS:
        raise error(422, "InvalidValue", "Too recent start_time. Use a start_time older than 1 minute")
    return start


def _number(seen: Seen, name: str, otherwise: int) -> int:
    given = seen.query.get(name, "")
    return int(given) if given.isdigit() else otherwise


def _address(seen: Seen, **changed: Any) -> str:
    return f"{HOST}{seen.path}?{urlencode({**seen.query, **changed})}"


def _cursor(*position: int) -> str:
    return base64.b64encode("|".join(str(number) for number in position).encode()).decode()


def _position(cursor: str, index: int = 0) -> int:
    try:
        return int(base64.b64decode(cursor, validate=True).split(b"|")[index])
    except (binascii.Error, ValueError, IndexError) as cause:
        raise error(400, "InvalidPaginationParameter", "The cursor is not valid") from cause


def ticket_field(id_: int, title: str, kind: str, removable: bool) -> Row:
    url = f"{HOST}/api/v2/ticket_fields/{id_}.json"
    flags = {"active": True, "required": False, "removable": removable, "visible_in_portal": False}
    return {
        "url": url,
        "id": id_,
        "type": kind,
        "title": title,
        "raw_title": title,
        "description": "",
    } | flags


def custom_status(id_: int, category: str, label: str, default: bool) -> Row:
    known = {"id": id_, "status_category": category, "agent_label": label, "end_user_label": label}
    return known | {"default": default, "active": True, "description": ""}
