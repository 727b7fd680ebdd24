"""A database that is new, or was lost, adopts the mattes in the store; on both databases."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa
from matte_samples import (
    DAY_S,
    DIGEST,
    NOW,
    OTHER,
    STORE,
    blob_of,
    facts_of,
    make_unreadable,
    name_of,
    newest,
    recipe,
    rows,
)

from pellucid.cutout.recipe import Recipe, tier_of
from pellucid.database.database import Database
from pellucid.database.tables import stores
from pellucid.errors import DatabaseError, StoreError
from pellucid.mattes import facts
from pellucid.mattes.catalogue import Catalogue
from pellucid.mattes.files import MatteFiles
from pellucid.spec import Tier
from pellucid.store import keys
from pellucid.store.objects import ObjectBlobs


@pytest.fixture
def blobs(tmp_path: Path) -> ObjectBlobs:
    return ObjectBlobs.local(tmp_path / "store")


@pytest.fixture
def catalogue(database: Database, blobs: ObjectBlobs) -> Catalogue:
    return _catalogue(database, blobs)


def _catalogue(database: Database, blobs: ObjectBlobs, *, store: str = STORE) -> Catalogue:
    """The catalogue of one process."""
    return Catalogue(database, blobs, store=store, tier_of=tier_of, clock=lambda: NOW)


def _path(tmp_path: Path, name: str) -> Path:
    return tmp_path / "store" / keys.matte_key(name)


async def _lay(tmp_path: Path, blobs: ObjectBlobs, made_with: Recipe, at: float, *, digest: str = DIGEST) -> str:
    """Write a matte as an older version did, modified at that time."""
    name = name_of(made_with, digest)
    await blobs.put(keys.matte_key(name), blob_of(made_with))
    os.utime(_path(tmp_path, name), (at, at))
    return name


async def _point(blobs: ObjectBlobs, pointer: bytes, tier: Tier = Tier.STANDARD) -> None:
    """Write a pointer to the newest matte, as older versions did."""
    await blobs.put(keys.newest_matte_key(DIGEST, 0, tier), pointer)


# All mattes


async def test_every_matte_is_adopted_and_the_latest_is_the_newest(
    tmp_path: Path, blobs: ObjectBlobs, database: Database, catalogue: Catalogue
) -> None:
    await _lay(tmp_path, blobs, recipe(1), NOW - 30)
    last = await _lay(tmp_path, blobs, recipe(2), NOW - 10)
    await _lay(tmp_path, blobs, recipe(3), NOW - 20)
    alone = await _lay(tmp_path, blobs, recipe(1, Tier.BEST), NOW - 40)
    other = await _lay(tmp_path, blobs, recipe(1), NOW - 50, digest=OTHER)
    assert await catalogue.adopt_all() == 5
    assert await newest(database) == {last, alone, other}
    row = (await rows(database))[alone]
    expected = facts_of(recipe(1, Tier.BEST))
    assert (row.tier, row.recipe_id, row.size_bytes) == ("best", expected.recipe_id, expected.size_bytes)
    assert (row.origin_digest, row.page, row.width, row.empty) == (DIGEST, 0, 8, False)
    assert (row.made_at, row.used_at) == (NOW - 40, NOW - 40)


async def test_a_complete_scan_is_done_once(
    tmp_path: Path, blobs: ObjectBlobs, database: Database, catalogue: Catalogue
) -> None:
    await _lay(tmp_path, blobs, recipe(1), NOW)
    assert await catalogue.adopt_all() == 1
    await _lay(tmp_path, blobs, recipe(2), NOW)
    for each in (catalogue, _catalogue(database, blobs)):
        assert await each.adopt_all() == 0
        assert not await each.adopt([DIGEST])
    assert await _catalogue(database, blobs, store="elsewhere").adopt_all() == 2, "another store has a scan of its own"
    assert len(await rows(database)) == 1


async def test_an_empty_store_is_complete(database: Database, catalogue: Catalogue) -> None:
    assert await catalogue.adopt_all() == 0
    assert await database.read(lambda db: db.scalar(sa.select(stores.c.adopted)))


@pytest.mark.parametrize("count", [199, 200, 401])
async def test_any_number_of_mattes(
    tmp_path: Path, blobs: ObjectBlobs, database: Database, catalogue: Catalogue, count: int
) -> None:
    for number in range(count):
        await _lay(tmp_path, blobs, recipe(1), NOW - number, digest=f"{number:032x}")
    assert await catalogue.adopt_all() == count
    assert len(await newest(database)) == count


async def test_other_files_are_skipped(
    tmp_path: Path, blobs: ObjectBlobs, database: Database, catalogue: Catalogue
) -> None:
    good = await _lay(tmp_path, blobs, recipe(2), NOW)
    sound = blob_of(recipe(1))
    strays = [
        "readme",
        f"{DIGEST}.0",
        f"{DIGEST}.0.no-recipe",
        f"{DIGEST}.x.{recipe(1).id}",
        f"{DIGEST}.².{recipe(1).id}",
        f".0.{recipe(1).id}",
        f"{DIGEST}.0.{recipe(1).id}#1",
        f"folder/{name_of(recipe(1))}",
    ]
    for name in strays:
        path = _path(tmp_path, name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(sound)
    assert await catalogue.adopt_all() == 1
    assert set(await rows(database)) == {good}
    assert all(_path(tmp_path, name).exists() for name in strays)


async def test_a_damaged_matte_is_removed_and_an_unreadable_one_stays(
    tmp_path: Path, blobs: ObjectBlobs, database: Database, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = await _lay(tmp_path, blobs, recipe(1), NOW - 30)
    damaged = await _lay(tmp_path, blobs, recipe(2), NOW - 20)
    _path(tmp_path, damaged).write_bytes(blob_of(recipe(2))[:-1] + b"x")
    unreadable = await _lay(tmp_path, blobs, recipe(3), NOW - 10)
    get = blobs.get

    async def fail_one(key: str) -> bytes | None:
        if key == keys.matte_key(unreadable):
            raise StoreError("Input/output error")
        return await get(key)

    monkeypatch.setattr(blobs, "get", fail_one)
    assert await catalogue.adopt_all() == 1
    assert await newest(database) == {good}
    assert not _path(tmp_path, damaged).exists()
    assert _path(tmp_path, unreadable).exists()
    monkeypatch.undo()
    later = _catalogue(database, blobs)
    assert await later.adopt_all() == 1, "adopted by a later scan, once it can be read"
    assert await newest(database) == {unreadable}
    assert await later.adopt_all() == 0


async def test_recorded_mattes_are_not_read_again(
    tmp_path: Path, blobs: ObjectBlobs, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a scan that was killed halfway, or with new mattes of a worker."""
    known = await _lay(tmp_path, blobs, recipe(3), NOW)
    await _lay(tmp_path, blobs, recipe(2), NOW - 10)
    await database.run(lambda db: facts.write(db, facts_of(recipe(3)), store=STORE, now=NOW))
    read: list[str] = []
    header = MatteFiles.header

    async def noted(files: MatteFiles, name: str) -> object:
        read.append(name)
        return await header(files, name)

    monkeypatch.setattr(MatteFiles, "header", noted)
    assert await _catalogue(database, blobs).adopt_all() == 1
    assert read == [name_of(recipe(2))]
    assert await newest(database) == {known}


