"""Renditions whose files cannot be read: a failing cache is a miss."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from memory_blobs import MemoryBlobs
from pellucid.concurrency.clients import Client
from pellucid.spec import DEFAULT_TOKEN
from pellucid.store import keys
from pellucid.store.objects import ObjectBlobs
from pellucid.store.renditions import Rendition, Renditions, RenditionSource, make_rendition

KEY = keys.rendition_key(DEFAULT_TOKEN, "x")


@pytest.fixture
def blobs(tmp_path: Path) -> ObjectBlobs:
    return ObjectBlobs.local(tmp_path / "store")


def _loop(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(path.name)


async def _stored(renditions: Renditions, rendition: Rendition) -> None:
    renditions.put(KEY, rendition)
    await renditions.aclose()


@pytest.mark.parametrize("damage", ["link", "folder", "empty", "half", "other"])
async def test_a_rendition_that_fails_is_a_miss(tmp_path: Path, blobs: ObjectBlobs, damage: str) -> None:
    rendition = make_rendition(b"body" * 100, "image/png")
    renditions = Renditions(blobs, memory_bytes=0)
    await _stored(renditions, rendition)
    assert await renditions.get(KEY) == (rendition, RenditionSource.DISK)
    path = tmp_path / "store" / KEY
    whole = path.read_bytes()
    match damage:
        case "link":
            _loop(path)
        case "folder":
            path.unlink()
            path.mkdir()
        case _:
            path.write_bytes({"empty": b"", "half": whole[: len(whole) // 2], "other": b"x" * len(whole)}[damage])
    assert await renditions.get(KEY) is None
    await _stored(renditions, rendition)
    if damage != "folder":
        assert await renditions.get(KEY) == (rendition, RenditionSource.DISK)


class SlowBlobs(MemoryBlobs):
    """A store whose reads and writes wait until the test lets them pass."""

    def __init__(self) -> None:
        super().__init__()
        self.takes = asyncio.Event()
        self.gives = asyncio.Event()
        self.gives.set()
        self.reading = 0

    async def get(self, key: str) -> bytes | None:
        self.reading += 1
        await self.gives.wait()
        self.reading -= 1
        return await super().get(key)

    async def put(self, key: str, data: bytes | bytearray) -> None:
        await self.takes.wait()
        await super().put(key, data)


async def test_requests_do_not_wait_for_a_rendition_to_be_stored() -> None:
    blobs = SlowBlobs()
    rendition = make_rendition(b"body", "image/png")
    renditions = Renditions(blobs, memory_bytes=0)
    renditions.put(KEY, rendition)
    renditions.put(KEY, rendition)
    await asyncio.sleep(0)
    assert await renditions.get(KEY) == (rendition, RenditionSource.MEMORY), "also one that is too large for the memory"
    assert not await blobs.exists(KEY)
    closing = asyncio.create_task(renditions.aclose())
    await asyncio.sleep(0.01)
    assert not closing.done(), "a stop waits for writes in flight"
    blobs.takes.set()
    await closing
    assert await renditions.get(KEY) == (rendition, RenditionSource.DISK)


@pytest.mark.parametrize(("count", "size_bytes", "kept"), [(70, 10, 64), (10, 10 << 20, 6)])
async def test_the_number_of_unwritten_renditions_is_bounded(count: int, size_bytes: int, kept: int) -> None:
    blobs = SlowBlobs()
    renditions = Renditions(blobs, memory_bytes=0)
    rendition = make_rendition(bytes(size_bytes), "image/png")
    names = [keys.rendition_key(DEFAULT_TOKEN, str(number)) for number in range(count)]
    for name in names:
        renditions.put(name, rendition)
    blobs.takes.set()
    await renditions.aclose()
    found = [await renditions.get(name) for name in names]
    assert [each is not None for each in found] == [number < kept for number in range(count)]
    renditions.put(names[-1], rendition)
    await renditions.aclose()
    assert await renditions.get(names[-1]) == (rendition, RenditionSource.DISK), "there is room again"


async def test_simultaneous_requests_share_one_read_and_reads_are_bounded() -> None:
    """A rendition too large for the memory, requested on 256 connections, was read 256 times at once."""
    blobs = SlowBlobs()
    blobs.takes.set()
    renditions = Renditions(blobs, memory_bytes=0)
    names = [keys.rendition_key(DEFAULT_TOKEN, str(number)) for number in range(20)]
    for name in names:
        renditions.put(name, make_rendition(name.encode(), "image/png"))
    await renditions.aclose()
    blobs.gives.clear()
    reads = [asyncio.create_task(renditions.get(name, client=Client("a"))) for name in names * 13]
    await asyncio.sleep(0.01)
    assert blobs.reading == 3
    another = asyncio.create_task(renditions.get(keys.rendition_key(DEFAULT_TOKEN, "none"), client=Client("b")))
    await asyncio.sleep(0.01)
    assert blobs.reading == 4
    blobs.gives.set()
    found = await asyncio.gather(*reads)
    assert [each and each[0].body for each in found] == [name.encode() for name in names] * 13
    assert await another is None
    assert blobs.calls["get"] == len(names) + 1
