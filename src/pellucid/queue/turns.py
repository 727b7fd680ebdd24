"""Pure: whose turn it is, how much may be owed, how long what failed waits.

Turns are fair queueing clocked by itself (S. J. Golestani, INFOCOM 1994): a removal's rank is its virtual finish time,
the lowest rank runs next, and the virtual time is the rank of the removal that was claimed last. A token that owes a
thousand has ranks far ahead; the first one of another token comes right after what runs.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass


class Urgency(enum.StrEnum):
    """Who waits for a removal."""

    PAGE = "page"
    """Somebody looks at a picture with its background."""
    UPGRADE = "upgrade"
    """Somebody looks at an older cutout, or will wait for a huge picture anyway."""
    WARM_UP = "warm-up"
    """Nobody looks yet."""


_COST: Mapping[Urgency, float] = {Urgency.PAGE: 1.0, Urgency.UPGRADE: 4.0, Urgency.WARM_UP: 16.0}
"""Virtual time of one removal: where all three wait, of 21 turns 16 are pages', 4 upgrades', 1 is a warm-up's. So the
others yield, and none starves.
"""

_TYPICAL_PIXELS = 12_000_000
"""Up to here a removal takes about the same time (0.16 s at 1 million pixels beside the model, 4 s at 100 million)."""


def cost_of(urgency: Urgency, pixels: int) -> float:
    """Virtual time that the removal of a picture of `pixels` takes up."""
    return _COST[urgency] * max(1.0, pixels / _TYPICAL_PIXELS)


def rank(*, virtual_time: float, last: float | None, cost: float) -> float:
    """The virtual finish time of a removal. `last` is the highest rank that waits of the same token and urgency."""
    return max(virtual_time, virtual_time if last is None else last) + cost


def is_full(*, of_token: int, tokens: int, depth: int) -> bool:
    """Whether a token that owes `of_token` removals may owe no further one. `tokens` are those that owe something,
    this one included; `depth` is what one alone may owe.

    Each has an equal share, and keeps what it had before the others came: with k tokens at most
    depth * (1 + 1/2 + ... + 1/k) are owed, 1.5 depth with two, 2.9 with ten.
    """
    return of_token >= max(1, depth // max(1, tokens))


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Seconds, and attempts. `attempts` are claims before a removal fails for good; `backoff_s` is the pause after the
    first failed attempt, `backoff_factor` times longer after each further one; `failure_s` how long a failure is left
    alone, doubled with each in a row up to `failure_max_s`.

    `wait_s`: what nobody asked for so long is owed no more; `unserved_s` where no living worker makes such mattes.
    """

    attempts: int = 3
    backoff_s: float = 1.0
    backoff_factor: float = 4.0
    failure_s: float = 300.0
    failure_max_s: float = 86_400.0
    wait_s: float = 6 * 3600.0
    unserved_s: float = 600.0

    def after_attempt(self, attempts: int) -> float:
        """The pause after failed attempt number `attempts`, from 1."""
        return self.backoff_s * self.backoff_factor ** (attempts - 1)

    def after_failure(self, failures: int) -> float:
        """How long a removal is left alone that failed for good for the time number `failures` in a row, from 1."""
        return min(self.failure_s * 2 ** min(failures - 1, _MAX_DOUBLINGS), self.failure_max_s)


_MAX_DOUBLINGS = 30

_PAUSE_S, _PAUSE_MAX_S = 5.0, 60.0

MAX_PAUSES = 100
"""In a row, an hour and a half: then an attempt is used up. A store that is away as long is looked after."""


def pause_s(pauses: int) -> float:
    """How long a removal rests that was put off for the time number `pauses` in a row, from 1: what it needs (the
    store) is away, for which it is not to blame.
    """
    return min(_PAUSE_S * 2 ** min(pauses - 1, _MAX_DOUBLINGS), _PAUSE_MAX_S)


RENEW_S = 60.0
"""When somebody asks for a removal that is owed, that is written down only if it was not for so long: a page that waits
asks every few seconds.
"""


def eta_s(*, place: int, workers: int, job_s: float, wait_s: float) -> float:
    """The time until the removal at `place` (from 1) is done, when `workers` take `job_s` for each and it may not begin
    for `wait_s`.
    """
    return wait_s + job_s * max(1.0, place / max(1, workers))
