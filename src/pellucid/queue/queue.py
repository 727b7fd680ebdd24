"""The queue of jobs. Web processes submit and watch jobs, workers run them.

Waiters and idle workers check many times a second whether the database has changed (`database.changes`). All waiters
of a process share one poll.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import sqlalchemy as sa
import structlog

from pellucid.database import store_row
from pellucid.database.changes import change_detector_of
from pellucid.database.database import Database
from pellucid.database.tables import removals, stores
from pellucid.errors import DatabaseError
from pellucid.ledger import entries
from pellucid.ledger.ledger import Ledger
from pellucid.ledger.values import Account, Balance, Claim, ClaimStatus
from pellucid.liveness.port import WorkerInfo, WorkerRegistry
from pellucid.mattes import facts
from pellucid.mattes.facts import KnownMatte
from pellucid.queue import rows
from pellucid.queue import submission as submissions
from pellucid.queue.rows import FAILED, PENDING, RUNNING, WAITING, matching
from pellucid.queue.submission import ASSUMED_JOB_S, Decision, QueuePosition, SubmissionContext
from pellucid.queue.transitions import JobTransitions
from pellucid.queue.turns import RetryPolicy
from pellucid.queue.values import Answer, Pending, QueueStats, Submission
from pellucid.spec import Token

_log = structlog.get_logger(__name__)

_T = TypeVar("_T")

_ALIVE_TTL_S = 0.25
"""TTL of the list of living workers: making it opens a file for each."""

_READ_TIMEOUT_S = 2.0
"""How long a request waits for a read of the database. Then it is answered without."""

_ABANDONED_AFTER_S = 3600.0
"""Jobs of another store are left to the machine of that store until this long after they should have expired."""


async def _expire(database: Database, transitions: JobTransitions, served: frozenset[str] | None) -> None:
    while recipes := await database.run(partial(transitions.expire, served=served)):
        for recipe in sorted(set(recipes)):
            _log.warning("jobs expired", recipe=recipe, count=recipes.count(recipe))


def _recipes_of(workers: Sequence[WorkerInfo]) -> frozenset[str]:
    return frozenset(recipe for worker in workers for recipe in worker.recipe_ids)


class _StoppedError(Exception):
    """Raised in calls of `wait` when the process stops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _WaitCondition:
    """What a waiter waits for: the end of one job, or any change of the pending keys."""

    end_of: str | None = None
    """Key of the job. None: wait for pending keys other than `other_than`."""
    other_than: frozenset[str] | None = None

    def is_met(self, keys: frozenset[str]) -> bool:
        return keys != self.other_than if self.end_of is None else self.end_of not in keys


@dataclass(slots=True)
class _PollCache:
    """The result of the last poll, so that polling an unchanged database is cheap."""

    keys: frozenset[str] = frozenset()
    version: Hashable = None
    is_known: bool = False


