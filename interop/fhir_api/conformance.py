"""Our own definitions, published where canonical URLs can be looked up: /fhir/StructureDefinition and its like.

They are part of the software, so they have no versions and no history, and any token may read them.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

from interop.errors import InvalidContentError, NotFoundError, UnsupportedError
from interop.fhir.json import dumps
from interop.fhir.profile import definition_parameters, own_resources
from interop.fhir_api import trail
from interop.fhir_api.calls import Answer, Call, Surroundings
from interop.store import Tx

_CONTROLS = ("_count", "_cursor", "_format", "_pretty", "_summary", "_total")
_PAGING = ("_count", "_cursor")


def defined(tx: Tx, around: Surroundings, call: Call) -> Answer:
    """read or search-type of a definition."""
    if call.interaction == "read":
        found = next((one for one in _all(call.type) if one["id"] == call.id), None)
        if found is None:
            raise NotFoundError(f"there is no {call.type}/{call.id}")
        trail.done(tx, call, entity=f"{call.type}/{call.id}")
        return Answer(200, dumps(found))
    rows = _found(call)
    trail.done(tx, call)
    return Answer(200, dumps(_searchset(f"{around.base_url}/{call.type}", call, rows)))


def _searchset(url: str, call: Call, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A page of what was found: never more than ``_count`` (R4 search.html#count), all of it unless that is said."""
    start, count = (_number(call, name) for name in ("_cursor", "_count"))
    if _last(call, "_summary") == "count":
        count = 0
    first = start or 0
    end = len(rows) if count is None else first + count
    links = [{"relation": "self", "url": f"{url}?{call.query}" if call.query else url}]
    if count and end < len(rows):
        asked = [param for param in call.params if param[0] not in _PAGING]
        query = urlencode([*asked, ("_count", count), ("_cursor", end)])
        links.append({"relation": "next", "url": f"{url}?{query}"})
    bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "total": len(rows), "link": links}
    entries = [
        {"fullUrl": f"{url}/{row['id']}", "resource": row, "search": {"mode": "match"}} for row in rows[first:end]
    ]
    return bundle | ({"entry": entries} if entries else {})


def _last(call: Call, name: str) -> str | None:
    return dict(call.params).get(name)


def _number(call: Call, name: str) -> int | None:
    text = _last(call, name)
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise InvalidContentError(f"{name} is a whole number", status=400, issue_code="value")
    return int(text)


def _all(type: str) -> list[dict[str, Any]]:
    return [resource for resource in own_resources() if resource["resourceType"] == type]


def _found(call: Call) -> list[dict[str, Any]]:
    """All that match; there are so few that they stand on one page unless smaller ones are asked for."""
    known = definition_parameters(call.type)
    rows = _all(call.type)
    for name, value in call.params:
        if name == "_summary" and value not in ("count", "false"):
            raise UnsupportedError(f"_summary of {call.type} is count or false")
        if name in _CONTROLS:
            continue
        if name not in known:
            raise UnsupportedError(f"{name[:60]} is no parameter of {call.type}; it has {', '.join(known)}")
        kind, wanted = known[name][0], value.split(",")
        rows = [row for row in rows if _meets(row.get(name.removeprefix("_")), kind, wanted)]
    return rows


def _meets(found: Any, kind: str, wanted: list[str]) -> bool:
    values = [str(value) for value in (found if isinstance(found, list) else [found])]
    if kind == "string":  # begins with it, whatever the case (R4 search.html#string)
        return any(value.casefold().startswith(text.casefold()) for value in values for text in wanted)
    return any(text.rpartition("|")[2] in values for text in wanted) if kind == "token" else bool({*wanted} & {*values})
