"""What goes over the wire: the exact bytes of one exchange, and whoever carries them to a desk."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from handrail.steps import Reply


@dataclass(frozen=True)
class Wire:
    """The exact bytes of one exchange, without credentials.

    Of an HTTP request ``path`` begins with a slash and has the query. Of a mail ``method`` says what is done
    with it, ``path`` is empty or names a folder, and ``headers`` are the envelope.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Transport(Protocol):
    """Carries exchanges to one desk. Safe to use from several threads."""

    def send(self, wire: Wire, headers: Mapping[str, str]) -> Reply:
        """One exchange; ``headers`` hold credentials and are not remembered.

        Done is a ``Reply`` that was read to its end. Raises ``NotDone`` where certainly nothing arrived,
        ``Unsure`` where something may have, ``DeskPaused`` where the desk refuses the credentials.
        """

    def watch(self, ring: Callable[[], None], stop: threading.Event) -> None:
        """Call ``ring`` whenever something may have come, until ``stop`` is set.

        Returns at once where the desk cannot tell; raises as ``send`` does where it no longer can.
        """

    def close(self) -> None: ...


def is_loopback(host: str | None) -> bool:
    """True for this machine itself: the only place to which anything may go without TLS."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
