"""Opening the storage room that a URL names."""

from __future__ import annotations

import asyncio
from datetime import UTC, tzinfo
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

import psycopg

from interop.errors import UnavailableError
from interop.store import file_lock, migrating, postgresql, postgresql_session, sqlite, sqlite_session
from interop.store.search_index import IndexRows
from interop.store.store import Store
from interop.store.unit import AuditResource, Surroundings


async def open_store(
    url: str,
    *,
    zone: tzinfo = UTC,
    synchronous: str = "FULL",
    migrate: bool = True,
    index: IndexRows | None = None,
    audit_resource: AuditResource | None = None,
) -> Store:
    """The store of this URL, its schema brought up to date unless ``migrate`` is False.

    ``sqlite:///relative/path`` or ``sqlite:////absolute/path``, with ``?max_page_count=`` to limit its size;
    ``postgresql+psycopg://user@host/name``, with ``?pool_size=`` for the units that run beside one another.
    """
    surroundings = surroundings_of(zone, index, audit_resource)
    scheme = urlsplit(url).scheme
    if scheme == "sqlite":
        return await _open_sqlite(sqlite_options(url, synchronous), surroundings, migrate=migrate)
    if scheme in ("postgresql+psycopg", "postgresql"):
        return await _open_postgresql(postgresql_options(url, synchronous), surroundings, migrate=migrate)
    raise ValueError(f"{scheme}: is not the URL of a database; write sqlite:///path or postgresql+psycopg://…")


def surroundings_of(
    zone: tzinfo, index: IndexRows | None = None, audit_resource: AuditResource | None = None
) -> Surroundings:
    """What the transactions of a store are lent, this server's own unless given."""
    return Surroundings(zone, index or _index_rows(), audit_resource or _audit_resource())


async def _open_sqlite(options: sqlite_session.Options, surroundings: Surroundings, *, migrate: bool) -> Store:
    options.path.parent.mkdir(parents=True, exist_ok=True)
    lock = await file_lock.take(options.path)
    try:
        migrating.prepare_sqlite(options.path, migrate=migrate)
        return sqlite.SqliteStore(options, lock, surroundings)
    except BaseException:
        lock.release()
        raise


async def _open_postgresql(options: postgresql_session.Options, surroundings: Surroundings, *, migrate: bool) -> Store:
    def prepare() -> None:
        migrating.prepare_postgresql(lambda: psycopg.connect(options.conninfo, connect_timeout=5), migrate=migrate)

    try:
        await asyncio.to_thread(prepare)
    except psycopg.OperationalError as error:
        raise UnavailableError(f"the database does not answer: {error}", retry_after=5) from error
    return postgresql.PostgresqlStore(options, surroundings)


def sqlite_options(url: str, synchronous: str = "FULL") -> sqlite_session.Options:
    """The file that a ``sqlite:`` URL names, and its settings."""
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.netloc or not path.startswith("/") or len(path) < 2:
        raise ValueError("write sqlite:///relative/path or sqlite:////absolute/path")
    query = parse_qs(parts.query, strict_parsing=bool(parts.query))
    limit = query.pop("max_page_count", None)
    if query:
        raise ValueError(f"a sqlite URL has no option {', '.join(sorted(query))}")
    return sqlite_session.Options(Path(path[1:]), synchronous, None if limit is None else int(limit[0]))


def postgresql_options(url: str, synchronous: str = "FULL") -> postgresql_session.Options:
    """The database that a ``postgresql:`` URL names; ``?pool_size=`` is ours, the other options are libpq's."""
    parts = urlsplit(url)
    query = parse_qs(parts.query, strict_parsing=bool(parts.query))
    pool_size = int(query.pop("pool_size", ["8"])[0])
    text = urlencode(query, doseq=True, quote_via=quote)
    return postgresql_session.Options(parts._replace(scheme="postgresql", query=text).geturl(), synchronous, pool_size)


def _index_rows() -> IndexRows:
    from interop.fhir.search import index_rows  # not where a caller brings its own: it loads all definitions

    return index_rows


def _audit_resource() -> AuditResource:
    from interop.audit.resource import to_resource

    return to_resource
