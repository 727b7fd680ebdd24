"""The database: opened by many at once, replaced under one's feet, of a newer version, unreachable."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa

from pellucid.database.database import Database
from pellucid.database.tables import SCHEMA_VERSION, balances, schema_versions
from pellucid.errors import DatabaseError, SettingsError


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


@pytest.mark.parametrize("url", ["mysql://host/db", "no url", "postgres"])
async def test_another_kind_of_database_is_a_setting_gone_wrong(url: str) -> None:
    with pytest.raises(SettingsError):
        await Database.open(url)


@pytest.mark.parametrize("url", ["sqlite:////no/such/folder/x", "postgresql://u:secret@127.0.0.1:1/x"])
async def test_one_that_cannot_be_reached(url: str) -> None:
    with pytest.raises(DatabaseError) as caught:
        await Database.open(url)
    assert "secret" not in str(caught.value)
