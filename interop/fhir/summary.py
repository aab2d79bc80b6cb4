"""``_summary`` and ``_elements`` (R4 search.html#summary): a resource with part of its elements, tagged as such."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from interop.errors import UnsupportedError
from interop.fhir.definitions import summary_elements, type_definitions
from interop.fhir.json import dumps, loads
from interop.fhir.profile import accepted_types

SUBSETTED = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
    "display": "subsetted",
}
SUMMARIES = ("true", "text", "data", "count", "false")
_ALWAYS = frozenset(("resourceType", "id", "meta", "implicitRules", "_implicitRules", "modifierExtension"))


@dataclass(frozen=True, slots=True)
class View:
    """Which part of a resource is wanted."""

    summary: str = ""  # true | text | data; "" for the elements that are named
    elements: frozenset[str] = frozenset()


def view_of(params: Iterable[tuple[str, str]]) -> View | None:
    """What the parameters ask for; None for whole resources. UnsupportedError (400) for what is no such request."""
    given = dict(params)
    summary = given.get("_summary", "false")
    if summary not in SUMMARIES:
        raise UnsupportedError(f"_summary is one of {', '.join(SUMMARIES)}")
    named = [name.strip() for name in given.get("_elements", "").split(",") if name.strip()]
    if "_elements" in given and not named:
        raise UnsupportedError("_elements names elements, with commas between them")
    unknown = [name for name in named if name not in _known_elements()]
    if unknown:
        raise UnsupportedError(f"_elements: no type here has an element {unknown[0][:60]!r} at its top")
    if summary in ("true", "text", "data"):
        if named:
            raise UnsupportedError("_summary and _elements cannot both choose")
        return View(summary)
    return View(elements=frozenset(named)) if named else None


def viewed(body: bytes, view: View) -> bytes:
    """The JSON of a resource, or of a Bundle's resources, with only what is wanted; decimals as they were."""
    resource = loads(body)
    if resource.get("resourceType") == "Bundle":
        for entry in resource.get("entry", ()):
            if "resource" in entry and not (view.elements and entry.get("search", {}).get("mode") == "include"):
                entry["resource"] = part_of(entry["resource"], view)
        return dumps(resource)
    return dumps(part_of(resource, view))


def part_of(resource: dict[str, Any], view: View) -> dict[str, Any]:
    """The resource reduced and tagged SUBSETTED; one whose definition is not known stays whole."""
    type = resource.get("resourceType", "")
    if type == "OperationOutcome" or type not in type_definitions():
        return resource
    part = _reduced(resource, type, view)
    meta = dict(part.get("meta", {}))
    if SUBSETTED["code"] not in (tag.get("code") for tag in meta.get("tag", ())):
        meta["tag"] = [*meta.get("tag", ()), SUBSETTED]
    return {"resourceType": type, **({"id": part["id"]} if "id" in part else {}), "meta": meta, **_rest(part)}


def _rest(part: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in part.items() if name not in ("resourceType", "id", "meta")}


def _reduced(resource: dict[str, Any], type: str, view: View) -> dict[str, Any]:
    if view.summary == "data":
        return {name: value for name, value in resource.items() if name != "text"}
    if view.summary == "true":
        summarised: dict[str, Any] = _summarised(resource, _summary_keys(type))
        return summarised
    wanted = view.elements if view.summary == "" else frozenset(("text",))
    kept = _top_keys(type, wanted)
    return {name: value for name, value in resource.items() if name in kept}


_Keys = dict[str, "Any"]  # JSON name -> the same for its parts, or None for all of it


def _summarised(node: Any, keys: _Keys) -> Any:
    kept: dict[str, Any] = {}
    for name, value in node.items():
        if name not in keys:
            continue
        below = keys[name]
        if below is None:
            kept[name] = value
        elif isinstance(value, list):
            kept[name] = [_summarised(item, below) for item in value]
        else:
            kept[name] = _summarised(value, below)
    return kept


def json_names(name: str, spec: Mapping[str, Any]) -> list[str]:
    """How an element may be called in JSON: a choice by each of its types, a primitive also with its extensions."""
    if not name.endswith("[x]"):
        return [name, f"_{name}"]
    chosen = [f"{name[:-3]}{kind[0].upper()}{kind[1:]}" for kind in spec["types"]]
    return [*chosen, *(f"_{each}" for each in chosen)]


def _is_needed(spec: Mapping[str, Any]) -> bool:
    return bool(spec.get("min"))


@lru_cache(maxsize=512)
def _top_keys(type: str, wanted: frozenset[str]) -> frozenset[str]:
    """What stays of a type at its top: what is wanted, and what every such resource has to have."""
    elements = type_definitions()[type]["elements"]
    kept = {
        key
        for name, spec in elements.items()
        if name.removesuffix("[x]") in wanted or _is_needed(spec)
        for key in json_names(name, spec)
    }
    return _ALWAYS | kept


@cache
def _summary_keys(type: str) -> _Keys:
    flagged = frozenset(summary_elements().get(type, ()))
    keys = _keys(type_definitions()[type]["elements"], "", lambda path, spec: path in flagged or _is_needed(spec))
    return dict.fromkeys(_ALWAYS) | keys


def _keys(elements: Mapping[str, Any], above: str, keeps: Callable[[str, Mapping[str, Any]], bool]) -> _Keys:
    keys: _Keys = {}
    for name, spec in elements.items():
        path = above + name
        if keeps(path, spec):
            below = _keys(spec["parts"], f"{path}.", keeps) | {"id": None} if "parts" in spec else None
            keys.update(dict.fromkeys(json_names(name, spec), below))
    return keys


@cache
def _known_elements() -> frozenset[str]:
    return frozenset(
        name.removesuffix("[x]")
        for type in (*accepted_types(), "CapabilityStatement")
        if type in type_definitions()
        for name in type_definitions()[type]["elements"]
    )
