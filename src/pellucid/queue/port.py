"""The queue port: what every queue adapter offers, and the values that pass through it.

A row exists only while work is owed (or has failed for good and is remembered). The store, not the queue, is the truth
about finished work: losing the queue loses no result, running a job twice changes nothing. Delivery is at least once;
one key is owed once however often it is submitted, while it waits and while it runs.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class Priority(enum.IntEnum):
    """Higher runs first."""

    PATIENT = 0
    """Warm-ups and batches."""
    IMPATIENT = 10
    """Somebody looks at a page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One matte owed. `key` is its identity (`keys.matte_name`)."""

    key: str
    origin_digest: str
    page: int
    recipe_id: str
    attempt: int = 0
    """1 at the first run; counted when the job is claimed, so a picture that kills its worker uses its attempts up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """The job is waiting or running. `position` is 1 for the one that runs or runs next; `eta_s` an estimate;
    `attempts` those begun.
    """

    position: int
    eta_s: float
    attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The job failed for good. A submit after `retry_in_s` tries again."""

    reason: str
    retry_in_s: float
    attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Full:
    """The queue holds as many jobs as it may; nothing was submitted."""

    depth: int


Receipt = Owed | Failed | Full


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """What a worker says of itself while it is alive."""

    worker_id: str
    pid: int
    model: str
    device: str
    precision: str
    recipe_ids: tuple[str, ...] = ()
    """It takes jobs of these recipes only; empty: of any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    """A moment's numbers. `workers` are those alive; `job_s` is the mean time of the last jobs, 0 before the first."""

    waiting: int
    running: int
    failed: int
    depth_limit: int
    job_s: float
    workers: tuple[WorkerInfo, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Who is called when a job is done or has failed for good: `url`, told of the picture at `image`, the path and
    query of a URL of this server.
    """

    url: str
    image: str


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


class JobRefusedError(Exception):
    """Raised by a handler: trying again would not help. `reason` is a short token such as `undecodable`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class JobMootError(Exception):
    """Raised by a handler: the job cannot be done and must be forgotten, not remembered as failed (the origin's bytes
    are gone: the next request fetches them and submits again).
    """


class JobPostponedError(Exception):
    """Raised by a handler: what the job needs is away, for which it is not to blame. It is owed again in `pause_s`, and
    no attempt is used up.
    """

    def __init__(self, message: str, *, pause_s: float) -> None:
        super().__init__(message)
        self.pause_s = pause_s


Handler = Callable[[Job], Awaitable[None]]
"""Does one job. Returning means done; `JobRefusedError` fails it for good, `JobMootError` forgets it,
`JobPostponedError` owes it again, any other exception counts as an attempt."""


class Outbox(Protocol):
    """Messages owed to the outside. Delivery is at least once: a message whose sender died is claimed again, under the
    same id, when its lease is over.
    """

    async def add_deliveries(self, kind: DeliveryKind, bodies: Sequence[str], *, delay_s: float = 0) -> None:
        """Owe one delivery for each of `bodies`, in `delay_s`. On return they survive the end of this process."""
        ...

    async def deliveries_due(self, limit: int, lease_s: float) -> tuple[Delivery, ...]:
        """Claim up to `limit` deliveries that are due, for `lease_s`. Nobody else gets them meanwhile. Of one receiver
        only a few are under way at a time, so that one who hangs holds up no other.
        """
        ...

    async def delivered(self, delivery_id: str) -> None:
        """Forget a delivery: it was taken."""
        ...

    async def delivery_failed(self, delivery_id: str, error: str, *, pause_s: float = 0, final: bool = False) -> None:
        """Count an attempt that failed because of `error`; the next is due after a back-off, or after `pause_s` if that
        is longer. Dropped, and logged, when attempts are used up or the failure is `final`.
        """
        ...


class Queue(Outbox, Protocol):
    """Verbs and looks, and the outbox. Every adapter passes `tests/contract/queue_contract.py`."""

    async def submit(self, job: Job, *, priority: Priority, notify: tuple[Listener, ...] = ()) -> Receipt:
        """Owe `job` once. An owed key can only gain priority; a failed one is revived when its time has come.

        While the answer is `Owed`, `notify` join those who listen to the job, one per URL and up to a number that the
        adapter bounds. When the job is done or has failed for good each gets one delivery, in the same transaction; a
        job that is moot is forgotten with its listeners.
        """
        ...

    async def look(self, key: str) -> Owed | Failed | None:
        """How the job `key` stands, without owing it: None when it is neither owed nor remembered as failed."""
        ...

    async def wait(self, key: str, *, timeout_s: float) -> bool:
        """True as soon as `key` is no longer owed (done, failed or unknown), False after `timeout_s` or when
        `stop_waiting` is called.
        """
        ...

    def stop_waiting(self) -> None:
        """Have each `wait` return as if its time were over, those under way and all to come: this process stops."""
        ...

    async def owed_keys(self, *, other_than: frozenset[str] | None = None) -> frozenset[str]:
        """Keys of all jobs waiting or running, as soon as they are other than `other_than`: within 100 ms of the
        change. Whoever waits here or in `wait` shares one look at the queue.
        """
        ...

    async def backlog(self) -> Mapping[str, Owed]:
        """All jobs waiting or running by their keys, each with its position: one look, however many there are."""
        ...

    async def work(self, handler: Handler, *, info: WorkerInfo, stop: asyncio.Event) -> None:
        """Claim and do jobs one at a time until `stop` is set; the job in hand is finished first. A claimed job is
        leased, the lease is extended while the handler runs. A new job starts within 100 ms when idle.
        """
        ...

    async def stats(self) -> QueueStats: ...

    async def owed_origins(self) -> frozenset[str]:
        """Digests of the origins of all jobs waiting or running: what eviction must not touch."""
        ...

    async def aclose(self) -> None: ...
