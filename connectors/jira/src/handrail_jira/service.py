"""Jira Service Management: a request for the customer, with the brief as an internal note.

https://developer.atlassian.com/cloud/jira/service-desk/rest/api-group-request/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from handrail import File, Handoff, Message, Refused, Reply, Request, Role, Steps, Ticket, Wishes
from handrail_jira import refusals, updates
from handrail_jira.customers import EXPERIMENTAL, Row
from handrail_jira.fields import PROPERTY, shaped
from handrail_jira.issues import NO_CHECK, REFUSED_FILES, Ids, word_of
from handrail_jira.moves import JiraMoves

TRIES = 6
"""So often an update is sent again without what Jira refused."""


class JiraService(JiraMoves):
    def request(self, handoff: Handoff) -> Steps[Ticket]:
        """The customer sees the question; labels, priority and group follow, as a form has none of them."""
        wishes = yield from self.wishes(handoff)
        sent, final = yield from self._form_filled(wishes)
        reply = yield Request("POST", self.at_desk("/request"), json=sent, unless=self.found(final))
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

    def _form_filled(self, wishes: Wishes) -> Steps[tuple[Row, Handoff]]:
        form, handoff = (yield from self.of("form")), wishes.handoff
        customer, handoff = yield from self._customer(handoff, form)
        desk, kind = (yield from self.of("desk")), (yield from self.of("request type"))
        question, word = (
            Message(role=Role.CUSTOMER, text=handoff.conversation.question),
            word_of(handoff.marker),
        )
        values: Row = {"summary": handoff.subject}
        if "description" in form or len(form) == 1:  # else the form is not known to us
            values["description"] = self.dialect.messages([question], word)
        else:
            values["summary"] = f"{handoff.subject} [{word}]"
        shapes = yield from self.shapes()
        for field, value in wishes.fields.items():
            values |= {field: shaped(shapes.get(field, {}), value, self.is_cloud)} if field in form else {}
        sent = {"serviceDeskId": desk["id"], "requestTypeId": kind["id"], "requestFieldValues": values}
        return sent | ({"raiseOnBehalfOf": customer} if customer else {}), handoff

    def _customer(self, handoff: Handoff, form: Row) -> Steps[tuple[str | None, Handoff]]:
        address = (handoff.customer.email or "").strip()
        if not address or "customer" in handoff.unset:
            return None, handoff
        name = " ".join((handoff.customer.name or "").split())
        may = form.get("raise") != "no"
        found = (yield from self.of(f"customer {address} {name}".strip())) if may else {}
        if found.get("id"):
            return found["id"], handoff
        why = "Jira made no customer of this address" if may else "we may not raise requests for customers"
        return None, handoff.model_copy(update={"unset": handoff.unset | {"customer": why}})

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
        desk = (yield from self.of("desk"))["id"]
        held = yield Request(
            "POST",
            self.at_desk(f"/servicedesk/{desk}/attachTemporaryFile"),
            form=[("file", file) for file in files],
            headers=NO_CHECK | EXPERIMENTAL,
            repeatable=True,
            good_for=timedelta(minutes=30),
            accept=REFUSED_FILES,
        )
        if not held.ok:
            ours = yield from self.comment(ticket, text, marker)
            return ours + (yield from self._not_attached(ticket, files, held, f"{marker}-files"))
        ids = [row["temporaryAttachmentId"] for row in held.json["temporaryAttachments"]]
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
