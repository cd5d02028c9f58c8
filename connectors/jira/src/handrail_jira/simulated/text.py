"""Texts of a simulated Jira: documents and wiki markup as people read them, and what Jira refuses of them."""

from __future__ import annotations

import html
import re
from typing import Any

LIMIT = 32_767

_BLOCKS = frozenset(
    {"paragraph", "heading", "codeBlock", "listItem", "blockquote", "orderedList", "bulletList"}
)
_TOP = _BLOCKS | {"panel", "expand", "table", "rule", "mediaGroup", "mediaSingle"}
_IN_QUOTES = frozenset({"paragraph", "orderedList", "bulletList", "codeBlock", "mediaSingle", "mediaGroup"})
_WIKI = re.compile(
    r"""(?P<plain> \\(?:\\|(?P<escaped>[^a-zA-Z0-9\s\\])) )
    | \{(?:quote|noformat|code|color|panel)[^{}]*\} | (?P<macro> \{\{?[^{}]*\}?\} )
    | \[(?P<label>[^\]|]+)\|[^\]]*\] | \[(?P<bare>[^\]]*)\]
    | (?<!\w)!(?P<image>\S[^!\n]*)!
    | ^(?:h[1-6]|bq)\.[ ] | ^[ \t]*[*\#-]+[ ]
    | (?<![\w\\])(?P<mark>[*_+^~-])(?=\S)(?P<marked>[^\n]*?\S)(?P=mark)(?!\w)
    """,
    re.VERBOSE | re.MULTILINE,
)


def plain(body: Any) -> str:
    """What people read: of a document its texts, of wiki markup what is left when it was rendered."""
    if isinstance(body, dict):
        return _document(body).strip()
    return html.unescape(_rendered(str(body or ""))).strip()


def _rendered(text: str) -> str:
    def shown(found: re.Match[str]) -> str:
        if found["plain"]:
            return found["escaped"] or "\n"
        for name in ("label", "bare", "marked"):
            if found[name] is not None:
                return _rendered(found[name])
        return ""

    return _WIKI.sub(shown, text)


def _document(node: Any) -> str:
    if node.get("type") == "text":
        return str(node["text"])
    if node.get("type") == "hardBreak":
        return "\n"
    inside = "".join(map(_document, node.get("content") or []))
    return f"{inside}\n" if node.get("type") in _BLOCKS else inside


def document(text: str) -> dict[str, Any]:
    """A person's text as the editor saves it."""
    paragraphs = [
        {"type": "paragraph", "content": [{"type": "text", "text": line}] if line else []}
        for line in text.split("\n")
    ]
    return {"type": "doc", "version": 1, "content": paragraphs}


def wrong(node: Any) -> str | None:
    """Why Jira would refuse a document, or None."""
    if not isinstance(node, dict) or node.get("type") != "doc" or node.get("version") != 1:
        return "Operation value must be an Atlassian Document (see the Atlassian Document Format)"
    if set(node) != {"type", "version", "content"}:
        return "INVALID_INPUT"
    return next(filter(None, (_wrong_below(child, _TOP) for child in node["content"])), None)


def _wrong_below(node: Any, allowed: frozenset[str]) -> str | None:
    kind = node.get("type")
    if kind == "text":
        marks = {mark["type"] for mark in node.get("marks", [])}
        bad = not node.get("text") or ("code" in marks and marks - {"code", "link", "annotation"})
        return "INVALID_INPUT" if bad else None
    if kind not in allowed | {"hardBreak", "mention", "emoji", "inlineCard"}:
        return "INVALID_INPUT"
    inside = {
        "blockquote": _IN_QUOTES,
        "listItem": _IN_QUOTES,
        "orderedList": frozenset({"listItem"}),
        "bulletList": frozenset({"listItem"}),
        "paragraph": frozenset[str](),
        "heading": frozenset[str](),
    }.get(str(kind), _TOP)
    return next(filter(None, (_wrong_below(child, inside) for child in node.get("content") or [])), None)
