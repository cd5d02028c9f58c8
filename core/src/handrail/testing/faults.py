"""Faults of a simulated desk: which exchange goes wrong, how often, and in what way."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from handrail.steps import Reply

Kind = Literal["lose", "reset", "half", "hang", "status", "html", "empty", "duplicate", "late"]
When = Literal["before", "after"]

WEBHOOK = "webhook"
"""What a fault names in ``on`` when it is about the webhooks that the desk sends."""

_OF_WEBHOOKS = frozenset({"lose", "duplicate", "late"})
_PAGE = b"<html><head><title>Desk</title></head><body><h1>Something went wrong</h1></body></html>"


@dataclass
class Fault:
    """One way an exchange goes wrong.

    It leaves ``skip`` matching exchanges alone, then spoils ``times`` of them. ``on`` is ``METHOD /path``,
    ``/path`` or ``*``; in a path ``{x}`` stands for one segment and ``*`` for anything. ``when`` says whether
    the desk did what was asked before things went wrong (``after``) or not (``before``).
    """

    kind: Kind
    on: str = "*"
    when: When = "before"
    times: int = 1
    skip: int = 0
    details: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"no such fault: {self.kind!r}; there are {', '.join(get_args(Kind))}")
        if self.on == WEBHOOK and self.kind not in _OF_WEBHOOKS:
            raise ValueError(f"a webhook cannot go wrong by {self.kind!r}; use lose, duplicate or late")
        if self.when not in get_args(When):
            raise ValueError(f"when: {self.when!r} must be 'before' or 'after'")

    def matches(self, what: str) -> bool:
        """``what`` is ``METHOD /path`` of an exchange, or ``webhook``."""
        if WEBHOOK in (self.on, what):
            return self.on == what
        return matches(self.on, what)

    def reply(self) -> Reply:
        """What the desk answers instead, for the kinds that answer."""
        body = self.details.get("body", b"")
        content = body if isinstance(body, bytes) else str(body).encode()
        headers = {name.lower(): str(value) for name, value in self.details.get("headers", {}).items()}
        if "retry_after" in self.details:
            headers["retry-after"] = str(self.details["retry_after"])
        match self.kind:
            case "html":
                media, content, usual = "text/html; charset=utf-8", content or _PAGE, 200
            case "empty":
                media, content, usual = "application/json", b"{}", 200
            case _:
                media, usual = "application/json" if content[:1] in (b"{", b"[") else "text/plain", 503
        return Reply(self.details.get("status", usual), content, {"content-type": media} | headers)


class Faults:
    """Faults in a queue: the first one that is about an exchange has its say, and no other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: list[Fault] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._queue.append(fault)

    def take(self, what: str) -> Fault | None:
        """The fault that spoils this exchange, counted down, or None."""
        with self._lock:
            fault = next((fault for fault in self._queue if fault.matches(what)), None)
            if fault is None:
                return None
            if fault.skip > 0:
                fault.skip -= 1
                return None
            fault.times -= 1
            if fault.times <= 0:
                self._queue.remove(fault)
            return fault

    def clear(self) -> None:
        with self._lock:
            self._queue.clear()

    def __len__(self) -> int:
        with self._lock:
            return len(self._queue)


def matches(pattern: str, what: str) -> bool:
    """True when ``pattern`` (``METHOD /path``, ``/path`` or ``*``) is about ``what`` (``METHOD /path``)."""
    method, path = what.split(" ", 1)
    first, _, rest = pattern.partition(" ")
    wanted, shape = (first, rest.strip()) if rest else ("*", first)
    return wanted in ("*", method) and bool(path_pattern(shape).fullmatch(path))


def path_pattern(shape: str) -> re.Pattern[str]:
    """A path with ``{name}`` and ``*`` as a regular expression with groups of those names."""
    parts = re.split(r"(\{\w+\}|\*)", shape)
    return re.compile("".join(_part(part) for part in parts), re.DOTALL)


def _part(part: str) -> str:
    if part == "*":
        return ".*"
    return f"(?P<{part[1:-1]}>[^/]+)" if part.startswith("{") else re.escape(part)
