"""The files of mattes in the store. They are never evicted, and never changed once written."""

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
"""Number and time of remembered mattes that could not be read, so that not every request tries the disk."""

_log = structlog.get_logger(__name__)


class MatteFiles:
    """Mattes by name (`keys.matte_name`).

    A matte that cannot be read (the disk fails, the folder is not mounted) does not count as missing: it is neither
    computed again nor deleted. Methods that read it raise StoreError.
    """

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._unreadable: TTLCache[str, str] = TTLCache(_UNREADABLE, _UNREADABLE_S, time.monotonic)

    async def read(self, name: str) -> bytes | None:
        """Read a matte; None if it is missing. A damaged one (after a power cut) is removed and counts as missing.
        Raises StoreError.
        """
        read = await self._read(name)
        return None if read is None else read[0]

    async def header(self, name: str) -> tuple[MatteHeader, int] | None:
        """The header of a matte, and the size of its file in bytes; None if it is missing. Reads the whole file, some
        MB. Raises StoreError.
        """
        read = await self._read(name)
        return None if read is None else (read[1], len(read[0]))

    async def write(self, name: str, matte: bytes) -> None:
        """Store a finished matte under its name. Raises StoreError."""
        await self._blobs.put(keys.matte_key(name), matte)
        self._unreadable.pop(name, None)

    async def delete(self, name: str) -> None:
        """Delete a matte. Raises StoreError."""
        await self._blobs.delete(keys.matte_key(name))

    def is_unreadable(self, name: str) -> bool:
        """Whether the last read of the matte, a few seconds ago, failed."""
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
            # The new matte will replace it.
            _log.warning("damaged matte not removed", matte=name, error=str(error))
