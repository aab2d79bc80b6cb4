"""Quantities by the upper end of their range too, and what PostgreSQL is to know about values that go together."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0014"
branch_labels = None
depends_on = None

# Type, parameter and value say much about one another. Taken one by one, as PostgreSQL does unless told, 40,000 CTs
# look like 700, and a page of them is looked for among all of them instead of among the next few studies.
_TOGETHER = {
    "token_index": "type, param, value",
    "tuple_index": "type, param, value",
    "reference_index": "type, param",
    "string_index": "type, param",
    "date_index": "type, param",
}


def upgrade() -> None:
    """Forward; there is no way back but a backup. The statistics come with the next ANALYZE, as autovacuum does it."""
    op.create_index("tuple_index_high", "tuple_index", ["type", "param", "value", "high"])
    if op.get_context().dialect.name == "postgresql":
        for table, columns in _TOGETHER.items():
            op.execute(f"CREATE STATISTICS {table}_together (mcv) ON {columns} FROM {table}")
            op.execute(f"ALTER STATISTICS {table}_together SET STATISTICS 500")
