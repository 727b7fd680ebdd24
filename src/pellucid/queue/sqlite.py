"""The embedded queue: one SQLite file, shared by every process of one host (WAL needs a local disk).

Waiters and idle workers poll; a look at an unchanged file costs microseconds. All SQLite work of one `SqliteQueue`
happens on two threads of its own, so the event loop never waits for the disk: one does what is asked for, the other
polls with a connection of its own, so that nobody who submits a job waits for those who watch.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from pellucid.errors import QueueError
from pellucid.queue.crew import Crew, Seat
from pellucid.queue.database import Database
from pellucid.queue.outbox import DeliveryRules, OutboxTable
from pellucid.queue.owners import Owners
from pellucid.queue.port import (
    Delivery,
    DeliveryKind,
    Failed,
    Handler,
    Job,
    JobMootError,
    JobPostponedError,
    JobRefusedError,
    Listener,
    Owed,
    Priority,
    QueueStats,
    Receipt,
    WorkerInfo,
)
from pellucid.queue.table import JobTable, Rules

_log = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")

_PROBE_S = 0.2
"""How often a poll looks whether the workers live, which no write tells."""


class _StoppedError(Exception):
    """Raised in waits when the process stops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Awaited:
    """What a waiter waits for: the end of one job, or any change of what is owed."""

    end_of: str | None = None
    other_than: frozenset[str] | None = None

    def is_over(self, keys: frozenset[str]) -> bool:
        return keys != self.other_than if self.end_of is None else self.end_of not in keys


@dataclass(slots=True)
class _Seen:
    """What the last poll saw, so that one of an unchanged file is cheap."""

    keys: frozenset[str] = frozenset()
    version: tuple[int, int, int] | None = None
    probe_at: float = 0.0


