"""Places that clients share: whoever asks for many waits for its own turns, not in front of everybody else.

A plain semaphore is first come, first served: a client that asks for a thousand things at once makes the next one wait
for all of them. Here the clients that wait take turns (round robin, as in fair queueing, RFC 970), and nobody holds or
queues more than its share.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from pellucid.concurrency.clients import Client
from pellucid.errors import BusyError


class FairSemaphore:
    """`places` at a time, given to waiting clients in turns. For one event loop.

    One client holds `per_client` places at most (None: all of them). `max_waiting` callers wait at most, of one client
    `max_waiting_per_client` (None: `max_waiting`); beyond that the answer is BusyError(`busy`) at once.
    """

    def __init__(
        self,
        places: int,
        *,
        per_client: int | None = None,
        max_waiting: int,
        max_waiting_per_client: int | None = None,
        busy: str = "too much is asked for at the moment",
    ) -> None:
        self._free = places
        self._per_client = places if per_client is None else per_client
        self._max_waiting = max_waiting
        self._max_waiting_per_client = max_waiting if max_waiting_per_client is None else max_waiting_per_client
        self._busy = busy
        self._held: Counter[Client] = Counter()
        # Clients in the order of their next turn; each has at least one waiter.
        self._waiters: OrderedDict[Client, deque[asyncio.Future[None]]] = OrderedDict()
        self._waiting = 0

    @property
    def free(self) -> int:
        """Places that nobody holds."""
        return self._free

    @property
    def waiting(self) -> int:
        """Callers that wait."""
        return self._waiting

    @asynccontextmanager
    async def acquire(
        self, client: Client, *, timeout_s: float | None = None, first: bool = False
    ) -> AsyncGenerator[None]:
        """Hold a place for the block. Raises BusyError when too many wait already, or after `timeout_s`.

        `first` = the next free place, however many wait: for a health check, which there is one of at a time.
        """
        await self._take(client, timeout_s, first=first)
        try:
            yield
        finally:
            self._give_back(client)
            self._hand_out()

    async def _take(self, client: Client, timeout_s: float | None, *, first: bool) -> None:
        if self._free and self._may_hold(client) and client not in self._waiters:
            self._grant(client)
            return
        line = self._waiters.get(client, ())
        full = self.waiting >= self._max_waiting or len(line) >= self._max_waiting_per_client
        if full and not first:
            raise BusyError(self._busy)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if first:
            self._waiters.setdefault(client, deque()).appendleft(turn)
            self._waiters.move_to_end(client, last=False)
        else:
            self._waiters.setdefault(client, deque()).append(turn)
        self._waiting += 1
        try:
            async with asyncio.timeout(timeout_s):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._give_back(client)  # the place came at the same moment as the end of the waiting
            else:
                self._leave(client, turn)
            self._hand_out()
            if isinstance(error, TimeoutError):
                raise BusyError(self._busy) from error
            raise

    def _leave(self, client: Client, turn: asyncio.Future[None]) -> None:
        line = self._waiters.get(client)
        if line is not None and turn in line:
            line.remove(turn)
            self._waiting -= 1
            if not line:
                del self._waiters[client]

    def _may_hold(self, client: Client) -> bool:
        return self._held[client] < self._per_client

    def _grant(self, client: Client) -> None:
        self._free -= 1
        self._held[client] += 1

    def _give_back(self, client: Client) -> None:
        self._free += 1
        self._held[client] -= 1
        if not self._held[client]:
            del self._held[client]

    def _hand_out(self) -> None:
        """Give free places to those whose turn it is."""
        while self._free:
            client = next((each for each in self._waiters if self._may_hold(each)), None)
            if client is None:
                return
            line = self._waiters[client]
            turn = line.popleft()
            self._waiting -= 1
            if line:
                self._waiters.move_to_end(client)
            else:
                del self._waiters[client]
            # A cancelled turn is still in its line until its task runs again.
            if not turn.done():
                self._grant(client)
                turn.set_result(None)
