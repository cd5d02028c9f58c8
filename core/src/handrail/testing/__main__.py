"""``python -m handrail.testing NAME --port N``: serve the simulated desk of an installed connector.

Prints the desk's address on the first line and serves until SIGTERM or SIGINT. A parent process drives it
through ``/_simulated/`` (see ``handrail.testing.control``).
"""

from __future__ import annotations

import argparse
import pkgutil
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType

from handrail.plugins import connectors
from handrail.testing.desk import SimulatedDesk


def simulated(name: str) -> type[SimulatedDesk]:
    """The simulated desk of an installed connector. Raises ``LookupError`` where there is none."""
    installed = connectors()
    if name not in installed:
        raise LookupError(f"no connector {name!r} is installed; there are: {', '.join(installed) or 'none'}")
    where = installed[name].simulated
    if where is None:
        raise LookupError(f"the connector {name!r} brings no simulated desk")
    try:
        found = pkgutil.resolve_name(where)
    except ModuleNotFoundError:
        raise LookupError(needs_extra(name)) from None
    if not (isinstance(found, type) and issubclass(found, SimulatedDesk)):
        raise LookupError(f"{where} is not a SimulatedDesk")
    return found


def needs_extra(name: str) -> str:
    """What is said where the servers of a simulated desk, which nobody needs for work, are not installed."""
    return f"its simulated desk needs more: pip install 'handrail-{name}[testing]'"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m handrail.testing", description="Serve a simulated desk.")
    parser.add_argument("name", help="the name of an installed connector")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    given = parser.parse_args(arguments)
    try:
        desk = simulated(given.name)(port=given.port)
    except LookupError as error:
        print(error, file=sys.stderr)
        return 1
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    with desk:
        print(desk.url, flush=True)
        ended.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
