"""HL7 v2 data types as FHIR R4 ones: named functions that the rows of ``mappings/segments`` call.

Each takes one value (a repetition of a field, or a component of it) and gives the FHIR value, or None where there is
none. What cannot be mapped is noted in the context. The clause in each docstring is HL7 v2.5.1 chapter 2A.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from interop.hl7.message import Value
from interop.mapping.context import Contained, Context
from interop.mapping.converters import code_of, compact, converter, plain
from interop.mapping.identifiers import authority, identifier_type
from interop.mapping.times import Moment, dtm
from interop.mapping.uris import EXT_BIRTH_TIME, EXT_REPRESENTATION, is_uri, local_code_system


@converter()
def st_to_string(value: Value, context: Context) -> str | None:
    """ST, TX, FT, IS: the text of all of it."""
    return value.text().strip() or None


@plain("st_to_string")
def _plain_string(text: str, context: Context) -> str:
    return text


@converter()
def st_to_reference(value: Value, context: Context) -> dict[str, Any] | None:
    """ST: a Reference that has no more than a display."""
    text = value.text(2 if value.size > 1 and not value.text(1) else 1).strip()
    return {"display": text} if text else None


@converter()
def id_to_boolean(value: Value, context: Context) -> bool | None:
    """ID of table 0136 (yes/no)."""
    text = value.text().strip().upper()
    if text in ("Y", "N"):
        return text == "Y"
    context.unmapped(f"{text!r} is neither Y nor N", value.location)
    return None


@converter()
def nm_to_integer(value: Value, context: Context) -> int | None:
    """NM: a positive whole number."""
    text = value.text().strip()
    if text.isascii() and text.isdigit() and 0 < int(text) < 2**31:
        return int(text)
    context.unmapped(f"{text!r} is not a positive whole number", value.location)
    return None


@converter()
def dtm_to_datetime(value: Value, context: Context) -> str | None:
    """DTM, TS (2.A.22): dateTime; a time gets the sender's zone where it states none."""
    moment = _moment(value, context)
    return moment.date_time if moment else None


@plain("dtm_to_datetime")
def _plain_datetime(text: str, context: Context) -> str | None:
    moment = dtm(text, context.zone)
    return moment.date_time if moment else None


@converter()
def dtm_to_date(value: Value, context: Context) -> str | None:
    """DTM, TS, DT: the day, without the hour."""
    moment = _moment(value, context)
    return moment.date if moment else None


@plain("dtm_to_date")
def _plain_date(text: str, context: Context) -> str | None:
    moment = dtm(text, context.zone)
    return moment.date if moment else None


@converter()
def dtm_to_birthtime(value: Value, context: Context) -> dict[str, Any] | None:
    """DTM of a birth with its hour: the extension of birthDate; None without an hour."""
    moment = dtm(value.word(1), context.zone)  # what is wrong with it, birthDate's row has said
    if moment is None or moment.instant is None:
        return None
    return {"extension": [{"url": EXT_BIRTH_TIME, "valueDateTime": moment.instant}]}


@converter()
def dtm_to_instant(value: Value, context: Context) -> str | None:
    """DTM: instant; None for a mere day."""
    moment = _moment(value, context)
    return moment.instant if moment else None


@plain("dtm_to_instant")
def _plain_instant(text: str, context: Context) -> str | None:
    moment = dtm(text, context.zone)
    return moment.instant if moment else None


def _moment(value: Value, context: Context) -> Moment | None:
    text = value.word(1)  # TS.1 in versions before 2.6
    if not text:
        return None
    moment = dtm(text, context.zone)
    if moment is None:
        context.unmapped("not a date and time of HL7 (YYYYMMDDHHMMSS)", value.location)
    return moment


@converter("name_use", "name_representation")
def xpn_to_humanname(value: Value, context: Context) -> dict[str, Any] | None:
    """XPN (2.A.88): family^given^middle^suffix^prefix^degree^type^representation."""
    name = _name(value, 1, context)
    kind = value.word(7)
    if name and kind:
        use = context.find("name_use", kind, value, 7)
        if use and use.target:
            name = {"use": use.target, **name}
    form = value.word(8)
    if name and form:
        found = context.find("name_representation", form, value, 8)
        if found:
            name["extension"] = [{"url": EXT_REPRESENTATION, "valueCode": found.target}]
    return name


@converter()
def xpn_to_family(value: Value, context: Context) -> str | None:
    """XPN of a mother: her family name at birth."""
    return value.text(1, 1).strip() or value.word(2) or None


