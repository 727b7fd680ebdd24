"""The workers of a queue: who is at work, who died, and what an idle one looks at. Synchronous, one thread."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from pellucid.queue.database import Database
from pellucid.queue.owners import OwnerLock, Owners
from pellucid.queue.port import Job, WorkerInfo
from pellucid.queue.table import JobTable

_PROBE_S = 0.2
"""How often an idle worker looks whether the others live: about 5 microseconds each."""


@dataclass(slots=True, kw_only=True)
class Seat:
    """One worker's place: its lock, and what it last saw, so that an idle look is cheap."""

    info: WorkerInfo
    lock: OwnerLock | None = None
    version: tuple[int, int, int] | None = None
    due_at: float = 0.0
    probe_at: float = 0.0

    @property
    def recipes(self) -> str:
        """What it takes, as `JobTable` wants it."""
        return _as_json(self.info)


class Crew:
    """The rows of `workers` and the locks that say who of them is alive."""

    def __init__(self, database: Database, *, owners: Owners, table: JobTable, clock: Callable[[], float]) -> None:
        self._db = database
        self._owners = owners
        self._table = table
        self._clock = clock

    def alive(self) -> tuple[WorkerInfo, ...]:
        query = "SELECT worker_id, pid, model, device, precision, recipes FROM workers ORDER BY worker_id"
        return tuple(
            WorkerInfo(
                worker_id=worker_id,
                pid=pid,
                model=model,
                device=device,
                precision=precision,
                recipe_ids=tuple(json.loads(recipes)),
            )
            for worker_id, pid, model, device, precision, recipes in self._db.connection.execute(query).fetchall()
            if self._owners.is_alive(worker_id)
        )

    def join(self, seat: Seat) -> None:
        """Take the worker's lock, clean up what died before it, say who it is.

        Raises QueueError when a living worker has that name.
        """
        worker_id = seat.info.worker_id
        seat.lock = self._owners.acquire(worker_id)
        self.sweep()
        for name in self._owners.names():
            if not self._owners.is_alive(name):
                self._owners.bury(name)
        with self._db.writing():
            # A former life with this name died; its lock looks held now that it is ours.
            for row in self._table.running():
                if row.owner == worker_id:
                    self._table.put_back(row)
            self._sign(seat.info)

    def leave(self, seat: Seat) -> None:
        """Release what was claimed and not settled. The caller frees the lock, whatever happens here."""
        if seat.lock is None:
            return
        with self._db.writing() as db:
            self._table.release(seat.info.worker_id)
            db.execute("DELETE FROM workers WHERE worker_id = ?", (seat.info.worker_id,))

    def beat(self, seat: Seat) -> None:
        """Extend the lease; put back a lock file or row that somebody removed."""
        if seat.lock is not None:
            seat.lock.ensure()
        with self._db.writing():
            self._sign(seat.info)
            self._table.extend_lease(seat.info.worker_id)

    def take(self, seat: Seat) -> Job | None:
        """Claim the next job, if there is one. Costs one short read while nobody writes and nothing falls due."""
        if self._db.version() != seat.version or time.monotonic() >= seat.probe_at:
            seat.probe_at = time.monotonic() + _PROBE_S
            self.sweep()
        version = self._db.version()
        now = self._clock()
        if version == seat.version and now < seat.due_at:
            return None
        # A look first: many idle workers woken by one job would otherwise queue up for the write lock.
        if self._table.is_due(now, seat.recipes):
            if seat.lock is not None:
                seat.lock.ensure()  # without its file this worker would look dead, and lose the job at once
            job = self._table.claim(seat.info.worker_id, now, seat.recipes)
            if job is not None:
                return job
        seat.version = version
        seat.due_at = self._table.next_due_at(seat.recipes)
        return None

    def sweep(self) -> int:
        """Take running jobs from dead owners and run-out leases, forget dead workers; returns how many are alive.

        Only reads if nothing was lost.
        """
        workers: set[str] = {row[0] for row in self._db.connection.execute("SELECT worker_id FROM workers").fetchall()}
        running = self._table.running()
        names = workers | {row.owner for row in running if row.owner is not None}
        dead = {name for name in names if not self._owners.is_alive(name)}
        now = self._clock()
        if dead or any(row.due_at <= now for row in running):
            with self._db.writing() as db:
                # Asked again now that nobody can join: a namesake may have come to life in between.
                dead = {name for name in dead if self._owners.bury(name)}
                for row in self._table.running():
                    if row.owner in dead or row.due_at <= now:
                        self._table.put_back(row)
                db.executemany("DELETE FROM workers WHERE worker_id = ?", [(name,) for name in dead])
        return len(workers - dead)

    def _sign(self, info: WorkerInfo) -> None:
        self._db.connection.execute(
            "INSERT OR REPLACE INTO workers VALUES (?, ?, ?, ?, ?, ?, ?)",
            (info.worker_id, info.pid, info.model, info.device, info.precision, _as_json(info), self._clock()),
        )


def _as_json(info: WorkerInfo) -> str:
    return json.dumps(info.recipe_ids)
