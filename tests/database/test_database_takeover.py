"""A data directory of an older version: nothing is lost or duplicated, however often it is imported."""

from __future__ import annotations

import asyncio
import fcntl
import multiprocessing
import os
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from old_data import (
    LEDGER,
    charge,
    delivery,
    digest,
    hold,
    insert,
    job,
    upload,
    write_queue,
    write_told,
)
from pellucid.database.database import Database
from pellucid.database.tables import METADATA, balances, charges, holds, invalidations, outbox, removals, stores
from pellucid.database.takeover import OldFiles, move_aside, take_over, take_over_files
from pellucid.errors import DatabaseBusyError, DatabaseError, DatabaseSchemaError

STORE = "store"
WAITING = job(1, due_at=77.5, attempts=1, error="OSError")
RUNNING = job(2, page=3, state="running", owner="w", attempts=2, due_at=9e9, priority=10)
FAILED = job(3, state="failed", reason="no-subject", error="CutoutError", attempts=3, failures=2, due_at=123.5)
LATER = job(4, priority=10)
LOST = job(5, page=1, recipe="large.with.dots")
ROWS: dict[str, list[dict[str, Any]]] = {
    "jobs": [WAITING, FAILED, RUNNING, LATER],
    "listeners": [{"key": WAITING["key"], "url": "https://hooks.example/1", "image": "/a?b"}],
    "deliveries": [delivery(2), delivery(1)],
    "charges": [charge(10), charge(11), charge(10, token="blog", credits=100)],
    "balances": [
        {"token": "shop", "month": "2026-11", "charged": 400},
        {"token": "blog", "month": "2026-11", "charged": 100},
    ],
    "holds": [hold(1, WAITING["key"]), hold(5, LOST["key"], token="blog"), hold(3, FAILED["key"]), hold(9, "no name")],
    "uploads": [upload(1), upload(2)],
}


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    write_queue(folder / "queue" / "jobs.sqlite", ROWS)
    with closing(sqlite3.connect(folder / "queue" / "jobs.sqlite")) as db, db:
        db.execute("UPDATE pace SET job_s = 2.5")
    told = (f"origins/shop/{digest(1)}", 50.5), (f"origins/shop/{digest(1)}", 20.5), (f"origins/blog/{digest(1)}", 10.5)
    write_told(folder / "purges.jsonl", *told)
    write_told(folder / "purges.jsonl.1", (f"origins/shop/{digest(2)}", 5.5))
    return folder


def _old(data_dir: Path) -> OldFiles:
    return OldFiles(queue=data_dir / "queue" / "jobs.sqlite", invalidations=data_dir / "purges.jsonl", timeout_s=0.2)


async def _take_over(database: Database, data_dir: Path) -> dict[str, int]:
    return await take_over_files(database, old=_old(data_dir), store=STORE)


async def _only_write(database: Database, data_dir: Path) -> dict[str, int]:
    """Import as a process that is killed between the commit and the move."""
    with _old(data_dir) as old:
        return await database.run(partial(take_over, old=old, store=STORE))


async def _all(database: Database) -> dict[str, list[dict[str, Any]]]:
    """All rows without current times, numbers of invalidations and the database's name."""
    found: dict[str, list[dict[str, Any]]] = {}
    for table in METADATA.sorted_tables:
        columns = [each for each in table.c if each.name not in ("asked_at", "seq")]
        rows = await database.read(lambda db, c=columns: db.execute(sa.select(*c)).mappings().all())
        found[table.name] = sorted((dict(row) for row in rows), key=repr)
    found.pop("identity")
    return found


