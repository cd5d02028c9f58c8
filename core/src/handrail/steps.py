"""What a connector yields and what it is sent back: ``Request``, ``Names``, ``Reply``.

A connector's method is a generator. It yields a step, receives a ``Reply`` and returns its result; the
driver does the sending, the waiting and the remembering.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from handrail.errors import ConnectorError, Unsure
from handrail.text import one_line

T = TypeVar("T")

_READS = frozenset({"GET", "HEAD", "OPTIONS"})


class Step:
    """Something that a connector wants done."""


@dataclass(frozen=True)
class Names(Step):
    """The desk's names of one kind, as ``{name: id}``: fetched by ``Connector.names``, kept by the driver.

    ``fresh`` asks for a new look at the desk, for a name that the kept copy does not hold.
    """

    kind: str
    fresh: bool = False


@dataclass(frozen=True)
class Request(Step):
    """One HTTP request, relative to the connector's API address.

    A request with an effect (POST, PUT, PATCH, DELETE) says how it is made safe, by one at least of:

    * ``key``: the desk's native idempotency key; the base sends it in ``Connector.key_header``. An unsure
      try is repeated with the same key and the same bytes, within ``Connector.key_window``.
    * ``unless``: steps that look whether the effect is there already and return what they found, or None.
      What they return reaches the generator as ``reply.found``.
    * ``repeatable``: repeating is harmless.

    ``accept`` names statuses beside 2xx that the connector wants to see itself. ``good_for`` says how long
    the answer may be used again when a later step is resumed (an upload token that expires); None: for ever.
    ``root`` leaves ``Connector.api`` out of the address, ``public`` the credentials.
    """

    method: str
    path: str
    params: Mapping[str, str | int] | None = None
    json: Any = None
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    key: str | None = None
    unless: Generator[Step, Reply, Any] | None = None
    repeatable: bool = False
    accept: frozenset[int] = frozenset()
    good_for: timedelta | None = None
    root: bool = False
    public: bool = False

    def __post_init__(self) -> None:
        if self.has_effect and not (self.key or self.unless is not None or self.repeatable):
            raise ConnectorError(
                f"{self.method} {self.path} has an effect and does not say how it is made safe: "
                "give key=, unless= or repeatable=True"
            )

    @property
    def has_effect(self) -> bool:
        return self.method.upper() not in _READS


@dataclass(frozen=True)
class Reply:
    """What came back. ``headers`` have lower-case names; ``found`` is what ``unless`` found, else None."""

    status: int
    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    found: Any = None

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def json(self) -> Any:
        """The decoded body. Raises ``Unsure`` when a 2xx body is no JSON: it may have been cut."""
        try:
            return json.loads(self.content)
        except ValueError as error:
            raise Unsure(f"the desk's answer ({self.status}) is not readable JSON: {self.excerpt}") from error

    @property
    def data(self) -> Any:
        """The decoded body, or ``{}`` where it is no JSON: for reading error answers."""
        try:
            return json.loads(self.content)
        except ValueError:
            return {}

    @property
    def excerpt(self) -> str:
        """The body's beginning on one line, for messages to people."""
        return one_line(self.content[:2000].decode("utf-8", "replace"), 300)


Steps = Generator[Step, Reply, T]
"""What a connector's methods return: steps that end in a ``T``."""


@dataclass(frozen=True)
class Token:
    """An access token. ``expires_in`` counts seconds from the answer; None where the desk did not say."""

    value: str = field(repr=False)
    expires_in: float | None = None
