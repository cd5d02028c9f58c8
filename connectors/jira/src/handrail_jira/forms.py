"""The form of a request: what the customer asked, for whom, and the details that the form has fields for.

https://developer.atlassian.com/cloud/jira/service-desk/rest/api-group-request/
"""

from __future__ import annotations

from handrail import Handoff, Message, Refused, Reply, Request, Role, Steps, Wishes
from handrail_jira import refusals
from handrail_jira.customers import Row
from handrail_jira.issues import word_of
from handrail_jira.moves import JiraMoves
from handrail_jira.shapes import shaped

WRONG = frozenset({400})


class JiraForms(JiraMoves):
    def filled(self, wishes: Wishes) -> Steps[tuple[Row, Handoff]]:
        """The request with its form, and the handoff with what cannot be set noted in it."""
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

    def wrong(self, request: Request, reply: Reply, handoff: Handoff) -> Refused:
        """What Jira refuses of a form. Its words name a field hardly ever: then all details go into the text
        instead, and where that does not help, the customer.
        """
        why, said = refusals.explain(reply), self.refused_fields(reply)
        values = request.json["requestFieldValues"]
        details = [f"fields.{name}" for name, field in self.fields.items() if field in values]
        customer = ["customer"] if "raiseOnBehalfOf" in request.json else []
        named = {name: words for name, words in said.items() if name not in handoff.unset}
        named = named or dict.fromkeys(details or customer, why)
        return Refused(f"{request.title}: {reply.status} {why}", fields=named, status=reply.status)
