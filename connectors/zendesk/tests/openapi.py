"""Judges requests and answers by the vendor's OpenAPI file, where the shared specifications are at hand.

Requests are judged by the strict file (the vendor's own), answers by the calibrated one (the vendor's with
what recorded answers prove). Both are cut down to the operations below, and amended where they are known to
be wrong; each amendment says why.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from openapi_core import Config, OpenAPI
from openapi_core.testing import MockRequest, MockResponse
from tests.outside import Spec, cut

from handrail.steps import Reply
from handrail.testing.wire import Seen

HOST = "https://example.zendesk.com"
EVENTS = ("GET", "/api/v2/incremental/ticket_events")
EXPORT = ("GET", "/api/v2/incremental/tickets/cursor")
OPERATIONS = (
    ("POST", "/oauth/tokens"),
    ("POST", "/api/v2/tickets"),
    ("GET", "/api/v2/tickets"),
    ("GET", "/api/v2/tickets/show_many"),
    ("GET", "/api/v2/tickets/{ticket_id}"),
    ("PUT", "/api/v2/tickets/{ticket_id}"),
    ("GET", "/api/v2/tickets/{ticket_id}/comments"),
    ("GET", "/api/v2/tickets/{ticket_id}/audits"),
    ("GET", "/api/v2/groups"),
    ("GET", "/api/v2/groups/assignable"),
    ("GET", "/api/v2/ticket_fields"),
    ("GET", "/api/v2/custom_statuses"),
    ("GET", "/api/v2/users/me"),
    ("GET", "/api/v2/users/search"),
    ("GET", "/api/v2/users/{user_id}"),
    ("POST", "/api/v2/uploads"),
    EVENTS,
    EXPORT,
)
"""The operations of the simulated desk and of the connector."""


class Checker:
    """Raises ``AssertionError`` or an ``openapi_core`` error where the contract is broken."""

    def __init__(self, specs: Path) -> None:
        self._requests = _api(specs / "zendesk.strict.openapi.json", _amend_requests)
        self._replies = _api(specs / "zendesk.calibrated.openapi.json", _amend_replies)

    def check_request(self, seen: Seen) -> None:
        """Judge what a client sent."""
        assert "application/json" in seen.headers.get("accept", ""), "Accept: application/json must be sent"
        assert seen.headers.get("user-agent"), "User-Agent must be sent"
        self._requests.validate_request(_request(seen))

    def check_reply(self, seen: Seen, reply: Reply) -> None:
        """Judge what the desk answered. The file describes no refusals: those follow the recorded ones."""
        if reply.status >= 400:
            return _check_refusal(reply)
        media = reply.headers.get("content-type", "")
        response = MockResponse(reply.content, reply.status, dict(reply.headers), media.partition(";")[0])
        self._replies.validate_response(_request(seen), response)


def _check_refusal(reply: Reply) -> None:
    assert "json" in reply.headers["content-type"], "a refusal is JSON unless the request was no good at all"
    body = reply.json
    assert set(body) <= {"error", "description", "details", "error_description"}, "unknown words in a refusal"
    assert isinstance(body["error"], str | dict), "a refusal names its error"
    for field, faults in body.get("details", {}).items():
        assert isinstance(field, str)
        assert all(isinstance(fault["description"], str) for fault in faults)


def _request(seen: Seen) -> MockRequest:
    media = seen.headers.get("content-type", "").partition(";")[0]
    upload = seen.path.removesuffix(".json") == "/api/v2/uploads"
    if upload and media and media != "application/json":
        media = "application/binary"  # the file lists three types; the text asks for the file's own
    return MockRequest(
        HOST,
        seen.method.lower(),
        seen.path.removesuffix(".json"),
        args=dict(seen.query),
        headers={**seen.headers, "host": "example.zendesk.com"},
        data=seen.body or None,
        content_type=media,
    )


def _api(file: Path, amend: Any) -> OpenAPI:
    whole = json.loads(file.read_text())
    spec = cut(whole, OPERATIONS, HOST)
    amend(spec)
    return OpenAPI.from_dict(spec, config=Config(spec_validator_cls=None))


def _amend_requests(spec: Spec) -> None:
    schemes = spec["components"]["securitySchemes"]
    schemes["bearer"] = {"type": "http", "scheme": "bearer"}  # OAuth is documented, the file knows only Basic
    spec["security"] = [{"basicAuth": []}, {"bearer": []}]
    token = spec["paths"]["/oauth/tokens"]["post"]
    token["security"] = []  # the credentials stand in the body, which the file does not describe
    token["requestBody"] = {"required": True, "content": {"application/json": {"schema": _TOKEN_REQUEST}}}
    created = spec["components"]["schemas"]["TicketCreateInput"]["properties"]
    updated = spec["components"]["schemas"]["TicketUpdateInput"]["properties"]
    for properties in (created, updated):  # documented in the text, absent from (some versions of) the file
        properties.setdefault("metadata", {"type": "object"})
        properties.setdefault("requester", {"type": "object"})
    parameters = spec["paths"][EXPORT[1]]["parameters"] = [
        dict(spec["components"]["parameters"][reference["$ref"].split("/")[-1]])
        if "$ref" in reference
        else reference
        for reference in spec["paths"][EXPORT[1]].get("parameters", [])
    ]
    for parameter in parameters:  # later pages give the cursor in place of the start
        parameter["required"] = False


def _amend_replies(spec: Spec) -> None:
    spec["security"] = []
    schemas = spec["components"]["schemas"]
    export = spec["paths"][EVENTS[1]]["get"]["responses"]["200"]["content"]["application/json"]
    export["schema"] = _EVENTS_REPLY  # the file describes metric events here
    cursor = schemas["CursorBasedExportIncrementalTicketsResponse"]["properties"]["tickets"]
    exported = json.loads(json.dumps(schemas["TicketObject"]))
    exported["properties"]["status"]["enum"].append("deleted")  # so the text says of the exports
    cursor["items"] = exported
    token = schemas["OAuthTokenForGrantTypesObject"]
    token["required"] = ["access_token", "token_type", "scope"]


_TOKEN_REQUEST = {
    "type": "object",
    "required": ["grant_type", "client_id", "client_secret", "scope"],
    "additionalProperties": False,
    "properties": {
        "grant_type": {"type": "string", "enum": ["client_credentials"]},
        "client_id": {"type": "string"},
        "client_secret": {"type": "string"},
        "scope": {"type": "string"},
        "expires_in": {"type": "integer", "minimum": 300, "maximum": 172800},
    },
}
_CHILD = {
    "type": "object",
    "required": ["id", "event_type", "via"],
    "properties": {
        "id": {"type": "integer"},
        "event_type": {"type": "string", "enum": ["Create", "Change", "Comment"]},
        "comment_public": {"type": "boolean"},
        "body": {"type": "string"},
        "html_body": {"type": "string"},
        "public": {"type": "boolean"},
        "author_id": {"type": "integer"},
        "created_at": {"type": "string", "format": "date-time"},
    },
}
_EVENT = {
    "type": "object",
    "required": ["id", "ticket_id", "timestamp", "updater_id", "event_type", "child_events"],
    "properties": {
        "id": {"type": "integer"},
        "ticket_id": {"type": "integer"},
        "timestamp": {"type": "integer"},
        "created_at": {"type": "string", "format": "date-time"},
        "updater_id": {"type": "integer"},
        "event_type": {"type": "string", "enum": ["Audit"]},
        "child_events": {"type": "array", "items": _CHILD},
    },
}
_EVENTS_REPLY = {
    "type": "object",
    "required": ["ticket_events", "end_time", "end_of_stream"],
    "properties": {
        "count": {"type": "integer"},
        "end_of_stream": {"type": "boolean"},
        "end_time": {"type": "integer"},
        "next_page": {"type": "string", "nullable": True},
        "ticket_events": {"type": "array", "items": _EVENT},
    },
}
