"""Helpers of the matte worker's tests: a queue in a database, its workers, an image and its job."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from pellucid.database.database import Database
from pellucid.engine import Engine
from pellucid.image.matte_file import pack_matte
from pellucid.ledger.ledger import Ledger
from pellucid.ledger.values import Claim
from pellucid.liveness.lock_files import LockFiles
from pellucid.liveness.port import WorkerInfo
from pellucid.mattes.files import MatteFiles
from pellucid.queue import rows
from pellucid.queue.queue import Queue
from pellucid.queue.rows import Row
from pellucid.queue.turns import RetryPolicy
from pellucid.queue.values import Answer, Handler, Job, Submission
from pellucid.queue.worker_loop import WorkerLoop
from pellucid.spec import Tier, Token
from pellucid.store import keys
from pellucid.store.objects import ObjectBlobs
from pellucid.worker import matte_handler
from tiny import with_grain


@dataclass
class Clock:
    """A clock that the test sets."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


SHOP, BLOG = Token("shop"), Token("blog")


class World:
    """A queue in a database of its own, and its workers."""

    def __init__(self, folder: Path, database: Database, clock: Clock) -> None:
        self.folder = folder
        self.database = database
        self.clock = clock
        registry = LockFiles(folder / "workers")
        ledger = Ledger(price=lambda _: 200, limit=lambda _: None)
        retry_policy = RetryPolicy(backoff_s=0)
        self.queue = Queue(
            database, store="here", registry=registry, ledger=ledger, retry_policy=retry_policy, clock=clock
        )
        self.worker_loop = WorkerLoop(database, self.queue, registry)

    async def submit(self, job: Job, token: Token = SHOP) -> Answer:
        claim = Claim(token=token, origin_digest=job.origin_digest, tier=Tier.STANDARD)
        return await self.queue.submit(Submission(job=job, claim=claim))

    async def claim(self, engine: Engine, worker_id: str) -> Job:
        """Claim a job as a worker that may die at any time."""
        job = await self.database.run(
            partial(self.queue.transitions.claim, worker_id=worker_id, recipes=info_of(engine, worker_id).recipe_ids)
        )
        assert job is not None
        return job

    @asynccontextmanager
    async def working(self, engine: Engine, handler: Handler) -> AsyncGenerator[None]:
        stop = asyncio.Event()
        work = asyncio.create_task(self.worker_loop.run(handler, info=info_of(engine, "w"), stop=stop))
        try:
            yield
        finally:
            stop.set()
            await work

    async def paused(self, job: Job, *, times: int) -> Row:
        """Wait until the job was postponed `times` in a row, and return its row."""
        async with asyncio.timeout(30):
            while True:
                row = await self.database.read(partial(rows.get, key=job.key, store="here"))
                if row is not None and row.pauses == times:
                    return row
                await asyncio.sleep(0.01)

    async def account(self, token: Token = SHOP) -> tuple[int, int]:
        """Credits charged and held."""
        balance = await self.queue.balance(token)
        return balance.charged, balance.held


def info_of(engine: Engine, worker_id: str) -> WorkerInfo:
    recipes = tuple(recipe.id for recipe in engine.recipe.by_tier.values())
    return WorkerInfo(worker_id=worker_id, pid=1, model="tiny", device="CPU", precision="f32", recipe_ids=recipes)


def photo() -> bytes:
    """A white square on black with grain, 200 x 120."""
    pixels = np.zeros((120, 200, 3), np.uint8)
    pixels[30:90, 50:150] = 255
    out = io.BytesIO()
    Image.fromarray(with_grain(pixels)).save(out, "PNG")
    return out.getvalue()


def handler_of(engine: Engine, blobs: ObjectBlobs) -> Handler:
    return matte_handler(engine, origins=blobs, mattes=MatteFiles(blobs), time_limit_s=60)


def matte_of(engine: Engine, *, empty: bool = False) -> bytes:
    alpha = np.full((120, 200), 0 if empty else 255, np.uint8)
    return pack_matte(alpha, width=200, height=120, confidence=0.5, empty=empty, recipe_id=engine.recipe.id)


def job_of(engine: Engine, data: bytes) -> Job:
    digest = keys.digest(data)
    name = keys.matte_name(digest, 0, engine.recipe.id)
    return Job(key=name, origin_digest=digest, page=0, recipe_id=engine.recipe.id)
