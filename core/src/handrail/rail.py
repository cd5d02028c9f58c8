"""The facade: what a host application uses. STUB with the signatures; the inside is being written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any

from handrail.model import Conversation, File, Handoff, Holder, Message, Reason, State, Ticket, Update, Urgency


class Handrail:
    @classmethod
    def open(cls, config: str | Path | None = None) -> Handrail:
        """Open by a configuration file; None: $HANDRAIL_CONFIG, then ./handrail.toml."""
        raise NotImplementedError

    def close_connections(self) -> None:
        """Close sessions and the store; also done by leaving ``with Handrail.open(...) as rail``."""

    def hand_off(self, conversation: Conversation, decision: Any = None, *, desk: str | None = None,
                 group: str | None = None, urgency: Urgency | str | None = None, reason: Reason | str | None = None,
                 summary: str | None = None, next_steps: Sequence[str] = (), key: str | None = None,
                 files: Sequence[File] = ()) -> Handoff:
        """Durable when it returns."""
        raise NotImplementedError

    def wait(self, handoff_id: str, timeout: float = 30) -> Ticket | None:
        """Seconds; makes delivery attempts itself when they are due. None if there is no ticket yet."""
        raise NotImplementedError

    def show(self, handoff_id: str) -> dict[str, Any]:
        """The contract's JSON of one handoff, with ``updates`` and ``timeline``. NotFound."""
        raise NotImplementedError

    def list(self, *, state: State | None = None, desk: str | None = None, group: str | None = None,
             since: datetime | None = None, limit: int = 50) -> list[dict[str, Any]]:
        """The contract's JSON of handoffs, newest first."""
        raise NotImplementedError

    def say(self, handoff_id: str, message: Message) -> None: raise NotImplementedError
    def close(self, handoff_id: str) -> None: raise NotImplementedError
    def cancel(self, handoff_id: str) -> None: raise NotImplementedError
    def retry(self, handoff_id: str) -> None: raise NotImplementedError
    def retry_all(self) -> list[str]: raise NotImplementedError
    def holder(self, conversation_id: str) -> Holder: raise NotImplementedError
    def updates(self, after: str | None = None, limit: int = 1000) -> Iterator[Update]: raise NotImplementedError
    def sync(self, desk: str | None = None) -> dict[str, int]:
        """One polling pass now: new updates by desk."""
        raise NotImplementedError

    def check(self, offline: bool = False) -> list[Any]:
        """list[Finding] for configuration and each desk; Finding.subject begins with ``desks.NAME``."""
        raise NotImplementedError

    def receive(self, desk: str, headers: Mapping[str, str], body: bytes) -> str:
        """A webhook: verified and stored when it returns (its id). SignatureError, NotFound."""
        raise NotImplementedError

    def settle(self, hook_id: str) -> None:
        """Turn a stored webhook into updates now (a job does it anyway)."""
        raise NotImplementedError

    def working(self) -> AbstractContextManager[None]:
        """A worker in this process."""
        raise NotImplementedError

    def work_until_idle(self) -> None: raise NotImplementedError
