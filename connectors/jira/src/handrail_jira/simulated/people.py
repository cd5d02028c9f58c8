"""What people at the simulated Jira do: answer, note, assign, solve, move, delete; and the webhooks of it.

Webhooks: https://developer.atlassian.com/cloud/jira/platform/webhooks/
"""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from typing import Any

from handrail.testing.desk import SimulatedComment, SimulatedDesk, SimulatedFile, SimulatedTicket, action
from handrail_jira.simulated import text
from handrail_jira.simulated.records import HOST, PRIORITIES, STATUSES, Comment, Issue, Row, User, millis
from handrail_jira.simulated.site import COMPONENTS, REGIONS, Site

AGENT = "Sam Support"
TEAM_ONLY = {"type": "role", "value": "Service Desk Team", "identifier": "Service Desk Team"}


class People(SimulatedDesk):
    """A site at which people work. ``service_desk`` is the id of its service desk, or None."""

    actions = (
        *SimulatedDesk.actions,
        "human_reopens",
        "human_deletes",
        "human_moves",
        "human_unlabels",
        "customer_replies",
        "app_writes",
    )
    site: Site
    service_desk: str | None

    @property
    def tickets(self) -> list[SimulatedTicket]:
        with self.lock:
            return [self._view(issue) for issue in self.site.issues.values() if not issue.deleted]

    @action
    def human_replies(self, ticket_id: str, text: str, *, name: str | None = None) -> str:
        return self._writes(ticket_id, text, self.site.user(name or AGENT)).id

    @action
    def human_notes(self, ticket_id: str, text: str, *, name: str | None = None) -> str:
        """Internal at a service desk; elsewhere restricted to the team's role."""
        more: Row = {"internal": True} if self.service_desk else {"visibility": TEAM_ONLY}
        return self._writes(ticket_id, text, self.site.user(name or AGENT), **more).id

    @action
    def human_solves(self, ticket_id: str, text: str | None = None, *, name: str | None = None) -> None:
        agent = self.site.user(name or AGENT)
        if text:
            self._writes(ticket_id, text, agent)
        issue = self.issue(ticket_id)
        if issue.fields.get("assignee") is None:
            self.announce(issue, agent, self.site.change(issue, agent, {"assignee": agent}))
        self.announce(issue, agent, self.site.transit(issue, agent, STATUSES["done"]))

    @action
    def human_reopens(self, ticket_id: str, *, name: str | None = None) -> None:
        issue, agent = self.issue(ticket_id), self.site.user(name or AGENT)
        self.announce(issue, agent, self.site.transit(issue, agent, STATUSES["indeterminate"]))

    @action
    def human_assigns(self, ticket_id: str, name: str) -> None:
        issue, agent = self.issue(ticket_id), self.site.user(name)
        self.announce(issue, agent, self.site.change(issue, agent, {"assignee": agent}))

    @action
    def human_deletes(self, ticket_id: str) -> None:
        issue, agent = self.issue(ticket_id), self.site.user(AGENT)
        issue.deleted = True
        self._hook("jira:issue_deleted", {"user": agent.json(self.site.cloud), "issue": self._hooked(issue)})

    @action
    def human_moves(self, ticket_id: str, key: str) -> None:
        """An issue goes to another project: it gets another key and keeps its id."""
        issue = self.issue(ticket_id)
        issue.key = key
        self.site.touch(issue)

    @action
    def human_unlabels(self, ticket_id: str) -> None:
        issue, agent = self.issue(ticket_id), self.site.user(AGENT)
        self.announce(issue, agent, self.site.change(issue, agent, {"labels": []}))

    @action
    def customer_replies(self, ticket_id: str, text: str) -> str:
        """The reporter writes in the portal."""
        issue = self.issue(ticket_id)
        return self._writes(ticket_id, text, issue.reporter).id

    @action
    def app_writes(self, ticket_id: str, text: str) -> str:
        """An app or an automation rule comments."""
        return self._writes(ticket_id, text, self.site.user("Automation for Jira", None, "app")).id

    # What the actions and the routes share.

    def issue(self, id_or_key: str) -> Issue:
        """The issue of this id or key. Raises ``KeyError`` where there is none, or no longer."""
        found = self.site.find(str(id_or_key))
        if found is None:
            raise KeyError(id_or_key)
        return found

    def _writes(self, ticket_id: str, words: str, author: User, **more: Any) -> Comment:
        issue = self.issue(ticket_id)
        body = text.document(words) if self.site.cloud else words
        return self.said(issue, author, body, **more)

    def said(self, issue: Issue, author: User, body: Any, **more: Any) -> Comment:
        """A comment, and its webhooks. A server's first has no issue in it, and it sends a second."""
        comment = self.site.comment(issue, author, body, **more)
        shown = self.site.comment_json(issue, comment, 2)
        if self.site.cloud:
            self._hook("comment_created", {"comment": shown, "issue": self._hooked(issue, brief=True)})
        else:
            self._hook("comment_created", {"comment": shown})
            kind = {"issue_event_type_name": "issue_commented", "user": author.json(False)}
            self._hook("jira:issue_updated", kind | {"issue": self._hooked(issue), "comment": shown})
        return comment

    def announce(self, issue: Issue, author: User, change: Any) -> None:
        if change is not None:
            known = {"user": author.json(self.site.cloud), "issue": self._hooked(issue)}
            changelog = {"changelog": {"id": change.id, "items": change.listed()}}
            self._hook("jira:issue_updated", {"issue_event_type_name": "issue_generic", **known, **changelog})

    def created(self, issue: Issue) -> None:
        known = {"user": issue.reporter.json(self.site.cloud), "issue": self._hooked(issue)}
        self._hook("jira:issue_created", {"issue_event_type_name": "issue_created", **known})

    def _hooked(self, issue: Issue, *, brief: bool = False) -> Row:
        """An issue in a webhook has the shape of version 2, and with a comment only a few fields."""
        names = "summary,issuetype,project,assignee,priority,status" if brief else None
        return self.site.issue_json(issue, 2, names, None)

    def _hook(self, event: str, known: Row) -> None:
        if self.webhook is None:
            return
        body = json.dumps({"timestamp": millis(self.now()), "webhookEvent": event, **known}).encode()
        digest = hmac.new(self.webhook[1].encode(), body, hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "application/json; charset=UTF-8",
            "User-Agent": "Atlassian Webhook HTTP Client",
            "X-Atlassian-Webhook-Identifier": uuid.uuid4().hex,
            "X-Hub-Signature": f"sha256={digest}",
        }
        self.send_webhook(
            body, headers | ({"X-Atlassian-Webhook-Flow": "Primary"} if self.site.cloud else {})
        )

    # As people see it.

    def _view(self, issue: Issue) -> SimulatedTicket:
        fields = issue.fields
        components = [COMPONENTS[id] for id in fields.get("components") or []]
        region = REGIONS.get(str(fields.get("customfield_10052")))
        group = next(iter(components), None) or fields.get("customfield_10001") or region
        assignee = fields.get("assignee")
        return SimulatedTicket(
            id=issue.id,
            subject=str(fields.get("summary") or ""),
            status=issue.status.category,
            external_id=(issue.properties.get("handoff") or {}).get("id"),
            group=group or fields.get("customfield_10054"),
            priority=PRIORITIES.get(str(fields.get("priority"))),
            assignee=assignee.display_name if assignee else None,
            requester=issue.reporter.display_name,
            tags=fields.get("labels") or [],
            fields={name: value for name, value in fields.items() if name.startswith("customfield_")},
            comments=[self._description(issue), *map(self._comment_view, issue.comments)],
        )

    def _description(self, issue: Issue) -> SimulatedComment:
        shown = text.plain(issue.fields.get("description"))
        files = [each.file for each in issue.attachments]
        return SimulatedComment(f"d{issue.id}", shown, True, issue.reporter.display_name, files=files)

    def _comment_view(self, comment: Comment) -> SimulatedComment:
        public = not comment.internal and comment.visibility is None
        shown = text.plain(comment.body)
        return SimulatedComment(comment.id, shown, public, comment.author.display_name, files=comment.files)


def files_of(content_type: str, body: bytes) -> list[SimulatedFile]:
    """The files of a form, in its order."""
    boundary = content_type.partition("boundary=")[2].strip('"').encode()
    files = []
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        known = head.decode("utf-8", "replace")
        name = known.partition('filename="')[2].partition('"')[0]
        media = known.partition("Content-Type:")[2].partition("\r\n")[0].strip()
        if 'name="file"' in known and name:
            files.append(
                SimulatedFile(name, content.removesuffix(b"\r\n"), media or "application/octet-stream")
            )
    return files


__all__ = ["AGENT", "HOST", "People", "files_of"]
