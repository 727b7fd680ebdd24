"""Pure: the values of the ledger's interface."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import UTC, datetime

from pellucid.spec import Tier, Token

REMOVAL = "bg_remove"
"""The operation that costs credits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a token pays for, once: the matte of these bytes in this tier. Other fields do not distinguish claims. Of a
    page other than the first both digests are the page's (`keys.page_digest`): it is a removal of its own.
    """

    token: Token
    origin_digest: str
    """Of the bytes."""
    tier: Tier
    origin_host: str = ""
    """Host or alias of the URL, for the usage report."""
    origin: str = ""
    """Digest of the URL (`keys.origin_digest_of`)."""
    charge_every_s: float = 0.0
    """The token is charged for the URL once in this time, however often its bytes change. 0: for each change."""

    @property
    def key(self) -> tuple[str, str, str]:
        return self.token, self.origin_digest, self.tier


class ClaimStatus(enum.StrEnum):
    """Status of a claim."""

    PAID = "paid"
    HELD = "held"
    """Credits are held, and charged when the matte exists."""
    REFUSED = "refused"
    """The token's limit does not allow it this month."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The state of a claim and of its token."""

    paid: int | None
    """Credits that the claim cost; None if it was not charged."""
    held: int | None
    """Credits held for it; None if there is no hold."""
    held_for: tuple[str, str] | None
    """Store and key of the job that the hold belongs to."""
    charged: int
    """Credits that the token was charged this month."""
    held_in_all: int
    """Credits of all holds of the token."""
    paid_lately: bool
    """The origin was charged in the last `charge_every_s`, or has a hold that will be charged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """Credits of a token this month."""

    limit: int | None
    """None: any number."""
    charged: int
    held: int
    """Held for pending jobs."""
    resets_at: float
    """Start of the next month, in seconds since the epoch."""

    @property
    def remaining(self) -> int | None:
        """Credits that can still be spent, never below 0; None: any number."""
        return None if self.limit is None else max(0, self.limit - self.charged - self.held)


def day_of(time_s: float) -> str:
    """The UTC day, such as 2026-11-25, of a time in seconds since the epoch."""
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d")


def month_of(time_s: float) -> str:
    """The UTC month, such as 2026-11, of a time in seconds since the epoch."""
    return day_of(time_s)[:7]


def next_month(time_s: float) -> float:
    """Start of the next UTC month, in seconds since the epoch."""
    now = datetime.fromtimestamp(time_s, UTC)
    years, month = divmod(now.month, 12)
    return datetime(now.year + years, month + 1, 1, tzinfo=UTC).timestamp()
