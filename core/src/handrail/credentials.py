"""Credentials as desks take them: the Authorization header, and OAuth's client credentials."""

from __future__ import annotations

from base64 import b64encode

from handrail.steps import Request, Steps, Token


def basic(user: str, password: str) -> dict[str, str]:
    """The header of HTTP Basic authentication (RFC 7617), in UTF-8."""
    return {"Authorization": f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"}


def bearer(token: str | None) -> dict[str, str]:
    """The header of a bearer token (RFC 6750); none for None."""
    return {"Authorization": f"Bearer {token}"} if token else {}


def client_credentials(path: str, client_id: str, client_secret: str, **more: str) -> Steps[Token]:
    """Steps to an access token by OAuth client credentials (RFC 6749, 4.4), asked for as JSON.

    ``path`` begins at the desk's address, without ``Connector.api``; ``more`` are further parameters.
    """
    grant = {
        "grant_type": "client_credentials",
        **more,
        "client_id": client_id,
        "client_secret": client_secret,
    }
    reply = yield Request("POST", path, json=grant, root=True, public=True, repeatable=True)
    return Token(reply.json["access_token"], reply.json.get("expires_in"))
