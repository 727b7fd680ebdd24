"""A semaphore that is fair between clients.

A plain semaphore serves callers in order: a client with a thousand simultaneous calls makes the next client wait for
all of them. Here waiting clients take turns (round robin, as in fair queueing, RFC 970), and no client holds or queues
more than its share.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from pellucid.concurrency.clients import Client
from pellucid.errors import BusyError


class FairSemaphore:
    """A semaphore of `slots`, given to waiting clients in turn. For one event loop.

    A client holds at most `per_client` slots (None: all). At most `max_waiting` callers wait, of one client at most
    `max_waiting_per_client` (None: `max_waiting`). Further ones get BusyError(`busy`) at once.
    """

    def __init__(
        self,
        slots: int,
        *,
        per_client: int | None = None,
        max_waiting: int,
        max_waiting_per_client: int | None = None,
        busy: str = "there are too many requests at the moment",
    ) -> None:
        self._free = slots
        self._per_client = slots if per_client is None else per_client
        self._max_waiting = max_waiting
        self._max_waiting_per_client = max_waiting if max_waiting_per_client is None else max_waiting_per_client
        self._busy = busy
        self._held: Counter[Client] = Counter()
        # Clients in the order of their next turn; each has at least one waiter.
        self._waiters: OrderedDict[Client, deque[asyncio.Future[None]]] = OrderedDict()
        self._waiting = 0

    @property
    def free(self) -> int:
        """Free slots."""
        return self._free

    @property
    def waiting(self) -> int:
        """Waiting callers."""
        return self._waiting

    @asynccontextmanager
    async def acquire(
        self, client: Client, *, timeout_s: float | None = None, first: bool = False
    ) -> AsyncGenerator[None]:
        """Hold a slot for the block. Raises BusyError when too many callers wait already, or after `timeout_s`.

        `first` gets the next free slot, however many callers wait: for a health check, which runs one at a time.
        """
        await self._acquire(client, timeout_s, first=first)
        try:
            yield
        finally:
            self._release(client)
            self._wake_next()

    async def _acquire(self, client: Client, timeout_s: float | None, *, first: bool) -> None:
        if self._free and self._may_hold(client) and client not in self._waiters:
            self._grant(client)
            return
        queue = self._waiters.get(client, ())
        full = self.waiting >= self._max_waiting or len(queue) >= self._max_waiting_per_client
        if full and not first:
            raise BusyError(self._busy)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if first:
            self._waiters.setdefault(client, deque()).appendleft(waiter)
            self._waiters.move_to_end(client, last=False)
        else:
            self._waiters.setdefault(client, deque()).append(waiter)
        self._waiting += 1
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled():
                self._release(client)  # the slot was granted at the moment when the wait ended
            else:
                self._remove_waiter(client, waiter)
            self._wake_next()
            if isinstance(error, TimeoutError):
                raise BusyError(self._busy) from error
            raise

    def _remove_waiter(self, client: Client, waiter: asyncio.Future[None]) -> None:
        queue = self._waiters.get(client)
        if queue is not None and waiter in queue:
            queue.remove(waiter)
            self._waiting -= 1
            if not queue:
                del self._waiters[client]

    def _may_hold(self, client: Client) -> bool:
        return self._held[client] < self._per_client

    def _grant(self, client: Client) -> None:
        self._free -= 1
        self._held[client] += 1

    def _release(self, client: Client) -> None:
        self._free += 1
        self._held[client] -= 1
        if not self._held[client]:
            del self._held[client]

    def _wake_next(self) -> None:
        """Grant free slots to the clients whose turn it is."""
        while self._free:
            client = next((each for each in self._waiters if self._may_hold(each)), None)
            if client is None:
                return
            queue = self._waiters[client]
            waiter = queue.popleft()
            self._waiting -= 1
            if queue:
                self._waiters.move_to_end(client)
            else:
                del self._waiters[client]
            # A cancelled waiter stays in its queue until its task runs again.
            if not waiter.done():
                self._grant(client)
                waiter.set_result(None)
