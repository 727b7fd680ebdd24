"""Log of invalidations in the database. An entry is appended once and read by every process of every machine."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import sqlalchemy as sa
from sqlalchemy import exc

from pellucid.database.changes import signal_change
from pellucid.database.database import Database
from pellucid.database.locks import Lock, lock
from pellucid.database.tables import identity, invalidations
from pellucid.invalidation.validity import Validity

_VERSION = 1
"""Version of the rows that this code writes. Rows of a later version are skipped."""

_MAX_AGE_S = 7 * 86_400
_MAX_ROWS = 100_000
"""Age and number of the rows that are kept. Origins whose records are older than these rows are fetched again."""

_INSERT_BATCH = 5000
"""Rows per statement: SQLite accepts 32,766 values, and a row has six."""

_READ_BATCH = 100_000
"""Rows that one call reads: 45 MB of memory meanwhile, and 0.8 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invalidation:
    """The bytes of an origin may have changed."""

    origin: str
    """`keys.origin_digest_of` its URL; '' for every origin."""
    token: str = ""
    """'' for all tokens."""
    digest: str = ""
    """Digest of the bytes that it has now, if they are known: records with this digest stay valid."""
    store: str = ""
    """'' for all stores. Else only processes that use this store apply it: one with another store fetches the origin
    at times of its own, and may get other bytes.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class _LogState:
    """The log in the database at one moment."""

    identity: str
    """Of the database."""
    first: int | None
    """The first sequence number that is kept; None if the log is empty."""
    last: int | None
    """The last one."""
    appended: list[tuple[int, Invalidation | None]]
    """Rows with their numbers. None: a row of a later version or for another store, which does not concern us."""


class InvalidationLog:
    """Appends invalidations, and reads those for all stores and for `store`. What was read is applied to `validity`.

    `clock` returns seconds since the epoch. It only decides when rows are deleted.
    """

    def __init__(
        self, database: Database, validity: Validity, *, store: str = "", clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._store = store
        self._validity = validity
        self._clock = clock

    async def append(self, appended: Sequence[Invalidation]) -> None:
        """Append invalidations, with one INSERT for every 5,000. Raises DatabaseError."""
        if appended:
            await self._database.run(partial(self._append, appended=appended))

    @property
    def has_started(self) -> bool:
        """Whether `read_new` has succeeded since the process started."""
        return self._validity.identity is not None

    async def read_new(self) -> list[Invalidation] | None:
        """Read the invalidations since the last call, and apply them. One call reads up to 100,000 rows; the next call
        continues. After a DatabaseError a later call continues too, without a loss.

        Returns None if invalidations were lost, or if the database is another one than before. Then the caller must
        drop everything that it has in memory.

        The first call reads all rows that are kept, because records in the store may be older than the process.
        """
        validity = self._validity
        identity_before = validity.identity
        found = await self._database.read(partial(_read, after=validity.seq, store=self._store))
        if found.identity == identity_before and (found.last or 0) < validity.seq:
            # A backup was restored: it will use numbers again that this process has read already.
            await self._database.run(partial(renew_identity, known=found.identity))
            found = await self._database.read(partial(_read, after=validity.seq, store=self._store))
        is_reset = found.identity != identity_before or (found.first is not None and found.first > validity.seq + 1)
        if is_reset and validity.seq:
            found = await self._database.read(partial(_read, after=0, store=self._store))
        # No await from here on, so that a concurrent request sees all of the changes or none.
        if is_reset:
            validity.reset(found.identity, after=0 if found.first is None else found.first - 1)
        for seq, each in found.appended:
            if each is None:
                validity.skip(seq)
            else:
                validity.apply(seq, token=each.token, origin=each.origin, digest=each.digest)
        if is_reset and identity_before is not None:
            return None
        return [each for _, each in found.appended if each is not None]

    def _append(self, db: sa.Connection, appended: Sequence[Invalidation]) -> None:
        lock(db, Lock.INVALIDATIONS)
        now = self._clock()
        for start in range(0, len(appended), _INSERT_BATCH):
            rows = [
                {
                    "version": _VERSION,
                    "token": each.token,
                    "origin": each.origin,
                    "digest": each.digest,
                    "store": each.store,
                    "told_at": now,
                }
                for each in appended[start : start + _INSERT_BATCH]
            ]
            db.execute(invalidations.insert().values(rows))
        self._prune(db)
        signal_change(db)

    def _prune(self, db: sa.Connection) -> None:
        """Delete rows that are too old or too many, but never the last one. Only `append` adds rows, so it prunes."""
        last: int = db.execute(sa.select(sa.func.max(invalidations.c.seq))).scalar_one()
        # Deletes the rows before the first young one. Rows behind it may look old as well: their clock was wrong by
        # years, or they were imported from an older version.
        young = sa.select(invalidations.c.seq).where(invalidations.c.told_at >= self._clock() - _MAX_AGE_S)
        first_young: int = db.scalar(young.order_by(invalidations.c.seq).limit(1)) or last
        limit = min(last, max(first_young, last - _MAX_ROWS + 1)) - 1
        db.execute(invalidations.delete().where(invalidations.c.seq <= limit))


def renew_identity(db: sa.Connection, *, known: str | None = None) -> None:
    """Give the database a new identity, which makes all records invalid. With `known`, only if that is its identity:
    another process may have renewed it already.
    """
    renewed = identity.update().values(name=uuid.uuid4().hex)
    db.execute(renewed if known is None else renewed.where(identity.c.name == known))
    signal_change(db)


def _read(db: sa.Connection, *, after: int, store: str) -> _LogState:
    """Read the rows with a number above `after`. One statement: rows deleted between two would be missed."""
    first = sa.select(sa.func.min(invalidations.c.seq)).scalar_subquery().label("first")
    # 0.05 ms in PostgreSQL with 100,000 rows, none of them new; 3.5 ms until it has gathered statistics.
    later = sa.select(invalidations).where(invalidations.c.seq > after).order_by(invalidations.c.seq)
    later = later.limit(_READ_BATCH).subquery()
    last = sa.select(sa.func.max(invalidations.c.seq)).scalar_subquery().label("last")
    query = sa.select(identity.c.name, first, last, later).select_from(identity.outerjoin(later, sa.true()))
    rows = db.execute(query.order_by(later.c.seq)).all()
    if not rows:
        raise exc.NoResultFound("the database has no identity")
    appended = [
        (
            row.seq,
            Invalidation(origin=row.origin, token=row.token, digest=row.digest, store=row.store)
            if row.version <= _VERSION and row.store in ("", store)
            else None,
        )
        for row in rows
        if row.seq is not None
    ]
    return _LogState(identity=rows[0].name, first=rows[0].first, last=rows[0].last, appended=appended)
