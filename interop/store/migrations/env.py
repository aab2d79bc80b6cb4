"""How Alembic meets a database of ours: the whole upgrade in one transaction, one process at a time."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, Engine, create_engine, event, pool, text

from interop.store.schema import metadata

_LOCK = 0x696E7465726F70  # of the advisory lock that replicas starting together wait for


def _engine() -> Engine:
    attributes = context.config.attributes
    engine = create_engine(f"{attributes['dialect']}://", creator=attributes["connect"], poolclass=pool.NullPool)
    if engine.dialect.name == "sqlite":  # sqlite3 itself would not begin before a CREATE TABLE

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _upgrade() -> None:
    with _engine().begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
        with context.begin_transaction():
            context.run_migrations()


_upgrade()
