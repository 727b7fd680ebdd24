"""One database, SQLite or PostgreSQL: short transactions on a thread, never on the event loop."""

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

from pellucid.database.engines import make_engine, place_of, without_secrets
from pellucid.database.line import TOO_MUCH, WriteLine
from pellucid.database.upgrade import OURS, Schema
from pellucid.errors import DatabaseAwayError, DatabaseBusyError, DatabaseDamagedError, DatabaseError

ResultT = TypeVar("ResultT")

_THREADS = 4
"""Reads at a time per process. They wait on threads, not on the event loop."""

_WRITERS = 2
"""PostgreSQL's writes at a time per process, apart from reads: they wait for each other, and for locks. SQLite has a
line of its own.
"""

_WAITING = 1000
"""Works that wait for a thread of either kind, or in SQLite's line; beyond that the answer is an error at once."""

BUSY_TIMEOUT_S = 10.0
"""Whoever waits longer for the database is told that it failed."""

_UPGRADE_S = 600.0
"""Patience for the steps to a new schema: an index over ten million charges takes a minute."""

_AGAIN_S = 1.0
"""A database that could not be reached is asked again after this; until then, and while one asks, all others are told
at once: threads that wait for a silent server would be missing where it is needed.
"""

_NOT_FOR_US = ("authentication failed", "does not exist", "no pg_hba.conf entry", "permission denied")
"""What PostgreSQL says to who comes with the wrong name or password, before there is a connection and a code."""

_MISSING_TABLE = "no such table"
_UNDEFINED_TABLE = "42P01"
_LOCKED = "55P03"
"""PostgreSQL: `lock_timeout` is over."""

_TRY_AGAIN = frozenset({"40001", "40P01"})
"""PostgreSQL: serialization failure, deadlock."""

