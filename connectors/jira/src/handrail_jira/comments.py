"""What was said on an issue, read so that nothing of it is dropped and nothing of ours comes back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from handrail import Request, Steps, Ticket, Update
from handrail_jira import updates
from handrail_jira.customers import Row
from handrail_jira.names import JiraNames

AT_ONCE = 100
PAGES = 50


class JiraComments(JiraNames):
    def said(self, row: Row, ticket: Ticket) -> Steps[list[Update]]:
        """Comments, oldest first, without ours. People may write with our account too: theirs stay."""
        rows = yield from self.comments(ticket.id, ticket.updated_at)
        if any(updates.is_our_words(each) for each in rows):
            me = (yield from self.of("me")).get("me")
            rows = [
                each
                for each in rows
                if not (updates.is_our_words(each) and self.user_id(each.get("author") or {}) == me)
            ]
        found = [updates.comment(self, row, each) for each in rows]
        return sorted(found, key=lambda update: (update.at, int(update.id.partition(":")[2])))

    # https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issue-comments/
    def comments(self, id: str, since: datetime | None = None) -> Steps[list[Row]]:
        """The comments of an issue, at least those after ``since``. The issue's own list would drop some."""
        if self.service_desk and not self.is_cloud:
            return (yield from self._request_comments(id))
        rows: list[Row] = []
        params: dict[str, str | int] = {"orderBy": "-created", "maxResults": AT_ONCE, "expand": "properties"}
        for _ in range(PAGES):
            path = self.at(f"/issue/{id}/comment")
            data = (yield Request("GET", path, params=params | {"startAt": len(rows)})).json
            page = data["comments"]
            rows += page
            if not page or len(rows) >= int(data.get("total") or 0) or _all_before(page, since):
                break
        return rows

    # https://developer.atlassian.com/cloud/jira/service-desk/rest/api-group-request/
    def _request_comments(self, id: str) -> Steps[list[Row]]:
        """Data Center says only here which comments are internal."""
        rows: list[Row] = []
        for _ in range(PAGES):
            params: dict[str, str | int] = {"start": len(rows), "limit": AT_ONCE}
            data = (yield Request("GET", self.at_desk(f"/request/{id}/comment"), params=params)).json
            rows += data["values"]
            if data.get("isLastPage", True) or not data["values"]:
                break
        return rows


def _all_before(page: Sequence[Row], since: datetime | None) -> bool:
    return since is not None and all(updates.time(row["created"]) <= since for row in page)
