"""Files of versions before the single database, in the data directory: `queue/jobs.sqlite` and `purges.jsonl`.

They are read under an exclusive lock. It detects an older process that still has the file open; an older process that
starts meanwhile waits and then fails. After the import the files are moved aside and replaced by a file that older
versions refuse to open.
"""

from __future__ import annotations

import fcntl
import sqlite3
import threading
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import msgspec

from pellucid.database.engines import exclusive_folder
from pellucid.errors import DatabaseBusyError, DatabaseError, DatabaseSchemaError

_NEWEST = 3
"""Last schema of the queue file (`PRAGMA user_version`). Schemas 1 and 2 lack some tables, schema 0 has none."""

_BLOCKING_SCHEMA = 4
"""Schema of the file that is left in place: older versions demand a newer one for it. Without that file, an older
version that is started by mistake would begin with an empty ledger and charge every customer again.
"""

_APPLICATION = 0x50454C4C
"""SQLite's application id of that file, by which its header is recognised."""

_CHUNK = 2000
"""Rows in memory at a time: 10 MB with everything that is derived from them."""

_MOVED = ".taken-over"


class Invalidation(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the old file: fetches of `record_key` that started before `at` are invalid."""

    record_key: str
    at: float


class OldFiles:
    """The old files of one data directory. Call `close`, or use it as a context manager, unless `move_aside` is called.

    `timeout_s`: how long to wait for a process that has the file open.
    """

    def __init__(self, *, queue: Path, invalidations: Path, timeout_s: float = 2.0) -> None:
        self._queue = queue
        self._invalidations = invalidations
        self._timeout_s = timeout_s
        self._connection: sqlite3.Connection | None = None
        self._locks = ExitStack()
        self._mutex = threading.Lock()

    @property
    def is_pending(self) -> bool:
        """Whether there is a file that was not imported yet. Takes 20 microseconds."""
        return self._has_queue_file() or any(path.exists() for path in self._log_files())

    @property
    def place(self) -> str:
        """Path of a file that was not imported yet, for messages."""
        return str(self._queue if self._has_queue_file() else self._invalidations)

    @contextmanager
    def locked(self) -> Generator[None]:
        """Lock the files for the block. They stay locked until `move_aside` or `close`, unless the block fails. Raises
        DatabaseBusyError, DatabaseError.

        SQLite grants an exclusive lock only if no other process has the file open. So a living older process is
        detected even if it has no worker and writes nothing.
        """
        with self._mutex:
            try:
                self._lock()
                yield
            except BaseException:
                self._close()
                raise

    def tables(self) -> frozenset[str]:
        """Names of the tables in the queue file."""
        found = self.rows("SELECT name FROM sqlite_master WHERE type = 'table'")
        return frozenset(row["name"] for chunk in found for row in chunk)

    def columns(self, table: str) -> frozenset[str]:
        """Names of the columns of a table in the queue file."""
        found = self.rows("SELECT name FROM pragma_table_info(?)", table)
        return frozenset(row["name"] for chunk in found for row in chunk)

    def rows(self, query: str, *values: object) -> Iterator[list[dict[str, Any]]]:
        """Run `query` on the queue file; yields up to 2,000 rows at a time. Raises DatabaseError."""
        if self._connection is None:
            return
        with self._explained_errors(), closing(self._connection.execute(query, values)) as cursor:
            names = [column[0] for column in cursor.description]
            while found := cursor.fetchmany(_CHUNK):
                yield [dict(zip(names, row, strict=True)) for row in found]

    def invalidations(self) -> list[Invalidation | None]:
        """The invalidations, the oldest first; None for an unreadable line. Some 2 MB. Raises DatabaseError."""
        found: list[Invalidation | None] = []
        for path in self._log_files():
            with self._explained_errors():
                text = path.read_bytes() if path.exists() else b""
            # A line without its end does not count: its writer got an error, or was killed.
            for line in text.split(b"\n")[:-1]:
                try:
                    found.append(msgspec.json.decode(line, type=Invalidation))
                except msgspec.DecodeError:
                    found.append(None)
        return found

    def move_aside(self) -> None:
        """Rename the files after the import. A taken name gets a number. Raises DatabaseError."""
        with self._mutex, self._explained_errors():
            for path in self._log_files():
                with suppress(FileNotFoundError):  # another process of this version may have renamed it already
                    _rename(path)
            if self._connection is not None:
                blocking_file = self._make_blocking_file()
                _rename(self._queue)
                blocking_file.replace(self._queue)
                # Left by a killed process, and empty.
                self._queue.with_name(self._queue.name + "-shm").unlink(missing_ok=True)
                self._close()

    def close(self) -> None:
        """Unlock the files, after any thread that reads them has finished."""
        with self._mutex:
            self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _lock(self) -> None:
        if self._connection is not None:
            return
        self._check_no_worker_lives()
        with self._explained_errors():
            # First a lock among processes of this version: two that upgrade SQLite's lock at once block each other.
            if self._has_queue_file():
                self._locks.enter_context(exclusive_folder(self._queue.parent, timeout_s=self._timeout_s))
            if self._has_queue_file():
                self._connection = self._open()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._locks.close()

    def _log_files(self) -> tuple[Path, Path]:
        """The files with invalidations, the older one first."""
        return self._invalidations.with_name(self._invalidations.name + ".1"), self._invalidations

    def _has_queue_file(self) -> bool:
        try:
            with self._queue.open("rb") as file:
                header = file.read(72)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True  # opening it will raise the error
        return int.from_bytes(header[68:72], "big") != _APPLICATION

    def _check_no_worker_lives(self) -> None:
        """Raise DatabaseBusyError if a worker of an older version lives. It holds the lock of a file of its own, also
        while it has the queue file closed.
        """
        for path in sorted((self._queue.parent / "owners").glob("*.lock")):
            try:
                file = path.open("rb")
            except OSError:
                continue  # gone, or of another user: if that worker lives, it has the queue file open
            with file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise DatabaseBusyError(
                        f"an older Pellucid still works on {self._queue} (worker {path.stem}): stop it first, so that "
                        "its job can be taken over"
                    ) from None

    def _open(self) -> sqlite3.Connection:
        # mode=rw: a file that is gone is not created again.
        connection = sqlite3.connect(
            f"{self._queue.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=self._timeout_s,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # from the first read on, without a gap
            version: int = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > _NEWEST:
                raise DatabaseSchemaError(
                    f"{self._queue} is of schema {version}, and this Pellucid takes over schemas 1 to {_NEWEST}: run "
                    "the Pellucid that wrote it, or move it away to go on without what it holds"
                )
            connection.execute("PRAGMA journal_mode = DELETE").fetchone()  # writes -wal into the file and removes it
            connection.execute("BEGIN EXCLUSIVE")
        except BaseException:
            connection.close()
            raise
        return connection

    def _make_blocking_file(self) -> Path:
        path = self._queue.with_name(self._queue.name + ".new")
        path.unlink(missing_ok=True)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {_BLOCKING_SCHEMA}")
        return path

    @contextmanager
    def _explained_errors(self) -> Generator[None]:
        try:
            yield
        except sqlite3.Error as error:
            name: str = getattr(error, "sqlite_errorname", "")
            if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) or "for too long" in str(error):
                raise DatabaseBusyError(
                    f"{self._queue} cannot be taken over ({error}): an older Pellucid, a backup or a database shell "
                    "has it open; stop that first"
                ) from None
            if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
                hint = (
                    "it is damaged: repair it with `sqlite3 FILE .recover`, or move it away, with its -wal and -shm, "
                    "to start without its data (no finished matte is lost, but the record of charges is)"
                )
            else:
                hint = "it must lie in a folder on a local disk that has room and that this user may write to"
            raise DatabaseError(f"{self._queue} cannot be taken over ({error}); {hint}") from None
        except OSError as error:
            place = error.filename or self._queue
            raise DatabaseError(f"{place} cannot be taken over ({error.strerror}); this user must own it") from None


def _rename(path: Path) -> None:
    """Move a file aside, under a free name."""
    moved, number = path.with_name(path.name + _MOVED), 1
    while moved.exists():
        number += 1
        moved = path.with_name(f"{path.name}{_MOVED}-{number}")
    path.rename(moved)
