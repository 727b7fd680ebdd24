"""Invalidations on both databases: told once, heard by all, in the order of their numbers whatever clocks say."""

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
    """One that tells and follows."""

    def __init__(self, database: Database, clock: Callable[[], float] = lambda: 1e9, *, store: str = "s") -> None:
        self.validity = Validity()
        self.invalidations = InvalidationLog(database, self.validity, store=store, clock=clock)

    async def reads(self) -> list[Invalidation] | None:
        return await self.invalidations.read_new()

    def believes(self, number: int, position: str, *, token: Token = SHOP, digest: str = "") -> bool:
        return self.validity.is_valid(_key(number, token), position, digest)


async def test_what_one_tells_all_hear_once(database: Database) -> None:
    here, there = Process(database), Process(database)
    assert await here.reads() == []
    assert await there.reads() == []
    asked = here.validity.position
    assert here.believes(1, asked)
    await here.invalidations.append([_of(1), _of(2)])
    for process in (here, there):
        assert await process.reads() == [_of(1), _of(2)]
        assert await process.reads() == []
        assert [process.believes(number, asked) for number in (1, 2, 3)] == [False, False, True]
        assert process.believes(1, process.validity.position), "what is asked from now on"


async def test_one_who_starts_hears_what_is_kept(database: Database) -> None:
    here = Process(database)
    await here.reads()
    asked = here.validity.position
    await here.invalidations.append([_of(1)])
    late = Process(database)
    await late.reads()
    assert not late.believes(1, asked)
    assert not late.believes(1, "")
    assert late.believes(2, "")


async def test_of_one_token_or_of_all_of_one_origin_or_of_all(database: Database) -> None:
    process = Process(database)
    await process.reads()
    asked = process.validity.position
    await process.invalidations.append([_of(1, token="shop"), _of(2)])
    await process.reads()
    assert not process.believes(1, asked)
    assert process.believes(1, asked, token=Token("blog"))
    assert not process.believes(2, asked, token=Token("blog"))
    await process.invalidations.append([Invalidation(origin="")])
    await process.reads()
    assert not process.believes(9, asked)
    assert process.believes(9, process.validity.position)


async def test_a_change_is_believed_by_those_who_know_the_new_bytes(database: Database) -> None:
    process = Process(database)
    await process.reads()
    asked = process.validity.position
    await process.invalidations.append([_of(1, token="shop", digest="new")])
    await process.reads()
    assert process.believes(1, asked, digest="new")
    assert not process.believes(1, asked, digest="old")
    await process.invalidations.append([_of(1)])
    await process.reads()
    assert not process.believes(1, asked, digest="new"), "somebody said so later"
    await process.invalidations.append([_of(1, token="shop", digest="new")])
    await process.reads()
    assert not process.believes(1, asked, digest="new"), "it was asked before that"


@pytest.mark.parametrize("day", [-1, 1])
async def test_clocks_decide_nothing(database: Database, day: int) -> None:
    wrong, right = Process(database, clock=lambda: 1e9 + day * 86_400), Process(database)
    for process in (wrong, right):
        await process.reads()
    asked = right.validity.position
    await wrong.invalidations.append([_of(1)])
    await right.reads()
    assert not right.believes(1, asked)
    assert right.believes(1, right.validity.position)
    await right.invalidations.append([_of(1)])
    await wrong.reads()
    assert not wrong.believes(1, asked)


async def test_many_who_tell_at_once_are_heard_in_order(database: Database, database_url: str) -> None:
    """Numbers that become visible out of order would be passed over by who follows."""
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
    """What is said to databases meanwhile, begins and ends of transactions left out."""
    said: list[str] = []

    @sa.event.listens_for(sa.Engine, "before_cursor_execute")
    def listen(_: object, __: object, statement: str, _values: object, ___: object, many: bool) -> None:
        assert not many, "drivers make many statements of one that is executed with many values"
        if not statement.startswith("BEGIN"):
            said.append(statement)

    try:
        yield said
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", listen)