async def _at_once(url: str, blobs: ObjectBlobs, work: Sequence[str]) -> None:
    """Run each of `work` as in a process of its own: with its own database and catalogue."""
    opened = [await Database.open(url) for _ in work]
    catalogues = [_catalogue(each, blobs) for each in opened]
    try:
        await asyncio.gather(
            *(
                each.adopt_all() if what == "all" else each.adopt([DIGEST])
                for what, each in zip(work, catalogues, strict=True)
            )
        )
    finally:
        for each in opened:
            await each.aclose()


async def test_several_processes_at_once(
    tmp_path: Path, blobs: ObjectBlobs, database: Database, database_url: str
) -> None:
    digests = [DIGEST, *(f"{number:032x}" for number in range(30))]
    for number, digest in enumerate(digests):
        for version in (1, 2, 3):
            # The present recipe is not always the latest one.
            await _lay(tmp_path, blobs, recipe(version), NOW - (version + number) % 3, digest=digest)
    await _point(blobs, name_of(recipe(3)).encode())
    await _at_once(database_url, blobs, ["all", "all", "one", "all", "one"])
    found = await rows(database)
    assert len(found) == 3 * len(digests)
    for number, digest in enumerate(digests[1:], 1):
        (last,) = (version for version in (1, 2, 3) if (version + number) % 3 == 0)
        of_digest = [name for name, row in found.items() if row.origin_digest == digest and row.newest]
        assert of_digest == [name_of(recipe(last), digest)]
    assert len([name for name, row in found.items() if row.origin_digest == DIGEST and row.newest]) == 1


async def test_a_worker_at_work_meanwhile(
    tmp_path: Path, blobs: ObjectBlobs, database: Database, database_url: str
) -> None:
    digests = [f"{number:032x}" for number in range(30)]
    for digest in digests:
        await _lay(tmp_path, blobs, recipe(1), NOW - 10, digest=digest)

    async def make() -> None:
        for digest in digests:
            await _lay(tmp_path, blobs, recipe(2), NOW, digest=digest)
            made = facts_of(recipe(2), digest)
            await database.run(lambda db, made=made: facts.write(db, made, store=STORE, now=NOW))

    await asyncio.gather(make(), _at_once(database_url, blobs, ["all", "all"]))
    assert await newest(database) == {name_of(recipe(2), digest) for digest in digests}


