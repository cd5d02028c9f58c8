"""The command ``handrail move-store``: from SQLite to PostgreSQL."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from handrail.cli.common import ConfigOption, JsonOption, emit, table


def move_store(
    to: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="The new store, an empty database: postgresql://USER@HOST/DATABASE; a password may stand in "
            "$PGPASSWORD",
        ),
    ],
    source: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="URL", help="The old store, sqlite:///FILE; default: that of the configuration"
        ),
    ] = None,
    undo: Annotated[
        bool, typer.Option("--undo", help="Open the old store again, after a move that was cut off")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move an SQLite installation to PostgreSQL. Stop its workers first."""
    from handrail import move as moving

    old = source or _configured(config)
    if undo:
        _report_undone(moving.undo(old, to), as_json)
        return
    with _progress() as advance:
        moved = moving.move(old, to, progress=advance)
    if as_json:
        emit(asdict(moved))
        return
    table(("TABLE", "ROWS"), moved.rows.items())
    typer.echo(f"{moved.jobs} jobs are still to be done there")
    typer.echo(f"Moved {moved.source} to {moved.target}; the old store takes nothing any more")
    typer.echo(f'Now write store = "{moved.target}" in handrail.toml, with the password where it needs one')


def _configured(config: Path | None) -> str:
    from handrail.config import load

    return load(config).store


def _report_undone(undone: bool, as_json: bool) -> None:
    if as_json:
        emit({"undone": undone})
    elif undone:
        typer.echo("The old store is open again, as it was")
    else:
        typer.echo("No move of this store was cut off; nothing is changed")


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on stderr where that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task: Any = bar.add_task("Copying", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def add_to(app: typer.Typer) -> None:
    """Register the command of this module."""
    app.command("move-store")(move_store)
