"""What is known of the patient besides the order: what counts for an examination, and what it becomes in an item."""

from __future__ import annotations

from datetime import UTC, date, datetime
from io import BytesIO
from typing import Any
from zoneinfo import ZoneInfo

import pydicom
import pytest

from interop.dicom.worklist import worklist_bytes
from interop.fhir import names
from interop.mapping.patient_facts import Known
from interop.mapping.tables import compile_tables
from interop.mapping.worklist import worklist_attributes
from interop.shipped import shipped
from tests.orders import (
    CLINICAL,
    ENCOUNTER,
    NAMING,
    ORDER,
    PATIENT,
    PREGNANT,
    RESOLVED,
    concept,
    kilograms,
    measured,
)

TABLES = compile_tables(shipped("mappings"))
ZONE = ZoneInfo("Asia/Nicosia")
START = datetime(2026, 11, 22, 8, 15, tzinfo=UTC)
STEP = "ScheduledProcedureStepSequence"
Resource = dict[str, Any]


def item(order: Resource = ORDER, clinical: Any = (), start: datetime | date = START, **known: Any) -> Resource:
    where: Resource = {"station_aet": "CT1", "modality": "CT", "location": "Room 2", "facility": "IMG"}
    everything = Known(known.get("resolved", {}), known.get("encounter"), tuple(clinical))
    return worklist_attributes(order, PATIENT, **where, start=start, zone=ZONE, tables=TABLES, known=everything)


def said(code: Resource, **more: Any) -> Resource:
    return {**measured("82810-3", {"valueCodeableConcept": code}), **more}


def allergy(**more: Any) -> Resource:
    return {"resourceType": "AllergyIntolerance", "code": {"text": "Latex"}, **more}


