"""Engines of SQLAlchemy for SQLite and PostgreSQL, from URLs as people write them."""

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
"""PostgreSQL ends a transaction whose process says nothing for so long, a stopped one: others wait for its locks."""

_STATEMENT_S = 120
"""A statement that takes longer is given up: those who asked have left (a look-up of a year is waited for 60 s)."""

_SILENT_S = 10.0
"""PostgreSQL that answers nothing for so long is given up: a server that a firewall hides answers nobody."""


def file_url(path: Path) -> str:
    """The URL of a SQLite file, whatever characters its path has."""
    return sa.URL.create("sqlite", database=str(path)).render_as_string()


def place_of(url: sa.URL) -> str:
    """The URL for people: without its password, and of its query the place alone. Drivers take secrets there as well
    (`password=`, `sslpassword=`, whatever a later one brings).
    """
    shown = {name: value for name, value in url.query.items() if name in _PLACE}
    return url.set(query=shown).render_as_string(hide_password=True)


_PLACE = frozenset({"host", "hostaddr", "port"})
"""What of a URL's query is shown."""


_SHORTEST_SECRET = 4
"""Shorter texts of a query are words like `on`, which occur in any message."""


def without_secrets(text: str, url: sa.URL) -> str:
    """`text` without what the URL holds beside its place. A driver may repeat what it was given."""
    query = url.normalized_query.items()
    given = [
        value for name, values in query if name not in _PLACE for value in values if len(value) >= _SHORTEST_SECRET
    ]
    for secret in sorted({url.password or "", *given} - {""}, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


_UNUSABLE = "the database's URL cannot be used"

_HOW = (
    f"{_UNUSABLE}: write postgresql://user:password@host:port/database, with every @ : / ? # % of a password"
    " percent-encoded (@ is %40), or sqlite:////folder/file"
)
"""What is wrong with it is not repeated: a password with an @ in it is taken for a host or a port."""


def make_engine(url: str, *, busy_timeout_s: float, durable: bool = True) -> sa.Engine:
    """The engine for `url`; nothing is opened yet. `durable`: SQLite flushes each transaction to the disk. Raises
    SettingsError for a URL that is none.
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
    # Without these the kernel waits 2 minutes for a host that is gone, and hours for one that went (libpq, 32.1.2).
    given_up = {
        "connect_timeout": max(2, round(busy_timeout_s)),
        "tcp_user_timeout": round(1000 * _SILENT_S),
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 2,
    }
    mine = {name: value for name, value in given_up.items() if name not in url.query}
    # Statements are prepared in one connection; a pooler between us hands them to another.
    engine = sa.create_engine(url, connect_args={"prepare_threshold": None, **mine})

    @event.listens_for(engine, "connect")
    def prepare(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        # Statements, because PgBouncer takes no `options`.
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
        max_overflow=-1,  # the threads are counted, and each has one
        connect_args={"timeout": busy_timeout_s, "check_same_thread": False},
    )

    @event.listens_for(engine, "do_connect")
    def connect(_: sa.Dialect, __: object, arguments: list[Any], options: dict[str, Any]) -> sqlite3.Connection:
        return _connect(path, arguments, options)

    @event.listens_for(engine, "connect")
    def prepare(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        # sqlite3 would begin transactions by its own rules; FULL, because a charge must survive a power cut.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        cursor.close()
        entry.info["file"] = file_at(path)

    @event.listens_for(engine, "checkout")
    def check(_: DBAPIConnection, entry: ConnectionPoolEntry, __: PoolProxiedConnection) -> None:
        # Else a process would go on writing to a file that was deleted or replaced, and that nobody else can see.
        if entry.info.get("file") != file_at(path):
            raise exc.DisconnectionError("the file was replaced")

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # IMMEDIATE: a reader that turns writer would fail at once in place of waiting.
        reading = connection.get_execution_options().get("reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _connect(path: Path, arguments: list[Any], options: dict[str, Any]) -> sqlite3.Connection:
    """A connection to the file, in WAL mode; made if it is missing, one process at a time."""
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
    # Switching a file to WAL is not covered by SQLite's own patience.
    with alone_in(path.parent, timeout_s=options["timeout"]):
        if not path.exists():
            # Left over from a file that was deleted; another process may still have them mapped.
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
def alone_in(folder: Path, *, timeout_s: float) -> Generator[None]:
    """One process at a time opens a file in the folder. Raises sqlite3.OperationalError after `timeout_s`."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        deadline = time.monotonic() + timeout_s
        while not _is_ours(fd):
            if time.monotonic() > deadline:
                raise sqlite3.OperationalError("another process has been opening it for too long")
            time.sleep(_PAUSE_S)
        yield
    finally:
        os.close(fd)


_PAUSE_S = 0.01


def _is_ours(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def file_at(path: Path) -> tuple[int, int] | None:
    """Which file lies there, by its numbers; None for none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - 1 microsecond, Path.stat takes 3
    except OSError:
        return None
    return found.st_dev, found.st_ino
