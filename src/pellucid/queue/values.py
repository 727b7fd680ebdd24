"""Pure: the words of the queue.

A removal is owed once however often it is asked for, while it waits and while it runs; its row exists only while it is
owed, or has failed for good and is remembered. The store, not the queue, is the truth about finished work: doing a
removal twice changes nothing. Delivery is at least once.
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
    """One removal: a matte to be made. `key` is its identity (`keys.matte_name`)."""

    key: str
    origin_digest: str
    page: int
    recipe_id: str
    attempt: int = 0
    """1 at the first run; counted when the job is claimed, so a picture that kills its worker uses its attempts up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """It is waiting or running. `position` is 1 for the one that runs or runs next; `eta_s` an estimate;
    `attempts` those begun.
    """

    position: int
    eta_s: float
    attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """It failed for good. Who asks after `retry_in_s` has it tried again."""

    reason: str
    retry_in_s: float
    attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Full:
    """The token owes as much as it may; nothing was owed. `of_token` are its removals, `depth` what it may owe now."""

    of_token: int
    depth: int


Receipt = Pending | Failed | Full


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    """A moment's numbers. `workers` are those alive; `job_s` is the mean time of a removal, 0 before the first;
    `unserved` counts what waits by recipes that no living worker makes; `depth` is what one token alone may owe.
    """

    waiting: int
    running: int
    failed: int
    unserved: Mapping[str, int]
    depth: int
    job_s: float
    workers: tuple[WorkerInfo, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Who is called when a job is done or has failed for good: `url`, told of the picture at `image`, the path and
    query of a URL of this server.
    """

    url: str
    image: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """Somebody wants the cutout that `job` is about: who pays, who waits, how many pixels it has, who is to be told.
    Without `may_spend` the token is charged nothing new for it.
    """

    job: Job
    claim: Claim
    urgency: Urgency = Urgency.PAGE
    pixels: int = 0
    may_spend: bool = True
    notify: tuple[Listener, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The state of a cutout whose matte does not exist. `claim_status` is REFUSED where the token may not pay for it,
    None where credits would be held; `receipt` is None where no removal is queued. `account` is as it was before
    anything was written. `unregistered` are the listeners for which there was no room.
    """

    claim_status: ClaimStatus | None
    receipt: Receipt | None
    account: Account
    unregistered: tuple[Listener, ...] = ()


class DeliveryKind(enum.StrEnum):
    """Who a delivery is for; that decides how it is sent."""

    WEBHOOK = "webhook"
    """`body` goes to `url`, signed."""
    CDN = "cdn"
    """`body` says what to purge; where and how, the settings say when it is sent. `url` is empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message to the outside, owed until somebody took it. `id` stays the same however often it is sent."""

    id: str
    kind: DeliveryKind
    url: str
    body: str
    attempt: int
    """1 at the first; attempts that ended without a word (a killed process) are not counted."""


DAMAGED = "damaged"
"""Why a removal is refused, or not even owed: the origin's file is cut short or corrupt."""


class JobPermanentError(Exception):
    """Raised by a handler: trying again would not help. `reason` is a short token such as `undecodable`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class JobDiscardedError(Exception):
    """Raised by a handler: the job cannot be done and must be forgotten, not remembered as failed (the origin's bytes
    are gone: the next request fetches them and submits again).
    """


Handler = Callable[[Job], Awaitable[MatteFacts]]
"""Makes one matte and stores it. `JobPermanentError` fails the removal for good, `JobDiscardedError` drops it,
StoreError and DatabaseError postpone it, any other exception counts as an attempt.
"""