def test_an_order_by_reference_shows_all_that_is_stored() -> None:
    found = item(NAMING, CLINICAL, resolved=RESOLVED, encounter=ENCOUNTER)
    step = found[STEP][0]
    wanted = {
        "PatientWeight": "82.5",
        "PatientSize": "1.78",
        "PregnancyStatus": 3,
        "Allergies": ["Iodine contrast (high risk, severe, shock)", "Latex (severe)"],
        "MedicalAlerts": ["Pacemaker", "known asthma"],  # the form is no warning
        "PatientState": "MRSA",
        "SpecialNeeds": "wheelchair",
        "RequestingPhysician": "Known^Karl",
        "RequestingService": "Emergency department",
        "RequestingServiceCodeSequence": [
            {"CodeValue": "394579002", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Cardiology"}
        ],
        "ReasonForTheRequestedProcedure": "Infarct",
        "ReasonForRequestedProcedureCodeSequence": [
            {"CodeValue": "I21", "CodingSchemeDesignator": "I10", "CodeMeaning": "Infarct"}
        ],
        "AdmissionID": "V1",  # the visit number, before that of the account
        "IssuerOfAdmissionIDSequence": [{"UniversalEntityID": "1.2.3.4", "UniversalEntityIDType": "ISO"}],
        "CurrentPatientLocation": "Ward Two",
        "PatientTransportArrangements": "Wheelchair",
    }
    assert {name: found.get(name) for name in wanted} == wanted
    assert step["ScheduledStationName"] == "Scanner One of A"
    assert step["ScheduledProcedureStepLocation"] == "Examination room"
    assert step["ScheduledPerformingPhysicianName"] == "Tina Tech"  # neither the department nor the scanner
    assert step["ScheduledProcedureStepDescription"] == "Low dose chest"  # how the patient comes is no protocol


def test_it_is_written_with_several_values_and_read_by_pydicom() -> None:
    dataset = pydicom.dcmread(BytesIO(worklist_bytes(item(NAMING, CLINICAL, encounter=ENCOUNTER, resolved=RESOLVED))))
    assert list(dataset.Allergies) == ["Iodine contrast (high risk, severe, shock)", "Latex (severe)"]
    assert (dataset.PregnancyStatus, float(dataset.PatientWeight), float(dataset.PatientSize)) == (3, 82.5, 1.78)


def test_without_anything_known_nothing_is_said() -> None:
    found = item({**ORDER, "supportingInfo": []})
    assert not {"PatientWeight", "PatientSize", "PregnancyStatus", "Allergies", "MedicalAlerts"} & found.keys()


@pytest.mark.parametrize(
    ("value", "unit", "written"),
    [
        ("80", "kg", "80"),
        ("3450", "g", "3.45"),
        ("180", "[lb_av]", "81.6466"),
        ("80", "st", None),
        ("80", "", None),
        ("-3", "kg", None),
        ("0", "kg", None),
        ("80000", "kg", None),
        ("1e999999", "kg", None),
        ("1e-9", "kg", None),
        ("NaN", "kg", None),
    ],
)
def test_a_weight_is_in_kilograms_or_left_out(value: str, unit: str, written: str | None) -> None:
    quantity = {"value": value, "unit": unit, "code": unit, "system": names.UCUM}
    assert item(clinical=[measured("29463-7", {"valueQuantity": quantity})]).get("PatientWeight") == written


def test_a_limit_is_no_weight() -> None:
    quantity = {**kilograms("200")["valueQuantity"], "comparator": ">"}
    assert "PatientWeight" not in item(clinical=[measured("29463-7", {"valueQuantity": quantity})])


@pytest.mark.parametrize(
    ("value", "unit", "written"), [("1.7", "m", "1.7"), ("172", "cm", "1.72"), ("70", "[in_i]", "1.778")]
)
def test_a_height_is_in_metres(value: str, unit: str, written: str) -> None:
    assert item(clinical=[measured("8302-2", kilograms(value, unit))])["PatientSize"] == written


def test_the_latest_counts_whoever_measured_it() -> None:
    older, newer = measured("29463-7", kilograms("90"), on="2026-10-01"), measured("3141-9", kilograms("85"))
    assert item(clinical=[newer, older])["PatientWeight"] == "85"
    own = {**ORDER, "contained": [*ORDER["contained"], {**newer, **kilograms("84"), "effectiveDateTime": "2026-11-20"}]}
    assert item(own, [newer, older])["PatientWeight"] == "84"


@pytest.mark.parametrize("status", ["registered", "cancelled", "entered-in-error", "unknown"])
def test_what_was_not_measured_does_not_count(status: str) -> None:
    wrong = {**measured("29463-7", kilograms("850"), on="2026-11-10"), "status": status}
    assert item(clinical=[wrong, measured("29463-7", kilograms("85"))])["PatientWeight"] == "85"


@pytest.mark.parametrize(
    ("code", "value", "on", "attribute", "shown"),
    [
        ("29463-7", kilograms("85"), "2025-11-23", "PatientWeight", True),
        ("29463-7", kilograms("85"), "2025-11-20", "PatientWeight", False),
        ("82810-3", PREGNANT, "2026-02-01", "PregnancyStatus", True),
        ("82810-3", PREGNANT, "2026-01-01", "PregnancyStatus", False),
        ("82810-3", {"valueCodeableConcept": concept(names.LOINC, "LA26683-5")}, "2026-11-10", "PregnancyStatus", True),
        (
            "82810-3",
            {"valueCodeableConcept": concept(names.LOINC, "LA26683-5")},
            "2026-11-01",
            "PregnancyStatus",
            False,
        ),
    ],
)
def test_what_may_be_true_no_more_is_not_shown(
    code: str, value: Resource, on: str, attribute: str, shown: bool
) -> None:
    assert (attribute in item(clinical=[measured(code, value, on=on)])) is shown
    assert (attribute in item(clinical=[measured(code, value, on=on)], start=date(2026, 11, 22))) is shown


def test_what_was_said_without_a_date_is_of_the_order_s_day() -> None:
    undated = {name: value for name, value in measured("29463-7", kilograms("85")).items() if "effective" not in name}
    assert item({**ORDER, "contained": [undated]})["PatientWeight"] == "85"
    assert "PatientWeight" not in item({**ORDER, "contained": [undated], "authoredOn": None})
    unreadable = {**undated, "effectiveDateTime": "yesterday"}
    assert "PatientWeight" not in item(clinical=[unreadable])


@pytest.mark.parametrize(
    ("observation", "status"),
    [
        (said(concept("http://snomed.info/sct", "77386006")), 3),
        (said(concept("http://snomed.info/sct", "102874004")), 2),
        (said({"text": "Not pregnant"}, effectiveDateTime="2026-11-20"), 1),
        (said(concept(names.LOINC, "LA4489-6"), effectiveDateTime="2026-11-20"), 4),
        (said(concept(names.LOINC, "LA99999-9")), None),
        (measured("82810-3", {"valueString": "possibly pregnant"}), 2),
        (measured("82810-3", {"valueBoolean": True}), 3),
        (measured("PREGNANCY STATUS", PREGNANT, system="urn:interop:codes:RIS:L"), 3),
    ],
)
def test_whether_she_is_pregnant(observation: Resource, status: int | None) -> None:
    assert item(clinical=[observation]).get("PregnancyStatus") == status


def test_allergies_that_hold_no_more_are_not_shown() -> None:
    of = "http://terminology.hl7.org/CodeSystem/allergyintolerance-"
    over = [
        allergy(clinicalStatus=concept(f"{of}clinical", "resolved")),
        allergy(clinicalStatus=concept(f"{of}clinical", "inactive")),
        allergy(verificationStatus=concept(f"{of}verification", "refuted")),
        allergy(verificationStatus=concept(f"{of}verification", "entered-in-error")),
    ]
    assert "Allergies" not in item(clinical=over)
    shown = [allergy(clinicalStatus=concept(f"{of}clinical", "active")), allergy(code={"text": "Gadolinium"})]
    assert item(clinical=[*over, *shown, shown[0]])["Allergies"] == ["Latex", "Gadolinium"]
    nameless = {"resourceType": "AllergyIntolerance", "reaction": [{"substance": {"text": "Nickel"}}]}
    assert item(clinical=[nameless])["Allergies"] == ["Nickel"]


def test_a_flag_that_was_taken_down_warns_no_more() -> None:
    flag = {"resourceType": "Flag", "status": "inactive", "code": {"text": "Pacemaker"}}
    assert item({**ORDER, "supportingInfo": []}, [flag]).get("MedicalAlerts") is None


def test_a_long_warning_is_told_whole() -> None:
    text = "aneurysm clip in the left middle cerebral artery since 2019, type not known, ask before MR"
    alerts = item({**ORDER, "supportingInfo": [{"display": text}]})["MedicalAlerts"]
    assert " ".join(alerts) == text
    assert max(map(len, alerts)) <= 64


def test_the_order_s_visit_number_comes_first_and_a_long_one_is_left_out() -> None:
    assert item(ORDER, encounter=ENCOUNTER)["AdmissionID"] == "V4711"
    long = {**ENCOUNTER, "identifier": [{"system": "urn:oid:1.2", "value": "9" * 70}]}
    assert "AdmissionID" not in item({**NAMING, "encounter": {}}, encounter=long)


def test_a_requester_that_is_an_organisation_is_the_service_and_no_person() -> None:
    order = {**ORDER, "requester": {"reference": "Organization/ward"}}
    found = item(order, resolved=RESOLVED)
    assert found["RequestingService"] == "Emergency department"
    assert "RequestingPhysician" not in found
