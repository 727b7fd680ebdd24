"""Import of a data directory of a version before the single database: jobs, credits, uploads, messages, invalidations.

The import is one transaction and may be repeated: every row is inserted under its key unless it exists. If a process is
killed after the commit and before the files are moved aside, the next one imports again, without duplicates.

A million charges take 45 s into either database, with two busy cores. This needs 10 MB of memory, and in SQLite 250 MB
on the disk for the -wal file until the end.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import sqlalchemy as sa

from pellucid.database import store_row
from pellucid.database.changes import signal_change
from pellucid.database.database import Database
from pellucid.database.insert import insert_once
from pellucid.database.locks import Lock, lock
from pellucid.database.old_files import Invalidation, OldFiles
from pellucid.database.tables import (
    balances,
    charges,
    holds,
    invalidations,
    listeners,
    outbox,
    removals,
    stores,
    uploads,
)

__all__ = ["OldFiles", "move_aside", "take_over", "take_over_files"]

Counts = dict[str, int]
"""Number of rows of each table in the old files, imported before or not. `requeued`: jobs that were queued because
credits are held for them.
"""

TAKE_OVER_S = 600.0
"""Timeout of the import."""

_VERSION = 1
"""Version of the rows that are written here."""

_TOKEN = "default"  # noqa: S105 - older versions did not store the token of a job
_PAGE_PRIORITY = 10
"""Priority of jobs that a page waited for. Higher ones ran first."""

_RECORD_KEY = re.compile(r"origins/([^/]+)/([0-9a-f]{32})")
_MATTE_NAME = re.compile(r"([0-9a-f]{32})\.([0-9]{1,9})\.(.+)")


async def take_over_files(database: Database, *, old: OldFiles, store: str) -> Counts:
    """Import everything and move the files aside. Raises DatabaseError."""
    try:
        counts = await database.run(partial(take_over, old=old, store=store), max_wait_s=TAKE_OVER_S)
        await asyncio.to_thread(move_aside, old)
    finally:
        await asyncio.to_thread(old.close)
    return counts


def move_aside(old: OldFiles) -> None:
    """Move the files aside, after the commit of `take_over`."""
    old.move_aside()


def take_over(db: sa.Connection, *, old: OldFiles, store: str) -> Counts:
    """Import the old files; part of a transaction. The files stay locked until they are moved aside or closed. `store`
    is the name of the folder of bytes beside them. Raises DatabaseError.
    """
    with old.locked():
        now = time.time()
        existing = old.tables()
        counts = {
            "removals": _removals(db, old, store, now=now) if "jobs" in existing else 0,
            "listeners": _copy(db, old, listeners, store=store) if "listeners" in existing else 0,
            "outbox": _copy(db, old, outbox, "deliveries", "ORDER BY turn", version=_VERSION)
            if "deliveries" in existing
            else 0,
            "balances": 0,
            "charges": 0,
            "holds": 0,
            "uploads": 0,
        }
        if "pace" in existing:
            _pace(db, old, store)
        first = db.execute(sa.select(charges.c.token).limit(1)).first() is None
        # If the operator had moved the ledger to a database of its own, `db` is that one, and the file is outdated.
        if "charges" in existing and (first or not sa.inspect(db).has_table("ledger_schema")):
            counts["charges"] = _copy(db, old, charges)
            counts["balances"] = _balances(db, old, first=first)
            counts["holds"] = _copy(db, old, holds, store=store)
            counts["uploads"] = _copy(db, old, uploads) if "uploads" in existing else 0
        counts["requeued"] = _requeue_held_jobs(db, store, now=now)
        counts["invalidations"] = _invalidations(db, old.invalidations(), now=now)
        signal_change(db)
        return counts


def _copy(db: sa.Connection, old: OldFiles, table: sa.Table, of: str = "", order: str = "", **more: object) -> int:
    """Copy the columns that both tables have. `more` are columns with the same value in every row."""
    of = of or table.name
    names = sorted(old.columns(of) & {column.name for column in table.columns})
    query = f"SELECT {', '.join(names)} FROM {of} {order}"  # noqa: S608 - names of ours
    return _write(db, table, ([row | more for row in chunk] for chunk in old.rows(query)))


def _write(db: sa.Connection, table: sa.Table, chunks: Iterable[list[dict[str, Any]]]) -> int:
    count = 0
    for chunk in chunks:
        db.execute(insert_once(db, table), chunk)
        count += len(chunk)
    return count


def _removals(db: sa.Connection, old: OldFiles, store: str, *, now: float) -> int:
    """Import the jobs in the order in which they would have run. A running job waits again, with its attempt counted:
    its worker is gone, and may have died of it.
    """
    query = """
        SELECT key, origin_digest, page, recipe_id, state, priority, attempts, due_at, failures, reason, error
        FROM jobs ORDER BY priority DESC, turn
    """

    def chunks() -> Iterator[list[dict[str, Any]]]:
        rank = 0.0
        for chunk in old.rows(query):
            for row in chunk:
                rank += 1
                row.update(_turn(store, rank=rank, now=now))
                row["urgency"] = "page" if row.pop("priority") >= _PAGE_PRIORITY else "upgrade"
                if row["state"] == "running":
                    row.update(state="waiting", due_at=0.0)
            yield chunk
            # Holds in a ledger with a database of its own have no store yet.
            keys = [row["key"] for row in chunk]
            db.execute(holds.update().where(holds.c.store == "", holds.c.job.in_(keys)).values(store=store))

    return _write(db, removals, chunks())


def _turn(store: str, *, rank: float, now: float) -> dict[str, Any]:
    """The columns that older versions did not have."""
    return {
        "store": store,
        "version": _VERSION,
        "token": _TOKEN,
        "rank": rank,
        "pauses": 0,
        "asked_at": now,
        "owner": None,
    }


def _pace(db: sa.Connection, old: OldFiles, store: str) -> None:
    for chunk in old.rows("SELECT job_s FROM pace"):
        for row in chunk:
            if not store_row.read(db, store, stores.c.job_s):
                store_row.write(db, store, job_s=row["job_s"])


def _balances(db: sa.Connection, old: OldFiles, *, first: bool) -> int:
    """Import the sums of months. A sum is recomputed from the charges, since the month may have newer ones, or charges
    of another file: unless these are the `first` charges here and the month had no row (it may have one without any).
    """
    count = 0
    for chunk in old.rows("SELECT token, month, charged FROM balances"):
        for row in chunk:
            count += 1
            token, month = row["token"], row["month"]
            same = (balances.c.token == token, balances.c.month == month)
            db.execute(insert_once(db, balances).values(row))
            charged = db.scalar(sa.select(balances.c.charged).where(*same).with_for_update())
            if first and charged == row["charged"]:
                continue
            of_month = (charges.c.token == token, charges.c.day.between(f"{month}-01", f"{month}-31"))
            total = db.scalar(sa.select(sa.func.sum(charges.c.credits)).where(*of_month))
            db.execute(balances.update().where(*same).values(charged=int(total or 0)))
    return count


def _requeue_held_jobs(db: sa.Connection, store: str, *, now: float) -> int:
    """Queue jobs for holds that have none: a worker finds the matte and charges for it, or releases the credits.

    Holds of failed jobs lose their store, and so end with the other holds without a job.
    """
    of_store = (removals.c.store == store, removals.c.key == holds.c.job)
    failed = sa.exists().where(*of_store, removals.c.state == "failed")
    db.execute(holds.update().where(holds.c.store == store, failed).values(store=""))
    lost = sa.select(holds.c.job).where(holds.c.store == store, ~sa.exists().where(*of_store)).distinct()
    rank = db.scalar(sa.select(sa.func.max(removals.c.rank)).where(removals.c.store == store)) or 0.0
    rows: list[dict[str, Any]] = []
    for job in list(db.scalars(lost.order_by(holds.c.job))):
        found = _MATTE_NAME.fullmatch(job)
        if found is None:
            db.execute(holds.update().where(holds.c.store == store, holds.c.job == job).values(store=""))
            continue
        digest, page, recipe_id = found.groups()
        what = {"key": job, "origin_digest": digest, "page": int(page), "recipe_id": recipe_id, "urgency": "upgrade"}
        state = {"state": "waiting", "attempts": 0, "due_at": 0.0, "failures": 0, "reason": None, "error": None}
        rows.append(_turn(store, rank=rank + len(rows) + 1, now=now) | what | state)
    return _write(db, removals, [rows] if rows else [])


def _invalidations(db: sa.Connection, lines: list[Invalidation | None], *, now: float) -> int:
    """Write the last invalidation of each origin, which includes the earlier ones. A line that cannot be parsed may
    have named any origin, so it invalidates all of them, as in older versions.
    """
    latest: dict[tuple[str, str], float] = {}
    for each in lines:
        found = None if each is None else _RECORD_KEY.fullmatch(each.record_key)
        of = ("", "") if found is None else (found[1], found[2])
        latest[of] = max(latest.get(of, 0.0), now if each is None or found is None else each.at)
    last = sa.func.max(invalidations.c.told_at).label("told_at")
    query = sa.select(invalidations.c.token, invalidations.c.origin, last)
    known = {
        (row.token, row.origin): row.told_at
        for row in db.execute(query.group_by(invalidations.c.token, invalidations.c.origin))
    }
    rows = [
        {"version": _VERSION, "token": token, "origin": origin, "told_at": at}
        for (token, origin), at in sorted(latest.items(), key=lambda item: item[1])
        if known.get((token, origin), -1.0) < at
    ]
    if rows:
        lock(db, Lock.INVALIDATIONS)
        db.execute(invalidations.insert(), rows)
    return len(latest)
