"""A Zendesk account: its settings, its credentials and its names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import model_validator

from handrail import (
    Connector,
    Finding,
    Request,
    Steps,
    Token,
    basic,
    bearer,
    client_credentials,
    secret,
    setting,
)

TEST_SECRET = "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ=="  # noqa: S105 - public, and refused
"""Signs Zendesk's test requests. https://developer.zendesk.com/documentation/webhooks/verifying/"""
CREDENTIALS = (("client_id", "client_secret"), ("oauth_token",), ("email", "api_token"))
PRIORITIES = ("low", "normal", "high", "urgent")
LISTS = {
    "groups": ("/groups/assignable", "groups", "name"),
    "fields": ("/ticket_fields", "ticket_fields", "title"),
}
STAFF = ("agent", "admin")


class ZendeskAccount(Connector):
    subdomain: str | None = setting(
        "The 'acme' of acme.zendesk.com", default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*$"
    )
    client_id: str | None = setting("OAuth client's identifier; with client_secret", default=None)
    client_secret: str | None = secret("OAuth client's secret", default=None)
    oauth_token: str | None = secret("An OAuth access token of your own making", default=None)
    email: str | None = setting("The agent who owns the API token; with api_token", default=None)
    api_token: str | None = secret("API token (Zendesk ends these on 2027-04-30)", default=None)
    webhook_secret: str | None = secret("The webhook's signing secret", default=None)
    visibility: Literal["note", "public"] = setting("What we write: a note, or public", default="note")
    brand: int | None = setting("Brand id of new tickets", default=None)
    form: int | None = setting("Ticket form id of new tickets", default=None)
    assignee: str | None = setting("Agent of new tickets: an id or an email", default=None)
    tags: tuple[str, ...] = setting("Tags of new tickets, beside the handoff's", default=())
    export: bool = setting("Poll by the incremental export (an admin's credentials)", default=False)

    @property
    def base_url(self) -> str:
        if not self.url and not self.subdomain:
            raise ValueError("subdomain: write the 'acme' of acme.zendesk.com (or give url)")
        return (self.url or f"https://{self.subdomain}.zendesk.com").rstrip("/").removesuffix("/api/v2")

    @model_validator(mode="after")
    def _one_kind_of_credentials(self) -> ZendeskAccount:
        given = [kind for kind in CREDENTIALS if any(getattr(self, name) for name in kind)]
        if len(given) != 1:
            choice = ", or ".join(" + ".join(kind) for kind in CREDENTIALS)
            found = " and ".join(" + ".join(kind) for kind in given) or "none"
            raise ValueError(f"credentials: give one of {choice}; found {found}")
        if missing := [name for name in given[0] if not getattr(self, name)]:
            raise ValueError(f"{missing[0]}: is missing beside the other half of {' + '.join(given[0])}")
        return self

    @model_validator(mode="after")
    def _sound_values(self) -> ZendeskAccount:
        if self.webhook_secret == TEST_SECRET:
            raise ValueError("webhook_secret: this is Zendesk's public test key; take the webhook's own")
        for ours, word in self.urgency.items():
            if word not in PRIORITIES:
                raise ValueError(
                    f"urgency.{ours}: {word!r} is no priority; use one of {', '.join(PRIORITIES)}"
                )
        for name, field in self.fields.items():
            if not (field.isascii() and field.isdigit()):
                raise ValueError(
                    f"fields.{name}: {field!r} is no field id; write the number of the ticket field"
                )
        return self

    def sign_in(self) -> Steps[Token] | None:
        return self._token() if self.client_id else None

    # https://developer.zendesk.com/api-reference/ticketing/oauth/grant_type_tokens/
    def _token(self) -> Steps[Token]:
        known = str(self.client_id), str(self.client_secret)
        return (yield from client_credentials("/oauth/tokens", *known, scope="read write"))

    # https://developer.zendesk.com/api-reference/introduction/requests/
    def headers(self, token: str | None) -> Mapping[str, str]:
        headers = {"Accept": "application/json", "User-Agent": "handrail-zendesk"}
        if self.api_token:
            return headers | basic(f"{self.email}/token", self.api_token)
        return headers | bearer(token or self.oauth_token)

    def names(self, kind: str) -> Steps[dict[str, str]]:
        """Ids of ``groups`` and ``fields``, of ``me`` and ``agent EMAIL``; the role of ``user ID``."""
        if kind == "me" or kind.startswith("user "):
            path = f"/users/{kind.removeprefix('user ')}"
            user = (yield Request("GET", path, accept=frozenset({404}))).data.get("user") or {}
            known = {"me": user.get("id"), "role": user.get("role")}
            return {name: str(value) for name, value in known.items() if value}
        if kind.startswith("agent "):
            query = {"query": f"email:{kind.removeprefix('agent ')}"}
            users = (yield Request("GET", "/users/search", params=query)).json.get("users") or []
            return {str(user.get("email")): str(user["id"]) for user in users if user.get("role") in STAFF}
        if kind not in LISTS:
            return (yield from super().names(kind))
        path, key, title = LISTS[kind]
        rows = yield from self._rows(path, key)
        return {str(row[title]): str(row["id"]) for row in rows if not row.get("deleted")}

    # https://developer.zendesk.com/api-reference/introduction/pagination/
    def _rows(self, path: str, key: str) -> Steps[list[dict[str, Any]]]:
        rows: list[dict[str, Any]] = []
        params: dict[str, str | int] = {"page[size]": 100}
        for _ in range(100):
            data = (yield Request("GET", path, params=dict(params))).json
            rows += data.get(key) or []
            meta = data.get("meta") or {}
            if not meta.get("has_more") or not meta.get("after_cursor"):
                break
            params["page[after]"] = meta["after_cursor"]
        return rows

    def check(self) -> Steps[list[Finding]]:
        found = [self._who((yield Request("GET", "/users/me")).json.get("user") or {})]
        for kind, wanted in (("groups", self.groups), ("fields", self.fields)):
            names = (yield from self.names(kind)) if wanted else {}
            known = {name.casefold() for name in names} | set(names.values())
            missing = f"Zendesk does not have it; it has {', '.join(sorted(names)[:20]) or 'none'}"
            for ours, theirs in wanted.items():
                ok = theirs.casefold() in known
                found.append(Finding(f"{kind}.{ours}", ok, f"{theirs!r}: {'found' if ok else missing}"))
        hint = "set" if self.webhook_secret else "not set: replies come by polling; the README says how"
        return [*found, Finding("webhook_secret", True, hint)]

    def _who(self, user: Mapping[str, Any]) -> Finding:
        """Without credentials Zendesk shows an anonymous user here, and no error."""
        role = user.get("role")
        if not user.get("id") or role not in STAFF:
            return Finding("credentials", False, f"these are of {role or 'nobody'}; use those of an agent")
        if self.export and role != "admin":
            return Finding(
                "credentials", False, "the export is for admins: use an admin's, or set export = false"
            )
        return Finding("credentials", True, f"{user.get('name')} ({role})")
