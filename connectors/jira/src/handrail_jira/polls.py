"""Asking Jira what happened: what changed lately, what we know by its ids, and one issue.

Search:  https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issue-search/
The time in a query is an unquoted number of milliseconds: a quoted date would be in the account's own time
zone, and to the minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from handrail import Page, Request, Status, Steps, Ticket, Update
from handrail_jira import updates
from handrail_jira.comments import AT_ONCE, PAGES, JiraComments
from handrail_jira.customers import Row

OVERLAP = 300_000
"""Milliseconds. The search shows changes late: a poll begins so much before the newest it saw."""
EVERY = 900_000
"""Milliseconds between two looks at all known issues by their ids, which find what no search shows."""
LABEL = "handoff"
FIELDS = "status,resolution,updated,created,assignee,priority,labels,reporter"


class JiraPolls(JiraComments):
    @property
    def fields_read(self) -> str:
        group = self.group_field
        return f"{FIELDS},{group}" if group not in ("labels", "assignee", "team") else FIELDS

    def read_issue(self, ticket: Ticket) -> Steps[Page]:
        """One issue and what was said. Without permission it is a 404 too: first it is asked who we are."""
        params = {"fields": self.fields_read}
        reply = yield Request("GET", self.at(f"/issue/{ticket.id}"), params=params, accept=frozenset({404}))
        if reply.status == 404:
            yield from self.proven(reply)
            gone = {"status": Status.DELETED, "raw_status": "deleted"}
            return Page(tickets=[ticket.model_copy(update=gone)])
        said = yield from self.said(reply.json, ticket)
        return Page(said, [updates.ticket_of(self, reply.json)])

    def poll_issues(self, cursor: str | None, tickets: Sequence[Ticket], now: datetime) -> Steps[Page]:
        """What changed, by the label; from time to time, and where the label is missing, by the ids."""
        moment = int(now.timestamp() * 1000)
        seen, looked = map(int, (cursor or f"{moment - OVERLAP}:0").split(":"))
        due = moment - looked >= EVERY
        rows: dict[str, Row] = {}
        if cursor and tickets:
            rows = yield from self._changed(seen - OVERLAP)
        newest = max([seen, *(_millis(row) for row in rows.values())])
        alone = [ticket for ticket in tickets if ticket.id not in rows and (due or not _has_label(ticket))]
        rows |= yield from self._by_ids([ticket.id for ticket in alone])
        following = f"{min(newest, moment - OVERLAP)}:{moment if due else looked}"
        missing = {ticket.id for ticket in alone} - rows.keys()
        return (yield from self._page(rows, tickets, missing, following))

    def _page(
        self, rows: dict[str, Row], tickets: Sequence[Ticket], missing: set[str], following: str
    ) -> Steps[Page]:
        said: list[Update] = []
        found: list[Ticket] = []
        for ticket in tickets:
            row = rows.get(ticket.id)
            if ticket.id in missing:
                page = yield from self.read_issue(ticket)
                said, found = [*said, *page.updates], [*found, *page.tickets]
            elif row is not None:
                now = updates.ticket_of(self, row)
                if ticket.updated_at is None or now.updated_at is None or now.updated_at > ticket.updated_at:
                    said += yield from self.said(row, ticket)
                found.append(now)
        return Page(said, found, following)

    def _changed(self, since: int) -> Steps[dict[str, Row]]:
        project = yield from self.key()
        jql = f'project = "{project}" AND labels = "{LABEL}" AND updated >= {since} ORDER BY updated ASC'
        params: dict[str, str | int] = {"jql": jql, "fields": self.fields_read, "maxResults": AT_ONCE}
        rows: dict[str, Row] = {}
        for _ in range(PAGES):
            path = self.at("/search/jql" if self.is_cloud else "/search")
            reply = yield Request("GET", path, params=params)
            data = reply.json
            rows |= {str(row["id"]): row for row in data["issues"]}
            if not data["issues"]:
                yield from self.proven(reply)
            if data.get("isLast", int(data.get("total") or 0) <= len(rows)) or not data["issues"]:
                break
            token = data.get("nextPageToken")
            params |= {"nextPageToken": token} if token else {"startAt": len(rows)}
        return rows

    # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/#api-rest-api-3-issue-bulkfetch-post
    def _by_ids(self, ids: Sequence[str]) -> Steps[dict[str, Row]]:
        """Reads the store and not the index. Data Center has no such call: a search by ids stands in."""
        rows: dict[str, Row] = {}
        for n in range(0, len(ids), AT_ONCE):
            rows |= yield from self._some(ids[n : n + AT_ONCE])
        return rows

    def _some(self, ids: Sequence[str]) -> Steps[dict[str, Row]]:
        fields: Any = self.fields_read
        if self.is_cloud:
            sent = {"issueIdsOrKeys": list(ids), "fields": fields.split(",")}
            reply = yield Request("POST", self.at("/issue/bulkfetch"), json=sent, repeatable=True)
        else:
            sent = {"jql": f"id in ({','.join(ids)})", "fields": fields, "validateQuery": "false"}
            reply = yield Request(
                "GET", self.at("/search"), params=sent | {"maxResults": AT_ONCE}, accept=frozenset({400})
            )
        rows = (reply.json.get("issues") or []) if reply.status == 400 else reply.json["issues"]
        return {str(row["id"]): row for row in rows}


def _millis(row: Row) -> int:
    return int(updates.time(row["fields"]["updated"]).timestamp() * 1000)


def _has_label(ticket: Ticket) -> bool:
    fields = ticket.raw.get("fields") or {}
    return LABEL in (fields.get("labels") or [])
