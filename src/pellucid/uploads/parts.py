"""The bytes of an upload while they come: a file outside the folder that is served, locked while its process lives."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from pellucid.store import keys

_SUFFIX = ".part"
_UNLOCKED = ".new"
"""What a part is called until it is locked."""


class Part:
    """Blocking: for a thread. Every method raises OSError."""

    def __init__(self, folder: Path, stem: str) -> None:
        self.path = folder / (stem + _SUFFIX)
        self._target: Path | None = None
        new = folder / (stem + _UNLOCKED)
        descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(descriptor, "r+b")
        try:
            # Held until `close`, or until the process is killed: who can take it may tidy up.
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            new.rename(self.path)
        except OSError:
            new.unlink(missing_ok=True)
            self._file.close()
            raise

    def write(self, data: bytes | bytearray) -> None:
        self._file.write(data)

    def read(self) -> tuple[bytes, str]:
        """All that was written, and its digest."""
        self._file.flush()
        self._file.seek(0)
        data = self._file.read()
        return data, keys.digest(data)

    def move(self, target: Path) -> None:
        """Name it `target`, on disk for certain."""
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
        """What was moved stays when this is closed."""
        self._target = None

    def close(self) -> None:
        """Remove what is not kept, let go of the lock."""
        for path in (self.path, self._target):
            if path is not None:
                path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # what could not be written, on a full disk
            self._file.close()


def left_behind(folder: Path) -> list[str]:
    """The stems of parts whose processes are gone."""
    return [path.name.removesuffix(_SUFFIX) for path in folder.glob("*" + _SUFFIX) if _can_be_locked(path)]


def remove_part(folder: Path, stem: str) -> None:
    """Remove what was left behind."""
    (folder / (stem + _SUFFIX)).unlink(missing_ok=True)


def remove_unlocked(folder: Path, before: float) -> None:
    """Remove what is no part yet, and was last written to before `before`, in seconds since the epoch."""
    for path in folder.glob("*" + _UNLOCKED):
        if _modified(path) < before:
            path.unlink(missing_ok=True)


def files_older_than(folder: Path, moment: float) -> list[str]:
    """The names of files in `folder` last written to before `moment`."""
    return [path.name for path in folder.iterdir() if path.is_file() and _modified(path) < moment]


def sync_folder(folder: Path) -> None:
    """Have the names in `folder` on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _can_be_locked(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (FileNotFoundError, BlockingIOError):  # moved into its place; written to
        return False
    return True


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")
