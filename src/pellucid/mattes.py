"""The mattes of the store: kept apart from the caches, looked up often, never changed once written."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import structlog
from cachetools import LRUCache, TTLCache

from pellucid import keys
from pellucid.errors import ImageError, StoreError
from pellucid.flight import SingleFlight
from pellucid.image.matte_file import MatteHeader, verify_matte
from pellucid.spec import Tier
from pellucid.store.port import BlobStore

_HEADERS = 20_000
"""Headers kept in memory, about 0.5 kB each: a known matte costs no disk access on the way to a cached rendition."""

_LOOKS = 4
"""Mattes that are read for their headers at a time: some MB each, while its checksum is looked at."""

_UNREADABLE_S = 5.0
_UNREADABLE = 1000
"""Mattes that could not be read just now: those who look for one meanwhile need not try the disk each."""

_log = structlog.get_logger(__name__)


class Mattes:
    """Mattes by name (`keys.matte_name`).

    A matte that cannot be read (the disk fails, the folder is away) is not missing: nobody makes it again, and nobody
    deletes it. Methods that look at one raise StoreError then.
    """

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._headers: LRUCache[str, MatteHeader] = LRUCache(_HEADERS)
        self._looks: SingleFlight[str, MatteHeader | None] = SingleFlight()
        self._places = asyncio.Semaphore(_LOOKS)
        self._unreadable: TTLCache[str, str] = TTLCache(_UNREADABLE, _UNREADABLE_S, time.monotonic)

    async def header(self, name: str) -> MatteHeader | None:
        """What is known of the matte `name`, None while there is none. Raises StoreError."""
        known = self._headers.get(name)
        if known is not None:
            return known
        failure = self._unreadable.get(name)
        if failure is not None:
            raise StoreError(failure)
        return await self._looks.run(name, partial(self._look, name))

    async def store(self, job_key: str, matte: bytes, *, origin_digest: str, page: int, tier: Tier) -> None:
        """Keep a finished matte under its name, then say that it is the newest of its origin and tier."""
        await self._blobs.put(keys.matte_key(job_key), matte)
        self._unreadable.pop(job_key, None)
        await self.point_to(job_key, origin_digest=origin_digest, page=page, tier=tier)

    async def point_to(self, name: str, *, origin_digest: str, page: int, tier: Tier) -> None:
        """Say that `name` is the newest matte of its origin and tier."""
        await self._blobs.put(keys.newest_matte_key(origin_digest, page, tier), name.encode())

    async def newest(self, origin_digest: str, page: int, tier: Tier) -> str | None:
        """The name of the matte made last for an origin in a tier, whatever its recipe. Raises StoreError."""
        blob = await self._blobs.get(keys.newest_matte_key(origin_digest, page, tier))
        name = blob.decode("ascii", "replace") if blob is not None else ""
        return name if _is_of(name, origin_digest, page) else None

    async def exists(self, name: str) -> bool:
        """Whether there is a blob of that name, sound or not."""
        return await self._blobs.exists(keys.matte_key(name))

    async def read(self, name: str) -> bytes | None:
        """The stored matte. A damaged one (a disk that lost power) is removed and counts as missing. Raises
        StoreError.
        """
        try:
            blob = await self._blobs.get(keys.matte_key(name))
        except StoreError as error:
            # Its header stays: renditions that were made of it are good.
            self._unreadable[name] = str(error)
            raise
        self._unreadable.pop(name, None)
        if blob is None:
            self._headers.pop(name, None)
            return None
        try:
            self._headers[name] = verify_matte(blob)
        except ImageError:
            self._headers.pop(name, None)
            await self._remove_damaged(name)
            return None
        return blob

    def is_unreadable(self, name: str) -> bool:
        """Whether the matte could not be read when that was last tried, a few seconds ago."""
        return name in self._unreadable

    async def _look(self, name: str) -> MatteHeader | None:
        async with self._places:
            await self.read(name)
        return self._headers.get(name)

    async def _remove_damaged(self, name: str) -> None:
        try:
            await self._blobs.delete(keys.matte_key(name))
        except StoreError as error:
            # The one that is made anew takes its place.
            _log.warning("damaged matte not removed", matte=name, error=str(error))

    async def drop(self, origin_digest: str, page: int) -> None:
        """Remove an origin's newest matte of each tier; nobody knows the names of others. Raises StoreError when one is
        left, after all were tried.
        """
        failure: StoreError | None = None
        for tier in Tier:
            try:
                await self._drop(origin_digest, page, tier)
            except StoreError as error:
                failure = error
        if failure is not None:
            raise failure

    async def _drop(self, origin_digest: str, page: int, tier: Tier) -> None:
        name = await self.newest(origin_digest, page, tier)
        if name is not None:
            await self._blobs.delete(keys.matte_key(name))
            await self._blobs.delete(keys.newest_matte_key(origin_digest, page, tier))
            self._headers.pop(name, None)


def _is_of(name: str, origin_digest: str, page: int) -> bool:
    """Whether a name that was read from the disk is one of a matte of these bytes."""
    start = keys.matte_name(origin_digest, page, "")
    return name.startswith(start) and name != start and name.isprintable() and "/" not in name
