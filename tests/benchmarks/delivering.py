"""Delivering against a bare ``requests.Session`` loop and against zenpy's plain create, to the same server.

    uv run python tests/benchmarks/delivering.py [--store sqlite|postgresql] [--count 1200] [--tiny 1]

A backlog of accepted handoffs is delivered by a worker process; the loop and zenpy post the same tickets with
as many threads, in processes of their own. Counted are the requests that the server saw behind the first
quarter, in which processes start and connections open. The server answers at once, or after 50 ms; a real
desk takes 100 to 500 ms for a ticket. At the end one worker process is compared with two on PostgreSQL, 16 in
flight in all. ``--tiny 1`` runs one case only.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from common import (
    HERE,
    STORES,
    Desk,
    Figure,
    Figures,
    a_desk,
    a_rail,
    chosen,
    configuration,
    conversations,
    note,
    options,
    show,
    stores,
    workers,
    zenpy_python,
)

IN_FLIGHT = (1, 8, 32)
DELAYS = (0, 50)


def rate(times: list[float]) -> float:
    """Tickets a second, once everything runs."""
    warm = times[len(times) // 4 :]
    return (len(warm) - 1) / (warm[-1] - warm[0])


def delivered(store: str, desk: Desk, slots: int, count: int, processes: int = 1) -> float:
    """Tickets a second of workers that find ``count`` handoffs waiting."""
    with tempfile.TemporaryDirectory() as folder:
        with a_rail(store, desk.url, slots) as rail:
            for conversation in conversations(count):
                rail.hand_off(conversation)
        desk.reset()
        with workers(configuration(Path(folder), store, desk.url, slots), processes) as running:
            times = desk.wait(count)
            spent = sum(worker.end() for worker in running)
    note(
        f"{slots} in flight, {processes} process: {rate(times):.0f}/s, "
        f"{spent / count * 1e3:.1f} ms of processor time each"
    )
    return rate(times)


def peer(kind: str, python: str, desk: Desk, slots: int, count: int, body: Path) -> float:
    """Tickets a second of another client (see ``clients``)."""
    desk.reset()
    command = [python, str(HERE / "clients.py"), kind, desk.url, str(slots), str(count), str(body)]
    subprocess.run(command, check=True)
    return rate(desk.times())


def figures(
    kinds: tuple[str, ...] = STORES,
    count: int = 1200,
    in_flight: tuple[int, ...] = IN_FLIGHT,
    delays: tuple[int, ...] = DELAYS,
) -> Figures:
    zenpy = zenpy_python()
    for kind in kinds:
        for delay in delays:
            with stores(kind) as fresh, a_desk(delay) as desk:
                for slots in in_flight:
                    many = max(4, count // 4 if delay and slots == 1 else count)
                    yield from _compared(
                        f"{kind}, answers after {delay} ms", fresh(), desk, slots, many, zenpy
                    )
    if "postgresql" in kinds:
        yield from _two_processes(count)


def _compared(where: str, store: str, desk: Desk, slots: int, count: int, zenpy: str | None) -> Figures:
    ours = delivered(store, desk, slots, count)
    with tempfile.TemporaryDirectory() as folder:
        body = Path(folder) / "body"
        body.write_bytes(desk.body())
        bare = peer("bare", sys.executable, desk, slots, count, body)
        theirs = peer("zenpy", zenpy, desk, slots, count, body) if zenpy else None
    said = f"delivering, {slots} in flight, {where}"
    asked = slots == 8
    yield Figure(f"{said}, to a bare loop ({bare:.0f}/s)", ours / bare, at_least=0.5 if asked else None)
    if theirs:
        yield Figure(f"{said}, to zenpy ({theirs:.0f}/s)", ours / theirs, at_least=1.0 if asked else None)


def _two_processes(count: int) -> Figures:
    for delay in DELAYS:
        with stores("postgresql") as fresh, a_desk(delay) as desk:
            one, two = (delivered(fresh(), desk, 16, count, processes) for processes in (1, 2))
            yield Figure(f"delivering, two worker processes to one, answers after {delay} ms", two / one)


if __name__ == "__main__":
    given = options(__doc__, count=1200, tiny=0)
    sizes = {"in_flight": (2,), "delays": (0,)} if given.tiny else {}
    show(figures(chosen(given), given.count, **sizes))
