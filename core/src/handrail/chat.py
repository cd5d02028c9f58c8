"""Turns messages of the OpenAI and the Anthropic chat format, and native ones, into messages and attempts.

What was said becomes messages. Tool calls and their results become attempts. System and developer prompts
are dropped here, so that they can be neither stored nor sent; so is a model's private thinking.
"""

from __future__ import annotations

import difflib
import json
import re
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from handrail.errors import InputError
from handrail.redact import mask
from handrail.text import one_line

MAX_DETAIL = 300
"""A tool's result is kept as one line of at most so many characters."""

_NATIVE = {"customer": "customer", "ai": "ai", "human": "human"}
_CHAT = {"user": "customer", "assistant": "ai", "developer": "system", "function": "tool"}
_BOTH = {"system": "system", "tool": "tool"}
_OURS = _NATIVE | _CHAT | _BOTH
_MEANT = {"client": "customer", "visitor": "customer", "bot": "ai", "model": "ai", "agent": "'ai' or 'human'"}
_NATIVE_KEYS = ("role", "text", "at", "name")

_TEXTS = frozenset({"text", "input_text", "output_text", "refusal"})
_THOUGHTS = frozenset({"thinking", "redacted_thinking", "reasoning"})
_KINDS = {"image_url": "image", "input_image": "image", "input_audio": "audio", "input_file": "file"}

_FAILED = re.compile(r"\s*(error|exception|traceback)\b", re.IGNORECASE)
_TIME: TypeAdapter[datetime] = TypeAdapter(datetime)

Entry = dict[str, Any]


