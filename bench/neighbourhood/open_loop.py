"""Requests at a fixed rate, whatever becomes of those before: as many strangers would send them, and an honest clock.

A client that waits for each answer before it asks again slows down with the server and measures its own patience; here
a request's time counts from the moment when it was due.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

_MOST_AT_A_TIME = 2000
"""Requests under way at a time: a bound on what this process needs. What is beyond is counted as skipped."""


async def at_rate(
    send: Callable[[int, float], Awaitable[None]], *, per_s: float, seconds: float, first: float = 0.0
) -> int:
    """Call `send(number, due)` `per_s` times a second for `seconds`, beginning in `first`; `due` is a moment of
    `time.perf_counter`. Returns how many were skipped. What is under way at the end has 60 s to finish.
    """
    started = time.perf_counter() + first
    under_way: set[asyncio.Task[None]] = set()
    skipped = 0
    for number in range(int(seconds * per_s)):
        due = started + number / per_s
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        if len(under_way) >= _MOST_AT_A_TIME:
            skipped += 1
            continue
        task = asyncio.ensure_future(_as_coroutine(send(number, due)))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    if under_way:
        _, late = await asyncio.wait(under_way, timeout=60)
        for task in late:
            task.cancel()
    return skipped


async def _as_coroutine(sending: Awaitable[None]) -> None:
    await sending
