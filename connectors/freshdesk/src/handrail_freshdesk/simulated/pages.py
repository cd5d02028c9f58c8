"""Lists of a simulated Freshdesk: bare arrays, the next page in the ``Link`` header, no page above 300."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from handrail.steps import Reply
from handrail.testing.desk import answer
from handrail.testing.wire import Seen
from handrail_freshdesk.simulated.checks import invalid, one_of
from handrail_freshdesk.simulated.records import Account, Row, Ticket, whole

LAST_PAGE = 300
WINDOW = timedelta(days=30)
ORDERS = ("created_at", "due_by", "updated_at", "status")
FILTERS = ("new_and_my_open", "watching", "spam", "deleted")
INCLUDES = ("requester", "stats", "description", "company")


def listed(seen: Seen, rows: Sequence[Row], *, most: int = 100, usual: int = 30) -> Reply:
    """One page of a list."""
    size, page = _number(seen, "per_page", usual), _number(seen, "page", 1)
    if not 1 <= size <= most:
        words = f"It should be a Positive Integer less than or equal to {most}"
        raise invalid(("per_page", words, "invalid_value"))
    if page > LAST_PAGE:
        words = "You cannot access tickets beyond the 300th page. Please provide a smaller page number."
        raise invalid(("page", words, "invalid_value"))
    start = (page - 1) * size
    more = start + size < len(rows)
    address = f"https://example.freshdesk.com{seen.path}?{urlencode({**seen.query, 'page': page + 1})}"
    return answer(
        list(rows[start : start + size]), headers={"link": f'<{address}>; rel="next"'} if more else {}
    )


def tickets(seen: Seen, account: Account, *, now: datetime, lag: timedelta, inclusive: bool) -> list[Ticket]:
    """The tickets that a list shows: what is late is not there yet, what is hidden is asked for by name."""
    query = seen.query
    unknown = [name for name in query if name not in _QUERIES]
    if unknown:
        raise invalid(*((name, "Unexpected/invalid field in request", "invalid_field") for name in unknown))
    found = [t for t in account.tickets.values() if not t.archived and t.created_at <= whole(now) - lag]
    if query.get("filter", FILTERS[0]) not in FILTERS:
        raise one_of("filter", FILTERS)
    found = [ticket for ticket in found if _fits(query.get("filter"), ticket)]
    if "updated_since" in query:
        since = _time(query["updated_since"])
        found = [t for t in found if t.updated_at > since or (inclusive and t.updated_at == since)]
    else:
        found = [t for t in found if t.created_at >= now - WINDOW]
    who = {name: query[name] for name in ("email", "unique_external_id") if name in query}
    if who:
        person = account.known_contact(who)
        if person is None:
            message = f"There is no contact matching the given {next(iter(who))}"
            raise invalid((next(iter(who)), message, "invalid_value"))
        found = [ticket for ticket in found if ticket.data["requester_id"] == person.id]
    if "requester_id" in query:
        found = [t for t in found if str(t.data["requester_id"]) == query["requester_id"]]
    return _ordered(query.get("order_by", "created_at"), query.get("order_type", "desc"), found)


_QUERIES = [
    "page",
    "per_page",
    "filter",
    "updated_since",
    "email",
    "unique_external_id",
    "requester_id",
    "company_id",
    "order_by",
    "order_type",
    "include",
]


def _fits(name: str | None, ticket: Ticket) -> bool:
    if name == "deleted":
        return ticket.deleted
    if name == "spam":
        return ticket.spam and not ticket.deleted
    return not (ticket.deleted or ticket.spam)


def _ordered(by: str, direction: str, found: list[Ticket]) -> list[Ticket]:
    if by not in ORDERS:
        raise one_of("order_by", ORDERS)
    keys: dict[str, Any] = {
        "created_at": lambda ticket: (ticket.created_at, ticket.id),
        "updated_at": lambda ticket: (ticket.updated_at, ticket.id),
        "due_by": lambda ticket: (ticket.data["due_by"], ticket.id),
        "status": lambda ticket: (ticket.data["status"], ticket.id),
    }
    return sorted(found, key=keys[by], reverse=direction == "desc")


def _time(given: str) -> datetime:
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        words = "It should be in the 'combined date and time ISO8601' format"
        raise invalid(("updated_since", words, "invalid_date"))
    return moment


def _number(seen: Seen, name: str, otherwise: int) -> int:
    given = seen.query.get(name, str(otherwise))
    if not given.isdigit():
        raise invalid((name, "It should be a Positive Integer", "datatype_mismatch"))
    return int(given)
