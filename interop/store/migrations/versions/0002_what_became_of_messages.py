"""What became of messages: attempts, how long it took, which resources were touched."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward; there is no way back but a backup. Constant defaults: neither engine rewrites the table."""
    op.add_column("message", sa.Column("attempts", sa.Integer(), nullable=False, server_default=sa.text("0")))
    op.add_column("message", sa.Column("took", sa.BigInteger(), nullable=True))
    op.add_column("message", sa.Column("touched", sa.Text(), nullable=False, server_default=sa.text("''")))
