"""The schema: its migrations, one process at a time, and the messages of `pellucid db`."""

from __future__ import annotations

import asyncio
import multiprocessing
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from old_data import LEDGER, charge, hold, job, upload, write_queue
from pellucid.database.database import Database
from pellucid.database.engines import file_url
from pellucid.database.locks import Lock, lock
from pellucid.database.old_files import OldFiles
from pellucid.database.status import read_status, upgrade_database
from pellucid.database.tables import METADATA, charges, holds, identity, removals, uploads
from pellucid.database.upgrade import MIGRATIONS
from pellucid.errors import DatabaseBusyError, DatabaseError, DatabaseSchemaError

ROWS: dict[str, list[dict[str, Any]]] = {
    "charges": [charge(1), charge(2)],
    "balances": [{"token": "shop", "month": "2026-11", "charged": 400}],
    "holds": [hold(3, job(3)["key"])],
    "uploads": [upload(1) | {"shared": True}],
}


@contextmanager
def _connect(url: str) -> Iterator[sa.Connection]:
    """Connect without `Database`, whatever the schema."""
    parsed = sa.make_url(url)
    engine = sa.create_engine(parsed if "sqlite" in url else parsed.set(drivername="postgresql+psycopg"))
    with engine.begin() as db:
        yield db
    engine.dispose()


def _make_ledger_of_old(url: str) -> None:
    """Create the tables as 71dfd91 did, which had no migrations, only a number."""
    with _connect(url) as db:
        for statement in filter(str.strip, LEDGER.split(";")):
            db.exec_driver_sql(statement)
        for table, rows in ROWS.items():
            db.execute(sa.insert(sa.table(table, *(sa.column(name) for name in rows[0]))), rows)


def _differences(db: sa.Connection) -> list[Any]:
    compared = {"compare_type": True, "compare_server_default": True}
    return compare_metadata(MigrationContext.configure(db, opts=compared), METADATA)


async def test_the_migrations_create_the_tables_of_tables_py(database: Database) -> None:
    assert await database.read(_differences) == []
    checks = await database.read(lambda db: sa.inspect(db).get_check_constraints("removals"))
    assert {check["name"] for check in checks} == {"removals_state", "removals_owner"}
    assert tuple(sorted(path.name[:4] for path in _versions().glob("0*.py"))) == MIGRATIONS


def _versions() -> Path:
    return Path(sys.modules["pellucid.database"].__path__[0]) / "migrations" / "versions"


async def test_a_ledger_from_before_the_migrations_is_kept(database_url: str) -> None:
    _make_ledger_of_old(database_url)
    database = await Database.open(database_url)
    left = [each for each in await database.read(_differences) if "ledger_schema" not in str(each)]
    assert left == []
    for table, more in ((charges, {"origin": ""}), (holds, {"origin": "", "store": ""}), (uploads, {})):
        rows = await database.read(lambda db, t=table: list(db.execute(sa.select(t)).mappings()))
        assert sorted(map(dict, rows), key=repr) == sorted((row | more for row in ROWS[table.name]), key=repr)
    # Older processes that start now demand a newer version.
    assert await database.read(lambda db: db.exec_driver_sql("SELECT version FROM ledger_schema").scalars().all()) == [
        2
    ]
    await database.aclose()


async def test_a_migration_that_fails_changes_nothing(database_url: str) -> None:
    _make_ledger_of_old(database_url)
    with _connect(database_url) as db:
        db.exec_driver_sql("CREATE TABLE stores (in_the_way INTEGER)")
    with pytest.raises(DatabaseError, match="stores"):
        await Database.open(database_url)
    with _connect(database_url) as db:
        assert {column["name"] for column in sa.inspect(db).get_columns("charges")} == set(ROWS["charges"][0])
        assert not sa.inspect(db).has_table("alembic_version")
        db.exec_driver_sql("DROP TABLE stores")
    database = await Database.open(database_url)
    assert await database.read(lambda db: db.scalar(sa.select(sa.func.count()).select_from(charges))) == 2
    await database.aclose()


def _open_and_write(url: str, number: int) -> None:
    async def main() -> None:
        database = await Database.open(url)
        row = {"place": "", "client": "", "token": "", "secret_hash": "", "digest": "", "shared": False}
        moments = {"size_bytes": 1, "created_at": 0.0, "expires_at": 0.0}
        await database.run(lambda db: db.execute(uploads.insert().values(name=str(number), **row, **moments)))
        await database.aclose()

    asyncio.run(main())


@pytest.mark.slow
async def test_many_processes_at_once(database_url: str) -> None:
    _make_ledger_of_old(database_url)
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_open_and_write, args=(database_url, number)) for number in range(5)]
    for process in processes:
        process.start()
    for process in processes:
        await asyncio.to_thread(process.join, 60)
    assert [process.exitcode for process in processes] == [0] * 5
    with _connect(database_url) as db:
        assert db.scalar(sa.select(sa.func.count()).select_from(uploads)) == 6
        assert db.scalar(sa.select(sa.func.count()).select_from(identity)) == 1
        assert db.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all() == [MIGRATIONS[-1]]


