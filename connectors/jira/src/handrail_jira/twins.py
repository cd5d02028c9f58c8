"""Twins, which an unsure create may have left. One on which people have written is not taken from them."""

from __future__ import annotations

from handrail import Handoff, LeftOpen, Request, Status, Steps, Ticket
from handrail_jira import updates
from handrail_jira.fields import token
from handrail_jira.polls import LABEL
from handrail_jira.service import JiraService

NOT_LINKED = frozenset({400, 403, 404, 413})


class JiraTwins(JiraService):
    def sweep(self, handoff: Handoff, ticket: Ticket) -> Steps[list[str]]:
        found: list[str] = []
        for row in (yield from self.marked(handoff)):
            twin = updates.ticket_of(self, row)
            if twin.id == ticket.id:
                continue
            written = yield from self.said(row, twin.model_copy(update={"updated_at": None}))
            left = any(update.actor.kind != "system" for update in written)
            yield from (self._leave if left else self._end)(twin, ticket, handoff)
            found.append(LeftOpen(twin.id) if left else twin.id)
        return found

    def _leave(self, twin: Ticket, first: Ticket, handoff: Handoff) -> Steps[None]:
        """Say on each of the two that there is the other: the twin may be what people saw first."""
        marker, here, there = f"{handoff.marker}-twin", _where(twin), _where(first)
        text = f"This is the same handoff as {there}, where the customer's conversation goes on. "
        text += "What is written here does not reach it: please go on there."
        yield from self._say_once(twin, text, marker)
        text = f"The same handoff is {here} too, and somebody has written there already. "
        text += "Please look there before you answer."
        yield from self._say_once(first, text, f"{marker}-{twin.id}")
        yield from self._link(twin, first)

    def _end(self, twin: Ticket, first: Ticket, handoff: Handoff) -> Steps[None]:
        """Say on a twin which issue is meant, link it, close it, and take our labels from it."""
        text = f"A request was repeated and made this issue a second time. Please work on {_where(first)}."
        yield from self._say_once(twin, text, f"{handoff.marker}-twin")
        yield from self._link(twin, first)
        yield from self.move(twin, Status.SOLVED, must=False, again=True)
        labels = [{"remove": token(handoff.marker)}, {"remove": LABEL}]
        path = self.at(f"/issue/{twin.id}")
        sent = {"update": {"labels": labels}}
        yield Request("PUT", path, json=sent, repeatable=True, accept=frozenset({400}))

    def _say_once(self, ticket: Ticket, text: str, marker: str) -> Steps[None]:
        if (yield from self.commented(ticket, marker)) is None:
            yield from self.remark(ticket, text, marker, again=True)

    # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issue-links/
    def _link(self, twin: Ticket, first: Ticket) -> Steps[None]:
        reply = yield Request("GET", self.at(f"/issue/{twin.id}"), params={"fields": "issuelinks"})
        links = reply.json["fields"].get("issuelinks") or []
        linked = [link.get(side) or {} for link in links for side in ("inwardIssue", "outwardIssue")]
        if not any(str(issue.get("id")) == first.id for issue in linked):
            ends = {"inwardIssue": {"id": twin.id}, "outwardIssue": {"id": first.id}}
            sent = {"type": {"name": "Duplicate"}, **ends}
            yield Request("POST", self.at("/issueLink"), json=sent, repeatable=True, accept=NOT_LINKED)


def _where(ticket: Ticket) -> str:
    return ticket.url or f"issue {ticket.id}"