def _name(value: Value, first: int, context: Context) -> dict[str, Any] | None:
    family, given, middle, suffix, prefix, degree = value.texts(6, first)
    if family and value.segment.encoding.subcomponent in value.raw:
        family = value.text(first, 1).strip()  # FN.1: the surname with its prefix
    found: dict[str, Any] = {"family": family} if family else {}
    if given or middle:
        found["given"] = [part for part in (given, middle) if part]
    if prefix:
        found["prefix"] = [prefix]
    if suffix or degree:
        found["suffix"] = [part for part in (suffix, degree) if part]
    return found or None


@converter("coding_system")
def cwe_to_codeableconcept(value: Value, context: Context) -> dict[str, Any] | None:
    """CE, CWE, CNE, CF (2.A.13): code^text^system^alternate code^text^system, original text in .9."""
    codings = [coding for coding in (_coding(value, 1, context), _coding(value, 4, context)) if coding]
    text = value.word(9) or (value.word(2) if not codings or not value.text(1) else "")
    found: dict[str, Any] = {"coding": codings} if codings else {}
    if text:
        found["text"] = text
    return found or None


@converter("coding_system")
def cwe_primary_to_codeableconcept(value: Value, context: Context) -> dict[str, Any] | None:
    """CWE.1-3 alone: in OBR-4 the alternate is the protocol code of the step."""
    return _single(value, 1, context, value.word(9))


@converter("coding_system")
def cwe_alternate_to_codeableconcept(value: Value, context: Context) -> dict[str, Any] | None:
    """CWE.4-6 alone."""
    return _single(value, 4, context, "")


@converter("coding_system")
def cwe_other_than_procedure(value: Value, context: Context) -> dict[str, Any] | None:
    """OBR-4.1-3 as the step, where OBR-44 names the procedure and names another one."""
    if value.word(1) == value.segment.value(44).word(1):
        return None
    return _single(value, 1, context, value.word(9))


def _single(value: Value, first: int, context: Context, text: str) -> dict[str, Any] | None:
    coding = _coding(value, first, context)
    spoken = text or ("" if coding else value.word(first + 1))
    found: dict[str, Any] = {"coding": [coding]} if coding else {}
    if spoken:
        found["text"] = spoken
    return found or None


def _coding(value: Value, first: int, context: Context) -> dict[str, Any] | None:
    code = code_of(value.word(first))
    if not code:
        return None
    system, display = coding_system(value.word(first + 2), context), value.word(first + 1)
    found = {"system": system, "code": code} if system else {"code": code}
    if display:
        found["display"] = display
    return found


def coding_system(name: str, context: Context) -> str | None:
    """The URI of a coding system of table 0396; a local one belongs to its sender."""
    if not name:
        return None
    found = context.codes["coding_system"].find(name)
    if found is not None:
        return found.target
    if name.upper().startswith("HL7") and name[3:].isdigit() and len(name) == 7:
        return f"http://terminology.hl7.org/CodeSystem/v2-{name[3:]}"
    if is_uri(name):
        return name
    return local_code_system(context.sender, name)


@converter()
def is_to_codeableconcept(value: Value, context: Context) -> dict[str, Any] | None:
    """IS, ID: a code without a system is text."""
    text = value.text().strip()
    return {"text": text} if text else None


@converter()
def is_to_document_type(value: Value, context: Context) -> dict[str, Any] | None:
    """IS of TXA-2: a code of table 0270."""
    code, text = value.texts(2)
    coding = compact(system="http://terminology.hl7.org/CodeSystem/v2-0270", code=code_of(code), display=text)
    return {"coding": [coding]} if code else None


@converter("identifier_type")
def xcn_to_practitioner(value: Value, context: Context) -> Contained | None:
    """XCN (2.A.86): id^family^given^middle^suffix^prefix^degree^table^authority^type."""
    number = value.word(1)
    identifier: dict[str, Any] | None = None
    if number:
        kind = identifier_type(value.word(13), context)
        identifier = {"type": kind} if kind else {}
        system = authority(value, 9, context, "person")
        if system:
            identifier["system"] = system
        identifier["value"] = number
    return _practitioner(identifier, _name(value, 2, context))


@converter()
def ndl_to_practitioner(value: Value, context: Context) -> Contained | None:
    """NDL (2.A.44): its first component is a CNN, id&family&given&middle&suffix&prefix."""
    person = value.component(1)
    if person.size == 1:  # senders put an XCN here
        return xcn_to_practitioner_plain(value, context)
    number = person.text(1).strip()
    system = context.authorities.system_of(
        person.text(9).strip(), person.text(10).strip(), person.text(11).strip(), facility=context.sender, role="person"
    )
    return _practitioner({"system": system, "value": number} if number else None, _name(person, 2, context))


