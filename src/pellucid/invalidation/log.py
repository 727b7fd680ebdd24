"""What is no longer to be believed: told once, heard by every process of every machine that uses the database."""

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
"""Of the rows that are written here; rows of a later one are passed over."""

_KEPT_S = 7 * 86_400
_KEPT = 100_000
"""Rows that are kept, so long and so many at most. Records from before them are asked again."""

_APPENDED_AT_A_TIME = 5000
"""Rows of a statement: SQLite takes 32,766 values, six of a row."""

_READ_AT_A_TIME = 100_000
"""Rows that one call hears: 45 MB while it lasts, and 0.8 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invalidation:
    """An origin (`keys.origin_digest_of`) of one token, '' for all of them, may hold other bytes than is known; with a
    `digest`, it is known to hold these. `origin` '' stands for every origin. `store` '' tells all who use the database,
    else those who use that folder: who has another asks the origin in its own time, and may be sent other bytes.
    """

    origin: str
    token: str = ""
    digest: str = ""
    store: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _LogState:
    """What the database holds at one moment: its identity, the first and the last number that it keeps, None for none,
    and rows with their numbers; None for a row that says nothing to us: of a later version, or for another store.
    """

    identity: str
    first: int | None
    last: int | None
    appended: list[tuple[int, Invalidation | None]]


class InvalidationLog:
    """Tells, and follows by number, what concerns all and what concerns `store`. What was followed is in `validity`.
    `clock` says seconds since the epoch: it decides when rows are forgotten, and nothing else.
    """

    def __init__(
        self, database: Database, validity: Validity, *, store: str = "", clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._store = store
        self._validity = validity
        self._clock = clock

    async def append(self, appended: Sequence[Invalidation]) -> None:
        """On return every process will hear of it. One INSERT for every 5,000. Raises DatabaseError."""
        if appended:
            await self._database.run(partial(self._append, appended=appended))

    @property
    def has_started(self) -> bool:
        """Whether `read_new` has heard anything since the process started."""
        return self._validity.identity is not None

    async def read_new(self) -> list[Invalidation] | None:
        """What was told since the last call, from now on heard; of more than 100,000 rows, the next call goes on. None
        when some of it is lost, or the database is another than before: then everything known is to be looked at again.
        Raises DatabaseError: nothing is lost by that, a later call goes on.

        The first call begins with all that is kept: what lies in the store may be older.
        """
        validity = self._validity
        begun = validity.identity
        found = await self._database.read(partial(_read, after=validity.seq, store=self._store))
        if found.identity == begun and (found.last or 0) < validity.seq:
            # A backup was restored: numbers are given again, so what was heard of them is of another database.
            await self._database.run(partial(renew_identity, known=found.identity))
            found = await self._database.read(partial(_read, after=validity.seq, store=self._store))
        anew = found.identity != begun or (found.first is not None and found.first > validity.seq + 1)
        if anew and validity.seq:
            found = await self._database.read(partial(_read, after=0, store=self._store))
        # All at once from here on: whoever is answered meanwhile sees nothing half done.
        if anew:
            validity.begin(found.identity, after=0 if found.first is None else found.first - 1)
        for seq, each in found.appended:
            if each is None:
                validity.pass_over(seq)
            else:
                validity.apply(seq, token=each.token, origin=each.origin, digest=each.digest)
        return None if anew and begun is not None else [each for _, each in found.appended if each is not None]

    def _append(self, db: sa.Connection, appended: Sequence[Invalidation]) -> None:
        lock(db, Lock.INVALIDATIONS)
        now = self._clock()
        for start in range(0, len(appended), _APPENDED_AT_A_TIME):
            rows = [
                {
                    "version": _VERSION,
                    "token": each.token,
                    "origin": each.origin,
                    "digest": each.digest,
                    "store": each.store,
                    "told_at": now,
                }
                for each in appended[start : start + _APPENDED_AT_A_TIME]
            ]
            db.execute(invalidations.insert().values(rows))
        self._prune(db)
        signal_change(db)

    def _prune(self, db: sa.Connection) -> None:
        """Forget what is old, or too much; never the last row. Whoever tells does so: nothing else makes rows more."""
        last: int = db.execute(sa.select(sa.func.max(invalidations.c.seq))).scalar_one()
        # What goes is the beginning, up to the first that is young: a clock that was wrong by years, or an older
        # version's rows, put rows that look old behind such as were told just now.
        young = sa.select(invalidations.c.seq).where(invalidations.c.told_at >= self._clock() - _KEPT_S)
        first_young: int = db.scalar(young.order_by(invalidations.c.seq).limit(1)) or last
        limit = min(last, max(first_young, last - _KEPT + 1)) - 1
        db.execute(invalidations.delete().where(invalidations.c.seq <= limit))


def renew_identity(db: sa.Connection, *, known: str | None = None) -> None:
    """From now on it is another database: nothing is believed that was asked before. With `known`, unless somebody was
    faster.
    """
    renewed = identity.update().values(name=uuid.uuid4().hex)
    db.execute(renewed if known is None else renewed.where(identity.c.name == known))
    signal_change(db)


def _read(db: sa.Connection, *, after: int, store: str) -> _LogState:
    """What has a number above `after`. One statement: rows that go between two would be missed."""
    first = sa.select(sa.func.min(invalidations.c.seq)).scalar_subquery().label("first")
    # 0.05 ms in PostgreSQL with 100,000 rows, none of them new; 3.5 ms until it has gathered statistics.
    later = sa.select(invalidations).where(invalidations.c.seq > after).order_by(invalidations.c.seq)
    later = later.limit(_READ_AT_A_TIME).subquery()
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
