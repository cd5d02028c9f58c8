"""A table of ``[[subscribers]]``: where updates go, signed with what, and which kinds."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from difflib import get_close_matches
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from handrail.durations import Duration
from handrail.model import UpdateKind
from handrail.signature import standard_key
from handrail.wire import is_loopback

SHORTEST_SECRET = 16
"""Characters of a secret of one's own; behind ``whsec_`` Standard Webhooks demands more."""
SHORTEST_KEY, LONGEST_KEY = 24, 64
"""Bytes of the key behind ``whsec_``."""


def _kind(value: Any) -> Any:
    if not isinstance(value, str) or value in list(UpdateKind):
        return value
    near = get_close_matches(value, [str(kind) for kind in UpdateKind], n=1, cutoff=0.6)
    cure = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(UpdateKind)}"
    raise ValueError(f"there is no event {value!r}; {cure}")


def safe_url(url: str) -> str:
    """An address that something may be posted to. Raises ``ValueError`` with the cure."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is no address; write https://HOST/PATH") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("must hold no credentials; the signature tells who sends")
    if not host or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("is no address; write https://HOST/PATH")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise ValueError("must begin with https:// (http:// only for loopback addresses)")
    return url


def long_enough(secret: str) -> str:
    """A secret that can sign. Raises ``ValueError`` with the cure."""
    key = standard_key(secret)
    if secret.startswith("whsec_") and not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
        raise ValueError(
            f"behind whsec_ must stand {SHORTEST_KEY} to {LONGEST_KEY} bytes in base64; "
            "make one with `openssl rand -base64 32`"
        )
    if len(secret) < SHORTEST_SECRET:
        raise ValueError(
            f"must have at least {SHORTEST_SECRET} characters; make one with `openssl rand -base64 32`"
        )
    return secret


class Subscriber(BaseModel):
    """Somebody who gets updates as signed webhooks."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: str = Field(description="Where updates are posted; https, or http on this machine")
    secret: str = Field(
        repr=False,
        description="What they are signed with: whsec_ and base64, or at least 16 characters",
        json_schema_extra={"secret": True},
    )
    events: tuple[Annotated[UpdateKind, BeforeValidator(_kind)], ...] = Field(
        default=(), description="Kinds of updates; none: all"
    )
    give_up_after: Duration = Field(
        default=timedelta(days=3), description="After failing for so long it is tried once an hour only"
    )

    _safe = field_validator("url")(safe_url)
    _long_enough = field_validator("secret")(long_enough)

    @property
    def name(self) -> str:
        """The same for the same ``url``, whatever else is changed."""
        return f"subscriber-{hashlib.sha256(self.url.encode()).hexdigest()[:16]}"

    @property
    def host(self) -> str:
        """For messages: paths may hold what nobody else should know."""
        return urlsplit(self.url).netloc

    def wants(self, kind: UpdateKind) -> bool:
        return not self.events or kind in self.events
