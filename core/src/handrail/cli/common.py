"""What the commands share: options, the opened rail, and how facts are printed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from datetime import datetime

    from handrail.rail import Handrail

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The configuration; default: $HANDRAIL_CONFIG, then ./handrail.toml",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else")]
DeskOption = Annotated[str | None, typer.Option("--desk", help="A desk's name in the configuration")]
GroupOption = Annotated[str | None, typer.Option("--group", help="A group, in our words")]

# The words of handrail.model, written again so that --help need not import it; a test compares them.
UrgencyName = Literal["low", "normal", "high", "urgent"]
ReasonName = Literal["customer_request", "policy", "sensitive", "unclear", "configured"]
StateName = Literal[
    "waiting", "accepted", "delivering", "with_humans", "solved", "closed", "undelivered", "cancelled"
]


@contextmanager
def opened(config: Path | None) -> Iterator[Handrail]:
    """The rail of a configuration file, closed afterwards."""
    from handrail.rail import Handrail

    rail = Handrail.open(config)
    try:
        yield rail
    finally:
        rail.close_connections()


def complain(message: str) -> None:
    """An error or a warning, for people, on stderr."""
    typer.secho(f"handrail: {message}", fg="red", err=True)


def emit(document: Any) -> None:
    """One JSON document on stdout, in ASCII, whatever the terminal takes."""
    typer.echo(json.dumps(document, indent=2, default=str))


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table for people; for pipes the same as lines of tab-separated columns."""
    cells = [[_cell(value) for value in row] for row in rows]
    if not sys.stdout.isatty():
        for line in (columns, *cells):
            typer.echo("\t".join(line))
        return
    from rich.table import Column, Table
    from rich.text import Text

    # A handoff's id is there to be copied: it stays whole where the terminal is narrow.
    headings = (Column(name, no_wrap=name == "HANDOFF") for name in columns)
    drawn = Table(*headings, box=None, header_style="bold", pad_edge=False)
    for line in cells:
        drawn.add_row(*(Text(cell, overflow="fold") for cell in line))
    _console().print(drawn)


def facts(pairs: Mapping[str, Any]) -> None:
    """Names and values, a line each; values that are empty are left out."""
    shown = {name: _cell(value) for name, value in pairs.items() if value not in (None, "", [], {})}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        typer.echo(f"{typer.style(name.ljust(width), bold=True)}  {value}")


def handoff_table(handoffs: Iterable[Mapping[str, Any]]) -> None:
    """Handoffs, one a line: id, state, desk, ticket id and url; where there is no ticket, why."""
    columns = ("HANDOFF", "STATE", "DESK", "TICKET", "URL")
    table(columns, ([h["id"], h["state"], h["desk"], *_ticket_cells(h)] for h in handoffs))


def _ticket_cells(handoff: Mapping[str, Any]) -> tuple[Any, Any]:
    ticket = handoff.get("ticket") or {}
    return ticket.get("id"), ticket.get("url") or handoff.get("last_error")


def _cell(value: Any) -> str:
    """``value`` on one line, without anything that could steer a terminal."""
    from handrail.text import clean

    if isinstance(value, Mapping | list | tuple):
        value = json.dumps(value, ensure_ascii=False, default=str)
    return " ".join(clean("" if value is None else str(value)).split())


def _console() -> Any:
    from rich.console import Console

    return Console(markup=False, highlight=False, emoji=False)


def moment(text: str | None) -> datetime | None:
    """``30d`` before now, or an ISO time (UTC where it names no zone)."""
    from datetime import UTC, datetime

    from handrail.durations import parse_duration

    if text is None:
        return None
    try:
        return datetime.now(UTC) - parse_duration(text)
    except (ValueError, OverflowError):
        pass
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is neither a duration (30m, 24h, 30d) nor a time (2026-11-20T09:30:00Z)",
            param_hint="--since",
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def logs_to_stderr() -> None:
    """Log lines on stderr: ours from INFO on, those of libraries from WARNING on."""
    import logging

    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("handrail").setLevel(logging.INFO)
