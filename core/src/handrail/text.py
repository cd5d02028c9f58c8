"""Hostile text made harmless. Everything from a customer, a model or a desk passes through here.

``clean`` keeps every character that a person can read and replaces what can only do harm: NUL and the
other control characters, unpaired surrogates, and the marks that reorder text for the eye.
"""

from __future__ import annotations

import re
import unicodedata

_HARMFUL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufffe\uffff]"
)
_NEWLINES = re.compile("\r\n?|\u2028|\u2029")
_JOINERS = "\u200d\ufe0f"
_NOT_IN_NAMES = re.compile(r'[\\/:*?"<>|\x00-\x1f]+')


def clean(text: str) -> str:
    """The same text with line ends as ``\\n`` and U+FFFD where a harmful character stood."""
    return _HARMFUL.sub("\ufffd", _NEWLINES.sub("\n", text))


def one_line(text: str, limit: int = 250) -> str:
    """``text`` on one line, at most ``limit`` characters, with an ellipsis where it was cut."""
    line = " ".join(clean(text).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def file_name(name: str, limit: int = 120) -> str:
    """A file name without folders, wildcards or control characters; never empty, never hidden."""
    safe = _NOT_IN_NAMES.sub("_", one_line(unicodedata.normalize("NFC", name), 1000)).strip(". ")
    if len(safe) > limit:
        stem, dot, suffix = safe.rpartition(".")
        safe = f"{stem[: limit - 1 - len(suffix)]}.{suffix}" if dot and len(suffix) < 16 else safe[:limit]
    return safe or "file"


def shorter(text: str, kept: int, where: str = "") -> str:
    """The beginning and the end of ``text``, ``kept`` characters together, and a line about the rest."""
    if len(text) <= kept:
        return text
    head = _boundary(text, kept // 2)
    tail = _boundary(text, len(text) - kept // 2)
    left_out = f"[… {tail - head:,} characters left out here{where and '; '}{where} …]"
    return f"{text[:head]}\n{left_out}\n{text[tail:]}"


def _boundary(text: str, index: int) -> int:
    """``index``, or a little before it where a character with its marks would be torn apart."""
    near = range(index, max(0, index - 16), -1)
    return next((n for n in near if not _belongs(text[n], text[n - 1])), index)


def _belongs(character: str, before: str) -> bool:
    return character in _JOINERS or before == "\u200d" or unicodedata.combining(character) > 0
