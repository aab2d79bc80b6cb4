"""Decisions on which order a study is of, each with its evidence; the newest of a study is the one that holds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TEXT

revision = "0010"
down_revision = "0008"
branch_labels = None
depends_on = None

_KEY = sa.Text().with_variant(TEXT(collation="C"), "postgresql")
_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Forward; there is no way back but a backup."""
    op.create_table(
        "study_match",
        sa.Column("pk", _NUMBER, sa.Identity(), primary_key=True),
        sa.Column("study_uid", _KEY, nullable=False),
        sa.Column("order_id", _KEY, nullable=True),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("person", sa.SmallInteger(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("held", sa.SmallInteger(), nullable=False),
    )
    holds = sa.text("held = 1")
    op.create_index(
        "study_match_held", "study_match", ["study_uid"], unique=True, sqlite_where=holds, postgresql_where=holds
    )
    op.create_index("study_match_study", "study_match", ["study_uid", "pk"])
    waits = sa.text("held = 1 AND order_id IS NULL")
    op.create_index("study_match_waiting", "study_match", ["pk"], sqlite_where=waits, postgresql_where=waits)
