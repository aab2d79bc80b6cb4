"""What modalities performed (MPPS), and the worklist in the order in which queries walk it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TEXT

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_KEY = sa.Text().with_variant(TEXT(collation="C"), "postgresql")
_SCHEDULED = sa.text("scheduled = 1")
_OF_ORDER = sa.text("order_id IS NOT NULL")


def upgrade() -> None:
    """Forward; there is no way back but a backup."""
    op.create_table(
        "performed_step",
        sa.Column("uid", _KEY, primary_key=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("station", _KEY, nullable=False),
        sa.Column("order_id", _KEY, nullable=True),
        sa.Column("study_uid", _KEY, nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("updated", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "performed_step_order",
        "performed_step",
        ["order_id"],
        sqlite_where=_OF_ORDER,
        postgresql_where=_OF_ORDER,
    )
    op.create_index("order_worklist", "imaging_order", ["id"], sqlite_where=_SCHEDULED, postgresql_where=_SCHEDULED)
