"""The state of the database for operators: which one it is, its schema, and whether an upgrade is needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from pellucid.database.database import Database
from pellucid.database.old_files import OldFiles
from pellucid.database.tables import METADATA
from pellucid.database.takeover import Counts, take_over_files
from pellucid.database.upgrade import MIGRATIONS, revision_of
from pellucid.errors import DatabaseError

_COUNT_S = 600.0
"""Timeout for counting all rows: a million take 0.1 s, ten million on a slow disk a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseStatus:
    """The state of a database."""

    place: str
    """Its URL without secrets."""
    revision: str | None
    """None: no tables yet, or tables from before the first migration."""
    rows: dict[str, int]
    """Number of rows by table, for those of our tables that exist."""
    old: str | None
    """Path of an older version's files that were not imported yet; None if there are none."""

    @property
    def to_do(self) -> str | None:
        """What the operator has to do, in a sentence; None for nothing."""
        how = "`pellucid db upgrade` does it, and so does the next start"
        if self.old is not None:
            return f"the data of an older version in {self.old} is to be taken over: {how}"
        if self.revision == MIGRATIONS[-1]:
            return None
        if self.rows or self.revision is not None:
            return f"its schema is to be brought up to {MIGRATIONS[-1]}: {how}"
        return f"its tables are to be made: {how}"


async def read_status(database: Database, old: OldFiles) -> DatabaseStatus:
    """Read the state of the database. Nothing is changed, and no file is created.

    Raises DatabaseError, also for a database of a newer Pellucid.
    """
    revision, rows = None, {}
    # SQLite would create a missing file.
    if not (database.is_sqlite and _is_missing(Path(database.url.database or ""))):
        revision, rows = await database.inspect(_examine, max_wait_s=_COUNT_S)
    return DatabaseStatus(place=database.place, revision=revision, rows=rows, old=old.place if old.is_pending else None)


async def upgrade_database(database: Database, old: OldFiles, *, store: str) -> list[str]:
    """Run the missing migrations and import the files of an older version. Returns what was done, in sentences.

    Raises DatabaseError.
    """
    before = await read_status(database, old)
    await database.migrate()
    done: list[str] = []
    if before.revision != MIGRATIONS[-1]:
        what = "brought up to" if before.rows else "made,"
        done.append(f"the tables were {what} schema {MIGRATIONS[-1]}")
    if before.old is not None:
        counts = await take_over_files(database, old=old, store=store)
        done.append(f"{before.old} was taken over and moved aside: {_in_words(counts)}")
    return done


def _examine(db: sa.Connection) -> tuple[str | None, dict[str, int]]:
    revision = revision_of(db)
    existing = set(sa.inspect(db).get_table_names())
    count = sa.func.count()
    rows = {
        table.name: db.scalar(sa.select(count).select_from(table)) or 0
        for table in METADATA.sorted_tables
        if table.name in existing
    }
    return revision, rows


def _is_missing(path: Path) -> bool:
    try:
        return not path.exists()
    except OSError as error:
        raise DatabaseError(f"the database {path} cannot be looked for: {error.strerror}") from error


_WORDS = {"outbox": "messages", "requeued": "removals queued again"}


def _in_words(counts: Counts) -> str:
    found = [f"{count:,} {_WORDS.get(name, name)}" for name, count in counts.items() if count]
    return ", ".join(found) or "nothing was in it"
