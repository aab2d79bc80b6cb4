"""Where a path leads in a resource: places, that can be read and changed, not mere values (see ``fhirpath``)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from interop.errors import InvalidContentError
from interop.fhir.elements import Element, choices, definition_of, elements_of
from interop.fhir.fhirpath import Binary, Expression, Literal, Path, Step

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """One element: the object that holds it, its name there, and which one it is where it repeats."""

    holder: dict[str, Any]
    element: Element
    index: int | None = None

    @property
    def value(self) -> Any:
        """What stands there; None where a primitive has nothing but extensions."""
        return self._of(self.element.key)

    @property
    def beside(self) -> Any:
        """The object of a primitive's id and extensions, if it has one."""
        return self._of(f"_{self.element.key}")

    def _of(self, key: str) -> Any:
        found = self.holder.get(key)
        if self.index is None:
            return found
        return found[self.index] if isinstance(found, list) and self.index < len(found) else None

    def inside(self) -> dict[str, Any] | None:
        """The object that holds what is below this element; None where there is none yet."""
        found = self.beside if self.element.is_primitive else self.value
        return found if isinstance(found, dict) else None


Items = list["Place | Any"]  # places, and what functions compute: booleans


def root_of(resource: Resource) -> Place:
    """The resource itself as a place."""
    return Place({"": resource}, Element("", "Resource", False))


def places(resource: Resource, path: Path) -> list[Place]:
    """Every place that the path leads to; InvalidContentError (422) where it can lead nowhere by the definitions."""
    found = _walk(path, [root_of(resource)], at_root=True)
    if any(not isinstance(each, Place) for each in found):
        raise InvalidContentError("the path names no element but a value that is computed")
    return found


def _walk(path: Path, start: Items, *, at_root: bool = False) -> Items:
    items = start
    for number, step in enumerate(path.steps):
        if at_root and number == 0 and _names_root(step, items):
            continue
        items = _taken(step, items)
    return items


def _names_root(step: Step, items: Items) -> bool:
    type = items[0].value.get("resourceType")
    return step.kind == "element" and step.name in (type, "Resource", "DomainResource")


def _taken(step: Step, items: Items) -> Items:
    if step.kind == "this":
        return items
    if step.kind == "index":
        return items[step.index : step.index + 1]
    if step.kind == "element":
        return [found for item in items for found in children(_placed(item, step.name), step.name)]
    return _FUNCTIONS[step.name](items, step.argument)


def _placed(item: Any, name: str) -> Place:
    if not isinstance(item, Place):
        raise InvalidContentError(f"{name[:60]} is asked of a value that has no elements")
    return item


def children(place: Place, name: str) -> list[Place]:
    """The elements of this FHIRPath name below the place."""
    inside = place.inside()
    elements = elements_of(place.element, inside)
    found = definition_of(elements, name)
    if found is None:
        owner = (inside or {}).get("resourceType") or place.element.kind or place.element.key
        raise InvalidContentError(f"{owner} has no element {name[:60]!r}")
    return [] if inside is None else [each for element in choices(*found) for each in places_of(inside, element)]


def places_of(holder: dict[str, Any], element: Element) -> list[Place]:
    """Where the element stands in its object."""
    value, beside = holder.get(element.key), holder.get(f"_{element.key}")
    if not element.many:
        return [Place(holder, element)] if value is not None or beside is not None else []
    length = max(len(each) if isinstance(each, list) else 0 for each in (value, beside))
    return [Place(holder, element, index) for index in range(length)]


# functions


def _where(items: Items, condition: Expression | None) -> Items:
    assert condition is not None
    return [item for item in items if _holds(condition, item)]


def _exists(items: Items, condition: Expression | None) -> Items:
    return [bool(items if condition is None else _where(items, condition))]


def _extension(items: Items, argument: Expression | None) -> Items:
    url = _text_of(argument, "extension")
    found = [each for item in items for each in children(_placed(item, "extension"), "extension")]
    return [each for each in found if isinstance(each.value, dict) and each.value.get("url") == url]


def _of_type(items: Items, argument: Expression | None) -> Items:
    if not isinstance(argument, Path) or any(step.kind != "element" for step in argument.steps):
        raise InvalidContentError("ofType() takes the name of a type")
    name = argument.steps[-1].name
    return [item for item in items if isinstance(item, Place) and _kind_of(item) == name]


def _kind_of(place: Place) -> str:
    if place.element.kind == "Resource":
        return str((place.value or {}).get("resourceType", ""))
    return place.element.kind


def _single(items: Items, _argument: Expression | None) -> Items:
    if len(items) > 1:
        raise InvalidContentError(f"single() finds {len(items)} elements")
    return items


def _starts_with(items: Items, argument: Expression | None) -> Items:
    start = _text_of(argument, "startsWith")
    return [str(_plain(item)).startswith(start) for item in items[:1]]


def _not(items: Items, _argument: Expression | None) -> Items:
    return [not _is_true(items)] if items else []


def _text_of(argument: Expression | None, function: str) -> str:
    if not isinstance(argument, Literal) or argument.is_number or not isinstance(argument.value, str):
        raise InvalidContentError(f"{function}() takes a text in quotes")
    return argument.value


_FUNCTIONS: dict[str, Callable[[Items, Expression | None], Items]] = {
    "where": _where,
    "exists": _exists,
    "extension": _extension,
    "ofType": _of_type,
    "startsWith": _starts_with,
    "single": _single,
    "first": lambda items, _: items[:1],
    "last": lambda items, _: items[-1:],
    "empty": lambda items, _: [not items],
    "not": _not,
}


# conditions


def _holds(condition: Expression, item: Any) -> bool:
    return _is_true(_evaluated(condition, item))


def _is_true(items: Items) -> bool:
    """One boolean counts as it is, one of anything else as true, nothing as false (FHIRPath 4.5)."""
    if len(items) > 1:
        raise InvalidContentError("a condition has more than one value")
    if not items:
        return False
    value = _plain(items[0])
    return value if isinstance(value, bool) else True


def _evaluated(expression: Expression, item: Any) -> Items:
    if isinstance(expression, Literal):
        return [Decimal(str(expression.value)) if expression.is_number else expression.value]
    if isinstance(expression, Path):
        return _walk(expression, [item])
    return _compared(expression, item)


def _compared(expression: Binary, item: Any) -> Items:
    left = _evaluated(expression.left, item)
    if expression.sign in ("and", "or"):
        first = _is_true(left)
        if first is (expression.sign == "or"):
            return [first]
        return [_is_true(_evaluated(expression.right, item))]
    right = _evaluated(expression.right, item)
    if not left or not right:  # nothing compared with anything is neither true nor false
        return []
    same = [_plain(each) for each in left] == [_plain(each) for each in right]
    return [same is (expression.sign == "=")]


def _plain(item: Any) -> Any:
    """The value to compare: numbers by value, a boolean never as a number."""
    value = item.value if isinstance(item, Place) else item
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value
