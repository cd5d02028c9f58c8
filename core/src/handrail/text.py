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
