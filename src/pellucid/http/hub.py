"""What all streams of events share: one watcher for each cutout that is watched, however many watch it.

A watcher looks once when it begins. From then on it looks again only when something may have changed: its job is no
longer owed, or is owed at last, or a request in this process was told another state. Positions of all jobs come from
one look at the queue. What a request in another process changed without a job (it paid for a matte that was there) is
seen by a look now and then.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import NamedTuple, Protocol

import structlog

from pellucid.concurrency.clients import Client
from pellucid.concurrency.fair_semaphore import FairSemaphore
from pellucid.customers.customer import Customer
from pellucid.errors import BusyError, DatabaseError, PellucidError
from pellucid.http.authentication import Caller
from pellucid.http.problems import kind_of
from pellucid.pipeline.states import FINAL, CutoutStatus
from pellucid.queue.queue import Queue
from pellucid.queue.values import Pending
from pellucid.spec import OriginRef, Spec, Tier

_log = structlog.get_logger(__name__)

_READS = 8
"""Looks at a time, of all streams of a process; each takes milliseconds of the ledger's and the queue's threads."""

_READS_PER_CLIENT = 2

_READ_TIMEOUT_S = 10.0
"""A look that takes longer (a slow origin) gives its place up and is tried again; the fetch goes on meanwhile."""

_POSITIONS_S = 1.0
"""Positions are told anew this often, and less often where that made more than `_NOTIFIED_PER_S` events."""

_NOTIFIED_PER_S = 1000

_AGAIN_S = 1.0
"""Between two looks of one watcher at least, if requests are the cause: there may be thousands a second."""

_REFRESH_S = 30.0
"""Until what cannot change by itself is looked at once more; longer where that made more than `_REFRESHED_PER_S`."""

_REFRESHED_PER_S = 10

_RETRY_S = 5.0
"""Until a look that failed is tried again, at something that is known or could not be asked for."""

_RETRY_PAUSE_S = 1.0
_FULL_RETRY_S = 10


class CutoutKey(NamedTuple):
    """What a cutout's state depends on; size and colour do not matter."""

    customer: Customer
    has_key: bool
    """Whether the customer's key was sent: it may allow what is refused without."""
    origin: OriginRef
    tier: Tier | None
    cutout: bool
    """False for a spec that removes nothing, whose state is a problem."""

    @classmethod
    def of(cls, caller: Caller, spec: Spec) -> CutoutKey:
        return cls(caller.customer, caller.has_key, spec.origin, spec.removal.tier, spec.removal.remove)


class ReadStatus(Protocol):
    """How a cutout stands, without owing anything: `Pipeline.cutout_status`."""

    def __call__(self, customer: Customer, spec: Spec, *, client: Client, has_key: bool) -> Awaitable[CutoutStatus]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HubLimits:
    """Streams and pictures of one process, and of one client (an IPv4 address, an IPv6 /64)."""

    streams: int
    streams_per_client: int
    pictures: int
    pictures_per_client: int


