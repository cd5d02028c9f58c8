"""The driver: what each ending of an exchange means, and how nothing is done twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.desks import OLD, Acme, BlindAcme, KeyedAcme, LaggingAcme, SimulatedAcme, Worlds, in_threads

from handrail import ConnectorError, DeskPaused, Names, NotDone, Refused, Reply, Request, Steps, Token, Unsure
from handrail.context import transport
from handrail.driver import LOOK_AGAIN_AFTER, NAMES_ARE_FRESH_FOR, Driver, prepare, retry_after
from handrail.journal import Journal
from handrail.model import Handoff
from handrail.pace import Pace
from handrail.store import Store
from handrail.testing import Clock, World, a_conversation, a_file

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)


class Drivers:
    """Makes drivers, and closes their connections."""

    def __init__(self, desk: SimulatedAcme, clock: Clock) -> None:
        self.desk, self.clock = desk, clock
        self.made: list[Driver] = []

    def __call__(self, kind: type[Acme] = Acme, **settings: Any) -> Driver:
        connector = kind(url=self.desk.url, timeout=timedelta(seconds=1), **settings)
        self.made.append(Driver(connector, transport(connector), self.clock))
        return self.made[-1]


@pytest.fixture
def drivers(acme: SimulatedAcme, clock: Clock) -> Iterator[Drivers]:
    made = Drivers(acme, clock)
    yield made
    for driver in made.made:
        driver.transport.close()


def a_handoff(**more: Any) -> Handoff:
    known = {"id": "H" * 26, "key": "k", "desk": "desk", "created_at": NOW, "conversation": a_conversation()}
    return Handoff(**known | more)


def create(driver: Driver, journal: Journal, handoff: Handoff | None = None) -> Any:
    made = handoff or a_handoff()
    return driver.run(lambda: driver.connector.create(made), journal)


def one(request: Request) -> Steps[Reply]:
    return (yield request)


# What an answer means.

ENDINGS = [
    (200, {}, None),
    (204, {}, None),
    (301, {"location": "http://127.0.0.1:1/"}, DeskPaused),
    (302, {"location": "/v1/groups"}, DeskPaused),
    (400, {}, Refused),
    (401, {}, DeskPaused),
    (403, {}, DeskPaused),
    (404, {}, Refused),
    (408, {}, NotDone),
    (409, {}, Refused),
    (413, {}, Refused),
    (422, {}, Refused),
    (425, {}, NotDone),
    (429, {}, NotDone),
    (500, {}, Unsure),
    (502, {}, Unsure),
    (503, {}, Unsure),
    (504, {}, Unsure),
]


@pytest.mark.parametrize(("status", "headers", "ending"), ENDINGS)
def test_an_answer_means(
    drivers: Drivers, acme: SimulatedAcme, status: int, headers: dict[str, str], ending: type | None
) -> None:
    acme.fault("status", status=status, headers=headers)
    run = lambda: drivers().run(lambda: one(Request("GET", "/groups")))  # noqa: E731
    if ending is None:
        assert run().status == status
    else:
        with pytest.raises(ending) as caught:
            run()
        assert type(caught.value).__mro__.index(ending) <= 1, "another ending that is a kind of it"
        assert str(status) in str(caught.value)
    assert len(acme.requests) == 1


@pytest.mark.parametrize(("safe", "ending"), [({"key": "k"}, Unsure), ({"repeatable": True}, Refused)])
def test_a_409_under_a_key_means_that_the_first_try_may_still_run(
    drivers: Drivers, acme: SimulatedAcme, safe: dict[str, Any], ending: type
) -> None:
    acme.fault("status", status=409)
    with pytest.raises(ending):
        drivers().run(lambda: one(Request("POST", "/people", json={}, **safe)), Journal())


@pytest.mark.parametrize("status", [408, 425, 429, 503])
@pytest.mark.parametrize(
    ("given", "after"),
    [("7", 7.0), ("0", 0.0), ("Mon, 23 Nov 2026 09:01:30 GMT", 90.0), (None, None), ("soon", None)],
)
def test_retry_after_is_passed_on(
    drivers: Drivers, acme: SimulatedAcme, status: int, given: str | None, after: float | None
) -> None:
    acme.fault("status", status=status, **({"retry_after": given} if given else {}))
    with pytest.raises((NotDone, Unsure)) as caught:
        drivers().run(lambda: one(Request("GET", "/groups")))
    assert caught.value.after == after


@given(
    st.one_of(st.text(), st.from_regex(r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{2,5} \d\d:\d\d:\d\d.{0,8}"))
)
def test_no_retry_after_is_below_zero_or_raises(value: str) -> None:
    after = retry_after(Reply(429, headers={"retry-after": value}), NOW)
    assert after is None or after >= 0


@pytest.mark.parametrize(
    "value", ["nan", "inf", "-inf", "-5", "1e400", "", " ", "Mon, 23 Nov 2026 08:00:00 -0000"]
)
def test_garbage_in_retry_after_is_as_if_it_were_not_there(value: str) -> None:
    assert retry_after(Reply(429, headers={"retry-after": value}), NOW) is None


def test_a_date_in_the_past_means_now() -> None:
    past = Reply(429, headers={"retry-after": "Mon, 23 Nov 2026 08:00:00 GMT"})
    assert retry_after(past, NOW) == 0


@pytest.mark.parametrize("kind", ["html", "empty"])
def test_a_yes_that_says_nothing_is_unsure(drivers: Drivers, acme: SimulatedAcme, kind: Any) -> None:
    acme.fault(kind, on="POST /cases", when="after")
    journal = Journal()
    with pytest.raises(Unsure):
        create(drivers(), journal)
    assert [(entry.doubt, entry.done) for entry in journal.entries] == [(True, False)]

    ticket = create(drivers(), Journal(entries=journal.entries))

    assert [ticket.id] == list(acme.cases)


def test_the_desk_s_words_are_in_the_message(drivers: Drivers, acme: SimulatedAcme) -> None:
    acme.fault("status", status=422, body=json.dumps({"error": "the group sleeps"}))
    with pytest.raises(Refused, match="POST /cases: 422 the group sleeps"):
        create(drivers(), Journal())


# Nothing twice.


@pytest.mark.parametrize("kind", [Acme, KeyedAcme])
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_unsure_create_is_resumed_to_one_ticket(
    drivers: Drivers, acme: SimulatedAcme, kind: type[Acme], when: Any
) -> None:
    acme.fault("lose", on="POST /cases", when=when)
    journal, driver = Journal(), drivers(kind)
    with pytest.raises(Unsure):
        create(driver, journal)

    ticket = create(driver, Journal(entries=journal.entries))

    assert list(acme.cases) == [ticket.id]
    sent = acme.seen("POST /cases")
    assert {seen.body for seen in sent} == {sent[0].body}
    assert {seen.headers.get("idempotency-key") for seen in sent} == {"H" * 26 if kind is KeyedAcme else None}


def test_what_is_repeated_is_the_same_to_the_byte_though_the_names_have_changed(
    drivers: Drivers, acme: SimulatedAcme
) -> None:
    acme.fault("status", on="POST /cases", status=429)
    journal = Journal()
    with pytest.raises(NotDone):
        create(drivers(), journal, a_handoff(group="Support"))
    acme.groups["Support"] = "77"

    create(drivers(), Journal(entries=journal.entries), a_handoff(group="Support"))

    first, second = acme.seen("POST /cases")
    assert (first.body, first.path) == (second.body, second.path)


def test_the_same_request_gives_the_same_bytes(drivers: Drivers) -> None:
    request = Request("POST", "/x", params={"a": 1, "b": "ü &"}, json={"b": "é", "a": [1]}, key="k")
    wire = prepare(drivers().connector, request)
    assert wire == prepare(drivers().connector, request)
    assert wire.path == "/v1/x?a=1&b=%C3%BC+%26"
    assert wire.body == '{"b":"é","a":[1]}'.encode()
    assert wire.headers["Idempotency-Key"] == "k"
    assert prepare(drivers().connector, request, 2).headers["Idempotency-Key"] == "k-r2"


def half_a_minute_in_doubt(drivers: Drivers, acme: SimulatedAcme, clock: Clock) -> tuple[Driver, Journal]:
    """A case was made on a desk whose index lags, and we do not know."""
    acme.lag = LaggingAcme.lag
    acme.fault("lose", on="POST /cases", when="after")
    driver, journal = drivers(LaggingAcme), Journal()
    with pytest.raises(Unsure):
        create(driver, journal)
    clock.advance(30)
    return driver, journal


def test_a_lagging_index_is_looked_at_again_before_a_second_create(
    drivers: Drivers, acme: SimulatedAcme, clock: Clock
) -> None:
    driver, journal = half_a_minute_in_doubt(drivers, acme, clock)
    with pytest.raises(Unsure, match="not visible") as caught:
        create(driver, Journal(entries=journal.entries))
    assert caught.value.after == 60
    assert len(acme.seen("POST /cases")) == 1
    clock.advance(60)

    ticket = create(driver, Journal(entries=journal.entries))

    assert list(acme.cases) == [ticket.id]
    assert len(acme.seen("POST /cases")) == 1


def test_a_look_whose_answer_takes_long_shows_what_was_there_before(
    drivers: Drivers, acme: SimulatedAcme, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, journal = half_a_minute_in_doubt(drivers, acme, clock)
    inner = driver.transport.send

    def slow(wire: Any, headers: Any) -> Any:
        reply = inner(wire, headers)
        clock.advance(70)
        return reply

    with monkeypatch.context() as patch:
        patch.setattr(driver.transport, "send", slow)
        with pytest.raises(Unsure, match="not visible"):
            create(driver, Journal(entries=journal.entries))
    create(driver, Journal(entries=journal.entries))

    assert len(acme.seen("POST /cases")) == 1


def test_after_the_lag_what_is_not_there_is_sent_again(
    drivers: Drivers, acme: SimulatedAcme, clock: Clock
) -> None:
    acme.lag = LaggingAcme.lag
    acme.fault("lose", on="POST /cases", times=2)
    journal, driver = Journal(), drivers(LaggingAcme)
    with pytest.raises(Unsure):
        create(driver, journal)
    clock.advance(90)
    with pytest.raises(Unsure, match="connection"):  # the second try is lost too: the lag begins anew
        create(driver, Journal(entries=journal.entries))
    clock.advance(89)
    with pytest.raises(Unsure, match="not visible"):
        create(driver, Journal(entries=journal.entries))
    clock.advance(1)

    create(driver, Journal(entries=journal.entries))

    assert len(acme.cases) == 1
    assert len(acme.seen("POST /cases")) == 3


def test_a_clock_that_goes_back_makes_no_second_ticket(
    drivers: Drivers, acme: SimulatedAcme, clock: Clock
) -> None:
    acme.lag = timedelta(days=2)  # the desk's own clock, seen from ours
    acme.fault("lose", on="POST /cases", when="after")
    journal, driver = Journal(), drivers(LaggingAcme)
    with pytest.raises(Unsure):
        create(driver, journal)
    clock.advance(timedelta(days=-1))
    for _ in range(2):
        with pytest.raises(Unsure, match="not visible") as caught:
            create(driver, Journal(entries=journal.entries))
        assert caught.value.after == 90
    assert len(acme.seen("POST /cases")) == 1


def test_within_the_key_s_window_the_same_bytes_go_again_without_a_look(
    drivers: Drivers, acme: SimulatedAcme, clock: Clock
) -> None:
    acme.fault("lose", on="POST /cases", when="after")
    journal, driver = Journal(), drivers(KeyedAcme)
    with pytest.raises(Unsure):
        create(driver, journal)
    clock.advance(KeyedAcme.key_window - timedelta(seconds=1))

    ticket = create(driver, Journal(entries=journal.entries))

    assert list(acme.cases) == [ticket.id]
    assert acme.seen("GET /cases") == []


@pytest.mark.parametrize("landed", [True, False])
def test_behind_the_key_s_window_it_is_looked_for(
    drivers: Drivers, acme: SimulatedAcme, clock: Clock, landed: bool
) -> None:
    acme.fault("lose", on="POST /cases", when="after" if landed else "before")
    journal, driver = Journal(), drivers(KeyedAcme)
    with pytest.raises(Unsure):
        create(driver, journal)
    clock.advance(KeyedAcme.key_window)
    again = Journal(entries=journal.entries)

    ticket = create(driver, again)

    assert list(acme.cases) == [ticket.id]
    keys = [seen.headers["idempotency-key"] for seen in acme.seen("POST /cases")]
    assert keys == ["H" * 26] if landed else ["H" * 26, "H" * 26 + "-r1"]
    assert again.round == (0 if landed else 1)


def test_a_key_that_nobody_can_look_behind_is_never_used_behind_its_window(
    drivers: Drivers, acme: SimulatedAcme, clock: Clock
) -> None:
    acme.fault("lose", on="POST /cases", when="after")
    journal, driver = Journal(), drivers(BlindAcme)
    with pytest.raises(Unsure):
        create(driver, journal)
    clock.advance(KeyedAcme.key_window)

    with pytest.raises(Refused, match="may have arrived"):
        create(driver, Journal(entries=journal.entries))

    assert len(acme.cases) == 1
    assert journal.entries[0].doubt


@pytest.mark.parametrize("there", [True, False])
def test_a_key_that_was_used_for_something_else(drivers: Drivers, acme: SimulatedAcme, there: bool) -> None:
    marker = a_handoff().marker
    if there:
        create(drivers(), Journal())
    acme.keys[marker] = (acme.now(), b"other content", Reply(201))
    journal = Journal()

    ticket = create(drivers(KeyedAcme), journal)

    assert list(acme.cases) == [ticket.id]
    assert journal.round == (0 if there else 1)


def test_a_key_that_was_used_and_no_way_to_look_is_a_no(drivers: Drivers, acme: SimulatedAcme) -> None:
    acme.keys[a_handoff().marker] = (acme.now(), b"other content", Reply(201))
    with pytest.raises(Refused, match="key used"):
        create(drivers(BlindAcme), Journal())
    assert acme.cases == {}


@pytest.mark.parametrize("landed", [True, False])
def test_a_no_after_a_doubtful_try_is_not_believed_before_a_look(
    drivers: Drivers, acme: SimulatedAcme, landed: bool
) -> None:
    acme.fault("lose", on="POST /cases", when="after" if landed else "before")
    acme.fault("status", on="POST /cases", status=422, body='{"error": "no", "fields": {"group": "gone"}}')
    journal, driver = Journal(), drivers(KeyedAcme)
    with pytest.raises(Unsure):
        create(driver, journal)
    again = Journal(entries=journal.entries)

    if landed:
        assert [create(driver, again).id] == list(acme.cases)
    else:
        with pytest.raises(Refused) as caught:
            create(driver, again)
        assert caught.value.fields == {"group": "gone"}, "the fields that the desk named are forgotten"
        assert caught.value.status == 422
        assert [entry.doubt for entry in again.entries] == [False]
    assert len(acme.seen("GET /cases")) == 1


def test_a_429_after_a_doubtful_try_leaves_the_doubt(drivers: Drivers, acme: SimulatedAcme) -> None:
    acme.fault("lose", on="POST /cases", when="after")
    acme.fault("status", on="POST /cases", status=429)
    journal, driver = Journal(), drivers(KeyedAcme)
    for ending in (Unsure, NotDone):
        with pytest.raises(ending):
            create(driver, journal)
        journal.rewind()
    assert [entry.doubt for entry in journal.entries] == [True]


@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_look_that_is_refused_proves_nothing(drivers: Drivers, acme: SimulatedAcme, status: int) -> None:
    acme.fault("lose", on="POST /cases", when="after")
    acme.fault("status", on="GET /cases", status=status)
    journal, driver = Journal(), drivers()
    with pytest.raises(Unsure):
        create(driver, journal)
    with pytest.raises(Unsure, match="looking"):
        create(driver, Journal(entries=journal.entries))

    assert create(driver, Journal(entries=journal.entries)).id in acme.cases
    assert len(acme.cases) == 1


def test_statuses_that_the_connector_wants_to_see(drivers: Drivers, acme: SimulatedAcme) -> None:
    acme.fault("status", status=404)
    request = Request("POST", "/people", json={}, repeatable=True, accept=frozenset({404}))
    journal = Journal()
    assert drivers().run(lambda: one(request), journal).status == 404
    assert [(entry.done, entry.doubt) for entry in journal.entries] == [(True, False)]


# Uploads, and other things that were done before.


def test_an_upload_is_not_made_twice(drivers: Drivers, acme: SimulatedAcme) -> None:
    acme.fault("status", on="POST /cases", status=429)
    journal, handoff = Journal(), a_handoff(files=(a_file("a.txt"), a_file("b.txt")))
    with pytest.raises(NotDone):
        create(drivers(), journal, handoff)

    create(drivers(), Journal(entries=journal.entries), handoff)

    assert len(acme.seen("POST /files")) == 2


def test_only_uploads_that_are_too_old_are_made_again(
    drivers: Drivers, acme: SimulatedAcme, clock: Clock
) -> None:
    handoff = a_handoff(files=(a_file("a.txt"), a_file("b.txt"), a_file("c.txt")))
    acme.fault("lose", on="POST /files", skip=2)
    journal = Journal()
    with pytest.raises(Unsure):
        create(drivers(), journal, handoff)
    clock.advance(OLD + timedelta(seconds=1))

    create(drivers(), Journal(entries=journal.entries), handoff)

    names = [seen.query["name"] for seen in acme.seen("POST /files")]
    assert names == ["a.txt", "b.txt", "c.txt", "c.txt", "a.txt", "b.txt"]
    assert len(acme.seen("POST /cases")) == 1


def test_uploads_that_are_still_good_are_used_in_the_next_round(
    drivers: Drivers, acme: SimulatedAcme, clock: Clock
) -> None:
    handoff, journal = a_handoff(files=(a_file("a.txt"), a_file("b.txt"))), Journal()
    acme.fault("status", on="POST /files", skip=1, status=429)
    with pytest.raises(NotDone):
        create(drivers(), journal, handoff)
    clock.advance(OLD - timedelta(minutes=1))
    acme.fault("status", on="POST /cases", status=429)
    with pytest.raises(NotDone):
        create(drivers(), journal := Journal(entries=journal.entries), handoff)
    clock.advance(timedelta(minutes=2))  # now a.txt is too old, b.txt is not

    create(drivers(), Journal(entries=journal.entries), handoff)

    assert [seen.query["name"] for seen in acme.seen("POST /files")] == ["a.txt", "b.txt", "b.txt", "a.txt"]
    (case,) = acme.cases.values()
    assert [acme.files[token][0] for token in case["files"]] == [b"one refund, please\n"] * 2


@pytest.mark.parametrize("kind", [Acme, KeyedAcme])
@pytest.mark.parametrize("ending", ["refused connection", "lost"])
def test_a_create_that_names_an_old_upload_is_made_of_new_ones(
    drivers: Drivers, acme: SimulatedAcme, clock: Clock, kind: type[Acme], ending: str
) -> None:
    """The desk was away for an hour: the bytes of the first try name a file that it has dropped since."""
    if ending == "lost":
        acme.fault("lose", on="POST /cases")
    else:
        acme.fault("status", on="POST /cases", status=429)
    handoff, journal = a_handoff(files=(a_file(),)), Journal()
    with pytest.raises((Unsure, NotDone)):
        create(drivers(kind), journal, handoff)
    clock.advance(timedelta(hours=1))
    again = Journal(entries=journal.entries)

    ticket = create(drivers(kind), again, handoff)

    assert list(acme.cases) == [ticket.id]
    assert len(acme.seen("POST /files")) == 2


def test_an_old_upload_of_a_create_that_arrived_stays(
    drivers: Drivers, acme: SimulatedAcme, clock: Clock
) -> None:
    acme.fault("lose", on="POST /cases", when="after")
    handoff, journal = a_handoff(files=(a_file(),)), Journal()
    with pytest.raises(Unsure):
        create(drivers(), journal, handoff)
    clock.advance(timedelta(hours=1))

    ticket = create(drivers(), Journal(entries=journal.entries), handoff)

    assert list(acme.cases) == [ticket.id]
    assert len(acme.seen("POST /files")) == 1


def test_a_new_round_does_not_repeat_what_was_done(drivers: Drivers, acme: SimulatedAcme) -> None:
    acme.fault("status", on="POST /cases", status=422)
    journal, driver = Journal(), drivers(asks_team=True)
    with pytest.raises(Refused):
        create(driver, journal)
    journal.new_round()

    create(driver, journal, a_handoff(unset={"group": "gone"}))

    assert len(acme.people) == 1
    first, second = acme.seen("POST /cases")
    assert first.body != second.body
    assert [(entry.n, entry.done) for entry in journal.entries] == [(0, True), (1, True)]


def test_an_effect_without_safety_is_refused_before_it_is_sent() -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE", "post"):
        with pytest.raises(ConnectorError, match=f"{method} /x .*key=, unless= or repeatable=True"):
            Request(method, "/x")
    assert not Request("GET", "/x").has_effect


def test_no_effect_outside_of_a_journal(drivers: Drivers, acme: SimulatedAcme) -> None:
    with pytest.raises(ConnectorError, match="only reading is allowed"):
        drivers().run(lambda: one(Request("POST", "/people", json={}, key="k")))
    assert acme.requests == []
    assert drivers().run(lambda: one(Request("POST", "/people", json={}, repeatable=True))).ok


def test_a_step_of_another_kind_is_a_bug_of_the_connector(drivers: Drivers) -> None:
    def steps() -> Any:
        yield "something else"

    with pytest.raises(ConnectorError, match="yielded str"):
        drivers().run(steps, Journal())


def test_answers_that_contradict_each_other_end(drivers: Drivers, acme: SimulatedAcme) -> None:
    class Stubborn(KeyedAcme):
        def key_is_used(self, reply: Reply) -> bool:
            return reply.status == 400

    acme.fault("status", on="POST /cases", status=400, times=1000)
    with pytest.raises(Unsure, match="contradict"):
        create(drivers(Stubborn), Journal())
    assert len(acme.seen("POST /cases")) < 50


# Names.


def names_of(driver: Driver, *, fresh: bool = False, kind: str = "groups") -> Any:
    def steps() -> Steps[Any]:
        return (yield Names(kind, fresh=fresh)).json

    return driver.run(steps)


def test_names_are_fetched_once_for_all_threads(drivers: Drivers, acme: SimulatedAcme) -> None:
    driver = drivers()
    found = in_threads(8, lambda _: names_of(driver))
    assert found == [{"Support": "1", "Billing": "2"}] * 8
    assert len(acme.seen("GET /groups")) == 1


def test_names_are_looked_up_anew_after_a_while(drivers: Drivers, acme: SimulatedAcme, clock: Clock) -> None:
    driver = drivers()
    names_of(driver)
    clock.advance(NAMES_ARE_FRESH_FOR - timedelta(seconds=1))
    names_of(driver)
    assert len(acme.seen("GET /groups")) == 1
    clock.advance(1)
    names_of(driver)
    assert len(acme.seen("GET /groups")) == 2


def test_an_unknown_name_is_looked_for_once_and_not_with_every_handoff(
    drivers: Drivers, acme: SimulatedAcme, clock: Clock
) -> None:
    driver = drivers()
    names_of(driver)
    clock.advance(LOOK_AGAIN_AFTER)
    for _ in range(5):
        driver.run(lambda: driver.connector.id_of("groups", "Nobody"))
    assert len(acme.seen("GET /groups")) == 2
    acme.groups["Nobody"] = "9"
    clock.advance(LOOK_AGAIN_AFTER)
    assert driver.run(lambda: driver.connector.id_of("groups", "nobody")) == "9"


def test_names_that_need_other_names(drivers: Drivers) -> None:
    class Nested(Acme):
        def names(self, kind: str) -> Steps[dict[str, str]]:
            if kind == "teams":
                return {f"team of {name}": id for name, id in (yield Names("groups")).json.items()}
            return (yield from super().names(kind))

    driver = drivers(Nested)
    (found,) = in_threads(1, lambda _: names_of(driver, kind="teams"))
    assert found == {"team of Support": "1", "team of Billing": "2"}


# Signing in.


def test_a_token_is_fetched_once_for_all_threads(drivers: Drivers, acme: SimulatedAcme) -> None:
    acme.tokens = {"of somebody else"}
    driver = drivers(client_secret="s")
    replies = in_threads(8, lambda _: driver.run(lambda: one(Request("GET", "/groups"))))
    assert {reply.status for reply in replies} == {200}
    assert len(acme.seen("POST /token")) == 1


def test_a_token_that_was_revoked_is_fetched_once_for_all_threads(
    drivers: Drivers, acme: SimulatedAcme
) -> None:
    driver = drivers(client_secret="s")
    driver.run(lambda: one(Request("GET", "/groups")))
    acme.tokens = {"all others are revoked"}
    replies = in_threads(8, lambda _: driver.run(lambda: one(Request("GET", "/groups"))))
    assert {reply.status for reply in replies} == {200}
    assert len(acme.seen("POST /token")) == 2


def test_a_token_is_renewed_before_it_ends(drivers: Drivers, acme: SimulatedAcme, clock: Clock) -> None:
    driver = drivers(client_secret="s")
    driver.run(lambda: one(Request("GET", "/groups")))
    clock.advance(3600 - 61)
    driver.run(lambda: one(Request("GET", "/groups")))
    assert len(acme.seen("POST /token")) == 1
    clock.advance(1)
    driver.run(lambda: one(Request("GET", "/groups")))
    assert len(acme.seen("POST /token")) == 2


def test_a_fresh_token_that_is_refused_too_pauses_the_desk(drivers: Drivers, acme: SimulatedAcme) -> None:
    acme.fault("status", on="GET /groups", status=401, times=5)
    with pytest.raises(DeskPaused):
        drivers(client_secret="s").run(lambda: one(Request("GET", "/groups")))
    assert [seen.local for seen in acme.requests] == ["/token", "/groups", "/token", "/groups"]


def test_without_a_sign_in_a_401_is_not_asked_twice(drivers: Drivers, acme: SimulatedAcme) -> None:
    acme.fault("status", on="GET /groups", status=401, times=5)
    with pytest.raises(DeskPaused):
        drivers().run(lambda: one(Request("GET", "/groups")))
    assert len(acme.requests) == 1


@pytest.mark.parametrize(
    ("fault", "ending"),
    [
        ({"kind": "status", "status": 400}, DeskPaused),
        ({"kind": "status", "status": 401}, DeskPaused),
        ({"kind": "status", "status": 429}, NotDone),
        ({"kind": "status", "status": 503}, NotDone),
        ({"kind": "lose"}, NotDone),
        ({"kind": "html"}, NotDone),
        ({"kind": "empty"}, NotDone),
    ],
)
def test_a_sign_in_that_fails_leaves_no_doubt_about_the_request(
    drivers: Drivers, acme: SimulatedAcme, fault: dict[str, Any], ending: type
) -> None:
    acme.fault(on="POST /token", **fault)
    journal = Journal()
    with pytest.raises(ending, match=r"signing in|POST /token"):
        create(drivers(client_secret="s"), journal)
    assert journal.entries == []


def test_a_refresh_that_fails_leaves_no_doubt_either(drivers: Drivers, acme: SimulatedAcme) -> None:
    driver, journal = drivers(client_secret="s"), Journal()
    names_of(driver)
    acme.tokens = {"all others are revoked"}
    acme.fault("status", on="POST /token", status=503)
    with pytest.raises(NotDone):
        create(driver, journal)
    assert [entry.doubt for entry in journal.entries] == [False]


def test_an_answer_to_the_sign_in_that_is_not_understood_is_not_quoted(
    drivers: Drivers, acme: SimulatedAcme
) -> None:
    acme.fault("status", on="POST /token", status=200, body='{"jwt": "very-secret-token"}')
    with pytest.raises(NotDone) as caught:
        create(drivers(client_secret="s"), Journal())
    assert "very-secret-token" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_sign_in_that_needs_its_own_token_is_a_bug_and_does_not_hang(drivers: Drivers) -> None:
    class Circular(Acme):
        def _token(self) -> Steps[Token]:
            yield Request("GET", "/groups")
            return Token("t")

    with pytest.raises(ConnectorError, match="public=True"):
        in_threads(1, lambda _: create(drivers(Circular, client_secret="s"), Journal()))


def test_a_warm_handoff_is_one_request(worlds: Worlds, acme: SimulatedAcme) -> None:
    world: World = worlds()
    world.deliver(a_conversation(id="warm"), group="Billing")
    before = len(acme.requests)
    world.deliver(a_conversation(id="counted"), group="Billing")
    assert len(acme.requests) - before == 1


# The pace, and refusals that a connector has looked at.


def test_no_more_requests_a_minute_than_configured_and_nobody_sleeps(
    drivers: Drivers, acme: SimulatedAcme, clock: Clock, tmp_path: Path
) -> None:
    store = Store(f"sqlite:///{tmp_path}/handrail.db")
    driver = drivers(rate=2)
    driver = Driver(driver.connector, driver.transport, clock, Pace(store, "desk", 2))
    for _ in range(2):
        driver.run(lambda: one(Request("GET", "/groups")))
    clock.advance(20)
    with pytest.raises(NotDone, match="rate: 2 requests a minute") as limited:
        driver.run(lambda: one(Request("GET", "/groups")))

    assert limited.value.after == 40
    assert len(acme.seen("GET /groups")) == 2
    assert driver.rest() == 40
    clock.advance(40)
    assert driver.rest() == 0
    assert driver.run(lambda: one(Request("GET", "/groups"))).ok
    store.close()


def test_refusals_that_made_a_connector_give_up_are_asked_for_anew(
    drivers: Drivers, acme: SimulatedAcme
) -> None:
    """A conflict that was met in one run is no answer to the next run, which must ask again."""

    def cautious() -> Steps[int]:
        safe = Request("PUT", "/nowhere", json={}, accept=frozenset({404, 409}), repeatable=True)
        reply = yield safe
        yield Request("GET", "/groups")
        if not reply.ok:
            raise NotDone("it is being changed by somebody")
        return reply.status

    driver, journal = drivers(), Journal()
    acme.fault("status", on="PUT /nowhere", status=409)
    with pytest.raises(NotDone):
        driver.run(cautious, journal)
    acme.fault("empty", on="PUT /nowhere")
    journal.rewind()

    assert driver.run(cautious, journal) == 200
    assert len(acme.seen("PUT /nowhere")) == 2


def test_what_was_noted_long_before_it_could_be_sent_is_not_sent(
    drivers: Drivers, acme: SimulatedAcme, clock: Clock
) -> None:
    """A peer may have taken over from a process that stood still; it would send the same."""
    driver, journal = drivers(), Journal()
    inner = journal.sending

    def stood_still(*args: Any) -> Any:
        entry = inner(*args)
        clock.advance(6)
        return entry

    journal.sending = stood_still  # type: ignore[method-assign]
    with pytest.raises(NotDone, match="too much time"):
        create(driver, journal)
    assert acme.cases == {}
    assert journal.certain
