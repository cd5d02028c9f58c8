"""Errors: one class for each decision that a caller can take.

    HandrailError
    ├── ConfigError        the configuration is wrong: names the key and the cure
    ├── InputError         a conversation or an argument is wrong: names file, line and field
    ├── NotFound           no handoff, desk or connector of that name
    ├── Conflict           the same key was used before with other content, or the state forbids it
    ├── Unsupported        the desk cannot carry this; raised before anything is sent
    ├── RedactorFailed     a plugin could not mask this conversation: it is kept back; the others are not
    ├── SignatureError     a webhook is unsigned, forged or old: refuse it, store nothing
    ├── StoreError         the store did not take or give this now: make room, or wait; then the same again
    ├── ConnectorError     a connector broke its contract (a bug in the connector)
    └── DeskError          an exchange with a desk did not end in "done"
        ├── NotDone        certainly without effect; try again later
        ├── Unsure         it may have happened; look before trying again
        ├── Refused        a final no: another try would get the same answer
        └── DeskPaused     the desk does not accept our credentials: a person is needed

No message, repr or traceback text of these errors holds a secret.
"""

from __future__ import annotations

from collections.abc import Mapping

from handrail.text import clean


class HandrailError(Exception):
    """The root of everything that Handrail raises on purpose."""


class ConfigError(HandrailError):
    """The configuration is wrong. The message names the key and the cure."""


class InputError(HandrailError):
    """Something handed to us is wrong.

    ``file`` and ``line`` (counted from 1) are None where the input did not come from a file;
    ``field`` is a path such as ``messages[3].text``.
    """

    def __init__(
        self, message: str, *, field: str | None = None, file: str | None = None, line: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.file = file
        self.line = line

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line) if part is not None)
        return ": ".join(part for part in (place, self.field, self.message) if part)


class NotFound(HandrailError):
    """No handoff, desk or connector of that name."""


class Conflict(HandrailError):
    """The same key came with other content, or the handoff's state forbids what was asked."""


class Unsupported(HandrailError):
    """The desk cannot carry this. Raised before anything is sent."""


class RedactorFailed(HandrailError):
    """A redactor of a plugin raised. Nothing of its conversation is kept or sent; mend the plugin."""


class SignatureError(HandrailError):
    """A webhook is unsigned, forged or old."""


class StoreError(HandrailError):
    """The store is away or full: what was asked is not kept for certain. The same again is safe."""


class ConnectorError(HandrailError):
    """A connector broke its contract: a bug in the connector, never in the input."""


class DeskError(HandrailError):
    """An exchange with a desk did not end in "done".

    ``after`` is the number of seconds that the desk asked us to wait, None when it did not say. What the
    desk said is quoted without the characters that a store, a log or a terminal could trip over.
    """

    def __init__(self, message: str, *, after: float | None = None) -> None:
        super().__init__(clean(message))
        self.after = after


class NotDone(DeskError):
    """Certainly without effect: the connection was refused, or the desk said 408, 425 or 429."""


class Unsure(DeskError):
    """It may have happened: bytes were sent and no whole, readable answer came, or a 5xx."""


class Refused(DeskError):
    """A final no. ``fields`` maps optional fields that the desk named to its words about each."""

    def __init__(
        self, message: str, *, fields: Mapping[str, str] | None = None, status: int | None = None
    ) -> None:
        super().__init__(message)
        self.fields = {clean(name): clean(words) for name, words in (fields or {}).items()}
        self.status = status


class DeskPaused(DeskError):
    """The desk does not accept our credentials (401, 403): its handoffs wait for a person.

    ``status`` is 401 where the desk knows us not at all, and 403 where it refuses this one thing.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
