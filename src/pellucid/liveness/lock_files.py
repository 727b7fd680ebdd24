"""Worker registry of lock files: a worker holds an exclusive lock on a file of its own while its process lives.

The kernel releases the lock when the process ends, however it ends. So a death is detected at once and reliably, also
from another container that shares the folder. There a process id means nothing, and a missing heartbeat would show only
after a whole lease.

The lock is one of flock, not a POSIX lock: those are lost when the process closes any descriptor of the file. Programs
that the worker starts do not inherit the descriptor. A bare `os.fork` does: such a child keeps its parent "alive".

The file contains the `WorkerInfo` of its worker.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote

import msgspec

from pellucid.errors import WorkerNameError
from pellucid.liveness.port import WorkerInfo

_SUFFIX = ".lock"
_PAUSE_S = 0.01

_NAME_TAKEN_S = 1.0
"""A check of a lock holds it, shared, for microseconds. A lock held for this long belongs to a living worker."""


class LockSession:
    """A held lock. `heartbeat` restores its file if the folder was emptied."""

    def __init__(self, path: Path, info: WorkerInfo) -> None:
        self._path = path
        self._info = info
        self._fd = _acquire(path, info)

    def heartbeat(self) -> None:
        """Check that the lock is on the file at the path, and lock a new file otherwise."""
        if not _is_at(self._fd, self._path):
            lost, self._fd = self._fd, _acquire(self._path, self._info)
            os.close(lost)

    def unregister(self) -> None:
        """Remove the file, then release its lock."""
        try:
            if _is_at(self._fd, self._path):
                self._path.unlink(missing_ok=True)
        finally:
            os.close(self._fd)


class LockFiles:
    """The `WorkerRegistry` of one folder: a file for each worker."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def register(self, info: WorkerInfo) -> LockSession:
        """Lock the file of `info.worker_id`. Raises WorkerNameError when a living worker has that name."""
        return LockSession(self._path(info.worker_id), info)

    def alive(self) -> tuple[WorkerInfo, ...]:
        """The info in the files whose locks are held. Files that cannot be read, or are being written, are skipped."""
        found = (self._info(name) for name in self._names() if self.is_alive(name))
        return tuple(info for info in found if info is not None)

    def dead(self) -> tuple[str, ...]:
        """Names of the workers whose locks are free."""
        return tuple(name for name in self._names() if not self.is_alive(name))

    def is_alive(self, worker_id: str) -> bool:
        """Whether the lock is held. A file without read permission counts as held: the lease still protects the job."""
        try:
            fd = os.open(self._path(worker_id), os.O_RDONLY)
        except FileNotFoundError:
            return False
        except PermissionError:
            return True
        try:
            return not _try_lock(fd, fcntl.LOCK_SH)  # shared: two simultaneous checks do not see each other
        finally:
            os.close(fd)

    def remove_dead(self, worker_id: str) -> None:
        """Remove the file of a dead worker. A worker that is alive after all keeps its file."""
        path = self._path(worker_id)
        try:
            fd = os.open(path, os.O_RDONLY)
        except (FileNotFoundError, PermissionError):
            return
        try:
            # Removed only while locked, so that a namesake that starts now notices and creates a new file.
            if _try_lock(fd, fcntl.LOCK_EX) and _is_at(fd, path):
                with suppress(PermissionError):
                    path.unlink(missing_ok=True)
        finally:
            os.close(fd)

    def _names(self) -> list[str]:
        try:
            found = os.listdir(self._folder)  # noqa: PTH208 - several times a second; a glob takes ten times as long
        except FileNotFoundError:
            return []
        return sorted(unquote(name.removesuffix(_SUFFIX)) for name in found if name.endswith(_SUFFIX))

    def _info(self, worker_id: str) -> WorkerInfo | None:
        try:
            return msgspec.json.decode(self._path(worker_id).read_bytes(), type=WorkerInfo)
        except (OSError, msgspec.DecodeError):
            return None

    def _path(self, worker_id: str) -> Path:
        return self._folder / f"{quote(worker_id, safe='')}{_SUFFIX}"


def _acquire(path: Path, info: WorkerInfo) -> int:
    deadline = time.monotonic() + _NAME_TAKEN_S
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        # Another process may have removed the file between opening and locking: then the lock is on no file.
        try:
            if _try_lock(fd, fcntl.LOCK_EX) and _is_at(fd, path):
                os.ftruncate(fd, 0)
                os.pwrite(fd, msgspec.json.encode(info), 0)
                return fd
        except BaseException:
            os.close(fd)  # otherwise this process would keep the lock of a file that it could not write
            raise
        os.close(fd)
        if time.monotonic() > deadline:
            raise WorkerNameError(f"a worker named {info.worker_id!r} is already at work")
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
