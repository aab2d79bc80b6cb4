"""FHIR R4 4.0.1 as data: elements, required codes, search parameters.

The JSON files beside this module are reduced from the official package hl7.fhir.r4.core 4.0.1 (CC0-1.0).
``elements.json`` has each type's elements with ``min`` (0 unless stated), ``many`` (max is *), ``types``, Reference
``targets`` (any unless stated), the ``codes`` set of a required binding, nested ``parts`` of a backbone element, or
``like`` for a contentReference. Choice elements keep their ``[x]``.

One fact differs from the package: Observation.performer may also be an Encounter, because the official example
Observation/clinical-gender has one there and a server that refuses the official examples helps nobody.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import orjson


@cache
def _read(name: str) -> Any:
    return orjson.loads((files(__name__) / name).read_bytes())


def type_definitions() -> dict[str, dict[str, Any]]:
    """By type name: ``kind`` (resource or datatype) and ``elements``."""
    definitions: dict[str, dict[str, Any]] = _read("elements.json")["types"]
    return definitions


def carried_definitions() -> dict[str, dict[str, str | list[str]]]:
    """By type name: the elements of every other type, each with its type, in a list where it repeats."""
    definitions: dict[str, dict[str, str | list[str]]] = _read("carried.json")["types"]
    return definitions


def code_sets() -> dict[str, dict[str, list[str]]]:
    """By value set name: code system to codes."""
    sets: dict[str, dict[str, list[str]]] = _read("codes.json")["sets"]
    return sets


@cache
def resource_types() -> frozenset[str]:
    """Every resource type that R4 has, whether we know its elements or not."""
    return frozenset(_read("codes.json")["resource-types"])


def summary_elements() -> dict[str, list[str]]:
    """By resource type: the paths of the elements that its definition marks as part of a summary."""
    paths: dict[str, list[str]] = _read("summary.json")["types"]
    return paths


def search_definitions() -> dict[str, list[dict[str, Any]]]:
    """By resource type (``Resource`` for all): the standard search parameters as rows of element paths."""
    definitions: dict[str, list[dict[str, Any]]] = _read("search-parameters.json")["parameters"]
    return definitions


def compartment_definitions() -> dict[str, dict[str, list[str]]]:
    """By the type that a compartment is of: which parameters of a type put a resource into it."""
    definitions: dict[str, dict[str, list[str]]] = _read("compartments.json")["compartments"]
    return definitions