async def test_many_of_one_process_at_once(database_url: str) -> None:
    opened = await asyncio.gather(*(Database.open(database_url) for _ in range(8)))
    name = sa.select(identity.c.name)
    assert len({await each.read(lambda db: db.scalars(name).one()) for each in opened}) == 1
    for each in opened:
        await each.aclose()


async def test_a_newer_one_is_not_touched(database: Database, database_url: str) -> None:
    await database.run(lambda db: db.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseSchemaError, match=r"schema 9999, this Pellucid knows 0002: run the newer one"):
        await Database.open(database_url)
    late = Database(database_url)
    with pytest.raises(DatabaseSchemaError):
        await late.read(lambda _: None)
    await late.aclose()


async def test_a_migration_by_another_process_is_waited_for(database_url: str) -> None:
    """The error says that the database is busy, so that a start retries."""
    with _connect(database_url) as other:
        if "postgres" in database_url:
            lock(other, Lock.SCHEMA)
        else:
            other.exec_driver_sql("PRAGMA journal_mode = WAL")
            other.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseBusyError, match=r"more than 0\.3 s"):
            await Database.open(database_url, busy_timeout_s=0.3)
    await (await Database.open(database_url)).aclose()


async def test_alembic_is_not_imported_where_there_is_nothing_to_do(database: Database, database_url: str) -> None:
    code = f"""
import asyncio, sys
from pellucid.database.database import Database
async def main():
    database = await Database.open({database_url!r})
    await database.run(lambda db: None)
    await database.aclose()
asyncio.run(main())
assert "sqlalchemy" in sys.modules
assert "alembic" not in sys.modules
"""
    assert await database.read(lambda _: 1)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stderr=subprocess.PIPE)
    _, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()


async def test_an_older_queue_file_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "queue" / "jobs.sqlite"
    write_queue(path)
    with pytest.raises(DatabaseError, match=r"older version.*database\.url"):
        await Database.open(file_url(path))
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == 3


# Messages of `pellucid db`


def _old(folder: Path) -> OldFiles:
    return OldFiles(queue=folder / "queue" / "jobs.sqlite", invalidations=folder / "purges.jsonl")


async def test_reading_the_status_does_not_create_a_database(tmp_path: Path) -> None:
    database = Database(file_url(tmp_path / "pellucid.sqlite"))
    found = await read_status(database, _old(tmp_path))
    assert (found.revision, found.rows, found.old) == (None, {}, None)
    assert "tables are to be made" in (found.to_do or "")
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240 - a local folder
    assert await upgrade_database(database, _old(tmp_path), store="s") == ["the tables were made, schema 0002"]
    assert (await read_status(database, _old(tmp_path))).to_do is None
    assert await upgrade_database(database, _old(tmp_path), store="s") == []
    await database.aclose()


async def test_the_status_names_the_upgrade_and_the_upgrade_runs(database_url: str, tmp_path: Path) -> None:
    _make_ledger_of_old(database_url)
    write_queue(tmp_path / "queue" / "jobs.sqlite", {"jobs": [job(3), job(4)]}, ledger=False)
    database = Database(database_url)
    found = await read_status(database, _old(tmp_path))
    assert found.revision is None
    assert found.rows == {"balances": 1, "charges": 2, "holds": 1, "uploads": 1}
    assert str(tmp_path / "queue" / "jobs.sqlite") in (found.to_do or "")
    done = await upgrade_database(database, _old(tmp_path), store="s")
    assert [each.rpartition(": ")[2] for each in done] == ["the tables were brought up to schema 0002", "2 removals"]
    found = await read_status(database, _old(tmp_path))
    assert (found.revision, found.to_do, found.rows["removals"]) == (MIGRATIONS[-1], None, 2)
    assert await database.read(lambda db: db.scalars(sa.select(removals.c.store)).all()) == ["s", "s"]
    await database.aclose()


async def test_the_status_shows_no_secrets_and_leaves_the_schema(database_url: str) -> None:
    _make_ledger_of_old(database_url)
    database = Database(database_url)
    found = await read_status(database, _old(Path("/nowhere")))
    assert "schema is to be brought up to 0002" in (found.to_do or "")
    await database.aclose()
    with _connect(database_url) as db:
        assert not sa.inspect(db).has_table("alembic_version")
    away = Database("postgresql://u:topsecret@127.0.0.1:1/x?password=topsecret")
    with pytest.raises(DatabaseError) as caught:
        await read_status(away, _old(Path("/nowhere")))
    assert "topsecret" not in str(caught.value) + away.place
    await away.aclose()
