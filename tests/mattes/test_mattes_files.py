"""The files of mattes: an unreadable one does not count as missing, a damaged one does."""

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
    for method in (MatteFiles.read, MatteFiles.header):
        files = MatteFiles(blobs)
        await blobs.put(KEY, damaged)
        assert await method(files, NAME) is None
        assert not await blobs.exists(KEY)
        assert not files.is_unreadable(NAME)


async def test_an_unreadable_matte_is_an_error_and_not_missing(
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
    assert path.is_symlink(), "it is not deleted"
    path.unlink()
    assert await files.read(NAME) is None
    await files.write(NAME, BLOB)
    assert await files.read(NAME) == BLOB


async def test_the_disk_is_not_tried_again_at_once_for_an_unreadable_matte(tmp_path: Path, blobs: ObjectBlobs) -> None:
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


async def test_a_damaged_matte_that_cannot_be_removed_counts_as_missing(
    blobs: ObjectBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    await blobs.put(KEY, b"half a matte")

    async def fail(_: str) -> None:
        raise StoreError("read-only")

    monkeypatch.setattr(blobs, "delete", fail)
    assert await MatteFiles(blobs).read(NAME) is None
