"""The queue: removals owed, asked about by web processes and made by workers.

Waiters and idle workers look many times a second whether anybody wrote (`database.bell`); all who wait in a process
share one look.
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
from pellucid.database.bell import bell_of
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
from pellucid.queue import submission as transactions
from pellucid.queue.course import Course
from pellucid.queue.rows import FAILED, PENDING, RUNNING, WAITING, mine
from pellucid.queue.submission import ASSUMED_JOB_S, Place, Surroundings, Verdict
from pellucid.queue.turns import RetryPolicy
from pellucid.queue.values import Answer, Pending, QueueStats, Submission
from pellucid.spec import Token

_log = structlog.get_logger(__name__)

_T = TypeVar("_T")

_CREW_S = 0.25
"""How long those who were seen alive are taken to be so: a look opens a file for each."""

_READ_TIMEOUT_S = 2.0
"""How long an answer waits for the database to be read; then it goes on without."""

_LEFT_BEHIND_S = 3600.0
"""What is owed in another store is left to its own machine for so long after it should have ended."""


async def _expire(database: Database, course: Course, served: frozenset[str] | None) -> None:
    while recipes := await database.run(partial(course.expire, served=served)):
        for recipe in sorted(set(recipes)):
            _log.warning("removals expired", recipe=recipe, count=recipes.count(recipe))


def _recipes_of(workers: Sequence[WorkerInfo]) -> frozenset[str]:
    return frozenset(recipe for worker in workers for recipe in worker.recipe_ids)


class _StoppedError(Exception):
    """Raised in waits when the process stops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Awaited:
    """What a waiter waits for: the end of one removal, or any change of what is owed."""

    end_of: str | None = None
    other_than: frozenset[str] | None = None

    def is_over(self, keys: frozenset[str]) -> bool:
        return keys != self.other_than if self.end_of is None else self.end_of not in keys


@dataclass(slots=True)
class _Seen:
    """What the last look saw, so that one at an unchanged database is cheap."""

    keys: frozenset[str] = frozenset()
    version: Hashable = None
    is_known: bool = False


