"""Selections of mattes by age, size and last use, to list or remove them. Functions are parts of a transaction."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from pellucid.database.tables import mattes


class Order(enum.StrEnum):
    """Sort order of a list of mattes."""

    AGE = "age"
    """The oldest first."""
    SIZE = "size"
    """The largest first."""
    USE = "use"
    """The least recently used first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Criteria for mattes, all of which must be met. None: any. Times are seconds since the epoch."""

    made_before: float | None = None
    unused_since: float | None = None
    min_bytes: int | None = None
    recipe_id: str | None = None
    superseded: bool = False
    """Only mattes that have a newer one of the same origin, page and tier."""

    @property
    def is_everything(self) -> bool:
        """Whether there is no criterion."""
        return self == Selection()

    def where(self, store: str) -> sa.ColumnElement[bool]:
        """The SQL condition."""
        wanted = [mattes.c.store == store]
        if self.made_before is not None:
            wanted.append(mattes.c.made_at < self.made_before)
        if self.unused_since is not None:
            wanted.append(mattes.c.used_at < self.unused_since)
        if self.min_bytes is not None:
            wanted.append(mattes.c.size_bytes >= self.min_bytes)
        if self.recipe_id is not None:
            wanted.append(mattes.c.recipe_id == self.recipe_id)
        if self.superseded:
            wanted.append(sa.not_(mattes.c.newest))
        return sa.and_(*wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One listed matte. Times are seconds since the epoch; `used_at` is precise to the day."""

    name: str
    recipe_id: str
    newest: bool
    empty: bool
    confidence: float
    size_bytes: int
    made_at: float
    used_at: float


def count(db: sa.Connection, selection: Selection, *, store: str) -> tuple[int, int]:
    """Number of selected mattes, and their bytes."""
    sums = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(mattes.c.size_bytes), 0))
    number, size_bytes = db.execute(sums.where(selection.where(store))).one()
    return int(number), int(size_bytes)


def select(db: sa.Connection, selection: Selection, *, store: str, order: Order, limit: int) -> list[Listed]:
    """The first `limit` of the selected mattes."""
    keys: dict[Order, sa.ColumnElement[Any]] = {
        Order.AGE: mattes.c.made_at,
        Order.SIZE: mattes.c.size_bytes.desc(),
        Order.USE: mattes.c.used_at,
    }
    columns = [mattes.c[name] for name in Listed.__slots__]
    query = sa.select(*columns).where(selection.where(store)).order_by(keys[order], mattes.c.name).limit(limit)
    return [Listed(**row) for row in db.execute(query).mappings()]
