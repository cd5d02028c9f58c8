"""What people at the simulated Freshdesk do, and the automation rules that ring for it."""

from __future__ import annotations

from typing import Any

from handrail.testing.desk import SimulatedComment, SimulatedDesk, SimulatedTicket, action
from handrail_freshdesk.simulated import text as texts
from handrail_freshdesk.simulated.records import (
    CUSTOM_STATUSES,
    PRIORITIES,
    STATUSES,
    Account,
    Conversation,
    Ticket,
)

AGENT = "Sam Support"
TEMPLATES = {
    "replied": '{"ticket":{"id":"{{ticket.id}}","status":"{{ticket.status_id}}",'
    '"requester_id":"{{ticket.requester.id}}"},"reply":{"body":"{{ticket.latest_public_comment_html}}",'
    '"body_text":"{{ticket.latest_public_comment}}","customer_email":"{{ticket.contact.email}}"}}',
    "updated": '{"ticket":{"id":"{{ticket.id}}","subject":"{{ticket.subject}}",'
    '"status":"{{ticket.status_id}}","priority":"{{ticket.priority_id}}",'
    '"requester_id":"{{ticket.requester.id}}","responder_id":"{{ticket.agent.id}}",'
    '"group_id":"{{ticket.group.id}}","type":"{{ticket.ticket_type}}"}}',
}
"""Bodies as an admin writes them: every value is a text, and quotation marks in a text break the JSON."""
LABELS = STATUSES | CUSTOM_STATUSES


