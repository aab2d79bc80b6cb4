"""Walking the definitions beside a resource: which elements an object has, how JSON calls them, what type they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from interop.fhir.definitions import carried_definitions, type_definitions
from interop.fhir.primitives import PRIMITIVES

Elements = Mapping[str, Mapping[str, Any]]

# What stands beside a primitive value: its id and its extensions.
BESIDE: Elements = {"id": {"types": ["element-id"]}, "extension": {"many": True, "types": ["Extension"]}}


@dataclass(frozen=True, slots=True)
class Element:
    """One element of an object as its definition has it, a choice with the type that was chosen."""

    key: str  # its name in JSON
    kind: str  # its type; "" for a backbone element
    many: bool
    parts: Elements | None = None  # of a backbone element

    @property
    def is_primitive(self) -> bool:
        """Whether its value is no object: extensions then stand under ``_key``."""
        return self.kind in PRIMITIVES

    @property
    def can_extend(self) -> bool:
        """Whether it may have extensions: attributes in XML (an id, an extension's url) and narrative have none."""
        return self.is_primitive and self.kind not in ("xhtml", "element-id")


def elements_of(element: Element, value: Any = None) -> Elements:
    """What may stand in the element; of a contained resource by the type that its value names. Empty if not known."""
    if element.parts is not None:
        return element.parts
    if element.is_primitive:
        return BESIDE if element.can_extend else {}
    if element.kind == "Resource":
        named = value.get("resourceType") if isinstance(value, dict) else None
        return resource_elements(named) if isinstance(named, str) else {}
    return resource_elements(element.kind)


def resource_elements(type: str) -> Elements:
    """The elements of a type of resource or data, in the definition's order; empty if R4 has no such type."""
    definition = type_definitions().get(type)
    elements: Elements = definition["elements"] if definition else _carried(type)
    return elements


@cache
def _carried(type: str) -> Elements:
    listed = carried_definitions().get(type, {})
    return {
        name: {"types": [kind], "many": False} if isinstance(kind, str) else {"types": kind, "many": True}
        for name, kind in listed.items()
    }


def by_key(elements: Elements) -> Mapping[str, tuple[int, Element]]:
    """The elements by their names in JSON and XML, each with its place in the order of the definition."""
    found = _BY_KEY.get(id(elements))
    if found is None:
        named = {
            element.key: (place, element)
            for place, (name, spec) in enumerate(elements.items())
            for element in choices(name, spec)
        }
        _BY_KEY[id(elements)] = (elements, named)  # kept with it: the id stays its own
        return named
    return found[1]


_BY_KEY: dict[int, tuple[Elements, Mapping[str, tuple[int, Element]]]] = {}


def chosen(name: str, spec: Mapping[str, Any], kind: str = "") -> Element:
    """The element of this definition; ``kind`` chooses among the types of a choice."""
    many = bool(spec.get("many"))
    if "parts" in spec:
        return Element(name, "", many, spec["parts"])
    if "like" in spec:
        return Element(name, "", many, _like(spec["like"]))
    kind = kind or spec["types"][0]
    key = f"{name[:-3]}{kind[0].upper()}{kind[1:]}" if name.endswith("[x]") else name
    return Element(key, kind, many)


def choices(name: str, spec: Mapping[str, Any]) -> list[Element]:
    """The element in each type that it may have."""
    kinds = spec.get("types", [""]) if name.endswith("[x]") else [""]
    return [chosen(name, spec, kind) for kind in kinds]


def definition_of(elements: Elements, name: str) -> tuple[str, Mapping[str, Any]] | None:
    """Name and definition of an element by its FHIRPath name: ``value`` finds ``value[x]``."""
    for each in (name, f"{name}[x]"):
        if each in elements:
            return each, elements[each]
    return None


@cache
def _like(path: str) -> Elements:
    """The parts of the backbone element that a contentReference names by its path."""
    type, *steps = path.split(".")
    elements = resource_elements(type)
    for step in steps:
        spec = elements[step]
        elements = spec["parts"] if "parts" in spec else _like(spec["like"])
    return elements
