"""What the story's people say: the EMR's resources and the RIS's messages."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime, timedelta

CYPRUS_ID = "urn:oid:2.16.840.1.113883.2.40.1"
ARC_NUMBER = "urn:interop:ns:HOSP:ARC"
EMR_ORDERS = "urn:interop:ns:HOSP:EMR"
PDF = base64.b64encode(
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n"
    b"trailer<</Root 1 0 R>>\n%%EOF\n"
).decode()


@dataclass(frozen=True)
class Numbers:
    """The identifiers of one telling; a stamp keeps two tellings in one database apart."""

    stamp: str

    @property
    def cyprus_id(self) -> str:
        return f"CY{self.stamp}"

    @property
    def arc(self) -> str:
        return f"ARC-{self.stamp}"

    @property
    def echo_order(self) -> str:
        return f"E{self.stamp}"

    @property
    def ct_patient(self) -> str:
        return f"P{self.stamp}"

    @property
    def ct_placer(self) -> str:
        return f"R{self.stamp}1"

    @property
    def cancelled_placer(self) -> str:
        return f"R{self.stamp}2"

    @property
    def ct_accession(self) -> str:
        return f"CT{self.stamp}"


def order_bundle(numbers: Numbers, start: datetime) -> dict[str, object]:
    """A transaction: the patient, made only if not there yet, and an order for a transthoracic echo."""
    patient = {
        "resourceType": "Patient",
        "identifier": [
            {"system": CYPRUS_ID, "value": numbers.cyprus_id},
            {"system": ARC_NUMBER, "value": numbers.arc},
        ],
        "name": [{"use": "official", "family": "Παπαδόπουλος", "given": ["Νίκος"]}],
        "gender": "male",
        "birthDate": "1958-04-03",
    }
    order = {
        "resourceType": "ServiceRequest",
        "identifier": [
            {
                "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "PLAC"}]},
                "system": EMR_ORDERS,
                "value": numbers.echo_order,
            }
        ],
        "status": "active",
        "intent": "order",
        "priority": "routine",
        "category": [{"coding": [{"system": "http://snomed.info/sct", "code": "363679005", "display": "Imaging"}]}],
        "code": {
            "coding": [{"system": "http://loinc.org", "code": "34552-0", "display": "Transthoracic echo"}],
            "text": "TTE",
        },
        "orderDetail": [{"coding": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "US"}]}],
        "subject": {"reference": "urn:uuid:5e2f9c3a-0000-4000-8000-000000000001"},
        "occurrenceDateTime": start.isoformat(timespec="seconds"),
        "authoredOn": (start - timedelta(days=1)).isoformat(timespec="seconds"),
    }
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": "urn:uuid:5e2f9c3a-0000-4000-8000-000000000001",
                "resource": patient,
                "request": {
                    "method": "POST",
                    "url": "Patient",
                    "ifNoneExist": f"identifier={CYPRUS_ID}|{numbers.cyprus_id}",
                },
            },
            {
                "fullUrl": "urn:uuid:5e2f9c3a-0000-4000-8000-000000000002",
                "resource": order,
                "request": {"method": "POST", "url": "ServiceRequest"},
            },
        ],
    }


def _segment(name: str, fields: dict[int, str]) -> str:
    """A segment with its fields by their HL7 number."""
    return "|".join([name, *(fields.get(number, "") for number in range(1, max(fields) + 1))])


def _head(type_: str, control_id: str, at: datetime) -> str:
    return f"MSH|^~\\&|RIS|HOSP|INTEROP|IMG|{at:%Y%m%d%H%M%S}||{type_}|{control_id}|P|2.5.1||||||UNICODE UTF-8"


def _ct_patient(numbers: Numbers) -> str:
    return _segment("PID", {1: "1", 3: f"{numbers.ct_patient}^^^HOSP^MR", 5: "Αντωνίου^Ελένη", 7: "19710915", 8: "F"})


def ct_order(numbers: Numbers, control: str, control_id: str, start: datetime, *, placer: str, accession: str) -> str:
    """ORM^O01 of the RIS for a CT; ``control`` is ORC-1 (NW, XO, CA)."""
    when = f"^^^{start:%Y%m%d%H%M%S}^^R"
    ids = {2: f"{placer}^RIS", 3: f"F{placer}^RIS"}
    segments = [
        _head("ORM^O01^ORM_O01", control_id, start),
        _ct_patient(numbers),
        _segment("PV1", {1: "1", 2: "O"}),
        _segment("ORC", {1: control, **ids, 7: when}),
        _segment(
            "OBR",
            {
                1: "1",
                **ids,
                4: "CTABD^CT abdomen^L",
                18: accession,
                19: f"RP{placer}",
                20: f"SP{placer}",
                24: "CT",
                27: when,
            },
        ),
    ]
    return "\r".join(segments) + "\r"


def ct_report(numbers: Numbers, control_id: str, at: datetime) -> str:
    """ORU^R01 of the RIS with a final text, a measurement and a PDF for the CT."""
    ids = {2: f"{numbers.ct_placer}^RIS", 3: f"F{numbers.ct_placer}^RIS"}
    now = f"{at:%Y%m%d%H%M%S}"
    segments = [
        _head("ORU^R01^ORU_R01", control_id, at),
        _ct_patient(numbers),
        _segment("ORC", {1: "RE", **ids}),
        _segment(
            "OBR",
            {1: "1", **ids, 4: "CTABD^CT abdomen^L", 7: now, 18: numbers.ct_accession, 22: now, 24: "CT", 25: "F"},
        ),
        _segment("OBX", {1: "1", 2: "TX", 3: "19005-8^Impression^LN", 5: "No acute finding.", 11: "F"}),
        _segment("OBX", {1: "2", 2: "NM", 3: "33747-0^Liver length^LN", 5: "14.20", 6: "cm^centimetre^UCUM", 11: "F"}),
        _segment("OBX", {1: "3", 2: "ED", 3: "PDF^Report^L", 5: f"^application^pdf^Base64^{PDF}", 11: "F"}),
    ]
    return "\r".join(segments) + "\r"


def echo_report(order: str, patient: str, at: datetime) -> dict[str, object]:
    """The EMR's final DiagnosticReport for the echo."""
    return {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "CUS"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "34552-0"}], "text": "TTE"},
        "subject": {"reference": patient},
        "basedOn": [{"reference": order}],
        "effectiveDateTime": at.isoformat(timespec="seconds"),
        "issued": at.isoformat(timespec="seconds"),
        "conclusion": "Κλάσμα εξώθησης 60 %. Normal study.",
    }