class People(SimulatedDesk):
    """A desk with an ``account`` at which people work. Ticket ids are texts or numbers."""

    actions = (
        *SimulatedDesk.actions,
        "human_sets",
        "human_forwards",
        "customer_replies",
        "delete",
        "restore",
        "erase",
        "mark_as_spam",
        "archive",
    )
    account: Account
    templates: dict[str, str] = TEMPLATES
    note_bumps: bool = True

    @property
    def tickets(self) -> list[SimulatedTicket]:
        with self.lock:
            return [self._view(ticket) for ticket in self.account.tickets.values() if not ticket.deleted]

    @action
    def human_replies(self, ticket_id: str | int, text: str, *, name: str | None = None) -> str:
        return self._replied(self.ticket(ticket_id), text, name)

    def _replied(self, ticket: Ticket, words: str, name: str | None) -> str:
        agent = self.account.agent(name or AGENT)
        said = self.account.converse(ticket, agent, texts.markup_of(words), private=False, source=0)
        ticket.stats["first_responded_at"] = ticket.stats["first_responded_at"] or said.json()["created_at"]
        self.ring("replied", ticket)
        return str(said.id)

    @action
    def human_notes(self, ticket_id: str | int, text: str, *, name: str | None = None) -> str:
        ticket, agent = self.ticket(ticket_id), self.account.agent(name or AGENT)
        markup = texts.markup_of(text)
        said = self.account.converse(ticket, agent, markup, private=True, source=2, bump=self.note_bumps)
        self.ring("updated", ticket)
        return str(said.id)

    @action
    def human_forwards(self, ticket_id: str | int, text: str) -> str:
        """A person forwards the ticket by mail to somebody who is not the customer."""
        ticket, agent = self.ticket(ticket_id), self.account.agent(AGENT)
        said = self.account.converse(ticket, agent, texts.markup_of(text), private=False, source=8)
        return str(said.id)

    @action
    def human_solves(self, ticket_id: str | int, text: str | None = None, *, name: str | None = None) -> None:
        ticket = self.ticket(ticket_id)
        if text:
            self._replied(ticket, text, name)
        self._set(ticket, {"status": 4})

    @action
    def human_assigns(self, ticket_id: str | int, name: str) -> None:
        self._set(self.ticket(ticket_id), {"responder_id": self.account.agent(name).id})

    @action
    def human_sets(
        self,
        ticket_id: str | int,
        *,
        status: str | int | None = None,
        group: str | None = None,
        priority: int | None = None,
    ) -> None:
        """A person changes properties: a status by number or label, a group's name, a priority's number."""
        numbers = {label: number for number, label in LABELS.items()}
        wanted: dict[str, Any] = {}
        if status is not None:
            wanted["status"] = numbers.get(str(status), status)
        if group is not None:
            wanted["group_id"] = self.account.groups[group]
        if priority is not None:
            wanted["priority"] = priority
        self._set(self.ticket(ticket_id), wanted)

    @action
    def customer_replies(self, ticket_id: str | int, text: str) -> str:
        """The requester answers by e-mail; an automation opens what waited or was resolved."""
        ticket = self.ticket(ticket_id)
        who = self.account.people[ticket.data["requester_id"]]
        said = self.account.converse(
            ticket, who, texts.markup_of(text), private=False, incoming=True, source=0
        )
        if ticket.data["status"] != 2:
            self.account.change(ticket, {"status": 2})
        self.ring("replied", ticket)
        return str(said.id)

    @action
    def delete(self, ticket_id: str | int) -> None:
        """A person moves a ticket to the trash."""
        ticket = self.ticket(ticket_id)
        ticket.deleted, ticket.updated_at = True, self.account.now

    @action
    def restore(self, ticket_id: str | int) -> None:
        ticket = self.account.tickets[int(ticket_id)]
        ticket.deleted, ticket.updated_at = False, self.account.now

    @action
    def erase(self, ticket_id: str | int) -> None:
        """A ticket leaves the trash for good, without a word."""
        del self.account.tickets[int(ticket_id)]

    @action
    def mark_as_spam(self, ticket_id: str | int) -> None:
        ticket = self.ticket(ticket_id)
        ticket.spam, ticket.updated_at = True, self.account.now

    @action
    def archive(self, ticket_id: str | int) -> None:
        """A closed ticket goes to the archive, as it does by itself after months."""
        ticket = self.ticket(ticket_id)
        ticket.data["status"], ticket.archived = 5, True

    # What the actions and the routes share.

    def ticket(self, ticket_id: str | int) -> Ticket:
        """The ticket of this id, which may be deleted. Raises ``KeyError`` where there is none."""
        ticket = self.account.tickets[int(ticket_id)]
        if ticket.archived:
            raise KeyError(ticket_id)
        return ticket

    def _set(self, ticket: Ticket, values: dict[str, Any]) -> None:
        self.account.change(ticket, values)
        self.ring("updated", ticket)

    def ring(self, rule: str, ticket: Ticket) -> None:
        """Queue the webhook of an automation rule: no signature, only what its author put into a header."""
        if self.webhook is not None and rule in self.templates:
            body = texts.evaluated(self.templates[rule], self.account.placeholders(ticket))
            headers = {"Content-Type": "application/json", "X-Handrail-Secret": self.webhook[1]}
            self.send_webhook(body.encode(), headers)

    def _view(self, ticket: Ticket) -> SimulatedTicket:
        data, account = ticket.data, self.account
        groups = {number: name for name, number in account.groups.items()}
        requester = account.people[data["requester_id"]]
        first = SimulatedComment(
            f"description-{ticket.id}",
            data["description_text"],
            True,
            requester.name,
            data["description"],
            ticket.files,
        )
        return SimulatedTicket(
            id=str(ticket.id),
            subject=data["subject"],
            status=LABELS[data["status"]],
            external_id=data["custom_fields"].get("cf_handoff_id"),
            group=groups.get(data["group_id"]),
            group_id=str(data["group_id"]) if data["group_id"] else None,
            priority=PRIORITIES[data["priority"]],
            assignee=account.agents[data["responder_id"]].name if data["responder_id"] else None,
            requester=requester.name,
            tags=data["tags"],
            fields={name: value for name, value in data["custom_fields"].items() if value is not None},
            comments=[first, *map(_comment, ticket.conversations)],
        )


def _comment(said: Conversation) -> SimulatedComment:
    plain = texts.plain_of(said.body)
    return SimulatedComment(str(said.id), plain, not said.private, said.user.name, said.body, said.files)
