"""Pure: the values of the queue's interface.

A job computes one matte ("removal" in the tables). It is pending while it waits and while it runs, once, however often
it is requested. Its row exists only while it is pending, or while its permanent failure is remembered. The store, not
the queue, is the truth about finished work: computing a matte twice changes nothing. Delivery is at least once.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from pellucid.ledger.values import Account, Claim, ClaimStatus
from pellucid.liveness.port import WorkerInfo
from pellucid.mattes.facts import MatteFacts
from pellucid.queue.turns import Urgency


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One background removal: a matte to be computed."""

    key: str
    """Its identity, which is the name of the matte (`keys.matte_name`)."""
    origin_digest: str
    page: int
    recipe_id: str
    attempt: int = 0
    """1 at the first run. Counted at the claim, so an image that kills its worker uses its attempts up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Receipt of a job that waits or runs."""

    position: int
    """1 for the job that runs or runs next."""
    eta_s: float
    """Estimated seconds until the matte exists."""
    attempts: int = 0
    """Attempts that were started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Receipt of a job that failed permanently. A request after `retry_in_s` submits it again."""

    reason: str
    retry_in_s: float
    attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Full:
    """Receipt of a job that was not queued, because its token has as many pending jobs as it may have."""

    of_token: int
    """Pending jobs of the token."""
    depth: int
    """Pending jobs that the token may have now."""


Receipt = Pending | Failed | Full


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    """The state of the queue at one moment."""

    waiting: int
    running: int
    failed: int
    unserved: Mapping[str, int]
    """Waiting jobs by recipe, for the recipes that no living worker computes."""
    depth: int
    """Pending jobs that a token may have while no other token has any."""
    job_s: float
    """Mean seconds of a job; 0 before the first."""
    workers: tuple[WorkerInfo, ...]
    """The living workers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A webhook that is called when a job is done or has failed permanently."""

    url: str
    image: str
    """Named in the message: path and query of the image's URL on this server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A request for the cutout that `job` computes."""

    job: Job
    claim: Claim
    """What the customer pays for."""
    urgency: Urgency = Urgency.PAGE
    pixels: int = 0
    """Size of the image: a huge one takes up more turns."""
    may_spend: bool = True
    """False: the token is charged nothing new for it."""
    notify: tuple[Listener, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The state of a cutout whose matte does not exist."""

    claim_status: ClaimStatus | None
    """REFUSED: the token may not pay for it. None: credits would be held."""
    receipt: Receipt | None
    """None: no job is queued."""
    account: Account
    """As it was before anything was written."""
    unregistered: tuple[Listener, ...] = ()
    """Listeners that were not registered, because there are too many."""


class DeliveryKind(enum.StrEnum):
    """The receiver of a delivery, which decides how it is sent."""

    WEBHOOK = "webhook"
    """`body` goes to `url`, signed."""
    CDN = "cdn"
    """`body` says what to purge. The settings at the time of sending say where and how. `url` is empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One outgoing message, pending until its receiver accepts it."""

    id: str
    """The same at every attempt."""
    kind: DeliveryKind
    url: str
    body: str
    attempt: int
    """1 at the first. Attempts whose process was killed are not counted."""


DAMAGED = "damaged"
"""Failure reason, also of jobs that are refused before they are queued: the origin's file is cut short or corrupt."""


class JobPermanentError(Exception):
    """Raised by a handler when a retry would not help. `reason` is a short token such as `undecodable`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class JobDiscardedError(Exception):
    """Raised by a handler when the job cannot be done and is to be deleted without a remembered failure: the origin's
    bytes are gone, and the next request fetches them and submits again.
    """


Handler = Callable[[Job], Awaitable[MatteFacts]]
"""Computes one matte and stores it. `JobPermanentError` fails the job permanently, `JobDiscardedError` deletes it,
StoreError and DatabaseError postpone it, any other exception counts as a failed attempt.
"""
