"""The ledger's rules and statements on both databases: what is held, what is charged, what a limit allows."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from pellucid.database.database import Database
from pellucid.database.tables import charges
from pellucid.ledger import entries
from pellucid.ledger.ledger import Ledger
from pellucid.ledger.values import Balance, Claim, ClaimStatus, month_of, next_month
from pellucid.spec import Tier, Token

PRICES = {Tier.FAST: 100, Tier.STANDARD: 200, Tier.BEST: 400}
SHOP, BLOG = Token("shop"), Token("blog")
LAST_MINUTE = datetime(2026, 11, 30, 23, 59, tzinfo=UTC).timestamp()


@dataclass
class Accounts:
    """A ledger in transactions of its own, as a process would have it."""

    database: Database
    limit: int | None = None
    now: float = LAST_MINUTE

    @property
    def ledger(self) -> Ledger:
        return Ledger(price=PRICES.__getitem__, limit=lambda _: self.limit)

    async def hold(self, claim: Claim, job: str, *, may_spend: bool = True) -> ClaimStatus:
        """Hold as `queue.submission` does, without a job."""

        def work(db: sa.Connection) -> ClaimStatus:
            entries.lock_account(db, claim.token, self.now)
            account = entries.account(db, claim, now=self.now)
            claim_status = self.ledger.claim_status(claim, account, may_spend=may_spend)
            if claim_status in (ClaimStatus.PAID, ClaimStatus.REFUSED):
                return claim_status
            credits = self.ledger.price_of(claim, account)
            entries.hold(db, claim, credits=credits, store="s", job=job, now=self.now)
            return ClaimStatus.HELD

        return await self.database.run(work)

    async def charge(self, claim: Claim, *, may_spend: bool = True) -> ClaimStatus:
        charge = partial(self.ledger.charge, claim=claim, may_spend=may_spend, now=self.now)
        return (await self.database.run(charge))[0]

    async def settle(self, job: str, *, available: bool) -> int:
        return await self.database.run(
            lambda db: self.ledger.settle(db, store="s", job=job, available=available, now=self.now)
        )

    async def cost(self, claim: Claim) -> int | None:
        return (await self.database.read(partial(entries.account, claim=claim, now=self.now))).paid

    async def spent(self, token: Token = SHOP) -> tuple[int, int]:
        """(charged, held)."""
        return await self.database.read(partial(entries.sums, token=token, now=self.now))

    async def balance(self, token: Token = SHOP) -> Balance:
        charged, held = await self.spent(token)
        return self.ledger.balance(token, charged=charged, held=held, now=self.now)


@pytest.fixture
def make(database: Database) -> Callable[..., Accounts]:
    return partial(Accounts, database)


def _claim(number: int = 0, *, token: Token = SHOP, tier: Tier = Tier.STANDARD) -> Claim:
    return Claim(token=token, origin_digest=f"{number:032x}", tier=tier, origin_host="shop.example")


async def test_a_claim_is_held_then_charged_once_however_often_it_is_requested(make: Callable[..., Accounts]) -> None:
    here, there = make(), make()
    claim = _claim()
    for accounts in (here, here, there):
        assert await accounts.hold(claim, "job") is ClaimStatus.HELD
    assert await here.spent() == (0, 200)
    assert await here.settle("job", available=True) == 1
    assert await there.settle("job", available=True) == 0
    for accounts in (here, there, make()):
        assert await accounts.charge(claim) is ClaimStatus.PAID
        assert await accounts.hold(claim, "another job") is ClaimStatus.PAID
        assert await accounts.cost(claim) == 200
    assert await make().spent() == (200, 0)


async def test_tokens_tiers_and_bytes_are_charged_apart(make: Callable[..., Accounts]) -> None:
    accounts = make()
    for claim in (_claim(), _claim(1), _claim(tier=Tier.BEST), _claim(tier=Tier.FAST), _claim(token=BLOG)):
        assert await accounts.charge(claim) is ClaimStatus.PAID
    assert await accounts.charge(replace(_claim(), origin_host="other.example")) is ClaimStatus.PAID
    assert await accounts.spent() == (900, 0)
    assert await accounts.spent(BLOG) == (200, 0)


async def test_a_job_without_a_cutout_costs_nothing(make: Callable[..., Accounts]) -> None:
    accounts = make(limit=200)
    assert await accounts.hold(_claim(), "job") is ClaimStatus.HELD
    assert await accounts.hold(_claim(1), "job 1") is ClaimStatus.REFUSED
    assert await accounts.settle("job", available=False) == 0
    assert await accounts.spent() == (0, 0)
    assert await make(limit=200).hold(_claim(1), "job 1") is ClaimStatus.HELD


async def test_a_hold_stays_valid(make: Callable[..., Accounts]) -> None:
    """A higher price, a lower limit and the end of the month do not change it."""
    assert await make(limit=200).hold(_claim(), "job") is ClaimStatus.HELD
    poorer = make(limit=0, now=LAST_MINUTE + 3600)
    assert await poorer.charge(_claim()) is ClaimStatus.PAID
    assert await poorer.spent() == (200, 0)
    assert await poorer.charge(_claim(1)) is ClaimStatus.REFUSED
    assert month_of(poorer.now) == "2026-12"


async def test_the_limit_starts_again_with_the_month(make: Callable[..., Accounts]) -> None:
    accounts = make(limit=300)
    assert await accounts.charge(_claim()) is ClaimStatus.PAID
    assert await accounts.charge(_claim(1)) is ClaimStatus.REFUSED
    assert await accounts.hold(_claim(1), "job") is ClaimStatus.REFUSED
    assert await accounts.charge(_claim(2, tier=Tier.FAST)) is ClaimStatus.PAID
    balance = await make(limit=300).balance()
    assert balance == Balance(limit=300, charged=300, held=0, resets_at=datetime(2026, 12, 1, tzinfo=UTC).timestamp())
    assert balance.remaining == 0
    later = make(limit=300, now=balance.resets_at)
    assert await later.charge(_claim(1)) is ClaimStatus.PAID
    assert await later.spent() == (200, 0)
    assert next_month(later.now) == datetime(2027, 1, 1, tzinfo=UTC).timestamp()


async def test_a_price_of_zero_needs_no_credits(database: Database) -> None:
    free = Ledger(price=lambda _: 0, limit=lambda _: 0)
    charge = partial(free.charge, claim=_claim(), may_spend=True, now=LAST_MINUTE)
    assert await database.run(charge) == (ClaimStatus.PAID, 0)


async def test_without_may_spend_nothing_new_is_charged(make: Callable[..., Accounts]) -> None:
    accounts = make()
    assert await accounts.charge(_claim(), may_spend=False) is ClaimStatus.REFUSED
    assert await accounts.hold(_claim(), "job", may_spend=False) is ClaimStatus.REFUSED
    assert await accounts.hold(_claim(), "job") is ClaimStatus.HELD
    assert await accounts.charge(_claim(), may_spend=False) is ClaimStatus.PAID, "a hold stays valid"


def _frame(number: int, **more: Any) -> Claim:
    """The image of a webcam in minute `number`."""
    return replace(_claim(number), **{"origin": "a" * 32, "charge_every_s": 86_400.0, **more})


async def test_a_webcam_is_charged_once_a_day(make: Callable[..., Accounts]) -> None:
    accounts = make(now=datetime(2026, 11, 3, tzinfo=UTC).timestamp())
    for minute in range(60):
        accounts.now += 60
        assert await accounts.hold(_frame(minute), f"job {minute}") is ClaimStatus.HELD
        assert await accounts.settle(f"job {minute}", available=True) == 1
    assert await accounts.spent() == (200, 0)
    rows = await accounts.database.read(lambda db: db.scalars(sa.select(charges.c.credits)).all())
    assert sorted(rows) == [0] * 59 + [200], "each cutout has its row"
    accounts.now += 86_400
    assert await accounts.charge(_frame(100)) is ClaimStatus.PAID
    assert await accounts.spent() == (400, 0)


async def test_frames_pending_together_cost_as_much_as_one(make: Callable[..., Accounts]) -> None:
    accounts = make(limit=300)
    for minute in range(5):
        assert await accounts.hold(_frame(minute), f"job {minute}") is ClaimStatus.HELD
    assert await accounts.spent() == (0, 200)


@pytest.mark.parametrize("first_succeeds", [True, False])
@pytest.mark.parametrize("order", ["first", "second"])
async def test_of_frames_pending_together_one_with_a_cutout_is_paid(
    make: Callable[..., Accounts], order: str, first_succeeds: bool
) -> None:
    """An image without a cutout, put first at a URL, would make all that follow free."""
    accounts = make()
    for minute in range(4):
        assert await accounts.hold(_frame(minute), f"job {minute}") is ClaimStatus.HELD
    if order == "first":
        await accounts.settle("job 0", available=first_succeeds)
        await accounts.settle("job 1", available=True)
    else:
        await accounts.settle("job 1", available=True)
        await accounts.settle("job 0", available=first_succeeds)
    assert await accounts.spent() == (200, 0)
    await accounts.settle("job 2", available=True)
    assert await accounts.charge(_frame(3)) is ClaimStatus.PAID
    assert await accounts.charge(_frame(9)) is ClaimStatus.PAID
    assert await accounts.spent() == (200, 0)


async def test_a_frame_with_a_matte_pays_for_the_pending_ones(make: Callable[..., Accounts]) -> None:
    accounts = make()
    await accounts.hold(_frame(0), "job 0")
    assert await accounts.charge(_frame(1)) is ClaimStatus.PAID
    assert await accounts.spent() == (200, 0)
    await accounts.settle("job 0", available=False)
    assert await accounts.spent() == (200, 0)


async def test_frames_that_all_fail_cost_nothing(make: Callable[..., Accounts]) -> None:
    accounts = make()
    for minute in range(3):
        await accounts.hold(_frame(minute), f"job {minute}")
    for minute in range(3):
        assert await accounts.spent() == (0, 200)
        await accounts.settle(f"job {minute}", available=False)
    assert await accounts.spent() == (0, 0)


async def test_other_origins_tiers_and_tokens_pay_for_themselves(make: Callable[..., Accounts]) -> None:
    accounts = make()
    for claim in (
        _frame(0),
        _frame(1, origin="b" * 32),
        _frame(2, tier=Tier.BEST),
        _frame(3, token=BLOG),
        _frame(4, origin=""),
        _frame(5, charge_every_s=0.0),
    ):
        assert await accounts.charge(claim) is ClaimStatus.PAID
    assert await accounts.spent() == (200 + 200 + 400 + 200 + 200, 0)
    assert await accounts.spent(BLOG) == (200, 0)


async def test_at_midnight_holds_of_the_old_month_count_in_the_new_one(
    make: Callable[..., Accounts], database: Database
) -> None:
    """For a process whose clock is behind, or whose transaction began before midnight."""
    assert await make().charge(_claim()) is ClaimStatus.PAID
    midnight = next_month(LAST_MINUTE)
    begun = threading.Event()

    def hold_slowly(db: sa.Connection) -> None:
        entries.lock_account(db, SHOP, midnight - 1)
        begun.set()
        time.sleep(0.3)
        entries.hold(db, _claim(1), credits=200, store="s", job="job 1", now=midnight - 1)

    holding = asyncio.create_task(database.run(hold_slowly))
    await asyncio.to_thread(begun.wait)
    assert await make(limit=200, now=midnight).hold(_claim(2), "job 2") is ClaimStatus.REFUSED
    await holding
    assert await make(now=midnight).spent() == (0, 200)


@pytest.mark.parametrize("step", ["hold", "charge"])
async def test_a_hundred_simultaneous_claims_keep_the_limit(
    make: Callable[..., Accounts], database: Database, database_url: str, step: str
) -> None:
    """Connections of three processes, a hundred images, credits for seven."""
    others = [await Database.open(database_url) for _ in range(2)]
    all_of_them = [Accounts(each, limit=1500) for each in (database, *others)]

    async def hold(number: int) -> ClaimStatus:
        accounts = all_of_them[number % 3]
        claim = _claim(number)
        return await (accounts.hold(claim, f"job {number}") if step == "hold" else accounts.charge(claim))

    statuses = await asyncio.gather(*map(hold, range(100)))
    assert statuses.count(ClaimStatus.REFUSED) == 93
    assert await make(limit=1500).spent() == ((0, 1400) if step == "hold" else (1400, 0))
    for each in others:
        await each.aclose()


async def test_simultaneous_charges_of_one_claim_are_one(make: Callable[..., Accounts], database: Database) -> None:
    all_of_them = [make() for _ in range(20)]
    await all_of_them[0].hold(_claim(), "job")
    await asyncio.gather(
        *(each.charge(_claim()) for each in all_of_them),
        *(each.settle("job", available=True) for each in all_of_them),
    )
    assert await make().spent() == (200, 0)
    rows = await database.read(lambda db: db.execute(sa.select(charges)).all())
    (row,) = rows
    assert (row.token, row.tier, row.operation, row.credits) == ("shop", "standard", "bg_remove", 200)
    assert (row.origin_host, row.day) == ("shop.example", "2026-11-30")
