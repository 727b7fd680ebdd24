"""Adds the tables of the queue, the mattes, the outbox and the invalidations to those of the ledger."""

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_NO = sa.text("''")


def upgrade() -> None:
    """Create the new tables, and make older processes refuse to open the ledger."""
    for table in ("charges", "holds"):
        op.add_column(table, sa.Column("origin", sa.String(32), nullable=False, server_default=_NO))
    op.add_column("holds", sa.Column("store", sa.String, nullable=False, server_default=_NO))
    op.create_index("charges_of_origin", "charges", ["token", "origin", "tier", "charged_at"])
    identity = op.create_table("identity", sa.Column("name", sa.String, primary_key=True))
    op.bulk_insert(identity, [{"name": uuid.uuid4().hex}])
    op.create_table(
        "stores",
        sa.Column("store", sa.String, primary_key=True),
        sa.Column("virtual_time", sa.Float, nullable=False),
        sa.Column("job_s", sa.Float, nullable=False),
        sa.Column("adopted", sa.Boolean, nullable=False),
        sa.Column("checked_at", sa.Float, nullable=False),
    )
    _create_queue()
    op.create_table(
        "mattes",
        sa.Column("store", sa.String, primary_key=True),
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("origin_digest", sa.String(32), nullable=False),
        sa.Column("page", sa.Integer, nullable=False),
        sa.Column("tier", sa.String, nullable=False),
        sa.Column("recipe_id", sa.String, nullable=False),
        sa.Column("newest", sa.Boolean, nullable=False),
        sa.Column("confidence", sa.Float, nullable=False),
        sa.Column("empty", sa.Boolean, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("subject_left", sa.Integer),
        sa.Column("subject_top", sa.Integer),
        sa.Column("subject_width", sa.Integer),
        sa.Column("subject_height", sa.Integer),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("made_at", sa.Float, nullable=False),
        sa.Column("used_at", sa.Float, nullable=False),
    )
    op.create_index("mattes_of_origin", "mattes", ["store", "origin_digest"])
    op.create_table(
        "invalidations",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("token", sa.String, nullable=False),
        sa.Column("origin", sa.String(32), nullable=False),
        sa.Column("digest", sa.String(32), nullable=False, server_default=_NO),
        sa.Column("store", sa.String, nullable=False, server_default=_NO),
        sa.Column("told_at", sa.Float, nullable=False, index=True),
        sqlite_autoincrement=True,
    )
    if sa.inspect(op.get_bind()).has_table("ledger_schema"):
        op.execute("UPDATE ledger_schema SET version = 2")


def _create_queue() -> None:
    op.create_table(
        "removals",
        sa.Column("store", sa.String, primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("origin_digest", sa.String(32), nullable=False),
        sa.Column("page", sa.Integer, nullable=False),
        sa.Column("recipe_id", sa.String, nullable=False),
        sa.Column("token", sa.String, nullable=False),
        sa.Column("urgency", sa.String, nullable=False),
        sa.Column("rank", sa.Float, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("pauses", sa.Integer, nullable=False),
        sa.Column("due_at", sa.Float, nullable=False),
        sa.Column("asked_at", sa.Float, nullable=False),
        sa.Column("owner", sa.String),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("reason", sa.String),
        sa.Column("error", sa.String),
        sa.CheckConstraint("state IN ('waiting', 'running', 'failed')", name="removals_state"),
        sa.CheckConstraint("(state = 'running') = (owner IS NOT NULL)", name="removals_owner"),
    )
    op.create_index("removals_in_order", "removals", ["store", "state", "rank", "key"])
    op.create_index("removals_of_token", "removals", ["store", "token", "urgency", "state"])
    op.create_table(
        "listeners",
        sa.Column("store", sa.String, primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("url", sa.String, primary_key=True),
        sa.Column("image", sa.String, nullable=False),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("kind", sa.String, nullable=False, index=True),
        sa.Column("receiver", sa.String, nullable=False),
        sa.Column("url", sa.String, nullable=False),
        sa.Column("body", sa.String, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_at", sa.Float, nullable=False),
        sa.Column("claimed_until", sa.Float, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
    )
    op.create_index("outbox_due", "outbox", ["receiver", "due_at"])
    op.create_index("outbox_under_way", "outbox", ["receiver", "claimed_until"])
