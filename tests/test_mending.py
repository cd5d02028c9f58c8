"""What a store that breaks off leaves behind is put right by the process that left it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from tests.desks import Acme, SimulatedAcme, Worlds

from handrail import DeskPaused, Finding, Reply, Request, State, Steps, StoreError
from handrail.again import desks_gone, unpark
from handrail.pace import Pace, TooFast
from handrail.slots import Slots
from handrail.store import Store, desks, handoffs
from handrail.testing import Clock

pytest_plugins = ["tests.stores"]


def away(*_: object, **__: object) -> Any:
    raise sa.exc.OperationalError("select", {}, Exception("the server is away"))


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    opened = Store(database)
    yield opened
    opened.close()


@pytest.fixture
def slots(store: Store, clock: Clock) -> Slots:
    return Slots(store, clock, lambda: None)


def rows(store: Store) -> int:
    with store.read() as connection:
        return int(connection.execute(sa.text("select count(*) from slots")).scalar_one())


def test_a_slot_that_could_not_be_left_is_free_again(
    store: Store, slots: Slots, monkeypatch: pytest.MonkeyPatch
) -> None:
    from handrail.store import workers

    def broken() -> None:
        with monkeypatch.context() as patch, slots.of("support", 1) as taken:
            assert taken
            patch.setattr(workers, "leave_slot", away)

    with slots.of("other", 1) as other:
        with pytest.raises(StoreError):
            broken()
        assert rows(store) >= 1
        with slots.of("support", 1) as taken:
            assert taken
            assert other
            assert rows(store) == 2, "what another thread has is left to it"
    assert rows(store) == 0


def test_who_only_reads_gets_a_slot_before_who_delivers_takes_the_next(slots: Slots) -> None:
    with slots.of("support", 1) as taken:
        assert taken
        with slots.of("support", 1, patience=0.2) as late:
            assert not late
    with slots.of("support", 1, patience=0.2) as soon:
        assert soon
    slots.step_aside("support")


def test_an_attempt_that_the_store_broke_off_is_made_again_and_once(
    worlds: Worlds, acme: SimulatedAcme, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = worlds()
    delivery = world.rail.delivery
    handoff = world.hand_off()

    @contextmanager
    def taking() -> Iterator[Any]:
        with world.rail.context.store.begin():
            yield away()

    with monkeypatch.context() as patch:
        patch.setattr(world.rail.inbox, "taking", taking)
        with pytest.raises(StoreError):
            world.rail.attempt(handoff.id)
    assert len(acme.cases) == 1
    assert (delivery.mend(), delivery.mend()) == (0, 1), "what was so twice is put right"
    world.run(within=3600)
    assert world.show(handoff)["state"] == State.WITH_HUMANS
    assert len(acme.cases) == 1


def test_what_a_peer_has_made_due_and_taken_meanwhile_is_left_to_it(
    worlds: Worlds, acme: SimulatedAcme, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers start: both see what waits for a person, and one attempts it already."""
    world = worlds()
    acme.fault("status", on="POST /cases", status=401)
    handoff = world.hand_off()
    world.run()
    parked = handoffs.parked

    def as_a_peer_saw_it(connection: sa.Connection, desk: str | None, limit: int = -1) -> Any:
        found = parked(connection, desk, limit)
        held = {"lease_by": "elsewhere:1", "lease_until": world.clock() + timedelta(minutes=5)}
        handoffs.change(connection, handoff.id, parked_at=None, **held)
        return found

    monkeypatch.setattr(handoffs, "parked", as_a_peer_saw_it)
    assert unpark(world.rail.context, None) == 1
    with world.rail.context.store.read() as connection:
        assert handoffs.get(connection, handoff.id).lease_by == "elsewhere:1"


