"""The database: transactions, replaced files, locks, invalid URLs."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from pellucid.database.changes import change_detector_of, signal_change
from pellucid.database.database import Database
from pellucid.database.engines import file_url
from pellucid.database.tables import balances
from pellucid.errors import DatabaseBusyError, DatabaseError, SettingsError


def _add(connection: sa.Connection, token: str = "a") -> None:
    connection.execute(balances.insert().values(token=token, month="2026-11", charged=1))


def _count(connection: sa.Connection) -> int:
    return connection.scalar(sa.select(sa.func.count()).select_from(balances)) or 0


async def test_many_simultaneous_writes(database_url: str) -> None:
    opened = [Database(database_url) for _ in range(8)]
    await asyncio.gather(*(each.run(lambda db, i=i: _add(db, str(i))) for i, each in enumerate(opened)))
    assert await opened[0].read(_count) == 8
    for each in opened:
        await each.aclose()


async def test_nothing_is_opened_before_the_first_transaction(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "pellucid.sqlite"
    for first in ("run", "read", "migrate"):
        database = Database(file_url(path))
        assert not path.parent.exists()
        await (database.migrate() if first == "migrate" else getattr(database, first)(_count))
        assert await database.read(_count) == 0
        await database.aclose()
        shutil.rmtree(path.parent)
    assert database.place == f"sqlite:///{path}"
    await (Database("postgresql://u@127.0.0.1:1/x")).aclose()


async def test_a_failed_transaction_is_rolled_back_and_its_error_has_no_password(database: Database) -> None:
    def twice(connection: sa.Connection) -> None:
        _add(connection)
        _add(connection)

    with pytest.raises(DatabaseError, match=r"(?i)unique"):
        await database.run(twice)
    assert await database.run(_count) == 0

    def stumbles(connection: sa.Connection) -> None:
        _add(connection)
        raise KeyError

    with pytest.raises(KeyError):
        await database.run(stumbles)
    assert await database.run(_count) == 0


@pytest.mark.parametrize("first", ["run", "read"])
async def test_a_deleted_file_is_created_again(tmp_path: Path, first: str) -> None:
    path = tmp_path / "pellucid.sqlite"
    database = await Database.open(file_url(path))
    await database.run(_add)
    for file in list(tmp_path.iterdir()):  # noqa: ASYNC240 - three files on a local disk
        file.unlink()
    if first == "read":
        assert await database.read(_count) == 0
    await database.run(_add)
    again = await Database.open(file_url(path))
    assert await again.read(_count) == 1, "the deleted file was not written to"
    await database.aclose()
    await again.aclose()


async def test_a_replaced_file_is_opened_again(tmp_path: Path) -> None:
    path, other = tmp_path / "pellucid.sqlite", tmp_path / "backup.sqlite"
    backup = await Database.open(file_url(other))
    await backup.run(lambda db: [_add(db, str(i)) for i in range(3)])
    await backup.aclose()
    database = await Database.open(file_url(path))
    await asyncio.gather(*(database.run(lambda db, i=i: _add(db, str(i))) for i in range(10)))
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink()
    other.replace(path)
    results = await asyncio.gather(*(database.read(_count) for _ in range(8)))
    assert results == [3] * 8
    await database.run(lambda db: _add(db, "new"))
    assert await database.read(_count) == 4
    await database.aclose()


async def test_the_wal_of_a_deleted_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "pellucid.sqlite"
    database = await Database.open(file_url(path))
    await database.run(_add)
    assert path.with_name("pellucid.sqlite-wal").stat().st_size > 0
    path.unlink()
    again = await Database.open(file_url(path))
    assert await again.read(_count) == 0
    await again.run(_add)
    assert await database.read(_count) == 1
    await database.aclose()
    await again.aclose()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("damage", ["header", "pages"])
async def test_a_damaged_file_says_what_to_do(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "pellucid.sqlite"
    await (await Database.open(file_url(path))).aclose()
    data = path.read_bytes()
    path.write_bytes(b"no database " * 1000 if damage == "header" else data[:4096] + b"\x07" * (len(data) - 4096))
    with pytest.raises(DatabaseError, match=r"pellucid\.sqlite .*damaged.*recover"):
        await Database.open(file_url(path))


async def test_a_full_disk_says_what_to_do(tmp_path: Path) -> None:
    database = await Database.open(file_url(tmp_path / "pellucid.sqlite"))

    def fill(db: sa.Connection) -> None:
        pages = db.exec_driver_sql("PRAGMA page_count").scalar_one()
        db.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        for i in range(1000):
            _add(db, "x" * 100 + str(i))

    with pytest.raises(DatabaseError, match=r"disk that has room"):
        await database.run(fill)
    await database.aclose()


@contextmanager
def _locked(path: Path) -> Generator[sqlite3.Connection]:
    """Another process writes, and holds the lock for a while."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


