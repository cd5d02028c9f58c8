"""Fixtures of the tests of all connectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests import outside

from handrail.testing import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared specifications and payloads, which stands beside the repository."""
    if not (outside.SHARED / "specs").is_dir():
        pytest.skip(f"the shared specifications are not at {outside.SHARED.name}/ beside the repository")
    return outside.SHARED


@pytest.fixture(scope="module")
def checker(shared: Path, request: pytest.FixtureRequest) -> Any:
    """Judges by a vendor's specification, as the connector's ``openapi.py`` says: ``check_request(seen)`` and
    ``check_reply(seen, reply)``.
    """
    return outside.checker(request.path.with_name("openapi.py"))
