"""FHIRPath Patch (R4 fhirpatch.html): a Parameters resource whose operations add, insert, delete, replace and move.

What an element may be called, whether it repeats and which type of a choice it has are taken from the definitions, so a
patch cannot make what no resource has. Emptied lists and objects go with their last part.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from interop.errors import InteropError, InvalidContentError, Issue, MalformedError
from interop.fhir.elements import Element, Elements, choices, chosen, definition_of, elements_of
from interop.fhir.fhirpath import Path, parse_path
from interop.fhir.places import Place, places, root_of
from interop.fhir.primitives import PRIMITIVES

TYPES = {  # operation: the parts that it needs
    "add": ("path", "name", "value"),
    "insert": ("path", "index", "value"),
    "delete": ("path",),
    "replace": ("path", "value"),
    "move": ("path", "source", "destination"),
}
MAX_OPERATIONS = 1000
_KINDS = {"type": str, "path": str, "name": str, "index": int, "source": int, "destination": int}
Part = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation; ``value`` is the part that carries it, as its shape depends on where it goes."""

    where: str  # Parameters.parameter[2]
    type: str
    path: Path
    text: str  # the path as it was sent
    name: str = ""
    value: Part | None = None
    index: int = 0
    source: int = 0
    destination: int = 0


@dataclass(frozen=True, slots=True)
class FhirPathPatch:
    """A patch that was read."""

    operations: tuple[Operation, ...]

    def applied(self, resource: dict[str, Any]) -> dict[str, Any]:
        """The resource as it is changed, itself left alone; InvalidContentError (422) at the operation."""
        changed = deepcopy(resource)
        for operation in self.operations:
            try:
                _CARRIED_OUT[operation.type](changed, operation)
            except InteropError as error:
                text = f"{operation.type} {operation.text[:100]}: {error.text}"
                issue = Issue("processing", text, (operation.where,))
                raise InvalidContentError(text, issues=(issue,)) from error
        return changed


def read_fhirpath_patch(parameters: dict[str, Any]) -> FhirPathPatch:
    """The patch of a valid Parameters resource; MalformedError (400) for one that is no patch."""
    listed = parameters.get("parameter", [])
    if len(listed) > MAX_OPERATIONS:
        raise MalformedError(f"a patch has at most {MAX_OPERATIONS} operations", issue_code="too-costly")
    return FhirPathPatch(tuple(_operation(index, each) for index, each in enumerate(listed)))


def _operation(index: int, parameter: Part) -> Operation:
    where = f"Parameters.parameter[{index}]"
    if parameter.get("name") != "operation":
        raise MalformedError("a patch has only parameters called operation", expression=where)
    parts = {part.get("name", ""): part for part in parameter.get("part", [])}
    if len(parts) != len(parameter.get("part", [])):
        raise MalformedError("a part is given twice", expression=where)
    given = {name: _plain_value(parts[name], where) for name in _KINDS.keys() & parts.keys()}
    type = given.get("type", "")
    if type not in TYPES:
        raise MalformedError(f"the type of an operation is one of {', '.join(TYPES)}", expression=where)
    missing = [name for name in TYPES[type] if name not in parts]
    if missing:
        raise MalformedError(f"{type} needs the part {missing[0]}", expression=where, issue_code="required")
    for name, kind in _KINDS.items():
        if name in given and (not isinstance(given[name], kind) or given[name] is True):
            raise MalformedError(f"the part {name} is no {kind.__name__}", expression=where, issue_code="value")
    numbers = {name: given[name] for name in ("index", "source", "destination") if name in given}
    try:
        path = parse_path(given["path"])
    except InvalidContentError as error:
        raise InvalidContentError(error.text, expression=where) from error
    return Operation(where, type, path, given["path"], given.get("name", ""), parts.get("value"), **numbers)


def _plain_value(part: Part, where: str) -> Any:
    values = [value for name, value in part.items() if name.startswith("value")]
    if len(values) != 1:
        raise MalformedError(f"the part {part.get('name')} has one value", expression=where)
    return values[0]


# what the operations do


def _add(resource: dict[str, Any], operation: Operation) -> None:
    target = _one(resource, operation)
    holder = _holder(target)
    found = definition_of(elements_of(target.element, holder), operation.name)
    if found is None:
        raise InvalidContentError(f"{_type(target)} has no element {operation.name[:60]!r}")
    element, value, beside = _value_of(operation.value or {}, *found)
    if not element.many and any(_stands(holder, each) for each in choices(*found)):
        raise InvalidContentError(f"{operation.name} is there already, and only once: replace it")
    if element.many:
        _insert_at(holder, element, None, value, beside)
    else:
        _set(holder, element, value, beside)


