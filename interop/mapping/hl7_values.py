"""FHIR R4 values as HL7 v2 ones: named functions that the rows of ``mappings/outbound`` call.

They give fields as ``interop.hl7.writing`` takes them: text, tuples of components, tuples of subcomponents in these.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from interop.fhir import names
from interop.fhir.orders import detail_kind
from interop.hl7.writing import Component, timestamp
from interop.mapping.context import Context
from interop.mapping.fhir_rows import OutConverter
from interop.mapping.times import fhir_instant, fhir_to_dtm
from interop.mapping.uris import EXT_BIRTH_TIME, EXT_REPRESENTATION, local_code_name

CONVERTERS: dict[str, OutConverter] = {}
_V2 = "http://terminology.hl7.org/CodeSystem/v2-"
Field = str | tuple[Component, ...]


def converter(function: OutConverter) -> OutConverter:
    """Make a function known to the rows by its name."""
    CONVERTERS[function.__name__] = function
    return function


def _code(table: str, code: str, context: Context) -> str:
    found = context.codes[table].find(code)
    return found.target if found else ""


def _first_code(concept: Mapping[str, Any]) -> str:
    return str(next((coding["code"] for coding in concept.get("coding", []) if coding.get("code")), ""))


@converter
def identifier_to_cx(value: Mapping[str, Any], context: Context) -> Field:
    """CX: id^^^authority^type; nothing of a former number, which is never to be referred to again (v2.5.1 3.3.40)."""
    if value.get("use") == "old":
        return ""
    hd = context.authorities.hd_of(value.get("system", ""))
    kind = value.get("type", {})
    return (str(value["value"]), "", "", hd, _first_code(kind) or kind.get("text", ""))


@converter
def identifier_to_ei(value: Mapping[str, Any], context: Context) -> Field:
    """EI: id^namespace^universal id^type."""
    return (str(value["value"]), *context.authorities.hd_of(value.get("system", "")))


@converter
def own_identifier_to_ei(value: Mapping[str, Any], context: Context) -> Field:
    """A number of this server alone, another's with its authority."""
    own = (names.accession_system, names.procedure_system, names.step_system)
    if value.get("system", "") in [system(context.facility) for system in own]:
        return str(value["value"])
    return identifier_to_ei(value, context)  # type: ignore[no-any-return]


@converter
def study_to_rp(value: Mapping[str, Any], context: Context) -> Field:
    """RP of ZDS-1 (IHE RAD TF-2 4.4.4.1.2.6)."""
    return (str(value["value"]).removeprefix("urn:oid:"), "", "Application", "DICOM")


def _name_parts(name: Mapping[str, Any]) -> tuple[str, ...]:
    """family, given, middle, suffix, prefix, degree."""
    given, suffix = name.get("given", []), name.get("suffix", [])
    family = name.get("family", "") or ("" if given else name.get("text", ""))
    return (
        family,
        given[0] if given else "",
        " ".join(given[1:]),
        suffix[0] if suffix else "",
        " ".join(name.get("prefix", [])),
        " ".join(suffix[1:]),
    )


@converter
def humanname_to_xpn(value: Mapping[str, Any], context: Context) -> Field:
    """XPN: family^given^middle^suffix^prefix^degree^type^representation."""
    form = next(
        (one.get("valueCode", "") for one in value.get("extension", []) if one.get("url") == EXT_REPRESENTATION), ""
    )
    use = _code("name_use_out", value.get("use", ""), context)
    return (*_name_parts(value), use, _code("name_representation_out", form, context))


@converter
def birth_to_dtm(value: Mapping[str, Any], context: Context) -> str | None:
    """Patient: the birth's hour where it is known, else its day."""
    for extension in value.get("_birthDate", {}).get("extension", []):
        if extension.get("url") == EXT_BIRTH_TIME:
            return dtm_of(str(extension.get("valueDateTime", "")), context) or None
    return dtm_of(value.get("birthDate", ""), context) or None


@converter
def datetime_to_dtm(value: Any, context: Context) -> str | None:
    """DTM with its offset, or on the site's clocks without one, as the receiver has it."""
    return stamp(value, context) if isinstance(value, datetime) else dtm_of(str(value), context) or None


