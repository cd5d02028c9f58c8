"""What people at the simulated Zendesk do: answer, note, assign, solve, merge, delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from handrail.testing.desk import SimulatedComment, SimulatedDesk, SimulatedTicket, action
from handrail_zendesk.simulated import hooks
from handrail_zendesk.simulated.account import Account
from handrail_zendesk.simulated.records import Audit, Comment, Ticket, User

AGENT = "Sam Support"


class People(SimulatedDesk):
    """A desk with an ``account`` at which people work. Ticket ids are texts or numbers."""

    actions = (
        *SimulatedDesk.actions,
        "human_sets",
        "customer_replies",
        "merge",
        "delete",
    )
    account: Account

    @property
    def tickets(self) -> list[SimulatedTicket]:
        with self.lock:
            return [self._view(ticket) for ticket in self.account.tickets.values() if not ticket.deleted]

    @action
    def human_replies(
        self, ticket_id: str | int, text: str, *, public: bool = True, name: str | None = None
    ) -> str:
        ticket, agent = self.ticket(ticket_id), self.account.agent(name or AGENT)
        audit = self.updated(ticket, agent, {}, {"body": text, "public": public}, channel="web")
        assert audit is not None
        assert audit.comment is not None
        return str(audit.comment.id)

    def human_notes(self, ticket_id: str | int, text: str, *, name: str | None = None) -> str:
        return self.human_replies(ticket_id, text, public=False, name=name)

    @action
    def human_solves(self, ticket_id: str | int, text: str | None = None, *, name: str | None = None) -> None:
        ticket, agent = self.ticket(ticket_id), self.account.agent(name or AGENT)
        comment = {"body": text, "public": True} if text else None
        wanted = self._with_status({"assignee_id": ticket.data["assignee_id"] or agent.id}, "solved")
        self.updated(ticket, agent, wanted, comment, channel="web")

    def human_assigns(self, ticket_id: str | int, name: str) -> None:
        self.human_sets(ticket_id, assignee=name)

    @action
    def human_sets(
        self,
        ticket_id: str | int,
        *,
        status: str | None = None,
        assignee: str | None = None,
        group: str | None = None,
        priority: str | None = None,
        name: str | None = None,
    ) -> None:
        """A person changes properties: a status of the desk, an agent's name, a group's name, a priority."""
        ticket, agent = self.ticket(ticket_id), self.account.agent(name or AGENT)
        wanted: dict[str, Any] = {"priority": priority} if priority else {}
        if group:
            wanted["group_id"] = self.account.group_id(group)
        if assignee:
            wanted["assignee_id"] = self.account.agent(assignee).id
            status = status or ("open" if ticket.data["status"] == "new" else None)
        self.updated(ticket, agent, self._with_status(wanted, status), channel="web")

    @action
    def customer_replies(self, ticket_id: str | int, text: str) -> str:
        """The requester answers by e-mail; what waited for the customer is open again."""
        ticket = self.ticket(ticket_id)
        customer = self.account.users[ticket.data["requester_id"]]
        waits = ticket.data["status"] in ("pending", "hold", "solved")
        wanted = self._with_status({}, "open" if waits else None)
        audit = self.updated(ticket, customer, wanted, {"body": text, "public": True}, channel="email")
        assert audit is not None
        assert audit.comment is not None
        return str(audit.comment.id)

    @action
    def merge(self, src: str | int, into: str | int) -> None:
        """A person merges one ticket into another: the source is closed, for good."""
        source, target, agent = self.ticket(src), self.ticket(into), self.account.agent(AGENT)
        words = f"Request #{source.id} was closed and merged into request #{target.id}"
        note = {"body": words, "public": False}
        self.updated(target, agent, {}, note, channel="web")
        wanted = self._with_status({"tags": sorted({*source.data["tags"], "closed_by_merge"})}, "closed")
        merged = ("merged", {"target_ticket_id": str(target.id)})
        self.updated(source, agent, wanted, note, channel="web", also=[merged])

    @action
    def delete(self, ticket_id: str | int) -> None:
        """A person deletes a ticket: it is gone from everything but the exports."""
        ticket, agent = self.ticket(ticket_id), self.account.agent(AGENT)
        ticket.deleted = True
        self.updated(ticket, agent, {"status": "deleted"}, channel="web", also=[("soft_deleted", {})])

    @action
    def archive(self, ticket_id: str | int) -> None:
        """A closed ticket leaves the lists, as it does by itself after months."""
        self.ticket(ticket_id).archived = True

    # What the actions and the routes share.

    def ticket(self, ticket_id: str | int) -> Ticket:
        """The ticket of this id. Raises ``KeyError`` where there is none, or no longer."""
        ticket = self.account.tickets[int(ticket_id)]
        if ticket.deleted:
            raise KeyError(ticket_id)
        return ticket

    def updated(
        self,
        ticket: Ticket,
        updater: User,
        wanted: Mapping[str, Any],
        comment: Mapping[str, Any] | None = None,
        *,
        also: list[hooks.Event] | None = None,
        **more: Any,
    ) -> Audit | None:
        """Update a ticket and queue the webhooks about it."""
        audit = self.account.update(ticket, updater, wanted, comment, **more)
        if audit is not None:
            self.announce(ticket, audit, also or [])
        return audit

    def announce(self, ticket: Ticket, audit: Audit, also: list[hooks.Event] | None = None) -> None:
        """Queue the webhooks about one update."""
        if self.webhook is None:
            return
        who = audit.comment.author_id if audit.comment else audit.author_id
        events = [*hooks.events_of(audit, self.account.users[who]), *(also or [])]
        for envelope in hooks.envelopes(ticket, audit, events):
            self.send_webhook(*hooks.delivery(envelope, self.webhook[1], self.now()))

    def _with_status(self, wanted: Mapping[str, Any], status: str | None) -> dict[str, Any]:
        if status is None:
            return dict(wanted)
        return {**wanted, "status": status, "custom_status_id": self.account.status_id(status)}

    def _view(self, ticket: Ticket) -> SimulatedTicket:
        data, users = ticket.data, self.account.users
        return SimulatedTicket(
            id=str(ticket.id),
            subject=data["subject"],
            status=data["status"],
            external_id=data["external_id"],
            group=self.account.groups[data["group_id"]].name if data["group_id"] else None,
            group_id=str(data["group_id"]) if data["group_id"] else None,
            priority=data["priority"],
            assignee=users[data["assignee_id"]].name if data["assignee_id"] else None,
            requester=users[data["requester_id"]].name,
            tags=data["tags"],
            fields={str(id_): value for id_, value in data["custom_fields"].items() if value is not None},
            comments=[self._comment_view(comment) for comment in ticket.comments],
        )

    def _comment_view(self, comment: Comment) -> SimulatedComment:
        return SimulatedComment(
            id=str(comment.id),
            body=comment.plain_body,
            public=comment.public,
            author=self.account.users[comment.author_id].name,
            html_body=comment.html_body,
            files=[attachment.file for attachment in comment.attachments],
        )
