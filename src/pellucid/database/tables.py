"""All tables of the database, as the newest migration leaves them. Times are seconds since the epoch. Days and months
are UTC, written so that both databases group and compare them alike.

`store` is the name of the folder or bucket that holds the bytes: machines may share the database without sharing bytes.
Rows that processes of another version may read have a `version`. A process leaves rows of a later version alone.
"""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData()

_NO = sa.text("''")

# SQLite generates keys only for columns of the type INTEGER.
_SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")

identity = sa.Table(
    "identity",
    METADATA,
    sa.Column("name", sa.String, primary_key=True),
)
"""One row with a random name, made with the tables: sequence numbers of one database mean nothing in another."""

stores = sa.Table(
    "stores",
    METADATA,
    sa.Column("store", sa.String, primary_key=True),
    sa.Column("virtual_time", sa.Float, nullable=False),  # rank of the job that was claimed last
    sa.Column("job_s", sa.Float, nullable=False),  # weighted mean seconds of a job, 0 before the first
    sa.Column("adopted", sa.Boolean, nullable=False),  # whether `mattes` has a row for every matte in the store
    sa.Column("checked_at", sa.Float, nullable=False),  # written by the readiness check
)
"""One row for each folder or bucket of bytes."""

removals = sa.Table(
    "removals",
    METADATA,
    sa.Column("store", sa.String, primary_key=True),
    sa.Column("key", sa.String, primary_key=True),  # name of the matte: queued once, however often it is requested
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("origin_digest", sa.String(32), nullable=False),
    sa.Column("page", sa.Integer, nullable=False),
    sa.Column("recipe_id", sa.String, nullable=False),
    sa.Column("token", sa.String, nullable=False),  # the token whose turn the job takes
    sa.Column("urgency", sa.String, nullable=False),
    sa.Column("rank", sa.Float, nullable=False),  # virtual finish time: the lowest runs next
    sa.Column("state", sa.String, nullable=False),  # waiting, running, failed
    sa.Column("attempts", sa.Integer, nullable=False),  # counted at the claim: killing the worker uses one up
    sa.Column("pauses", sa.Integer, nullable=False),  # postponements in a row, which are no attempts
    # Waiting: the job may run from then on; running: end of the lease; failed: it may be submitted again.
    sa.Column("due_at", sa.Float, nullable=False),
    sa.Column("asked_at", sa.Float, nullable=False),  # time of the last request for it, to the minute
    sa.Column("owner", sa.String),  # the worker that runs it
    sa.Column("failures", sa.Integer, nullable=False),  # permanent failures in a row
    sa.Column("reason", sa.String),  # why it failed or was postponed: a short token
    sa.Column("error", sa.String),  # class name of the last exception
    sa.CheckConstraint("state IN ('waiting', 'running', 'failed')", name="removals_state"),
    sa.CheckConstraint("(state = 'running') = (owner IS NOT NULL)", name="removals_owner"),
)
"""Jobs: pending background removals, and remembered failures. `queue.rows` documents the state transitions."""

sa.Index("removals_in_order", removals.c.store, removals.c.state, removals.c.rank, removals.c.key)
sa.Index("removals_of_token", removals.c.store, removals.c.token, removals.c.urgency, removals.c.state)

listeners = sa.Table(
    "listeners",
    METADATA,
    sa.Column("store", sa.String, primary_key=True),
    sa.Column("key", sa.String, primary_key=True),  # of the job
    sa.Column("url", sa.String, primary_key=True),  # called once for a job, however often it was requested
    sa.Column("image", sa.String, nullable=False),  # path and query of the image that was requested
)
"""Webhooks that are called when a job ends. Rows exist only while it is pending."""

outbox = sa.Table(
    "outbox",
    METADATA,
    sa.Column("id", sa.String, primary_key=True),  # lets the receiver recognise a duplicate
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("kind", sa.String, nullable=False, index=True),  # webhook, cdn
    sa.Column("receiver", sa.String, nullable=False),  # scheme and host, or the kind: limits deliveries in flight
    sa.Column("url", sa.String, nullable=False),  # '' for cdn
    sa.Column("body", sa.String, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),  # those that failed
    sa.Column("due_at", sa.Float, nullable=False),
    sa.Column("claimed_until", sa.Float, nullable=False),  # end of the lease of the process that sends it
    sa.Column("created_at", sa.Float, nullable=False),
)
"""Outgoing messages. A row exists until its receiver accepts it or its attempts are used up."""

sa.Index("outbox_due", outbox.c.receiver, outbox.c.due_at)
sa.Index("outbox_under_way", outbox.c.receiver, outbox.c.claimed_until)

