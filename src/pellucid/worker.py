"""The job handler of a matte worker: computes a matte from a stored origin and stores it. It uses no HTTP and never
fetches.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine

import structlog

from pellucid.engine import Engine
from pellucid.errors import DamagedImageError, ImageError, ImageLimitError, StoreError
from pellucid.image.examine import examine
from pellucid.image.matte_file import unpack_header
from pellucid.mattes.facts import MatteFacts
from pellucid.mattes.files import MatteFiles
from pellucid.queue.values import DAMAGED, Handler, Job, JobDiscardedError, JobPermanentError
from pellucid.spec import Tier
from pellucid.store import keys
from pellucid.store.port import BlobStore
from pellucid.system import memory
from pellucid.system.exit_codes import EXIT_MEMORY, EXIT_STUCK

_log = structlog.get_logger(__name__)


_WATCH_S = 0.02
"""How often memory is checked during a job. A check takes 30 us; a decoder fills 40 MB between two."""

_SAVE_S = 2.0
"""Time for the queue to save the failure of a job before the process ends, and with it the job's thread."""

_KEPT_BYTES = 128 << 20
"""Freed memory above this, beside the model, is returned to the system after a job."""


class Headroom:
    """The memory that a job may use beside the loaded model. Made when the model is in memory.

    The memory of the process is polled. A single allocation can be faster than that: beyond twice the limit the system
    refuses it (RLIMIT_DATA), which decoders report as an image that cannot be decoded.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._base_bytes = memory.resident_bytes()
        self.limit_bytes = limit_bytes
        memory.limit_data(memory.data_bytes() + 2 * limit_bytes)

    def is_exceeded(self) -> bool:
        """Whether the process uses more memory than that."""
        return memory.resident_bytes() > self._base_bytes + self.limit_bytes

    def give_back(self) -> None:
        """Return the memory of a large image to the system."""
        memory.give_back(self._base_bytes + _KEPT_BYTES)


def matte_handler(
    engine: Engine,
    *,
    origins: BlobStore,
    mattes: MatteFiles,
    time_limit_s: float,
    headroom: Headroom | None = None,
    stop: asyncio.Event | None = None,
) -> Handler:
    """The handler for `WorkerLoop.run`.

    1. The matte exists already (its worker was killed after storing it): the job is done from the file.
    2. The origin is undecodable or damaged: the job fails permanently.
    3. The bytes of the origin are gone: the job is discarded. The next request fetches them and submits it again.
    4. The store is unavailable, or the disk full: StoreError postpones the job.
    5. The job takes longer than `time_limit_s`: the process ends.
    6. The job takes more memory than `headroom`: it fails permanently as `too-large`, `stop` is set, and the process
       ends within 2 s.
    """
    handler = _MatteHandler(
        engine,
        origins=origins,
        mattes=mattes,
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
        mattes: MatteFiles,
        time_limit_s: float,
        headroom: Headroom | None,
        stop: asyncio.Event | None,
    ) -> None:
        self._engine = engine
        self._headroom = headroom
        self._stop = stop
        self._origins = origins
        self._mattes = mattes
        self._time_limit_s = time_limit_s
        self._tiers = {recipe.id: tier for tier, recipe in engine.recipe.by_tier.items()}
        self._store = _Store(origins)

    async def handle(self, job: Job) -> MatteFacts:
        tier = self._tiers.get(job.recipe_id)
        if tier is None:
            raise JobPermanentError("recipe-not-here")
        existing = await self._mattes.header(job.key)
        if existing is not None:
            # The last attempt was killed after it stored the matte, or the database was lost.
            header, size_bytes = existing
            return MatteFacts.of_header(job.key, header, tier=tier, size_bytes=size_bytes)
        await self._store.check_writable()
        data = await self._origin_bytes(job)
        try:
            async with asyncio.timeout(self._time_limit_s):
                computation = asyncio.to_thread(_compute_matte, self._engine, data, job.page + 1, tier)
                matte = await _run_within_memory(computation, self._headroom, self._stop, job)
        except TimeoutError:
            _log.error(
                "job exceeded its time limit", origin=job.origin_digest, attempt=job.attempt, limit_s=self._time_limit_s
            )
            os._exit(EXIT_STUCK)
        except (ImageLimitError, MemoryError) as error:
            _log.warning("origin is too large for a cutout", origin=job.origin_digest, error=str(error))
            raise JobPermanentError("too-large") from error
        except DamagedImageError as error:
            _log.warning("origin is damaged", origin=job.origin_digest, error=str(error))
            raise JobPermanentError(DAMAGED) from error
        except ImageError as error:
            _log.warning("origin cannot be decoded", origin=job.origin_digest, error=str(error))
            raise JobPermanentError("undecodable") from error
        try:
            await self._mattes.write(job.key, matte)
        except StoreError:
            self._store.needs_bytes(len(matte))
            raise
        return MatteFacts.of_header(job.key, unpack_header(matte), tier=tier, size_bytes=len(matte))

    async def _origin_bytes(self, job: Job) -> bytes:
        """The bytes of the origin. Raises JobDiscardedError if they are gone or damaged, StoreError."""
        key = keys.origin_bytes_key(job.origin_digest)
        try:
            data = await self._origins.get(key)
        except StoreError as error:
            # If the store works otherwise, this file is damaged. It is deleted, and fetched again.
            await self._store.check()
            await self._origins.delete(key)
            raise JobDiscardedError("the stored origin cannot be read") from error
        if data is None:
            raise JobDiscardedError(f"the bytes of origin {job.origin_digest} are gone")
        if await asyncio.to_thread(keys.digest, data) != job.origin_digest:
            # A power cut left a damaged file, which a tolerant decoder might accept. It is deleted, and fetched again.
            await self._origins.delete(key)
            raise JobDiscardedError("the stored origin is damaged")
        return data


class _Store:
    """Checks of the store after errors, so that a full disk does not make every job compute its matte in vain. Methods
    named `check` raise StoreError.
    """

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._probe = f"check/worker-{os.getpid()}"
        self._needed_bytes: int | None = None

    def needs_bytes(self, size_bytes: int) -> None:
        """Record that a matte of that size could not be written."""
        self._needed_bytes = size_bytes

    async def check_writable(self) -> None:
        """If a matte could not be written, check whether one of its size can be written now."""
        if self._needed_bytes is not None:
            await self.check(self._needed_bytes)
            self._needed_bytes = None

    async def check(self, size_bytes: int = 1) -> None:
        """Check that a blob can be written and read again."""
        await self._blobs.put(self._probe, bytes(size_bytes))
        try:
            if await self._blobs.get(self._probe) is None:
                raise StoreError("the store loses what is written")
        finally:
            await self._blobs.delete(self._probe)


async def _run_within_memory(
    work: Coroutine[None, None, bytes], headroom: Headroom | None, stop: asyncio.Event | None, job: Job
) -> bytes:
    if headroom is None:
        return await work
    computation = asyncio.create_task(work)
    while not computation.done():
        await asyncio.wait({computation}, timeout=_WATCH_S)
        if not computation.done() and headroom.is_exceeded():
            _log.error("job exceeded its memory limit", origin=job.origin_digest, limit_bytes=headroom.limit_bytes)
            _exit_soon()
            if stop is not None:
                stop.set()
            raise JobPermanentError("too-large")
    headroom.give_back()
    return await computation


def _exit_soon() -> None:
    """End the process soon, once the failure of the job is saved, whatever its threads do."""
    timer = threading.Timer(_SAVE_S, os._exit, [EXIT_MEMORY])
    timer.daemon = True
    timer.start()


def _compute_matte(engine: Engine, data: bytes, page: int, tier: Tier) -> bytes:
    facts = examine(data, max_pixels=engine.max_pixels, max_bytes=engine.max_decode_bytes, page=page)
    return engine.make_matte(data, facts, tier=tier)
