"""The database: opened by many at once, replaced under one's feet, of a newer version, unreachable."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from pellucid.database.database import Database, file_url
from pellucid.database.tables import SCHEMA_VERSION, balances, schema_versions
from pellucid.errors import DatabaseBusyError, DatabaseError, SettingsError


def _add(connection: sa.Connection, token: str = "a") -> None:
    connection.execute(balances.insert().values(token=token, month="2026-11", charged=1))


def _count(connection: sa.Connection) -> int:
    return connection.scalar(sa.select(sa.func.count()).select_from(balances)) or 0


async def test_many_open_it_at_once(database_url: str) -> None:
    opened = await asyncio.gather(*(Database.open(database_url) for _ in range(8)))
    await asyncio.gather(*(each.run(lambda db, i=i: _add(db, str(i))) for i, each in enumerate(opened)))
    assert await opened[0].run(_count) == 8
    versions = await opened[0].run(lambda db: db.scalars(sa.select(schema_versions.c.version)).all())
    assert versions == [SCHEMA_VERSION]
    for each in opened:
        await each.aclose()


async def test_what_fails_is_rolled_back_and_says_so_without_a_password(database: Database) -> None:
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


async def test_a_newer_one_is_not_touched(database: Database, database_url: str) -> None:
    await database.run(lambda db: db.execute(schema_versions.insert().values(version=SCHEMA_VERSION + 1)))
    with pytest.raises(DatabaseError, match="newer"):
        await Database.open(database_url)


async def test_a_file_that_was_replaced_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    database = await Database.open(f"sqlite:///{path}")
    await database.run(_add)
    for file in list(tmp_path.iterdir()):  # noqa: ASYNC240 - three files on a local disk
        file.unlink()
    await database.run(_add)
    again = await Database.open(f"sqlite:///{path}")
    assert await again.run(_count) == 1
    await database.aclose()
    await again.aclose()


@contextmanager
def _locked(path: Path) -> Generator[sqlite3.Connection]:
    """Another process writes, and takes its time."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


async def test_those_who_wait_for_the_file_write_together(tmp_path: Path) -> None:
    """Each with a lock and a flush of its own, they would keep others from the file for seconds."""
    path = tmp_path / "jobs.sqlite"
    database = await Database.open(file_url(path))
    commits: list[int] = []
    sa.event.listen(database._engine, "commit", lambda _: commits.append(1))  # pyright: ignore[reportPrivateUsage]
    with _locked(path) as other:
        writing = [asyncio.create_task(database.run(lambda db, i=i: _add(db, str(i)))) for i in range(40)]
        await asyncio.sleep(0.1)
        async with asyncio.timeout(5):
            assert await database.read(_count) == 0, "who only reads waits for nobody"
        other.execute("COMMIT")
        await asyncio.gather(*writing)
    assert await database.read(_count) == 40
    assert len(commits) <= 4
    await database.aclose()


async def test_who_fails_in_company_fails_alone(database: Database) -> None:
    def stumbles(connection: sa.Connection) -> None:
        _add(connection, "gone")
        raise KeyError

    works = [lambda db, i=i: _add(db, str(i % 30)) for i in range(40)]
    results = await asyncio.gather(*(database.run(each) for each in (*works, stumbles)), return_exceptions=True)
    ended = [type(each) for each in results]
    assert ended[10:30] + ended[40:] == [type(None)] * 20 + [KeyError]
    # Of two with one key, the later one fails; PostgreSQL does them side by side, and either may be the later one.
    assert [{first, second} for first, second in zip(ended[:10], ended[30:40], strict=True)] == [
        {type(None), DatabaseError}
    ] * 10
    assert await database.read(_count) == 30


async def test_a_lock_is_waited_for_together(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    database = await Database.open(file_url(path), busy_timeout_s=0.3)
    with _locked(path):
        async with asyncio.timeout(10):  # one after the other that would be 30 s
            results = await asyncio.gather(*(database.run(_add) for _ in range(100)), return_exceptions=True)
    assert {type(each) for each in results} == {DatabaseBusyError}
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


@pytest.mark.slow
async def test_a_server_that_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with asyncio.timeout(20):
            with pytest.raises(DatabaseError):
                await Database.open(f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/x", busy_timeout_s=1)


async def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    path = tmp_path / "50% off? #1" / "jobs.sqlite"
    path.parent.mkdir()
    database = await Database.open(file_url(path))
    await database.aclose()
    assert path.exists()


@pytest.mark.parametrize(
    "url", ["mysql://host/db", "no url", "postgres", "postgresql://host:port/x", "sqlite://", "sqlite:///:memory:"]
)
async def test_another_kind_of_database_is_a_setting_gone_wrong(url: str) -> None:
    with pytest.raises(SettingsError):
        await Database.open(url)


@pytest.mark.parametrize("url", ["sqlite:////no/such/folder/x", "postgresql://u:secret@127.0.0.1:1/x"])
async def test_one_that_cannot_be_reached(url: str) -> None:
    with pytest.raises(DatabaseError) as caught:
        await Database.open(url)
    assert "secret" not in str(caught.value)


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
async def test_a_password_in_a_url_that_is_none_is_not_shown(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        await Database.open(url)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None, "a traceback would show it"
