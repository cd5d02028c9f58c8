"""What a connector yields and gets back."""

from __future__ import annotations

import pytest

from handrail import ConnectorError, Reply, Request, Token, Unsure


def test_a_reply_is_decoded() -> None:
    assert Reply(200, '{"name": "Ann ü"}'.encode()).json == {"name": "Ann ü"}


@pytest.mark.parametrize("content", [b"", b"<html>", b'{"a": 1', b"\xff\xfe"])
def test_an_answer_that_is_no_json_may_have_been_cut(content: bytes) -> None:
    with pytest.raises(Unsure, match=r"\(201\) is not readable JSON"):
        _ = Reply(201, content).json
    assert Reply(400, content).data == {}


@pytest.mark.parametrize(
    ("status", "ok"), [(200, True), (204, True), (299, True), (199, False), (300, False)]
)
def test_a_yes_is_2xx(status: int, ok: bool) -> None:
    assert Reply(status).ok is ok


def test_an_excerpt_is_short_and_on_one_line() -> None:
    excerpt = Reply(500, b"a\r\nb\x00" + b"x" * 100_000).excerpt
    assert excerpt.startswith("a b\ufffdx")
    assert len(excerpt) <= 300


@pytest.mark.parametrize("safe", [{"key": "k"}, {"repeatable": True}, {"unless": (x for x in ())}])
def test_one_way_to_be_safe_is_enough(safe: dict[str, object]) -> None:
    assert Request("POST", "/x", **safe).has_effect  # type: ignore[arg-type]


@pytest.mark.parametrize("unsafe", [{}, {"key": ""}, {"key": None, "repeatable": False}])
def test_without_a_way_to_be_safe_there_is_no_request(unsafe: dict[str, object]) -> None:
    with pytest.raises(ConnectorError, match="DELETE /x"):
        Request("DELETE", "/x", **unsafe)  # type: ignore[arg-type]


def test_a_request_is_titled_without_its_query() -> None:
    assert Request("GET", "/x", params={"token": "secret"}).title == "GET /x"


def test_a_token_is_not_shown() -> None:
    assert "very-secret" not in repr(Token("very-secret", 3600))


def test_credentials_are_written_as_the_standards_say() -> None:
    from handrail import basic, bearer, client_credentials

    assert basic("Ann", "pass:ü") == {"Authorization": "Basic QW5uOnBhc3M6w7w="}
    assert bearer("t0k") == {"Authorization": "Bearer t0k"}
    assert bearer(None) == {}

    asked = next(client_credentials("/oauth/token", "id", "s3cret", scope="read"))
    assert isinstance(asked, Request)
    assert asked.json == {
        "grant_type": "client_credentials",
        "scope": "read",
        "client_id": "id",
        "client_secret": "s3cret",
    }
    assert (asked.root, asked.public, asked.repeatable) == (True, True, True)