async def test_nothing_is_lost(database: Database, data_dir: Path) -> None:
    assert await _take_over(database, data_dir) == {
        "removals": 4,
        "listeners": 1,
        "outbox": 2,
        "balances": 2,
        "charges": 3,
        "holds": 4,
        "uploads": 2,
        "requeued": 1,
        "invalidations": 3,
    }
    found = await _all(database)
    order = await database.read(lambda db: db.execute(sa.select(removals).order_by(removals.c.rank)).mappings().all())
    assert [row["key"] for row in order] == [row["key"] for row in (RUNNING, LATER, WAITING, FAILED, LOST)]
    assert [row["rank"] for row in order] == [1, 2, 3, 4, 5]
    assert [row["urgency"] for row in order] == ["page", "page", "upgrade", "upgrade", "upgrade"]
    assert {(row["store"], row["version"], row["token"], row["pauses"]) for row in order} == {(STORE, 1, "default", 0)}
    running, _, waiting, failed, lost = order
    assert (running["state"], running["attempts"], running["due_at"], running["owner"]) == ("waiting", 2, 0, None)
    assert (running["page"], running["origin_digest"]) == (3, digest(2))
    assert (waiting["state"], waiting["attempts"], waiting["due_at"], waiting["error"]) == (
        "waiting",
        1,
        77.5,
        "OSError",
    )
    assert {name: failed[name] for name in FAILED if name != "priority"} == {
        name: FAILED[name] for name in FAILED if name != "priority"
    }
    assert (lost["page"], lost["recipe_id"], lost["state"]) == (1, "large.with.dots", "waiting")

    assert found["listeners"] == [ROWS["listeners"][0] | {"store": STORE}]
    assert found["stores"] == [{"store": STORE, "virtual_time": 0, "job_s": 2.5, "adopted": False, "checked_at": 0}]
    assert _plain(found["charges"]) == _plain([row | {"origin": ""} for row in ROWS["charges"]])
    assert _plain(found["balances"]) == _plain(ROWS["balances"])
    assert _plain(found["uploads"]) == _plain(ROWS["uploads"])
    stored = {row["job"]: row["store"] for row in found["holds"]}
    assert stored == {WAITING["key"]: STORE, LOST["key"]: STORE, FAILED["key"]: "", "no name": ""}
    assert [
        (row["token"], row["origin"], row["told_at"])
        for row in await database.read(lambda db: list(db.execute(sa.select(invalidations).order_by("seq")).mappings()))
    ] == [("shop", digest(2), 5.5), ("blog", digest(1), 10.5), ("shop", digest(1), 50.5)]


def _plain(rows: list[dict[str, Any]]) -> set[frozenset[tuple[str, Any]]]:
    return {frozenset(row.items()) for row in rows}


async def test_outbox_is_as_it_was(database: Database, data_dir: Path) -> None:
    await _take_over(database, data_dir)
    rows = await database.read(lambda db: list(db.execute(sa.select(outbox).order_by(outbox.c.due_at)).mappings()))
    assert [dict(row) for row in rows] == [delivery(1) | {"version": 1}, delivery(2) | {"version": 1}]


async def test_an_import_killed_between_commit_and_move_is_repeated(database: Database, data_dir: Path) -> None:
    first = await _only_write(database, data_dir)
    before = await _all(database)
    assert _old(data_dir).is_pending
    again = await _take_over(database, data_dir)
    assert await _all(database) == before
    assert again == first | {"requeued": 0}
    assert not _old(data_dir).is_pending


async def test_jobs_that_failed_between_two_imports_are_no_longer_held(database: Database, data_dir: Path) -> None:
    """A process worked between the two imports: credits of a job that failed then are not held for ever."""
    await _only_write(database, data_dir)
    of_waiting = removals.c.key == WAITING["key"]
    await database.run(lambda db: db.execute(removals.update().where(of_waiting).values(state="failed", reason="x")))
    await database.run(lambda db: db.execute(holds.delete().where(holds.c.job == WAITING["key"])))
    await _take_over(database, data_dir)
    rows = await database.read(lambda db: {row.job: row.store for row in db.execute(sa.select(holds))})
    assert rows[WAITING["key"]] == ""
    state = await database.read(lambda db: db.scalar(sa.select(removals.c.state).where(of_waiting)))
    assert state == "failed"


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


async def test_files_are_moved_aside_and_older_versions_refuse(database: Database, data_dir: Path) -> None:
    await _take_over(database, data_dir)
    assert _files(data_dir) == {
        "queue/jobs.sqlite",
        "queue/jobs.sqlite.taken-over",
        "purges.jsonl.taken-over",
        "purges.jsonl.1.taken-over",
    }
    with closing(sqlite3.connect(data_dir / "queue" / "jobs.sqlite")) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] > 3
        db.execute("PRAGMA journal_mode = WAL")  # as an older version does before it reads
    assert not _old(data_dir).is_pending
    with closing(sqlite3.connect(data_dir / "queue" / "jobs.sqlite.taken-over")) as db:
        assert db.execute("SELECT count(*) FROM charges").fetchone()[0] == 3
    before = await _all(database)
    assert set((await _take_over(database, data_dir)).values()) == {0}, "nothing is left to import"
    assert await _all(database) == before

    # An old file that is put back is imported as well.
    write_queue(data_dir / "queue" / "new.sqlite", {"jobs": [job(77)]})
    (data_dir / "queue" / "new.sqlite").replace(data_dir / "queue" / "jobs.sqlite")
    assert (await _take_over(database, data_dir))["removals"] == 1
    assert (data_dir / "queue" / "jobs.sqlite.taken-over-2").exists()


