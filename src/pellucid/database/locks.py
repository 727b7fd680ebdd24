"""Locks that transactions hold until they end. In SQLite the only writer has them all; in PostgreSQL they are advisory.

A transaction that needs several takes them in this order: removals, mattes, accounts sorted by token.
"""

from __future__ import annotations

import enum

import sqlalchemy as sa


class Lock(enum.IntEnum):
    """What only one transaction at a time may do. The values are arbitrary numbers that must never change."""

    SCHEMA = 8_400_640
    """Migrate the schema."""
    UPLOADS = 8_400_641
    """Reserve room for an upload: the limit on the total is shared."""
    REMOVALS = 8_400_642
    """Change the jobs of the named store. One change takes some ms, a job at least a hundred."""
    DELIVERIES = 8_400_643
    """Claim deliveries."""
    MATTES = 8_400_644
    """Mark mattes of the named store as the newest: every web process adopts mattes, and workers add more."""
    INVALIDATIONS = 8_400_645
    """Number invalidations. They become visible in order: a reader that has seen one never finds a lower one later."""
    ACCOUNTS = 8_400_646
    """Change the account of the named token."""


def lock(db: sa.Connection, which: Lock, name: str | None = None) -> None:
    """Wait for the lock and hold it until the transaction ends. With `name`, it is one lock per name."""
    if db.dialect.name == "postgresql":
        key = (int(which),) if name is None else (int(which), sa.func.hashtext(name))
        db.execute(sa.select(sa.func.pg_advisory_xact_lock(*key)))
