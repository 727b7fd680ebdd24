"""How many fetches run at a time: in all, from one host, and for one client."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from pellucid.concurrency.clients import Client
from pellucid.concurrency.fair_semaphore import FairSemaphore
from pellucid.errors import BusyError

_WAITING = 1000
"""Fetches that may wait, for all hosts together; each is a request, which weighs some 20 kB."""

_BUSY = "too many origins are being fetched"


@dataclass(slots=True)
class _HostSlots:
    semaphore: FairSemaphore
    users: int = 0


class FetchSlots:
    """`total` slots, of which one host gets `per_host` at most, and one client three quarters: origins that never
    answer hold slots for as long as a fetch may take, and whoever names a crowd of those is not to stop everybody.

    The host's slot is taken first: whoever waits for a slow host holds nothing that another host could use. The HTTP
    client's own limits are not used because they count the waiting as time to connect.
    """

    def __init__(self, *, total: int, per_host: int) -> None:
        self._places = total
        self._total = _shared(total)
        self._per_host = per_host
        self._hosts: dict[str, _HostSlots] = {}
        self._users: Counter[Client] = Counter()

    @asynccontextmanager
    async def acquire(self, host: str, client: Client, *, timeout_s: float) -> AsyncGenerator[None]:
        """A slot for the block. Raises BusyError when none came free within `timeout_s`, or too many wait."""
        # Those that have a slot, and those that wait for their host's or for one of all.
        if (
            self._users.total() >= self._places + _WAITING
            or self._users[client] >= _share(self._places) + _WAITING // 2
        ):
            raise BusyError(_BUSY)
        deadline = asyncio.get_running_loop().time() + timeout_s
        self._users[client] += 1
        slots = self._hosts.setdefault(host, _HostSlots(_shared(self._per_host)))
        slots.users += 1
        try:
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(slots.semaphore.acquire(client, timeout_s=timeout_s))
                left_s = deadline - asyncio.get_running_loop().time()
                await stack.enter_async_context(self._total.acquire(client, timeout_s=left_s))
                yield
        finally:
            slots.users -= 1
            if not slots.users:
                del self._hosts[host]
            self._users[client] -= 1
            if not self._users[client]:
                del self._users[client]


def _share(places: int) -> int:
    """What one client gets of them."""
    return max(1, places - max(1, places // 4))


def _shared(places: int) -> FairSemaphore:
    return FairSemaphore(
        places, per_client=_share(places), max_waiting=_WAITING, max_waiting_per_client=_WAITING // 2, busy=_BUSY
    )
