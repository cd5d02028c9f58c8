"""The report: what became of handoffs is counted right; a finding is made only where enough speaks for it."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.desks import Worlds

from handrail.ids import ulid
from handrail.model import (
    Actor,
    Conversation,
    Customer,
    Due,
    Handoff,
    Message,
    Role,
    State,
    Update,
    UpdateKind,
)
from handrail.policy import history
from handrail.policy.findings import ENOUGH
from handrail.policy.measures import MOST_NAMES, OTHERS, Times, named
from handrail.policy.model import Trigger
from handrail.policy.report import BY_HAND, report
from handrail.policy.shown_report import _without_gaps
from handrail.store import Store, handoffs, operations, updates
from handrail.testing import Clock

pytest_plugins = ["tests.stores"]

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
STUCK = Trigger(name="stuck", when="failed_attempts >= 3", reason="unclear")


class Happened:
    """A store, and what a test says has happened in it."""

    def __init__(self, url: str) -> None:
        self.store = Store(url)
        self.clock = Clock()
        self._numbers = iter(range(1, 1_000_000))

    def handoff(self, *, state: str = "with_humans", due: timedelta | None = None, **more: Any) -> str:
        """A handoff of one customer, accepted now; ``due`` after that."""
        now, number = self.clock(), next(self._numbers)
        said = Message(role=Role.CUSTOMER, text="Where is order ORD-1182?")
        known = {"fields": {"order_id": "ORD-1182", "plan": "gold"}} | more.pop("conversation", {})
        conversation = Conversation(
            id=f"c-{number}", messages=(said,), customer=Customer(id="u7", email="ann@example.com"), **known
        )
        handoff = Handoff(
            id=ulid(now),
            key=f"k-{number}",
            conversation=conversation,
            desk="support",
            created_at=now,
            due=Due(first_response=now + due if due else None),
            **({"trigger": "stuck"} | more),
        )
        with self.store.begin() as connection:
            handoffs.insert(connection, handoff, "digest", state=State(state))
        return handoff.id

    def update(self, handoff: str, kind: str, after: timedelta, **more: Any) -> None:
        number = next(self._numbers)
        update = Update(
            id=f"support:{number}",
            kind=UpdateKind(kind),
            ticket_id="35",
            at=self.clock() + after,
            actor=Actor(kind="human"),
            handoff_id=handoff,
            **more,
        )
        with self.store.begin() as connection:
            updates.add(connection, update, self.clock())

    def said(self, handoff: str, text: str, after: timedelta) -> None:
        message = {"role": "customer", "text": text, "at": None, "name": None}
        at = self.clock() + after
        with self.store.begin() as connection:
            operations.add(connection, ulid(at), handoff, "say", {"messages": [message]}, at)

    def report(self, *triggers: Trigger, since: timedelta = 30 * DAY, **more: Any) -> dict[str, Any]:
        now = self.clock() + DAY
        return report(self.store, self.clock() - since, now, triggers=triggers, **more)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store without rows: copying it is quicker than making one."""
    place = tmp_path_factory.mktemp("report") / "empty.db"
    Store(f"sqlite:///{place}").close()
    return place


@pytest.fixture
def happened(empty: Path, tmp_path: Path) -> Iterator[Happened]:
    shutil.copy(empty, tmp_path / "handrail.db")
    made = Happened(f"sqlite:///{tmp_path}/handrail.db")
    yield made
    made.store.close()


@pytest.fixture
def anywhere(store_url: str) -> Iterator[Happened]:
    """The same on each kind of store."""
    made = Happened(store_url)
    yield made
    made.store.close()


def test_volume_is_counted_by_day_hour_and_every_name(anywhere: Happened) -> None:
    anywhere.handoff(urgency="high", group="billing")
    anywhere.clock.advance(2 * DAY + HOUR)
    anywhere.handoff(trigger=None, reason="policy")
    anywhere.handoff()
    found = anywhere.report()
    hour = anywhere.clock().hour

    assert found["handoffs"] == 3
    assert [row["handoffs"] for row in found["by_day"]] == [1, 2]
    assert {row["hour"]: row["handoffs"] for row in found["by_hour"] if row["handoffs"]} == {
        (hour - 1) % 24: 1,
        hour: 2,
    }
    assert [(row["trigger"], row["handoffs"]) for row in found["by_trigger"]] == [("stuck", 2), (BY_HAND, 1)]
    assert {row["group"]: row["handoffs"] for row in found["by_group"]} == {"billing": 1, "(no group)": 2}
    assert {row["urgency"]: row["handoffs"] for row in found["by_urgency"]} == {"high": 1, "normal": 2}
    assert {row["reason"]: row["handoffs"] for row in found["by_reason"]} == {"configured": 2, "policy": 1}
    assert [row["desk"] for row in found["by_desk"]] == ["support"]


