"""The keeper of a worker: says that it is alive, takes over what dead peers left, drops what is finished."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence, Set
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from handrail.store import Store, desks, handoffs, workers

if TYPE_CHECKING:
    from handrail.engine import Duties, Jobs

WORKFLOW = "handrail"
SCHEMA = "handrail_jobs"
"""Where PostgreSQL keeps the jobs: apart from a DBOS that the host may run in the same database."""
TICK_SECONDS = 1.0
REAP_SECONDS = 5.0
RETIRE_SECONDS = 60.0
WELL_SECONDS = 30.0
"""A keeper that has done no round for so long is not well."""
KEEP_SECONDS = 3600.0
"""For so long a finished job is kept; what happened stands in the handoff's timeline."""
TAKEN_SECONDS = 300.0
"""A job that was taken longer ago than any attempt takes is lost, whoever has it."""
HOOKS_STAY = timedelta(days=7)
"""For so long a webhook that was read is kept, for people who look for what went wrong."""
_BATCH = 1000
_TAKEN = """
    select workflow_uuid as id, executor_id, queue_name, started_at_epoch_ms as taken_at
    from {table} where status = 'PENDING' and name = :name
"""
_FINISHED = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]
log = logging.getLogger("handrail.engine")


class Keeper:
    def __init__(self, jobs: Jobs, duties: Duties, running: Set[str]) -> None:
        """``running``: the jobs that this worker runs now."""
        self.jobs, self.duties, self.running = jobs, duties, running
        self._ended = threading.Event()
        self._came_round = time.monotonic()
        self._thread = threading.Thread(target=self._keep_house, name="handrail-keeper", daemon=True)

    def start(self) -> None:
        self._came_round = time.monotonic()
        self._thread.start()

    @property
    def is_well(self) -> bool:
        """False where it has not come round for a while: the store is away, or it has died."""
        return self._thread.is_alive() and time.monotonic() - self._came_round < WELL_SECONDS

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()
        self.jobs.drop_finished()

    def _keep_house(self) -> None:
        ticks = 0
        while not self._ended.wait(TICK_SECONDS):
            ticks += 1
            try:
                self.duties.presence.beat()
                self.jobs.drop_finished()
                self.jobs.pay()
                if ticks % int(REAP_SECONDS / TICK_SECONDS) == 0:
                    self.duties.mend()
                    self.reap()
                if ticks % int(RETIRE_SECONDS / TICK_SECONDS) == 0:
                    self.retire()
                    self.forget_hooks()
                self._came_round = time.monotonic()
            except Exception as error:
                log.warning("looking after the jobs failed: %s", type(error).__name__)

    def reap(self) -> int:
        """Take over what dead peers held, and put back the jobs that they had taken; returns how many."""
        taken = [job for job in self._taken() if job.id not in self.running]
        with self.jobs.store.read() as connection:
            holders = {*handoffs.holders(connection), *workers.slot_holders(connection)}
        dead = self.duties.presence.dead(holders | {job.executor_id for job in taken if _is_named(job)})
        found = sum(self._bury(name) for name in dead)
        late = datetime.now(UTC).timestamp() - TAKEN_SECONDS
        lost = [job for job in taken if job.executor_id in dead or (job.taken_at or 0) / 1000 < late]
        return found + self._resume(lost)

    def _taken(self) -> Sequence[Any]:
        """The jobs that a worker has. The engine's own list would walk over all that wait to find them."""
        query = sa.text(_TAKEN.format(table=jobs_table(self.jobs.store)))
        with self.jobs.store.read() as connection:
            return connection.execute(query, {"name": WORKFLOW}).all()

    def _bury(self, name: str) -> int:
        """Slots and the name itself go last: a crash in between leaves the name to be found again."""
        taken_over = self.duties.take_over(name)
        self.duties.presence.forget(name)
        return taken_over

    def give_back(self, executor: str) -> None:
        """Put back what this worker has taken and not begun."""
        self._resume([job for job in self._taken() if job.executor_id == executor])

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

    def forget_hooks(self, keep: timedelta = HOOKS_STAY) -> int:
        """Delete some webhooks that were read long ago; what they said stands in the updates.

        Returns how many. Not all at once: who is busy with it says too rarely that it is alive.
        """
        with self.jobs.store.begin() as connection:
            return desks.drop_hooks(connection, datetime.now(UTC) - keep, _BATCH)

    def _list(self, **which: Any) -> list[Any]:
        client = self.jobs.client
        return list(client.list_workflows(name=WORKFLOW, load_input=False, load_output=False, **which))

    def _resume(self, jobs: Sequence[Any]) -> int:
        for job in jobs:
            self.jobs.client.resume_workflow(job.id, queue_name=job.queue_name)
        return len(jobs)


def jobs_table(store: Store) -> str:
    """The engine's own table of jobs, for what its client cannot be asked."""
    return "workflow_status" if store.is_sqlite else f"{SCHEMA}.workflow_status"


def _is_named(job: Any) -> bool:
    """On SQLite every worker has the same name: there is only one."""
    return job.executor_id not in (None, WORKFLOW)
