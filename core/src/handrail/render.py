"""STUB, being written: Dialect, Html, Plain, Body."""
from __future__ import annotations
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from handrail.model import File, Message


@dataclass(frozen=True)
class Body:
    """Rendered text and the files that must go along with it (the whole transcript where it was shortened)."""

    text: str
    files: tuple[File, ...] = ()


class Dialect(Protocol):
    def render(self, brief: Any) -> Body: ...
    def messages(self, messages: Sequence[Message], marker: str) -> str: ...


class Plain:
    def render(self, brief: Any) -> Body:
        raise NotImplementedError
    def messages(self, messages: Sequence[Message], marker: str) -> str:
        raise NotImplementedError
