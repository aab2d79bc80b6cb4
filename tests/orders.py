"""FHIR resources to send and to schedule: as full as the tables can say."""

from __future__ import annotations

from typing import Any

from interop.fhir import names
from interop.fhir.json import DecimalText
from interop.mapping.uris import EXT_BIRTH_TIME, EXTENSIONS

Resource = dict[str, Any]


def typed(code: str, system: str, value: str, of: str = names.V2_0203) -> Resource:
    return {"type": {"coding": [{"system": of, "code": code}]}, "system": system, "value": value}


def concept(system: str, code: str, display: str = "") -> Resource:
    coding = {"system": system, "code": code}
    return {"coding": [{**coding, "display": display} if display else coding]}


PATIENT: Resource = {
    "resourceType": "Patient",
    "id": "p1",
    "identifier": [
        typed("MR", "urn:interop:ns:HOSP:EMR", "P|100"),
        typed("NI", "urn:oid:2.16.840.1.113883.2.40.1", "CY001"),
        {"system": "http://numbers.example/x", "value": "X^1"},
        {"system": "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7", "value": "U1"},
    ],
    "name": [
        {
            "use": "official",
            "family": "Παπαδόπουλος",
            "given": ["Νίκος", "Γεώργιος"],
            "prefix": ["Δρ."],
            "suffix": ["Jr.", "PhD"],
        },
        {"use": "nickname", "family": "Pap & Co", "given": ["Nick"]},
    ],
    "birthDate": "1958-04-03",
    "_birthDate": {"extension": [{"url": EXT_BIRTH_TIME, "valueDateTime": "1958-04-03T11:30:00+02:00"}]},
    "gender": "male",
    "address": [
        {
            "use": "home",
            "line": ["Λήδρας 10", "διαμ. 2"],
            "city": "Λευκωσία",
            "district": "Λευκωσία",
            "state": "01",
            "postalCode": "1010",
            "country": "CYP",
        },
        {"type": "postal", "line": ["PO Box 5"], "city": "Limassol"},
    ],
    "telecom": [
        {"use": "home", "system": "phone", "value": "+357 22 123456"},
        {"use": "mobile", "system": "phone", "value": "99000000"},
        {"use": "work", "system": "fax", "value": "22000000"},
        {"use": "home", "system": "email", "value": "nikos@example.org"},
    ],
    "communication": [{"language": concept("urn:ietf:bcp:47", "el", "Greek"), "preferred": True}],
    "maritalStatus": concept("http://terminology.hl7.org/CodeSystem/v3-MaritalStatus", "M", "Married"),
    "multipleBirthInteger": 2,
    "deceasedDateTime": "2026-11-30T10:00:00+02:00",
    "extension": [
        {"url": EXTENSIONS["mothersMaidenName"], "valueString": "Ιωάννου"},
        {"url": EXTENSIONS["birthPlace"], "valueAddress": {"text": "Πάφος"}},
    ],
}

REQUESTER: Resource = {
    "resourceType": "Practitioner",
    "id": "requester",
    "identifier": [{"system": "urn:oid:2.16.840.1.113883.4.6", "value": "D12"}],
    "name": [{"family": "Requesting", "given": ["Rob"], "prefix": ["Dr"]}],
}
TECHNICIAN: Resource = {
    "resourceType": "Practitioner",
    "id": "performer",
    "identifier": [{"system": "urn:interop:ns:HOSP:EMR", "value": "T34"}],
    "name": [{"family": "Tech", "given": ["Tina"]}],
}

