"""What is due next: jobs of DBOS Transact on our own database, behind the seam of one function.

``schedule(connection, step, id, n, delay)`` is called inside the transaction that writes the row. A job
carries only the step's name, the row's id and the attempt's number; the step reads the row, does one
thing, and writes the row and the next job in one transaction. A step's name may carry a desk after a
colon (``deliver:support``): each desk has queues of its own, one for what goes out and one for what comes
back, so a desk that is slow holds up only itself, and a long backlog no answer.

Where a worker runs in this process, its hands (see ``hands``) take up at once what is due; the job then comes
a little later, for the case that they die, and is deleted when it has nothing to do any more.

DBOS is imported when the first job is scheduled, never by importing handrail.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any

import sqlalchemy as sa

from handrail.errors import ConfigError, StoreError
from handrail.hands import Drain, Hands
from handrail.keeper import SCHEMA, WORKFLOW, Keeper, jobs_table
from handrail.presence import Presence
from handrail.store import lock
from handrail.store.alive import owner
from handrail.store.engine import afterwards

if TYPE_CHECKING:
    from dbos import DBOSClient

    from handrail.store import Store

Schedule = Callable[[sa.Connection, str, str, int, float], None]
"""``schedule(connection, step, id, n, delay)``; ``delay`` in seconds."""


@dataclass(frozen=True)
class Duties:
    """What a worker does: run a step; deliver what is due on a desk; take over what a dead peer held; put
    right what its own threads left when the store broke off; let no thread begin to talk to a desk."""

    run_step: Callable[[str, str, int], None]
    drain: Drain
    take_over: Callable[[str], int]
    presence: Presence
    mend: Callable[[], object] = lambda: None
    halt: Callable[[bool], object] = lambda halted: None


APPLICATION = "handrail"
VERSION = "handrail-1"
"""Constant, so that a job outlives an update; it names a kind of job, not a release."""
POLL_SECONDS = 0.5
LEASE_SECONDS = 300.0
"""Longer than an attempt may take: after this, whoever made it is taken for dead."""
HANDS_SECONDS = 5.0
"""So long after the hands were rung the job comes, where they have not done its work by then."""
STOP_SECONDS = 30
"""For so long a stopping worker waits for the jobs that it has begun."""
MAX_PAUSE_SECONDS = 900.0
_READERS = 4
"""Jobs at once that read one desk."""
_BATCH = 500
_REMEMBERED = 10_000
"""So many finished jobs are noted, to be dropped early; without that they end by themselves."""
_DROP = """
    delete from {table} where workflow_uuid in :ids and status in ('ENQUEUED', 'DELAYED')
    returning workflow_uuid
