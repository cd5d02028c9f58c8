"""Listening to the desks that can tell when something came, besides polling."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from handrail.context import Context
from handrail.errors import HandrailError

log = logging.getLogger("handrail.watch")

AGAIN_SECONDS = 60.0
"""How long after a broken connection it is listened again; polls go on meanwhile."""

LEAVE_SECONDS = 5.0
"""How long stopping waits for one who is just connecting; such a thread holds up no process."""


@contextmanager
def watching(context: Context, ring: Callable[[str], None]) -> Iterator[None]:
    """Listen to every desk in a thread of its own; ``ring`` gets the name of the desk that rang."""
    stop = threading.Event()
    threads = [
        threading.Thread(target=_watch, args=(context, desk, ring, stop), name=f"watch-{desk}", daemon=True)
        for desk in context.config.desks
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=LEAVE_SECONDS)


def _watch(context: Context, desk: str, ring: Callable[[str], None], stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            context.driver(desk).transport.watch(lambda: ring(desk), stop)
            return
        except HandrailError as error:
            log.warning("listening to %s: %s; polls go on", desk, error)
        except Exception:
            log.exception("listening to %s failed; polls go on", desk)
        stop.wait(AGAIN_SECONDS)
