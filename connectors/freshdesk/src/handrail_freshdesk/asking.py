"""Reading Freshdesk's answers: what a 403 and a 409 mean, and lists of many pages."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from handrail import Reply, Request, Steps
from handrail_freshdesk import refusals
from handrail_freshdesk.updates import Row, listed

MOST_PAGES = 30


def asked(request: Request) -> Steps[Reply]:
    """The answer to a request; of a 403 Freshdesk's own words say what it means, and a 409 passes."""
    reply = yield replace(request, accept=request.accept | {403, 409})
    if reply.status == 403 and 403 not in request.accept:
        raise refusals.forbidden(request, reply)
    if reply.status == 409 and 409 not in request.accept:
        raise refusals.conflicting(request, reply)
    return reply


# https://developers.freshdesk.com/api/#pagination
def every(path: str, accept: frozenset[int] = frozenset(), **params: Any) -> Steps[list[Row]]:
    """All rows of a list. A status of ``accept`` ends it."""
    rows: list[Row] = []
    for page in range(1, MOST_PAGES + 1):
        query = {**params, "page": page, "per_page": 100}
        reply = yield from asked(Request("GET", path, params=query, accept=accept))
        if reply.ok:
            rows += listed(reply.json)
        if not reply.ok or not following(reply):
            break
    return rows


def following(reply: Reply) -> bool:
    return 'rel="next"' in reply.headers.get("link", "")