def nearest(word: str, names: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The name that ``word`` was probably meant to be."""
    return _nearest(word[:100].lower(), tuple(names), cutoff)


@lru_cache(maxsize=1000)
def _nearest(word: str, names: tuple[str, ...], cutoff: float) -> str | None:
    matches = difflib.get_close_matches(word, names, n=1, cutoff=cutoff)
    return matches[0] if matches else None


def shown(value: object) -> str:
    """A hostile value in quotes, fit for an error message."""
    return f"'{one_line(str(value), 40)}'"


def plain(value: Any) -> Any:
    """A model of pydantic, ours or an SDK's, as the dictionary that it stands for."""
    dump = getattr(value, "model_dump", None)
    return dump(mode="json") if callable(dump) else value


@dataclass
class Heard:
    """What was said, and what was tried. ``places`` says where each message stood in the input."""

    messages: list[Entry] = field(default_factory=list)
    attempts: list[Entry] = field(default_factory=list)
    places: list[str] = field(default_factory=list)


def read_messages(messages: Any) -> Heard:
    """Read messages of any format. Raises ``InputError`` that names the message and the cure."""
    if not isinstance(messages, list | tuple):
        raise InputError("is no list; write a list of messages", field="messages")
    log = _Log()
    for index, message in enumerate(messages):
        place = f"messages[{index}]"
        _read(plain(message), place, log)
        log.places += [place] * (len(log.messages) - len(log.places))
    return log


def as_arguments(value: Any) -> Entry:
    """A tool call's arguments: the object they stand for, or their text under ``arguments``."""
    if isinstance(value, str):
        value = _json_or_text(value)
    if isinstance(value, Mapping):
        return dict(value)
    return {} if value in (None, "") else {"arguments": value}


def _json_or_text(text: str) -> Any:
    try:
        value = json.loads(text, parse_constant=_no_constant)
        return value if depth(value) < MAX_DEPTH else text
    except (ValueError, RecursionError):
        return text


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


MAX_DEPTH = 50
"""How deep lists and objects may be nested."""


def depth(value: Any) -> int:
    """How deep ``value`` is nested, counted without recursion and only as far as it matters."""
    level, layer = 0, [value]
    while layer and level <= MAX_DEPTH:
        inner = [item.values() if isinstance(item, Mapping) else item for item in layer if _nests(item)]
        layer = [item for items in inner for item in items]
        level += bool(inner)
    return level


def _nests(value: Any) -> bool:
    return isinstance(value, Mapping | list | tuple)


@dataclass
class _Log(Heard):
    """What was heard so far. A tool's result finds its call by id, by name, or by order."""

    _waiting: dict[str, deque[int]] = field(default_factory=lambda: defaultdict(deque))
    _answered: set[int] = field(default_factory=set)

    def call(self, identity: Any, name: Any, arguments: Any, at: Any) -> None:
        index = len(self.attempts)
        action = one_line(str(name or "tool"), 200)
        after = len(self.messages)
        attempt = {"action": action, "arguments": as_arguments(arguments), "at": at, "after": after}
        self.attempts.append(attempt)
        for key in (f"id {identity}" if identity else None, f"name {action}", "any"):
            if key:
                self._waiting[key].append(index)

    def result(self, identity: Any, name: Any, text: str, at: Any, failed: bool = False) -> None:
        outcome = {"outcome": "failed" if failed or _says_error(text) else "done"}
        index = (
            self._oldest(f"id {identity}") if identity else self._oldest(f"name {name}" if name else "any")
        )
        if index is None:
            index = len(self.attempts)
            action = one_line(str(name or "tool"), 200)
            self.attempts.append({"action": action, "at": at, "after": len(self.messages)})
        self._answered.add(index)
        self.attempts[index] |= outcome | {"detail": _short(text) or None}

    def _oldest(self, key: str) -> int | None:
        waiting = self._waiting.get(key, deque())
        while waiting:
            index = waiting.popleft()
            if index not in self._answered:
                return index
        return None


def _short(text: str) -> str:
    line = one_line(text.strip()[: 20 * MAX_DETAIL], 2 * MAX_DETAIL)
    # Masked before it is cut: half a card number would not be recognised any more.
    return one_line(mask(line), MAX_DETAIL) if len(line) > MAX_DETAIL else line


def _says_error(text: str) -> bool:
    if _FAILED.match(text):
        return True
    if not text.lstrip().startswith("{"):
        return False
    value = _json_or_text(text)
    if not isinstance(value, dict):
        return False
    says_no = any(value.get(key) is False for key in ("success", "ok"))
    return bool(
        value.get("error") or value.get("isError") or says_no or value.get("status") in ("error", "failed")
    )


def _read(message: Any, place: str, log: _Log) -> None:
    if not isinstance(message, Mapping):
        raise InputError("is no object; write {'role': ..., 'text': ...}", field=place)
    role = _role(message, place)
    if role == "system":
        return
    if _is_native(message):
        _read_native(message, role, place, log)
    else:
        _read_chat(message, role, place, log)


def _role(message: Mapping[str, Any], place: str) -> str:
    role = message.get("role")
    if isinstance(role, str) and role in _OURS:
        return _OURS[role]
    known = (
        "known are customer, ai, human, system, tool, or the chat roles user, assistant, developer, function"
    )
    if role is None:
        near = nearest("role", map(str, message))
        hint = f"; did you mean it by {shown(near)}?" if near else f"; {known}"
        raise InputError(f"is missing{hint}", field=f"{place}.role")
    near = _MEANT.get(str(role).lower()) or nearest(str(role), _OURS)
    hint = f"; did you mean {near if near.startswith(chr(39)) else shown(near)}?" if near else f"; {known}"
    raise InputError(f"{shown(role)} is no role{hint}", field=f"{place}.role")


def _is_native(message: Mapping[str, Any]) -> bool:
    return message["role"] in _NATIVE or ("text" in message and "content" not in message)


def _read_native(message: Mapping[str, Any], role: str, place: str, log: _Log) -> None:
    if message["role"] in _CHAT:
        cure = f"write 'content' instead of 'text', or the role {shown(role)}"
        raise InputError(
            f"{shown(message['role'])} is a role of the chat format: {cure}", field=f"{place}.role"
        )
    _refuse_unknown_keys(message, place)
    if "text" not in message:
        raise InputError("is missing; write the message's text here", field=f"{place}.text")
    if not isinstance(message["text"], str):
        raise InputError("is no text; put it in quotes", field=f"{place}.text")
    if role == "tool":
        log.result(None, message.get("name"), message["text"], _time(message, place))
    else:
        log.messages.append({**message, "at": _time(message, place), "name": _name(message)})


def _refuse_unknown_keys(message: Mapping[str, Any], place: str) -> None:
    for key in message:
        if key not in _NATIVE_KEYS:
            near = "text" if key == "content" else nearest(str(key), _NATIVE_KEYS)
            hint = f"did you mean {shown(near)}?" if near else "known are role, text, at, name"
            raise InputError(f"is an unknown key; {hint}", field=f"{place}.{one_line(str(key), 40)}")


def _read_chat(message: Mapping[str, Any], role: str, place: str, log: _Log) -> None:
    content, at = message.get("content"), _time(message, place)
    if role == "tool":
        text = _content(content, f"{place}.content", log, at)
        log.result(message.get("tool_call_id"), message.get("name"), text, at, bool(message.get("is_error")))
        return
    if content is None and role == "customer":
        raise InputError("is missing; write text or a list of parts", field=f"{place}.content")
    text = _content(content, f"{place}.content", log, at) or str(message.get("refusal") or "")
    if text or (role == "customer" and isinstance(content, str)):
        log.messages.append({"role": role, "text": text, "at": at, "name": _name(message)})
    _read_calls(message, place, log, at)


def _name(message: Mapping[str, Any]) -> str | None:
    name = message.get("name")
    return name if isinstance(name, str) else None


def _time(message: Mapping[str, Any], place: str) -> datetime | None:
    """``at``, where a wrong one is an error; else what other logs call it, where that is a time."""
    for key in ("at", "created_at", "timestamp"):
        try:
            if message.get(key) is not None:
                time = _TIME.validate_python(message[key])
                return time.astimezone(UTC) if time.tzinfo else time
        except (ValidationError, OverflowError):
            if key == "at":
                cure = "write it like 2026-11-20T09:31:00Z"
                raise InputError(f"{shown(message[key])} is no time; {cure}", field=f"{place}.at") from None
    return None


def _read_calls(message: Mapping[str, Any], place: str, log: _Log, at: Any) -> None:
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list | tuple):
        raise InputError("is no list; write a list of tool calls", field=f"{place}.tool_calls")
    if message.get("function_call"):
        calls = [*calls, {"function": message["function_call"]}]
    for number, call in enumerate(map(plain, calls)):
        function = plain(call.get("function") or call.get("custom")) if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping):
            raise InputError(
                "has no 'function' with 'name' and 'arguments'", field=f"{place}.tool_calls[{number}]"
            )
        log.call(call.get("id"), function.get("name"), function.get("arguments", function.get("input")), at)


