"""The bytes of a version: the resource as it was sent, with the id and meta that the store gives it in front."""

from __future__ import annotations

from typing import Any

from interop.fhir.json import dumps, dumps_sorted
from interop.store import instants

_HEAD = frozenset(("resourceType", "id", "meta"))
_OURS = frozenset(("versionId", "lastUpdated"))


def make_body(resource: dict[str, Any], id: str, version: int, last_updated: int) -> bytes:
    """The JSON of this version (R4 resource.html#Meta: versionId and lastUpdated are the server's)."""
    meta = {"versionId": str(version), "lastUpdated": instants.text(last_updated)}
    for name, value in (resource.get("meta") or {}).items():
        if name not in _OURS:
            meta[name] = value
    whole: dict[str, Any] = {"resourceType": resource["resourceType"], "id": id, "meta": meta}
    for name, value in resource.items():
        if name not in _HEAD:
            whole[name] = value
    return dumps(whole)


def same_content(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two resources say the same, but for id, version and instant; 1.1 and 1.10 do not."""
    return _content(one) == _content(other)


def _content(resource: dict[str, Any]) -> bytes:
    """What it says, written in one way: members by name, numbers as they were read."""
    content = {name: value for name, value in resource.items() if name not in ("id", "meta")}
    meta = {name: value for name, value in (resource.get("meta") or {}).items() if name not in _OURS}
    return dumps_sorted(content | {"meta": meta} if meta else content)
