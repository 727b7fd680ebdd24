"""The files of mattes: one that cannot be read is neither there nor missing, a damaged one is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from matte_samples import blob_of, make_unreadable, name_of, recipe

from pellucid.errors import StoreError
from pellucid.image.matte_file import unpack_header
from pellucid.mattes.files import MatteFiles
from pellucid.store import keys
from pellucid.store.objects import ObjectBlobs

NAME, BLOB = name_of(recipe(3)), blob_of(recipe(3))
KEY = keys.matte_key(NAME)


@pytest.fixture
def blobs(tmp_path: Path) -> ObjectBlobs:
    return ObjectBlobs.local(tmp_path / "store")


async def test_what_is_written_is_read(blobs: ObjectBlobs) -> None:
    files = MatteFiles(blobs)
    assert await files.read(NAME) is None
    assert await files.header(NAME) is None
    await files.write(NAME, BLOB)
    assert await files.read(NAME) == BLOB
    assert await files.header(NAME) == (unpack_header(BLOB), len(BLOB))
    await files.delete(NAME)
    await files.delete(NAME)
    assert await files.read(NAME) is None


@pytest.mark.parametrize("damaged", [b"", b"half a matte", BLOB[: len(BLOB) // 2], BLOB[:-1] + b"x"])
async def test_a_damaged_matte_counts_as_missing(blobs: ObjectBlobs, damaged: bytes) -> None:
    for look in (MatteFiles.read, MatteFiles.header):
        files = MatteFiles(blobs)
        await blobs.put(KEY, damaged)
        assert await look(files, NAME) is None
        assert not await blobs.exists(KEY)
        assert not files.is_unreadable(NAME)


async def test_a_matte_that_cannot_be_read_is_neither_there_nor_missing(
    tmp_path: Path, blobs: ObjectBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pellucid.mattes.files._UNREADABLE_S", 0.0)
    files = MatteFiles(blobs)
    await files.write(NAME, BLOB)
    path = tmp_path / "store" / KEY
    make_unreadable(path)
    for _ in range(2):
        with pytest.raises(StoreError):
            await files.read(NAME)
        with pytest.raises(StoreError):
            await files.header(NAME)
    assert path.is_symlink(), "nobody deletes it"
    path.unlink()
    assert await files.read(NAME) is None
    await files.write(NAME, BLOB)
    assert await files.read(NAME) == BLOB


async def test_who_looks_for_an_unreadable_one_meanwhile_does_not_try_the_disk(
    tmp_path: Path, blobs: ObjectBlobs
) -> None:
    files = MatteFiles(blobs)
    await files.write(NAME, BLOB)
    path = tmp_path / "store" / KEY
    make_unreadable(path)
    with pytest.raises(StoreError) as first:
        await files.read(NAME)
    path.unlink()
    assert files.is_unreadable(NAME)
    with pytest.raises(StoreError) as second:
        await files.header(NAME)
    assert str(second.value) == str(first.value)
    await files.write(NAME, BLOB)
    assert not files.is_unreadable(NAME), "made again"
    assert await files.read(NAME) == BLOB


async def test_a_damaged_one_that_cannot_be_removed_is_missing_all_the_same(
    blobs: ObjectBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    await blobs.put(KEY, b"half a matte")

    async def fail(_: str) -> None:
        raise StoreError("read-only")

    monkeypatch.setattr(blobs, "delete", fail)
    assert await MatteFiles(blobs).read(NAME) is None