ORDER: Resource = {
    "resourceType": "ServiceRequest",
    "id": "o1",
    "contained": [REQUESTER, TECHNICIAN],
    "identifier": [
        typed("PLAC", "urn:interop:ns:HOSP:EMR", "E^1"),
        typed("FILL", "urn:interop:ns:HOSP:RIS", "F1"),
        typed("ACSN", "urn:interop:IMG:accession", "IMG0000000000001"),
        typed("RPID", "urn:interop:IMG:procedure", "RP1", names.IDENTIFIER_TYPES),
        typed("SPSID", "urn:interop:IMG:step", "SPS1", names.IDENTIFIER_TYPES),
        {"system": names.STUDY_UID, "value": "urn:oid:1.2.826.0.1.3680043.9.7.1"},
    ],
    "requisition": {"system": "urn:interop:ns:HOSP:EMR", "value": "G1"},
    "status": "active",
    "intent": "order",
    "category": [concept(names.SNOMED, "363679005", "Imaging")],
    "priority": "stat",
    "code": concept(names.LOINC, "24627-2", "CT Chest"),
    "orderDetail": [
        concept(names.DCM, "CT", "Computed Tomography"),
        concept("urn:interop:codes:HOSP:L", "CTPROT-LONGER-THAN-16", "Low dose chest"),
    ],
    "subject": {"reference": "Patient/p1"},
    "encounter": {
        "identifier": typed("VN", "urn:interop:ns:HOSP:EMR", "V4711"),
        "display": "WARD5 12 A",
    },
    "occurrenceDateTime": "2026-11-22T10:15:00+02:00",
    "authoredOn": "2026-11-21T09:59:00+02:00",
    "requester": {"reference": "#requester", "display": "Dr Rob Requesting"},
    "performer": [{"reference": "#performer", "display": "Tina Tech"}],
    "reasonCode": [
        concept("http://hl7.org/fhir/sid/icd-10", "R05", "Cough"),
        {"text": "shortness of breath & more"},
    ],
    "supportingInfo": [{"display": "known asthma"}],
    "note": [{"text": "first line\nsecond | line"}, {"text": "another note"}],
    "extension": [
        {"url": names.EXT_STEP, "valueCode": "scheduled"},
        {
            "url": EXTENSIONS["statusReason"],
            "valueCodeableConcept": concept("urn:interop:codes:HOSP:L", "WAIT", "waiting"),
        },
    ],
}

REPORT: Resource = {
    "resourceType": "DiagnosticReport",
    "id": "r1",
    "contained": [
        {
            "resourceType": "Practitioner",
            "id": "resultsInterpreter",
            "identifier": [{"system": "urn:interop:ns:HOSP:EMR", "value": "R1"}],
            "name": [{"family": "Radiologist", "given": ["Rosa"], "prefix": ["Dr"]}],
        }
    ],
    "status": "final",
    "category": [concept(names.DCM, "CT", "Computed Tomography")],
    "code": concept(names.LOINC, "24627-2", "CT Chest"),
    "subject": {"reference": "Patient/p1"},
    "effectiveDateTime": "2026-11-22T10:20:00+02:00",
    "issued": "2026-11-22T11:55:00+02:00",
    "resultsInterpreter": [{"reference": "#resultsInterpreter", "display": "Dr Rosa Radiologist"}],
    "conclusion": "Κλάσμα εξώθησης 60 %.\nNormal | study.",
    "presentedForm": [
        {"contentType": "application/pdf", "data": "JVBERi0xLjQK", "title": "Report"},
        {"contentType": "application/pdf", "url": "https://pacs.example/1", "title": "Images"},
    ],
    "extension": [
        {
            "url": EXTENSIONS["eventStatusReason"],
            "valueCodeableConcept": concept("urn:interop:codes:HOSP:L", "CORR", "corrected by"),
        }
    ],
}


def observation(code: str, **elements: Any) -> Resource:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": concept(names.LOINC, code, f"Result {code}"),
        "effectiveDateTime": "2026-11-22T10:10:00+02:00",
        **elements,
    }


def quantity(text: str, **more: str) -> Resource:
    return {"value": DecimalText(text), **more}


CM = {"unit": "centimetre", "system": names.UCUM, "code": "cm"}
OBSERVATIONS: list[Resource] = [
    observation("18748-4", valueString="Clear lungs.\n\nHeart ~ normal & small."),
    observation(
        "33747-0",
        valueQuantity=quantity("14.20", **CM),
        referenceRange=[{"low": quantity("10", **CM), "high": quantity("16", **CM), "text": "10-16"}],
        interpretation=[concept("http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation", "N", "Normal")],
        method=concept("urn:interop:codes:HOSP:L", "US", "ultrasound"),
        bodySite=concept(names.SNOMED, "10200004", "Liver"),
        contained=[
            {"resourceType": "Practitioner", "id": "performer", "name": [{"family": "Other", "given": ["Otto"]}]}
        ],
        performer=[{"reference": "#performer", "display": "Otto Other"}],
    ),
    observation("8867-4", valueQuantity={"value": DecimalText("100"), "comparator": ">", "unit": "mg"}),
    observation("29308-4", valueCodeableConcept=concept("http://hl7.org/fhir/sid/icd-10", "R91.1", "Solitary nodule")),
    observation("1-8", valueDateTime="2026-11-21T09:00:00+02:00"),
    observation("2-6", valueTime="09:30:00"),
    observation("3-4", valueRange={"low": {"value": DecimalText("1.5")}, "high": {"value": DecimalText("2.5")}}),
    observation(
        "4-2", valueRatio={"numerator": {"value": DecimalText("1")}, "denominator": {"value": DecimalText("128")}}
    ),
    observation(
        "5-9",
        component=[
            {"code": concept(names.LOINC, "5-9", "Result 5-9"), "valueQuantity": quantity("1", unit="cm")},
            {"code": concept(names.LOINC, "5-9", "Result 5-9"), "valueQuantity": quantity("2", unit="cm")},
        ],
    ),
]


