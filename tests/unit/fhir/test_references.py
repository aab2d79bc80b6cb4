"""References in resources: found, rewritten, made local."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interop.fhir.references import localised, patient_of, references, rewrite, split_reference

REPORT: dict[str, Any] = {
    "resourceType": "DiagnosticReport",
    "text": {"status": "generated", "div": '<div><a href="urn:uuid:1">p</a> urn:uuid:1</div>'},
    "contained": [{"resourceType": "Observation", "subject": {"reference": "urn:uuid:1"}}],
    "extension": [{"url": "urn:uuid:1", "valueUri": "urn:uuid:1"}],
    "identifier": [{"system": "urn:ietf:rfc:3986", "value": "urn:uuid:1"}],
    "subject": {"reference": "urn:uuid:1"},
    "result": [{"reference": "Observation/1"}, {"display": "x"}, {"reference": "urn:uuid:1#part"}],
    "presentedForm": [{"url": "urn:uuid:1"}],
}


def test_every_reference_with_its_path() -> None:
    assert list(references(REPORT)) == [
        ("DiagnosticReport.contained[0].subject", "urn:uuid:1"),
        ("DiagnosticReport.subject", "urn:uuid:1"),
        ("DiagnosticReport.result[0]", "Observation/1"),
        ("DiagnosticReport.result[2]", "urn:uuid:1#part"),
    ]


def test_links_are_rewritten_where_links_stand_and_nowhere_else() -> None:
    made = rewrite(REPORT, {"urn:uuid:1": "Patient/7"})
    assert made["subject"]["reference"] == "Patient/7"
    assert made["contained"][0]["subject"]["reference"] == "Patient/7"
    assert made["result"][2]["reference"] == "Patient/7#part"
    assert made["extension"] == [{"url": "urn:uuid:1", "valueUri": "Patient/7"}]
    assert made["identifier"] == REPORT["identifier"]
    assert made["text"]["div"] == '<div><a href="Patient/7">p</a> urn:uuid:1</div>'
    assert REPORT["subject"]["reference"] == "urn:uuid:1"
    assert made["result"][0] is REPORT["result"][0]


def test_what_needs_no_change_is_the_same_object() -> None:
    assert rewrite(REPORT, {}) is REPORT
    assert rewrite(REPORT, {"urn:uuid:2": "Patient/7"}) is REPORT
    assert localised(REPORT, "http://x/fhir") is REPORT


def test_absolute_references_to_this_server_become_relative() -> None:
    order = {"subject": {"reference": "http://x/fhir/Patient/1"}, "requester": {"reference": "http://y/fhir/Patient/1"}}
    assert localised(order, "http://x/fhir") == {
        "subject": {"reference": "Patient/1"},
        "requester": {"reference": "http://y/fhir/Patient/1"},
    }
    metadata = {"url": "http://x/fhir/metadata"}
    assert localised(metadata, "http://x/fhir") is metadata


@pytest.mark.parametrize(
    ("resource", "patient"),
    [
        ({"resourceType": "Patient", "id": "1"}, "Patient/1"),
        ({"resourceType": "Patient"}, None),
        ({"resourceType": "ServiceRequest", "subject": {"reference": "Patient/1/_history/2"}}, "Patient/1"),
        ({"resourceType": "ServiceRequest", "subject": {"reference": "Group/1"}}, None),
        ({"resourceType": "ServiceRequest", "subject": {"identifier": {"value": "1"}}}, None),
        ({"resourceType": "ServiceRequest", "subject": "Patient/1"}, None),
        ({"resourceType": "Account", "patient": {"reference": "Patient/1"}}, "Patient/1"),
        ({"resourceType": "Organization"}, None),
        ({"resourceType": "AuditEvent", "entity": [{}, {"what": {"reference": "Patient/1"}}]}, "Patient/1"),
        ({"resourceType": "AuditEvent", "agent": [{"who": {"reference": "Patient/2"}}]}, "Patient/2"),
    ],
)
def test_whom_a_resource_is_about(resource: dict[str, Any], patient: str | None) -> None:
    assert patient_of(resource) == patient


def test_split_reference() -> None:
    assert split_reference("Patient/1") == ("Patient", "1")
    assert split_reference("Patient/1/_history/2") == ("Patient", "1")
    for other in ("http://x/Patient/1", "#1", "urn:uuid:1", "Patient", "patient/1", "Patient/1/2", ""):
        assert split_reference(other) is None


ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["Patient/1", "urn:uuid:1", "Patient", "AuditEvent", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["reference", "what", "who", "id", "div", "url", "x"]), inner, max_size=3)
    ),
    max_leaves=12,
)
NAMES = st.sampled_from(["resourceType", "id", "subject", "patient", "entity", "agent", "text", "x"])


@given(st.dictionaries(NAMES, ANY))
def test_what_was_never_validated_is_taken_as_it_is(resource: dict[str, Any]) -> None:
    for path, reference in references(resource):
        assert path
        assert isinstance(reference, str)
    patient = patient_of(resource)
    assert patient is None or split_reference(patient) is not None
    rewrite(resource, {"urn:uuid:1": "Patient/7"})
    assert localised(resource, "http://x/fhir") is resource


def test_a_body_that_only_claims_to_be_an_audit_event_is_about_nobody() -> None:
    assert patient_of({"resourceType": "AuditEvent", "entity": 5, "agent": [None, {"who": []}]}) is None
    assert patient_of({"resourceType": "Patient", "id": {"a": 1}}) is None
    assert list(references({"resourceType": None, "subject": {"reference": "x"}})) == [("Resource.subject", "x")]


def test_links_are_replaced_wherever_they_may_stand_and_nowhere_else() -> None:
    new = {"urn:uuid:x": "Patient/1"}
    resource = {
        "resourceType": "DocumentReference",
        "text": {"div": '<div><a href=\'urn:uuid:x#p\'>"urn:uuid:x"</a><img src="urn:uuid:x"/></div>'},
        "extension": [
            {"url": "urn:uuid:x", "valueUri": "urn:uuid:x"},
            {"url": "a", "valueCanonical": "urn:uuid:x"},
            {"url": "b", "valueAttachment": {"url": "urn:uuid:x"}},
        ],
        "meta": {"source": "urn:uuid:x", "profile": ["urn:uuid:x"]},
        "instantiatesUri": ["urn:uuid:x", "urn:uuid:y"],
        "content": [{"attachment": {"url": "urn:uuid:x", "title": "urn:uuid:x"}}],
        "identifier": [{"system": "urn:uuid:x", "value": "urn:uuid:x"}],
    }
    changed = rewrite(resource, new)
    assert changed == {
        "resourceType": "DocumentReference",
        "text": {"div": '<div><a href=\'Patient/1#p\'>"urn:uuid:x"</a><img src="Patient/1"/></div>'},
        "extension": [
            {"url": "urn:uuid:x", "valueUri": "Patient/1"},
            {"url": "a", "valueCanonical": "urn:uuid:x"},
            {"url": "b", "valueAttachment": {"url": "Patient/1"}},
        ],
        "meta": {"source": "Patient/1", "profile": ["urn:uuid:x"]},
        "instantiatesUri": ["Patient/1", "urn:uuid:y"],
        "content": [{"attachment": {"url": "Patient/1", "title": "urn:uuid:x"}}],
        "identifier": [{"system": "Patient/1", "value": "urn:uuid:x"}],
    }
    assert rewrite(resource, {"urn:uuid:z": "Patient/1"}) is resource
