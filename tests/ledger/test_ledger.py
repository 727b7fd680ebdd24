"""The ledger on both databases: what is held, what is charged, what a limit allows."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from pellucid.database.database import Database, file_url
from pellucid.database.tables import charges
from pellucid.errors import DatabaseError
from pellucid.ledger import entries
from pellucid.ledger.ledger import Ledger
from pellucid.ledger.values import Balance, Claim, Standing, month_of, next_month
from pellucid.spec import Tier, Token

PRICES = {Tier.FAST: 100, Tier.STANDARD: 200, Tier.BEST: 400}
SHOP, BLOG = Token("shop"), Token("blog")


class Clock:
    now = datetime(2026, 11, 30, 23, 59, tzinfo=UTC).timestamp()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(database: Database, clock: Clock) -> Callable[..., Ledger]:
    """A ledger as another process would have it: nothing in memory."""

    def make(limit: int | None = None) -> Ledger:
        return Ledger(database, price=PRICES.__getitem__, limit=lambda _: limit, clock=clock)

    return make


def _claim(number: int = 0, *, token: Token = SHOP, tier: Tier = Tier.STANDARD) -> Claim:
    return Claim(token=token, origin_digest=f"{number:032x}", tier=tier, origin_host="shop.example")


async def _spent(ledger: Ledger, token: Token = SHOP) -> tuple[int, int]:
    """(charged, held), not from memory."""
    ledger._balances.clear()  # pyright: ignore[reportPrivateUsage]
    balance = await ledger.balance(token)
    return balance.charged, balance.held


async def test_held_then_charged_once_whoever_asks_how_often(make: Callable[..., Ledger]) -> None:
    here, there = make(), make()
    claim = _claim()
    for ledger in (here, here, there):
        assert await ledger.hold(claim, "job") is Standing.HELD
    assert await _spent(here) == (0, 200)
    assert await here.settle("job", available=True) == 1
    assert await there.settle("job", available=True) == 0
    for ledger in (here, there, make()):
        assert await ledger.charge(claim) is Standing.PAID
        assert await ledger.hold(claim, "another job") is Standing.PAID
        assert await ledger.cost(claim) == 200
    assert await _spent(make()) == (200, 0)


async def test_tokens_tiers_and_bytes_are_charged_apart(make: Callable[..., Ledger]) -> None:
    ledger = make()
    for claim in (_claim(), _claim(1), _claim(tier=Tier.BEST), _claim(tier=Tier.FAST), _claim(token=BLOG)):
        assert await ledger.charge(claim) is Standing.PAID
    assert await ledger.charge(replace(_claim(), origin_host="other.example")) is Standing.PAID
    assert await _spent(ledger) == (900, 0)
    assert await _spent(ledger, BLOG) == (200, 0)


async def test_a_job_that_gives_no_cutout_costs_nothing(make: Callable[..., Ledger]) -> None:
    ledger = make(limit=200)
    assert await ledger.hold(_claim(), "job") is Standing.HELD
    assert await ledger.hold(_claim(1), "job 1") is Standing.REFUSED
    assert await ledger.settle("job", available=False) == 0
    assert await _spent(ledger) == (0, 0)
    assert await make(limit=200).hold(_claim(1), "job 1") is Standing.HELD


async def test_what_is_held_is_promised(make: Callable[..., Ledger], clock: Clock) -> None:
    """A price that rises, a limit that is lowered and a month that ends change nothing about it."""
    assert await make(limit=200).hold(_claim(), "job") is Standing.HELD
    clock.now += 3600
    poorer = make(limit=0)
    assert await poorer.charge(_claim()) is Standing.PAID
    assert await _spent(poorer) == (200, 0)
    assert await poorer.charge(_claim(1)) is Standing.REFUSED
    assert month_of(clock.now) == "2026-12"


async def test_the_limit_begins_anew_with_the_month(make: Callable[..., Ledger], clock: Clock) -> None:
    ledger = make(limit=300)
    assert await ledger.charge(_claim()) is Standing.PAID
    assert await ledger.charge(_claim(1)) is Standing.REFUSED
    assert await ledger.hold(_claim(1), "job") is Standing.REFUSED
    assert await ledger.charge(_claim(2, tier=Tier.FAST)) is Standing.PAID
    balance = await make(limit=300).balance(SHOP)
    assert balance == Balance(limit=300, charged=300, held=0, resets_at=datetime(2026, 12, 1, tzinfo=UTC).timestamp())
    assert balance.remaining == 0
    clock.now = balance.resets_at
    assert await ledger.charge(_claim(1)) is Standing.PAID
    assert await _spent(ledger) == (200, 0)
    assert next_month(clock.now) == datetime(2027, 1, 1, tzinfo=UTC).timestamp()


async def test_what_is_free_needs_no_credits(database: Database) -> None:
    ledger = Ledger(database, price=lambda _: 0, limit=lambda _: 0)
    assert await ledger.hold(_claim(), "job") is Standing.HELD
    assert await ledger.settle("job", available=True) == 1
    assert await ledger.cost(_claim()) == 0


async def test_an_old_hold_is_found_unless_somebody_renews_it(make: Callable[..., Ledger], clock: Clock) -> None:
    ledger = make()
    await ledger.hold(_claim(), "job")
    await ledger.hold(_claim(1), "job 1")
    clock.now += 100
    await make().hold(_claim(1), "job 1")
    (old,) = await ledger.holds_older_than(90, limit=10)
    assert (old.claim, old.job, old.credits) == (_claim(), "job", 200)
    await make().hold(_claim(), "job")
    await ledger.release(old.claim, held_at=old.held_at)
    assert await _spent(ledger) == (0, 400), "renewed in between"
    await ledger.release(_claim())
    assert await _spent(ledger) == (0, 200)


async def test_who_only_looks_waits_for_no_writer(tmp_path: Path) -> None:
    """A page that waits, one that was paid for, one without credits: they ask again and again."""
    path = tmp_path / "jobs.sqlite"
    database = await Database.open(file_url(path), busy_timeout_s=0.1)

    def make() -> Ledger:
        return Ledger(database, price=PRICES.__getitem__, limit=lambda _: 400)

    await make().charge(_claim())
    await make().hold(_claim(1), "job")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert await make().hold(_claim(), "job") is Standing.PAID
        assert await make().charge(_claim()) is Standing.PAID
        assert await make().hold(_claim(1), "job") is Standing.HELD
        assert await make().hold(_claim(2), "job") is Standing.REFUSED
        assert await make().charge(_claim(2)) is Standing.REFUSED
        with pytest.raises(DatabaseError):
            await make().charge(_claim(1))
    await database.aclose()


async def test_what_was_released_meanwhile_is_not_charged(make: Callable[..., Ledger], database: Database) -> None:
    """The credits may have gone to another picture."""
    await make().hold(_claim(), "job")
    begun = threading.Event()

    def release_slowly(db: sa.Connection) -> None:
        entries.lock_month(db, SHOP, Clock.now)
        begun.set()
        time.sleep(0.3)  # the worker has read what is held, and waits for the lock
        entries.drop_hold(db, _claim())

    releasing = asyncio.create_task(database.run(release_slowly))
    await asyncio.to_thread(begun.wait)
    assert await make().settle("job", available=True) == 0
    await releasing
    assert await _spent(make()) == (0, 0)


async def test_at_midnight_the_old_month_and_the_new_one_do_not_hold_side_by_side(
    make: Callable[..., Ledger], database: Database, clock: Clock
) -> None:
    """A process whose clock is behind, or whose transaction began before."""
    assert await make().charge(_claim()) is Standing.PAID
    midnight = clock.now = next_month(clock.now)
    begun = threading.Event()

    def hold_slowly(db: sa.Connection) -> None:
        entries.lock_month(db, SHOP, midnight - 1)
        begun.set()
        time.sleep(0.3)
        entries.hold(db, _claim(1), credits=200, job="job 1", now=midnight - 1)

    holding = asyncio.create_task(database.run(hold_slowly))
    await asyncio.to_thread(begun.wait)
    assert await make(limit=200).hold(_claim(2), "job 2") is Standing.REFUSED
    await holding
    assert await _spent(make()) == (0, 200)


@pytest.mark.parametrize("step", ["hold", "charge"])
async def test_a_hundred_at_once_cannot_overrun_the_limit(
    make: Callable[..., Ledger], database: Database, database_url: str, step: str
) -> None:
    """Three processes' worth of connections, a hundred pictures, credits for seven."""
    others = [await Database.open(database_url) for _ in range(2)]
    ledgers = [
        Ledger(each, price=PRICES.__getitem__, limit=lambda _: 1500, clock=Clock()) for each in (database, *others)
    ]

    async def ask(number: int) -> Standing:
        ledger = ledgers[number % 3]
        claim = _claim(number)
        return await (ledger.hold(claim, f"job {number}") if step == "hold" else ledger.charge(claim))

    standings = await asyncio.gather(*map(ask, range(100)))
    assert standings.count(Standing.REFUSED) == 93
    spent = await _spent(make(limit=1500))
    assert spent == ((0, 1400) if step == "hold" else (1400, 0))
    for each in others:
        await each.aclose()


async def test_the_same_at_once_is_charged_once(make: Callable[..., Ledger], database: Database) -> None:
    ledgers = [make() for _ in range(20)]
    await ledgers[0].hold(_claim(), "job")
    await asyncio.gather(
        *(each.charge(_claim()) for each in ledgers), *(each.settle("job", available=True) for each in ledgers)
    )
    assert await _spent(make()) == (200, 0)
    rows = await database.read(lambda db: db.execute(sa.select(charges)).all())
    (row,) = rows
    assert (row.token, row.tier, row.operation, row.credits) == ("shop", "standard", "bg_remove", 200)
    assert (row.origin_host, row.day) == ("shop.example", "2026-11-30")
