"""Whether a person took a stored conversation over, as far as the conversation itself says so.

Recognised are, in this order: the call of a tool that hands over to a person (such as
``transfer_to_human_agents``), unless it failed; a message by a person; and a field or a tag ``transferred``,
``escalated`` or ``handed_off``. With names of one's own only a tool, field or tag of such a name counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from handrail.model import Attempt, Conversation, Role
from handrail.transcripts import is_transfer

MARKS = ("transferred", "escalated", "handed_off")
"""Fields and tags by which the application says that a person took over."""

_NO = (None, False, 0, "", "false", "no", "0")


@dataclass(frozen=True)
class Outcome:
    """``messages`` is how many messages had been said when the person took over; None where nothing says."""

    transferred: bool
    messages: int | None = None


class Known:
    """Tells what became of a conversation, and takes away what a policy could not have known."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.names = frozenset(name.casefold() for name in names)
        self._marks = self.names or frozenset(MARKS)

    def look(self, conversation: Conversation) -> tuple[Conversation, Outcome]:
        """The conversation without its outcome, and the outcome.

        Left out are hand-over calls, what marks the outcome, the tool's own words, and all that came after a
        person took over.
        """
        places = [
            place for place in (self._called(conversation), self._taken(conversation)) if place is not None
        ]
        before = min(places, default=None)
        marked = self._marked(conversation)
        if before is None and not marked and not any(map(self._hands_over, conversation.attempts)):
            return conversation, Outcome(False)
        return self._without(conversation, before), Outcome(before is not None or marked, before)

    def _hands_over(self, attempt: Attempt) -> bool:
        if self.names:
            return attempt.action.casefold() in self.names
        return is_transfer(attempt)
