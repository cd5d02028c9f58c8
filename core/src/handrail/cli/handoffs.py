"""Commands about handoffs that exist: list, show, retry, cancel, say, close."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from handrail.cli.common import (
    ConfigOption,
    DeskOption,
    GroupOption,
    JsonOption,
    StateName,
    complain,
    emit,
    facts,
    handoff_table,
    moment,
    opened,
    table,
)

if TYPE_CHECKING:
    from datetime import datetime

    from handrail.rail import Handrail

MOST = 2**63 - 1
"""The largest number that both stores know."""
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="A handoff's id")]


def list_(
    state: Annotated[StateName | None, typer.Option(help="Only handoffs in this state")] = None,
    desk: DeskOption = None,
    group: GroupOption = None,
    since: Annotated[str | None, typer.Option(metavar="30d|TIME", help="Only handoffs since then")] = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST, help="At most so many")] = 50,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List handoffs, newest first."""
    after = moment(since)
    with opened(config) as rail:
        from handrail.model import State

        chosen = State(state) if state else None
        found = rail.list(state=chosen, desk=desk, group=group, since=after, limit=limit)
    if as_json:
        emit({"handoffs": found})
    else:
        columns = ("HANDOFF", "CREATED", "STATE", "DESK", "GROUP", "URGENCY", "TICKET")
        names = ("id", "created_at", "state", "desk", "group", "urgency")
        table(columns, ([*(h[name] for name in names), (h["ticket"] or {}).get("id")] for h in found))


def show(handoff_id: IdArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show one handoff with its ticket and its whole timeline."""
    with opened(config) as rail:
        found = rail.show(handoff_id)
    if as_json:
        emit(found)
        return
    facts(_flat({name: value for name, value in found.items() if name not in ("updates", "timeline")}))
    entries = [*found.get("timeline", []), *found["updates"]]
    if entries:
        typer.echo()
        table(("AT", "WHAT", "BY", "TEXT"), map(_timeline_row, sorted(entries, key=_at)))


def _flat(found: dict[str, Any]) -> dict[str, Any]:
    """Names and values of a handoff for people: one level, lists on one line, nothing raw."""
    flat: dict[str, Any] = {}
    for name, value in found.items():
        if isinstance(value, dict):
            inner = {f"{name}_{key}": item for key, item in value.items() if key != "raw"}
            flat |= _flat(inner)
        elif isinstance(value, list):
            items = (item.get("kind", item) if isinstance(item, dict) else item for item in value)
            flat[name.replace("_", " ")] = "; ".join(map(str, items))
        else:
            flat[name.replace("_", " ")] = value
    return flat


def _at(entry: dict[str, Any]) -> datetime:
    from datetime import datetime

    return datetime.fromisoformat(entry["at"])


def _timeline_row(entry: dict[str, Any]) -> list[Any]:
    """Our own lines say what was done; updates say what happened on the desk, and who did it."""
    if "kind" not in entry:
        return [entry["at"], "handrail", "", entry["text"]]
    actor = entry.get("actor") or {}
    what = " ".join(str(entry[name]) for name in ("kind", "status") if entry.get(name))
    return [entry["at"], what, actor.get("name") or actor.get("kind"), entry.get("text")]


def retry(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Handoffs' ids")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every undelivered handoff")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send undelivered handoffs again."""
    if everything == bool(ids):
        raise typer.BadParameter("give the ids of handoffs, or --all, and not both", param_hint="ID...")
    with opened(config) as rail:
        again, failures = (rail.retry_all(), 0) if everything else _retry_each(rail, ids or [])
        shown = [_sent(rail, handoff_id) for handoff_id in again]
    _print_handoffs(shown, as_json)
    raise typer.Exit(1 if failures else max(map(_status, shown), default=0))


def _retry_each(rail: Handrail, ids: list[str]) -> tuple[list[str], int]:
    """The ids that were retried, and how many were not; why stands on stderr."""
    from handrail.errors import HandrailError

    again = []
    for handoff_id in dict.fromkeys(ids):
        try:
            rail.retry(handoff_id)
            again.append(handoff_id)
        except HandrailError as error:
            complain(str(error))
    return again, len(set(ids)) - len(again)


def cancel(handoff_id: IdArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Stop a handoff that is not on a desk yet."""
    with opened(config) as rail:
        rail.cancel(handoff_id)
        _print_one(_brief(rail, handoff_id), as_json)


def close(handoff_id: IdArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Close the ticket of a handoff."""
    with opened(config) as rail:
        rail.close(handoff_id)
        shown = _sent(rail, handoff_id)
    _print_one(shown, as_json)
    raise typer.Exit(_status(shown))


def say(
    handoff_id: IdArgument,
    text: Annotated[str, typer.Argument(help="What the customer wrote")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a later message of the customer to the ticket."""
    if not text.strip():
        raise typer.BadParameter("the message is empty", param_hint="TEXT")
    with opened(config) as rail:
        from datetime import UTC, datetime

        from handrail.model import Message, Role

        rail.say(handoff_id, Message(role=Role.CUSTOMER, text=text, at=datetime.now(UTC)))
        shown = _sent(rail, handoff_id)
    _print_one(shown, as_json)
    raise typer.Exit(_status(shown))


def _sent(rail: Handrail, handoff_id: str) -> dict[str, Any]:
    """The handoff after an attempt to send at once what is now durable; a worker does the rest."""
    rail.attempt(handoff_id)
    return _brief(rail, handoff_id)


def _status(handoff: dict[str, Any]) -> int:
    """3 while something is accepted and not on the desk yet, 4 where a person is needed."""
    if handoff["state"] == "undelivered":
        return 4
    return 3 if handoff.get("to_send") else 0


def _brief(rail: Handrail, handoff_id: str) -> dict[str, Any]:
    found = rail.show(handoff_id)
    found.pop("timeline", None)
    return found


def _print_one(handoff: dict[str, Any], as_json: bool) -> None:
    if as_json:
        emit(handoff)
    else:
        handoff_table([handoff])


def _print_handoffs(handoffs: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        emit({"handoffs": handoffs})
    elif handoffs:
        handoff_table(handoffs)
    else:
        typer.echo("Nothing to do")


def add_to(app: typer.Typer) -> None:
    """Register the commands of this module."""
    app.command("list")(list_)
    for command in (show, retry, cancel, say, close):
        app.command()(command)
