"""Who may fetch, and who waits: bounds over all hosts together."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from pellucid.concurrency.clients import Client
from pellucid.errors import BusyError
from pellucid.source.slots import FetchSlots

A, B = Client("a"), Client("b")


async def test_a_crowd_of_hosts_is_one_line() -> None:
    """500 wait of one client, on however many hosts; another one has its turn."""
    slots = FetchSlots(total=8, per_host=4)
    ended: list[str] = []

    async def fetch(number: int) -> None:
        try:
            async with slots.acquire(f"{number}.test:80", A, timeout_s=60):
                await asyncio.Event().wait()
        except BusyError:
            ended.append("busy")

    crowd = [asyncio.create_task(fetch(number % 100)) for number in range(2000)]
    await asyncio.sleep(0.05)
    assert len(ended) == 2000 - 6 - 500
    async with slots.acquire("other.test:80", B, timeout_s=0):
        pass
    for each in crowd:
        each.cancel()
    await asyncio.wait(crowd)
    async with AsyncExitStack() as stack:  # all places are free again
        for number in range(6):
            await stack.enter_async_context(slots.acquire(f"{number}.test:80", A, timeout_s=0))


@pytest.mark.serial
async def test_the_waiting_for_both_slots_has_one_end() -> None:
    slots = FetchSlots(total=1, per_host=1)
    loop = asyncio.get_running_loop()

    async def wait(timeout_s: float) -> float:
        began = loop.time()
        with pytest.raises(BusyError):
            async with slots.acquire("a.test:80", B, timeout_s=timeout_s):
                pass
        return loop.time() - began

    async with slots.acquire("b.test:80", A, timeout_s=0):
        # The first holds its host's slot, for which the second waits nearly all of its time.
        _, waited_s = await asyncio.gather(wait(0.9), wait(1.0))
    assert waited_s < 1.6
