"""The ledger: a token pays once for the matte of some bytes in a tier, whoever computed it.

    (nothing) -> held    a removal is owed for the token: the price counts against its limit from now on
    held      -> paid    the matte is there
    held      -> nothing the removal failed, was moot, waited too long, or there was no subject
    (nothing) -> paid    the matte was there already when the token asked

What is held is written in the transaction in which the removal is owed (`queue.submission`), and charged in the one in
which it ends (`queue.transitions`): nothing in between can be left undone.
"""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from pellucid.ledger import entries
from pellucid.ledger.values import Account, Balance, Claim, ClaimStatus, next_month
from pellucid.spec import Tier, Token


class Ledger:
    """The rules of the accounts. `price` is what a removal costs now, `limit` what a token may spend in a month (None:
    any number). Methods that take `db` are parts of a transaction; `now` is in seconds since the epoch.
    """

    def __init__(self, *, price: Callable[[Tier], int], limit: Callable[[Token], int | None]) -> None:
        self._price = price
        self._limit = limit

    def claim_status(self, claim: Claim, account: Account, *, may_spend: bool) -> ClaimStatus | None:
        """How the claim stands; None if its price may be held or charged now. Without `may_spend` nothing new is."""
        if account.paid is not None:
            return ClaimStatus.PAID
        if account.held is not None:
            return ClaimStatus.HELD
        limit, price = self._limit(claim.token), self.price_of(claim, account)
        spent = account.charged + account.held_in_all
        allowed = may_spend and (limit is None or price == 0 or spent + price <= limit)
        return None if allowed else ClaimStatus.REFUSED

    def price_of(self, claim: Claim, account: Account) -> int:
        """Credits of the claim now: what is held, else nothing where its origin was charged lately."""
        if account.held is not None:
            return account.held
        return 0 if account.paid_lately else self._price(claim.tier)

    def charge(self, db: sa.Connection, claim: Claim, *, may_spend: bool, now: float) -> tuple[ClaimStatus, int]:
        """Charge for a matte that is there: what was held, or with `may_spend` the price where the limit allows it;
        nothing if it is paid. Returns how the claim stands, and what it cost.
        """
        entries.lock_month(db, claim.token, now)
        account = entries.account(db, claim, now=now)
        claim_status = self.claim_status(claim, account, may_spend=may_spend)
        if claim_status is ClaimStatus.PAID:
            return claim_status, account.paid or 0
        if claim_status is ClaimStatus.REFUSED:
            return claim_status, 0
        credits = self.price_of(claim, account) or entries.take_over_credits(db, claim)
        entries.charge(db, claim, credits=credits, now=now)
        return ClaimStatus.PAID, credits

    def settle(self, db: sa.Connection, *, store: str, job: str, available: bool, now: float) -> int:
        """The removal `job` has ended: charge what was held for it if there is a matte to show, else hold it no longer.
        Returns how many were charged.
        """
        written = 0
        for claim, credits in entries.holds_of(db, store=store, job=job):
            entries.lock_month(db, claim.token, now)
            if available:
                paid = credits or entries.take_over_credits(db, claim)
                written += entries.charge(db, claim, credits=paid, now=now)
            else:
                entries.drop_hold(db, claim, credits)
        return written

    def balance(self, token: Token, *, charged: int, held: int, now: float) -> Balance:
        """The token's month."""
        return Balance(limit=self._limit(token), charged=charged, held=held, resets_at=next_month(now))

    def price(self, tier: Tier) -> int:
        """Credits of a removal now."""
        return self._price(tier)

    def is_limited(self, token: Token) -> bool:
        """Whether the token may spend a number of credits only."""
        return self._limit(token) is not None
