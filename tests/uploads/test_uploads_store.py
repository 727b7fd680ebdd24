"""Uploads on both databases: accepted whole or not at all, within limits despite other clients, deleted completely."""

from __future__ import annotations

import asyncio
import io
import os
import resource
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from PIL import Image
from uploads_world import LIMITS, World, accept, noise_image

from pellucid.customers.customer import hash_key
from pellucid.database.database import Database
from pellucid.errors import (
    AuthenticationError,
    BusyError,
    ImageError,
    ImageLimitError,
    OriginNotFoundError,
    PellucidError,
    StoreError,
    UnsupportedFormatError,
    UploadError,
    UploadLimitError,
    UploadTimeoutError,
    UploadTooLargeError,
)
from pellucid.spec import DEFAULT_TOKEN
from pellucid.store import keys
from pellucid.uploads import table
from pellucid.uploads.parts import Part
from pellucid.uploads.table import Upload


@pytest.fixture
def world(database: Database, tmp_path: Path) -> World:
    return World(database, tmp_path)


async def test_an_image_is_accepted(world: World) -> None:
    upload_store = await world.upload_store()
    data = noise_image(1)
    taken = await accept(upload_store, data[:50], b"", data[50:])
    assert (world.folder / "here" / "uploads" / taken.name).read_bytes() == data
    assert world.parts() == []
    (row,) = await world.rows()
    assert row["name"] == taken.name
    assert (row["size_bytes"], row["digest"], row["shared"]) == (len(data), keys.digest(data), False)
    assert row["expires_at"] == taken.expires_at == world.now + LIMITS.keep_s
    assert row["secret_hash"] == hash_key(taken.delete_key)
    assert taken.delete_key not in str(row)
    assert "192.0.2.1" not in str(row)
    stem, _, extension = taken.name.partition(".")
    assert (len(bytes.fromhex(stem)), extension) == (16, "png")
    assert (taken.facts.width, taken.facts.height) == (20, 20)


