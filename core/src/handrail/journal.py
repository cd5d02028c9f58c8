"""The journal: what was sent for one operation, and what came back.

Before a request with an effect goes out, its exact bytes are written; afterwards its answer. A delivery
that died is resumed by feeding the journal to the connector's generator again. ``Journal`` keeps its
entries in memory; the store's subclass makes each of them durable before the request leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from handrail.steps import Reply
from handrail.wire import Wire


@dataclass
class Entry:
    """One request with an effect. ``doubt`` is True while it may have happened without our knowing."""

    n: int
    wire: Wire
    first_sent: datetime
    last_sent: datetime
    doubt: bool = True
    key_lost: bool = False
    answer: Reply | None = None
    done: bool = False
    answered_at: datetime | None = None


class Superseded(Exception):
    """Another attempt has taken this operation over; what this one does or learns counts no more."""


class Journal:
    """The entries of one operation in one round.

    A round begins anew when the request must differ: an optional field was refused, or the idempotency
    key can no longer be used. Within a round the bytes of a request never change. ``former`` are requests
    that the round before had done: they are not sent again. ``outdated`` is True where an answer was used
    that is no longer good, because a later request was built on it.
    """

    def __init__(
        self, round_: int = 0, entries: list[Entry] | None = None, former: Sequence[Entry] = ()
    ) -> None:
        self.round = round_
        self.entries = entries or []
        self.former = _done(former)
        for entry in self.entries:
            self._take_former(partial(_same_place, entry))
        self.position = 0
        self.outdated = False

    def rewind(self) -> None:
        """Begin to feed a new generator from the first entry."""
        self.position = 0
        self.outdated = False

    def next(self) -> Entry | None:
        """The entry that the generator's next request with an effect has, if it was ever sent."""
        self.position += 1
        return self.entries[self.position - 1] if self.position <= len(self.entries) else None

    @property
    def nothing_followed(self) -> bool:
        """True when no request behind the one that was asked for last has, or may have, had an effect."""
        return not any(entry.done or entry.doubt for entry in self.entries[self.position :])

    @property
    def certain(self) -> bool:
        """True when of every request of this round it is known what became of it."""
        return not any(entry.doubt for entry in self.entries)

    def reuse(self, wire: Wire, repeatable: bool, good: Callable[[Entry], bool]) -> Entry | None:
        """The entry of the round before that had this done already, now one of this round, or None.

        Other bytes in the same place are sent where repeating is harmless; else it was done, as it was.
        """

        def fits(entry: Entry) -> bool:
            there = (entry.wire.method, entry.wire.path) == (wire.method, wire.path)
            return there and (entry.wire.body == wire.body or not repeatable) and good(entry)

        found = self._take_former(fits)
        if found is None:
            return None
        entry = replace(found, n=len(self.entries))
        self.entries.append(entry)
        self.keep(entry)
        return entry

    def _take_former(self, fits: Callable[[Entry], bool]) -> Entry | None:
        found = next((entry for entry in self.former if fits(entry)), None)
        self.former = [entry for entry in self.former if entry is not found]
        return found

    def sending(self, wire: Wire, now: datetime) -> Entry:
        """Note that ``wire`` goes out for the first time. Durable when it returns."""
        entry = Entry(len(self.entries), wire, now, now)
        self.entries.append(entry)
        self.keep(entry)
        return entry

    def again(self, entry: Entry, now: datetime) -> None:
        """Note that an entry's bytes go out once more. Durable when it returns."""
        entry.last_sent = now
        entry.doubt, entry.answer, entry.done = True, None, False
        self.keep(entry)

    def wait_anew(self, entry: Entry, now: datetime) -> None:
        """Count the time since the last try from now."""
        entry.last_sent = now
        self.keep(entry)

    def answered(self, entry: Entry, reply: Reply, now: datetime, *, done: bool) -> None:
        """Note an answer. ``done``: it says yes and the connector has understood it."""
        entry.answer, entry.done, entry.answered_at = reply, done, now
        entry.doubt = entry.doubt and not done
        if done:
            self.keep_soon(entry)
        else:
            self.keep(entry)

    def without_effect(self, entry: Entry, doubted_before: bool) -> None:
        """The last try had certainly no effect; an earlier one may still have had."""
        entry.doubt = doubted_before
        self.keep(entry)

    def lose_key(self, entry: Entry) -> None:
        """The desk knows the entry's key with other content: only a look-up helps now."""
        entry.key_lost = True
        self.keep(entry)

    def new_round(self) -> None:
        """Begin again with new bytes and a new key."""
        self.round += 1
        self.former = [*_done(self.entries), *self.former]
        self.entries = []
        self.rewind()

    def keep(self, entry: Entry) -> None:
        """Make ``entry`` durable. In memory there is nothing to do."""

    def keep_soon(self, entry: Entry) -> None:
        """Make ``entry`` durable before the next request leaves, and with the end of the attempt."""


def _done(entries: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.done and entry.answer and entry.answer.ok]


def _same_place(one: Entry, other: Entry) -> bool:
    return (one.wire.method, one.wire.path) == (other.wire.method, other.wire.path)
