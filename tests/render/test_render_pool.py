"""The render pool: real processes, killed, hung and overfed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from render_samples import saved

from pellucid.clients import SERVER, Client
from pellucid.errors import BusyError, ImageLimitError, RenderError, UnsupportedFormatError
from pellucid.formats import ImageFormat
from pellucid.image.facts import ImageFacts
from pellucid.image.probe import probe
from pellucid.render.plan import plan
from pellucid.render.pool import PoolLimits, RenderPool
from pellucid.render.run import RenderJob
from pellucid.spec import RenderSpec

MAX_PIXELS = 1_000_000
PHOTO = saved(np.arange(60 * 80 * 3, dtype=np.uint32).astype(np.uint8).reshape(60, 80, 3))


def _pool(**limits: float) -> RenderPool:
    known: dict[str, Any] = {"processes": 1, "max_waiting": 50, "timeout_s": 30, "max_pixels": MAX_PIXELS, **limits}
    return RenderPool(PoolLimits(**known))


@pytest.fixture
async def pool() -> AsyncIterator[RenderPool]:
    async with _pool() as pool:
        yield pool


async def _render(pool: RenderPool, data: bytes, job: RenderJob, *, client: Client = SERVER) -> bytes | None:
    async def inputs() -> tuple[bytes, None]:
        return data, None

    return await pool.render(inputs, job, origin=str(hash(data)), size_bytes=len(data), cut=False, client=client)


def _job(facts: ImageFacts, width: int) -> RenderJob:
    target = plan(RenderSpec(width=width), width=facts.width, height=facts.height, max_pixels=MAX_PIXELS)
    return RenderJob(facts=facts, plan=target, background=None, format=ImageFormat.PNG)


async def test_probe_and_render_in_another_process(pool: RenderPool) -> None:
    facts = await pool.probe(PHOTO)
    assert facts == probe(PHOTO, max_pixels=MAX_PIXELS)
    body = await _render(pool, PHOTO, _job(facts, 20))
    assert probe(body, max_pixels=MAX_PIXELS).width == 20
    assert os.getpid() not in pool.pids


async def test_errors_keep_their_class_and_message(pool: RenderPool) -> None:
    with pytest.raises(UnsupportedFormatError, match="HTML"):
        await pool.probe(b"<!doctype html><html></html>")
    async with _pool(max_waiting=5, max_pixels=10) as strict:
        with pytest.raises(ImageLimitError, match="10 pixels"):
            await strict.probe(PHOTO)


async def test_a_killed_process_costs_no_task() -> None:
    async with _pool(max_waiting=100) as pool:
        await _check_killed(pool)


async def _check_killed(pool: RenderPool) -> None:
    facts = await pool.probe(PHOTO)
    first = pool.pids

    async def kill() -> None:
        for _ in range(3):
            await asyncio.sleep(0.3)
            for pid in pool.pids:
                os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(1.5)

    killer = asyncio.create_task(kill())
    bodies = await asyncio.gather(*(_render(pool, PHOTO, _job(facts, width)) for width in range(10, 50)))
    await killer
    assert all(bodies)
    await pool.probe(PHOTO)
    assert set(pool.pids).isdisjoint(first)


async def test_a_task_that_takes_too_long_loses_its_process_and_the_next_one_is_fine() -> None:
    async with _pool(max_waiting=5, timeout_s=2) as pool:
        facts = await pool.probe(PHOTO)
        os.kill(pool.pids[0], signal.SIGSTOP)  # hangs, as a decoder in an endless loop would
        with pytest.raises(RenderError, match="longer than 2 s"):
            await _render(pool, PHOTO, _job(facts, 20))
        assert await _render(pool, PHOTO, _job(facts, 20))


async def test_a_process_that_does_not_even_read_loses_its_task_too() -> None:
    """More bytes than the pipe holds: sending blocks, not only waiting for the answer."""
    async with _pool(max_waiting=5, timeout_s=2) as pool:
        await pool.probe(PHOTO)
        os.kill(pool.pids[0], signal.SIGSTOP)
        with pytest.raises(RenderError, match="longer than 2 s"):
            await pool.probe(PHOTO + bytes(5_000_000))
        assert await pool.probe(PHOTO + bytes(5_000_000))


async def test_what_waits_is_bounded() -> None:
    async with _pool(max_waiting=3) as pool:
        results = await asyncio.gather(*(pool.probe(PHOTO) for _ in range(10)), return_exceptions=True)
    assert sum(isinstance(result, BusyError) for result in results) == 7
    assert sum(isinstance(result, ImageFacts) for result in results) == 3


async def test_processes_end_with_the_pool() -> None:
    async with _pool(processes=2, max_waiting=5) as pool:
        await asyncio.gather(*(pool.probe(PHOTO) for _ in range(4)))
        pids = pool.pids
    assert pids
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
