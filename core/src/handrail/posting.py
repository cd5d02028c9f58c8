"""Posting to somebody who is no desk, signed as Standard Webhooks say, and how long to wait after a no."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import urlsplit

from handrail.driver import retry_after
from handrail.errors import DeskError
from handrail.http import Http
from handrail.signature import StandardWebhooks
from handrail.wire import Wire

LONGEST_ASKED = 86400.0
"""A receiver may ask by Retry-After for so many seconds of rest at a time."""
_SIGNATURE = StandardWebhooks()


@dataclass(frozen=True)
class Trouble:
    """Why a post was not taken. ``after``: seconds that were asked for; ``gone``: it never will be."""

    why: str
    after: float | None = None
    gone: bool = False


def http_to(url: str, timeout: float, peer: str) -> Http:
    parts = urlsplit(url)
    return Http(f"{parts.scheme}://{parts.netloc}", timeout=timeout, connections=1, peer=peer)


def post(http: Http, url: str, secret: str, id: str, body: bytes, now: datetime) -> Trouble | None:
    """One signed POST; None where it was taken. No message holds the secret."""
    signed = _SIGNATURE.sign(body, secret, now, id)
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"Content-Type": "application/json", "User-Agent": "handrail"}
    try:
        reply = http.send(Wire("POST", path, headers, body), signed)
    except DeskError as error:
        return Trouble(str(error))
    if reply.ok:
        return None
    shown = replace(reply, content=reply.content.replace(secret.encode(), b"***"))
    words = f"{reply.status} {shown.excerpt}".strip()
    if 300 <= reply.status < 400:
        return Trouble(f"{words}; {http.peer} answers from another address: correct url")
    return Trouble(words, retry_after(reply, now), gone=reply.status == 410)


def pause(spent: float, longest: float, asked: float | None = None) -> float:
    """Seconds before the next try: full jitter over a time that grows with the ``spent`` seconds."""
    window = min(longest, max(1.0, 2 * spent))
    drawn = random.uniform(0, window)  # noqa: S311 - spreads load, keeps no secret
    return max(drawn, min(asked or 0.0, LONGEST_ASKED))
