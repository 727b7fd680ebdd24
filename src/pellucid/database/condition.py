"""Which database it is, how it stands, and what is to be done about it: for those who look after it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from pellucid.database.database import Database
from pellucid.database.old_files import OldFiles
from pellucid.database.tables import METADATA
from pellucid.database.takeover import Counts, take_over_files
from pellucid.database.upgrade import STEPS, revision_of
from pellucid.errors import DatabaseError

_COUNT_S = 600.0
"""Patience for counting all rows: a million take 0.1 s, ten million from a slow disk a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """How a database was found. `place` holds no secrets."""

    place: str
    revision: str | None
    """None: no tables yet, or those from before there were steps."""
    rows: dict[str, int]
    """Of each of our tables that is there."""
    old: str | None
    """Where files of an older version wait."""

    @property
    def to_do(self) -> str | None:
        """What is to be done, in a sentence; None for nothing."""
        how = "`pellucid db upgrade` does it, and so does the next start"
        if self.old is not None:
            return f"what an older version left in {self.old} is to be taken over: {how}"
        if self.revision == STEPS[-1]:
            return None
        if self.rows or self.revision is not None:
            return f"its schema is to be brought up to {STEPS[-1]}: {how}"
        return f"its tables are to be made: {how}"


async def look_at(database: Database, old: OldFiles) -> Condition:
    """How it stands; nothing is changed, and no file is made. Raises DatabaseError, also for a newer one."""
    revision, rows = None, {}
    # SQLite would make it. One that cannot be looked for is said to be so when it is opened.
    if not (database.is_sqlite and _is_missing(Path(database.url.database or ""))):
        revision, rows = await database.look(_examine, max_wait_s=_COUNT_S)
    return Condition(place=database.place, revision=revision, rows=rows, old=old.place if old.wait else None)


async def bring_up_to_date(database: Database, old: OldFiles, *, store: str) -> list[str]:
    """Go the steps that are missing and take over what an older version left; returns what was done, in sentences.
    Raises DatabaseError.
    """
    before = await look_at(database, old)
    await database.bring_up()
    done: list[str] = []
    if before.revision != STEPS[-1]:
        what = "brought up to" if before.rows else "made,"
        done.append(f"the tables were {what} schema {STEPS[-1]}")
    if before.old is not None:
        counts = await take_over_files(database, old=old, store=store)
        done.append(f"{before.old} was taken over and moved aside: {_in_words(counts)}")
    return done


def _examine(db: sa.Connection) -> tuple[str | None, dict[str, int]]:
    revision = revision_of(db)
    there = set(sa.inspect(db).get_table_names())
    count = sa.func.count()
    rows = {
        table.name: db.scalar(sa.select(count).select_from(table)) or 0
        for table in METADATA.sorted_tables
        if table.name in there
    }
    return revision, rows


def _is_missing(path: Path) -> bool:
    try:
        return not path.exists()
    except OSError as error:
        raise DatabaseError(f"the database {path} cannot be looked for: {error.strerror}") from error


_WORDS = {"outbox": "messages", "owed_again": "removals owed again"}


def _in_words(counts: Counts) -> str:
    found = [f"{count:,} {_WORDS.get(name, name)}" for name, count in counts.items() if count]
    return ", ".join(found) or "nothing was in it"
