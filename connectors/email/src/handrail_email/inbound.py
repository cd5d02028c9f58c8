"""What came in: replies, notes, commands and bounces, each on its ticket; everything else is left alone.

A ticket is recognised by the signed address, then by our own Message-ID, then by what its desk calls it
(learnt from the desk's first answer), then by the tag in our subject.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from handrail import Actor, Mail, Page, Status, Ticket, Undone, Update, UpdateKind
from handrail_email import bounces, floods, replies, tokens, trust
from handrail_email.letters import Letter, names_of, remembering
from handrail_email.settings import EmailAccount


def page(
    account: EmailAccount, mails: Sequence[Mail], known: Sequence[Ticket], cursor: str, more: bool
) -> Page:
    """The updates in these mails, and the tickets about whose desks something was learnt."""
    tickets = {ticket.id: ticket for ticket in known}
    updates, undone = list[Update](), list[Undone]()
    for letter in (Letter.of(account, mail) for mail in mails):
        if letter.is_ours:
            continue
        if letter.bounce:
            undone += _returned(letter, letter.bounce)
        elif late := bounces.delay(letter.mail):
            updates += _delayed(letter, late)
        elif ticket_id := _ticket_of(letter, tickets):
            ticket = tickets.get(ticket_id)
            said = list(_said(letter, ticket_id, ticket))
            if ticket is not None and said:
                ticket = floods.heard(ticket, letter)
                said = [_too_many(letter, ticket_id)] if floods.is_one(ticket, letter) else said
            updates += said
            if ticket is not None:
                tickets[ticket_id] = _after(remembering(ticket, letter), said)
    after = [(ticket, floods.lately(tickets[ticket.id])) for ticket in known]
    learnt = [ticket for before, ticket in after if ticket != before]
    return Page(updates, learnt, cursor, more, undone)


def _after(ticket: Ticket, said: Sequence[Update]) -> Ticket:
    """The ticket with these updates taken; old mails that are read once more change nothing."""
    news = [update for update in said if ticket.updated_at is None or update.at >= ticket.updated_at]
    for update in news:
        changed = {"status": update.status, "raw_status": update.raw_status, "assignee": update.assignee}
        known = {name: value for name, value in changed.items() if value}
        ticket = ticket.model_copy(update={**known, "updated_at": update.at})
    return ticket


# Whose is it?


def _returned(letter: Letter, bounce: bounces.Bounce) -> Iterator[Undone]:
    """A mail of ours came back."""
    if _is_about_our_copy(letter, bounce):
        return
    named = next(iter(tokens.ours([bounce.about])), None)
    ticket_id = letter.addressed(tokens.BOUNCE) or (named[0] if named else None)
    if ticket_id:
        marker = named[1] if named and named[0] == ticket_id and named[1] != "0" else None
        yield Undone(ticket_id, f"the mail came back: {bounce.why}", marker)


def _is_about_our_copy(letter: Letter, bounce: bounces.Bounce) -> bool:
    """That the copy to ourselves did not arrive means nothing."""
    return bool(bounce.recipients) and set(bounce.recipients) <= {letter.account.answers.lower()}


def _delayed(letter: Letter, late: bounces.Bounce) -> Iterator[Update]:
    ticket_id = letter.addressed(tokens.BOUNCE)
    if ticket_id and not _is_about_our_copy(letter, late):
        text = f"A mail of ours has not arrived yet, its server goes on trying: {late.why}"
        yield _made(letter, ticket_id, UpdateKind.NOTE, actor=Actor(), text=text, public=False)


def _ticket_of(letter: Letter, tickets: Mapping[str, Ticket]) -> str | None:
    named = next((ticket for ticket, _ in tokens.ours(letter.idents)), None)
    strong = letter.addressed(tokens.REPLY) or named
    if strong or not letter.is_from_staff:
        return strong
    called = [ticket.id for ticket in tickets.values() if names_of(ticket) & letter.names]
    tagged = (ticket.id for ticket in tickets.values() if tokens.tag(ticket.id) in letter.header("Subject"))
    return called[0] if called else next(tagged, None)


# What does it say?


def _said(letter: Letter, ticket_id: str, ticket: Ticket | None) -> Iterator[Update]:
    """The updates of one mail on a ticket."""
    name, address = letter.sender
    if letter.is_automatic or (trust.is_bulk(letter.mail) and not _is_of_a_desk(letter, ticket)):
        return
    if letter.is_genuine and letter.is_from_staff:
        yield from _by_staff(letter, ticket_id, replies.read(letter.text, letter.header("Subject")))
    elif letter.is_genuine and address and address == str(ticket and ticket.raw.get("customer")).lower():
        customer, text = Actor(kind="customer", name=name or address), replies.own_text(letter.text)
        yield _made(letter, ticket_id, UpdateKind.CUSTOMER_MESSAGE, actor=customer, text=text, public=True)
    else:
        yield _not_taken(letter, ticket_id)


def _is_of_a_desk(letter: Letter, ticket: Ticket | None) -> bool:
    """Ticket systems send what a person wrote there as bulk mail: known by the desk's own tag and ids."""
    return bool(names_of(ticket) & letter.names) or bool(letter.tags and letter.addressed(tokens.REPLY))


def _by_staff(letter: Letter, ticket_id: str, reply: replies.Reply) -> Iterator[Update]:
    """What a person of the team wrote and ordered; an answer without an order waits for the customer."""
    if reply.text:
        kind = UpdateKind.NOTE if reply.note else UpdateKind.REPLY
        yield _made(letter, ticket_id, kind, text=reply.text, public=not reply.note)
    if reply.assignee:
        yield _made(letter, ticket_id, UpdateKind.ASSIGNMENT, ":assign", assignee=reply.assignee)
    status = reply.status or (Status.PENDING if reply.text and not reply.note else None)
    if status:
        word = f"#{reply.status.value}" if reply.status else "answered"
        yield _made(letter, ticket_id, UpdateKind.STATUS, ":status", status=status, raw_status=word)


def _not_taken(letter: Letter, ticket_id: str) -> Update:
    """Nothing is dropped without a word; one word for each sender is enough."""
    address = letter.sender[1] or "an unreadable sender"
    why = "is not in staff" if letter.is_genuine else "is not vouched for by our mail server"
    text = f"A mail from {address} was not taken: the sender {why}"
    note = _made(letter, ticket_id, UpdateKind.NOTE, actor=Actor(), text=text, public=False)
    return note.model_copy(update={"id": f"mail:{ticket_id}:not-taken:{address}"})


def _too_many(letter: Letter, ticket_id: str) -> Update:
    text = (
        f"More than {floods.MOST} mails came within an hour; the others lie in the mailbox and were not taken"
    )
    note = _made(letter, ticket_id, UpdateKind.NOTE, actor=Actor(), text=text, public=False)
    return note.model_copy(update={"id": f"mail:{ticket_id}:too-many:{letter.arrived.at:%Y%m%d%H}"})


def _made(letter: Letter, ticket_id: str, kind: UpdateKind, suffix: str = "", **more: Any) -> Update:
    name, address = letter.sender
    about: dict[str, Any] = {"ticket_id": ticket_id, "handoff_id": ticket_id, "at": letter.arrived.at}
    about["raw"] = {header: letter.header(header) for header in ("Message-ID", "From", "Subject")}
    about["actor"] = Actor(kind="human", name=name or address)
    return Update(id=f"mail:{ticket_id}:{letter.digest}{suffix}", kind=kind, **(about | more))
