"""Atlassian Document Format: text for Jira Cloud, built from nodes, and read back as plain text.

https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from handrail import Entry, Fact, Item, Writer

Node = dict[str, Any]
BLOCKS = ("paragraph", "heading", "codeBlock", "listItem", "tableRow", "blockquote", "panel", "rule")


class Adf(Writer):
    """Each part is one node as JSON. ``limit`` counts UTF-16 units of the whole document's JSON.

    Atlassian does not say whether its limit of 32,767 characters is about the text or about the JSON; this
    keeps both.
    """

    gap: ClassVar[int] = 1

    def heading(self, title: str) -> str:
        return _json({"type": "heading", "attrs": {"level": 3}, "content": inline(title)})

    def facts(self, facts: Sequence[Fact]) -> str:
        lines = [[*inline(f"{fact.label}: ", _STRONG), *_value(fact)] for fact in facts]
        return _json(_paragraph([node for line in lines for node in (_BREAK, *line)][1:]))

    def items(self, items: Sequence[Item]) -> str:
        return _json({"type": "orderedList", "content": [_item(item) for item in items]})

    def quote(self, text: str) -> str:
        return _json(_quote(text))

    def entry(self, entry: Entry) -> str:
        when = f" · {entry.at:%Y-%m-%d %H:%M} UTC" if entry.at else ""
        return (
            f"{_json(_paragraph([*inline(entry.speaker, _STRONG), *inline(when)]))},{self.quote(entry.text)}"
        )

    def note(self, text: str) -> str:
        return _json(_paragraph(inline(text, _EM)))

    def reference(self, text: str) -> str:
        return _json(_paragraph(inline(text)))

    def join(self, parts: Iterable[str]) -> str:
        return f'{{"type":"doc","version":1,"content":[{",".join(parts)}]}}'

    def size(self, text: str) -> int:
        return len(text.encode("utf-16-le", "surrogatepass")) // 2


def doc(text: str) -> Node:
    """A document that holds plain text."""
    return {"type": "doc", "version": 1, "content": [_paragraph(inline(text))]}


def inline(text: str, *marks: Node) -> list[Node]:
    """Text nodes with line breaks between them; an empty text node would make the document invalid."""
    nodes: list[Node] = []
    for number, line in enumerate(text.split("\n")):
        nodes += [_BREAK] if number else []
        nodes += [{"type": "text", "text": line, **({"marks": list(marks)} if marks else {})}] if line else []
    return nodes


def text_of(node: Any) -> str:
    """The text of a document as people read it; of a node that is not known, the texts in it."""
    if isinstance(node, str):
        return node.strip()
    return _plain(node).strip("\n")


def _plain(node: Any) -> str:
    if isinstance(node, list):
        return "".join(map(_plain, node))
    if not isinstance(node, dict):
        return ""
    kind = node.get("type")
    if kind == "text":
        return str(node.get("text") or "")
    if kind == "hardBreak":
        return "\n"
    attrs: Any = node.get("attrs")
    attrs = attrs if isinstance(attrs, dict) else {}
    shown = next((str(attrs[name]) for name in ("text", "shortName", "url") if attrs.get(name)), "")
    inside = _plain(node.get("content")) or shown
    return f"{inside.rstrip()}\n" if kind in BLOCKS else inside


_BREAK: Node = {"type": "hardBreak"}
_STRONG: Node = {"type": "strong"}
_EM: Node = {"type": "em"}


def _paragraph(content: list[Node]) -> Node:
    return {"type": "paragraph", "content": content}


def _quote(text: str) -> Node:
    """A quotation of one paragraph: a heading or a table in it would be invalid."""
    return {"type": "blockquote", "content": [_paragraph(inline(text))]}


def _item(item: Item) -> Node:
    lead = [*inline(item.lead, _STRONG), *inline(": ")] if item.lead else []
    return {"type": "listItem", "content": [_paragraph([*lead, *inline(item.text)])]}


def _value(fact: Fact) -> list[Node]:
    """Only addresses that the brief found safe to follow are links."""
    link = [{"type": "link", "attrs": {"href": fact.link}}] if fact.link else []
    return inline(fact.value, *link)


def _json(node: Node) -> str:
    return json.dumps(node, ensure_ascii=False, separators=(",", ":"))