async def test_a_hundred_urls_cost_one_statement(database: Database) -> None:
    process = Process(database)
    await process.reads()
    with statements() as said:
        await process.invalidations.append([_of(number) for number in range(100)])
    assert sum(statement.startswith("INSERT") for statement in said) == 1
    assert len(await process.reads() or []) == 100, "one row of each, for all tokens"


async def test_more_than_a_statement_takes(database: Database) -> None:
    process = Process(database)
    await process.reads()
    await process.invalidations.append([_of(number) for number in range(7000)])
    assert await process.reads() == [_of(number) for number in range(7000)]


async def test_news_are_one_statement(database: Database) -> None:
    """Rows that others remove between two statements would be passed over."""
    process = Process(database)
    await process.reads()
    with statements() as said:
        assert await process.reads() == []
    assert len(said) == 1


@pytest.mark.parametrize("taken_over", [False, True])
async def test_numbers_become_visible_in_order(database: Database, database_url: str, *, taken_over: bool) -> None:
    """One that is told first and written down last, or comes from an older version's files: who follows would pass it
    over.
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


async def test_more_rows_than_one_look_takes(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_READ_AT_A_TIME", 3)
    process = Process(database)
    await process.invalidations.append([_of(number) for number in range(7)])
    read = [await process.reads() for _ in range(4)]
    assert read == [[_of(0), _of(1), _of(2)], [_of(3), _of(4), _of(5)], [_of(6)], []]


async def _kept(database: Database) -> list[int]:
    return list(
        await database.read(lambda db: db.scalars(sa.select(invalidations.c.seq).order_by(sa.text("seq"))).all())
    )


async def test_old_ones_are_forgotten_and_what_is_older_still_is_asked_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1e9
    process = Process(database, clock=lambda: now)
    await process.reads()
    asked = process.validity.position
    await process.invalidations.append([_of(1)])
    await process.reads()
    between = process.validity.position
    now += 8 * 86_400
    await process.invalidations.append([_of(2), _of(3)])
    assert await process.reads() == [_of(2), _of(3)]
    assert await _kept(database) == [2, 3]
    late = Process(database)
    await late.reads()
    assert not late.believes(9, asked), "one that is forgotten may have named it"
    assert not late.validity.is_invalidated(_key(9), asked), "nobody is known to have"
    assert late.believes(9, between)
    assert not late.believes(2, between)
    monkeypatch.setattr(module, "_KEPT", 1)
    await process.invalidations.append([_of(4)])
    assert await _kept(database) == [4], "never the last"


async def test_at_most_so_many_rows_are_kept(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT", 100)
    process = Process(database)
    for start in range(0, 350, 70):
        await process.invalidations.append([_of(number) for number in range(start, start + 70)])
        assert len(await _kept(database)) <= 100
    assert await _kept(database) == list(range(251, 351))
    await process.invalidations.append([_of(number) for number in range(300)])
    assert await _kept(database) == list(range(551, 651))


@pytest.mark.parametrize("years", [-30, 30])
async def test_a_clock_that_is_wrong_by_years_has_nothing_young_forgotten(database: Database, years: int) -> None:
    """As after a start without a battery: its row looks old, and stands behind such as are young."""
    wrong, right = Process(database, clock=lambda: 1e9 + years * 365 * 86_400), Process(database)
    await right.invalidations.append([_of(1)])
    if years < 0:
        await wrong.invalidations.append([_of(2)])
        await right.invalidations.append([_of(3)])
        assert await _kept(database) == [1, 2, 3]
    else:
        await wrong.invalidations.append([_of(2)])
        assert await _kept(database) == [2], "as old as its clock says; nobody believes more for that"
        late = Process(database)
        await late.reads()
        assert not late.believes(1, f"{late.validity.identity}:0")


async def test_who_was_away_too_long_believes_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    away, here = Process(database), Process(database)
    await away.reads()
    asked = away.validity.position
    monkeypatch.setattr(module, "_KEPT", 2)
    await here.invalidations.append([_of(number) for number in range(10)])
    assert await away.reads() is None
    assert not away.believes(99, asked)
    assert away.believes(99, away.validity.position)
    assert await away.reads() == []


async def test_a_database_that_fails_half_way_loses_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is to look at everything again is told so once, also when the first try to find out more failed."""
    process, other = Process(database), Process(database)
    await process.invalidations.append([_of(1)])
    await process.reads()
    asked = process.validity.position
    monkeypatch.setattr(module, "_KEPT", 1)
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
    assert process.validity.position == asked
    assert process.believes(9, asked), "it goes on with what it heard"
    assert await process.reads() is None
    assert not process.believes(9, asked)
    assert await process.reads() == []


