"""Workers of two machines: one dies, or falls silent and comes back; the other goes on with its work."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from pathlib import Path

from tests.real import a_rail, until, write_config
from tests.storming import (
    ELSEWHERE,
    SURE_SOON,
    a_slow,
    all_delivered,
    answered,
    assert_each_once,
    herd,
    leases,
)

from handrail.testing import a_conversation

pytest_plugins = ["tests.stores"]

NOTICED = 30.0
"""Seconds after which a dead worker's work must go on."""


class TestDeath:
    def test_the_work_of_a_worker_that_died_on_another_machine_goes_on(
        self, database: str, tmp_path: Path
    ) -> None:
        with ExitStack() as stack:
            desk = stack.enter_context(a_slow("Zendesk", 0.05))
            settings = answered(desk.settings(), concurrency=2)
            rail = stack.enter_context(a_rail(database, {"support": settings}))
            config = write_config(tmp_path, database, settings)
            there = stack.enter_context(herd(tmp_path, config, ELSEWHERE))
            here = stack.enter_context(herd(tmp_path, config))
            victim = there.works("victim")
            warm = rail.hand_off(a_conversation("warm", id="warm")).id
            until(lambda: all_delivered(rail, [warm]), "the first one")
            here.works("peer")
            desk.pause = 3.0
            ids = [rail.hand_off(a_conversation(f"question {n}", id=f"c-{n}")).id for n in range(4)]
            until(lambda: desk.in_flight == 2, "two requests under way")
            held = [name for name in leases(rail) if name.startswith("elsewhere")]
            if len(held) < 2:  # the peer was faster: then it has these, and the victim none
                desk.pause = 0.05
            victim.kill()
            killed = time.monotonic()
            desk.pause = 0.05
            until(lambda: all_delivered(rail, ids), "everything delivered", patience=60)
            passed = time.monotonic() - killed
            print(f"the peer had delivered everything {passed:.1f} s after the death")
            assert passed < NOTICED
            until(lambda: not any(n.startswith("elsewhere") for n in leases(rail)), "the dead one's rows")
            here.end()
            assert_each_once(rail, desk, [warm, *ids])


class TestSilence:
    def test_a_worker_that_was_overtaken_while_it_was_stopped_makes_no_second_ticket(
        self, database: str, tmp_path: Path
    ) -> None:
        with ExitStack() as stack:
            desk = stack.enter_context(a_slow("Freshdesk", 0.05))
            settings = answered(desk.settings(), concurrency=2)
            rail = stack.enter_context(a_rail(database, {"support": settings}))
            config = write_config(tmp_path, database, settings)
            there = stack.enter_context(herd(tmp_path, config, ELSEWHERE + SURE_SOON))
            here = stack.enter_context(herd(tmp_path, config, SURE_SOON))
            sleeper = there.works("sleeper")
            warm = rail.hand_off(a_conversation("warm", id="warm")).id
            until(lambda: all_delivered(rail, [warm]), "the first one")
            desk.pause = 2.0
            ids = [rail.hand_off(a_conversation(f"question {n}", id=f"c-{n}")).id for n in range(4)]
            until(lambda: desk.in_flight == 2, "two requests under way")
            sleeper.send(signal.SIGSTOP)
            desk.pause = 0.05
            here.works("peer")
            until(lambda: all_delivered(rail, ids), "the peer has delivered everything", patience=60)
            sleeper.send(signal.SIGCONT)
            more = [rail.hand_off(a_conversation(f"more {n}", id=f"m-{n}")).id for n in range(4)]
            until(lambda: all_delivered(rail, more), "the rest")
            until(lambda: "took so long that it counts no more" in sleeper.errors, "the sleeper notices")
            there.end()
            here.end()
            assert_each_once(rail, desk, [warm, *ids, *more])
            assert leases(rail) == []
