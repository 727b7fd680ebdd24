"""Pure: the words of the ledger."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import UTC, datetime

from pellucid.spec import Tier, Token

REMOVAL = "bg_remove"
"""The operation that costs credits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a token pays for, once: the matte of these bytes in this tier. `origin_host` is the host or alias of the
    URL, for the accounts, and `origin` the digest of the URL (`keys.origin_digest_of`); they do not tell claims apart.
    Of a page other than the first both digests are the page's (`keys.page_digest`): it is a removal of its own. A token
    is charged for one origin once in `charge_every_s`, however often its bytes change; 0: each time.
    """

    token: Token
    origin_digest: str
    tier: Tier
    origin_host: str = ""
    origin: str = ""
    charge_every_s: float = 0.0

    @property
    def key(self) -> tuple[str, str, str]:
        return self.token, self.origin_digest, self.tier


class ClaimStatus(enum.StrEnum):
    """How a claim stands."""

    PAID = "paid"
    HELD = "held"
    """It will be paid when the matte is there."""
    REFUSED = "refused"
    """The token's limit does not allow it this month."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What the ledger knows of a claim. `paid`: the credits it cost, None where it was not charged; `held` those kept
    for it, None for nothing; `held_for` the store and key of the removal that they wait for. `charged` and
    `held_in_all` are the token's sums, of this month and of now. `paid_lately`: the origin was charged in the last
    `charge_every_s`, or is about to be.
    """

    paid: int | None
    held: int | None
    held_for: tuple[str, str] | None
    charged: int
    held_in_all: int
    paid_lately: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """A token's month: credits allowed (None: any number), charged, and held for jobs that are owed; `resets_at` is the
    beginning of the next month, in seconds since the epoch.
    """

    limit: int | None
    charged: int
    held: int
    resets_at: float

    @property
    def remaining(self) -> int | None:
        """What can still be spent, never below 0; None: any number."""
        return None if self.limit is None else max(0, self.limit - self.charged - self.held)


def day_of(moment: float) -> str:
    """The UTC day, 2026-11-25, of a moment in seconds since the epoch."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")


def month_of(moment: float) -> str:
    """The UTC month, 2026-11."""
    return day_of(moment)[:7]


def next_month(moment: float) -> float:
    """When the UTC month after that of `moment` begins."""
    now = datetime.fromtimestamp(moment, UTC)
    years, month = divmod(now.month, 12)
    return datetime(now.year + years, month + 1, 1, tzinfo=UTC).timestamp()
