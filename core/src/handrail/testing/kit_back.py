"""The way back: replies, notes and statuses, by webhook and by polling, each once."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest

from handrail.connector import Can
from handrail.errors import DeskError, SignatureError
from handrail.model import Handoff, Message, Role, State, Status, UpdateKind, Urgency
from handrail.signature import Hook
from handrail.testing.faults import Kind
from handrail.testing.kit_base import KitBase
from handrail.testing.world import World, a_conversation


class BackTests(KitBase):
    """What the humans do comes back once."""

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

    def test_a_change_of_ours_undoes_nothing_that_people_did_before(self, world: World) -> None:
        """Our clock is a little fast, as it seems to be where an exchange takes a while."""
        self.needs(Can.POLL)
        world.rail.context.clock = lambda: world.clock() + timedelta(seconds=2)
        handoff = world.deliver()
        world.clock.advance(600)
        world.desk.human_solves(world.show(handoff)["ticket"]["id"])
        world.clock.advance(600)
        world.rail.set_urgency(handoff.id, Urgency.HIGH)
        world.run(within=60)
        self._listen(world, "poll")

        assert [update.status for update in world.updates(handoff, UpdateKind.STATUS)] == [Status.SOLVED]
        assert world.show(handoff)["state"] == State.SOLVED

    @pytest.mark.parametrize("skip", range(3))
    @pytest.mark.parametrize("kind", ["empty", "html", "half"])
    def test_an_answer_that_says_nothing_loses_no_reply(self, world: World, kind: Kind, skip: int) -> None:
        """``200 {}`` from a proxy is no empty list. A poll that believed it would never look there again."""
        handoffs = [self._delivered(world, "poll") for _ in range(2)]
        for handoff, ticket in handoffs:
            world.clock.advance(30)
            world.desk.human_replies(ticket, f"About {handoff.id}.", name="Bea")
        world.desk.fault(kind, when="after", skip=skip)
        for _ in range(3):
            with suppress(DeskError):
                world.poll()

        for handoff, _ in handoffs:
            replies = world.updates(handoff, UpdateKind.REPLY)
            assert [(reply.text or "").strip() for reply in replies] == [f"About {handoff.id}."]

    @pytest.mark.parametrize("skip", range(3))
    @pytest.mark.parametrize("kind", ["empty", "html", "half"])
    def test_a_ticket_that_is_read_says_all_or_is_read_again(
        self, world: World, kind: Kind, skip: int
    ) -> None:
        """After a create in doubt one ticket is read for what was done on it before we knew of it."""
        handoff, ticket = self._delivered(world, "poll")
        world.clock.advance(30)
        world.desk.human_replies(ticket, "Your refund is on its way.", name="Bea")
        world.desk.fault(kind, when="after", skip=skip)
        world.rail.roads.schedule_read(handoff.desk, ticket, 1)
        world.run(within=600)

        replies = world.updates(handoff, UpdateKind.REPLY)
        assert [(reply.text or "").strip() for reply in replies] == ["Your refund is on its way."]

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

    def _delivered(self, world: World, road: str) -> tuple[Handoff, str]:
        self.needs({"poll": Can.POLL, "webhook": Can.WEBHOOK}.get(road, Can.POLL | Can.WEBHOOK))
        if road != "poll":
            world.take_webhooks()
        handoff = world.deliver(a_conversation("Where is my refund?", id=f"c-{len(world.rail.list())}"))
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
