"""The bytes of a version: the resource as it was sent, with the id and meta that the store gives it in front."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from interop.fhir.json import DecimalText, dumps
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
    return _same(_content(one), _content(other))


def _content(resource: dict[str, Any]) -> dict[str, Any]:
    content = {name: value for name, value in resource.items() if name not in ("id", "meta")}
    meta = {name: value for name, value in (resource.get("meta") or {}).items() if name not in _OURS}
    return content | {"meta": meta} if meta else content


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, Decimal) or isinstance(other, Decimal):
        return _decimal_text(one) == _decimal_text(other)
    return type(one) is type(other) and bool(one == other)


def _decimal_text(value: Any) -> str:
    return value.text if isinstance(value, DecimalText) else str(value)
