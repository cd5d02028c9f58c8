"""Limits of a desk, its pauses and the end of a worker, over several real processes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.real import a_rail, until, write_config
from tests.storming import (
    a_slow,
    all_delivered,
    answered,
    assert_each_once,
    herd,
    leases,
    polled,
)

from handrail import State
from handrail.rail import Handrail
from handrail.testing import a_conversation

pytest_plugins = ["tests.stores"]

HANDRAIL = str(Path(sys.executable).with_name("handrail"))


def hand_off(rail: Handrail, count: int, name: str = "c") -> list[str]:
    return [rail.hand_off(a_conversation(f"question {n}", id=f"{name}-{n}")).id for n in range(count)]


def workers_of(store_url: str) -> int:
    return 1 if store_url.startswith("sqlite") else 3


class TestLimits:
    def test_no_more_requests_are_under_way_than_the_desk_allows(
        self, store_url: str, tmp_path: Path
    ) -> None:
        """Deliveries, polls and sign-ins of all workers together."""
        with ExitStack() as stack:
            desk = stack.enter_context(a_slow("Zendesk", 0.1))
            settings = desk.settings() | {"concurrency": 2, "poll": "1s"}
            rail = stack.enter_context(a_rail(store_url, {"support": settings}))
            processes = stack.enter_context(herd(tmp_path, write_config(tmp_path, store_url, settings)))
            first = hand_off(rail, 20, "first")
            for number in range(workers_of(store_url)):
                processes.start(f"{number}", "work")
            ids = first + hand_off(rail, 20, "second")
            until(lambda: all_delivered(rail, ids), "everything delivered", patience=60)
            ticket = desk.tickets[0].id
            desk.human_replies(ticket, "an answer")
            until(lambda: any(u.kind == "reply" for u in rail.updates()), "polls go on", patience=60)
            processes.end()
            assert_each_once(rail, desk, ids)
            assert desk.most == 2

    def test_no_more_requests_a_minute_are_sent_than_the_desk_allows(
        self, store_url: str, tmp_path: Path
    ) -> None:
        with ExitStack() as stack:
            desk = stack.enter_context(a_slow("Zendesk", 0.02))
            settings = answered(desk.settings(), rate=20)
            rail = stack.enter_context(a_rail(store_url, {"support": settings}))
            processes = stack.enter_context(herd(tmp_path, write_config(tmp_path, store_url, settings)))
            ids = hand_off(rail, 30)
            for number in range(workers_of(store_url)):
                processes.works(f"{number}")
            until(lambda: len(desk.requests) >= 20, "as many as are allowed")
            began = desk.requests[0].at
            seen = desk.requests[19].at
            until(lambda: (desk.clock() - seen).total_seconds() > 6, "whether more come")
            early = [each for each in desk.requests if (each.at - began).total_seconds() < 58]
            assert len(early) == 20
            waiting = [rail.show(id) for id in ids if rail.show(id)["state"] != State.WITH_HUMANS]
            assert len(waiting) >= 10
            processes.end()
            assert leases(rail) == []


class TestPause:
    def test_a_paused_desk_is_asked_nothing_until_a_check_succeeds(
        self, store_url: str, tmp_path: Path
    ) -> None:
        with ExitStack() as stack:
            desk = stack.enter_context(a_slow("Zendesk", 0.05))
            settings = desk.settings() | {"poll": "1s", "concurrency": 2}
            settings = {k: v for k, v in settings.items() if not k.startswith("client")}
            settings |= {"oauth_token": "simulated-oauth-token"}
            config = write_config(tmp_path, store_url, settings)
            rail = stack.enter_context(a_rail(store_url, {"support": settings}))
            processes = stack.enter_context(herd(tmp_path, config))
            for number in range(workers_of(store_url)):
                processes.works(f"{number}")
            first = hand_off(rail, 2, "first")
            until(lambda: all_delivered(rail, first), "the first two")
            token = desk.tokens.pop("simulated-oauth-token")
            desk.tokens["simulated-oauth-token"] = desk.clock()  # it has expired
            ids = first + hand_off(rail, 12, "later")
            until(lambda: all(_parked(rail, id) for id in ids[2:]), "all wait for a person")
            quiet = _quiet_since(desk)
            _receive(rail, desk, first[0])
            more = hand_off(rail, 6, "last")
            until(lambda: all(_parked(rail, id) for id in more), "these wait too")
            time.sleep(3)  # polls would come each second
            assert len(desk.requests) == quiet, [f"{s.method} {s.local}" for s in desk.requests[quiet:]]
            assert {rail.show(id)["state"] for id in ids[2:] + more} == {State.ACCEPTED}
            desk.tokens["simulated-oauth-token"] = token
            command = [HANDRAIL, "check", "--config", str(config), "--json"]
            checked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert checked.returncode == 0, checked.stdout + checked.stderr
            until(lambda: all_delivered(rail, ids + more), "everything delivered", patience=60)
            processes.end()
            assert_each_once(rail, desk, ids + more)


def _parked(rail: Handrail, id: str) -> bool:
    return "is paused" in (rail.show(id)["last_error"] or "")


def _quiet_since(desk: Any) -> int:
    """How many requests there were when those that were under way at the pause had ended."""
    until(lambda: desk.in_flight == 0, "nothing under way")
    time.sleep(1)
    return len(desk.requests)


def _receive(rail: Handrail, desk: Any, id: str) -> None:
    """A genuine webhook about a ticket, which makes a worker read that ticket."""
    connector = rail.config.desks["support"]
    body = json.dumps(
        {
            "type": "zen:event-type:ticket.comment_added",
            "id": "e-1",
            "time": desk.clock().isoformat(),
            "detail": {"id": rail.show(id)["ticket"]["id"]},
            "event": {},
        }
    ).encode()
    assert connector.signature is not None
    headers = connector.signature.sign(body, settings_secret(connector), desk.clock())
    rail.receive("support", headers, body)


def settings_secret(connector: Any) -> str:
    return str(connector.webhook_secret)


class TestEnd:
    def test_sigterm_finishes_what_is_under_way_and_leaves_nothing(
        self, store_url: str, tmp_path: Path
    ) -> None:
        with ExitStack() as stack:
            desk = stack.enter_context(a_slow("Zendesk", 0.05))
            settings = answered(desk.settings(), concurrency=2)
            rail = stack.enter_context(a_rail(store_url, {"support": settings}))
            processes = stack.enter_context(herd(tmp_path, write_config(tmp_path, store_url, settings)))
            first = processes.works("first")
            until(lambda: polled(rail), "the only poll: it would read again what is made meanwhile")
            warm = hand_off(rail, 1, "warm")
            until(lambda: all_delivered(rail, warm) and not desk.in_flight, "the first one")
            desk.pause = 2.0
            before = len(desk.requests)
            ids = hand_off(rail, 6)
            until(lambda: desk.in_flight == 2, "two requests under way")
            assert first.end() == 0, first.errors
            assert len(desk.requests) == before + 2, "what was begun is finished, and nothing more is begun"
            done = [id for id in ids if rail.show(id)["state"] == State.WITH_HUMANS]
            assert len(done) == 2
            left = [rail.show(id) for id in ids if id not in done]
            assert {(shown["state"], shown["last_error"]) for shown in left} == {(State.ACCEPTED, None)}
            assert leases(rail) == []
            desk.pause = 0.05
            processes.members.pop("first").close()
            processes.works("second")
            until(lambda: all_delivered(rail, ids), "the rest")
            processes.end()
            assert_each_once(rail, desk, warm + ids)
            assert len(desk.seen("POST /tickets")) == 7
