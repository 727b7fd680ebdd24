"""A data directory of a version before the one database is taken over: what was owed, charged, held, told.

In one transaction, and as often as need be: every row is written once under its key, so a process that is killed after
the commit and before the files are moved aside does it again, and nothing is there twice.

A million charges take 45 s into either database, with two busy cores. That takes 10 MB of memory, and in SQLite 250 MB
beside the file until it is done, for its -wal.
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
from pellucid.database.bell import ring
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
"""How many rows of each table were found in the old files, here before or not; `owed_again`: removals that were made
up because something is held for them.
"""

TAKE_OVER_S = 600.0
"""Patience for all of it."""

_VERSION = 1
"""Of the rows that are written here."""

_TOKEN = "default"  # noqa: S105 - older versions did not note whose turn it was
_IMPATIENT = 10
"""Priority of what somebody looked at; higher ran first."""

_RECORD_KEY = re.compile(r"origins/([^/]+)/([0-9a-f]{32})")
_MATTE_NAME = re.compile(r"([0-9a-f]{32})\.([0-9]{1,9})\.(.+)")


async def take_over_files(database: Database, *, old: OldFiles, store: str) -> Counts:
    """Take everything over and move the files aside. Raises DatabaseError."""
    try:
        counts = await database.run(partial(take_over, old=old, store=store), max_wait_s=TAKE_OVER_S)
        await asyncio.to_thread(move_aside, old)
    finally:
        await asyncio.to_thread(old.close)
    return counts


def move_aside(old: OldFiles) -> None:
    """What is to follow the commit of `take_over`."""
    old.move_aside()


def take_over(db: sa.Connection, *, old: OldFiles, store: str) -> Counts:
    """Write what is in the old files into the tables; a part of a transaction. The files stay locked until they are
    moved aside or closed. `store` is the folder of bytes beside them. Raises DatabaseError.
    """
    with old.held():
        now = time.time()
        there = old.tables()
        counts = {
            "removals": _removals(db, old, store, now=now) if "jobs" in there else 0,
            "listeners": _copy(db, old, listeners, store=store) if "listeners" in there else 0,
            "outbox": _copy(db, old, outbox, "deliveries", "ORDER BY turn", version=_VERSION)
            if "deliveries" in there
            else 0,
            "balances": 0,
            "charges": 0,
            "holds": 0,
            "uploads": 0,
        }
        if "pace" in there:
            _pace(db, old, store)
        first = db.execute(sa.select(charges.c.token).limit(1)).first() is None
        # Where the operator had moved the ledger to a database of its own, this is that: the file's is out of date.
        if "charges" in there and (first or not sa.inspect(db).has_table("ledger_schema")):
            counts["charges"] = _copy(db, old, charges)
            counts["balances"] = _balances(db, old, first=first)
            counts["holds"] = _copy(db, old, holds, store=store)
            counts["uploads"] = _copy(db, old, uploads) if "uploads" in there else 0
        counts["owed_again"] = _owe_again(db, store, now=now)
        counts["invalidations"] = _invalidations(db, old.invalidations(), now=now)
        ring(db)
        return counts


def _copy(db: sa.Connection, old: OldFiles, table: sa.Table, of: str = "", order: str = "", **more: object) -> int:
    """Copy the columns that both tables have; `more` are the same in every row."""
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
    """In the order in which they would have run. What was running waits again, with its attempt counted: the worker
    that had it is gone, and may have died of it.
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
                row["urgency"] = "page" if row.pop("priority") >= _IMPATIENT else "upgrade"
                if row["state"] == "running":
                    row.update(state="waiting", due_at=0.0)
            yield chunk
            # Where the ledger was in a database of its own, it knows no stores yet.
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
    """A month is added up anew where charges of another file, or made since, may be in it: unless they are the
    `first` ones here, and it has no row yet (it may have one without charges).
    """
    count = 0
    for chunk in old.rows("SELECT token, month, charged FROM balances"):
        for row in chunk:
            count += 1
            token, month = row["token"], row["month"]
            mine = (balances.c.token == token, balances.c.month == month)
            db.execute(insert_once(db, balances).values(row))
            charged = db.scalar(sa.select(balances.c.charged).where(*mine).with_for_update())
            if first and charged == row["charged"]:
                continue
            of_month = (charges.c.token == token, charges.c.day.between(f"{month}-01", f"{month}-31"))
            total = db.scalar(sa.select(sa.func.sum(charges.c.credits)).where(*of_month))
            db.execute(balances.update().where(*mine).values(charged=int(total or 0)))
    return count


def _owe_again(db: sa.Connection, store: str, *, now: float) -> int:
    """Owe what something is held for, if that was written down nowhere else: a worker finds the matte there and
    charges, or gives the credits back. What failed is held for no more: without a store, such holds go in time.
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
        how = {"state": "waiting", "attempts": 0, "due_at": 0.0, "failures": 0, "reason": None, "error": None}
        rows.append(_turn(store, rank=rank + len(rows) + 1, now=now) | what | how)
    return _write(db, removals, [rows] if rows else [])


def _invalidations(db: sa.Connection, told: list[Invalidation | None], *, now: float) -> int:
    """One row for each origin, of the last time: that includes the earlier ones. A line that cannot be read may have
    named any origin, so none is believed, as older versions did.
    """
    latest: dict[tuple[str, str], float] = {}
    for each in told:
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
