"""Blobs in a folder, and the bounded cache over them."""

from __future__ import annotations

import asyncio
import errno
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from pellucid.errors import DatabaseError, StoreError
from pellucid.store.bounded import BoundedBlobs
from pellucid.store.envelope import seal, unseal
from pellucid.store.objects import ObjectBlobs, sweep_staging


@pytest.fixture
def blobs(tmp_path: Path) -> ObjectBlobs:
    return ObjectBlobs.local(tmp_path / "store")


async def test_put_get_delete(blobs: ObjectBlobs) -> None:
    assert await blobs.get("a/b") is None
    assert not await blobs.exists("a/b")
    await blobs.put("a/b", b"one")
    await blobs.put("a/b", b"two")
    assert await blobs.get("a/b") == b"two"
    assert await blobs.exists("a/b")
    assert [(i.key, i.size_bytes) async for i in blobs.list("a")] == [("a/b", 3)]
    await blobs.delete("a/b")
    await blobs.delete("a/b")
    assert await blobs.get("a/b") is None
    assert [i async for i in blobs.list("nothing")] == []


async def test_a_reader_never_sees_a_part(blobs: ObjectBlobs) -> None:
    bodies = [bytes([n]) * 2_000_000 for n in range(4)]
    await blobs.put("k", bodies[0])

    async def write() -> None:
        for _ in range(5):
            for body in bodies:
                await blobs.put("k", body)

    writer = asyncio.create_task(write())
    while not writer.done():
        seen = await blobs.get("k")
        assert seen in bodies
    await writer


async def test_unwritable_folder_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError):
        ObjectBlobs.local(tmp_path / "file" / "below")


async def test_staging_files_of_dead_processes_are_swept(tmp_path: Path, blobs: ObjectBlobs) -> None:
    await blobs.put("bytes/x", b"kept")
    (tmp_path / "store" / "bytes" / "x#7").write_bytes(b"half")
    assert sweep_staging(tmp_path / "store") == 1
    assert await blobs.get("bytes/x") == b"kept"


class _Header(msgspec.Struct):
    media_type: str


def test_envelope_round_trip_and_damage() -> None:
    blob = seal(_Header(media_type="image/png"), b"body" * 100)
    opened = unseal(blob, _Header)
    assert opened is not None
    assert opened[0].media_type == "image/png"
    assert opened[1] == b"body" * 100
    for at in (0, 5, 9, 20, len(blob) - 1):
        damaged = bytearray(blob)
        damaged[at] ^= 0x41
        assert unseal(bytes(damaged), _Header) is None
    for length in (0, 3, 11, 20, len(blob) - 1):
        assert unseal(blob[:length], _Header) is None


class _Pins:
    def __init__(self) -> None:
        self.keys: frozenset[str] = frozenset()

    async def __call__(self) -> frozenset[str]:
        return self.keys


@pytest.fixture
def pins() -> _Pins:
    return _Pins()


@pytest.fixture
async def cache(tmp_path: Path, blobs: ObjectBlobs, pins: _Pins) -> AsyncIterator[BoundedBlobs]:
    cache = BoundedBlobs(
        blobs, index=tmp_path / "i.sqlite", prefixes=["c"], max_bytes=1000, pinned=pins, young_s=0, block_bytes=1
    )
    await cache.open()
    yield cache
    await cache.aclose()


async def test_least_recently_used_goes_first(cache: BoundedBlobs) -> None:
    for n in range(10):
        await cache.put(f"c/{n}", b"x" * 100)
    assert await cache.get("c/0") is not None  # used: now the youngest
    await cache.put("c/new", b"x" * 100)
    await cache.wait_for_eviction()
    assert await cache.get("c/0") is not None
    assert await cache.get("c/1") is None
    assert await cache.get("c/new") is not None
    assert await cache.total_bytes() <= 900


async def test_overwriting_does_not_count_twice(cache: BoundedBlobs) -> None:
    for _ in range(30):
        await cache.put("c/one", b"x" * 100)
    assert await cache.total_bytes() == 100


async def test_pinned_blobs_stay_even_above_the_limit(cache: BoundedBlobs, pins: _Pins) -> None:
    pins.keys = frozenset({"c/0", "c/1"})
    for n in range(15):
        await cache.put(f"c/{n}", b"x" * 300)
    await cache.wait_for_eviction()
    assert await cache.get("c/0") is not None
    assert await cache.get("c/1") is not None
    assert await cache.get("c/2") is None


async def test_more_blobs_than_one_batch(cache: BoundedBlobs, pins: _Pins) -> None:
    pins.keys = frozenset(f"c/{n:04}" for n in range(400))
    for n in range(500):
        await cache.put(f"c/{n:04}", b"xx")
    await cache.put("c/big", b"x" * 900)
    await cache.wait_for_eviction()
    assert await cache.total_bytes() <= 900 + 800
    assert await cache.get("c/0000") is not None
    assert await cache.get("c/0450") is None


