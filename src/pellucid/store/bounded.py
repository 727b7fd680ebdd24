"""A size-bounded cache over a blob store: least recently used goes first, pinned things stay.

What was used when stands in an index (`store.index`). When that is lost, `reconcile` lists the blobs and starts with
their times of change.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path

import structlog

from pellucid.errors import PellucidError, StoreError
from pellucid.store.index import CacheIndex, Entry
from pellucid.store.port import BlobInfo, BlobStore

_LOW_WATER = 0.9
"""Eviction goes down to this share of the limit, so that it does not run again at the next write."""

_BATCH = 200

_AGAIN_S = 1.0
"""Between two evictions that find nothing to take."""

_log = structlog.get_logger(__name__)

Pinned = Callable[[], Awaitable[frozenset[str]]]


class BoundedBlobs:
    """A `BlobStore` whose blobs together stay within `max_bytes`, but for what is pinned.

    What was used less than `young_s` ago stays, too: whoever stored an origin is about to render it or to owe its job.
    `pinned` is asked once per eviction and returns the keys that must stay. Uses are noted in memory and written in
    one transaction by `evict`, which the owner calls now and then (and `put` when the limit is passed).

    The volume keeps `min_free_bytes` (`free_bytes` says how many there are): below that the cache shrinks, and nothing
    is written to it. Neither is anything while what may not be evicted fills it: 1,000 owed jobs may have origins of
    50 GB. Every blob counts as whole blocks of `block_bytes`, so that tiny ones have a bound on their number, too.
    """

    def __init__(
        self,
        blobs: BlobStore,
        *,
        index: Path,
        prefixes: Iterable[str],
        max_bytes: int,
        pinned: Pinned,
        young_s: float = 1.0,
        min_free_bytes: int = 0,
        free_bytes: Callable[[], int] | None = None,
        block_bytes: int = 4096,
    ) -> None:
        self._blobs = blobs
        self._index = CacheIndex(index)
        self._prefixes = tuple(prefixes)
        self._max_bytes = max_bytes
        self._pinned = pinned
        self._uses: dict[str, float] = {}
        self._young_s = young_s
        self._min_free_bytes = min_free_bytes
        self._free_bytes = free_bytes
        self._volume_away = False
        self._block_bytes = block_bytes
        self._crowded = False
        self._evicted_at = -math.inf
        self._evicting = asyncio.Lock()
        self._eviction: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Open the index. `reconcile` afterwards, when there is time. One that cannot be opened (a full disk, no
        descriptors left) is tried again when it is next needed: blobs are read and written without it.
        """
        try:
            await self._index.open()
        except StoreError as error:
            _log.error("cache index failed", error=str(error))

    async def reconcile(self) -> None:
        """Make the index agree with the store: blobs that it does not know are added with their time of change, entries
        without a blob dropped. About 10 s per million blobs, so it runs beside the first requests, not before them.
        """
        started = time.time()
        for prefix in self._prefixes:
            batch: list[Entry] = []
            async for info in self._blobs.list(prefix):
                batch.append((info.key, self._on_disk(info.size_bytes), info.modified_at))
                if len(batch) == _BATCH:
                    await self._index.list(batch, at=started)
                    batch = []
            await self._index.list(batch, at=started)
        await self._index.drop_unlisted(at=started)

    async def aclose(self) -> None:
        await self.wait_for_eviction()
        try:
            await self._index.use(self._uses)
        except StoreError as error:
            _log.error("cache index failed", error=str(error))
        await self._index.aclose()

    async def get(self, key: str) -> bytes | None:
        data = await self._blobs.get(key)
        if data is not None:
            self._uses[key] = time.time()
        return data

    async def put(self, key: str, data: bytes | bytearray) -> None:
        """Keep `data`. Raises StoreError as well when there is no room for it."""
        if self._crowded or self.lacks_space():
            self._evict_soon()
            raise StoreError(f"no room for {key}: the disk, or the cache with what is owed, is full")
        await self._blobs.put(key, data)
        try:
            total = await self._index.note(key, self._on_disk(len(data)))
        except StoreError as error:
            # The blob is stored; the index learns of it when it is next reconciled.
            _log.warning("cache index failed", error=str(error))
            return
        if total > self._max_bytes:
            self._evict_soon()

    def lacks_space(self) -> bool:
        """Whether the volume has less free space than it is to keep, or does not say (a share that is away). A few
        microseconds.
        """
        return self._missing_bytes(unknown=1) > 0

    async def wait_for_eviction(self) -> None:
        """Wait until an eviction under way has ended."""
        if self._eviction is not None:
            await asyncio.wait({self._eviction})

    async def exists(self, key: str) -> bool:
        found = await self._blobs.exists(key)
        if found:
            self._uses[key] = time.time()
        return found

    async def delete(self, key: str) -> None:
        await self._blobs.delete(key)
        try:
            await self._index.forget([key])
        except StoreError as error:
            _log.warning("cache index failed", error=str(error))

    def list(self, prefix: str) -> AsyncIterator[BlobInfo]:
        return self._blobs.list(prefix)

    def _missing_bytes(self, *, unknown: int = 0) -> int:
        """Bytes that the volume lacks to what it is to keep free; `unknown` where it cannot be asked."""
        if self._free_bytes is None:
            return 0
        try:
            missing = max(0, self._min_free_bytes - self._free_bytes())
        except OSError as error:
            if not self._volume_away:
                _log.warning("free space unknown", error=str(error))
            self._volume_away = True
            return unknown
        self._volume_away = False
        return missing

    def _on_disk(self, size_bytes: int) -> int:
        return -(-max(1, size_bytes) // self._block_bytes) * self._block_bytes

    def _evict_soon(self) -> None:
        """Beside the answer, not before it: going down to the low-water mark may take seconds. What was written just
        now is the youngest and goes last. Where eviction does not help it is not tried with every write.
        """
        fruitless = self._crowded or self.lacks_space()
        if self._eviction is None and not (fruitless and time.monotonic() < self._evicted_at + _AGAIN_S):
            self._eviction = asyncio.create_task(self._evict_and_log())

    async def _evict_and_log(self) -> None:
        try:
            await self.evict()
        except PellucidError as error:
            _log.error("eviction failed", error=str(error))
        finally:
            self._eviction = None

    async def evict(self) -> int:
        """Bring the total down to the low-water mark if it is above the limit, or the volume lacks space; returns how
        many blobs went.
        """
        async with self._evicting:
            uses, self._uses = self._uses, {}
            total = await self._index.use(uses)
            limit = min(self._max_bytes, total - self._missing_bytes())
            if total <= limit:
                self._crowded = False
                return 0
            pinned = await self._pinned()
            gone, started = 0, time.time()
            after = (-1.0, "")
            while total > limit * _LOW_WATER:
                batch = await self._index.oldest(after)
                if not batch:
                    break
                after = (batch[-1][2], batch[-1][0])
                victims: list[str] = []
                for key, size_bytes, used_at in batch:
                    if total <= limit * _LOW_WATER:
                        break
                    if key not in pinned and used_at < started - self._young_s and await self._evicted(key):
                        victims.append(key)
                        total -= size_bytes
                await self._index.forget(victims)
                gone += len(victims)
            self._evicted_at = time.monotonic()
            self._crowded = total > self._max_bytes
            return gone

    async def _evicted(self, key: str) -> bool:
        """Whether the blob is gone now. One that cannot be deleted stays, and the next one goes in its place."""
        try:
            await self._blobs.delete(key)
        except StoreError as error:
            _log.warning("blob not evicted", key=key, error=str(error))
            return False
        return True

    async def total_bytes(self) -> int:
        """The sum of all sizes, as the index knows them."""
        return await self._index.total()
