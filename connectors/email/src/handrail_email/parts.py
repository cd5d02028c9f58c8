"""Parsing mails of any origin: never more than so many parts, and never an exception."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from email.message import Message
from email.parser import BytesHeaderParser, BytesParser
from email.policy import Compat32, default
from html.parser import HTMLParser

MAX_PARTS, MAX_DEPTH = 100, 20
MAX_HEADER = 20_000
"""Characters. The library's reading of a longer header may take minutes."""
_NO_CHARSETS = frozenset(("punycode", "idna", "unicode_escape", "raw-unicode-escape"))
"""What Python decodes besides real charsets; the first two take quadratic time."""
_BREAKS = frozenset(
    ("br", "p", "div", "li", "tr", "h1", "h2", "h3", "blockquote", "hr", "table", "ul", "ol", "pre")
)
_HIDDEN = frozenset(("script", "style", "head", "title"))
_QUOTES = ("gmail_quote", "moz-cite-prefix", "divrplyfwdmsg", "yahoo_quoted")


class _Bounded(Compat32):
    """Headers of a bounded length, in every part."""

    def header_source_parse(self, sourcelines: Sequence[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(list(sourcelines))
        return name, value[:MAX_HEADER]


_POLICY = _Bounded()


def parsed(content: bytes) -> Message:
    """The mail. One whose parts are nested too deeply is read as its headers alone."""
    try:
        return BytesParser(policy=_POLICY).parsebytes(content)
    except Exception:  # the parser has its limits with hostile nesting
        return BytesHeaderParser(policy=_POLICY).parsebytes(content[:100_000])


def walk(mail: Message) -> Iterator[Message]:
    """The mail's parts in order, as far as they may count, without looking into mails that are attached."""
    waiting, seen = [(mail, 0)], 0
    while waiting and seen < MAX_PARTS:
        part, depth = waiting.pop(0)
        seen += 1
        yield part
        inner = part.get_payload()
        if part.get_content_maintype() == "multipart" and isinstance(inner, list) and depth < MAX_DEPTH:
            waiting = [*((p, depth + 1) for p in inner[:MAX_PARTS] if isinstance(p, Message)), *waiting]


def plain_text(mail: Message) -> str:
    """What a reader sees first: the plain text, or the HTML as text."""
    shown = [part for part in walk(mail) if part.get_content_disposition() != "attachment"]
    for kind, convert in (("text/plain", _as_it_is), ("text/html", _from_html)):
        texts = [convert(_decoded(part)) for part in shown if part.get_content_type() == kind]
        if any(text.strip() for text in texts):
            return "\n".join(texts)
    return ""


def header(mail: Message, name: str) -> str:
    """A header's text on one line, its encoded words read; ``""`` where there is none."""
    raw = mail.get(name)
    if raw is None:
        return ""
    try:
        text = str(default.header_fetch_parse(name, str(raw).replace("\r", " ").replace("\n", " ")))
    except Exception:  # the library fails on some hostile headers
        text = str(raw)
    return " ".join("".join(c if c.isprintable() else " " for c in text[:5000]).split())


def every(mail: Message, *names: str) -> list[str]:
    """All values of all these headers, as they stand."""
    return [str(value) for name in names for value in mail.get_all(name, [])]


def sender(mail: Message) -> tuple[str, str]:
    """Name and address of the one sender; both empty where there is not exactly one mailbox."""
    found = mail.get_all("From", [])
    try:
        parsed = default.header_factory("From", str(found[0])[:2000].replace("\r", "").replace("\n", " "))
        addresses = list(parsed.addresses) if len(found) == 1 and not parsed.defects else []
    except Exception:
        return "", ""
    only = addresses[0] if len(addresses) == 1 else None
    return (only.display_name[:100], only.addr_spec.lower()) if only else ("", "")


def _decoded(part: Message) -> str:
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes):
        return ""
    try:
        charset = codecs.lookup(part.get_content_charset("utf-8")).name
        return content.decode("utf-8" if charset in _NO_CHARSETS else charset, "replace")
    except (LookupError, ValueError):
        return content.decode("utf-8", "replace")


def _as_it_is(text: str) -> str:
    return text


def _from_html(text: str) -> str:
    reader = _Reader()
    reader.feed(text)
    return "\n".join(line.strip(" \t") for line in "".join(reader.texts).split("\n")).strip()


class _Reader(HTMLParser):
    """The visible text, up to where a mail program marks the quoted mail."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: list[str] = []
        self._hidden = 0
        self._begun = self._quoted = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        marks = " ".join(value or "" for name, value in attrs if name in ("class", "id")).lower()
        self._quoted = self._quoted or (self._begun and any(mark in marks for mark in _QUOTES))
        self._hidden += tag in _HIDDEN
        if tag in _BREAKS:
            self.texts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._hidden = max(0, self._hidden - (tag in _HIDDEN))
        if tag in _BREAKS and tag != "br":
            self.texts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden and not self._quoted:
            self._begun = self._begun or not data.isspace()
            self.texts.append(" ".join(data.split("\n")))
