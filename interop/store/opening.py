"""Opening the storage room that a URL names."""

from __future__ import annotations

from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from interop.audit.event import AuditRow
from interop.fhir.query import IndexRow
from interop.store import file_lock, migrating
from interop.store.search_index import IndexRows
from interop.store.sqlite import Options, SqliteStore
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

    ``sqlite:///relative/path`` or ``sqlite:////absolute/path``, with ``?max_page_count=`` to limit its size.
    """
    surroundings = Surroundings(zone, index or _index_rows, audit_resource or _audit_resource)
    options = sqlite_options(url, synchronous)
    options.path.parent.mkdir(parents=True, exist_ok=True)
    lock = await file_lock.take(options.path)
    try:
        migrating.prepare_sqlite(options.path, migrate=migrate)
        return SqliteStore(options, lock, surroundings)
    except BaseException:
        lock.release()
        raise


def sqlite_options(url: str, synchronous: str = "FULL") -> Options:
    """The file that a ``sqlite:`` URL names, and its settings."""
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.scheme != "sqlite" or parts.netloc or not path.startswith("/") or len(path) < 2:
        raise ValueError(
            f"{parts.scheme}: is not the URL of a database; write sqlite:///path or postgresql+psycopg://…"
        )
    query = parse_qs(parts.query, strict_parsing=bool(parts.query))
    unknown = query.keys() - {"max_page_count"}
    if unknown:
        raise ValueError(f"a sqlite URL has no option {', '.join(sorted(unknown))}")
    limit = query.get("max_page_count")
    return Options(Path(path[1:]), synchronous, None if limit is None else int(limit[0]))


def _index_rows(resource: dict[str, Any], zone: tzinfo) -> list[IndexRow]:
    from interop.fhir.search import index_rows  # at first use: opening a store needs no search definitions

    return index_rows(resource, zone)


def _audit_resource(row: AuditRow) -> dict[str, Any]:
    from interop.audit.resource import to_resource

    return to_resource(row)
