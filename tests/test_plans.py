"""What a worker asks of a store that holds much: by an index, never by reading through a table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from tests.desks import SimulatedAcme, Worlds, customer_says

from handrail.config import Sla
from handrail.policy.chain import Raise
from handrail.testing import World, a_conversation

LARGE = ("handoffs", "operations", "journal", "tickets", "updates", "timeline", "hooks", "ours", "side_steps")
SCANS = re.compile(rf"SCAN ({'|'.join(LARGE)})(?! USING (?:COVERING )?INDEX ix_)")
SLA = {"default": Sla.model_validate({"first_response": {"normal": "2h"}})}


@contextmanager
def asked(world: World) -> Iterator[dict[str, Any]]:
    """Statements with the values they were first sent with."""
    seen: dict[str, Any] = {}

    def note(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.split(None, 1)[0].lower() in ("select", "update", "delete"):
            seen.setdefault(statement, parameters)

    engine = world.rail.context.store.engine
    sa.event.listen(engine, "before_cursor_execute", note)
    yield seen
    sa.event.remove(engine, "before_cursor_execute", note)


def plan(world: World, statement: str, parameters: Any) -> str:
    with world.rail.context.store.read() as connection:
        rows = connection.exec_driver_sql(f"explain query plan {statement}", parameters).all()
    return "; ".join(row[3] for row in rows)


def scans(world: World, seen: dict[str, Any]) -> list[str]:
    plans = {statement: plan(world, statement, values) for statement, values in seen.items()}
    return [f"{found}: {statement}" for statement, found in plans.items() if SCANS.search(found)]


def many(world: World) -> None:
    """Rows enough for the database to prefer an index, and to know it."""
    for number in range(60):
        world.hand_off(a_conversation(f"question {number}", id=f"c-{number}"))
    with world.rail.context.store.begin() as connection:
        connection.execute(sa.text("analyze"))


def test_no_table_is_read_through_from_accepting_to_the_last_answer(
    worlds: Worlds, acme: SimulatedAcme
) -> None:
    world = worlds(sla=SLA, raises=(Raise(urgency="+1", notice="Nobody has answered yet."),))
    many(world)
    world.take_webhooks()
    with asked(world) as seen:
        handoff = world.hand_off(a_conversation("one more", id="c-more"))
        world.run(within=300)
        world.rail.say(handoff.id, customer_says("Any news?"))
        world.run(within=3600 * 3)
        acme.human_replies(world.show(handoff)["ticket"]["id"], "Your refund is on its way.")
        acme.human_solves(world.show(handoff)["ticket"]["id"])
        world.run(within=300)
        world.poll()
        world.recover()
        world.rail.roads.schedule_poll("desk", 60)  # else nothing further is asked
        world.rail._idle()
        assert any("watch_at <= ? AND handoffs.desk IN" in statement for statement in seen)
        assert world.show(handoff)["state"] == "solved"
    assert len(seen) > 40
    assert scans(world, seen) == []


def test_reading_through_a_table_would_be_seen(worlds: Worlds) -> None:
    world = worlds()
    many(world)
    statement = "select id from handoffs where watch_at <= ? order by id"
    assert scans(world, {statement: (1,)}) != []
