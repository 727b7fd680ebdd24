"""The ledger: a token pays once for the matte of some bytes in a tier, whichever token had it computed.

    (nothing) -> held    a job is pending for the token: its price counts against the limit from now on
    held      -> paid    the matte exists
    held      -> nothing the job failed, was discarded, expired, or found no subject
    (nothing) -> paid    the matte existed already at the token's request

A hold is written in the transaction that queues the job (`queue.submission`), and charged or released in the one that
ends it (`queue.transitions`). So no crash can leave one without the other.
"""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from pellucid.ledger import entries
from pellucid.ledger.values import Account, Balance, Claim, ClaimStatus, next_month
from pellucid.spec import Tier, Token


class Ledger:
    """The rules of the accounts. `price` returns the present credits of a job, `limit` the credits that a token may
    spend in a month (None: any number). Methods that take `db` are parts of a transaction; `now` is in seconds since
    the epoch.
    """

    def __init__(self, *, price: Callable[[Tier], int], limit: Callable[[Token], int | None]) -> None:
        self._price = price
        self._limit = limit

    def claim_status(self, claim: Claim, account: Account, *, may_spend: bool) -> ClaimStatus | None:
        """The status of the claim; None if its price may be held or charged now. Without `may_spend` it may not."""
        if account.paid is not None:
            return ClaimStatus.PAID
        if account.held is not None:
            return ClaimStatus.HELD
        limit, price = self._limit(claim.token), self.price_of(claim, account)
        spent = account.charged + account.held_in_all
        allowed = may_spend and (limit is None or price == 0 or spent + price <= limit)
        return None if allowed else ClaimStatus.REFUSED

    def price_of(self, claim: Claim, account: Account) -> int:
        """Credits of the claim now: those held for it; else 0 if its origin was charged recently, else the price."""
        if account.held is not None:
            return account.held
        return 0 if account.paid_lately else self._price(claim.tier)

    def charge(self, db: sa.Connection, claim: Claim, *, may_spend: bool, now: float) -> tuple[ClaimStatus, int]:
        """Charge for a matte that exists. Returns the status of the claim, and what it cost.

        1. It is paid: nothing is charged.
        2. The token may not pay: nothing is charged.
        3. Credits are held for it: they are charged.
        4. Else its price is charged, which needs `may_spend` and room below the limit.

        A claim that costs 0 credits takes those held for another claim of the same URL, if there is one.
        """
        entries.lock_account(db, claim.token, now)
        account = entries.account(db, claim, now=now)
        claim_status = self.claim_status(claim, account, may_spend=may_spend)
        if claim_status is ClaimStatus.PAID:
            return claim_status, account.paid or 0
        if claim_status is ClaimStatus.REFUSED:
            return claim_status, 0
        credits = self.price_of(claim, account) or entries.transfer_credits(db, claim)
        entries.charge(db, claim, credits=credits, now=now)
        return ClaimStatus.PAID, credits

    def settle(self, db: sa.Connection, *, store: str, job: str, available: bool, now: float) -> int:
        """End the holds of a job that has ended: charge them if there is a cutout, else release them. Returns the
        number of charges.
        """
        written = 0
        for claim, credits in entries.holds_of(db, store=store, job=job):
            entries.lock_account(db, claim.token, now)
            if available:
                paid = credits or entries.transfer_credits(db, claim)
                written += entries.charge(db, claim, credits=paid, now=now)
            else:
                entries.drop_hold(db, claim, credits)
        return written

    def balance(self, token: Token, *, charged: int, held: int, now: float) -> Balance:
        """The token's balance of this month."""
        return Balance(limit=self._limit(token), charged=charged, held=held, resets_at=next_month(now))

    def price(self, tier: Tier) -> int:
        """The present price of a job, in credits."""
        return self._price(tier)

    def is_limited(self, token: Token) -> bool:
        """Whether the token has a limit."""
        return self._limit(token) is not None
