"""The command line ``handrail``. Importing it imports only typer: each command imports what it needs."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from handrail.cli import deciding, handing, handoffs, moving, reviewing, setup, working
from handrail.cli.common import complain

EXIT_STATUS = """
Exit status: 0 done; 1 an error in what was asked; 2 wrong usage; 3 accepted and durable, but not yet
delivered; 4 at least one handoff is undelivered or at least one input was bad.
"""


class Commands(TyperGroup):
    """The commands, those of plugins included, and what happens when one of them fails."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Our own command, else a plugin's: plugins are loaded only when a name is not ours."""
        return super().get_command(ctx, cmd_name) or _plugin_command(ctx, cmd_name)

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except Exception as error:
            if isinstance(error, typer.Abort) or hasattr(error, "exit_code"):
                raise
            raise typer.Exit(0 if _nobody_reads(error) else _failed(error)) from None
        return result


app = typer.Typer(
    name="handrail",
    cls=Commands,
    help="Carries conversations from an AI agent to the help desk, and the humans' answers back.",
    epilog=EXIT_STATUS,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: importing rich for it would take three times as long
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """The entry point of the command ``handrail``."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="handrail")


def _version(wanted: bool) -> None:
    if wanted:
        from handrail import __version__

        typer.echo(f"handrail {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version")
    ] = False,
) -> None:
    """Carries conversations from an AI agent to the help desk, and the humans' answers back."""


for group in (setup, deciding, handing, handoffs, working, reviewing, moving):
    group.add_to(app)


def _plugin_command(ctx: Any, name: str) -> Any:
    extra = typer.Typer()
    try:
        from handrail.plugins import plugins

        plugins().hook.handrail_commands(app=extra)
    except Exception as error:
        complain(f"the commands of plugins could not be loaded: {_short(error)}")
    if not (extra.registered_commands or extra.registered_groups):
        return None
    return typer.main.get_group(extra).get_command(ctx, name)


def _failed(error: Exception) -> int:
    """Say what went wrong, and return the exit status."""
    from handrail.errors import HandrailError

    if isinstance(error, HandrailError):
        complain(str(error))
    elif os.environ.get("HANDRAIL_DEBUG"):
        raise error
    else:
        complain(f"unexpected {_short(error)}\nSet HANDRAIL_DEBUG=1 to see where, and please report it.")
    return 1


def _short(error: Exception) -> str:
    import re

    first = (str(error).splitlines() or [""])[0][:300]
    return f"{type(error).__name__}: " + re.sub(r"(://[^/\s:@]*:)[^/\s@]+@", r"\1***@", first)


def _nobody_reads(error: Exception) -> bool:
    """True when stdout is a pipe whose other end is gone; what is left in its buffer then goes nowhere."""
    import select

    if not isinstance(error, BrokenPipeError) or not hasattr(select, "poll"):
        return False
    try:
        poller, stdout = select.poll(), sys.stdout.fileno()
    except OSError:
        return False
    poller.register(stdout, 0)
    gone = bool(poller.poll(0))
    if gone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout)
    return gone
