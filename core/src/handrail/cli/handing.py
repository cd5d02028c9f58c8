"""The command ``handrail handoff``: conversations in, tickets out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from handrail.cli.common import (
    ConfigOption,
    DeskOption,
    GroupOption,
    JsonOption,
    ReasonName,
    UrgencyName,
    complain,
    emit,
    handoff_table,
    opened,
)

if TYPE_CHECKING:
    from handrail.errors import HandrailError, InputError
    from handrail.model import Conversation
    from handrail.rail import Handrail

UNDERWAY = ("waiting", "accepted", "delivering")
"""States in which a ticket may still come."""
WORKERS = 8
SLICE_SECONDS = 1.0
"""A wait is cut in pieces, so that Ctrl-C does not have to wait for its end."""


def handoff(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="Conversations, .json or .jsonl; - is standard input")
    ],
    desk: DeskOption = None,
    group: GroupOption = None,
    urgency: Annotated[UrgencyName | None, typer.Option(help="How urgent it is")] = None,
    reason: Annotated[ReasonName | None, typer.Option(help="Why a person must take over")] = None,
    summary: Annotated[str | None, typer.Option(help="What the human reads first")] = None,
    next_step: Annotated[list[str] | None, typer.Option(help="What to do next; may be repeated")] = None,
    key: Annotated[
        str | None,
        typer.Option(help="Idempotency key, for one conversation: the same key is the same handoff"),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How long to wait for delivery")
    ] = 30,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return once the handoffs are durable")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hand off each conversation, and wait until it is on the desk.

    No trigger is asked. The routes of the policy say to whom it goes, where no option does.
    """
    wishes = {
        "desk": desk,
        "group": group,
        "urgency": urgency,
        "reason": reason,
        "summary": summary,
        "next_steps": tuple(next_step or ()),
    }
    items = _only_one(files) if key else read(files)
    with opened(config) as rail:
        ids, errors = _accept(rail, items, wishes | {"key": key})
        if not no_wait:
            _wait(rail, ids, timeout)
        shown = [rail.show(handoff_id) for handoff_id in ids]
    _report(shown, errors, as_json)
    raise typer.Exit(status(shown, errors))


def read(files: Sequence[Path]) -> Iterator[tuple[Path, Conversation | InputError]]:
    """Each file's conversations, and what is wrong with the others."""
    from handrail.transcripts import read_conversations

    for file in files:
        for item in read_conversations(file):
            yield file, item


def _only_one(files: Sequence[Path]) -> list[tuple[Path, Conversation | InputError]]:
    """What was read, for ``--key``, which can stand for one conversation only."""
    items = []
    for item in read(files):
        items.append(item)
        if len(items) > 1:
            raise typer.BadParameter(
                "there is more than one conversation; give each a key of its own", param_hint="--key"
            )
    return items


def _accept(rail: Handrail, items: Any, wishes: dict[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
    """Make every good conversation durable: the handoffs' ids, each once, and what was wrong."""
    from handrail.errors import Conflict, InputError, RedactorFailed, Unsupported

    ids: dict[str, None] = {}
    errors = []
    for file, item in items:
        if isinstance(item, InputError):
            errors.append(error_of(file, item))
            continue
        try:
            ids[rail.hand_off(item, **wishes).id] = None
        except (InputError, Conflict, Unsupported, RedactorFailed) as error:
            errors.append(error_of(file, error))
    return list(ids), errors


def error_of(file: Path, error: HandrailError) -> dict[str, Any]:
    from handrail.errors import Conflict

    return {
        "file": getattr(error, "file", None) or str(file),
        "line": getattr(error, "line", None),
        "field": getattr(error, "field", None) or ("key" if isinstance(error, Conflict) else None),
        "message": getattr(error, "message", None) or str(error),
    }


def _wait(rail: Handrail, ids: Sequence[str], timeout: float) -> None:
    """Wait until every handoff is delivered or ``timeout`` seconds are over, several at once."""
    import time
    from concurrent.futures import ThreadPoolExecutor
    from threading import Event

    stop, deadline = Event(), time.monotonic() + timeout

    def one(handoff_id: str) -> None:
        while not stop.is_set() and (left := deadline - time.monotonic()) > 0:
            began, piece = time.monotonic(), min(SLICE_SECONDS, left)
            if rail.wait(handoff_id, piece) or time.monotonic() - began < piece / 2:
                return  # delivered, or given up early because nothing will come

    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            for _ in _with_progress(pool.map(one, ids), len(ids)):
                pass
        finally:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)


def _with_progress(done: Iterator[None], total: int) -> Iterator[None]:
    """``done`` with a progress bar on stderr where that is a terminal."""
    import sys

    if total < 2 or not sys.stderr.isatty():
        yield from done
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(done, "Delivering", total=total, console=Console(stderr=True), transient=True)


def _report(handoffs: list[dict[str, Any]], errors: list[dict[str, Any]], as_json: bool) -> None:
    for one in handoffs:
        one.pop("timeline", None)
    if as_json:
        emit({"handoffs": handoffs, "errors": errors})
        return
    if handoffs:
        handoff_table(handoffs)
    complain_about(errors)


def complain_about(errors: Iterable[dict[str, Any]]) -> None:
    """What was wrong with conversations, for people."""
    for error in errors:
        place = ":".join(str(error[part]) for part in ("file", "line") if error[part] is not None)
        complain(": ".join(part for part in (place, error["field"], error["message"]) if part))


def status(handoffs: Sequence[dict[str, Any]], errors: Sequence[Any]) -> int:
    """The exit status: 4 where something failed for good, 3 where something is not delivered yet."""
    if errors or any(h["state"] in ("undelivered", "cancelled") for h in handoffs):
        return 4
    return 3 if any(h["state"] in UNDERWAY or not h["ticket"] for h in handoffs) else 0


def add_to(app: typer.Typer) -> None:
    """Register the command of this module."""
    app.command()(handoff)
