"""The mattes of the store: kept apart from the caches, looked up often, never changed once written."""

from __future__ import annotations

from cachetools import LRUCache

from pellucid import keys
from pellucid.errors import ImageError
from pellucid.image.matte_file import MatteHeader, verify_matte
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
