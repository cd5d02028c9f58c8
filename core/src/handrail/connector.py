"""The base of every connector: settings, capabilities and pure translation, without any I/O.

An author subclasses ``Connector``, declares what the desk ``can`` and writes ``create`` and ``find``; the
rest has a default or follows from the declarations. See ``handrail.testing.ConnectorTests`` for the proof.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Flag, auto
from typing import Any, ClassVar, dataclass_transform
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from handrail.durations import Duration
from handrail.errors import Refused, Unsupported
from handrail.mailsteps import MailServers
from handrail.model import File, Handoff, Message, Status, Ticket, Update, Urgency
from handrail.render import Body, Dialect, Plain
from handrail.signature import Hook, Signature
from handrail.steps import Names, Reply, Steps, Token
from handrail.wire import is_loopback


class Can(Flag):
    """What a desk can take. What is not declared is refused before anything is sent, or said in the text."""

    ATTACH = auto()
    TAG = auto()
    NOTE = auto()
    REPLY = auto()
    WEBHOOK = auto()
    POLL = auto()
    CHANGE = auto()
    """Urgency and status can be changed later."""
    MOVE = auto()
    """A ticket can be given to another group later."""


def setting(description: str, *, default: Any = ..., **more: Any) -> Any:
    """A setting of a connector. Without ``default`` it is required."""
    return Field(default, description=description, **more)


def secret(description: str, *, default: Any = ..., **more: Any) -> Any:
    """A setting that never appears in a repr, a log, an error or a ticket."""
    return Field(default, description=description, repr=False, json_schema_extra={"secret": True}, **more)


@dataclass(frozen=True)
class Said:
    """Later messages for a ticket. ``marker`` is unique and is left in the text, so that it can be found."""

    marker: str
    messages: tuple[Message, ...]
    handoff: Handoff
    files: tuple[File, ...] = ()


@dataclass(frozen=True)
class Change:
    """A later change of a ticket; what is None stays as it is. Closing is ``status=Status.SOLVED``."""

    urgency: Urgency | None = None
    status: Status | None = None
    note: str | None = None
    marker: str = ""
    group: str | None = None
    """The next group in our words, only where the desk can ``MOVE`` a ticket; ``group_to`` finds its id."""


@dataclass(frozen=True)
class Doorbell:
    """Something happened to this ticket: it must be read through the API."""

    ticket_id: str


class LeftOpen(str):
    """The id of a twin that was not ended: people had written on it already. Each ticket names the other."""

    __slots__ = ()


@dataclass(frozen=True)
class Undone:
    """A late no: what the desk had accepted never reached people, such as a mail that bounced.

    Without ``marker`` it is the ticket itself, and the handoff goes to its fallback; with the ``marker`` of
    a later message or change only that one has failed.
    """

    ticket_id: str
    why: str
    marker: str | None = None


@dataclass(frozen=True)
class Page:
    """What one poll found: events, snapshots of tickets, late refusals, and where the next poll begins."""

    updates: Sequence[Update] = ()
    tickets: Sequence[Ticket] = ()
    cursor: str | None = None
    more: bool = False
    undone: Sequence[Undone] = ()

    @property
    def items(self) -> list[Update | Ticket]:
        """Events first: a snapshot that came before them would make them look late."""
        return [*self.updates, *self.tickets]


@dataclass(frozen=True)
class Finding:
    """What ``handrail check`` learnt: ``ok``, and what to do where it is not.

    A ``warning`` is ok all the same: it works, and probably not as it was meant.
    """

    subject: str
    ok: bool
    message: str
    warning: bool = False


@dataclass(frozen=True)
class Wishes:
    """A handoff in the desk's own ids, as far as the desk has them.

    ``handoff`` carries what could not be set, so that ``text`` says so.
    """

    handoff: Handoff
    group: str | None
    urgency: str | None
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass_transform(kw_only_default=True, field_specifiers=(setting, secret))
class Connector(BaseModel):
    """Translates between handoffs and one kind of desk. It never acts: no socket, sleep, log or database."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
        coerce_numbers_to_str=True,
    )

    name: ClassVar[str] = ""
    title: ClassVar[str] = ""
    can: ClassVar[Can] = Can(0)
    signature: ClassVar[Signature | None] = None
    dialect: ClassVar[Dialect] = Plain()
    api: ClassVar[str] = ""
    """The path before that of every request, such as ``/api/v2``."""
    key_header: ClassVar[str] = "Idempotency-Key"
    key_window: ClassVar[timedelta | None] = None
    """How long the desk remembers an idempotency key; None: for ever."""
    lag: ClassVar[timedelta] = timedelta(0)
    """How long the desk's search may not show what it already holds."""
    looks: ClassVar[Sequence[timedelta]] = ()
    """How long after an unsure request it is looked for within ``lag``, before the last look at its end."""
    sweep_after: ClassVar[timedelta | None] = None
    """How long after an unsure create its twins are looked for; None: the desk makes none."""
    urgencies: ClassVar[Mapping[Urgency, str]] = {urgency: urgency.value for urgency in Urgency}
    named_groups: ClassVar[bool] = True
    """Groups have ids that are looked up by name, through ``names("groups")``."""
    simulated: ClassVar[str | None] = None
    """``module:Class`` of a simulated desk for ``handrail demo`` and for tests."""

    url: str | None = setting("Base address of the API: a sandbox, a proxy or your own server", default=None)
    groups: dict[str, str] = setting("Our group names to the desk's names or ids", default={})
    urgency: dict[Urgency, str] = setting("Urgencies that differ from the connector's own map", default={})
    fields: dict[str, str] = setting("Details to the desk's custom fields", default={})
    poll: Duration = setting("How often the desk is polled", default=timedelta(seconds=60), gt=timedelta(0))
    timeout: Duration = setting(
        "How long the desk may take to answer one request", default=timedelta(seconds=20), gt=timedelta(0)
    )
    concurrency: int = setting("Requests in flight at most", default=8, ge=1, le=256)
    rate: int | None = setting("Requests a minute at most; empty: as the desk allows", default=None, ge=1)

    @model_validator(mode="after")
    def _https_only(self) -> Connector:
        parts = urlsplit(self.base_url)
        if (
            self.mail_servers()
            or parts.scheme == "https"
            or (parts.scheme == "http" and is_loopback(parts.hostname))
        ):
            return self
        raise ValueError(
            f"url: {self.base_url!r} must begin with https:// (http:// only for loopback addresses)"
        )

    @property
    def base_url(self) -> str:
        """The desk's address without a slash at the end. Override where it follows from other settings."""
        return (self.url or "").rstrip("/")

    # Translation out. Override what the desk can do.

    def create(self, handoff: Handoff) -> Steps[Ticket]:
        """Make the ticket. Must be deterministic: the same handoff yields the same bytes."""
        raise NotImplementedError

    def find(self, handoff: Handoff) -> Steps[Ticket | None]:
        """The ticket that an earlier try made, or None. Compares the marker of every row it reads."""
        raise NotImplementedError

    def sweep(self, handoff: Handoff, ticket: Ticket) -> Steps[list[str]]:
        """End the twins of ``ticket`` that an unsure try left, and return their ids.

        One on which people have written must not be closed under their hands: its id is a ``LeftOpen``.
        Runs ``sweep_after`` an unsure create succeeded, for desks without idempotency keys, whose search lags
        or which may carry out a lost request late. Its requests are ``repeatable``.
        """
        return []
        yield  # pragma: no cover - makes this a generator

    def say(self, ticket: Ticket, said: Said) -> Steps[Ticket]:
        """Add later messages, and return the ticket as it is then, its ``ours`` naming our own comment."""
        raise Unsupported(f"{self.title or self.name} takes no later messages")

    def change(self, ticket: Ticket, change: Change) -> Steps[Ticket]:
        """Change urgency, group or status, and return the ticket as it is then.

        The note comes last: what was refused of the rest is asked for no more, and the note says so.
        """
        raise Unsupported(f"{self.title or self.name} takes no changes")

    # Translation back.

    def events(self, hook: Hook) -> Iterable[Update | Ticket | Doorbell]:
        """What a genuine webhook says. An unknown event yields nothing."""
        return ()

    def read(self, ticket: Ticket) -> Steps[Page]:
        """One ticket through the API, with what was written on it since ``ticket.updated_at``."""
        raise Unsupported(f"{self.title or self.name} cannot be read")

    def poll_page(self, cursor: str | None, tickets: Sequence[Ticket], now: datetime) -> Steps[Page]:
        """What changed since ``cursor`` (None: the first poll). ``tickets`` are the open ones we know."""
        raise Unsupported(f"{self.title or self.name} cannot be polled")

    # The desk's ways.

    def headers(self, token: str | None) -> Mapping[str, str]:
        """Headers of every request, credentials included; ``token`` is what ``sign_in`` got."""
        return {}

    def mail_servers(self) -> MailServers | None:
        """The servers of a desk that is reached by mail (``SendMail``, ``FetchMail``) and not by HTTP."""
        return None

    def sign_in(self) -> Steps[Token] | None:
        """Steps to an access token, or None where the settings are credentials enough."""
        return None

    def names(self, kind: str) -> Steps[dict[str, str]]:
        """The desk's names of one kind (``groups``, ...) with their ids."""
        raise Unsupported(f"{self.title or self.name} has no {kind}")

    def check(self) -> Steps[list[Finding]]:
        """Ask the desk whether credentials, groups and fields are as configured. Changes nothing."""
        return [Finding("check", True, "nothing to ask this desk")]
        yield  # pragma: no cover - makes this a generator

    def explain(self, reply: Reply) -> str:
        """The desk's own words about a refusal."""
        return reply.excerpt or f"status {reply.status}"

    def retry_after(self, reply: Reply, now: datetime) -> float | None:
        """Seconds to wait where the desk says so in another way than by ``Retry-After``."""
        return None

    def is_for_all(self, reply: Reply) -> bool:
        """True where a 429 is about all that we ask; else only what was asked waits."""
        return True

    def refused_fields(self, reply: Reply) -> Mapping[str, str]:
        """The optional fields that a refusal names, in our words (``group``, ``urgency``, ``owner``,
        ``tags``, ``customer``, ``fields.NAME``), each with the desk's reason.

        Without these the handoff is tried again.
        """
        return {}

    def key_is_used(self, reply: Reply) -> bool:
        """True when the desk says that our idempotency key was used with other content."""
        return False

    # What the base brings.

    def body(self, handoff: Handoff, dialect: Dialect | None = None) -> Body:
        """The brief in this desk's dialect (or another) within its limit, and the files that go along."""
        from handrail.brief import compose

        body = (dialect or self.dialect).render(compose(handoff))
        files = (*handoff.files, *body.files)
        if files and Can.ATTACH not in self.can:
            raise Unsupported(
                f"{self.title or self.name} takes no attachments: {', '.join(f.name for f in files)}"
            )
        return Body(body.text, files)

    def message_text(self, said: Said) -> str:
        """Later messages in this desk's dialect; the marker stands on a line of its own."""
        return self.dialect.messages(said.messages, said.marker)

    def wishes(self, handoff: Handoff) -> Steps[Wishes]:
        """Group, urgency and fields in the desk's own ids; what it does not have is noted in the text."""
        group, why = yield from self._group(handoff)
        unset = dict(handoff.unset) | ({"group": why} if why and "group" not in handoff.unset else {})
        known = {name for name, value in handoff.details.items() if value is not None}
        kept = {k: v for k, v in self.fields.items() if k in known and f"fields.{k}" not in unset}
        urgency = None if "urgency" in unset else (self.urgencies | self.urgency)[handoff.urgency]  # type: ignore[operator]
        return Wishes(
            handoff.model_copy(update={"unset": unset}),
            None if "group" in handoff.unset else group,
            urgency,
            {desk_field: _written(handoff.details[name]) for name, desk_field in kept.items()},
        )

    def group_to(self, name: str) -> Steps[str]:
        """The desk's id of a ticket's next group. Raises ``Refused`` where it has none: the change then is
        made without it, and its note says so.
        """
        theirs = self.groups.get(name, name)
        found = yield from self._group_id(theirs)
        if found is None:
            why = f"{self.title or self.name} has no group {theirs!r}"
            raise Refused(why, fields={"group": why})
        return found

    def _group(self, handoff: Handoff) -> Steps[tuple[str | None, str | None]]:
        wanted = handoff.group
        ours = self.groups.get(wanted or "default", wanted)
        found = yield from self._group_id(ours)
        if found or ours is None:
            return found, None
        why = f"{self.title or self.name} has no group {ours!r}"
        fallback = yield from self._group_id(self.groups.get("default"))
        return fallback, why

    def _group_id(self, name: str | None) -> Steps[str | None]:
        if name is None or not self.named_groups or (name.isascii() and name.isdigit()):
            return name
        return (yield from self.id_of("groups", name))

    def id_of(self, kind: str, name: str) -> Steps[str | None]:
        """The desk's id of a name, from the kept copy, or from the desk where the copy does not hold it."""
        for fresh in (False, True):
            reply = yield Names(kind, fresh=fresh)
            names = {key.casefold(): value for key, value in reply.json.items()}
            if name.casefold() in names:
                return str(names[name.casefold()])
        return None


def _written(value: Any) -> str:
    """A detail as a text that a desk's field can take: true and false, lists and tables as in JSON."""
    if isinstance(value, bool | Mapping | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
