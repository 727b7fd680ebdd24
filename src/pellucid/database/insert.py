"""Inserts for both databases. SQLAlchemy has a construct of its own for each."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

Insert = sqlite.Insert | postgresql.Insert


def insert_once(db: sa.Connection, table: sa.Table) -> Insert:
    """INSERT that skips rows whose key exists already."""
    return _insert(db, table).on_conflict_do_nothing()


def upsert(db: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]], *, keep: Collection[str] = ()) -> None:
    """Insert `rows`, or overwrite rows with the same key. The columns `keep` are not overwritten."""
    insert = _insert(db, table)
    key = [column.name for column in table.primary_key]
    changed = {name: insert.excluded[name] for name in rows[0] if name not in key and name not in keep}
    db.execute(insert.on_conflict_do_update(index_elements=key, set_=changed), list(rows))


def _insert(db: sa.Connection, table: sa.Table) -> Insert:
    return postgresql.insert(table) if db.dialect.name == "postgresql" else sqlite.insert(table)
