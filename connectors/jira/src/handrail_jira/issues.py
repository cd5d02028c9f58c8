"""Writing to Jira so that nothing is written twice: Jira has no idempotency keys.

An issue carries a label and an entity property, a comment carries its marker in its text. While an outcome
is unknown, they are looked for; the search shows what it knows late, so it is asked several times.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from handrail import File, Handoff, Message, Reply, Request, Role, Steps, Ticket
from handrail_jira import refusals, updates
from handrail_jira.adf import text_of
from handrail_jira.customers import Row
from handrail_jira.fields import PROPERTY, JiraFields, token

Ids = tuple[str, ...]
"""Ids of updates that are our own."""
FILES_AT_ONCE = 60
REFUSED_FILES = frozenset({400, 403, 404, 413})
NO_CHECK = {"X-Atlassian-Token": "no-check"}


class JiraIssues(JiraFields):
    # https://developer.atlassian.com/cloud/jira/platform/search-and-reconcile/
    def marked(self, handoff: Handoff) -> Steps[list[Row]]:
        """The issues with this handoff's marker, oldest first. The property cannot be searched for."""
        marker, label = handoff.marker, token(handoff.marker)
        by_text = bool(self.service_desk) or "tags" in handoff.unset
        word = word_of(marker) if self.service_desk else marker
        jql = f'labels = "{label}"' + (f' OR text ~ "\\"{word}\\""' if by_text else "")
        fields = self.fields_read + (",summary,description" if by_text else "")
        params: dict[str, str | int] = {"jql": jql, "fields": fields, "maxResults": 50}
        params |= {"properties": PROPERTY} if self.is_cloud else {"validateQuery": "false"}
        reply = yield Request("GET", self.at("/search/jql" if self.is_cloud else "/search"), params=params)
        rows = [row for row in reply.json["issues"] if _is_of(row, marker)]
        if not rows:
            yield from self.proven(reply)
        return sorted(rows, key=lambda row: int(row["id"]))

    def found(self, handoff: Handoff) -> Steps[Ticket | None]:
        rows = yield from self.marked(handoff)
        return updates.ticket_of(self, rows[0]).model_copy(update={"updated_at": None}) if rows else None

    # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issue-attachments/
    def attach(self, ticket: Ticket, files: Sequence[File], marker: str) -> Steps[Ids]:
        """Files of an issue; what Jira does not take is said in a comment, whose id is returned."""
        ours: tuple[str, ...] = ()
        path = self.at(f"/issue/{ticket.id}/attachments")
        for n, some in in_forms(files):
            reply = yield upload(path, some, headers=NO_CHECK, unless=self._attached(ticket, some))
            if not (reply.ok or reply.found):
                ours += yield from self._not_attached(ticket, some, reply, f"{marker}-files{n or ''}")
        return ours

    def _attached(self, ticket: Ticket, files: Sequence[File]) -> Steps[bool | None]:
        reply = yield Request("GET", self.at(f"/issue/{ticket.id}"), params={"fields": "attachment"})
        there = {(row.get("filename"), row.get("size")) for row in reply.json["fields"]["attachment"]}
        return all((file.name, len(file.content)) in there for file in files) or None

    def _not_attached(self, ticket: Ticket, files: Sequence[File], reply: Reply, marker: str) -> Steps[Ids]:
        names = ", ".join(file.name for file in files)
        text = f"Jira did not take these files: {names}. It said: {refusals.explain(reply)}"
        return (yield from self.remark(ticket, text, marker))

    def remark(self, ticket: Ticket, text: str, marker: str, *, again: bool = False) -> Steps[Ids]:
        """A comment of our own words."""
        written = self.dialect.messages([Message(role=Role.AI, text=text)], marker)
        return (yield from self.comment(ticket, written, marker, again=again))

    # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issue-comments/
    def comment(self, ticket: Ticket, text: str, marker: str, *, again: bool = False) -> Steps[Ids]:
        """Write a comment once; returns its id as ours. ``again``: no journal, the caller has looked."""
        reply = yield Request(
            "POST",
            self.at(f"/issue/{ticket.id}/comment"),
            json={"body": self.written(text), "properties": [{"key": PROPERTY, "value": {"mid": marker}}]},
            unless=self.commented(ticket, marker),
            repeatable=again,
        )
        return (f"comment:{(reply.found or reply.json)['id']}",)

    def commented(self, ticket: Ticket, marker: str) -> Steps[Row | None]:
        """The comment with this marker, the oldest: later ones may quote it."""
        mark = re.compile(rf"(?<![\w-]){re.escape(marker)}(?![\w-])")
        rows = yield from self.comments(ticket.id)
        ours = [row for row in rows if mark.search(text_of(row.get("body")))]
        return min(ours, key=lambda row: int(row["id"]), default=None)


def word_of(marker: str) -> str:
    """What finds a request by its text. It is not the marker: a customer sees it, and may quote it."""
    return token(marker).replace("-", "")


def _is_of(row: Row, marker: str) -> bool:
    fields = row.get("fields") or {}
    value = ((row.get("properties") or {}).get(PROPERTY) or {}).get("id")
    text = json.dumps([fields.get("summary"), fields.get("description")], default=str)
    mark = rf"(?<![\w-])(?:{re.escape(marker)}|{word_of(marker)})(?![\w-])"
    return value == marker or token(marker) in (fields.get("labels") or []) or bool(re.search(mark, text))


def in_forms(files: Sequence[File]) -> Iterator[tuple[int, Sequence[File]]]:
    """The files that one form takes at once, each time with the number of the first."""
    for n in range(0, len(files), FILES_AT_ONCE):
        yield n, files[n : n + FILES_AT_ONCE]


def upload(path: str, files: Sequence[File], **more: Any) -> Request:
    """A form with files; what Jira says of those that it does not take is for the caller."""
    return Request("POST", path, form=[("file", file) for file in files], accept=REFUSED_FILES, **more)
