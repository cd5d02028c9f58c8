"""Webhook signatures: a connector declares the scheme, the base checks it before anything is parsed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from handrail.errors import SignatureError
from handrail.ids import ulid

MAX_AGE_SECONDS = 300
"""A signed time may differ from ours by this much, in either direction (Standard Webhooks)."""


@dataclass(frozen=True)
class Hook:
    """A webhook as it came in; ``headers`` have lower-case names. Its signature has been checked."""

    body: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        """The decoded body; ``{}`` where it is no JSON object."""
        try:
            data = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return data if isinstance(data, dict) else {}


class Signature(Protocol):
    """How a desk proves that a webhook is its own."""

    @property
    def header(self) -> str: ...

    def check(self, hook: Hook, secret: str, now: datetime) -> None:
        """Raise ``SignatureError`` unless ``hook`` is genuine and, where a time is signed, recent."""

    def sign(self, body: bytes, secret: str, now: datetime) -> dict[str, str]:
        """The headers that a genuine webhook of ``body`` carries: for simulated desks and the kit."""


@dataclass(frozen=True)
class Hmac:
    """An HMAC over ``over``, a template of ``{timestamp}`` and ``{body}``.

    ``timestamp_header`` holds an RFC 3339 time or seconds since the epoch. ``prefix`` stands before the
    digest in the header (``sha256=``).
    """

    header: str
    over: str = "{body}"
    timestamp_header: str | None = None
    algorithm: str = "sha256"
    encoding: Literal["base64", "hex"] = "base64"
    prefix: str = ""

    def check(self, hook: Hook, secret: str, now: datetime) -> None:
        given = hook.headers.get(self.header.lower())
        if not given:
            raise SignatureError(f"unsigned: the header {self.header} is missing")
        stamp = hook.headers.get((self.timestamp_header or "").lower(), "")
        if not hmac.compare_digest(self._digest(hook.body, secret, stamp).encode(), given.strip().encode()):
            raise SignatureError(f"forged: {self.header} does not match the body")
        if self.timestamp_header and abs((now - _time(stamp)).total_seconds()) > MAX_AGE_SECONDS:
            raise SignatureError(f"old: {self.timestamp_header} is more than {MAX_AGE_SECONDS} seconds away")

    def sign(self, body: bytes, secret: str, now: datetime) -> dict[str, str]:
        stamp = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if self.timestamp_header else ""
        headers = {self.header: self._digest(body, secret, stamp)}
        return headers | ({self.timestamp_header: stamp} if self.timestamp_header else {})

    def _digest(self, body: bytes, secret: str, stamp: str) -> str:
        before, _, after = self.over.partition("{body}")
        signed = before.replace("{timestamp}", stamp).encode() + body
        signed += after.replace("{timestamp}", stamp).encode()
        digest = hmac.new(secret.encode(), signed, getattr(hashlib, self.algorithm)).digest()
        return self.prefix + (
            base64.b64encode(digest).decode() if self.encoding == "base64" else digest.hex()
        )


@dataclass(frozen=True)
class StandardWebhooks:
    """The scheme of https://www.standardwebhooks.com: an HMAC over id, time and body.

    A secret is ``whsec_`` and base64, or any other text, of which the UTF-8 bytes are the key. A secret that
    is no base64 behind ``whsec_`` raises ``ValueError``.
    """

    header: str = "webhook-signature"

    def check(self, hook: Hook, secret: str, now: datetime) -> None:
        """For receivers. What was received before has the ``webhook-id`` that it had then."""
        named = ("webhook-id", "webhook-timestamp", self.header.lower())
        id, stamp, given = (hook.headers.get(name, "").strip() for name in named)
        if not (id and stamp and given):
            raise SignatureError(f"unsigned: one of the headers {', '.join(named)} is missing")
        expected = self._digest(id, stamp, hook.body, secret).encode()
        if not any(hmac.compare_digest(expected, each.encode()) for each in given.split()):
            raise SignatureError(f"forged: {self.header} does not match id, time and body")
        if abs((now - _time(stamp)).total_seconds()) > MAX_AGE_SECONDS:
            raise SignatureError(f"old: webhook-timestamp is more than {MAX_AGE_SECONDS} seconds away")

    def sign(self, body: bytes, secret: str, now: datetime, id: str | None = None) -> dict[str, str]:
        """The three headers. ``id`` is the message's own and has no full stop; None: a new one."""
        id, stamp = id or ulid(now), str(int(now.timestamp()))
        signature = self._digest(id, stamp, body, secret)
        return {"webhook-id": id, "webhook-timestamp": stamp, self.header: signature}

    def _digest(self, id: str, stamp: str, body: bytes, secret: str) -> str:
        signed = f"{id}.{stamp}.".encode() + body
        digest = hmac.new(standard_key(secret), signed, hashlib.sha256).digest()
        return f"v1,{base64.b64encode(digest).decode()}"


def standard_key(secret: str) -> bytes:
    """The key that a secret of Standard Webhooks stands for. Raises ``ValueError`` where it is no base64."""
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        raise ValueError("what stands behind whsec_ is no base64") from None


@dataclass(frozen=True)
class SharedSecret:
    """A secret sent as it is in a header, for desks that sign nothing; their events are only doorbells."""

    header: str

    def check(self, hook: Hook, secret: str, now: datetime) -> None:
        given = hook.headers.get(self.header.lower(), "")
        if not given or not hmac.compare_digest(given.encode(), secret.encode()):
            raise SignatureError(f"the shared secret in {self.header} is missing or wrong")

    def sign(self, body: bytes, secret: str, now: datetime) -> dict[str, str]:
        return {self.header: secret}


def _time(stamp: str) -> datetime:
    try:
        if stamp.strip().isdigit():
            return datetime.fromtimestamp(int(stamp), UTC)
        moment = datetime.fromisoformat(stamp.strip())
    except (ValueError, OverflowError) as error:
        raise SignatureError("the signed time is not readable") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