async def test_a_lost_index_is_rebuilt(tmp_path: Path, blobs: ObjectBlobs, pins: _Pins) -> None:
    index = tmp_path / "i.sqlite"
    for damage in (None, b"this is no database" * 100):
        await blobs.put("c/old", b"x" * 800)
        if damage is None:
            index.unlink(missing_ok=True)
        else:
            index.write_bytes(damage)
        cache = BoundedBlobs(blobs, index=index, prefixes=["c"], max_bytes=1000, pinned=pins, young_s=0, block_bytes=1)
        await cache.open()
        await cache.reconcile()
        assert await cache.total_bytes() == 800
        await cache.put("c/new", b"x" * 300)
        await cache.wait_for_eviction()
        assert await cache.get("c/old") is None
        await cache.delete("c/new")
        assert await cache.total_bytes() == 0
        await cache.aclose()
    with sqlite3.connect(index) as db:
        assert db.execute("SELECT size_bytes FROM total").fetchone() == (0,)
    db.close()


@pytest.mark.slow
async def test_a_locked_index_is_not_damaged(tmp_path: Path, blobs: ObjectBlobs, pins: _Pins) -> None:
    index = tmp_path / "l.sqlite"
    cache = BoundedBlobs(blobs, index=index, prefixes=["c"], max_bytes=100_000, pinned=pins, young_s=0)
    await cache.open()
    await cache.put("c/old", b"x" * 8000)
    await cache.aclose()
    with closing(sqlite3.connect(index, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        cache = BoundedBlobs(blobs, index=index, prefixes=["c"], max_bytes=100_000, pinned=pins, young_s=0)
        await cache.open()
        assert await cache.get("c/old") is not None
        await cache.put("c/new", b"x")
        other.execute("ROLLBACK")
    await cache.put("c/newer", b"x")
    assert await cache.total_bytes() > 8000, "the entries are kept"
    await cache.aclose()


async def test_reconciling_drops_deleted_blobs_and_keeps_new_ones(
    tmp_path: Path, blobs: ObjectBlobs, cache: BoundedBlobs
) -> None:
    await cache.put("c/kept", b"x" * 10)
    await cache.put("c/gone", b"x" * 20)
    await blobs.delete("c/gone")  # without the cache
    await blobs.put("c/unknown", b"x" * 40)
    await cache.reconcile()
    assert await cache.total_bytes() == 50
    await cache.reconcile()
    assert await cache.total_bytes() == 50


async def test_a_new_blob_stays(tmp_path: Path, blobs: ObjectBlobs, pins: _Pins) -> None:
    cache = BoundedBlobs(
        blobs, index=tmp_path / "y.sqlite", prefixes=["c"], max_bytes=10, pinned=pins, young_s=60, block_bytes=1
    )
    await cache.open()
    await cache.put("c/large", b"x" * 1000)
    await cache.wait_for_eviction()
    assert await cache.get("c/large") is not None
    await cache.aclose()


async def test_a_failing_pin_list_stops_no_write(tmp_path: Path, blobs: ObjectBlobs) -> None:
    async def broken() -> frozenset[str]:
        raise DatabaseError("locked")

    cache = BoundedBlobs(
        blobs, index=tmp_path / "p.sqlite", prefixes=["c"], max_bytes=10, pinned=broken, young_s=0, block_bytes=1
    )
    await cache.open()
    for number in range(3):
        await cache.put(f"c/{number}", b"x" * 100)
        await cache.wait_for_eviction()
    assert await cache.get("c/0") is not None, "nothing is deleted while the pinned keys are unknown"
    await cache.aclose()


class _Disk:
    """A volume with `free` bytes, less those of the cache."""

    def __init__(self) -> None:
        self.free = 10_000
        self.away = False

    def __call__(self) -> int:
        if self.away:
            raise OSError(errno.EIO, "Input/output error")
        return self.free


async def _cache_on(disk: _Disk, tmp_path: Path, blobs: ObjectBlobs, pins: _Pins) -> BoundedBlobs:
    """An open cache of up to 100,000 bytes on a volume that is to keep 5,000."""
    cache = BoundedBlobs(
        blobs,
        index=tmp_path / "d.sqlite",
        prefixes=["c"],
        max_bytes=100_000,
        pinned=pins,
        young_s=0,
        block_bytes=1,
        min_free_bytes=5_000,
        free_bytes=disk,
    )
    await cache.open()
    return cache


async def test_the_cache_shrinks_when_other_files_fill_the_disk(
    tmp_path: Path, blobs: ObjectBlobs, pins: _Pins
) -> None:
    disk = _Disk()
    cache = await _cache_on(disk, tmp_path, blobs, pins)
    for number in range(20):
        await cache.put(f"c/{number:02}", b"x" * 1000)
    disk.free = 2_000  # other files: 3,000 bytes are to be freed
    with pytest.raises(StoreError):
        await cache.put("c/new", b"x")
    await cache.wait_for_eviction()
    assert await cache.total_bytes() <= 17_000
    assert await cache.get("c/00") is None
    assert await cache.get("c/19") is not None
    disk.free = 6_000
    await cache.put("c/new", b"x")
    await cache.aclose()


async def test_a_volume_with_unknown_free_space_neither_stores_nor_evicts(
    tmp_path: Path, blobs: ObjectBlobs, pins: _Pins
) -> None:
    """A network share that is unavailable."""
    disk = _Disk()
    cache = await _cache_on(disk, tmp_path, blobs, pins)
    await cache.put("c/1", b"x")
    disk.away = True
    assert cache.lacks_space()
    with pytest.raises(StoreError):
        await cache.put("c/2", b"x")
    await cache.wait_for_eviction()
    assert await cache.evict() == 0
    assert await cache.get("c/1") is not None
    disk.away = False
    await cache.put("c/2", b"x")
    await cache.aclose()


async def test_nothing_is_written_while_pinned_blobs_fill_the_cache(
    cache: BoundedBlobs, blobs: ObjectBlobs, pins: _Pins
) -> None:
    pins.keys = frozenset(f"c/{number}" for number in range(4))
    for number in range(4):
        await cache.put(f"c/{number}", b"x" * 300)
        await cache.wait_for_eviction()
    with pytest.raises(StoreError):
        await cache.put("c/4", b"x" * 300)
    pins.keys = frozenset()
    assert await cache.evict() > 0
    await cache.put("c/5", b"x" * 300)


async def test_tiny_blobs_count_as_blocks(tmp_path: Path, blobs: ObjectBlobs, pins: _Pins) -> None:
    cache = BoundedBlobs(blobs, index=tmp_path / "t.sqlite", prefixes=["c"], max_bytes=40_960, pinned=pins, young_s=0)
    await cache.open()
    for number in range(30):
        await cache.put(f"c/{number}", b"x")
        await cache.wait_for_eviction()
    assert len([info async for info in blobs.list("c")]) <= 10
    await cache.aclose()


def _break(path: Path, how: str) -> None:
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    if how == "link":
        path.symlink_to(path.name)
    else:
        path.mkdir()


@pytest.mark.parametrize("how", ["link", "folder"])
async def test_an_unreadable_blob_is_an_error_and_not_a_miss(tmp_path: Path, blobs: ObjectBlobs, how: str) -> None:
    await blobs.put("a/b", b"one")
    _break(tmp_path / "store" / "a" / "b", how)
    with pytest.raises(StoreError, match="a/b"):
        await blobs.get("a/b")
    assert await blobs.get("a/c") is None


async def test_a_blob_that_cannot_be_evicted_keeps_no_other(tmp_path: Path, blobs: ObjectBlobs) -> None:
    """Otherwise one file that cannot be deleted would let the cache grow until the disk is full."""

    async def pinned() -> frozenset[str]:
        return frozenset()

    cache = BoundedBlobs(
        blobs, index=tmp_path / "i", prefixes=["a"], max_bytes=1000, pinned=pinned, young_s=0, block_bytes=1
    )
    await cache.open()
    await cache.put("a/0", bytes(500))
    _break(tmp_path / "store" / "a" / "0", "folder")
    for number in range(1, 10):
        await cache.put(f"a/{number}", bytes(300))
    await cache.wait_for_eviction()
    await cache.evict()
    assert await cache.total_bytes() <= 1000
    assert await cache.get("a/9") is not None
    await cache.aclose()


async def test_an_index_that_fails_stops_no_deletion(tmp_path: Path, blobs: ObjectBlobs) -> None:
    async def pinned() -> frozenset[str]:
        return frozenset()

    cache = BoundedBlobs(blobs, index=tmp_path / "i", prefixes=["a"], max_bytes=1000, pinned=pinned)
    await cache.open()
    await cache.put("a/0", b"x")
    with closing(sqlite3.connect(tmp_path / "i")) as other:
        other.execute("DROP TABLE blobs")
    await cache.delete("a/0")
    assert await cache.get("a/0") is None


async def test_staging_files_that_cannot_be_swept_stop_no_start(tmp_path: Path) -> None:
    store = tmp_path / "store"
    _break(store / "a" / "loop#1", "link")
    _break(store / "a" / "folder#2", "folder")
    (store / "a" / "left#3").write_bytes(b"")
    assert sweep_staging(store) == 1


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.slow
async def test_many_simultaneous_reads_open_few_files(tmp_path: Path, blobs: ObjectBlobs) -> None:
    """obstore bounds its threads, and 2,000 reads opened 1,800 files; a process keeps 512 descriptors for them."""
    await blobs.put("c/large", bytes(2_000_000))
    most, done = 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.is_set():
            most = max(most, _open_files())

    watching = threading.Thread(target=watch)
    before = _open_files()
    watching.start()
    try:
        read = await asyncio.gather(*(blobs.get("c/large") for _ in range(1000)))
    finally:
        done.set()
        watching.join()
    assert all(read)
    assert most - before < 300
