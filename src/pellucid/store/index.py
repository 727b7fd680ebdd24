"""The index of a bounded cache: its blobs with their sizes and times of last use, in a SQLite file that all web
processes of a machine share. If the file is lost, it is rebuilt from the folder.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from pellucid.database.database import Database
from pellucid.database.engines import file_url
from pellucid.database.upgrade import Schema
from pellucid.errors import DatabaseDamagedError, DatabaseError, StoreError

_METADATA = sa.MetaData()

_blobs = sa.Table(
    "blobs",
    _METADATA,
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("size_bytes", sa.Integer, nullable=False),
    sa.Column("used_at", sa.Float, nullable=False),
    sa.Column("listed_at", sa.Float, nullable=False, server_default=sa.text("0")),  # when the store was last listed
    sqlite_with_rowid=False,
)
sa.Index("blobs_by_use", _blobs.c.used_at, _blobs.c.key)

_total = sa.Table("total", _METADATA, sa.Column("size_bytes", sa.Integer, nullable=False))

# Triggers maintain the sum: adding up 300,000 sizes at every write would take longer than the write.
_TRIGGERS = (
    "INSERT INTO total SELECT coalesce(sum(size_bytes), 0) FROM blobs",
    """CREATE TRIGGER blob_added AFTER INSERT ON blobs BEGIN
        UPDATE total SET size_bytes = size_bytes + new.size_bytes; END""",
    """CREATE TRIGGER blob_resized AFTER UPDATE OF size_bytes ON blobs BEGIN
        UPDATE total SET size_bytes = size_bytes + new.size_bytes - old.size_bytes; END""",
    """CREATE TRIGGER blob_removed AFTER DELETE ON blobs BEGIN
        UPDATE total SET size_bytes = size_bytes - old.size_bytes; END""",
)

# An upsert, not INSERT OR REPLACE: SQLite fires no delete trigger for a replaced row.
_WRITE = sqlite.insert(_blobs)
_UPSERT = _WRITE.on_conflict_do_update(
    index_elements=["key"], set_={"size_bytes": _WRITE.excluded.size_bytes, "used_at": _WRITE.excluded.used_at}
)
_LIST = _WRITE.on_conflict_do_update(index_elements=["key"], set_={"listed_at": _WRITE.excluded.listed_at})
_USE = _blobs.update().where(_blobs.c.key == sa.bindparam("blob")).values(used_at=sa.bindparam("at"))
_SUM = sa.select(_total.c.size_bytes)

_BUSY_S = 2.0
"""How long to wait for the write of another process. Requests wait as long."""

_BATCH = 200

ResultT = TypeVar("ResultT")
Entry = tuple[str, int, float]
"""Key, bytes, and time of the last use in seconds since the epoch."""


def _is_current(db: sa.Connection) -> bool:
    return sa.inspect(db).has_table("blobs") and "listed_at" in {
        column["name"] for column in sa.inspect(db).get_columns("blobs")
    }


def _make(db: sa.Connection) -> None:
    if not _is_current(db):
        _METADATA.drop_all(db)  # tables of an earlier version, with their triggers
        _METADATA.create_all(db)
        for statement in _TRIGGERS:
            db.exec_driver_sql(statement)


class CacheIndex:
    """The index in the file at `path`. A damaged file is replaced. Every method raises StoreError when it fails."""

    def __init__(self, path: Path) -> None:
        self._path = path
        schema = Schema(is_current=_is_current, migrate=_make)
        self._database = Database(file_url(path), busy_timeout_s=_BUSY_S, schema=schema, durable=False, threads=1)

    async def open(self) -> None:
        """Open the file, and create it if it is missing. After an error, the next use tries again."""
        await self._run(lambda _: None)

    async def aclose(self) -> None:
        await self._database.aclose()

    async def record(self, key: str, size_bytes: int) -> int:
        """Record a written blob. Returns the sum of all sizes."""

        def work(db: sa.Connection) -> int:
            db.execute(_UPSERT, {"key": key, "size_bytes": size_bytes, "used_at": time.time(), "listed_at": 0.0})
            return db.execute(_SUM).scalar_one()

        return await self._run(work)

    async def record_uses(self, uses: Mapping[str, float]) -> int:
        """They were used; returns the sum of all."""
        values = [{"blob": key, "at": at} for key, at in uses.items()]

        def work(db: sa.Connection) -> int:
            if values:
                db.execute(_USE, values)
            return db.execute(_SUM).scalar_one()

        return await self._run(work)

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete the entries of blobs that are gone."""

        def work(db: sa.Connection) -> None:
            for start in range(0, len(keys), _BATCH):
                db.execute(_blobs.delete().where(_blobs.c.key.in_(keys[start : start + _BATCH])))

        await self._run(work)

    async def record_listed(self, found: Sequence[Entry], *, at: float) -> None:
        """Record blobs found by a listing that started at `at`. A new one gets its modification time as last use."""
        rows = [{"key": key, "size_bytes": size, "used_at": used, "listed_at": at} for key, size, used in found]
        if rows:
            await self._run(lambda db: db.execute(_LIST, rows))

    async def drop_unlisted(self, *, at: float) -> None:
        """Delete entries that the listing started at `at` did not find. Blobs written meanwhile are newer, and stay."""
        gone = _blobs.delete().where(_blobs.c.used_at < at, _blobs.c.listed_at < at)
        await self._run(lambda db: db.execute(gone))

    async def oldest(self, after: tuple[float, str]) -> Sequence[Entry]:
        """The next 200 least recently used entries after `after`, a time of use and a key."""
        behind = sa.tuple_(_blobs.c.used_at, _blobs.c.key) > sa.tuple_(*map(sa.literal, after))
        query = sa.select(_blobs.c.key, _blobs.c.size_bytes, _blobs.c.used_at).where(behind)
        query = query.order_by(_blobs.c.used_at, _blobs.c.key).limit(_BATCH)
        return await self._run(lambda db: [(row.key, row.size_bytes, row.used_at) for row in db.execute(query)])

    async def total(self) -> int:
        """The sum of all sizes."""
        return await self._run(lambda db: db.execute(_SUM).scalar_one())

    async def _run(self, work: Callable[[sa.Connection], ResultT]) -> ResultT:
        try:
            try:
                return await self._database.run(work)
            except DatabaseDamagedError:
                # A damaged index is worthless, and is rebuilt from the folder. One that is locked, or that cannot be
                # opened for lack of space or descriptors, is sound.
                for suffix in ("", "-wal", "-shm"):
                    with contextlib.suppress(FileNotFoundError):
                        self._path.with_name(self._path.name + suffix).unlink()
                return await self._database.run(work)
        except (DatabaseError, OSError) as error:
            raise StoreError(f"the cache index {self._path} failed: {error}") from error
