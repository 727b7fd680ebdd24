"""The schema of the database and its migrations. Each function is part of a transaction.

Alembic is imported (0.25 s) only if a migration is to run: at the first start, and after an upgrade.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from pellucid.database.locks import Lock, lock
from pellucid.errors import DatabaseError, DatabaseSchemaError


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """How the tables of a database are checked and created."""

    is_current: Callable[[sa.Connection], bool]
    """Only reads."""
    migrate: Callable[[sa.Connection], None]
    """Creates what is missing. It checks first, because several processes may call it at once."""


MIGRATIONS = ("0001", "0002")
"""The revisions in `migrations/versions`, the newest last."""

_OLD_QUEUE = "jobs"
"""A table that only exists in files of older versions."""

_VERSIONS = sa.table("alembic_version", sa.column("version_num", sa.String))

_alembic = threading.Lock()
"""Alembic keeps its context in a module, so a process can run one upgrade at a time, of any database."""


def revision_of(connection: sa.Connection) -> str | None:
    """The revision of the database. None: it has no tables of ours, or tables from before the first migration.

    Raises DatabaseSchemaError when a newer Pellucid wrote it.
    """
    if not sa.inspect(connection).has_table(_VERSIONS.name):
        return None
    revision: str | None = connection.scalar(sa.select(_VERSIONS.c.version_num))
    if revision is not None and revision not in MIGRATIONS:
        raise DatabaseSchemaError(
            f"the database is of schema {revision}, this Pellucid knows {MIGRATIONS[-1]}: run the newer one"
        )
    return revision


def is_current(connection: sa.Connection) -> bool:
    """Whether all migrations have run. Only reads. Raises DatabaseSchemaError."""
    return revision_of(connection) == MIGRATIONS[-1]


def upgrade(connection: sa.Connection) -> None:
    """Run the missing migrations, one process at a time: the transaction holds SQLite's write lock, or in PostgreSQL an
    advisory lock. Raises DatabaseError.
    """
    lock(connection, Lock.SCHEMA)
    if is_current(connection):
        return
    if sa.inspect(connection).has_table(_OLD_QUEUE):
        raise DatabaseError(
            "the database is the queue file of an older version, which is taken over automatically: name another file, "
            "or none, as database.url"
        )
    with _alembic:
        from alembic import command  # noqa: PLC0415 - seldom needed, see above
        from alembic.config import Config  # noqa: PLC0415

        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
        command.upgrade(config, "head")


SCHEMA = Schema(is_current=is_current, migrate=upgrade)
"""The schema of Pellucid's database."""
