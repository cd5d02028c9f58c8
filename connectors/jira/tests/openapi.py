"""Judges requests and answers by the vendor's OpenAPI files, where the shared specifications are at hand.

Both files are cut down to the operations below, closed (what an answer or a body of ours holds must be
described), and amended where they are known to be wrong; each amendment says why.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from openapi_core import Config, OpenAPI
from openapi_core.testing import MockRequest, MockResponse
from tests.outside import Spec, cut

from handrail.steps import Reply
from handrail.testing.wire import Seen

HOST = "https://your-domain.atlassian.net"
API, DESK = "/rest/api/3", "/rest/servicedeskapi"
CREATEMETA = f"{API}/issue/createmeta/{{projectIdOrKey}}/issuetypes"
PLATFORM = (
    ("GET", f"{API}/myself"),
    ("GET", f"{API}/serverInfo"),
    ("GET", f"{API}/priority"),
    ("GET", f"{API}/field"),
    ("GET", f"{API}/project/{{projectIdOrKey}}/components"),
    ("GET", CREATEMETA),
    ("GET", f"{CREATEMETA}/{{issueTypeId}}"),
    ("GET", f"{API}/user/assignable/search"),
    ("POST", f"{API}/issue"),
    ("GET", f"{API}/issue/{{issueIdOrKey}}"),
    ("PUT", f"{API}/issue/{{issueIdOrKey}}"),
    ("GET", f"{API}/issue/{{issueIdOrKey}}/changelog"),
    ("GET", f"{API}/issue/{{issueIdOrKey}}/properties/{{propertyKey}}"),
    ("GET", f"{API}/issue/{{issueIdOrKey}}/comment"),
    ("POST", f"{API}/issue/{{issueIdOrKey}}/comment"),
    ("DELETE", f"{API}/issue/{{issueIdOrKey}}/comment/{{id}}"),
    ("POST", f"{API}/issue/{{issueIdOrKey}}/attachments"),
    ("GET", f"{API}/issue/{{issueIdOrKey}}/transitions"),
    ("POST", f"{API}/issue/{{issueIdOrKey}}/transitions"),
    ("GET", f"{API}/issueLinkType"),
    ("POST", f"{API}/issueLink"),
    ("GET", f"{API}/search/jql"),
    ("POST", f"{API}/search/jql"),
    ("POST", f"{API}/issue/bulkfetch"),
)
SERVICE = (
    ("GET", f"{DESK}/servicedesk/{{serviceDeskId}}"),
    ("GET", f"{DESK}/servicedesk/{{serviceDeskId}}/requesttype"),
    ("GET", f"{DESK}/servicedesk/{{serviceDeskId}}/requesttype/{{requestTypeId}}/field"),
    ("GET", f"{DESK}/servicedesk/{{serviceDeskId}}/customer"),
    ("POST", f"{DESK}/servicedesk/{{serviceDeskId}}/customer"),
    ("POST", f"{DESK}/customer"),
    ("POST", f"{DESK}/request"),
    ("GET", f"{DESK}/request/{{issueIdOrKey}}/comment"),
    ("POST", f"{DESK}/request/{{issueIdOrKey}}/comment"),
    ("POST", f"{DESK}/servicedesk/{{serviceDeskId}}/attachTemporaryFile"),
    ("POST", f"{DESK}/request/{{issueIdOrKey}}/attachment"),
)


class Checker:
    """Raises ``AssertionError`` or an ``openapi_core`` error where the contract is broken."""

    def __init__(self, specs: Path) -> None:
        self._platform = _api(specs / "jira-cloud.openapi.json", PLATFORM, _amend_platform)
        self._service = _api(specs / "jsm-cloud.openapi.json", SERVICE, _amend_service)

    def _of(self, seen: Seen) -> OpenAPI:
        return self._service if seen.path.startswith(DESK) else self._platform

    def check_request(self, seen: Seen) -> None:
        """Judge what a client sent."""
        assert "application/json" in seen.headers.get("accept", ""), "Accept: application/json must be sent"
        if seen.headers.get("content-type", "").startswith("multipart/"):
            assert seen.headers.get("x-atlassian-token") == "no-check", "a form needs X-Atlassian-Token"
            assert b'name="file"; filename="' in seen.body, "the files are the form's parts named file"
            return
        self._of(seen).validate_request(_request(seen))

    def check_reply(self, seen: Seen, reply: Reply) -> None:
        """Judge what the desk answered. Refusals have the same shapes everywhere."""
        if reply.status >= 400:
            return _check_refusal(seen, reply)
        media = reply.headers.get("content-type", "").partition(";")[0]
        response = MockResponse(reply.content or b"", reply.status, dict(reply.headers), media)
        self._of(seen).validate_response(_request(seen), response)


def _check_refusal(seen: Seen, reply: Reply) -> None:
    body = reply.json
    if seen.path.startswith(DESK) and "errorMessage" in body:
        assert set(body) == {"errorMessage", "i18nErrorMessage"}
        assert set(body["i18nErrorMessage"]) == {"i18nKey", "parameters"}
        return
    assert set(body) == {"errorMessages", "errors"}, "unknown words in a refusal"
    assert all(isinstance(message, str) for message in body["errorMessages"])
    assert all(isinstance(words, str) for words in body["errors"].values())
    assert body["errorMessages"] or body["errors"], "a refusal says why"


def _request(seen: Seen) -> MockRequest:
    form = seen.headers.get("content-type", "").startswith("multipart/")
    return MockRequest(
        HOST,
        seen.method.lower(),
        seen.path,
        args=dict(seen.query),
        headers={**seen.headers, "host": HOST.removeprefix("https://")},
        data=None if form else seen.body or None,
        content_type=seen.headers.get("content-type", "").partition(";")[0],
    )


def _api(file: Path, operations: Iterable[tuple[str, str]], amend: Any) -> OpenAPI:
    spec = cut(json.loads(file.read_text()), operations, HOST)
    amend(spec)
    spec.pop("security", None)
    for item in spec["paths"].values():
        for operation in item.values():
            if isinstance(operation, dict):  # OAuth only, by the file; tokens with an address work as well
                operation["security"] = [{"basic": []}]
                operation["responses"].get("204", {}).pop("content", None)  # there is none, by its number
    spec["components"]["securitySchemes"] = {"basic": {"type": "http", "scheme": "basic"}}
    return OpenAPI.from_dict(spec, config=Config(spec_validator_cls=None))


def _amend_platform(spec: Spec) -> None:
    schemas = spec["components"]["schemas"]
    comment = schemas["Comment"]
    comment["additionalProperties"] = False  # the file lets anything through here
    schemas["PageOfComments"]["additionalProperties"] = False
    created = schemas["IssueUpdateDetails"]
    created["additionalProperties"] = False
    created["properties"]["fields"] = _FIELDS
    for schema in schemas.values():
        for value in schema.get("properties", {}).values():
            if value.get("format") == "date-time":  # the offset is written without its colon
                del value["format"]
                value["pattern"] = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d{4}$"
    for name in ("from", "fromString", "to", "toString"):  # recorded webhooks have nulls here
        schemas["ChangeDetails"]["properties"][name]["nullable"] = True
    linked = spec["paths"][f"{API}/issueLink"]["post"]["responses"]["201"]
    linked.pop("content")  # "an empty response", says its text


def _amend_service(spec: Spec) -> None:
    schemas = spec["components"]["schemas"]
    schemas["RequestCreateDTO"]["required"] = ["serviceDeskId", "requestTypeId", "requestFieldValues"]
    schemas["CommentCreateDTO"]["required"] = ["body", "public"]  # what is not said is public
    schemas["AttachmentCreateDTO"]["required"] = ["temporaryAttachmentIds", "public"]
    for schema in schemas.values():
        for value in schema.get("properties", {}).values():
            if value.get("format") == "date-time":
                del value["format"]


_DOC = {
    "type": "object",
    "required": ["type", "version", "content"],
    "properties": {"type": {"type": "string", "enum": ["doc"]}},
}
_ID = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}
_FIELDS = {
    # By the text of "Create issue": https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/
    "type": "object",
    "properties": {
        "description": _DOC,
        "summary": {"type": "string", "maxLength": 255},
        "labels": {"type": "array", "items": {"type": "string", "pattern": r"^\S+$"}},
        "priority": _ID,
        "components": {"type": "array", "items": _ID},
        "assignee": _ID,
        "issuetype": _ID,
        "duedate": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d$"},
    },
}
