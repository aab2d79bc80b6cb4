"""Where rows put values in FHIR resources.

``birthDate`` an element (the first row with a value sets it) · ``name[]`` a list, one item per value ·
``encounter.display`` an element of an element · ``identifier[PLAC]`` the one identifier of that type ·
``extension[station][].valueString`` one extension per value · ``participant[ATND][].individual`` one participant of
that type per value. Choice elements (``valueQuantity``, ``occurrenceDateTime``) take one form only.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from interop.mapping.context import Contained
from interop.mapping.uris import EXTENSIONS, PARTICIPATION, TYPE_SYSTEMS

_STEP = re.compile(r"(_?[A-Za-z]\w*)(?:\[(\w+)\])?(\[\])?\Z")
_BELOW = re.compile(r"[A-Za-z]\w*\Z")
CHOICE = re.compile(r"(value|occurrence|effective|deceased|multipleBirth)[A-Z]\w*\Z")


class Draft:
    """A resource in the making."""

    __slots__ = ("choices", "resource", "slots")

    def __init__(self, type: str) -> None:
        self.resource: dict[str, Any] = {"resourceType": type}
        self.slots: dict[str, dict[str, Any]] = {}
        self.choices: dict[str, str] = {}  # of value[x]: the form that was taken

    def contain(self, element: str, value: Contained) -> dict[str, Any]:
        """Keep the resource in ``contained`` and refer to it."""
        resource, display, typed = value
        contained = self.resource.setdefault("contained", [])
        name = element
        if contained:
            taken, number = {one["id"] for one in contained}, 2
            while name in taken:
                name, number = f"{element}{number}", number + 1
        contained.append({"resourceType": resource["resourceType"], "id": name, **resource})
        reference = {"reference": f"#{name}", **({"type": resource["resourceType"]} if typed else {})}
        return {**reference, "display": display} if display else reference


Setter = Callable[[Draft, Any], bool]  # whether the value was taken


def setter(target: str) -> Setter:
    """The function that puts a value there; ValueError if the target is none."""
    element, slot, many, tail = parsed(target)
    if slot is None and not many:
        return _scalar(element, tail)
    return _listed(element, _adornment(element, slot), "" if many else (slot or ""), ".".join(tail))


def parsed(target: str) -> tuple[str, str | None, bool, list[str]]:
    """Its element, the slot in a list, whether there is an item for each value, and the elements below; ValueError."""
    head, *tail = target.split(".")
    match = _STEP.match(head)
    if match is None or not all(_BELOW.match(part) for part in tail):
        raise ValueError(f"{target!r} is no target")
    return match[1], match[2], bool(match[3]), tail


def _adornment(element: str, slot: str | None) -> dict[str, Any]:
    if slot is None:
        return {}
    if element == "extension":
        if slot not in EXTENSIONS:
            raise ValueError(f"{slot!r} is no extension; known are {', '.join(EXTENSIONS)}")
        return {"url": EXTENSIONS[slot]}
    if element == "identifier" and slot in TYPE_SYSTEMS:
        return {"type": {"coding": [{"system": TYPE_SYSTEMS[slot], "code": slot}]}}
    if element == "participant":
        return {"type": [{"coding": [{"system": PARTICIPATION, "code": slot}]}]}
    return {}


def _scalar(element: str, path: list[str]) -> Setter:
    choice = CHOICE.match(element)
    prefix = choice[1] if choice else ""

    def put(draft: Draft, value: Any) -> bool:
        place = draft.resource
        if prefix and draft.choices.setdefault(prefix, element) != element:
            return False
        if isinstance(value, Contained):
            value = draft.contain(element, value)
        last = element
        for step in path:
            place = place.setdefault(last, {})
            last = step
        if last in place:
            if isinstance(value, dict) and isinstance(place[last], dict) and not value.keys() & place[last].keys():
                place[last].update(value)  # e.g. encounter.identifier after encounter.display
                return True
            return False
        place[last] = value
        return True

    return put


def _listed(element: str, adornment: dict[str, Any], slot: str, tail: str) -> Setter:
    key = f"{element}[{slot}]"

    def put(draft: Draft, value: Any) -> bool:
        items = draft.resource.setdefault(element, [])
        if isinstance(value, Contained):
            value = draft.contain(element, value)
        item = {**adornment, tail: value} if tail else {**adornment, **value} if isinstance(value, dict) else value
        if slot and key in draft.slots:
            return False
        if item in items:
            return False
        if slot:
            draft.slots[key] = item
        items.append(item)
        return True

    return put
