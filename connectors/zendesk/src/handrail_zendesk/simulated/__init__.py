"""A simulated Zendesk account: the routes of the Support API that a handoff can touch.

It keeps to what is published and, where nothing is, to the harsher reading: 64 kB are bytes, an unknown
custom field and a spent upload token are dropped without a word, an export repeats what it showed before.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from handrail.steps import Reply
from handrail.testing.desk import Refusal, SimulatedFile, answer, route
from handrail.testing.wire import Seen
from handrail_zendesk.simulated import checks, pages
from handrail_zendesk.simulated.account import WAITS_FOR_BANK, Account
from handrail_zendesk.simulated.people import AGENT, People
from handrail_zendesk.simulated.records import HOST, STATUSES, Ticket, User

GROUPS = {"Support": 360_001_234_501, "Billing Tier 2": 360_001_234_502, "Premium": 360_001_234_503}
DELETED_GROUPS = {"Support": 360_001_230_001}
"""A group that was deleted keeps its name and stands first in the list."""
FIELDS = {"Order id": 360_012_345_678, "Amount": 360_012_345_679}
KEY_LIVES = timedelta(hours=2)
MAX_UPLOAD_BYTES = 50 * 1024 * 1024


class SimulatedZendesk(People):
    """Zendesk Support on loopback. ``webhook = (url, secret)`` subscribes to all ticket events.

    ``admin=False`` signs in an agent, who may not read the exports. ``page_size`` is the most that a list
    shows at once. Tokens from ``/oauth/tokens`` live ``token_seconds`` unless the client asks otherwise.
    """

    api = "/api/v2"

    def __init__(
        self,
        *,
        groups: Mapping[str, int] | None = None,
        fields: Mapping[str, int] | None = None,
        client_id: str = "handrail",
        client_secret: str = "simulated-secret",  # noqa: S107 - nothing real is behind it
        email: str = "bot@example.com",
        api_token: str = "simulated-api-token",  # noqa: S107
        oauth_token: str = "simulated-oauth-token",  # noqa: S107
        webhook_secret: str = "simulated-webhook-secret",  # noqa: S107
        admin: bool = True,
        page_size: int = 100,
        token_seconds: int = 7200,
        clock: Callable[[], datetime] | None = None,
        port: int = 0,
    ) -> None:
        super().__init__(clock=clock, port=port)
        self.client = (client_id, client_secret)
        self.api_token = api_token
        self.webhook_secret = webhook_secret
        self.page_size = page_size
        self.token_seconds = token_seconds
        self.account = Account(self.clock, groups or GROUPS, DELETED_GROUPS, fields or FIELDS)
        self.api_user = self.account.user("AI desk", email, "admin" if admin else "agent")
        self.account.agent(AGENT)
        self.tokens: dict[str, datetime | None] = {oauth_token: None}
        self._keys: dict[str, tuple[datetime, Any, Reply]] = {}

    def settings(self) -> dict[str, Any]:
        return {
            "connector": "zendesk",
            "url": self.url,
            "client_id": self.client[0],
            "client_secret": self.client[1],
            "webhook_secret": self.webhook_secret,
        }

    # Every request.

    def local(self, path: str) -> str:
        return super().local(path).removesuffix(".json")

    def no_route(self, seen: Seen) -> Reply:
        words = {"title": "Invalid endpoint", "message": "Not found"}
        return answer({"error": words}, 404)

    def guard(self, seen: Seen) -> Reply | None:
        if "user-agent" not in seen.headers:
            return Reply(500, b"Internal Server Error", {"content-type": "text/plain"})
        accepted = seen.headers.get("accept", "")
        if "application/json" not in accepted and "*/*" not in accepted:
            return Reply(415, b"Unsupported Media Type", {"content-type": "text/plain"})
        if seen.local == "/oauth/tokens":
            return None
        return None if self._signed_in(seen.headers.get("authorization", "")) else checks.unauthorized()

    def _signed_in(self, authorization: str) -> bool:
        scheme, _, given = authorization.partition(" ")
        if scheme == "Bearer":
            until = self.tokens.get(given, self.now())
            return until is None or until > self.now()
        try:
            decoded = base64.b64decode(given, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return False
        expected = f"{self.api_user.email}/token:{self.api_token}"
        return scheme == "Basic" and secrets.compare_digest(decoded.encode(), expected.encode())

    # Credentials.

    @route("POST", "/oauth/tokens")
    def token(self, seen: Seen) -> Reply:
        given = _json_of(seen)
        if (given.get("client_id"), given.get("client_secret")) != self.client:
            words = "Client authentication failed due to unknown client or wrong secret"
            return answer({"error": "invalid_client", "error_description": words}, 401)
        if given.get("grant_type") != "client_credentials":
            return answer({"error": "unsupported_grant_type", "error_description": "Not supported"}, 400)
        seconds = int(given.get("expires_in") or self.token_seconds)
        value = secrets.token_hex(32)
        self.tokens[value] = self.now() + timedelta(seconds=seconds)
        scope = given.get("scope") or "read write"
        known = {"access_token": value, "token_type": "bearer", "scope": scope}
        return answer(known | {"expires_in": seconds})

    # Tickets.

    @route("POST", "/tickets")
    def create(self, seen: Seen) -> Reply:
        key, given = seen.headers.get("idempotency-key"), _json_of(seen)
        if key is None:
            return self._created(given)
        self._keys = {k: row for k, row in self._keys.items() if row[0] > self.now()}
        if len(key) > 255:
            raise checks.error(400, "IdempotentRequestError", "The idempotency key is too long")
        if key in self._keys:
            return self._replayed(key, given)
        reply = self._created(given)
        self._keys[key] = (self.now() + KEY_LIVES, given, reply)
        return Reply(reply.status, reply.content, {**reply.headers, "x-idempotency-lookup": "miss"})

    def _replayed(self, key: str, given: Any) -> Reply:
        _, before, reply = self._keys[key]
        if before != given:
            words = "Request parameters don't match the given idempotency key"
            raise checks.error(400, "IdempotentRequestError", words)
        return Reply(reply.status, reply.content, {**reply.headers, "x-idempotency-lookup": "hit"})

    def _created(self, sent: Any) -> Reply:
        given = _part(sent, "ticket")
        comment = _comment(given)
        if comment is None:
            raise checks.invalid("base", "Description: cannot be blank", "BlankValue")
        source = self._followed(given)
        who = checks.requester(self.account, given, self.api_user)
        data = self._new_data(given, who, source)
        data |= checks.properties(self.account, given, data)
        author = self._author(given, comment, who, source)
        data["submitter_id"] = author.id
        custom = given.get("metadata") or {}
        ticket = self.account.create(data, {**comment, "author_id": author.id}, self.api_user, custom=custom)
        if source is not None:
            source.followup_ids.append(ticket.id)
        self.announce(ticket, ticket.audits[0])
        body = {"ticket": ticket.json(), "audit": ticket.audits[0].json()}
        return answer(body, 201, {"location": f"{HOST}/api/v2/tickets/{ticket.id}.json"})

    def _followed(self, given: Mapping[str, Any]) -> Ticket | None:
        if given.get("via_followup_source_id") is None:
            return None
        source = self.account.tickets.get(int(given["via_followup_source_id"]))
        if source is None or source.data["status"] != "closed":
            raise checks.invalid("via_followup_source_id", "Follow-up source: is not a closed ticket")
        return source

    def _new_data(self, given: Mapping[str, Any], who: User, source: Ticket | None) -> dict[str, Any]:
        text = str((given.get("comment") or {}).get("body") or "").strip()
        data: dict[str, Any] = dict.fromkeys(_NULLABLE)
        return data | {
            "subject": str(given.get("subject") or text[:80] or "Untitled ticket"),
            "status": "new",
            "custom_status_id": self.account.status_id("new"),
            "requester_id": who.id,
            "brand_id": 360_000_000_111,
            "ticket_form_id": 360_000_000_222,
            "tags": list(source.data["tags"]) if source and "tags" not in given else [],
            "custom_fields": self.account.custom_fields(None, {}),
        }

    def _author(
        self, given: Mapping[str, Any], comment: Mapping[str, Any], who: User, source: Ticket | None
    ) -> User:
        """Of the first comment: as asked, else the submitter, else the requester.

        An internal note and a follow-up are by the authenticated user where nothing else is asked.
        """
        internal = comment.get("public") is False
        asked = comment.get("author_id") or (None if source else given.get("submitter_id"))
        if asked is None:
            return self.api_user if internal or source else who
        if asked not in self.account.users:
            raise checks.invalid("submitter", "Submitter: is invalid")
        return self.account.users[asked]

    @route("GET", "/tickets")
    def list_tickets(self, seen: Seen) -> Reply:
        wanted = seen.query.get("external_id")
        found = [t for t in self.account.tickets.values() if not (t.deleted or t.archived)]
        rows = [t.json() for t in found if wanted is None or t.data["external_id"] == wanted]
        return self._page(seen, "tickets", rows)

    @route("GET", "/tickets/show_many")
    def show_many(self, seen: Seen) -> Reply:
        ids = [int(id_) for id_ in seen.query.get("ids", "").split(",") if id_.strip().isdigit()]
        if not ids or len(ids) > 100:
            raise checks.error(400, "BadRequest", "Between 1 and 100 ids are taken")
        found = [self.account.tickets[id_] for id_ in ids if id_ in self.account.tickets]
        return self._page(seen, "tickets", [ticket.json() for ticket in found if not ticket.deleted])

    @route("GET", "/tickets/{id}")
    def show(self, seen: Seen, id: str) -> Reply:
        return answer({"ticket": self._ticket(id).json()})

    @route("PUT", "/tickets/{id}")
    def change(self, seen: Seen, id: str) -> Reply:
        ticket, given = self._ticket(id), _part(_json_of(seen), "ticket")
        checks.changeable(ticket, given)
        wanted = checks.properties(self.account, given, ticket.data)
        if given.get("requester_id") is not None or given.get("requester"):
            wanted["requester_id"] = checks.requester(self.account, given, self.api_user).id
        custom = given.get("metadata") or {}
        audit = self.updated(ticket, self.api_user, wanted, _comment(given), custom=custom)
        return answer({"ticket": ticket.json(), "audit": audit.json() if audit else None})

    @route("GET", "/tickets/{id}/comments")
    def comments(self, seen: Seen, id: str) -> Reply:
        rows = [comment.json() for comment in self._ticket(id).comments]
        if seen.query.get("sort") == "-created_at" or seen.query.get("sort_order") == "desc":
            rows.reverse()
        return self._page(seen, "comments", rows, by="author_id")

    @route("GET", "/tickets/{id}/audits")
    def audits(self, seen: Seen, id: str) -> Reply:
        return self._page(seen, "audits", [audit.json() for audit in self._ticket(id).audits], by="author_id")

    def _ticket(self, id_: str) -> Ticket:
        try:
            return self.ticket(id_)
        except (KeyError, ValueError) as error:
            raise checks.not_found() from error

    # The account.

    @route("GET", "/groups")
    def groups(self, seen: Seen) -> Reply:
        without = seen.query.get("exclude_deleted") == "true"
        rows = [group.json() for group in self.account.groups.values() if not (without and group.deleted)]
        return self._page(seen, "groups", rows)

    @route("GET", "/groups/assignable")
    def assignable(self, seen: Seen) -> Reply:
        rows = [group.json() for group in self.account.groups.values() if not group.deleted]
        return self._page(seen, "groups", rows)

    @route("GET", "/ticket_fields")
    def ticket_fields(self, seen: Seen) -> Reply:
        system = [("Subject", "subject", 360_000_000_501), ("Status", "status", 360_000_000_502)]
        rows = [pages.ticket_field(id_, title, kind, False) for title, kind, id_ in system]
        rows += [pages.ticket_field(id_, title, "text", True) for title, id_ in self.account.fields.items()]
        return self._page(seen, "ticket_fields", rows)

    @route("GET", "/custom_statuses")
    def custom_statuses(self, seen: Seen) -> Reply:
        rows = [
            pages.custom_status(self.account.status_id(name), name, name.title(), True)
            for name in STATUSES
            if name != "closed"
        ]
        rows.append(pages.custom_status(WAITS_FOR_BANK, "hold", "Waiting for the bank", False))
        wanted = seen.query.get("status_categories")
        chosen = [row for row in rows if wanted is None or row["status_category"] in wanted.split(",")]
        return answer({"custom_statuses": chosen})

    @route("GET", "/users/me")
    def me(self, seen: Seen) -> Reply:
        return answer({"user": self.api_user.json() | {"authenticity_token": "simulated"}})

    @route("GET", "/users/search")
    def search_users(self, seen: Seen) -> Reply:
        wanted = seen.query.get("query", "").removeprefix("email:").strip('"').casefold()
        external = seen.query.get("external_id")
        rows = [
            user.json()
            for user in self.account.users.values()
            if (wanted and wanted in (user.email or "", user.name.casefold()))
            or (external and user.external_id == external)
        ]
        return self._page(seen, "users", rows)

    @route("GET", "/users/{id}")
    def show_user(self, seen: Seen, id: str) -> Reply:
        user = self.account.users.get(int(id)) if id.isdigit() else None
        if user is None:
            raise checks.not_found()
        return answer({"user": user.json()})

    @route("POST", "/uploads")
    def upload(self, seen: Seen) -> Reply:
        name, size = seen.query.get("filename", ""), len(seen.body)
        if not name or size > MAX_UPLOAD_BYTES:
            raise checks.error(422, "AttachmentUnprocessable", "Attachment file could not be processed.")
        media = seen.headers.get("content-type", "application/octet-stream")
        held = self.account.upload(seen.query.get("token"), SimulatedFile(name, seen.body, media))
        return answer(held.json(), 201)

    # The exports.

    @route("GET", "/incremental/ticket_events")
    def ticket_events(self, seen: Seen) -> Reply:
        self._admins_only()
        audits = [audit for ticket in self.account.tickets.values() for audit in ticket.audits]
        audits.sort(key=lambda audit: (int(audit.created_at.timestamp()), audit.id))
        whole = "comment_events" in seen.query.get("include", "")
        rows = [audit.exported(whole) for audit in audits]
        return pages.time_based(seen, "ticket_events", rows, self.now())

    @route("GET", "/incremental/tickets/cursor")
    def ticket_export(self, seen: Seen) -> Reply:
        self._admins_only()
        tickets = list(self.account.tickets.values())
        if seen.query.get("exclude_deleted") == "true":
            tickets = [ticket for ticket in tickets if not ticket.deleted]
        rows = sorted((t.json() for t in tickets), key=lambda row: (row["generated_timestamp"], row["id"]))
        return pages.cursor_based(seen, "tickets", rows, self.now())

    def _admins_only(self) -> None:
        if self.api_user.role != "admin":
            words = {"title": "Forbidden", "message": "You do not have access to this page."}
            raise Refusal(answer({"error": words}, 403))

    def _page(self, seen: Seen, name: str, rows: list[dict[str, Any]], by: str | None = None) -> Reply:
        """One page of a list, with the users that its rows name where they are asked for."""
        page = pages.listed(seen, name, rows, self.page_size)
        if by and "users" in seen.query.get("include", ""):
            ids = dict.fromkeys(row[by] for row in page[name])
            page["users"] = [self.account.users[id_].json() for id_ in ids]
        return answer(page)


_NULLABLE = ["priority", "type", "group_id", "assignee_id", "submitter_id", "external_id", "due_at"]


def _json_of(seen: Seen) -> Any:
    if "json" not in seen.headers.get("content-type", ""):
        raise Refusal(Reply(415, b"Unsupported Media Type", {"content-type": "text/plain"}))
    try:
        return seen.json
    except ValueError as error:
        raise checks.error(422, "Unprocessable Entity", "The body is no JSON") from error


def _part(sent: Any, name: str) -> dict[str, Any]:
    part = sent.get(name) if isinstance(sent, dict) else None
    if not isinstance(part, dict):
        raise checks.error(400, "BadRequest", f"The body needs an object {name!r}")
    return part


def _comment(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """The comment that a client sends, where it says anything."""
    comment = given.get("comment")
    if not isinstance(comment, dict):
        return None
    return comment if any(comment.get(name) for name in ("body", "html_body", "value", "uploads")) else None
