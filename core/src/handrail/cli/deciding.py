"""The command ``handrail decide``: what the policy says of conversations, and why."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from handrail.cli.common import ConfigOption, JsonOption, emit, opened, table
from handrail.cli.handing import complain_about, error_of, read

if TYPE_CHECKING:
    from handrail.policy.model import Decision
    from handrail.rail import Handrail


def decide(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="Conversations, .json or .jsonl; - is standard input")
    ],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what the policy makes of each conversation, and why. Hands off nothing."""
    with opened(config) as rail:
        decisions, errors = _decided(rail, read(files))
    if as_json:
        shown = [each.model_dump(mode="json") | {"hand_off": each.hand_off} for each in decisions]
        emit({"decisions": shown, "errors": errors})
    else:
        _print(decisions)
        complain_about(errors)
    raise typer.Exit(4 if errors else 0)


def _decided(rail: Handrail, items: Iterable[Any]) -> tuple[list[Decision], list[dict[str, Any]]]:
    from handrail.errors import InputError

    decisions, errors = [], []
    for file, item in items:
        if isinstance(item, InputError):
            errors.append(error_of(file, item))
        else:
            decisions.append(rail.decide(item))
    return decisions, errors


def _print(decisions: list[Decision]) -> None:
    columns = ("CONVERSATION", "DECISION", "TRIGGER", "DESK", "GROUP", "URGENCY", "UNTIL", "BECAUSE")
    if decisions:
        table(columns, (_row(each) for each in decisions))


def _row(decision: Decision) -> list[Any]:
    others = ", ".join(each.name for each in decision.fired[1:])
    because = [decision.because, f"also fires: {others}" if others else "", *decision.errors]
    because += [f"ask: {question}" for question in decision.questions]
    return [
        decision.conversation_id,
        decision.kind,
        decision.trigger,
        decision.desk,
        decision.group,
        decision.urgency,
        decision.until.isoformat() if decision.until else "",
        "; ".join(part for part in because if part),
    ]


def add_to(app: typer.Typer) -> None:
    """Register the command of this module."""
    app.command()(decide)
