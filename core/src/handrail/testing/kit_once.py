"""The first promise: nothing accepted is lost, and one handoff is one ticket."""

from __future__ import annotations

import random
import shutil
import tempfile
from datetime import timedelta
from typing import Any

import pytest

from handrail.connector import Can
from handrail.model import Message, Role, State
from handrail.testing.clock import Clock
from handrail.testing.crash import LATER, Mortals, story
from handrail.testing.desk import SimulatedDesk
from handrail.testing.faults import Kind, When
from handrail.testing.kit_base import KitBase
from handrail.testing.world import World, a_conversation

AMBIGUOUS: tuple[Kind, ...] = ("lose", "reset", "half", "hang", "status")
_WHENS: tuple[When, ...] = ("before", "after")


class OnceTests(KitBase):
    """Exactly once, whatever fails in between."""

    def test_one_handoff_becomes_one_ticket(self, world: World) -> None:
        handoff = world.deliver()

        shown = world.show(handoff)
        assert shown["state"] == State.WITH_HUMANS
        assert [ticket.id for ticket in world.desk.tickets] == [shown["ticket"]["id"]]

    @pytest.mark.parametrize("times", [1, 3])
    @pytest.mark.parametrize("when", ["before", "after"])
    @pytest.mark.parametrize("kind", AMBIGUOUS)
    def test_an_unsure_retry_makes_no_second_ticket(
        self, hasty: World, kind: Any, when: Any, times: int
    ) -> None:
        hasty.deliver(a_conversation("the first one"))
        hasty.desk.fault(kind, on=self.create_path(hasty), when=when, times=times)

        handoff = hasty.deliver(a_conversation("the second one"))

        assert hasty.show(handoff)["state"] == State.WITH_HUMANS
        assert len(hasty.desk.tickets) == 2

    @pytest.mark.parametrize("when", ["before", "after"])
    @pytest.mark.parametrize("kind", AMBIGUOUS)
    def test_a_later_message_arrives_once(self, hasty: World, kind: Any, when: Any) -> None:
        self.needs(self.connector.can & (Can.REPLY | Can.NOTE) or Can.NOTE)
        handoff = hasty.deliver()
        hasty.rail.say(handoff.id, Message(role=Role.CUSTOMER, text="first later message"))
        hasty.run(within=60)
        effect = self.last_effect(hasty)
        hasty.desk.fault(kind, on=effect, when=when)
        hasty.rail.say(handoff.id, Message(role=Role.CUSTOMER, text="second later message"))

        hasty.run(within=3600)

        text = "\n".join(comment.body for comment in hasty.desk.tickets[0].comments)
        assert text.count("first later message") == 1
        assert text.count("second later message") == 1
        assert text.index("first later") < text.index("second later")

    @pytest.mark.parametrize("seed", range(8))
    def test_a_mix_of_faults_makes_no_second_ticket(self, hasty: World, seed: int) -> None:
        draw = random.Random(seed)  # noqa: S311 - a test's choice, to be repeated by its seed
        handoffs = []
        for number in range(3):
            for _ in range(draw.randint(1, 5)):
                self._spoil(hasty, draw)
            handoffs.append(hasty.deliver(a_conversation(f"question {number}")))
            if self.connector.can & (Can.REPLY | Can.NOTE):
                self._spoil(hasty, draw)
                hasty.rail.say(handoffs[-1].id, Message(role=Role.CUSTOMER, text=f"later {number}"))
                hasty.run(within=3600)

        assert {hasty.show(handoff)["state"] for handoff in handoffs} == {State.WITH_HUMANS}
        assert len(hasty.desk.tickets) == 3
        if self.connector.can & (Can.REPLY | Can.NOTE):
            texts = ["\n".join(comment.body for comment in ticket.comments) for ticket in hasty.desk.tickets]
            assert [texts[number].count(f"later {number}") for number in range(3)] == [1, 1, 1]

    def test_a_process_killed_at_any_step_leaves_one_ticket(
        self, simulated: SimulatedDesk, clock: Clock
    ) -> None:
        settings = {"timeout": "5s", **self.settings}
        known = {key: value for key, value in simulated.settings().items() if key != "connector"}
        order = {"connector": self.connector.name, "settings": known, "more": settings}
        step, fate = 0, "killed"
        with Mortals() as mortals, tempfile.TemporaryDirectory() as folder:
            empty = self._an_empty_store(simulated, clock, folder)
            while fate == "killed":
                step, tickets = step + 1, len(simulated.tickets)
                path = shutil.copy(empty, f"{folder}/{step}.db")
                fate = mortals.live(step=step, store=f"sqlite:///{path}", now=clock().isoformat(), **order)
                self._told_again(simulated, clock, f"sqlite:///{path}", f"killed at step {step}")
                assert len(simulated.tickets) == tickets + 1, f"killed at step {step}"
        assert fate == "done"
        assert step > 8

    def _an_empty_store(self, simulated: SimulatedDesk, clock: Clock, folder: str) -> str:
        """A migrated database, to be copied: its making is not what is killed here."""
        path = f"{folder}/empty.db"
        World(
            simulated, self.connector, clock=clock, store=f"sqlite:///{path}", settings=self.settings
        ).close()
        return path

    def _told_again(self, simulated: SimulatedDesk, clock: Clock, store: str, when: str) -> None:
        """What a new process makes of a store that a dead one left: the whole story, once."""
        settings = {"timeout": "5s", **self.settings}
        with World(simulated, self.connector, clock=clock, store=store, settings=settings) as world:
            world.recover()
            story(world)
            assert world.rail.list()[0]["state"] == State.WITH_HUMANS, when
        if self.connector.can & (Can.REPLY | Can.NOTE):
            text = "\n".join(comment.body for comment in simulated.tickets[-1].comments)
            assert text.count(LATER) == 1, when

    def test_a_connection_that_is_refused_only_delays(self, world: World) -> None:
        world.desk.refuse()
        handoff = world.hand_off()
        world.run(within=20)
        assert world.show(handoff)["state"] == State.DELIVERING

        world.desk.accept_again()
        world.run(within=3600)

        assert world.show(handoff)["state"] == State.WITH_HUMANS
        assert len(world.desk.tickets) == 1

    @pytest.mark.parametrize("written", [False, True])
    def test_a_desk_that_was_given_up_in_doubt_keeps_no_second_ticket(
        self, simulated: SimulatedDesk, clock: Clock, written: bool
    ) -> None:
        """Where looks are answered all the time, as in a mailbox of ours, it is never given up."""
        settings = {"timeout": "5s", **self.settings}
        with World(
            simulated,
            self.connector,
            clock=clock,
            settings=settings,
            fallback=["spare"],
            give_up_after=timedelta(hours=1),
        ) as world:
            simulated.fault("lose", on=self.create_path(world), when="after")
            handoff = world.hand_off(a_conversation("given up"))
            world.run()
            made = simulated.tickets[-1].id
            if written:
                simulated.human_replies(made, "I have a look")
            simulated.refuse()
            world.let_pass(3700)
            simulated.accept_again()
            world.let_pass(4 * 3600)
            shown = world.show(handoff)

        assert shown["state"] == State.WITH_HUMANS
        assert {made, shown["ticket"]["id"]} == {ticket.id for ticket in simulated.tickets[1:]}
        lines = [line["text"] for line in shown["timeline"] if f"ticket {made} on desk" in line["text"]]
        ended = ["stays open" if written else "is ended"] if shown["desk"] == "spare" else []
        assert [word for line in lines for word in ("stays open", "is ended") if word in line] == ended

    @pytest.mark.parametrize("form", ["seconds", "date"])
    def test_429_waits_as_long_as_the_desk_asked(self, world: World, form: str) -> None:
        world.deliver(a_conversation("warm"))
        until = (world.clock() + timedelta(seconds=90)).replace(microsecond=0)
        asked = "90" if form == "seconds" else until.strftime("%a, %d %b %Y %H:%M:%S GMT")
        create = self.create_path(world)
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

    def test_check_resumes_a_paused_desk_with_webhooks_and_without(
        self, simulated: SimulatedDesk, clock: Clock
    ) -> None:
        bare = {"webhook_secret": None} if "webhook_secret" in self.connector.model_fields else {}
        for more in ({}, bare):
            settings = {"timeout": "5s", **self.settings, **more}
            with World(simulated, self.connector, clock=clock, settings=settings) as world:
                simulated.fault("status", status=401, times=3)
                handoff = world.hand_off()
                world.run(within=60)
                assert "paused" in world.show(handoff)["last_error"]
                simulated.faults.clear()

                assert [found for found in world.rail.check() if not found.ok] == []
                world.run(within=60)
                assert world.show(handoff)["state"] == State.WITH_HUMANS

    def test_a_refusal_is_never_retried(self, world: World) -> None:
        world.deliver(a_conversation("warm"))
        create = self.create_path(world)
        world.desk.fault("status", on=create, status=422, body='{"error": "no", "errors": []}', times=9)
        before = len(world.desk.seen(create))
        handoff = world.deliver(a_conversation("refused"))

        assert world.show(handoff)["state"] == State.UNDELIVERED
        assert len(world.desk.seen(create)) == before + 1

    def _spoil(self, world: World, draw: random.Random) -> None:
        """The next exchange, or one soon after it, goes wrong in some way."""
        kinds: list[Kind] = [*AMBIGUOUS, "html", "empty"]
        kind = draw.choice(kinds)
        details: dict[str, Any] = {"status": draw.choice([500, 502, 503])} if kind == "status" else {}
        if draw.random() < 0.3:
            kind, details = "status", {"status": 429} | draw.choice([{}, {"retry_after": "30"}])
        when: When = "before" if details.get("status") == 429 else draw.choice(_WHENS)
        world.desk.fault(kind, when=when, times=draw.choice([1, 1, 3]), skip=draw.randint(0, 2), **details)