def xcn_to_practitioner_plain(value: Value, context: Context) -> Contained | None:
    """The id and name of an XCN; its authority is not where NDL has other components."""
    number = value.text(1).strip()
    system = context.authorities.system_of("", "", "", facility=context.sender, role="person")
    return _practitioner({"system": system, "value": number} if number else None, _name(value, 2, context))


def _practitioner(identifier: dict[str, Any] | None, name: dict[str, Any] | None) -> Contained | None:
    if identifier is None and name is None:
        return None
    resource: dict[str, Any] = {"resourceType": "Practitioner"}
    if identifier:
        resource["identifier"] = [identifier]
    if name:
        resource["name"] = [name]
    return Contained(resource, spoken(name) if name else str((identifier or {}).get("value", "")))


def spoken(name: dict[str, Any]) -> str:
    """A HumanName as people say it."""
    parts: Sequence[str] = (*name.get("prefix", ()), *name.get("given", ()), name.get("family", ""))
    return " ".join([part for part in parts if part] + name.get("suffix", []))


@converter("address_use", "address_type")
def xad_to_address(value: Value, context: Context) -> dict[str, Any] | None:
    """XAD (2.A.83): street^other^city^state^zip^country^type^other geographic^county."""
    _, other, city, state, postal, country, kind, _, county = value.texts(9)
    street = value.text(1, 1).strip()  # SAD.1
    use = context.codes["address_use"].find(kind) if kind else None
    form = context.codes["address_type"].find(kind) if kind else None
    if kind and use is None and form is None:
        context.unmapped(f"{kind!r} is not in table 0190", f"{value.location}.7", code="code-invalid", hl7_code="103")
    parts = compact(
        line=[line for line in (street, other) if line],
        city=city,
        district=county,
        state=state,
        postalCode=postal,
        country=country,
    )
    return compact(use=use and use.target, type=form and form.target) | parts if parts else None


@converter()
def st_to_address(value: Value, context: Context) -> dict[str, Any] | None:
    """ST: a place as text."""
    text = " ".join(part for part in (value.text(part).strip() for part in range(1, value.size + 1)) if part)
    return {"text": text} if text else None


@converter("telecom_use", "telecom_system")
def xtn_to_contactpoint(value: Value, context: Context) -> dict[str, Any] | None:
    """XTN (2.A.89): number^use^equipment^email^country^area^local^extension^text^…^^unformatted (.12)."""
    first, use, equipment, email, country, area, local, extension, _, _, _, unformatted = value.texts(12)
    number = unformatted or first or _assembled(country, area, local, extension)
    if not email and not number:
        return None
    used = context.find("telecom_use", use, value, 2) if use else None
    system = context.find("telecom_system", equipment, value, 3) if equipment else None
    kind = system.target if system else "phone"
    if email and (kind in ("email", "url") or not number):
        kind, number = "email", email
    elif kind == "email" or "@" in number:
        kind = "email"
    mobile = equipment == "CP"
    return compact(system=kind, value=number, use="mobile" if mobile else used and used.target)


def _assembled(country: str, area: str, local: str, extension: str) -> str:
    number = " ".join(part for part in (f"+{country.lstrip('+')}" if country else "", area, local) if part)
    return f"{number} x{extension}" if number and extension else number


@converter("telecom_use", "telecom_system")
def xtn_to_home_contactpoint(value: Value, context: Context) -> dict[str, Any] | None:
    """XTN of PID-13: at home unless it says otherwise."""
    return _placed(xtn_to_contactpoint(value, context), "home")


@converter("telecom_use", "telecom_system")
def xtn_to_work_contactpoint(value: Value, context: Context) -> dict[str, Any] | None:
    """XTN of PID-14: at work unless it says otherwise."""
    return _placed(xtn_to_contactpoint(value, context), "work")


def _placed(point: dict[str, Any] | None, use: str) -> dict[str, Any] | None:
    return point and {"use": use, **point} if point and "use" not in point else point


@converter("coding_system")
def cwe_to_communication(value: Value, context: Context) -> dict[str, Any] | None:
    """CWE of PID-15: the patient's language."""
    language = cwe_to_codeableconcept(value, context)
    return {"language": language, "preferred": True} if language else None


@converter()
def pl_to_display(value: Value, context: Context) -> str | None:
    """PL (2.A.53): where the patient is, as text: point of care, room, bed, facility."""
    if value.segment.encoding.subcomponent in value.raw:
        parts = [value.text(part, 1).strip() for part in (1, 2, 3, 4)]
    else:
        parts = value.texts(4)
    return " ".join(filter(None, parts)) or None


@converter()
def nte_to_annotation(value: Value, context: Context) -> dict[str, Any] | None:
    """NTE-3 (v2.5.1 2.15.10): all its repetitions are lines of one note."""
    text = value.segment.block(value.number)
    return {"text": text} if text else None
