"""What Freshdesk refuses: the bodies of refusals, and the checks of what a client sends about a ticket."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from handrail.steps import Reply
from handrail.testing.desk import Refusal, SimulatedFile, answer
from handrail.testing.wire import Seen
from handrail_freshdesk.simulated.records import CUSTOM_STATUSES, PRIORITIES, STATUSES, Account, Row

MAX_BYTES = 20 * 1024 * 1024
MAX_TAG = 32
SOURCES = (1, 2, 3, 5, 6, 7, 9, 10, 11)
_ADDRESS = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+\.[^@\s,;<>.]+")
_WHO = ("requester_id", "email", "phone", "unique_external_id", "facebook_id", "twitter_id")
_TEXTS = (
    "name",
    "email",
    "phone",
    "unique_external_id",
    "subject",
    "description",
    "type",
    "due_by",
    "fr_due_by",
)
_NUMBERS = [
    "requester_id",
    "status",
    "priority",
    "source",
    "group_id",
    "responder_id",
    "product_id",
    "email_config_id",
    "company_id",
    "parent_id",
]
_LISTS = ("tags", "cc_emails", "related_ticket_ids")
_TYPES: dict[str, Any] = {
    **dict.fromkeys(_TEXTS, str),
    **dict.fromkeys(_NUMBERS, int),
    **dict.fromkeys(_LISTS, list),
    "custom_fields": dict,
}
_WORDS = {str: "String", int: "Positive Integer", list: "Array", dict: "key/value pair", float: "Number"}
_FIELD_TYPES = {"custom_text": str, "custom_paragraph": str, "custom_number": int, "custom_checkbox": bool}


def invalid(*errors: tuple[str, str, str]) -> Refusal:
    """A 400 from (field, message, code)."""
    rows = [{"field": field, "message": message, "code": code} for field, message, code in errors]
    return Refusal(answer({"description": "Validation failed", "errors": rows}, 400))


def one_of(field: str, values: Any) -> Refusal:
    message = f"It should be one of these values: '{','.join(str(value) for value in values)}'"
    return invalid((field, message, "invalid_value"))


def missing(*fields: str) -> Refusal:
    return invalid(*((field, "Mandatory attribute missing", "missing_field") for field in fields))


def unauthorized() -> Reply:
    words = "You have to be logged in to perform this action."
    return answer({"code": "invalid_credentials", "message": words}, 401)


def denied(code: str = "access_denied") -> Refusal:
    words = "You are not authorized to perform this action."
    return Refusal(answer({"code": code, "message": words}, 403))


def not_found() -> Refusal:
    return Refusal(Reply(404, b"", {}))


def body_of(seen: Seen) -> tuple[Row, list[SimulatedFile]]:
    """The values and the files of a request, from JSON or from a form, whose values are all texts."""
    media = seen.headers.get("content-type", "")
    if media.startswith("multipart/form-data"):
        return _form(seen.body, media.partition("boundary=")[2].strip('"'))
    if "json" not in media:
        words = "Content-Type header is not supported"
        raise Refusal(answer({"code": "invalid_header", "message": words}, 415))
    try:
        sent = seen.json
    except ValueError:
        sent = None
    if not isinstance(sent, dict):
        words = "Request body has invalid json format"
        raise Refusal(answer({"code": "invalid_json", "message": words}, 400))
    return sent, []


def _form(body: bytes, boundary: str) -> tuple[Row, list[SimulatedFile]]:
    values: Row = {}
    files: list[SimulatedFile] = []
    for part in body.split(b"--" + boundary.encode())[1:-1]:
        head, _, content = (
            part.strip(b"\r\n").partition(b"\r\n\r\n") if b"\r\n\r\n" in part else (b"", b"", b"")
        )
        content = part.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n")
        name = re.findall(r'[; ]name="([^"]*)"', head.decode())[0]
        filename = re.findall(r'filename="([^"]*)"', head.decode())
        media = re.findall(r"(?i)content-type: *([^\r\n]+)", head.decode())
        if filename:
            files.append(
                SimulatedFile(filename[0], content, media[0] if media else "application/octet-stream")
            )
        else:
            _put(values, name, content.decode())
    return values, files


def _put(values: Row, name: str, text: str) -> None:
    outer, _, inner = name.removesuffix("]").partition("[")
    if name.endswith("[]"):
        values.setdefault(outer, []).append(text)
    elif inner:
        values.setdefault(outer, {})[inner] = text
    else:
        values[outer] = int(text) if outer in _NUMBERS and text.isdigit() else text


def ticket_values(account: Account, given: Row, files: list[SimulatedFile], *, new: bool) -> Row:
    """The values of a ticket, checked. A form's values are taken as what they should be."""
    unknown = [name for name in given if name not in _TYPES and name != "attachments"]
    if unknown:
        raise invalid(*((name, "Unexpected/invalid field in request", "invalid_field") for name in unknown))
    for name, value in given.items():
        kind = _TYPES.get(name)
        if value is not None and kind and (not isinstance(value, kind) or isinstance(value, bool)):
            raise mismatch(name, value, kind)
    if new:
        _requester(given)
    _choices(account, given)
    _times(account, given)
    _tags(given)
    if sum(len(file.content) for file in files) > MAX_BYTES:
        words = "The total size of attachments exceeds the maximum limit of 20 MB"
        raise invalid(("attachments", words, "invalid_size"))
    values = {name: value for name, value in given.items() if name not in (*_WHO, "name")}
    return values | {
        "custom_fields": _custom(account, given.get("custom_fields") or {}, bool(files), new=new)
    }


