"""Every table of the database. Moments are seconds since the epoch, days and months UTC, written so that both
databases group and compare them alike.
"""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData()

SCHEMA_VERSION = 1

schema_versions = sa.Table(
    "ledger_schema",
    METADATA,
    sa.Column("version", sa.Integer, primary_key=True),
)

balances = sa.Table(
    "balances",
    METADATA,
    sa.Column("token", sa.String, primary_key=True),
    sa.Column("month", sa.String(7), primary_key=True),  # 2026-11
    sa.Column("charged", sa.BigInteger, nullable=False),  # credits: the sum of the month's charges
)
"""One row per token and month. Who reserves or charges locks it first, so that nobody overruns a limit."""

charges = sa.Table(
    "charges",
    METADATA,
    sa.Column("token", sa.String, primary_key=True),
    sa.Column("origin_digest", sa.String(32), primary_key=True),
    sa.Column("tier", sa.String, primary_key=True),
    sa.Column("operation", sa.String, nullable=False),
    sa.Column("credits", sa.BigInteger, nullable=False),  # as the price was then
    sa.Column("origin_host", sa.String, nullable=False),  # host or alias that the token named first
    sa.Column("day", sa.String(10), nullable=False),  # 2026-11-25
    sa.Column("charged_at", sa.Float, nullable=False),
)
"""What was paid: once per token, origin bytes and tier, for ever. A row is never changed."""

sa.Index("charges_by_day", charges.c.token, charges.c.day)

holds = sa.Table(
    "holds",
    METADATA,
    sa.Column("token", sa.String, primary_key=True),
    sa.Column("origin_digest", sa.String(32), primary_key=True),
    sa.Column("tier", sa.String, primary_key=True),
    sa.Column("operation", sa.String, nullable=False),
    sa.Column("credits", sa.BigInteger, nullable=False),
    sa.Column("origin_host", sa.String, nullable=False),
    sa.Column("job", sa.String, nullable=False, index=True),  # key of the job that owes the matte
    sa.Column("held_at", sa.Float, nullable=False),
)
"""What will be charged when a job that is owed ends well; it counts against the limit already."""

uploads = sa.Table(
    "uploads",
    METADATA,
    sa.Column("name", sa.String, primary_key=True),  # of the file; without its extension while it is being received
    sa.Column("place", sa.String, nullable=False),  # whose folder it lies in: machines may share a database
    sa.Column("client", sa.String, nullable=False),  # digest of who sent it, for the limits
    sa.Column("token", sa.String, nullable=False),
    sa.Column("secret_hash", sa.String, nullable=False),  # SHA-256 of what deletes it
    sa.Column("digest", sa.String(32), nullable=False, index=True),  # of the bytes; '' while it is being received
    sa.Column(
        "shared", sa.Boolean, nullable=False
    ),  # the store held these bytes before: they are another origin's, too
    sa.Column("size_bytes", sa.BigInteger, nullable=False),  # or what is reserved for it
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("expires_at", sa.Float, nullable=False, index=True),
)
"""Pictures that people sent here; their bytes lie in a folder. A row is written before the bytes are taken, so that
limits hold, and goes after the file.
"""

sa.Index("uploads_by_client", uploads.c.place, uploads.c.client)
