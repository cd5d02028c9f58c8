"""What is known of a conversation at a time: the values that conditions ask for, kept up message by message.

Each message is looked at once, whatever the number of triggers, and only for signals that a trigger uses.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import Any

from handrail.model import Attempt, Conversation, Message, Role, is_greeting
from handrail.policy.amount import amount_in
from handrail.policy.human import AskedForHuman
from handrail.policy.phrases import BREAKS, Heard
from handrail.policy.sensitive import Sensitive
from handrail.redact import mask
from handrail.text import one_line

ALIKE = 0.8
"""A message that shares so much of its words with an earlier one repeats it."""
SHORTEST = 4
"""Messages of fewer words are not compared: "yes please" is no repeated question."""
EARLIER = 20
"""So many earlier messages are compared with a new one, and so many words of each."""
WORDS = 200

_NOTHING: AbstractSet[str] = frozenset()
Ground = tuple[str, Any, tuple[str, int] | None]
"""A signal, its value, and the message that showed it with its number."""


class Detectors:
    """The built-in detectors with their word lists, shared by all conversations."""

    def __init__(
        self,
        phrases: Iterable[str] | None = None,
        extra: Iterable[str] = (),
        sensitive: Mapping[str, Iterable[str]] = {},
    ) -> None:
        self._lists = (phrases, tuple(extra), dict(sensitive))

    @cached_property
    def asked_for_human(self) -> AskedForHuman:
        return AskedForHuman(self._lists[0], self._lists[1])

    @cached_property
    def sensitive(self) -> Sensitive:
        return Sensitive(self._lists[2])


class Facts:
    """The values of one conversation, as far as it has been heard.

    ``values`` is what conditions read. ``hear`` returns the names whose values may have changed. A message of
    a human begins anew what is counted and detected: what a person has answered is not asked again.
    """

    def __init__(self, conversation: Conversation, detectors: Detectors, uses: frozenset[str], searches: Any):
        self._detectors, self._uses, self._searches = detectors, uses, searches
        self._earlier: deque[frozenset[str]] = deque(maxlen=EARLIER)
        self.said: dict[str, tuple[str, int]] = {}
        """Which message showed a signal: its text and its number among the customer's, from 1."""
        self._given: int | float | None = _amount_given(conversation)
        self._turns = 0
        self.values: dict[str, Any] = _given(conversation, uses)
        self.values |= {search.key: False for search in searches}
        self.values |= {"amount": self._given, "last": None, "question": None}
        self._asked = False
        listeners = {
            "amount": self._hear_amount,
            "sensitive": self._hear_sensitive,
            "repeated_question": self._hear_question,
            "asked_for_human": self._hear_asking,
        }
        self._listeners = [listen for name, listen in listeners.items() if name in uses]
        self._begin()

    def _begin(self) -> None:
        self.values |= {
            "turns": 0,
            "failed_attempts": 0,
            "asked_for_human": False,
            "repeated_question": False,
            "sensitive": (),
        }
        self._earlier.clear()

    def hear(self, message: Message) -> AbstractSet[str]:
        """Take in the next message."""
        if message.role is Role.HUMAN:
            self._begin()
            return {"turns", "failed_attempts", "asked_for_human", "repeated_question", "sensitive"}
        return self._listen(message.text) if message.role is Role.CUSTOMER else _NOTHING

    def attempted(self, attempts: Iterable[Attempt]) -> AbstractSet[str]:
        """Take in what the AI tried."""
        failed = sum(attempt.outcome == "failed" for attempt in attempts)
        self.values["failed_attempts"] += failed
        return {"failed_attempts"} if failed else _NOTHING

    def detected(self, signals: Mapping[str, Any]) -> set[str]:
        """Take in what the detectors of plugins say."""
        changed = {name for name, value in signals.items() if self.values.get(name) != value}
        self.values |= signals
        return changed

    def _listen(self, text: str) -> set[str]:
        values = self.values
        self._turns += 1
        values["turns"] += 1
        values["last"] = text
        changed = {"turns", "last"}
        if not self._asked:
            changed.add(self._hear_first(text))
        if self._listeners:
            heard = Heard(text)
            changed.update(name for listen in self._listeners if (name := listen(heard, text)))
        for search in self._searches:
            if not values[search.key] and search.finds(text):
                changed.add(self._saw(search.key, True, text))
        return changed

    def _hear_first(self, text: str) -> str:
        """The original question: the first message that is more than a greeting."""
        self._asked = not is_greeting(text)
        if self._asked or self.values["question"] is None:
            self.values["question"] = text
        return "question"

    def _saw(self, name: str, value: Any, text: str) -> str:
        self.values[name] = value
        self.said[name] = (text, self._turns)
        return name

    # What each message is looked through for; the name of what changed, if anything did.

    def _hear_amount(self, heard: Heard, text: str) -> str | None:
        if self._given is not None:
            return None
        named, known = amount_in(heard), self.values["amount"]
        if named is not None and (known is None or named > known):
            return self._saw("amount", named, text)
        return None

    def _hear_sensitive(self, heard: Heard, text: str) -> str | None:
        found, known = self._detectors.sensitive.categories(heard), self.values["sensitive"]
        fresh = [each for each in found if each not in known]
        return self._saw("sensitive", (*known, *fresh), text) if fresh else None

    def _hear_question(self, heard: Heard, text: str) -> str | None:
        said = (heard.unique if len(heard.words) <= WORDS else frozenset(heard.words[:WORDS])) - BREAKS
        if len(said) < SHORTEST:
            return None
        again = _is_like_one(said, self._earlier)
        self._earlier.append(said)
        return self._saw("repeated_question", True, text) if again else None

    def _hear_asking(self, heard: Heard, text: str) -> str | None:
        if self.values["asked_for_human"] or not self._detectors.asked_for_human.asks_in(heard):
            return None
        return self._saw("asked_for_human", True, text)

    def ground(self, path: str) -> Ground:
        """What a signal is now, and which message showed it: enough to say it later."""
        return path, self._at(path), self.said.get(path)

    def _at(self, path: str) -> Any:
        if path in self.values:
            return self.values[path]
        value: Any = self.values
        for name in path.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        return value


