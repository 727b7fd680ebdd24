"""PostgreSQL that is unavailable: errors at once, and automatic reconnection."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest
import sqlalchemy as sa

from database_fixtures import PostgresServer
from pellucid.database.database import Database
from pellucid.database.tables import balances
from pellucid.errors import DatabaseAwayError, DatabaseError


def _add(connection: sa.Connection, token: str = "a") -> None:
    connection.execute(balances.insert().values(token=token, month="2026-11", charged=1))


def _count(connection: sa.Connection) -> int:
    return connection.scalar(sa.select(sa.func.count()).select_from(balances)) or 0


async def _seconds(database: Database, count: int = 1) -> float:
    """Seconds that `count` failing reads take, one after the other."""
    started = time.monotonic()
    for _ in range(count):
        with pytest.raises(DatabaseAwayError):
            await database.read(_count)
    return time.monotonic() - started


@pytest.mark.serial
async def test_a_refused_connection_fails_at_once_without_a_password() -> None:
    database = Database("postgresql://u:secret@127.0.0.1:1/x")
    assert await _seconds(database) < 2
    assert await _seconds(database, 100) < 0.5, "no new attempt within a second"
    with pytest.raises(DatabaseAwayError) as caught:
        await database.run(_count)
    assert "127.0.0.1:1" in str(caught.value)
    assert "secret" not in str(caught.value)
    await database.aclose()
    with pytest.raises(DatabaseAwayError):
        await Database.open("postgresql://u:secret@127.0.0.1:1/x")


@pytest.mark.slow
@pytest.mark.serial
async def test_a_server_that_stops_and_starts(own_postgres: PostgresServer) -> None:
    database = await Database.open(own_postgres.url)
    await database.run(_add)
    ended = asyncio.Event()
    found: list[int | Exception] = []
    longest = 0.0

    async def go_on_reading() -> None:
        nonlocal longest
        while not ended.is_set():
            started = time.monotonic()
            try:
                found.append(await database.read(_count))
            except DatabaseError as error:
                found.append(error)
            longest = max(longest, time.monotonic() - started)
            await asyncio.sleep(0.02)

    reading = [asyncio.create_task(go_on_reading()) for _ in range(6)]
    await asyncio.sleep(0.3)
    assert set(found) == {1}
    await asyncio.to_thread(own_postgres.stop)
    await asyncio.sleep(0.1)
    found.clear()
    await asyncio.sleep(1.5)
    assert {type(each) for each in found} == {DatabaseAwayError}
    assert len(found) > 100, "they fail at once"

    # It is back: the next attempt, within a second, succeeds.
    await asyncio.to_thread(own_postgres.start)
    async with asyncio.timeout(5):
        while found[-1] != 1:  # noqa: ASYNC110 - polls the recorded results
            await asyncio.sleep(0.02)
    found.clear()
    await asyncio.sleep(0.5)
    assert set(found) == {1}
    await database.run(lambda db: _add(db, "b"))
    assert await database.read(_count) == 2

    # A restart without requests meanwhile: the old connections are recognised as closed.
    ended.set()
    await asyncio.gather(*reading)
    assert longest < 3
    await asyncio.to_thread(own_postgres.stop)
    await asyncio.to_thread(own_postgres.start)
    assert await asyncio.gather(*(database.read(_count) for _ in range(8))) == [2] * 8
    await database.run(lambda db: _add(db, "c"))
    await database.aclose()


@pytest.mark.slow
@pytest.mark.serial
async def test_a_process_may_start_before_its_database(own_postgres: PostgresServer) -> None:
    await asyncio.to_thread(own_postgres.stop)
    database = Database(own_postgres.url)
    assert await _seconds(database) < 2
    await asyncio.to_thread(own_postgres.start)
    async with asyncio.timeout(5):
        while True:
            try:
                await database.run(_add)
            except DatabaseAwayError:
                await asyncio.sleep(0.05)
            else:
                break
    assert await database.read(_count) == 1
    await database.aclose()


@pytest.mark.slow
@pytest.mark.serial
async def test_an_outage_ends_for_all_even_if_the_first_work_fails(own_postgres: PostgresServer) -> None:
    database = await Database.open(own_postgres.url)
    await asyncio.to_thread(own_postgres.stop)
    await _seconds(database)
    await asyncio.to_thread(own_postgres.start)
    await asyncio.sleep(1.1)
    with pytest.raises(ZeroDivisionError):
        await database.read(lambda _: 1 // 0)
    assert await database.read(_count) == 0
    await database.aclose()


@pytest.mark.slow
async def test_a_silent_server_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with asyncio.timeout(20):
            with pytest.raises(DatabaseError):
                await Database.open(f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/x", busy_timeout_s=1)


@pytest.mark.slow
@pytest.mark.serial
async def test_during_an_attempt_at_a_silent_server_other_callers_fail_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        database = Database(f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/x", busy_timeout_s=2)
        assert await _seconds(database) < 6
        await asyncio.sleep(1.1)
        asks = asyncio.create_task(_seconds(database))
        await asyncio.sleep(0.1)
        assert await _seconds(database, 50) < 0.5
        assert 1 < await asks < 6
        await database.aclose()


async def test_a_missing_database_is_no_outage(postgres_server: str) -> None:
    """It is not waited for: the settings are wrong."""
    url = sa.make_url(postgres_server).set(database="nobody-made-this").render_as_string(hide_password=False)
    with pytest.raises(DatabaseError, match="check user, password and name") as caught:
        await Database.open(url)
    assert not isinstance(caught.value, DatabaseAwayError)
