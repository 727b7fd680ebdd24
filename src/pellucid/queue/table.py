"""The queue's jobs: their statements, and what state follows which (`sqlite.sql` draws it). Synchronous, one thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pellucid.queue.database import Database
from pellucid.queue.outbox import FAILED, READY, OutboxTable
from pellucid.queue.port import Failed, Full, Job, Listener, Owed, Priority, Receipt

USED_UP = "attempts-used-up"

_LOST = "WorkerLost"
"""Stands in the error column where no exception could be caught."""

_REMEMBER_S = 7 * 86_400
"""A failure nobody asked about for so long is forgotten, with its count."""

_PACE_WEIGHT = 0.2
"""Weight of the last job in the mean: after ten jobs of another size nine tenths of the old mean are gone."""

_ASSUMED_JOB_S = 1.0
"""For the estimate before any job was measured."""

_MAX_DOUBLINGS = 30

_ROW = (
    "SELECT key, origin_digest, recipe_id, turn, state, priority, attempts, due_at, owner, failures, reason FROM jobs"
)

_OF_RECIPES = "(:recipes = '[]' OR recipe_id IN (SELECT value FROM json_each(:recipes)))"

_CLAIM = f"""
UPDATE jobs SET state = 'running', owner = :owner, attempts = attempts + 1, due_at = :lease_until
WHERE turn = (
    SELECT turn FROM jobs WHERE state = 'waiting' AND due_at <= :now AND {_OF_RECIPES}
    ORDER BY priority DESC, turn LIMIT 1
)
RETURNING key, origin_digest, page, recipe_id, attempts
"""  # noqa: S608 - a constant of ours

_BACKLOG = """
SELECT key, state, attempts, due_at, row_number() OVER (PARTITION BY state ORDER BY priority DESC, turn)
FROM jobs WHERE state IN ('waiting', 'running')
"""

_RANK = """
SELECT count(*) FROM jobs WHERE state = 'waiting' AND (priority > :priority OR (priority = :priority AND turn <= :turn))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The numbers of one queue; `SqliteQueue.open` explains them."""

    depth_limit: int
    max_attempts: int
    lease_s: float
    backoff_s: float
    backoff_factor: float
    failure_s: float
    failure_max_s: float


class Row(NamedTuple):
    """One job as it lies in the table; the columns are explained in `sqlite.sql`."""

    key: str
    origin_digest: str
    recipe_id: str
    turn: int
    state: str
    priority: int
    attempts: int
    due_at: float
    owner: str | None
    failures: int
    reason: str | None


class JobTable:
    """Every method is one short transaction, or a read without one."""

    def __init__(self, database: Database, *, outbox: OutboxTable, rules: Rules, clock: Callable[[], float]) -> None:
        self._db = database
        self._outbox = outbox
        self._rules = rules
        self._clock = clock

    # Asking

    def submit(self, job: Job, priority: Priority, *, notify: Sequence[Listener] = (), workers: int) -> Receipt:
        """See the port. Writes nothing, and takes no write lock, if nothing changes. `workers` are those alive."""
        row = self._row(job.key)
        receipt = self._unchanged(row, priority, workers)
        if receipt is not None and not (isinstance(receipt, Owed) and self._outbox.lacks(job.key, notify)):
            return receipt
        with self._db.writing() as db:
            row = self._row(job.key)
            receipt = self._unchanged(row, priority, workers)
            if receipt is None or isinstance(receipt, Owed):
                self._outbox.listen(job.key, notify)
            if receipt is not None:
                return receipt
            if row is None:
                db.execute(
                    "INSERT INTO jobs (key, origin_digest, page, recipe_id, priority) VALUES (?, ?, ?, ?, ?)",
                    (job.key, job.origin_digest, job.page, job.recipe_id, int(priority)),
                )
            elif row.state == "failed":
                db.execute(
                    "UPDATE jobs SET state = 'waiting', turn = (SELECT max(turn) + 1 FROM jobs), priority = ?,"
                    " attempts = 0, due_at = 0, reason = NULL WHERE turn = ?",
                    (int(priority), row.turn),
                )
            else:
                db.execute("UPDATE jobs SET priority = ? WHERE turn = ?", (int(priority), row.turn))
            row = self._row(job.key)
            assert row is not None  # noqa: S101  written a line above, in this transaction
            return self._owed(row, workers)

    def look(self, key: str, *, workers: int) -> Owed | Failed | None:
        """See the port."""
        row = self._row(key)
        if row is None:
            return None
        return self._failed(row) if row.state == "failed" else self._owed(row, workers)

    def is_owed(self, key: str) -> bool:
        row = self._row(key)
        return row is not None and row.state != "failed"

    def owed_keys(self) -> frozenset[str]:
        return self._owed_column("key")

    def backlog(self, *, workers: int) -> dict[str, Owed]:
        """See the port. 1,000 jobs take about 3 ms."""
        rows = self._db.connection.execute(_BACKLOG).fetchall()
        running = sum(state == "running" for _, state, _, _, _ in rows)
        job_s = self.job_s() or _ASSUMED_JOB_S
        return {
            key: self._place(state == "running", rank, attempts, due_at, running=running, job_s=job_s, workers=workers)
            for key, state, attempts, due_at, rank in rows
        }

    def owed_origins(self) -> frozenset[str]:
        return self._owed_column("origin_digest")

    def count(self, state: str) -> int:
        return self._db.connection.execute("SELECT count(*) FROM jobs WHERE state = ?", (state,)).fetchone()[0]

    def job_s(self) -> float:
        """Mean time of a job in seconds, 0 before the first."""
        return self._db.connection.execute("SELECT job_s FROM pace").fetchone()[0]

    def check_writable(self) -> None:
        """Really writes: a full disk shows at the commit only."""
        with self._db.writing() as db:
            db.execute("UPDATE pace SET checked_at = ?", (self._clock(),))

    # Running

    # `recipes` is a JSON list of recipe ids; `[]` stands for any.

    def is_due(self, now: float, recipes: str) -> bool:
        query = f"SELECT 1 FROM jobs WHERE state = 'waiting' AND due_at <= :now AND {_OF_RECIPES} LIMIT 1"  # noqa: S608
        return self._db.connection.execute(query, {"now": now, "recipes": recipes}).fetchone() is not None

    def next_due_at(self, recipes: str) -> float:
        """When the first waiting job of the recipes may run; infinite if none waits."""
        query = f"SELECT min(due_at) FROM jobs WHERE state = 'waiting' AND {_OF_RECIPES}"  # noqa: S608
        found = self._db.connection.execute(query, {"recipes": recipes}).fetchone()[0]
        return float("inf") if found is None else found

    def claim(self, worker_id: str, now: float, recipes: str) -> Job | None:
        values = {"owner": worker_id, "now": now, "recipes": recipes, "lease_until": now + self._rules.lease_s}
        with self._db.writing() as db:
            claimed = db.execute(_CLAIM, values).fetchall()
        if not claimed:
            return None
        key, origin_digest, page, recipe_id, attempt = claimed[0]
        return Job(key=key, origin_digest=origin_digest, page=page, recipe_id=recipe_id, attempt=attempt)

    def running(self) -> list[Row]:
        return [Row(*found) for found in self._db.connection.execute(f"{_ROW} WHERE state = 'running'")]

    # The next three are parts of a transaction that the caller has begun.

    def extend_lease(self, worker_id: str) -> None:
        lease_until = self._clock() + self._rules.lease_s
        self._db.connection.execute("UPDATE jobs SET due_at = ? WHERE owner = ?", (lease_until, worker_id))

    def release(self, worker_id: str) -> None:
        """From running to waiting with the attempt given back: the worker was stopped, the job is not to blame."""
        self._db.connection.execute(
            "UPDATE jobs SET state = 'waiting', owner = NULL, attempts = attempts - 1, due_at = 0 WHERE owner = ?",
            (worker_id,),
        )

    def put_back(self, row: Row, *, due_at: float = 0.0, error: str = _LOST) -> None:
        """From running to waiting, or to failed if that was the last attempt."""
        if row.attempts >= self._rules.max_attempts:
            self._fail(row, reason=USED_UP, error=error)
        else:
            self._db.connection.execute(
                "UPDATE jobs SET state = 'waiting', owner = NULL, due_at = ?, error = ? WHERE turn = ?",
                (due_at, error, row.turn),
            )

    # Settling: each changes nothing where the worker is no longer the owner.

    def done(self, job: Job, worker_id: str, job_s: float) -> None:
        with self._db.writing() as db:
            if db.execute("DELETE FROM jobs WHERE key = ? AND owner = ?", (job.key, worker_id)).rowcount:
                facts = {"origin_digest": job.origin_digest, "recipe_id": job.recipe_id, "attempts": job.attempt}
                self._outbox.announce(job.key, READY, facts)
                mean = self.job_s()
                db.execute("UPDATE pace SET job_s = ?", (mean + _PACE_WEIGHT * (job_s - mean) if mean else job_s,))

    def drop(self, job: Job, worker_id: str) -> None:
        with self._db.writing() as db:
            if db.execute("DELETE FROM jobs WHERE key = ? AND owner = ?", (job.key, worker_id)).rowcount:
                self._outbox.forget(job.key)

    def postpone(self, job: Job, worker_id: str, pause_s: float) -> None:
        with self._db.writing() as db:
            db.execute(
                "UPDATE jobs SET state = 'waiting', owner = NULL, attempts = attempts - 1, due_at = ?"
                " WHERE key = ? AND owner = ?",
                (self._clock() + pause_s, job.key, worker_id),
            )

    def refuse(self, job: Job, worker_id: str, reason: str, error: str) -> None:
        with self._db.writing():
            row = self._row(job.key)
            if row is not None and row.owner == worker_id:
                self._fail(row, reason=reason, error=error)

    def retry(self, job: Job, worker_id: str, error: str) -> None:
        with self._db.writing():
            row = self._row(job.key)
            if row is not None and row.owner == worker_id:
                delay_s = self._rules.backoff_s * self._rules.backoff_factor ** (row.attempts - 1)
                self.put_back(row, due_at=self._clock() + delay_s, error=error)

    # Below: parts of the transactions above.

    def _row(self, key: str) -> Row | None:
        found = self._db.connection.execute(f"{_ROW} WHERE key = ?", (key,)).fetchone()
        return None if found is None else Row(*found)

    def _owed_column(self, column: str) -> frozenset[str]:
        query = f"SELECT DISTINCT {column} FROM jobs WHERE state IN ('waiting', 'running')"  # noqa: S608  our own names
        return frozenset(row[0] for row in self._db.connection.execute(query))

    def _unchanged(self, row: Row | None, priority: Priority, workers: int) -> Receipt | None:
        """The answer to a submit that changes nothing; None if it would change something."""
        now = self._clock()
        if row is not None and row.state == "failed" and row.due_at > now:
            return self._failed(row)
        if row is None or row.state == "failed":
            depth = self.count("waiting") + self.count("running")
            return Full(depth=depth) if depth >= self._rules.depth_limit else None
        return self._owed(row, workers) if priority <= row.priority else None

    def _owed(self, row: Row, workers: int) -> Owed:
        job_s = self.job_s() or _ASSUMED_JOB_S
        is_running = row.state == "running"
        rank = running = 0
        if not is_running:
            rank = self._db.connection.execute(_RANK, {"priority": row.priority, "turn": row.turn}).fetchone()[0]
            running = self.count("running")
        return self._place(is_running, rank, row.attempts, row.due_at, running=running, job_s=job_s, workers=workers)

    def _place(
        self, is_running: bool, rank: int, attempts: int, due_at: float, *, running: int, job_s: float, workers: int
    ) -> Owed:
        """Where the job stands that is number `rank` of those waiting."""
        if is_running:
            return Owed(position=1, eta_s=job_s, attempts=attempts)
        place = rank + running
        wait_s = max(0.0, due_at - self._clock())
        eta_s = wait_s + job_s * max(1.0, place / max(1, workers))
        return Owed(position=1 if rank <= 1 else place, eta_s=eta_s, attempts=attempts)

    def _failed(self, row: Row) -> Failed:
        retry_in_s = max(0.0, row.due_at - self._clock())
        return Failed(reason=row.reason or "", retry_in_s=retry_in_s, attempts=row.attempts)

    def _fail(self, row: Row, *, reason: str, error: str) -> None:
        db = self._db.connection
        now = self._clock()
        alone_s = min(self._rules.failure_s * 2 ** min(row.failures, _MAX_DOUBLINGS), self._rules.failure_max_s)
        db.execute(
            "UPDATE jobs SET state = 'failed', owner = NULL, due_at = ?, failures = failures + 1, reason = ?, error = ?"
            " WHERE turn = ?",
            (now + alone_s, reason, error, row.turn),
        )
        facts = {
            "origin_digest": row.origin_digest,
            "recipe_id": row.recipe_id,
            "attempts": row.attempts,
            "reason": reason,
        }
        self._outbox.announce(row.key, FAILED, facts)
        # Here, where the table grows, it is also pruned.
        db.execute("DELETE FROM jobs WHERE state = 'failed' AND due_at < ?", (now - _REMEMBER_S,))
