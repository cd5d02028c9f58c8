"""``handrail demo``: the main job on this machine, with no account and no network beyond it.

Conversations go over real HTTP to a simulated desk of every installed connector; a person answers there;
reply and status come back by signed webhook and by polling. Nothing is mocked and nothing is kept.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console

from handrail.config import Config
from handrail.model import Conversation, Handoff, Message, Role, State, Urgency
from handrail.plugins import connectors
from handrail.rail import Handrail
from handrail.testing.__main__ import needs_extra
from handrail.transcripts import read_conversations

SAMPLES = Path(__file__).parent / "samples" / "conversations.jsonl"
PATIENCE_SECONDS = 30.0


def run() -> int:
    """Run the demo; 0 when everything happened as promised, else 1."""
    console = Console(highlight=False, soft_wrap=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="handrail-demo-")))
        desks = {name: stack.enter_context(desk) for name, desk in _simulated(console).items()}
        if not desks:
            console.print("No connector with a simulated desk is installed: pip install handrail-zendesk")
            return 1
        rail = stack.enter_context(_rail(folder, desks))
        stack.enter_context(_served(rail, desks))
        stories = [_Story(console, rail, name, desk) for name, desk in desks.items()]
        told = [story.tell() for story in stories]
    if all(told):
        console.print("\nEvery conversation became exactly one ticket, and every answer came back once.")
        console.print("Next: `handrail init` writes a handrail.toml for your own desk.")
    return 0 if all(told) else 1


class _Story:
    """What happens with one desk, told step by step."""

    def __init__(self, console: Console, rail: Handrail, name: str, desk: Any) -> None:
        self.console, self.rail, self.name, self.desk = console, rail, name, desk
        self.step = 0

    def tell(self) -> bool:
        self.console.rule(
            f"{self.rail.config.desks[self.name].title} (simulated, at {self.desk.url})", align="left"
        )
        handoffs = self._handed_off()
        first = handoffs[0]
        ticket = self.rail.show(first.id)["ticket"]
        self._read_as_the_human_does(ticket["id"])
        self._a_later_message(first)
        self._the_human_answers(first, ticket["id"])
        made = len(self.desk.tickets)
        self._say(f"tickets on the desk: {made}, for {len(handoffs)} conversations")
        return made == len(handoffs) and self.rail.show(first.id)["state"] == State.SOLVED

    def _handed_off(self) -> list[Handoff]:
        handoffs: list[Handoff] = []
        for conversation in read_conversations(SAMPLES):
            assert isinstance(conversation, Conversation)
            mine = conversation.model_copy(update={"id": f"{conversation.id}-{self.name}"})
            if handoffs:  # from the second on, the network misbehaves
                self.desk.fault("reset", when="after")
                self._say("the desk makes the ticket, but the connection breaks before the answer:")
            handoff = self.rail.hand_off(
                mine, desk=self.name, urgency=Urgency.HIGH, reason="customer_request"
            )
            self.rail.wait(handoff.id, PATIENCE_SECONDS)
            shown = self.rail.show(handoff.id)
            tries = f"{shown['attempts']} attempt{'s' if shown['attempts'] > 1 else ''}"
            self._say(f"conversation {mine.id} -> ticket {shown['ticket']['id']} ({shown['state']}, {tries})")
            handoffs.append(handoff)
        return handoffs

    def _read_as_the_human_does(self, ticket_id: str) -> None:
        comment = next(ticket for ticket in self.desk.tickets if ticket.id == ticket_id).comments[0]
        lines = [line.rstrip() for line in comment.body.splitlines() if line.strip()]
        self._say("what the human sees first:")
        for line in lines[:14]:
            self.console.print(f"      | {line}", markup=False)
        self.console.print(
            f"      | ... and {max(0, len(lines) - 14)} more lines, the whole conversation among them"
        )

    def _a_later_message(self, handoff: Handoff) -> None:
        holder = self.rail.holder(handoff.conversation.id)
        self._say(
            f"who answers the customer now: {holder}; the customer writes again, it goes to the same ticket"
        )
        self.rail.say(handoff.id, Message(role=Role.CUSTOMER, text="Any news?"))
        _until(lambda: not self.rail.show(handoff.id)["to_send"])

    def _the_human_answers(self, handoff: Handoff, ticket_id: str) -> None:
        self.desk.human_notes(ticket_id, "Checked with finance, approved.", name="Bea")
        self.desk.human_replies(ticket_id, "Your refund of 249.90 is released.", name="Bea")
        self.desk.human_solves(ticket_id, name="Bea")
        self._say("a human writes an internal note, answers and solves the ticket")
        _until(lambda: self.rail.show(handoff.id)["state"] == State.SOLVED)
        self.rail.sync(self.name)
        for update in self.rail.show(handoff.id)["updates"]:
            detail = update["text"] or update["status"] or update["assignee"] or update["group"] or ""
            self.console.print(f"      <- {update['kind']}: {detail}", markup=False)
        self._say(f"who answers the customer now: {self.rail.holder(handoff.conversation.id)}")

    def _say(self, text: str) -> None:
        self.step += 1
        self.console.print(f"  {self.step}. {text}", markup=False)


def _simulated(console: Console) -> dict[str, Any]:
    """A simulated desk for each installed connector that brings one, by the connector's name."""
    found = {}
    for name, connector in connectors().items():
        if connector.simulated:
            module, _, desk = connector.simulated.partition(":")
            try:
                found[name] = getattr(import_module(module), desk)()
            except ModuleNotFoundError:
                console.print(f"{connector.title or name} is left out: {needs_extra(name)}", markup=False)
    return found


def _rail(folder: Path, desks: dict[str, Any]) -> Handrail:
    settings = {name: {**desk.settings(), "poll": "2s"} for name, desk in desks.items()}
    kinds = connectors()
    made = {name: kinds[given.pop("connector", name)](**given) for name, given in settings.items()}
    store = f"sqlite:///{folder}/handrail.db"
    return Handrail(Config(path=folder / "handrail.toml", store=store, desk=next(iter(made)), desks=made))


@contextmanager
def _served(rail: Handrail, desks: dict[str, Any]) -> Iterator[None]:
    """The webhook server and a worker, as ``handrail serve`` has them."""
    import uvicorn

    from handrail.server import app

    server = uvicorn.Server(
        uvicorn.Config(app(rail), port=0, lifespan="off", log_config=None, access_log=False)
    )
    thread = threading.Thread(target=server.run, name="demo-server")
    thread.start()
    try:
        _until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        for name, desk in desks.items():
            secret = getattr(rail.config.desks[name], "webhook_secret", None)
            if secret:
                desk.webhook = (f"http://127.0.0.1:{port}/v1/desks/{name}/webhook", secret)
        with rail.working():
            yield
    finally:
        server.should_exit = True
        thread.join()


def _until(done: Any) -> None:
    """Wait until something is so; after ``PATIENCE_SECONDS`` the demo goes on and its end will tell."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not done() and time.monotonic() < deadline:
        time.sleep(0.05)
