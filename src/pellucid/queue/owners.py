"""Who is alive: a worker holds an exclusive lock on a file of its own for as long as its process lives.

The kernel frees the lock when the process ends, however it ends. So death is seen at once and exactly, also from
another container that shares the folder, where a process id says nothing and a heartbeat tells a whole lease late.
The lock is flock's, not POSIX's: a POSIX lock is lost when its process closes any descriptor of the file. A descriptor
is not inherited by programs the worker starts, but it is by a bare `os.fork`: such a child keeps its parent "alive".
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote, unquote

from pellucid.errors import QueueBusyError, QueueError

_SUFFIX = ".lock"
_PAUSE_S = 0.01

_NAME_TAKEN_S = 1.0
"""A look at a lock holds it, shared, for microseconds; only one that stays held this long is a living namesake's."""


class OwnerLock:
    """A held lock. It keeps a file in place: one that was deleted is made again by `ensure`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = _acquire(path)

    def ensure(self) -> None:
        """Hold the lock on the file that lies there now: somebody may have emptied the folder."""
        if not _is_at(self._fd, self._path):
            os.close(self._fd)
            self._fd = _acquire(self._path)

    def release(self) -> None:
        """Remove the file, then let go of it."""
        if _is_at(self._fd, self._path):
            self._path.unlink(missing_ok=True)
        os.close(self._fd)


class Owners:
    """The folder of lock files. Every method may block for milliseconds and raise OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def acquire(self, worker_id: str) -> OwnerLock:
        """Hold the lock of `worker_id`. Raises QueueError when a living worker has that name."""
        return OwnerLock(self._path(worker_id))

    def is_alive(self, worker_id: str) -> bool:
        """Whether somebody holds the lock. A file that may not be read counts as held: there is still the lease."""
        try:
            fd = os.open(self._path(worker_id), os.O_RDONLY)
        except FileNotFoundError:
            return False
        except PermissionError:
            return True
        try:
            return not _try_lock(fd, fcntl.LOCK_SH)  # shared: two that look at the same time do not see each other
        finally:
            os.close(fd)

    def bury(self, worker_id: str) -> bool:
        """Remove the file of a dead worker; False when it is alive after all."""
        path = self._path(worker_id)
        try:
            fd = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return True
        except PermissionError:
            return False
        try:
            if not _try_lock(fd, fcntl.LOCK_EX):
                return False
            # Removed only while locked: a namesake that starts now notices and makes a new file.
            if _is_at(fd, path):
                with suppress(PermissionError):
                    path.unlink(missing_ok=True)
            return True
        finally:
            os.close(fd)

    def names(self) -> list[str]:
        """Every worker that has a file, dead or alive."""
        return [unquote(path.name.removesuffix(_SUFFIX)) for path in self._folder.glob(f"*{_SUFFIX}")]

    @contextmanager
    def opening(self, *, timeout_s: float) -> Generator[None]:
        """One process at a time makes or opens the queue file. Raises QueueBusyError after `timeout_s`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            deadline = time.monotonic() + timeout_s
            while not _try_lock(fd, fcntl.LOCK_EX):
                if time.monotonic() > deadline:
                    raise QueueBusyError(
                        f"another process has been opening the queue in {self._folder.parent} for too long"
                    )
                time.sleep(_PAUSE_S)
            yield
        finally:
            os.close(fd)

    def _path(self, worker_id: str) -> Path:
        return self._folder / f"{quote(worker_id, safe='')}{_SUFFIX}"


def _acquire(path: Path) -> int:
    deadline = time.monotonic() + _NAME_TAKEN_S
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        # Between opening and locking a sweeper may have removed the file: then the lock is on nothing.
        if _try_lock(fd, fcntl.LOCK_EX) and _is_at(fd, path):
            return fd
        os.close(fd)
        if time.monotonic() > deadline:
            raise QueueError(f"a worker named {unquote(path.name.removesuffix(_SUFFIX))!r} is already at work")
        time.sleep(_PAUSE_S)


def _try_lock(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False
