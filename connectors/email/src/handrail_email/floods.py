"""Too many mails: two machines that answer each other, without saying that they are machines, never end."""

from __future__ import annotations

from handrail import Ticket
from handrail_email.letters import Letter

MOST = 60
"""So many mails of one ticket are taken within an hour."""
HOUR = 3600
_HEARD = "heard"


def heard(ticket: Ticket, letter: Letter) -> Ticket:
    """The ticket that remembers this mail."""
    known = {**ticket.raw.get(_HEARD, {}), letter.digest[:12]: int(letter.arrived.at.timestamp())}
    return ticket.model_copy(update={"raw": ticket.raw | {_HEARD: known}})


def is_one(ticket: Ticket, letter: Letter) -> bool:
    """True behind the first mails of an hour; the same mail read once more has the same answer."""
    until = int(letter.arrived.at.timestamp())
    return bool(sum(until - HOUR < at <= until for at in ticket.raw[_HEARD].values()) > MOST)


def lately(ticket: Ticket) -> Ticket:
    """The ticket with as much of this as the next page needs."""
    if _HEARD not in ticket.raw:
        return ticket
    newest = sorted(ticket.raw[_HEARD].items(), key=lambda mail: mail[1])[-MOST:]
    return ticket.model_copy(update={"raw": ticket.raw | {_HEARD: dict(newest)}})
