"""What went over the HL7 connections: counts of the listener, and of each peer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TEXT

revision = "0006"
down_revision = "0004"
branch_labels = None
depends_on = None

_KEY = sa.Text().with_variant(TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    """Forward; there is no way back but a backup."""
    op.create_table(
        "traffic",
        sa.Column("name", _KEY, primary_key=True),
        sa.Column("value", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "peer",
        sa.Column("direction", _KEY, primary_key=True),
        sa.Column("name", _KEY, primary_key=True),
        sa.Column("address", _KEY, primary_key=True),
        sa.Column("messages", sa.BigInteger(), nullable=False),
        sa.Column("refused", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("last_error_at", sa.BigInteger(), nullable=True),
    )