class SqliteQueue:
    """A `Queue` in a SQLite file. Made by `open`; every method raises QueueError when the file fails.

    A worker's life is told by a lock file in `owners/` beside the queue file, so a killed worker's job runs again at
    once; the lease is for those that hang.
    """

    def __init__(
        self,
        *,
        path: Path,
        rules: Rules,
        delivery_rules: DeliveryRules,
        poll_s: float,
        busy_timeout_s: float,
        clock: Callable[[], float],
    ) -> None:
        owners = Owners(path.parent / "owners")
        self._database = Database(path, owners=owners, busy_timeout_s=busy_timeout_s)
        self._outbox = OutboxTable(self._database, rules=delivery_rules, clock=clock)
        self._table = JobTable(self._database, outbox=self._outbox, rules=rules, clock=clock)
        self._crew = Crew(self._database, owners=owners, table=self._table, clock=clock)
        # The same once more, for the thread that polls.
        self._polled = Database(path, owners=owners, busy_timeout_s=busy_timeout_s)
        polled_outbox = OutboxTable(self._polled, rules=delivery_rules, clock=clock)
        self._polled_table = JobTable(self._polled, outbox=polled_outbox, rules=rules, clock=clock)
        self._polled_crew = Crew(self._polled, owners=owners, table=self._polled_table, clock=clock)
        self._depth_limit = rules.depth_limit
        self._lease_s = rules.lease_s
        self._poll_s = poll_s
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="queue")
        self._poll_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="queue-poll")
        self._poll: asyncio.Task[None] | None = None
        self._waiting: dict[asyncio.Future[frozenset[str]], _Awaited] = {}
        self._seen = _Seen()
        self._stopping = False
        self._closed = False

    @classmethod
    async def open(
        cls,
        *,
        path: Path,
        depth_limit: int = 1000,
        max_attempts: int = 3,
        lease_s: float = 30.0,
        backoff_s: float = 1.0,
        backoff_factor: float = 4.0,
        failure_s: float = 300.0,
        failure_max_s: float = 86_400.0,
        poll_s: float = 0.05,
        busy_timeout_s: float = 10.0,
        delivery_rules: DeliveryRules | None = None,
        clock: Callable[[], float] = time.time,
    ) -> SqliteQueue:
        """Open the queue file; make it and its folder if they are missing.

        * `path`: the file. Its folder also gets `owners/`, so the queue wants a folder of its own.
        * `depth_limit`: jobs that may wait and run together.
        * `max_attempts`: claims before a job fails for good.
        * `lease_s`: a worker that shows no sign of life for so long loses its job.
        * `backoff_s`: the pause after the first failed attempt; each further one is `backoff_factor` times longer.
        * `failure_s`: how long a failed job is left alone, doubled with each failure in a row up to `failure_max_s`.
        * `poll_s`: how often waiters and idle workers look.
        * `busy_timeout_s`: how long another process's write is waited for.
        * `delivery_rules`: when a message that nobody took is sent again; None: as `DeliveryRules` says by itself.
        * `clock`: seconds since the epoch, the same for all processes.

        Raises QueueError when the file is damaged, of a newer schema, or cannot be written.
        """
        rules = Rules(
            depth_limit=depth_limit,
            max_attempts=max_attempts,
            lease_s=lease_s,
            backoff_s=backoff_s,
            backoff_factor=backoff_factor,
            failure_s=failure_s,
            failure_max_s=failure_max_s,
        )
        queue = cls(
            path=path,
            rules=rules,
            delivery_rules=delivery_rules or DeliveryRules(),
            poll_s=poll_s,
            busy_timeout_s=busy_timeout_s,
            clock=clock,
        )
        try:
            await queue.check_writable()
        except BaseException:
            await queue.aclose()
            raise
        return queue

    async def aclose(self) -> None:
        """Close the file, once `work` has returned. From then on all else raises QueueError, a `wait` under way too."""
        if self._closed:
            return
        self._closed = True
        if self._poll is not None:
            await asyncio.wait({self._poll})
        loop = asyncio.get_running_loop()
        await asyncio.shield(loop.run_in_executor(self._poll_thread, self._polled.close))
        await asyncio.shield(loop.run_in_executor(self._thread, self._database.close))
        self._poll_thread.shutdown()
        self._thread.shutdown()

    async def check_writable(self) -> None:
        """For readiness: write to the file, really. Raises QueueError."""
        await self._call(self._table.check_writable)

    async def submit(self, job: Job, *, priority: Priority, notify: tuple[Listener, ...] = ()) -> Receipt:
        def submit() -> Receipt:
            return self._table.submit(job, priority, notify=notify, workers=self._crew.sweep())

        return await self._call(submit)

    async def look(self, key: str) -> Owed | Failed | None:
        return await self._call(lambda: self._table.look(key, workers=self._crew.sweep()))

    async def wait(self, key: str, *, timeout_s: float) -> bool:
        is_owed = partial(self._polled_table.is_owed, key)
        if not await self._call_polling(is_owed):
            return True
        try:
            async with asyncio.timeout(0 if self._stopping else timeout_s):
                # Asked again at the end: a poll may have begun before the job was submitted.
                while key in await self._next(_Awaited(end_of=key)) or await self._call_polling(is_owed):
                    pass
        except TimeoutError:
            return False
        except _StoppedError:
            return False
        return True

    def stop_waiting(self) -> None:
        self._stopping = True
        for waiter, awaited in list(self._waiting.items()):
            if awaited.end_of is not None and not waiter.done():
                waiter.set_exception(_StoppedError())

    async def owed_keys(self, *, other_than: frozenset[str] | None = None) -> frozenset[str]:
        if other_than is None:
            return await self._call_polling(self._polled_table.owed_keys)
        return await self._next(_Awaited(other_than=other_than))

    async def backlog(self) -> Mapping[str, Owed]:
        return await self._call_polling(lambda: self._polled_table.backlog(workers=self._polled_crew.sweep()))

    async def stats(self) -> QueueStats:
        def stats() -> QueueStats:
            return QueueStats(
                waiting=self._table.count("waiting"),
                running=self._table.count("running"),
                failed=self._table.count("failed"),
                depth_limit=self._depth_limit,
                job_s=self._table.job_s(),
                workers=self._crew.alive(),
            )

        return await self._call(stats)

    async def owed_origins(self) -> frozenset[str]:
        return await self._call(self._table.owed_origins)

    async def add_deliveries(self, kind: DeliveryKind, bodies: Sequence[str], *, delay_s: float = 0) -> None:
        await self._call(partial(self._outbox.add, kind, bodies, delay_s=delay_s))

    async def deliveries_due(self, limit: int, lease_s: float) -> tuple[Delivery, ...]:
        return await self._call(partial(self._outbox.claim, limit, lease_s))

    async def delivered(self, delivery_id: str) -> None:
        await self._call(partial(self._outbox.delivered, delivery_id))

    async def delivery_failed(self, delivery_id: str, error: str, *, pause_s: float = 0, final: bool = False) -> None:
        await self._call(partial(self._outbox.failed, delivery_id, error, pause_s=pause_s, final=final))

    async def work(self, handler: Handler, *, info: WorkerInfo, stop: asyncio.Event) -> None:
        """See the port. Cancelling it gives the job in hand back, attempt included.

        Raises QueueError when the file fails or a living worker has `info.worker_id`; the job in hand is owed again.
        """
        seat = Seat(info=info)
        heart: asyncio.Task[None] | None = None
        try:
            await self._call(partial(self._crew.join, seat))
            heart = asyncio.create_task(self._keep_beating(seat))
            while not stop.is_set():
                job = await self._call(partial(self._crew.take, seat))
                if job is not None:
                    await self._do(job, handler, info.worker_id)
                    continue
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_s):
                        await stop.wait()
        finally:
            if heart is not None:
                heart.cancel()
            # Shielded: a second cancellation must not leave the job to its lease.
            await asyncio.shield(self._leave(seat))

    async def _do(self, job: Job, handler: Handler, worker_id: str) -> None:
        started = time.monotonic()
        try:
            await handler(job)
        except JobRefusedError as error:
            cause = type(error.__cause__ or error).__name__
            settle = partial(self._table.refuse, job, worker_id, error.reason, cause)
        except JobMootError:
            settle = partial(self._table.drop, job, worker_id)
        except JobPostponedError as error:
            settle = partial(self._table.postpone, job, worker_id, error.pause_s)
        except Exception as error:
            # The edge: whatever a handler raises uses up an attempt, and is told here or nowhere.
            _log.warning("job %s failed at attempt %d", job.key, job.attempt, exc_info=True)
            settle = partial(self._table.retry, job, worker_id, type(error).__name__)
        else:
            settle = partial(self._table.done, job, worker_id, time.monotonic() - started)
        await self._call(settle)

    async def _leave(self, seat: Seat) -> None:
        # If the file fails here, freeing the lock is enough: it makes the job look abandoned.
        with suppress(QueueError):
            await self._call(partial(self._crew.leave, seat))
        if seat.lock is not None:
            seat.lock.release()

    async def _keep_beating(self, seat: Seat) -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            # Two of three beats may fail before the lease is lost; if the file stays broken, settling the job says so.
            with suppress(QueueError):
                await self._call(partial(self._crew.beat, seat))

    # Polling: one look for all who wait. Only those are woken whose wait is over, so thousands cost what one does.

    async def _next(self, awaited: _Awaited) -> frozenset[str]:
        """The owed keys once they are what is awaited."""
        waiter: asyncio.Future[frozenset[str]] = asyncio.get_running_loop().create_future()
        self._waiting[waiter] = awaited
        if self._poll is None or self._poll.done():
            self._poll = asyncio.create_task(self._poll_while_awaited())
        try:
            return await waiter
        finally:
            del self._waiting[waiter]

    async def _poll_while_awaited(self) -> None:
        while self._waiting:
            await asyncio.sleep(self._poll_s)
            waiters = dict(self._waiting)  # whoever comes during the look sees the next
            try:
                keys = await self._call_polling(self._look)
            except Exception as error:  # the edge: what nobody hears of would leave them waiting
                for waiter in waiters:
                    if not waiter.done():
                        waiter.set_exception(error)
                continue
            for waiter, awaited in waiters.items():
                if not waiter.done() and awaited.is_over(keys):
                    waiter.set_result(keys)

    def _look(self) -> frozenset[str]:
        """The owed keys; those seen last if nobody wrote since. Looks whether workers live, now and then."""
        seen = self._seen
        if time.monotonic() >= seen.probe_at or self._polled.version() != seen.version:
            self._polled_crew.sweep()
            seen.probe_at = time.monotonic() + _PROBE_S
        version = self._polled.version()
        if version != seen.version:
            seen.keys = self._polled_table.owed_keys()
            seen.version = version
        return seen.keys

    async def _call_polling(self, work: Callable[[], ResultT]) -> ResultT:
        if self._closed:
            raise QueueError("the queue is closed")
        return await asyncio.get_running_loop().run_in_executor(self._poll_thread, self._polled.run, work)

    async def _call(self, work: Callable[[], ResultT]) -> ResultT:
        if self._closed:
            raise QueueError("the queue is closed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._database.run, work)
