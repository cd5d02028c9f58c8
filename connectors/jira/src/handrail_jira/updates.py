"""What Jira's rows say, in our words. Statuses count by their category, never by their translated names.

https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-workflow-status-categories/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from handrail import Actor, Doorbell, Hook, Status, Ticket, Update, UpdateKind
from handrail_jira.adf import text_of
from handrail_jira.customers import Row
from handrail_jira.names import JiraNames

REFERENCE = re.compile(r"(?:^|\n)Handrail [0-9A-HJKMNP-TV-Z]{26}[\w-]*\s*$")
"""The last line of everything that we write."""
CHANGES = ("jira:issue_", "comment_")
"""Events about issues and their comments. Every other one (sprints, versions, users) is left on purpose."""


def category(status: Row) -> str:
    """``new``, ``indeterminate``, ``done`` or ``undefined``; Service Management writes them large."""
    given = status.get("statusCategory")
    return str(given.get("key") if isinstance(given, dict) else given).lower()


def status_of(status: Row) -> Status:
    """What is not done is open: Jira's categories do not tell whom an issue waits for."""
    return Status.SOLVED if category(status) == "done" else Status.OPEN


def moved(ticket: Ticket, status: Row) -> Ticket:
    """The ticket in another status. Its time stays: what people wrote meanwhile has not been read yet."""
    known = {"status": status_of(status), "raw_status": status.get("name")}
    return ticket.model_copy(update=known)


def ticket_of(site: JiraNames, row: Row) -> Ticket:
    """A ticket from an issue. Its key changes when it moves, and is for people; its id is the number."""
    fields = row.get("fields") or {}
    status = fields.get("status") or {}
    return Ticket(
        id=str(row["id"]),
        url=site.link(str(row["key"])),
        status=status_of(status),
        raw_status=status.get("name"),
        assignee=_name(fields.get("assignee")),
        group=_name(fields.get(site.group_field)) if site.group_field not in ("labels", "assignee") else None,
        updated_at=time(fields["updated"]) if fields.get("updated") else None,
        raw=row,
    )


def _name(value: Any) -> str | None:
    """The name of a person, an option or a team, or the names of several."""
    if isinstance(value, list):
        return ", ".join(filter(None, map(_name, value))) or None
    if isinstance(value, dict):
        found = (value.get(name) for name in ("displayName", "name", "value", "title", "id"))
        return next((str(each) for each in found if each), None)
    return str(value) if value else None


def comment(site: JiraNames, issue: Row, row: Row) -> Update:
    """A comment as a reply, a note or a customer's message. Its id is the same on both roads."""
    author = row.get("author") or {}
    customer = _is_customer(site, issue, author)
    public = is_public(row, bool(site.service_desk))
    kind = UpdateKind.REPLY if public else UpdateKind.NOTE
    who = "customer" if customer else "system" if author.get("accountType") == "app" else "human"
    return Update(
        id=f"comment:{row['id']}",
        kind=UpdateKind.CUSTOMER_MESSAGE if customer and public else kind,
        ticket_id=str(issue["id"]),
        at=time(row["created"]),
        actor=Actor(kind=who, name=author.get("displayName") or author.get("name")),  # type: ignore[arg-type]
        text=text_of(row.get("body")),
        public=public,
        raw=row,
    )


def _is_customer(site: JiraNames, issue: Row, author: Row) -> bool:
    """Data Center has no types of accounts: there the one who raised a request is its customer."""
    reporter = (issue.get("fields") or {}).get("reporter") or {}
    raised = bool(site.service_desk) and site.user_id(author) not in ("", "None")
    return author.get("accountType") == "customer" or (
        raised and site.user_id(author) == site.user_id(reporter)
    )


def is_public(row: Row, service_desk: bool) -> bool:
    """True where the customer may see a comment. At a service desk one that does not say so is a note;
    elsewhere all see all, but for what is restricted to a role or group.
    """
    if row.get("visibility"):
        return False
    said = _said_public(row)
    return all(said) if said else not service_desk


def is_internal(row: Row) -> bool:
    """True where Jira says so itself; saying nothing is not enough."""
    return False in _said_public(row)


def _said_public(row: Row) -> list[bool]:
    said = [row[name] for name in ("jsdPublic", "public") if isinstance(row.get(name), bool)]
    for each in row.get("properties") or []:
        if each.get("key") == "sd.public.comment" and isinstance(each.get("value"), dict):
            said.append(not each["value"].get("internal"))
    return said


def is_our_words(row: Row) -> bool:
    return bool(REFERENCE.search(text_of(row.get("body"))))


def time(value: Any) -> datetime:
    """``2021-01-17T12:34:00.000+0000``, or Service Management's object of four spellings."""
    if isinstance(value, dict):
        millis = value.get("epochMillis")
        value = value.get("iso8601") if millis is None else millis
    if isinstance(value, int):
        return datetime.fromtimestamp(value / 1000, UTC)
    return datetime.fromisoformat(str(value)).astimezone(UTC)


# https://developer.atlassian.com/cloud/jira/platform/webhooks/
def events(hook: Hook) -> Iterator[Doorbell]:
    """Which issue to read again. Server's comment events have no issue: the comment's address names it."""
    data = hook.json
    kind = data.get("webhookEvent")
    if kind is None or str(kind).startswith(CHANGES):
        parts = (data.get(part) for part in ("issue", "comment"))
        issue, said = (part if isinstance(part, dict) else {} for part in parts)
        linked = re.search(r"/issue/([0-9]+)/comment/", str(said.get("self")))
        for id in (issue.get("id"), linked and linked[1]):
            if isinstance(id, int | str) and re.fullmatch("[0-9]{1,20}", str(id)):
                yield Doorbell(str(id))
                return
