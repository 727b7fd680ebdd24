"""The render pool: real processes, killed, hung and overfed."""

from __future__ import annotations

import asyncio
import io
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from render_samples import saved

from pellucid.concurrency.clients import SERVER, Client
from pellucid.errors import BusyError, ImageError, ImageLimitError, RenderError, UnsupportedFormatError
from pellucid.formats import ImageFormat
from pellucid.image.examine import examine
from pellucid.image.facts import ImageFacts
from pellucid.image.probe import probe
from pellucid.render.job import RenderJob
from pellucid.render.plan import plan
from pellucid.render.pool import PoolLimits, RenderPool
from pellucid.spec import Geometry

pytestmark = pytest.mark.slow

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

    made = await pool.render(inputs, job, origin=str(hash(data)), size_bytes=len(data), cut=False, client=client)
    return None if made is None else made.body


def _job(facts: ImageFacts, width: int) -> RenderJob:
    target = plan(Geometry(width=width), width=facts.width, height=facts.height, max_pixels=MAX_PIXELS)
    return RenderJob(facts=facts, plan=target, background=None, format=ImageFormat.PNG)


async def test_probe_and_render_in_another_process(pool: RenderPool) -> None:
    facts = await pool.probe(PHOTO)
    assert facts == examine(PHOTO, max_pixels=MAX_PIXELS)
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


SLOW_SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="1200" height="1200">'
    b'<filter id="f" x="0" y="0" width="1" height="1">'
    + b'<feTurbulence baseFrequency=".2" numOctaves="9"/><feMorphology radius="40"/>' * 60
    + b'</filter><rect filter="url(#f)" width="1200" height="1200"/></svg>'
)


def _svg_job(side: int) -> RenderJob:
    facts = probe(SLOW_SVG, max_pixels=100_000_000)
    target = plan(Geometry(width=side), width=facts.width, height=facts.height, max_pixels=100_000_000)
    return RenderJob(facts=facts, plan=target, background=None, format=ImageFormat.PNG)


async def test_a_light_task_goes_on_beside_a_heavy_one() -> None:
    async with _pool(timeout_s=300) as pool:
        heavy = asyncio.create_task(_render(pool, SLOW_SVG, _svg_job(5000)))
        await asyncio.sleep(1)
        facts = await pool.probe(PHOTO)
        assert await _render(pool, PHOTO, _job(facts, 20))
        await pool.check()
        assert not heavy.done()
        assert len(pool.pids) == 2
        os.kill(pool.pids[1], signal.SIGKILL)
        heavy.cancel()


async def test_what_is_heavier_than_its_estimate_moves_to_the_heavy_lane() -> None:
    async with _pool(timeout_s=300) as pool:
        await pool.probe(PHOTO)
        heavy = asyncio.create_task(_render(pool, SLOW_SVG, _svg_job(1200)))
        while len(pool.pids) < 2:  # noqa: ASYNC110 - a process, not a task
            await asyncio.sleep(0.05)
        facts = await pool.probe(PHOTO)
        assert await _render(pool, PHOTO, _job(facts, 20))
        # So does the next one of that size, at once; smaller ones of the same picture do not.
        pixels = pool._outgrown[str(hash(SLOW_SVG))]  # pyright: ignore[reportPrivateUsage]
        assert pixels == 1200 * _svg_job(1200).plan.height
        assert not heavy.done()
        os.kill(pool.pids[1], signal.SIGKILL)
        heavy.cancel()


async def test_a_process_over_its_memory_is_ended_and_its_picture_refused() -> None:
    file = io.BytesIO()
    Image.new("RGB", (5000, 5000), 3).save(file, "JPEG", progressive=True, subsampling=0)
    facts = probe(file.getvalue(), max_pixels=100_000_000)
    target = plan(Geometry(width=50), width=5000, height=5000, max_pixels=MAX_PIXELS)
    job = RenderJob(facts=facts, plan=target, background=None, format=ImageFormat.PNG)
    async with _pool(memory_bytes=120 << 20, max_pixels=100_000_000) as pool:
        await pool.probe(PHOTO)
        first = pool.pids
        with pytest.raises(ImageLimitError, match="more memory than the limit, 120 MiB"):
            await _render(pool, file.getvalue(), job)
        assert await pool.probe(PHOTO)
        assert pool.pids != first


async def test_a_picture_that_ends_two_processes_is_to_blame() -> None:
    async with _pool(timeout_s=300) as pool:
        job = _svg_job(5000)
        heavy = asyncio.create_task(_render(pool, SLOW_SVG, job))
        killed: set[int] = set()
        while not heavy.done():
            for pid in set(pool.pids[1:]) - killed:
                await asyncio.sleep(2)  # it has the task by then
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            await asyncio.sleep(0.05)
        with pytest.raises(ImageError, match="crashes its decoder"):
            await heavy
        assert len(killed) == 2


async def test_nobody_waits_for_ever() -> None:
    async with _pool(wait_s=0.5) as pool:
        facts = await pool.probe(PHOTO)
        os.kill(pool.pids[0], signal.SIGSTOP)
        waiting = [asyncio.create_task(_render(pool, PHOTO, _job(facts, width))) for width in (20, 21, 22)]
        with pytest.raises(BusyError):
            await waiting[2]
        os.kill(pool.pids[0], signal.SIGCONT)
        assert await waiting[0]
        assert await waiting[1]


async def test_the_check_is_not_turned_away_and_says_when_nothing_comes_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with _pool(max_waiting=2) as pool:
        facts = await pool.probe(PHOTO)
        os.kill(pool.pids[0], signal.SIGSTOP)
        waiting = [asyncio.create_task(_render(pool, PHOTO, _job(facts, width))) for width in (20, 21, 22)]
        await asyncio.sleep(0.1)
        with pytest.raises(BusyError):
            await _render(pool, PHOTO, _job(facts, 24))
            await _render(pool, PHOTO, _job(facts, 25))
        monkeypatch.setattr("pellucid.render.pool._CHECK_S", 0.3)
        with pytest.raises(BusyError, match="no picture was rendered"):
            await pool.check()
        monkeypatch.setattr("pellucid.render.pool._CHECK_S", 30)
        check = asyncio.create_task(pool.check())
        await asyncio.sleep(0.1)
        os.kill(pool.pids[0], signal.SIGCONT)
        await check
        assert all(await asyncio.gather(*waiting))


@pytest.mark.serial
async def test_slow_pictures_one_after_the_other_are_no_reason_not_to_be_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with _pool() as pool:
        facts = await pool.probe(PHOTO)
        os.kill(pool.pids[0], signal.SIGSTOP)
        first = asyncio.create_task(_render(pool, PHOTO, _job(facts, 20)))
        slow = asyncio.create_task(_render(pool, SLOW_SVG, _svg_job(1200)))
        await asyncio.sleep(0.1)
        monkeypatch.setattr("pellucid.render.pool._CHECK_S", 1.0)
        check = asyncio.create_task(pool.check())
        await asyncio.sleep(0.1)
        os.kill(pool.pids[0], signal.SIGCONT)
        assert await first
        await check  # its own picture is still behind the slow one
        assert not slow.done()
        slow.cancel()
        os.kill(pool.pids[0], signal.SIGKILL)


async def test_what_is_gone_gives_its_place_back() -> None:
    async def gone() -> None:
        return None

    async with _pool() as pool:
        facts = await pool.probe(PHOTO)
        for _ in range(5):
            assert await pool.render(gone, _job(facts, 20), origin="gone", size_bytes=1, cut=False) is None
        assert await _render(pool, PHOTO, _job(facts, 20))
