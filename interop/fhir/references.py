"""References inside resources (R4 references.html): finding them, and writing them anew.

These functions also see resources that nobody has validated yet (what a refusal was about, entries of a Bundle before
their links are known), so they take any JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from interop.fhir.definitions import type_definitions
from interop.fhir.parameters import split_reference

__all__ = ["link_names", "localised", "patient_of", "references", "rewrite", "split_reference"]

# Where a literal reference to this server is made relative.
_REFERENCES = frozenset(("reference", "valueUri", "valueUrl", "instantiatesUri"))
_LINK_TYPES = frozenset(("uri", "url", "oid", "uuid"))
_EXTENSIONS = ("extension", "modifierExtension")
_NARRATIVE_LINK = re.compile(r"""(\b(?:href|src)\s*=\s*)(["'])(.*?)\2""", re.DOTALL)


@cache
def link_names() -> frozenset[str]:
    """Where R4 http.html#trules has links replaced: literal references, and elements of type uri, url, oid and uuid.

    Never canonical, and never Extension.url, which names a definition.
    """
    named = {"reference"}

    def gather(elements: Mapping[str, Any]) -> None:
        for name, spec in elements.items():
            gather(spec.get("parts", {}))
            for kind in _LINK_TYPES.intersection(spec.get("types", ())):
                named.add(f"{name[:-3]}{kind.capitalize()}" if name.endswith("[x]") else name)

    for definition in type_definitions().values():
        gather(definition["elements"])
    return frozenset(named)


def references(resource: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The path of each Reference element and what it says, contained resources included."""
    kind = resource.get("resourceType")
    yield from _references(resource, (None, kind if isinstance(kind, str) else "Resource"))


_Path = tuple[Any, str]  # the parent's path, and this step


def _references(node: dict[str, Any], path: _Path) -> Iterator[tuple[str, str]]:
    for name, value in node.items():
        if type(value) is dict:
            yield from _references(value, (path, f".{name}"))
        elif type(value) is list:
            for index, item in enumerate(value):
                if type(item) is dict:
                    yield from _references(item, (path, f".{name}[{index}]"))
        elif name == "reference" and type(value) is str:
            yield _written(path), value


def _written(path: _Path) -> str:
    parent, step = path
    return step if parent is None else _written(parent) + step


_SUBJECT = ("subject", "patient")
_ABOUT = {"Task": ("for",), "Provenance": ("target",), "Schedule": ("actor",)}


def patient_of(resource: Mapping[str, Any]) -> str | None:
    """``Patient/<id>`` of the patient that the resource is about: itself, its subject or patient, the audited one."""
    kind = resource.get("resourceType")
    subject = resource.get("subject")
    if kind == "ServiceRequest" and type(subject) is dict:  # asked for every order, over and over
        return _patient(subject)
    if kind == "Patient":
        own = f"Patient/{resource.get('id')}"
        return own if split_reference(own) and isinstance(resource.get("id"), str) else None
    if kind == "AuditEvent":
        audited = [*_inside(resource, "entity", "what"), *_inside(resource, "agent", "who")]
        return next((found for found in map(_patient, audited) if found), None)
    if kind == "Appointment":
        return next((found for found in map(_patient, _inside(resource, "participant", "actor")) if found), None)
    names = _ABOUT.get(kind, _SUBJECT) if isinstance(kind, str) else _SUBJECT
    named = (resource.get(name) for name in names)
    each = (one for value in named for one in (value if isinstance(value, list) else [value]))
    return next((found for found in map(_patient, each) if found), None)


def _inside(resource: Mapping[str, Any], name: str, element: str) -> list[Any]:
    parts = resource.get(name)
    return [part.get(element) for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def _patient(reference: Any) -> str | None:
    literal = reference.get("reference") if isinstance(reference, dict) else None
    target = split_reference(literal) if isinstance(literal, str) else None
    return f"Patient/{target[1]}" if target and target[0] == "Patient" else None


def rewrite(resource: dict[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
    """The resource with each link that the mapping names replaced; the same object where it names none."""
    if not mapping:
        return resource

    def change(link: str) -> str:
        plain, mark, fragment = link.partition("#")
        return mapping[plain] + mark + fragment if plain in mapping else link

    def narrative(div: str) -> str:
        return _NARRATIVE_LINK.sub(lambda found: f"{found[1]}{found[2]}{change(found[3])}{found[2]}", div)

    changed: dict[str, Any] = _Changing(link_names(), change, narrative).of(resource)
    return changed


def localised(resource: dict[str, Any], base_url: str) -> dict[str, Any]:
    """The resource with absolute references to this server made relative, so that they are found and checked."""
    start = base_url + "/"

    def change(link: str) -> str:
        return link[len(start) :] if link.startswith(start) and split_reference(link[len(start) :]) else link

    local: dict[str, Any] = _Changing(_REFERENCES, change, lambda div: div).of(resource)
    return local


@dataclass(frozen=True, slots=True)
class _Changing:
    """A copy in which links are changed; what has none is shared with the original."""

    names: frozenset[str]
    change: Callable[[str], str]
    narrative: Callable[[str], str]

    def of(self, node: dict[str, Any], *, extension: bool = False) -> dict[str, Any]:
        """The object; of an extension the url stays."""
        copy: dict[str, Any] | None = None
        for name, value in node.items():
            kind = type(value)
            if kind is dict:
                new: Any = self.of(value)
            elif kind is list:
                new = self._items(value, name)
            elif kind is str and name in self.names and not (extension and name == "url"):
                new = self.change(value)
            elif name == "div" and kind is str:
                new = self.narrative(value)
            else:
                continue
            if new is not value and new != value:
                if copy is None:
                    copy = dict(node)
                copy[name] = new
        return node if copy is None else copy

    def _items(self, values: list[Any], name: str) -> list[Any]:
        linked = name in self.names
        extension = name in _EXTENSIONS
        items: list[Any] = []
        for value in values:
            kind = type(value)
            if kind is dict:
                items.append(self.of(value, extension=extension))
            elif kind is list:
                items.append(self._items(value, name))
            else:
                items.append(self.change(value) if linked and kind is str else value)
        return items if any(new is not old for new, old in zip(items, values, strict=True)) else values
