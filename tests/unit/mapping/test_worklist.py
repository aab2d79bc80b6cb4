"""An order as its worklist item: what table K.6-1 wants, from what FHIR and HL7 say."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, date, datetime
from io import BytesIO
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pydicom
import pytest

from interop.dicom.stations import Station, parse_stations
from interop.dicom.worklist import worklist_bytes
from interop.errors import InvalidContentError
from interop.fhir import names
from interop.mapping.messages import map_message, read_message
from interop.mapping.tables import compile_tables
from interop.mapping.worklist import modality_of, worklist_attributes
from interop.shipped import shipped
from tests.orders import ORDER, PATIENT, concept

TABLES = compile_tables(shipped("mappings"))
ZONE = ZoneInfo("Asia/Nicosia")
STATIONS = parse_stations((shipped("orthanc") / "modalities.toml").read_text())
START = datetime(2026, 7, 22, 7, 15, tzinfo=UTC)
Resource = dict[str, Any]


def item(order: Resource = ORDER, patient: Resource = PATIENT, start: datetime | date = START, **more: Any) -> Resource:
    return worklist_attributes(
        order,
        patient,
        station_aet="CT1",
        modality="CT",
        start=start,
        zone=ZONE,
        facility="IMG",
        tables=TABLES,
        location="Room 2",
        **more,
    )


def step_of(attributes: Resource) -> Resource:
    return dict(attributes["ScheduledProcedureStepSequence"][0])


def test_every_attribute_is_where_the_table_wants_it() -> None:
    found = item()
    step = found.pop("ScheduledProcedureStepSequence")[0]
    assert found == {
        "PatientName": "Παπαδόπουλος^Νίκος^Γεώργιος^Δρ.^Jr. PhD",  # prefix before suffix
        "PatientID": "P|100",
        "IssuerOfPatientID": "EMR",
        "PatientBirthDate": "19580403",
        "PatientSex": "M",
        "StudyInstanceUID": "1.2.826.0.1.3680043.9.7.1",
        "AccessionNumber": "IMG0000000000001",
        "PlacerOrderNumberImagingServiceRequest": "E^1",
        "OrderPlacerIdentifierSequence": [{"LocalNamespaceEntityID": "EMR"}],
        "FillerOrderNumberImagingServiceRequest": "F1",
        "OrderFillerIdentifierSequence": [{"LocalNamespaceEntityID": "RIS"}],
        "ReferringPhysicianName": "Requesting^Rob^^Dr",
        "RequestingPhysician": "Requesting^Rob^^Dr",
        "RequestedProcedureID": "RP1",
        "RequestedProcedureDescription": "CT Chest",
        "RequestedProcedureCodeSequence": [
            {"CodeValue": "24627-2", "CodingSchemeDesignator": "LN", "CodeMeaning": "CT Chest"}
        ],
        "RequestedProcedurePriority": "STAT",
        "ReasonForTheRequestedProcedure": "Cough",
        "ReasonForRequestedProcedureCodeSequence": [
            {"CodeValue": "R05", "CodingSchemeDesignator": "I10", "CodeMeaning": "Cough"}
        ],
        "RequestedProcedureComments": "first line\nsecond | line\r\nanother note",
        "AdditionalPatientHistory": "known asthma",
        "MedicalAlerts": ["known asthma"],
        "AdmissionID": "V4711",
        "IssuerOfAdmissionIDSequence": [{"LocalNamespaceEntityID": "EMR"}],
        "CurrentPatientLocation": "WARD5 12 A",
        "OtherPatientIDsSequence": [
            {"PatientID": "CY001", "TypeOfPatientID": "TEXT", "IssuerOfPatientID": "CYID"},
            {"PatientID": "X^1", "TypeOfPatientID": "TEXT", "IssuerOfPatientID": "http://numbers.example/x"},
            {"PatientID": "U1", "TypeOfPatientID": "TEXT", "IssuerOfPatientID": "53fefa32-fcbb-4ff8-8a92-55ee120877b7"},
        ],
    }
    assert step == {
        "Modality": "CT",
        "ScheduledStationAETitle": "CT1",
        "ScheduledProcedureStepLocation": "Room 2",
        "ScheduledProcedureStepStartDate": "20260722",
        "ScheduledProcedureStepStartTime": "101500",  # the site's clocks, not UTC
        "ScheduledPerformingPhysicianName": "Tech^Tina",
        "ScheduledProcedureStepDescription": "Low dose chest",
        "ScheduledProtocolCodeSequence": [
            {
                "LongCodeValue": "CTPROT-LONGER-THAN-16",
                "CodingSchemeDesignator": "99LOCAL",
                "CodeMeaning": "Low dose chest",
            }
        ],
        "ScheduledProcedureStepID": "SPS1",
        "ScheduledProcedureStepStatus": "SCHEDULED",
    }


def test_it_can_be_written_as_a_file_and_read_by_pydicom() -> None:
    dataset = pydicom.dcmread(BytesIO(worklist_bytes(item())))
    assert dataset.PatientName.family_name == "Παπαδόπουλος"
    assert dataset.ScheduledProcedureStepSequence[0].ScheduledProcedureStepStartTime == "101500"


def test_a_japanese_name_has_three_groups() -> None:
    case = Path(__file__).parent / "cases" / "orm-japanese.hl7"
    message = read_message(case.read_bytes().replace(b"\n", b"\r"), TABLES)
    mapped = map_message(message, TABLES, zone=ZONE, facility="IMG")
    assert mapped.patient is not None
    assert (
        item(mapped.orders[0].service_request, mapped.patient)["PatientName"] == "Kanja^Taro=患者^太郎=カンジャ^タロウ"
    )


def test_a_day_without_an_hour_has_no_time() -> None:
    step = step_of(item(start=date(2026, 7, 22)))
    assert step["ScheduledProcedureStepStartDate"] == "20260722"
    assert "ScheduledProcedureStepStartTime" not in step


@pytest.mark.parametrize(
    ("patient_names", "written"),
    [
        ([{"use": "old", "family": "Old"}, {"family": "New", "given": ["A"]}], "New^A"),
        ([{"use": "nickname", "family": "Nick"}, {"use": "official", "family": "Real"}], "Real"),
        ([{"use": "old", "family": "Only"}], "Only"),
        ([{"text": "One Text"}], "One Text"),
        ([{"family": "with^caret=and\\more"}], "with caret and more"),
    ],
)
def test_the_name_in_use_is_written_and_stays_data(patient_names: list[Resource], written: str) -> None:
    assert item(patient={**PATIENT, "name": patient_names})["PatientName"] == written


def test_id_and_issuer_are_of_the_same_number() -> None:
    patient = {
        **PATIENT,
        "identifier": [{"system": "urn:interop:ns:HOSP:RIS"}, {"system": "urn:interop:ns:HOSP:ARC", "value": "A1"}],
    }
    found = item(patient=patient)
    assert (found["PatientID"], found["IssuerOfPatientID"]) == ("A1", "ARC")
    with pytest.raises(InvalidContentError):
        item(patient={**PATIENT, "identifier": [{"system": "x:y"}]})


def test_another_number_that_is_too_long_is_left_out() -> None:
    numbers = [*PATIENT["identifier"][:2], {"system": "urn:oid:1.2.3", "value": "9" * 70}]
    found = item(patient={**PATIENT, "identifier": numbers})
    assert [one["PatientID"] for one in found["OtherPatientIDsSequence"]] == ["CY001"]
    worklist_bytes(found)


def test_long_texts_are_cut_and_numbers_left_out() -> None:
    order = deepcopy(ORDER)
    order["code"] = {"text": "x" * 70 + "\\y\n"}
    order["identifier"][0]["value"] = "9" * 70
    found = item(order)
    assert found["RequestedProcedureDescription"] == "x" * 64
    assert "PlacerOrderNumberImagingServiceRequest" not in found
    assert "RequestedProcedureCodeSequence" not in found


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ({"family": "F" * 90, "given": ["Ελένη"]}, "F" * 58 + "^Ελένη"),
        ({"family": "Papadopoulou", "given": ["G" * 90]}, "Papadopoulou^" + "G" * 51),
        ({"family": "F" * 90, "given": ["G" * 90]}, "F" * 32 + "^" + "G" * 31),
        ({"family": "F" * 40, "given": ["G" * 10, "M" * 20], "prefix": ["Dr."]}, "F" * 40 + "^" + "G" * 10),
        ({"family": "F" * 40, "given": ["G", "M"], "suffix": ["S" * 30]}, "F" * 40 + "^G^M"),
        ({"text": "T" * 200}, "T" * 64),
    ],
)
def test_whoever_has_a_long_name_is_on_the_worklist_all_the_same(name: Resource, written: str) -> None:
    found = item({**ORDER, "requester": {"display": "D" * 80}}, {**PATIENT, "name": [name]})
    assert found["PatientName"] == written
    assert found["RequestingPhysician"] == "D" * 64
    worklist_bytes(found)


@pytest.mark.parametrize("station", STATIONS, ids=lambda station: station.aet)
def test_every_station_of_the_shipped_list_can_be_scheduled(station: Station) -> None:
    where = {"station_aet": station.aet, "modality": station.modality or "CT", "location": station.location}
    found = worklist_attributes(ORDER, PATIENT, **where, start=START, zone=ZONE, facility="IMG", tables=TABLES)
    worklist_bytes(found)
    assert station.location.startswith(step_of(found).get("ScheduledProcedureStepLocation", ""))


def test_a_long_note_is_cut_where_dicom_ends() -> None:
    found = item({**ORDER, "note": [{"text": "x" * 8000}, {"text": "y" * 8000}]})
    assert found["RequestedProcedureComments"] == "x" * 8000 + "\r\n" + "y" * 2238
    worklist_bytes(found)


def test_what_the_patient_was_told_is_shown_where_there_is_no_note() -> None:
    told = {**ORDER, "patientInstruction": "come fasting"}
    assert item({**told, "note": []})["RequestedProcedureComments"] == "come fasting"
    assert item({**told, "note": [{"text": "claustrophobic"}]})["RequestedProcedureComments"] == "claustrophobic"


def test_a_foreign_accession_number_names_its_issuer() -> None:
    order = deepcopy(ORDER)
    order["identifier"][2]["system"] = "urn:oid:1.2.3"
    assert item(order)["IssuerOfAccessionNumberSequence"] == [
        {"UniversalEntityID": "1.2.3", "UniversalEntityIDType": "ISO"}
    ]


def test_without_own_ids_the_accession_number_stands_in() -> None:
    order = {**ORDER, "identifier": [ORDER["identifier"][2], ORDER["identifier"][5]]}
    found = item(order)
    assert found["RequestedProcedureID"] == step_of(found)["ScheduledProcedureStepID"] == "IMG0000000000001"


@pytest.mark.parametrize(
    ("order", "modality"),
    [
        ({"orderDetail": [concept(names.DCM, "MR")]}, "MR"),
        ({"orderDetail": [concept(names.DCM, "113014")], "code": concept(names.LOINC, "24627-2")}, "CT"),
        ({"code": concept(names.SNOMED, "433236007")}, "US"),
        ({"code": concept("urn:anything", "TTE")}, "US"),
        ({"code": {"text": "TTE"}}, "US"),
        ({"code": concept("urn:anything", "24627-2")}, None),
        ({"code": concept(names.LOINC, "58410-2")}, None),
        ({"code": {"text": "something else"}}, None),
        ({}, None),
        ({"code": concept(names.LOINC, "0-0"), "orderDetail": [concept(names.LOINC, "34552-0")]}, "US"),
    ],
)
def test_the_modality_is_stated_or_known_by_the_procedure(order: Resource, modality: str | None) -> None:
    assert modality_of({"resourceType": "ServiceRequest", **order}, TABLES) == modality


def test_a_step_of_several_protocols_shows_them_all() -> None:
    details = [*ORDER["orderDetail"], concept("urn:interop:codes:HOSP:L", "SECOND", "Second protocol")]
    found = item({**ORDER, "orderDetail": details})
    codes = found["ScheduledProcedureStepSequence"][0]["ScheduledProtocolCodeSequence"]
    assert [item.get("CodeValue") or item["LongCodeValue"] for item in codes] == ["CTPROT-LONGER-THAN-16", "SECOND"]
