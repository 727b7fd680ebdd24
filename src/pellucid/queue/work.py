"""A worker's life: claim what it can make, make it, write down how that ended."""

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

_WRITE_DOWN_S = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Pauses between tries to write down how a removal ended, while the database is away: the matte is made."""

_PROBE_S = 0.2
"""How often an idle worker looks whether the others live: some microseconds each."""

Ending = Callable[[sa.Connection], object]


class Workplace:
    """Where workers of `queue` work. `poll_s`: how often an idle one looks; `lease_s` as the queue's."""

    def __init__(
        self, database: Database, queue: Queue, registry: WorkerRegistry, *, lease_s: float = 30.0, poll_s: float = 0.05
    ) -> None:
        self._database = database
        self._queue = queue
        self._registry = registry
        self._course = queue.course
        self._lease_s = lease_s
        self._poll_s = poll_s
        self._known: set[str] = set()
        """Workers that were at work here before, and never died."""

    async def work(self, handler: Handler, *, info: WorkerInfo, stop: asyncio.Event) -> None:
        """Claim and do removals one at a time until `stop` is set; the one in hand is finished first. It is leased, and
        the lease extended while the handler runs. A new one starts within 100 ms when idle. Cancelling this gives the
        one in hand back, attempt included.

        Raises DatabaseError when the database or the crew's folder fails, WorkerNameError when a living worker has that
        name; what was in hand is owed again.
        """
        try:
            session = await asyncio.to_thread(self._registry.join, info)
        except OSError as error:
            raise _unusable(error) from error
        try:
            if info.worker_id in self._known:
                await self._database.run(partial(self._course.release, worker_id=info.worker_id))
            else:
                # A former life with this name died, perhaps of what it had in hand: that attempt counts.
                await self._database.run(partial(self._course.put_back_lost, dead=(info.worker_id,)))
                self._known.add(info.worker_id)
            await self._claim_and_do(handler, info, session, stop)
        except OSError as error:
            raise _unusable(error) from error
        finally:
            # Shielded: a second cancellation must not leave the job to its lease.
            await asyncio.shield(self._leave(session, info))

    async def _claim_and_do(
        self, handler: Handler, info: WorkerInfo, session: WorkerSession, stop: asyncio.Event
    ) -> None:
        next_turns = partial(self._course.next_turns, recipes=info.recipe_ids)
        claim = partial(self._course.claim, worker_id=info.worker_id, recipes=info.recipe_ids)
        clock = self._course.clock
        seen: object = None
        due_at = lease_end = probe_at = 0.0
        is_known = False
        while not stop.is_set():
            if time.monotonic() >= probe_at or clock() >= lease_end:
                probe_at = time.monotonic() + _PROBE_S
                await asyncio.to_thread(session.ensure)  # without its file it would look dead, and lose what it has
                await self._queue.sweep(leases=clock() >= lease_end)
            version = await self._queue.version()
            if not is_known or version != seen or clock() >= min(due_at, lease_end):
                seen, is_known = version, True
                # A look first: many idle workers woken by one removal would otherwise queue up to write.
                due_at, lease_end = await self._database.read(next_turns)
                job = await self._to_its_end(claim) if due_at <= clock() else None
                if job is not None:
                    is_known = False
                    await self._do(job, handler, info.worker_id, session)
                    continue
                due_at = max(due_at, clock() + self._poll_s) if due_at <= clock() else due_at
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_s):
                    await stop.wait()

    async def _do(self, job: Job, handler: Handler, worker_id: str, session: WorkerSession) -> None:
        heart = asyncio.create_task(self._keep_beating(job, worker_id, session))
        try:
            ending = await self._ending(job, handler, worker_id)
        finally:
            heart.cancel()
        await self._write_down(ending, job, worker_id)

    async def _write_down(self, ending: Ending, job: Job, worker_id: str) -> None:
        for pause_s in _WRITE_DOWN_S:
            try:
                await self._database.run(ending)
                return
            except (DatabaseAwayError, DatabaseBusyError) as error:
                _log.warning("an end is not written down yet", job=job.key, error=str(error))
                await asyncio.sleep(pause_s)
            except Exception as error:
                # The edge: what cannot be written down would be claimed again for ever, before all others.
                _log.error("an end cannot be written down", job=job.key, exc_info=True)
                ending = partial(self._course.retry, job=job, worker_id=worker_id, error=type(error).__name__)
        await self._database.run(ending)

    async def _to_its_end(self, work: Callable[[sa.Connection], Job | None]) -> Job | None:
        """Its result; who is cancelled meanwhile waits for it, or `release` would come before the claim."""
        running = asyncio.ensure_future(self._database.run(work))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait({running})
            raise

    async def _ending(self, job: Job, handler: Handler, worker_id: str) -> Ending:
        """Have it made; returns what is to be written down."""
        course, started = self._course, time.monotonic()
        try:
            facts = await handler(job)
        except JobPermanentError as error:
            cause = type(error.__cause__ or error).__name__
            return partial(course.refuse, job=job, worker_id=worker_id, reason=error.reason, error=cause)
        except JobDiscardedError:
            return partial(course.drop, job=job, worker_id=worker_id)
        except (StoreError, DatabaseError) as error:
            _log.error("store failed", job=job.key, error=str(error))
            return partial(course.put_off, job=job, worker_id=worker_id, reason=STORE_AWAY)
        except Exception as error:
            # The edge: whatever a handler raises uses up an attempt, and is told here or nowhere.
            _log.warning("removal failed", job=job.key, attempt=job.attempt, exc_info=True)
            return partial(course.retry, job=job, worker_id=worker_id, error=type(error).__name__)
        job_s = time.monotonic() - started
        return partial(course.done, job=job, worker_id=worker_id, facts=facts, job_s=job_s)

    async def _leave(self, session: WorkerSession, info: WorkerInfo) -> None:
        # If the database fails here, leaving is enough: the lease runs out.
        with suppress(DatabaseError):
            await self._database.run(partial(self._course.release, worker_id=info.worker_id))
        with suppress(OSError):
            await asyncio.to_thread(session.leave)

    async def _keep_beating(self, job: Job, worker_id: str, session: WorkerSession) -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            # The lease is extended though the file cannot be made again: what is in hand hangs on it then.
            with suppress(OSError, WorkerNameError):
                await asyncio.to_thread(session.ensure)
            # Two of three beats may fail before the lease is lost; if the database stays away, the end says so.
            with suppress(DatabaseError):
                await self._database.run(partial(self._course.extend_lease, key=job.key, worker_id=worker_id))


def _unusable(error: OSError) -> DatabaseError:
    return DatabaseError(f"the workers' lock files cannot be used ({error})")
