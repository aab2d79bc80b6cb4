"""What the profiles folder says is complete and agrees with itself."""

from __future__ import annotations

from interop.errors import BrokenReferenceError, Issue
from interop.fhir.capability import capability
from interop.fhir.names import EXT_STATION, EXT_STEP, IDENTIFIER_TYPES
from interop.fhir.outcome import all_ok, outcome, outcome_of
from interop.fhir.profile import accepted_types, extension_rules, own_resources, own_search_parameters
from interop.fhir.validation import validate

READ_ONLY = {"ImagingStudy", "Endpoint", "AuditEvent"}
WRITTEN = {
    "Patient",
    "ServiceRequest",
    "DiagnosticReport",
    "Observation",
    "Encounter",
    "AllergyIntolerance",
    "Condition",
    "Flag",
    "Appointment",
    "Practitioner",
    "PractitionerRole",
    "Organization",
    "Location",
    "Device",
    "Task",
    "Specimen",
    "Media",
    "DocumentReference",
    "Binary",
    "Provenance",
    "Subscription",
    "Schedule",
    "Slot",
}


def test_the_types_that_are_served() -> None:
    assert set(accepted_types()) == READ_ONLY | WRITTEN
    for type, accepted in accepted_types().items():
        assert {"read", "search-type"} <= accepted.interactions
        assert ({"create", "update", "delete"} <= accepted.interactions) is (type in WRITTEN)


def test_our_own_definitions_have_the_urls_that_the_code_uses() -> None:
    urls = {resource["url"] for resource in own_resources()}
    assert {EXT_STEP, EXT_STATION, IDENTIFIER_TYPES} <= urls
    assert len(urls) == len(own_resources())
    for resource in own_resources():
        validate(resource)
    assert extension_rules()[EXT_STEP].value_type == "code"
    assert extension_rules()[EXT_STATION].value_type == "string"
    for parameter in own_search_parameters():
        for base in parameter["base"]:
            assert parameter["code"] in accepted_types()[base].search


def test_the_capability_statement_names_our_parameters() -> None:
    resources = capability(base_url="http://x/fhir", version="1", date="2026-01-01")["rest"][0]["resource"]
    order = next(resource for resource in resources if resource["type"] == "ServiceRequest")
    step = next(parameter for parameter in order["searchParam"] if parameter["name"] == "step")
    assert step == {"name": "step", "definition": "urn:interop:SearchParameter:ServiceRequest-step", "type": "token"}


def test_outcomes_are_correct_resources() -> None:
    error = BrokenReferenceError("there is no Patient/1", expression="ServiceRequest.subject")
    assert outcome(error) == {
        "resourceType": "OperationOutcome",
        "issue": [
            {
                "severity": "error",
                "code": "not-found",
                "details": {"text": "there is no Patient/1"},
                "expression": ["ServiceRequest.subject"],
            }
        ],
    }
    for made in (outcome(error), all_ok(), outcome_of((Issue("value", "x", location="OBR-18"),))):
        validate(made)
