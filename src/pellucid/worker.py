"""A matte worker: claims jobs, turns origins into mattes, stores them. It never speaks HTTP and never fetches."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine

import structlog

from pellucid import keys, memory
from pellucid.engine import Engine
from pellucid.errors import DatabaseError, ImageError, ImageLimitError
from pellucid.image.probe import probe
from pellucid.ledger.ledger import Ledger
from pellucid.mattes import Mattes
from pellucid.queue.port import Handler, Job, JobMootError, JobPostponedError, JobRefusedError
from pellucid.spec import Tier
from pellucid.store.port import BlobStore

_log = structlog.get_logger(__name__)


_LEDGER_PAUSE_S = 5.0
"""Until a job that could not be charged is tried again; its matte is there by then."""

EXIT_STUCK = 4
"""A job was over its time. A thread cannot be stopped, so the process ends; the queue counts the attempt."""

EXIT_MEMORY = 5
"""A job took more memory than it may. Here, too, only the end of the process stops it; the job has failed for good."""

_WATCH_S = 0.02
"""How often memory is looked at while a picture is worked on: 30 us each time; in between a decoder fills 40 MB."""

_SETTLE_S = 2.0
"""The time that the queue has to write a job down as failed before its thread is ended with the process."""

_KEPT_BYTES = 128 << 20
"""Above this, beside the model, freed memory is given back to the system after a job."""


class Headroom:
    """How much a job may take beside the loaded model. Made when the model is in memory.

    The process is looked at; a single allocation can be faster than that: beyond twice as much the system refuses it
    (RLIMIT_DATA), which decoders report as a picture that cannot be decoded.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._base_bytes = memory.resident_bytes()
        self.limit_bytes = limit_bytes
        memory.limit_data(memory.data_bytes() + 2 * limit_bytes)

    def is_exceeded(self) -> bool:
        """Whether the process holds more than that."""
        return memory.resident_bytes() > self._base_bytes + self.limit_bytes

    def give_back(self) -> None:
        """Return what a large picture left to the system."""
        memory.give_back(self._base_bytes + _KEPT_BYTES)


def matte_handler(
    engine: Engine,
    *,
    origins: BlobStore,
    mattes: Mattes,
    ledger: Ledger,
    time_limit_s: float,
    headroom: Headroom | None = None,
    stop: asyncio.Event | None = None,
) -> Handler:
    """The handler for `Queue.work`. A job that takes longer than `time_limit_s` ends the process.

    So does one that takes more memory than `headroom`: it is refused as `too-large`, `stop` is set, and the process
    ends within 2 s.

    Doing a job twice changes nothing: a matte that is stored is not computed again, and charged once. An undecodable
    origin is refused for good; an origin whose bytes are gone makes the job moot, the next request fetches it and
    submits again. Whoever waits for the matte is charged after it is stored and before the job is acknowledged, so a
    worker that is killed in between leaves a job that is done again, and charges then. While the ledger is away jobs
    stay owed.
    """
    tiers = {recipe.id: tier for tier, recipe in engine.recipe.by_tier.items()}

    async def handle(job: Job) -> None:
        try:
            await make(job)
        except (JobRefusedError, JobMootError):
            await settle(job, available=False)
            raise
        header = await mattes.header(job.key)
        await settle(job, available=header is not None and not header.empty)

    async def settle(job: Job, *, available: bool) -> None:
        try:
            await ledger.settle(job.key, available=available)
        except DatabaseError as error:
            _log.error("ledger failed", job=job.key, error=str(error))
            raise JobPostponedError("the ledger is away", pause_s=_LEDGER_PAUSE_S) from error

    async def make(job: Job) -> None:
        tier = tiers.get(job.recipe_id)
        if tier is None:
            raise JobRefusedError("recipe-not-here")
        if await mattes.read(job.key) is not None:  # read: what is remembered may have been damaged since
            # The last attempt was killed after its matte was stored, perhaps before the rest.
            await mattes.point_to(job.key, origin_digest=job.origin_digest, page=job.page, tier=tier)
            return
        data = await origins.get(keys.origin_bytes_key(job.origin_digest))
        if data is None:
            raise JobMootError(f"the bytes of origin {job.origin_digest} are gone")
        if await asyncio.to_thread(keys.digest, data) != job.origin_digest:
            # A power cut left a damaged file, which a tolerant decoder might take for a picture. It is fetched again.
            await origins.delete(keys.origin_bytes_key(job.origin_digest))
            raise JobMootError("the stored origin is damaged")
        try:
            async with asyncio.timeout(time_limit_s):
                matte = await _watched(asyncio.to_thread(_make, engine, data, tier), headroom, stop, job)
        except TimeoutError:
            _log.error("job is over its time", origin=job.origin_digest, attempt=job.attempt, limit_s=time_limit_s)
            os._exit(EXIT_STUCK)
        except (ImageLimitError, MemoryError) as error:
            _log.warning("origin is too large to be cut", origin=job.origin_digest, error=str(error))
            raise JobRefusedError("too-large") from error
        except ImageError as error:
            _log.warning("origin cannot be cut", origin=job.origin_digest, error=str(error))
            raise JobRefusedError("undecodable") from error
        await mattes.store(job.key, matte, origin_digest=job.origin_digest, page=job.page, tier=tier)

    return handle


async def _watched(
    work: Coroutine[None, None, bytes], headroom: Headroom | None, stop: asyncio.Event | None, job: Job
) -> bytes:
    if headroom is None:
        return await work
    making = asyncio.create_task(work)
    while not making.done():
        await asyncio.wait({making}, timeout=_WATCH_S)
        if not making.done() and headroom.is_exceeded():
            _log.error("job takes too much memory", origin=job.origin_digest, limit_bytes=headroom.limit_bytes)
            _end_soon()
            if stop is not None:
                stop.set()
            raise JobRefusedError("too-large")
    headroom.give_back()
    return await making


def _end_soon() -> None:
    """End the process once the job is settled, whatever its threads do."""
    timer = threading.Timer(_SETTLE_S, os._exit, [EXIT_MEMORY])
    timer.daemon = True
    timer.start()


def _make(engine: Engine, data: bytes, tier: Tier) -> bytes:
    facts = probe(data, max_pixels=engine.max_pixels, max_bytes=engine.max_decode_bytes)
    return engine.make_matte(data, facts, tier=tier)
