"""Single flight: one run for many callers."""

from __future__ import annotations

import asyncio

import pytest

from pellucid.concurrency.single_flight import SingleFlight


async def test_simultaneous_calls_share_one_run() -> None:
    flight: SingleFlight[str, int] = SingleFlight()
    runs = 0

    async def work() -> int:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0.05)
        return runs

    assert await asyncio.gather(*(flight.run("k", work) for _ in range(100))) == [1] * 100
    assert await flight.run("k", work) == 2, "a finished run is not shared"


async def test_an_error_is_shared_and_not_kept() -> None:
    flight: SingleFlight[str, int] = SingleFlight()

    async def work() -> int:
        await asyncio.sleep(0.01)
        raise ValueError("once")

    results = await asyncio.gather(*(flight.run("k", work) for _ in range(3)), return_exceptions=True)
    assert [str(result) for result in results] == ["once"] * 3

    async def fine() -> int:
        return 7

    assert await flight.run("k", fine) == 7


async def test_a_cancelled_caller_does_not_affect_others() -> None:
    flight: SingleFlight[str, str] = SingleFlight()
    finished = asyncio.Event()

    async def work() -> str:
        await asyncio.sleep(0.1)
        finished.set()
        return "done"

    impatient = asyncio.create_task(flight.run("k", work))
    patient = asyncio.create_task(flight.run("k", work))
    await asyncio.sleep(0.01)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    assert await patient == "done"

    alone = asyncio.create_task(flight.run("k", work))
    finished.clear()
    await asyncio.sleep(0.01)
    alone.cancel()
    await asyncio.wait_for(finished.wait(), 2)  # the work goes on without callers


async def test_an_error_without_callers_is_no_warning() -> None:
    flight: SingleFlight[str, str] = SingleFlight()

    async def work() -> str:
        await asyncio.sleep(0.02)
        raise ValueError("without callers")

    alone = asyncio.create_task(flight.run("k", work))
    await asyncio.sleep(0.005)
    alone.cancel()
    await asyncio.sleep(0.1)
