"""A matte worker: claims jobs, turns origins into mattes, stores them. It never speaks HTTP and never fetches."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine

import structlog
from cachetools import LRUCache

from pellucid import keys, memory
from pellucid.engine import Engine
from pellucid.errors import DatabaseError, ImageError, ImageLimitError, StoreError
from pellucid.exits import EXIT_MEMORY, EXIT_STUCK
from pellucid.image.probe import probe
from pellucid.ledger.ledger import Ledger
from pellucid.mattes import Mattes
from pellucid.queue.port import Handler, Job, JobMootError, JobPostponedError, JobRefusedError
from pellucid.spec import Tier
from pellucid.store.port import BlobStore

_log = structlog.get_logger(__name__)


_LEDGER_PAUSE_S = 5.0
"""Until a job that could not be charged is tried again; its matte is there by then."""

_STORE_PAUSE_S, _STORE_PAUSE_MAX_S = 5.0, 60.0
"""Until a job is tried again that the store failed; twice as long each time, up to a minute."""

_PAUSED_JOBS = 10_000
"""Jobs whose pauses are remembered, about 0.2 kB each; a queue holds a thousand by default."""

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
    worker that is killed in between leaves a job that is done again, and charges then. While the ledger or the store is
    away, or the disk full, jobs stay owed, and no attempt is used up.
    """
    handler = _MatteHandler(
        engine,
        origins=origins,
        mattes=mattes,
        ledger=ledger,
        time_limit_s=time_limit_s,
        headroom=headroom,
        stop=stop,
    )
    return handler.handle


class _MatteHandler:
    """See `matte_handler`."""

    def __init__(
        self,
        engine: Engine,
        *,
        origins: BlobStore,
        mattes: Mattes,
        ledger: Ledger,
        time_limit_s: float,
        headroom: Headroom | None,
        stop: asyncio.Event | None,
    ) -> None:
        self._engine = engine
        self._headroom = headroom
        self._stop = stop
        self._origins = origins
        self._mattes = mattes
        self._ledger = ledger
        self._time_limit_s = time_limit_s
        self._tiers = {recipe.id: tier for tier, recipe in engine.recipe.by_tier.items()}
        self._store = _Store(origins)

    async def handle(self, job: Job) -> None:
        try:
            await self._do(job)
        except StoreError as error:
            pause_s = self._store.pause_s(job.key)
            _log.error("store failed", job=job.key, error=str(error), again_in_s=pause_s)
            raise JobPostponedError("the store is away", pause_s=pause_s) from error
        self._store.works_for(job.key)

    async def _do(self, job: Job) -> None:
        try:
            await self._make(job)
        except (JobRefusedError, JobMootError):
            await self._settle(job, available=False)
            raise
        header = await self._mattes.header(job.key)
        await self._settle(job, available=header is not None and not header.empty)

    async def _settle(self, job: Job, *, available: bool) -> None:
        try:
            await self._ledger.settle(job.key, available=available)
        except DatabaseError as error:
            _log.error("ledger failed", job=job.key, error=str(error))
            raise JobPostponedError("the ledger is away", pause_s=_LEDGER_PAUSE_S) from error

    async def _make(self, job: Job) -> None:
        tier = self._tiers.get(job.recipe_id)
        if tier is None:
            raise JobRefusedError("recipe-not-here")
        if await self._mattes.read(job.key) is not None:  # read: what is remembered may have been damaged since
            # The last attempt was killed after its matte was stored, perhaps before the rest.
            await self._mattes.point_to(job.key, origin_digest=job.origin_digest, page=job.page, tier=tier)
            return
        await self._store.check_writable()
        data = await self._origin_bytes(job)
        try:
            async with asyncio.timeout(self._time_limit_s):
                making = asyncio.to_thread(_make, self._engine, data, tier)
                matte = await _watched(making, self._headroom, self._stop, job)
        except TimeoutError:
            _log.error(
                "job is over its time", origin=job.origin_digest, attempt=job.attempt, limit_s=self._time_limit_s
            )
            os._exit(EXIT_STUCK)
        except (ImageLimitError, MemoryError) as error:
            _log.warning("origin is too large to be cut", origin=job.origin_digest, error=str(error))
            raise JobRefusedError("too-large") from error
        except ImageError as error:
            _log.warning("origin cannot be cut", origin=job.origin_digest, error=str(error))
            raise JobRefusedError("undecodable") from error
        try:
            await self._mattes.store(job.key, matte, origin_digest=job.origin_digest, page=job.page, tier=tier)
        except StoreError:
            self._store.needs_bytes(len(matte))
            raise

    async def _origin_bytes(self, job: Job) -> bytes:
        """The bytes to cut. Raises JobMootError for those that are gone or damaged, StoreError."""
        key = keys.origin_bytes_key(job.origin_digest)
        try:
            data = await self._origins.get(key)
        except StoreError as error:
            # If the store works otherwise, this is a damaged file like others. It is fetched again.
            await self._store.check()
            await self._origins.delete(key)
            raise JobMootError("the stored origin cannot be read") from error
        if data is None:
            raise JobMootError(f"the bytes of origin {job.origin_digest} are gone")
        if await asyncio.to_thread(keys.digest, data) != job.origin_digest:
            # A power cut left a damaged file, which a tolerant decoder might take for a picture. It is fetched again.
            await self._origins.delete(key)
            raise JobMootError("the stored origin is damaged")
        return data


class _Store:
    """What a worker knows of a store that fails: how long its jobs rest, and whether mattes can be written at all, so
    that a full disk does not have every job's matte computed in vain. Methods named `check` raise StoreError.
    """

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._probe = f"check/worker-{os.getpid()}"
        self._pauses: LRUCache[str, float] = LRUCache(_PAUSED_JOBS)
        self._needed_bytes: int | None = None

    def pause_s(self, job: str) -> float:
        """How long the job rests now; longer the next time."""
        pause_s = self._pauses.get(job, _STORE_PAUSE_S)
        self._pauses[job] = min(2 * pause_s, _STORE_PAUSE_MAX_S)
        return pause_s

    def works_for(self, job: str) -> None:
        """The job came to its end."""
        self._pauses.pop(job, None)

    def needs_bytes(self, size_bytes: int) -> None:
        """A matte of that size could not be written."""
        self._needed_bytes = size_bytes

    async def check_writable(self) -> None:
        """If a matte could not be written, whether one of its size can be by now."""
        if self._needed_bytes is not None:
            await self.check(self._needed_bytes)
            self._needed_bytes = None

    async def check(self, size_bytes: int = 1) -> None:
        """Whether something can be written, and read again."""
        await self._blobs.put(self._probe, bytes(size_bytes))
        try:
            if await self._blobs.get(self._probe) is None:
                raise StoreError("the store loses what is written")
        finally:
            await self._blobs.delete(self._probe)


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
