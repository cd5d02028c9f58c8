"""What is sent and what arrives: requests, text, files, group and urgency."""

from __future__ import annotations

from typing import Any

from handrail.connector import Can, Connector
from handrail.context import transport
from handrail.driver import Driver, prepare
from handrail.journal import Journal
from handrail.model import Handoff, State, UpdateKind, Urgency
from handrail.policy.chain import Raise
from handrail.steps import Exchange, Reply, Step, Steps
from handrail.testing.clock import Clock
from handrail.testing.desk import SimulatedDesk
from handrail.testing.kit_base import KitBase
from handrail.testing.world import World, a_conversation, a_file

AWKWARD = (
    "Größe → 5 < 6 & \"quoted\" 'single' {{ticket.id}} </p><script>x</script> 👩‍👧 ﷽ a\tb\n\n  indented\nend"
)
"""Text that breaks careless connectors. It must reach a reader as it is (white space may be folded)."""


class ArrivalTests(KitBase):
    """The human sees everything, and nothing is dropped without a word."""

    def test_every_request_with_an_effect_is_made_safe(self, world: World) -> None:
        """The step itself refuses anything else; what is left to see is that ``create`` sends one."""
        steps = [step for step, _ in self._steps_of_create(world)]
        effects = [step for step in steps if isinstance(step, Exchange) and step.has_effect]

        assert effects
        assert all(step.key or step.unless is not None or step.repeatable for step in effects)

    def test_create_is_deterministic(self, world: World) -> None:
        recorded = self._steps_of_create(world)
        again = world.connector.create(self._determined(world))
        asked = [next(again), *(again.send(reply) for _, reply in recorded[:-1])]
        again.close()

        first, second = (
            [_bytes(world.connector, step) for step in steps] for steps in ([s for s, _ in recorded], asked)
        )
        assert first == second

    def test_a_warm_handoff_takes_few_requests(self, world: World) -> None:
        world.deliver(a_conversation("warm", id="c-warm"), group=self.group)
        before = len(world.desk.requests)
        world.deliver(a_conversation("counted", id="c-counted"), group=self.group)

        assert len(world.desk.requests) - before == self.requests_per_handoff

    def test_awkward_text_arrives_unchanged(self, world: World) -> None:
        world.deliver(a_conversation(AWKWARD))

        ticket = world.desk.tickets[0]
        read = " ".join(" ".join(comment.body for comment in ticket.comments).split())
        for piece in " ".join(AWKWARD.split()).split(" "):
            assert piece in read

    def test_attachments_are_sent_or_refused_never_dropped(self, world: World) -> None:
        handoff = world.deliver(files=[a_file()])

        shown = world.show(handoff)
        if Can.ATTACH in self.connector.can:
            files = {file.name: file.content for file in world.desk.tickets[0].files}
            assert files.get("receipt.txt") == b"one refund, please\n"
        else:
            assert shown["state"] == State.UNDELIVERED
            assert "receipt.txt" in shown["last_error"]

    def test_group_and_urgency_arrive(self, world: World) -> None:
        world.deliver(a_conversation("one", id="c-1"), group=self.group, urgency=Urgency.URGENT)
        world.deliver(a_conversation("two", id="c-2"), group=self.group, urgency=Urgency.LOW)

        urgent, low = world.desk.tickets
        assert urgent.group == low.group == self.group
        assert urgent.priority != low.priority

    def test_a_group_that_the_desk_lacks_is_said_in_the_text(self, world: World) -> None:
        for number, group in enumerate(("Nobody Has This Group", "²")):  # the second is no number of a group
            handoff = world.deliver(a_conversation(id=f"c-{number}"), group=group)

            assert world.show(handoff)["state"] == State.WITH_HUMANS
            assert group in " ".join(comment.body for comment in world.desk.tickets[number].comments)

    def test_a_raise_moves_the_ticket_to_the_next_group_or_says_why(
        self, simulated: SimulatedDesk, clock: Clock
    ) -> None:
        self.needs(Can.MOVE)
        lost = "Nobody Has This Group"
        rules = (
            Raise(at="30m", group=self.next_group, urgency="+1"),
            Raise(at="60m", group=lost, notice="Late"),
        )
        settings = {"timeout": "5s", **self.settings}
        with World(simulated, self.connector, clock=clock, settings=settings, raises=rules) as world:
            handoff = world.hand_off()
            world.let_pass(60)
            before = world.desk.tickets[0]
            assert before.group != self.next_group

            world.let_pass(1860)
            after = world.desk.tickets[0]
            assert (after.group, after.priority == before.priority) == (self.next_group, False)
            if Can.POLL in self.connector.can:
                world.poll()
                world.poll()
            assert world.updates(handoff, UpdateKind.ASSIGNMENT) == [], "our own doing is no news"

            world.let_pass(1860)
            said = world.desk.tickets[0].comments[-1].body
            assert lost in said
            assert "Not set: group" in said or world.desk.tickets[0].group == lost

    def _determined(self, world: World) -> Handoff:
        return world.rail.hand_off(a_conversation("determined", id="c-determined"), files=self._files())

    def _steps_of_create(self, world: World) -> list[tuple[Step, Reply]]:
        """What ``create`` yields for one handoff, each with what the simulated desk answered."""
        seen: list[tuple[Step, Reply]] = []
        handoff = self._determined(world)
        driver = Driver(world.connector, transport(world.connector), world.clock)

        def watched() -> Steps[Any]:
            steps = world.connector.create(handoff)
            step = next(steps)
            try:
                while True:
                    reply = yield step
                    seen.append((step, reply))
                    step = steps.send(reply)
            except StopIteration as done:
                return done.value

        try:
            driver.run(watched, Journal())
        finally:
            driver.transport.close()
        return seen

    def _files(self) -> list[Any]:
        return [a_file()] if Can.ATTACH in self.connector.can else []


def _bytes(connector: Connector, step: Step) -> object:
    return prepare(connector, step) if isinstance(step, Exchange) else step
