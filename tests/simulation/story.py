"""What happens to one conversation: it is handed off, more is said, people work on the ticket.

How a conversation comes to be handed off is ``Tale._hand_off``: at a host's wish, or as the policy decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from handrail.errors import Conflict
from handrail.model import Conversation, Customer, Message, Reason, Role, Urgency
from handrail.policy.model import Timing, Trigger
from handrail.policy.policy import Policy

if TYPE_CHECKING:
    from random import Random

    from tests.simulation.places import Place
    from tests.simulation.universe import Universe

HOUR = 3600.0


@dataclass(frozen=True)
class Act:
    """What a person did on a ticket."""

    at: float
    place: str
    ticket_id: str
    what: str
    token: str
    status: str | None


@cache
def policy() -> Policy:
    timing = Timing(wait=timedelta(minutes=5))
    return Policy([Trigger(name="refund", when='"refund" in text', reason=Reason.UNCLEAR, timing=timing)])


class Tale:
    """One conversation. ``said`` are the tokens of later messages in their order, ``acts`` what people did."""  # noqa: E501

    def __init__(self, universe: Universe, number: int) -> None:
        self.universe = universe
        self.number = number
        self.draw = draw = universe.chance.stream(f"tale {number}")
        self.token = f"q{number:04d}x"
        self.id: str | None = None
        self.said: list[str] = []
        self.acts: list[Act] = []
        self.cancelled = False
        self.closed = False
        end = universe.settings.hours * HOUR
        self.start = draw.uniform(0, end * 0.9)
        self.group = draw.choice([None, "Support", "Nobody"])
        self.told_again = draw.random() < 0.3
        """Later messages come by handing the longer conversation off again."""
        self.key = f"key-{number}" if draw.random() < 0.5 and not self.told_again else None
        self.texts = [f"m{number:04d}x{n}x" for n in range(draw.choice([0, 0, 0, 0, 1, 1, 2, 4]))]
        self.whats = [draw.random() for _ in range(draw.choice([0, 0, 0, 0, 1, 1, 2, 4]))]
        self.wants = draw.choice([*["nothing"] * 24, *["cancel"] * 3, "close", "urgency"])
        self.waits = draw.random() < 0.15 and self.key is None and self.wants in ("nothing", "cancel")
        """The policy decides, and gives the AI some minutes before people take over."""

    @property
    def conversation(self) -> Conversation:
        texts = [Message(role=Role.CUSTOMER, text=f"{self.token} Where is my refund?")]
        texts += [Message(role=Role.AI, text="A colleague will look.")]
        if self.told_again:
            texts += [Message(role=Role.CUSTOMER, text=f"{token} and more") for token in self.said]
        who = Customer(id=f"u{self.number}", name="Ann Lee", email=f"ann{self.number}@example.com")
        return Conversation(id=f"c{self.number}", messages=tuple(texts), customer=who)

    def begin(self) -> None:
        self.universe.agenda.add(self.start, self._accept, f"conversation {self.number}")

    def _soon(self, longest: float, act: Any) -> None:
        name = f"conversation {self.number}"
        self.universe.agenda.add(self.universe.now + self.draw.uniform(0, longest), act, name)

    # Handing off.

    def _hand_off(self, rail: Any) -> Any:
        if not self.waits:
            return rail.hand_off(self.conversation, key=self.key, group=self.group)
        now = self.universe.moment()
        decision = policy().decide(self.conversation, now, default_desk="first")
        self.universe.check(decision.kind == "wait", f"the policy says {decision.kind}: {decision.because}")
        return rail.hand_off(self.conversation, decision, group=self.group)

    def _accept(self) -> None:
        accepted = self.universe.call(self._hand_off, lambda: self._soon(20, self._accept))
        if accepted is None:
            return
        self.id = accepted.id
        self.universe.trace(f"conversation {self.number} is handoff {self.id}")
        self._stored()
        if self.draw.random() < 0.2:
            self.universe.call(lambda rail: rail.attempt(self.id))
        if self.draw.random() < 0.1:
            self._soon(600, self._hand_off_again)
        spread = self.draw.choice([2, 60, 1800])
        if self.texts:
            self._soon(spread, lambda: self._say(0, spread))
        for position, what in enumerate(self.whats):
            self._soon(HOUR, lambda n=position, w=what: self._act(n, w, 40))  # type: ignore[misc]
        if self.wants != "nothing":
            self._soon(spread, self._wish)

    def _stored(self) -> None:
        found = self.universe.raw.execute("select 1 from handoffs where id = ?", (self.id,)).fetchone()
        self.universe.check(found, f"the handoff {self.id} was accepted and is not stored")

    def _hand_off_again(self) -> None:
        """The caller asks once more: the same conversation, or what it has become."""
        if self.key is None and self._ended():
            return
        again = self.universe.call(self._hand_off)
        if again is not None:
            self.universe.check(again.id == self.id, f"{self.id} was accepted again as {again.id}")

    def _ended(self) -> bool:
        return bool(self.acts) or self.wants != "nothing"

    # Saying more.

    def _say(self, n: int, spread: float) -> None:
        token = self.texts[n]
        if token not in self.said:
            self.said.append(token)
        try:
            if self.told_again and not self._ended():
                done = self.universe.call(self._hand_off)
            else:
                self.told_again = False
                message = Message(role=Role.CUSTOMER, text=f"{token} and more")
                done = self.universe.call(lambda rail: rail.say(self.id, message) or True)
        except Conflict:
            self.said.remove(token)
            return
        if done is None and not self._is_queued(token):
            self._soon(20, lambda: self._say(n, spread))
        elif n + 1 < len(self.texts):
            self._soon(spread, lambda: self._say(n + 1, spread))

    def _is_queued(self, token: str) -> bool:
        """Stored: as an operation, or in the conversation of a handoff that waits."""
        raw, like = self.universe.raw, (self.id, f"%{token}%")
        queued = raw.execute("select 1 from operations where handoff_id = ? and payload like ?", like)
        waiting = raw.execute("select 1 from handoffs where id = ? and body like ?", like)
        return bool(queued.fetchone() or (self.waits and waiting.fetchone()))

    def _wish(self) -> None:
        try:
            if self.wants == "cancel":
                self.universe.trace(f"cancel {self.id}")
                self.cancelled = bool(self.universe.call(lambda rail: rail.cancel(self.id) or True))
            elif self.wants == "close":
                self.closed = True
                self.universe.call(lambda rail: rail.close(self.id))
            else:
                self.universe.call(lambda rail: rail.set_urgency(self.id, Urgency.HIGH))
        except Conflict:
            return

    # People.

    def _act(self, n: int, what: float, tries: int) -> None:
        found = self._ticket()
        if found is None:
            if tries and not self.universe.chance.quiet:
                self._soon(1200, lambda: self._act(n, what, tries - 1))
            return
        self._acts(*found, n, what, self.draw)

    def quick(self, place: Place, ticket_id: str, draw: Random) -> None:
        """Somebody works on the ticket as soon as it is there."""
        if place.known(ticket_id):  # else it was a twin, and is ended
            self._acts(place, ticket_id, 9, draw.random(), draw)

    def _acts(self, place: Place, ticket_id: str, n: int, what: float, draw: Random) -> None:
        act, token = place.acts[int(what * len(place.acts))], f"a{self.number:04d}x{n}x"
        status = place.act(ticket_id, act, token, draw)
        self.universe.trace(f"a person: {act} {status or ''} on ticket {ticket_id}")
        self.universe.chance.count(f"person: {act}")
        self.acts.append(Act(self.universe.now, place.name, ticket_id, act, token, status))

    def _ticket(self) -> tuple[Place, str] | None:
        """The ticket that Handrail knows, or, where there can be but one, the one that it does not know yet."""  # noqa: E501
        query = "select desk, ticket_id from handoffs where id = ?"
        desk, ticket_id = self.universe.raw.execute(query, (self.id,)).fetchone()
        place = self.universe.places[desk]
        if ticket_id is not None:
            return (place, ticket_id) if place.known(ticket_id) else None
        if not (place.is_acme and place.exact):
            return None
        ids = [id for id, case in place.desk.cases.items() if case["marker"].startswith(self.id)]  # type: ignore[attr-defined]
        return (place, ids[0]) if len(ids) == 1 else None
