"""A stock of resources as an imaging department has them, made of a number alone: whoever asks knows what is there.

Each patient comes with two orders, their studies and reports and three observations: ten resources.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

SYSTEM = "urn:example:bench"
ORDERS = f"{SYSTEM}:orders"
ACCESSIONS = f"{SYSTEM}:accessions"
FAMILY = 10  # resources that come with a patient, the patient included
LARGE_STUDY = "large-study"
LARGE_STUDY_INSTANCES = 2000
_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_TYPE = "http://terminology.hl7.org/CodeSystem/v2-0203"
_CT_IMAGE = {"system": "urn:ietf:rfc:3986", "code": "urn:oid:1.2.840.10008.5.1.4.1.1.2"}
_FAMILIES = ("Παπαδόπουλος", "Georgiou", "Иванов", "Smith", "山田", "Nowak", "Öztürk", "Ó Briain", "Müller", "Rossi")
_GIVEN = ("Νίκος", "Anna", "Пётр", "Mary", "太郎", "Zofia", "Ayşe", "Séan", "Jürgen", "Giulia")
_EXAMS = (
    ("71260", "CT chest with contrast", "CT"),
    ("93306", "Transthoracic echocardiography", "US"),
    ("70551", "MRI brain without contrast", "MR"),
    ("71046", "Chest X-ray, two views", "DX"),
    ("77067", "Screening mammography", "MG"),
)
_LABORATORY = (("2160-0", "Creatinine", "mg/dL"), ("718-7", "Hemoglobin", "g/dL"), ("8867-4", "Heart rate", "/min"))


def patient_id(number: int) -> str:
    """The id of the patient of this number; the others have it with an ending."""
    return f"b{number:08d}"


def family(number: int) -> Iterator[dict[str, Any]]:
    """The patient of this number and all that is about it, each with its id; what is referred to comes first."""
    yield _patient(number)
    for each in range(2):
        yield _order(number, each)
        yield _study(number, each)
        report = _report(number, each)
        if not each:
            yield from (_observation(number, which) for which in range(len(_LABORATORY)))
            report["result"] = [
                {"reference": f"Observation/{patient_id(number)}-v{which}"} for which in range(len(_LABORATORY))
            ]
        yield report


def large_study() -> dict[str, Any]:
    """A study of 2,000 images in five series, of the first patient."""
    each = LARGE_STUDY_INSTANCES // 5
    return _imaging_study(LARGE_STUDY, patient_id(0), "1.2.826.0.1.3680043.9.1.1", "CT", "2025-03-01", [each] * 5)


def _patient(number: int) -> dict[str, Any]:
    name = {"family": _FAMILIES[number % 10], "given": [_GIVEN[number // 10 % 10], str(number)]}
    return {
        "resourceType": "Patient",
        "id": patient_id(number),
        "identifier": [{"system": SYSTEM, "value": f"P{number:08d}"}],
        "name": [name],
        "telecom": [{"system": "phone", "value": f"+357 22 {number:07d}"}],
        "address": [{"line": [f"{number % 300} Ledra Street"], "city": "Nicosia", "country": "CY"}],
        "birthDate": f"{1930 + number % 90}-{1 + number % 12:02}-{1 + number % 28:02}",
        "gender": ("male", "female")[number % 2],
    }


def _day(number: int, each: int) -> str:
    """Spread over ten years, whatever the patient and the kind of examination."""
    spread = (number * 2 + each) * 2654435761 % 2**32 >> 7
    return f"{2016 + spread % 10}-{1 + spread // 10 % 12:02}-{1 + spread // 120 % 28:02}"


def _subject(number: int) -> dict[str, str]:
    return {"reference": f"Patient/{patient_id(number)}"}


def _accession(number: int, each: int) -> dict[str, Any]:
    kind = {"coding": [{"system": _TYPE, "code": "ACSN"}]}
    return {"type": kind, "system": ACCESSIONS, "value": f"A{number:08d}{each}"}


def _exam(number: int, each: int) -> tuple[dict[str, Any], str]:
    code, text, modality = _EXAMS[(number + each) % len(_EXAMS)]
    return {"coding": [{"system": "http://www.ama-assn.org/go/cpt", "code": code}], "text": text}, modality


def _order(number: int, each: int) -> dict[str, Any]:
    code, modality = _exam(number, each)
    kind = {"coding": [{"system": _TYPE, "code": "PLAC"}]}
    return {
        "resourceType": "ServiceRequest",
        "id": f"{patient_id(number)}-o{each}",
        "status": "completed",
        "intent": "order",
        "identifier": [{"type": kind, "system": ORDERS, "value": f"S{number:08d}{each}"}, _accession(number, each)],
        "code": code,
        "orderDetail": [{"coding": [{"system": _DCM, "code": modality}]}],
        "subject": _subject(number),
        "requester": {"display": f"Dr {_FAMILIES[number % 7]}"},
        "authoredOn": f"{_day(number, each)}T08:00:00Z",
        "occurrenceDateTime": f"{_day(number, each)}T09:30:00Z",
    }


def _study(number: int, each: int) -> dict[str, Any]:
    modality = _exam(number, each)[1]
    uid = f"1.2.826.0.1.3680043.9.2.{number}.{each}"
    whole = _imaging_study(
        f"{patient_id(number)}-s{each}", patient_id(number), uid, modality, _day(number, each), [3, 2]
    )
    whole["identifier"].append(_accession(number, each))
    whole["basedOn"] = [{"reference": f"ServiceRequest/{patient_id(number)}-o{each}"}]
    return whole


def _imaging_study(id: str, patient: str, uid: str, modality: str, day: str, series: list[int]) -> dict[str, Any]:
    return {
        "resourceType": "ImagingStudy",
        "id": id,
        "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}],
        "status": "available",
        "modality": [{"system": _DCM, "code": modality}],
        "subject": {"reference": f"Patient/{patient}"},
        "started": f"{day}T09:40:00Z",
        "numberOfSeries": len(series),
        "numberOfInstances": sum(series),
        "series": [
            {
                "uid": f"{uid}.{n}",
                "number": n,
                "modality": {"system": _DCM, "code": modality},
                "numberOfInstances": count,
                "instance": [
                    {"uid": f"{uid}.{n}.{i}", "sopClass": _CT_IMAGE, "number": i} for i in range(1, count + 1)
                ],
            }
            for n, count in enumerate(series, 1)
        ],
    }


def _report(number: int, each: int) -> dict[str, Any]:
    return {
        "resourceType": "DiagnosticReport",
        "id": f"{patient_id(number)}-r{each}",
        "identifier": [{"system": f"{SYSTEM}:reports", "value": f"R{number:08d}{each}"}],
        "basedOn": [{"reference": f"ServiceRequest/{patient_id(number)}-o{each}"}],
        "imagingStudy": [{"reference": f"ImagingStudy/{patient_id(number)}-s{each}"}],
        "status": "final",
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "RAD"}]}],
        "code": _exam(number, each)[0],
        "subject": _subject(number),
        "effectiveDateTime": f"{_day(number, each)}T10:00:00Z",
        "issued": f"{_day(number, each)}T11:00:00Z",
        "conclusion": "No acute cardiopulmonary abnormality. No pleural effusion. Heart size within normal limits.",
    }


def _observation(number: int, which: int) -> dict[str, Any]:
    code, text, unit = _LABORATORY[which]
    return {
        "resourceType": "Observation",
        "id": f"{patient_id(number)}-v{which}",
        "status": "final",
        "category": [
            {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}
        ],
        "code": {"coding": [{"system": "http://loinc.org", "code": code, "display": text}], "text": text},
        "subject": _subject(number),
        "effectiveDateTime": f"{_day(number, which)}T07:15:00Z",
        "valueQuantity": {
            "value": 1 + (number * 7 + which) % 150,
            "unit": unit,
            "system": "http://unitsofmeasure.org",
            "code": unit,
        },
    }
