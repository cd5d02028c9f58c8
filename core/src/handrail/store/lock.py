"""The lock beside an SQLite file: one process works on it, or moves it elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from handrail.errors import ConfigError
from handrail.store.engine import Store


def take(store: Store, refusal: str) -> IO[str] | None:
    """The lock, kept until it is closed; None where the store needs none. Raises ``ConfigError``."""
    path = store.url.database
    if not store.is_sqlite or not path:
        return None
    import fcntl

    file = open(f"{os.path.realpath(path)}.lock", "a")  # noqa: SIM115 - the caller closes it
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ConfigError(refusal) from None
    except BaseException:
        file.close()
        raise
    return file


@contextmanager
def held(store: Store, refusal: str) -> Iterator[None]:
    """The lock for the time of a block."""
    file = take(store, refusal)
    try:
        yield
    finally:
        if file is not None:
            file.close()
