"""Commands around the configuration: demo, init, check, connectors, schema."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from handrail.cli.common import ConfigOption, JsonOption, emit, opened, table

if TYPE_CHECKING:
    from handrail.connector import Connector, Finding

UnusedConfig = Annotated[Path | None, typer.Option("--config", hidden=True)]


def demo(config: UnusedConfig = None) -> None:
    """Show the whole job on this machine: no account, no network."""
    from handrail.demo import run

    raise typer.Exit(int(run() or 0))


def init(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="CONNECTOR", help="Of which desks; default: the first that is installed"),
    ] = None,
    config: ConfigOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if there is one")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a commented handrail.toml for the installed connectors."""
    from handrail.config import find, sample
    from handrail.plugins import connectors as installed

    known = installed()
    wanted = [_chosen(name, known).name for name in dict.fromkeys(names or list(known)[:1])]
    place, text = find(config), sample(known, wanted)
    _write(place, text, force)
    variables = sorted(set(re.findall(r"^[^#\n]*\$\{(\w+)\}", text, re.MULTILINE)))
    if as_json:
        emit({"path": str(place), "desks": wanted, "variables": variables})
        return
    typer.echo(f"Wrote {place} with the desk {', '.join(wanted)}")
    others = [name for name in known if name not in wanted]
    if others and not names:
        typer.echo(f"If yours is another ({', '.join(others)}): `handrail init NAME --force`")
    if variables:
        typer.echo(f"Set these environment variables: {', '.join(variables)}")
    typer.echo("Then edit the file, and run `handrail check`")


def _write(place: Path, text: str, force: bool) -> None:
    from handrail.errors import ConfigError

    try:
        with place.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(
            f"{place} is there already; give another name with --config, or --force to replace it"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"cannot write {place}: {error.strerror}; give another name with --config"
        ) from None


def check(
    offline: Annotated[bool, typer.Option("--offline", help="Read the configuration only")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask each desk whether its settings are right.

    Credentials, groups, priorities, statuses, fields, and the policy: each finding says what to do where it
    is not ok. Warnings do not change the exit status.
    """
    found = _findings(config, offline, as_json)
    if as_json:
        emit({"findings": found})
    else:
        rows = ([_verdict(f), f["subject"], f["message"]] for f in found)
        table(("", "SUBJECT", "FINDING"), rows)
    raise typer.Exit(0 if all(finding["ok"] for finding in found) else 1)


def _shown(finding: Finding) -> dict[str, Any]:
    shown = {"subject": finding.subject, "ok": finding.ok, "message": finding.message}
    return shown | ({"warning": True} if finding.warning else {})


def _verdict(finding: dict[str, Any]) -> str:
    return "WRONG" if not finding["ok"] else "WARNING" if finding.get("warning") else "ok"


def _findings(config: Path | None, offline: bool, as_json: bool) -> list[dict[str, Any]]:
    """What was found. With --json a configuration that cannot be read is a finding too."""
    from handrail.errors import ConfigError

    try:
        with opened(config) as rail:
            return [_shown(finding) for finding in rail.check(offline=offline)]
    except ConfigError as error:
        if not as_json:
            raise
        return [{"subject": "configuration", "ok": False, "message": str(error)}]


def connectors(
    name: Annotated[str | None, typer.Argument(help="Print the settings of this connector")] = None,
    as_json: JsonOption = False,
    config: UnusedConfig = None,
) -> None:
    """List installed connectors and what each can, or one's settings."""
    from handrail.plugins import connectors as installed

    known = installed()
    if name is None:
        _print_connectors(known, as_json)
    else:
        _print_settings(_chosen(name, known), as_json)


def _chosen(name: str, known: dict[str, type[Connector]]) -> type[Connector]:
    from handrail.config import not_installed
    from handrail.errors import NotFound

    if name not in known:
        raise NotFound(not_installed(name, known))
    return known[name]


def _described(connector: type[Connector]) -> dict[str, Any]:
    can = [str(one.name).lower() for one in connector.can]
    return {"name": connector.name, "title": connector.title or connector.name, "can": can}


def _print_connectors(known: dict[str, type[Connector]], as_json: bool) -> None:
    rows = [_described(connector) for connector in known.values()]
    if as_json:
        emit({"connectors": rows})
    elif rows:
        table(("CONNECTOR", "DESK", "CAN"), ([r["name"], r["title"], ", ".join(r["can"])] for r in rows))
    else:
        typer.echo("No connector is installed; install that of your desk: `pip install handrail-NAME`")


def _print_settings(connector: type[Connector], as_json: bool) -> None:
    from handrail.config_sample import settings

    rows = list(settings(connector))
    if as_json:
        emit(_described(connector) | {"settings": rows})
        return
    columns = ("SETTING", "REQUIRED", "DEFAULT", "SECRET", "DESCRIPTION")
    table(
        columns,
        ([r["name"], _yes(r["required"]), r["default"], _yes(r["secret"]), r["description"]] for r in rows),
    )


def _yes(value: bool) -> str:
    return "yes" if value else ""


def schema(as_json: JsonOption = False, config: UnusedConfig = None) -> None:
    """Print the JSON Schema of the configuration."""
    from handrail.config import Config

    emit(Config.json_schema())


def add_to(app: typer.Typer) -> None:
    """Register the commands of this module."""
    for command in (demo, init, check, connectors, schema):
        app.command()(command)