def test_only_handoffs_since_the_time_count_and_pages_lose_none(
    anywhere: Happened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "PAGE", 3)
    anywhere.handoff()
    anywhere.clock.advance(31 * DAY)
    for _ in range(7):  # all of one moment: only the id tells them apart
        anywhere.handoff()

    assert anywhere.report()["handoffs"] == 7
    assert anywhere.report(since=40 * DAY)["handoffs"] == 8


def test_solved_without_a_human_reply_is_neither_a_note_nor_a_deleted_ticket(happened: Happened) -> None:
    silent = happened.handoff(state="solved")
    happened.update(silent, "note", HOUR, text="looked at it", public=False)
    answered = happened.handoff(state="closed")
    happened.update(answered, "reply", HOUR, text="Here it is", public=True)
    deleted = happened.handoff(state="closed")
    happened.update(deleted, "deleted", HOUR)
    happened.handoff()  # still with humans
    row = happened.report()["all"]

    assert (row["ended"], row["solved_without_human_reply"], row["answered"]) == (2, 1, 1)


def test_a_ticket_that_left_its_first_group_was_rerouted(happened: Happened) -> None:
    moved, stayed, triaged = (happened.handoff() for _ in range(3))
    happened.update(moved, "created", MINUTE, group="Support")
    happened.update(moved, "assignment", HOUR, group="Billing")
    happened.update(stayed, "created", MINUTE, group="Support")
    happened.update(stayed, "assignment", HOUR, group="support", assignee="Bo")
    happened.update(triaged, "created", MINUTE)
    happened.update(triaged, "assignment", HOUR, group="Billing")

    assert happened.report()["all"]["rerouted"] == 1


def test_the_group_that_a_ticket_began_in_is_kept(worlds: Worlds) -> None:
    world = worlds(settings={"groups": {"first-line": "Support"}})
    handoff = world.hand_off(group="first-line")
    world.run()

    assert [update.group for update in world.updates(handoff, UpdateKind.CREATED)] == ["Support"]


def test_first_answers_are_timed_and_held_against_the_promise(happened: Happened) -> None:
    early, late, unanswered, pending = (happened.handoff(due=2 * HOUR) for _ in range(4))
    happened.handoff(state="solved", due=2 * HOUR)  # ended without an answer: nothing was missed
    happened.update(early, "reply", HOUR, text="a")
    happened.update(early, "reply", 9 * HOUR, text="b")
    happened.update(late, "reply", 3 * HOUR, text="c")
    row = happened.report()["all"]

    assert unanswered != pending
    assert (row["sla_kept"], row["sla_missed"], row["answered"]) == (1, 3, 2)
    assert row["first_answer_median"] == pytest.approx(3600, rel=0.02)
    assert row["first_answer_p90"] == pytest.approx(3 * 3600, rel=0.02)


def test_a_promise_that_can_still_be_kept_counts_for_neither(happened: Happened) -> None:
    happened.handoff(due=25 * HOUR)
    row = happened.report()["all"]

    assert (row["sla_kept"], row["sla_missed"], row["sla_kept_share"]) == (0, 0, None)


@pytest.mark.parametrize(
    ("reply", "then", "repeats"),
    [
        ("Which order is it?", "It is ord-1182.", 1),
        ("Which order is it?", "It is XORD-11823", 0),
        ("Is it ORD-1182?", "Yes, ORD-1182", 0),
        ("Which order is it?", "> your order ORD-1182\nI do not know", 0),
        ("Your address?", "ann@example.com, as I said", 1),
        ("Which plan?", "The gold one", 0),
    ],
)
def test_a_repeated_detail_is_one_that_no_human_had_named(
    happened: Happened, reply: str, then: str, repeats: int
) -> None:
    handoff = happened.handoff()
    happened.update(handoff, "customer_message", MINUTE, text="ORD-1182, before anybody asked")
    happened.update(handoff, "reply", HOUR, text=reply)
    happened.update(handoff, "customer_message", 2 * HOUR, text=then)

    assert happened.report()["all"]["repeated_a_detail"] == repeats


