"""One database, SQLite or PostgreSQL: short transactions on a thread, never on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from pellucid.database.line import WriteLine
from pellucid.database.tables import METADATA, SCHEMA_VERSION, schema_versions
from pellucid.errors import DatabaseBusyError, DatabaseError, DatabaseSchemaError, SettingsError

ResultT = TypeVar("ResultT")

_SCHEMA_LOCK = 8_400_640
"""Key of the advisory lock under which processes make tables in PostgreSQL; any number that is always the same."""

_THREADS = 4
"""Transactions at a time per process; SQLite has one writer anyway. They wait on threads, not on the event loop."""

_PATIENCE_S = 10.0
"""Whoever waits longer for the database is told that it failed: a server that a firewall hides answers nobody."""

_IDLE_S = 10
"""PostgreSQL ends a transaction whose process says nothing for so long, a stopped one: others wait for its locks."""


class Database:
    """Opened by `open`. Every method raises DatabaseError when the database fails; what was begun is rolled back."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._reading = engine.execution_options(reading=True)
        self._threads = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="database")
        self._line: WriteLine | None = None
        if engine.dialect.name == "sqlite":
            self._line = WriteLine(engine, alone=partial(self._run, engine), explain=self._explain)

    @classmethod
    async def open(cls, url: str, *, busy_timeout_s: float = 10.0) -> Database:
        """The database at `url` (`sqlite:////path`, `postgresql://...`), its tables made if they are missing.

        `busy_timeout_s`: how long another's write is waited for, and PostgreSQL to take a connection. Raises
        SettingsError for a URL that is none, DatabaseError.
        """
        database = cls(_make_engine(url, busy_timeout_s))
        try:
            await database.run(_bring_up)
        except BaseException:
            await database.aclose()
            raise
        return database

    async def run(self, work: Callable[[sa.Connection], ResultT]) -> ResultT:
        """The result of `work`, done in one transaction, in SQLite perhaps together with that of others. It may be done
        twice: when the file was replaced by an empty one, another's work failed, or PostgreSQL asks for another try.
        Where it took too long, DatabaseError says so, and it may have been done or not.
        """
        if self._line is not None:
            return await self._in_time(self._line.submit(work), _PATIENCE_S)
        return await self._in_time(self._threads.submit(self._run, self._engine, work), _PATIENCE_S)

    async def read(self, work: Callable[[sa.Connection], ResultT], *, patience_s: float = _PATIENCE_S) -> ResultT:
        """`run` for work that only reads: it waits for no writer. `patience_s`: how long the result is waited for."""
        return await self._in_time(self._threads.submit(self._run, self._reading, work), patience_s)

    async def _in_time(self, done: Future[ResultT], patience_s: float) -> ResultT:
        try:
            async with asyncio.timeout(patience_s):
                return await asyncio.wrap_future(done)
        except TimeoutError as error:
            raise DatabaseError(f"the database {self._where} did not answer within {patience_s:g} s") from error

    def _run(self, engine: sa.Engine, work: Callable[[sa.Connection], ResultT]) -> ResultT:
        try:
            try:
                with engine.begin() as connection:
                    return work(connection)
            except (exc.OperationalError, exc.ProgrammingError) as error:
                if not _may_help(error):
                    raise
                with self._engine.begin() as connection:
                    _bring_up(connection)
                with engine.begin() as connection:
                    return work(connection)
        except exc.SQLAlchemyError as error:
            raise self._explain(error) from error

    def _explain(self, error: Exception) -> DatabaseError:
        original = getattr(error, "orig", None) or error
        cause = _without_secrets(str(original).strip().partition("\n")[0], self._engine.url)
        name: str = getattr(original, "sqlite_errorname", "")
        kind = DatabaseBusyError if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) else DatabaseError
        return kind(f"the database {self._where} cannot be used ({cause})")

    @property
    def _where(self) -> str:
        return _place(self._engine.url)

    async def aclose(self) -> None:
        """Close it; what runs is finished first."""
        if self._line is not None:
            await asyncio.to_thread(self._line.shutdown)
        await asyncio.to_thread(self._threads.shutdown)
        self._engine.dispose()


def file_url(path: Path) -> str:
    """The URL of a SQLite file, whatever characters its path has."""
    return sa.URL.create("sqlite", database=str(path)).render_as_string()


def _place(url: sa.URL) -> str:
    """The URL for people: without its password, and of its query the place alone. Drivers take secrets there as well
    (`password=`, `sslpassword=`, whatever a later one brings).
    """
    shown = {name: value for name, value in url.query.items() if name in _PLACE}
    return url.set(query=shown).render_as_string(hide_password=True)