async def test_without_the_database_the_scan_is_not_marked_as_done(
    tmp_path: Path, blobs: ObjectBlobs, database: Database, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _lay(tmp_path, blobs, recipe(1), NOW)

    async def fail(*_: object, **__: object) -> None:
        raise DatabaseError("away")

    with monkeypatch.context() as broken:
        broken.setattr(database, "run", fail)
        with pytest.raises(DatabaseError):
            await catalogue.adopt_all()
    assert await catalogue.adopt_all() == 1


# Single mattes


async def test_a_requested_matte_is_adopted_at_once_by_its_pointer(
    tmp_path: Path, blobs: ObjectBlobs, database: Database, catalogue: Catalogue
) -> None:
    await _lay(tmp_path, blobs, recipe(2), NOW - 10)
    pointed = await _lay(tmp_path, blobs, recipe(3), NOW - 20)
    best = await _lay(tmp_path, blobs, recipe(3, Tier.BEST), NOW - 30)
    await _point(blobs, pointed.encode())
    await _point(blobs, best.encode(), Tier.BEST)
    assert await catalogue.adopt([OTHER, DIGEST])
    assert await newest(database) == {pointed, best}
    assert not await catalogue.adopt([OTHER, DIGEST]), "the second call finds no new matte"
    assert await catalogue.adopt_all() == 1
    assert await newest(database) == {pointed, best}, "the pointer names the newest"


@pytest.mark.parametrize(
    "pointer",
    [
        b"",
        b"../../etc",
        b"\xff",
        b"e" * 32 + b".0." + recipe(1).id.encode(),
        name_of(recipe(1)).encode() + b"/x",
        b"d" * 32,
        b"d" * 32 + b".0.",
        b"d" * 32 + b".0.r",
        name_of(recipe(9)).encode(),
    ],
)
async def test_a_pointer_without_a_matte_is_ignored(
    tmp_path: Path, blobs: ObjectBlobs, database: Database, catalogue: Catalogue, pointer: bytes
) -> None:
    good = await _lay(tmp_path, blobs, recipe(1), NOW)
    await _point(blobs, pointer)
    assert not await catalogue.adopt([DIGEST])
    assert await rows(database) == {}
    await _point(blobs, good.encode())
    assert await catalogue.adopt([DIGEST])
    assert await newest(database) == {good}


async def test_an_unreadable_pointer_is_ignored(
    tmp_path: Path, blobs: ObjectBlobs, database: Database, catalogue: Catalogue
) -> None:
    good = await _lay(tmp_path, blobs, recipe(1, Tier.BEST), NOW)
    await _point(blobs, b"x")
    await _point(blobs, good.encode(), Tier.BEST)
    make_unreadable(tmp_path / "store" / keys.newest_matte_key(DIGEST, 0, Tier.STANDARD))
    assert await catalogue.adopt([DIGEST])
    assert await newest(database) == {good}


async def test_pointers_are_deleted_after_a_complete_scan(
    tmp_path: Path, blobs: ObjectBlobs, catalogue: Catalogue
) -> None:
    good = await _lay(tmp_path, blobs, recipe(1), NOW)
    await _point(blobs, good.encode())
    await catalogue.adopt_all()
    assert [blob.key async for blob in blobs.list("mattes")] == [keys.matte_key(good)]


# Removing, counting


async def test_a_matte_that_cannot_be_removed_keeps_no_other(
    tmp_path: Path, blobs: ObjectBlobs, database: Database, catalogue: Catalogue
) -> None:
    names = [await _lay(tmp_path, blobs, recipe(version, tier), NOW) for version in (1, 2) for tier in Tier]
    other = await _lay(tmp_path, blobs, recipe(1), NOW, digest=OTHER)
    await catalogue.adopt_all()
    stuck = _path(tmp_path, names[0])
    stuck.unlink()
    stuck.mkdir()
    with pytest.raises(StoreError):
        await catalogue.drop(DIGEST)
    assert not any(_path(tmp_path, name).exists() for name in names[1:])
    assert set(await rows(database)) == {names[0], other}
    assert await catalogue.has(DIGEST)
    stuck.rmdir()
    await catalogue.drop(DIGEST)
    assert not await catalogue.has(DIGEST)
    assert await catalogue.has(OTHER)
    assert _path(tmp_path, other).exists()


async def test_total_size_and_last_uses(
    tmp_path: Path, blobs: ObjectBlobs, database: Database, catalogue: Catalogue
) -> None:
    assert await catalogue.total_bytes() == 0
    for number in range(3):
        await _lay(tmp_path, blobs, recipe(1), NOW - 2 * DAY_S, digest=f"{number:032x}")
    await catalogue.adopt_all()
    total = await catalogue.total_bytes()
    assert (type(total), total) == (int, 3 * len(blob_of(recipe(1))))
    assert await _catalogue(database, blobs, store="elsewhere").total_bytes() == 0
    used = name_of(recipe(1), f"{1:032x}")
    await catalogue.note_uses([used, *(f"gone-{number}" for number in range(1200))])
    assert {name for name, row in (await rows(database)).items() if row.used_at == NOW} == {used}
