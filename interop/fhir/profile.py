"""What FHIR this server accepts, read from the ``profiles`` folder: types, interactions, searches, extensions.

``accepted.toml`` names each served type with its interactions and search parameters; beside it lie the resources of our
own: StructureDefinitions of extensions, their CodeSystems, and SearchParameters. Validation, the search index, the
routes and the CapabilityStatement are all made of these tables, so that they cannot disagree.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import orjson

from interop.fhir.definitions import search_definitions
from interop.shipped import shipped

# What the files of the profiles folder can be; they are published at /fhir/<type>.
CONFORMANCE_TYPES = ("StructureDefinition", "SearchParameter", "CodeSystem", "ValueSet", "OperationDefinition")


def definition_parameters(type: str) -> dict[str, tuple[str, str]]:
    """How a definition is searched for: type and canonical URL of each parameter, by code."""
    common = {"url": "uri", "name": "string", "version": "token", "status": "token"}
    own = {
        "SearchParameter": {"base": "token", "code": "token"},
        "StructureDefinition": {"type": "uri"},
        "OperationDefinition": {"code": "token"},
    }.get(type, {})
    place = "http://hl7.org/fhir/SearchParameter"
    return {
        "_id": ("token", f"{place}/Resource-id"),
        **{code: (kind, f"{place}/conformance-{code}") for code, kind in common.items()},
        **{code: (kind, f"{place}/{type}-{code}") for code, kind in own.items()},
    }


@dataclass(frozen=True, slots=True)
class AcceptedType:
    """One resource type that is served."""

    type: str
    interactions: frozenset[str]  # codes of value set type-restful-interaction: read, search-type, …
    search: tuple[str, ...]  # parameter codes beyond _id and _lastUpdated
    profiles: tuple[str, ...] = ()
    without: Mapping[str, str] = field(default_factory=dict)  # parameters that are refused, and why


@dataclass(frozen=True, slots=True)
class ExtensionRule:
    """What an extension of ours may hold."""

    url: str
    value_type: str  # "code", "string": the value[x] it carries; "" where it has parts
    codes: frozenset[str] | None  # None: any
    parts: Mapping[str, ExtensionRule] = field(default_factory=dict)  # the extensions inside it, by their url
    repeats: bool = True


@cache
def accepted_types() -> dict[str, AcceptedType]:
    """The served types by name, in the order of the file."""
    table = tomllib.loads((shipped("profiles") / "accepted.toml").read_text("utf-8"))
    return {name: _accepted(name, row) for name, row in table.items()}


def _accepted(name: str, row: dict[str, Any]) -> AcceptedType:
    without = row.get("without", {})
    search = defined_searches(name) if row["search"] == "all" else row["search"]
    return AcceptedType(
        name,
        _offered(row["interactions"]),
        tuple(code for code in search if code not in without),
        tuple(row.get("supported_profiles", ())),
        without,
    )


def defined_searches(type: str) -> dict[str, dict[str, Any]]:
    """The rows of all parameters that the standard or we define for a type, by code."""
    standard = search_definitions()
    rows = {row["code"]: row for row in standard.get(type, []) + standard["Resource"]}
    for own in own_search_parameters():
        if type in own["base"]:
            rows[own["code"]] = own
    return rows


def _offered(listed: list[str]) -> frozenset[str]:
    """A patch is an update said differently: whatever may be updated may be patched."""
    return frozenset(listed) | ({"patch"} if "update" in listed else set())


@cache
def own_resources() -> tuple[dict[str, Any], ...]:
    """Our conformance resources, as they are published."""
    files = {file.name: file for file in shipped("profiles").iterdir() if file.name.endswith(".json")}
    return tuple(orjson.loads(files[name].read_bytes()) for name in sorted(files))


def own_search_parameters() -> list[dict[str, Any]]:
    """Our SearchParameter resources."""
    return [resource for resource in own_resources() if resource["resourceType"] == "SearchParameter"]


@cache
def own_code_systems() -> dict[str, frozenset[str]]:
    """The codes of our CodeSystems, by system."""
    return {
        resource["url"]: frozenset(concept["code"] for concept in resource["concept"])
        for resource in own_resources()
        if resource["resourceType"] == "CodeSystem"
    }


@cache
def own_value_sets() -> dict[str, dict[str, frozenset[str]]]:
    """The codes of our ValueSets by system, by URL."""
    return {
        resource["url"]: {part["system"]: _included(part) for part in resource["compose"]["include"]}
        for resource in own_resources()
        if resource["resourceType"] == "ValueSet"
    }


def _included(part: dict[str, Any]) -> frozenset[str]:
    if "concept" in part:
        return frozenset(concept["code"] for concept in part["concept"])
    return own_code_systems()[part["system"]]


@cache
def extension_rules() -> dict[str, ExtensionRule]:
    """Our extensions by URL."""
    rules = {}
    for resource in own_resources():
        if resource["resourceType"] == "StructureDefinition" and resource["type"] == "Extension":
            elements = {element["id"]: element for element in resource["differential"]["element"]}
            parts = {
                element["sliceName"]: _rule(element["sliceName"], elements, id)
                for id, element in elements.items()
                if "sliceName" in element
            }
            rules[resource["url"]] = _rule(resource["url"], elements, "Extension", parts)
    return rules


def _rule(
    url: str, elements: Mapping[str, Any], id: str, parts: Mapping[str, ExtensionRule] | None = None
) -> ExtensionRule:
    value = elements[f"{id}.value[x]"]
    bound = value.get("binding", {}).get("valueSet")
    kind = value["type"][0]["code"] if value.get("max") != "0" else ""
    return ExtensionRule(url, kind, _codes(bound) if bound else None, parts or {}, elements[id].get("max") != "1")


def _codes(value_set: str) -> frozenset[str]:
    return frozenset().union(*own_value_sets()[value_set].values())