_PLACE = frozenset({"host", "hostaddr", "port"})
"""What of a URL's query is shown."""


_SHORTEST_SECRET = 4
"""Shorter texts of a query are words like `on`, which occur in any message."""


def _without_secrets(text: str, url: sa.URL) -> str:
    """`text` without what the URL holds beside its place. A driver may repeat what it was given."""
    query = url.normalized_query.items()
    given = [
        value for name, values in query if name not in _PLACE for value in values if len(value) >= _SHORTEST_SECRET
    ]
    for secret in sorted({url.password or "", *given} - {""}, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


_UNUSABLE = "the ledger's URL cannot be used"

_HOW = (
    f"{_UNUSABLE}: write postgresql://user:password@host:port/database, with every @ : / ? # % of a password"
    " percent-encoded (@ is %40), or sqlite:////folder/file"
)
"""What is wrong with it is not repeated: a password with an @ in it is taken for a host or a port."""


def _make_engine(url: str, busy_timeout_s: float) -> sa.Engine:
    try:
        parsed = sa.make_url(url)
        backend = parsed.get_backend_name()
        if backend == "postgresql" and "@" not in (parsed.host or ""):
            return _make_postgres(parsed.set(drivername="postgresql+psycopg"), busy_timeout_s)
    except ImportError as error:
        raise SettingsError(f"{_UNUSABLE}: {error}; install pellucid[postgres]") from error
    except (exc.ArgumentError, ValueError, TypeError):
        raise SettingsError(_HOW) from None
    if backend == "postgresql":
        raise SettingsError(_HOW)
    if backend != "sqlite":
        raise SettingsError(f"the ledger lives in SQLite or PostgreSQL, not in {backend}")
    if parsed.database in (None, "", ":memory:"):
        raise SettingsError("the ledger needs a file that stays and that all processes see: sqlite:////folder/file")
    return _make_sqlite(parsed, busy_timeout_s)


def _make_postgres(url: sa.URL, busy_timeout_s: float) -> sa.Engine:
    # Without these the kernel waits 2 minutes for a host that is gone, and hours for one that went (libpq, 32.1.2).
    given_up = {
        "connect_timeout": max(2, round(busy_timeout_s)),
        "tcp_user_timeout": round(1000 * _PATIENCE_S),
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 2,
    }
    mine = {name: value for name, value in given_up.items() if name not in url.query}
    engine = sa.create_engine(url, pool_pre_ping=True, connect_args=mine)

    @event.listens_for(engine, "connect")
    def prepare(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        # Statements, because PgBouncer takes no `options`.
        cursor = connection.cursor()
        cursor.execute(f"SET lock_timeout = '{busy_timeout_s:g}s'")
        cursor.execute(f"SET idle_in_transaction_session_timeout = '{_IDLE_S}s'")
        cursor.close()
        connection.commit()

    return engine


def _make_sqlite(url: sa.URL, busy_timeout_s: float) -> sa.Engine:
    # A connection per transaction (0.2 ms): one that is kept would go on writing to a file that was replaced.
    engine = sa.create_engine(url, poolclass=NullPool, connect_args={"timeout": busy_timeout_s})

    @event.listens_for(engine, "connect")
    def prepare(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        # sqlite3 would begin transactions by its own rules; FULL, because a charge must survive a power cut.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # IMMEDIATE: a reader that turns writer would fail at once in place of waiting.
        reading = connection.get_execution_options().get("reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _bring_up(connection: sa.Connection) -> None:
    """Make what is missing, one process at a time: the transaction holds SQLite's write lock, or ours in PostgreSQL."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
    METADATA.create_all(connection)
    version = connection.scalar(sa.select(sa.func.max(schema_versions.c.version)))
    if version is None:
        connection.execute(schema_versions.insert().values(version=SCHEMA_VERSION))
    elif version > SCHEMA_VERSION:
        raise DatabaseSchemaError(
            f"the ledger is of schema {version}, this Pellucid knows {SCHEMA_VERSION}: run the newer one"
        )


_MISSING_TABLE = "no such table"
_TRY_AGAIN = frozenset({"40001", "40P01", "42P01"})
"""PostgreSQL: serialization failure, deadlock, no such table."""


def _may_help(error: exc.DBAPIError) -> bool:
    """Whether making tables and trying again may help."""
    state = getattr(error.orig, "sqlstate", None)
    return _MISSING_TABLE in str(error.orig) or state in _TRY_AGAIN
