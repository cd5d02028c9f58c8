"""What a conversation was at an earlier moment: a message, and what the AI tried before the next one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from datetime import datetime
from itertools import accumulate

from handrail.model import Attempt, Conversation

_YEARS = range(1970, 2900)


def counted(at: datetime | None) -> datetime | None:
    """A time that can be counted with; None for a placeholder such as the year 1 or 9999."""
    return at if at is not None and at.year in _YEARS else None


def until(conversation: Conversation, messages: int) -> Conversation:
    """The conversation when so many messages had been said, with what the AI had tried until the next one."""
    attempts = conversation.attempts and tuple(
        attempt for place, attempt in _placed(conversation) if place <= messages
    )
    return conversation.model_copy(
        update={"messages": conversation.messages[:messages], "attempts": attempts}
    )


def places(conversation: Conversation) -> dict[int, list[Attempt]]:
    """What the AI tried, by the number of messages that had been said by then.

    Attempts without a place or times to find one by are taken as the last thing that happened.
    """
    found: dict[int, list[Attempt]] = {}
    for place, attempt in _placed(conversation):
        found.setdefault(place, []).append(attempt)
    return found


def _placed(conversation: Conversation) -> Iterator[tuple[int, Attempt]]:
    end = len(conversation.messages)
    times = [message.at for message in conversation.messages if message.at is not None]
    times = list(accumulate(times, max)) if len(times) == end else []
    for attempt in conversation.attempts:
        if attempt.after is not None:
            yield min(attempt.after, end), attempt
        else:
            yield bisect_right(times, attempt.at) if attempt.at and times else end, attempt
