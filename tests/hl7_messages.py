"""HL7 messages as a RIS writes them, to test with."""

from __future__ import annotations

from itertools import count

_numbers = count(1)

PATIENT = "PID|1||100234^^^HOSP^MR||Παπαδόπουλος^Νίκος||19670321|M"


def header(type_: str, control: str | None = None, sender: str = "RIS|HOSP") -> str:
    """MSH; a new control id unless one is given."""
    id = control or f"T{next(_numbers):06d}"
    return f"MSH|^~\\&|{sender}|INTEROP|IMG|20261120101500||{type_}|{id}|P|2.5.1||||||UNICODE UTF-8"


def message(*segments: str) -> bytes:
    """The segments as one message."""
    return "".join(f"{segment}\r" for segment in segments).encode()


def asking(raw: bytes, accept: str, application: str = "") -> bytes:
    """The message with MSH-15 and MSH-16."""
    return raw.replace(b"|2.5.1||||||", f"|2.5.1|||{accept}|{application}||".encode(), 1)


def orm(
    control: str = "NW",
    placer: str = "P1",
    *,
    id: str | None = None,
    patient: str = PATIENT,
    status: str = "",
    filler: str = "",
    accession: str = "",
    modality: str = "CT",
    code: str = "CTCH^CT chest^L",
    start: str = "20261121083000",
    study: str = "",
    sender: str = "RIS|HOSP",
) -> bytes:
    """An ORM^O01 with one order."""
    obr = [""] * 37
    obr[0], obr[1], obr[2], obr[3], obr[4] = "OBR", "1", f"{placer}^RIS", f"{filler}^RIS" if filler else "", code
    obr[18], obr[24], obr[36] = accession, modality, start
    filled = f"{filler}^RIS" if filler else ""
    segments = [
        header("ORM^O01", id, sender),
        patient,
        f"ORC|{control}|{placer}^RIS|{filled}||{status}||||20261120101000",
        "|".join(obr),
    ]
    if study:
        segments.append(f"ZDS|{study}^^Application^DICOM")
    return message(*segments)


def oru(
    status: str = "F",
    placer: str = "P1",
    *,
    id: str | None = None,
    patient: str = PATIENT,
    filler: str = "",
    text: str = "No embolism.",
    code: str = "CTCH^CT chest^L",
    extra: tuple[str, ...] = (),
    sender: str = "RIS|HOSP",
) -> bytes:
    """An ORU^R01 with one report of one text, one number and whatever else is given."""
    filled = f"{filler}^RIS" if filler else ""
    placed = f"{placer}^RIS" if placer else ""
    return message(
        header("ORU^R01", id, sender),
        patient,
        f"ORC|RE|{placed}|{filled}",
        f"OBR|1|{placed}|{filled}|{code}|||20261121084500|||||||||||||||20261121100000|||{status}",
        f"OBX|1|TX|FIND^Finding^L||{text}||||||{status}",
        f"OBX|2|NM|8867-4^Heart rate^LN||72|/min^per minute^UCUM|||||{status}",
        *extra,
    )


def adt(event: str = "A08", *, id: str | None = None, patient: str = PATIENT, sender: str = "RIS|HOSP") -> bytes:
    """An ADT message."""
    return message(header(f"ADT^{event}", id, sender), f"EVN|{event}|20261120101500", patient, "PV1|1|O")
