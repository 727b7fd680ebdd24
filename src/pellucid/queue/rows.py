"""The rows of removals, and which state follows which. Each function is a part of a transaction.

(none)  -> waiting   asked for
waiting -> running   claimed: attempts + 1
running -> (none)    done, or moot
running -> waiting   attempt failed (with back-off), owner or lease lost; put off, or given back by a worker that
                     leaves (attempts - 1)
running -> failed    refused, or attempts used up
waiting -> (none)    nobody asked for too long (`expired`)
failed  -> waiting   asked for after `due_at`
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from pellucid.database.tables import removals
from pellucid.queue.turns import Urgency
from pellucid.queue.values import Job

VERSION = 1
"""Of the rows that are written here; rows of a later one are left alone."""

WAITING, RUNNING, FAILED = "waiting", "running", "failed"
PENDING = (WAITING, RUNNING)

_REMEMBER_S = 7 * 86_400
"""A failure that nobody asked about for so long is forgotten, with its count."""

_REMEMBERED = 10_000
"""Failures that are remembered; beyond that those go that may be tried again first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One removal as it lies in the table; `database.tables` says what the columns are."""

    key: str
    origin_digest: str
    page: int
    recipe_id: str
    token: str
    urgency: Urgency
    rank: float
    state: str
    attempts: int
    pauses: int
    due_at: float
    asked_at: float
    owner: str | None
    failures: int
    reason: str | None

    @property
    def is_pending(self) -> bool:
        return self.state != FAILED

    def job(self, *, attempt: int) -> Job:
        """What a worker is given."""
        return Job(
            key=self.key,
            origin_digest=self.origin_digest,
            page=self.page,
            recipe_id=self.recipe_id,
            attempt=attempt,
        )


COLUMNS = [removals.c[name] for name in Row.__slots__]


def read_row(row: sa.Row[Any]) -> Row:
    """The removal in a row with `COLUMNS`."""
    return Row(
        **{name: getattr(row, name) for name in Row.__slots__ if name != "urgency"}, urgency=Urgency(row.urgency)
    )


def mine(store: str, *, states: Sequence[str] = (), recipes: Collection[str] | None = None) -> sa.ColumnElement[bool]:
    """Which rows of the table: of the store, in one of the states (of any for none), of the recipes (None: of any)."""
    wanted = [removals.c.store == store, removals.c.version <= VERSION]
    if states:
        wanted.append(removals.c.state.in_(states))
    if recipes is not None:
        wanted.append(removals.c.recipe_id.in_(sorted(recipes)))
    return sa.and_(*wanted)


def get(db: sa.Connection, key: str, *, store: str) -> Row | None:
    """The removal `key`."""
    row = db.execute(sa.select(*COLUMNS).where(mine(store), removals.c.key == key)).first()
    return None if row is None else read_row(row)


def of(db: sa.Connection, where: sa.ColumnElement[bool], *, limit: int | None = None) -> list[Row]:
    """Removals in the order of their turns."""
    query = sa.select(*COLUMNS).where(where).order_by(removals.c.rank, removals.c.key).limit(limit)
    return [read_row(row) for row in db.execute(query)]


def change(db: sa.Connection, key: str, *, store: str, **values: object) -> None:
    """Write `values` into the removal `key`."""
    db.execute(removals.update().where(removals.c.store == store, removals.c.key == key).values(**values))


def insert(db: sa.Connection, job: Job, *, store: str, token: str, urgency: Urgency, rank: float, now: float) -> None:
    """Owe it."""
    db.execute(
        removals.insert().values(
            store=store,
            key=job.key,
            version=VERSION,
            origin_digest=job.origin_digest,
            page=job.page,
            recipe_id=job.recipe_id,
            token=token,
            urgency=urgency.value,
            rank=rank,
            state=WAITING,
            attempts=0,
            pauses=0,
            due_at=0.0,
            asked_at=now,
            failures=0,
        )
    )


def delete(db: sa.Connection, keys: Collection[str], *, store: str, owner: str | None = None) -> int:
    """Owe them no more; with `owner`, only what that worker runs. Returns how many there were."""
    wanted = [removals.c.store == store, removals.c.key.in_(list(keys))]
    if owner is not None:
        wanted.append(removals.c.owner == owner)
    return db.execute(removals.delete().where(*wanted)).rowcount


def prune_failures(db: sa.Connection, *, store: str, now: float) -> None:
    """Forget failures that are old, or too many."""
    failed = mine(store, states=(FAILED,))
    db.execute(removals.delete().where(failed, removals.c.due_at < now - _REMEMBER_S))
    count = db.scalar(sa.select(sa.func.count()).select_from(removals).where(failed)) or 0
    if count > _REMEMBERED:
        oldest = sa.select(removals.c.key).where(failed).order_by(removals.c.due_at).limit(count - _REMEMBERED)
        db.execute(removals.delete().where(failed, removals.c.key.in_(oldest)))
