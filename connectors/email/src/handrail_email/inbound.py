"""What came in: replies, notes, commands and bounces, each on its ticket; everything else is left alone.

A ticket is recognised by the signed address, then by our own Message-ID, then by what its desk calls it
(learnt from the desk's first answer), then by the tag in our subject.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from handrail import Actor, Mail, Page, Ticket, Undone, Update, UpdateKind
from handrail_email import bounces, floods, sayings, tokens
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
            said = sayings.said(letter, ticket_id, ticket)
            if ticket is not None and said:
                ticket = floods.heard(ticket, letter)
                said = [sayings.too_many(letter, ticket_id)] if floods.is_one(ticket, letter) else said
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
    """A mail of ours came back. Where it shows no Message-ID, the id of its envelope says which one it was,
    if it is of the very ticket that the address is signed for.
    """
    if _is_about_our_copy(letter, bounce):
        return
    named = next(iter(tokens.ours([bounce.about])), None)
    ticket_id = letter.addressed(tokens.BOUNCE) or (named[0] if named else None)
    if ticket_id:
        known = filter(None, (named, tokens.enveloped(bounce.envelope)))
        marker = next((marker for ticket, marker in known if ticket == ticket_id), "0")
        yield Undone(ticket_id, f"the mail came back: {bounce.why}", marker if marker != "0" else None)


def _is_about_our_copy(letter: Letter, bounce: bounces.Bounce) -> bool:
    """That the copy to ourselves did not arrive means nothing."""
    return bool(bounce.recipients) and set(bounce.recipients) <= {letter.account.answers.lower()}


def _delayed(letter: Letter, late: bounces.Bounce) -> Iterator[Update]:
    ticket_id = letter.addressed(tokens.BOUNCE)
    if ticket_id and not _is_about_our_copy(letter, late):
        text = f"A mail of ours has not arrived yet, its server goes on trying: {late.why}"
        yield sayings.made(letter, ticket_id, UpdateKind.NOTE, actor=Actor(), text=text, public=False)


def _ticket_of(letter: Letter, tickets: Mapping[str, Ticket]) -> str | None:
    named = next((ticket for ticket, _ in tokens.ours(letter.idents)), None)
    strong = letter.addressed(tokens.REPLY) or named
    if strong or not letter.is_from_staff:
        return strong
    called = [ticket.id for ticket in tickets.values() if names_of(ticket) & letter.names]
    tagged = (ticket.id for ticket in tickets.values() if tokens.tag(ticket.id) in letter.header("Subject"))
    return called[0] if called else next(tagged, None)
