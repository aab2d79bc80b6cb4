"""FHIRPath Patch: the cases of R4 fhirpatch.html, primitives with extensions, choices, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from interop.errors import InvalidContentError, MalformedError
from interop.fhir.fhirpath_patch import read_fhirpath_patch
from interop.fhir.json import dumps, loads
from interop.fhir.validation import validate


def operation(type: str, path: str, **parts: Any) -> dict[str, Any]:
    listed: list[dict[str, Any]] = [{"name": "type", "valueCode": type}, {"name": "path", "valueString": path}]
    for name, value in parts.items():
        if name in ("index", "source", "destination"):
            listed.append({"name": name, "valueInteger": value})
        elif name == "name":
            listed.append({"name": name, "valueString": value})
        else:
            listed.append({"name": "value", **value})
    return {"name": "operation", "part": listed}


def patched(resource: dict[str, Any], *operations: dict[str, Any]) -> dict[str, Any]:
    parameters = {"resourceType": "Parameters", "parameter": list(operations)}
    validate(parameters)
    kept = loads(dumps(resource))
    after = read_fhirpath_patch(parameters).applied(resource)
    assert resource == kept
    return {name: value for name, value in after.items() if name != "resourceType"}


def person(**elements: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", **elements}


EXTENSION = {"part": [{"name": "url", "valueUri": "urn:x"}, {"name": "value", "valueString": "v"}]}
THREE = [{"system": "urn:s", "value": value} for value in ("a", "b", "c")]
NEW = {"valueIdentifier": {"value": "n"}}
CASES: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    (
        "add a primitive",
        {},
        operation("add", "Patient", name="birthDate", value={"valueDate": "1930-01-01"}),
        {"birthDate": "1930-01-01"},
    ),
    (
        "add to a list that is not there",
        {},
        operation("add", "Patient", name="identifier", value=NEW),
        {"identifier": [{"value": "n"}]},
    ),
    (
        "add to the end",
        {"identifier": THREE},
        operation("add", "Patient", name="identifier", value=NEW),
        {"identifier": [*THREE, {"value": "n"}]},
    ),
    (
        "add a backbone element",
        {},
        operation(
            "add",
            "Patient",
            name="contact",
            value={
                "part": [{"name": "name", "valueHumanName": {"text": "n"}}, {"name": "gender", "valueCode": "male"}]
            },
        ),
        {"contact": [{"name": {"text": "n"}, "gender": "male"}]},
    ),
    (
        "add a data type in parts",
        {},
        operation(
            "add",
            "Patient",
            name="maritalStatus",
            value={
                "part": [
                    {"name": "coding", "part": [{"name": "code", "valueCode": "M"}]},
                    {"name": "coding", "valueCoding": {"code": "W"}},
                    {"name": "text", "valueString": "married"},
                ]
            },
        ),
        {"maritalStatus": {"coding": [{"code": "M"}, {"code": "W"}], "text": "married"}},
    ),
    (
        "add an extension",
        {},
        operation("add", "Patient", name="extension", value=EXTENSION),
        {"extension": [{"url": "urn:x", "valueString": "v"}]},
    ),
    (
        "add an extension to a primitive",
        {"birthDate": "1930-01-01"},
        operation(
            "add",
            "Patient.birthDate",
            name="extension",
            value=EXTENSION,
        ),
        {"birthDate": "1930-01-01", "_birthDate": {"extension": [{"url": "urn:x", "valueString": "v"}]}},
    ),
    (
        "add to a primitive in a list",
        {"name": [{"given": ["a", "b"]}]},
        operation(
            "add",
            "Patient.name.given[1]",
            name="extension",
            value=EXTENSION,
        ),
        {"name": [{"given": ["a", "b"], "_given": [None, {"extension": [{"url": "urn:x", "valueString": "v"}]}]}]},
    ),
    (
        "add a choice",
        {},
        operation("add", "Patient", name="deceased", value={"valueBoolean": True}),
        {"deceasedBoolean": True},
    ),
    (
        "insert first",
        {"identifier": THREE},
        operation("insert", "Patient.identifier", index=0, value=NEW),
        {"identifier": [{"value": "n"}, *THREE]},
    ),
    (
        "insert last",
        {"identifier": THREE},
        operation("insert", "Patient.identifier", index=3, value=NEW),
        {"identifier": [*THREE, {"value": "n"}]},
    ),
    (
        "insert among primitives",
        {"name": [{"given": ["a", "b"], "_given": [None, {"id": "x"}]}]},
        operation("insert", "Patient.name[0].given", index=1, value={"valueString": "n"}),
        {"name": [{"given": ["a", "n", "b"], "_given": [None, None, {"id": "x"}]}]},
    ),
    (
        "delete a primitive",
        {"birthDate": "1930", "_birthDate": {"id": "x"}},
        operation("delete", "Patient.birthDate"),
        {},
    ),
    ("delete nothing", {"active": True}, operation("delete", "Patient.birthDate"), {"active": True}),
    (
        "delete by index",
        {"identifier": THREE},
        operation("delete", "Patient.identifier[1]"),
        {"identifier": [THREE[0], THREE[2]]},
    ),
    (
        "delete by condition",
        {"identifier": THREE},
        operation("delete", "Patient.identifier.where(system = 'urn:s' and value = 'c')"),
        {"identifier": THREE[:2]},
    ),
    ("delete the last of a list", {"identifier": THREE[:1]}, operation("delete", "Patient.identifier.first()"), {}),
    (
        "delete the last of an object",
        {"maritalStatus": {"text": "x"}},
        operation("delete", "Patient.maritalStatus.text"),
        {},
    ),
    (
        "delete an extension by its url",
        {"extension": [{"url": "urn:x", "valueString": "v"}, {"url": "urn:y", "valueString": "w"}]},
        operation("delete", "Patient.extension('urn:x')"),
        {"extension": [{"url": "urn:y", "valueString": "w"}]},
    ),
    ("delete a choice", {"deceasedBoolean": True}, operation("delete", "Patient.deceased"), {}),
    (
        "replace a primitive",
        {"birthDate": "1930"},
        operation("replace", "Patient.birthDate", value={"valueDate": "1931"}),
        {"birthDate": "1931"},
    ),
    (
        "replace with another type of a choice",
        {"deceasedBoolean": True},
        operation("replace", "Patient.deceased", value={"valueDateTime": "2020"}),
        {"deceasedDateTime": "2020"},
    ),
    (
        "replace in a list",
        {"identifier": THREE},
        operation("replace", "Patient.identifier[2]", value=NEW),
        {"identifier": [*THREE[:2], {"value": "n"}]},
    ),
    (
        "replace deep inside",
        {"contact": [{"name": {"text": "a"}}]},
        operation("replace", "Patient.contact[0].name", value={"valueHumanName": {"text": "b"}}),
        {"contact": [{"name": {"text": "b"}}]},
    ),
    (
        "replace by the type of a choice",
        {"deceasedDateTime": "2020"},
        operation("replace", "Patient.deceased.ofType(dateTime)", value={"valueDateTime": "2021"}),
        {"deceasedDateTime": "2021"},
    ),
    (
        "replace a code by a string",
        {"gender": "male"},
        operation("replace", "Patient.gender", value={"valueString": "female"}),
        {"gender": "female"},
    ),
    (
        "move",
        {"identifier": THREE},
        operation("move", "Patient.identifier", source=2, destination=0),
        {"identifier": [THREE[2], THREE[0], THREE[1]]},
    ),
    (
        "inside a contained resource",
        {"contained": [{"resourceType": "Organization", "id": "o", "name": "a"}]},
        operation("replace", "Patient.contained.where(id = 'o').name", value={"valueString": "b"}),
        {"contained": [{"resourceType": "Organization", "id": "o", "name": "b"}]},
    ),
    (
        "conditions of all kinds",
        {"telecom": [{"system": "phone", "rank": 1}, {"system": "email", "value": "x"}, {"system": "fax"}]},
        operation(
            "delete",
            "Patient.telecom.where((rank = 1 or value.exists()) and system != 'phone' and use.empty().not() = false)",
        ),
        {"telecom": [{"system": "phone", "rank": 1}, {"system": "fax"}]},
    ),
]


@pytest.mark.parametrize(("before", "patch", "after"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_the_operations_do(before: dict[str, Any], patch: dict[str, Any], after: dict[str, Any]) -> None:
    result = patched(person(**before), patch)
    assert result == after
    validate(person(**result)) if "contained" not in before else None


def test_operations_follow_one_another_and_decimals_stay() -> None:
    before = loads('{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":1.10}}')
    quantity = loads('{"valueQuantity":{"value":2.50}}')
    after = patched(before, operation("replace", "Observation.value", value=quantity))
    assert b'"value":2.50' in dumps(after)
    after = patched(before, operation("replace", "Observation.value.value", value=loads('{"valueDecimal":3.00}')))
    assert b'"value":3.00' in dumps(after)


REFUSED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, operation("replace", "Patient.birthDate", value={"valueDate": "1931"})),
    ({"identifier": THREE}, operation("delete", "Patient.identifier")),
    ({"identifier": THREE}, operation("replace", "Patient.identifier", value=NEW)),
    ({"identifier": THREE}, operation("insert", "Patient.identifier", index=4, value=NEW)),
    ({"identifier": THREE}, operation("insert", "Patient.identifier", index=-1, value=NEW)),
    ({"identifier": THREE}, operation("move", "Patient.identifier", source=3, destination=0)),
    ({"birthDate": "1930"}, operation("add", "Patient", name="birthDate", value={"valueDate": "1931"})),
    ({"birthDate": "1930"}, operation("insert", "Patient.birthDate", index=0, value={"valueDate": "1931"})),
    ({"deceasedBoolean": True}, operation("add", "Patient", name="deceased", value={"valueDateTime": "2020"})),
    ({}, operation("add", "Patient", name="surname", value={"valueString": "x"})),
    ({}, operation("add", "Patient", name="deceased", value={"valueString": "x"})),
    ({}, operation("add", "Patient", name="maritalStatus", value={"valueString": "x"})),
    ({}, operation("add", "Patient", name="birthDate", value={"valueHumanName": {"text": "x"}})),
    ({}, operation("add", "Patient", name="contact", value={"part": [{"name": "surname", "valueString": "x"}]})),
    ({}, operation("delete", "Patient.surname")),
    ({}, operation("delete", "Patient")),
    ({"active": True}, operation("delete", "Patient.active.surname")),
    ({"active": True}, operation("delete", "Patient.active = true")),
    ({"active": True}, operation("delete", "Patient.active.exists()")),
    ({}, operation("delete", "Patient.name.where(")),
    ({}, operation("delete", "Patient.name.matches('x')")),
    ({}, operation("delete", "Patient.name[x]")),
    ({}, operation("delete", "Patient..name")),
    ({}, operation("delete", "Patient.name.where(family ~ 'x')")),
    ({}, operation("delete", "Patient.name.where(" + "(" * 30 + "true" + ")" * 31)),
    ({}, operation("delete", "x" * 3000)),
    ({"identifier": THREE}, operation("delete", "Patient.identifier.single()")),
    ({"identifier": THREE}, operation("delete", "Patient.extension(5)")),
]


@pytest.mark.parametrize(("before", "patch"), REFUSED)
def test_what_cannot_be_done(before: dict[str, Any], patch: dict[str, Any]) -> None:
    with pytest.raises(InvalidContentError) as caught:
        patched(person(**before), patch)
    assert caught.value.status == 422
    assert caught.value.issues[0].expression == ("Parameters.parameter[0]",)


@pytest.mark.parametrize(
    "parameter",
    [
        {"name": "patch"},
        {"name": "operation"},
        {"name": "operation", "part": [{"name": "type", "valueCode": "append"}]},
        {"name": "operation", "part": [{"name": "type", "valueCode": "delete"}]},
        operation("add", "Patient", name="x"),
        operation("delete", "Patient.name", index=0) | {"part": [{"name": "type", "valueInteger": 5}]},
        {
            "name": "operation",
            "part": [*operation("delete", "Patient.name")["part"], {"name": "type", "valueCode": "x"}],
        },
        {"name": "operation", "part": [{"name": "type", "valueCode": "delete"}, {"name": "path", "valueInteger": 5}]},
    ],
)
def test_what_is_no_patch(parameter: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        read_fhirpath_patch({"resourceType": "Parameters", "parameter": [parameter]})
