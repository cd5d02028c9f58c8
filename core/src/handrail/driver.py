"""The driver runs a connector's steps to their end: sends, classifies, looks before it repeats.

One rule keeps one handoff one ticket: while a request may have happened (``Entry.doubt``), it is repeated
only under the desk's own idempotency key, or after a look that did not find its effect, or when repeating
is harmless.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import NoReturn, TypeVar

from handrail.connector import Connector
from handrail.errors import (
    ConnectorError,
    DeskError,
    DeskPaused,
    HandrailError,
    NotDone,
    Refused,
    Unsure,
)
from handrail.gate import Gate, TooLate
from handrail.journal import Entry, Journal
from handrail.pace import Pace, TooFast
from handrail.steps import Exchange, Names, Reply, Step, Steps, Token
from handrail.wire import Transport, Wire

T = TypeVar("T")
NAMES_ARE_FRESH_FOR = timedelta(minutes=10)
LOOK_AGAIN_AFTER = timedelta(seconds=30)
TOO_MANY = 429
_LATER = frozenset({408, 425, TOO_MANY})
LONGEST_REST = timedelta(hours=1)
START_SECONDS = 5.0
"""A request that has been noted goes out within this time, or not at all."""
_MAX_RUNS = 20


class _Again(Exception):
    """Run the generator once more from its start, fed from the journal."""


class Driver:
    """Drives one desk's connector. Safe to use from several threads."""

    def __init__(
        self,
        connector: Connector,
        transport: Transport,
        clock: Callable[[], datetime],
        pace: Pace | None = None,
    ) -> None:
        self.connector = connector
        self.transport = transport
        self.clock = clock
        self.tokens = _Tokens(self)
        self._names: dict[str, tuple[datetime, Reply]] = {}
        self._names_lock = threading.RLock()  # names of one kind may need those of another
        self.gate = Gate(connector.concurrency)
        self._pace = pace
        self._rest: tuple[datetime, float] | None = None

    def run(self, make: Callable[[], Steps[T]], journal: Journal | None = None) -> T:
        """Run the steps that ``make`` makes and return their result.

        Without a ``journal`` only reads and repeatable requests are sent. Raises a ``DeskError`` that says
        how it ended; the journal then holds what the next run must know.
        """
        for _ in range(_MAX_RUNS):
            try:
                return self._run_once(make(), journal)
            except _Again:
                if journal:
                    journal.rewind()
        raise Unsure("the desk's answers contradict each other; trying again later")

    def rest(self) -> float:
        """Seconds for which this desk wants to hear nothing at all from us."""
        if self._rest is None:
            return 0.0
        begun, seconds = self._rest
        passed = (self.clock() - begun).total_seconds()
        return seconds - passed if 0 <= passed < seconds else 0.0

    def rest_for(self, seconds: float | None) -> None:
        """Ask nothing of this desk for so long; None: ask at once."""
        self._rest = (self.clock(), min(seconds, LONGEST_REST.total_seconds())) if seconds else None

    def _run_once(self, steps: Steps[T], journal: Journal | None) -> T:
        try:
            step = next(steps)
            while True:
                entry, reply = self._perform(step, journal)
                step = self._feed(steps, entry, reply, journal)
        except StopIteration as done:
            result: T = done.value
            return result
        finally:
            steps.close()

    def _feed(self, steps: Steps[T], entry: Entry | None, reply: Reply, journal: Journal | None) -> Step:
        """Give the reply to the connector; only what it has understood counts as done."""
        try:
            step = steps.send(reply)
        except StopIteration:
            self._understood(entry, reply, journal)
            raise
        except NotDone:
            if journal and journal.certain:
                journal.new_round()  # the refusals that the connector saw are no answers to the next run
            raise
        except HandrailError:
            raise
        except Exception as error:
            raise Unsure(
                f"the desk's answer was not understood ({type(error).__name__}): {reply.excerpt}"
            ) from error
        self._understood(entry, reply, journal)
        return step

    def _understood(self, entry: Entry | None, reply: Reply, journal: Journal | None) -> None:
        if entry and journal and not entry.done and reply.found is None:  # what was found is looked up anew
            journal.answered(entry, reply, self.clock(), done=True)

    def _perform(self, step: Step, journal: Journal | None) -> tuple[Entry | None, Reply]:
        if isinstance(step, Names):
            return None, self._look_up(step)
        if not isinstance(step, Exchange):
            raise ConnectorError(
                f"{self.connector.name} yielded {type(step).__name__}, which no driver knows"
            )
        if not step.has_effect or (journal is None and step.repeatable):
            return None, self._exchange(prepare(self.connector, step), step)
        if journal is None:
            raise ConnectorError(f"{step.title} has an effect where only reading is allowed")
        return self._effect(step, journal)

    # Requests with an effect.

    def _effect(self, request: Exchange, journal: Journal) -> tuple[Entry, Reply]:
        self.tokens.current()  # a sign-in that fails must leave no doubt about the request itself
        entry = journal.next()
        if entry is None:
            if journal.outdated and journal.certain:
                self._new_round(journal)
            wire = prepare(self.connector, request, journal.round)
            entry = journal.reuse(wire, request.repeatable, lambda done: not self._expired(request, done))
            if entry is None:
                with self.gate.near():
                    entry = journal.sending(wire, self.clock())
                    return entry, self._send(request, entry, journal, doubted=False)
        if entry.done and entry.answer:
            return entry, self._still_good(request, entry, entry.answer, journal)
        doubted = entry.doubt
        if doubted:
            known = self._resolve(request, entry, journal)
            if known:
                return entry, known
        with self.gate.near():
            journal.again(entry, self.clock())
            return entry, self._send(request, entry, journal, doubted)

    def _expired(self, request: Exchange, entry: Entry) -> bool:
        """True for an answer that was good for a time only, such as an upload token."""
        if request.good_for is None:
            return False
        return self.clock() - (entry.answered_at or entry.last_sent) > request.good_for

    def _still_good(self, request: Exchange, entry: Entry, answer: Reply, journal: Journal) -> Reply:
        """What was answered before; where that is out of date, a new round if nothing was built on it."""
        if self._expired(request, entry):
            if journal.nothing_followed:
                self._new_round(journal)
            journal.outdated = True
        return answer

    def _new_round(self, journal: Journal) -> NoReturn:
        journal.new_round()
        raise _Again

    def _send(self, request: Exchange, entry: Entry, journal: Journal, doubted: bool) -> Reply:
        try:
            reply = self._exchange(entry.wire, request, entry.last_sent)
        except (NotDone, DeskPaused):
            journal.without_effect(entry, doubted)
            raise
        except _KeyIsUsed as used:
            journal.lose_key(entry)
            if request.unless is None:
                raise Refused(str(used)) from None
            raise _Again from None
        except Refused as refusal:
            reply = refusal.reply if isinstance(refusal, _No) else Reply(400, str(refusal).encode())
            self._believe(request, entry, journal, doubted, reply)
            if journal.outdated:
                self._new_round(journal)
            raise
        if not reply.ok:
            self._believe(request, entry, journal, doubted, reply)
        return reply

    def _believe(
        self, request: Exchange, entry: Entry, journal: Journal, doubted: bool, reply: Reply
    ) -> None:
        """A no proves nothing about an earlier try: where that is in doubt, look before believing the no."""
        if doubted and request.unless is not None:
            journal.answered(entry, reply, self.clock(), done=False)
            raise _Again
        journal.without_effect(entry, False)

    def _resolve(self, request: Exchange, entry: Entry, journal: Journal) -> Reply | None:
        """Before a doubtful request is repeated: what is known of its effect? None: repeat its bytes."""
        if request.unless is None:
            if request.key and not request.repeatable and not self._key_holds(entry):
                raise Refused(
                    "an earlier try may have arrived; the desk no longer knows its key, and nothing can look"
                )
            return None
        if request.key and not entry.answer and self._key_holds(entry):
            return None
        waited = self.clock() - entry.last_sent  # until the look, however long its answer takes
        found = self._look(request.unless)
        if found is not None:
            return Reply(200, found=found)
        if waited < timedelta(0):  # the clock went back: how long it really was is not known
            journal.wait_anew(entry, self.clock())
            waited = timedelta(0)
        if waited < self.connector.lag:
            following = min(look for look in (*self.connector.looks, self.connector.lag) if look > waited)
            raise Unsure("not visible on the desk yet", after=(following - waited).total_seconds())
        if entry.answer:
            return self._stored_no(request, entry, entry.answer, journal)
        if request.key:
            self._new_round(journal)
        return None

    def _look(self, unless: Steps[T]) -> T:
        """A look that the desk refuses says nothing about what it was to find."""
        try:
            return self._run_once(unless, None)
        except Refused as refusal:
            raise Unsure(f"looking for what an earlier try left failed: {refusal}") from None

    def _stored_no(self, request: Exchange, entry: Entry, answer: Reply, journal: Journal) -> Reply:
        """The no that an earlier try got, now that the look has shown that nothing had happened."""
        journal.without_effect(entry, False)
        if answer.status in request.accept:
            return answer
        if journal.outdated:
            self._new_round(journal)
        raise self._judge(answer, request)

    def _key_holds(self, entry: Entry) -> bool:
        window = self.connector.key_window
        return not entry.key_lost and (window is None or abs(self.clock() - entry.first_sent) < window)

    # One exchange.

    def _exchange(self, wire: Wire, request: Exchange, noted: datetime | None = None) -> Reply:
        reply = self._signed(wire, request, noted)
        if reply.ok or reply.status in request.accept:
            return reply
        raise self._judge(reply, request)

    def _signed(self, wire: Wire, request: Exchange, noted: datetime | None) -> Reply:
        token = None if request.public else self.tokens.current()
        reply = self._sent(wire, token, noted)
        if reply.status == 401 and token is not None:
            reply = self._sent(wire, self.tokens.after(token), noted)
        return reply

    def _sent(self, wire: Wire, token: str | None, noted: datetime | None = None) -> Reply:
        if self._pace:
            try:
                self._pace.take(self.clock())
            except TooFast as early:
                self.rest_for(early.after)
                raise
        with self.gate.passed():
            if noted and (self.clock() - noted).total_seconds() > START_SECONDS:  # a peer may think us dead
                raise TooLate("too much time passed before the request could go out", after=0.0)
            return self.transport.send(wire, self.connector.headers(token))

    def _judge(self, reply: Reply, request: Exchange) -> Exception:
        """Which of the endings a reply is that is no yes."""
        words, after = self.connector.explain(reply), retry_after(reply, self.clock())
        if after is None:
            after = self.connector.retry_after(reply, self.clock())
        message = f"{request.title}: {reply.status} {words}".strip()
        if reply.status == TOO_MANY and self.connector.is_for_all(reply):
            self.rest_for(after)
        if reply.status in _LATER:
            return NotDone(message, after=after)
        if reply.status in (401, 403):
            return DeskPaused(message, status=reply.status)
        if 300 <= reply.status < 400:
            return DeskPaused(f"{message}; the desk answers from another address: correct url")
        if self.connector.key_is_used(reply):
            return _KeyIsUsed(message)
        if reply.status >= 500 or (reply.status == 409 and request.key):
            return Unsure(message, after=after)
        return _No(message, reply, self.connector.refused_fields(reply))

    def _look_up(self, names: Names) -> Reply:
        with self._names_lock:
            now = self.clock()
            fetched, reply = self._names.get(names.kind, (None, Reply(200, b"{}")))
            good_for = LOOK_AGAIN_AFTER if names.fresh else NAMES_ARE_FRESH_FOR
            if fetched and now - fetched < good_for:
                return reply
            reply = Reply(200, json.dumps(self._run_once(self.connector.names(names.kind), None)).encode())
            fresh = {k: kept for k, kept in self._names.items() if now - kept[0] < NAMES_ARE_FRESH_FOR}
            self._names = fresh | {names.kind: (now, reply)}
            return reply