def _content(content: Any, place: str, log: _Log, at: Any) -> str:
    """The text of a message's content; tool calls and results among its blocks go to the log."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list | tuple):
        raise InputError("is neither text nor a list of parts", field=place)
    texts = [_block(plain(block), f"{place}[{number}]", log, at) for number, block in enumerate(content)]
    return "\n".join(text for text in texts if text)


def _block(block: Any, place: str, log: _Log, at: Any) -> str:
    if isinstance(block, str):
        return block
    if not isinstance(block, Mapping):
        raise InputError("is no part; write {'type': 'text', 'text': ...}", field=place)
    kind = str(block.get("type") or "text")
    if kind in _TEXTS:
        return _block_text(block, place)
    if kind.endswith("tool_use"):
        log.call(block.get("id"), block.get("name"), block.get("input"), at)
    elif kind.endswith("tool_result"):
        text = _result_text(block.get("content"), place)
        log.result(block.get("tool_use_id"), None, text, at, bool(block.get("is_error")))
    elif kind not in _THOUGHTS:
        return _note(kind, block)
    return ""


def _block_text(block: Mapping[str, Any], place: str) -> str:
    text = block.get("text", block.get("refusal"))
    if not isinstance(text, str):
        raise InputError("is no text; put it in quotes", field=f"{place}.text")
    return text


def _result_text(content: Any, place: str) -> str:
    if isinstance(content, Mapping):
        return (
            json.dumps(content, ensure_ascii=False, default=str) if depth(content) < MAX_DEPTH else "(nested)"
        )
    return _content(content, f"{place}.content", _Log(), None)


def _note(kind: str, block: Mapping[str, Any]) -> str:
    """``[image]``, ``[file] bill.pdf``: what stands for a part that is no text."""
    inner = block.get(kind)
    source = {**block, **(inner if isinstance(inner, Mapping) else {})}
    known = [source.get(key) for key in ("filename", "file_name", "title", "transcript", "url")]
    about = [one_line(text, 300) for text in known if isinstance(text, str) and not text.startswith("data:")]
    return " ".join([f"[{_KINDS.get(kind, one_line(kind, 40))}]", *about])
