"""How many fetches run at a time: in all, and from one host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from pellucid.errors import BusyError


@dataclass(slots=True)
class _HostSlots:
    semaphore: asyncio.Semaphore
    users: int = 0


class FetchSlots:
    """`total` slots, of which one host gets `per_host` at most.

    The host's slot is taken first: whoever waits for a slow host holds nothing that another host could use. The HTTP
    client's own limits are not used because they count the waiting as time to connect.
    """

    def __init__(self, *, total: int, per_host: int) -> None:
        self._total = asyncio.Semaphore(total)
        self._per_host = per_host
        self._hosts: dict[str, _HostSlots] = {}

    @asynccontextmanager
    async def hold(self, host: str, *, patience_s: float) -> AsyncGenerator[None]:
        """A slot for the block. Raises BusyError when none came free within `patience_s`."""
        slots = self._hosts.setdefault(host, _HostSlots(asyncio.Semaphore(self._per_host)))
        slots.users += 1
        try:
            async with AsyncExitStack() as stack:
                try:
                    async with asyncio.timeout(patience_s):
                        await stack.enter_async_context(slots.semaphore)
                        await stack.enter_async_context(self._total)
                except TimeoutError as error:
                    raise BusyError("too many origins are being fetched") from error
                yield
        finally:
            slots.users -= 1
            if not slots.users:
                del self._hosts[host]
