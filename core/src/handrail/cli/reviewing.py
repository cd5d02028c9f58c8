"""Commands that look back: what a policy would have done, and what really happened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from handrail.cli.common import ConfigOption, JsonOption, emit, moment, opened, table

if TYPE_CHECKING:
    from handrail.policy.page import Block

HtmlOption = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write a page with charts there")
]


def report(
    since: Annotated[
        str, typer.Option(metavar="30d|TIME", help="Handoffs that were accepted since then")
    ] = "30d",
    html: HtmlOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """What really happened: volume, needless handoffs, wrong queues, answers, and what to change.

    Solved without any human reply: solved or closed on the desk, and no person wrote to the customer.
    Re-routed: the ticket's group changed after its first. A detail is repeated where the customer, after a
    human's reply, writes a number or address that the handoff held and no human had named.
    """
    from datetime import UTC, datetime

    from handrail.policy.report import report as made
    from handrail.policy.shown import report_blocks

    after, now = moment(since), datetime.now(UTC)
    assert after is not None
    with opened(config) as rail:
        settings = rail.config
        found = made(
            rail.context.store,
            after,
            now,
            triggers=_triggers(settings),
            groups={name: desk.groups for name, desk in settings.desks.items()},
            policy=str(_policy_file(settings)),
        )
    blocks = report_blocks(found)
    _show(f"Handrail: handoffs since {after:%Y-%m-%d}", blocks, found, html, as_json)


def _show(title: str, blocks: Sequence[Block], document: Any, html: Path | None, as_json: bool) -> None:
    if html is not None:
        _write(html, title, blocks)
    if as_json:
        emit(document)
    else:
        _print(blocks)


def _write(html: Path, title: str, blocks: Iterable[Block]) -> None:
    from handrail.errors import InputError
    from handrail.policy.page import page

    try:
        html.write_text(page(title, blocks), "utf-8")
    except OSError as error:
        raise InputError(f"cannot write {html}: {error.strerror}", field="--html") from None
    typer.echo(f"Wrote {html}", err=True)


def _print(blocks: Iterable[Block]) -> None:
    from handrail.policy.page import Lines, cells
    from handrail.text import clean

    for number, block in enumerate(blocks):
        if number:
            typer.echo()
        typer.secho(block.title, bold=True)
        if isinstance(block, Lines):
            for line in block.lines:
                typer.echo(f"  {' '.join(clean(line).split())}")
        elif block.rows:
            table([name.upper() for name in block.columns], cells(block.rows))
        else:
            typer.echo("  none")