@dataclass(slots=True, eq=False)
class Watcher:
    """One cutout that is watched. `cutout` is None before the first look; `problem` says why it cannot be had."""

    key: CutoutKey
    spec: Spec
    cutout: CutoutStatus | None = None
    problem: PellucidError | None = None
    known: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once there is a `cutout` or a `problem`."""
    subscribers: set[Subscription] = field(default_factory=set["Subscription"])
    reading: dict[Client, asyncio.Task[None]] = field(default_factory=dict[Client, asyncio.Task[None]])
    """Looks that run or wait, each in the line of a client that watches it: the first to get its turn tells all, so
    that one client's slow origins hold up nobody else's streams."""
    read_at: float = 0.0
    wanted: int = 0
    seen: int = 0
    """How often a look was wanted, and up to which of these times one was begun that saw something: what happens
    during a look may have been seen or not.
    """

    @property
    def is_settled(self) -> bool:
        """Whether nothing changes without a request."""
        return self.problem is not None or (self.cutout is not None and self.cutout.state in FINAL)

    @property
    def pending_job(self) -> str | None:
        """The job that is waited for."""
        return self.cutout.job if self.cutout is not None and self.cutout.is_pending else None


@dataclass(slots=True, eq=False)
class Subscription:
    """The watchers of one stream of a client. `changed` are those with news since it was last emptied; `woken` says
    that there are some, or that the hub closes.
    """

    client: Client
    watchers: dict[CutoutKey, Watcher] = field(default_factory=dict[CutoutKey, Watcher])
    changed: set[Watcher] = field(default_factory=set[Watcher])
    woken: asyncio.Event = field(default_factory=asyncio.Event)


class CutoutHub:
    """For one event loop. `read` reads a cutout's state, `queue` says what is owed."""

    def __init__(self, read: ReadStatus, queue: Queue, *, limits: HubLimits) -> None:
        self._read_status = read
        self._queue = queue
        self._limits = limits
        self._watchers: dict[CutoutKey, Watcher] = {}
        self._streams: Counter[Client] = Counter()
        self._pictures: Counter[Client] = Counter()
        self._reads = FairSemaphore(_READS, per_client=_READS_PER_CLIENT, max_waiting=limits.pictures)
        self._following: asyncio.Task[None] | None = None
        self.closing = False
        """Whether streams are to end."""

    @asynccontextmanager
    async def subscribe(self, caller: Caller, specs: Sequence[Spec], client: Client) -> AsyncGenerator[Subscription]:
        """Watch the cutouts of `specs` for the block. Raises BusyError when there is no room for them."""
        if self.closing:
            raise BusyError("this process is about to stop", retry_after_s=1)
        by_key = {CutoutKey.of(caller, spec): spec for spec in specs}
        limits, count = self._limits, len(specs)
        if self._streams.total() >= limits.streams or self._streams[client] >= limits.streams_per_client:
            raise BusyError("too many streams of events are open", retry_after_s=_FULL_RETRY_S)
        if (
            self._pictures.total() + count > limits.pictures
            or self._pictures[client] + count > limits.pictures_per_client
        ):
            raise BusyError("too many pictures are watched", retry_after_s=_FULL_RETRY_S)
        self._streams[client] += 1
        self._pictures[client] += count
        subscription = Subscription(client)
        try:
            for key, spec in by_key.items():
                watcher = self._watchers.setdefault(key, Watcher(key, spec))
                watcher.subscribers.add(subscription)
                subscription.watchers[key] = watcher
                if client not in watcher.reading and (watcher.cutout is None or watcher.is_settled):
                    self._read_soon(watcher)
            if self._following is None or self._following.done():
                self._following = asyncio.create_task(self._follow())
            yield subscription
        finally:
            for watcher in list(subscription.watchers.values()):
                self.release(subscription, watcher)
            for counter, by in ((self._streams, 1), (self._pictures, count)):
                counter[client] -= by
                if not counter[client]:
                    del counter[client]

    def release(self, subscription: Subscription, watcher: Watcher) -> None:
        """The stream needs no more of `watcher`."""
        subscription.watchers.pop(watcher.key, None)
        subscription.changed.discard(watcher)
        watcher.subscribers.discard(subscription)
        client = subscription.client
        if client in watcher.reading and not any(each.client == client for each in watcher.subscribers):
            watcher.reading.pop(client).cancel()
        if not watcher.subscribers and self._watchers.get(watcher.key) is watcher:
            del self._watchers[watcher.key]

    def observe(self, caller: Caller, spec: Spec, cutout: CutoutStatus) -> None:
        """A request in this process was told that the cutout of `spec` stands as `cutout` says."""
        watcher = self._watchers.get(CutoutKey.of(caller, spec)) if self._watchers else None
        if watcher is not None and watcher.cutout is not None and watcher.cutout.state != cutout.state:
            self._read_soon(watcher, pause_s=watcher.read_at + _AGAIN_S - time.monotonic())

    def close(self) -> None:
        """Have all streams end, and none begin."""
        self.closing = True
        for watcher in self._watchers.values():
            for subscription in watcher.subscribers:
                subscription.woken.set()

    async def aclose(self) -> None:
        """End what runs."""
        self.close()
        tasks = [read for watcher in self._watchers.values() for read in watcher.reading.values()]
        tasks += [] if self._following is None else [self._following]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Looking

    def _read_soon(self, watcher: Watcher, *, pause_s: float = 0.0) -> None:
        watcher.wanted += 1
        for client in {subscription.client for subscription in watcher.subscribers} - watcher.reading.keys():
            watcher.reading[client] = asyncio.create_task(self._read_for(watcher, client, pause_s))

    async def _read_for(self, watcher: Watcher, client: Client, pause_s: float) -> None:
        try:
            while watcher.seen < watcher.wanted:
                await asyncio.sleep(max(0.0, pause_s))
                pause_s = await self._read_once(watcher, client)
        finally:
            if watcher.reading.get(client) is asyncio.current_task():
                del watcher.reading[client]

    async def _read_once(self, watcher: Watcher, client: Client) -> float:
        """Look and tell; returns in how many seconds to look again because nothing was seen, 0 if that is not so."""
        wanted = watcher.wanted
        try:
            async with self._reads.acquire(client):
                wanted = watcher.wanted
                if watcher.seen == wanted:
                    return 0.0  # somebody else's turn came first
                watcher.read_at = time.monotonic()
                async with asyncio.timeout(_READ_TIMEOUT_S):
                    cutout = await self._read_status(
                        watcher.key.customer, watcher.spec, client=client, has_key=watcher.key.has_key
                    )
        except (BusyError, DatabaseError, TimeoutError):
            return _RETRY_S  # a stream that said so, and ended, would be asked for no more
        except PellucidError as error:
            if watcher.cutout is not None and kind_of(error).status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                return _RETRY_S  # a queue or an origin that stumbles
            watcher.cutout, watcher.problem = None, error
        except Exception as error:  # the edge: nobody waits for this task
            _log.exception("unexpected error")
            watcher.cutout, watcher.problem = None, PellucidError(type(error).__name__)
        else:
            watcher.cutout, watcher.problem = cutout, None
        watcher.seen = max(watcher.seen, wanted)
        self._notify(watcher)
        return 0.0

    def _notify(self, watcher: Watcher) -> None:
        watcher.known.set()
        for subscription in watcher.subscribers:
            subscription.changed.add(watcher)
            subscription.woken.set()

    # Following the queue

    async def _follow(self) -> None:
        """Look at the queue while anything is watched."""
        keys: frozenset[str] = frozenset()
        notified_at = refreshed_at = 0.0
        while self._watchers:
            try:
                began = time.monotonic()
                try:
                    async with asyncio.timeout(_POSITIONS_S):
                        changed = await self._queue.pending_keys(other_than=keys)
                except TimeoutError:
                    changed = keys
                keys = changed
                # Also when nothing changed: a job may have come and gone between two looks.
                self._compare(keys)
                watched = sum(len(each.subscribers) for each in self._watchers.values() if each.pending_job is not None)
                if watched and began >= notified_at + max(_POSITIONS_S, watched / _NOTIFIED_PER_S):
                    notified_at = began
                    self._place(await self._queue.backlog())
                if began >= refreshed_at + 1:
                    refreshed_at = began
                    self._refresh()
            except PellucidError as error:
                _log.error("database failed", error=str(error))
                await asyncio.sleep(_RETRY_PAUSE_S)
            except Exception:  # the edge: streams would go silent
                _log.exception("unexpected error")
                await asyncio.sleep(_RETRY_PAUSE_S)

    def _compare(self, keys: frozenset[str]) -> None:
        """Look again at what is owed no more, and at what is owed at last."""
        for watcher in self._watchers.values():
            if watcher.cutout is not None and (watcher.cutout.job in keys) != (watcher.pending_job is not None):
                self._read_soon(watcher)

    def _place(self, backlog: Mapping[str, Pending]) -> None:
        """Tell new positions."""
        for watcher in self._watchers.values():
            job, cutout = watcher.pending_job, watcher.cutout
            pending = None if job is None else backlog.get(job)
            if pending is None or cutout is None or not isinstance(cutout.receipt, Pending):
                continue
            is_new = (pending.position, pending.attempts) != (cutout.receipt.position, cutout.receipt.attempts)
            watcher.cutout = replace(cutout, receipt=pending)
            if is_new:
                self._notify(watcher)

    def _refresh(self) -> None:
        """Look again, now and then, at what only a request can change."""
        due_at = time.monotonic() - _REFRESH_S
        due = (
            each
            for each in self._watchers.values()
            if not each.reading and each.read_at < due_at and each.pending_job is None and not each.is_settled
        )
        for watcher in list(itertools.islice(due, _REFRESHED_PER_S)):
            self._read_soon(watcher)
