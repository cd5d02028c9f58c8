"""What Zendesk does to the text of a comment before anybody reads it."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

LIMIT_BYTES = 64 * 1024
"""The rest of a longer comment is cut off without an error."""

_CODE = re.compile(r"(<code>.*?</code>)", re.DOTALL)
_PLACEHOLDER = re.compile(r"(?<!\\)\{\{(.*?)\}\}", re.DOTALL)
_ESCAPED = re.compile(r"\\\{\{(.*?)\}\}", re.DOTALL)
_BREAK = re.compile(r"<br\s*/?>|</(?:p|div|li|tr|h\d|pre|blockquote)>", re.IGNORECASE)
_TAG = re.compile(r"<[^>]*>")
_SCRIPT = re.compile(r"<(script|style|iframe)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)

Known = Callable[[str], str]
"""What a placeholder such as ``ticket.id`` stands for; an unknown one is the empty text."""


def cut(text: str) -> str:
    """The first 64 kB of ``text``, in UTF-8."""
    return text.encode()[:LIMIT_BYTES].decode("utf-8", "ignore")


def evaluated(text: str, known: Known) -> str:
    """``text`` with placeholders replaced, except inside ``<code>`` and after a backslash."""
    parts = _CODE.split(text)
    return "".join(part if part.startswith("<code>") else _replaced(part, known) for part in parts)


def _replaced(text: str, known: Known) -> str:
    replaced = _PLACEHOLDER.sub(lambda found: known(found[1].strip()), text)
    return _ESCAPED.sub(lambda found: "{{" + found[1] + "}}", replaced)


def sanitized(markup: str) -> str:
    """HTML without what Zendesk refuses to show."""
    return _SCRIPT.sub("", markup)


def plain_of(markup: str) -> str:
    """HTML as the plain text that people read."""
    return html.unescape(_TAG.sub("", _BREAK.sub("\n", markup))).strip()


def collapsed(text: str) -> str:
    """Plain text as ``body`` keeps it: no tags, no runs of spaces or of newlines."""
    return re.sub(r"\n{2,}", "\n", re.sub(r"[ \t]{2,}", " ", _TAG.sub("", text))).strip()


def markup_of(text: str) -> str:
    """Plain text as Zendesk shows it in ``html_body``."""
    return '<div class="zd-comment">' + html.escape(text, quote=False).replace("\n", "<br>") + "</div>"
