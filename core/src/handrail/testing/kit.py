"""The connector kit: a class of promises. An author fills in the values and inherits the tests.

    class TestAcme(ConnectorTests):
        connector = Acme
        desk = SimulatedAcme

That is a whole test file. Every test makes a real Handrail with a real store, sends real HTTP to the
simulated desk and moves a clock instead of waiting. No test of the kit may be overridden.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest

from handrail.connector import Can, Connector
from handrail.driver import Driver, prepare
from handrail.errors import SignatureError
from handrail.http import Http
from handrail.journal import Journal
from handrail.model import Handoff, Message, Role, State, Status, UpdateKind, Urgency
from handrail.signature import Hook
from handrail.steps import Reply, Request, Step, Steps
from handrail.testing.clock import Clock
from handrail.testing.crash import LATER, Mortals, story
from handrail.testing.desk import SimulatedDesk
from handrail.testing.world import World, a_conversation, a_file

AWKWARD = (
    "Größe → 5 < 6 & \"quoted\" 'single' {{ticket.id}} </p><script>x</script> 👩‍👧 ﷽ a\tb\n\n  indented\nend"
)
"""Text that breaks careless connectors. It must reach a reader as it is (white space may be folded)."""

AMBIGUOUS = ("lose", "reset", "half", "hang", "status")
_SECRET_WORDS = ("token", "secret", "password", "key", "credential")


class ConnectorTests:
    """Promises of a connector. Fill in ``connector`` and ``desk``; the rest has defaults."""

    connector: ClassVar[type[Connector]]
    desk: ClassVar[type[SimulatedDesk]]
    desk_options: ClassVar[Mapping[str, Any]] = {}
    settings: ClassVar[Mapping[str, Any]] = {}
    """Settings beside those that the simulated desk gives."""
    group: ClassVar[str] = "Support"
    """A group that the simulated desk has."""
    requests_per_handoff: ClassVar[int] = 1
    """With a warm cache, without files."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock(datetime(2026, 11, 23, 9, 0, 0, 250_000, tzinfo=UTC))

    @pytest.fixture
    def simulated(self, clock: Clock) -> Iterator[SimulatedDesk]:
        with self.desk(clock=clock, **self.desk_options) as desk:
            yield desk
            assert desk.errors == [], "the simulated desk itself failed"

    @pytest.fixture
    def world(self, simulated: SimulatedDesk, clock: Clock) -> Iterator[World]:
        settings = {"timeout": "1s", **self.settings}
        with World(simulated, self.connector, clock=clock, settings=settings) as world:
            yield world

    def needs(self, can: Can) -> None:
        if can not in self.connector.can:
            pytest.skip(f"{self.connector.name} does not declare {can}")

    # Exactly once.

    def test_one_handoff_becomes_one_ticket(self, world: World) -> None:
        handoff = world.deliver()

        shown = world.show(handoff)
        assert shown["state"] == State.WITH_HUMANS
        assert [ticket.id for ticket in world.desk.tickets] == [shown["ticket"]["id"]]

    @pytest.mark.parametrize("times", [1, 3])
    @pytest.mark.parametrize("when", ["before", "after"])
    @pytest.mark.parametrize("kind", AMBIGUOUS)
    def test_an_unsure_retry_makes_no_second_ticket(
        self, world: World, kind: Any, when: Any, times: int
    ) -> None:
        world.deliver(a_conversation("the first one"))
        world.desk.fault(kind, on=self._create_path(world), when=when, times=times)

        handoff = world.deliver(a_conversation("the second one"))

        assert world.show(handoff)["state"] == State.WITH_HUMANS
        assert len(world.desk.tickets) == 2

    @pytest.mark.parametrize("when", ["before", "after"])
    @pytest.mark.parametrize("kind", AMBIGUOUS)
    def test_a_later_message_arrives_once(self, world: World, kind: Any, when: Any) -> None:
        self.needs(Can.REPLY | Can.NOTE)
        handoff = world.deliver()
        world.rail.say(handoff.id, Message(role=Role.CUSTOMER, text="first later message"))
        world.run(within=60)
        effect = self._last_effect(world)
        world.desk.fault(kind, on=effect, when=when)
        world.rail.say(handoff.id, Message(role=Role.CUSTOMER, text="second later message"))

        world.run(within=3600)

        text = "\n".join(comment.body for comment in world.desk.tickets[0].comments)
        assert text.count("first later message") == 1
        assert text.count("second later message") == 1
        assert text.index("first later") < text.index("second later")

    @pytest.mark.parametrize("seed", range(8))
    def test_a_mix_of_faults_makes_no_second_ticket(self, world: World, seed: int) -> None:
        draw = random.Random(seed)  # noqa: S311 - a test's choice, to be repeated by its seed
        handoffs = []
        for number in range(3):
            for _ in range(draw.randint(1, 5)):
                self._spoil(world, draw)
            handoffs.append(world.deliver(a_conversation(f"question {number}")))
            if self.connector.can & (Can.REPLY | Can.NOTE):
                self._spoil(world, draw)
                world.rail.say(handoffs[-1].id, Message(role=Role.CUSTOMER, text=f"later {number}"))
                world.run(within=3600)

        assert {world.show(handoff)["state"] for handoff in handoffs} == {State.WITH_HUMANS}
        assert len(world.desk.tickets) == 3
        if self.connector.can & (Can.REPLY | Can.NOTE):
            texts = ["\n".join(comment.body for comment in ticket.comments) for ticket in world.desk.tickets]
            assert [texts[number].count(f"later {number}") for number in range(3)] == [1, 1, 1]

    def _spoil(self, world: World, draw: random.Random) -> None:
        """The next exchange, or one soon after it, goes wrong in some way."""
        kind = draw.choice([*AMBIGUOUS, "html", "empty"])
        details: dict[str, Any] = {"status": draw.choice([500, 502, 503])} if kind == "status" else {}
        if draw.random() < 0.3:
            kind, details = "status", {"status": 429} | draw.choice([{}, {"retry_after": "30"}])
        when = "before" if details.get("status") == 429 else draw.choice(["before", "after"])
        world.desk.fault(kind, when=when, times=draw.choice([1, 1, 3]), skip=draw.randint(0, 2), **details)

    def test_a_process_killed_at_any_step_leaves_one_ticket(
        self, simulated: SimulatedDesk, clock: Clock
    ) -> None:
        settings = {"timeout": "5s", **self.settings}
        known = {key: value for key, value in simulated.settings().items() if key != "connector"}
        step, fate = 0, "killed"
        with Mortals() as mortals, tempfile.TemporaryDirectory() as folder:
            while fate == "killed":
                step += 1
                store, tickets = f"sqlite:///{folder}/{step}.db", len(simulated.tickets)
                order = {"step": step, "store": store, "settings": known, "more": settings}
                fate = mortals.live(connector=self.connector.name, now=clock().isoformat(), **order)
                with World(simulated, self.connector, clock=clock, store=store, settings=settings) as world:
                    world.recover()
                    story(world)
                    assert world.rail.list()[0]["state"] == State.WITH_HUMANS, f"killed at step {step}"
                assert len(simulated.tickets) == tickets + 1, f"killed at step {step}"
                text = "\n".join(comment.body for comment in simulated.tickets[-1].comments)
                assert text.count(LATER) == 1 or not self.connector.can & (Can.REPLY | Can.NOTE), (
                    f"step {step}"
                )
        assert fate == "done"
        assert step > 10

    def test_a_connection_that_is_refused_only_delays(self, world: World) -> None:
        world.desk.refuse()
        handoff = world.hand_off()
        world.run(within=20)
        assert world.show(handoff)["state"] == State.DELIVERING

        world.desk.accept_again()
        world.run(within=3600)

        assert world.show(handoff)["state"] == State.WITH_HUMANS
        assert len(world.desk.tickets) == 1

    @pytest.mark.parametrize("form", ["seconds", "date"])
    def test_429_waits_as_long_as_the_desk_asked(self, world: World, form: str) -> None:
        world.deliver(a_conversation("warm"))
        until = (world.clock() + timedelta(seconds=90)).replace(microsecond=0)
        asked = "90" if form == "seconds" else until.strftime("%a, %d %b %Y %H:%M:%S GMT")
        create = self._create_path(world)
        world.desk.fault("status", on=create, status=429, retry_after=asked)
        before = len(world.desk.seen(create))
        world.hand_off(a_conversation("limited"))

        world.let_pass(85)
        assert len(world.desk.seen(create)) == before + 1
        world.let_pass(15)

        assert len(world.desk.seen(create)) == before + 2
        assert len(world.desk.tickets) == 2

    def test_bad_credentials_pause_the_desk(self, world: World) -> None:
        world.desk.fault("status", status=401, times=3)
        handoff = world.hand_off()
        world.run(within=7200)

        shown = world.show(handoff)
        assert shown["state"] == State.ACCEPTED
        assert "paused" in shown["last_error"]
        asked = len(world.desk.requests)
        world.run(within=7200)
        assert len(world.desk.requests) == asked, "a paused desk was asked again"

        world.desk.faults.clear()
        world.rail.retry(handoff.id)
        world.run(within=60)
        assert world.show(handoff)["state"] == State.WITH_HUMANS

    def test_a_refusal_is_never_retried(self, world: World) -> None:
        world.deliver(a_conversation("warm"))
        create = self._create_path(world)
        world.desk.fault("status", on=create, status=422, body='{"error": "no", "errors": []}', times=9)
        before = len(world.desk.seen(create))
        handoff = world.deliver(a_conversation("refused"))

        assert world.show(handoff)["state"] == State.UNDELIVERED
        assert len(world.desk.seen(create)) == before + 1

    # Requests.

    def test_every_request_with_an_effect_is_made_safe(self, world: World) -> None:
        """``Request`` itself refuses anything else; what is left to see is that ``create`` sends one."""
        steps = [step for step, _ in self._steps_of_create(world)]
        effects = [step for step in steps if isinstance(step, Request) and step.has_effect]

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

    # What arrives.

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
        handoff = world.deliver(group="Nobody Has This Group")

        assert world.show(handoff)["state"] == State.WITH_HUMANS
        assert "Nobody Has This Group" in " ".join(c.body for c in world.desk.tickets[0].comments)

    # The way back.

    @pytest.mark.parametrize("road", ["poll", "webhook", "both"])
    def test_a_reply_and_a_status_come_back_once(self, world: World, road: str) -> None:
        handoff, ticket = self._delivered(world, road)
        world.desk.human_replies(ticket, "Your refund is on its way.", name="Bea")
        world.clock.advance(5)
        world.desk.human_solves(ticket)
        self._listen(world, road)

        replies = world.updates(handoff, UpdateKind.REPLY)
        assert [(reply.text or "").strip() for reply in replies] == ["Your refund is on its way."]
        assert replies[0].actor.kind == "human"
        assert [update.status for update in world.updates(handoff, UpdateKind.STATUS)].count(
            Status.SOLVED
        ) == 1
        assert world.show(handoff)["state"] == State.SOLVED
        assert world.rail.holder(handoff.conversation.id) == "ai"

    @pytest.mark.parametrize("road", ["poll", "webhook"])
    def test_internal_notes_are_not_replies(self, world: World, road: str) -> None:
        handoff, ticket = self._delivered(world, road)
        world.desk.human_notes(ticket, "the customer is difficult")
        self._listen(world, road)

        assert world.updates(handoff, UpdateKind.REPLY) == []
        assert all(not update.public for update in world.updates(handoff, UpdateKind.NOTE))

    @pytest.mark.parametrize("road", ["poll", "webhook"])
    def test_our_own_comment_is_not_an_update(self, world: World, road: str) -> None:
        handoff, _ = self._delivered(world, road)
        if self.connector.can & (Can.REPLY | Can.NOTE):
            world.rail.say(handoff.id, Message(role=Role.CUSTOMER, text="Any news?"))
            world.run(within=120)
        self._listen(world, road)

        spoken = (UpdateKind.REPLY, UpdateKind.NOTE, UpdateKind.CUSTOMER_MESSAGE)
        assert [update for update in world.updates(handoff) if update.kind in spoken] == []

    def test_a_tampered_unsigned_or_replayed_webhook_is_refused(self, world: World) -> None:
        self.needs(Can.WEBHOOK)
        hook = self._genuine_hook(world)
        old, stored = dict(hook.headers), world.stored_hooks()
        for headers, body in ((old, hook.body + b" "), ({}, hook.body)):
            if type(self.connector.signature).__name__ == "SharedSecret" and headers:
                continue  # a shared secret covers no body: such events are doorbells only
            with pytest.raises(SignatureError):
                world.rail.receive("desk", headers, body)
        if getattr(self.connector.signature, "timestamp_header", None):
            world.clock.advance(301)
            with pytest.raises(SignatureError):
                world.rail.receive("desk", old, hook.body)
        assert world.stored_hooks() == stored

    def test_unknown_events_are_ignored(self, world: World) -> None:
        self.needs(Can.WEBHOOK)
        for body in (
            b"",
            b"{}",
            b"[]",
            b"not json",
            b'{"type": "something.new"}',
            b'{"id": [1], "event": 7}',
        ):
            assert list(world.connector.events(Hook(body, {}))) == []

    def test_secrets_stay_out_of_repr(self, world: World) -> None:
        fields = type(world.connector).model_fields
        secrets = {n: str(getattr(world.connector, n)) for n, field in fields.items() if not field.repr}
        named = [name for name in fields if any(word in name for word in _SECRET_WORDS)]
        shown = repr(world.connector) + str(world.connector)

        assert [name for name in named if name not in secrets and not _is_public(name)] == []
        assert [name for name, value in secrets.items() if value not in ("", "None") and value in shown] == []

    def test_no_kit_test_is_overridden(self) -> None:
        own = {name for name in vars(type(self)) if name.startswith("test_")}
        assert own & {name for name in vars(ConnectorTests) if name.startswith("test_")} == set()

    # Helpers.

    def _determined(self, world: World) -> Handoff:
        return world.rail.hand_off(a_conversation("determined", id="c-determined"), files=self._files())

    def _steps_of_create(self, world: World) -> list[tuple[Step, Reply]]:
        """What ``create`` yields for one handoff, each with what the simulated desk answered."""
        seen: list[tuple[Step, Reply]] = []
        handoff = self._determined(world)
        driver = Driver(world.connector, Http(world.connector.base_url, timeout=2), world.clock)

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
            driver.http.close()
        return seen

    def _files(self) -> list[Any]:
        return [a_file()] if Can.ATTACH in self.connector.can else []

    def _create_path(self, world: World) -> str:
        """``METHOD /path`` of the request that creates, as the desk saw it; a handoff is made to learn it."""
        if not world.desk.tickets:
            world.deliver(a_conversation("to learn the path", id="c-path"))
        return self._last_effect(world)

    def _last_effect(self, world: World) -> str:
        effects = [seen for seen in world.desk.requests if seen.method not in ("GET", "HEAD")]
        return f"{effects[-1].method} {effects[-1].local}"

    def _delivered(self, world: World, road: str) -> tuple[Handoff, str]:
        self.needs({"poll": Can.POLL, "webhook": Can.WEBHOOK}.get(road, Can.POLL | Can.WEBHOOK))
        if road != "poll":
            world.take_webhooks()
        handoff = world.deliver()
        if road != "webhook":
            world.poll()
        return handoff, world.show(handoff)["ticket"]["id"]

    def _listen(self, world: World, road: str) -> None:
        if road != "poll":
            world.run(within=120)
        if road != "webhook":
            world.poll()
            world.poll()
        world.run(within=120)

    def _genuine_hook(self, world: World) -> Hook:
        world.take_webhooks()
        handoff = world.deliver()
        world.desk.human_replies(world.show(handoff)["ticket"]["id"], "to be sent once more")
        return world.webhooks[-1]


def _bytes(connector: Connector, step: Step) -> object:
    return prepare(connector, step) if isinstance(step, Request) else step


def _is_public(name: str) -> bool:
    """Settings whose names only sound secret."""
    return name.endswith(("_id", "_field", "_command")) or name == "keys"