def _insert(resource: dict[str, Any], operation: Operation) -> None:
    holder, name, spec, length = _list(resource, operation)
    element, value, beside = _value_of(operation.value or {}, name, spec)
    if not 0 <= operation.index <= length:
        raise InvalidContentError(f"the list has {length} elements, so there is no place {operation.index}")
    _insert_at(holder, element, operation.index, value, beside)


def _delete(resource: dict[str, Any], operation: Operation) -> None:
    found = places(resource, operation.path)
    if len(found) > 1:
        raise InvalidContentError(f"the path finds {len(found)} elements; one is deleted at a time")
    for place in found:
        _require_below(place)
        _take_out(place)
    _drop_empty(resource)


def _replace(resource: dict[str, Any], operation: Operation) -> None:
    place = _one(resource, operation)
    _require_below(place)
    name, spec = _definition_at(resource, operation)
    element, value, beside = _value_of(operation.value or {}, name, spec)
    if place.index is None:
        _clear(place.holder, place.element)
        _set(place.holder, element, value, beside)
        return
    for key, new in ((element.key, value), (f"_{element.key}", beside)):
        listed = place.holder.get(key)
        if listed is None and new is None:
            continue
        listed = place.holder.setdefault(key, [None] * _length(place.holder, element))
        listed[place.index] = new
    _tidy(place.holder, element)


def _move(resource: dict[str, Any], operation: Operation) -> None:
    holder, name, spec, length = _list(resource, operation)
    for number in (operation.source, operation.destination):
        if not 0 <= number < length:
            raise InvalidContentError(f"the list has {length} elements, so there is no place {number}")
    key = chosen(name, spec).key
    for each in (key, f"_{key}"):
        listed = holder.get(each)
        if isinstance(listed, list):
            listed.insert(operation.destination, listed.pop(operation.source))


_CARRIED_OUT = {"add": _add, "insert": _insert, "delete": _delete, "replace": _replace, "move": _move}


def _one(resource: dict[str, Any], operation: Operation) -> Place:
    found = places(resource, operation.path)
    if len(found) != 1:
        raise InvalidContentError(f"the path finds {len(found) or 'no'} elements; it has to find one")
    return found[0]


def _require_below(place: Place) -> None:
    if place.element.key == "":
        raise InvalidContentError("the whole resource is not patched away")


def _type(place: Place) -> str:
    return str((place.inside() or {}).get("resourceType") or place.element.kind or place.element.key)


def _holder(place: Place) -> dict[str, Any]:
    """The object below the place; for a primitive the one of its extensions, made where there is none."""
    inside = place.inside()
    if inside is not None:
        return inside
    if not place.element.can_extend:
        raise InvalidContentError(f"{place.element.key} holds no elements")
    made: dict[str, Any] = {}
    key = f"_{place.element.key}"
    if place.index is None:
        place.holder[key] = made
    else:
        place.holder.setdefault(key, [None] * _length(place.holder, place.element))[place.index] = made
    return made


def _definition_at(resource: dict[str, Any], operation: Operation) -> tuple[str, Any]:
    """Name and definition of the element that the path's last name means."""
    named = [number for number, step in enumerate(operation.path.steps) if step.kind == "element"]
    steps = operation.path.steps
    if steps[-1].name == "extension" and steps[-1].kind == "function":
        parents, name = _found(resource, steps[:-1]), "extension"
    elif named:
        parents, name = _found(resource, steps[: named[-1]]), steps[named[-1]].name
    else:
        raise InvalidContentError("the path names no element")
    for parent in parents:
        found = definition_of(elements_of(parent.element, parent.inside()), name)
        if found is not None:
            return found
    raise InvalidContentError(f"there is no {name[:60]!r}")


def _found(resource: dict[str, Any], steps: Any) -> list[Place]:
    return places(resource, Path(tuple(steps))) if steps else [root_of(resource)]


def _list(resource: dict[str, Any], operation: Operation) -> tuple[dict[str, Any], str, Any, int]:
    """The object that has the list, the list's name and definition, and how long it is."""
    steps = operation.path.steps
    if steps[-1].kind != "element" or len(steps) < 2:
        raise InvalidContentError("the path ends with the name of a list")
    parents = _found(resource, steps[:-1])
    if len(parents) != 1:
        raise InvalidContentError(f"the path finds {len(parents) or 'no'} lists; it has to find one")
    holder = _holder(parents[0])
    found = definition_of(elements_of(parents[0].element, holder), steps[-1].name)
    if found is None or not found[1].get("many"):
        raise InvalidContentError(f"{steps[-1].name[:60]} is no list")
    return holder, *found, _length(holder, chosen(*found))


