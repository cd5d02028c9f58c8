"""Fixtures for the tests of the Zendesk connector and of its simulated desk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from handrail.testing import Clock
from handrail_zendesk.simulated import SimulatedZendesk


@pytest.fixture
def desk(clock: Clock) -> Iterator[SimulatedZendesk]:
    """A running simulated Zendesk; what its routes raised by mistake fails the test."""
    with SimulatedZendesk(clock=clock) as running:
        yield running
    assert running.errors == []


Call = Callable[..., requests.Response]


@pytest.fixture
def call(desk: SimulatedZendesk) -> Iterator[Call]:
    """``call("POST", "/tickets", json=...)`` as a client that is signed in; ``headers=`` adds to its own."""
    with requests.Session() as session:
        session.headers.update(
            {"Accept": "application/json", "Authorization": "Bearer simulated-oauth-token"}
        )

        def send(method: str, path: str, **more: Any) -> requests.Response:
            address = desk.url + (path if path.startswith("/oauth") else f"/api/v2{path}")
            return session.request(method, address, timeout=10, **more)

        yield send
