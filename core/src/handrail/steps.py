"""What a connector yields and what it is sent back: ``Request``, ``Names``, ``Reply``; mail in ``mailsteps``.

A connector's method is a generator. It yields a step, receives a ``Reply`` and returns its result; the
driver does the sending, the waiting and the remembering.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import urlencode

from handrail.errors import ConnectorError, Unsure
from handrail.form import form_data
from handrail.model import File
from handrail.text import one_line
from handrail.wire import Wire

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


class Exchange(Step):
    """A step that goes to the desk and has an answer. One with an effect says how it is made safe, by one at
    least of:

    * ``key``: the desk's native idempotency key; the base sends it in ``Connector.key_header``. An unsure
      try is repeated with the same key and the same bytes, within ``Connector.key_window``.
    * ``unless``: steps that look whether the effect is there already and return what they found, or None.
      What they return reaches the generator as ``reply.found``.
    * ``repeatable``: repeating is harmless.

    ``accept`` names statuses beside 2xx that the connector wants to see itself. ``good_for`` says how long
    the answer may be used again when a later step is resumed (an upload token that expires); None: for ever.
    ``public`` leaves out the credentials.
    """

    key: str | None = None
    unless: Generator[Step, Reply, Any] | None = None
    repeatable: bool = False
    accept: frozenset[int] = frozenset()
    good_for: timedelta | None = None
    public: bool = False

    def __post_init__(self) -> None:
        if self.has_effect and not (self.key or self.unless is not None or self.repeatable):
            raise ConnectorError(
                f"{self.title} has an effect and does not say how it is made safe: "
                "give key=, unless= or repeatable=True"
            )

    @property
    def title(self) -> str:
        """What is asked, for messages to people."""
        raise NotImplementedError

    @property
    def has_effect(self) -> bool:
        raise NotImplementedError

    def wire(self, api: str, key_header: str, round_: int) -> Wire:
        """The exact bytes; the same step always gives the same bytes."""
        raise NotImplementedError


@dataclass(frozen=True)
class Request(Exchange):
    """One HTTP request, relative to the connector's API address; POST, PUT, PATCH and DELETE have an effect.

    ``root`` leaves ``Connector.api`` out of the address. ``form`` is sent as ``multipart/form-data``: names
    with a text or a file each; a name may come several times.
    """

    method: str
    path: str
    params: Mapping[str, str | int] | None = None
    json: Any = None
    form: Sequence[tuple[str, str | File]] | None = None
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    key: str | None = None
    unless: Generator[Step, Reply, Any] | None = None
    repeatable: bool = False
    accept: frozenset[int] = frozenset()
    good_for: timedelta | None = None
    root: bool = False
    public: bool = False

    @property
    def title(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def has_effect(self) -> bool:
        return self.method.upper() not in _READS

    def wire(self, api: str, key_header: str, round_: int) -> Wire:
        headers, body = dict(self.headers), self.body or b""
        if self.json is not None:
            body = json.dumps(self.json, ensure_ascii=False, separators=(",", ":")).encode()
            headers.setdefault("Content-Type", "application/json")
        if self.form is not None:
            headers["Content-Type"], body = form_data(self.form)
        if self.key:
            headers[key_header] = self.key if round_ == 0 else f"{self.key}-r{round_}"
        query = "?" + urlencode(self.params, doseq=True) if self.params else ""
        return Wire(self.method, ("" if self.root else api) + self.path + query, headers, body)


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
    def rows(self) -> list[Any]:
        """The decoded body, a list. Raises ``Unsure`` for anything else: ``{}`` is no empty list."""
        found = self.json
        if not isinstance(found, list):
            raise Unsure(f"the desk's answer ({self.status}) is no list: {self.excerpt}")
        return found

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
