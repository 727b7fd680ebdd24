"""SQLAlchemy engines for SQLite and PostgreSQL, from the URL in the settings."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection, QueuePool

from pellucid.errors import SettingsError
from pellucid.system.extras import install_command

IDLE_S = 10
"""PostgreSQL ends a transaction whose process is idle for this long: it is probably stopped, and others wait for its
locks.
"""

_STATEMENT_S = 120
"""Timeout of a statement. Its caller has given up by then: the longest, the usage of a year, is waited for 60 s."""

_SILENT_S = 10.0
"""A connection to PostgreSQL without an answer for this long is closed: a firewall may drop its packets."""


def file_url(path: Path) -> str:
    """The URL of a SQLite file. Its path may have any characters."""
    return sa.URL.create("sqlite", database=str(path)).render_as_string()


def display_url(url: sa.URL) -> str:
    """The URL for messages: without its password, and of its query only the address. Drivers also take secrets in the
    query (`password=`, `sslpassword=`, and others in later versions).
    """
    shown = {name: value for name, value in url.query.items() if name in _PLACE}
    return url.set(query=shown).render_as_string(hide_password=True)


_PLACE = frozenset({"host", "hostaddr", "port"})
"""Parameters of the query that are shown."""


_SHORTEST_SECRET = 4
"""Shorter values in the query are words like `on`, which occur in any message."""


def without_secrets(text: str, url: sa.URL) -> str:
    """Replace the URL's password and query values in `text`, a message of a driver that may repeat them."""
    query = url.normalized_query.items()
    secrets = [
        value for name, values in query if name not in _PLACE for value in values if len(value) >= _SHORTEST_SECRET
    ]
    for secret in sorted({url.password or "", *secrets} - {""}, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


_UNUSABLE = "the database's URL cannot be used"

_HOW = (
    f"{_UNUSABLE}: write postgresql://user:password@host:port/database, with every @ : / ? # % of a password"
    " percent-encoded (@ is %40), or sqlite:////folder/file"
)
"""The parser's message is not repeated: it takes a password with an @ for a host or a port."""


def make_engine(url: str, *, busy_timeout_s: float, durable: bool = True) -> sa.Engine:
    """Make the engine for `url`; nothing is opened yet. `durable`: SQLite flushes each transaction to the disk.

    Raises SettingsError for an invalid URL.
    """
    try:
        parsed = sa.make_url(url)
        backend = parsed.get_backend_name()
        if backend == "postgresql" and "@" not in (parsed.host or ""):
            return _make_postgres(parsed.set(drivername="postgresql+psycopg"), busy_timeout_s)
    except ImportError as error:
        raise SettingsError(f"{_UNUSABLE}: {error}; add PostgreSQL's driver: {install_command('postgres')}") from error
    except (exc.ArgumentError, ValueError, TypeError):
        raise SettingsError(_HOW) from None
    if backend == "postgresql":
        raise SettingsError(_HOW)
    if backend != "sqlite":
        raise SettingsError(f"the database is SQLite or PostgreSQL, not {backend}")
    if parsed.database in (None, "", ":memory:"):
        raise SettingsError("the database needs a file that stays and that all processes see: sqlite:////folder/file")
    return _make_sqlite(parsed, busy_timeout_s, durable=durable)


def _make_postgres(url: sa.URL, busy_timeout_s: float) -> sa.Engine:
    # Without these the kernel waits 2 minutes for a host that is down, and hours on an open connection (libpq, 32.1.2).
    timeouts = {
        "connect_timeout": max(2, round(busy_timeout_s)),
        "tcp_user_timeout": round(1000 * _SILENT_S),
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 2,
    }
    defaults = {name: value for name, value in timeouts.items() if name not in url.query}
    # No prepared statements: they belong to one connection, and a pooler may execute them on another.
    engine = sa.create_engine(url, connect_args={"prepare_threshold": None, **defaults})

    @event.listens_for(engine, "connect")
    def prepare(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        # SET statements, because PgBouncer rejects `options`.
        cursor = connection.cursor()
        cursor.execute(f"SET lock_timeout = '{busy_timeout_s:g}s'")
        cursor.execute(f"SET statement_timeout = '{_STATEMENT_S}s'")
        cursor.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_S}s'")
        cursor.close()
        connection.commit()

    return engine


def _make_sqlite(url: sa.URL, busy_timeout_s: float, *, durable: bool) -> sa.Engine:
    path = Path(url.database or "")
    engine = sa.create_engine(
        url,
        poolclass=QueuePool,
        max_overflow=-1,  # bounded by the number of threads, which use one each
        connect_args={"timeout": busy_timeout_s, "check_same_thread": False},
    )

    @event.listens_for(engine, "do_connect")
    def connect(_: sa.Dialect, __: object, arguments: list[Any], options: dict[str, Any]) -> sqlite3.Connection:
        return _connect(path, arguments, options)

    @event.listens_for(engine, "connect")
    def prepare(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        # The module sqlite3 must not begin transactions by itself. FULL, because a charge must survive a power cut.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        cursor.close()
        entry.info["file"] = file_identity(path)

    @event.listens_for(engine, "checkout")
    def check(_: DBAPIConnection, entry: ConnectionPoolEntry, __: PoolProxiedConnection) -> None:
        # Otherwise a process would go on writing to a deleted or replaced file, which no other process can see.
        if entry.info.get("file") != file_identity(path):
            raise exc.DisconnectionError("the file was replaced")

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # IMMEDIATE: a transaction that starts with a read and then writes would fail at once instead of waiting.
        reading = connection.get_execution_options().get("reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _connect(path: Path, arguments: list[Any], options: dict[str, Any]) -> sqlite3.Connection:
    """Connect to the file, in WAL mode. A missing file is created, by one process at a time."""
    if path.exists():
        connection = sqlite3.connect(*arguments, **options)
        try:
            if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
                return connection
        except BaseException:
            connection.close()
            raise
        connection.close()
    path.parent.mkdir(parents=True, exist_ok=True)
    # SQLite's busy timeout does not cover the switch to WAL.
    with exclusive_folder(path.parent, timeout_s=options["timeout"]):
        if not path.exists():
            # Left by a deleted file. Another process may still have them mapped.
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
        connection = sqlite3.connect(*arguments, **options)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def exclusive_folder(folder: Path, *, timeout_s: float) -> Generator[None]:
    """Lock the folder, so that one process at a time opens a file in it. Raises sqlite3.OperationalError after
    `timeout_s`.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        deadline = time.monotonic() + timeout_s
        while not _try_lock(fd):
            if time.monotonic() > deadline:
                raise sqlite3.OperationalError("another process has been opening it for too long")
            time.sleep(_PAUSE_S)
        yield
    finally:
        os.close(fd)


_PAUSE_S = 0.01


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def file_identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of the file; None if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - 1 microsecond, Path.stat takes 3
    except OSError:
        return None
    return found.st_dev, found.st_ino