async def test_a_lost_database_is_noticed_once(database: Database) -> None:
    process = Process(database)
    await process.reads()
    await process.invalidations.append([_of(1)])
    await process.reads()
    asked = process.validity.position

    def lose(db: sa.Connection) -> None:
        METADATA.drop_all(db)
        db.exec_driver_sql("DROP TABLE alembic_version")

    await database.run(lose)
    assert await process.reads() is None
    assert not process.believes(5, asked)
    assert process.believes(5, process.validity.position)
    assert await process.reads() == []


async def test_a_row_of_a_later_version_is_passed_over(database: Database) -> None:
    process = Process(database)
    await process.reads()
    await process.invalidations.append([_of(1), _of(2), _of(3)])
    await database.run(lambda db: db.execute(invalidations.update().where(invalidations.c.seq == 2).values(version=9)))
    assert await process.reads() == [_of(1), _of(3)]
    assert await process.reads() == []
    await process.invalidations.append([_of(4)])
    await database.run(lambda db: db.execute(invalidations.update().where(invalidations.c.seq == 4).values(version=9)))
    with statements() as said:
        assert await process.reads() == []
        assert await process.reads() == []
    assert len(said) == 2
    assert process.validity.seq == 4, "it is not read again and again"


async def test_a_file_that_is_deleted_is_noticed_once(tmp_path: Path) -> None:
    path = tmp_path / "lost.sqlite"
    database = await Database.open(f"sqlite:///{path}")
    process = Process(database)
    await process.invalidations.append([_of(number) for number in range(5)])
    await process.reads()
    asked = process.validity.position
    path.unlink()
    await process.invalidations.append([_of(8), _of(9)])
    assert await process.reads() is None
    assert not process.believes(7, asked)
    assert process.believes(7, process.validity.position)
    assert not process.validity.is_invalidated(_key(7), asked)
    assert process.validity.is_invalidated(_key(8), asked), "the new one says so"
    assert await process.reads() == []
    await database.aclose()


async def test_a_restored_backup_is_another_database(database: Database) -> None:
    """It gives numbers again that records on the disk have in their positions."""
    process = Process(database)
    await process.reads()
    await process.invalidations.append([_of(number) for number in range(5)])
    await process.reads()
    asked = process.validity.position
    await database.run(lambda db: db.execute(invalidations.delete().where(invalidations.c.seq > 2)))
    assert await process.reads() is None
    assert not process.believes(9, asked)
    assert process.believes(9, process.validity.position)
    late = Process(database)
    await late.reads()
    assert not late.believes(9, asked)
    assert await process.reads() == []


async def test_what_concerns_one_store_is_heard_by_those_who_use_it(database: Database) -> None:
    """Machines with folders of their own, sent other bytes each time, had each other ask without end."""
    here, there = Process(database, store="here"), Process(database, store="there")
    for process in (here, there):
        await process.reads()
    asked = here.validity.position
    await here.invalidations.append([_of(1, digest="new", store="here"), _of(2)])
    assert await here.reads() == [_of(1, digest="new", store="here"), _of(2)]
    assert await there.reads() == [_of(2)]
    assert there.believes(1, asked, digest="old")
    assert not here.believes(1, asked, digest="old")
    assert await there.reads() == []