@pytest.mark.parametrize(("suffix", "extension"), [("JPEG", "jpg"), ("WEBP", "webp"), ("GIF", "gif"), ("TIFF", "tiff")])
async def test_names_end_with_the_format_of_the_bytes(tmp_path: Path, suffix: str, extension: str) -> None:
    database = await Database.open(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    upload_store = await World(database, tmp_path).upload_store()
    assert (await accept(upload_store, noise_image(1, suffix=suffix))).name.endswith(f".{extension}")
    await database.aclose()


def _bomb() -> bytes:
    """Four megapixels in 600 bytes, where one is allowed."""
    out = io.BytesIO()
    Image.new("1", (2000, 2000)).save(out, "PNG")
    return out.getvalue()


BOMB = _bomb()

REFUSED: dict[str, tuple[tuple[bytes | float | Exception, ...], int | None, type[Exception]]] = {
    "empty": ((), None, UploadError),
    "declared empty": ((), 0, UploadError),
    "declared too large": ((noise_image(1),), LIMITS.max_bytes + 1, UploadTooLargeError),
    "too large": ((bytes(60_000), bytes(60_000)), None, UploadTooLargeError),
    "more than declared": ((noise_image(1), b"x"), len(noise_image(1)), UploadError),
    "html": ((b"<!doctype html><html></html>",), None, UnsupportedFormatError),
    "cut off": ((noise_image(1)[:40],), None, ImageError),
    "bomb": ((BOMB,), None, ImageLimitError),
    "hung up": ((noise_image(1)[:200], ConnectionResetError()), None, ConnectionResetError),
    "slow": ((noise_image(1)[:200], 5.0), None, UploadTimeoutError),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_refused_upload_leaves_nothing(world: World, name: str) -> None:
    body, declared_bytes, error = REFUSED[name]
    if name == "slow":
        world.limits = replace(LIMITS, timeout_s=0.1)
    upload_store = await world.upload_store()
    with pytest.raises(error):
        await accept(upload_store, *body, declared_bytes=declared_bytes)
    assert await world.is_empty()


async def test_no_more_than_the_limit_is_read(world: World) -> None:
    upload_store = await world.upload_store()
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 10_000
            yield bytes(10_000)

    with pytest.raises(UploadTooLargeError):
        await upload_store.accept(endless(), declared_bytes=None, client="x", token=DEFAULT_TOKEN)
    assert read == LIMITS.max_bytes + 10_000
    assert await world.is_empty()


async def test_a_cancelled_upload_leaves_nothing(world: World) -> None:
    upload_store = await world.upload_store()
    begun = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield noise_image(1)[:100]
        begun.set()
        await asyncio.sleep(3600)

    task = asyncio.create_task(upload_store.accept(body(), declared_bytes=None, client="x", token=DEFAULT_TOKEN))
    await begun.wait()
    assert len(await world.rows()) == len(world.parts()) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await world.is_empty()


@contextmanager
def _files_of_at_most(size_bytes: int) -> Iterator[None]:
    """No file of this process can become larger: writing fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk(world: World) -> None:
    world.limits = replace(LIMITS, max_bytes=5 << 20, per_client_bytes=5 << 20, total_bytes=5 << 20)
    upload_store = await world.upload_store()
    with _files_of_at_most(4 << 20), pytest.raises(StoreError):
        await accept(upload_store, *[bytes(1 << 20)] * 5)
    assert await world.is_empty()


async def _count(calls: list[Callable[[], object]]) -> tuple[int, list[BaseException]]:
    """The number of successes, and the errors of the others."""
    results = await asyncio.gather(*(call() for call in calls), return_exceptions=True)  # type: ignore[misc]
    failed = [result for result in results if isinstance(result, BaseException)]
    return len(results) - len(failed), failed


async def test_thirty_simultaneous_uploads_keep_the_limit_of_their_client(world: World, database_url: str) -> None:
    other = World(await Database.open(database_url), world.folder)
    shelves = [await world.upload_store(), await other.upload_store()]
    calls = [partial(accept, shelves[i % 2], noise_image(i), declared_bytes=len(noise_image(i))) for i in range(30)]
    taken, failed = await _count(calls)
    assert taken == LIMITS.per_client == len(world.files()) == len(await world.rows())
    assert all(isinstance(error, UploadLimitError) for error in failed)
    assert world.parts() == []
    assert (
        await accept(shelves[0], noise_image(99), declared_bytes=len(noise_image(99)), client="192.0.2.2")
    ).name in world.files()
    await other.database.aclose()


async def test_bytes_of_one_client(world: World) -> None:
    """An upload without a declared size reserves the largest allowed one."""
    upload_store = await world.upload_store()
    calls = [partial(accept, upload_store, noise_image(seed), 0.2) for seed in range(8)]
    taken, failed = await _count(calls)
    assert taken == LIMITS.per_client_bytes // LIMITS.max_bytes
    assert all(isinstance(error, UploadLimitError) for error in failed)
    # The unused part of the reservation is free again.
    await accept(upload_store, noise_image(20))
    world.now += 100
    with pytest.raises(UploadLimitError) as caught:
        for seed in range(30, 40):
            await accept(upload_store, noise_image(seed, side=170), declared_bytes=len(noise_image(seed, side=170)))
    assert caught.value.retry_after_s == LIMITS.keep_s - 100
    assert sum(row["size_bytes"] for row in await world.rows()) <= LIMITS.per_client_bytes


async def test_the_total(world: World) -> None:
    world.limits = replace(LIMITS, total_bytes=350_000)
    upload_store = await world.upload_store()
    big = [noise_image(seed, side=180) for seed in range(12)]
    calls = [
        partial(accept, upload_store, data, declared_bytes=len(data), client=f"192.0.2.{i}")
        for i, data in enumerate(big)
    ]
    taken, failed = await _count(calls)
    assert taken == 350_000 // len(big[0])
    assert all(isinstance(error, BusyError) and error.retry_after_s >= 1 for error in failed)
    assert sum(row["size_bytes"] for row in await world.rows()) <= 350_000


async def test_an_upload_is_found_with_its_key_only(world: World) -> None:
    upload_store = await world.upload_store()
    taken = await accept(upload_store, noise_image(1))
    for key in ("", "guess", hash_key(taken.delete_key)):
        with pytest.raises(AuthenticationError):
            await upload_store.find(taken.name, key=key)
    assert (await upload_store.find(taken.name, key=taken.delete_key)).name == taken.name
    assert (await upload_store.find(taken.name, key=None)).name == taken.name
    for name in ("nothing.png", taken.name.partition(".")[0], "../receiving/secret", "%", "", "\0", "\ud800"):
        with pytest.raises(OriginNotFoundError):
            await upload_store.find(name, key=taken.delete_key)
    world.now += LIMITS.keep_s
    with pytest.raises(OriginNotFoundError):
        await upload_store.find(taken.name, key=taken.delete_key)


async def test_a_deletion_is_complete(world: World) -> None:
    upload_store = await world.upload_store()
    taken = await accept(upload_store, noise_image(1))
    upload = await upload_store.find(taken.name, key=taken.delete_key)
    await asyncio.gather(upload_store.delete(upload, world), upload_store.delete(upload, world))
    assert await world.is_empty()
    assert set(world.invalidated) == {taken.name}
    assert set(world.dropped) == {keys.digest(noise_image(1))}


async def test_bytes_stay_while_another_upload_has_them(world: World) -> None:
    upload_store = await world.upload_store()
    one = await accept(upload_store, noise_image(1))
    world.stored.add(keys.digest(noise_image(1)))  # its image was requested
    two = await accept(upload_store, noise_image(1))
    await upload_store.delete(await upload_store.find(one.name, key=None), world)
    assert world.dropped == []
    await upload_store.delete(await upload_store.find(two.name, key=None), world)
    assert world.dropped == [keys.digest(noise_image(1))]


async def test_the_deletion_keeps_bytes_of_another_origin(world: World) -> None:
    world.stored.add(keys.digest(noise_image(1)))
    upload_store = await world.upload_store()
    for _ in range(2):
        taken = await accept(upload_store, noise_image(1))
        await upload_store.delete(await upload_store.find(taken.name, key=None), world)
    assert await world.is_empty()
    assert world.dropped == []


async def test_the_sweep_deletes_expired_uploads(world: World) -> None:
    upload_store = await world.upload_store()
    old = await accept(upload_store, noise_image(1))
    world.now += 10
    young = await accept(upload_store, noise_image(2))
    assert await upload_store.next_expiry() == old.expires_at
    await upload_store.sweep(world)
    assert len(world.files()) == 2
    world.now = old.expires_at
    await upload_store.sweep(world)
    assert world.files() == [young.name] == [row["name"] for row in await world.rows()]
    assert world.invalidated == [old.name]
    world.now = young.expires_at
    await upload_store.sweep(world)
    assert await world.is_empty()
    assert await upload_store.next_expiry() is None


async def test_the_sweep_completes_an_interrupted_deletion(world: World) -> None:
    class Interrupted(World):
        async def invalidate_uploads(self, names: object) -> None:
            raise StoreError("gone")

    upload_store = await world.upload_store()
    taken = await accept(upload_store, noise_image(1))
    with pytest.raises(StoreError):
        await upload_store.delete(
            await upload_store.find(taken.name, key=None), Interrupted(world.database, world.folder)
        )
    with pytest.raises(OriginNotFoundError):
        await upload_store.find(taken.name, key=None)
    await upload_store.sweep(world)
    assert world.invalidated == [taken.name]
    assert await world.is_empty()


def _reservation(world: World, stem: str, place: str) -> Upload:
    return Upload(
        name=stem,
        place=place,
        client="c",
        token=DEFAULT_TOKEN,
        secret_hash="",
        digest="",
        shared=False,
        size_bytes=1,
        created_at=world.now,
        expires_at=world.now + 100,
    )


async def _place(world: World) -> str:
    """The place of the store in its rows."""
    upload_store = await world.upload_store()
    taken = await accept(upload_store, noise_image(0))
    (row,) = await world.rows()
    await upload_store.delete(await upload_store.find(taken.name, key=None), world)
    return str(row["place"])


async def test_a_reservation_ends_with_its_process(world: World) -> None:
    upload_store, place = await world.upload_store(), await _place(world)
    receiving = world.folder / "here" / "receiving"
    living = Part(receiving, "living")
    dead, early = Part(receiving, "dead"), Part(receiving, "early")
    for stem in ("living", "dead", "moved"):
        row = _reservation(world, stem, place)
        await world.database.run(partial(table.reserve, upload=row, limits=LIMITS))
    for each in (dead, early):
        each._file.close()  # as the kernel does for a killed process
    await upload_store.sweep(world)
    assert world.parts() == ["living.part"]
    assert [row["name"] for row in await world.rows()] == ["living", "moved"], (
        "one may be moved into its place just now"
    )
    world.now += 100
    await upload_store.sweep(world)
    assert await world.is_empty()
    living.close()


async def test_the_audit(world: World) -> None:
    upload_store = await world.upload_store()
    kept, lost = await accept(upload_store, noise_image(1)), await accept(upload_store, noise_image(2))
    uploads, receiving = world.folder / "here" / "uploads", world.folder / "here" / "receiving"
    (uploads / lost.name).unlink()
    for path in (uploads / "old.png", uploads / "young.png", receiving / "old.new", receiving / "young.new"):
        path.write_bytes(b"x")
        age_s = 700 if path.stem == "old" else 500
        os.utime(path, (world.now - age_s, world.now - age_s))
    os.utime(uploads / kept.name, (1, 1))
    await upload_store.audit(world)
    assert world.files() == sorted([kept.name, "young.png"])
    assert {path.name for path in receiving.glob("*.new")} == {"young.new"}
    assert [row["name"] for row in await world.rows()] == [kept.name]
    assert world.invalidated == [lost.name]


async def test_machines_that_share_a_database_leave_each_others_uploads_alone(world: World) -> None:
    here, there = await world.upload_store(), await world.upload_store(place="there")
    taken = await accept(here, noise_image(1))
    await there.audit(world, grace_s=0)
    world.now = taken.expires_at
    await there.sweep(world)
    assert world.files() == [taken.name]
    with pytest.raises(OriginNotFoundError):
        await there.find(taken.name, key=None)
    assert (await accept(there, noise_image(2))).name in world.files(place="there")
    world.now += 86_401  # expired a day ago, and not deleted by its own machine
    await there.sweep(world)
    assert taken.name not in [row["name"] for row in await world.rows()]
    await here.audit(world)
    assert world.files() == []


async def test_one_process_sweeps_at_a_time(world: World) -> None:
    upload_store = await world.upload_store()
    await accept(upload_store, noise_image(1))
    world.now += LIMITS.keep_s
    await asyncio.gather(*(upload_store.sweep(world) for _ in range(4)))
    assert len(world.invalidated) == 1


async def test_a_folder_that_cannot_be_created_is_an_error(world: World) -> None:
    (world.folder / "here").write_bytes(b"")
    with pytest.raises(PellucidError, match="cannot be stored"):
        await world.upload_store()
