"""Locks that transactions hold until they end. In SQLite the one writer has them all; in PostgreSQL they are advisory.

Who needs several takes them in this order: removals, mattes, accounts by the names of their tokens.
"""

from __future__ import annotations

import enum

import sqlalchemy as sa


class Lock(enum.IntEnum):
    """What only one transaction at a time may do. The keys may be any numbers that stay the same."""

    SCHEMA = 8_400_640
    """Change the schema."""
    UPLOADS = 8_400_641
    """Reserve room for an upload: the total is everybody's."""
    REMOVALS = 8_400_642
    """Change the removals of the store that is named. One change takes some ms, a removal at least a hundred."""
    DELIVERIES = 8_400_643
    """Claim deliveries."""
    MATTES = 8_400_644
    """Make mattes of the store that is named the newest: every web process adopts them, and workers make more."""
    INVALIDATIONS = 8_400_645
    """Number invalidations: they become visible in their order, so that who has seen one finds no lower one later."""
    ACCOUNTS = 8_400_646
    """Change the accounts of the token that is named."""


def lock(db: sa.Connection, which: Lock, name: str | None = None) -> None:
    """Wait until nobody else has the lock, and have it until the transaction ends."""
    if db.dialect.name == "postgresql":
        key = (int(which),) if name is None else (int(which), sa.func.hashtext(name))
        db.execute(sa.select(sa.func.pg_advisory_xact_lock(*key)))
