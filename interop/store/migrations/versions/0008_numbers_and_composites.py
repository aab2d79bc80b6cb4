"""Numbers and composites of the search index: two facts of one part of a resource."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
KEY = sa.Text().with_variant(sa.TEXT(collation="C"), "postgresql")

# What is stored already waits to be indexed anew, and searches say so; an empty database has nothing that waits.
_TO_BE_INDEXED = """
    INSERT INTO state (name, value)
    SELECT 'search-index', '{"fingerprint": "", "done": 0, "last": 0, "complete": false}'
    WHERE EXISTS (SELECT 1 FROM resource)"""


def upgrade() -> None:
    """Forward; there is no way back but a backup. The rows come when the server indexes anew what is stored."""
    op.create_table(
        "tuple_index",
        sa.Column("row", NUMBER, sa.Identity(), nullable=False),
        sa.Column("pk", sa.BigInteger(), nullable=False),
        sa.Column("type", KEY, nullable=False),
        sa.Column("param", KEY, nullable=False),
        sa.Column("value", KEY, nullable=False),
        sa.Column("low", sa.Double(), nullable=False),
        sa.Column("high", sa.Double(), nullable=False),
        sa.Column("system", KEY, nullable=False),
        sa.Column("other_system", KEY, nullable=False),
        sa.Column("other", KEY, nullable=False),
        sa.Column("unit", KEY, nullable=False),
        sa.PrimaryKeyConstraint("row"),
    )
    op.create_index("tuple_index_value", "tuple_index", ["type", "param", "value", "low"])
    op.create_index("tuple_index_resource", "tuple_index", ["pk"])
    op.get_bind().exec_driver_sql(_TO_BE_INDEXED)
