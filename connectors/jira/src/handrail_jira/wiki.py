r"""Jira's wiki markup, for Data Center and for Service Management. What people wrote is escaped.

https://jira.atlassian.com/secure/WikiRendererHelpAction.jspa?section=all
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from handrail import Entry, Fact, Item, Writer

_MARKUP = re.compile(
    r"""(?P<dot> ^[ \t]*(?:h[1-6]|bq)\. )            # a heading or a quotation
    | (?P<slash> \\ ) | (?P<entity> &(?=\#?\w+;) )
    | ^[ \t]*[*\#-](?=[*\#-]*\s)                     # an item of a list, a ruler
    | [{}\[\]|]                                     # macros, links and mentions, tables
    | [:;](?=[)(DPp|])                              # faces
    | \((?=(?:[!+xy?*i/-]|on|off|\*[rgby]|flag|flagoff)\))
    | (?<!\w)[*_+^~!?-](?=\S)                        # bold, struck, images: not inside a word
    | -(?=-) | (?<=-)- | \?(?=\?)                    # dashes, citations
    """,
    re.MULTILINE | re.VERBOSE,
)


class Wiki(Writer):
    """``limit`` counts UTF-16 units, as Jira's field limit of 32,767 characters does."""

    def heading(self, title: str) -> str:
        return f"h3. {escaped(title)}"

    def facts(self, facts: Sequence[Fact]) -> str:
        return "\n".join(f"*{escaped(fact.label)}:* {_value(fact)}" for fact in facts) + "\n"

    def items(self, items: Sequence[Item]) -> str:
        return "\n".join(f"# {_lead(item)}{escaped(item.text, in_line=True)}" for item in items) + "\n"

    def quote(self, text: str) -> str:
        return f"{{quote}}\n{escaped(text)}\n{{quote}}"

    def entry(self, entry: Entry) -> str:
        when = f" · {entry.at:%Y-%m-%d %H:%M} UTC" if entry.at else ""
        return f"*{escaped(entry.speaker)}*{when}\n{self.quote(entry.text)}"

    def note(self, text: str) -> str:
        return f"_{escaped(text)}_\n"

    def reference(self, text: str) -> str:
        return f"\n{escaped(text)}"

    def join(self, parts: Iterable[str]) -> str:
        return "\n".join(parts)

    def size(self, text: str) -> int:
        return len(text.encode("utf-16-le", "surrogatepass")) // 2


def escaped(text: str, *, in_line: bool = False) -> str:
    """Text in which nothing is markup. ``in_line``: a line break must not end a list item."""
    text = _MARKUP.sub(_harmless, text)
    return text.replace("\n", "\n\\\\ ") if in_line else text


def _harmless(found: re.Match[str]) -> str:
    """A backslash before the character; where that would mean something else, an entity in its place."""
    before, character = found[0][:-1], found[0][-1]
    return before + {"dot": "&#46;", "slash": "&#92;", "entity": "&amp;"}.get(
        found.lastgroup or "", f"\\{character}"
    )


def _value(fact: Fact) -> str:
    """Only addresses that the brief found safe to follow are links."""
    text = escaped(fact.value)
    return f"[{text}|{fact.link}]" if fact.link else text


def _lead(item: Item) -> str:
    return f"*{escaped(item.lead)}:* " if item.lead else ""
