"""IMAP IDLE as a doorbell (RFC 2177): mail that comes is fetched at once, not at the next poll.

It only rings. What came is fetched by the poll, by UID, and polls go on where nobody rings.
"""

from __future__ import annotations

import imaplib
import select
import threading
import time
from collections.abc import Callable

RENEW_SECONDS = 20 * 60.0
"""A server may end an IDLE after 29 minutes, and routers forget idle connections sooner."""
_SLICE = 0.5
_TAG = b"HANDRAIL"


def can_idle(imap: imaplib.IMAP4) -> bool:
    """Servers may tell more of what they can once somebody has signed in."""
    _, data = imap.capability()
    return b"IDLE" in b" ".join(part for part in data if part).upper().split()


def idle(imap: imaplib.IMAP4, listening: Callable[[], None], stop: threading.Event) -> None:
    """Wait in the open folder until mail comes, ``stop`` is set or it is time to renew.

    ``listening`` is called once the server listens for us: a look at that moment finds all that came before,
    what comes later ends the wait. Servers do not tell of what came between two waits, whatever the RFC says.
    Raises ``imaplib.IMAP4.abort`` or ``OSError`` when the connection breaks.
    """
    lines = _Lines(imap)
    imap.send(_TAG + b" IDLE\r\n")
    lines.skip_to(b"+")
    listening()
    came, deadline = False, time.monotonic() + RENEW_SECONDS
    while not came and not stop.is_set() and time.monotonic() < deadline:
        line = lines.next(_SLICE)
        came = line is not None and _tells(line)
    imap.send(b"DONE\r\n")
    lines.skip_to(_TAG)


def _tells(line: bytes) -> bool:
    return line.upper().rstrip().endswith((b"EXISTS", b"RECENT"))


class _Lines:
    """The server's lines while it idles. Read from the socket itself: what imaplib holds in a buffer of its
    own would wake nobody."""

    def __init__(self, imap: imaplib.IMAP4) -> None:
        self._socket = imap.sock
        self._limit = imap.sock.gettimeout() or 60.0
        self._held = b""

    def next(self, seconds: float) -> bytes | None:
        """The next line, or None where none came within so many seconds."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self._held:
            if not self._readable(max(0.0, deadline - time.monotonic())):
                return None
            data = self._socket.recv(4096)
            if not data:
                raise imaplib.IMAP4.abort("the server closed the connection")
            self._held += data
        line, _, self._held = self._held.partition(b"\n")
        return line

    def _readable(self, seconds: float) -> bool:
        pending = getattr(self._socket, "pending", None)  # what TLS holds decrypted never wakes a select
        return bool(pending and pending()) or bool(select.select([self._socket], [], [], seconds)[0])

    def skip_to(self, beginning: bytes) -> None:
        """Read up to the line that begins so."""
        while (line := self.next(self._limit)) is not None and not line.startswith(beginning):
            if line.startswith(_TAG):
                raise imaplib.IMAP4.abort(f"IDLE was refused: {line[:100]!r}")
        if line is None:
            raise imaplib.IMAP4.abort("no answer to IDLE")
