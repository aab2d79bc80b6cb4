"""That something besides order and patient has changed which an order's worklist items show."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward; there is no way back but a backup."""
    op.add_column("imaging_order", sa.Column("told", sa.BigInteger(), nullable=False, server_default="0"))