async def test_waiting_works_share_a_transaction(tmp_path: Path) -> None:
    """With a lock and a flush each, they would keep other processes from the file for seconds."""
    path = tmp_path / "pellucid.sqlite"
    database = await Database.open(file_url(path))
    commits: list[int] = []
    sa.event.listen(database._engine, "commit", lambda _: commits.append(1))  # pyright: ignore[reportPrivateUsage]
    with _locked(path) as other:
        writing = [asyncio.create_task(database.run(lambda db, i=i: _add(db, str(i)))) for i in range(40)]
        await asyncio.sleep(0.1)
        async with asyncio.timeout(5):
            assert await database.read(_count) == 0, "a read does not wait for writers"
        other.execute("COMMIT")
        await asyncio.gather(*writing)
    assert await database.read(_count) == 40
    assert len(commits) <= 4
    await database.aclose()


async def test_a_failing_work_does_not_fail_the_others_of_its_transaction(database: Database) -> None:
    def stumbles(connection: sa.Connection) -> None:
        _add(connection, "gone")
        raise KeyError

    works = [lambda db, i=i: _add(db, str(i % 30)) for i in range(40)]
    results = await asyncio.gather(*(database.run(each) for each in (*works, stumbles)), return_exceptions=True)
    ended = [type(each) for each in results]
    assert ended[10:30] + ended[40:] == [type(None)] * 20 + [KeyError]
    # Of two with the same key, the later one fails. PostgreSQL runs them in parallel, and either may be the later one.
    assert [{first, second} for first, second in zip(ended[:10], ended[30:40], strict=True)] == [
        {type(None), DatabaseError}
    ] * 10
    assert await database.read(_count) == 30


async def test_waiting_works_share_the_wait_for_a_lock(tmp_path: Path) -> None:
    path = tmp_path / "pellucid.sqlite"
    database = await Database.open(file_url(path), busy_timeout_s=0.3)
    with _locked(path):
        async with asyncio.timeout(10):  # one after the other that would be 30 s
            results = await asyncio.gather(*(database.run(_add) for _ in range(100)), return_exceptions=True)
    assert {type(each) for each in results} == {DatabaseBusyError}
    assert "locked for more than 0.3 s: look for a backup, a copy or a database shell" in str(results[0])
    await database.run(_add)
    await database.aclose()


async def test_a_stopped_process_that_holds_a_lock_stops_no_other(database: Database, database_url: str) -> None:
    await database.run(_add)
    impatient = await Database.open(database_url, busy_timeout_s=0.3)
    holds, ends = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def change(connection: sa.Connection) -> None:
        connection.execute(balances.update().values(charged=balances.c.charged + 1))

    def change_and_stop(connection: sa.Connection) -> None:
        change(connection)
        loop.call_soon_threadsafe(holds.set)
        asyncio.run_coroutine_threadsafe(ends.wait(), loop).result()

    stopped = asyncio.create_task(database.run(change_and_stop))
    await holds.wait()
    with pytest.raises(DatabaseError, match=r"(?i)lock"):
        await impatient.run(change)
    ends.set()
    await stopped
    await impatient.run(change)
    await impatient.aclose()


async def test_the_first_read_does_not_wait_for_a_writer(database: Database, database_url: str) -> None:
    await database.run(_add)
    late = Database(database_url, busy_timeout_s=0.3)
    writes, ends = threading.Event(), threading.Event()

    def write(connection: sa.Connection) -> None:
        _add(connection, "b")
        writes.set()
        ends.wait()

    writing = asyncio.create_task(database.run(write))
    await asyncio.to_thread(writes.wait)
    assert await late.read(_count) == 1
    ends.set()
    await writing
    await late.aclose()


async def test_a_transaction_times_out(database: Database) -> None:
    with pytest.raises(DatabaseError, match=r"did not answer within 0\.1 s"):
        await database.read(lambda _: time.sleep(0.3), max_wait_s=0.1)