def mismatch(name: str, value: Any, kind: type) -> Refusal:
    was, wanted = _WORDS.get(type(value), "Boolean"), _WORDS.get(kind, "Boolean")
    return invalid((name, f"Value set is of type {was}.It should be a/an {wanted}", "datatype_mismatch"))


def _requester(given: Mapping[str, Any]) -> None:
    if not any(given.get(name) for name in _WHO):
        raise missing("requester_id", "phone", "email", "twitter_id", "unique_external_id")
    if given.get("email") and not _ADDRESS.fullmatch(given["email"]):
        raise invalid(("email", "It should be in the 'valid email address' format", "invalid_value"))
    if given.get("phone") and not given.get("email") and not given.get("name"):
        raise missing("name")


def _choices(account: Account, given: Mapping[str, Any]) -> None:
    statuses, sources = STATUSES | CUSTOM_STATUSES, SOURCES
    for name, values in (("priority", PRIORITIES), ("status", statuses), ("source", sources)):
        if given.get(name) is not None and given[name] not in values:
            raise one_of(name, values)
    group, agent = given.get("group_id"), given.get("responder_id")
    if group is not None and group not in account.groups.values():
        raise invalid(("group_id", "There is no group matching the given group_id", "invalid_value"))
    if agent is not None and agent not in account.agents:
        raise invalid(("responder_id", "There is no agent matching the given responder_id", "invalid_value"))
    if agent is not None and group is not None and group not in account.agents[agent].group_ids:
        raise invalid(("responder_id", "The agent does not belong to the given group", "invalid_value"))


def _times(account: Account, given: Mapping[str, Any]) -> None:
    names = [name for name in ("fr_due_by", "due_by") if given.get(name)]
    if not names:
        return
    if len(names) == 1:
        other = "due_by" if names == ["fr_due_by"] else "fr_due_by"
        raise invalid((other, f"It should be specified together with {names[0]}", "missing_field"))
    first, last = (datetime.fromisoformat(given[name]).astimezone(UTC) for name in names)
    late = [(n, t) for n, t in (("fr_due_by", first), ("due_by", last)) if t <= account.now]
    if late:
        raise invalid(*((n, "Should be greater than the current time", "invalid_value") for n, _ in late))
    if first >= last:
        raise invalid(("fr_due_by", "It should be lesser than due_by", "invalid_value"))


def _tags(given: Mapping[str, Any]) -> None:
    for tag in given.get("tags") or ():
        if not isinstance(tag, str):
            raise invalid(("tags", "It should contain elements of type String only", "datatype_mismatch"))
        if len(tag) > MAX_TAG or "," in tag:
            words = f"It should only contain elements that have maximum of {MAX_TAG} characters"
            raise invalid(("tags", words, "too_long"))


def _custom(account: Account, given: Mapping[str, Any], form: bool, *, new: bool) -> Row:
    values: Row = {}
    for name, value in given.items():
        if name not in account.fields:
            raise invalid((name, "Unexpected/invalid field in request", "invalid_field"))
        kind = _FIELD_TYPES[account.fields[name]]
        if form and kind is int and value.lstrip("-").isdigit():
            value = int(value)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise mismatch(name, value, kind)
        values[name] = value
    lacking = account.mandatory - set(values)
    if new and lacking:
        raise missing(*sorted(lacking))
    return values
