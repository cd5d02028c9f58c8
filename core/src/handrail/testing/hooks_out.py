"""Webhooks of a simulated desk: posted in order over real HTTP, and lost, doubled or delayed on demand."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from handrail.testing.faults import WEBHOOK, Faults

TIMEOUT_SECONDS = 10.0


class HooksOut:
    """The webhooks that wait to be posted, and what the receiver answered.

    ``answers`` has the status of each post, or the words of the error where there was no answer.
    """

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.answers: list[int | str] = []
        self._waiting: deque[tuple[str, bytes, dict[str, str]]] = deque()
        self._late: deque[tuple[str, bytes, dict[str, str]]] = deque()
        self._posting = threading.Lock()

    def add(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        self._waiting.append((url, body, dict(headers)))

    def post(self) -> None:
        """Post what waits. Where another thread is posting already, that one takes these along."""
        while self._waiting and self._posting.acquire(blocking=False):
            try:
                while self._waiting:
                    self._post_next()
            finally:
                self._posting.release()

    def _post_next(self) -> None:
        hook = self._waiting.popleft()
        fault = self.faults.take(WEBHOOK)
        match fault.kind if fault else "":
            case "lose":
                self.answers.append("lost")
            case "late":
                self._late.append(hook)
            case "duplicate":
                self._send(*hook)
                self._send(*hook)
            case _:
                self._send(*hook)
                while self._late:
                    self._send(*self._late.popleft())

    def _send(self, url: str, body: bytes, headers: dict[str, str]) -> None:
        try:
            self.answers.append(_post(url, body, headers))
        except (OSError, HTTPException) as error:
            self.answers.append(f"{type(error).__name__}: {error}")


def _post(url: str, body: bytes, headers: dict[str, str]) -> int:
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request(
            "POST", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), body, headers
        )
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()