class Queue:
    """The jobs of one `store`. Every method raises DatabaseError.

    `registry`: the workers of the store.
    `depth`: pending jobs that a token may have while no other token has any.
    `lease_s`: a worker without a heartbeat for this long loses its job.
    `poll_s`: how often waiters and idle workers poll.
    `clock`: returns seconds since the epoch, the same in all processes.
    """

    def __init__(
        self,
        database: Database,
        *,
        store: str,
        registry: WorkerRegistry,
        ledger: Ledger,
        depth: int = 1000,
        retry_policy: RetryPolicy | None = None,
        lease_s: float = 30.0,
        poll_s: float = 0.05,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._store = store
        self._registry = registry
        self._ledger = ledger
        self._depth = depth
        self._poll_s = poll_s
        self._clock = clock
        self.transitions = JobTransitions(
            store=store, ledger=ledger, retry_policy=retry_policy or RetryPolicy(), lease_s=lease_s, clock=clock
        )
        # The change detector must stay in one thread. Lock files of workers are checked there too.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="queue-poll")
        self._changes = change_detector_of(database)
        self._alive: tuple[WorkerInfo, ...] = ()
        self._alive_until = 0.0
        self._poll: asyncio.Task[None] | None = None
        self._waiting: dict[asyncio.Future[frozenset[str]], _WaitCondition] = {}
        self._poll_cache = _PollCache()
        self._served_at: dict[str, float] = {}
        self._expires_since: float | None = None
        self._stopping = False
        self._closed = False

    async def aclose(self) -> None:
        """Stop polling. The database stays open."""
        if self._closed:
            return
        self._closed = True
        if self._poll is not None:
            await asyncio.wait({self._poll})
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, self._changes.close))
        self._thread.shutdown()

    # Requests

    async def known_mattes(self, token: Token, digests: Sequence[str], *, page: int = 1) -> list[KnownMatte]:
        """Find the mattes of a page (from 1) of these bytes, and what the token paid for them."""
        read = partial(facts.known_mattes, store=self._store, token=token, digests=digests, page=page)
        return await self._database.read(read, max_wait_s=_READ_TIMEOUT_S)

    async def submit(self, submission: Submission) -> Answer:
        """Queue the job once, hold its price for the token, and register `submission.notify` as listeners.

        A pending job can only gain: an earlier turn, more listeners. A failed one is retried once its pause is over. If
        nothing changes, this is one query and no write.
        """
        context = await self._context()

        def read(db: sa.Connection) -> Decision:
            found = submissions.read(db, submission, context)
            decision = submissions.decide(found, submission, self._ledger, context)
            if decision.submits:
                refusal = submissions.full_receipt(db, submission, context, depth=self._depth)
                if refusal is not None:
                    return Decision(answer=replace(decision.answer, receipt=refusal))
            return decision

        decision = await self._database.read(read, max_wait_s=_READ_TIMEOUT_S)
        if not decision.writes:
            return decision.answer
        submit = partial(
            submissions.submit, submission=submission, ledger=self._ledger, context=context, depth=self._depth
        )
        return await self._database.run(submit)

    async def status(self, submission: Submission) -> Answer:
        """The state of the job, without submitting it."""
        context = await self._context()

        def read(db: sa.Connection) -> Answer:
            found = submissions.read(db, submission, context)
            return submissions.decide(found, submission, self._ledger, context).answer

        return await self._database.read(read, max_wait_s=_READ_TIMEOUT_S)

    async def balance(self, token: Token) -> Balance:
        """The token's credits of this month."""
        now = self._clock()
        charged, held = await self._database.read(
            partial(entries.sums, token=token, now=now), max_wait_s=_READ_TIMEOUT_S
        )
        return self._ledger.balance(token, charged=charged, held=held, now=now)

    def balance_of(self, token: Token, account: Account) -> Balance:
        """The token's credits of this month, from an account that was read before."""
        charged, held = account.charged, account.held_in_all
        return self._ledger.balance(token, charged=charged, held=held, now=self._clock())

    async def charge(self, claim: Claim, *, may_spend: bool) -> tuple[ClaimStatus, int]:
        """Charge for a matte that exists. Returns the status of the claim, and what it cost."""
        now = self._clock()
        charge = partial(self._ledger.charge, claim=claim, may_spend=may_spend, now=now)

        def read(db: sa.Connection) -> tuple[ClaimStatus | None, int]:
            account = entries.account(db, claim, now=now)
            return self._ledger.claim_status(claim, account, may_spend=may_spend), account.paid or 0

        # Pages of tokens without credits poll again and again; a read does not wait for the write lock.
        claim_status, paid = await self._database.read(read, max_wait_s=_READ_TIMEOUT_S)
        if claim_status is ClaimStatus.PAID or claim_status is ClaimStatus.REFUSED:
            return claim_status, paid
        return await self._database.run(charge)

    async def forget_mattes(self, names: Sequence[str]) -> None:
        """Delete the records of mattes whose files are gone."""
        await self._database.run(partial(facts.delete, names=names, store=self._store))

    # Watching

    async def wait(self, key: str, *, timeout_s: float) -> bool:
        """Wait for the end of a job. True as soon as `key` is no longer pending (done, failed or unknown), False after
        `timeout_s` or when `stop_waiting` is called.
        """
        if not await self._is_pending(key):
            return True
        try:
            async with asyncio.timeout(0 if self._stopping else timeout_s):
                # Checked again at the end: the shared poll may have started before the job was submitted.
                while key in await self._wait_for(_WaitCondition(end_of=key)) or await self._is_pending(key):
                    pass
        except TimeoutError:
            return False
        except _StoppedError:
            return False
        return True

    def stop_waiting(self) -> None:
        """Make every call of `wait` return as if it had timed out, present and future ones: this process stops."""
        self._stopping = True
        for waiter, condition in list(self._waiting.items()):
            if condition.end_of is not None and not waiter.done():
                waiter.set_exception(_StoppedError())

    async def pending_keys(self, *, other_than: frozenset[str] | None = None) -> frozenset[str]:
        """Keys of all pending jobs. With `other_than`, waits until they differ from it: within 100 ms of the change."""
        if other_than is None:
            return await self._pending(removals.c.key)
        return await self._wait_for(_WaitCondition(other_than=other_than))

    async def pending_origins(self) -> frozenset[str]:
        """Digests of the origins of all pending jobs: eviction must not remove these."""
        return await self._pending(removals.c.origin_digest)

    async def backlog(self) -> Mapping[str, Pending]:
        """All pending jobs by key, each with its position. One query, however many there are."""
        context = await self._context()

        def read(db: sa.Connection) -> dict[str, Pending]:
            job_s: float = store_row.read(db, self._store, stores.c.job_s) or ASSUMED_JOB_S
            found = rows.select(db, matching(self._store, states=PENDING))
            running = sum(row.state == RUNNING for row in found)
            served = 0
            unserved: dict[str, int] = {}
            pending: dict[str, Pending] = {}
            for row in found:
                if row.state == WAITING:
                    if row.recipe_id in context.served:
                        served += 1
                    else:
                        unserved[row.recipe_id] = unserved.get(row.recipe_id, 0) + 1
                ahead = served + unserved.get(row.recipe_id, 0)
                position = QueuePosition(ahead=ahead, running=running, workers=context.workers, job_s=job_s)
                pending[row.key] = position.pending(row, context.now)
            return pending

        return await self._database.read(read)

    async def stats(self) -> QueueStats:
        """The present state of the queue."""
        workers = await self.alive()

        def read(db: sa.Connection) -> QueueStats:
            state = removals.c.state
            query = sa.select(state, removals.c.recipe_id, sa.func.count()).where(matching(self._store))
            counts = db.execute(query.group_by(state, removals.c.recipe_id)).all()
            served = _recipes_of(workers)
            by_state = {name: sum(count for state, _, count in counts if state == name) for name in (*PENDING, FAILED)}
            unserved = {recipe: count for state, recipe, count in counts if state == WAITING and recipe not in served}
            return QueueStats(
                waiting=by_state[WAITING],
                running=by_state[RUNNING],
                failed=by_state[FAILED],
                unserved=unserved,
                depth=self._depth,
                job_s=store_row.read(db, self._store, stores.c.job_s) or 0.0,
                workers=workers,
            )

        return await self._database.read(read)

    async def check_writable(self) -> None:
        """Write and commit a row, for the readiness check: a full disk shows at the commit only."""
        await self._database.run(lambda db: store_row.write(db, self._store, checked_at=self._clock()))

    # Maintenance

    async def sweep(self, *, leases: bool = False) -> None:
        """Requeue the jobs of dead workers; with `leases`, also those whose lease has ended."""
        dead = await self._in_thread(self._registry.dead)
        if dead or leases:
            await self._database.run(partial(self.transitions.requeue_lost, dead=dead))
        for name in dead:
            await self._in_thread(partial(self._registry.remove_dead, name))

    async def expire(self) -> None:
        """End jobs that waited too long. Called regularly.

        A recipe counts as unserved once no worker of it was alive for `RetryPolicy.unserved_s`: after a start, workers
        need time to load their model.
        """
        now, retry_policy = self._clock(), self.transitions.retry_policy
        self._served_at |= dict.fromkeys(await self.served(), now)
        began = self._expires_since = now if self._expires_since is None else self._expires_since
        since = now - retry_policy.unserved_s
        served = frozenset(recipe for recipe, at in self._served_at.items() if at > since) if began <= since else None
        await _expire(self._database, self.transitions, served)
        # A machine that is gone, or that came back with another folder, does not expire the jobs of its old store.
        for store in await self._database.read(self._abandoned_stores):
            transitions = replace(self.transitions, store=store)
            await self._database.run(partial(transitions.requeue_lost, dead=()))
            await _expire(self._database, transitions, None)

    def _abandoned_stores(self, db: sa.Connection) -> list[str]:
        """Other stores with a pending job that should have expired an hour ago."""
        late = removals.c.asked_at < self._clock() - self.transitions.retry_policy.wait_s - _ABANDONED_AFTER_S
        others = (removals.c.store != self._store, removals.c.state.in_(PENDING), late)
        return list(db.scalars(sa.select(removals.c.store).where(*others).distinct()))

    async def alive(self) -> tuple[WorkerInfo, ...]:
        """The living workers, cached for a quarter of a second."""
        if time.monotonic() >= self._alive_until:
            self._alive = await self._in_thread(self._registry.alive)
            self._alive_until = time.monotonic() + _ALIVE_TTL_S
        return self._alive

    async def served(self) -> frozenset[str]:
        """Recipes that living workers compute."""
        return _recipes_of(await self.alive())

    async def version(self) -> Hashable:
        """A value that differs from an earlier one if the database has changed since."""
        return await self._in_thread(self._changes.version)

    async def _context(self) -> SubmissionContext:
        workers = await self.alive()
        return SubmissionContext(
            store=self._store, served=_recipes_of(workers), workers=len(workers), now=self._clock()
        )

    async def _is_pending(self, key: str) -> bool:
        pending = sa.exists().where(matching(self._store, states=PENDING), removals.c.key == key)
        return bool(await self._database.read(lambda db: db.scalar(sa.select(pending))))

    async def _pending(self, column: sa.Column[str]) -> frozenset[str]:
        query = sa.select(column).where(matching(self._store, states=PENDING)).distinct()
        return await self._database.read(lambda db: frozenset(db.scalars(query)))

    async def _wait_for(self, condition: _WaitCondition) -> frozenset[str]:
        """Wait until the pending keys meet the condition, and return them."""
        waiter: asyncio.Future[frozenset[str]] = asyncio.get_running_loop().create_future()
        self._waiting[waiter] = condition
        if self._poll is None or self._poll.done():
            self._poll = asyncio.create_task(self._poll_for_waiters())
        try:
            return await waiter
        finally:
            del self._waiting[waiter]

    async def _poll_for_waiters(self) -> None:
        """Poll, and wake the waiters whose condition is met; the others cost nothing."""
        while self._waiting:
            await asyncio.sleep(self._poll_s)
            waiters = dict(self._waiting)  # a waiter that is added during this poll waits for the next
            try:
                keys = await self._poll_once()
            except Exception as error:  # passed on to the waiters, which would otherwise wait for ever
                for waiter in waiters:
                    if not waiter.done():
                        waiter.set_exception(error)
                continue
            for waiter, condition in waiters.items():
                if not waiter.done() and condition.is_met(keys):
                    waiter.set_result(keys)

    async def _poll_once(self) -> frozenset[str]:
        """The pending keys; those of the last poll if the database has not changed since."""
        cache, version = self._poll_cache, await self.version()
        if version != cache.version or not cache.is_known:
            cache.keys = await self._pending(removals.c.key)
            cache.version, cache.is_known = version, True
        return cache.keys

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        if self._closed:
            raise DatabaseError("the queue is closed")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except OSError as error:
            raise DatabaseError(f"the workers' lock files cannot be used ({error})") from error