mattes = sa.Table(
    "mattes",
    METADATA,
    sa.Column("store", sa.String, primary_key=True),
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("origin_digest", sa.String(32), nullable=False),
    sa.Column("page", sa.Integer, nullable=False),
    sa.Column("tier", sa.String, nullable=False),
    sa.Column("recipe_id", sa.String, nullable=False),
    sa.Column("newest", sa.Boolean, nullable=False),  # of its origin, page and tier
    sa.Column("confidence", sa.Float, nullable=False),  # [0, 1]
    sa.Column("empty", sa.Boolean, nullable=False),  # nothing recognisable as a foreground
    # Pixels of the whole image, and the box around what is not transparent; NULL if that was not measured.
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("height", sa.Integer, nullable=False),
    sa.Column("subject_left", sa.Integer),
    sa.Column("subject_top", sa.Integer),
    sa.Column("subject_width", sa.Integer),
    sa.Column("subject_height", sa.Integer),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("made_at", sa.Float, nullable=False),
    sa.Column("used_at", sa.Float, nullable=False),  # to the day
)
"""Facts about the mattes in the store, so that requests need not read the files."""

sa.Index("mattes_of_origin", mattes.c.store, mattes.c.origin_digest)

invalidations = sa.Table(
    "invalidations",
    METADATA,
    sa.Column("seq", _SEQUENCE, primary_key=True, autoincrement=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("token", sa.String, nullable=False),  # '' for every token
    sa.Column("origin", sa.String(32), nullable=False),  # `keys.origin_digest_of`; '' for every origin
    sa.Column("digest", sa.String(32), nullable=False, server_default=_NO),  # of the origin's bytes, if they are known
    sa.Column("store", sa.String, nullable=False, server_default=_NO),  # the store that it is for; '' for all
    sa.Column("told_at", sa.Float, nullable=False, index=True),  # for pruning; the order is that of `seq`
    sqlite_autoincrement=True,  # a number is never used twice, also after the last rows were pruned
)
"""Log of invalidations of origins, which every process reads."""

balances = sa.Table(
    "balances",
    METADATA,
    sa.Column("token", sa.String, primary_key=True),
    sa.Column("month", sa.String(7), primary_key=True),  # 2026-11
    sa.Column("charged", sa.BigInteger, nullable=False),  # credits: the sum of the month's charges
)
"""One row per token and month. Transactions that hold or charge credits lock it first, so that limits are kept."""

charges = sa.Table(
    "charges",
    METADATA,
    sa.Column("token", sa.String, primary_key=True),
    sa.Column("origin_digest", sa.String(32), primary_key=True),
    sa.Column("tier", sa.String, primary_key=True),
    sa.Column("operation", sa.String, nullable=False),
    sa.Column("credits", sa.BigInteger, nullable=False),  # the price at that time
    sa.Column("origin_host", sa.String, nullable=False),  # host or alias in the first URL of the token
    sa.Column("day", sa.String(10), nullable=False),  # 2026-11-25
    sa.Column("charged_at", sa.Float, nullable=False),
    sa.Column("origin", sa.String(32), nullable=False, server_default=_NO),  # digest of the URL; '' for not known
)
"""Paid cutouts: one row per token, origin bytes and tier. A row is never changed or deleted."""

sa.Index("charges_of_token", charges.c.token, charges.c.day)
sa.Index("charges_by_day", charges.c.day)
sa.Index("charges_of_origin", charges.c.token, charges.c.origin, charges.c.tier, charges.c.charged_at)

holds = sa.Table(
    "holds",
    METADATA,
    sa.Column("token", sa.String, primary_key=True),
    sa.Column("origin_digest", sa.String(32), primary_key=True),
    sa.Column("tier", sa.String, primary_key=True),
    sa.Column("operation", sa.String, nullable=False),
    sa.Column("credits", sa.BigInteger, nullable=False),
    sa.Column("origin_host", sa.String, nullable=False),
    sa.Column("job", sa.String, nullable=False, index=True),  # key of the pending job
    sa.Column("held_at", sa.Float, nullable=False),
    sa.Column("origin", sa.String(32), nullable=False, server_default=_NO),
    sa.Column("store", sa.String, nullable=False, server_default=_NO),  # of the job
)
"""Credits that are charged when a pending job succeeds. They count against the limit already."""

uploads = sa.Table(
    "uploads",
    METADATA,
    sa.Column("name", sa.String, primary_key=True),  # of the file; without its extension while it is being received
    sa.Column("place", sa.String, nullable=False),  # the data directory of the file: machines may share a database
    sa.Column("client", sa.String, nullable=False),  # digest of the client's address, for the limits
    sa.Column("token", sa.String, nullable=False),
    sa.Column("secret_hash", sa.String, nullable=False),  # SHA-256 of its delete key
    sa.Column("digest", sa.String(32), nullable=False, index=True),  # of the bytes; '' while it is being received
    sa.Column("shared", sa.Boolean, nullable=False),  # the store had these bytes before, so another origin has them too
    sa.Column("size_bytes", sa.BigInteger, nullable=False),  # or the reservation for it
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("expires_at", sa.Float, nullable=False, index=True),
)
"""Uploaded images; their bytes lie in a folder. A row is written before its file, so that limits are kept, and deleted
after it.
"""

sa.Index("uploads_by_client", uploads.c.place, uploads.c.client)
