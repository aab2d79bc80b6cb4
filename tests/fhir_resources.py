"""Resources of every served type that are right, for tests to accept and to break."""

from __future__ import annotations

import copy
from typing import Any

from interop.fhir import json
from interop.fhir.validation import issues_of

Resource = dict[str, Any]

ORDER: Resource = {
    "resourceType": "ServiceRequest",
    "id": "o1",
    "meta": {"profile": ["http://example.org/p"], "tag": [{"system": "urn:x", "code": "t"}]},
    "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml"><p>CT</p></div>'},
    "contained": [{"resourceType": "Practitioner", "id": "dr", "name": [{"family": "A"}]}],
    "extension": [
        {"url": "urn:interop:StructureDefinition:order-step", "valueCode": "scheduled"},
        {"url": "http://example.org/nested", "extension": [{"url": "a", "valueDecimal": json.DecimalText("1.10")}]},
    ],
    "identifier": [
        {
            "use": "official",
            "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "PLAC"}]},
            "system": "urn:oid:1.2.3",
            "value": "P1",
            "period": {"start": "2020", "end": "2021-01-01T00:00:00Z"},
            "assigner": {"reference": "Organization/1"},
        }
    ],
    "status": "active",
    "intent": "order",
    "priority": "stat",
    "doNotPerform": False,
    "code": {"coding": [{"code": "CT"}], "text": "CT"},
    "orderDetail": [{"coding": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"}]}],
    "quantityQuantity": {"value": 1, "comparator": "<", "unit": "x"},
    "subject": {"reference": "Patient/1", "type": "Patient", "display": "N"},
    "occurrenceTiming": {
        "event": ["2026-01-01T10:00:00+02:00"],
        "repeat": {"boundsPeriod": {"start": "2026"}, "frequency": 1, "period": 1, "periodUnit": "d", "when": ["MORN"]},
    },
    "asNeededBoolean": True,
    "authoredOn": "2026-01-01",
    "requester": {"reference": "#dr"},
    "reasonReference": [{"reference": "Condition/1"}],
    "note": [{"authorString": "A", "time": "2026-01-01T10:00:00Z", "text": "**now**"}],
}
PATIENT: Resource = {
    "resourceType": "Patient",
    "active": True,
    "name": [{"use": "official", "family": "Χ", "given": ["A", "B"], "_given": [None, {"id": "g2"}]}],
    "telecom": [{"system": "phone", "value": "1", "rank": 1}],
    "gender": "male",
    "birthDate": "1970-03",
    "_birthDate": {"extension": [{"url": "urn:x", "valueDateTime": "1970-03-01T12:00:00Z"}]},
    "deceasedBoolean": False,
    "address": [{"use": "home", "line": ["1 St"]}],
    "multipleBirthInteger": 2,
    "photo": [{"contentType": "image/png", "data": "AAAA", "size": 3}],
    "contact": [{"relationship": [{"text": "x"}], "name": {"text": "x"}, "gender": "other"}],
    "communication": [{"language": {"text": "el"}, "preferred": True}],
    "link": [{"other": {"reference": "Patient/2"}, "type": "seealso"}],
}
STUDY: Resource = {
    "resourceType": "ImagingStudy",
    "status": "available",
    "subject": {"reference": "Patient/1"},
    "started": "2026-01-01T10:00:00.000Z",
    "numberOfSeries": 1,
    "series": [
        {
            "uid": "1.2.3",
            "modality": {"code": "CT"},
            "performer": [{"actor": {"reference": "Practitioner/1"}}],
            "instance": [{"uid": "1.2.3.4", "sopClass": {"code": "1.2"}, "number": 1}],
        }
    ],
}
OBSERVATION: Resource = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"text": "EF"},
    "effectiveInstant": "2026-01-01T10:00:00Z",
    "issued": "2026-01-01T10:00:00Z",
    "valueQuantity": {
        "value": json.DecimalText("1.10"),
        "unit": "%",
        "system": "http://unitsofmeasure.org",
        "code": "%",
    },
    "referenceRange": [{"low": {"value": 1}, "high": {"value": 2}}],
    "component": [{"code": {"text": "x"}, "valueTime": "10:00:00"}],
}
AUDIT: Resource = {
    "resourceType": "AuditEvent",
    "type": {"code": "rest"},
    "action": "R",
    "recorded": "2026-01-01T10:00:00Z",
    "outcome": "0",
    "agent": [
        {"who": {"display": "x"}, "requestor": True, "network": {"address": "1", "type": "2"}, "policy": ["urn:p"]}
    ],
    "source": {"observer": {"display": "x"}},
    "entity": [{"what": {"reference": "Patient/1"}, "query": "YWJj"}],
}
OTHERS: list[Resource] = [
    {"resourceType": "Organization", "name": "Clinic", "alias": ["C"], "telecom": [{"system": "email", "value": "x"}]},
    {"resourceType": "Practitioner", "qualification": [{"code": {"text": "MD"}, "period": {"start": "2001"}}]},
    {
        "resourceType": "Endpoint",
        "status": "active",
        "connectionType": {"code": "dicom-wado-rs"},
        "payloadType": [{"text": "DICOM"}],
        "payloadMimeType": ["application/dicom"],
        "address": "http://x/dicom-web",
    },
    {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "code": {"text": "CT"},
        "subject": {"reference": "Patient/1"},
        "effectivePeriod": {"start": "2026-01-01"},
        "media": [{"link": {"reference": "Media/1"}}],
        "presentedForm": [{"contentType": "application/pdf", "data": "JVBERg==", "hash": "AAAA"}],
    },
    {
        "resourceType": "Appointment",
        "status": "booked",
        "start": "2026-01-01T10:00:00Z",
        "end": "2026-01-01T10:30:00Z",
        "minutesDuration": 30,
        "participant": [{"actor": {"reference": "Patient/1"}, "status": "accepted"}],
    },
    {
        "resourceType": "Encounter",
        "status": "in-progress",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
        "subject": {"reference": "Patient/1"},
        "period": {"start": "2026-01-01T10:00:00Z"},
        "location": [{"location": {"display": "W5 12 A"}, "status": "active"}],
    },
    {
        "resourceType": "AllergyIntolerance",
        "clinicalStatus": {
            "coding": [
                {"system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "code": "active"}
            ]
        },
        "type": "allergy",
        "category": ["medication"],
        "criticality": "high",
        "code": {"text": "Iodine contrast"},
        "patient": {"reference": "Patient/1"},
        "onsetString": "as a child",
        "reaction": [{"manifestation": [{"text": "shock"}], "severity": "severe"}],
    },
    {
        "resourceType": "Condition",
        "clinicalStatus": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "resolved"}]
        },
        "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10", "code": "I21"}]},
        "subject": {"reference": "Patient/1"},
        "onsetDateTime": "2026-01-01",
        "abatementDateTime": "2026-02-01",
        "stage": [{"summary": {"text": "second"}}],
        "evidence": [{"code": [{"text": "ECG"}]}],
    },
    {
        "resourceType": "Flag",
        "status": "active",
        "code": {"text": "Pacemaker"},
        "subject": {"reference": "Patient/1"},
        "period": {"start": "2026-01-01"},
    },
    {
        "resourceType": "PractitionerRole",
        "practitioner": {"reference": "Practitioner/1"},
        "code": [{"text": "radiologist"}],
        "availableTime": [{"daysOfWeek": ["mon"], "availableStartTime": "09:00:00"}],
    },
    {
        "resourceType": "Location",
        "name": "CT 1",
        "mode": "instance",
        "position": {"longitude": json.DecimalText("33.36"), "latitude": json.DecimalText("35.17")},
    },
    {"resourceType": "Device", "deviceName": [{"name": "CT 1", "type": "user-friendly-name"}], "modelNumber": "X"},
    {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "focus": {"reference": "ServiceRequest/1"},
        "for": {"reference": "Patient/1"},
    },
    {
        "resourceType": "Specimen",
        "subject": {"reference": "Patient/1"},
        "collection": {"collectedDateTime": "2026-01-01"},
    },
    {
        "resourceType": "Media",
        "status": "completed",
        "subject": {"reference": "Patient/1"},
        "content": {"contentType": "image/jpeg", "url": "Binary/1"},
    },
    {
        "resourceType": "DocumentReference",
        "status": "current",
        "subject": {"reference": "Patient/1"},
        "relatesTo": [{"code": "replaces", "target": {"reference": "DocumentReference/1"}}],
        "content": [{"attachment": {"contentType": "application/pdf", "url": "Binary/1"}}],
    },
    {"resourceType": "Binary", "contentType": "application/pdf", "data": "JVBERg=="},
    {
        "resourceType": "Provenance",
        "target": [{"reference": "DiagnosticReport/1"}],
        "recorded": "2026-01-01T10:00:00Z",
        "agent": [{"who": {"reference": "Practitioner/1"}}],
    },
    {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "studies as they come",
        "criteria": "ImagingStudy?status=available",
        "channel": {"type": "rest-hook", "endpoint": "https://example.org/hook"},
    },
    {"resourceType": "Schedule", "active": True, "actor": [{"reference": "Location/1"}]},
    {
        "resourceType": "Slot",
        "schedule": {"reference": "Schedule/1"},
        "status": "free",
        "start": "2026-01-01T10:00:00Z",
        "end": "2026-01-01T10:30:00Z",
    },
]
RIGHT = [ORDER, PATIENT, STUDY, OBSERVATION, AUDIT, *OTHERS]


Place = tuple[str | int, ...]


def broken(resource: Resource, at: Place, value: Any) -> Resource:
    """A copy with another value there."""
    made = copy.deepcopy(resource)
    node: Any = made
    for key in at[:-1]:
        node = node[key]
    node[at[-1]] = value
    return made


def refused(resource: Resource) -> dict[str, str]:
    """Expression to code of each issue."""
    return {path: issue.code for issue in issues_of(resource) for path in issue.expression}