def because(ground: Ground) -> str:
    """Why a signal is what it is, in a few words."""
    path, value, shown = ground
    if shown and value:
        what = f"{path} ({', '.join(value)})" if path == "sensitive" else path
        return f'{what}: the customer wrote "{_excerpt(shown[0])}" (turn {shown[1]})'
    if value is None:
        return f"{path} is not known"
    if isinstance(value, bool):
        return f"{path} is {'true' if value else 'false'}"
    return f"{path} is {_shown(value)}"


def _is_like_one(said: frozenset[str], others: Iterable[frozenset[str]]) -> bool:
    size = len(said)
    near = (one for one in others if size >= ALIKE * len(one) and len(one) >= ALIKE * size)
    return any(len(said & one) >= ALIKE * max(size, len(one)) for one in near)


def _excerpt(text: str) -> str:
    """The message on one line, without what must not be repeated. Masked before it is cut."""
    return one_line(mask(one_line(text, 1000)), 120)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f'"{_excerpt(value)}"'
    if isinstance(value, tuple | list):
        return ", ".join(_excerpt(str(item)) for item in value[:20]) or "empty"
    return _excerpt(str(value))


def _given(conversation: Conversation, uses: frozenset[str]) -> dict[str, Any]:
    """What the host application gives, which does not change while the customer speaks."""
    values: dict[str, Any] = {
        "id": conversation.id,
        "channel": conversation.channel,
        "subject": conversation.subject,
        "language": conversation.language,
        "topic": conversation.topic,
        "intent": conversation.intent,
        "tags": conversation.tags,
        "confidence": conversation.confidence,
        "sentiment": conversation.sentiment,
        "url": conversation.url,
        "fields": conversation.fields,
    }
    if "customer" in uses:
        values["customer"] = dict(conversation.customer)
    return values


def _amount_given(conversation: Conversation) -> int | float | None:
    given = conversation.fields.get("amount")
    if isinstance(given, str):
        try:
            given = float(given) if len(given) <= 40 else None
        except ValueError:
            return None
    return given if isinstance(given, int | float) and not isinstance(given, bool) else None
