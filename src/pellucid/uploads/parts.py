"""The file of an upload while it is received: outside the served folder, and locked while its process lives."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from pellucid.store import keys

_SUFFIX = ".part"
_UNLOCKED = ".new"
"""Suffix of a part until it is locked."""


class Part:
    """A partly received upload. Methods block, so they need a thread, and raise OSError."""

    def __init__(self, folder: Path, stem: str) -> None:
        self.path = folder / (stem + _SUFFIX)
        self._target: Path | None = None
        new = folder / (stem + _UNLOCKED)
        descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(descriptor, "r+b")
        try:
            # Held until `close`, or until the process is killed. A process that gets the lock may remove the file.
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            new.rename(self.path)
        except OSError:
            new.unlink(missing_ok=True)
            self._file.close()
            raise

    def write(self, data: bytes | bytearray) -> None:
        self._file.write(data)

    def read(self) -> tuple[bytes, str]:
        """All written bytes, and their digest."""
        self._file.flush()
        self._file.seek(0)
        data = self._file.read()
        return data, keys.digest(data)

    def move(self, target: Path) -> None:
        """Flush the file to the disk and rename it to `target`."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._target = target
        self.path.rename(target)
        sync_folder(target.parent)

    @property
    def moved_to(self) -> str:
        """The name that `move` gave it, '' before."""
        return "" if self._target is None else self._target.name

    def keep(self) -> None:
        """Keep the moved file at `close`."""
        self._target = None

    def close(self) -> None:
        """Remove the file unless it is kept, and release the lock."""
        for path in (self.path, self._target):
            if path is not None:
                path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # flushing buffered bytes fails on a full disk
            self._file.close()


def abandoned_parts(folder: Path) -> list[str]:
    """Stems of the parts whose processes are gone."""
    return [path.name.removesuffix(_SUFFIX) for path in folder.glob("*" + _SUFFIX) if _can_be_locked(path)]


def remove_part(folder: Path, stem: str) -> None:
    """Remove an abandoned part."""
    (folder / (stem + _SUFFIX)).unlink(missing_ok=True)


def remove_unlocked(folder: Path, before: float) -> None:
    """Remove files that did not become parts, and were last written before `before`, in seconds since the epoch."""
    for path in folder.glob("*" + _UNLOCKED):
        if _modified(path) < before:
            path.unlink(missing_ok=True)


def files_older_than(folder: Path, time_s: float) -> list[str]:
    """Names of the files in `folder` last written before `time_s`, in seconds since the epoch."""
    return [path.name for path in folder.iterdir() if path.is_file() and _modified(path) < time_s]


def sync_folder(folder: Path) -> None:
    """Flush the names in `folder` to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _can_be_locked(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (FileNotFoundError, BlockingIOError):  # moved to its target; still being written
        return False
    return True


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")
