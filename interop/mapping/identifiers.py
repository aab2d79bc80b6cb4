"""HL7 v2 identifiers (CX, EI, RP) as FHIR ones; each keeps its authority. Named functions that rows call."""

from __future__ import annotations

from typing import Any

from interop.errors import InvalidContentError
from interop.fhir import names
from interop.hl7.message import Value
from interop.mapping.context import Context
from interop.mapping.converters import compact, converter
from interop.mapping.times import dtm

ACCESSION_LENGTH = 16  # SH (PS3.5 6.2); a longer one cannot be in a worklist


def authority(value: Value, component: int, context: Context, role: str) -> str:
    """The FHIR system of the HD in a component."""
    namespace, universal, kind = value.word(component), "", ""
    if value.segment.encoding.subcomponent in value.raw:
        namespace, universal, kind = value.component(component).texts(3)
    return context.authorities.system_of(namespace, universal, kind, facility=context.sender, role=role)


_OWN_KINDS = frozenset({"", "MR", "PI", "PT"})  # numbers that a facility gives its patients
_OF_A_STAY = frozenset({"AN", "VN"})  # the same authority may have given the same number to another patient


@converter("identifier_type")
def cx_to_identifier(value: Value, context: Context) -> dict[str, Any] | None:
    """CX (2.A.14): id^check^scheme^authority^type^facility^from^to.

    An identifier with a system identifies the patient (design: authority and id). So one whose authority nobody named
    gets the sender's only if it is of the kind that a facility gives its patients; one of a stay gets none.
    """
    kind = value.word(5).upper()
    stated = bool(value.text(4).strip("& "))
    return _cx(value, context, known=(stated or kind in _OWN_KINDS) and kind not in _OF_A_STAY)


@converter("identifier_type")
def cx_to_other_identifier(value: Value, context: Context) -> dict[str, Any] | None:
    """CX of PID-2 and PID-4: without a named authority nobody knows whose numbers these are."""
    kind = value.word(5).upper()
    return _cx(value, context, known=bool(value.text(4).strip("& ")) and kind not in _OF_A_STAY)


def _cx(value: Value, context: Context, *, known: bool) -> dict[str, Any] | None:
    text, _, _, _, kind, _, since, until = value.texts(8)
    if not text:
        return None
    type_ = identifier_type(kind, context)
    found: dict[str, Any] = {"type": type_} if type_ else {}
    if known:
        found["system"] = authority(value, 4, context, "patient")
    found["value"] = text
    if since or until:
        start, end = dtm(since, context.zone), dtm(until, context.zone)
        period = compact(start=start and start.date_time, end=end and end.date_time)
        if period:
            found["period"] = period
    return found


def identifier_type(kind: str, context: Context) -> dict[str, Any] | None:
    """A code of table 0203 as Identifier.type."""
    if not kind:
        return None
    found = context.codes["identifier_type"].find(kind)
    if found is None:  # table 0203 is open: a code of the site's own stays text
        return {"text": kind}
    return {"coding": [found.coding()]}


@converter()
def st_to_ssn(value: Value, context: Context) -> dict[str, Any] | None:
    """ST of PID-19: a social security number; a site file may say whose, families and newborns share some."""
    text = value.word(1)
    if not text:
        return None
    return {"type": {"coding": [{"system": names.V2_0203, "code": "SS"}]}, "value": text}


@converter()
def cx_to_encounter(value: Value, context: Context) -> dict[str, Any] | None:
    """CX of PV1-19: the visit, by its number; of PID-18 by that of its account."""
    text = value.word(1)
    if not text:
        return None
    kind = {"coding": [{"system": names.V2_0203, "code": "AN" if value.segment.name == "PID" else "VN"}]}
    system = authority(value, 4, context, "visit")
    return {"identifier": {"type": kind, "system": system, "value": text}}


@converter()
def cx_to_visit_number(value: Value, context: Context) -> dict[str, Any] | None:
    """CX of PV1-19 or PID-18: the number of a visit."""
    text = value.text(1).strip()
    return {"system": authority(value, 4, context, "visit"), "value": text} if text else None


def _entity(value: Value, context: Context, role: str) -> dict[str, Any] | None:
    text, namespace, universal, kind = value.texts(4)
    if not text:
        return None
    system = context.authorities.system_of(namespace, universal, kind, facility=context.sender, role=role)
    return {"system": system, "value": text}


@converter()
def ei_to_placer_identifier(value: Value, context: Context) -> dict[str, Any] | None:
    """EI (2.A.28) of a placer number: id^namespace^universal id^type."""
    return _entity(value, context, "placer")


@converter()
def ei_to_filler_identifier(value: Value, context: Context) -> dict[str, Any] | None:
    """EI of a filler number."""
    return _entity(value, context, "filler")


@converter()
def ei_to_document_number(value: Value, context: Context) -> dict[str, Any] | None:
    """EI of TXA-12 or TXA-13: the unique number of a document."""
    return _entity(value, context, "document")


@converter()
def ei_to_accession(value: Value, context: Context) -> dict[str, Any] | None:
    """ST (OBR-18) or EI (IPC-1): an accession number; this server's own numbering where none is named."""
    text = value.word(1)
    if len(text) > ACCESSION_LENGTH:
        raise InvalidContentError(
            f"the accession number has {len(text)} characters; DICOM allows {ACCESSION_LENGTH}",
            expression="ServiceRequest.identifier",
            location=value.location,
        )
    return _numbered(value, context, names.accession_system(context.facility))


@converter()
def ei_to_procedure_id(value: Value, context: Context) -> dict[str, Any] | None:
    """ST (OBR-19) or EI (IPC-2): a requested procedure id, at most 16 characters."""
    return _short(value, context, names.procedure_system(context.facility))


@converter()
def ei_to_step_id(value: Value, context: Context) -> dict[str, Any] | None:
    """ST (OBR-20) or EI (IPC-4): a scheduled procedure step id, at most 16 characters."""
    return _short(value, context, names.step_system(context.facility))


def _short(value: Value, context: Context, system: str) -> dict[str, Any] | None:
    if len(value.word(1)) > ACCESSION_LENGTH:
        context.unmapped(f"longer than the {ACCESSION_LENGTH} characters of DICOM: not taken over", value.location)
        return None
    return _numbered(value, context, system)


def _numbered(value: Value, context: Context, default: str) -> dict[str, Any] | None:
    found = _entity(value, context, "accession")
    if found and not any(value.text(part) for part in (2, 3, 4)):
        found["system"] = default
    return found


@converter()
def rp_to_study_identifier(value: Value, context: Context) -> dict[str, Any] | None:
    """RP (ZDS-1, IHE RAD TF-2 4.4.4.1.2.6) or EI (IPC-3): a StudyInstanceUID."""
    uid = value.word(1)
    if not uid:
        return None
    parts = uid.split(".")
    plain = len(uid) <= 64 and len(parts) > 1 and all(part.isascii() and part.isdigit() for part in parts)
    if not plain or any(len(part) > 1 and part[0] == "0" for part in parts):
        raise InvalidContentError(
            "the StudyInstanceUID is not a DICOM UID",
            expression="ServiceRequest.identifier",
            location=value.location,
        )
    return {"system": names.STUDY_UID, "value": f"urn:oid:{uid}"}
