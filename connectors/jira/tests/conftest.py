"""Fixtures for the tests of the Jira connector and of its simulated desk."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from handrail.testing import Clock
from handrail_jira.simulated import SimulatedJira

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
    """Judges by the vendor's OpenAPI files: ``check_request(seen)`` and ``check_reply(seen, reply)``."""
    spec = importlib.util.spec_from_file_location("jira_openapi", Path(__file__).with_name("openapi.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Checker(shared / "specs")


@pytest.fixture
def clock() -> Clock:
    return Clock()


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
