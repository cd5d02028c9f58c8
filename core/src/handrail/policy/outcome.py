"""Whether a person took a stored conversation over, as far as the conversation itself says so.

Recognised are the call of a tool that hands over to a person (such as ``transfer_to_human_agents``), unless
it failed; a message by a person; and a field or a tag ``transferred``, ``escalated`` or ``handed_off``. With
names of one's own only a tool, field or tag of such a name counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from handrail.model import Attempt, Conversation, Role
from handrail.policy.moments import until
from handrail.transcripts import is_transfer

MARKS = ("transferred", "escalated", "handed_off")
"""Fields and tags by which an application says that a person took over."""

_NO = ("", "0", "false", "no", "none", "null")


@dataclass(frozen=True)
class Outcome:
    """``messages`` is how many messages had been said when the person took over; None where nothing says.

    ``at`` is the time of the first message behind that, None where there is none.
    """

    transferred: bool
    messages: int | None = None
    at: datetime | None = None


class Known:
    """Tells what became of a conversation, and takes away what a policy could not have known then."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        """``names``: tools, fields and tags that show that a person took over, instead of the usual ones."""
        self._own = frozenset(name.casefold() for name in names)
        self._marks = self._own or frozenset(MARKS)

    def look(self, conversation: Conversation) -> tuple[Conversation, Outcome]:
        """The conversation as it was before its outcome, and the outcome.

        Left out are the calls that hand over, the fields and tags that mark the outcome, and all that was
        said and tried after a person took over.
        """
        attempts = conversation.attempts
        calls = [n for n, attempt in enumerate(attempts) if self._hands_over(attempt)]
        first = next((n for n in calls if attempts[n].outcome != "failed"), None)
        places = [] if self._own else self._first_human(conversation)
        if first is not None and (after := attempts[first].after) is not None:
            places.append(after)
        told = any(map(self._is_mark, (*conversation.fields, *conversation.tags)))
        place = min(places, default=None)
        behind = () if place is None else conversation.messages[place : place + 1]
        outcome = Outcome(
            first is not None or bool(places) or self._is_marked(conversation),
            place,
            behind[0].at if behind else None,
        )
        if not (calls or places or told):
            return conversation, outcome
        begun = conversation.model_copy(update={"attempts": attempts[:first]})
        return self._before(begun, outcome.messages), outcome

    def _hands_over(self, attempt: Attempt) -> bool:
        return attempt.action.casefold() in self._own if self._own else is_transfer(attempt)

    def _first_human(self, conversation: Conversation) -> list[int]:
        human = (n for n, message in enumerate(conversation.messages) if message.role is Role.HUMAN)
        return [*human][:1]

    def _is_mark(self, name: str) -> bool:
        return name.casefold() in self._marks

    def _is_marked(self, conversation: Conversation) -> bool:
        fields = conversation.fields
        said = any(_is_yes(value) for name, value in fields.items() if self._is_mark(name))
        return said or any(map(self._is_mark, conversation.tags))

    def _before(self, conversation: Conversation, messages: int | None) -> Conversation:
        then = conversation if messages is None else until(conversation, messages)
        return then.model_copy(
            update={
                "attempts": tuple(each for each in then.attempts if not self._hands_over(each)),
                "fields": {k: value for k, value in conversation.fields.items() if not self._is_mark(k)},
                "tags": tuple(tag for tag in conversation.tags if not self._is_mark(tag)),
            }
        )


def _is_yes(value: Any) -> bool:
    return bool(value) and str(value).strip().casefold() not in _NO
