"""One database, SQLite or PostgreSQL. Transactions are short and run on threads, never on the event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy import exc

from pellucid.database.engines import display_url, make_engine, without_secrets
from pellucid.database.group_commit import QUEUE_FULL, GroupCommit
from pellucid.database.upgrade import SCHEMA, Schema
from pellucid.errors import DatabaseAwayError, DatabaseBusyError, DatabaseDamagedError, DatabaseError

ResultT = TypeVar("ResultT")

_THREADS = 4
"""Simultaneous reads per process. They wait on threads, not on the event loop."""

_WRITERS = 2
"""Simultaneous writes per process to PostgreSQL, on threads apart from the reads: writes wait for each other and for
locks. Writes to SQLite go through `GroupCommit`.
"""

_MAX_QUEUED = 1000
"""Transactions that wait for a thread of either kind, or in `GroupCommit`. Further ones fail at once."""

BUSY_TIMEOUT_S = 10.0
"""Default time after which a caller that waits for the database gets a DatabaseError."""

_UPGRADE_S = 600.0
"""Timeout of all migrations: an index over ten million charges takes a minute."""

_RECONNECT_S = 1.0
"""Pause between attempts to reach a database that could not be reached. Until one attempt succeeds, all other callers
get an error at once: threads that wait for a silent server would be missing elsewhere.
"""

_ACCESS_ERRORS = ("authentication failed", "does not exist", "no pg_hba.conf entry", "permission denied")
"""Messages of PostgreSQL about a wrong user, password or name. No connection exists then, and no error code."""

_MISSING_TABLE = "no such table"
_UNDEFINED_TABLE = "42P01"
_LOCKED = "55P03"
"""PostgreSQL: `lock_timeout` was exceeded."""

_RETRYABLE = frozenset({"40001", "40P01"})
"""PostgreSQL: serialization failure, deadlock."""

_DISK_ERRORS = ("SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_FULL", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH")


class Database:
    """A database. Every method raises DatabaseError when the database fails, and rolls its transaction back.

    The tables are created or migrated before the first transaction, whenever that is. So a process may start while the
    database is unavailable, and works as soon as it is back.

    `busy_timeout_s`: how long to wait for the write of another process, and for a connection to PostgreSQL.
    `durable`: False lets SQLite lose its last transactions in a power cut.
    `threads`: simultaneous reads.
    `upgrades`: False leaves a database of another schema alone, and its use raises DatabaseError.

    Raises SettingsError for an invalid URL.
    """

    def __init__(
        self,
        url: str,
        *,
        busy_timeout_s: float = 10.0,
        schema: Schema = SCHEMA,
        durable: bool = True,
        threads: int = _THREADS,
        upgrades: bool = True,
    ) -> None:
        self._engine = make_engine(url, busy_timeout_s=busy_timeout_s, durable=durable)
        self._schema = schema
        self._upgrades = upgrades
        self._busy_timeout_s = busy_timeout_s
        self._is_sqlite = self._engine.dialect.name == "sqlite"
        # PostgreSQL's reads are statements by themselves: a transaction would cost two round trips more.
        self._reading = self._engine.execution_options(
            **({"reading": True} if self._is_sqlite else {"isolation_level": "AUTOCOMMIT"})
        )
        self._readers = _BoundedPool(threads, name="database")
        self._writers = _BoundedPool(_WRITERS, name="database-write")
        self._group_commit: GroupCommit | None = None
        if self._is_sqlite:
            run_single = partial(self._run, self._engine)
            self._group_commit = GroupCommit(
                self._begin, run_single=run_single, explain=self._explain, max_queued=_MAX_QUEUED
            )
        self._has_schema = False
        self._outage = _Outage()

    @classmethod
    async def open(cls, url: str, *, busy_timeout_s: float = 10.0) -> Database:
        """Open the database at `url` (`sqlite:////path`, `postgresql://...`) and migrate it. Raises SettingsError,
        DatabaseError.
        """
        database = cls(url, busy_timeout_s=busy_timeout_s)
        try:
            await database.migrate()
        except BaseException:
            await database.aclose()
            raise
        return database

    @property
    def url(self) -> sa.URL:
        """The URL, secrets included."""
        return self._engine.url

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is a SQLite file."""
        return self._is_sqlite

    @property
    def place(self) -> str:
        """The URL without secrets, for messages."""
        return display_url(self._engine.url)

    async def migrate(self) -> None:
        """Migrate the schema now rather than before the first transaction."""
        await self._in_time(self._writers.submit(partial(self._run, self._reading, lambda _: None)), _UPGRADE_S)

    async def run(self, work: Callable[[sa.Connection], ResultT], *, max_wait_s: float = BUSY_TIMEOUT_S) -> ResultT:
        """Run `work` in one transaction and return its result. SQLite may run several works in one transaction.

        `work` may run twice: when the file was replaced by an empty one, when another work of the same transaction
        failed, when the connection was lost before the commit, or when PostgreSQL requests a retry. After a timeout
        DatabaseError is raised, and the transaction may have been committed or not.
        """
        if self._group_commit is not None:
            return await self._in_time(self._group_commit.submit(work), max_wait_s)
        return await self._in_time(self._writers.submit(partial(self._run, self._engine, work)), max_wait_s)

    async def read(self, work: Callable[[sa.Connection], ResultT], *, max_wait_s: float = BUSY_TIMEOUT_S) -> ResultT:
        """Run `work` that only reads; it does not wait for writers. In SQLite all its statements see the same snapshot,
        in PostgreSQL each has its own. `max_wait_s` is the timeout for the result.
        """
        return await self._in_time(self._readers.submit(partial(self._run, self._reading, work)), max_wait_s)

    async def inspect(self, work: Callable[[sa.Connection], ResultT], *, max_wait_s: float = BUSY_TIMEOUT_S) -> ResultT:
        """`read` without a migration, to find out which schema the database has."""
        inspect = partial(self._run, self._reading, work, upgrades=False)
        return await self._in_time(self._readers.submit(inspect), max_wait_s)

    async def _in_time(self, done: Future[ResultT], max_wait_s: float) -> ResultT:
        try:
            async with asyncio.timeout(max_wait_s):
                return await asyncio.wrap_future(done)
        except TimeoutError as error:
            raise DatabaseError(f"the database {self.place} did not answer within {max_wait_s:g} s") from error

    def _run(self, engine: sa.Engine, work: Callable[[sa.Connection], ResultT], *, upgrades: bool = True) -> ResultT:
        self._outage.check()
        try:
            try:
                return self._try(engine, work, upgrades)
            except _RetryError:
                return self._try(engine, work, upgrades)
        except _RetryError as error:
            raise self._explain(error.cause) from error.cause
        except (exc.SQLAlchemyError, OSError) as error:
            # Our message contains that of sqlite3; a traceback would add nothing.
            raise self._explain(error) from (None if self._is_sqlite else error)

    def _try(self, engine: sa.Engine, work: Callable[[sa.Connection], ResultT], upgrades: bool) -> ResultT:
        worked = False
        try:
            if upgrades:
                self._upgrade_once()
            with engine.begin() as connection:
                self._outage.end()  # whether or not the work succeeds
                result = work(connection)
                worked = True
        except exc.DBAPIError as error:
            # After `work`, the connection may have been lost during the commit, which may have succeeded: no retry.
            if self._is_retryable(error) or (error.connection_invalidated and not worked):
                raise _RetryError(error) from error
            raise
        return result

    def _upgrade_once(self) -> None:
        if self._has_schema:
            return
        # Checked with a read first, so that reads and starts do not wait for a writer.
        with self._reading.begin() as connection:
            missing = not self._schema.is_current(connection)
        if missing and not self._upgrades:
            raise DatabaseError(
                f"the database {self.place} is of an older version, or has no tables yet: `pellucid db upgrade` brings "
                "it up to date, and so does the next start of a server"
            )
        if missing:
            with self._engine.begin() as connection:
                self._schema.migrate(connection)
        self._has_schema = True

    def _begin(self) -> AbstractContextManager[sa.Connection]:
        """Begin a transaction of `GroupCommit`."""
        self._upgrade_once()
        return self._engine.begin()

    def _is_retryable(self, error: exc.DBAPIError) -> bool:
        """Whether a retry may succeed."""
        state = getattr(error.orig, "sqlstate", None)
        if _MISSING_TABLE in str(error.orig) or state == _UNDEFINED_TABLE:
            self._has_schema = False  # the file was replaced by an empty one, or the tables were dropped
            return True
        return state in _RETRYABLE

    def _explain(self, error: Exception) -> DatabaseError:
        if isinstance(error, DatabaseError):
            return error
        original = getattr(error, "orig", None) or error
        cause = without_secrets(str(original).strip().partition("\n")[0], self._engine.url)
        if self._is_sqlite:
            return self._explain_file(original, cause)
        message = f"the database {self.place} cannot be used ({cause})"
        if any(reason in cause for reason in _ACCESS_ERRORS):
            return DatabaseError(f"{message}; check user, password and name in PELLUCID_DATABASE_URL")
        # A server that answers sends an error code. Without one there was no connection, or it was lost.
        if isinstance(error, exc.OperationalError) and not getattr(original, "sqlstate", None):
            away = DatabaseAwayError(message)
            self._outage.begin(away)
            return away
        if getattr(original, "sqlstate", None) == _LOCKED:
            return DatabaseBusyError(f"{message}; another process has kept it for more than {self._busy_timeout_s:g} s")
        return DatabaseError(message)

    def _explain_file(self, error: BaseException, cause: str) -> DatabaseError:
        name: str = getattr(error, "sqlite_errorname", "")
        kind = DatabaseError
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            kind = DatabaseDamagedError
            hint = (
                "it is damaged: stop everything, move it away with its -wal and -shm (no finished matte is lost, but "
                "what was charged is, unless `sqlite3 FILE .recover` saves it)"
            )
        elif name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) or (not name and "for too long" in cause):
            kind = DatabaseBusyError
            hint = (
                f"another process has kept it locked for more than {self._busy_timeout_s:g} s: "
                "look for a backup, a copy or a database shell that holds it"
            )
        elif name.startswith(_DISK_ERRORS) or isinstance(error, OSError):
            hint = "it must lie in a folder on a local disk that has room and that this user may write to"
        else:
            # SQLITE_ERROR: our tables are missing, or other tables have their names.
            kind = DatabaseDamagedError if name == "SQLITE_ERROR" else DatabaseError
            return kind(f"the database {self.place} cannot be used ({cause})")
        return kind(f"the database {self._engine.url.database} cannot be used ({cause}); {hint}")

    async def aclose(self) -> None:
        """Close the database after the transactions that run."""
        if self._group_commit is not None:
            await asyncio.to_thread(self._group_commit.shutdown)
        await asyncio.to_thread(self._writers.shutdown)
        await asyncio.to_thread(self._readers.shutdown)
        self._engine.dispose()


