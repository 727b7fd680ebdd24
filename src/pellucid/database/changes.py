"""Detection of changes in the database. Idle workers and waiters poll it many times a second.

SQLite counts its commits, which is read in 5 microseconds. PostgreSQL notifies its clients (`signal_change`). They also
assume a change once a second, because a pooler in between may not pass notifications on.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Hashable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa

from pellucid.database.database import Database
from pellucid.database.engines import file_identity

_CHANNEL = "pellucid"
_POLL_S = 0.2
"""How often the thread checks whether it is to end."""
_RETRY_S = 1.0
_CONNECT_S = 3
"""Timeout of a connection: a silent server would keep a process from ending for two minutes."""
_ASSUMED_S = 1.0
"""Without a notification, a change is assumed after this time."""


class ChangeDetector(Protocol):
    """Detects changes by any process. All calls must come from one thread."""

    def version(self) -> Hashable:
        """A value that differs from an earlier one if the database has changed since, and perhaps if it has not."""
        ...

    def close(self) -> None:
        """Stop listening."""
        ...


def change_detector_of(database: Database) -> ChangeDetector:
    """The change detector for a database."""
    return _SqliteChanges(Path(database.url.database or "")) if database.is_sqlite else _PostgresChanges(database.url)


def signal_change(db: sa.Connection) -> None:
    """Notify other processes of a change at the commit. Part of every transaction that a waiter may wait for."""
    if db.dialect.name == "postgresql":
        db.exec_driver_sql(f"NOTIFY {_CHANNEL}")


class _SqliteChanges:
    """Uses SQLite's count of commits by other connections, which includes those of this process's transactions."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._errors = 0

    def version(self) -> Hashable:
        file = file_identity(self._path)
        if self._connection is None or file != self._file:
            self.close()
            if file is None:
                return None
            try:
                self._connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            except sqlite3.Error:
                return self._version_after_error()
            self._file = file
        try:
            return file, self._connection.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error:
            return self._version_after_error()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _version_after_error(self) -> Hashable:
        """A new version, so that waiters read the database and get its error."""
        self.close()
        self._errors += 1
        return self._errors


class _PostgresChanges:
    """Counts notifications of PostgreSQL, on a thread of its own."""

    def __init__(self, url: sa.URL) -> None:
        # Not as a URL: SQLAlchemy leaves spaces in URLs, which libpq rejects.
        _, options = url.get_dialect()().create_connect_args(url)
        self._options: dict[str, Any] = {"connect_timeout": _CONNECT_S, **options}
        self._count = 0
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def version(self) -> Hashable:
        if self._thread is None:
            self._thread = threading.Thread(target=self._listen, name="database-changes", daemon=True)
            self._thread.start()
        return self._count, int(time.monotonic() / _ASSUMED_S)

    def close(self) -> None:
        self._closed.set()
        if self._thread is not None:
            self._thread.join()

    def _listen(self) -> None:
        import psycopg  # noqa: PLC0415 - an extra

        connect = partial(psycopg.connect, autocommit=True, **self._options)
        while not self._closed.is_set():
            with contextlib.suppress(psycopg.Error), connect() as connection:
                connection.execute(f"LISTEN {_CHANNEL}")
                self._count += 1  # notifications before this point were missed
                while not self._closed.is_set():
                    for _ in connection.notifies(timeout=_POLL_S, stop_after=1):
                        self._count += 1
            self._closed.wait(_RETRY_S)