class _KeyIsUsed(DeskError):
    """The desk knows this idempotency key with other content."""


class _No(Refused):
    """A refusal with the answer that said it."""

    def __init__(self, message: str, reply: Reply, fields: Mapping[str, str]) -> None:
        super().__init__(message, fields=fields, status=reply.status)
        self.reply = reply


class _Tokens:
    """Access tokens of one desk: one sign-in at a time, a new one shortly before the old one ends."""

    EARLY = timedelta(seconds=60)

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._lock = threading.RLock()
        self._busy = False
        self._token: Token | None = None
        self._until: datetime | None = None

    def current(self) -> str | None:
        """The token to use; None where the connector needs none."""
        with self._lock:
            now = self._driver.clock()
            if self._token is None or (self._until and now >= self._until):
                self._sign_in(now)
            return self._token.value if self._token else None

    def after(self, refused: str) -> str | None:
        """The token to use after ``refused`` got a 401: another thread may have fetched it already."""
        with self._lock:
            if self._token and self._token.value == refused:
                self._sign_in(self._driver.clock())
            return self._token.value if self._token else None

    def _sign_in(self, now: datetime) -> None:
        steps = self._driver.connector.sign_in()
        if steps is None:
            return
        if self._busy:
            raise ConnectorError(
                "sign_in needs the token that it is to get: its requests must be public=True"
            )
        self._busy = True
        try:
            self._token = self._driver._run_once(steps, None)
        except Refused as refusal:
            raise DeskPaused(f"signing in failed: {refusal}", status=401) from None
        except Unsure as trouble:  # an answer that was not understood may hold the token: it is not quoted
            words = "the answer is not understood" if trouble.__cause__ else str(trouble)
            raise NotDone(f"signing in failed: {words}", after=trouble.after) from None
        finally:
            self._busy = False
        lifetime = self._token.expires_in
        self._until = now + max(timedelta(seconds=lifetime) - self.EARLY, timedelta(0)) if lifetime else None


def prepare(connector: Connector, step: Exchange, round_: int = 0) -> Wire:
    """The exact bytes of a step; the same step always gives the same bytes."""
    return step.wire(connector.api, connector.key_header, round_)


def retry_after(reply: Reply, now: datetime) -> float | None:
    """Seconds until the desk wants to hear from us again, from Retry-After as seconds or as an HTTP date."""
    value = reply.headers.get("retry-after", "").strip()
    if not value:
        return None
    if value.isascii() and value.replace(".", "", 1).isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
