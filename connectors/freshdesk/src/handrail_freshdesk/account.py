"""A Freshdesk account: its settings, its credentials and its names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import model_validator

from handrail import (
    Connector,
    Finding,
    Names,
    Reply,
    Request,
    Status,
    Steps,
    Ticket,
    Unsupported,
    basic,
    secret,
    setting,
)
from handrail_freshdesk import refusals, updates
from handrail_freshdesk.asking import every
from handrail_freshdesk.updates import Row, listed

PRIORITIES = {"low": "1", "medium": "2", "high": "3", "urgent": "4"}
FIELD = r"^[a-z][a-z0-9_]*$"


class FreshdeskAccount(Connector):
    domain: str | None = setting(
        "Such as acme.freshdesk.com; the API knows no address of your own",
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*\.freshdesk\.com$",
        examples=["acme.freshdesk.com"],
    )
    api_key: str = secret("API key of an agent (Profile settings)", min_length=1)
    webhook_secret: str | None = secret("What the rule sends in X-Handrail-Secret", default=None)
    marker_field: str | None = setting(
        "Custom text field for our id, such as cf_handoff_id; without it a tag", default=None, pattern=FIELD
    )
    product: int | None = setting("Product id of new tickets", default=None)
    email_config: int | None = setting("Mailbox id (email_config_id) of new tickets", default=None)
    tags: tuple[str, ...] = setting("Tags of new tickets, beside the handoff's", default=())
    statuses: dict[Status, str] = setting("Our statuses to custom ones, by name or number", default={})

    @property
    def base_url(self) -> str:
        if not self.url and not self.domain:
            raise ValueError("domain: write your account's acme.freshdesk.com (or give url)")
        return (self.url or f"https://{self.domain}").rstrip("/").removesuffix("/api/v2")

    @model_validator(mode="after")
    def _sound_values(self) -> FreshdeskAccount:
        for ours, word in self.urgency.items():
            if word.casefold() not in (*PRIORITIES, *PRIORITIES.values()):
                raise ValueError(
                    f"urgency.{ours}: {word!r} is no priority; use one of {', '.join(PRIORITIES)}"
                )
        for name, field in self.fields.items():
            if not field.isascii() or not field.replace("_", "").isalnum():
                raise ValueError(f"fields.{name}: {field!r} is no field's name; write it as in cf_order_id")
        return self

    # https://developers.freshdesk.com/api/#authentication
    def headers(self, token: str | None) -> Mapping[str, str]:
        return {"Accept": "application/json", "User-Agent": "handrail-freshdesk"} | basic(self.api_key, "X")

    def explain(self, reply: Reply) -> str:
        return refusals.explain(reply)

    def refused_fields(self, reply: Reply) -> Mapping[str, str]:
        return refusals.refused_fields(reply, self.fields, self.marker_field)

    def names(self, kind: str) -> Steps[dict[str, str]]:
        """Ids of ``groups`` by name, numbers of ``statuses`` by label, types of ``fields``, ids of agents."""
        if kind == "groups":
            rows = yield from every("/groups")
            return {str(row["name"]): str(row["id"]) for row in rows}
        if kind.startswith("agent "):
            refused = frozenset({403})  # only some agents may see others: no handoff waits for that
            rows = yield from every("/agents", refused, email=kind.removeprefix("agent "))
            return {str((row.get("contact") or {}).get("email")): str(row["id"]) for row in rows}
        if kind not in ("statuses", "fields"):
            return (yield from super().names(kind))
        reply = yield Request("GET", "/ticket_fields", accept=frozenset({403}))  # not for every agent
        rows = listed(reply.json) if reply.ok else []
        if kind == "fields":
            return {str(row["name"]): str(row.get("type")) for row in rows}
        return _labels(next((row for row in rows if row.get("type") == "default_status"), {}))

    def priority(self, word: str) -> int:
        return int(PRIORITIES.get(word.casefold(), word))

    def status_number(self, status: Status) -> Steps[int]:
        """The number to write. Waiting for somebody else is a custom status, which an account may lack."""
        theirs = self.statuses.get(status)
        if theirs is None and status is not Status.ON_HOLD:
            wanted = Status.OPEN if status is Status.NEW else status
            return next(n for n, ours in updates.STATUSES.items() if ours is wanted)
        theirs = theirs or updates.USUAL["7"]
        found = theirs if theirs.isdigit() else (yield from self.id_of("statuses", theirs))
        if found is None:
            raise Unsupported(f"Freshdesk has no status {theirs!r}; name one in statuses.{status}")
        return int(found)

    def ticket(self, row: Row, ours: Iterable[str] = ()) -> Steps[Ticket]:
        """A ticket from Freshdesk's row; only a custom status asks for the account's own words."""
        labels: dict[str, str] = {}
        if int(row["status"]) not in updates.STATUSES:
            reply = yield Names("statuses")
            labels = {number: label for label, number in reply.json.items()}
        return updates.ticket_of(self.base_url, row, updates.status_of(row, self.statuses, labels), ours)

    def check(self) -> Steps[list[Finding]]:
        me = (yield Request("GET", "/agents/me")).json
        found = [Finding("credentials", bool(me["id"]), str((me.get("contact") or {}).get("name")))]
        marker = {"marker_field": self.marker_field} if self.marker_field else {}
        fields, statuses = self.fields | marker, {str(ours): word for ours, word in self.statuses.items()}
        for kind, wanted in (("groups", self.groups), ("fields", fields), ("statuses", statuses)):
            names = (yield from self.names(kind)) if wanted else {}
            found += [_finding(kind, ours, theirs, names) for ours, theirs in wanted.items()]
        hint = "set" if self.webhook_secret else "not set: replies come by polling only (see the README)"
        return [*found, Finding("webhook_secret", True, hint)]


def _finding(kind: str, ours: str, theirs: str, names: Mapping[str, str]) -> Finding:
    """Whether a configured name, or an id in its place, is there. Not every agent sees the ticket fields."""
    if not names and kind != "groups":
        words = f"{theirs!r}: not checked: the API key's agent may not see the ticket fields"
        return Finding(f"{kind}.{ours}", True, words, warning=True)
    ids = names.values() if kind != "fields" else ()
    ok = theirs.casefold() in {name.casefold() for name in (*names, *ids)}
    missing = f"Freshdesk does not have it; it has {', '.join(sorted(names)[:20]) or 'none'}"
    return Finding(f"{kind}.{ours}", ok, f"{theirs!r}: {'found' if ok else missing}")


def _labels(field: Row) -> dict[str, str]:
    """``{"2": ["Open", "Being Processed"]}`` as numbers by the agents' label."""
    choices = field.get("choices")
    pairs = choices.items() if isinstance(choices, dict) else ()
    return {str(words[0] if isinstance(words, list) and words else words): n for n, words in pairs}
