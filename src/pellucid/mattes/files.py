"""The mattes of the store: kept apart from the caches, never changed once written."""

from __future__ import annotations

import time

import structlog
from cachetools import TTLCache

from pellucid.errors import ImageError, StoreError
from pellucid.image.matte_file import MatteHeader, verify_matte
from pellucid.store import keys
from pellucid.store.port import BlobStore

_UNREADABLE_S = 5.0
_UNREADABLE = 1000
"""Mattes that could not be read just now: those who look for one meanwhile need not try the disk each."""

_log = structlog.get_logger(__name__)


class MatteFiles:
    """Mattes by name (`keys.matte_name`).

    A matte that cannot be read (the disk fails, the folder is away) is not missing: nobody makes it again, and nobody
    deletes it. Methods that look at one raise StoreError then.
    """

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._unreadable: TTLCache[str, str] = TTLCache(_UNREADABLE, _UNREADABLE_S, time.monotonic)

    async def read(self, name: str) -> bytes | None:
        """The stored matte. A damaged one (a disk that lost power) is removed and counts as missing. Raises
        StoreError.
        """
        read = await self._read(name)
        return None if read is None else read[0]

    async def header(self, name: str) -> tuple[MatteHeader, int] | None:
        """What the file says of itself, and its size in bytes. All of it is read, some MB. Raises StoreError."""
        read = await self._read(name)
        return None if read is None else (read[1], len(read[0]))

    async def write(self, name: str, matte: bytes) -> None:
        """Keep a finished matte under its name. Raises StoreError."""
        await self._blobs.put(keys.matte_key(name), matte)
        self._unreadable.pop(name, None)

    async def delete(self, name: str) -> None:
        """Remove it. Raises StoreError."""
        await self._blobs.delete(keys.matte_key(name))

    def is_unreadable(self, name: str) -> bool:
        """Whether the matte could not be read when that was last tried, a few seconds ago."""
        return name in self._unreadable

    async def _read(self, name: str) -> tuple[bytes, MatteHeader] | None:
        failure = self._unreadable.get(name)
        if failure is not None:
            raise StoreError(failure)
        try:
            blob = await self._blobs.get(keys.matte_key(name))
        except StoreError as error:
            self._unreadable[name] = str(error)
            raise
        if blob is None:
            return None
        try:
            return blob, verify_matte(blob)
        except ImageError:
            await self._remove_damaged(name)
            return None

    async def _remove_damaged(self, name: str) -> None:
        try:
            await self._blobs.delete(keys.matte_key(name))
        except StoreError as error:
            # The one that is made anew takes its place.
            _log.warning("damaged matte not removed", matte=name, error=str(error))
