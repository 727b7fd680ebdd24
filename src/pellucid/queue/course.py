"""From a claim to the end of a removal: what ends one charges or gives back what was held for it, and owes its
listeners their messages, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from pellucid.database import store_row
from pellucid.database.bell import ring
from pellucid.database.locks import Lock, lock
from pellucid.database.tables import removals, stores
from pellucid.ledger import entries
from pellucid.ledger.ledger import Ledger
from pellucid.mattes import facts as matte_facts
from pellucid.mattes.facts import MatteFacts
from pellucid.queue import outbox, rows
from pellucid.queue.rows import RUNNING, WAITING, Row, mine
from pellucid.queue.turns import MAX_PAUSES, RetryPolicy, pause_s
from pellucid.queue.values import Job

USED_UP = "attempts-used-up"
EXPIRED = "expired"

_LOST = "WorkerLost"
"""Stands in the error column where no exception could be caught."""

_PACE_WEIGHT = 0.2
"""Weight of the last removal in the mean: after ten of another size nine tenths of the old mean are gone."""

_AT_A_TIME = 500
"""Removals that expire in one transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """The course of the removals of one store. Each method is one transaction; where a worker is named that is no
    longer the owner, nothing changes. `clock` says seconds since the epoch.
    """

    store: str
    ledger: Ledger
    retry_policy: RetryPolicy
    lease_s: float
    clock: Callable[[], float]

    def claim(self, db: sa.Connection, worker_id: str, recipes: Collection[str]) -> Job | None:
        """The worker has the removal whose turn it is, if there is one."""
        lock(db, Lock.REMOVALS, self.store)
        self._release(db, worker_id)  # a claim whose commit this worker never heard of
        now = self.clock()
        due = sa.and_(mine(self.store, states=(WAITING,), recipes=recipes), removals.c.due_at <= now)
        found = rows.of(db, due, limit=1)
        if not found:
            return None
        (row,) = found
        attempt = row.attempts + 1
        self._change(db, row.key, state=RUNNING, owner=worker_id, attempts=attempt, due_at=now + self.lease_s)
        virtual_time: float = store_row.value_of(db, self.store, stores.c.virtual_time) or 0.0
        store_row.note(db, self.store, virtual_time=max(virtual_time, row.rank))
        ring(db)
        return row.job(attempt=attempt)

    def next_turns(self, db: sa.Connection, recipes: Collection[str]) -> tuple[float, float]:
        """When the first waiting removal of the recipes may run, and when the first lease runs out that nobody extends;
        infinite for none. A read.
        """
        first = sa.select(sa.func.min(removals.c.due_at))
        waiting = first.where(mine(self.store, states=(WAITING,), recipes=recipes)).scalar_subquery()
        running = first.where(mine(self.store, states=(RUNNING,))).scalar_subquery()
        due_at, lease_end = db.execute(sa.select(waiting, running)).one()
        never = float("inf")
        return never if due_at is None else due_at, never if lease_end is None else lease_end

    def extend_lease(self, db: sa.Connection, key: str, worker_id: str) -> None:
        """The worker lives and has the removal in hand."""
        those = (removals.c.store == self.store, removals.c.key == key, removals.c.owner == worker_id)
        db.execute(removals.update().where(*those).values(due_at=self.clock() + self.lease_s))

    def release(self, db: sa.Connection, worker_id: str) -> None:
        """The worker leaves: what it has waits again, with its attempt given back."""
        lock(db, Lock.REMOVALS, self.store)
        if self._release(db, worker_id):
            ring(db)

    def put_back_lost(self, db: sa.Connection, dead: Collection[str]) -> None:
        """What the dead have in hand waits again, and what is over its lease; or it has failed, if that was the last
        attempt.
        """
        lock(db, Lock.REMOVALS, self.store)
        lost = sa.or_(removals.c.owner.in_(list(dead)), removals.c.due_at <= self.clock())
        for row in rows.of(db, sa.and_(mine(self.store, states=(RUNNING,)), lost)):
            self._put_back(db, row, error=_LOST, due_at=0.0)
        ring(db)

    def done(self, db: sa.Connection, job: Job, worker_id: str, facts: MatteFacts, job_s: float) -> None:
        """The matte is there: known, charged, told."""
        lock(db, Lock.REMOVALS, self.store)
        matte_facts.write(db, facts, store=self.store, now=self.clock())
        ring(db)
        if not rows.delete(db, [job.key], store=self.store, owner=worker_id):
            return
        self._settle(db, job.key, available=not facts.empty)
        told = {"origin_digest": job.origin_digest, "recipe_id": job.recipe_id, "attempts": job.attempt}
        outbox.announce(db, job.key, outbox.READY, told, store=self.store, now=self.clock())
        mean: float = store_row.value_of(db, self.store, stores.c.job_s) or 0.0
        store_row.note(db, self.store, job_s=mean + _PACE_WEIGHT * (job_s - mean) if mean else job_s)

    def drop(self, db: sa.Connection, job: Job, worker_id: str) -> None:
        """It is moot: forgotten, as if nobody had asked."""
        lock(db, Lock.REMOVALS, self.store)
        if rows.delete(db, [job.key], store=self.store, owner=worker_id):
            self._settle(db, job.key, available=False)
            outbox.forget_listeners(db, job.key, store=self.store)
            ring(db)

    def refuse(self, db: sa.Connection, job: Job, worker_id: str, reason: str, error: str) -> None:
        """Trying again would not help."""
        row = self._owned(db, job, worker_id)
        if row is not None:
            self._fail(db, row, reason=reason, error=error)
            ring(db)

    def retry(self, db: sa.Connection, job: Job, worker_id: str, error: str) -> None:
        """The attempt failed; there may be another."""
        row = self._owned(db, job, worker_id)
        if row is not None:
            self._put_back(db, row, error=error, due_at=self.clock() + self.retry_policy.after_attempt(row.attempts))
            ring(db)

    def put_off(self, db: sa.Connection, job: Job, worker_id: str, reason: str) -> float:
        """What it needs is away: it waits again, and no attempt is used up, unless it was put off so often that it is
        rather this one's fault (one bad sector). Returns for how long.
        """
        row = self._owned(db, job, worker_id)
        if row is None:
            return 0.0
        pauses = row.pauses + 1
        if pauses > MAX_PAUSES:
            self._put_back(db, row, error=reason, due_at=self.clock())
            ring(db)
            return 0.0
        rest_s = pause_s(pauses)
        values = {"attempts": row.attempts - 1, "pauses": pauses, "due_at": self.clock() + rest_s, "reason": reason}
        self._change(db, row.key, state=WAITING, owner=None, **values)
        ring(db)
        return rest_s

    def expire(self, db: sa.Connection, served: Collection[str] | None) -> list[str]:
        """Owe no more what nobody asked for in too long; what is of none of the recipes `served`, sooner, if those are
        known. What was held goes back, listeners are told. Returns the recipes of up to 500; to be called until there
        are none.
        """
        lock(db, Lock.REMOVALS, self.store)
        now, retry_policy = self.clock(), self.retry_policy
        waiting = sa.and_(removals.c.store == self.store, removals.c.state == WAITING)
        late = removals.c.asked_at < now - retry_policy.wait_s  # whatever version wrote it
        if served is not None:
            unserved = sa.and_(removals.c.recipe_id.not_in(sorted(served)), removals.c.version <= rows.VERSION)
            late = sa.or_(late, sa.and_(unserved, removals.c.asked_at < now - retry_policy.unserved_s))
        columns = (removals.c.key, removals.c.origin_digest, removals.c.recipe_id, removals.c.attempts)
        found = db.execute(sa.select(*columns).where(waiting, late).limit(_AT_A_TIME)).all()
        for row in found:
            self._settle(db, row.key, available=False)
            told = {"origin_digest": row.origin_digest, "recipe_id": row.recipe_id, "attempts": row.attempts}
            self._announce_failure(db, row.key, EXPIRED, **told)
        rows.delete(db, [row.key for row in found], store=self.store)
        entries.drop_lost_holds(db, before=now - retry_policy.wait_s)
        if found:
            ring(db)
        return [row.recipe_id for row in found]

    # Parts of the above

    def _change(self, db: sa.Connection, key: str, **values: object) -> None:
        rows.change(db, key, store=self.store, **values)

    def _owned(self, db: sa.Connection, job: Job, worker_id: str) -> Row | None:
        lock(db, Lock.REMOVALS, self.store)
        row = rows.get(db, job.key, store=self.store)
        return row if row is not None and row.owner == worker_id else None

    def _release(self, db: sa.Connection, worker_id: str) -> int:
        those = (removals.c.store == self.store, removals.c.owner == worker_id)
        values: dict[str, Any] = {
            "state": WAITING,
            "owner": None,
            "attempts": removals.c.attempts - 1,
            "due_at": 0.0,
        }
        return db.execute(removals.update().where(*those).values(**values)).rowcount

    def _settle(self, db: sa.Connection, key: str, *, available: bool) -> None:
        self.ledger.settle(db, store=self.store, job=key, available=available, now=self.clock())

    def _put_back(self, db: sa.Connection, row: Row, *, error: str, due_at: float) -> None:
        if row.attempts >= self.retry_policy.attempts:
            self._fail(db, row, reason=USED_UP, error=error)
        else:
            self._change(db, row.key, state=WAITING, owner=None, due_at=due_at, error=error, pauses=0)

    def _fail(self, db: sa.Connection, row: Row, *, reason: str, error: str) -> None:
        failures = row.failures + 1
        due_at = self.clock() + self.retry_policy.after_failure(failures)
        values = {"due_at": due_at, "failures": failures, "reason": reason, "error": error}
        self._change(db, row.key, state=rows.FAILED, owner=None, **values)
        self._settle(db, row.key, available=False)
        told = {"origin_digest": row.origin_digest, "recipe_id": row.recipe_id, "attempts": row.attempts}
        self._announce_failure(db, row.key, reason, **told)
        # Here, where there are more of them, they are also pruned.
        rows.prune_failures(db, store=self.store, now=self.clock())

    def _announce_failure(self, db: sa.Connection, key: str, reason: str, **told: object) -> None:
        outbox.announce(db, key, outbox.FAILED, {**told, "reason": reason}, store=self.store, now=self.clock())
