"""Whether anybody wrote: what idle workers and those who wait look at many times a second.

SQLite says so in 5 microseconds. PostgreSQL tells those who listen (`ring`), and everybody looks once a second as well:
a pooler between us may pass nothing on.
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
from pellucid.database.engines import file_at

_CHANNEL = "pellucid"
_LOOK_S = 0.2
_RETRY_S = 1.0
_CONNECT_S = 3
"""Patience for a connection: a server that says nothing would keep a process from ending for two minutes."""
_ANYWAY_S = 1.0


class Bell(Protocol):
    """For one thread."""

    def version(self) -> Hashable:
        """Differs from an earlier answer if anybody wrote since; perhaps also if nobody did."""
        ...

    def close(self) -> None:
        """Listen no more."""
        ...


def bell_of(database: Database) -> Bell:
    """The bell of a database."""
    return _FileBell(Path(database.url.database or "")) if database.is_sqlite else _ServerBell(database.url)


def ring(db: sa.Connection) -> None:
    """A part of every transaction that others may wait for."""
    if db.dialect.name == "postgresql":
        db.exec_driver_sql(f"NOTIFY {_CHANNEL}")


class _FileBell:
    """SQLite's own count of the commits of others. Our transactions use other connections, so they count as well."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._troubles = 0

    def version(self) -> Hashable:
        file = file_at(self._path)
        if self._connection is None or file != self._file:
            self.close()
            if file is None:
                return None
            try:
                self._connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            except sqlite3.Error:
                return self._trouble()
            self._file = file
        try:
            return file, self._connection.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error:
            return self._trouble()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _trouble(self) -> Hashable:
        """Another answer than before: whoever looks now hears what is wrong."""
        self.close()
        self._troubles += 1
        return self._troubles


class _ServerBell:
    """Counts what PostgreSQL tells a thread of its own."""

    def __init__(self, url: sa.URL) -> None:
        # Not as a URL: SQLAlchemy leaves spaces in one, which libpq does not take.
        _, options = url.get_dialect()().create_connect_args(url)
        self._options: dict[str, Any] = {"connect_timeout": _CONNECT_S, **options}
        self._count = 0
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def version(self) -> Hashable:
        if self._thread is None:
            self._thread = threading.Thread(target=self._listen, name="database-bell", daemon=True)
            self._thread.start()
        return self._count, int(time.monotonic() / _ANYWAY_S)

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
                self._count += 1  # what was told before nobody heard
                while not self._closed.is_set():
                    for _ in connection.notifies(timeout=_LOOK_S, stop_after=1):
                        self._count += 1
            self._closed.wait(_RETRY_S)
