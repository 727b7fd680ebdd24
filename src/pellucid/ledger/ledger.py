"""The ledger: a token pays once for the matte of some bytes in a tier, whoever computed it.

    (nothing) -> held    a job is submitted for the token: the price counts against its limit from now on
    held      -> paid    the matte is there: the worker charges before it acknowledges the job
    held      -> nothing the job failed, was moot, or there was no subject
    (nothing) -> paid    the matte was there already when the token asked

Every step is one transaction and may be repeated: the charge is an insert under a unique key. What a killed process
left undone is done by the next request, or by `pipeline.holds`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import sqlalchemy as sa
from cachetools import LRUCache, TTLCache

from pellucid.database.database import Database
from pellucid.ledger import entries
from pellucid.ledger.values import Balance, Claim, Hold, Standing, month_of, next_month
from pellucid.spec import Tier, Token

_PAID_IN_MEMORY = 100_000
"""Claims known to be paid, about 0.3 kB each: for a matte that is there nothing is asked of the database."""

_HELD_IN_MEMORY = 10_000
_HELD_BELIEF_S = 20.0
"""A hold seen less than this ago is not looked at again: while a matte is owed, its pages ask every few seconds."""

_RENEW_S = 60.0
"""A hold this old is dated anew when somebody asks; those that stay old are looked at (`pipeline.holds`)."""

_BALANCE_BELIEF_S = 1.0


class Ledger:
    """One process's view of the ledger. `price` is what a removal costs now, `limit` what a token may spend in a month
    (None: any number), `clock` seconds since the epoch. Every method raises DatabaseError.
    """

    def __init__(
        self,
        database: Database,
        *,
        price: Callable[[Tier], int],
        limit: Callable[[Token], int | None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._price = price
        self._limit = limit
        self._clock = clock
        self._paid: LRUCache[tuple[str, str, str], int] = LRUCache(_PAID_IN_MEMORY)
        self._held: TTLCache[tuple[str, str, str], str] = TTLCache(_HELD_IN_MEMORY, _HELD_BELIEF_S, time.monotonic)
        self._balances: TTLCache[Token, Balance] = TTLCache(1000, _BALANCE_BELIEF_S, time.monotonic)

    async def hold(self, claim: Claim, job: str) -> Standing:
        """Hold the price until `job` has ended; nothing more is held for a claim that is held or paid."""
        if claim.key in self._paid:
            return Standing.PAID
        if self._held.get(claim.key) == job:
            return Standing.HELD
        now = self._clock()

        def work(db: sa.Connection) -> tuple[Standing, int]:
            charged = entries.lock_month(db, claim.token, now)
            paid = entries.paid(db, claim)
            if paid is not None:
                return Standing.PAID, paid
            there = entries.held(db, claim)
            price = self._price(claim.tier)
            if there is None and not self._allows(db, claim.token, price, charged):
                return Standing.REFUSED, 0
            if there is None or there.job != job or there.held_at < now - _RENEW_S:
                entries.hold(db, claim, credits=price, job=job, now=now)
            return Standing.HELD, 0

        standing, credits = await self._database.run(work)
        if standing is Standing.PAID:
            self._remember_paid(claim, credits)
        elif standing is Standing.HELD:
            self._held[claim.key] = job
        return standing

    async def charge(self, claim: Claim) -> Standing:
        """Charge for a matte that is there: what was held, or the price where the limit allows it; nothing if it is
        paid.
        """
        if await self.is_paid(claim):
            return Standing.PAID
        now = self._clock()

        def work(db: sa.Connection) -> int | None:
            charged = entries.lock_month(db, claim.token, now)
            credits = entries.paid(db, claim)
            if credits is not None:
                entries.drop_hold(db, claim)
                return credits
            there = entries.held(db, claim)
            if there is None and not self._allows(db, claim.token, self._price(claim.tier), charged):
                return None
            credits = self._price(claim.tier) if there is None else there.credits
            entries.charge(db, claim, credits=credits, now=now)
            return credits

        credits = await self._database.run(work)
        if credits is None:
            return Standing.REFUSED
        self._remember_paid(claim, credits)
        return Standing.PAID

    async def is_paid(self, claim: Claim) -> bool:
        """Whether the claim was charged."""
        return await self.cost(claim) is not None

    async def cost(self, claim: Claim) -> int | None:
        """The credits that the claim was charged, None if it was not."""
        known = self._paid.get(claim.key)
        if known is not None:
            return known
        credits = await self._database.read(lambda db: entries.paid(db, claim))
        if credits is not None:
            self._remember_paid(claim, credits)
        return credits

    async def release(self, claim: Claim, *, held_at: float | None = None) -> None:
        """Hold nothing for the claim any more; with `held_at`, only if it was not held anew since."""
        self._held.pop(claim.key, None)
        await self._database.run(lambda db: entries.drop_hold(db, claim, held_at=held_at))

    async def settle(self, job: str, *, available: bool) -> int:
        """The job has ended: charge what was held for it if there is a matte to show, else hold it no longer. Returns
        how many were charged. To be called before the job is acknowledged.
        """
        now = self._clock()

        def work(db: sa.Connection) -> int:
            written = 0
            for each in entries.holds_of(db, job):
                if available:
                    entries.lock_month(db, each.claim.token, now)
                    written += entries.charge(db, each.claim, credits=each.credits, now=now)
                else:
                    entries.drop_hold(db, each.claim)
            return written

        return await self._database.run(work)

    async def holds_older_than(self, seconds: float, *, limit: int) -> list[Hold]:
        """Holds that nobody renewed for so long, the oldest first."""
        before = self._clock() - seconds
        return await self._database.read(lambda db: entries.holds_before(db, before, limit=limit))

    async def balance(self, token: Token) -> Balance:
        """The token's month, as of at most a second ago."""
        known = self._balances.get(token)
        if known is not None:
            return known
        now = self._clock()

        def work(db: sa.Connection) -> Balance:
            return Balance(
                limit=self._limit(token),
                charged=entries.charged_in(db, token, month_of(now)),
                held=entries.held_in_all(db, token),
                resets_at=next_month(now),
            )

        balance = await self._database.read(work)
        self._balances[token] = balance
        return balance

    def price(self, tier: Tier) -> int:
        """Credits of a removal now."""
        return self._price(tier)

    def is_limited(self, token: Token) -> bool:
        """Whether the token may spend a number of credits only."""
        return self._limit(token) is not None

    def _allows(self, db: sa.Connection, token: Token, price: int, charged: int) -> bool:
        limit = self._limit(token)
        return limit is None or price == 0 or charged + entries.held_in_all(db, token) + price <= limit

    def _remember_paid(self, claim: Claim, credits: int) -> None:
        self._paid[claim.key] = credits
        self._held.pop(claim.key, None)
        self._balances.pop(claim.token, None)