def test_a_handoff_whose_desk_is_no_longer_configured_goes_on_to_the_fallback(
    worlds: Worlds, acme: SimulatedAcme, backup: SimulatedAcme
) -> None:
    world = worlds(backup=backup, give_up_after=timedelta(hours=1))
    acme.fault("status", status=503, times=999)
    handoff = world.hand_off()
    world.let_pass(10)
    gone = world.rail.config.desks.pop("desk")
    assert desks_gone(world.rail.context) == ["desk"]
    assert [f.subject for f in world.rail.check(offline=True) if not f.ok] == ["desks.desk"]

    world.let_pass(600)
    assert "there is no desk 'desk'" in world.show(handoff)["last_error"]
    world.let_pass(3600)
    assert world.show(handoff)["desk"] == "backup"
    assert world.show(handoff)["state"] == State.WITH_HUMANS
    assert desks_gone(world.rail.context) == []
    world.rail.roads.read_step("desk/1", 1)  # what was still to be read there is left
    world.rail.delivery.sweep(handoff.id, 0)
    world.rail.config.desks["desk"] = gone


def test_an_attempt_that_runs_is_not_mended(worlds: Worlds, acme: SimulatedAcme) -> None:
    world = worlds()
    delivery = world.rail.delivery
    handoff = world.hand_off()
    inner, mended = acme.execute, []

    def slowly(seen: Any) -> Any:
        mended.extend([delivery.mend(), delivery.mend()])
        return inner(seen)

    acme.execute = slowly  # type: ignore[method-assign]
    world.run(within=60)
    assert mended
    assert set(mended) == {0}
    assert world.show(handoff)["attempts"] == 1


def test_threads_whose_times_overlap_keep_to_the_rate_together(store: Store, clock: Clock) -> None:
    """Another thread, or a machine whose clock is ahead, has counted before us with a later time."""
    pace = Pace(store, "support", 2)
    pace.take(clock() + timedelta(seconds=3))
    pace.take(clock())
    with pytest.raises(TooFast):
        pace.take(clock())


def test_a_paused_desk_is_not_asked_what_a_webhook_is_about(worlds: Worlds, acme: SimulatedAcme) -> None:
    world = worlds()
    world.deliver()
    with world.rail.context.store.begin() as connection:
        desks.change(connection, "desk", paused_because="bad key")
    asked = len(acme.requests)
    with pytest.raises(DeskPaused, match="handrail check"):
        world.rail.context.ask("desk", look)
    with pytest.raises(DeskPaused):
        world.rail.sync("desk")
    assert len(acme.requests) == asked
    assert world.rail.context.ask("desk", look, paused_too=True).ok
    assert all(each.ok for each in world.rail.check())
    assert world.rail.context.ask("desk", look).ok


def test_a_desk_that_cannot_be_polled_does_not_keep_the_others_waiting(
    worlds: Worlds, acme: SimulatedAcme, backup: SimulatedAcme
) -> None:
    world = worlds(backup=backup)
    with world.rail.context.store.begin() as connection:
        desks.change(connection, "desk", paused_because="bad key")
    failed: list[str] = []
    assert world.rail.sync(failed=lambda name, error: failed.append(f"{name}: {error}")) == {"backup": 0}
    assert failed == ["desk: desk is paused: bad key; `handrail check` resumes it"]
    asked = len(backup.requests)
    with pytest.raises(DeskPaused):
        world.rail.sync()
    assert len(backup.requests) > asked


def test_a_check_says_where_refused_credentials_stand(
    worlds: Worlds, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = worlds()
    monkeypatch.setattr(Acme, "check", look_in)
    (wrong,) = [each for each in world.rail.check() if not each.ok]
    assert wrong.subject == "desks.desk: credentials"
    assert wrong.message.endswith("; check those in [desks.desk]")


def look_in(_self: Acme) -> Steps[list[Finding]]:
    raise DeskPaused("401")
    yield  # a generator, as every exchange


def look() -> Steps[Reply]:
    return (yield Request("GET", "/groups"))


def test_a_full_store_says_so_and_keeps_nothing(worlds: Worlds) -> None:
    world = worlds()
    store = world.rail.context.store

    @sa.event.listens_for(store.engine, "checkout")
    def full(connection: Any, *_: object) -> None:
        connection.execute("PRAGMA max_page_count = 1").fetchone()

    from handrail.testing import a_conversation

    with pytest.raises(StoreError, match="disk is full; make room on its disk, then do this again"):
        world.hand_off(a_conversation("x" * 300_000))
    with store.read() as connection:
        assert connection.execute(sa.select(handoffs.handoffs.c.id)).all() == []
