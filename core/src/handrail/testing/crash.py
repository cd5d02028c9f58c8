"""Processes that are killed: runs a handoff in a child that SIGKILLs itself at its n-th step.

``python -m handrail.testing.crash`` reads one JSON object a line, forks for each, and answers ``killed`` or
``done``. A step is the moment before or after a commit, and before or after an exchange with the desk.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from importlib import import_module
from typing import Any, Self

import sqlalchemy as sa

from handrail.connector import Connector
from handrail.http import Http
from handrail.mail import MailTransport
from handrail.model import Message, Role
from handrail.plugins import connectors
from handrail.testing.clock import Clock
from handrail.testing.desk import SimulatedDesk
from handrail.testing.world import World, a_conversation

LATER = "and one more thing"


def story(world: World) -> None:
    """What is killed and then told again: a handoff and a later message. Twice is as good as once."""
    handoff = world.hand_off(a_conversation("the one question", id="c-crash"))
    world.run(within=3600)
    if not any(operation.kind == "say" for operation in world.operations(handoff)):
        world.rail.say(handoff.id, Message(role=Role.CUSTOMER, text=LATER))
    world.run(within=3600)


class _Elsewhere(SimulatedDesk):
    """A desk that runs in another process: only its settings are known here."""

    def __init__(self, known: dict[str, Any]) -> None:
        super().__init__()
        self._known = known

    def settings(self) -> dict[str, Any]:
        return self._known


def _live(order: dict[str, Any]) -> None:
    """Tell the story in this process, until the step at which it dies."""
    _die_at(order["step"])
    clock = Clock(datetime.fromisoformat(order["now"]))
    kind: type[Connector] = connectors()[order["connector"]]
    desk = _Elsewhere(order["settings"])
    with World(desk, kind, clock=clock, store=order["store"], settings=order["more"]) as world:
        story(world)


def _die_at(step: int) -> None:
    left = [step]

    def passed() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    for transport in (Http, MailTransport):
        _around(transport, "send", passed)
    sa.event.listen(sa.Engine, "commit", lambda connection: passed())
    _around(sa.engine.RootTransaction, "commit", passed, before=False)


def _around(owner: Any, name: str, passed: Callable[[], None], *, before: bool = True) -> None:
    inner = getattr(owner, name)

    def outer(*args: Any, **named: Any) -> Any:
        if before:
            passed()
        result = inner(*args, **named)
        passed()
        return result

    setattr(owner, name, outer)


class Mortals:
    """The parent's side: a process that forks one child for each order."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "handrail.testing.crash"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def live(self, **order: Any) -> str:
        """``killed`` or ``done``."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=30)


def main() -> None:
    for module in ("dbos", "alembic.command", "handrail.rail", "handrail.brief"):
        import_module(module)  # once, for all children
    connectors()
    gc.freeze()  # what is there before the fork is nothing that a child need look through
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _live(json.loads(line))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        print("killed" if killed else "done" if status == 0 else f"failed {status}", flush=True)


if __name__ == "__main__":
    main()
