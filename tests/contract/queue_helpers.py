"""What queue tests are made of: handlers that record, block or fail, and a worker for the length of a block."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from pellucid.queue.port import (
    Handler,
    Job,
    JobRefusedError,
    Queue,
    WorkerInfo,
)

# One run takes a fraction of a second; this is for machines that do something else at the same time.
SOON_S = 20.0

# Long enough to notice what should not happen: several polls.
NEVER_S = 0.3


@dataclass(slots=True)
class MovableClock:
    """Seconds since the epoch that pass only when told."""

    now: float = field(default_factory=time.time)

    def __call__(self) -> float:
        return self.now


class MakeQueue(Protocol):
    """The fixture's value: opens a queue, closed after the test. All queues of one test share one storage."""

    def __call__(
        self,
        *,
        clock: Callable[[], float] = ...,
        depth_limit: int = ...,
        max_attempts: int = ...,
        lease_s: float = ...,
    ) -> Awaitable[Queue]: ...


def make_job(key: str, *, origin: str | None = None) -> Job:
    return Job(key=key, origin_digest=origin or f"origin-of-{key}", page=0, recipe_id="r1")


def make_info(worker_id: str) -> WorkerInfo:
    return WorkerInfo(worker_id=worker_id, pid=os.getpid(), model="u2net", device="CPU", precision="f32")


@asynccontextmanager
async def working(queue: Queue, handler: Handler, worker_id: str = "w1") -> AsyncGenerator[None]:
    """A worker that runs inside the block and is stopped, gracefully, at its end."""
    stop = asyncio.Event()
    task = asyncio.create_task(queue.work(handler, info=make_info(worker_id), stop=stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, SOON_S)


class Recorder:
    """A handler that notes its jobs and does what `act` says."""

    def __init__(self, act: Callable[[Job], Awaitable[None]] | None = None) -> None:
        self.jobs: list[Job] = []
        self._act = act

    async def __call__(self, job: Job) -> None:
        self.jobs.append(job)
        if self._act is not None:
            await self._act(job)

    @property
    def keys(self) -> list[str]:
        return [job.key for job in self.jobs]

    @property
    def attempts(self) -> list[int]:
        return [job.attempt for job in self.jobs]


class Gate:
    """A handler that begins, says so, and ends when opened."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.opened = asyncio.Event()
        self.job: Job | None = None

    async def __call__(self, job: Job) -> None:
        self.job = job
        self.begun.set()
        await self.opened.wait()

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


async def refuse(job: Job) -> None:
    raise JobRefusedError("undecodable")


async def break_down(job: Job) -> None:
    raise OSError("no luck")
