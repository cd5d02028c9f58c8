"""Mails that came back: which are a definite failure, and why.

Delivery reports (https://www.rfc-editor.org/rfc/rfc3464) say it in a part of their own. Older servers say
it in words; these count only from a mail system, or at the address that only mail systems write to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from typing import Any

from handrail_email.parts import plain_text, walk

_SYSTEM = re.compile(
    r"(?i)mailer-?daemon|post-?master|mail(er)?[ ._-]?deliver|delivery[ _-]?sub|system administrator|mdaemon@"
    r"|mail (system|administrator|error)|[^\w]<>\s{0,9}$"
)
_FAILED = re.compile(
    r"could ?n[o']t (be )?deliver|can ?not be delivered|(not|wasn't) (be |been )?(able to |delivered)"
    r"|unable to deliver|undeliver|deliver[a-z]{0,9} (problem|fail|has failed|status)|did not re(ach|ceive)"
    r"|permanent(ly)? ?(fatal )?(err|fail)|failed permanently|fail(ure|ed) (to )?(notice|deliver)"
    r"|delivery failed|returned mail|has been returned|automatically rejected|was aborted after"
    r"|unknown user|user (is )?(unknown|not)|no such user|no mailbox here"
    r"|problem with the e-?mail address|invalid final delivery"
)
_TEMPORARY = re.compile(
    r"not yet been deliver|still being (re)?tried|delayed (mail|\d)|has been (delayed|postponed)"
    r"|just a warning|no action is required|not need to (do|take) any"
    r"|will (continue|keep) (to |on )?(attempt|try)"
)
_ACTIONS = {"fail": True, "erro": True, "dela": False, "deli": False, "rela": False, "expa": False}
_LOOKED_AT = 4000
_RETURNED = frozenset(("message/rfc822", "text/rfc822-headers"))


@dataclass(frozen=True)
class Bounce:
    """A definite failure. ``recipients`` are those that it names, in lower case; ``about`` holds what came
    back of our own mail, where our Message-ID is found; ``envelope`` is the id that it says we gave the
    envelope, in anybody's words.
    """

    why: str
    recipients: tuple[str, ...]
    about: str
    envelope: str = ""


def is_from_a_system(mail: Message) -> bool:
    """True for a sender whose name is that of a mail system."""
    return any(_SYSTEM.search(str(mail.get(name, "<>"))[:500]) for name in ("From", "Return-Path"))


def definite(mail: Message, *, to_bounce_address: bool) -> Bounce | None:
    """The failure that this mail reports; None for a delay, a success, and for what people write."""
    reports = list(_reports(mail))
    if reports:
        failed = [report for report, action in reports if action]
        return _told(mail, failed) if failed else None
    if not (is_from_a_system(mail) or (to_bounce_address and not _is_a_vacation_note(mail))):
        return None
    named = str(mail.get("X-Failed-Recipients", ""))
    words = " ".join(f"{mail.get('Subject', '')}\n{plain_text(mail)[:_LOOKED_AT]}".split())
    low = words.lower()
    if not named and (not _FAILED.search(low) or _TEMPORARY.search(low)):
        return None
    return Bounce(_excerpt(words), tuple(named.lower().replace(",", " ").split()), _returned(mail))


def delay(mail: Message) -> Bounce | None:
    """What a server reports that goes on trying; None for every other mail."""
    late = [about for about, _ in _reports(mail) if str(about["Action"]).strip().lower() == "delayed"]
    return _told(mail, late) if late else None


def _is_a_vacation_note(mail: Message) -> bool:
    """These go to the envelope's sender as well (https://www.rfc-editor.org/rfc/rfc3834)."""
    names = ("X-Autoreply", "X-Autorespond", "X-Vacation", "X-Auto-Response-Suppress")
    return any(name in mail for name in names) or "auto-" in str(mail.get("Auto-Submitted", "")).lower()


def _reports(mail: Message) -> Iterator[tuple[Message, bool]]:
    """What a delivery report says of each recipient, and whether it failed."""
    for part in walk(mail):
        if part.get_content_type() != "message/delivery-status":
            continue
        for about in _fields(part):
            action = str(about["Action"]).strip().lower()[:4]
            if action in _ACTIONS:
                yield about, _ACTIONS[action]


def _fields(report: Message) -> list[Message]:
    """The groups of fields of a report."""
    payload: Any = report.get_payload()
    return payload if isinstance(payload, list) else []


def _told(mail: Message, failed: list[Message]) -> Bounce:
    recipients = (str(about.get("Final-Recipient", "")).rpartition(";")[2] for about in failed)
    said = next(
        (str(about[key]) for key in ("Diagnostic-Code", "Status") for about in failed if about[key]), ""
    )
    why = " ".join((said or str(mail.get("Subject", ""))).split())
    named = tuple(recipient.strip(" <>\t").lower() for recipient in recipients)
    return Bounce(why[:300], named, _returned(mail), _envelope(mail))


def _envelope(mail: Message) -> str:
    """What a report says of the whole mail stands before what it says of each recipient."""
    parts = (part for part in walk(mail) if part.get_content_type() == "message/delivery-status")
    fields = (about for part in parts for about in _fields(part) if about["Original-Envelope-Id"])
    return next((str(about["Original-Envelope-Id"]).strip()[:200] for about in fields), "")


def _returned(mail: Message) -> str:
    """The headers of the mail that came back; where they are quoted in the text, the text."""
    parts = [part for part in walk(mail) if part.get_content_type() in _RETURNED]
    inner = (part.get_payload() for part in parts)
    shown = [str(p[0]) if isinstance(p, list) and p else str(p) for p in inner]
    return "\n".join([*(text[:20_000] for text in shown), plain_text(mail)[:50_000]])


def _excerpt(words: str) -> str:
    """The sentence that says so, with what stands around it."""
    found = _FAILED.search(words.lower())
    start = max(0, found.start() - 60) if found else 0
    return words[start : start + 250]
