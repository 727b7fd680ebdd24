"""Who is alive: a worker holds an exclusive lock on a file of its own for as long as its process lives.

The kernel frees the lock when the process ends, however it ends. So death is seen at once and exactly, also from
another container that shares the folder, where a process id says nothing and a heartbeat tells a whole lease late.
The lock is flock's, not POSIX's: a POSIX lock is lost when its process closes any descriptor of the file. A descriptor
is not inherited by programs the worker starts, but it is by a bare `os.fork`: such a child keeps its parent "alive".
The file says who holds it.
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
"""A look at a lock holds it, shared, for microseconds; only one that stays held this long is a living namesake's."""


class LockSession:
    """A held lock. `ensure` makes its file again where somebody emptied the folder."""

    def __init__(self, path: Path, info: WorkerInfo) -> None:
        self._path = path
        self._info = info
        self._fd = _acquire(path, info)

    def ensure(self) -> None:
        """Hold the lock on the file that lies there now."""
        if not _is_at(self._fd, self._path):
            lost, self._fd = self._fd, _acquire(self._path, self._info)
            os.close(lost)

    def leave(self) -> None:
        """Remove the file, then let go of it."""
        try:
            if _is_at(self._fd, self._path):
                self._path.unlink(missing_ok=True)
        finally:
            os.close(self._fd)


class LockFiles:
    """The `WorkerRegistry` of one folder: a file for each worker."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def join(self, info: WorkerInfo) -> LockSession:
        """Hold the lock of `info.worker_id`. Raises WorkerNameError when a living worker has that name."""
        return LockSession(self._path(info.worker_id), info)

    def alive(self) -> tuple[WorkerInfo, ...]:
        """What the files say whose locks are held. One that may not be read, or is being written, says nothing."""
        found = (self._info(name) for name in self._names() if self.is_alive(name))
        return tuple(info for info in found if info is not None)

    def dead(self) -> tuple[str, ...]:
        """Those whose locks are free."""
        return tuple(name for name in self._names() if not self.is_alive(name))

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

    def remove_dead(self, worker_id: str) -> None:
        """Remove the file of a dead worker; one that is alive after all keeps it."""
        path = self._path(worker_id)
        try:
            fd = os.open(path, os.O_RDONLY)
        except (FileNotFoundError, PermissionError):
            return
        try:
            # Removed only while locked: a namesake that starts now notices and makes a new file.
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
        # Between opening and locking a sweeper may have removed the file: then the lock is on nothing.
        try:
            if _try_lock(fd, fcntl.LOCK_EX) and _is_at(fd, path):
                os.ftruncate(fd, 0)
                os.pwrite(fd, msgspec.json.encode(info), 0)
                return fd
        except BaseException:
            os.close(fd)  # else the file that could not be written would stay locked, by us
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
