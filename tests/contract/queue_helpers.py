"""Helpers of the queue tests: the queue of one process, handlers that record, block or fail, and a worker for
the length of a block.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import sqlalchemy as sa

from pellucid.database.database import Database
from pellucid.database.tables import removals
from pellucid.ledger import entries
from pellucid.ledger.ledger import Ledger
from pellucid.ledger.values import Claim
from pellucid.liveness.lock_files import LockFiles, LockSession
from pellucid.liveness.port import WorkerInfo
from pellucid.mattes.facts import MatteFacts
from pellucid.queue.outbox import Outbox
from pellucid.queue.queue import Queue
from pellucid.queue.turns import RetryPolicy, Urgency
from pellucid.queue.values import (
    Answer,
    Handler,
    Job,
    JobDiscardedError,
    JobPermanentError,
    Listener,
    Pending,
    Submission,
)
from pellucid.queue.worker_loop import WorkerLoop
from pellucid.spec import Tier, Token

# One run takes a fraction of a second; this is for busy machines.
SOON_S = 20.0

# Long enough to notice something that should not happen: several polls.
NEVER_S = 0.3

SHOP, BLOG = Token("shop"), Token("blog")
STORE = "here"
PRICE = 200


@dataclass(slots=True)
class MovableClock:
    """Seconds since the epoch; a test sets them."""

    now: float = field(default_factory=time.time)

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """The queue as one process has it."""

    database: Database
    queue: Queue
    worker_loop: WorkerLoop
    outbox: Outbox

    async def submit(self, key: str, **submission: Any) -> Answer:
        """Submit a job, see `make_submission`."""
        return await self.queue.submit(make_submission(key, **submission))

    async def enqueue(self, key: str, **submission: Any) -> Pending:
        """Submit a job that is then pending, and return its receipt."""
        receipt = (await self.submit(key, **submission)).receipt
        assert isinstance(receipt, Pending), receipt
        return receipt

    async def status(self, key: str, **submission: Any) -> Answer:
        """The state of a job, without submitting it."""
        return await self.queue.status(make_submission(key, **submission))

    async def wait(self, key: str, timeout_s: float = SOON_S) -> bool:
        """Whether the job has ended in time."""
        return await self.queue.wait(key, timeout_s=timeout_s)

    async def counts(self) -> tuple[int, int, int]:
        """Numbers of jobs that wait, run and have failed."""
        stats = await self.queue.stats()
        return stats.waiting, stats.running, stats.failed

    async def is_idle(self) -> bool:
        """Whether no job runs."""
        return (await self.queue.stats()).running == 0

    async def workers_are(self, *worker_ids: str) -> None:
        """Wait until exactly these workers count as alive: the list of workers has a TTL of a quarter of a second."""

        async def is_so() -> bool:
            return tuple(each.worker_id for each in (await self.queue.stats()).workers) == worker_ids

        await until(is_so)

    async def rows(self, query: sa.Executable) -> list[tuple[Any, ...]]:
        """Rows of the tables."""
        return await self.database.read(lambda db: [tuple(row) for row in db.execute(query)])

    async def column(self, column: sa.Column[Any]) -> list[Any]:
        """One column of a table, sorted."""
        return [value for (value,) in await self.rows(sa.select(column).order_by(column))]

    async def change(self, key: str, **values: object) -> None:
        """Write into the row of a job, as another process would."""
        await self.database.run(
            lambda db: db.execute(removals.update().where(removals.c.key == key).values(**values)),
        )

    async def account(self, token: Token = SHOP) -> tuple[int, int]:
        """Credits that the token was charged this month, and credits that are held."""
        balance = await self.queue.balance(token)
        return balance.charged, balance.held

    async def hold_lost(self) -> None:
        """Hold 200 credits as an older version did it, for a job that it never wrote."""
        claim = Claim(token=SHOP, origin_digest="lost", tier=Tier.STANDARD)
        hold = partial(
            entries.hold, claim=claim, credits=PRICE, store="", job="lost", now=self.queue.transitions.clock()
        )
        await self.database.run(hold)


class MakeProcess:
    """Makes processes for a test and closes them after it. They share one database and one folder of lock files."""

    def __init__(self, url: str, registry: Path) -> None:
        self.url = url
        self.registry = LockFiles(registry)
        self.made: list[Process] = []

    async def __call__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        depth: int = 1000,
        retry_policy: RetryPolicy | None = None,
        lease_s: float = 30,
        limit: int | None = None,
        store: str = STORE,
        busy_timeout_s: float = 10,
    ) -> Process:
        database = await Database.open(self.url, busy_timeout_s=busy_timeout_s)
        queue = Queue(
            database,
            store=store,
            registry=self.registry,
            ledger=Ledger(price=lambda _: PRICE, limit=lambda _: limit),
            depth=depth,
            retry_policy=retry_policy,
            lease_s=lease_s,
            clock=clock,
        )
        made = Process(
            database=database,
            queue=queue,
            worker_loop=WorkerLoop(database, queue, self.registry, lease_s=lease_s),
            outbox=Outbox(database, clock=clock),
        )
        self.made.append(made)
        return made

    async def aclose(self) -> None:
        for each in self.made:
            await each.queue.aclose()
            await each.database.aclose()


def make_job(key: str, *, origin: str | None = None, recipe: str = "r1") -> Job:
    return Job(key=key, origin_digest=origin or f"origin-of-{key}", page=0, recipe_id=recipe)


def make_submission(
    key: str,
    *,
    token: Token = SHOP,
    urgency: Urgency = Urgency.PAGE,
    notify: Sequence[Listener] = (),
    origin: str | None = None,
    recipe: str = "r1",
    pixels: int = 0,
    may_spend: bool = True,
) -> Submission:
    job = make_job(key, origin=origin, recipe=recipe)
    claim = Claim(token=token, origin_digest=job.origin_digest, tier=Tier.STANDARD)
    return Submission(job=job, claim=claim, urgency=urgency, notify=tuple(notify), pixels=pixels, may_spend=may_spend)


def make_info(worker_id: str, *recipes: str) -> WorkerInfo:
    return WorkerInfo(
        worker_id=worker_id,
        pid=os.getpid(),
        model="u2net",
        device="CPU",
        precision="f32",
        recipe_ids=recipes or ("r1",),
    )


def facts_of(job: Job, *, empty: bool = False) -> MatteFacts:
    """What a handler returns that has computed the matte."""
    return MatteFacts(
        name=job.key,
        origin_digest=job.origin_digest,
        page=job.page,
        tier=Tier.STANDARD,
        recipe_id=job.recipe_id,
        confidence=0.9,
        empty=empty,
        width=40,
        height=30,
        size_bytes=1234,
    )


def kill(session: LockSession) -> None:
    """Release a worker's lock as the kernel does when the worker is killed."""
    os.close(session._fd)  # pyright: ignore[reportPrivateUsage]


