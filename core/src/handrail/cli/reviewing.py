"""Commands that look back: what a policy would have done, and what really happened."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from handrail.cli.common import ConfigOption, JsonOption, complain, emit, moment, opened, table

if TYPE_CHECKING:
    from handrail.errors import InputError
    from handrail.policy.page import Block
    from handrail.policy.replay import Entry, Replay, Running

MOST_LINES = 50
"""So many conversations are named on a terminal; --json names all."""
MOST_ERRORS = 1000
"""So many bad entries are named in JSON; all are counted."""

HtmlOption = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write a page with charts there")
]


def replay(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="Conversations, .json or .jsonl; - is standard input")
    ],
    policy: Annotated[
        Path | None,
        typer.Option(metavar="A", help="A file with triggers and routes; default: the configuration's"),
    ] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="B", help="Another policy; changes are told from A to B")
    ] = None,
    trying: Annotated[
        list[str] | None,
        typer.Option(
            "--try", metavar="TRIGGER.KEY=VALUE", help="Instead of B: A with this changed; may be repeated"
        ),
    ] = None,
    transferred_by: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="The tool, field or tag that shows that a person took over"),
    ] = None,
    max_rate: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, metavar="SHARE", help="Fail where more than this share escalates, by A or B"
        ),
    ] = None,
    html: HtmlOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """What a policy would have done with stored conversations, and when. Sends nothing.

    A person took over where the conversation shows it: the call of a tool that hands over (such as
    transfer_to_human_agents), a message by a person, or a field or tag transferred, escalated or handed_off.
    """
    from handrail.policy.outcome import Known
    from handrail.policy.replay import Replay

    if "" in (transferred_by or ()):
        raise typer.BadParameter("is empty; name a tool, a field or a tag", param_hint="--transferred-by")
    _check_place(html)
    run = Replay(_sides(policy, against, trying or (), config), Known(transferred_by or ()))
    seen = _seen(run, files)
    if as_json:
        _stream(run, seen)
    else:
        _tell(run, seen)
    if html is not None:
        _write(html, "Handrail: replay", _blocks(run))
    raise typer.Exit(_status(run, max_rate))


def _sides(
    policy: Path | None, against: Path | None, trying: Sequence[str], config: Path | None
) -> list[Running]:
    """The policy to replay and, where one is named or tried, the other."""
    from handrail.config import find
    from handrail.policy.replay import Running
    from handrail.policy.trial import tried

    if against is not None and trying:
        raise typer.BadParameter("stands beside --against; give one of the two", param_hint="--try")
    first = _running(policy or _shown(find(config)))
    if trying:
        return [first, Running("with --try", tried(first.policy, trying, first.desks), first.desk)]
    if against is None:
        return [first]
    second = _running(against)
    if second.name == first.name:
        second = replace(second, name=f"{second.name} (again)")
    return [first, second]


def _running(file: Path) -> Running:
    from handrail.policy.reading import read_policy
    from handrail.policy.replay import Running

    read = read_policy(file)
    if read.notice:
        complain(read.notice)
    return Running(str(file), read.policy, read.desk, read.desks)


def _shown(path: Path) -> Path:
    """A path as people would write it from where they are."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _seen(run: Replay, files: Iterable[Path]) -> Iterator[Entry | InputError]:
    """Each conversation as it was replayed, and what is wrong with the others, one at a time."""
    from handrail.errors import InputError
    from handrail.transcripts import read_conversations

    for file in files:
        for number, item in enumerate(read_conversations(file), 1):
            if isinstance(item, InputError):
                run.bad += 1
                yield item
            else:
                yield run.see(item, str(file), number)


def _stream(run: Replay, seen: Iterable[Entry | InputError]) -> None:
    """One JSON document, written while the files are read, so that it needs no memory."""
    from handrail.errors import InputError

    errors: list[dict[str, Any]] = []
    typer.echo('{"conversations": [', nl=False)
    separator = "\n"
    for item in seen:
        if isinstance(item, InputError):
            if len(errors) < MOST_ERRORS:
                errors.append({name: getattr(item, name) for name in ("file", "line", "field", "message")})
            continue
        typer.echo(separator + json.dumps(item.document()), nl=False)
        separator = ",\n"
    rest = {"errors": errors, "errors_left_out": run.bad - len(errors), "summary": run.summary()}
    typer.echo("],\n" + json.dumps(rest)[1:])


def _tell(run: Replay, seen: Iterable[Entry | InputError]) -> None:
    from handrail.errors import InputError
    from handrail.policy.shown_replay import escalation_table

    told: list[Entry] = []
    more = 0
    for item in seen:
        if isinstance(item, InputError):
            complain(str(item))
        elif any(result.escalation for result in item.results):
            if len(told) < MOST_LINES:
                told.append(item)
            else:
                more += 1
    summary, *tables = _blocks(run)
    _print([escalation_table(told, [side.name for side in run.sides])])
    if more:
        typer.echo(f"  and {more:,} more; --json names them all")
    typer.echo()
    _print([*tables, summary])  # the end is what stays in sight


def _blocks(run: Replay) -> list[Block]:
    from handrail.policy.shown_replay import replay_blocks

    return replay_blocks(run.summary(), run.examples)


def _status(run: Replay, max_rate: float | None) -> int:
    over = [side for side in run.sides if max_rate is not None and side.rate > max_rate]
    for side in over:
        complain(
            f"{side.name} escalates {side.escalated:,} of {side.conversations:,} conversations, "
            f"{side.rate:.4g} of them; --max-rate allows {max_rate:g}"
        )
    return 1 if over else 4 if run.bad else 0


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
    from handrail.policy.shown_report import report_blocks

    after, now = moment(since), datetime.now(UTC)
    assert after is not None
    if after > now:
        raise typer.BadParameter(
            "lies in the future; write 30d, or a day that has been", param_hint="--since"
        )
    _check_place(html)
    with opened(config) as rail:
        settings = rail.config
        found = made(
            rail.context.store,
            after,
            now,
            triggers=settings.policy.triggers if settings.policy else (),
            groups={name: desk.groups for name, desk in settings.desks.items()},
            policy=str(_shown(settings.path)),
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


def _check_place(html: Path | None) -> None:
    """Before the work, which may take long, a look whether its page can be written."""
    from handrail.errors import InputError

    if html is not None and (html.is_dir() or not html.parent.is_dir()):
        why = "it is a folder" if html.is_dir() else f"there is no folder {html.parent}"
        raise InputError(f"cannot write {html}: {why}; name a file", field="--html")


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
                typer.echo(f"  {' '.join(clean(str(line)).split())}")
        elif block.rows:
            table([_heading(name) for name in block.columns], cells(block.rows))
        else:
            typer.echo("  none")


def _heading(name: str) -> str:
    """A column's name in capitals; a file's stays as it is."""
    return name if "." in name else name.upper()


def add_to(app: typer.Typer) -> None:
    """Register the commands of this module."""
    for command in (replay, report):
        app.command()(command)
