"""Three ways in which a webhook proves itself. Each is only a doorbell: the issue is read through the API.

* admin webhooks: ``X-Hub-Signature: sha256=HEX`` over the raw body;
* dynamic webhooks (OAuth and Connect apps): ``Authorization: Bearer JWT``, HS256 by the app's secret;
* automation rules and servers that sign nothing: the secret itself in ``X-Handrail-Secret``.

https://developer.atlassian.com/cloud/jira/platform/webhooks/
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import jwt
from jwt.types import Options

from handrail import Hook, SignatureError

METHODS = {"sha256": hashlib.sha256, "sha384": hashlib.sha384, "sha512": hashlib.sha512}
"""The methods that are believed; Jira signs by sha256 today and names the method."""
OLDEST = timedelta(hours=24)
"""Nothing signed binds a webhook to a time; Jira repeats a delivery for hours, but not for days."""
LEEWAY = timedelta(minutes=5)
SHORTEST = 32
"""Bytes. A shorter secret could be guessed: https://datatracker.ietf.org/doc/html/rfc7518#section-3.2"""
_OPTIONS: Options = {
    "require": ["exp"],
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "verify_aud": False,
}


@dataclass(frozen=True)
class JiraSignature:
    header: str = "X-Hub-Signature"

    def check(self, hook: Hook, secret: str, now: datetime) -> None:
        if not secret:
            raise SignatureError(
                "no webhook_secret is configured: a signature by an empty key proves nothing"
            )
        if given := hook.headers.get(self.header.lower()):
            _check_hmac(hook.body, given, secret)
        elif bearer := _bearer(hook):
            _check_jwt(bearer, secret, now)
        elif not hmac.compare_digest(hook.headers.get("x-handrail-secret", "").encode(), secret.encode()):
            raise SignatureError(f"unsigned: neither {self.header} nor a JWT nor the shared secret is right")
        _check_age(hook, now)

    def sign(self, body: bytes, secret: str, now: datetime) -> dict[str, str]:
        return {self.header: f"sha256={hmac.new(secret.encode(), body, 'sha256').hexdigest()}"}


def _check_hmac(body: bytes, given: str, secret: str) -> None:
    method, _, digest = given.strip().partition("=")
    if method.lower() not in METHODS:
        raise SignatureError(f"the signature's method {method[:20]!r} is not one of {', '.join(METHODS)}")
    right = hmac.new(secret.encode(), body, METHODS[method.lower()]).hexdigest()
    if not hmac.compare_digest(right.encode(), digest.lower().encode()):
        raise SignatureError("forged: the signature does not match the body")


def _bearer(hook: Hook) -> str | None:
    scheme, _, token = hook.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() in ("bearer", "jwt") and token.strip() else None


def _check_jwt(token: str, secret: str, now: datetime) -> None:
    """The library's own checks of times would use this machine's clock."""
    if len(secret.encode()) < SHORTEST:
        raise SignatureError(f"a JWT needs a webhook_secret of {SHORTEST} bytes: the app's own secret")
    try:
        known = jwt.decode(token, secret, algorithms=["HS256"], options=_OPTIONS)
        until = datetime.fromtimestamp(float(known["exp"]), UTC)
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError, OSError) as error:
        raise SignatureError(f"the JWT is not genuine ({type(error).__name__})") from None
    if now > until + LEEWAY:
        raise SignatureError("old: the JWT has expired")


def _check_age(hook: Hook, now: datetime) -> None:
    stamp = hook.json.get("timestamp")
    if isinstance(stamp, int) and now.timestamp() - stamp / 1000 > OLDEST.total_seconds():
        raise SignatureError("old: the webhook's timestamp is more than 24 hours away")
