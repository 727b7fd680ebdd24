"""What was invalidated, told to every web process of one machine: a file of lines that each of them follows."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

_MAX_BYTES = 1 << 20
"""A longer file, of some 10,000 lines, is put aside and a new one begun. The one put aside before it is dropped."""


class Purge(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked about one origin (`keys.origin_record_key`) until `at`, in seconds since the epoch, is no longer
    believed.
    """

    record_key: str
    at: float


class Purges:
    """Appends to the file and follows it. A follower begins with what the file holds: a process that starts may find
    in the store what another one wrote there without having heard of a purge.

    Tellers take turns (a lock file), so nothing is appended to a file that was put aside, and followers who read it
    to its end miss nothing; rarely they hear something twice.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._aside = path.with_name(path.name + ".1")
        self._file: BinaryIO | None = None
        self._unread = b""  # read from the file, and not told yet
        self._lost = False

    def tell(self, purges: list[Purge]) -> None:
        """Tell every process, this one included. Raises OSError."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._turn():
            if self._path.exists() and self._path.stat().st_size > _MAX_BYTES:
                self._path.replace(self._aside)
            with self._path.open("ab") as file:
                file.write(b"".join(msgspec.json.encode(purge) + b"\n" for purge in purges))

    def news(self) -> list[Purge] | None:
        """What was told since the last call; None when some of it is lost (unreadable, or two files full of it came
        in between) and nothing is to be believed. Raises OSError when the file cannot be read now (no descriptor is
        left): nothing is lost by that, a later call goes on where this one was.
        """
        if self._file is None:
            self._file = _open(self._aside) or _open(self._path)
        while self._file is not None:
            current = _is_at(self._path, self._file)  # asked first: to a file put aside, nobody appends
            self._unread += self._file.read()
            if current:
                break
            lost = not _is_at(self._aside, self._file)
            following = _open(self._path)  # before the other is closed: it may fail
            self._lost = self._lost or lost
            self._file.close()
            self._file = following
        text, newline, self._unread = self._unread.rpartition(b"\n")
        lost, self._lost = self._lost, False
        try:
            told = [msgspec.json.decode(line, type=Purge) for line in (text + newline).splitlines()]
        except msgspec.DecodeError:
            return None
        return None if lost else told

    def close(self) -> None:
        """Stop following."""
        if self._file is not None:
            self._file.close()
            self._file = None

    @contextmanager
    def _turn(self) -> Generator[None]:
        with self._path.with_name(self._path.name + ".lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _open(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None


def _is_at(path: Path, file: BinaryIO) -> bool:
    """Whether `file` is the one at `path`."""
    try:
        there, ours = path.stat(), os.fstat(file.fileno())
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)
