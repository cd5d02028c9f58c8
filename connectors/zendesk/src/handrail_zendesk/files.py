"""Files, which are uploaded before the ticket or the comment that they belong to.

A file that Zendesk does not take holds up nothing: what is written goes without it, and says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from handrail import File, Handoff, Message, Request, Role, Said, Steps
from handrail_zendesk import refusals
from handrail_zendesk.account import ZendeskAccount

REFUSED = frozenset({413, 422})
"""Too large, or ``AttachmentUnprocessable``: the same file would be refused again."""


@dataclass(frozen=True)
class Uploads:
    """The tokens of the files that Zendesk took, and its words about each that it did not."""

    tokens: list[str]
    refused: list[str]

    @property
    def why(self) -> str:
        return f"Zendesk did not take {'; '.join(self.refused)}"


class ZendeskFiles(ZendeskAccount):
    # https://developer.zendesk.com/api-reference/ticketing/tickets/ticket-attachments/
    def _upload(self, files: Sequence[File]) -> Steps[Uploads]:
        """Tokens live 60 minutes by the documentation, longer in older accounts: 50 fit both."""
        done = Uploads([], [])
        for file in files:
            reply = yield Request(
                "POST",
                "/uploads",
                params={"filename": file.name},
                body=file.content,
                headers={"Content-Type": file.media_type},
                repeatable=True,
                good_for=timedelta(minutes=50),
                accept=REFUSED,
            )
            if reply.ok:
                done.tokens.append(reply.json["upload"]["token"])
            else:
                done.refused.append(f"{file.name}: {reply.status} {refusals.explain(reply)}")
        return done

    def _brief(self, handoff: Handoff) -> Steps[tuple[str, list[str]]]:
        """The brief, which says what was not taken, and the tokens of its files."""
        body = self.body(handoff)
        done = yield from self._upload(body.files)
        if not done.refused:
            return body.text, done.tokens
        less = self.body(handoff.model_copy(update={"unset": handoff.unset | {"files": done.why}}))
        known = {file.name for file in body.files}  # the line more may have moved the transcript to a file
        more = yield from self._upload([file for file in less.files if file.name not in known])
        return less.text, done.tokens + more.tokens

    def _told(self, said: Said) -> Steps[tuple[str, list[str]]]:
        """Later messages, with one more about what was not taken, and the tokens of their files."""
        done = yield from self._upload(said.files)
        if done.refused:
            said = replace(said, messages=(*said.messages, Message(role=Role.AI, text=done.why)))
        return self.message_text(said), done.tokens
