"""The log of invalidations on both databases: every process reads it, in the order of its numbers, not of clocks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import pellucid.invalidation.log as module
from pellucid.database import old_files, takeover
from pellucid.database.database import Database
from pellucid.database.tables import METADATA, invalidations
from pellucid.errors import DatabaseAwayError
from pellucid.invalidation.log import Invalidation, InvalidationLog
from pellucid.invalidation.validity import Validity
from pellucid.spec import OriginRef, Token
from pellucid.store import keys

SHOP = Token("shop")


def _ref(number: int) -> OriginRef:
    return OriginRef(host="shop.example", path=f"/{number}.jpg")


def _of(number: int, **more: str) -> Invalidation:
    return Invalidation(origin=keys.origin_digest_of(_ref(number)), **more)


def _key(number: int, token: Token = SHOP) -> str:
    return keys.origin_record_key(token, _ref(number))


class Process:
    """A process that appends and reads."""

    def __init__(self, database: Database, clock: Callable[[], float] = lambda: 1e9, *, store: str = "s") -> None:
        self.validity = Validity()
        self.invalidations = InvalidationLog(database, self.validity, store=store, clock=clock)

    async def reads(self) -> list[Invalidation] | None:
        return await self.invalidations.read_new()

    def is_valid(self, number: int, position: str, *, token: Token = SHOP, digest: str = "") -> bool:
        return self.validity.is_valid(_key(number, token), position, digest)


async def test_an_invalidation_is_read_once_by_every_process(database: Database) -> None:
    here, there = Process(database), Process(database)
    assert await here.reads() == []
    assert await there.reads() == []
    position = here.validity.position
    assert here.is_valid(1, position)
    await here.invalidations.append([_of(1), _of(2)])
    for process in (here, there):
        assert await process.reads() == [_of(1), _of(2)]
        assert await process.reads() == []
        assert [process.is_valid(number, position) for number in (1, 2, 3)] == [False, False, True]
        assert process.is_valid(1, process.validity.position), "a fetch that starts now"


async def test_a_new_process_reads_the_kept_rows(database: Database) -> None:
    here = Process(database)
    await here.reads()
    position = here.validity.position
    await here.invalidations.append([_of(1)])
    late = Process(database)
    await late.reads()
    assert not late.is_valid(1, position)
    assert not late.is_valid(1, "")
    assert late.is_valid(2, "")


async def test_one_token_or_all_and_one_origin_or_all(database: Database) -> None:
    process = Process(database)
    await process.reads()
    position = process.validity.position
    await process.invalidations.append([_of(1, token="shop"), _of(2)])
    await process.reads()
    assert not process.is_valid(1, position)
    assert process.is_valid(1, position, token=Token("blog"))
    assert not process.is_valid(2, position, token=Token("blog"))
    await process.invalidations.append([Invalidation(origin="")])
    await process.reads()
    assert not process.is_valid(9, position)
    assert process.is_valid(9, process.validity.position)


async def test_records_with_the_new_bytes_stay_valid(database: Database) -> None:
    process = Process(database)
    await process.reads()
    position = process.validity.position
    await process.invalidations.append([_of(1, token="shop", digest="new")])
    await process.reads()
    assert process.is_valid(1, position, digest="new")
    assert not process.is_valid(1, position, digest="old")
    await process.invalidations.append([_of(1)])
    await process.reads()
    assert not process.is_valid(1, position, digest="new"), "a later invalidation says otherwise"
    await process.invalidations.append([_of(1, token="shop", digest="new")])
    await process.reads()
    assert not process.is_valid(1, position, digest="new"), "it was fetched before that"


@pytest.mark.parametrize("day", [-1, 1])
async def test_clocks_decide_nothing(database: Database, day: int) -> None:
    wrong, right = Process(database, clock=lambda: 1e9 + day * 86_400), Process(database)
    for process in (wrong, right):
        await process.reads()
    position = right.validity.position
    await wrong.invalidations.append([_of(1)])
    await right.reads()
    assert not right.is_valid(1, position)
    assert right.is_valid(1, right.validity.position)
    await right.invalidations.append([_of(1)])
    await wrong.reads()
    assert not wrong.is_valid(1, position)


async def test_simultaneous_appends_are_read_in_order(database: Database, database_url: str) -> None:
    """Readers would skip numbers that become visible out of order."""
    others = [await Database.open(database_url) for _ in range(3)]
    follower = Process(database)
    await follower.reads()
    read: list[Invalidation] = []
    tellers = [
        asyncio.create_task(Process(others[number % 3]).invalidations.append([_of(number), _of(number + 100)]))
        for number in range(60)
    ]
    while not all(each.done() for each in tellers):
        read += await follower.reads() or []
    read += await follower.reads() or []
    assert len(read) == 120
    assert {each.origin for each in read} == {_of(number).origin for number in [*range(60), *range(100, 160)]}
    for each in others:
        await each.aclose()


@contextmanager
def statements() -> Iterator[list[str]]:
    """Statements sent to databases inside the block, without those that begin or end transactions."""
    sent: list[str] = []

    @sa.event.listens_for(sa.Engine, "before_cursor_execute")
    def listen(_: object, __: object, statement: str, _values: object, ___: object, many: bool) -> None:
        assert not many, "drivers send many statements for one that is executed with many values"
        if not statement.startswith("BEGIN"):
            sent.append(statement)

    try:
        yield sent
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", listen)


async def test_a_hundred_urls_cost_one_statement(database: Database) -> None:
    process = Process(database)
    await process.reads()
    with statements() as sent:
        await process.invalidations.append([_of(number) for number in range(100)])
    assert sum(statement.startswith("INSERT") for statement in sent) == 1
    assert len(await process.reads() or []) == 100, "one row of each, for all tokens"


async def test_more_than_a_statement_takes(database: Database) -> None:
    process = Process(database)
    await process.reads()
    await process.invalidations.append([_of(number) for number in range(7000)])
    assert await process.reads() == [_of(number) for number in range(7000)]


async def test_a_read_is_one_statement(database: Database) -> None:
    """Rows that other processes delete between two statements would be missed."""
    process = Process(database)
    await process.reads()
    with statements() as sent:
        assert await process.reads() == []
    assert len(sent) == 1


@pytest.mark.parametrize("taken_over", [False, True])
async def test_numbers_become_visible_in_order(database: Database, database_url: str, *, taken_over: bool) -> None:
    """One that is appended first and committed last, or is imported from files of an older version. Otherwise readers
    would skip it.
    """
    slow, quick = InvalidationLog(database, Validity()), await Database.open(database_url)
    follower = Process(quick)
    await follower.reads()
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def tell_slowly(db: sa.Connection) -> None:
        if taken_over:
            now = time.time()
            takeover._invalidations(db, [old_files.Invalidation(record_key=_key(1), at=now)], now=now)
        else:
            slow._append(db, [_of(1, token="shop")])
        loop.call_soon_threadsafe(begun.set)
        time.sleep(0.5)

    slowly = asyncio.create_task(database.run(tell_slowly))
    await asyncio.wait({slowly, asyncio.create_task(begun.wait())}, return_when=asyncio.FIRST_COMPLETED)
    quickly = asyncio.create_task(InvalidationLog(quick, Validity()).append([_of(2)]))
    read: list[Invalidation] = []
    while not (slowly.done() and quickly.done()):
        read += await follower.reads() or []
        await asyncio.sleep(0.01)
    read += await follower.reads() or []
    assert read == [_of(1, token="shop"), _of(2)]
    await quick.aclose()


async def test_more_rows_than_one_call_reads(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_READ_BATCH", 3)
    process = Process(database)
    await process.invalidations.append([_of(number) for number in range(7)])
    read = [await process.reads() for _ in range(4)]
    assert read == [[_of(0), _of(1), _of(2)], [_of(3), _of(4), _of(5)], [_of(6)], []]


async def _kept(database: Database) -> list[int]:
    return list(
        await database.read(lambda db: db.scalars(sa.select(invalidations.c.seq).order_by(sa.text("seq"))).all())
    )


async def test_old_rows_are_deleted_and_older_records_become_invalid(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1e9
    process = Process(database, clock=lambda: now)
    await process.reads()
    position = process.validity.position
    await process.invalidations.append([_of(1)])
    await process.reads()
    between = process.validity.position
    now += 8 * 86_400
    await process.invalidations.append([_of(2), _of(3)])
    assert await process.reads() == [_of(2), _of(3)]
    assert await _kept(database) == [2, 3]
    late = Process(database)
    await late.reads()
    assert not late.is_valid(9, position), "a deleted row may have named it"
    assert not late.validity.is_invalidated(_key(9), position), "no known row names it"
    assert late.is_valid(9, between)
    assert not late.is_valid(2, between)
    monkeypatch.setattr(module, "_MAX_ROWS", 1)
    await process.invalidations.append([_of(4)])
    assert await _kept(database) == [4], "never the last"


async def test_the_number_of_rows_is_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_ROWS", 100)
    process = Process(database)
    for start in range(0, 350, 70):
        await process.invalidations.append([_of(number) for number in range(start, start + 70)])
        assert len(await _kept(database)) <= 100
    assert await _kept(database) == list(range(251, 351))
    await process.invalidations.append([_of(number) for number in range(300)])
    assert await _kept(database) == list(range(551, 651))


@pytest.mark.parametrize("years", [-30, 30])
async def test_a_clock_that_is_wrong_by_years_deletes_no_young_row(database: Database, years: int) -> None:
    """For example after a start without a battery: its row looks old, and stands behind young ones."""
    wrong, right = Process(database, clock=lambda: 1e9 + years * 365 * 86_400), Process(database)
    await right.invalidations.append([_of(1)])
    if years < 0:
        await wrong.invalidations.append([_of(2)])
        await right.invalidations.append([_of(3)])
        assert await _kept(database) == [1, 2, 3]
    else:
        await wrong.invalidations.append([_of(2)])
        assert await _kept(database) == [2], "as old as its clock says; no more records become valid"
        late = Process(database)
        await late.reads()
        assert not late.is_valid(1, f"{late.validity.identity}:0")


async def test_after_a_long_absence_no_record_is_valid(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    away, here = Process(database), Process(database)
    await away.reads()
    position = away.validity.position
    monkeypatch.setattr(module, "_MAX_ROWS", 2)
    await here.invalidations.append([_of(number) for number in range(10)])
    assert await away.reads() is None
    assert not away.is_valid(99, position)
    assert away.is_valid(99, away.validity.position)
    assert await away.reads() == []


async def test_a_database_that_fails_half_way_loses_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss is reported once, also when the first attempt to read again failed."""
    process, other = Process(database), Process(database)
    await process.invalidations.append([_of(1)])
    await process.reads()
    position = process.validity.position
    monkeypatch.setattr(module, "_MAX_ROWS", 1)
    await other.invalidations.append([_of(2), _of(3), _of(4)])
    reads = 0
    read = Database.read

    async def second_fails(self: Database, *args: Any, **kwargs: Any) -> Any:
        nonlocal reads
        reads += 1
        if reads == 2:
            raise DatabaseAwayError("away")
        return await read(self, *args, **kwargs)

    monkeypatch.setattr(Database, "read", second_fails)
    with pytest.raises(DatabaseAwayError):
        await process.reads()
    assert process.validity.position == position
    assert process.is_valid(9, position), "it continues with what it has read"
    assert await process.reads() is None
    assert not process.is_valid(9, position)
    assert await process.reads() == []