@pytest.mark.parametrize("kind", ["read", "run"])
async def test_a_full_queue_fails_at_once(database: Database, kind: str) -> None:
    run, ends = getattr(database, kind), threading.Event()
    works = [asyncio.create_task(run(lambda _: ends.wait())) for _ in range(1200)]
    failed, _ = await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
    assert {type(each.exception()) for each in failed} == {DatabaseBusyError}
    ends.set()
    results = await asyncio.gather(*works, return_exceptions=True)
    assert 1000 <= results.count(True) < 1100
    assert await asyncio.gather(*(run(_count) for _ in range(900))) == [0] * 900, "cancelled works make room"


@pytest.mark.serial
async def test_a_change_detector_sees_writes_of_others(database: Database, database_url: str) -> None:
    changes, other = change_detector_of(database), await Database.open(database_url)

    async def changed(before: object) -> bool:
        async with asyncio.timeout(0.9):  # a change is assumed every second anyway
            while changes.version() == before:  # noqa: ASYNC110 - that is how it is used
                await asyncio.sleep(0.01)
        return True

    if not database.is_sqlite:
        listening = time.monotonic() + 1
        while time.monotonic() < listening:
            changes.version()
            await asyncio.sleep(0.05)
    before = changes.version()
    await other.run(lambda db: (_add(db), signal_change(db)))
    assert await changed(before)
    before = changes.version()
    await database.run(lambda db: (_add(db, "b"), signal_change(db)))
    assert await changed(before)
    await asyncio.to_thread(changes.close)
    await other.aclose()


async def test_a_file_that_cannot_be_opened_counts_as_changed(tmp_path: Path) -> None:
    path = tmp_path / "pellucid.sqlite"
    database = await Database.open(file_url(path))
    changes = change_detector_of(database)
    assert changes.version() == changes.version()
    for file in list(tmp_path.iterdir()):  # noqa: ASYNC240 - three files on a local disk
        file.unlink()
    assert changes.version() is None
    path.mkdir()
    assert changes.version() != changes.version(), "so that waiters read it and get the error"
    changes.close()
    await database.aclose()


async def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    path = tmp_path / "50% off? #1" / "pellucid.sqlite"
    database = await Database.open(file_url(path))
    await database.aclose()
    assert path.exists()


@pytest.mark.parametrize(
    "url", ["mysql://host/db", "no url", "postgres", "postgresql://host:port/x", "sqlite://", "sqlite:///:memory:"]
)
async def test_another_kind_of_database_is_a_settings_error(url: str) -> None:
    with pytest.raises(SettingsError):
        await Database.open(url)


async def test_a_path_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseError, match="folder on a local disk"):
        await Database.open(file_url(tmp_path / "file" / "x"))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u@127.0.0.1:1/x?password=topsecret", "postgresql+psycopg://u@127.0.0.1:1/x"),
        ("postgresql://127.0.0.1:1/x?sslpassword=topsecret&user=u&sslmode=disable", "127.0.0.1:1/x"),
        ("postgresql://u:topsecret@/x?host=127.0.0.1&port=1&password=topsecret2", "host=127.0.0.1&port=1"),
        ("postgresql://127.0.0.1:1/x?connect_timeout=topsecret", "127.0.0.1:1/x"),
        ("postgresql://127.0.0.1:1/x?sslmode=topsecret", "127.0.0.1:1/x"),
        ("postgresql://127.0.0.1:1/x?topsecret=1&application_name=topsecret", "127.0.0.1:1/x"),
    ],
)
async def test_a_password_in_the_query_is_not_shown(url: str, shown: str) -> None:
    with pytest.raises(DatabaseError) as caught:
        await Database.open(url)
    assert shown in str(caught.value)
    assert "topsecret" not in str(caught.value).replace('invalid connection option "topsecret"', "")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:topsecret",
        "postgresql://u:top@secret@127.0.0.1:1/x",
        "postgresql://u:p@topsecret:word@127.0.0.1/x",
        "postgresql://127.0.0.1:topsecret/x",
        "topsecret",
        "mysql://u:topsecret@127.0.0.1/x",
        "sqlite://?password=topsecret",
    ],
)
async def test_a_password_in_an_invalid_url_is_not_shown(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        await Database.open(url)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None, "a traceback would show it"
