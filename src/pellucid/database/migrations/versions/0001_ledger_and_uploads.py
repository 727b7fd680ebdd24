"""Tables of the former ledger database: charges, holds, balances, uploads.

A database that is older than the migrations has these tables already.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables if they are missing."""
    if sa.inspect(op.get_bind()).has_table("charges"):
        return
    op.create_table(
        "balances",
        sa.Column("token", sa.String, primary_key=True),
        sa.Column("month", sa.String(7), primary_key=True),
        sa.Column("charged", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "charges",
        sa.Column("token", sa.String, primary_key=True),
        sa.Column("origin_digest", sa.String(32), primary_key=True),
        sa.Column("tier", sa.String, primary_key=True),
        sa.Column("operation", sa.String, nullable=False),
        sa.Column("credits", sa.BigInteger, nullable=False),
        sa.Column("origin_host", sa.String, nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("charged_at", sa.Float, nullable=False),
    )
    op.create_index("charges_of_token", "charges", ["token", "day"])
    op.create_index("charges_by_day", "charges", ["day"])
    op.create_table(
        "holds",
        sa.Column("token", sa.String, primary_key=True),
        sa.Column("origin_digest", sa.String(32), primary_key=True),
        sa.Column("tier", sa.String, primary_key=True),
        sa.Column("operation", sa.String, nullable=False),
        sa.Column("credits", sa.BigInteger, nullable=False),
        sa.Column("origin_host", sa.String, nullable=False),
        sa.Column("job", sa.String, nullable=False, index=True),
        sa.Column("held_at", sa.Float, nullable=False),
    )
    op.create_table(
        "uploads",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("place", sa.String, nullable=False),
        sa.Column("client", sa.String, nullable=False),
        sa.Column("token", sa.String, nullable=False),
        sa.Column("secret_hash", sa.String, nullable=False),
        sa.Column("digest", sa.String(32), nullable=False, index=True),
        sa.Column("shared", sa.Boolean, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("expires_at", sa.Float, nullable=False, index=True),
    )
    op.create_index("uploads_by_client", "uploads", ["place", "client"])
