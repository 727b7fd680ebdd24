"""Renditions: the bytes that go out, in memory in front of the disk."""

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

_UNWRITTEN = 64
_UNWRITTEN_BYTES = 64 << 20
"""Renditions on their way to the disk. Beyond that, more are sent and not stored: a disk so slow saves no work."""


_READS = 4
"""Renditions that are read from the disk at a time, of which one client has three: each may have 64 MiB, and twice that
while its checksum is looked at."""

_READS_WAITING = 1000
_READS_WAIT_S = 30.0
"""How long one waits for its place: a disk that hangs gives none back."""

_LARGE_BYTES = 1 << 20
"""From here on the checksum is looked at on a thread: 64 MiB take 30 ms, in which nobody else is answered."""


class RenditionSource(enum.StrEnum):
    """Where a rendition came from."""

    MEMORY = "memory"
    DISK = "disk"
    MADE = "made"
    SHARED = "shared"
    """Made for another request at the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendition:
    """Final bytes with media type and ETag (a digest of the bytes, quoted as HTTP wants it)."""

    body: bytes
    media_type: str
    etag: str


class _Header(msgspec.Struct):
    media_type: str
    etag: str


def make_rendition(body: bytes, media_type: str) -> Rendition:
    """A rendition with its ETag."""
    return Rendition(body=body, media_type=media_type, etag=f'"{keys.digest(body)}"')


class Renditions:
    """A cache of renditions by key. What the disk cannot take is served all the same: a full disk is not an outage.

    Nobody waits for the disk to take a rendition: on a busy one that is seconds. `aclose` waits, before the store is
    closed.
    """

    def __init__(self, blobs: BlobStore, *, memory_bytes: int) -> None:
        self._blobs = blobs
        self._memory: LRUCache[str, Rendition] = LRUCache(memory_bytes, getsizeof=lambda item: len(item.body) + 500)
        self._largest = memory_bytes // 8
        self._unwritten: dict[str, Rendition] = {}
        self._unwritten_bytes = 0
        self._writes: set[asyncio.Task[None]] = set()
        self._reads: SingleFlight[str, Rendition | None] = SingleFlight()
        self._places = FairSemaphore(
            _READS,
            per_client=_READS - 1,
            max_waiting=_READS_WAITING,
            max_waiting_per_client=_READS_WAITING // 2,
            busy="too many pictures are being read",
        )

    async def get(self, key: str, *, client: Client = SERVER) -> tuple[Rendition, RenditionSource] | None:
        """The rendition under `key`, None when it must be made: it is not there, damaged, or cannot be read. Whoever
        asks for it at the same time shares one reading. Raises BusyError.
        """
        found = self._memory.get(key) or self._unwritten.get(key)
        if found is not None:
            return found, RenditionSource.MEMORY
        read = await self._reads.run(key, partial(self._read, key, client))
        return None if read is None else (read, RenditionSource.DISK)

    def put(self, key: str, rendition: Rendition) -> None:
        """Keep `rendition`: found from now on, on disk soon."""
        self._remember(key, rendition)
        size_bytes = len(rendition.body)
        if key in self._unwritten:
            return  # its bytes are on their way
        if len(self._unwritten) >= _UNWRITTEN or self._unwritten_bytes + size_bytes > _UNWRITTEN_BYTES:
            _log.warning("rendition not stored", key=key, error="the disk is too slow")
            return
        self._unwritten[key] = rendition
        self._unwritten_bytes += size_bytes
        write = asyncio.create_task(self._write(key, rendition))
        self._writes.add(write)
        write.add_done_callback(self._writes.discard)

    async def aclose(self) -> None:
        """Return when all is stored that was kept."""
        await asyncio.gather(*self._writes)

    async def _read(self, key: str, client: Client) -> Rendition | None:
        async with self._places.acquire(client, timeout_s=_READS_WAIT_S):
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
        # One huge picture must not push out a thousand small ones.
        if len(rendition.body) <= self._largest:
            self._memory[key] = rendition