# values


def _value_of(part: Part, name: str, spec: Any) -> tuple[Element, Any, Any]:
    """The element that the part becomes under this definition, its value, and what stands beside a primitive."""
    key = next((each for each in part if each.startswith("value")), None)
    kept = part.get(f"_{key}") if key else next((v for n, v in part.items() if n.startswith("_value")), None)
    if key is None and kept is None:
        return _composed(part, name, spec)
    kind = _kind_of(key or next(n for n in part if n.startswith("_value"))[1:], name, spec)
    return chosen(name, spec, kind), deepcopy(part.get(key)) if key else None, deepcopy(kept)


def _kind_of(key: str, name: str, spec: Any) -> str:
    """The type that the value says it has; one that may stand here, or else of the same form (string for code)."""
    said = key.removeprefix("value")
    kinds = spec.get("types", [])
    for kind in kinds:
        if kind[0].upper() + kind[1:] == said:
            return str(kind)
    if name.endswith("[x]") or not kinds:
        raise InvalidContentError(f"{name.removesuffix('[x]')} takes no value{said[:40]}")
    if chosen(name, spec).is_primitive != (said[:1].lower() + said[1:] in _PRIMITIVE_NAMES):
        raise InvalidContentError(f"{name} is a {kinds[0]}, not a {said[:40]}")
    return str(kinds[0])


_PRIMITIVE_NAMES = PRIMITIVES.keys() - {"xhtml", "element-id"}


def _composed(part: Part, name: str, spec: Any) -> tuple[Element, Any, Any]:
    """An object put together of named parts: a backbone element, or a data type said element by element."""
    element = chosen(name, spec)
    if "resource" in part and element.kind == "Resource":
        return element, deepcopy(part["resource"]), None
    elements = elements_of(element)
    if element.is_primitive or not elements or not part.get("part"):
        raise InvalidContentError(f"a value for {name} is missing")
    value: dict[str, Any] = {}
    for each in part["part"]:
        _compose(value, elements, each)
    return element, value, None


def _compose(value: dict[str, Any], elements: Elements, part: Part) -> None:
    name = str(part.get("name"))
    found = definition_of(elements, name)
    if found is None:
        raise InvalidContentError(f"there is no element {name[:60]!r} in the value")
    element, inner, beside = _value_of(part, *found)
    if element.many:
        _insert_at(value, element, None, inner, beside)
    elif _stands(value, element):
        raise InvalidContentError(f"{name} is given twice")
    else:
        _set(value, element, inner, beside)


# lists and members, with what stands beside a primitive


def _stands(holder: dict[str, Any], element: Element) -> bool:
    return element.key in holder or f"_{element.key}" in holder


def _clear(holder: dict[str, Any], element: Element) -> None:
    holder.pop(element.key, None)
    holder.pop(f"_{element.key}", None)


def _set(holder: dict[str, Any], element: Element, value: Any, beside: Any) -> None:
    for key, new in ((element.key, value), (f"_{element.key}", beside)):
        if new is not None:
            holder[key] = new


def _length(holder: dict[str, Any], element: Element) -> int:
    return max(len(holder.get(key) or ()) for key in (element.key, f"_{element.key}"))


def _insert_at(holder: dict[str, Any], element: Element, index: int | None, value: Any, beside: Any) -> None:
    length = _length(holder, element)
    at = length if index is None else index
    for key, new in ((element.key, value), (f"_{element.key}", beside)):
        if key in holder or new is not None:
            holder.setdefault(key, [None] * length).insert(at, new)


def _take_out(place: Place) -> None:
    if place.index is None:
        _clear(place.holder, place.element)
        return
    for key in (place.element.key, f"_{place.element.key}"):
        listed = place.holder.get(key)
        if isinstance(listed, list) and place.index < len(listed):
            del listed[place.index]
    _tidy(place.holder, place.element)


def _tidy(holder: dict[str, Any], element: Element) -> None:
    """A list that holds nothing any more goes."""
    for key in (element.key, f"_{element.key}"):
        if isinstance(holder.get(key), list) and all(each is None for each in holder[key]):
            del holder[key]


def _drop_empty(node: Any) -> None:
    """What lost its last part goes too: FHIR knows no empty objects."""
    for name, value in list(node.items()):
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                _drop_empty(each)
        if isinstance(value, list) and name[0] == "_":  # its places answer to those of the values
            value[:] = [None if each == {} else each for each in value]
        elif isinstance(value, list):
            value[:] = [each for each in value if each != {}]
        if value in ({}, []):
            del node[name]
