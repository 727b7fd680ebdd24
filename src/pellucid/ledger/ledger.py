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

Known = tuple[Standing, int]
"""How a claim stands, and the credits that it was charged."""

_HELD: Known = (Standing.HELD, 0)
_REFUSED: Known = (Standing.REFUSED, 0)


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

    async def hold(self, claim: Claim, job: str, *, may_spend: bool = True) -> Standing:
        """Hold the price until `job` has ended; nothing more is held for a claim that is held or paid. Without
        `may_spend` nothing new is held.
        """
        if claim.key in self._paid:
            return Standing.PAID
        if self._held.get(claim.key) == job:
            return Standing.HELD
        now = self._clock()

        def known(db: sa.Connection, charged: int) -> Known | None:
            paid = entries.paid(db, claim)
            if paid is not None:
                return Standing.PAID, paid
            there = entries.held(db, claim)
            if there is None:
                return None if may_spend and self._allows(db, claim, charged) else _REFUSED
            return _HELD if there.job == job and there.held_at >= now - _RENEW_S else None

        def work(db: sa.Connection) -> Known:
            found = known(db, entries.lock_month(db, claim.token, now))
            if found is not None:
                return found
            entries.hold(db, claim, credits=self._price(claim.tier), job=job, now=now)
            return _HELD

        standing, credits = await self._first_look(claim.token, known, work, now=now)
        if standing is Standing.PAID:
            self._remember_paid(claim, credits)
        elif standing is Standing.HELD:
            self._held[claim.key] = job
        return standing

    async def charge(self, claim: Claim, *, may_spend: bool = True) -> Standing:
        """Charge for a matte that is there: what was held, or with `may_spend` the price where the limit allows it;
        nothing if it is paid.
        """
        if claim.key in self._paid:
            return Standing.PAID
        now = self._clock()

        def known(db: sa.Connection, charged: int) -> Known | None:
            paid = entries.paid(db, claim)
            if paid is not None:
                return Standing.PAID, paid
            if entries.held(db, claim) is not None:
                return None
            return None if may_spend and self._allows(db, claim, charged) else _REFUSED

        def work(db: sa.Connection) -> Known:
            found = known(db, entries.lock_month(db, claim.token, now))
            if found is not None:
                return found
            there = entries.held(db, claim)
            credits = self._price(claim.tier) if there is None else there.credits
            entries.charge(db, claim, credits=credits, now=now)
            return Standing.PAID, credits

        standing, credits = await self._first_look(claim.token, known, work, now=now)
        if standing is Standing.PAID:
            self._remember_paid(claim, credits)
        return standing

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

    async def is_refused(self, claim: Claim, *, may_spend: bool = True) -> bool:
        """Whether `hold` would refuse the claim now; nothing is written."""
        if not self.is_limited(claim.token) or claim.key in self._paid or claim.key in self._held:
            return False
        month = month_of(self._clock())

        def work(db: sa.Connection) -> bool:
            if entries.paid(db, claim) is not None or entries.held(db, claim) is not None:
                return False
            return not (may_spend and self._allows(db, claim, entries.charged_in(db, claim.token, month)))

        return await self._database.read(work)

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
                if not available:
                    entries.drop_hold(db, each.claim)
                    continue
                entries.lock_month(db, each.claim.token, now)
                there = entries.held(db, each.claim)
                # It may have gone while the lock was waited for, and what it held may be another's by now.
                if there is not None and there.job == job:
                    written += entries.charge(db, each.claim, credits=there.credits, now=now)
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

    async def _first_look(
        self,
        token: Token,
        known: Callable[[sa.Connection, int], Known | None],
        work: Callable[[sa.Connection], Known],
        *,
        now: float,
    ) -> Known:
        """What is `known` as the token's month stands, if nothing is to be written: who only looks, a page that waits
        or one without credits, waits for nobody's write. Else what `work` says, which looks again under the lock.
        """
        month = month_of(now)
        found = await self._database.read(lambda db: known(db, entries.charged_in(db, token, month)))
        return found if found is not None else await self._database.run(work)

    def _allows(self, db: sa.Connection, claim: Claim, charged: int) -> bool:
        limit, price = self._limit(claim.token), self._price(claim.tier)
        return limit is None or price == 0 or charged + entries.held_in_all(db, claim.token) + price <= limit

    def _remember_paid(self, claim: Claim, credits: int) -> None:
        self._paid[claim.key] = credits
        self._held.pop(claim.key, None)
        self._balances.pop(claim.token, None)
