"""State transitions of jobs, from the claim to the end.

A transition that ends a job also charges or releases the credits held for it and queues the messages to its listeners,
in the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from pellucid.database import store_row
from pellucid.database.changes import signal_change
from pellucid.database.locks import Lock, lock
from pellucid.database.tables import removals, stores
from pellucid.ledger import entries
from pellucid.ledger.ledger import Ledger
from pellucid.mattes import facts as matte_facts
from pellucid.mattes.facts import MatteFacts
from pellucid.queue import outbox, rows
from pellucid.queue.rows import RUNNING, WAITING, Row, matching
from pellucid.queue.turns import MAX_PAUSES, RetryPolicy, pause_s
from pellucid.queue.values import Job

USED_UP = "attempts-used-up"
EXPIRED = "expired"

_LOST = "WorkerLost"
"""Written into the error column where no exception could be caught."""

_PACE_WEIGHT = 0.2
"""Weight of the last job in the mean: after ten jobs of another size nine tenths of the old mean are gone."""

_EXPIRE_BATCH = 500
"""Jobs that expire in one transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTransitions:
    """State transitions of the jobs of one store. Each method is one transaction. A method that takes a `worker_id`
    changes nothing if that worker is no longer the job's owner.
    """

    store: str
    ledger: Ledger
    retry_policy: RetryPolicy
    lease_s: float
    clock: Callable[[], float]
    """Returns seconds since the epoch."""

    def claim(self, db: sa.Connection, worker_id: str, recipes: Collection[str]) -> Job | None:
        """Claim the next due job for the worker; None if there is none."""
        lock(db, Lock.REMOVALS, self.store)
        self._release(db, worker_id)  # an earlier claim that was committed, but whose result was lost on the way
        now = self.clock()
        due = sa.and_(matching(self.store, states=(WAITING,), recipes=recipes), removals.c.due_at <= now)
        found = rows.select(db, due, limit=1)
        if not found:
            return None
        (row,) = found
        attempt = row.attempts + 1
        self._update(db, row.key, state=RUNNING, owner=worker_id, attempts=attempt, due_at=now + self.lease_s)
        virtual_time: float = store_row.read(db, self.store, stores.c.virtual_time) or 0.0
        store_row.write(db, self.store, virtual_time=max(virtual_time, row.rank))
        signal_change(db)
        return row.job(attempt=attempt)

    def next_turns(self, db: sa.Connection, recipes: Collection[str]) -> tuple[float, float]:
        """Time from which the first waiting job of the recipes may run, and the end of the first lease; infinite for
        none. Only reads.
        """
        first = sa.select(sa.func.min(removals.c.due_at))
        waiting = first.where(matching(self.store, states=(WAITING,), recipes=recipes)).scalar_subquery()
        running = first.where(matching(self.store, states=(RUNNING,))).scalar_subquery()
        due_at, lease_end = db.execute(sa.select(waiting, running)).one()
        never = float("inf")
        return never if due_at is None else due_at, never if lease_end is None else lease_end

    def extend_lease(self, db: sa.Connection, key: str, worker_id: str) -> None:
        """Extend the worker's lease of the job, from now on."""
        owned = (removals.c.store == self.store, removals.c.key == key, removals.c.owner == worker_id)
        db.execute(removals.update().where(*owned).values(due_at=self.clock() + self.lease_s))

    def release(self, db: sa.Connection, worker_id: str) -> None:
        """Requeue the job of a worker that stops. Its attempt is not counted."""
        lock(db, Lock.REMOVALS, self.store)
        if self._release(db, worker_id):
            signal_change(db)

    def requeue_lost(self, db: sa.Connection, dead: Collection[str]) -> None:
        """Requeue the jobs of `dead` workers and those whose lease has ended. A job without attempts left fails."""
        lock(db, Lock.REMOVALS, self.store)
        lost = sa.or_(removals.c.owner.in_(list(dead)), removals.c.due_at <= self.clock())
        for row in rows.select(db, sa.and_(matching(self.store, states=(RUNNING,)), lost)):
            self._requeue(db, row, error=_LOST, due_at=0.0)
        signal_change(db)

    def complete(self, db: sa.Connection, job: Job, worker_id: str, facts: MatteFacts, job_s: float) -> None:
        """End the job after its matte was stored: record the matte, charge for it, queue the messages. The matte is
        recorded also if the worker is no longer the job's owner.
        """
        lock(db, Lock.REMOVALS, self.store)
        matte_facts.write(db, facts, store=self.store, now=self.clock())
        signal_change(db)
        if not rows.delete(db, [job.key], store=self.store, owner=worker_id):
            return
        self._settle(db, job.key, available=not facts.empty)
        message = {"origin_digest": job.origin_digest, "recipe_id": job.recipe_id, "attempts": job.attempt}
        outbox.enqueue_webhooks(db, job.key, outbox.READY, message, store=self.store, now=self.clock())
        mean: float = store_row.read(db, self.store, stores.c.job_s) or 0.0
        store_row.write(db, self.store, job_s=mean + _PACE_WEIGHT * (job_s - mean) if mean else job_s)

    def discard(self, db: sa.Connection, job: Job, worker_id: str) -> None:
        """Delete the job as if it had never been submitted. Its listeners get no message."""
        lock(db, Lock.REMOVALS, self.store)
        if rows.delete(db, [job.key], store=self.store, owner=worker_id):
            self._settle(db, job.key, available=False)
            outbox.remove_listeners(db, job.key, store=self.store)
            signal_change(db)

    def fail(self, db: sa.Connection, job: Job, worker_id: str, reason: str, error: str) -> None:
        """Fail the job permanently, because a retry would not help."""
        row = self._owned(db, job, worker_id)
        if row is not None:
            self._mark_failed(db, row, reason=reason, error=error)
            signal_change(db)

    def retry(self, db: sa.Connection, job: Job, worker_id: str, error: str) -> None:
        """Record a failed attempt: the job is requeued after a back-off, or fails if this was its last attempt."""
        row = self._owned(db, job, worker_id)
        if row is not None:
            self._requeue(db, row, error=error, due_at=self.clock() + self.retry_policy.after_attempt(row.attempts))
            signal_change(db)

    def postpone(self, db: sa.Connection, job: Job, worker_id: str, reason: str) -> float:
        """Requeue the job because the store or the database is unavailable. Returns the pause in seconds.

        No attempt is used up, unless the job was postponed more than `MAX_PAUSES` times in a row: then the fault is
        likely its own (one bad sector under its files).
        """
        row = self._owned(db, job, worker_id)
        if row is None:
            return 0.0
        pauses = row.pauses + 1
        if pauses > MAX_PAUSES:
            self._requeue(db, row, error=reason, due_at=self.clock())
            signal_change(db)
            return 0.0
        rest_s = pause_s(pauses)
        values = {"attempts": row.attempts - 1, "pauses": pauses, "due_at": self.clock() + rest_s, "reason": reason}
        self._update(db, row.key, state=WAITING, owner=None, **values)
        signal_change(db)
        return rest_s

    def expire(self, db: sa.Connection, served: Collection[str] | None) -> list[str]:
        """Delete waiting jobs that were not requested for too long: `wait_s`, or `unserved_s` if their recipe is not in
        `served`. None means that the served recipes are not known. Holds are released, listeners get a message.

        Expires up to 500 jobs and returns their recipes; the caller repeats until none are left.
        """
        lock(db, Lock.REMOVALS, self.store)
        now, retry_policy = self.clock(), self.retry_policy
        waiting = sa.and_(removals.c.store == self.store, removals.c.state == WAITING)
        late = removals.c.asked_at < now - retry_policy.wait_s  # of any version
        if served is not None:
            unserved = sa.and_(removals.c.recipe_id.not_in(sorted(served)), removals.c.version <= rows.VERSION)
            late = sa.or_(late, sa.and_(unserved, removals.c.asked_at < now - retry_policy.unserved_s))
        columns = (removals.c.key, removals.c.origin_digest, removals.c.recipe_id, removals.c.attempts)
        found = db.execute(sa.select(*columns).where(waiting, late).limit(_EXPIRE_BATCH)).all()
        for row in found:
            self._settle(db, row.key, available=False)
            facts = {"origin_digest": row.origin_digest, "recipe_id": row.recipe_id, "attempts": row.attempts}
            self._enqueue_failure(db, row.key, EXPIRED, **facts)
        rows.delete(db, [row.key for row in found], store=self.store)
        entries.drop_lost_holds(db, before=now - retry_policy.wait_s)
        if found:
            signal_change(db)
        return [row.recipe_id for row in found]

    # Parts of the above

    def _update(self, db: sa.Connection, key: str, **values: object) -> None:
        rows.update(db, key, store=self.store, **values)

    def _owned(self, db: sa.Connection, job: Job, worker_id: str) -> Row | None:
        lock(db, Lock.REMOVALS, self.store)
        row = rows.get(db, job.key, store=self.store)
        return row if row is not None and row.owner == worker_id else None

    def _release(self, db: sa.Connection, worker_id: str) -> int:
        owned = (removals.c.store == self.store, removals.c.owner == worker_id)
        values: dict[str, Any] = {
            "state": WAITING,
            "owner": None,
            "attempts": removals.c.attempts - 1,
            "due_at": 0.0,
        }
        return db.execute(removals.update().where(*owned).values(**values)).rowcount

    def _settle(self, db: sa.Connection, key: str, *, available: bool) -> None:
        self.ledger.settle(db, store=self.store, job=key, available=available, now=self.clock())

    def _requeue(self, db: sa.Connection, row: Row, *, error: str, due_at: float) -> None:
        if row.attempts >= self.retry_policy.attempts:
            self._mark_failed(db, row, reason=USED_UP, error=error)
        else:
            self._update(db, row.key, state=WAITING, owner=None, due_at=due_at, error=error, pauses=0)

    def _mark_failed(self, db: sa.Connection, row: Row, *, reason: str, error: str) -> None:
        failures = row.failures + 1
        due_at = self.clock() + self.retry_policy.after_failure(failures)
        values = {"due_at": due_at, "failures": failures, "reason": reason, "error": error}
        self._update(db, row.key, state=rows.FAILED, owner=None, **values)
        self._settle(db, row.key, available=False)
        facts = {"origin_digest": row.origin_digest, "recipe_id": row.recipe_id, "attempts": row.attempts}
        self._enqueue_failure(db, row.key, reason, **facts)
        # Failures are pruned here, because only here their number grows.
        rows.prune_failures(db, store=self.store, now=self.clock())

    def _enqueue_failure(self, db: sa.Connection, key: str, reason: str, **facts: object) -> None:
        outbox.enqueue_webhooks(db, key, outbox.FAILED, {**facts, "reason": reason}, store=self.store, now=self.clock())
