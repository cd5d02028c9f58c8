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
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from handrail.errors import ConfigError
from handrail.store.handoffs import is_alive, owner

if TYPE_CHECKING:
    from dbos import DBOSClient

    from handrail.store import Store

Schedule = Callable[[sa.Connection, str, str, int, float], None]
"""``schedule(connection, step, id, n, delay)``; ``delay`` in seconds."""

RunStep = Callable[[str, str, int], None]

APPLICATION = "handrail"
WORKFLOW = "handrail"
VERSION = "handrail-1"
"""Constant, so that a job outlives an update; it names a kind of job, not a release."""
SCHEMA = "handrail_jobs"
"""Where PostgreSQL keeps the jobs: apart from a DBOS that the host may run in the same database."""
POLL_SECONDS = 0.5
LEASE_SECONDS = 300.0
"""Longer than an attempt may take: after this, whoever made it is taken for dead."""
REAP_SECONDS = 10.0
RETIRE_SECONDS = 60.0
KEEP_SECONDS = 3600.0
"""For so long a finished job is kept; what happened stands in the handoff's timeline."""
STOP_SECONDS = 30
"""For so long a stopping worker waits for the jobs that it has begun."""
MAX_PAUSE_SECONDS = 900.0
_BATCH = 1000
_FINISHED = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]
log = logging.getLogger("handrail.engine")


def migrate_jobs(store: Store) -> None:
    """Create the tables of the jobs, or bring them up to the engine that is installed."""
    from dbos import DBOS

    _quiet()
    DBOS.migrate(store.url.render_as_string(hide_password=False), schema=SCHEMA)


