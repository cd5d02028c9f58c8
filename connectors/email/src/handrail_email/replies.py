"""What a person wrote in a reply: the text above the quoted one, without commands.

A scanner over lines: each line is looked at a bounded number of times and only up to ``MAX_LINE``, so that
the time grows with the text and no faster, whatever the text is. Where everything would be cut, everything
is kept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from handrail import Status
from handrail_email.words import ENDS, HEADERS, STARTS

DELIMITER = "Please reply above this line"
MAX_LINE = 400
_ORDERED = (Status.SOLVED, Status.OPEN, Status.PENDING, Status.CLOSED)
STATUSES = {**{status.value: status for status in _ORDERED}, "close": Status.CLOSED}
_ORIGINAL = re.compile(r"-{2,10} ?(original|forwarded|ursprüngliche|message d'origine|mensaje|messaggio)")
_JAPANESE = re.compile(r"[0-9]{4}年[0-9]{1,2}月[0-9]{1,2}日[^:]{0,40}[0-9]{1,2}:[0-9]{2}")
_COMMAND = re.compile(r"#(solved|open|pending|closed?|note|assign)(?!\S)", re.IGNORECASE)
_IN_SUBJECT = re.compile(r"\[(solved|open|pending|closed?)\]", re.IGNORECASE)
_FIRST_LINES = 10
_NAME = 80


@dataclass(frozen=True)
class Reply:
    """A reply's own text and the commands that stood in it."""

    text: str
    status: Status | None = None
    note: bool = False
    assignee: str | None = None


def read(body: str, subject: str = "") -> Reply:
    """A reply with its commands, from the plain text of a mail and its subject."""
    own, found = _above_the_quote(body), dict[str, str]()
    kept, seen = list[str](), 0
    for line in (own or own_text(body)).split("\n"):
        seen += bool(line.strip())
        may = own and seen <= _FIRST_LINES  # nobody gives commands in what is only quoted
        name, tail = _command(line.strip()) if may else ("", "")
        if name:
            found[name] = tail
        if not name or (name == "note" and tail):
            kept.append(tail or line)
    word = next((name for name in found if name in STATUSES), None)
    marked = _IN_SUBJECT.search(subject[:MAX_LINE]) if word is None else None
    status = STATUSES.get(word or (marked[1].lower() if marked else ""))
    return Reply("\n".join(kept).strip(), status, "note" in found, found.get("assign") or None)


def _command(line: str) -> tuple[str, str]:
    """A line's command with what stands behind it, or two empty texts.

    A sentence behind a command makes the line a text, which the customer is to read. A note's is the note:
    whoever writes it so believes that the customer never reads it.
    """
    word = _COMMAND.match(line)
    name, tail = (word[1].lower(), line[word.end() :].strip()) if word else ("", "")
    takes = name == "note" or (name == "assign" and len(tail) <= _NAME)
    return (name, tail) if takes or not tail else ("", "")


def own_text(body: str) -> str:
    """The text above what was quoted, or all of it where nothing stands above."""
    return _above_the_quote(body) or "\n".join(_lines(body)).strip()


def _above_the_quote(body: str) -> str:
    """Answers between quoted lines keep the lines that they answer."""
    lines = _lines(body)
    kept = lines[: _cut(lines)]
    return "\n".join(line.rstrip() for line in kept[: _end(kept)]).strip()


def _lines(body: str) -> list[str]:
    return body.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _cut(lines: Sequence[str]) -> int:
    """The number of the first line that is not the writer's own."""
    for number, line in enumerate(lines):
        short = line[:MAX_LINE].strip()
        if not short or short.startswith(">"):
            continue
        after = lines[number + 1][:MAX_LINE].strip() if number + 1 < len(lines) else ""
        if DELIMITER in short or _ORIGINAL.match(short.lower()):
            return _before_attribution(lines, number)
        if len(line) <= MAX_LINE and (_introduces(lines, number, short, after) or _is_headers(lines, number)):
            return number
    return len(lines)


def _introduces(lines: Sequence[str], number: int, short: str, after: str) -> bool:
    """True for "On ... wrote:", on one line or two, above something quoted."""
    one = _is_attribution(short)
    two = not one and len(after) < 200 and _is_attribution(f"{short} {after}")
    if not one and not two:
        return False
    following = (line[:MAX_LINE].strip() for line in lines[number + (1 if one else 2) : number + 6])
    begins = next((line for line in following if line), "")
    return (
        not begins or begins.startswith(">") or DELIMITER in begins or "@" in short + (after if two else "")
    )


def _is_attribution(text: str) -> bool:
    low = text.lower()
    if _JAPANESE.match(low) and low.endswith((":", "：")):
        return True
    if not low.startswith(STARTS) or not any(c.isdigit() for c in low):
        return False
    return low.endswith((":", "：")) and any(word in low for word in ENDS)


def _is_headers(lines: Sequence[str], number: int) -> bool:
    """True where a quoted mail's headers begin: this line and two more of the next ones are such."""
    return _is_header(lines[number]) and sum(map(_is_header, lines[number : number + 6])) >= 3


def _is_header(line: str) -> bool:
    name, colon, _ = line[:60].partition(":")
    return bool(colon) and name.strip(" *\t").lower() in HEADERS


def _before_attribution(lines: Sequence[str], number: int) -> int:
    """Our delimiter stands below the attribution of the reader's program, which goes as well."""
    above = number - 1
    while above >= 0 and number - above < 4 and not lines[above].strip(" >\t"):
        above -= 1
    short = lines[above][:MAX_LINE].strip(" >\t").lower() if above >= 0 else ""
    return above if short.endswith(("wrote:", ":")) and short.startswith(STARTS) else number


def _end(lines: Sequence[str]) -> int:
    """Without quoted lines, rules and blank lines at the end, where something is left above them."""
    end = len(lines)
    while end and _is_trailing(lines[end - 1][:MAX_LINE].strip()):
        end -= 1
    return end


def _is_trailing(line: str) -> bool:
    return not line or line.startswith(">") or (len(line) >= 5 and not line.strip("_-=*"))
