"""Finding what an earlier try made. Freshdesk has no idempotency key: lists of tickets must tell.

A list hides what was deleted or is taken for spam, and shows 30 days unless it is told since when. The
search is minutes late, and its no means nothing: it is not asked.
https://developers.freshdesk.com/api/#list_all_tickets
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from handrail import Handoff, NotDone, Request, Steps
from handrail_freshdesk import refusals
from handrail_freshdesk.asking import MOST_PAGES, asked, following
from handrail_freshdesk.updates import Row, listed, stamp, time
from handrail_freshdesk.values import inert

SKEW = timedelta(minutes=15)
"""The desk's clock may be behind ours by this much."""
WIDE = timedelta(days=1)
"""The same for the requester's list, which is short: a clock of ours that nobody sets may be hours fast."""
NOBODY = ("email", "unique_external_id", "requester_id")
"""Fields by which Freshdesk says that it knows no such requester."""


@dataclass(frozen=True)
class Mark:
    """What we leave on a ticket: ``marker`` in a custom field, else as a tag; the text has it besides."""

    marker: str
    field: str | None
    tagged: bool

    @property
    def tag(self) -> str:
        """Short, in small letters: a tag takes 32 characters at most, and its case is not kept."""
        return f"ho-{hashlib.sha256(self.marker.encode()).hexdigest()[:16]}"

    @property
    def in_text_only(self) -> bool:
        return self.field is None and not self.tagged

    def on(self, row: Row) -> bool:
        fields, tags = row.get("custom_fields") or {}, row.get("tags") or ()
        if self.field and fields.get(self.field) == self.marker:
            return True
        text = str(row.get("description_text") or row.get("description") or "")
        said = re.search(rf"(?<![\w-])Handrail {re.escape(self.marker)}(?![\w-])", text)
        return self.tag in {str(tag).casefold() for tag in tags} or said is not None


def requester(handoff: Handoff) -> dict[str, str]:
    """Who the ticket is for, by one identity: two could belong to different contacts. Without any, or where
    Freshdesk refused it, a contact of the conversation's own. With a phone the name is mandatory.
    """
    customer, known = handoff.customer, "customer" not in handoff.unset
    name = inert(customer.name or "") or customer.email or customer.phone or "Customer"
    who = {"email": customer.email, "phone": customer.phone, "unique_external_id": customer.id}
    for kind, value in who.items():
        if known and value and value.strip():
            return {"name": name, kind: value.strip()}
    return {"name": name, "unique_external_id": f"handrail-{handoff.conversation.id}"}


def find(mark: Mark, handoff: Handoff, *, everywhere: bool = False) -> Steps[list[Row]]:
    """The tickets with our mark, oldest first, of the first list that shows any, or of all lists.

    The requester's list is the shortest; a person may have given the ticket another requester since.
    """
    found: dict[int, Row] = {}
    for query, since in _queries(mark, handoff):
        rows = yield from _shown(query | {"updated_since": stamp(since)}, since)
        found |= {int(row["id"]): row for row in rows if mark.on(row)}
        if found and not everywhere:
            break
    return [found[n] for n in sorted(found)]


def _queries(mark: Mark, handoff: Handoff) -> Iterator[tuple[dict[str, Any], datetime]]:
    """The lists that may show a ticket of this handoff, each with how far back it is read."""
    query: dict[str, Any] = {"order_by": "created_at", "order_type": "desc", "per_page": 100}
    query |= {"include": "description"} if mark.in_text_only else {}
    since = handoff.created_at - SKEW
    who = {key: value for key, value in requester(handoff).items() if key in NOBODY}
    if who:
        yield query | who, handoff.created_at - WIDE
    yield query, since
    yield query | {"filter": "spam"}, since
    yield query | {"filter": "deleted"}, since


def _shown(query: dict[str, Any], since: datetime) -> Steps[list[Row]]:
    """The rows of one list from the newest back to ``since``."""
    rows: list[Row] = []
    for page in range(1, MOST_PAGES + 1):
        request = Request("GET", "/tickets", params=query | {"page": page}, accept=frozenset({400}))
        reply = yield from asked(request)
        if reply.status == 400:
            if refusals.about(reply, *NOBODY) or "filter" in query:  # no such contact; no such list
                return rows
            raise NotDone(f"looking for an earlier try: {refusals.explain(reply)}")
        shown = listed(reply.json)
        rows += shown
        if not following(reply) or (shown and time(shown[-1]["created_at"]) < since):
            break
    return rows
