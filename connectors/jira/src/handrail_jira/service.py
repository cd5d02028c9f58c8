"""Jira Service Management: a request for the customer, with the brief as an internal note.

https://developer.atlassian.com/cloud/jira/service-desk/rest/api-group-request/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from handrail import File, Handoff, Refused, Reply, Request, Steps, Ticket, Wishes
from handrail_jira import refusals, updates
from handrail_jira.customers import EXPERIMENTAL, Row
from handrail_jira.fields import PROPERTY
from handrail_jira.forms import WRONG, JiraForms
from handrail_jira.issues import NO_CHECK, Ids, in_forms, upload

TRIES = 6
"""So often an update is sent again without what Jira refused."""


class JiraService(JiraForms):
    def request(self, handoff: Handoff) -> Steps[Ticket]:
        """The customer sees the question; labels, priority and group follow, as a form has none of them."""
        wishes = yield from self.wishes(handoff)
        sent, final = yield from self.filled(wishes)
        request = Request("POST", self.at_desk("/request"), json=sent, unless=self.found(final), accept=WRONG)
        reply = yield request
        if reply.status in WRONG:
            raise self.wrong(request, reply, final)
        ticket = reply.found or self._requested(reply)
        final = yield from self._dressed(ticket, replace(wishes, handoff=final))
        body = self.body(final)
        ours = yield from self.note(ticket, body.text, final.marker, body.files)
        known = {"labels": [] if "tags" in final.unset else self.labels_of(final)}
        return ticket.model_copy(update={"ours": ours, "raw": {"fields": known}})

    def _requested(self, reply: Reply) -> Ticket:
        row = reply.json
        status = row.get("currentStatus") or {}
        known = {"name": status.get("status"), "statusCategory": status.get("statusCategory")}
        return updates.ticket_of(
            self, {"id": row["issueId"], "key": row["issueKey"], "fields": {"status": known}}
        )

    def _dressed(self, ticket: Ticket, wishes: Wishes) -> Steps[Handoff]:
        """Set what a form does not take. Whatever Jira refuses is said in the note, which comes after this:
        a refusal must not begin the handoff anew, since its request exists.
        """
        final = wishes.handoff
        for _ in range(TRIES):
            fields, final = yield from self.optional(replace(wishes, handoff=final))
            labels = [{"add": label} for label in fields.pop("labels", [])]
            mark = [{"key": PROPERTY, "value": {"id": final.marker, "v": 1}}]
            sent = {"fields": fields, "update": {"labels": labels} if labels else {}, "properties": mark}
            reply = yield Request(
                "PUT",
                self.at(f"/issue/{ticket.id}"),
                json={name: value for name, value in sent.items() if value},
                repeatable=True,
                accept=frozenset({400}),
            )
            if reply.ok:
                break
            named = {n: why for n, why in self.refused_fields(reply).items() if n not in final.unset}
            why = refusals.explain(reply)
            named = named or dict.fromkeys(("tags", "urgency", "group", "owner", *self._custom()), why)
            final = final.model_copy(update={"unset": named | final.unset})
        return final

    def _custom(self) -> list[str]:
        return [f"fields.{name}" for name in self.fields]

    def note(self, ticket: Ticket, text: str, marker: str, files: Sequence[File]) -> Steps[Ids]:
        """An internal comment, with its files where there are any."""
        if not files:
            return (yield from self.comment(ticket, text, marker))
        ids, left = yield from self._held(files)
        noted = self._attached_note(ticket, text, marker, ids) if ids else self.comment(ticket, text, marker)
        ours = yield from noted
        for n, (some, reply) in enumerate(left):
            ours += yield from self._not_attached(ticket, some, reply, f"{marker}-files{n or ''}")
        return ours

    def _held(self, files: Sequence[File]) -> Steps[tuple[list[str], list[tuple[Sequence[File], Reply]]]]:
        """Temporary ids of files that wait for their comment, and what Jira did not take with its answer."""
        ids: list[str] = []
        left: list[tuple[Sequence[File], Reply]] = []
        path = self.at_desk(f"/servicedesk/{(yield from self.of('desk'))['id']}/attachTemporaryFile")
        held: dict[str, Any] = {"repeatable": True, "good_for": timedelta(minutes=30)}
        for _, some in in_forms(files):
            reply = yield upload(path, some, headers=NO_CHECK | EXPERIMENTAL, **held)
            left += [] if reply.ok else [(some, reply)]
            rows = reply.json["temporaryAttachments"] if reply.ok else []
            ids += [row["temporaryAttachmentId"] for row in rows]
        return ids, left

    def _attached_note(self, ticket: Ticket, text: str, marker: str, ids: list[str]) -> Steps[Ids]:
        sent = {"temporaryAttachmentIds": ids, "public": False, "additionalComment": {"body": text}}
        path = self.at_desk(f"/request/{ticket.id}/attachment")
        reply = yield Request("POST", path, json=sent, unless=self.commented(ticket, marker))
        return (yield from self._internal(ticket, reply.found or reply.json["comment"]))

    def comment(self, ticket: Ticket, text: str, marker: str, *, again: bool = False) -> Steps[Ids]:
        if not self.service_desk:
            return (yield from super().comment(ticket, text, marker, again=again))
        path, sent = self.at_desk(f"/request/{ticket.id}/comment"), {"body": text, "public": False}
        look = self.commented(ticket, marker)
        reply = yield Request("POST", path, json=sent, unless=look, repeatable=again)
        return (yield from self._internal(ticket, reply.found or reply.json))

    def _internal(self, ticket: Ticket, row: Row) -> Steps[Ids]:
        """A note that became public is taken away at once: the customer must not read it."""
        if updates.is_internal(row):
            return (f"comment:{row['id']}",)
        path = self.at(f"/issue/{ticket.id}/comment/{row['id']}")
        yield Request("DELETE", path, repeatable=True, accept=frozenset({404}))
        raise Refused("Jira showed an internal note to the customer; the note was deleted again")
