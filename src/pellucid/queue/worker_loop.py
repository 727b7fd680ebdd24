"""The loop of a worker: claim a job, run its handler, save the outcome."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import sqlalchemy as sa
import structlog

from pellucid.database.database import Database
from pellucid.errors import DatabaseAwayError, DatabaseBusyError, DatabaseError, StoreError, WorkerNameError
from pellucid.liveness.port import WorkerInfo, WorkerRegistry, WorkerSession
from pellucid.queue.queue import Queue
from pellucid.queue.values import Handler, Job, JobDiscardedError, JobPermanentError

_log = structlog.get_logger(__name__)

STORE_AWAY = "store-away"

_SAVE_RETRY_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Pauses between attempts to save an outcome while the database is unavailable. The matte is stored by then, so giving
up early would waste it.
"""

_PROBE_S = 0.2
"""How often an idle worker checks whether the other workers live: some microseconds each."""

Outcome = Callable[[sa.Connection], object]
"""The transaction that saves how a job ended."""


class WorkerLoop:
    """Runs workers of `queue`. An idle worker polls every `poll_s`; `lease_s` is that of the queue."""

    def __init__(
        self, database: Database, queue: Queue, registry: WorkerRegistry, *, lease_s: float = 30.0, poll_s: float = 0.05
    ) -> None:
        self._database = database
        self._queue = queue
        self._registry = registry
        self._transitions = queue.transitions
        self._lease_s = lease_s
        self._poll_s = poll_s
        self._known: set[str] = set()
        """Names of workers that ran in this process before, and did not die."""

    async def run(self, handler: Handler, *, info: WorkerInfo, stop: asyncio.Event) -> None:
        """Claim and run jobs one at a time until `stop` is set; the current job is finished first.

        The lease of a job is extended while its handler runs. An idle worker starts a new job within 100 ms.
        Cancellation requeues the current job, and its attempt is not counted.

        Raises DatabaseError when the database or the folder of lock files fails, WorkerNameError when a living worker
        has that name. The current job is requeued then.
        """
        try:
            session = await asyncio.to_thread(self._registry.register, info)
        except OSError as error:
            raise _unusable(error) from error
        try:
            if info.worker_id in self._known:
                await self._database.run(partial(self._transitions.release, worker_id=info.worker_id))
            else:
                # An earlier worker of this name died, perhaps of the job that it ran: that attempt counts.
                await self._database.run(partial(self._transitions.requeue_lost, dead=(info.worker_id,)))
                self._known.add(info.worker_id)
            await self._claim_and_run(handler, info, session, stop)
        except OSError as error:
            raise _unusable(error) from error
        finally:
            # Shielded: after a second cancellation the job would otherwise be blocked until its lease ends.
            await asyncio.shield(self._unregister(session, info))

    async def _claim_and_run(
        self, handler: Handler, info: WorkerInfo, session: WorkerSession, stop: asyncio.Event
    ) -> None:
        next_turns = partial(self._transitions.next_turns, recipes=info.recipe_ids)
        claim = partial(self._transitions.claim, worker_id=info.worker_id, recipes=info.recipe_ids)
        clock = self._transitions.clock
        seen: object = None
        due_at = lease_end = probe_at = 0.0
        is_known = False
        while not stop.is_set():
            if time.monotonic() >= probe_at or clock() >= lease_end:
                probe_at = time.monotonic() + _PROBE_S
                await asyncio.to_thread(session.heartbeat)  # without its file it would count as dead and lose its job
                await self._queue.sweep(leases=clock() >= lease_end)
            version = await self._queue.version()
            if not is_known or version != seen or clock() >= min(due_at, lease_end):
                seen, is_known = version, True
                # Read first: otherwise all idle workers that one job wakes up would queue for the write lock.
                due_at, lease_end = await self._database.read(next_turns)
                job = await self._run_uninterrupted(claim) if due_at <= clock() else None
                if job is not None:
                    is_known = False
                    await self._run_job(job, handler, info.worker_id, session)
                    continue
                due_at = max(due_at, clock() + self._poll_s) if due_at <= clock() else due_at
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_s):
                    await stop.wait()

    async def _run_job(self, job: Job, handler: Handler, worker_id: str, session: WorkerSession) -> None:
        heartbeat = asyncio.create_task(self._send_heartbeats(job, worker_id, session))
        try:
            outcome = await self._run_handler(job, handler, worker_id)
        finally:
            heartbeat.cancel()
        await self._save(outcome, job, worker_id)

    async def _save(self, outcome: Outcome, job: Job, worker_id: str) -> None:
        for pause_s in _SAVE_RETRY_PAUSES_S:
            try:
                await self._database.run(outcome)
                return
            except (DatabaseAwayError, DatabaseBusyError) as error:
                _log.warning("job outcome not saved yet", job=job.key, error=str(error))
                await asyncio.sleep(pause_s)
            except Exception as error:
                # Any error must end here: a job whose outcome is not saved would be claimed again and again, before
                # all others.
                _log.error("job outcome cannot be saved", job=job.key, exc_info=True)
                outcome = partial(self._transitions.retry, job=job, worker_id=worker_id, error=type(error).__name__)
        await self._database.run(outcome)

    async def _run_uninterrupted(self, work: Callable[[sa.Connection], Job | None]) -> Job | None:
        """The result of `work`. A cancellation takes effect after its transaction, or `release` might run before the
        claim that it is to undo.
        """
        running = asyncio.ensure_future(self._database.run(work))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait({running})
            raise

    async def _run_handler(self, job: Job, handler: Handler, worker_id: str) -> Outcome:
        """Run the handler and return the transaction that saves the outcome."""
        transitions, started = self._transitions, time.monotonic()
        try:
            facts = await handler(job)
        except JobPermanentError as error:
            cause = type(error.__cause__ or error).__name__
            return partial(transitions.fail, job=job, worker_id=worker_id, reason=error.reason, error=cause)
        except JobDiscardedError:
            return partial(transitions.discard, job=job, worker_id=worker_id)
        except (StoreError, DatabaseError) as error:
            _log.error("store failed", job=job.key, error=str(error))
            return partial(transitions.postpone, job=job, worker_id=worker_id, reason=STORE_AWAY)
        except Exception as error:
            # Any exception of a handler uses up an attempt. It is logged here and nowhere else.
            _log.warning("job failed", job=job.key, attempt=job.attempt, exc_info=True)
            return partial(transitions.retry, job=job, worker_id=worker_id, error=type(error).__name__)
        job_s = time.monotonic() - started
        return partial(transitions.complete, job=job, worker_id=worker_id, facts=facts, job_s=job_s)

    async def _unregister(self, session: WorkerSession, info: WorkerInfo) -> None:
        # If the database fails here, unregistering is enough: the lease ends by itself.
        with suppress(DatabaseError):
            await self._database.run(partial(self._transitions.release, worker_id=info.worker_id))
        with suppress(OSError):
            await asyncio.to_thread(session.unregister)

    async def _send_heartbeats(self, job: Job, worker_id: str, session: WorkerSession) -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            # If the lock file cannot be restored, the job depends on its lease, which is extended all the same.
            with suppress(OSError, WorkerNameError):
                await asyncio.to_thread(session.heartbeat)
            # Two of three heartbeats may fail before the lease is lost. If the database stays unavailable, saving the
            # outcome fails too.
            with suppress(DatabaseError):
                await self._database.run(partial(self._transitions.extend_lease, key=job.key, worker_id=worker_id))


def _unusable(error: OSError) -> DatabaseError:
    return DatabaseError(f"the workers' lock files cannot be used ({error})")
