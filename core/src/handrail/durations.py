"""Durations as people write them: ``30s``, ``10m``, ``24h``, ``2d``."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

LONGEST = timedelta(days=3653)
"""What is longer is a slip of the hand, and could not be added to every time."""
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


def parse_duration(value: Any) -> timedelta:
    """``90s``, ``1h30m`` or a ``timedelta``. Raises ``ValueError`` with the cure."""
    if isinstance(value, timedelta):
        return value
    parts = _DURATION.findall(value) if isinstance(value, str) else []
    if not parts or "".join(number + unit for number, unit in parts) != value:
        raise ValueError(f"{value!r} is no duration; write 30s, 10m, 24h or 2d")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if seconds > LONGEST.total_seconds():
        raise ValueError(f"{value!r} is longer than ten years; write 30s, 10m, 24h or 2d")
    return timedelta(seconds=seconds)


def format_duration(value: timedelta) -> str:
    """The shortest of the forms that ``parse_duration`` reads."""
    if value.microseconds:
        return f"{value.total_seconds():.6f}".rstrip("0") + "s"
    seconds = int(value.total_seconds())
    for unit in ("d", "h", "m"):
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{seconds // _UNITS[unit]}{unit}"
    return f"{seconds}s"


def rough_duration(seconds: float) -> str:
    """Seconds for people, in as few units as tell enough: 47s, 12m, 3h20m, 4d."""
    if seconds < 3600:
        return f"{round(seconds)}s" if seconds < 120 else f"{round(seconds / 60)}m"
    if seconds < 2 * 86400:
        hours, minutes = divmod(round(seconds / 60), 60)
        return f"{hours}h{minutes}m" if minutes else f"{hours}h"
    return f"{round(seconds / 86400)}d"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration),
    WithJsonSchema(
        {"type": "string", "pattern": r"^(\d+(\.\d+)?[smhd])+$", "examples": ["30s", "10m", "24h", "2d"]}
    ),
]
