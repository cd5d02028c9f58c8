"""A simulated Freshdesk account: the routes of API v2 that a handoff can touch.

It keeps to what is published and, where nothing is, to the harsher reading: placeholders in texts are
evaluated, attributes of one's own are removed, both due times go together, an unknown requester of a list
is an error. What nobody knows is an argument, so that either can be tried.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from handrail.steps import Reply
from handrail.testing.desk import Refusal, SimulatedFile, answer, route
from handrail.testing.wire import Seen
from handrail_freshdesk.simulated import checks, pages
from handrail_freshdesk.simulated.people import LABELS, People
from handrail_freshdesk.simulated.records import (
    Account,
    Conversation,
    Person,
    Row,
    Ticket,
    stamp,
    whole,
)

GROUPS = {"Support": 43_000_000_501, "Billing Tier 2": 43_000_000_502, "Premium": 43_000_000_503}
FIELDS = {
    "cf_handoff_id": "custom_text",
    "cf_order_id": "custom_text",
    "cf_amount": "custom_number",
    "cf_vip": "custom_checkbox",
}
SEARCH_LAG = timedelta(minutes=3)
"""The search takes a few minutes to know a ticket."""
EMBEDDED = 10


class SimulatedFreshdesk(People):
    """Freshdesk on loopback. ``webhook = (url, secret)`` makes automation rules ring there.

    ``rate``: requests a minute; None: as many as one likes. ``list_lag``: seconds after which a list shows a
    new ticket. ``inclusive``: ``updated_since`` includes its own second. ``note_bumps``: a private note moves
    ``updated_at``. ``merge``: the method that merges, or None. ``archive``: the plan has the archive's API.
    ``shows_deleted``: a ticket in the trash can be read. ``marker_field``: the account has ``cf_handoff_id``.
    """

    api = "/api/v2"

    def __init__(
        self,
        *,
        groups: Mapping[str, int] | None = None,
        fields: Mapping[str, str] | None = None,
        api_key: str = "simulated-api-key",
        webhook_secret: str = "simulated-webhook-secret",  # noqa: S107
        rate: int | None = None,
        list_lag: float = 0,
        inclusive: bool = True,
        note_bumps: bool = True,
        merge: Literal["PUT", "POST"] | None = "PUT",
        archive: bool = True,
        shows_deleted: bool = True,
        marker_field: bool = True,
        clock: Callable[[], datetime] | None = None,
        port: int = 0,
    ) -> None:
        super().__init__(clock=clock, port=port)
        self.api_key = api_key
        self.webhook_secret = webhook_secret
        self.rate = rate
        self.list_lag = timedelta(seconds=list_lag)
        self.inclusive = inclusive
        self.note_bumps = note_bumps
        self.merge_method = merge
        self.archive_plan = archive
        self.shows_deleted = shows_deleted
        known = dict(fields or FIELDS)
        if not marker_field:
            known.pop("cf_handoff_id", None)
        self.account = Account(self.clock, groups or GROUPS, known)
        self.api_user = self.account.agent("AI desk")
        self.mails: list[tuple[int, str]] = []
        """What was mailed to customers, as (ticket, text)."""
        self._used: tuple[int, int] = (0, 0)

    def settings(self) -> dict[str, Any]:
        known = {"connector": "freshdesk", "url": self.url, "api_key": self.api_key}
        marker = {"marker_field": "cf_handoff_id"} if "cf_handoff_id" in self.account.fields else {}
        return known | {"webhook_secret": self.webhook_secret} | marker

    # Every request.

    def no_route(self, seen: Seen) -> Reply:
        return Reply(404, b"")

    def guard(self, seen: Seen) -> Reply | None:
        """The limit counts every request, a 401 too; its headers look like fractions."""
        limited = self._limited()
        if limited is not None:
            return limited
        accepted = seen.headers.get("accept", "*/*")
        if not self._signed_in(seen.headers.get("authorization", "")):
            return checks.unauthorized()
        if "application/json" not in accepted and "*/*" not in accepted:
            words = "Accept header is not supported"
            return answer({"code": "invalid_header", "message": words}, 406)
        return None

    def _limited(self) -> Reply | None:
        minute, seconds = divmod(int(self.now().timestamp()), 60)
        used = self._used[1] + 1 if self._used[0] == minute else 1
        total = self.rate or 700
        left = max(total - used, 0) if self.rate else total - 1
        self.reply_headers = {"x-ratelimit-total": f"{total}.0", "x-ratelimit-remaining": f"{left}.0"}
        self.reply_headers["x-ratelimit-used-currentrequest"] = "1"
        self._used = (minute, used)
        if self.rate is None or used <= self.rate:
            return None
        words = {"message": "You have exceeded the limit of requests per minute"}
        return answer(words, 429, {"retry-after": str(60 - seconds)})

    def _signed_in(self, authorization: str) -> bool:
        """By the API key as user name; the password may be anything."""
        scheme, _, given = authorization.partition(" ")
        try:
            user = base64.b64decode(given, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return False
        return scheme == "Basic" and secrets.compare_digest(user.encode(), self.api_key.encode())

    # Tickets.

    @route("POST", "/tickets")
    def create(self, seen: Seen) -> Reply:
        given, files = checks.body_of(seen)
        values = checks.ticket_values(self.account, given, files, new=True)
        ticket = self.account.create(values, self._requester(given), files)
        address = f"https://example.freshdesk.com/api/v2/tickets/{ticket.id}"
        return answer(ticket.json(whole=True), 201, {"location": address})

    def _requester(self, given: Row) -> Person:
        found = self.account.known_contact(given)
        if found is None and "requester_id" in given:
            words = "There is no contact matching the given requester_id"
            raise checks.invalid(("requester_id", words, "invalid_value"))
        return found or self.account.contact(given)

    @route("GET", "/tickets")
    def list_tickets(self, seen: Seen) -> Reply:
        includes = seen.query.get("include", "").split(",") if "include" in seen.query else []
        if unknown := [name for name in includes if name not in pages.INCLUDES]:
            raise checks.one_of("include", [*pages.INCLUDES, *unknown][:4])
        found = pages.tickets(seen, self.account, now=self.now(), lag=self.list_lag, inclusive=self.inclusive)
        rows = [self._row(ticket, includes) for ticket in found]
        return pages.listed(seen, rows)

    def _row(self, ticket: Ticket, includes: list[str]) -> Row:
        row = ticket.json()
        if "description" in includes:
            row |= {name: ticket.data[name] for name in ("description", "description_text")}
        return row | self._embedded(ticket, includes)

    def _embedded(self, ticket: Ticket, includes: list[str]) -> Row:
        found: Row = {"stats": dict(ticket.stats)} if "stats" in includes else {}
        if "requester" in includes:
            person = self.account.people[ticket.data["requester_id"]]
            found["requester"] = {"id": person.id, "name": person.name, "email": person.email}
        if "conversations" in includes:
            found["conversations"] = [said.json() for said in ticket.conversations[:EMBEDDED]]
        return found

    @route("GET", "/tickets/{id}")
    def show(self, seen: Seen, id: str) -> Reply:
        ticket, includes = self._ticket(id), seen.query.get("include", "").split(",")
        if ticket.deleted and not self.shows_deleted:
            raise checks.not_found()
        return answer(ticket.json(whole=True) | self._embedded(ticket, includes))

    @route("PUT", "/tickets/{id}")
    def change(self, seen: Seen, id: str) -> Reply:
        ticket = self._present(id)
        given, files = checks.body_of(seen)
        if not given:
            raise checks.missing("request")
        values = checks.ticket_values(self.account, given, files, new=False)
        self.account.change(ticket, values)
        self.ring("updated", ticket)
        return answer(ticket.json(whole=True))

    @route("DELETE", "/tickets/{id}")
    def trash(self, seen: Seen, id: str) -> Reply:
        ticket = self._present(id)
        ticket.deleted, ticket.updated_at = True, self.account.now
        return Reply(204)

    @route("PUT", "/tickets/{id}/restore")
    def put_back(self, seen: Seen, id: str) -> Reply:
        ticket = self._ticket(id)
        ticket.deleted, ticket.updated_at = False, self.account.now
        return Reply(204)

    def _ticket(self, id: str) -> Ticket:
        try:
            return self.ticket(id)
        except (KeyError, ValueError) as error:
            raise checks.not_found() from error

    def _present(self, id: str) -> Ticket:
        """A ticket that can be written to."""
        ticket = self._ticket(id)
        if ticket.deleted:
            raise checks.not_found()
        return ticket

    # Conversations.

    @route("GET", "/tickets/{id}/conversations")
    def conversations(self, seen: Seen, id: str) -> Reply:
        return pages.listed(seen, [said.json() for said in self._ticket(id).conversations])

    @route("POST", "/tickets/{id}/notes")
    def note(self, seen: Seen, id: str) -> Reply:
        ticket = self._present(id)
        given, files = checks.body_of(seen)
        body, private = _body(given), _flag(given, "private", True)
        return self._said(ticket, body, private, files, 2, incoming=_flag(given, "incoming", False))

    @route("POST", "/tickets/{id}/reply")
    def reply(self, seen: Seen, id: str) -> Reply:
        """A public answer. It is mailed to the customer."""
        ticket = self._present(id)
        given, files = checks.body_of(seen)
        answered = self._said(ticket, _body(given), False, files, 0)
        self.mails.append((ticket.id, ticket.conversations[-1].body))
        return answered

    def _said(
        self,
        ticket: Ticket,
        body: str,
        private: bool,
        files: list[SimulatedFile],
        source: int,
        *,
        incoming: bool = False,
    ) -> Reply:
        said: Conversation = self.account.converse(
            ticket,
            self.api_user,
            body,
            private=private,
            incoming=incoming,
            source=source,
            bump=self.note_bumps or not private,
            files=files,
        )
        self.ring("updated" if private else "replied", ticket)
        return answer(said.json(), 201)

    # Twins.

    @route("PUT", "/tickets/merge")
    def merge_by_put(self, seen: Seen) -> Reply:
        return self._merged(seen)

    @route("POST", "/tickets/merge")
    def merge_by_post(self, seen: Seen) -> Reply:
        return self._merged(seen)

    def _merged(self, seen: Seen) -> Reply:
        if seen.method != self.merge_method:
            raise Refusal(Reply(405 if self.merge_method else 404, b""))
        given, _ = checks.body_of(seen)
        target = self._present(str(given.get("primary_id")))
        for id in given.get("ticket_ids") or ():
            source = self._present(str(id))
            words = f"<div>Merged from ticket {source.id}<br>{source.data['description']}</div>"
            self.account.converse(target, self.api_user, words, private=True, source=2)
            words = f"<div>This ticket is closed and merged into ticket {target.id}</div>"
            self.account.converse(source, self.api_user, words, private=True, source=2)
            self.account.change(source, {"status": 5})
        return Reply(204)

    # The archive and the search.

    @route("GET", "/tickets/archived/{id}")
    def archived(self, seen: Seen, id: str) -> Reply:
        return answer(self._archived(id).json(whole=True))

    @route("GET", "/tickets/archived/{id}/conversations")
    def archived_conversations(self, seen: Seen, id: str) -> Reply:
        return pages.listed(seen, [said.json() for said in self._archived(id).conversations])

    def _archived(self, id: str) -> Ticket:
        if not self.archive_plan:
            raise checks.denied("require_feature")
        ticket = self.account.tickets.get(int(id)) if id.isdigit() else None
        if ticket is None or not ticket.archived:
            raise checks.not_found()
        return ticket

    @route("GET", "/search/tickets")
    def search(self, seen: Seen) -> Reply:
        """One condition such as ``"cf_handoff_id:'x'"``; what is new is not found yet."""
        query, page = seen.query.get("query", ""), int(seen.query.get("page", "1"))
        condition = re.fullmatch(r"\"(\w+):'?([^']*)'?\"", query)
        if len(query) > 512 or page > 10 or condition is None:
            raise checks.invalid(("query", "Given query is not valid", "invalid_value"))
        limit = whole(self.now()) - SEARCH_LAG
        shown = [t for t in self.account.tickets.values() if t.updated_at <= limit and not t.archived]
        found = [t.json() for t in shown if not t.deleted and condition[2] in _searched(t, condition[1])]
        return answer({"total": len(found), "results": found[(page - 1) * 30 : page * 30]})

    # The account.

    @route("GET", "/groups")
    def groups(self, seen: Seen) -> Reply:
        rows = [self._dated({"id": id, "name": name}) for name, id in self.account.groups.items()]
        return pages.listed(seen, rows)

    @route("GET", "/agents")
    def agents(self, seen: Seen) -> Reply:
        wanted = seen.query.get("email")
        found = [agent for agent in self.account.agents.values() if wanted in (None, agent.email)]
        return pages.listed(seen, [self._agent(agent) for agent in found])

    @route("GET", "/agents/me")
    def me(self, seen: Seen) -> Reply:
        return answer(self._agent(self.api_user))

    def _agent(self, agent: Person) -> Row:
        contact = self._dated({"name": agent.name, "email": agent.email, "active": True})
        known = {"id": agent.id, "available": True, "occasional": False, "ticket_scope": 1}
        return self._dated(known | {"group_ids": sorted(agent.group_ids), "contact": contact})

    @route("GET", "/contacts")
    def contacts(self, seen: Seen) -> Reply:
        wanted = seen.query.get("email")
        found = [person for person in self.account.people.values() if wanted in (None, person.email)]
        return pages.listed(seen, [self._contact(person) for person in found])

    def _contact(self, person: Person) -> Row:
        known: Row = {"id": person.id, "name": person.name, "email": person.email, "phone": person.phone}
        return self._dated(known | {"unique_external_id": person.external_id, "active": False})

    @route("GET", "/ticket_fields")
    def ticket_fields(self, seen: Seen) -> Reply:
        words = {str(number): [label, label] for number, label in LABELS.items()}
        status = {"name": "status", "label": "Status", "type": "default_status", "default": True}
        rows = [self._dated(status | {"id": 1, "description": "Ticket status", "choices": words})]
        for id, (name, kind) in enumerate(self.account.fields.items(), 2):
            label = name.removeprefix("cf_").replace("_", " ").capitalize()
            known = {"id": id, "name": name, "label": label, "type": kind, "default": False}
            rows.append(self._dated(known | {"description": "", "choices": []}))
        return answer(rows)

    def _dated(self, row: Row) -> Row:
        return row | {"created_at": "2020-01-01T00:00:00Z", "updated_at": stamp(self.now())}


def _body(given: Row) -> str:
    if not given.get("body"):
        raise checks.missing("body")
    return str(given["body"])


def _flag(given: Row, name: str, otherwise: bool) -> bool:
    """A flag, which a form sends as a text."""
    return str(given.get(name, otherwise)).lower() == "true"


def _searched(ticket: Ticket, name: str) -> list[str]:
    if name == "tag":
        return [str(tag) for tag in ticket.data["tags"]]
    return [str(ticket.data["custom_fields"].get(name, ticket.data.get(name)))]
