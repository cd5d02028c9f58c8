"""Judges requests and answers by the community's OpenAPI file, as far as that file goes.

There is no official one. The file is generated and knows little of values: it is cut down to the operations
below, made strict about unknown members, and amended where the documentation says otherwise; each amendment
says why.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from openapi_core import Config, OpenAPI
from openapi_core.testing import MockRequest, MockResponse
from tests.outside import Spec, cut

from handrail.steps import Reply
from handrail.testing.wire import Seen

HOST = "https://example.freshdesk.com"
OPERATIONS = (
    ("POST", "/tickets"),
    ("GET", "/tickets"),
    ("GET", "/tickets/{ticket_id}"),
    ("PUT", "/tickets/{ticket_id}"),
    ("DELETE", "/tickets/{ticket_id}"),
    ("PUT", "/tickets/{ticket_id}/restore"),
    ("GET", "/tickets/{ticket_id}/conversations"),
    ("POST", "/tickets/{ticket_id}/reply"),
    ("POST", "/tickets/{ticket_id}/notes"),
    ("PUT", "/tickets/merge"),
    ("GET", "/search/tickets"),
    ("GET", "/groups"),
    ("GET", "/agents"),
    ("GET", "/contacts"),
    ("GET", "/ticket_fields"),
)
"""The operations of the simulated desk and of the connector that the file knows."""


class Checker:
    """Raises ``AssertionError`` or an ``openapi_core`` error where the contract is broken."""

    def __init__(self, specs: Path) -> None:
        self._api = _api(specs / "freshdesk-community.openapi.yml")

    def check_request(self, seen: Seen) -> None:
        """Judge what a client sent."""
        accepted = seen.headers.get("accept", "")
        assert "application/json" in accepted or "*/*" in accepted, "Accept: application/json must be sent"
        self._api.validate_request(_request(seen))

    def check_reply(self, seen: Seen, reply: Reply) -> None:
        """Judge what the desk answered. Refusals follow the texts that are quoted in public."""
        if reply.status >= 400:
            return _check_refusal(reply)
        if reply.status == 204:
            assert reply.content == b"", "a 204 has no body"
            return None
        media = reply.headers.get("content-type", "")
        response = MockResponse(reply.content, reply.status, dict(reply.headers), media.partition(";")[0])
        return self._api.validate_response(_request(seen), response)


def _check_refusal(reply: Reply) -> None:
    if reply.status in (404, 405):
        assert reply.content == b"", "a 404 has no body"
        return
    body = reply.json
    if reply.status == 400 and "errors" in body:
        assert body["description"] == "Validation failed"
        assert body["errors"], "a refusal names what is wrong"
        assert all(set(error) == {"field", "message", "code"} for error in body["errors"])
    else:
        assert body.get("message"), "a refusal says something"
        assert set(body) <= {"code", "message"}, "unknown words in a refusal"


def _request(seen: Seen) -> MockRequest:
    return MockRequest(
        HOST,
        seen.method.lower(),
        seen.path,
        args=dict(seen.query),
        headers={**seen.headers, "host": "example.freshdesk.com"},
        data=seen.body or None,
        content_type=seen.headers.get("content-type", "").partition(";")[0],
    )


def _api(file: Path) -> OpenAPI:
    whole = yaml.safe_load(file.read_text())
    spec = cut(whole, OPERATIONS, HOST)
    _amend(spec)
    spec["paths"] = {f"/api/v2{path}": item for path, item in spec["paths"].items()}
    return OpenAPI.from_dict(_nullable(spec), config=Config(spec_validator_cls=None))


def _nullable(part: Any) -> Any:
    """The file says 3.1 and writes ``nullable`` as 3.0 does: a type in 3.1 is a list then."""
    if isinstance(part, dict):
        made = {name: _nullable(value) for name, value in part.items() if name != "nullable"}
        if part.get("nullable") is True and isinstance(made.get("type"), str):
            made["type"] = [made["type"], "null"]
        return made
    return [_nullable(value) for value in part] if isinstance(part, list) else part


def _amend(spec: Spec) -> None:
    schemas = spec["components"]["schemas"]
    text, number = {"type": "string"}, {"type": "integer"}
    for name in ("Ticket", "TicketCreate", "TicketUpdate"):
        schemas[name]["properties"]["status"] = {"type": "integer", "minimum": 2}  # custom ones are above 5
    for name in ("TicketCreate", "TicketUpdate"):  # documented, absent from the file
        added = {"name": text, "unique_external_id": text, "email_config_id": number, "email": text}
        schemas[name]["properties"] |= added | {"due_by": text, "fr_due_by": text}
    for name in ("TicketCreate", "TicketUpdate", "NoteCreate", "ReplyCreate"):
        schemas[name]["additionalProperties"] = False  # unknown members are refused, in the quoted texts
    schemas["TicketCreate"]["required"] = ["subject", "description", "status", "priority"]
    ticket = schemas["Ticket"]
    ticket["required"] = ["id", "subject", "status", "priority", "custom_fields", "tags", "updated_at"]
    schemas["Conversation"]["required"] = ["id", "ticket_id", "body", "private", "incoming", "created_at"]
    schemas["Conversation"]["properties"]["support_email"] = {"type": "string", "nullable": True}
    for name in ("Group", "Agent", "Contact", "Field"):
        schemas[name]["required"] = ["id"] if name != "Contact" else []  # that of an agent has none
    schemas["Field"]["properties"]["choices"] = {}  # of the status it is an object, by the documentation
    schemas["Contact"]["properties"]["email"] = {"type": "string", "nullable": True}  # some have a phone only
    found = spec["paths"]["/search/tickets"]["get"]["responses"]["200"]["content"]["application/json"]
    found["schema"]["required"] = ["total", "results"]
    merge = spec["paths"]["/tickets/merge"]["put"]
    merge["responses"]["204"] = {"description": "Merged"}  # which of the two is not known
    shown = spec["paths"]["/tickets/{ticket_id}"]["get"]["parameters"]
    for parameter in shown:
        if parameter.get("name") == "include":  # several are joined by commas, by the documentation
            parameter["schema"] = {"type": "string", "pattern": "^[a-z]+(,[a-z]+)*$"}
