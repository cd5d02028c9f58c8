"""The routes of a simulated Jira Service Management: requests, their comments, customers, files.

https://developer.atlassian.com/cloud/jira/service-desk/rest/
"""

from __future__ import annotations

from typing import Any

from handrail.steps import Reply
from handrail.testing.desk import Refusal, SimulatedFile, answer, route
from handrail.testing.wire import Seen
from handrail_jira.simulated import checks
from handrail_jira.simulated.people import People, files_of
from handrail_jira.simulated.records import HOST, Comment, Issue, Row, User, stamp
from handrail_jira.simulated.site import PROJECT

REQUEST_TYPE = {"id": "25", "name": "Get IT help", "issueTypeId": "10003"}
MOST_FILES = 60
WRONG = "Your request could not be created. Please check the fields."
"""All that is said about a form: no field is named, as the platform would do."""
FORM = {"summary": ("What do you need?", True), "description": ("Tell us more", False)}


class Service(People):
    """``form`` holds the fields of the request type; ``may_raise`` says whether for customers too."""

    form: dict[str, tuple[str, bool]]
    may_raise: bool
    temporary: dict[str, SimulatedFile]
    api_user: User
    shows_notes: bool

    @route("GET", "/servicedeskapi/servicedesk/{desk}")
    def show_desk(self, seen: Seen, desk: str) -> Reply:
        self._desk(desk)
        known = {"id": self.service_desk, "projectId": "10000", "projectName": "Support"}
        return answer(known | {"projectKey": PROJECT, "_links": {"self": f"{HOST}{seen.path}"}})

    @route("GET", "/servicedeskapi/servicedesk/{desk}/requesttype")
    def request_types(self, seen: Seen, desk: str) -> Reply:
        self._desk(desk)
        return _paged(seen, [{**REQUEST_TYPE, "serviceDeskId": self.service_desk, "description": ""}])

    @route("GET", "/servicedeskapi/servicedesk/{desk}/requesttype/{kind}/field")
    def request_fields(self, seen: Seen, desk: str, kind: str) -> Reply:
        self._desk(desk)
        rows = [
            {"fieldId": id, "name": name, "description": "", "required": required, "validValues": []}
            for id, (name, required) in self.form.items()
        ]
        known = {"canRaiseOnBehalfOf": self.may_raise, "canAddRequestParticipants": True}
        return answer({"requestTypeFields": rows, **known})

    @route("GET", "/servicedeskapi/servicedesk/{desk}/customer")
    def customers(self, seen: Seen, desk: str) -> Reply:
        self._desk(desk)
        wanted = seen.query.get("query", "").casefold()
        people = [user for user in self.site.users.values() if user.account_type == "customer"]
        fits = [user for user in people if wanted in f"{user.display_name} {user.email}".casefold()]
        return _paged(seen, [_person(user) for user in fits])

    @route("POST", "/servicedeskapi/customer")
    def new_customer(self, seen: Seen) -> Reply:
        address = str(seen.json.get("email") or "").casefold()
        if any(user.email == address for user in self.site.users.values()):
            raise checks.desk_error(400, "An account already exists for this email", "sd.customer.exists")
        if "@" not in address:
            raise checks.desk_error(400, "The email address is not valid", "sd.customer.invalid")
        return answer(_person(self.site.user(seen.json["displayName"], address, "customer")), 201)

    @route("POST", "/servicedeskapi/servicedesk/{desk}/customer")
    def add_customer(self, seen: Seen, desk: str) -> Reply:
        self._desk(desk)
        return Reply(204)

    @route("POST", "/servicedeskapi/request")
    def raise_request(self, seen: Seen) -> Reply:
        given = seen.json
        self._desk(str(given.get("serviceDeskId")))
        values = given.get("requestFieldValues") or {}
        if str(given.get("requestTypeId")) != REQUEST_TYPE["id"] or set(values) - set(self.form):
            raise checks.desk_error(400, WRONG)
        who = self._raised_for(given.get("raiseOnBehalfOf"))
        try:
            fields = checks.fields(self.site, values, 2, {})
        except Refusal:
            raise checks.desk_error(400, WRONG) from None
        issue = self.site.create({"issuetype": "10003", **fields}, {}, who)
        issue.request_type = REQUEST_TYPE["id"]
        self.created(issue)
        return answer(self._request(issue), 201)

    def _raised_for(self, given: Any) -> User:
        if given is None:
            return self.api_user
        if not self.may_raise:
            raise checks.desk_error(400, "You cannot raise a request on behalf of others.")
        if not self.site.cloud and "@" in str(given):
            return self.site.user(str(given), str(given), "customer")
        if given not in self.site.users:
            raise checks.desk_error(400, "The customer to raise on behalf of does not exist.")
        return self.site.users[given]

    def _request(self, issue: Issue) -> Row:
        at = {"iso8601": stamp(issue.created), "epochMillis": int(issue.created.timestamp() * 1000)}
        status = {"status": issue.status.name, "statusCategory": "NEW", "statusDate": at}
        known = {"issueId": issue.id, "issueKey": issue.key, "serviceDeskId": self.service_desk}
        return known | {
            "requestTypeId": issue.request_type,
            "reporter": _person(issue.reporter),
            "createdDate": at,
            "currentStatus": status,
            "requestFieldValues": [],
            "_links": {"self": f"{HOST}/rest/servicedeskapi/request/{issue.id}"},
        }

    @route("GET", "/servicedeskapi/request/{id}/comment")
    def request_comments(self, seen: Seen, id: str) -> Reply:
        return _paged(seen, [self._comment(each) for each in self.wanted(id).comments])

    @route("POST", "/servicedeskapi/request/{id}/comment")
    def comment_on_request(self, seen: Seen, id: str) -> Reply:
        issue, body = self.wanted(id), seen.json.get("body")
        if not isinstance(body, str) or not body.strip():
            raise checks.desk_error(400, "The comment is empty", "sd.comment.empty")
        checks.body_of(body, "comment", 2)
        return answer(self._comment(self._noted(issue, body, seen.json.get("public"))), 201)

    def _noted(self, issue: Issue, body: str, public: Any, **more: Any) -> Comment:
        internal = public is False and not self.shows_notes
        marks = [{"key": "sd.public.comment", "value": {"internal": internal}}]
        return self.said(issue, self.api_user, body, internal=internal, properties=marks, **more)

    @route("POST", "/servicedeskapi/servicedesk/{desk}/attachTemporaryFile")
    def hold_files(self, seen: Seen, desk: str) -> Reply:
        self._desk(desk)
        rows, files = [], files_of(seen.headers.get("content-type", ""), seen.body)
        if len(files) > MOST_FILES:
            raise checks.desk_error(413, "Too many files in one request", "sd.attachment.many")
        for file in files:
            id = f"temp{self.site.new_id()}"
            self.temporary[id] = file
            rows.append({"temporaryAttachmentId": id, "fileName": file.name})
        if not rows:
            raise checks.desk_error(400, "No files were sent", "sd.attachment.none")
        return answer({"temporaryAttachments": rows}, 201)

    @route("POST", "/servicedeskapi/request/{id}/attachment")
    def attach_to_request(self, seen: Seen, id: str) -> Reply:
        issue, given = self.wanted(id), seen.json
        ids = given.get("temporaryAttachmentIds") or []
        if not ids or set(ids) - self.temporary.keys():
            raise checks.desk_error(400, "A temporary attachment does not exist", "sd.attachment.gone")
        files = [self.temporary.pop(each) for each in ids]
        body = str((given.get("additionalComment") or {}).get("body") or "")
        names = "\n".join(f"[^{file.name}]" for file in files)
        comment = self._noted(issue, f"{body}\n\n{names}", given.get("public"), files=files)
        return answer({"comment": self._comment(comment), "attachments": {"values": [], "size": 0}}, 201)

    def _comment(self, comment: Comment) -> Row:
        at = {"iso8601": stamp(comment.created), "epochMillis": int(comment.created.timestamp() * 1000)}
        author = _person(comment.author) | ({} if self.site.cloud else {"name": comment.author.name})
        body = comment.body if isinstance(comment.body, str) else self.site.shown(comment.body, 2)
        known = {"id": comment.id, "body": body, "public": not comment.internal}
        return known | {"author": author, "created": at}

    def _desk(self, id: str) -> None:
        if self.service_desk is None or id not in (self.service_desk, PROJECT):
            raise checks.desk_error(404, "The service desk does not exist", "sd.servicedesk.missing")

    def wanted(self, id_or_key: str) -> Issue:
        raise NotImplementedError


def _person(user: User) -> Row:
    known = {"accountId": user.id, "displayName": user.display_name, "active": True}
    return known | {"emailAddress": user.email or "", "timeZone": "Australia/Sydney"}


def _paged(seen: Seen, rows: list[Row]) -> Reply:
    start, limit = int(seen.query.get("start", 0)), int(seen.query.get("limit", 50))
    page = rows[start : start + limit]
    last = start + len(page) >= len(rows)
    return answer({"size": len(page), "start": start, "limit": limit, "isLastPage": last, "values": page})
