"""Validation: what is right is accepted, and a fault is refused where it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from interop.errors import InvalidContentError, MalformedError
from interop.fhir import json
from interop.fhir.definitions import resource_types, type_definitions
from interop.fhir.profile import accepted_types
from interop.fhir.validation import issues_of, validate
from tests.fhir_resources import AUDIT, OBSERVATION, ORDER, PATIENT, RIGHT, Resource, broken, refused


def corpus() -> list[Path]:
    folder = os.environ.get("INTEROP_CORPUS")
    return sorted(Path(folder, "fhir").glob("*/*.json")) if folder else []


def test_the_official_examples_are_accepted() -> None:
    wrong = {path.name: issues_of(json.loads(path.read_bytes())) for path in corpus()}
    assert {name: issues for name, issues in wrong.items() if issues} == {}


@pytest.mark.parametrize("resource", RIGHT, ids=lambda r: r["resourceType"])
def test_right_resources_are_accepted(resource: Resource) -> None:
    validate(resource)
    validate(resource, type=resource["resourceType"])


def test_every_served_type_has_one_here() -> None:
    assert {resource["resourceType"] for resource in RIGHT} == set(accepted_types())


FORMATS = [
    ("birthDate", "1970", True),
    ("birthDate", "1970-13", False),
    ("birthDate", "1970-02-29", False),
    ("birthDate", "1972-02-29", True),
    ("birthDate", "1970-1-1", False),
    ("birthDate", "0000", False),
    ("birthDate", "1970-01-01T00:00:00Z", False),
    ("birthDate", "١٩٧٠", False),
    ("birthDate", "1970\n", False),
    ("deceasedDateTime", "2020-01-01T10:00:00+02:00", True),
    ("deceasedDateTime", "2020-01-01T10:00:00", False),
    ("deceasedDateTime", "2020-01-01T10:00Z", False),
    ("deceasedDateTime", "2020-01-01T24:00:00Z", False),
    ("deceasedDateTime", "2020-01-01T23:59:60Z", True),
    ("deceasedDateTime", "2020-01-01T10:00:00.123456789Z", True),
    ("deceasedDateTime", "2020-01-01T10:00:00+14:30", False),
    ("deceasedDateTime", "2021-04-31T10:00:00Z", False),
    ("gender", " male", False),
    ("language", "el GR", True),
    ("language", "el  GR", False),
    ("implicitRules", "http://a b", False),
    ("implicitRules", "http://a", True),
    ("id", "a" * 64, True),
    ("id", "a" * 65, False),
    ("id", "a_b", False),
    ("multipleBirthInteger", 2147483647, True),
    ("multipleBirthInteger", 2147483648, False),
    ("multipleBirthInteger", json.DecimalText("1.0"), False),
    ("multipleBirthBoolean", 1, False),
]


@pytest.mark.parametrize(("name", "value", "right"), FORMATS)
def test_formats(name: str, value: Any, right: bool) -> None:
    assert (refused({"resourceType": "Patient", name: value}) == {}) is right


EXTENSION_VALUES = [
    ("Decimal", json.DecimalText("1.10"), True),
    ("Decimal", 1, True),
    ("Decimal", "1", False),
    ("Decimal", True, False),
    ("PositiveInt", 0, False),
    ("PositiveInt", 1, True),
    ("UnsignedInt", 0, True),
    ("UnsignedInt", -1, False),
    ("Base64Binary", "AAAA", True),
    ("Base64Binary", "AA==", True),
    ("Base64Binary", "AAA", False),
    ("Base64Binary", "AA AA\n", True),
    ("Base64Binary", "A===", False),
    ("Base64Binary", "AA-A", False),
    ("Oid", "urn:oid:1.2.3", True),
    ("Oid", "1.2.3", False),
    ("Oid", "urn:oid:1.02", False),
    ("Oid", "urn:oid:3.1", False),
    ("Uuid", "urn:uuid:0a5d26c9-6b6f-4a3c-9d0c-111111111111", True),
    ("Uuid", "0a5d26c9", False),
    ("Time", "10:00:00", True),
    ("Time", "10:00", False),
    ("Instant", "2020-01-01", False),
    ("Instant", "2020-01-01T10:00:00Z", True),
    ("Money", {"value": 1, "currency": "EUR"}, True),
    ("Money", {"value": 1, "currency": "euro"}, False),
    ("String", "x" * (1024 * 1024 + 1), False),
    ("Markdown", "*x*", True),
    ("Url", "http://x", True),
    ("Canonical", "http://x|1", True),
    ("Attachment", {"data": "AAAA"}, False),
    ("Attachment", {"data": "AAAA", "contentType": "text"}, True),
    ("Period", {"start": "2021", "end": "2020"}, False),
    ("Period", {"start": "2020-06", "end": "2020"}, True),
    ("Period", {"start": "2020-01-02T00:30:00+02:00", "end": "2020-01-01"}, True),
    ("Range", {"low": {"value": 2}, "high": {"value": 1}}, False),
    ("Ratio", {"numerator": {"value": 1}}, False),
    ("Quantity", {"value": 1, "code": "m"}, False),
    ("Age", {"value": 1}, False),
    ("Age", {"value": 1, "code": "a", "system": "http://unitsofmeasure.org"}, True),
    ("ContactPoint", {"value": "x"}, False),
    ("Reference", {"reference": "Patient/1"}, True),
    ("Duration", {"code": "h"}, False),
    ("Timing", {"repeat": {"duration": 1}}, False),
    ("Timing", {"repeat": {"offset": 1, "when": ["C"]}}, False),
    ("Timing", {"repeat": {"timeOfDay": ["10:00:00"], "when": ["C"]}}, False),
    ("Nothing", "x", False),
]


@pytest.mark.parametrize(("kind", "value", "right"), EXTENSION_VALUES)
def test_values_of_each_type(kind: str, value: Any, right: bool) -> None:
    resource = {"resourceType": "Basic", "code": {"text": "x"}, "extension": [{"url": "urn:x", f"value{kind}": value}]}
    assert (refused(resource) == {}) is right


REFERENCES = [
    ("Patient/1", True),
    ("Patient/1/_history/2", True),
    ("http://x/fhir/Patient/1", True),
    ("urn:uuid:x", True),
    ("urn:oid:1.2", True),
    ("https://x/anything", True),
    ("Observation/1", False),
    ("http://x/fhir/Observation/1", False),
    ("Patient", False),
    ("1", False),
    ("/Patient/1", False),
    ("Patient/a b", False),
    ("Patient?identifier=1", False),
    ("#inside", False),
    ("Nonsense/1", False),
    ("javascript:alert(1)", True),
]


@pytest.mark.parametrize(("reference", "right"), REFERENCES)
def test_references(reference: str, right: bool) -> None:
    resource = {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "plan",
        "subject": {"reference": reference},
    }
    assert refused(resource) == ({} if right else {"ServiceRequest.subject.reference": "value"})


def test_a_reference_by_identifier_says_its_type() -> None:
    subject = {"identifier": {"value": "1"}, "type": "Observation"}
    resource = {"resourceType": "ServiceRequest", "status": "active", "intent": "plan", "subject": subject}
    assert refused(resource) == {"ServiceRequest.subject.type": "value"}


def test_contained_resources() -> None:
    assert "ServiceRequest.contained[0]" in refused(broken(ORDER, ("requester", "reference"), "Practitioner/1"))
    assert refused(broken(ORDER, ("requester", "reference"), "#nobody")) == {
        "ServiceRequest.requester.reference": "value"
    }
    inner = {"resourceType": "Practitioner", "id": "dr", "contained": [{"resourceType": "Organization", "name": "x"}]}
    assert refused(broken(ORDER, ("contained", 0), inner)) == {"ServiceRequest.contained[0]": "invariant"}
    for meta in ({"versionId": "1"}, {"security": [{"code": "R"}]}):
        assert refused(broken(ORDER, ("contained", 0, "meta"), meta)) == {
            "ServiceRequest.contained[0].meta": "invariant"
        }
    wrong = broken(ORDER, ("contained", 0, "gender"), "x")
    assert refused(wrong) == {"ServiceRequest.contained[0].gender": "code-invalid"}
    back = {
        "resourceType": "Provenance",
        "target": [{"reference": "#"}],
        "recorded": "2026-01-01T10:00:00Z",
        "agent": [{"who": {"display": "x"}}],
    }
    assert refused({**PATIENT, "contained": [back]}) == {}


def test_choices_are_made_once() -> None:
    both = {**OBSERVATION, "valueString": "x"}
    assert refused(both) == {"Observation.value": "structure"}
    assert refused({**OBSERVATION, "valueAddress": {"city": "x"}}) == {"Observation.valueAddress": "structure"}
    same = {"resourceType": "Patient", "deceasedBoolean": True, "_deceasedBoolean": {"id": "x"}}
    assert refused(same) == {}


def test_arrays_of_primitives_and_their_extensions() -> None:
    def name(**given: Any) -> dict[str, str]:
        return refused({"resourceType": "Patient", "name": [given]})

    extra = {"extension": [{"url": "urn:x", "valueString": "y"}]}
    assert name(given=["A", None], _given=[None, extra]) == {}
    assert name(_given=[extra]) == {}
    assert name(given=["A", None]) == {"Patient.name[0].given[1]": "structure"}
    assert name(given=["A", None], _given=[None, None]) == {"Patient.name[0].given[1]": "structure"}
    assert name(given=["A"], _given=[None, extra]) == {"Patient.name[0].given": "structure"}
    assert name(_family=extra) == {}
    assert name(_family={"extension": []}) == {"Patient.name[0].family.extension": "structure"}
    assert name(_family={}) == {"Patient.name[0].family": "structure"}


def test_extensions_have_a_value_or_extensions() -> None:
    def extension(**more: Any) -> dict[str, str]:
        return refused({"resourceType": "Patient", "active": True, "extension": [{"url": "urn:x", **more}]})

    assert extension() == {"Patient.extension[0]": "invariant"}
    assert extension(valueString="x", extension=[{"url": "a", "valueString": "b"}]) == {
        "Patient.extension[0]": "invariant"
    }
    assert refused({"resourceType": "Patient", "extension": [{"valueString": "x"}]}) == {
        "Patient.extension[0].url": "required"
    }
    step = {"url": "urn:interop:StructureDefinition:order-step", "valueString": "scheduled"}
    assert refused({"resourceType": "Patient", "extension": [step]}) == {"Patient.extension[0].value": "structure"}


def appointment(**more: Any) -> dict[str, Any]:
    times = {"start": "2026-03-01T09:00:00Z", "end": "2026-03-01T09:30:00Z"}
    someone = {"participant": [{"status": "accepted", "actor": {"display": "x"}}]}
    return {"resourceType": "Appointment", "status": "booked", **someone, **times, **more}


@pytest.mark.parametrize(
    ("more", "without", "told"),
    [
        ({}, (), {}),
        ({"participant": [{"status": "accepted"}]}, (), {"Appointment.participant[0]": "invariant"}),  # app-1
        ({"status": "proposed"}, ("start", "end"), {}),
    ],
)
def test_invariants_of_appointments(more: dict[str, Any], without: tuple[str, ...], told: dict[str, str]) -> None:
    resource = {name: value for name, value in appointment(**more).items() if name not in without}
    assert refused(resource) == told


def test_a_task_is_not_changed_before_it_was_made() -> None:
    task = {"resourceType": "Task", "status": "requested", "intent": "order", "authoredOn": "2026-03-02T09:00:00Z"}
    assert refused(task | {"lastModified": "2026-03-02T09:00:00Z"}) == {}
    assert refused(task | {"lastModified": "2026-03-02"}) == {}
    assert refused(task | {"lastModified": "2026-03-02T08:59:59Z"}) == {"Task.lastModified": "invariant"}  # inv-1


def test_a_simple_quantity_has_no_comparator() -> None:
    about = {"value": 1, "comparator": "<"}
    base = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    assert refused(base | {"valueQuantity": about}) == {}
    assert refused(base | {"valueRange": {"low": about}}) == {"Observation.value.low.comparator": "invariant"}
    limits = base | {"referenceRange": [{"high": about}]}
    assert refused(limits) == {"Observation.referenceRange[0].high.comparator": "invariant"}
    kept = {"resourceType": "Specimen", "container": [{"specimenQuantity": about}]}
    assert refused(kept) == {"Specimen.container[0].specimenQuantity.comparator": "invariant"}


def test_invariants_of_what_a_patient_suffers_from() -> None:
    allergy = {"resourceType": "AllergyIntolerance", "patient": {"reference": "Patient/1"}}
    condition = {"resourceType": "Condition", "subject": {"reference": "Patient/1"}}
    of = "http://terminology.hl7.org/CodeSystem/"

    def state(kind: str, code: str) -> Resource:
        return {"coding": [{"system": f"{of}{kind}", "code": code}]}

    error = {"verificationStatus": state("allergyintolerance-verification", "entered-in-error")}
    active = {"clinicalStatus": state("allergyintolerance-clinical", "active")}
    validate(allergy | active)
    validate(allergy | error)
    assert refused(allergy) == {"AllergyIntolerance": "invariant"}  # ait-1
    assert refused(allergy | active | error) == {"AllergyIntolerance": "invariant"}  # ait-2
    active = {"clinicalStatus": state("condition-clinical", "active")}
    error = {"verificationStatus": state("condition-ver-status", "entered-in-error")}
    validate(condition | error)
    validate(condition | active)
    assert refused(condition | active | error) == {"Condition": "invariant"}  # con-5
    assert refused(condition | active | {"abatementString": "last year"}) == {
        "Condition.clinicalStatus": "invariant"  # con-4
    }
    assert refused(condition | {"stage": [{"type": {"text": "x"}}]}) == {"Condition.stage[0]": "invariant"}  # con-1
    assert refused(condition | {"evidence": [{"extension": [{"url": "http://x.example/y", "valueString": "z"}]}]}) == {
        "Condition.evidence[0]": "invariant"
    }  # con-2


def test_invariants_of_resources() -> None:
    assert refused({"resourceType": "Organization", "active": True}) == {"Organization": "invariant"}
    home = {
        "resourceType": "Organization",
        "name": "x",
        "address": [{"use": "work", "city": "a"}, {"use": "home", "city": "a"}],
    }
    assert refused(home) == {"Organization.address[1].use": "invariant"}
    assert refused({"resourceType": "Patient", "contact": [{"gender": "male"}]}) == {"Patient.contact[0]": "invariant"}
    without_code = {name: value for name, value in ORDER.items() if name != "code"}
    assert refused(without_code) == {"ServiceRequest": "invariant"}
    reason = {**OBSERVATION, "dataAbsentReason": {"text": "x"}}
    assert refused(reason) == {"Observation.dataAbsentReason": "invariant"}
    code = {"coding": [{"system": "urn:x", "code": "1"}]}
    repeated = {**OBSERVATION, "code": code, "component": [{"code": code, "valueString": "x"}]}
    assert refused(repeated) == {"Observation.component[0].code": "invariant"}
    assert refused(broken(AUDIT, ("entity", 0, "name"), "x")) == {"AuditEvent.entity[0]": "invariant"}


def test_what_is_no_resource_at_all() -> None:
    for value in (None, 1, "x", [], {}):
        with pytest.raises(MalformedError):
            validate(value)
    with pytest.raises(MalformedError):
        validate(PATIENT, type="Observation")
    for name in ("Nonsense", 5, None, ["Patient"]):
        with pytest.raises((InvalidContentError, MalformedError)):
            validate({"resourceType": name})


def test_the_number_of_issues_is_bounded() -> None:
    many = {"resourceType": "Patient", **{f"x{n}": 1 for n in range(1000)}}
    assert len(issues_of(many)) == 50


def test_names_of_unknown_elements_are_told_only_if_they_could_be_elements() -> None:
    assert refused({"resourceType": "Patient", "<script>": 1}) == {"Patient.(unreadable name)": "structure"}


def test_every_type_that_is_defined_is_a_type_of_r4() -> None:
    resources = {name for name, type in type_definitions().items() if type["kind"] == "resource"}
    assert resources <= resource_types()
    assert set(accepted_types()) <= resources