def stamp(instant: datetime, context: Context) -> str:
    """An instant as DTM."""
    written = timestamp(instant.astimezone(context.zone))
    return written if context.offsets else written[:14]


def dtm_of(text: str, context: Context) -> str:
    """A FHIR date, dateTime or instant as DTM; "" if it is none of them."""
    if not context.offsets:
        moment = fhir_instant(text, context.zone)
        if isinstance(moment, datetime):
            return stamp(moment, context)
    return fhir_to_dtm(text, context.zone)


@converter
def boolean_to_id(value: Any, context: Context) -> str:
    """Table 0136."""
    return "Y" if value else "N"


@converter
def text(value: Any, context: Context) -> str:
    """A number or code as it reads."""
    return str(value)


@converter
def address_to_xad(value: Mapping[str, Any], context: Context) -> Field:
    """XAD: street^other^city^state^zip^country^type^^county."""
    line = value.get("line", [])
    street = line[0] if line else ("" if value.get("city") else value.get("text", ""))
    kind = "M" if value.get("type") == "postal" else _code("address_use_out", value.get("use", ""), context)
    return (
        street,
        " ".join(line[1:]),
        value.get("city", ""),
        value.get("state", ""),
        value.get("postalCode", ""),
        value.get("country", ""),
        kind,
        "",
        value.get("district", ""),
    )


@converter
def place_to_text(value: Mapping[str, Any], context: Context) -> str | None:
    """An Address as one text."""
    parts = [value.get("city", ""), value.get("state", ""), value.get("country", "")]
    return value.get("text") or ", ".join(part for part in parts if part) or None


@converter
def contactpoint_to_xtn(value: Mapping[str, Any], context: Context) -> Field | None:
    """XTN: number^use^equipment^email."""
    number, system, use = value.get("value", ""), value.get("system", ""), value.get("use", "")
    if not number:
        return None
    if system == "email":
        return ("", "NET" if use in ("", "old") else _code("telecom_use_out", use, context), "Internet", number)
    equipment = "CP" if use == "mobile" else _code("telecom_system_out", system, context)
    return (number, _code("telecom_use_out", use, context), equipment)


def coding_parts(coding: Mapping[str, Any], context: Context) -> tuple[str, str, str]:
    """code, text, name of the coding system (table 0396)."""
    system = coding.get("system", "")
    found = context.codes["coding_system_out"].find(system)
    if found is not None:
        name = found.target
    elif system.startswith(_V2):
        name = f"HL7{system.removeprefix(_V2)}"
    else:
        name = local_code_name(system) or system
    return (str(coding.get("code", "")), coding.get("display", ""), name)


@converter
def concept_to_cwe(value: Mapping[str, Any], context: Context) -> Field:
    """CWE: two codings, and the text in .9 where they do not say it."""
    codings = [coding_parts(coding, context) for coding in value.get("coding", []) if coding.get("code")][:2]
    spoken = value.get("text", "")
    if not codings:
        return ("", spoken)
    first, second = (*codings, ("", "", ""))[:2]
    return (*first, *second, "", "", spoken) if spoken else (*first, *second)


@converter
def concept_to_code(value: Mapping[str, Any], context: Context) -> str | None:
    """The first code alone."""
    return _first_code(value) or None


@converter
def section_to_code(value: Mapping[str, Any], context: Context) -> str | None:
    """A diagnostic service section (table 0074), or a DICOM modality in its place."""
    known = (f"{_V2}0074", names.DCM)
    return next(
        (one["code"] for one in value.get("coding", []) if one.get("system") in known and one.get("code")), None
    )


@converter
def marital_status_to_cwe(value: Mapping[str, Any], context: Context) -> Field | None:
    """Table 0002."""
    code = _code("marital_status_out", _first_code(value), context)
    return (code, value.get("text", ""), "HL70002") if code else ("", value.get("text", ""))


