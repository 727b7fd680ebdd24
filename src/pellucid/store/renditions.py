"""The cache of renditions, the final bytes of responses: in memory, and on the disk behind it."""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass
from functools import partial

import msgspec
import structlog
from cachetools import LRUCache

from pellucid.concurrency.clients import SERVER, Client
from pellucid.concurrency.fair_semaphore import FairSemaphore
from pellucid.concurrency.single_flight import SingleFlight
from pellucid.errors import StoreError
from pellucid.store import keys
from pellucid.store.envelope import seal, unseal
from pellucid.store.port import BlobStore

_log = structlog.get_logger(__name__)

_MAX_UNWRITTEN = 64
_MAX_UNWRITTEN_BYTES = 64 << 20
"""Renditions that wait to be written to the disk. Further ones are served without being stored: a disk that slow saves
no work.
"""

_MAX_READS = 4
"""Simultaneous reads from the disk, of which one client has at most three. A rendition may have 64 MiB, and needs twice
that during the check of its checksum.
"""

_MAX_READS_WAITING = 1000
_READ_WAIT_S = 30.0
"""Timeout for a read slot: a disk that hangs frees none."""

_LARGE_BYTES = 1 << 20
"""From this size on the checksum is checked on a thread: 64 MiB take 30 ms, which would block all other requests."""


class RenditionSource(enum.StrEnum):
    """Where a rendition came from."""

    MEMORY = "memory"
    DISK = "disk"
    MADE = "made"
    SHARED = "shared"
    """Made for another request at the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendition:
    """Final bytes with media type and ETag (a digest of the bytes, in quotes as HTTP requires)."""

    body: bytes
    media_type: str
    etag: str


class _Header(msgspec.Struct):
    media_type: str
    etag: str


def make_rendition(body: bytes, media_type: str) -> Rendition:
    """Make a rendition with its ETag."""
    return Rendition(body=body, media_type=media_type, etag=f'"{keys.digest(body)}"')


class Renditions:
    """A cache of renditions by key. A rendition that cannot be stored is served all the same: a full disk is no outage.

    Requests do not wait for a write, which takes seconds on a busy disk. `aclose` waits for all writes.
    """

    def __init__(self, blobs: BlobStore, *, memory_bytes: int) -> None:
        self._blobs = blobs
        self._memory: LRUCache[str, Rendition] = LRUCache(memory_bytes, getsizeof=lambda item: len(item.body) + 500)
        self._largest = memory_bytes // 8
        self._unwritten: dict[str, Rendition] = {}
        self._unwritten_bytes = 0
        self._writes: set[asyncio.Task[None]] = set()
        self._reads: SingleFlight[str, Rendition | None] = SingleFlight()
        self._slots = FairSemaphore(
            _MAX_READS,
            per_client=_MAX_READS - 1,
            max_waiting=_MAX_READS_WAITING,
            max_waiting_per_client=_MAX_READS_WAITING // 2,
            busy="too many pictures are being read",
        )

    async def get(self, key: str, *, client: Client = SERVER) -> tuple[Rendition, RenditionSource] | None:
        """The rendition under `key`; None if it is missing, damaged, or cannot be read. Simultaneous calls for one key
        share one read. Raises BusyError.
        """
        found = self._memory.get(key) or self._unwritten.get(key)
        if found is not None:
            return found, RenditionSource.MEMORY
        read = await self._reads.run(key, partial(self._read, key, client))
        return None if read is None else (read, RenditionSource.DISK)

    def put(self, key: str, rendition: Rendition) -> None:
        """Add `rendition` to the cache, and write it to the disk in the background."""
        self._remember(key, rendition)
        size_bytes = len(rendition.body)
        if key in self._unwritten:
            return  # is being written already
        if len(self._unwritten) >= _MAX_UNWRITTEN or self._unwritten_bytes + size_bytes > _MAX_UNWRITTEN_BYTES:
            _log.warning("rendition not stored", key=key, error="the disk is too slow")
            return
        self._unwritten[key] = rendition
        self._unwritten_bytes += size_bytes
        write = asyncio.create_task(self._write(key, rendition))
        self._writes.add(write)
        write.add_done_callback(self._writes.discard)

    async def aclose(self) -> None:
        """Wait for all writes."""
        await asyncio.gather(*self._writes)

    async def _read(self, key: str, client: Client) -> Rendition | None:
        async with self._slots.acquire(client, timeout_s=_READ_WAIT_S):
            return await self._read_now(key)

    async def _read_now(self, key: str) -> Rendition | None:
        try:
            blob = await self._blobs.get(key)
        except StoreError as error:
            _log.warning("rendition not read", key=key, error=str(error))
            return None
        if blob is None:
            return None
        if len(blob) < _LARGE_BYTES:
            opened = unseal(blob, _Header)
        else:
            opened = await asyncio.to_thread(unseal, blob, _Header)
        if opened is None:
            return None
        header, body = opened
        rendition = Rendition(body=body, media_type=header.media_type, etag=header.etag)
        self._remember(key, rendition)
        return rendition

    async def _write(self, key: str, rendition: Rendition) -> None:
        header = _Header(media_type=rendition.media_type, etag=rendition.etag)
        try:
            await self._blobs.put(key, seal(header, rendition.body))
        except StoreError as error:
            _log.warning("rendition not stored", key=key, error=str(error))
        finally:
            del self._unwritten[key]
            self._unwritten_bytes -= len(rendition.body)

    def _remember(self, key: str, rendition: Rendition) -> None:
        # One huge image must not displace a thousand small ones.
        if len(rendition.body) <= self._largest:
            self._memory[key] = rendition
