"""Headers: what we write into them, and how nobody else's text becomes one.

Loops: https://www.rfc-editor.org/rfc/rfc3834
"""

from __future__ import annotations

from email.policy import EmailPolicy
from typing import Any

from handrail import Urgency

PRIORITY = {"low": ("low", "5"), "normal": ("normal", "3"), "high": ("high", "2"), "urgent": ("high", "1")}


class _Policy(EmailPolicy):
    """An id or an address stays on the line of its name: not every program finds it on the line below."""

    def fold_binary(self, name: str, value: Any) -> bytes:
        if name in ("Message-ID", "In-Reply-To", "Reply-To"):
            return f"{name}: {str(value).strip()}{self.linesep}".encode("ascii")
        return super().fold_binary(name, value)


POLICY = _Policy(linesep="\r\n", cte_type="7bit")


def safe(text: str, limit: int = 250) -> str:
    """One line of readable characters, and no encoded word: the library would decode what hides in it."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line.replace("=?", "= ?")[:limit]


def priority(urgency: Urgency) -> dict[str, str]:
    importance, number = PRIORITY[urgency.value]
    return {"Importance": importance, "X-Priority": number}


def machine(ticket: str, auto_submitted: bool) -> dict[str, str]:
    """No vacation notes, please; delivery reports must still come, so not "All" and no "Precedence"."""
    return {
        **({"Auto-Submitted": "auto-generated"} if auto_submitted else {}),
        "X-Auto-Response-Suppress": "OOF, AutoReply",
        "X-Handoff-Id": ticket,
        "X-Handoff-Version": "1",
    }
