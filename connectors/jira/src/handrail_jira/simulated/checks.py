"""What Jira refuses: the bodies of refusals, and the checks of the fields that a client sends."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from handrail.steps import Reply
from handrail.testing.desk import Refusal, answer
from handrail_jira.simulated import text
from handrail_jira.simulated.records import PRIORITIES, Row
from handrail_jira.simulated.site import COMPONENTS, ISSUE_TYPES, PROJECT, REGIONS, Site


def error(status: int, *messages: str, **errors: str) -> Refusal:
    return Refusal(answer({"errorMessages": list(messages), "errors": errors}, status))


def desk_error(status: int, message: str, key: str = "sd.request.error") -> Refusal:
    """As Service Management words it."""
    return Refusal(
        answer({"errorMessage": message, "i18nErrorMessage": {"i18nKey": key, "parameters": []}}, status)
    )


def unauthorized() -> Reply:
    headers = {"www-authenticate": 'OAuth realm="https://acme.atlassian.net"'}
    words = "Client must be authenticated to access this resource."
    return answer({"errorMessages": [words], "errors": {}}, 401, headers)


def missing() -> Refusal:
    return error(404, "Issue does not exist or you do not have permission to see it.")


def body_of(given: Any, name: str, version: int) -> Any:
    """A long text as this version takes it, or the refusal."""
    if version == 3:
        why = text.wrong(given)
        if why:
            raise error(400, **{name: why})
        length = len(json.dumps(given, ensure_ascii=False, separators=(",", ":")))
    elif not isinstance(given, str):
        raise error(400, **{name: "Operation value must be a string"})
    else:
        length = len(given.encode("utf-16-le")) // 2
    if length > text.LIMIT:
        words = f"The entered text is too long. It exceeds the allowed limit of {text.LIMIT} characters."
        raise error(400, **{name: "CONTENT_LIMIT_EXCEEDED" if version == 3 else words})
    return given


def fields(site: Site, given: Mapping[str, Any], version: int, refuses: Mapping[str, str]) -> Row:
    """The fields that a client sets, checked and in the site's own form; all faults are told at once."""
    found: Row = {}
    wrong: dict[str, str] = {}
    screen = site.screen()
    for name, value in given.items():
        if name not in screen or name in refuses:
            words = f"Field '{name}' cannot be set. It is not on the appropriate screen, or unknown."
            wrong[name] = refuses.get(name, words)
            continue
        try:
            found[name] = _one(site, name, value, version)
        except Refusal as refusal:
            wrong |= refusal.reply.json["errors"]
    if wrong:
        raise error(400, **wrong)
    return {name: value for name, value in found.items() if name not in ("project",)}


def new_issue(site: Site, given: Mapping[str, Any]) -> None:
    """What every new issue needs."""
    project, kind = given.get("project") or {}, given.get("issuetype") or {}
    if PROJECT not in (project.get("key"), str(project.get("id")).replace("10000", PROJECT)):
        raise error(400, project="valid project is required")
    known = (*ISSUE_TYPES, *ISSUE_TYPES.values())
    if not kind or (kind.get("id") or kind.get("name")) not in known:
        raise error(400, issuetype="Specify an issue type")
    summary = given.get("summary")
    if not isinstance(summary, str) or not summary.strip():
        raise error(400, summary="You must specify a summary of the issue.")


def _one(site: Site, name: str, value: Any, version: int) -> Any:
    if value is None:
        return None
    if name in ("description", "customfield_10053"):
        return body_of(value, name, version)
    if name in _READERS:
        return _READERS[name](site, value)
    return value


def _summary(site: Site, value: Any) -> str:
    if "\n" in str(value):
        raise error(400, summary="The summary is invalid because it contains newline characters.")
    if len(str(value)) > 255:
        raise error(400, summary="Summary can't exceed 255 characters.")
    return str(value)


def _labels(site: Site, value: Any) -> list[str]:
    for label in value:
        if not isinstance(label, str) or re.search(r"\s", label) or len(label) > 255:
            raise error(400, labels=f"The label '{label}' contains spaces which is invalid.")
    return sorted(set(value))


def _priority(site: Site, value: Any) -> str:
    names = {name: id for id, name in PRIORITIES.items()}
    id = str(value.get("id") or names.get(str(value.get("name")))) if isinstance(value, dict) else ""
    if id not in PRIORITIES:
        raise error(
            400, priority="Specify the Priority (id or name) in the format 'priority' : { 'id' : '1' }"
        )
    return id


def _components(site: Site, value: Any) -> list[str]:
    names = {name: id for id, name in COMPONENTS.items()}
    ids = [str(each.get("id") or names.get(each.get("name"))) for each in value]
    if unknown := [id for id in ids if id not in COMPONENTS]:
        raise error(400, components=f"Component id '{unknown[0]}' is not valid.")
    return ids


def _assignee(site: Site, value: Any) -> Any:
    person = site.person(value) if isinstance(value, dict) else None
    if person is None or person.account_type != "atlassian":
        raise error(400, assignee="User cannot be assigned issues.")
    return person


def _kind(site: Site, value: Any) -> str:
    names = {name: id for id, name in ISSUE_TYPES.items()}
    return str(value.get("id") or names[value.get("name")])


def _region(site: Site, value: Any) -> str:
    names = {name: id for id, name in REGIONS.items()}
    id = str(value.get("id") or names.get(str(value.get("value")))) if isinstance(value, dict) else ""
    if id not in REGIONS:
        raise error(400, customfield_10052="Specify a valid 'id' or 'name' for Region")
    return id


def _number(site: Site, value: Any) -> Any:
    if not isinstance(value, int | float):
        raise error(400, customfield_10051="Operation value must be a number")
    return value


def _text(site: Site, value: Any) -> str:
    if not isinstance(value, str) or len(value) > 255:
        raise error(400, customfield_10050="Operation value must be a string")
    return value


def _date(site: Site, value: Any) -> str:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", str(value)):
        raise error(400, duedate="Error parsing date string: use yyyy-MM-dd")
    return str(value)


def _team(site: Site, value: Any) -> str:
    if not isinstance(value, str):
        raise error(400, customfield_10001="Team id must be a string")
    return value


def _group(site: Site, value: Any) -> str:
    if not isinstance(value, dict) or not value.get("name"):
        raise error(400, customfield_10054="Specify a group by its name")
    return str(value["name"])


_READERS = {
    "summary": _summary,
    "labels": _labels,
    "priority": _priority,
    "components": _components,
    "assignee": _assignee,
    "issuetype": _kind,
    "customfield_10001": _team,
    "customfield_10050": _text,
    "customfield_10051": _number,
    "customfield_10052": _region,
    "customfield_10054": _group,
    "duedate": _date,
}