def _die_writing(path: Path) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    insert(db, {"jobs": [job(50)]})
    os._exit(9)


async def test_the_wal_of_a_killed_process_is_imported(database: Database, data_dir: Path) -> None:
    path = data_dir / "queue" / "jobs.sqlite"
    dies = multiprocessing.get_context("spawn").Process(target=_die_writing, args=(path,))
    dies.start()
    await asyncio.to_thread(dies.join)
    assert path.with_name("jobs.sqlite-wal").stat().st_size > 0
    assert (await _take_over(database, data_dir))["removals"] == 5
    assert {each.name for each in path.parent.iterdir()} == {"jobs.sqlite", "jobs.sqlite.taken-over"}


@pytest.mark.parametrize("schema", [1, 2])
async def test_earlier_schemas(database: Database, tmp_path: Path, schema: int) -> None:
    write_queue(tmp_path / "queue" / "jobs.sqlite", {"jobs": ROWS["jobs"]}, schema=schema, ledger=False)
    counts = await _take_over(database, tmp_path)
    assert {name: count for name, count in counts.items() if count} == {"removals": 4}
    assert not _old(tmp_path).is_pending


async def test_an_empty_file_and_none(database: Database, tmp_path: Path) -> None:
    assert not _old(tmp_path).is_pending
    assert set((await _take_over(database, tmp_path)).values()) == {0}
    assert not (tmp_path / "queue").exists()
    (tmp_path / "queue").mkdir()
    (tmp_path / "queue" / "jobs.sqlite").touch()
    assert _old(tmp_path).is_pending
    assert set((await _take_over(database, tmp_path)).values()) == {0}
    assert not _old(tmp_path).is_pending


async def test_an_unreadable_line_invalidates_everything(database: Database, tmp_path: Path) -> None:
    lines = ['{"record_key": "origins/sh', '{"record_key":"origins/shop/x","at":1}', '{"record_key":"torn']
    (tmp_path / "purges.jsonl").write_text("\n".join(lines))
    assert _old(tmp_path).is_pending
    assert (await _take_over(database, tmp_path))["invalidations"] == 1
    assert [(row["token"], row["origin"]) for row in (await _all(database))["invalidations"]] == [("", "")]
    assert not _old(tmp_path).is_pending


async def _make_own_ledger(url: str, rows: dict[str, list[dict[str, Any]]]) -> None:
    """The ledger in a database of its own, as 71dfd91 made it."""
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg") if "postgres" in url else url)
    with engine.begin() as db:
        for statement in filter(str.strip, LEDGER.split(";")):
            db.exec_driver_sql(statement)
        for table, each in rows.items():
            db.execute(sa.insert(sa.table(table, *(sa.column(name) for name in each[0]))), each)
    engine.dispose()


async def test_a_ledger_that_had_been_moved_is_left_as_it_is(database_url: str, data_dir: Path) -> None:
    """The charges in the file are outdated; jobs are restored from their holds."""
    other = hold(60, "of another machine's queue")
    await _make_own_ledger(database_url, {"charges": [charge(99)], "holds": [hold(1, WAITING["key"]), other]})
    database = await Database.open(database_url)
    counts = await _take_over(database, data_dir)
    assert (counts["charges"], counts["holds"], counts["removals"]) == (0, 0, 4)
    found = await _all(database)
    assert [row["origin_digest"] for row in found["charges"]] == [digest(99)]
    assert {row["job"]: row["store"] for row in found["holds"]} == {WAITING["key"]: STORE, other["job"]: ""}
    await database.aclose()