class _BoundedPool:
    """A few threads with a bounded queue."""

    def __init__(self, count: int, *, name: str) -> None:
        self._pool = ThreadPoolExecutor(max_workers=count, thread_name_prefix=name)
        self._room = threading.Semaphore(_MAX_QUEUED)
        self.shutdown = self._pool.shutdown

    def submit(self, work: Callable[[], ResultT]) -> Future[ResultT]:
        """Run `work` on a thread. Raises DatabaseBusyError when the queue is full."""
        if not self._room.acquire(blocking=False):
            raise DatabaseBusyError(QUEUE_FULL)
        future = self._pool.submit(work)
        future.add_done_callback(lambda _: self._room.release())
        return future


class _RetryError(Exception):
    """A retry of the transaction may succeed."""

    def __init__(self, cause: exc.DBAPIError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class _Outage:
    """Whether the last attempt to reach the database failed. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._error: DatabaseAwayError | None = None
        self._again_at = 0.0

    def check(self) -> None:
        """Raise DatabaseAwayError during an outage, unless it is the caller's turn to try again."""
        with self._lock:
            if self._error is None:
                return
            if time.monotonic() < self._again_at:
                raise DatabaseAwayError(str(self._error))
            self._again_at = (
                time.monotonic() + BUSY_TIMEOUT_S
            )  # the caller tries; other callers get the error meanwhile

    def begin(self, error: DatabaseAwayError) -> None:
        with self._lock:
            self._error = error
            self._again_at = time.monotonic() + _RECONNECT_S

    def end(self) -> None:
        if self._error is not None:
            with self._lock:
                self._error = None
