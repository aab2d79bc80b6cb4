"""Our own definitions, published where canonical URLs can be looked up: /fhir/StructureDefinition and its like.

They are part of the software, so they have no versions and no history, and any token may read them.
"""

from __future__ import annotations

from typing import Any

from interop.errors import NotFoundError, UnsupportedError
from interop.fhir.json import dumps
from interop.fhir.profile import definition_parameters, own_resources
from interop.fhir_api import trail
from interop.fhir_api.calls import Answer, Call, Surroundings
from interop.store import Tx

_CONTROLS = ("_count", "_format", "_pretty", "_total")


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
    entries = [
        {"fullUrl": f"{around.base_url}/{call.type}/{row['id']}", "resource": row, "search": {"mode": "match"}}
        for row in rows
    ]
    link = f"{around.base_url}/{call.type}" + (f"?{call.query}" if call.query else "")
    bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "total": len(rows)}
    bundle["link"] = [{"relation": "self", "url": link}]
    return Answer(200, dumps(bundle | ({"entry": entries} if entries else {})))


def _all(type: str) -> list[dict[str, Any]]:
    return [resource for resource in own_resources() if resource["resourceType"] == type]


def _found(call: Call) -> list[dict[str, Any]]:
    """All that match; there are so few that they stand on one page."""
    known = definition_parameters(call.type)
    rows = _all(call.type)
    for name, value in call.params:
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
