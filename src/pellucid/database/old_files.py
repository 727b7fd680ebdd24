"""What versions before the one database kept in the data directory: `queue/jobs.sqlite` and `purges.jsonl`.

They are read alone: an older process that still has the file open is seen, and one that starts meanwhile waits and then
gives up. When all is taken over they are moved aside, and a file takes their place that older versions refuse.
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

from pellucid.database.engines import alone_in
from pellucid.errors import DatabaseBusyError, DatabaseError, DatabaseSchemaError

_NEWEST = 3
"""The queue file's last schema (`PRAGMA user_version`). Schemas 1 and 2 lack tables, schema 0 is a file without any."""

_REFUSED = 4
"""The schema that stands in the file left in place: older versions say that a newer one has to be run. Without it one
that is started by mistake would begin with an empty ledger, and charge everybody for everything again.
"""

_APPLICATION = 0x50454C4C
"""SQLite's application id of that file, so that it is known again by its header."""

_CHUNK = 2000
"""Rows in memory at a time: with all that is made of them, 10 MB."""

_MOVED = ".taken-over"


class Invalidation(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the old file: what was asked until `at` about what `record_key` names is not to be believed."""

    record_key: str
    at: float


class OldFiles:
    """The files of one data directory. `close` it, or use it as a context manager, where `move_aside` is not reached.

    `timeout_s`: how long a process that has the file open is waited for.
    """

    def __init__(self, *, queue: Path, invalidations: Path, timeout_s: float = 2.0) -> None:
        self._queue = queue
        self._invalidations = invalidations
        self._timeout_s = timeout_s
        self._connection: sqlite3.Connection | None = None
        self._locks = ExitStack()
        self._in_use = threading.Lock()

    @property
    def wait(self) -> bool:
        """Whether there is anything that was not taken over yet. 20 microseconds."""
        return self._queue_waits() or any(path.exists() for path in self._lines())

    @property
    def place(self) -> str:
        """Where they are, for people."""
        return str(self._queue if self._queue_waits() else self._invalidations)

    @contextmanager
    def held(self) -> Generator[None]:
        """What is done inside reads them alone; they stay so until `move_aside` or `close`, unless it fails. Raises
        DatabaseBusyError, DatabaseError.

        SQLite grants this only to the one process that has the file open, so an older process that lives is found even
        if it has no worker and writes nothing.
        """
        with self._in_use:
            try:
                self._lock()
                yield
            except BaseException:
                self._close()
                raise

    def tables(self) -> frozenset[str]:
        """The tables in the queue file."""
        found = self.rows("SELECT name FROM sqlite_master WHERE type = 'table'")
        return frozenset(row["name"] for chunk in found for row in chunk)

    def columns(self, table: str) -> frozenset[str]:
        """The columns of a table in the queue file."""
        found = self.rows("SELECT name FROM pragma_table_info(?)", table)
        return frozenset(row["name"] for chunk in found for row in chunk)

    def rows(self, query: str, *values: object) -> Iterator[list[dict[str, Any]]]:
        """What `query` finds in the queue file, 2,000 rows at a time. Raises DatabaseError."""
        if self._connection is None:
            return
        with self._explained(), closing(self._connection.execute(query, values)) as cursor:
            names = [column[0] for column in cursor.description]
            while found := cursor.fetchmany(_CHUNK):
                yield [dict(zip(names, row, strict=True)) for row in found]

    def invalidations(self) -> list[Invalidation | None]:
        """What was told, the oldest first; None for a line that cannot be read. Some 2 MB. Raises DatabaseError."""
        found: list[Invalidation | None] = []
        for path in self._lines():
            with self._explained():
                text = path.read_bytes() if path.exists() else b""
            # Without its end a line was never told: whoever wrote it heard of an error, or was killed.
            for line in text.split(b"\n")[:-1]:
                try:
                    found.append(msgspec.json.decode(line, type=Invalidation))
                except msgspec.DecodeError:
                    found.append(None)
        return found

    def move_aside(self) -> None:
        """Rename them, now that all is taken over. What is there once more gets another name: nothing is overwritten.
        Raises DatabaseError.
        """
        with self._in_use, self._explained():
            for path in self._lines():
                with suppress(FileNotFoundError):  # another process of ours may be as far as this one
                    _rename(path)
            if self._connection is not None:
                refusal = self._make_refusal()
                _rename(self._queue)
                refusal.replace(self._queue)
                # A killed process left it, and nothing is in it.
                self._queue.with_name(self._queue.name + "-shm").unlink(missing_ok=True)
                self._close()

    def close(self) -> None:
        """Let others at the files; a thread that reads them is waited for."""
        with self._in_use:
            self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _lock(self) -> None:
        if self._connection is not None:
            return
        self._refuse_living_workers()
        with self._explained():
            # First among ourselves: those who want all of a SQLite file and have a part keep it from one another.
            if self._queue_waits():
                self._locks.enter_context(alone_in(self._queue.parent, timeout_s=self._timeout_s))
            if self._queue_waits():
                self._connection = self._open()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._locks.close()

    def _lines(self) -> tuple[Path, Path]:
        """The files of lines, the older one first."""
        return self._invalidations.with_name(self._invalidations.name + ".1"), self._invalidations

    def _queue_waits(self) -> bool:
        try:
            with self._queue.open("rb") as file:
                header = file.read(72)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True  # whoever opens it hears why
        return int.from_bytes(header[68:72], "big") != _APPLICATION

    def _refuse_living_workers(self) -> None:
        """A worker holds a lock on a file of its own as long as it lives, also while it has the queue file closed."""
        for path in sorted((self._queue.parent / "owners").glob("*.lock")):
            try:
                file = path.open("rb")
            except OSError:
                continue  # gone, or another user's: if that one lives, it has the queue file open
            with file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise DatabaseBusyError(
                        f"an older Pellucid still works on {self._queue} (worker {path.stem}): stop it first, so that "
                        "what it has in hand can be taken over"
                    ) from None

    def _open(self) -> sqlite3.Connection:
        # mode=rw: a file that has gone is not made anew.
        connection = sqlite3.connect(
            f"{self._queue.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=self._timeout_s,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # from the first look on, and nobody gets in between
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

    def _make_refusal(self) -> Path:
        path = self._queue.with_name(self._queue.name + ".new")
        path.unlink(missing_ok=True)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {_REFUSED}")
        return path

    @contextmanager
    def _explained(self) -> Generator[None]:
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
                    "it is damaged: mend it with `sqlite3 FILE .recover`, or move it away, with its -wal and -shm, to "
                    "go on without what it holds (no finished matte is lost, but what was charged is)"
                )
            else:
                hint = "it must lie in a folder on a local disk that has room and that this user may write to"
            raise DatabaseError(f"{self._queue} cannot be taken over ({error}); {hint}") from None
        except OSError as error:
            place = error.filename or self._queue
            raise DatabaseError(f"{place} cannot be taken over ({error.strerror}); this user must own it") from None


def _rename(path: Path) -> None:
    """Move a file aside, under a name that is free."""
    moved, number = path.with_name(path.name + _MOVED), 1
    while moved.exists():
        number += 1
        moved = path.with_name(f"{path.name}{_MOVED}-{number}")
    path.rename(moved)