async def test_a_lost_database_is_noticed_once(database: Database) -> None:
    process = Process(database)
    await process.reads()
    await process.invalidations.append([_of(1)])
    await process.reads()
    position = process.validity.position

    def lose(db: sa.Connection) -> None:
        METADATA.drop_all(db)
        db.exec_driver_sql("DROP TABLE alembic_version")

    await database.run(lose)
    assert await process.reads() is None
    assert not process.is_valid(5, position)
    assert process.is_valid(5, process.validity.position)
    assert await process.reads() == []


async def test_a_row_of_a_later_version_is_skipped(database: Database) -> None:
    process = Process(database)
    await process.reads()
    await process.invalidations.append([_of(1), _of(2), _of(3)])
    await database.run(lambda db: db.execute(invalidations.update().where(invalidations.c.seq == 2).values(version=9)))
    assert await process.reads() == [_of(1), _of(3)]
    assert await process.reads() == []
    await process.invalidations.append([_of(4)])
    await database.run(lambda db: db.execute(invalidations.update().where(invalidations.c.seq == 4).values(version=9)))
    with statements() as sent:
        assert await process.reads() == []
        assert await process.reads() == []
    assert len(sent) == 2
    assert process.validity.seq == 4, "it is not read again and again"


async def test_a_file_that_is_deleted_is_noticed_once(tmp_path: Path) -> None:
    path = tmp_path / "lost.sqlite"
    database = await Database.open(f"sqlite:///{path}")
    process = Process(database)
    await process.invalidations.append([_of(number) for number in range(5)])
    await process.reads()
    position = process.validity.position
    path.unlink()
    await process.invalidations.append([_of(8), _of(9)])
    assert await process.reads() is None
    assert not process.is_valid(7, position)
    assert process.is_valid(7, process.validity.position)
    assert not process.validity.is_invalidated(_key(7), position)
    assert process.validity.is_invalidated(_key(8), position), "the new database shows it"
    assert await process.reads() == []
    await database.aclose()


async def test_a_restored_backup_is_another_database(database: Database) -> None:
    """It uses numbers again that are in the positions of stored records."""
    process = Process(database)
    await process.reads()
    await process.invalidations.append([_of(number) for number in range(5)])
    await process.reads()
    position = process.validity.position
    await database.run(lambda db: db.execute(invalidations.delete().where(invalidations.c.seq > 2)))
    assert await process.reads() is None
    assert not process.is_valid(9, position)
    assert process.is_valid(9, process.validity.position)
    late = Process(database)
    await late.reads()
    assert not late.is_valid(9, position)
    assert await process.reads() == []


async def test_rows_for_a_store_are_applied_by_its_processes_only(database: Database) -> None:
    """Machines with stores of their own, which got different bytes, made each other fetch again without end."""
    here, there = Process(database, store="here"), Process(database, store="there")
    for process in (here, there):
        await process.reads()
    position = here.validity.position
    await here.invalidations.append([_of(1, digest="new", store="here"), _of(2)])
    assert await here.reads() == [_of(1, digest="new", store="here"), _of(2)]
    assert await there.reads() == [_of(2)]
    assert there.is_valid(1, position, digest="old")
    assert not here.is_valid(1, position, digest="old")
    assert await there.reads() == []
