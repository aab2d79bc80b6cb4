"""References inside resources (R4 references.html): finding them, and writing them anew.

These functions also see resources that nobody has validated yet (what a refusal was about, entries of a Bundle before
their links are known), so they take any JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from interop.fhir.parameters import split_reference

__all__ = ["localised", "patient_of", "references", "rewrite", "split_reference"]

# Where R4 http.html#trules has links replaced: literal references and elements of type uri, url, oid and uuid (never
# canonical, and never Extension.url, which names a definition); links in the narrative besides.
_LINKS = frozenset(("reference", "valueUri", "valueUrl", "valueOid", "valueUuid", "instantiatesUri"))


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
        if plain in mapping:
            return mapping[plain] + mark + fragment
        return link

    def narrative(div: str) -> str:
        for link, target in mapping.items():
            if link in div:
                div = div.replace(f'"{link}"', f'"{target}"')
        return div

    changed: dict[str, Any] = _changed(resource, change, narrative)
    return changed


def localised(resource: dict[str, Any], base_url: str) -> dict[str, Any]:
    """The resource with absolute references to this server made relative, so that they are found and checked."""
    start = base_url + "/"

    def change(link: str) -> str:
        return link[len(start) :] if link.startswith(start) and split_reference(link[len(start) :]) else link

    local: dict[str, Any] = _changed(resource, change, lambda div: div)
    return local


def _changed(node: Any, change: Callable[[str], str], narrative: Callable[[str], str]) -> Any:
    """A copy in which links are changed; what has none is shared with the original."""
    if type(node) is list:
        items = [_changed(item, change, narrative) if type(item) in (dict, list) else item for item in node]
        return items if any(new is not old for new, old in zip(items, node, strict=True)) else node
    copy: dict[str, Any] | None = None
    for name, value in node.items():
        kind = type(value)
        if kind is dict or kind is list:
            new = _changed(value, change, narrative)
        elif kind is str and name in _LINKS:
            new = change(value)
        elif name == "div" and kind is str:
            new = narrative(value)
        else:
            continue
        if new is not value and new != value:
            if copy is None:
                copy = dict(node)
            copy[name] = new
    return node if copy is None else copy
