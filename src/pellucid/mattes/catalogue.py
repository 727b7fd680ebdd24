"""The catalogue of mattes: keeps the rows in the database complete for the files in the store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import TypeVar

import sqlalchemy as sa
import structlog

from pellucid.database import store_row
from pellucid.database.database import Database
from pellucid.database.tables import mattes, stores
from pellucid.errors import StoreError
from pellucid.mattes import facts
from pellucid.mattes.facts import MatteFacts
from pellucid.mattes.files import MatteFiles
from pellucid.spec import Tier
from pellucid.store import keys
from pellucid.store.port import BlobStore

_log = structlog.get_logger(__name__)

_BATCH = 50
"""Rows per transaction: other writers wait for it."""

_SCANS = 3
"""After this many scans, unreadable files are no longer retried. A job for such a matte finds the file."""

_USES = 500
"""Names per statement."""

_READ_TIMEOUT_S = 60.0
"""Timeout of queries over all mattes."""

ResultT = TypeVar("ResultT")

_FOLDER, _POINTERS = "mattes", "mattes/newest"


class Catalogue:
    """The mattes of `store`, whose files are in `blobs`.

    A database that is new, or was lost, has no rows of existing files. `adopt_all` reads them all once. Until it is
    done, `adopt` looks up single ones, so that no page shows a background where there was a cutout.

    `tier_of` returns the tier of a recipe's id, None for an unknown one.
    """

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        *,
        store: str,
        tier_of: Callable[[str], Tier | None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._files = MatteFiles(blobs)
        self._store = store
        self._tier_of = tier_of
        self._clock = clock
        self._is_complete = False
        self._unread = self._scans = 0
        self._adopting = asyncio.Lock()

    async def adopt_all(self) -> int:
        """Write the rows of all mattes in the store, unless that was done before. Returns the number of new rows.

        If a file cannot be read, the scan is repeated at a later call. It takes about a minute for 100,000 mattes.
        Raises StoreError, DatabaseError.
        """
        # Checked at every call: the database may have been lost meanwhile.
        self._is_complete = await self._database.read(self._is_adopted)
        if self._is_complete:
            return 0
        async with self._adopting:
            count, self._unread = 0, 0
            batch: list[tuple[float, str]] = []
            async for blob in self._blobs.list(_FOLDER):
                name = blob.key.removeprefix(f"{_FOLDER}/")
                if "/" not in name:
                    batch.append((blob.modified_at, name))
                if len(batch) == _BATCH:
                    count += await self._adopt(batch)
                    batch = []
            count += await self._adopt(batch)
            if count:
                _log.info("mattes adopted", count=count)
            self._scans += 1
            if self._unread and self._scans < _SCANS:
                return count
            await self._database.run(self._mark_adopted)
            self._is_complete = True
        await self._drop_pointers()
        return count

    async def adopt(self, digests: Sequence[str]) -> bool:
        """Write the rows of the newest mattes of these bytes, which pointers of older versions name. True if there were
        any. Does nothing after a complete scan. Raises StoreError, DatabaseError.
        """
        if self._is_complete:
            return False
        found: list[tuple[float, str]] = []
        for digest in digests:
            for tier in Tier:
                try:
                    pointer = await self._blobs.get(keys.newest_matte_key(digest, 0, tier))
                except StoreError as error:
                    _log.warning("pointer not read", origin=digest, error=str(error))
                    continue
                name = pointer.decode("ascii", "replace") if pointer is not None else ""
                if name.startswith(f"{digest}.0.") and name.isprintable() and "/" not in name:
                    found.append((self._clock(), name))
        return await self._adopt(found) > 0

    async def note_uses(self, names: Collection[str]) -> None:
        """Record that mattes were used. Raises DatabaseError."""
        listed = sorted(names)
        for start in range(0, len(listed), _USES):
            some = listed[start : start + _USES]
            await self._database.run(partial(facts.note_uses, names=some, store=self._store, now=self._clock()))

    async def read(self, query: Callable[..., ResultT]) -> ResultT:
        """The result of `query(db, store=...)` (`mattes.selection`). A million rows take a second. Raises
        DatabaseError.
        """
        return await self._database.read(lambda db: query(db, store=self._store), max_wait_s=_READ_TIMEOUT_S)

    async def total_bytes(self) -> int:
        """Size of all mattes. A million rows take half a second. Raises DatabaseError."""
        total = sa.select(sa.func.coalesce(sa.func.sum(mattes.c.size_bytes), 0)).where(mattes.c.store == self._store)
        return int(await self._database.read(lambda db: db.scalar(total)) or 0)

    async def drop(self, origin_digest: str) -> None:
        """Remove all mattes of some bytes, files first. Raises StoreError if a file could not be removed, after trying
        all.
        """
        names = await self._database.read(partial(facts.names_of, origin_digest=origin_digest, store=self._store))
        await self.remove(names)

    async def has(self, origin_digest: str) -> bool:
        """Whether there is a matte of these bytes. Raises DatabaseError."""
        names = partial(facts.names_of, origin_digest=origin_digest, store=self._store)
        return bool(await self._database.read(names))

    async def remove(self, names: Sequence[str]) -> None:
        """Remove mattes, files first. Raises StoreError if a file could not be removed, after trying all."""
        failure: StoreError | None = None
        gone: list[str] = []
        for name in names:
            try:
                await self._files.delete(name)
                gone.append(name)
            except StoreError as error:
                failure = error
        if gone:
            await self._database.run(partial(facts.delete, names=gone, store=self._store))
        if failure is not None:
            raise failure

    async def _adopt(self, found: Sequence[tuple[float, str]]) -> int:
        """Write the rows of those files, given as (time, name), that have none. Returns the number of new rows."""
        names = [name for _, name in found]
        known = sa.select(mattes.c.name).where(mattes.c.store == self._store, mattes.c.name.in_(names))
        recorded = set(await self._database.read(lambda db: db.scalars(known).all()))
        new: list[tuple[float, MatteFacts]] = []
        for made_at, name in found:
            each = None if name in recorded else await self._read(name)
            if each is not None:
                new.append((made_at, each))

        def write(db: sa.Connection) -> None:
            for made_at, each in new:
                facts.adopt(db, each, store=self._store, made_at=made_at)

        if new:
            await self._database.run(write)
        return len(new)

    async def _read(self, name: str) -> MatteFacts | None:
        digest, _, rest = name.partition(".")
        page, _, recipe_id = rest.partition(".")
        tier = self._tier_of(recipe_id)
        if tier is None or not digest or not page.isdecimal():
            return None
        try:
            header = await self._files.header(name)
        except StoreError as error:
            _log.warning("matte not read", matte=name, error=str(error))
            self._unread += 1
            return None
        if header is None:
            return None
        return MatteFacts.of_header(name, header[0], tier=tier, size_bytes=header[1])

    async def _drop_pointers(self) -> None:
        """Delete the pointers of older versions."""
        try:
            async for blob in self._blobs.list(_POINTERS):
                await self._blobs.delete(blob.key)
        except StoreError as error:
            _log.warning("pointers of an older version stay", error=str(error))

    def _is_adopted(self, db: sa.Connection) -> bool:
        return bool(store_row.read(db, self._store, stores.c.adopted))

    def _mark_adopted(self, db: sa.Connection) -> None:
        store_row.write(db, self._store, adopted=True)
