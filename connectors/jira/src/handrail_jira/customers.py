"""A service desk's own things: its ids, its request form, its customers.

https://developer.atlassian.com/cloud/jira/service-desk/rest/api-group-servicedesk/
"""

from __future__ import annotations

from typing import Any

from handrail import Names, Request, Steps
from handrail_jira.account import JiraAccount

Row = dict[str, Any]
ABSENT = frozenset({400, 403, 404})
"""A look-up that is not allowed or not there leaves us to find out by trying."""
EXPERIMENTAL = {"X-ExperimentalApi": "opt-in"}


class JiraCustomers(JiraAccount):
    def of(self, kind: str) -> Steps[dict[str, str]]:
        """The kept copy of one kind's names."""
        reply = yield Names(kind)
        return {str(name): str(value) for name, value in reply.json.items()}

    def key(self) -> Steps[str]:
        """The project's key; a service desk knows its own."""
        return self.project or (yield from self.of("desk"))["key"]

    def desk_named(self) -> Steps[dict[str, str]]:
        row = (yield Request("GET", self.at_desk(f"/servicedesk/{self.service_desk}"))).json
        return {"id": str(row["id"]), "key": str(row["projectKey"])}

    def request_type_named(self) -> Steps[dict[str, str]]:
        wanted, desk = str(self.request_type), (yield from self.of("desk"))["id"]
        rows: list[Row] = []
        for _ in range(20):
            params = {"start": len(rows), "limit": 100}
            data = (
                yield Request("GET", self.at_desk(f"/servicedesk/{desk}/requesttype"), params=params)
            ).json
            rows += data["values"]
            if data.get("isLastPage", True) or not data["values"]:
                break
        fits = [row for row in rows if wanted in (str(row["id"]), str(row.get("name")))]
        known = {"id": str(fits[0]["id"]), "type": str(fits[0].get("issueTypeId") or "")} if fits else {}
        return known or {"id": wanted, "type": ""}

    def form_named(self) -> Steps[dict[str, str]]:
        """The fields of the request type, and ``raise``: whether a request may be raised for a customer."""
        desk, kind = (yield from self.of("desk"))["id"], (yield from self.of("request type"))["id"]
        path = self.at_desk(f"/servicedesk/{desk}/requesttype/{kind}/field")
        reply = yield Request("GET", path, accept=ABSENT)
        data = reply.json if reply.ok else {}
        fields = {str(row["fieldId"]): str(row.get("name")) for row in data.get("requestTypeFields") or []}
        return fields | {"raise": "no" if data.get("canRaiseOnBehalfOf") is False else "yes"}

    def customer_named(self, who: str) -> Steps[dict[str, str]]:
        """The account of a customer's address; a new customer gets one, which is harmless to repeat.

        Jira finds parts of names and addresses too, and may hide an address: only the whole address counts.
        """
        address, _, name = who.partition(" ")
        if not self.is_cloud:
            return {"id": address}  # Data Center takes the address itself
        path = self.at_desk(f"/servicedesk/{(yield from self.of('desk'))['id']}/customer")
        params: dict[str, str | int] = {"query": address, "limit": 50}
        reply = yield Request("GET", path, params=params, headers=EXPERIMENTAL, accept=ABSENT)
        rows = (reply.json.get("values") or []) if reply.ok else []
        fits = [row for row in rows if str(row.get("emailAddress")).casefold() == address.casefold()]
        return (
            {"id": str(fits[0]["accountId"])}
            if fits
            else (yield from self._new_customer(path, address, name))
        )

    # https://developer.atlassian.com/cloud/jira/service-desk/rest/api-group-customer/
    def _new_customer(self, path: str, address: str, name: str) -> Steps[dict[str, str]]:
        sent = {"email": address, "displayName": name or address}
        reply = yield Request(
            "POST",
            self.at_desk("/customer"),
            json=sent,
            headers=EXPERIMENTAL,
            repeatable=True,
            accept=ABSENT | {409},
        )
        if not reply.ok:
            return {}
        id = str(reply.json["accountId"])
        yield Request("POST", path, json={"accountIds": [id]}, repeatable=True, accept=ABSENT)
        return {"id": id}
