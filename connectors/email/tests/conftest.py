"""Fixtures for the tests of the email connector."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from handrail.testing import Clock, World
from handrail_email import Email
from handrail_email.simulated import SimulatedMail


@pytest.fixture(scope="session")
def fixtures(shared: Path) -> Path:
    """The folder of recorded mails."""
    return shared / "fixtures" / "email"


MakeWorld = Callable[..., World]


@pytest.fixture
def make_world(clock: Clock) -> Iterator[MakeWorld]:
    """``make_world(imap=False, sent_folder="Sent", settings={...}, ...)``: a running desk and a rail.

    What else is given is configuration, such as ``fallback``.
    """
    with ExitStack() as stack:
        desks: list[SimulatedMail] = []

        def make(
            imap: bool = True,
            sent_folder: str | None = None,
            settings: dict[str, Any] | None = None,
            **config: Any,
        ) -> World:
            desk = stack.enter_context(SimulatedMail(clock=clock, imap=imap, sent_folder=sent_folder))
            desks.append(desk)
            known = {"timeout": "1s", **(settings or {})}
            return stack.enter_context(World(desk, Email, clock=clock, settings=known, **config))

        yield make
        assert [error for desk in desks for error in desk.errors] == []


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world()
