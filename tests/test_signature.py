"""Webhook signatures: a genuine one passes, and nothing else."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handrail import Hmac, Hook, SharedSecret, SignatureError

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
BODY = b'{"a": 1}'
SCHEMES = [
    Hmac(header="X-Sig"),
    Hmac(header="X-Sig", encoding="hex", prefix="sha256=", algorithm="sha256"),
    Hmac(header="X-Sig", encoding="hex", algorithm="sha1"),
    Hmac(header="X-Sig", over="{timestamp}.{body}", timestamp_header="X-Time"),
    Hmac(header="X-Sig", over="v0:{timestamp}:{body}:end", timestamp_header="X-Time", encoding="hex"),
]
ALL = [*SCHEMES, SharedSecret("X-Sig")]
TIMED = SCHEMES[3]


def hook(headers: dict[str, str], body: bytes = BODY) -> Hook:
    return Hook(body, {name.lower(): value for name, value in headers.items()})


def signed(scheme: Any, secret: str = "s", at: datetime = NOW, body: bytes = BODY) -> dict[str, str]:
    headers: dict[str, str] = scheme.sign(body, secret, at)
    return headers


@pytest.mark.parametrize("scheme", ALL)
def test_what_is_signed_passes(scheme: Any) -> None:
    assert scheme.check(hook(signed(scheme)), "s", NOW) is None


def test_the_digest_is_the_one_that_the_desk_computes() -> None:
    digest = hmac.new(b"s", b"2026-11-23T09:00:00Z." + BODY, hashlib.sha256).digest()
    assert signed(TIMED) == {"X-Sig": base64.b64encode(digest).decode(), "X-Time": "2026-11-23T09:00:00Z"}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_another_body_is_forged(scheme: Any) -> None:
    for body in (BODY + b" ", BODY[:-1], b""):
        with pytest.raises(SignatureError, match="forged"):
            scheme.check(hook(signed(scheme), body), "s", NOW)


@pytest.mark.parametrize("scheme", ALL)
def test_another_secret_does_not_pass(scheme: Any) -> None:
    with pytest.raises(SignatureError):
        scheme.check(hook(signed(scheme, "other")), "s", NOW)


@pytest.mark.parametrize("scheme", ALL)
@pytest.mark.parametrize("headers", [{}, {"X-Sig": ""}, {"X-Sig": "ü\u2028\x00"}, {"X-Sig": "="}])
def test_no_or_an_odd_signature_does_not_pass(scheme: Any, headers: dict[str, str]) -> None:
    with pytest.raises(SignatureError):
        scheme.check(hook(headers), "s", NOW)


@pytest.mark.parametrize(("seconds", "passes"), [(300, True), (-300, True), (301, False), (-301, False)])
def test_a_signed_time_may_be_five_minutes_away(seconds: int, passes: bool) -> None:
    headers, now = signed(TIMED), NOW + timedelta(seconds=seconds)
    if passes:
        assert TIMED.check(hook(headers), "s", now) is None
    else:
        with pytest.raises(SignatureError, match="old"):
            TIMED.check(hook(headers), "s", now)


def stamped(stamp: str) -> Hook:
    digest = hmac.new(b"s", stamp.encode() + b"." + BODY, hashlib.sha256).digest()
    return hook({"X-Sig": base64.b64encode(digest).decode(), "X-Time": stamp})


@pytest.mark.parametrize(
    "stamp",
    [str(int(NOW.timestamp())), "2026-11-23T09:00:00Z", "2026-11-23T10:00:00+01:00", "2026-11-23T09:00:00"],
)
def test_times_are_read_as_seconds_and_as_rfc_3339(stamp: str) -> None:
    assert TIMED.check(stamped(stamp), "s", NOW) is None


@pytest.mark.parametrize("stamp", ["", "now", "9" * 30, "²", "-1", "nan", "2026-13-45T00:00:00Z"])
def test_a_time_that_is_none_does_not_pass(stamp: str) -> None:
    with pytest.raises(SignatureError):
        TIMED.check(stamped(stamp), "s", NOW)


def test_another_time_than_the_signed_one_is_forged() -> None:
    headers = signed(TIMED, at=NOW - timedelta(hours=1)) | {"X-Time": "2026-11-23T09:00:00Z"}
    with pytest.raises(SignatureError, match="forged"):
        TIMED.check(hook(headers), "s", NOW)


@given(st.binary(), st.text(min_size=1))
def test_any_bytes_under_any_secret(body: bytes, secret: str) -> None:
    assert TIMED.check(hook(signed(TIMED, secret, body=body), body), secret, NOW) is None


@given(st.text(), st.text())
def test_nothing_but_a_signature_error_is_raised(signature: str, stamp: str) -> None:
    for scheme in ALL:
        with pytest.raises(SignatureError):
            scheme.check(hook({"X-Sig": signature, "X-Time": stamp}), "a secret that is not guessed", NOW)


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b"{", b"\xff", b'"a"', b"[" * 100_000])
def test_a_body_that_is_no_object_is_empty(body: bytes) -> None:
    assert Hook(body, {}).json == {}


def test_an_object_is_decoded() -> None:
    assert Hook(BODY, {}).json == {"a": 1}