class Queue:
    """The removals of one `store`, whose workers are `registry`. `depth` is what one token alone may owe; `lease_s`: a
    worker that shows no sign of life for so long loses what it has; `poll_s`: how often waiters and idle workers look;
    `clock` says seconds since the epoch, the same for all processes. Every method raises DatabaseError.
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
        self.course = Course(
            store=store, ledger=ledger, retry_policy=retry_policy or RetryPolicy(), lease_s=lease_s, clock=clock
        )
        # The bell is for one thread; locks of workers are looked at there as well.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="queue-poll")
        self._bell = bell_of(database)
        self._alive: tuple[WorkerInfo, ...] = ()
        self._alive_until = 0.0
        self._poll: asyncio.Task[None] | None = None
        self._waiting: dict[asyncio.Future[frozenset[str]], _Awaited] = {}
        self._seen = _Seen()
        self._served_at: dict[str, float] = {}
        self._expires_since: float | None = None
        self._stopping = False
        self._closed = False

    async def aclose(self) -> None:
        """Look no more; the database stays open."""
        if self._closed:
            return
        self._closed = True
        if self._poll is not None:
            await asyncio.wait({self._poll})
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, self._bell.close))
        self._thread.shutdown()

    # Asking

    async def known(self, token: Token, digests: Sequence[str], *, page: int = 1) -> list[KnownMatte]:
        """The mattes of a page of these bytes, and what the token paid for them. One query."""
        read = partial(facts.known_to, store=self._store, token=token, digests=digests, page=page)
        return await self._database.read(read, max_wait_s=_READ_TIMEOUT_S)

    async def submit(self, submission: Submission) -> Answer:
        """Owe the removal once, with its price held for the token, and have `submission.notify` told when it ends.

        Who is owed it already can only gain: an earlier turn, more listeners. A failed one is tried again when its time
        has come. One query, and nothing is written, if nothing changes.
        """
        scene = await self._scene()

        def read(db: sa.Connection) -> Verdict:
            found = transactions.read(db, submission, scene)
            verdict = transactions.decide(found, submission, self._ledger, scene)
            if verdict.submits:
                refusal = transactions.full(db, submission, scene, depth=self._depth)
                if refusal is not None:
                    return Verdict(answer=replace(verdict.answer, receipt=refusal))
            return verdict

        verdict = await self._database.read(read, max_wait_s=_READ_TIMEOUT_S)
        if not verdict.writes:
            return verdict.answer
        submit = partial(
            transactions.submit, submission=submission, ledger=self._ledger, scene=scene, depth=self._depth
        )
        return await self._database.run(submit)

    async def status(self, submission: Submission) -> Answer:
        """How the removal stands, without owing it."""
        scene = await self._scene()

        def read(db: sa.Connection) -> Answer:
            found = transactions.read(db, submission, scene)
            return transactions.decide(found, submission, self._ledger, scene).answer

        return await self._database.read(read, max_wait_s=_READ_TIMEOUT_S)

    async def balance(self, token: Token) -> Balance:
        """The token's month."""
        now = self._clock()
        charged, held = await self._database.read(
            partial(entries.sums, token=token, now=now), max_wait_s=_READ_TIMEOUT_S
        )
        return self._ledger.balance(token, charged=charged, held=held, now=now)

    def balance_of(self, token: Token, account: Account) -> Balance:
        """The token's month as an account says."""
        charged, held = account.charged, account.held_in_all
        return self._ledger.balance(token, charged=charged, held=held, now=self._clock())

    async def charge(self, claim: Claim, *, may_spend: bool) -> tuple[ClaimStatus, int]:
        """Charge for a matte that is there. Returns how the claim stands, and what it cost."""
        now = self._clock()
        charge = partial(self._ledger.charge, claim=claim, may_spend=may_spend, now=now)

        def read(db: sa.Connection) -> tuple[ClaimStatus | None, int]:
            account = entries.account(db, claim, now=now)
            return self._ledger.claim_status(claim, account, may_spend=may_spend), account.paid or 0

        # Who may not pay asks again and again, and waits for nobody's write.
        claim_status, paid = await self._database.read(read, max_wait_s=_READ_TIMEOUT_S)
        if claim_status is ClaimStatus.PAID or claim_status is ClaimStatus.REFUSED:
            return claim_status, paid
        return await self._database.run(charge)

    async def forget_mattes(self, names: Sequence[str]) -> None:
        """Their files are gone."""
        await self._database.run(partial(facts.forget, names=names, store=self._store))

    # Watching

    async def wait(self, key: str, *, timeout_s: float) -> bool:
        """True as soon as `key` is no longer owed (done, failed or unknown), False after `timeout_s` or when
        `stop_waiting` is called.
        """
        if not await self._is_pending(key):
            return True
        try:
            async with asyncio.timeout(0 if self._stopping else timeout_s):
                # Asked again at the end: a look may have begun before the removal was owed.
                while key in await self._next(_Awaited(end_of=key)) or await self._is_pending(key):
                    pass
        except TimeoutError:
            return False
        except _StoppedError:
            return False
        return True

    def stop_waiting(self) -> None:
        """Have each `wait` return as if its time were over, those under way and all to come: this process stops."""
        self._stopping = True
        for waiter, awaited in list(self._waiting.items()):
            if awaited.end_of is not None and not waiter.done():
                waiter.set_exception(_StoppedError())

    async def pending_keys(self, *, other_than: frozenset[str] | None = None) -> frozenset[str]:
        """Keys of all that waits or runs, as soon as they are other than `other_than`: within 100 ms of the change."""
        if other_than is None:
            return await self._pending(removals.c.key)
        return await self._next(_Awaited(other_than=other_than))

    async def pending_origins(self) -> frozenset[str]:
        """Digests of the origins of all that waits or runs: what eviction must not touch."""
        return await self._pending(removals.c.origin_digest)

    async def backlog(self) -> Mapping[str, Pending]:
        """All that waits or runs by its key, each with its position: one look, however many there are."""
        scene = await self._scene()

        def read(db: sa.Connection) -> dict[str, Pending]:
            job_s: float = store_row.value_of(db, self._store, stores.c.job_s) or ASSUMED_JOB_S
            found = rows.of(db, mine(self._store, states=PENDING))
            running = sum(row.state == RUNNING for row in found)
            served = 0
            unserved: dict[str, int] = {}
            pending: dict[str, Pending] = {}
            for row in found:
                if row.state == WAITING:
                    if row.recipe_id in scene.served:
                        served += 1
                    else:
                        unserved[row.recipe_id] = unserved.get(row.recipe_id, 0) + 1
                ahead = served + unserved.get(row.recipe_id, 0)
                place = Place(ahead=ahead, running=running, workers=scene.workers, job_s=job_s)
                pending[row.key] = place.pending(row, scene.now)
            return pending

        return await self._database.read(read)

    async def stats(self) -> QueueStats:
        """A moment's numbers."""
        workers = await self.alive()

        def read(db: sa.Connection) -> QueueStats:
            state = removals.c.state
            query = sa.select(state, removals.c.recipe_id, sa.func.count()).where(mine(self._store))
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
                job_s=store_row.value_of(db, self._store, stores.c.job_s) or 0.0,
                workers=workers,
            )

        return await self._database.read(read)

    async def check_writable(self) -> None:
        """For readiness: write to the database, really. A full disk shows at the commit only."""
        await self._database.run(lambda db: store_row.note(db, self._store, checked_at=self._clock()))

    # Keeping

    async def sweep(self, *, leases: bool = False) -> None:
        """Have what the dead had in hand done again; with `leases`, also what is over its lease."""
        dead = await self._in_thread(self._registry.dead)
        if dead or leases:
            await self._database.run(partial(self.course.put_back_lost, dead=dead))
        for name in dead:
            await self._in_thread(partial(self._registry.remove_dead, name))

    async def expire(self) -> None:
        """Owe no more what waited too long. To be called now and then: that nobody makes mattes of a recipe is believed
        once no worker was seen to for as long as such removals wait (at a start, workers load their model).
        """
        now, retry_policy = self._clock(), self.course.retry_policy
        self._served_at |= dict.fromkeys(await self.served(), now)
        began = self._expires_since = now if self._expires_since is None else self._expires_since
        since = now - retry_policy.unserved_s
        served = frozenset(recipe for recipe, at in self._served_at.items() if at > since) if began <= since else None
        await _expire(self._database, self.course, served)
        # A machine that is gone, or came back with another folder, ends nothing any more.
        for store in await self._database.read(self._left_behind):
            course = replace(self.course, store=store)
            await self._database.run(partial(course.put_back_lost, dead=()))
            await _expire(self._database, course, None)

    def _left_behind(self, db: sa.Connection) -> list[str]:
        """Other stores in which something waits that should have ended an hour ago."""
        late = removals.c.asked_at < self._clock() - self.course.retry_policy.wait_s - _LEFT_BEHIND_S
        others = (removals.c.store != self._store, removals.c.state.in_(PENDING), late)
        return list(db.scalars(sa.select(removals.c.store).where(*others).distinct()))

    async def alive(self) -> tuple[WorkerInfo, ...]:
        """The living workers, as of a moment ago."""
        if time.monotonic() >= self._alive_until:
            self._alive = await self._in_thread(self._registry.alive)
            self._alive_until = time.monotonic() + _CREW_S
        return self._alive

    async def served(self) -> frozenset[str]:
        """Recipes that living workers make."""
        return _recipes_of(await self.alive())

    async def version(self) -> Hashable:
        """Differs from an earlier answer if anybody wrote since."""
        return await self._in_thread(self._bell.version)

    async def _scene(self) -> Surroundings:
        workers = await self.alive()
        return Surroundings(store=self._store, served=_recipes_of(workers), workers=len(workers), now=self._clock())

    async def _is_pending(self, key: str) -> bool:
        pending = sa.exists().where(mine(self._store, states=PENDING), removals.c.key == key)
        return bool(await self._database.read(lambda db: db.scalar(sa.select(pending))))

    async def _pending(self, column: sa.Column[str]) -> frozenset[str]:
        query = sa.select(column).where(mine(self._store, states=PENDING)).distinct()
        return await self._database.read(lambda db: frozenset(db.scalars(query)))

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
        """Only those are woken whose wait is over, so thousands cost what one does."""
        while self._waiting:
            await asyncio.sleep(self._poll_s)
            waiters = dict(self._waiting)  # whoever comes during the look sees the next
            try:
                keys = await self._poll_once()
            except Exception as error:  # the edge: what nobody hears of would leave them waiting
                for waiter in waiters:
                    if not waiter.done():
                        waiter.set_exception(error)
                continue
            for waiter, awaited in waiters.items():
                if not waiter.done() and awaited.is_over(keys):
                    waiter.set_result(keys)

    async def _poll_once(self) -> frozenset[str]:
        """The owed keys; those seen last if nobody wrote since."""
        seen, version = self._seen, await self.version()
        if version != seen.version or not seen.is_known:
            seen.keys = await self._pending(removals.c.key)
            seen.version, seen.is_known = version, True
        return seen.keys

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        if self._closed:
            raise DatabaseError("the queue is closed")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except OSError as error:
            raise DatabaseError(f"the workers' lock files cannot be used ({error})") from error