@asynccontextmanager
async def working(
    process: Process, handler: Handler, worker_id: str = "w1", *, recipes: Sequence[str] = ("r1",)
) -> AsyncGenerator[None]:
    """A worker that runs inside the block and is stopped, gracefully, at its end."""
    stop = asyncio.Event()
    task = asyncio.create_task(process.worker_loop.run(handler, info=make_info(worker_id, *recipes), stop=stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, SOON_S)


class Recorder:
    """A handler that records its jobs and calls `act`."""

    def __init__(self, act: Callable[[Job], Awaitable[object]] | None = None) -> None:
        self.jobs: list[Job] = []
        self._act = act

    async def __call__(self, job: Job) -> MatteFacts:
        self.jobs.append(job)
        if self._act is not None:
            await self._act(job)
        return facts_of(job)

    @property
    def keys(self) -> list[str]:
        return [job.key for job in self.jobs]

    @property
    def attempts(self) -> list[int]:
        return [job.attempt for job in self.jobs]


class Gate:
    """A handler that reports its start, and ends when it is opened."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.opened = asyncio.Event()
        self.job: Job | None = None

    async def __call__(self, job: Job) -> MatteFacts:
        self.job = job
        self.begun.set()
        await self.opened.wait()
        return facts_of(job)

    async def reached(self) -> Job:
        await asyncio.wait_for(self.begun.wait(), SOON_S)
        assert self.job is not None
        return self.job


async def until(condition: Callable[[], bool] | Callable[[], Awaitable[bool]], *, timeout_s: float = SOON_S) -> None:
    async with asyncio.timeout(timeout_s):
        while True:
            answer = condition()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.01)


async def refuse(job: Job) -> NoReturn:
    raise JobPermanentError("undecodable")


async def break_down(job: Job) -> NoReturn:
    raise OSError("no luck")


async def forget(job: Job) -> NoReturn:
    raise JobDiscardedError("its bytes are gone")


async def find_nothing(job: Job) -> MatteFacts:
    return facts_of(job, empty=True)


@contextmanager
def statements(process: Process) -> Generator[list[str]]:
    """Statements that are sent to the database inside the block, without those that begin transactions."""
    sent: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        if not statement.startswith("BEGIN"):
            sent.append(statement)

    engine = process.database._engine  # pyright: ignore[reportPrivateUsage]
    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)


def is_write(statement: str) -> bool:
    return not statement.lstrip().startswith("SELECT")
