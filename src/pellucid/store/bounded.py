"""A size-bounded cache over a blob store: least recently used goes first, pinned things stay.

What was used when is kept in a small SQLite file, the index, shared by every web process of one machine. The index is
an aid: when it is lost, `reconcile` lists the blobs and starts with their times of change.
"""

from __future__ import annotations

import asyncio
import math
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import structlog

from pellucid.errors import PellucidError, StoreError
from pellucid.store.port import BlobInfo, BlobStore

_SCHEMA = """
CREATE TABLE IF NOT EXISTS blobs (
    key        TEXT PRIMARY KEY,
    size_bytes INTEGER NOT NULL,
    used_at    REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS blobs_by_use ON blobs (used_at);
-- The sum is kept by triggers: adding up 300,000 sizes at every write would take longer than the write.
CREATE TABLE IF NOT EXISTS total (size_bytes INTEGER NOT NULL);
INSERT INTO total SELECT coalesce(sum(size_bytes), 0) FROM blobs WHERE NOT EXISTS (SELECT 1 FROM total);
CREATE TRIGGER IF NOT EXISTS blob_added AFTER INSERT ON blobs BEGIN
    UPDATE total SET size_bytes = size_bytes + new.size_bytes;
END;
CREATE TRIGGER IF NOT EXISTS blob_resized AFTER UPDATE OF size_bytes ON blobs BEGIN
    UPDATE total SET size_bytes = size_bytes + new.size_bytes - old.size_bytes;
END;
CREATE TRIGGER IF NOT EXISTS blob_removed AFTER DELETE ON blobs BEGIN
    UPDATE total SET size_bytes = size_bytes - old.size_bytes;
END;
"""

# An upsert, not INSERT OR REPLACE: SQLite fires no delete trigger for a replaced row.
_UPSERT = """
INSERT INTO blobs VALUES (?, ?, ?)
ON CONFLICT (key) DO UPDATE SET size_bytes = excluded.size_bytes, used_at = excluded.used_at
"""

_LOW_WATER = 0.9
"""Eviction goes down to this share of the limit, so that it does not run again at the next write."""

_BATCH = 200

_AGAIN_S = 1.0
"""Between two evictions that find nothing to take."""

_BUSY_S = 2.0
"""How long another process's write to the index is waited for; an answer waits as long."""

_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_ERROR")
"""SQLITE_ERROR: our tables are not there, or something else is in their place."""

_log = structlog.get_logger(__name__)

ResultT = TypeVar("ResultT")
Pinned = Callable[[], Awaitable[frozenset[str]]]