_OF_THE_DISK = ("SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_FULL", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH")


class Database:
    """Every method raises DatabaseError when the database fails; what was begun is rolled back.

    The tables are made, or brought to this version's schema, before the first transaction, whenever that is: a process
    may start while the database is away, and goes on by itself when it is back.

    `busy_timeout_s`: how long another's write is waited for, and PostgreSQL to take a connection. A file that is not
    `durable` loses its last transactions with the power; `threads` read at a time. Without `upgrades` a database of
    another schema is left as it is: who only looks gets a DatabaseError. Raises SettingsError for a URL that is none.
    """

    def __init__(
        self,
        url: str,
        *,
        busy_timeout_s: float = 10.0,
        schema: Schema = OURS,
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
        self._readers = _Threads(threads, name="database")
        self._writers = _Threads(_WRITERS, name="database-write")
        self._line: WriteLine | None = None
        if self._is_sqlite:
            alone = partial(self._run, self._engine)
            self._line = WriteLine(self._begin, alone=alone, explain=self._explain, room=_WAITING)
        self._has_schema = False
        self._absence = _Absence()

    @classmethod
    async def open(cls, url: str, *, busy_timeout_s: float = 10.0) -> Database:
        """The database at `url` (`sqlite:////path`, `postgresql://...`), its schema brought up to date. Raises
        SettingsError, DatabaseError.
        """
        database = cls(url, busy_timeout_s=busy_timeout_s)
        try:
            await database.bring_up()
        except BaseException:
            await database.aclose()
            raise
        return database

    @property
    def url(self) -> sa.URL:
        """Where it is, secrets included."""
        return self._engine.url

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file."""
        return self._is_sqlite

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return place_of(self._engine.url)

    async def bring_up(self) -> None:
        """Bring the schema up to date now rather than with the first transaction."""
        await self._in_time(self._writers.submit(partial(self._run, self._reading, lambda _: None)), _UPGRADE_S)

    async def run(self, work: Callable[[sa.Connection], ResultT], *, max_wait_s: float = BUSY_TIMEOUT_S) -> ResultT:
        """The result of `work`, done in one transaction, in SQLite perhaps together with that of others. It may be done
        twice: when the file was replaced by an empty one, another's work failed, the connection was lost before the
        commit, or PostgreSQL asks for another try. Where it took too long, DatabaseError says so, and it may have been
        done or not.
        """
        if self._line is not None:
            return await self._in_time(self._line.submit(work), max_wait_s)
        return await self._in_time(self._writers.submit(partial(self._run, self._engine, work)), max_wait_s)

    async def read(self, work: Callable[[sa.Connection], ResultT], *, max_wait_s: float = BUSY_TIMEOUT_S) -> ResultT:
        """`run` for work that only reads: it waits for no writer. In SQLite it sees one moment, in PostgreSQL each
        statement its own. `max_wait_s`: how long the result is waited for.
        """
        return await self._in_time(self._readers.submit(partial(self._run, self._reading, work)), max_wait_s)

    async def look(self, work: Callable[[sa.Connection], ResultT], *, max_wait_s: float = BUSY_TIMEOUT_S) -> ResultT:
        """`read` that leaves the schema as it is: for those who ask which one it is."""
        look = partial(self._run, self._reading, work, upgrades=False)
        return await self._in_time(self._readers.submit(look), max_wait_s)

    async def _in_time(self, done: Future[ResultT], max_wait_s: float) -> ResultT:
        try:
            async with asyncio.timeout(max_wait_s):
                return await asyncio.wrap_future(done)
        except TimeoutError as error:
            raise DatabaseError(f"the database {self.place} did not answer within {max_wait_s:g} s") from error

    def _run(self, engine: sa.Engine, work: Callable[[sa.Connection], ResultT], *, upgrades: bool = True) -> ResultT:
        self._absence.check()
        try:
            try:
                return self._try(engine, work, upgrades)
            except _TryAgainError:
                return self._try(engine, work, upgrades)
        except _TryAgainError as error:
            raise self._explain(error.cause) from error.cause
        except (exc.SQLAlchemyError, OSError) as error:
            # sqlite3's own words are in ours; a traceback would add nothing.
            raise self._explain(error) from (None if self._is_sqlite else error)

    def _try(self, engine: sa.Engine, work: Callable[[sa.Connection], ResultT], upgrades: bool) -> ResultT:
        worked = False
        try:
            if upgrades:
                self._upgrade_once()
            with engine.begin() as connection:
                self._absence.is_over()  # whatever becomes of the work
                result = work(connection)
                worked = True
        except exc.DBAPIError as error:
            # When the commit was on its way it may have been done.
            if self._may_help(error) or (error.connection_invalidated and not worked):
                raise _TryAgainError(error) from error
            raise
        return result

    def _upgrade_once(self) -> None:
        if self._has_schema:
            return
        # Looked at first: who reads, or starts while another writes, waits for nobody.
        with self._reading.begin() as connection:
            missing = not self._schema.is_current(connection)
        if missing and not self._upgrades:
            raise DatabaseError(
                f"the database {self.place} is of an older version, or has no tables yet: `pellucid db upgrade` brings "
                "it up to date, and so does the next start of a server"
            )
        if missing:
            with self._engine.begin() as connection:
                self._schema.bring_up(connection)
        self._has_schema = True

    def _begin(self) -> AbstractContextManager[sa.Connection]:
        """For the line of writers."""
        self._upgrade_once()
        return self._engine.begin()

    def _may_help(self, error: exc.DBAPIError) -> bool:
        """Whether trying again may help."""
        state = getattr(error.orig, "sqlstate", None)
        if _MISSING_TABLE in str(error.orig) or state == _UNDEFINED_TABLE:
            self._has_schema = False  # the file was replaced by an empty one, or somebody dropped everything
            return True
        return state in _TRY_AGAIN

    def _explain(self, error: Exception) -> DatabaseError:
        if isinstance(error, DatabaseError):
            return error
        original = getattr(error, "orig", None) or error
        cause = without_secrets(str(original).strip().partition("\n")[0], self._engine.url)
        if self._is_sqlite:
            return self._explain_file(original, cause)
        message = f"the database {self.place} cannot be used ({cause})"
        if any(reason in cause for reason in _NOT_FOR_US):
            return DatabaseError(f"{message}; check user, password and name in PELLUCID_DATABASE_URL")
        # A server that answers has a code for what is wrong; without one there was no connection, or there is none now.
        if isinstance(error, exc.OperationalError) and not getattr(original, "sqlstate", None):
            away = DatabaseAwayError(message)
            self._absence.begins(away)
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
        elif name.startswith(_OF_THE_DISK) or isinstance(error, OSError):
            hint = "it must lie in a folder on a local disk that has room and that this user may write to"
        else:
            # SQLITE_ERROR: our tables are not there, or something else is in their place.
            kind = DatabaseDamagedError if name == "SQLITE_ERROR" else DatabaseError
            return kind(f"the database {self.place} cannot be used ({cause})")
        return kind(f"the database {self._engine.url.database} cannot be used ({cause}); {hint}")

    async def aclose(self) -> None:
        """Close it; what runs is finished first."""
        if self._line is not None:
            await asyncio.to_thread(self._line.shutdown)
        await asyncio.to_thread(self._writers.shutdown)
        await asyncio.to_thread(self._readers.shutdown)
        self._engine.dispose()


class _Threads:
    """A few threads, and a bounded line before them."""

    def __init__(self, count: int, *, name: str) -> None:
        self._pool = ThreadPoolExecutor(max_workers=count, thread_name_prefix=name)
        self._room = threading.Semaphore(_WAITING)
        self.shutdown = self._pool.shutdown

    def submit(self, work: Callable[[], ResultT]) -> Future[ResultT]:
        """The result of `work`, some time. Raises DatabaseBusyError."""
        if not self._room.acquire(blocking=False):
            raise DatabaseBusyError(TOO_MUCH)
        future = self._pool.submit(work)
        future.add_done_callback(lambda _: self._room.release())
        return future


class _TryAgainError(Exception):
    """Doing the work once more may help."""

    def __init__(self, cause: exc.DBAPIError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class _Absence:
    """Whether the database could be reached when that was last tried. Used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._error: DatabaseAwayError | None = None
        self._again_at = 0.0

    def check(self) -> None:
        """Raises DatabaseAwayError where it was away just now, unless it is time for the caller to ask again."""
        with self._lock:
            if self._error is None:
                return
            if time.monotonic() < self._again_at:
                raise DatabaseAwayError(str(self._error))
            self._again_at = time.monotonic() + BUSY_TIMEOUT_S  # this one asks; the others are told until it knows

    def begins(self, error: DatabaseAwayError) -> None:
        with self._lock:
            self._error = error
            self._again_at = time.monotonic() + _AGAIN_S

    def is_over(self) -> None:
        if self._error is not None:
            with self._lock:
                self._error = None
