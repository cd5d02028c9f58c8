"""The journal: what was sent for one operation, and what came back.

Before a request with an effect goes out, its exact bytes are written; afterwards its answer. A delivery
that died is resumed by feeding the journal to the connector's generator again. ``Journal`` keeps its
entries in memory; the store's subclass makes each of them durable before the request leaves.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

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


class Journal:
    """The entries of one operation in one round.

    A round begins anew when the request must differ: an optional field was refused, or the idempotency
    key can no longer be used. Within a round the bytes of a request never change.
    """

    def __init__(self, round_: int = 0, entries: list[Entry] | None = None) -> None:
        self.round = round_
        self.entries = entries or []
        self.position = 0

    def rewind(self) -> None:
        """Begin to feed a new generator from the first entry."""
        self.position = 0

    def next(self) -> Entry | None:
        """The entry that the generator's next request with an effect has, if it was ever sent."""
        self.position += 1
        return self.entries[self.position - 1] if self.position <= len(self.entries) else None

    @property
    def last_is_current(self) -> bool:
        """True when no later request was sent than the one that was asked for last."""
        return self.position >= len(self.entries)

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

    def answered(self, entry: Entry, reply: Reply, now: datetime, *, done: bool) -> None:
        """Note an answer. ``done``: it says yes and the connector has understood it."""
        entry.answer, entry.done, entry.answered_at = reply, done, now
        entry.doubt = entry.doubt and not done
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
        self.entries = []
        self.position = 0

    def keep(self, entry: Entry) -> None:
        """Make ``entry`` durable. In memory there is nothing to do."""

    @property
    def doubtful(self) -> bool:
        """True while any request of this round may have happened without our knowing."""
        return any(entry.doubt for entry in self.entries)
