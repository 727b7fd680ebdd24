"""Single flight: simultaneous calls for one key share one run of the work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT", bound=Hashable)
ResultT = TypeVar("ResultT")


class SingleFlight(Generic[KeyT, ResultT]):
    """Runs the work of a key once at a time. Whoever comes while it runs gets the same result, or the same error.

    A waiter that is cancelled (a client that went away) cancels neither the work nor the other waiters.
    """

    def __init__(self) -> None:
        self._flights: dict[KeyT, asyncio.Task[ResultT]] = {}

    async def run(self, key: KeyT, work: Callable[[], Awaitable[ResultT]]) -> ResultT:
        """The result of `work` for `key`, own or shared."""
        return await asyncio.shield(self.start(key, work))

    def is_in_flight(self, key: KeyT) -> bool:
        """Whether the work of `key` runs now."""
        return key in self._flights

    def start(self, key: KeyT, work: Callable[[], Awaitable[ResultT]]) -> asyncio.Task[ResultT]:
        """The task of `key`, own or shared; it goes on whether or not anybody waits. Not to be cancelled."""
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.ensure_future(_as_coroutine(work))
            self._flights[key] = flight
            flight.add_done_callback(lambda done: self._land(key, done))
        return flight

    def _land(self, key: KeyT, flight: asyncio.Task[ResultT]) -> None:
        self._flights.pop(key, None)
        if not flight.cancelled():
            flight.exception()  # seen: a flight whose waiters all left must not be reported as never retrieved


async def _as_coroutine(work: Callable[[], Awaitable[ResultT]]) -> ResultT:
    return await work()
