"""A simulated Jira: the routes that a handoff can touch, on Cloud and on Data Center.

It keeps to what is published and, where nothing is, to the harsher reading: a document counts by its JSON,
the search may show everything late, and whoever is not signed in gets an empty list with a friendly 200.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from handrail.steps import Reply
from handrail.testing.desk import answer, route
from handrail.testing.wire import Seen
from handrail_jira.simulated import checks, jql
from handrail_jira.simulated.people import AGENT, files_of
from handrail_jira.simulated.records import HOST, PRIORITIES, RESOLUTIONS, STATUSES, TRANSITIONS, Issue, Row
from handrail_jira.simulated.service import FORM, Service
from handrail_jira.simulated.site import COMPONENTS, DUPLICATE, ISSUE_TYPES, PROJECT, Site

CLOUD_ID = "11223344-a1b2-3b33-c444-def123456789"
_SEARCHES = frozenset({"/search", "/search/jql", "/project/SUP/components", "/priority"})
"""What answers to nobody in particular as if there were nothing."""


class SimulatedJira(Service):
    """Jira on loopback. ``deployment`` is ``cloud`` or ``data-center``; ``service_desk`` adds that product.

    ``index_lag`` (seconds) delays the search. ``off_screen`` names fields that the create screen does not
    have, ``refuses`` those that it shows and refuses all the same, each with its words.
    ``resolution_screen``: solving asks for a resolution. ``shows_notes``: internal notes become public.
    ``oauth``: the settings are those of an OAuth client.
    """

    def __init__(
        self,
        *,
        deployment: str = "cloud",
        service_desk: bool = False,
        index_lag: float = 0,
        off_screen: Sequence[str] = (),
        refuses: Mapping[str, str] | None = None,
        resolution_screen: bool = True,
        may_raise: bool = True,
        shows_notes: bool = False,
        oauth: bool = False,
        page_size: int = 100,
        api_token: str = "simulated-api-token",  # noqa: S107 - nothing real is behind it
        webhook_secret: str = "simulated-webhook-secret",  # noqa: S107
        clock: Callable[[], datetime] | None = None,
        port: int = 0,
    ) -> None:
        super().__init__(clock=clock, port=port)
        self.cloud = deployment == "cloud"
        self.service_desk = "7" if service_desk else None
        self.site = Site(self.clock, self.cloud, timedelta(seconds=index_lag))
        self.site.off_screen = set(off_screen)
        self.refuses = dict(refuses or {})
        self.resolution_screen = resolution_screen
        self.form, self.may_raise, self.shows_notes = dict(FORM), may_raise, shows_notes
        self.oauth, self.page_size = oauth, page_size
        self.api_token, self.webhook_secret = api_token, webhook_secret
        self.temporary = {}
        self.attachments_enabled = True
        self.tokens: dict[str, datetime] = {}
        self.api_user = self.site.user("AI desk", "bot@example.com")
        self.site.user(AGENT)

    def settings(self) -> dict[str, Any]:
        known: Row = {"connector": "jira", "url": self.url, "webhook_secret": self.webhook_secret}
        if self.oauth:
            known |= {"client_id": "handrail", "client_secret": "simulated-secret", "cloud_id": CLOUD_ID}
        elif self.cloud:
            known |= {"email": self.api_user.email, "api_token": self.api_token}
        else:
            known |= {"deployment": "data-center", "personal_access_token": self.api_token}
        place = {"service_desk": self.service_desk, "request_type": "Get IT help"}
        return known | (place if self.service_desk else {"project": PROJECT, "issue_type": "Task"})

    # Every request.

    def local(self, path: str) -> str:
        path = path.removeprefix(f"/ex/jira/{CLOUD_ID}")
        for version in ("/rest/api/3", "/rest/api/2", "/rest/api/latest", "/rest"):
            if path.startswith(f"{version}/"):
                return path.removeprefix(version)
        return path

    def guard(self, seen: Seen) -> Reply | None:
        known = self._signed_in(seen)
        name = ("x-aaccountid", self.api_user.id) if self.cloud else ("x-ausername", self.api_user.name)
        self.reply_headers = (
            {name[0]: name[1]} if known else {} if self.cloud else {"x-ausername": "anonymous"}
        )
        self.reply_headers |= {"atl-traceid": "simulated"}
        if seen.local == "/oauth/token":
            return None
        if "/rest/api/3/" in seen.path and not self.cloud:
            return answer({"message": "null for uri", "status-code": 404}, 404)
        if "/ex/jira/" in seen.path and not self.oauth:
            return answer({"code": 401, "message": "Unauthorized; scope does not match"}, 401)
        if known or seen.local == "/serverInfo":
            return None
        return self._to_nobody(seen)

    def _to_nobody(self, seen: Seen) -> Reply:
        if seen.local not in _SEARCHES or seen.method != "GET":
            return checks.unauthorized()
        nothing: Any = {"issues": [], "isLast": True} if self.cloud else {"issues": [], "total": 0}
        return answer(nothing if "search" in seen.local else [])

    def _signed_in(self, seen: Seen) -> bool:
        scheme, _, given = seen.headers.get("authorization", "").partition(" ")
        if scheme == "Bearer":
            token = not self.cloud and secrets.compare_digest(given, self.api_token)
            return token or self.tokens.get(given, self.now()) > self.now()
        try:
            decoded = base64.b64decode(given, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return False
        right = f"{self.api_user.email}:{self.api_token}"
        return self.cloud and scheme == "Basic" and secrets.compare_digest(decoded.encode(), right.encode())

    @route("POST", "/oauth/token")
    def token(self, seen: Seen) -> Reply:
        given = seen.json
        if (given.get("client_id"), given.get("client_secret")) != ("handrail", "simulated-secret"):
            return answer({"error": "access_denied", "error_description": "Unauthorized"}, 401)
        value = secrets.token_hex(32)
        self.tokens[value] = self.now() + timedelta(seconds=3600)
        return answer({"access_token": value, "expires_in": 3600, "token_type": "Bearer", "scope": "all"})

    def version(self, seen: Seen) -> int:
        return 3 if "/rest/api/3/" in seen.path else 2

    # The site.

    @route("GET", "/myself")
    def me(self, seen: Seen) -> Reply:
        return answer(self.api_user.json(self.cloud))

    @route("GET", "/serverInfo")
    def server_info(self, seen: Seen) -> Reply:
        kind = {"deploymentType": "Cloud"} if self.cloud else {"deploymentType": "Server"}
        numbers = [1001, 0, 0] if self.cloud else [9, 12, 2]
        version = {"version": ".".join(map(str, numbers)), "versionNumbers": numbers}
        return answer({"baseUrl": HOST, "serverTitle": "Jira", **kind, **version})

    @route("GET", "/priority")
    def priorities(self, seen: Seen) -> Reply:
        url = f"{HOST}/rest/api/2/priority"
        rows = [{"self": f"{url}/{id}", "id": id, "name": name} for id, name in PRIORITIES.items()]
        return answer(rows)

    @route("GET", "/project/{key}/components")
    def components(self, seen: Seen, key: str) -> Reply:
        url = f"{HOST}/rest/api/2/component"
        rows = [{"self": f"{url}/{id}", "id": id, "name": name} for id, name in COMPONENTS.items()]
        return answer(rows if key == PROJECT else [])

    @route("GET", "/issue/createmeta/{project}/issuetypes")
    def issue_types(self, seen: Seen, project: str) -> Reply:
        rows = [{"id": id, "name": name, "subtask": False} for id, name in ISSUE_TYPES.items()]
        return self._meta(seen, "issueTypes", rows)

    @route("GET", "/issue/createmeta/{project}/issuetypes/{kind}")
    def create_fields(self, seen: Seen, project: str, kind: str) -> Reply:
        if kind not in ISSUE_TYPES:
            raise checks.error(404, "Issue type not found")
        return self._meta(seen, "fields", [self.site.meta(id) for id in self.site.screen()])

    def _meta(self, seen: Seen, name: str, rows: list[Row]) -> Reply:
        start, most = int(seen.query.get("startAt", 0)), int(seen.query.get("maxResults", 50))
        if most > 200:
            raise checks.error(400, "Parameter 'maxResults' must not exceed the limit '200'")
        page = rows[start : start + most]
        known = {"startAt": start, "maxResults": most, "total": len(rows)}
        return answer({name if self.cloud else "values": page, **known})

    @route("GET", "/user/assignable/search")
    def assignable(self, seen: Seen) -> Reply:
        wanted = seen.query.get("query" if self.cloud else "username", "").casefold()
        people = [user for user in self.site.users.values() if user.account_type == "atlassian"]
        fits = [u for u in people if wanted in f"{u.display_name} {u.email} {u.id} {u.name}".casefold()]
        return answer([user.json(self.cloud) for user in fits])

    @route("GET", "/field")
    def all_fields(self, seen: Seen) -> Reply:
        rows = [self.site.meta(id) for id in self.site.screen()]
        names = ("key", "name", "schema")
        extra = {"orderable": True, "navigable": True, "searchable": True}
        return answer(
            [
                {"id": row["fieldId"], **{name: row[name] for name in names}, **extra}
                | {"custom": row["key"].startswith("custom"), "clauseNames": [row["key"]]}
                for row in rows
            ]
        )

    # Issues.

    @route("POST", "/issue")
    def create(self, seen: Seen) -> Reply:
        given, version = _json(seen), self.version(seen)
        wanted = given.get("fields") or {}
        checks.new_issue(self.site, wanted)
        fields = checks.fields(self.site, wanted, version, self.refuses)
        properties = {row["key"]: row["value"] for row in given.get("properties") or []}
        issue = self.site.create({"priority": "3", **fields}, properties, self.api_user)
        self.created(issue)
        url = f"{HOST}/rest/api/{version}/issue/{issue.id}"
        return answer({"id": issue.id, "key": issue.key, "self": url}, 201)

    @route("GET", "/issue/{id}")
    def show(self, seen: Seen, id: str) -> Reply:
        issue, version = self.wanted(id), self.version(seen)
        wanted, properties = seen.query.get("fields"), seen.query.get("properties")
        row = self.site.issue_json(issue, version, wanted, properties)
        if "changelog" in seen.query.get("expand", ""):
            rows = [change.json(self.cloud) for change in reversed(issue.changes[-40:])]
            row["changelog"] = {
                "startAt": 0,
                "maxResults": 40,
                "total": len(issue.changes),
                "histories": rows,
            }
        return answer(row)

    @route("PUT", "/issue/{id}")
    def edit(self, seen: Seen, id: str) -> Reply:
        issue, given = self.wanted(id), _json(seen)
        wanted = dict(given.get("fields") or {})
        if operations := (given.get("update") or {}).get("labels"):
            wanted["labels"] = _labels(issue, operations)
        fields = checks.fields(self.site, wanted, self.version(seen), self.refuses)
        issue.properties |= {row["key"]: row["value"] for row in given.get("properties") or []}
        self.announce(issue, self.api_user, self.site.change(issue, self.api_user, fields))
        return Reply(204)

    @route("GET", "/issue/{id}/changelog")
    def changelog(self, seen: Seen, id: str) -> Reply:
        rows = [change.json(self.cloud) for change in self.wanted(id).changes]
        start, most = int(seen.query.get("startAt", 0)), int(seen.query.get("maxResults", 100))
        page = rows[start : start + most]
        known = {"startAt": start, "maxResults": most, "total": len(rows)}
        return answer({**known, "isLast": start + len(page) >= len(rows), "values": page})

    @route("GET", "/issue/{id}/properties/{key}")
    def show_property(self, seen: Seen, id: str, key: str) -> Reply:
        issue = self.wanted(id)
        if key not in issue.properties:
            raise checks.error(404, f"The property {key} does not exist.")
        return answer({"key": key, "value": issue.properties[key]})

    @route("GET", "/issueLinkType")
    def link_types(self, seen: Seen) -> Reply:
        return answer({"issueLinkTypes": [{**DUPLICATE, "self": f"{HOST}/rest/api/2/issueLinkType/10002"}]})

    @route("POST", "/issueLink")
    def link(self, seen: Seen) -> Reply:
        given = _json(seen)
        one, other = (self._linked(given.get(end) or {}) for end in ("inwardIssue", "outwardIssue"))
        if (given.get("type") or {}).get("name") != DUPLICATE["name"]:
            raise checks.error(404, "No issue link type with that name found.")
        one.links.append((self.site.new_id(), other))
        return Reply(201, b"", {"content-type": "application/json"})

    def _linked(self, given: Mapping[str, Any]) -> Issue:
        return self.wanted(str(given.get("id") or given.get("key")))

    # Comments and files.

    @route("GET", "/issue/{id}/comment")
    def comments(self, seen: Seen, id: str) -> Reply:
        issue, order = self.wanted(id), seen.query.get("orderBy", "created")
        if order not in ("created", "+created", "-created"):
            raise checks.error(400, "The comments can be ordered by 'created' only")
        expand = "properties" in seen.query.get("expand", "")
        version = self.version(seen)
        rows = [self.site.comment_json(issue, c, version, properties=expand) for c in issue.comments]
        rows = rows[::-1] if order == "-created" else rows
        start, most = int(seen.query.get("startAt", 0)), int(seen.query.get("maxResults", 5000))
        most = min(most, self.page_size)
        page = rows[start : start + most]
        return answer({"startAt": start, "maxResults": most, "total": len(rows), "comments": page})

    @route("POST", "/issue/{id}/comment")
    def add_comment(self, seen: Seen, id: str) -> Reply:
        issue, given, version = self.wanted(id), _json(seen), self.version(seen)
        if not given.get("body"):
            raise checks.error(400, comment="Comment body can not be empty!")
        body = checks.body_of(given["body"], "comment", version)
        marks = given.get("properties") or []
        hidden = [row for row in marks if row["key"] == "sd.public.comment" and row["value"].get("internal")]
        more: Row = {"internal": bool(hidden) and self.service_desk is not None}
        more |= {"properties": marks, "visibility": given.get("visibility")}
        comment = self.said(issue, self.api_user, body, **more)
        return answer(self.site.comment_json(issue, comment, version), 201)

    @route("DELETE", "/issue/{id}/comment/{comment}")
    def delete_comment(self, seen: Seen, id: str, comment: str) -> Reply:
        issue = self.wanted(id)
        kept = [each for each in issue.comments if each.id != comment]
        if len(kept) == len(issue.comments):
            raise checks.error(404, f"Can not find a comment for the id: {comment}.")
        issue.comments = kept
        return Reply(204)

    @route("POST", "/issue/{id}/attachments")
    def add_attachments(self, seen: Seen, id: str) -> Reply:
        issue = self.wanted(id)
        if seen.headers.get("x-atlassian-token") != "no-check":
            return Reply(403, b"XSRF check failed", {"content-type": "text/plain"})
        if not self.attachments_enabled:
            raise checks.error(403, "Attachments are disabled.")
        files = files_of(seen.headers.get("content-type", ""), seen.body)
        if len(files) > 60:
            raise checks.error(413, "The maximum number of attachments in one request is 60.")
        added = [self.site.attach(issue, self.api_user, file) for file in files]
        return answer([each.json(self.cloud) for each in added])

    # The workflow.

    @route("GET", "/issue/{id}/transitions")
    def transitions(self, seen: Seen, id: str) -> Reply:
        self.wanted(id)
        fields = "transitions.fields" in seen.query.get("expand", "")
        rows = self.site.transitions(self.resolution_screen, fields)
        return answer({"expand": "transitions", "transitions": rows})

    @route("POST", "/issue/{id}/transitions")
    def transit(self, seen: Seen, id: str) -> Reply:
        issue, given = self.wanted(id), _json(seen)
        category = TRANSITIONS.get(str((given.get("transition") or {}).get("id")))
        if category is None:
            raise checks.error(400, "It is not on the appropriate screen, or unknown: transition")
        resolution = self._resolution(given.get("fields") or {}, category)
        change = self.site.transit(issue, self.api_user, STATUSES[category], resolution)
        self.announce(issue, self.api_user, change)
        return Reply(204)

    def _resolution(self, fields: Mapping[str, Any], category: str) -> str | None:
        screen = self.resolution_screen and category == "done"
        if strange := set(fields) - ({"resolution"} if screen else set()):
            name = min(strange)
            raise checks.error(
                400, **{name: f"Field '{name}' cannot be set. It is not on the appropriate screen"}
            )
        names = {name: id for id, name in RESOLUTIONS.items()}
        given = fields.get("resolution") or {}
        id = str(given.get("id") or names.get(str(given.get("name"))))
        if screen and id not in RESOLUTIONS:
            raise checks.error(400, resolution="Resolution is required.")
        return id if screen else None

    # Search.

    @route("GET", "/search/jql")
    @route("POST", "/search/jql")
    def search(self, seen: Seen) -> Reply:
        if not self.cloud:
            raise checks.error(404, "null for uri")
        given = _asked(seen)
        most = int(given.get("maxResults", 50))
        if not 0 < most <= 5000:
            raise checks.error(400, "The value for 'maxResults' must be between 1 and 5000.")
        rows, token = self._matching(given), str(given.get("nextPageToken") or "page-0")
        if not token.startswith("page-") or not token[5:].isdigit():
            raise checks.error(400, "The provided next page token is invalid or expired")
        start, most = int(token[5:]), min(most, self.page_size)
        page = rows[start : start + most]
        last = start + len(page) >= len(rows)
        wanted, version = str(given.get("fields") or "id"), self.version(seen)
        properties = given.get("properties")
        found = [self.site.issue_json(issue, version, wanted, properties) for issue in page]
        if not given.get("fields"):  # then nothing but the ids
            found = [{"id": row["id"]} for row in found]
        return answer(
            {"issues": found, "isLast": last} | ({} if last else {"nextPageToken": f"page-{start + most}"})
        )

    @route("GET", "/search")
    @route("POST", "/search")
    def old_search(self, seen: Seen) -> Reply:
        if self.cloud:
            words = "The requested API has been removed. Please migrate to the /rest/api/3/search/jql API."
            raise checks.error(410, words)
        given = _asked(seen)
        rows, start = self._matching(given), int(given.get("startAt", 0))
        most = min(int(given.get("maxResults", 50)), self.page_size)
        page = rows[start : start + most]
        found = [self.site.issue_json(issue, 2, given.get("fields"), None) for issue in page]
        return answer({"startAt": start, "maxResults": most, "total": len(rows), "issues": found})

    def _matching(self, given: Mapping[str, Any]) -> list[Issue]:
        try:
            query = jql.Query(str(given.get("jql") or ""))
            seen = [(issue, self.site.indexed(issue)) for issue in self.site.issues.values()]
            found = [(row["updated"], issue) for issue, row in seen if row is not None and query.matches(row)]
        except jql.BadQuery as bad:
            raise checks.error(400, str(bad)) from bad
        found.sort(key=lambda pair: (pair[0], int(pair[1].id)), reverse=query.descending)
        return [issue for _, issue in found]

    @route("POST", "/issue/bulkfetch")
    def bulk(self, seen: Seen) -> Reply:
        given = _json(seen)
        ids = given.get("issueIdsOrKeys") or []
        if not self.cloud:
            raise checks.error(404, "null for uri")
        if not 0 < len(ids) <= 100:
            raise checks.error(400, "Between 1 and 100 issues can be fetched at once")
        wanted = ",".join(given.get("fields") or []) or None
        known = {id: self.site.find(str(id)) for id in ids}
        rows = [self.site.issue_json(i, self.version(seen), wanted, None) for i in known.values() if i]
        errors = [{"id": id, "errorMessage": "Issue does not exist"} for id, i in known.items() if i is None]
        return answer({"issues": rows, "issueErrors": errors})

    def wanted(self, id_or_key: str) -> Issue:
        try:
            return self.issue(id_or_key)
        except KeyError as error:
            raise checks.missing() from error

    def no_route(self, seen: Seen) -> Reply:
        body = {"title": "Not Found", "status": 404, "detail": f"No endpoint {seen.method} {seen.local}."}
        return answer(body, 404, {"content-type": "application/problem+json"})


def _json(seen: Seen) -> Row:
    try:
        given = seen.json
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise checks.error(400, "There was an error parsing JSON. Check that your request body is valid.")
    return given


def _asked(seen: Seen) -> Row:
    """What a search asks, from its address or from its body; lists as texts with commas."""
    given = dict(seen.query) if seen.method == "GET" else _json(seen)
    return {name: ",".join(value) if isinstance(value, list) else value for name, value in given.items()}


def _labels(issue: Issue, operations: Sequence[Mapping[str, Any]]) -> list[str]:
    labels = list(issue.fields.get("labels") or [])
    for operation in operations:
        if "add" in operation:
            labels.append(operation["add"])
        labels = [label for label in labels if label != operation.get("remove")]
    return labels
