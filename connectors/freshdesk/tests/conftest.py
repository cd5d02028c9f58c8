"""Fixtures for the tests of the Freshdesk connector and of its simulated desk."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from handrail.testing.clock import Clock
from handrail_freshdesk.simulated import SimulatedFreshdesk

ROOT = Path(__file__).resolve().parents[3]
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared specifications and payloads, which stands beside the repository."""
    if not (SHARED / "specs").is_dir():
        pytest.skip(f"the shared specifications are not at {SHARED.name}/ beside the repository")
    return SHARED


@pytest.fixture(scope="session")
def checker(shared: Path) -> Any:
    """Judges by the vendor's OpenAPI file: ``check_request(seen)`` and ``check_reply(seen, reply)``."""
    spec = importlib.util.spec_from_file_location("freshdesk_openapi", Path(__file__).with_name("openapi.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Checker(shared / "specs")


@pytest.fixture
def clock() -> Clock:
    return Clock()


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