@converter
def procedure_to_obr4(value: Mapping[str, Any], context: Context) -> Field:
    """A ServiceRequest: the procedure in OBR-4.1-3, the step's protocol code in OBR-4.4-6 (IHE RAD-4)."""
    concept = value.get("code", {})
    step: Mapping[str, Any] = next((one for one in value.get("orderDetail", []) if detail_kind(one) == "step"), {})
    first = _primary(concept, context)
    second = _primary(step, context)
    spoken = concept.get("text", "")
    return (*first, *second, "", "", spoken) if spoken and first[0] else (*first, *second)


def _primary(concept: Mapping[str, Any], context: Context) -> tuple[str, str, str]:
    coding = next((one for one in concept.get("coding", []) if one.get("code")), None)
    return coding_parts(coding, context) if coding else ("", concept.get("text", ""), "")


@converter
def procedure_to_obr44(value: Mapping[str, Any], context: Context) -> Field | None:
    """A procedure with two codings, for which OBR-4.1-3 has no room."""
    return concept_to_cwe(value, context) if len(value.get("coding", [])) > 1 else None


@converter
def reference_to_xcn(value: Mapping[str, Any], context: Context) -> Field | None:
    """XCN: id^family^given^middle^suffix^prefix^degree^^authority."""
    number, hd, parts = _person(value, context)
    return (number, *parts, "", hd) if number or any(parts) else None


@converter
def reference_to_ndl(value: Mapping[str, Any], context: Context) -> Field | None:
    """NDL: a CNN (id&family&given&middle&suffix&prefix&degree&&authority) as its first component; None for a device."""
    if context.kind(value) in ("Device", "Location"):
        return None
    number, hd, parts = _person(value, context)
    return ((number, *parts, "", *hd),) if number or any(parts) else None


@converter
def text_to_cwe(value: Any, context: Context) -> Field | None:
    """CWE that is words alone."""
    return _words(value)


def _words(text: Any) -> Field | None:
    return ("", str(text)) if text else None


@converter
def device_to_cwe(value: Mapping[str, Any], context: Context) -> Field | None:
    """CWE of IPC-7: the name of a Device; None for whoever else performs."""
    return _words(context.called(value)) if context.kind(value) == "Device" else None


@converter
def place_to_cwe(value: Mapping[str, Any], context: Context) -> Field | None:
    """CWE of IPC-8: the name of a Location."""
    return _words(context.called(value))


def _person(reference: Mapping[str, Any], context: Context) -> tuple[str, tuple[str, str, str], tuple[str, ...]]:
    identifiers, named = context.person(reference)
    identifier: Mapping[str, Any] = identifiers[0] if identifiers else {}
    name: Mapping[str, Any] = named[0] if named else {}
    return identifier.get("value", ""), context.authorities.hd_of(identifier.get("system", "")), _name_parts(name)


@converter
def reference_to_pl(value: Any, context: Context) -> Field:
    """PL: a place known by its text alone."""
    return (str(value),)


@converter
def annotation_to_lines(value: Mapping[str, Any], context: Context) -> str | list[str]:
    """NTE-3: one repetition per line, unless the receiver takes them otherwise."""
    spoken = str(value.get("text", ""))
    return spoken if context.lines == "escape" else spoken.split("\n")


@converter
def former_to_cx(value: Mapping[str, Any], context: Context) -> Field:
    """CX of a number that is no longer to be used, in the one place for it (MRG)."""
    return identifier_to_cx({**value, "use": ""}, context)  # type: ignore[no-any-return]


@converter
def study_to_ei(value: Mapping[str, Any], context: Context) -> str:
    """EI of IPC-3: the Study Instance UID."""
    return str(value["value"]).removeprefix("urn:oid:")


@converter
def order_to_tq(value: Mapping[str, Any], context: Context) -> Field | None:
    """TQ of versions before 2.5 (v2.3.1 2.8.44): begin in .4, end in .5, priority in .6."""
    period = value.get("occurrencePeriod", {})
    begin, end = value.get("occurrenceDateTime", "") or period.get("start", ""), period.get("end", "")
    priority = _code("priority_out", value.get("priority", ""), context)
    found = ("", "", "", dtm_of(begin, context), dtm_of(end, context), priority)
    return found if any(found) else None
