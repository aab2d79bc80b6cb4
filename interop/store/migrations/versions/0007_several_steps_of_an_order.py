"""Several scheduled procedure steps of an order; an order with one has no row here."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    """Forward; there is no way back but a backup."""
    op.create_table(
        "order_step",
        sa.Column("order_id", KEY, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("step_id", KEY, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("scheduled", sa.SmallInteger(), nullable=False),
        sa.Column("missing", sa.Text(), nullable=False),
        sa.Column("modality", sa.Text(), nullable=True),
        sa.Column("start", sa.BigInteger(), nullable=True),
        sa.Column("stations", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("order_id", "position"),
        sqlite_with_rowid=False,
    )
