"""Profiles hold what they say, and say nothing that is not held."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from interop.errors import InvalidContentError
from interop.fhir.constraints import ProfileError, check_of, claimed, compiled, constraining
from interop.fhir.validation import validate

ORDER = "urn:interop:StructureDefinition:imaging-order"
PLACED = "urn:interop:StructureDefinition:imaging-order-placed"
V2 = "http://terminology.hl7.org/CodeSystem/v2-0203"
Json = dict[str, Any]


def number(kind: str, value: str, system: str | None = "urn:oid:1.2.3") -> Json:
    made: Json = {"type": {"coding": [{"system": V2, "code": kind}]}, "value": value}
    return made | ({"system": system} if system else {})


def order(**more: Any) -> Json:
    return {
        "resourceType": "ServiceRequest",
        "meta": {"profile": [ORDER]},
        "status": "active",
        "intent": "order",
        "code": {"text": "CT chest"},
        "subject": {"reference": "Patient/1"},
    } | more


def without(resource: Json, name: str) -> Json:
    return {key: value for key, value in resource.items() if key != name}


def faults(resource: Json, profile: str | None = None) -> list[tuple[str, tuple[str, ...]]]:
    try:
        validate(resource, profile=profile)
    except InvalidContentError as error:
        return [(issue.code, issue.expression) for issue in error.issues]
    return []


@pytest.mark.parametrize("url", list(constraining()))
def test_every_profile_of_ours_compiles(url: str) -> None:
    found = check_of(url)
    assert found is not None
    assert found[0] == constraining()[url]["type"]


def test_an_order_that_keeps_the_profile() -> None:
    assert faults(order()) == []
    assert faults(order(identifier=[number("ACSN", "A" * 16), number("PLAC", "1"), number("MR", "x")])) == []


@pytest.mark.parametrize(
    ("resource", "found"),
    [
        (without(order(), "code"), ("required", ("ServiceRequest.code",))),
        (order(intent="plan"), ("code-invalid", ("ServiceRequest.intent",))),
        (order(subject={"display": "somebody"}), ("required", ("ServiceRequest.subject.reference",))),
        (order(subject={"reference": "Group/1"}), ("value", ("ServiceRequest.subject.reference",))),
        (order(identifier=[number("ACSN", "A" * 17)]), ("value", ("ServiceRequest.identifier[0].value",))),
        (
            order(identifier=[number("PLAC", "1"), number("MR", "2"), number("PLAC", "3")]),
            ("structure", ("ServiceRequest.identifier",)),
        ),
        (
            order(identifier=[number("MR", "2"), without(number("FILL", "1"), "value") | {"system": "urn:x"}]),
            ("required", ("ServiceRequest.identifier[1].value",)),
        ),
    ],
)
def test_what_the_profile_asks_is_held_where_it_is_claimed(resource: Json, found: tuple[str, tuple[str, ...]]) -> None:
    assert faults(resource) == [found]
    assert faults(without(resource, "meta")) == []


def test_a_profile_holds_what_it_is_based_on() -> None:
    placed = order(identifier=[number("ACSN", "A1")])
    assert faults(placed, PLACED) == []
    assert faults(order(), PLACED) == [("required", ("ServiceRequest.identifier",))]
    assert faults(without(without(placed, "code"), "meta"), PLACED) == [("required", ("ServiceRequest.code",))]
    nameless = order(identifier=[number("ACSN", "A1", system=None)])
    assert faults(nameless, PLACED) == [("required", ("ServiceRequest.identifier[0].system",))]


def test_a_profile_of_another_type_cannot_be_claimed() -> None:
    patient = {"resourceType": "Patient", "meta": {"profile": [ORDER]}}
    assert faults(patient) == [("value", ("Patient.meta.profile",))]


def test_profiles_that_are_not_ours_are_carried() -> None:
    assert faults(order(meta={"profile": ["http://example.org/StructureDefinition/theirs"]}, intent="plan")) == []
    assert list(claimed(order(meta={"profile": ["http://example.org/x", f"{ORDER}|0.1.0"]})))


def test_a_choice_element_of_any_type_counts() -> None:
    definition = {
        "type": "Observation",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Observation",
        "differential": {"element": [{"id": "Observation.value[x]", "path": "Observation.value[x]", "min": 1}]},
    }
    check = compiled(definition)
    assert check({"valueString": "x"}) is None
    missing = check({"valueless": "x"})
    assert missing is not None
    assert missing[0].path == "value"


def closed_by(**discriminator: str) -> Json:
    return {
        "type": "Patient",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient",
        "differential": {
            "element": [
                {
                    "id": "Patient.identifier",
                    "path": "Patient.identifier",
                    "slicing": {"discriminator": [discriminator], "rules": "closed"},
                },
                {"id": "Patient.identifier:own", "path": "Patient.identifier", "sliceName": "own", "min": 1},
                {"id": "Patient.identifier:own.system", "path": "Patient.identifier.system", "fixedUri": "urn:own"},
            ]
        },
    }


def test_closed_slices_allow_nothing_beside_them() -> None:
    check = compiled(closed_by(type="value", path="system"))
    assert check({"identifier": [{"system": "urn:own"}]}) is None
    found = check({"identifier": [{"system": "urn:own"}, {"system": "urn:other"}]})
    assert found is not None
    assert [(one.code, one.path) for one in found] == [("structure", "identifier[1]")]


@pytest.mark.parametrize(
    "row",
    [
        {"constraint": [{"key": "x-1"}]},
        {"maxValueInteger": 3},
        {"binding": {"strength": "required", "valueSet": "http://example.org/unknown"}},
        {"slicing": {"discriminator": [{"type": "exists", "path": "system"}]}},
    ],
)
def test_what_could_not_be_held_is_refused_when_the_profile_is_read(row: Json) -> None:
    definition = copy.deepcopy(closed_by(type="value", path="system"))
    definition["differential"]["element"].append({"id": "Patient.name", "path": "Patient.name", **row})
    with pytest.raises(ProfileError, match=r"Patient\.name"):
        compiled(definition)


def test_slices_that_nothing_tells_apart_are_refused() -> None:
    check = compiled(closed_by(type="value", path="use"))
    with pytest.raises(ProfileError, match="tells slices apart"):
        check({"identifier": [{"system": "urn:own"}]})
