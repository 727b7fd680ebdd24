"""Port of the blob store. Keys are slash-separated, and made by `pellucid.store.keys`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobInfo:
    """One listed blob. `modified_at` is seconds since the epoch."""

    key: str
    size_bytes: int
    modified_at: float


class BlobStore(Protocol):
    """Whole blobs, written atomically: a reader sees the old one, the new one or none, never a part.

    Every method raises `StoreError` when the disk or bucket fails.
    """

    async def get(self, key: str) -> bytes | None: ...

    async def put(self, key: str, data: bytes | bytearray) -> None: ...

    async def exists(self, key: str) -> bool: ...

    async def delete(self, key: str) -> None:
        """Delete a blob. A missing one is no error."""
        ...

    def list(self, prefix: str) -> AsyncIterator[BlobInfo]:
        """All blobs whose keys start with `prefix` and a slash."""
        ...
