"""Durations as people write them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from handrail.durations import Duration, format_duration, parse_duration, rough_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("10m", 600), ("24h", 86400), ("2d", 172800), ("1h30m", 5400), ("0.5s", 0.5), ("0s", 0)],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "value", ["", "10", "m", "10 m", "-5s", "1h 30m", "10x", "10M", "1e3s", 10, None, "9" * 30 + "d", "3654d"]
)
def test_what_is_no_duration_is_an_error_that_says_what_to_write(value: object) -> None:
    with pytest.raises(ValueError, match=r"30s, 10m, 24h or 2d|longer than ten years"):
        parse_duration(value)
    with pytest.raises(ValidationError):
        TypeAdapter(Duration).validate_python(value)


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=3653)))
def test_what_is_written_is_read_as_the_same(value: timedelta) -> None:
    assert abs(parse_duration(format_duration(value)) - value) < timedelta(microseconds=2)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (timedelta(seconds=90), "90s"),
        (timedelta(hours=1), "1h"),
        (timedelta(days=2), "2d"),
        (timedelta(minutes=90), "90m"),
        (timedelta(0), "0s"),
        (timedelta(milliseconds=500), "0.5s"),
    ],
)
def test_the_shortest_form_is_written(value: timedelta, text: str) -> None:
    assert format_duration(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0s"), (119, "119s"), (121, "2m"), (3600, "1h"), (8025, "2h14m"), (2 * 86400, "2d")],
)
def test_a_measured_time_is_told_roughly(seconds: float, text: str) -> None:
    assert rough_duration(seconds) == text
