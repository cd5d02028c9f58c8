"""Fixtures for the tests of the Jira connector and of its simulated desk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from handrail.testing import Clock
from handrail_jira.simulated import SimulatedJira


@pytest.fixture
def desk(clock: Clock) -> Iterator[SimulatedJira]:
    """A running simulated Jira Cloud; what its routes raised by mistake fails the test."""
    with SimulatedJira(clock=clock) as running:
        yield running
    assert running.errors == []


Call = Callable[..., requests.Response]


def caller(desk: SimulatedJira, session: requests.Session) -> Call:
    """``call("POST", "/issue", json=...)`` as a client that is signed in; ``headers=`` adds to its own."""
    session.headers["Accept"] = "application/json"
    if desk.cloud:
        session.auth = (str(desk.api_user.email), desk.api_token)
    else:
        session.headers["Authorization"] = f"Bearer {desk.api_token}"

    def send(method: str, path: str, **more: Any) -> requests.Response:
        api = "/rest" if path.startswith("/servicedeskapi") else f"/rest/api/{3 if desk.cloud else 2}"
        return session.request(method, desk.url + api + path, timeout=10, **more)

    return send


@pytest.fixture
def call(desk: SimulatedJira) -> Iterator[Call]:
    with requests.Session() as session:
        yield caller(desk, session)
