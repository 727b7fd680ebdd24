"""Single flight: simultaneous calls for one key share one run of the work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT", bound=Hashable)
ResultT = TypeVar("ResultT")


class SingleFlight(Generic[KeyT, ResultT]):
    """Runs the work of a key once at a time. Callers that come while it runs get the same result, or the same error.

    Cancelling one caller (its client disconnected) cancels neither the work nor the other callers.
    """

    def __init__(self) -> None:
        self._flights: dict[KeyT, asyncio.Task[ResultT]] = {}

    async def run(self, key: KeyT, work: Callable[[], Awaitable[ResultT]]) -> ResultT:
        """Run `work` for `key`, or wait for the run in flight, and return its result."""
        return await asyncio.shield(self.start(key, work))

    def is_in_flight(self, key: KeyT) -> bool:
        """Whether the work of `key` is running."""
        return key in self._flights

    def start(self, key: KeyT, work: Callable[[], Awaitable[ResultT]]) -> asyncio.Task[ResultT]:
        """Start `work` for `key` unless it runs already. Returns its task, which runs on without waiters, and must not
        be cancelled.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.ensure_future(_as_coroutine(work))
            self._flights[key] = flight
            flight.add_done_callback(lambda done: self._land(key, done))
        return flight

    def _land(self, key: KeyT, flight: asyncio.Task[ResultT]) -> None:
        self._flights.pop(key, None)
        if not flight.cancelled():
            flight.exception()  # retrieves it: asyncio logs an error that no waiter has retrieved


async def _as_coroutine(work: Callable[[], Awaitable[ResultT]]) -> ResultT:
    return await work()
