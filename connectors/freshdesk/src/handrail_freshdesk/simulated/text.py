"""What Freshdesk does to text before anybody reads it."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping

_BREAK = re.compile(r"<br\s*/?>|</(?:p|div|li|tr|h\d|pre|blockquote)>", re.IGNORECASE)
_TAG = re.compile(r"<[^>]*>")
_HIDDEN = re.compile(r"<(script|style|iframe)\b.*?</\1\s*>|<!--.*?-->", re.DOTALL | re.IGNORECASE)
_DATA = re.compile(r"""\sdata-[\w-]+=("[^"]*"|'[^']*')""", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)


def sanitized(markup: str) -> str:
    """HTML without what Freshdesk refuses to show; attributes of one's own go too."""
    return _DATA.sub("", _HIDDEN.sub("", markup))


def evaluated(text: str, known: Mapping[str, str]) -> str:
    """``text`` with its placeholders replaced; an unknown one is stripped."""
    return _PLACEHOLDER.sub(lambda found: known.get(found[1].strip(), ""), text)


def plain_of(markup: str) -> str:
    """HTML as the plain text that people read."""
    return html.unescape(_TAG.sub("", _BREAK.sub("\n", markup))).strip()


def markup_of(text: str) -> str:
    return f"<div>{html.escape(text, quote=False)}</div>".replace("\n", "<br>")
