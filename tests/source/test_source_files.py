"""Origins in a local folder, and the ways out of it."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest

from pellucid.errors import OriginForbiddenError, OriginNotFoundError, OriginTooLargeError, OriginUnreachableError
from pellucid.source.answers import Fetched, NotModified, Validators
from pellucid.source.files import check_file, read_file
from pellucid.source.location import FileLocation


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "pictures"
    (root / "sub").mkdir(parents=True)
    (root / "a.jpg").write_bytes(b"picture")
    (root / "sub" / "ü b.jpg").write_bytes(b"other")
    (tmp_path / "secret.txt").write_bytes(b"secret")
    (tmp_path / "pictures-2").mkdir()
    (tmp_path / "pictures-2" / "a.jpg").write_bytes(b"neighbour")
    return root


def read(
    root: Path, relative: str, *, validators: Validators | None = None, max_bytes: int = 100
) -> Fetched | NotModified:
    location = FileLocation(root=root, relative=PurePosixPath(relative), public_name=f"_x_/{relative}")
    checked = check_file(location, validators=validators or Validators(), max_bytes=max_bytes, fresh_s=60)
    return checked if isinstance(checked, NotModified) else read_file(location, max_bytes=max_bytes, fresh_s=60)


def test_a_file_and_its_validators(root: Path) -> None:
    fetched = read(root, "a.jpg")
    assert isinstance(fetched, Fetched)
    assert (fetched.body, fetched.url, fetched.fresh_s) == (b"picture", "_x_/a.jpg", 60)
    assert isinstance(read(root, "a.jpg", validators=fetched.validators), NotModified)
    (root / "a.jpg").write_bytes(b"another")
    os.utime(root / "a.jpg", ns=(1, 1))
    changed = read(root, "a.jpg", validators=fetched.validators)
    assert isinstance(changed, Fetched)
    assert changed.body == b"another"
    other = read(root, "sub/ü b.jpg")
    assert isinstance(other, Fetched)
    assert other.body == b"other"


def test_links_inside_the_folder_are_followed(root: Path) -> None:
    (root / "link.jpg").symlink_to("sub/ü b.jpg")
    (root.parent / "alias").symlink_to(root)
    for folder in (root, root.parent / "alias"):
        fetched = read(folder, "link.jpg")
        assert isinstance(fetched, Fetched)
        assert fetched.body == b"other"


def test_links_out_of_the_folder_are_not(root: Path) -> None:
    (root / "file.jpg").symlink_to("../secret.txt")
    (root / "absolute.jpg").symlink_to(root.parent / "secret.txt")
    (root / "folder").symlink_to("..")
    (root / "neighbour").symlink_to("../pictures-2")
    (root / "circle").symlink_to("circle")
    (root / "dangling").symlink_to("nothing")
    for relative in (
        "file.jpg",
        "absolute.jpg",
        "folder/secret.txt",
        "folder/pictures/a.jpg/../../../secret.txt",
        "neighbour/a.jpg",
        "circle",
        "dangling",
        "../secret.txt",
        "sub/../../secret.txt",
    ):
        with pytest.raises(OriginNotFoundError):
            read(root, relative)


def test_what_is_no_file_is_not_found(root: Path) -> None:
    os.mkfifo(root / "pipe")
    for relative in ("nothing.jpg", "sub", "a.jpg/b", "pipe", "x" * 300):
        with pytest.raises((OriginNotFoundError, OriginUnreachableError)):
            read(root, relative)
    with pytest.raises(OriginNotFoundError):
        read(root.parent / "no such folder", "a.jpg")


def test_limits(root: Path) -> None:
    (root / "empty.jpg").touch()
    empty = read(root, "empty.jpg")
    assert isinstance(empty, Fetched)
    assert empty.body == b"", "to be judged with those of the web"
    assert isinstance(read(root, "a.jpg", max_bytes=7), Fetched)
    with pytest.raises(OriginTooLargeError):
        read(root, "a.jpg", max_bytes=6)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(root: Path) -> None:
    (root / "a.jpg").chmod(0)
    with pytest.raises(OriginForbiddenError):
        read(root, "a.jpg")
