"""Fixtures for the tests of the Freshdesk connector and of its simulated desk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from handrail.testing import Clock
from handrail_freshdesk.simulated import SimulatedFreshdesk


@pytest.fixture
def desk(clock: Clock) -> Iterator[SimulatedFreshdesk]:
    """A running simulated Freshdesk; what its routes raised by mistake fails the test."""
    with SimulatedFreshdesk(clock=clock) as running:
        yield running
    assert running.errors == []


Call = Callable[..., requests.Response]


@pytest.fixture
def call(desk: SimulatedFreshdesk) -> Iterator[Call]:
    """``call("POST", "/tickets", json=...)`` as a client that is signed in; ``headers=`` adds to its own."""
    with requests.Session() as session:
        session.auth = ("simulated-api-key", "X")
        session.headers.update({"Accept": "application/json"})

        def send(method: str, path: str, **more: Any) -> requests.Response:
            return session.request(method, f"{desk.url}/api/v2{path}", timeout=10, **more)

        yield send
