"""Pure: the policies of the queue. Which job runs next, how many jobs may be pending, how long a failed one waits.

The order is self-clocked fair queueing (S. J. Golestani, INFOCOM 1994): a job's rank is its virtual finish time, the
lowest rank runs next, and the virtual time is the rank of the job that was claimed last. The ranks of a token with a
thousand pending jobs reach far ahead, so the first job of another token runs right after the current one.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass


class Urgency(enum.StrEnum):
    """What waits for a job."""

    PAGE = "page"
    """A page that shows the image with its background meanwhile."""
    UPGRADE = "upgrade"
    """A page that shows an older cutout meanwhile, or a request for a huge image, which takes long anyway."""
    WARM_UP = "warm-up"
    """No page yet: the cutout is prepared for later requests."""


_COST: Mapping[Urgency, float] = {Urgency.PAGE: 1.0, Urgency.UPGRADE: 4.0, Urgency.WARM_UP: 16.0}
"""Virtual time of one job. Where all three kinds wait, of 21 jobs 16 are for pages, 4 are upgrades and 1 is a warm-up:
pages come first, and the others do not starve.
"""

_TYPICAL_PIXELS = 12_000_000
"""Up to this size jobs take about the same time (beside the model 0.16 s at 1 million pixels, 4 s at 100 million)."""


def cost_of(urgency: Urgency, pixels: int) -> float:
    """Virtual time of the job for an image of `pixels`."""
    return _COST[urgency] * max(1.0, pixels / _TYPICAL_PIXELS)


def rank(*, virtual_time: float, last: float | None, cost: float) -> float:
    """Virtual finish time of a job. `last` is the highest rank that waits of the same token and urgency, or None."""
    return max(virtual_time, virtual_time if last is None else last) + cost


def is_full(*, of_token: int, tokens: int, depth: int) -> bool:
    """Whether a token with `of_token` pending jobs may have no further one. `tokens` is the number of tokens with
    pending jobs, this one included; `depth` is what a single token may have.

    Each token has an equal share, and keeps the jobs that it had before the others came. So with k tokens at most
    depth * (1 + 1/2 + ... + 1/k) jobs are pending: 1.5 depth with two, 2.9 with ten.
    """
    return of_token >= max(1, depth // max(1, tokens))


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When failed jobs are retried, and when waiting jobs expire."""

    attempts: int = 3
    """Claims before a job fails permanently."""
    backoff_s: float = 1.0
    """Pause after the first failed attempt."""
    backoff_factor: float = 4.0
    """The pause is this many times longer after each further attempt."""
    failure_s: float = 300.0
    """Time from a permanent failure to the next retry, doubled with each failure in a row."""
    failure_max_s: float = 86_400.0
    """Longest time from a permanent failure to the next retry."""
    wait_s: float = 6 * 3600.0
    """A waiting job that was not requested for this long expires."""
    unserved_s: float = 600.0
    """The same for jobs whose recipe no living worker computes."""

    def after_attempt(self, attempts: int) -> float:
        """Pause in seconds after failed attempt number `attempts`, from 1."""
        return self.backoff_s * self.backoff_factor ** (attempts - 1)

    def after_failure(self, failures: int) -> float:
        """Seconds before the next retry after permanent failure number `failures` in a row, from 1."""
        return min(self.failure_s * 2 ** min(failures - 1, _MAX_DOUBLINGS), self.failure_max_s)


_MAX_DOUBLINGS = 30

_PAUSE_S, _PAUSE_MAX_S = 5.0, 60.0

MAX_PAUSES = 100
"""Postponements in a row before one uses up an attempt: an hour and a half. An outage of the store that lasts longer
is an operator's concern.
"""


def pause_s(pauses: int) -> float:
    """Seconds that a job waits after postponement number `pauses` in a row, from 1. A job is postponed when the store
    or the database is unavailable, which is not the job's fault.
    """
    return min(_PAUSE_S * 2 ** min(pauses - 1, _MAX_DOUBLINGS), _PAUSE_MAX_S)


RENEW_S = 60.0
"""Requests for a pending job update its `asked_at` once in this time: a page that waits asks every few seconds."""


def eta_s(*, place: int, workers: int, job_s: float, wait_s: float) -> float:
    """Estimated seconds until the job at `place` (from 1) is done, when each of `workers` takes `job_s` per job and
    this one may not start for `wait_s`.
    """
    return wait_s + job_s * max(1.0, place / max(1, workers))
