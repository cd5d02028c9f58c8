"""Identifiers: ULIDs, sortable by time and unique among all installations (https://github.com/ulid/spec)."""

from __future__ import annotations

import secrets
from datetime import datetime

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def ulid(now: datetime) -> str:
    """26 characters: 48 bits of milliseconds since the epoch, then 80 random bits."""
    return _spelt((int(now.timestamp() * 1000) << 80) | secrets.randbits(80))


def first_ulid(at: datetime) -> str:
    """The id that sorts before all that are made at a moment or later."""
    return _spelt(int(at.timestamp() * 1000) << 80)


def _spelt(number: int) -> str:
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))
