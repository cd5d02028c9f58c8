"""Commands that run on: work, sync, serve."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from handrail.cli.common import (
    ConfigOption,
    DeskOption,
    JsonOption,
    complain,
    emit,
    logs_to_stderr,
    opened,
    table,
)


def work(
    until_idle: Annotated[bool, typer.Option("--until-idle", help="End when nothing is due")] = False,
    config: ConfigOption = None,
) -> None:
    """Deliver, fire timers and poll, until stopped. Any number may run side by side."""
    logs_to_stderr()
    with opened(config) as rail:
        if until_idle:
            rail.work_until_idle()
            return
        with _stop_signals() as stopped, rail.working():
            typer.echo("Handrail works; Ctrl-C ends it", err=True)
            status = stopped.wait()
    raise typer.Exit(status)


class _Stopped:
    """Noted by the first SIGTERM or SIGINT; a second one ends the process at once.

    A handler must not take a lock, so the waiting is a look at ``status`` from time to time.
    """

    status: int | None = None

    def note(self, number: int, _frame: Any) -> None:
        self.status = 130 if number == signal.SIGINT else 0
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def wait(self) -> int:
        """The exit status that the signal asks for."""
        while self.status is None:
            time.sleep(0.1)
        return self.status


@contextmanager
def _stop_signals() -> Iterator[_Stopped]:
    stopped = _Stopped()
    before = {number: signal.signal(number, stopped.note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def sync(desk: DeskOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Poll every desk, or one, once and now."""
    failures = []

    def failed(name: str, error: Exception) -> None:
        failures.append(name)
        complain(f"desks.{name}: {error}")

    with opened(config) as rail:
        found = rail.sync(desk, failed)
    if as_json:
        emit({"desks": found})
    else:
        table(("DESK", "NEW UPDATES"), ([name, count] for name, count in found.items()))
    raise typer.Exit(1 if failures else 0)


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 picks a free one")] = 8080,
    no_worker: Annotated[bool, typer.Option("--no-worker", help="Only serve; others do the work")] = False,
    config: ConfigOption = None,
) -> None:
    """Serve webhooks and health, and work besides."""
    from handrail.server import serve as run

    logs_to_stderr()
    with opened(config) as rail:
        run(rail, host, port, worker=not no_worker, announce=_announce)


def _announce(address: str) -> None:
    typer.echo(f"Handrail listens on {address}")


def add_to(app: typer.Typer) -> None:
    """Register the commands of this module."""
    for command in (work, sync, serve):
        app.command()(command)
