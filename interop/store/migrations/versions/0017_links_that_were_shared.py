"""Links that were shared, and sessions that were ended before their time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TEXT

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_KEY = sa.Text().with_variant(TEXT(collation="C"), "postgresql")
_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Forward; there is no way back but a backup."""
    op.create_table(
        "share",
        sa.Column("id", _KEY, primary_key=True),
        sa.Column("digest", _KEY, nullable=False),
        sa.Column("who", _KEY, nullable=False),
        sa.Column("studies", sa.Text(), nullable=False),
        sa.Column("annotate", sa.SmallInteger(), nullable=False),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("revoked", sa.BigInteger(), nullable=True),
        sa.Column("openings", sa.BigInteger(), nullable=False),
        sa.Column("opened", sa.BigInteger(), nullable=True),
        sqlite_with_rowid=False,
    )
    op.create_index("share_digest", "share", ["digest"], unique=True)
    op.create_index("share_owner", "share", ["who", "id"])
    op.create_index("share_expires", "share", ["expires"])
    op.create_table(
        "session_end",
        sa.Column("seq", _NUMBER, sa.Identity(), primary_key=True),
        sa.Column("name", _KEY, nullable=False),
        sa.Column("before", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("session_end_until", "session_end", ["until"])
