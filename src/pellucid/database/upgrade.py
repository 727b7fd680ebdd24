"""The schema: which one a database has, and the steps to ours. Each function is a part of a transaction.

Alembic is imported only where there is a step to go (0.25 s): at the first start, and after an upgrade.
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
    """The tables of a database. `is_current` only reads; `bring_up` makes what is missing, and looks again first: it
    is called by several processes at once.
    """

    is_current: Callable[[sa.Connection], bool]
    bring_up: Callable[[sa.Connection], None]


STEPS = ("0001", "0002")
"""The revisions in `migrations/versions`, the newest last."""

_OLD_QUEUE = "jobs"
"""A table that only the files of older versions have."""

_VERSIONS = sa.table("alembic_version", sa.column("version_num", sa.String))

_alembic = threading.Lock()
"""Alembic keeps its context in a module: one upgrade at a time in a process, whatever the database."""


def revision_of(connection: sa.Connection) -> str | None:
    """The revision that the database says it has, None for no tables of ours, or tables from before there were steps.

    Raises DatabaseSchemaError when a newer Pellucid wrote it.
    """
    if not sa.inspect(connection).has_table(_VERSIONS.name):
        return None
    revision: str | None = connection.scalar(sa.select(_VERSIONS.c.version_num))
    if revision is not None and revision not in STEPS:
        raise DatabaseSchemaError(
            f"the database is of schema {revision}, this Pellucid knows {STEPS[-1]}: run the newer one"
        )
    return revision


def is_ours(connection: sa.Connection) -> bool:
    """Whether there is no step to go. A read. Raises DatabaseSchemaError."""
    return revision_of(connection) == STEPS[-1]


def upgrade(connection: sa.Connection) -> None:
    """Go the steps that are missing, one process at a time: the transaction holds SQLite's write lock, or ours in
    PostgreSQL. Raises DatabaseError.
    """
    lock(connection, Lock.SCHEMA)
    if is_ours(connection):
        return
    if sa.inspect(connection).has_table(_OLD_QUEUE):
        raise DatabaseError(
            "the database is the queue's file of an older version, which is taken over by itself: name another one, or "
            "none, as database.url"
        )
    with _alembic:
        from alembic import command  # noqa: PLC0415 - seldom needed, see above
        from alembic.config import Config  # noqa: PLC0415

        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
        command.upgrade(config, "head")


OURS = Schema(is_current=is_ours, bring_up=upgrade)
"""Of the one database."""
