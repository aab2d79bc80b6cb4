"""FHIR to HL7 v2 and back: each element that the tables speak of is still there."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import hl7apy.parser
import pytest

from interop.fhir import names
from interop.fhir.json import dumps
from interop.fhir.query import Identity
from interop.fhir.validation import validate
from interop.hl7.message import Message, parse
from interop.mapping.messages import Mapped, map_message
from interop.mapping.outbound import control_of, order_message, report_message
from interop.mapping.peers import Receiver
from interop.mapping.tables import compile_tables
from interop.shipped import shipped
from tests.orders import OBSERVATIONS, ORDER, PATIENT, REPORT, concept, observation

TABLES = compile_tables(shipped("mappings"))
ZONE = ZoneInfo("Asia/Nicosia")
NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
RECEIVER = Receiver("RIS", "127.0.0.1", 1, "RIS", "HOSP", "INTEROP", "HOSP", frozenset({"ORM^O01"}))
Resource = dict[str, Any]


def to(type_: str) -> Receiver:
    """A receiver of this type of message."""
    return replace(RECEIVER, types=frozenset({type_}))


ORDERS = ("ORM^O01", "OMG^O19", "OMI^O23")


def order_out(
    order: Resource = ORDER,
    patient: Resource = PATIENT,
    control: str = "new",
    *,
    receiver: Receiver = RECEIVER,
    **more: Any,
) -> Message:
    raw = order_message(
        order,
        patient,
        control=control,
        receiver=receiver,
        control_id="X1",
        now=NOW,
        zone=ZONE,
        facility="IMG",
        tables=TABLES,
        **more,
    )
    return parse(raw)


def report_out(
    report: Resource = REPORT,
    observations: list[Resource] = OBSERVATIONS,
    order: Resource | None = ORDER,
    *,
    receiver: Receiver = RECEIVER,
    patient: Resource = PATIENT,
) -> Message:
    raw = report_message(
        report,
        observations,
        patient,
        order,
        "1.2.826.0.1.3680043.9.7.1" if order else None,
        receiver=receiver,
        control_id="X2",
        now=NOW,
        zone=ZONE,
        facility="IMG",
        tables=TABLES,
    )
    return parse(raw)


def back(message: Message) -> Mapped:
    mapped = map_message(message, TABLES, zone=ZONE, facility="IMG")
    assert mapped.issues == ()
    return mapped


def without(resource: Resource, *elements: str) -> Resource:
    return {name: value for name, value in resource.items() if name not in ("id", "subject", *elements)}


def same(one: Any, other: Any) -> bool:
    """Equal to the last digit."""
    return dumps(one) == dumps(other) or _sorted(one) == _sorted(other)


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(part) for name, part in sorted(value.items())}
    if isinstance(value, list):
        return [_sorted(part) for part in value]
    return getattr(value, "text", value)


def test_a_patient_comes_back_whole() -> None:
    found = back(order_out()).patient
    assert found is not None
    expected = without(PATIENT)
    expected["address"] = deepcopy(PATIENT["address"])
    expected["identifier"] = deepcopy(PATIENT["identifier"])
    for identifier, display in zip(
        expected["identifier"], ("Medical record number", "National unique individual identifier"), strict=False
    ):
        identifier["type"]["coding"][0]["display"] = display  # the table knows the words
    assert {name: _sorted(value) for name, value in found.items()} == {
        name: _sorted(value) for name, value in expected.items()
    }


@pytest.mark.parametrize("type_", ORDERS)
def test_an_order_comes_back_whole(type_: str) -> None:
    message = order_out(receiver=to(type_))
    assert message.type == type_
    mapped = back(message)
    assert [(order.control, order.event) for order in mapped.orders] == [("NW", "new")]
    found = mapped.orders[0].service_request
    expected = without(ORDER, "status")
    expected["extension"] = ORDER["extension"][1:]  # the step is the server's
    for name in expected:
        if name == "encounter":
            assert found[name]["display"] == expected[name]["display"]
            assert found[name]["identifier"]["value"] == "V4711"
        else:
            assert _sorted(found[name]) == _sorted(expected[name]), name
    assert set(found) == set(expected)
    validate({**found, "status": "active", "subject": {"reference": "Patient/p1"}})


def test_a_report_comes_back_whole() -> None:
    mapped = back(report_out())
    (found,) = mapped.reports
    for name, value in without(REPORT).items():
        assert _sorted(found.report[name]) == _sorted(value), name
    assert found.study_uid == "1.2.826.0.1.3680043.9.7.1"
    assert (found.placer, found.filler, found.accession) == tuple(
        names_of(identifier) for identifier in ORDER["identifier"][:3]
    )
    assert len(found.observations) == len(OBSERVATIONS)
    for one, sent in zip(found.observations, OBSERVATIONS, strict=True):
        assert _sorted(one) == _sorted(sent), sent["code"]


def names_of(identifier: Resource) -> Identity:
    return Identity(identifier["system"], identifier["value"])


def test_numbers_keep_their_digits() -> None:
    message = report_out(observations=[OBSERVATIONS[1]])
    values = {segment.value(3).text(1): segment.value(5).text() for segment in message.all("OBX")}
    assert values["33747-0"] == "14.20"
    assert b'"value":14.20' in dumps(back(message).reports[0].observations[0])


@pytest.mark.parametrize(
    ("event", "control"),
    [
        ("new", "NW"), ("change", "XO"), ("cancel", "CA"), ("discontinue", "DC"), ("hold", "HD"), ("release", "RL"),
        ("complete", "SC"), ("images-available", "SC"), ("XO", "XO"),
    ],
)  # fmt: skip
def test_each_event_has_its_order_control(event: str, control: str) -> None:
    assert control_of(event, TABLES) == control
    assert order_out(control=event).get("ORC-1") == control


def test_only_a_new_order_is_authored_now_and_here() -> None:
    assert order_out(control="new").get("ORC-9") == "20261121095900+0200"
    assert order_out(control="change").get("ORC-9") == "20261121100000+0200"  # the time of this transaction
    assert "authoredOn" not in back(order_out(control="change")).orders[0].service_request


def test_the_message_is_addressed_and_complete() -> None:
    message = order_out()
    assert message.type == "ORM^O01"
    assert message.get("MSH-9.3") == "ORM_O01"
    assert message.sender == ("INTEROP", "HOSP")
    assert message.receiver == ("RIS", "HOSP")
    assert message.get("MSH-7") == "20261121100000+0200"
    assert message.control_id == "X1"
    assert message.get("PID-5") == "Παπαδόπουλος^Νίκος^Γεώργιος^Jr.^Δρ.^PhD^L"  # suffix before prefix
    assert [segment.name for segment in message.segments] == [
        "MSH",
        "PID",
        "PV1",
        "ORC",
        "TQ1",
        "OBR",
        "NTE",
        "NTE",
        "ZDS",
    ]
    assert message.get("ZDS-1") == "1.2.826.0.1.3680043.9.7.1^^Application^DICOM"
    assert message.get("OBR-18") == "IMG0000000000001"
    assert message.get("OBR-24") == "CT"


@pytest.mark.parametrize("message", [order_out(), report_out()], ids=["order", "report"])
def test_hl7apy_reads_what_we_write(message: Message) -> None:
    lines = [segment.line for segment in message.segments if segment.name != "ZDS"]  # which hl7apy does not read
    theirs = hl7apy.parser.parse_message("\r".join(lines), find_groups=False)
    ours = [segment for segment in message.segments if segment.name != "ZDS"]
    assert [one.name for one in theirs.children] == [segment.name for segment in ours]
    for one, segment in zip(theirs.children, ours, strict=True):
        for field in one.children:
            number = int(field.name.rsplit("_", 1)[1])
            if segment.name != "MSH" or number > 2:
                assert field.to_er7() in segment.field(number).split("~")


def test_a_modality_from_the_table_fills_obr_24() -> None:
    order = {**ORDER, "orderDetail": []}
    assert order_out(order, modality="CT").get("OBR-24") == "CT"
    assert order_out(order).get("OBR-24") == ""


def test_a_bare_order_is_a_message_too() -> None:
    order = {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "identifier": [{"system": "x:y", "value": "1"}],
        "code": {"text": "Echo & Doppler"},
        "requester": {"reference": "Practitioner/7", "display": "Dr Seven"},
    }
    patient = {"resourceType": "Patient", "identifier": [{"value": "1"}], "name": [{"text": "Just Text"}]}
    message = order_out(order, patient)
    assert message.get("PID-5") == "Just Text^^^^^^L"
    assert message.get("OBR-4.2") == "Echo & Doppler"
    assert message.get("ORC-12") == "^Dr Seven"
    practitioner = {"resourceType": "Practitioner", "name": [{"family": "Seven", "given": ["Sam"]}]}
    organization = {"resourceType": "Organization", "name": "Clinic"}
    role = {"resourceType": "PractitionerRole", "practitioner": {"reference": "Practitioner/8"}}
    resolved = {"Practitioner/7": practitioner}
    assert order_out(order, patient, resolved=resolved).get("ORC-12") == "^Seven^Sam"
    assert order_out(order, patient, resolved={"Practitioner/7": organization}).get("ORC-12") == "^Clinic"
    resolved = {"Practitioner/7": role, "Practitioner/8": practitioner}
    assert order_out(order, patient, resolved=resolved).get("ORC-12") == "^Seven^Sam"


def test_accession_numbers_of_others_keep_their_issuer() -> None:
    order = deepcopy(ORDER)
    order["identifier"][2]["system"] = "urn:interop:ns:HOSP:RIS"
    assert order_out(order).get("OBR-18") == "IMG0000000000001^RIS"
    identifiers = back(order_out(order)).orders[0].service_request["identifier"]
    assert _sorted(identifiers[2]) == _sorted(order["identifier"][2])


def test_a_procedure_with_two_codings_and_a_text_comes_back() -> None:
    order = deepcopy(ORDER)
    order["code"] = {
        "coding": [
            {"system": names.LOINC, "code": "24627-2", "display": "CT Chest"},
            {"system": names.SNOMED, "code": "169069000", "display": "CT of chest"},
        ],
        "text": "CT of the chest",
    }
    order["orderDetail"] = order["orderDetail"][:1]
    found = back(order_out(order)).orders[0].service_request
    assert _sorted(found["code"]) == _sorted(order["code"])
    assert found["orderDetail"] == order["orderDetail"]


@pytest.mark.parametrize(
    ("status", "code", "again"),
    [
        ("registered", "O", "registered"), ("partial", "R", "partial"), ("preliminary", "P", "preliminary"),
        ("final", "F", "final"), ("amended", "C", "corrected"), ("corrected", "C", "corrected"),
        ("appended", "C", "corrected"), ("cancelled", "X", "cancelled"), ("entered-in-error", "X", "cancelled"),
        ("unknown", "P", "preliminary"),
    ],
)  # fmt: skip
def test_each_report_status_has_its_code(status: str, code: str, again: str) -> None:
    message = report_out({**REPORT, "status": status}, [])
    assert message.get("OBR-25") == code
    assert back(message).reports[0].report["status"] == again
    assert {segment.value(11).text() for segment in message.all("OBX")} <= set("FPCXAWI")


def test_a_report_without_order_or_results_is_a_message() -> None:
    message = report_out(
        {"resourceType": "DiagnosticReport", "status": "final", "code": {"text": "TTE"}, "conclusion": "Normal."},
        [],
        None,
    )
    (found,) = back(message).reports
    assert found.report["conclusion"] == "Normal."
    assert found.report["code"] == {"text": "TTE"}
    assert found.placer is None


def test_other_results_keep_what_v2_can_say() -> None:
    parts = [
        {"code": concept(names.LOINC, "6-7", "Six"), "valueQuantity": {"value": 1}},
        {"code": concept(names.LOINC, "7-5", "Seven"), "valueString": "seven"},
    ]
    message = report_out(
        {**REPORT, "conclusionCode": [concept(names.SNOMED, "17621005", "Normal")]},
        [
            observation("8-3", component=parts),
            observation("9-1", component=parts, valueInteger=7),
            observation("10-9", valueBoolean=True),
            observation("11-7", valuePeriod={"start": "2026-11-21", "end": "2026-11-22"}),
            observation("12-5"),
        ],
    )
    shown = [
        (segment.value(2).text(), segment.value(3).text(1), segment.value(5).text(1)) for segment in message.all("OBX")
    ]
    assert shown[1:9] == [
        ("NM", "6-7", "1"),
        ("TX", "7-5", "seven"),
        ("NM", "9-1", "7"),
        ("NM", "6-7", "1"),
        ("TX", "7-5", "seven"),
        ("CWE", "10-9", "Y"),
        ("DR", "11-7", "20261121"),
        ("", "12-5", ""),
    ]
    assert ("CWE", "29308-4", "17621005") in shown
