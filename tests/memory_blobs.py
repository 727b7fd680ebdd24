"""A `BlobStore` in memory that counts its calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

from pellucid.errors import StoreError
from pellucid.store.port import BlobInfo


class MemoryBlobs:
    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}
        self.calls: Counter[str] = Counter()
        self.read_only = False

    async def get(self, key: str) -> bytes | None:
        self.calls["get"] += 1
        return self.data.get(key)

    async def put(self, key: str, data: bytes | bytearray) -> None:
        self.calls["put"] += 1
        if self.read_only:
            raise StoreError("read-only")
        self.data[key] = bytes(data)

    async def exists(self, key: str) -> bool:
        self.calls["exists"] += 1
        return key in self.data

    async def delete(self, key: str) -> None:
        self.data.pop(key, None)

    async def list(self, prefix: str) -> AsyncIterator[BlobInfo]:
        for key, data in self.data.items():
            if key.startswith(f"{prefix}/"):
                yield BlobInfo(key=key, size_bytes=len(data), modified_at=0.0)

    def evict(self, prefix: str) -> None:
        """Drop every blob below `prefix`."""
        for key in [key for key in self.data if key.startswith(f"{prefix}/")]:
            del self.data[key]
