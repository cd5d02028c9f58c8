"""A Jira site: its settings, its addresses and its credentials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

from pydantic import model_validator

from handrail import (
    Connector,
    DeskPaused,
    Reply,
    Request,
    Steps,
    Token,
    basic,
    bearer,
    client_credentials,
    secret,
    setting,
)

CREDENTIALS = (("email", "api_token"), ("personal_access_token",), ("client_id", "client_secret"))
GATEWAY = "https://api.atlassian.com"
TOKENS = "https://auth.atlassian.com/oauth/token"


class JiraAccount(Connector):
    url: str | None = setting(
        "Your site or your own server", default=None, examples=["https://acme.atlassian.net"]
    )
    deployment: Literal["cloud", "data-center"] = setting("Where Jira runs", default="cloud")
    email: str | None = setting("The account that owns the API token; with api_token", default=None)
    api_token: str | None = secret("API token of Jira Cloud (lives one year at most)", default=None)
    personal_access_token: str | None = secret("Personal access token of Data Center", default=None)
    client_id: str | None = setting("OAuth client of a service account; with client_secret", default=None)
    client_secret: str | None = secret("The OAuth client's secret; with cloud_id", default=None)
    cloud_id: str | None = setting(
        "The site's cloud id: for OAuth and for scoped tokens", default=None, pattern=r"^[A-Za-z0-9-]+$"
    )
    project: str | None = setting(
        "Key of the project", default=None, pattern=r"^[A-Za-z][A-Za-z0-9_]*$", examples=["SUP"]
    )
    issue_type: str = setting("Issue type of new issues: a name or an id", default="Task")
    service_desk: str | None = setting(
        "Jira Service Management: service desk's id, or its project's key", default=None, pattern=r"^\w+$"
    )
    request_type: str | None = setting("Its request type: a name or an id", default=None)
    group_as: str = setting(
        "What a group is: component, label, team, assignee or field:customfield_NNNNN",
        default="component",
        pattern=r"^(component|label|team|assignee|field:customfield_[0-9]+)$",
    )
    labels: tuple[str, ...] = setting("Labels of new issues, beside the handoff's", default=())
    webhook_secret: str | None = secret("The webhook's secret; of a dynamic one the app's", default=None)

    @property
    def is_cloud(self) -> bool:
        return self.deployment == "cloud"

    @property
    def has_site(self) -> bool:
        """True where ``url`` is the site that people see, and not only an address of its API."""
        return bool(self.url) and (not self.cloud_id or _is_site(self.url))

    # A scoped token works only on the gateway, and nothing in it tells that it is one:
    # https://support.atlassian.com/atlassian-account/docs/manage-api-tokens-for-your-atlassian-account/
    @property
    def base_url(self) -> str:
        if not self.url and not self.cloud_id:
            raise ValueError("url: write https://YOURSITE.atlassian.net, or your own server's address")
        root = GATEWAY if self.cloud_id and (not self.url or _is_site(self.url)) else self.url or ""
        return root.rstrip("/").partition("/rest/")[0]

    def at(self, path: str) -> str:
        """The address of something in the platform's API: version 3 on Cloud, 2 on Data Center."""
        return f"{self._gateway_path}/rest/api/{3 if self.is_cloud else 2}{path}"

    def at_desk(self, path: str) -> str:
        """The address of something in the API of Service Management."""
        return f"{self._gateway_path}/rest/servicedeskapi{path}"

    @property
    def _gateway_path(self) -> str:
        return f"/ex/jira/{self.cloud_id}" if self.cloud_id else ""

    def link(self, key: str) -> str | None:
        """Where people see an issue; None where only the gateway's address is known."""
        site = (self.url or "").rstrip("/").partition("/rest/")[0]
        return f"{site}/browse/{key}" if self.has_site else None

    @model_validator(mode="after")
    def _one_kind_of_credentials(self) -> JiraAccount:
        given = [kind for kind in CREDENTIALS if any(getattr(self, name) for name in kind)]
        if len(given) != 1:
            choice = ", or ".join(" + ".join(kind) for kind in CREDENTIALS)
            found = " and ".join(" + ".join(kind) for kind in given) or "none"
            raise ValueError(f"credentials: give one of {choice}; found {found}")
        if missing := [name for name in given[0] if not getattr(self, name)]:
            raise ValueError(f"{missing[0]}: is missing beside the other half of {' + '.join(given[0])}")
        if self.is_cloud == bool(self.personal_access_token):
            wanted = "email + api_token, or an OAuth client" if self.is_cloud else "personal_access_token"
            raise ValueError(f"credentials: Jira {self.deployment} takes {wanted}")
        if self.client_id and not self.cloud_id:
            raise ValueError("cloud_id: an OAuth client works only with the site's cloud id")
        return self

    @model_validator(mode="after")
    def _a_place_for_issues(self) -> JiraAccount:
        if bool(self.service_desk) != bool(self.request_type):
            raise ValueError("request_type: service_desk and request_type go together")
        if not self.project and not self.service_desk:
            raise ValueError("project: write the project's key, or service_desk and request_type")
        return self

    def sign_in(self) -> Steps[Token] | None:
        return self._token() if self.client_id else None

    # https://support.atlassian.com/user-management/docs/create-oauth-2-0-credential-for-service-accounts/
    def _token(self) -> Steps[Token]:
        own = bool(self.url) and not _is_site(self.url)  # a sandbox or a proxy answers for everything
        path = "/oauth/token" if own else TOKENS
        return (yield from client_credentials(path, str(self.client_id), str(self.client_secret)))

    # https://developer.atlassian.com/cloud/jira/platform/basic-auth-for-rest-apis/
    def headers(self, token: str | None) -> Mapping[str, str]:
        headers = {"Accept": "application/json", "User-Agent": "handrail-jira"}
        if self.api_token:
            return headers | basic(str(self.email), self.api_token)
        return headers | bearer(token or self.personal_access_token)

    def proven(self, reply: Reply) -> Steps[None]:
        """An empty list counts only when it was given to us: anonymous callers get an empty 200 as well."""
        heads = reply.headers
        failed = "AUTHENTICATED_FAILED" in heads.get("x-seraph-loginreason", "")
        named = heads.get("x-aaccountid") or heads.get("x-ausername", "anonymous") != "anonymous"
        if named and not failed:
            return
        me = (yield Request("GET", self.at("/myself"))).json
        if failed or not (me.get("accountId") or me.get("name")):
            raise DeskPaused("Jira answered as to nobody: the credentials are not accepted", status=401)


def _is_site(url: str | None) -> bool:
    return (urlsplit(url or "").hostname or "").endswith((".atlassian.net", ".jira.com"))
