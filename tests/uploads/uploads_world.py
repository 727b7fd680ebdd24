"""An upload store in a folder of its own, with either database, and a clock that the test sets."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from PIL import Image

from pellucid.concurrency.clients import Client
from pellucid.database.database import Database
from pellucid.database.tables import uploads
from pellucid.image.facts import ImageFacts
from pellucid.image.probe import probe
from pellucid.spec import DEFAULT_TOKEN
from pellucid.uploads.store import AcceptedUpload, UploadStore
from pellucid.uploads.table import UploadLimits

LIMITS = UploadLimits(
    max_bytes=100_000,
    timeout_s=30,
    keep_s=3600,
    per_client=10,
    per_client_bytes=400_000,
    total_bytes=1_000_000,
)
MAX_PIXELS = 1_000_000


def noise_image(seed: int, *, suffix: str = "PNG", side: int = 20) -> bytes:
    """A noise image, so that each has bytes of its own."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, suffix)
    return out.getvalue()


async def body_of(*parts: bytes | float | Exception) -> AsyncIterator[bytes]:
    """A request body: bytes, pauses in seconds, and an error at its end."""
    for part in parts:
        if isinstance(part, Exception):
            raise part
        if isinstance(part, bytes):
            yield part
        else:
            await asyncio.sleep(part)


@dataclass
class World:
    """`invalidated` and `dropped` are the invalidated uploads and digests; `stored` the digests of origins in the
    store.
    """

    database: Database
    folder: Path
    limits: UploadLimits = LIMITS
    now: float = 1_800_000_000.0
    invalidated: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    stored: set[str] = field(default_factory=set)

    async def upload_store(self, *, place: str = "here") -> UploadStore:
        async def examine(read: Callable[[], Awaitable[bytes]], _: Client) -> ImageFacts:
            return await asyncio.to_thread(probe, await read(), max_pixels=MAX_PIXELS)

        async def has_bytes(digest: str) -> bool:
            return digest in self.stored

        return await UploadStore.open(
            self.database,
            folder=self.folder / place / "uploads",
            receiving=self.folder / place / "receiving",
            limits=self.limits,
            probe=examine,
            has_bytes=has_bytes,
            clock=lambda: self.now,
        )

    async def invalidate_uploads(self, names: Sequence[str]) -> None:
        assert not set(names) & set(self.files()), "the files go first"
        self.invalidated += names

    async def drop_bytes(self, digest: str) -> None:
        self.dropped.append(digest)

    def files(self, *, place: str = "here") -> list[str]:
        return sorted(path.name for path in (self.folder / place / "uploads").iterdir())

    def parts(self, *, place: str = "here") -> list[str]:
        return sorted(path.name for path in (self.folder / place / "receiving").glob("*.part"))

    async def rows(self) -> list[dict[str, Any]]:
        found = await self.database.run(
            lambda db: db.execute(sa.select(uploads).order_by(uploads.c.name)).mappings().all()
        )
        return [dict(row) for row in found]

    async def is_empty(self) -> bool:
        """Whether nothing of any upload is left."""
        return not (await self.rows() or self.files() or self.parts())


async def accept(
    upload_store: UploadStore,
    *parts: bytes | float | Exception,
    declared_bytes: int | None = None,
    client: str = "192.0.2.1",
) -> AcceptedUpload:
    return await upload_store.accept(body_of(*parts), declared_bytes=declared_bytes, client=client, token=DEFAULT_TOKEN)
