"""What must hold: on the way, and when nothing is left to do. Read from the store and from the desks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tests.simulation.places import CountingAcme, Place

from handrail.engine import LEASE_SECONDS
from handrail.testing.clock import START

if TYPE_CHECKING:
    from tests.simulation.story import Tale
    from tests.simulation.universe import Universe

_MOVES = {
    "accepted": {"delivering", "cancelled", "undelivered", "with_humans", "solved", "closed"},
    "delivering": {"accepted", "with_humans", "solved", "closed", "undelivered", "cancelled"},
    "with_humans": {"solved", "closed"},
    "solved": {"with_humans", "closed"},
    "closed": {"with_humans"},
    "waiting": {"accepted", "cancelled"},
    "undelivered": {"accepted", "cancelled"},
    "cancelled": set(),
}
_STATE_OF = {"solved": "solved", "closed": "closed", "deleted": "closed"}
APART = 6.0
"""Seconds: statuses of one ticket that are closer together may be told as one."""


def on_the_way(universe: Universe) -> None:
    """What must hold at any time between two steps."""
    _feed(universe)
    _settled(universe)
    gone = universe.raw.execute("select what from sim_erased").fetchone()
    universe.check(gone is None, f"{gone} was erased or changed")
    for place in universe.places.values():
        if isinstance(place.desk, CountingAcme) and place.exact and "late" not in _struck(universe):
            twice = [marker for marker, count in place.desk.made.items() if count > 1]
            universe.check(not twice, f"{place.name} made two tickets for {twice}")
        universe.check(place.desk.errors == [], f"the simulated desk itself failed: {place.desk.errors}")


def _settled(universe: Universe) -> None:
    """What a webhook brought that is done with, has been told, without waiting for a poll.

    Of a ticket that became known long after its webhooks, the reading that follows may still be to come.
    """
    if not universe.places["first"].is_acme:
        return
    query = "select id, body, state from hooks where state <> 'todo' and desk = 'first'"
    known = {id for (id,) in universe.raw.execute("select id from updates")}
    known |= {f"first:{id}" for (id,) in universe.raw.execute("select event_id from ours")}
    ours = {id for (id,) in universe.raw.execute("select id from tickets where desk = 'first'")}
    for hook, body, state in universe.raw.execute(query):
        event = json.loads(body).get("event") or {}
        if event.get("by") == "human" and event["case"] in ours and f"first:{event['id']}" not in known:
            universe.check(
                universe.agenda.waits(f"read:first first/{event['case']} "),
                f"the webhook {hook} is {state}, and {event['id']} was not told",
            )


def _struck(universe: Universe) -> set[str]:
    """Faults after which there may be a second ticket for a while, on a desk without keys."""
    jumped = universe.settings.jumps > 0
    return {"late"} if universe.chance.counts["fault late"] or jumped else set()


def _feed(universe: Universe) -> None:
    """A subscriber reads on from where it was; nothing may ever appear behind it."""
    seen = universe.feed[-1][0] if universe.feed else 0
    rows = universe.raw.execute("select seq, id from updates order by seq").fetchall()
    universe.check(rows[: len(universe.feed)] == universe.feed, f"an update appeared below the cursor {seen}")
    universe.feed = rows


def at_the_end(universe: Universe) -> None:
    """What must hold when nothing is left to do and the desks have been asked once more."""
    stored = {row["id"]: row for row in _rows(universe, "select * from handoffs")}
    universe.check(
        len(stored) == sum(tale.id is not None for tale in universe.tales),
        "there are handoffs that nobody handed off",
    )
    for tale in universe.tales:
        row = stored.get(tale.id or "")
        universe.check(row is not None, f"conversation {tale.number} was lost")
        if row is not None and not universe.broken:
            _tale(universe, tale, row)
    _hooks(universe)
    _undisturbed(universe)
    for word in ("and is ended", "so it stays open", "it goes on there", "it shows no ticket"):
        query = "select count(*) from timeline where text like ?"
        universe.chance.counts[f"told: {word}"] += universe.raw.execute(query, (f"%{word}%",)).fetchone()[0]
    for state, count in universe.raw.execute("select state, count(*) from handoffs group by state"):
        universe.chance.counts[f"state {state}"] += count
    with_ticket = "select count(*) from handoffs where ticket_id is not null"
    universe.chance.counts["tickets"] += universe.raw.execute(with_ticket).fetchone()[0]
    for row in _rows(universe, "select * from sim_moves"):
        right = row["new"] in _MOVES[row["old"]]
        universe.check(right, f"{row['handoff_id']} moved from {row['old']} to {row['new']}")
    errors = _rows(universe, "select text from timeline where text like '%error in the connector%'")
    universe.check(not errors, f"{errors[:1]}")


def _undisturbed(universe: Universe) -> None:
    """Nobody takes over an attempt that a living process makes within its time."""
    settings = universe.settings
    dead = any(name == "taken for dead" for _, name in universe.chance.struck)
    if not dead and not settings.jumps and universe.longest + 2 * settings.skewed < LEASE_SECONDS:
        lines = _rows(universe, "select * from timeline where text like '%counts no more%'")
        universe.check(not lines, f"an attempt was disturbed: {lines[:1]}")


def _rows(universe: Universe, query: str, *values: Any) -> list[dict[str, Any]]:
    cursor = universe.raw.execute(query, values)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def _tale(universe: Universe, tale: Tale, row: dict[str, Any]) -> None:
    check, id, state = universe.check, row["id"], row["state"]
    lines = [line["text"] for line in _rows(universe, "select text from timeline where handoff_id = ?", id)]
    operations = _rows(universe, "select * from operations where handoff_id = ? order by seq", id)
    check(row["lease_by"] is None and row["due_at"] is None, f"{id} is still due or leased: {state}")
    if state == "undelivered":
        check(row["last_error"], f"{id} is undelivered without a reason")
        check(any("undelivered" in line for line in lines), f"the timeline of {id} does not say why")
        check(not row["ticket_id"], f"{id} is undelivered and has a ticket")
    elif state == "cancelled":
        check(tale.wants == "cancel", f"{id} was cancelled by nobody")
        for place in universe.places.values():
            found = _tickets(place, tale, id) and not _came_late(universe, id)
            check(not found, f"{id} was cancelled and is on {place.name}")
    else:
        check(state in ("with_humans", "solved", "closed"), f"{id} is left {state}: {row['last_error']}")
        if row["ticket_id"] is not None and not universe.broken:
            _delivered(universe, tale, row, lines, operations)
    if not universe.broken:
        _elsewhere(universe, tale, row, lines)


def _came_late(universe: Universe, id: str) -> int:
    """On how many requests the desk acted, or may have, after a no to a later one: nobody can know that."""
    return sum(id.encode() in body for body in universe.late)


def _tickets(place: Place, tale: Tale, id: str) -> list[str]:
    """The tickets that people at a desk find for a handoff, and which nobody has ended as a twin."""
    desk = place.desk
    if isinstance(desk, CountingAcme):
        return [case["id"] for case in desk.cases.values() if case["marker"].startswith(id)]
    return [ticket.id for ticket in desk.tickets if tale.token in ticket.subject]


def _elsewhere(universe: Universe, tale: Tale, row: dict[str, Any], lines: Sequence[str]) -> None:
    """One ticket in all; what a desk that was given up held all the same has been ended, or is the one."""
    for place in universe.places.values():
        ids = _tickets(place, tale, row["id"])
        if row["ticket_id"]:  # else there is nothing that they could be twins of
            ids = [id for id in ids if not _is_told_twin(place, id, tale, lines)]
        if (row["desk"], row["ticket_id"]) == (place.name, row["ticket_id"]) and row["ticket_id"]:
            universe.check(
                ids == [row["ticket_id"]], f"{row['id']} has the tickets {ids}, not {row['ticket_id']}"
            )
        elif ids:
            late = _came_late(universe, row["id"])
            universe.check(len(ids) <= late, f"{row['id']} also has {ids} on {place.name}")


def _is_told_twin(place: Place, id: str, tale: Tale, lines: Sequence[str]) -> bool:
    """It was ended, or stays open because people have written on it."""
    written = any((act.place, act.ticket_id) == (place.name, id) for act in tale.acts)
    kinds = ("was a twin of", *(["is a twin of"] if written else []))
    return any(
        line.startswith(f"ticket {id} on {place.name} ") and any(k in line for k in kinds) for line in lines
    )


# What is on the ticket.


def _delivered(
    universe: Universe,
    tale: Tale,
    row: dict[str, Any],
    lines: Sequence[str],
    operations: Sequence[dict[str, Any]],
) -> None:
    check, id = universe.check, row["id"]
    place = universe.places[row["desk"]]
    check(place.known(row["ticket_id"]), f"the ticket {row['ticket_id']} of {id} is not on {row['desk']}")
    if universe.broken:
        return
    check(not [o for o in operations if o["state"] == "todo"], f"{id} has something left to send")
    failed = [o for o in operations if o["state"] == "failed"]
    check(not failed or row["last_error"], f"an operation of {id} failed without a word")
    lost = {token for token in tale.said for o in failed if token in o["payload"]}
    text = _text(place, row["ticket_id"])
    check(tale.token in text, f"the question of {id} is not on its ticket")
    late = {
        token
        for token in tale.said
        for o in operations
        if token in o["payload"] and _came_late(universe, o["id"])
    }
    positions = []
    for token in tale.said:
        if token not in lost:
            check(text.count(token) == 1, f"{token} stands {text.count(token)} times on the ticket of {id}")
            positions += [text.find(token)] if token not in late else []
        else:
            check(text.count(token) <= 1, f"{token} stands twice")
    check(positions == sorted(positions), f"the messages of {id} are out of order: {tale.said}")
    _updates(universe, tale, row, place)


def _text(place: Place, ticket_id: str) -> str:
    if isinstance(place.desk, CountingAcme):
        return "\n".join(note["text"] for note in place.desk.cases[ticket_id]["notes"])
    ticket = next(ticket for ticket in place.desk.tickets if ticket.id == ticket_id)
    return "\n".join(comment.body for comment in ticket.comments) + "\n" + ticket.subject


def _updates(universe: Universe, tale: Tale, row: dict[str, Any], place: Place) -> None:
    check, id = universe.check, row["id"]
    rows = _rows(universe, "select seq, kind, body, at from updates where handoff_id = ? order by seq", id)
    updates = [{**each, **json.loads(each["body"]), "seq": each["seq"]} for each in rows]
    for act in tale.acts:
        if act.what not in ("reply", "note") or (act.place, act.ticket_id) != (row["desk"], row["ticket_id"]):
            continue
        told = [u for u in updates if act.token in (u["text"] or "")]
        check(len(told) == 1, f"the {act.what} {act.token} on {id} is {len(told)} updates")
        check(not told or told[0]["kind"] == act.what, f"the {act.what} {act.token} is {told[:1]}")
    spoken = ("reply", "note", "customer_message")
    echo = [u for u in updates if u["kind"] in spoken and any(t in (u["text"] or "") for t in tale.said)]
    check(not echo, f"our own message came back as an update of {id}: {echo[:1]}")
    created = [u for u in updates if u["kind"] == "created"]
    check(len(created) == 1, f"{id} was created {len(created)} times")
    if isinstance(place.desk, CountingAcme):
        _statuses(universe, row, place.desk, updates)
    else:
        # what a customer says later opens a ticket again
        acts = [act.what for act in tale.acts if act.ticket_id == row["ticket_id"]]
        solved = not tale.said and acts[-1:] == ["solve"]
        check(not solved or row["state"] in ("solved", "closed"), f"{id} is {row['state']}, and was solved")


def _statuses(universe: Universe, row: dict[str, Any], desk: CountingAcme, updates: list[Any]) -> None:
    """Each status that people set and that stood for a moment is one update, and none is told that was not.

    One that we set as well, in closing, may be taken for ours.
    """
    check, id = universe.check, row["id"]
    history = _changes(desk.history[row["ticket_id"]])
    closed_too = {status for _, status, by in desk.history[row["ticket_id"]][1:] if by == "us"}
    last = history[-1][1]
    check(row["state"] == _STATE_OF.get(last, "with_humans"), f"{id} is {row['state']}, its ticket {last}")
    told = [
        (datetime.fromisoformat(u["at"]).astimezone(UTC), u["status"])
        for u in sorted(updates, key=lambda u: (u["at"], u["seq"]))
        if u["kind"] in ("created", "status")
    ]
    names = [status for _, status, _ in history]
    rest = iter(names)
    # of changes in one moment nobody can tell which was first, where they come by different roads
    crowded = any((other - one).total_seconds() < APART for (one, *_), (other, *_) in pairwise(history))
    check(
        crowded or all(any(status == name for name in rest) for _, status in told),
        f"{id}: the statuses {names} were told as {[status for _, status in told]}",
    )
    for position, (at, status, by) in enumerate(history):
        near = [
            other for other, _, _ in history if other is not at and abs(other - at).total_seconds() < APART
        ]
        jumped = universe.settings.jumps  # what is first and what later cannot be told from clocks that jump
        if by == "human" and not near and position and status not in closed_too and not jumped:
            # told then, or later as what a snapshot showed: two changes to one status may be told as one
            there = any(status == known and at - timedelta(seconds=1) <= when for when, known in told)
            check(there, f"{id}: the status {status} of {(at - START).total_seconds():.0f} s was not told")
    moves = _rows(universe, "select old, new from sim_moves where handoff_id = ? order by n", id)
    again = sum(move["old"] in ("solved", "closed") and move["new"] == "with_humans" for move in moves)
    reopened = sum(a[1] == "solved" and b[1] != "solved" for a, b in pairwise(history))
    check(again <= reopened + crowded, f"{id} was reopened {again} times, on the desk {reopened} times")


def _changes(history: list[tuple[datetime, str, str]]) -> list[tuple[datetime, str, str]]:
    kept: list[tuple[datetime, str, str]] = []
    for each in history:
        if not kept or kept[-1][1] != each[1]:
            kept.append(each)
    return kept


def _hooks(universe: Universe) -> None:
    for hook in _rows(universe, "select id, state, error from hooks"):
        right = hook["state"] == "done" or (hook["state"] == "ignored" and hook["error"])
        universe.check(right, f"the webhook {hook['id']} is left {hook['state']}")
