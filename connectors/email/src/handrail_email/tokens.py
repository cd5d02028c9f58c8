"""Addresses that cannot be forged: a ticket's id and an HMAC behind the plus of our own address.

``bot+h.TICKET.MAC@our.domain`` takes replies, ``bot+b.TICKET.MAC@our.domain`` takes bounces. Mail systems
fold case, so the id is written in lower case and the MAC in base32.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable

REPLY, BOUNCE = "h", "b"
LOCAL_PART = 64 - len("+h.") - 28 - 1 - 16
"""So long may the part of our address before the @ be (RFC 5321 takes 64 characters in all)."""
_TOKEN = re.compile(r"\+([hb])\.([0-9a-z-]{1,30})\.([a-z2-7]{16})@", re.IGNORECASE)
_MARKER = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}(-[0-9]{1,3})?")
_ENVELOPE = re.compile(r"([0-9a-z-]{1,30})\.([0-9a-z-]{1,40})", re.IGNORECASE)
_OURS = re.compile(r"<ho\.([0-9a-z-]{1,30})\.([0-9a-z-]{1,40})@[^<>\s]{1,255}>", re.IGNORECASE)


def signed(address: str, purpose: str, ticket: str, secret: str) -> str:
    """``address`` with a token for one ticket and one purpose."""
    local, _, domain = address.rpartition("@")
    return f"{local}+{purpose}.{ticket.lower()}.{_mac(purpose, ticket, secret)}@{domain}"


def read(addresses: Iterable[str], purpose: str, secret: str | None) -> str | None:
    """The ticket of the first genuine token among header values, or None."""
    for found in (match for text in addresses for match in _TOKEN.finditer(text[:20_000])):
        kind, ticket, mac = found[1].lower(), found[2].upper(), found[3].lower()
        if secret and kind == purpose and hmac.compare_digest(mac, _mac(kind, ticket, secret)):
            return ticket
    return None


def _mac(purpose: str, ticket: str, secret: str) -> str:
    digest = hmac.new(secret.encode(), f"{purpose}.{ticket.upper()}".encode(), hashlib.sha256).digest()
    return base64.b32encode(digest[:10]).decode().lower()


def message_id(ticket: str, marker: str, address: str) -> str:
    """The Message-ID of one of our mails: the same for the same handoff and message, for ever."""
    safe = re.sub(r"[^0-9a-z-]", "-", marker.lower())[:40] or "0"
    return f"<ho.{ticket.lower()}.{safe}@{address.rpartition('@')[2]}>"


def envelope_id(ticket: str, marker: str) -> str:
    """What a delivery report names one of our mails by, where it shows none of its headers."""
    return f"{ticket}.{marker}"


def enveloped(text: str) -> tuple[str, str] | None:
    """Ticket and marker of an envelope's id; None for whatever else somebody calls so."""
    found = _ENVELOPE.fullmatch(text)
    known = (found[1].upper(), found[2].upper()) if found else None
    return known if known and _MARKER.fullmatch(known[0]) else None


def ours(texts: Iterable[str]) -> Iterable[tuple[str, str]]:
    """Tickets and markers of our own Message-IDs in header values, the last one first."""
    found = [match for text in texts for match in _OURS.finditer(text[:50_000])]
    known = [(match[1].upper(), match[2].upper()) for match in found]
    return [(ticket, marker) for ticket, marker in reversed(known) if _MARKER.fullmatch(ticket)]


def tag(ticket: str) -> str:
    """What stands in our subjects; short, and good enough among the tickets that are open."""
    return f"[HO-{ticket[18:]}]"
