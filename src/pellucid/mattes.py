"""The mattes of the store: kept apart from the caches, looked up often, never changed once written."""

from __future__ import annotations

from cachetools import LRUCache

from pellucid import keys
from pellucid.errors import ImageError
from pellucid.image.matte_file import MatteHeader, verify_matte
from pellucid.spec import Tier
from pellucid.store.port import BlobStore

_HEADERS = 20_000
"""Headers kept in memory, about 0.5 kB each: a known matte costs no disk access on the way to a cached rendition."""


class Mattes:
    """Mattes by name (`keys.matte_name`)."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._headers: LRUCache[str, MatteHeader] = LRUCache(_HEADERS)

    async def header(self, name: str) -> MatteHeader | None:
        """What is known of the matte `name`, None while there is none."""
        known = self._headers.get(name)
        if known is not None:
            return known
        blob = await self.read(name)
        return None if blob is None else self._headers[name]

    async def store(self, job_key: str, matte: bytes, *, origin_digest: str, page: int, tier: Tier) -> None:
        """Keep a finished matte under its name, then say that it is the newest of its origin and tier."""
        await self._blobs.put(keys.matte_key(job_key), matte)
        await self.point_to(job_key, origin_digest=origin_digest, page=page, tier=tier)

    async def point_to(self, name: str, *, origin_digest: str, page: int, tier: Tier) -> None:
        """Say that `name` is the newest matte of its origin and tier."""
        await self._blobs.put(keys.newest_matte_key(origin_digest, page, tier), name.encode())

    async def newest(self, origin_digest: str, page: int, tier: Tier) -> str | None:
        """The name of the matte made last for an origin in a tier, whatever its recipe."""
        name = await self._blobs.get(keys.newest_matte_key(origin_digest, page, tier))
        return name.decode("ascii", "replace") if name is not None else None

    async def exists(self, name: str) -> bool:
        """Whether there is a blob of that name, sound or not."""
        return await self._blobs.exists(keys.matte_key(name))

    async def read(self, name: str) -> bytes | None:
        """The stored matte. A damaged one (a disk that lost power) is removed and counts as missing."""
        blob = await self._blobs.get(keys.matte_key(name))
        if blob is None:
            self._headers.pop(name, None)
            return None
        try:
            self._headers[name] = verify_matte(blob)
        except ImageError:
            await self._blobs.delete(keys.matte_key(name))
            self._headers.pop(name, None)
            return None
        return blob

    async def drop(self, origin_digest: str, page: int) -> None:
        """Remove an origin's newest matte of each tier; nobody knows the names of others. Raises StoreError."""
        for tier in Tier:
            name = await self.newest(origin_digest, page, tier)
            if name is not None:
                await self._blobs.delete(keys.matte_key(name))
                await self._blobs.delete(keys.newest_matte_key(origin_digest, page, tier))
                self._headers.pop(name, None)
