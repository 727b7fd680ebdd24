"""The queue's SQLite file: opened, watched for being replaced, its errors put into words."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from importlib import resources
from os import stat_result
from pathlib import Path
from typing import TypeVar

from pellucid.errors import QueueBusyError, QueueError, QueueSchemaError
from pellucid.queue.owners import Owners

SCHEMA_VERSION = 3

_UPGRADES = {
    1: "DELETE FROM workers; ALTER TABLE workers RENAME COLUMN recipe_id TO recipes; PRAGMA user_version = 2;",
    2: """
        CREATE TABLE listeners (
            key TEXT NOT NULL, url TEXT NOT NULL, image TEXT NOT NULL, PRIMARY KEY (key, url)
        ) WITHOUT ROWID;
        CREATE TABLE deliveries (
            turn INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, receiver TEXT NOT NULL,
            url TEXT NOT NULL, body TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, due_at REAL NOT NULL,
            claimed_until REAL NOT NULL DEFAULT 0, created_at REAL NOT NULL
        );
        CREATE INDEX deliveries_due ON deliveries (receiver, due_at);
        CREATE INDEX deliveries_under_way ON deliveries (receiver, claimed_until);
        PRAGMA user_version = 3;
    """,
}
"""What makes a file of a schema one of the next; rows of workers are written anew by those that live. A step is never
changed afterwards: `sqlite.sql` as it is now is reached by adding steps.
"""

ResultT = TypeVar("ResultT")


class Database:
    """One connection, for one thread: all methods are called from the thread that calls first.

    WAL, so readers never wait; `synchronous = NORMAL`, so a power cut may lose the last jobs owed but damages nothing.
    """

    def __init__(self, path: Path, *, owners: Owners, busy_timeout_s: float) -> None:
        self._path = path
        self._owners = owners
        self._busy_timeout_s = busy_timeout_s
        self._connection: sqlite3.Connection | None = None
        self._file: stat_result | None = None
        self._generation = 0

    def run(self, work: Callable[[], ResultT]) -> ResultT:
        """Do `work` with the file that lies at the path now. Raises QueueError, with what to do about it.

        A file that was deleted or replaced is opened anew, empty if need be: what was owed is lost, no result is.
        Without this the process would go on writing to a file that nobody else can see.
        """
        try:
            if self._connection is None or not self._is_in_place():
                self._open()
            return work()
        except sqlite3.Error as error:
            raise self._explain(error) from None
        except OSError as error:
            raise QueueError(f"the queue in {self._path.parent} cannot be used: {error.strerror}; {_MEND}") from None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise QueueError("the queue is not open")
        return self._connection

    @contextmanager
    def writing(self) -> Generator[sqlite3.Connection]:
        """A short write transaction. IMMEDIATE, because a reader that turns writer fails at once instead of waiting."""
        db = self.connection
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                with suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
            raise

    def version(self) -> tuple[int, int, int]:
        """Differs from an earlier answer if anybody wrote since. About 5 microseconds.

        `data_version` tells of other connections only, `total_changes` of this one, the generation of another file.
        """
        db = self.connection
        return self._generation, db.execute("PRAGMA data_version").fetchone()[0], db.total_changes

    def _is_in_place(self) -> bool:
        try:
            now = self._path.stat()
        except FileNotFoundError:
            return False
        return self._file is not None and (now.st_dev, now.st_ino) == (self._file.st_dev, self._file.st_ino)

    def _open(self) -> None:
        self.close()
        # One at a time: switching a new file to WAL is not covered by SQLite's busy timeout.
        with self._owners.opening(timeout_s=self._busy_timeout_s):
            if not self._path.exists():
                # Left over from a file that was deleted; another process may still have them mapped.
                for suffix in ("-wal", "-shm"):
                    self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            db = sqlite3.connect(self._path, timeout=self._busy_timeout_s, isolation_level=None)
            try:
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = NORMAL")
                self._bring_up(db)
                self._file = self._path.stat()
            except BaseException:
                db.close()
                raise
        self._connection = db
        self._generation += 1

    def _bring_up(self, db: sqlite3.Connection) -> None:
        version: int = db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise QueueSchemaError(
                f"the queue file {self._path} is of schema {version}, this Pellucid knows {SCHEMA_VERSION}: "
                "run the newer Pellucid, or stop everything and move the file away (no finished matte is lost, "
                "but what was charged is)"
            )
        if 0 < version < SCHEMA_VERSION:
            script = "".join(_UPGRADES[step] for step in range(version, SCHEMA_VERSION))
            db.executescript(f"BEGIN IMMEDIATE; {script} COMMIT;")
        elif version == 0:
            schema = resources.files("pellucid.queue").joinpath("sqlite.sql").read_text(encoding="utf-8")
            db.executescript(f"BEGIN IMMEDIATE; {schema} COMMIT;")

    def _explain(self, error: sqlite3.Error) -> QueueError:
        name: str = getattr(error, "sqlite_errorname", "")
        kind = QueueError
        # SQLITE_ERROR: our tables are not there, or something else is in their place.
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")) or name == "SQLITE_ERROR":
            mend = (
                "it is damaged: stop everything, move it away with its -wal and -shm (no finished matte is lost, but "
                "what was charged is, unless `sqlite3 FILE .recover` saves it)"
            )
        elif name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            kind = QueueBusyError
            mend = (
                f"another process has kept it locked for more than {self._busy_timeout_s:g} s: "
                "look for a backup, a copy or a database shell that holds it"
            )
        else:
            mend = _MEND
        return kind(f"the queue file {self._path} cannot be used ({error}); {mend}")


_MEND = "it must lie in a folder on a local disk that has room and that this user may write to"
