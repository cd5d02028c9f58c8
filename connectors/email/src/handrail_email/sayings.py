"""What one mail says, as updates: who may say it, what they wrote, and what follows for the ticket."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from handrail import Actor, Status, Ticket, Update, UpdateKind
from handrail_email import floods, replies, tokens, trust
from handrail_email.letters import Letter, names_of

ANSWERED = (Status.PENDING, Status.SOLVED, Status.CLOSED)
"""Where the team has nothing more to do, until the customer writes again."""
ASKS = "the customer wrote"
MAX_TEXT = 64_000
"""Characters of a mail's whole text that are kept beside what was read in it."""


def said(letter: Letter, ticket_id: str, ticket: Ticket | None) -> list[Update]:
    """The updates of one mail on a ticket."""
    if letter.is_automatic or (trust.is_bulk(letter.mail) and not _is_of_a_desk(letter, ticket)):
        return []
    if letter.is_genuine and letter.is_from_staff:
        reply = replies.read(letter.text, letter.header("Subject"))
        return _with_all(letter, _by_staff(letter, ticket_id, reply))
    address = letter.sender[1]
    if ticket and letter.is_genuine and address and address == str(ticket.raw.get("customer")).lower():
        return _with_all(letter, _by_customer(letter, ticket))
    return [_not_taken(letter, ticket_id)]


def _with_all(letter: Letter, updates: Iterable[Update]) -> list[Update]:
    """The first update keeps the text before it was cut: somebody may have meant what was cut off."""
    known = list(updates)
    whole = {"text": letter.text[:MAX_TEXT]}
    return [each.model_copy(update={"raw": each.raw | whole}) for each in known[:1]] + known[1:]


def _is_of_a_desk(letter: Letter, ticket: Ticket | None) -> bool:
    """Ticket systems send what a person wrote there as bulk mail: known by the desk's own tag and ids."""
    return bool(names_of(ticket) & letter.names) or bool(letter.tags and letter.addressed(tokens.REPLY))


def _by_staff(letter: Letter, ticket_id: str, reply: replies.Reply) -> Iterator[Update]:
    """What a person of the team wrote and ordered; an answer without an order waits for the customer."""
    if reply.text:
        kind = UpdateKind.NOTE if reply.note else UpdateKind.REPLY
        yield made(letter, ticket_id, kind, text=reply.text, public=not reply.note)
    if reply.assignee:
        yield made(letter, ticket_id, UpdateKind.ASSIGNMENT, ":assign", assignee=reply.assignee)
    status = reply.status or (Status.PENDING if reply.text and not reply.note else None)
    if status:
        word = f"#{reply.status.value}" if reply.status else "answered"
        yield made(letter, ticket_id, UpdateKind.STATUS, ":status", status=status, raw_status=word)


def _by_customer(letter: Letter, ticket: Ticket) -> Iterator[Update]:
    """A customer who writes again waits no longer: the work is open. An old mail that is read once more,
    behind what was done since, opens nothing.
    """
    name, address = letter.sender
    customer, text = Actor(kind="customer", name=name or address), replies.own_text(letter.text)
    yield made(letter, ticket.id, UpdateKind.CUSTOMER_MESSAGE, actor=customer, text=text, public=True)
    if ticket.status in ANSWERED and not (ticket.updated_at and letter.arrived.at <= ticket.updated_at):
        known = {"actor": customer, "status": Status.OPEN, "raw_status": ASKS}
        yield made(letter, ticket.id, UpdateKind.STATUS, ":status", **known)


def _not_taken(letter: Letter, ticket_id: str) -> Update:
    """Nothing is dropped without a word; one word for each sender is enough."""
    address = letter.sender[1] or "an unreadable sender"
    why = "is not in staff" if letter.is_genuine else "is not vouched for by our mail server"
    text = f"A mail from {address} was not taken: the sender {why}"
    note = made(letter, ticket_id, UpdateKind.NOTE, actor=Actor(), text=text, public=False)
    return note.model_copy(update={"id": f"mail:{ticket_id}:not-taken:{address}"})


def too_many(letter: Letter, ticket_id: str) -> Update:
    text = (
        f"More than {floods.MOST} mails came within an hour; the others lie in the mailbox and were not taken"
    )
    note = made(letter, ticket_id, UpdateKind.NOTE, actor=Actor(), text=text, public=False)
    return note.model_copy(update={"id": f"mail:{ticket_id}:too-many:{letter.arrived.at:%Y%m%d%H}"})


def made(letter: Letter, ticket_id: str, kind: UpdateKind, suffix: str = "", **more: Any) -> Update:
    name, address = letter.sender
    about: dict[str, Any] = {"ticket_id": ticket_id, "handoff_id": ticket_id, "at": letter.arrived.at}
    about["raw"] = {header: letter.header(header) for header in ("Message-ID", "From", "Subject")}
    about["actor"] = Actor(kind="human", name=name or address)
    return Update(id=f"mail:{ticket_id}:{letter.digest}{suffix}", kind=kind, **(about | more))
