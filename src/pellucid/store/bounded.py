"""A cache of bounded size in a blob store: the least recently used blobs are evicted first, pinned ones never.

An index (`store.index`) has the time of each blob's last use. If it is lost, `reconcile` lists the blobs and starts
with their modification times.
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
"""Eviction stops at this share of the limit, so that it does not run again at the next write."""

_BATCH = 200

_RETRY_PAUSE_S = 1.0
"""Pause between two evictions that find nothing to evict."""

_log = structlog.get_logger(__name__)

Pinned = Callable[[], Awaitable[frozenset[str]]]


class BoundedBlobs:
    """A `BlobStore` whose blobs have at most `max_bytes` in total, except for pinned ones.

    `pinned` is called once per eviction and returns the keys that must stay. Blobs used less than `young_s` ago stay
    too: a request that stored an origin is about to render it or to submit its job. Uses are recorded in memory and
    written in one transaction by `evict`, which the owner calls regularly, and `put` when the limit is exceeded.

    The volume keeps `min_free_bytes` free; `free_bytes` returns the present number. Below it the cache shrinks, and
    writes are refused. Writes are also refused while blobs that must stay fill the cache: 1,000 pending jobs may have
    origins of 50 GB.

    Every blob counts as whole blocks of `block_bytes`, which also bounds the number of tiny ones.
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
        self._is_volume_unknown = False
        self._block_bytes = block_bytes
        self._is_overfull = False
        self._evicted_at = -math.inf
        self._evicting = asyncio.Lock()
        self._eviction: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Open the index. Call `reconcile` some time afterwards. If the index cannot be opened (a full disk, no
        descriptors left), blobs are read and written without it, and its next use tries again.
        """
        try:
            await self._index.open()
        except StoreError as error:
            _log.error("cache index failed", error=str(error))

    async def reconcile(self) -> None:
        """Make the index agree with the store: add missing blobs with their modification times, delete entries without
        a blob. It takes about 10 s per million blobs, so it runs beside the first requests, not before them.
        """
        started = time.time()
        for prefix in self._prefixes:
            batch: list[Entry] = []
            async for info in self._blobs.list(prefix):
                batch.append((info.key, self._on_disk(info.size_bytes), info.modified_at))
                if len(batch) == _BATCH:
                    await self._index.record_listed(batch, at=started)
                    batch = []
            await self._index.record_listed(batch, at=started)
        await self._index.drop_unlisted(at=started)

    async def aclose(self) -> None:
        await self.wait_for_eviction()
        try:
            await self._index.record_uses(self._uses)
        except StoreError as error:
            _log.error("cache index failed", error=str(error))
        await self._index.aclose()

    async def get(self, key: str) -> bytes | None:
        data = await self._blobs.get(key)
        if data is not None:
            self._uses[key] = time.time()
        return data

    async def put(self, key: str, data: bytes | bytearray) -> None:
        """Store `data`. Raises StoreError, also when there is no room for it."""
        if self._is_overfull or self.lacks_space():
            self._evict_soon()
            raise StoreError(f"no room for {key}: the disk is full, or the cache with the origins of pending jobs")
        await self._blobs.put(key, data)
        try:
            total = await self._index.record(key, self._on_disk(len(data)))
        except StoreError as error:
            # The blob is stored. The next `reconcile` adds it to the index.
            _log.warning("cache index failed", error=str(error))
            return
        if total > self._max_bytes:
            self._evict_soon()

    def lacks_space(self) -> bool:
        """Whether the volume has less free space than it must keep, or its free space is unknown (a network share that
        is unavailable). Takes a few microseconds.
        """
        return self._missing_bytes(unknown=1) > 0

    async def wait_for_eviction(self) -> None:
        """Wait for the eviction that runs, if there is one."""
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
            await self._index.delete([key])
        except StoreError as error:
            _log.warning("cache index failed", error=str(error))

    def list(self, prefix: str) -> AsyncIterator[BlobInfo]:
        return self._blobs.list(prefix)

    def _missing_bytes(self, *, unknown: int = 0) -> int:
        """Bytes that the volume lacks to `min_free_bytes`; `unknown` if its free space is unknown."""
        if self._free_bytes is None:
            return 0
        try:
            missing = max(0, self._min_free_bytes - self._free_bytes())
        except OSError as error:
            if not self._is_volume_unknown:
                _log.warning("free space unknown", error=str(error))
            self._is_volume_unknown = True
            return unknown
        self._is_volume_unknown = False
        return missing

    def _on_disk(self, size_bytes: int) -> int:
        return -(-max(1, size_bytes) // self._block_bytes) * self._block_bytes

    def _evict_soon(self) -> None:
        """Start an eviction in the background, because it may take seconds to reach the low-water mark. Where evictions
        do not help, not every write starts one.
        """
        fruitless = self._is_overfull or self.lacks_space()
        if self._eviction is None and not (fruitless and time.monotonic() < self._evicted_at + _RETRY_PAUSE_S):
            self._eviction = asyncio.create_task(self._evict_and_log())

    async def _evict_and_log(self) -> None:
        try:
            await self.evict()
        except PellucidError as error:
            _log.error("eviction failed", error=str(error))
        finally:
            self._eviction = None

    async def evict(self) -> int:
        """Evict down to the low-water mark if the total exceeds the limit or the volume lacks space. Returns the number
        of evicted blobs.
        """
        async with self._evicting:
            uses, self._uses = self._uses, {}
            total = await self._index.record_uses(uses)
            limit = min(self._max_bytes, total - self._missing_bytes())
            if total <= limit:
                self._is_overfull = False
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
                await self._index.delete(victims)
                gone += len(victims)
            self._evicted_at = time.monotonic()
            self._is_overfull = total > self._max_bytes
            return gone

    async def _evicted(self, key: str) -> bool:
        """Delete a blob. False if that fails: then the next one is evicted instead."""
        try:
            await self._blobs.delete(key)
        except StoreError as error:
            _log.warning("blob not evicted", key=key, error=str(error))
            return False
        return True

    async def total_bytes(self) -> int:
        """The sum of all sizes in the index."""
        return await self._index.total()
