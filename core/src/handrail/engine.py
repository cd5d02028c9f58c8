"""What is due next: jobs of DBOS Transact on our own database, behind the seam of one function.

``schedule(connection, step, id, n, delay)`` is called inside the transaction that writes the row. A job
carries only the step's name, the row's id and the attempt's number; the step reads the row, does one
thing, and writes the row and the next job in one transaction. A step's name may carry a queue after a
colon (``deliver:support``): each desk has a queue of its own, so one that is slow holds up only itself.

DBOS is imported when the first job is scheduled, never by importing handrail.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from handrail.errors import ConfigError

if TYPE_CHECKING:
    from dbos import DBOSClient

    from handrail.store import Store

Schedule = Callable[[sa.Connection, str, str, int, float], None]
"""``schedule(connection, step, id, n, delay)``; ``delay`` in seconds."""

RunStep = Callable[[str, str, int], None]

WORKFLOW = "handrail"
VERSION = "1"
POLL_SECONDS = 0.5
LEASE_SECONDS = 300.0
log = logging.getLogger("handrail.engine")


def migrate_jobs(store: Store) -> None:
    """Create or update the job tables."""
    from dbos import run_dbos_database_migrations

    _quiet()
    run_dbos_database_migrations(store.url.render_as_string(hide_password=False))


class Jobs:
    """Schedules jobs: a client of the engine, without threads. Enough for a process that only hands off."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._worker: Worker | None = None

    @cached_property
    def _client(self) -> DBOSClient:
        from dbos import DBOSClient, DBOSPortableJSONSerializer

        _quiet()
        return DBOSClient(
            system_database_url=self.store.url.render_as_string(hide_password=False),
            system_database_engine=self.store.engine,
            serializer=DBOSPortableJSONSerializer(),
            lazy=True,
        )

    def schedule(self, connection: sa.Connection, step: str, id: str, n: int, delay: float) -> None:
        """See the module. Scheduling the same step, id and n again changes nothing."""
        queue = step.partition(":")[2]
        options: Any = {
            "workflow_name": WORKFLOW,
            "queue_name": f"handrail-{queue}" if queue else "handrail",
            "workflow_id": f"{step}:{id}:{n}",
            "app_version": VERSION,
        }
        if delay > 0:
            options["delay_seconds"] = delay
        self._client.enqueue_in_transaction(connection, options, step, id, n)

    def worker(self, queues: dict[str, int], run_step: RunStep) -> Worker:
        """A worker for these queues (name to jobs at once; "" is the queue without a desk)."""
        return Worker(self.store, queues, run_step)


class Worker:
    """Runs jobs in this process. On SQLite one worker process at a time, kept by a lock beside the file."""

    def __init__(self, store: Store, queues: dict[str, int], run_step: RunStep) -> None:
        self.store = store
        self.queues = {f"handrail-{name}" if name else "handrail": slots for name, slots in queues.items()}
        self.run_step = run_step
        self._lock: Any = None
        self._stop = threading.Event()
        self._reaper: threading.Thread | None = None

    def start(self) -> None:
        """Raises ``ConfigError`` where another worker has the SQLite file, or the host runs DBOS itself."""
        self._take_lock()
        import dbos._dbos
        from dbos import DBOS, DBOSPortableJSONSerializer

        _quiet()
        # The public API of DBOS 3.4 cannot tell; a second DBOS(...) would silently return the host's.
        if getattr(dbos._dbos, "_dbos_global_instance", None) is not None:
            self._release_lock()
            raise ConfigError("this process runs DBOS already; start `handrail work` as a process of its own")
        DBOS(
            config={
                "name": "handrail",
                "system_database_url": self.store.url.render_as_string(hide_password=False),
                "system_database_engine": self.store.engine,
                "serializer": DBOSPortableJSONSerializer(),
                "application_version": VERSION,
                "executor_id": self._executor_id,
                "run_migrations": False,
                "max_executor_threads": sum(self.queues.values()) + 4,
                "log_level": "ERROR",
            }
        )

        @DBOS.workflow(name=WORKFLOW)
        def job(step: str, id: str, n: int) -> None:
            self._job(step, id, n)

        DBOS.listen_queues(list(self.queues))
        DBOS.launch()
        for name, slots in self.queues.items():
            DBOS.register_queue(name, worker_concurrency=slots, polling_interval_sec=POLL_SECONDS)

    def stop(self) -> None:
        """Finish the jobs that run, start no more."""
        from dbos import DBOS

        self._stop.set()
        DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=30)
        self._release_lock()

    def _job(self, step: str, id: str, n: int) -> None:
        try:
            self.run_step(step.partition(":")[0], id, n)
        except Exception:
            # A job that fails is not tried again by the engine; the row's lease brings it back.
            log.exception("step %s of %s failed", step, id)

    @property
    def _executor_id(self) -> str:
        return "handrail" if self.store.is_sqlite else f"{socket.gethostname()}:{os.getpid()}"

    def _take_lock(self) -> None:
        path = self.store.url.database
        if not self.store.is_sqlite or not path or path == ":memory:":
            return
        import fcntl

        self._lock = open(f"{path}.lock", "w")  # noqa: SIM115 - held until stop()
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            self._lock = None
            raise ConfigError(
                f"another worker process works on {path}; on SQLite there can be one. "
                'Stop it, or use store = "postgresql://..."'
            ) from None

    def _release_lock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _quiet() -> None:
    logging.getLogger("dbos").setLevel(logging.ERROR)
