"""The journal: what was sent stays as it was, in memory and in the store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from handrail import Reply
from handrail.journal import Entry, Journal, Superseded
from handrail.store import Store, operations
from handrail.store.operations import StoredJournal
from handrail.store.schema import journal as rows
from handrail.wire import Wire

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
ONE = Wire("POST", "/one", {"X-A": "ü"}, b"\x00bytes\xff")
TWO = Wire("POST", "/two", {}, b"{}")
YES = Reply(201, b'{"id": 1}', {"location": "/1"})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path}/handrail.db")
    with opened.begin() as connection:
        operations.add(connection, "op", "H", "create", {}, NOW)
    yield opened
    opened.close()


def operation(store: Store) -> Any:
    with store.read() as connection:
        return operations.of_handoff(connection, "H")[0]


def tried(store: Store) -> None:
    with store.begin() as connection:
        operations.change(connection, "op", tries=1)


def reopened(store: Store) -> StoredJournal:
    tried(store)
    return StoredJournal(store, operation(store))


def test_an_entry_is_durable_before_its_request_leaves(store: Store) -> None:
    StoredJournal(store, operation(store)).sending(ONE, NOW)
    (entry,) = reopened(store).entries
    assert entry == Entry(0, ONE, NOW, NOW, doubt=True)


def test_everything_that_is_noted_is_read_again(store: Store) -> None:
    journal = StoredJournal(store, operation(store))
    first, second = journal.sending(ONE, NOW), journal.sending(TWO, NOW)
    journal.answered(first, YES, LATER, done=True)
    journal.again(second, LATER)
    journal.lose_key(second)

    assert reopened(store).entries == [
        Entry(0, ONE, NOW, NOW, doubt=False, answer=YES, done=True, answered_at=LATER),
        Entry(1, TWO, NOW, LATER, doubt=True, key_lost=True),
    ]


@pytest.mark.parametrize("doubted", [True, False])
def test_a_try_without_effect_leaves_the_doubt_that_was_there(store: Store, doubted: bool) -> None:
    journal = StoredJournal(store, operation(store))
    journal.without_effect(journal.sending(ONE, NOW), doubted)
    assert [entry.doubt for entry in reopened(store).entries] == [doubted]


def test_a_no_that_was_not_believed_leaves_the_doubt() -> None:
    journal = Journal()
    entry = journal.sending(ONE, NOW)
    journal.answered(entry, Reply(422), NOW, done=False)
    assert (entry.doubt, entry.done) == (True, False)
    journal.again(entry, LATER)
    assert (entry.doubt, entry.answer, entry.last_sent, entry.first_sent) == (True, None, LATER, NOW)


def test_entries_are_fed_in_their_order_and_once() -> None:
    journal = Journal()
    sent = [journal.sending(wire, NOW) for wire in (ONE, TWO)]
    assert [journal.next() for _ in range(3)] == [*sent, None]
    journal.rewind()
    assert journal.next() is sent[0]


def test_an_old_round_does_not_come_back(store: Store) -> None:
    journal = StoredJournal(store, operation(store))
    journal.sending(ONE, NOW)
    journal.new_round()
    journal.sending(TWO, NOW)

    again = reopened(store)
    assert (again.round, [entry.wire for entry in again.entries]) == (1, [TWO])


def always(_: Entry) -> bool:
    return True


def test_what_a_former_round_had_done_is_used_once_and_in_its_place(store: Store) -> None:
    journal = StoredJournal(store, operation(store))
    journal.answered(journal.sending(ONE, NOW), YES, NOW, done=True)
    journal.without_effect(journal.sending(TWO, NOW), False)
    journal.new_round()

    for former in (journal, reopened(store)):
        if former is not journal:  # as after a crash between the rounds
            assert former.reuse(TWO, False, always) is None
        entry = former.reuse(ONE, False, always)
        assert entry is not None
        assert (entry.answer, entry.done, entry.n) == (YES, True, 0)
        assert former.reuse(ONE, False, always) is None
        if former is journal:
            assert reopened(store).reuse(ONE, False, always) is None, "used already, before the crash"
            with store.begin() as connection:
                connection.execute(rows.delete().where(rows.c.round == 1))


@pytest.mark.parametrize(
    ("wire", "repeatable", "good", "found"),
    [
        (Wire("POST", "/one", {}, b"other"), False, True, True),
        (Wire("POST", "/one", {}, b"other"), True, True, False),
        (Wire("POST", "/one", {"Idempotency-Key": "k-r1"}, ONE.body), True, True, True),
        (Wire("PUT", "/one", {}, ONE.body), False, True, False),
        (Wire("POST", "/one?x=1", {}, ONE.body), False, True, False),
        (ONE, False, False, False),
    ],
)
def test_what_counts_as_done_in_a_former_round(wire: Wire, repeatable: bool, good: bool, found: bool) -> None:
    done = Entry(0, ONE, NOW, NOW, doubt=False, answer=YES, done=True)
    journal = Journal(1, [], [done])
    assert (journal.reuse(wire, repeatable, lambda _: good) is not None) is found


@pytest.mark.parametrize(
    "entry",
    [
        Entry(0, ONE, NOW, NOW, doubt=True),
        Entry(0, ONE, NOW, NOW, doubt=False),
        Entry(0, ONE, NOW, NOW, doubt=False, answer=Reply(409), done=True),
    ],
)
def test_only_a_yes_of_a_former_round_is_used(entry: Entry) -> None:
    assert Journal(1, [], [entry]).reuse(ONE, False, always) is None


@pytest.mark.parametrize(
    ("second", "followed"),
    [({"doubt": True}, True), ({"doubt": False, "done": True}, True), ({"doubt": False}, False)],
)
def test_whether_anything_was_built_on_an_answer(second: dict[str, bool], followed: bool) -> None:
    first = Entry(0, ONE, NOW, NOW, doubt=False, done=True)
    journal = Journal(0, [first, Entry(1, TWO, NOW, NOW, **second)])
    journal.next()
    assert journal.nothing_followed is not followed


def test_an_attempt_that_is_over_writes_nothing(store: Store) -> None:
    def over(connection: sa.Connection) -> None:
        raise Superseded

    journal = StoredJournal(store, operation(store))
    entry = journal.sending(ONE, NOW)
    journal.guard = over
    for note in (
        lambda: journal.sending(TWO, NOW),
        lambda: journal.answered(entry, YES, NOW, done=False),
        lambda: journal.without_effect(entry, False),
        lambda: journal.again(entry, LATER),
        journal.new_round,
    ):
        with pytest.raises(Superseded):
            note()

    assert reopened(store).entries == [Entry(0, ONE, NOW, NOW, doubt=True)]
    assert operation(store).round == 0


@pytest.mark.parametrize(("doubt", "sent", "round_"), [(True, True, 0), (False, True, 1), (False, False, 0)])
def test_new_words_only_for_what_certainly_failed(store: Store, doubt: bool, sent: bool, round_: int) -> None:
    journal = StoredJournal(store, operation(store))
    if sent:
        journal.answered(journal.sending(ONE, NOW), YES, NOW, done=True)
        journal.without_effect(journal.sending(TWO, NOW), doubt)
    with store.begin() as connection:
        operations.fresh_round(connection, "op")
    assert operation(store).round == round_
    assert len(reopened(store).former) == round_


def test_a_first_try_reads_nothing_back(store: Store) -> None:
    StoredJournal(store, operation(store)).sending(ONE, NOW)
    assert StoredJournal(store, SimpleNamespace(id="op", round=0, tries=0)).entries == []


def test_the_doubt_of_an_operation_is_seen(store: Store) -> None:
    def in_doubt() -> bool:
        with store.read() as connection:
            return operations.in_doubt(connection, "H")

    assert not in_doubt()
    journal = StoredJournal(store, operation(store))
    entry = journal.sending(ONE, NOW)
    assert in_doubt()
    journal.without_effect(entry, False)
    assert not in_doubt()


def test_no_header_that_lets_somebody_in_is_kept(store: Store) -> None:
    journal = StoredJournal(store, operation(store))
    reply = Reply(200, b"{}", {"set-cookie": "session=very-secret", "location": "/1"})
    journal.answered(journal.sending(TWO, NOW), reply, NOW, done=True)
    with store.begin() as connection:
        journal.flush(connection)

    (entry,) = reopened(store).entries
    assert entry.answer == Reply(200, b"{}", {"location": "/1"})
    with store.read() as connection:
        assert "very-secret" not in str(connection.execute(rows.select()).all())
