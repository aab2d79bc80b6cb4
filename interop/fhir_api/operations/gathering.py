"""What the operations that answer with many resources share: all pages of a search, and a searchset of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import orjson

from interop.errors import UnsupportedError
from interop.fhir.json import dumps
from interop.fhir.query import Query
from interop.store import Stored, Tx

PAGE = 200
MOST = 5000  # resources that an operation looks through


def gathered(tx: Tx, query: Query, *, most: int = MOST) -> Iterator[Stored]:
    """All that the query finds; UnsupportedError (too-costly) beyond ``most``."""
    count = 0
    following: str | None = None
    while True:
        page = tx.search(replace(query, count=PAGE, after=following))
        for row in page.rows:
            count += 1
            if count > most:
                raise UnsupportedError(f"more than {most} {query.type} are concerned", issue_code="too-costly")
            yield row
        following = page.next
        if following is None:
            return


def entry(base_url: str, row: Stored, mode: str = "match", **search: Any) -> dict[str, Any]:
    """A searchset's entry with the bytes as they are stored."""
    return {
        "fullUrl": f"{base_url}/{row.reference}",
        "resource": orjson.Fragment(row.body),
        "search": {"mode": mode, **search},
    }


def searchset(entries: Iterable[dict[str, Any]], links: list[dict[str, str]], total: int | None = None) -> bytes:
    """R4 bundle.html#searchset"""
    listed = list(entries)
    bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset"}
    if total is not None:
        bundle["total"] = total
    if links:
        bundle["link"] = links
    return dumps(bundle | ({"entry": listed} if listed else {}))