def measured(code: str, value: Resource, *, on: str = "2026-11-01", system: str = names.LOINC) -> Resource:
    """An Observation of the patient."""
    about = {"status": "final", "subject": {"reference": "Patient/p1"}, "effectiveDateTime": on}
    return {"resourceType": "Observation", "code": concept(system, code), **about, **value}


def kilograms(value: str, unit: str = "kg") -> Resource:
    return {"valueQuantity": {"value": DecimalText(value), "unit": unit, "system": names.UCUM, "code": unit}}


PREGNANT: Resource = {"valueCodeableConcept": concept(names.LOINC, "LA15173-0", "Pregnant")}
ENCOUNTER: Resource = {
    "resourceType": "Encounter",
    "id": "e1",
    "status": "in-progress",
    "class": {"code": "IMP"},
    "subject": {"reference": "Patient/p1"},
    "identifier": [typed("AN", "urn:interop:ns:HOSP:EMR", "A1"), typed("VN", "urn:oid:1.2.3.4", "V1")],
    "serviceType": concept("http://snomed.info/sct", "394579002", "Cardiology"),
    "hospitalization": {"specialArrangement": [{"text": "wheelchair"}]},
    "location": [
        {"location": {"display": "WARD1"}, "status": "completed"},
        {"location": {"reference": "Location/w2", "display": "WARD2"}, "status": "active"},
    ],
}
# An order that names everything by reference, and what is stored of it.
NAMING: Resource = {
    **{name: ORDER[name] for name in ("resourceType", "id", "status", "intent", "subject", "code", "authoredOn")},
    "identifier": ORDER["identifier"],
    "orderDetail": [*ORDER["orderDetail"], concept(names.TRANSPORT, "WHLC", "Wheelchair")],
    "occurrenceDateTime": "2026-11-22T10:15:00+02:00",
    "encounter": {"reference": "Encounter/e1", "display": "where the message said"},
    "requester": {"reference": "PractitionerRole/r1"},
    "performer": [{"reference": "Organization/radiology"}, {"reference": "Device/ct"}, {"display": "Tina Tech"}],
    "locationReference": [{"reference": "Location/room"}],
    "reasonReference": [{"reference": "Condition/c1", "display": "as the order says"}],
    "supportingInfo": [
        {"display": "known asthma"},
        {"reference": "DocumentReference/d1", "display": "a form"},
        {"type": "AllergyIntolerance", "display": "Allergy: Latex (severe)"},
        {"type": "Flag", "display": "MRSA"},
    ],
}
RESOLVED: dict[str, Resource] = {
    "PractitionerRole/r1": {
        "resourceType": "PractitionerRole",
        "practitioner": {"reference": "Practitioner/7"},
        "organization": {"reference": "Organization/ward"},
    },
    "Practitioner/7": {"resourceType": "Practitioner", "name": [{"family": "Known", "given": ["Karl"]}]},
    "Organization/ward": {"resourceType": "Organization", "name": "Emergency department"},
    "Organization/radiology": {"resourceType": "Organization", "name": "Radiology"},
    "Device/ct": {"resourceType": "Device", "deviceName": [{"name": "Scanner One of All", "type": "other"}]},
    "Location/room": {"resourceType": "Location", "name": "Examination room 12"},
    "Location/w2": {"resourceType": "Location", "name": "Ward Two"},
    "Condition/c1": {"resourceType": "Condition", "code": concept("http://hl7.org/fhir/sid/icd-10", "I21", "Infarct")},
}
CLINICAL: list[Resource] = [
    measured("29463-7", kilograms("82.5")),
    measured("8302-2", kilograms("178", "cm")),
    measured("82810-3", PREGNANT),
    {
        "resourceType": "AllergyIntolerance",
        "patient": {"reference": "Patient/p1"},
        "code": {"text": "Iodine contrast"},
        "criticality": "high",
        "reaction": [{"manifestation": [{"text": "shock"}], "severity": "severe"}],
    },
    {
        "resourceType": "Flag",
        "status": "active",
        "subject": {"reference": "Patient/p1"},
        "code": {"text": "Pacemaker"},
    },
]
