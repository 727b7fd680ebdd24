"""Renditions: the bytes that go out, in memory in front of the disk."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import msgspec
import structlog
from cachetools import LRUCache

from pellucid import keys
from pellucid.errors import StoreError
from pellucid.store.envelope import seal, unseal
from pellucid.store.port import BlobStore

_log = structlog.get_logger(__name__)


class Found(enum.StrEnum):
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
    """A cache of renditions by key. What the disk cannot take is served all the same: a full disk is not an outage."""

    def __init__(self, blobs: BlobStore, *, memory_bytes: int) -> None:
        self._blobs = blobs
        self._memory: LRUCache[str, Rendition] = LRUCache(memory_bytes, getsizeof=lambda item: len(item.body) + 500)
        self._largest = memory_bytes // 8

    async def get(self, key: str) -> tuple[Rendition, Found] | None:
        """The rendition under `key`, None when it must be made: it is not there, damaged, or cannot be read."""
        found = self._memory.get(key)
        if found is not None:
            return found, Found.MEMORY
        try:
            blob = await self._blobs.get(key)
        except StoreError as error:
            _log.warning("rendition not read", key=key, error=str(error))
            return None
        opened = unseal(blob, _Header) if blob is not None else None
        if opened is None:
            return None
        header, body = opened
        rendition = Rendition(body=body, media_type=header.media_type, etag=header.etag)
        self._remember(key, rendition)
        return rendition, Found.DISK

    async def put(self, key: str, rendition: Rendition) -> None:
        """Keep `rendition`."""
        self._remember(key, rendition)
        header = _Header(media_type=rendition.media_type, etag=rendition.etag)
        try:
            await self._blobs.put(key, seal(header, rendition.body))
        except StoreError as error:
            _log.warning("rendition not stored", key=key, error=str(error))

    def _remember(self, key: str, rendition: Rendition) -> None:
        # One huge picture must not push out a thousand small ones.
        if len(rendition.body) <= self._largest:
            self._memory[key] = rendition