"""
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
        self.hands: Hands | None = None
        self._finished: deque[str] = deque(maxlen=_REMEMBERED)
        self._owed: deque[tuple[str, str, str, int]] = deque()

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
        if self.hands and delay <= 0 and step.startswith("deliver:"):
            delay, desk = HANDS_SECONDS, step.partition(":")[2]
            afterwards(connection, lambda: self.ring(desk))
        options = _options(step, f"{step}:{id}:{n}", delay)
        self.client.enqueue_in_transaction(connection, options, step, id, n)

    def ring(self, desk: str) -> None:
        """The hands of this process, where it has any, look what is due on a desk."""
        hands = self.hands  # which may go while we ask
        if hands:
            hands.ring(desk)

    def finished(self, connection: sa.Connection, step: str, id: str, n: int) -> None:
        """Once this is committed, that job has nothing to do: it goes soon, before a worker has to look."""
        afterwards(connection, lambda: self._finished.append(f"{step}:{id}:{n}"))

    def drop_finished(self) -> None:
        """Delete the jobs that have nothing to do; those that a worker has taken meanwhile just end."""
        while self._finished:
            some = [self._finished.popleft() for _ in range(min(len(self._finished), _BATCH))]
            with self.store.begin() as connection:
                query = sa.text(_DROP.format(table=jobs_table(self.store)))
                query = query.bindparams(sa.bindparam("ids", some, expanding=True))
                gone = connection.execute(query).scalars().all()
            if gone:
                self.client.delete_workflows(list(gone))  # what belongs to them

    def again(self, job_id: str, step: str, id: str, n: int) -> None:
        """The same job once more, after a pause that grows: it failed in a way that nobody foresaw.

        A store that does not take it is asked again, until it does.
        """
        self._owed.append((job_id, step, id, n))
        self.pay()

    def pay(self) -> None:
        """Schedule again what failed while the store was away, as far as it takes it."""
        while self._owed:
            try:
                owed = self._owed.popleft()
            except IndexError:  # another thread was faster
                return
            try:
                self._again(*owed)
            except Exception as error:
                self._owed.append(owed)
                log.warning("%s is not scheduled again yet: %s", owed[0], type(error).__name__)
                return

    def _again(self, job_id: str, step: str, id: str, n: int) -> None:
        number, _, tries = job_id.rpartition(":")[2].partition("~")
        count = int(tries or 0) + 1
        pause = min(2.0 ** min(count, 30), MAX_PAUSE_SECONDS)
        self.client.enqueue(_options(step, f"{step}:{id}:{number}~{count}", pause), step, id, n)

    def worker(self, desks: Mapping[str, int], duties: Duties, others: Iterable[str] = ()) -> Worker:
        """A worker for these desks (name to attempts at once), and for ``others`` who are told of things."""
        return Worker(self, desks, duties, others)


class Worker:
    """Runs jobs in this process. On SQLite one worker process at a time, kept by a lock beside the file."""

    def __init__(
        self, jobs: Jobs, desks: Mapping[str, int], duties: Duties, others: Iterable[str] = ()
    ) -> None:
        self.jobs = jobs
        self.store = jobs.store
        self.desks = dict(desks)
        self.queues = _queues(self.desks) | {_queue(f"notify:{name}"): 1 for name in others}
        self.duties = duties
        self.executor = "handrail" if self.store.is_sqlite else owner()
        """On SQLite always the same, so that a worker takes up at once what the last one left."""
        self._lock: IO[str] | None = None
        self._changed = threading.Condition()
        self._running: set[str] = set()
        self.keeper = Keeper(jobs, duties, self._running)

    # Life.

    def start(self) -> None:
        """Raises ``ConfigError`` where another worker has the SQLite file, or the host runs DBOS itself."""
        path = self.store.url.database
        self._lock = lock.take(
            self.store,
            f"another worker process works on {path}; on SQLite there can be one. "
            'Stop it, or use store = "postgresql://..."',
        )
        try:
            self.store.refuse_moved()
            _refuse_a_second_engine()
            migrate_jobs(self.store)
            for name, slots in self.queues.items():
                self.jobs.client.register_queue(
                    name, worker_concurrency=slots, polling_interval_sec=POLL_SECONDS
                )
            self.duties.presence.beat()
            self._launch()
        except BaseException:
            self._unlock()
            raise
        self.jobs.hands = Hands(self.desks, self.duties.drain)
        self.keeper.start()
        for desk, slots in self.desks.items():
            for _ in range(slots):  # as many hands as there may be: a backlog may have waited for us
                self.jobs.ring(desk)

    def stop(self) -> None:
        """Finish what runs, start no more, and give back what was taken and not begun."""
        hands, self.jobs.hands = self.jobs.hands, None
        self.duties.halt(True)
        try:
            if hands:
                hands.halt()
            self._end_engine()
            if hands:
                hands.stop()
            with self._changed:
                self._changed.wait_for(lambda: not self._running, STOP_SECONDS)
            self.keeper.stop()
            self.keeper.give_back(self.executor)
            self.duties.presence.end()
        finally:
            self.duties.halt(False)
            self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

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
        kind, _, desk = step.partition(":")
        if kind == "deliver":  # where one is due that another process accepted, more may be
            self.jobs.ring(desk)
        with self._counted(job_id):
            try:
                self.duties.run_step(kind, id, n)
            except Exception as error:
                # The engine does not try a job again that failed; nothing may end for good by a surprise.
                known = isinstance(error, StoreError)
                log.error("step %s of %s failed; it is tried again: %s", step, id, error, exc_info=not known)
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


def _queues(desks: Mapping[str, int]) -> dict[str, int]:
    """The queues of these desks, with how many jobs of each a worker runs at once."""
    out = {_queue(f"deliver:{desk}"): slots for desk, slots in desks.items()}
    back = {_queue(f"poll:{desk}"): min(slots, _READERS) for desk, slots in desks.items()}
    return {_queue(""): _READERS, _queue("watch:"): _READERS} | out | back


def _queue(step: str) -> str:
    kind, _, desk = step.partition(":")
    if kind == "watch":  # it asks nothing of its desk, and must not stand behind what does
        return "handrail-watch"
    if not desk:
        return "handrail"
    return f"handrail/{desk}" if kind == "deliver" else f"handrail/{desk}/back"


def _options(step: str, job_id: str, delay: float) -> Any:
    options: dict[str, Any] = {
        "workflow_name": WORKFLOW,
        "queue_name": _queue(step),
        "workflow_id": job_id,
        "app_version": VERSION,
    }
    return options | ({"delay_seconds": delay} if delay > 0 else {})


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
