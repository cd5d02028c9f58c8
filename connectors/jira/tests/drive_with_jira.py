"""A script for an environment of its own: drives a simulated desk with ``jira``, a client that others wrote.

``drive_with_jira.py cloud URL`` and ``drive_with_jira.py data-center URL``; what the client made of the
answers is printed as one JSON object.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from jira import JIRA


def client(kind: str, url: str) -> JIRA:
    if kind == "cloud":
        return JIRA(url, basic_auth=("bot@example.com", "simulated-api-token"), max_retries=0)
    return JIRA(url, token_auth="simulated-api-token", max_retries=0)


def meta(jira: JIRA) -> list[Any]:
    names = [row.name for row in jira.project_issue_types("SUP")]
    return [names, len(jira.project_issue_fields("SUP", "10001"))]


def work(jira: JIRA, kind: str) -> dict[str, Any]:
    made = jira.create_issue(
        project={"key": "SUP"},
        issuetype={"name": "Task"},
        summary="Refund",
        description="Please help",
        labels=["vip"],
        priority={"name": "High"},
        components=[{"name": "Premium"}],
    )
    comment = jira.add_comment(made, "On it")
    jira.add_attachment(made, sys.argv[0], "script.txt")
    made.update(fields={"labels": ["vip", "seen"]})
    other = jira.create_issue(project={"key": "SUP"}, issuetype={"name": "Bug"}, summary="Twin")
    jira.create_issue_link("Duplicate", other, made)
    ways = {row["to"]["statusCategory"]["key"]: row["id"] for row in jira.transitions(made)}
    jira.transition_issue(made, ways["done"], fields={"resolution": {"id": "10000"}})
    search = jira.enhanced_search_issues if kind == "cloud" else jira.search_issues
    found = search("project = SUP AND labels = seen", fields="*all")
    read = jira.issue(made.key, expand="changelog")
    return {
        "me": jira.myself()["displayName"],
        "deployment": jira.deploymentType,
        "fields": sorted(row["name"] for row in jira.fields() if row["custom"])[:2],
        "priorities": [row.name for row in jira.priorities()],
        "components": [row.name for row in jira.project_components("SUP")],
        "meta": meta(jira) if kind == "data-center" else [],  # the client knows these of servers only
        "id": made.id,
        "comment": [comment.body, [each.body for each in jira.comments(made)]],
        "attachment": [[each.filename, each.size > 100] for each in read.fields.attachment],
        "found": [[each.id, each.fields.summary] for each in found],
        "status": read.fields.status.statusCategory.key,
        "resolution": read.fields.resolution.id,
        "priority": read.fields.priority.name,
        "changes": [item.field for each in read.changelog.histories for item in each.items],
        "linked": [each.outwardIssue.id for each in jira.issue(other.key).fields.issuelinks],
    }


if __name__ == "__main__":
    print(json.dumps(work(client(*sys.argv[1:]), sys.argv[1])))
