"""AuditEvents are valid R4 and have the shape of IHE BALP."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from fhir.resources.R4B.auditevent import AuditEvent

from interop.access.agent import Agent, system_agent
from interop.audit.codes import BALP, event_subtype, event_type
from interop.audit.event import AuditRow, Event
from interop.audit.resource import Observer, to_resource

USER = Agent(
    who="dr-georgiou",
    name="Dr Eleni Georgiou",
    client="emr",
    address="192.0.2.17",
    token_id="2443e1e4",
    request_id="01J9ZK4Q3Y",
)
PEER = Agent(who="RIS|HOSP", kind="peer", address="192.0.2.9", request_id="MSG1")
RECORDED = datetime(2026, 8, 24, 6, 15, 0, 123000, tzinfo=UTC)


def made(event: Event, agent: Agent = USER, observer: Observer | None = None) -> dict[str, Any]:
    resource = to_resource(AuditRow("a-1", RECORDED, agent, event), observer or Observer(url="https://x.org/fhir"))
    AuditEvent.model_validate(resource)
    return resource


@pytest.mark.parametrize(
    ("subtype", "action", "profile", "types"),
    [
        ("create", "C", "PatientCreate", ["110153", "110152", "AUT"]),
        ("read", "R", "PatientRead", ["110152", "110153", "IRCP"]),
        ("vread", "R", "PatientRead", ["110152", "110153", "IRCP"]),
        ("update", "U", "PatientUpdate", ["110153", "110152", "AUT"]),
        ("delete", "D", "PatientDelete", ["110150", "custodian", "AUT"]),
    ],
)
def test_fhir_interactions_follow_balp(subtype: str, action: str, profile: str, types: list[str]) -> None:
    resource = made(Event("rest", subtype, action, patient="Patient/p1", entity="ServiceRequest/s1/_history/1"))
    assert resource["meta"]["profile"] == [BALP + profile]
    assert [agent["type"]["coding"][0]["code"] for agent in resource["agent"]] == types
    assert resource["type"]["code"] == "rest"
    assert resource["recorded"] == "2026-08-24T06:15:00.123Z"
    user = resource["agent"][2]
    assert user["requestor"] is True
    assert "network" not in user
    assert user["policy"] == ["urn:ietf:params:oauth:jti:2443e1e4"]
    data, patient, request = resource["entity"]
    assert data["what"]["reference"] == "ServiceRequest/s1/_history/1"
    assert patient["what"]["reference"] == "Patient/p1"
    assert request["what"]["identifier"]["value"] == "01J9ZK4Q3Y"


def test_a_search_keeps_the_raw_request_and_not_the_number_of_results() -> None:
    resource = made(Event("rest", "search-type", "E", query="GET /fhir/ImagingStudy?patient=p1"))
    assert resource["meta"]["profile"] == [BALP + "Query"]
    assert base64.b64decode(resource["entity"][0]["query"]) == b"GET /fhir/ImagingStudy?patient=p1"


def test_a_refusal_claims_no_profile_and_says_why() -> None:
    resource = made(Event("rest", "read", "R", "4", entity="ImagingStudy/i1", detail="forbidden: scope"))
    assert "profile" not in resource["meta"]
    assert resource["outcome"] == "4"
    assert resource["outcomeDesc"] == "forbidden: scope"


def test_reading_the_audit_trail_is_audited_as_such() -> None:
    for event in (
        Event("rest", "search-type", "E", query="GET /fhir/AuditEvent?patient=p1"),
        Event("rest", "read", "R", entity="AuditEvent/a1"),
    ):
        assert made(event)["type"]["code"] == "110101"
    assert made(Event("rest", "search-type", "E", query="GET /fhir/Patient?_id=AuditEvent"))["type"]["code"] == "rest"


def test_dicom_access_names_the_study() -> None:
    viewer = Agent(who="dr", kind="viewer", client="viewer", address="192.0.2.1")
    resource = made(Event("dicom-transfer", "wado-rs", "R", patient="Patient/p", entity="urn:oid:1.2.3"), viewer)
    assert resource["type"]["code"] == "110104"
    what = resource["entity"][0]["what"]["identifier"]
    assert (what["system"], what["value"]) == ("urn:dicom:uid", "urn:oid:1.2.3")


@pytest.mark.parametrize(
    ("message", "code", "subtype"),
    [
        ("ORM^O01", "110109", "O01"),
        ("OMI^O23^OMI_O23", "110109", "O23"),
        ("ADT^A08", "110110", "A08"),
        ("ORU^R01", "110111", "R01"),
        ("ZZZ", "110109", "ZZZ"),
        ("", "110109", None),
        ("<script>^&", "110109", None),
    ],
)
def test_messages(message: str, code: str, subtype: str | None) -> None:
    event = Event("hl7", message, "C", entity="message:7")
    resource = made(event, PEER)
    assert resource["type"]["code"] == code
    assert resource.get("subtype", [{}])[0].get("code") == subtype
    assert resource["agent"][0]["who"]["identifier"]["value"] == "RIS|HOSP"
    assert resource["agent"][0]["requestor"] is True
    assert len(resource["agent"]) == 2


@pytest.mark.parametrize("kind", ["rest", "hl7", "dicom-query", "dicom-transfer", "worklist", "launch", "login"])
@pytest.mark.parametrize("agent", [USER, PEER, system_agent("archive-feed"), Agent("", kind="anonymous")])
@pytest.mark.parametrize("action", list("CRUDE"))
def test_every_kind_of_every_agent_is_valid_r4(kind: str, agent: Agent, action: str) -> None:
    made(Event(kind, "read", action, "8", "Patient/p", "urn:oid:1.2", "q=1", "why"), agent, Observer())


def test_types_can_be_searched_without_making_the_resource() -> None:
    event = Event("login", "login", "E", "4")
    assert event_type(event).code == "110114"
    subtype = event_subtype(event)
    assert subtype is not None
    assert subtype.code == "110122"
