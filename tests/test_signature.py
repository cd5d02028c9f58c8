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

from handrail import Hmac, Hook, SharedSecret, SignatureError, StandardWebhooks

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
BODY = b'{"a": 1}'
SCHEMES = [
    Hmac(header="X-Sig"),
    Hmac(header="X-Sig", encoding="hex", prefix="sha256=", algorithm="sha256"),
    Hmac(header="X-Sig", encoding="hex", algorithm="sha1"),
    Hmac(header="X-Sig", over="{timestamp}.{body}", timestamp_header="X-Time"),
    Hmac(header="X-Sig", over="v0:{timestamp}:{body}:end", timestamp_header="X-Time", encoding="hex"),
    StandardWebhooks(header="X-Sig"),
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


STANDARD = StandardWebhooks()
PUBLISHED = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
"""An example that its authors publish, with the secret and the body."""
THEIRS, SAID = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
THEN = datetime.fromtimestamp(1614265330, UTC)


def test_standard_webhooks_are_signed_as_published() -> None:
    assert STANDARD.sign(SAID, THEIRS, THEN, PUBLISHED["webhook-id"]) == PUBLISHED
    assert STANDARD.check(hook(PUBLISHED, SAID), THEIRS, THEN) is None


def test_one_of_several_standard_signatures_is_enough() -> None:
    both = {"webhook-signature": f"v1a,other v1,AAAA {PUBLISHED['webhook-signature']}"}
    assert STANDARD.check(hook(PUBLISHED | both, SAID), THEIRS, THEN) is None


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"webhook-id": "msg_other"}, "forged"),
        ({"webhook-id": ""}, "unsigned"),
        ({"webhook-timestamp": "1614265331"}, "forged"),
        ({"webhook-timestamp": ""}, "unsigned"),
        ({"webhook-signature": " "}, "unsigned"),
        ({"webhook-signature": PUBLISHED["webhook-signature"].removeprefix("v1,")}, "forged"),
    ],
)
def test_a_standard_webhook_that_was_changed_does_not_pass(changed: dict[str, str], why: str) -> None:
    with pytest.raises(SignatureError, match=why):
        STANDARD.check(hook(PUBLISHED | changed, SAID), THEIRS, THEN)


def test_an_old_standard_webhook_does_not_pass() -> None:
    with pytest.raises(SignatureError, match="old"):
        STANDARD.check(hook(PUBLISHED, SAID), THEIRS, THEN + timedelta(seconds=301))


def test_a_standard_secret_that_is_no_base64_is_named_and_not_shown() -> None:
    with pytest.raises(ValueError, match=r"what stands behind whsec_ is no base64$"):
        STANDARD.sign(SAID, "whsec_!!", THEN)


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