async def test_machines_with_ledgers_of_their_own_may_share_a_database(database: Database, data_dir: Path) -> None:
    await _take_over(database, data_dir)
    other = data_dir / "other"
    rows = {
        "charges": [charge(10), charge(12)],
        "balances": [{"token": "shop", "month": "2026-11", "charged": 400}],
        "holds": [hold(20, job(20)["key"])],
        "jobs": [job(20)],
    }
    write_queue(other / "queue" / "jobs.sqlite", rows)
    for _ in range(2):  # killed in between
        with _old(other) as old:
            await database.run(partial(take_over, old=old, store="other"))
    found = await _all(database)
    paid = {(row["token"], row["origin_digest"]) for row in found["charges"]}
    assert paid == {("shop", digest(10)), ("shop", digest(11)), ("shop", digest(12)), ("blog", digest(10))}
    query = sa.select(balances.c.charged).where(balances.c.token == "shop")
    assert await database.read(lambda db: db.scalar(query)) == 600
    assert (await database.read(lambda db: db.scalar(sa.select(stores.c.job_s).filter_by(store="other")))) == 0
    assert {row["store"] for row in found["removals"]} == {STORE, "other"}


async def test_the_data_of_a_living_worker_is_not_imported(database: Database, data_dir: Path) -> None:
    lock = data_dir / "queue" / "owners" / "w.lock"
    lock.parent.mkdir()
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(DatabaseError, match=r"older Pellucid still works .* stop it first"):
            await _take_over(database, data_dir)
    assert await database.read(lambda db: db.scalar(sa.select(sa.func.count()).select_from(removals))) == 0
    await _take_over(database, data_dir)


async def test_an_older_process_that_only_has_the_file_open_is_detected(database: Database, data_dir: Path) -> None:
    path = data_dir / "queue" / "jobs.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as old_process:
        old_process.execute("SELECT count(*) FROM jobs").fetchall()
        with pytest.raises(DatabaseBusyError, match="older Pellucid"):
            await _take_over(database, data_dir)
        insert(old_process, {"jobs": [job(6)]})  # and it goes on
    assert (await _take_over(database, data_dir))["removals"] == 5


async def test_an_older_process_that_starts_meanwhile_gets_nothing(database: Database, data_dir: Path) -> None:
    path = data_dir / "queue" / "jobs.sqlite"
    with _old(data_dir) as old:
        await database.run(partial(take_over, old=old, store=STORE))
        with closing(sqlite3.connect(path, timeout=0.1, isolation_level=None)) as late:
            for statement in ("PRAGMA journal_mode = WAL", "SELECT * FROM jobs", "BEGIN IMMEDIATE"):
                with pytest.raises(sqlite3.OperationalError, match="locked"):
                    late.execute(statement).fetchall()
        move_aside(old)


async def test_several_new_processes_at_once(database_url: str, data_dir: Path) -> None:
    opened = [await Database.open(database_url) for _ in range(4)]
    results = await asyncio.gather(
        *(
            take_over_files(
                each,
                old=OldFiles(queue=data_dir / "queue" / "jobs.sqlite", invalidations=data_dir / "purges.jsonl"),
                store=STORE,
            )
            for each in opened
        )
    )
    assert sorted(result["removals"] for result in results) == [0, 0, 0, 4]
    assert await opened[0].read(lambda db: db.scalar(sa.select(sa.func.count()).select_from(removals))) == 5
    for each in opened:
        await each.aclose()


async def test_a_newer_file_is_left_alone(database: Database, data_dir: Path) -> None:
    path = data_dir / "queue" / "jobs.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 9")
    with pytest.raises(DatabaseSchemaError, match="schema 9"):
        await _take_over(database, data_dir)
    assert path.exists()
    assert _old(data_dir).is_pending


@pytest.mark.parametrize("damage", ["header", "pages"])
async def test_a_damaged_file_says_what_to_do(database: Database, data_dir: Path, damage: str) -> None:
    path = data_dir / "queue" / "jobs.sqlite"
    data = path.read_bytes()
    path.write_bytes(b"no database " * 1000 if damage == "header" else data[:4096] + b"\x07" * (len(data) - 4096))
    with pytest.raises(DatabaseError, match=r"damaged.*recover"):
        await _take_over(database, data_dir)
    assert (await _all(database))["removals"] == [], "all or nothing"
    assert path.exists()


async def test_an_import_that_fails_halfway_writes_nothing(database: Database, data_dir: Path) -> None:
    def work(db: sa.Connection) -> None:
        with _old(data_dir) as old:
            take_over(db, old=old, store=STORE)
        raise KeyError

    with pytest.raises(KeyError):
        await database.run(work)
    assert (await _all(database))["charges"] == []
    await _take_over(database, data_dir)
    assert await database.read(lambda db: db.scalar(sa.select(sa.func.count()).select_from(charges))) == 3
