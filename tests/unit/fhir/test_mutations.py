"""Resources that are right with one thing broken: each is refused, where it is broken."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interop.errors import InvalidContentError
from interop.fhir.definitions import type_definitions
from interop.fhir.validation import validate
from tests.fhir_resources import (
    AUDIT,
    OBSERVATION,
    ORDER,
    OTHERS,
    PATIENT,
    RIGHT,
    STUDY,
    Place,
    Resource,
    broken,
    refused,
)


def named(value: Any) -> str:
    """A place as the name of a test."""
    return "/".join(map(str, value)) if isinstance(value, tuple) else ""


def places(node: Any, at: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every element below the resource, with its JSON path."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        if key != "resourceType":
            yield (*at, key), value
            yield from places(value, (*at, key))


def path_of(resource: Resource, at: Place) -> str:
    """The FHIRPath expression of a JSON path: choices lose their type, _name its mark."""
    text = resource["resourceType"]
    node: Any = resource
    for key in at:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            text += f".{key.removeprefix('_')}"
        node = node[key]
    for choice in (
        "Boolean",
        "Timing",
        "Quantity",
        "Period",
        "Instant",
        "Decimal",
        "Code",
        "DateTime",
        "Integer",
        "Time",
    ):
        for stem in ("value", "occurrence", "effective", "quantity", "asNeeded", "deceased", "multipleBirth", "bounds"):
            text = text.replace(f".{stem}{choice}", f".{stem}")
    return text.replace(".authorString", ".author")


MUTABLE = [(resource, at, value) for resource in RIGHT for at, value in places(resource)]


@pytest.mark.parametrize(("resource", "at", "value"), MUTABLE, ids=named)
def test_each_element_of_another_json_type_is_refused_where_it_is(resource: Resource, at: Place, value: Any) -> None:
    if value is None:
        return
    others: list[Any] = [{"a": 1}, [], "", {}, [[]]]
    if not (len(at) > 1 and str(at[-2]).startswith("_")):  # where null says that there is no extension here
        others.append(None)
    others += [5, True] if isinstance(value, str | dict | list) else ["x"]
    for other in others:
        found = refused(broken(resource, at, other))
        where = path_of(resource, at)
        assert found, (at, other)
        assert any(path.startswith(where) or where.startswith(path) for path in found), (at, other, found)


@pytest.mark.parametrize(("resource", "at", "value"), MUTABLE, ids=named)
def test_an_extra_element_is_refused_where_it_is(resource: Resource, at: Place, value: Any) -> None:
    if isinstance(value, dict):
        found = refused(broken(resource, at, {**value, "surprise": 1}))
        assert found.get(f"{path_of(resource, at)}.surprise") == "structure"


def required_places() -> Iterator[tuple[Resource, Place, str]]:
    for resource in RIGHT:
        yield from _required(resource, type_definitions()[resource["resourceType"]]["elements"], resource, ())


def _required(
    node: Resource, elements: dict[str, Any], root: Resource, at: Place
) -> Iterator[tuple[Resource, Place, str]]:
    for name, spec in elements.items():
        if spec.get("min") and name in node:
            yield root, (*at, name), name
        if "parts" in spec and name in node:
            parts = node[name] if spec.get("many") else [node[name]]
            for index, part in enumerate(parts):
                yield from _required(part, spec["parts"], root, (*at, name, index) if spec.get("many") else (*at, name))


@pytest.mark.parametrize(
    ("resource", "at", "name"),
    list(required_places()),
    ids=named,
)
def test_each_required_element_is_missed(resource: Resource, at: Place, name: str) -> None:
    without = copy.deepcopy(resource)
    node: Any = without
    for key in at[:-1]:
        node = node[key]
    del node[name]
    assert "required" in refused(without).values() or not node
    extended = copy.deepcopy(without)
    node = extended
    for key in at[:-1]:
        node = node[key]
    if isinstance(resource.get(name), str):  # a primitive may say by an extension why it has no value
        node[f"_{name}"] = {"extension": [{"url": "urn:absent", "valueCode": "unknown"}]}
        validate(extended)


@pytest.mark.parametrize(
    ("resource", "at"),
    [
        (ORDER, ("status",)),
        (ORDER, ("intent",)),
        (ORDER, ("priority",)),
        (ORDER, ("text", "status")),
        (ORDER, ("extension", 0, "valueCode")),
        (ORDER, ("identifier", 0, "use")),
        (ORDER, ("quantityQuantity", "comparator")),
        (ORDER, ("occurrenceTiming", "repeat", "periodUnit")),
        (ORDER, ("occurrenceTiming", "repeat", "when", 0)),
        (PATIENT, ("gender",)),
        (PATIENT, ("name", 0, "use")),
        (PATIENT, ("telecom", 0, "system")),
        (PATIENT, ("address", 0, "use")),
        (PATIENT, ("contact", 0, "gender")),
        (PATIENT, ("link", 0, "type")),
        (STUDY, ("status",)),
        (OBSERVATION, ("status",)),
        (AUDIT, ("action",)),
        (AUDIT, ("outcome",)),
        (AUDIT, ("agent", 0, "network", "type")),
        (OTHERS[2], ("status",)),
        (OTHERS[3], ("status",)),
        (OTHERS[4], ("status",)),
        (OTHERS[4], ("participant", 0, "status")),
        (OTHERS[5], ("status",)),
        (OTHERS[5], ("location", 0, "status")),
    ],
)
def test_each_required_code_is_checked(resource: Resource, at: Place) -> None:
    assert refused(broken(resource, at, "no-such-code")) == {path_of(resource, at): "code-invalid"}


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["#", "#dr", "Patient/1", "1.10"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "url", "_x", "value"]), inner),
    max_leaves=6,
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(MUTABLE), ANYTHING)
def test_nothing_that_stands_anywhere_breaks_the_validator(place: tuple[Resource, Place, Any], value: Any) -> None:
    resource, at, _ = place
    with suppress(InvalidContentError):
        validate(broken(resource, at, value))
