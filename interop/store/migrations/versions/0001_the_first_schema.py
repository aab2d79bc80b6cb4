"""The first schema."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
KEY = sa.Text().with_variant(sa.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    """Forward; there is no way back but a backup."""
    _audit()
    _counter()
    _date_index()
    _history()
    _imaging_order()
    _job()
    _message()
    _reference_index()
    _resource()
    _state()
    _string_index()
    _study_part()
    _token_index()


def _partial(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("pk", NUMBER, sa.Identity(), nullable=False),
        sa.Column("recorded", sa.BigInteger(), nullable=False),
        sa.Column("who", KEY, nullable=False),
        sa.Column("agent_kind", sa.Text(), nullable=False),
        sa.Column("agent_name", sa.Text(), nullable=True),
        sa.Column("client", sa.Text(), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("agent_patient", sa.Text(), nullable=True),
        sa.Column("token_id", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subtype", sa.Text(), nullable=False),
        sa.Column("type_code", sa.Text(), nullable=False),
        sa.Column("subtype_code", sa.Text(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("patient", KEY, nullable=True),
        sa.Column("entity", KEY, nullable=True),
        sa.Column("query", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("dedupe_key", KEY, nullable=True),
        sa.PrimaryKeyConstraint("pk"),
    )

    op.create_index("audit_agent", "audit", ["who", "recorded"])
    op.create_index("audit_dedupe", "audit", ["dedupe_key"], unique=True, **_partial("dedupe_key IS NOT NULL"))
    op.create_index("audit_entity", "audit", ["entity", "recorded"], **_partial("entity IS NOT NULL"))
    op.create_index("audit_patient", "audit", ["patient", "recorded"], **_partial("patient IS NOT NULL"))
    op.create_index("audit_recorded", "audit", ["recorded", "pk"])


def _counter() -> None:
    op.create_table(
        "counter",
        sa.Column("name", KEY, nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def _date_index() -> None:
    op.create_table(
        "date_index",
        sa.Column("type", KEY, nullable=False),
        sa.Column("param", KEY, nullable=False),
        sa.Column("low", sa.BigInteger(), nullable=False),
        sa.Column("high", sa.BigInteger(), nullable=False),
        sa.Column("pk", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("type", "param", "low", "high", "pk"),
        sqlite_with_rowid=False,
    )

    op.create_index("date_index_resource", "date_index", ["pk"])


def _history() -> None:
    op.create_table(
        "history",
        sa.Column("type", KEY, nullable=False),
        sa.Column("id", KEY, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("last_updated", sa.BigInteger(), nullable=False),
        sa.Column("deleted", sa.SmallInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("type", "id", "version"),
    )

    op.create_index("history_updated", "history", ["type", "last_updated", "id", "version"])


def _imaging_order() -> None:
    op.create_table(
        "imaging_order",
        sa.Column("id", KEY, nullable=False),
        sa.Column("patient_id", KEY, nullable=False),
        sa.Column("placer_system", KEY, nullable=True),
        sa.Column("placer", KEY, nullable=True),
        sa.Column("filler_system", KEY, nullable=True),
        sa.Column("filler", KEY, nullable=True),
        sa.Column("accession_system", KEY, nullable=True),
        sa.Column("accession", KEY, nullable=True),
        sa.Column("study_uid", KEY, nullable=True),
        sa.Column("procedure_id", sa.Text(), nullable=True),
        sa.Column("step_id", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("scheduled", sa.SmallInteger(), nullable=False),
        sa.Column("missing", sa.Text(), nullable=False),
        sa.Column("modality", sa.Text(), nullable=True),
        sa.Column("start", sa.BigInteger(), nullable=True),
        sa.Column("stations", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("updated", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_with_rowid=False,
    )

    op.create_index(
        "order_accession",
        "imaging_order",
        ["accession", "accession_system"],
        unique=True,
        **_partial("accession IS NOT NULL"),
    )
    op.create_index(
        "order_filler", "imaging_order", ["filler", "filler_system"], unique=True, **_partial("filler IS NOT NULL")
    )
    op.create_index("order_patient", "imaging_order", ["patient_id"])
    op.create_index(
        "order_placer", "imaging_order", ["placer", "placer_system"], unique=True, **_partial("placer IS NOT NULL")
    )
    op.create_index("order_scheduled", "imaging_order", ["updated"], **_partial("scheduled = 1"))
    op.create_index("order_study", "imaging_order", ["study_uid"], unique=True, **_partial("study_uid IS NOT NULL"))
    op.create_index("order_updated", "imaging_order", ["updated", "id"])


def _job() -> None:
    op.create_table(
        "job",
        sa.Column("id", NUMBER, sa.Identity(), nullable=False),
        sa.Column("kind", KEY, nullable=False),
        sa.Column("key", KEY, nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("run_at", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )

    op.create_index(
        "job_due",
        "job",
        ["run_at", "id"],
        sqlite_where=sa.text("state = 'ready'"),
        postgresql_where=sa.text("state = 'ready'"),
    )
    op.create_index("job_key", "job", ["kind", "key", "id"])


def _message() -> None:
    op.create_table(
        "message",
        sa.Column("id", NUMBER, sa.Identity(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.Column("peer", sa.Text(), nullable=False),
        sa.Column("application", KEY, nullable=False),
        sa.Column("facility", KEY, nullable=False),
        sa.Column("control_id", KEY, nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("body_hash", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("ack_code", sa.Text(), nullable=True),
        sa.Column("ack", sa.LargeBinary(), nullable=True),
        sa.Column("issues", sa.Text(), nullable=False),
        sa.Column("order_id", KEY, nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )

    op.create_index("message_control", "message", ["control_id", "direction", "application", "facility"])
    op.create_index("message_order", "message", ["order_id"], **_partial("order_id IS NOT NULL"))
    op.create_index("message_state", "message", ["direction", "state"])


def _reference_index() -> None:
    op.create_table(
        "reference_index",
        sa.Column("value", KEY, nullable=False),
        sa.Column("type", KEY, nullable=False),
        sa.Column("param", KEY, nullable=False),
        sa.Column("pk", sa.BigInteger(), nullable=False),
        sa.Column("system", KEY, nullable=False),
        sa.PrimaryKeyConstraint("value", "type", "param", "pk", "system"),
        sqlite_with_rowid=False,
    )

    op.create_index("reference_index_resource", "reference_index", ["pk"])


def _resource() -> None:
    op.create_table(
        "resource",
        sa.Column("pk", NUMBER, sa.Identity(), nullable=False),
        sa.Column("type", KEY, nullable=False),
        sa.Column("id", KEY, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("last_updated", sa.BigInteger(), nullable=False),
        sa.Column("deleted", sa.SmallInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("pk"),
    )

    op.create_index("resource_identity", "resource", ["type", "id"], unique=True)
    op.create_index("resource_updated", "resource", ["type", "last_updated", "id", "deleted"])


def _state() -> None:
    op.create_table(
        "state",
        sa.Column("name", KEY, nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def _string_index() -> None:
    op.create_table(
        "string_index",
        sa.Column("type", KEY, nullable=False),
        sa.Column("param", KEY, nullable=False),
        sa.Column("value", KEY, nullable=False),
        sa.Column("pk", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("type", "param", "value", "pk"),
        sqlite_with_rowid=False,
    )

    op.create_index("string_index_resource", "string_index", ["pk"])


def _study_part() -> None:
    op.create_table(
        "study_part",
        sa.Column("pk", NUMBER, sa.Identity(), nullable=False),
        sa.Column("study_id", KEY, nullable=False),
        sa.Column("series_uid", KEY, nullable=False),
        sa.Column("header", sa.SmallInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("from_version", sa.Integer(), nullable=False),
        sa.Column("to_version", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("pk"),
    )

    op.create_index("study_part_study", "study_part", ["study_id", "to_version"])


def _token_index() -> None:
    op.create_table(
        "token_index",
        sa.Column("type", KEY, nullable=False),
        sa.Column("param", KEY, nullable=False),
        sa.Column("value", KEY, nullable=False),
        sa.Column("pk", sa.BigInteger(), nullable=False),
        sa.Column("system", KEY, nullable=False),
        sa.PrimaryKeyConstraint("type", "param", "value", "pk", "system"),
        sqlite_with_rowid=False,
    )

    op.create_index("token_index_resource", "token_index", ["pk"])
