"""The row of each store in the table `stores`. Functions are parts of a transaction."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from pellucid.database.insert import upsert
from pellucid.database.tables import stores


def write(db: sa.Connection, store: str, **values: float) -> None:
    """Write `values` into the row of the store, which is created if it is missing."""
    row = {"store": store, "virtual_time": 0.0, "job_s": 0.0, "adopted": False, "checked_at": 0.0}
    upsert(db, stores, [row | values], keep=row.keys() - values.keys())


def read(db: sa.Connection, store: str, column: sa.Column[Any]) -> Any:  # noqa: ANN401 - the column's
    """A column of the row of the store; None if there is no row yet."""
    return db.scalar(sa.select(column).where(stores.c.store == store))
