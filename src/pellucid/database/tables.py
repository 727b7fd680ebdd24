"""Every table of the database, as the newest of `migrations` leaves it. Moments are seconds since the epoch, days and
months UTC, written so that both databases group and compare them alike.

`store` is the name of the folder or bucket that holds the bytes: machines may share the database and not their bytes.
Rows that another version's processes will read carry a `version`; who does not know it leaves the row alone.
"""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData()

_NO = sa.text("''")

# SQLite counts by itself only what it calls INTEGER.
_SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")

identity = sa.Table(
    "identity",
    METADATA,
    sa.Column("name", sa.String, primary_key=True),
)
"""One row, made up when the tables are made: sequence numbers of a database that was lost mean nothing in the next."""

stores = sa.Table(
    "stores",
    METADATA,
    sa.Column("store", sa.String, primary_key=True),
    sa.Column("virtual_time", sa.Float, nullable=False),  # rank of the removal that was claimed last
    sa.Column("job_s", sa.Float, nullable=False),  # weighted mean time of a removal, 0 before the first
    sa.Column("adopted", sa.Boolean, nullable=False),  # whether `mattes` knows every matte that lies there
    sa.Column("checked_at", sa.Float, nullable=False),  # written by the readiness check
)
"""One row for each place where bytes lie."""

removals = sa.Table(
    "removals",
    METADATA,
    sa.Column("store", sa.String, primary_key=True),
    sa.Column("key", sa.String, primary_key=True),  # name of the matte: owed once however often it is asked for
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("origin_digest", sa.String(32), nullable=False),
    sa.Column("page", sa.Integer, nullable=False),
    sa.Column("recipe_id", sa.String, nullable=False),
    sa.Column("token", sa.String, nullable=False),  # whose turn it is
    sa.Column("urgency", sa.String, nullable=False),
    sa.Column("rank", sa.Float, nullable=False),  # virtual finish time: the lowest runs next
    sa.Column("state", sa.String, nullable=False),  # waiting, running, failed
    sa.Column("attempts", sa.Integer, nullable=False),  # counted at the claim: killing the worker uses one up
    sa.Column("pauses", sa.Integer, nullable=False),  # times in a row it was put off without an attempt
    # Waiting: may run from here on; running: end of the lease; failed: may be owed again.
    sa.Column("due_at", sa.Float, nullable=False),
    sa.Column("asked_at", sa.Float, nullable=False),  # when somebody asked for it last, to the minute
    sa.Column("owner", sa.String),  # the worker that runs it
    sa.Column("failures", sa.Integer, nullable=False),  # times in a row it failed for good
    sa.Column("reason", sa.String),  # why it failed, or was put off: a short token
    sa.Column("error", sa.String),  # class name of the last exception
    sa.CheckConstraint("state IN ('waiting', 'running', 'failed')", name="removals_state"),
    sa.CheckConstraint("(state = 'running') = (owner IS NOT NULL)", name="removals_owner"),
)
"""Mattes owed, and failures that are remembered; `queue.rows` says which state follows which."""

sa.Index("removals_in_order", removals.c.store, removals.c.state, removals.c.rank, removals.c.key)
sa.Index("removals_of_token", removals.c.store, removals.c.token, removals.c.urgency, removals.c.state)

listeners = sa.Table(
    "listeners",
    METADATA,
    sa.Column("store", sa.String, primary_key=True),
    sa.Column("key", sa.String, primary_key=True),  # of the removal
    sa.Column("url", sa.String, primary_key=True),  # whom to call: once for a removal, however often it was asked for
    sa.Column("image", sa.String, nullable=False),  # path and query of the picture that was asked for
)
"""Who is called when a removal ends. Rows exist only while it is owed."""

outbox = sa.Table(
    "outbox",
    METADATA,
    sa.Column("id", sa.String, primary_key=True),  # the receiver knows a double by it
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("kind", sa.String, nullable=False, index=True),  # webhook, cdn
    sa.Column("receiver", sa.String, nullable=False),  # scheme and host, or the kind: who is spared when it hangs
    sa.Column("url", sa.String, nullable=False),  # '' for cdn
    sa.Column("body", sa.String, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),  # those that failed
    sa.Column("due_at", sa.Float, nullable=False),
    sa.Column("claimed_until", sa.Float, nullable=False),  # a process is sending it until here at the latest
    sa.Column("created_at", sa.Float, nullable=False),
)
"""What is to be told to the outside. A row exists until somebody took it or attempts are used up."""

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
    # Pixels of the whole picture, and the box around what is not transparent; NULL where that was not measured.
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
"""What is known of the mattes in the store: answers need not read them."""

sa.Index("mattes_of_origin", mattes.c.store, mattes.c.origin_digest)

invalidations = sa.Table(
    "invalidations",
    METADATA,
    sa.Column("seq", _SEQUENCE, primary_key=True, autoincrement=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("token", sa.String, nullable=False),  # '' for every token
    sa.Column("origin", sa.String(32), nullable=False),  # `keys.origin_digest_of`; '' for every origin
    sa.Column("digest", sa.String(32), nullable=False, server_default=_NO),  # of the bytes it is known to hold now
    sa.Column("store", sa.String, nullable=False, server_default=_NO),  # for whom; '' for all
    sa.Column("told_at", sa.Float, nullable=False, index=True),  # for pruning; the order is that of `seq`
    sqlite_autoincrement=True,  # a number is never given twice, also when the last rows were pruned
)
"""What is no longer to be believed, told to every process."""

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
    sa.Column("origin", sa.String(32), nullable=False, server_default=_NO),  # digest of the URL; '' for not known
)
"""What was paid: once per token, origin bytes and tier, for ever. A row is never changed."""

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
    sa.Column("job", sa.String, nullable=False, index=True),  # key of the removal that is owed
    sa.Column("held_at", sa.Float, nullable=False),
    sa.Column("origin", sa.String(32), nullable=False, server_default=_NO),
    sa.Column("store", sa.String, nullable=False, server_default=_NO),  # of the removal
)
"""What will be charged when a removal that is owed ends well; it counts against the limit already."""

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