def test_what_the_customer_said_through_us_counts_as_well(happened: Happened) -> None:
    handoff = happened.handoff()
    happened.said(handoff, "ORD-1182", timedelta(0))
    happened.update(handoff, "reply", HOUR, text="Which order?")
    assert happened.report()["all"]["repeated_a_detail"] == 0
    happened.said(handoff, "As I said: ORD-1182", 2 * HOUR)

    assert happened.report()["all"]["repeated_a_detail"] == 1


def findings(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["kind"]: each for each in found["findings"]}


def test_a_needless_trigger_is_named_with_the_change_and_its_replay(happened: Happened) -> None:
    for number in range(ENOUGH):
        handoff = happened.handoff(state="solved")
        if number >= 4:
            happened.update(handoff, "reply", HOUR, text="done")
    [finding] = happened.report(STUCK, policy="my policy.toml")["findings"]

    assert (finding["kind"], finding["trigger"]) == ("over_escalation", "stuck")
    assert (finding["number"], finding["of"]) == (4, ENOUGH)
    assert "raise `failed_attempts >= 3` to `failed_attempts >= 4`" in finding["change"]
    assert shlex.split(finding["command"]) == [
        *("handrail", "replay", "conversations.jsonl", "--policy", "my policy.toml"),
        *("--try", "stuck.when=failed_attempts >= 4"),
    ]


def test_few_handoffs_say_nothing(happened: Happened) -> None:
    for _ in range(ENOUGH - 1):
        happened.handoff(state="solved")

    assert happened.report(STUCK)["findings"] == []


def test_nothing_is_found_about_a_trigger_that_is_gone(happened: Happened) -> None:
    for _ in range(ENOUGH):
        happened.handoff(state="solved")

    assert happened.report()["findings"] == []


def test_a_wrong_queue_names_the_group_in_our_words(happened: Happened) -> None:
    for number in range(ENOUGH):
        handoff = happened.handoff()
        happened.update(handoff, "created", MINUTE, group="Support")
        if number < 3:
            happened.update(handoff, "assignment", HOUR, group="Billing Tier 2" if number else "Sales")
    finding = findings(happened.report(STUCK, groups={"support": {"billing": "Billing Tier 2"}}))[
        "wrong_queue"
    ]

    assert (finding["number"], finding["of"]) == (3, ENOUGH)
    assert "2 of them to Billing Tier 2" in finding["says"]
    assert "--try stuck.group=billing" in finding["command"]


def test_late_answers_and_repeated_details_are_found(anywhere: Happened) -> None:
    for _ in range(ENOUGH):
        handoff = anywhere.handoff(due=HOUR)
        anywhere.update(handoff, "reply", 2 * HOUR, text="Which order?")
        anywhere.update(handoff, "customer_message", 3 * HOUR, text="ORD-1182")
    found = findings(anywhere.report(STUCK))

    assert found["late_answer"]["number"] == ENOUGH
    assert "--try stuck.urgency=+1" in found["late_answer"]["command"]
    assert "half of all answers took more than 2h" in found["late_answer"]["says"]
    assert "order_id (10)" in found["repeated_detail"]["says"]
    assert "next_steps" in found["repeated_detail"]["change"]


def test_times_stay_small_and_near_the_truth() -> None:
    times = Times()
    for second in range(100_000):
        times.add(second)

    assert len(times.steps) < 700
    assert times.below(0.5) == pytest.approx(50_000, rel=0.02)
    assert times.below(0.9) == pytest.approx(90_000, rel=0.02)
    assert Times().below(0.5) is None


def test_names_that_are_too_many_count_together() -> None:
    known: dict[str, int] = {}
    for number in range(10_000):
        name = named(f"group {number}", known)
        known[name] = known.get(name, 0) + 1

    assert len(known) == MOST_NAMES + 1
    assert known[OTHERS] == 10_000 - MOST_NAMES


def test_a_day_without_handoffs_is_shown_as_one_and_a_long_time_only_where_something_was() -> None:
    assert list(_without_gaps({"2026-11-20": 3, "2026-11-22": 1})) == [
        ("2026-11-20", 3),
        ("2026-11-21", 0),
        ("2026-11-22", 1),
    ]
    assert list(_without_gaps({"2020-01-01": 3, "2026-11-22": 1})) == [("2020-01-01", 3), ("2026-11-22", 1)]
    assert list(_without_gaps({})) == []