class BoundedBlobs:
    """A `BlobStore` whose blobs together stay within `max_bytes`, but for what is pinned.

    What was used less than `young_s` ago stays, too: whoever stored an origin is about to render it or to owe its job.
    `pinned` is asked once per eviction and returns the keys that must stay. Uses are noted in memory and written in
    one transaction by `evict`, which the owner calls now and then (and `put` when the limit is passed).

    The volume keeps `min_free_bytes` (`free_bytes` says how many there are): below that the cache shrinks, and nothing
    is written to it. Neither is anything while what may not be evicted fills it: 1,000 owed jobs may have origins of
    50 GB. Every blob counts as whole blocks of `block_bytes`, so that tiny ones have a bound on their number, too.
    """

    def __init__(
        self,
        blobs: BlobStore,
        *,
        index: Path,
        prefixes: Iterable[str],
        max_bytes: int,
        pinned: Pinned,
        young_s: float = 1.0,
        min_free_bytes: int = 0,
        free_bytes: Callable[[], int] | None = None,
        block_bytes: int = 4096,
    ) -> None:
        self._blobs = blobs
        self._index_path = index
        self._prefixes = tuple(prefixes)
        self._max_bytes = max_bytes
        self._pinned = pinned
        self._uses: dict[str, float] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="cache-index")
        self._young_s = young_s
        self._min_free_bytes = min_free_bytes
        self._free_bytes = free_bytes
        self._volume_away = False
        self._block_bytes = block_bytes
        self._crowded = False
        self._evicted_at = -math.inf
        self._evicting = asyncio.Lock()
        self._eviction: asyncio.Task[None] | None = None
        self._db: sqlite3.Connection | None = None
        self._closed = False

    async def open(self) -> None:
        """Open the index. `reconcile` afterwards, when there is time. One that cannot be opened (a full disk, no
        descriptors left) is tried again when it is next needed: blobs are read and written without it.
        """
        try:
            await self._run(self._open_index)
        except StoreError as error:
            _log.error("cache index failed", error=str(error))

    async def reconcile(self) -> None:
        """Make the index agree with the store: blobs that it does not know are added with their time of change, entries
        without a blob dropped. About 10 s per million blobs, so it runs beside the first requests, not before them.
        """
        started = time.time()
        await self._run(self._begin_reconciling)
        for prefix in self._prefixes:
            batch: list[tuple[str, int, float]] = []
            async for info in self._blobs.list(prefix):
                batch.append((info.key, self._on_disk(info.size_bytes), info.modified_at))
                if len(batch) == _BATCH:
                    await self._run(self._add_found, batch)
                    batch = []
            await self._run(self._add_found, batch)
        await self._run(self._drop_missing, started)

    async def aclose(self) -> None:
        await self.settle()
        await self._run(self._close_index)
        self._thread.shutdown()

    async def get(self, key: str) -> bytes | None:
        data = await self._blobs.get(key)
        if data is not None:
            self._uses[key] = time.time()
        return data

    async def put(self, key: str, data: bytes | bytearray) -> None:
        """Keep `data`. Raises StoreError as well when there is no room for it."""
        if self._crowded or self.lacks_space():
            self._evict_soon()
            raise StoreError(f"no room for {key}: the disk, or the cache with what is owed, is full")
        await self._blobs.put(key, data)
        try:
            total = await self._run(self._note, key, self._on_disk(len(data)))
        except StoreError as error:
            # The blob is stored; the index learns of it when it is next reconciled.
            _log.warning("cache index failed", error=str(error))
            return
        if total > self._max_bytes:
            self._evict_soon()

    def lacks_space(self) -> bool:
        """Whether the volume has less free space than it is to keep, or does not say (a share that is away). A few
        microseconds.
        """
        return self._missing_bytes(unknown=1) > 0

    async def settle(self) -> None:
        """Wait until an eviction under way has ended."""
        if self._eviction is not None:
            await asyncio.wait({self._eviction})

    async def exists(self, key: str) -> bool:
        found = await self._blobs.exists(key)
        if found:
            self._uses[key] = time.time()
        return found

    async def delete(self, key: str) -> None:
        await self._blobs.delete(key)
        try:
            await self._run(self._forget, [key])
        except StoreError as error:
            _log.warning("cache index failed", error=str(error))

    def list(self, prefix: str) -> AsyncIterator[BlobInfo]:
        return self._blobs.list(prefix)

    def _missing_bytes(self, *, unknown: int = 0) -> int:
        """Bytes that the volume lacks to what it is to keep free; `unknown` where it cannot be asked."""
        if self._free_bytes is None:
            return 0
        try:
            missing = max(0, self._min_free_bytes - self._free_bytes())
        except OSError as error:
            if not self._volume_away:
                _log.warning("free space unknown", error=str(error))
            self._volume_away = True
            return unknown
        self._volume_away = False
        return missing

    def _on_disk(self, size_bytes: int) -> int:
        return -(-max(1, size_bytes) // self._block_bytes) * self._block_bytes

    def _evict_soon(self) -> None:
        """Beside the answer, not before it: going down to the low-water mark may take seconds. What was written just
        now is the youngest and goes last. Where eviction does not help it is not tried with every write.
        """
        fruitless = self._crowded or self.lacks_space()
        if self._eviction is None and not (fruitless and time.monotonic() < self._evicted_at + _AGAIN_S):
            self._eviction = asyncio.create_task(self._evict_and_log())

    async def _evict_and_log(self) -> None:
        try:
            await self.evict()
        except PellucidError as error:
            _log.error("eviction failed", error=str(error))
        finally:
            self._eviction = None

    async def evict(self) -> int:
        """Bring the total down to the low-water mark if it is above the limit, or the volume lacks space; returns how
        many blobs went.
        """
        async with self._evicting:
            uses, self._uses = self._uses, {}
            total = await self._run(self._flush, uses)
            limit = min(self._max_bytes, total - self._missing_bytes())
            if total <= limit:
                self._crowded = False
                return 0
            pinned = await self._pinned()
            gone, started = 0, time.time()
            after = (-1.0, "")
            while total > limit * _LOW_WATER:
                batch = await self._run(self._oldest, after)
                if not batch:
                    break
                after = (batch[-1][2], batch[-1][0])
                victims: list[str] = []
                for key, size_bytes, used_at in batch:
                    if total <= limit * _LOW_WATER:
                        break
                    if key not in pinned and used_at < started - self._young_s and await self._evicted(key):
                        victims.append(key)
                        total -= size_bytes
                await self._run(self._forget, victims)
                gone += len(victims)
            self._evicted_at = time.monotonic()
            self._crowded = total > self._max_bytes
            return gone

    async def _evicted(self, key: str) -> bool:
        """Whether the blob is gone now. One that cannot be deleted stays, and the next one goes in its place."""
        try:
            await self._blobs.delete(key)
        except StoreError as error:
            _log.warning("blob not evicted", key=key, error=str(error))
            return False
        return True

    async def total_bytes(self) -> int:
        """The sum of all sizes, as the index knows them."""
        return await self._run(self._total)

    # What follows runs on the index thread.

    async def _run(self, function: Callable[..., ResultT], *arguments: object) -> ResultT:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"the cache index {self._index_path} failed: {error}") from error

    def _open_index(self) -> None:
        try:
            self._db = self._connect()
        except sqlite3.DatabaseError as error:
            # A damaged index is worth nothing: begin a new one from what lies in the folder. One that is busy, or for
            # which there is no room or no descriptor now, is sound.
            if not getattr(error, "sqlite_errorname", "").startswith(_DAMAGED):
                raise
            for suffix in ("", "-wal", "-shm"):
                self._index_path.with_name(self._index_path.name + suffix).unlink(missing_ok=True)
            self._db = self._connect()

    def _begin_reconciling(self) -> None:
        self._index.executescript("CREATE TEMP TABLE IF NOT EXISTS found (key TEXT PRIMARY KEY); DELETE FROM found;")

    def _add_found(self, batch: list[tuple[str, int, float]]) -> None:
        with self._index as db:
            db.executemany("INSERT OR IGNORE INTO found VALUES (?)", [(key,) for key, _, _ in batch])
            db.executemany("INSERT OR IGNORE INTO blobs VALUES (?, ?, ?)", batch)

    def _drop_missing(self, started: float) -> None:
        with self._index as db:
            # What was written while we listed is newer than the listing.
            db.execute("DELETE FROM blobs WHERE used_at < ? AND key NOT IN (SELECT key FROM found)", (started,))
            db.execute("DELETE FROM found")

    def _connect(self) -> sqlite3.Connection:
        self._index_path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(self._index_path, timeout=_BUSY_S)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.executescript(_SCHEMA)
        except sqlite3.DatabaseError:
            db.close()
            raise
        return db

    @property
    def _index(self) -> sqlite3.Connection:
        if self._closed:
            raise StoreError("the cache is not open")
        if self._db is None:
            self._open_index()
        assert self._db is not None  # noqa: S101  opened a line above
        return self._db

    def _close_index(self) -> None:
        self._closed = True
        if self._db is not None:
            try:
                with self._db as db:
                    _write_uses(db, self._uses)
            finally:
                self._db.close()
                self._db = None

    def _note(self, key: str, size_bytes: int) -> int:
        with self._index as db:
            db.execute(_UPSERT, (key, size_bytes, time.time()))
        return self._total()

    def _flush(self, uses: dict[str, float]) -> int:
        with self._index as db:
            _write_uses(db, uses)
        return self._total()

    def _forget(self, keys: list[str]) -> None:
        with self._index as db:
            db.executemany("DELETE FROM blobs WHERE key = ?", [(key,) for key in keys])

    def _oldest(self, after: tuple[float, str]) -> list[tuple[str, int, float]]:
        return self._index.execute(
            "SELECT key, size_bytes, used_at FROM blobs WHERE (used_at, key) > (?, ?) ORDER BY used_at, key LIMIT ?",
            (*after, _BATCH),
        ).fetchall()

    def _total(self) -> int:
        return self._index.execute("SELECT size_bytes FROM total").fetchone()[0]


def _write_uses(db: sqlite3.Connection, uses: dict[str, float]) -> None:
    db.executemany("UPDATE blobs SET used_at = ? WHERE key = ?", [(at, key) for key, at in uses.items()])
