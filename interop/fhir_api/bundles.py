"""Bundles on their way out: stored bodies are spliced in as the bytes they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import orjson

from interop.errors import Issue
from interop.fhir.json import dumps
from interop.fhir.outcome import outcome_of
from interop.store import Page, Stored

Params = Iterable[tuple[str, str]]


def search_bundle(base_url: str, type: str, params: Params, page: Page, issues: Sequence[Issue] = ()) -> bytes:
    """R4 bundle.html#searchset: what was found, what it brings with it, and what the client should know."""
    entries = [_found(base_url, row, "match") for row in page.rows]
    entries += [_found(base_url, row, "include") for row in page.included]
    if issues:
        entries.append({"resource": outcome_of(issues), "search": {"mode": "outcome"}})
    return _bundle("searchset", f"{base_url}/{type}", params, page, entries)


def _found(base_url: str, row: Stored, mode: str) -> dict[str, Any]:
    return {
        "fullUrl": f"{base_url}/{row.type}/{row.id}",
        "resource": orjson.Fragment(row.body),
        "search": {"mode": mode},
    }


def history_bundle(base_url: str, path: str, params: Params, page: Page) -> bytes:
    """R4 bundle.html#history"""
    return _bundle("history", f"{base_url}/{path}", params, page, [_version(base_url, row) for row in page.rows])


def _version(base_url: str, row: Stored) -> dict[str, Any]:
    reference = f"{row.type}/{row.id}"
    first = row.version == 1
    entry: dict[str, Any] = {"fullUrl": f"{base_url}/{reference}"}
    if not row.deleted:
        entry["resource"] = orjson.Fragment(row.body)
    method = "DELETE" if row.deleted else "POST" if first else "PUT"
    entry["request"] = {"method": method, "url": row.type if method == "POST" else reference}
    entry["response"] = {
        "status": "204" if row.deleted else "201" if first else "200",
        "etag": row.etag,
        "lastModified": instant_text(row.last_updated),
    }
    return entry


def _bundle(kind: str, url: str, params: Params, page: Page, entries: list[dict[str, Any]]) -> bytes:
    asked = list(params)
    here = [param for param in asked if param[0] != "_cursor"]
    links = [{"relation": "self", "url": _link(url, asked)}]
    if kind == "searchset":
        links.append({"relation": "first", "url": _link(url, here)})
    for relation, token in (("next", page.next), ("previous", page.previous)):
        if token:
            links.append({"relation": relation, "url": _link(url, [*here, ("_cursor", token)])})
    bundle: dict[str, Any] = {"resourceType": "Bundle", "type": kind}
    if page.total is not None:
        bundle["total"] = page.total
    bundle["link"] = links
    if entries:
        bundle["entry"] = entries
    return dumps(bundle)


def _link(url: str, params: Params) -> str:
    query = urlencode(list(params))
    return f"{url}?{query}" if query else url


def instant_text(moment: datetime) -> str:
    """An instant as R4 writes it."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