class Jobs:
    """Schedules jobs: a client of the engine, without threads. Enough for a process that only hands off."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @cached_property
    def client(self) -> DBOSClient:
        from dbos import DBOSClient, DBOSPortableJSONSerializer

        _quiet()
        return DBOSClient(
            system_database_engine=self.store.engine,
            dbos_system_schema=SCHEMA,
            serializer=DBOSPortableJSONSerializer(),
            application_name=APPLICATION,
            lazy=True,
        )

    def schedule(self, connection: sa.Connection, step: str, id: str, n: int, delay: float) -> None:
        """See the module. Scheduling the same step, id and n again changes nothing."""
        options = _options(step, f"{step}:{id}:{n}", delay)
        self.client.enqueue_in_transaction(connection, options, step, id, n)

    def again(self, job_id: str, step: str, id: str, n: int) -> None:
        """The same job once more, after a pause that grows: it failed in a way that nobody foresaw."""
        number, _, tries = job_id.rpartition(":")[2].partition("~")
        count = int(tries or 0) + 1
        pause = min(2.0**count, MAX_PAUSE_SECONDS)
        self.client.enqueue(_options(step, f"{step}:{id}:{number}~{count}", pause), step, id, n)

    def worker(self, queues: dict[str, int], run_step: RunStep) -> Worker:
        """A worker for these queues (name to jobs at once; "" is the queue without a desk)."""
        return Worker(self, queues, run_step)


class Worker:
    """Runs jobs in this process. On SQLite one worker process at a time, kept by a lock beside the file."""

    def __init__(self, jobs: Jobs, queues: dict[str, int], run_step: RunStep) -> None:
        self.jobs = jobs
        self.store = jobs.store
        self.queues = {_queue(name): slots for name, slots in queues.items()}
        self.run_step = run_step
        self.executor = "handrail" if self.store.is_sqlite else owner()
        """On SQLite always the same, so that a worker takes up at once what the last one left."""
        self._lock: Any = None
        self._ended = threading.Event()
        self._keeper = threading.Thread(target=self._keep_house, name="handrail-keeper", daemon=True)
        self._changed = threading.Condition()
        self._running: set[str] = set()

    # Life.

    def start(self) -> None:
        """Raises ``ConfigError`` where another worker has the SQLite file, or the host runs DBOS itself."""
        self._take_lock()
        try:
            _refuse_a_second_engine()
            migrate_jobs(self.store)
            for name, slots in self.queues.items():
                self.jobs.client.register_queue(
                    name, worker_concurrency=slots, polling_interval_sec=POLL_SECONDS
                )
            self._launch()
        except BaseException:
            self._release_lock()
            raise
        self._keeper.start()

    def stop(self) -> None:
        """Finish the jobs that run, start no more, and give back what was taken and not begun."""
        self._ended.set()
        self._keeper.join()
        try:
            self._end_engine()
            with self._changed:
                self._changed.wait_for(lambda: not self._running, STOP_SECONDS)
            self._resume([job for job in self._taken() if job.executor_id == self.executor])
        finally:
            self._release_lock()

    def _launch(self) -> None:
        from dbos import DBOS, DBOSPortableJSONSerializer

        DBOS(
            config={
                "name": APPLICATION,
                "system_database_url": self.store.url.render_as_string(hide_password=False),
                "system_database_engine": self.store.engine,
                "dbos_system_schema": SCHEMA,
                "serializer": DBOSPortableJSONSerializer(),
                "application_version": VERSION,
                "executor_id": self.executor,
                "run_migrations": False,
                "use_listen_notify": False,  # nothing of ours waits for a notification,
                "notification_listener_polling_interval_sec": 0.2,  # but stopping waits for the listener
                "max_executor_threads": sum(self.queues.values()) + 4,
                "log_level": "ERROR",
            }
        )

        def job(step: str, id: str, n: int) -> None:
            self._job(step, id, n)

        try:
            DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)(job)
            DBOS.listen_queues(list(self.queues))
            DBOS.launch()
        except BaseException:
            DBOS.destroy(destroy_registry=True)
            raise

    def _end_engine(self) -> None:
        from dbos import DBOS

        with self._changed:
            patience = STOP_SECONDS if self._running else 0
        DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=patience)

    # Working.

    def _job(self, step: str, id: str, n: int) -> None:
        from dbos import DBOS

        job_id = DBOS.workflow_id or ""
        with self._counted(job_id):
            try:
                self.run_step(step.partition(":")[0], id, n)
            except Exception:
                # The engine does not try a job again that failed; nothing may end for good by a surprise.
                log.exception("step %s of %s failed; it is tried again", step, id)
                self.jobs.again(job_id, step, id, n)

    @contextmanager
    def _counted(self, job_id: str) -> Iterator[None]:
        with self._changed:
            self._running.add(job_id)
        try:
            yield
        finally:
            with self._changed:
                self._running.discard(job_id)
                self._changed.notify_all()

    # Keeping house.

    def _keep_house(self) -> None:
        """Every few seconds take over what dead peers left; every minute drop what is finished."""
        passes = 0
        while not self._ended.wait(REAP_SECONDS):
            passes += 1
            try:
                self.reap()
                if passes % int(RETIRE_SECONDS / REAP_SECONDS) == 0:
                    self.retire()
            except Exception as error:
                log.warning("looking after the jobs failed: %s", type(error).__name__)

    def reap(self) -> int:
        """Put back jobs whose worker is gone, or has had them for longer than any attempt takes."""
        now = datetime.now(UTC).timestamp()
        lost = [
            job
            for job in self._taken()
            if job.workflow_id not in self._running
            and (_is_gone(job.executor_id) or (job.dequeued_at or 0) / 1000 < now - LEASE_SECONDS)
        ]
        return self._resume(lost)

    def retire(self, keep: float = KEEP_SECONDS) -> int:
        """Delete jobs that finished more than ``keep`` seconds ago; returns how many."""
        before = (datetime.now(UTC) - timedelta(seconds=keep)).isoformat()
        retired = 0
        while True:
            found = self._list(status=_FINISHED, completed_before=before, limit=_BATCH)
            if found:
                self.jobs.client.delete_workflows([job.workflow_id for job in found])
            retired += len(found)
            if len(found) < _BATCH or self._ended.is_set():
                return retired

    def _taken(self) -> list[Any]:
        return self._list(status="PENDING")

    def _list(self, **which: Any) -> list[Any]:
        client = self.jobs.client
        return list(client.list_workflows(name=WORKFLOW, load_input=False, load_output=False, **which))

    def _resume(self, jobs: list[Any]) -> int:
        for job in jobs:
            self.jobs.client.resume_workflow(job.workflow_id, queue_name=job.queue_name)
        return len(jobs)

    # One worker process on SQLite.

    def _take_lock(self) -> None:
        path = self.store.url.database
        if not self.store.is_sqlite or not path:
            return
        import fcntl

        self._lock = open(f"{os.path.realpath(path)}.lock", "a")  # noqa: SIM115 - held until stop()
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._release_lock()
            raise ConfigError(
                f"another worker process works on {path}; on SQLite there can be one. "
                'Stop it, or use store = "postgresql://..."'
            ) from None

    def _release_lock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _queue(name: str) -> str:
    return f"handrail-{name}" if name else "handrail"


def _options(step: str, job_id: str, delay: float) -> Any:
    options: dict[str, Any] = {
        "workflow_name": WORKFLOW,
        "queue_name": _queue(step.partition(":")[2]),
        "workflow_id": job_id,
        "app_version": VERSION,
    }
    return options | ({"delay_seconds": delay} if delay > 0 else {})


def _is_gone(executor: str | None) -> bool:
    """True only where it is certain that the worker's process has ended."""
    return executor is not None and executor != "handrail" and not is_alive(executor)


def _refuse_a_second_engine() -> None:
    """DBOS is one for a process: ``DBOS(...)`` again returns the host's, and ending ours would end it."""
    import dbos._dbos as process

    if process._dbos_global_instance is not None or process._dbos_global_registry is not None:
        raise ConfigError(
            "this process runs DBOS already, or another Handrail worker; "
            "start `handrail work` as a process of its own"
        )


def _quiet() -> None:
    """What DBOS has to say goes where the host's other log lines go, and only when something is wrong."""
    logger = logging.getLogger("dbos")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.ERROR)
