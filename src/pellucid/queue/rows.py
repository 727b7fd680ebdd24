"""The rows of jobs in the table `removals`, and their states. Each function is part of a transaction.

(none)  -> waiting   submitted
waiting -> running   claimed: attempts + 1
running -> (none)    done, or discarded
running -> waiting   attempt failed (with back-off), owner or lease lost;
                     postponed, or released by a worker that stops (attempts - 1)
running -> failed    permanent error, or attempts used up
waiting -> (none)    not requested for too long (`expired`)
failed  -> waiting   submitted after `due_at`
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
"""Version of the rows that this code writes. Rows of a later version are left alone."""

WAITING, RUNNING, FAILED = "waiting", "running", "failed"
PENDING = (WAITING, RUNNING)

_FAILURE_TTL_S = 7 * 86_400
"""A failure is deleted, with its count, this long after the moment from which it could have been retried."""

_MAX_FAILURES = 10_000
"""Failures that are remembered. Beyond that, those that may be retried first are deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of `removals`; `database.tables` documents the columns."""

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
        """The job that is handed to a worker."""
        return Job(
            key=self.key,
            origin_digest=self.origin_digest,
            page=self.page,
            recipe_id=self.recipe_id,
            attempt=attempt,
        )


COLUMNS = [removals.c[name] for name in Row.__slots__]


def read_row(row: sa.Row[Any]) -> Row:
    """Convert a result row with `COLUMNS`."""
    return Row(
        **{name: getattr(row, name) for name in Row.__slots__ if name != "urgency"}, urgency=Urgency(row.urgency)
    )


def matching(
    store: str, *, states: Sequence[str] = (), recipes: Collection[str] | None = None
) -> sa.ColumnElement[bool]:
    """Condition on the rows of a store. Without `states` any state matches; `recipes=None` matches any recipe."""
    wanted = [removals.c.store == store, removals.c.version <= VERSION]
    if states:
        wanted.append(removals.c.state.in_(states))
    if recipes is not None:
        wanted.append(removals.c.recipe_id.in_(sorted(recipes)))
    return sa.and_(*wanted)


def get(db: sa.Connection, key: str, *, store: str) -> Row | None:
    """The row `key`; None if there is none."""
    row = db.execute(sa.select(*COLUMNS).where(matching(store), removals.c.key == key)).first()
    return None if row is None else read_row(row)


def select(db: sa.Connection, where: sa.ColumnElement[bool], *, limit: int | None = None) -> list[Row]:
    """Rows in the order in which they run."""
    query = sa.select(*COLUMNS).where(where).order_by(removals.c.rank, removals.c.key).limit(limit)
    return [read_row(row) for row in db.execute(query)]


def update(db: sa.Connection, key: str, *, store: str, **values: object) -> None:
    """Write `values` into the row `key`."""
    db.execute(removals.update().where(removals.c.store == store, removals.c.key == key).values(**values))


def insert(db: sa.Connection, job: Job, *, store: str, token: str, urgency: Urgency, rank: float, now: float) -> None:
    """Insert a waiting job."""
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
    """Delete rows; with `owner`, only those that this worker runs. Returns the number of deleted rows."""
    wanted = [removals.c.store == store, removals.c.key.in_(list(keys))]
    if owner is not None:
        wanted.append(removals.c.owner == owner)
    return db.execute(removals.delete().where(*wanted)).rowcount


def prune_failures(db: sa.Connection, *, store: str, now: float) -> None:
    """Delete failures that are too old, or too many."""
    failed = matching(store, states=(FAILED,))
    db.execute(removals.delete().where(failed, removals.c.due_at < now - _FAILURE_TTL_S))
    count = db.scalar(sa.select(sa.func.count()).select_from(removals).where(failed)) or 0
    if count > _MAX_FAILURES:
        oldest = sa.select(removals.c.key).where(failed).order_by(removals.c.due_at).limit(count - _MAX_FAILURES)
        db.execute(removals.delete().where(failed, removals.c.key.in_(oldest)))
