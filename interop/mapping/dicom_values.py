"""FHIR values as DICOM ones (PS3.5 6.2): named functions that the rows of ``mappings/dicom`` call."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from interop.dicom.person_names import GROUP_LENGTH, person_name
from interop.dicom.times import wall_clock, write_date
from interop.fhir import names
from interop.mapping.context import Context
from interop.mapping.fhir_rows import OutConverter
from interop.mapping.uris import EXT_REPRESENTATION, local_code_name

CONVERTERS: dict[str, OutConverter] = {}
_UNFIT = re.compile(r"[\x00-\x1f\x7f\\]+")  # in LO and SH, and a name's groups
_UNFIT_TEXT = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
_BIRTH_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
SH, LO, LT = 16, 64, 10240
_NO_PERSON = frozenset(("CareTeam", "Device", "HealthcareService", "Location", "Organization"))
LOCAL_SCHEME = "99LOCAL"  # private schemes begin with 99 (PS3.16 8.2)


def converter(function: OutConverter) -> OutConverter:
    """Make a function known to the rows by its name."""
    CONVERTERS[function.__name__] = function
    return function


@converter
def identifier_value(value: Mapping[str, Any], context: Context) -> str | None:
    """The number alone; never cut: a wrong number is worse than none."""
    return str(value["value"]).strip() or None


@converter
def identifier_to_lo(value: Mapping[str, Any], context: Context) -> str | None:
    """A number of at most 64 characters (LO), whole or not at all: an order is shown without one that is longer."""
    number = identifier_value(value, context)
    return None if number is None or len(number) > LO or _UNFIT.search(number) else number


@converter
def identifier_issuer(value: Mapping[str, Any], context: Context) -> str | None:
    """The authority under its DICOM name (LO)."""
    return context.authorities.issuer_of(value.get("system", ""))[:LO] or None


@converter
def identifier_to_issuer_sequence(value: Mapping[str, Any], context: Context) -> list[dict[str, Any]] | None:
    """The authority as an item of HL7v2 Hierarchic Designator (PS3.3 10.14); none for this server's own numbers."""
    system = value.get("system", "")
    if not system or system == names.accession_system(context.facility):
        return None
    namespace, universal, kind = context.authorities.hd_of(system)
    item = {
        "LocalNamespaceEntityID": namespace,
        "UniversalEntityID": universal if kind in ("ISO", "UUID", "URI") else "",
        "UniversalEntityIDType": kind if universal else "",
    }
    return [{keyword: text for keyword, text in item.items() if text}] if namespace or universal else None


@converter
def identifier_to_other_id(value: Mapping[str, Any], context: Context) -> dict[str, Any] | None:
    """An item of OtherPatientIDsSequence (0010,1002); None for a number that DICOM has no room for."""
    issuer, number = identifier_issuer(value, context), identifier_to_lo(value, context)
    if number is None:
        return None
    item = {"PatientID": number, "TypeOfPatientID": "TEXT"}
    return {**item, "IssuerOfPatientID": issuer} if issuer else item


@converter
def uid_of_identifier(value: Mapping[str, Any], context: Context) -> str:
    """``urn:oid:1.2.3`` as a UID."""
    return str(value["value"]).removeprefix("urn:oid:")


@converter
def text_to_lo(value: Any, context: Context) -> str | None:
    """Text of at most 64 characters (LO)."""
    return as_lo(str(value))


@converter
def text_to_sh(value: Any, context: Context) -> str | None:
    """Text of at most 16 characters (SH)."""
    return as_sh(str(value))


def as_sh(text: str) -> str | None:
    """Text as far as SH has room for it."""
    return _UNFIT.sub(" ", text).strip()[:SH].rstrip() or None


def as_lo(text: str) -> str | None:
    """Text as far as LO has room for it."""
    return _UNFIT.sub(" ", text).strip()[:LO].rstrip() or None


@converter
def note_to_lt(value: Mapping[str, Any], context: Context) -> str | None:
    """An Annotation as long text (LT)."""
    return _UNFIT_TEXT.sub(" ", str(value.get("text", ""))).strip() or None


@converter
def date_to_da(value: Any, context: Context) -> str | None:
    """A whole date; a year alone is none (DA has no partial dates)."""
    match = _BIRTH_DATE.match(str(value))
    return "".join(match.groups()) if match else None


@converter
def start_to_da(value: datetime | date, context: Context) -> str:
    """The day of a start, on the site's calendar."""
    return wall_clock(value, context.zone)[0] if isinstance(value, datetime) else write_date(value)


@converter
def start_to_tm(value: datetime | date, context: Context) -> str | None:
    """The time of a start, on the site's clocks; None for a mere day."""
    return wall_clock(value, context.zone)[1][:6] if isinstance(value, datetime) else None


@converter
def concept_to_description(value: Mapping[str, Any], context: Context) -> str | None:
    """A CodeableConcept as people read it (LO)."""
    return as_lo(spoken(value))


def spoken(concept: Mapping[str, Any]) -> str:
    """A CodeableConcept as people read it: its text, else a display, else a code."""
    codings = concept.get("coding", [])
    text = concept.get("text") or next((coding["display"] for coding in codings if coding.get("display")), "")
    return str(text or next((coding["code"] for coding in codings if coding.get("code")), ""))


@converter
def concept_to_code_sequence(value: Mapping[str, Any], context: Context) -> list[dict[str, Any]] | None:
    """The first coding as a code sequence item (PS3.3 8.8); a code beyond 16 characters is a LongCodeValue."""
    coding = next((one for one in value.get("coding", []) if one.get("code")), None)
    if coding is None:
        return None
    code = str(coding["code"])
    scheme = coding_scheme(coding.get("system", ""), context)
    meaning = as_lo(coding.get("display") or value.get("text") or code)
    return [
        {
            "CodeValue" if len(code) <= SH else "LongCodeValue": code,
            "CodingSchemeDesignator": scheme,
            "CodeMeaning": meaning or code[:LO],
        }
    ]


def coding_scheme(system: str, context: Context) -> str:
    """The CodingSchemeDesignator (SH) of a FHIR code system; a private one where DICOM has none."""
    found = context.codes["coding_scheme"].find(system)
    if found is not None:
        return found.target
    name = local_code_name(system) or ""
    return f"99{name}" if 1 < len(name) <= SH - 2 and name.isalnum() and name.isascii() else LOCAL_SCHEME


@converter
def reference_to_pn(value: Mapping[str, Any], context: Context) -> str | None:
    """A referenced person's name (PN); of a mere display, the display as the family name."""
    _, named = context.person(value)
    return names_to_pn(named)


@converter
def person_to_pn(value: Mapping[str, Any], context: Context) -> str | None:
    """The name of a person that a reference leads to; None for an organisation, a device or a place."""
    return None if context.kind(value) in _NO_PERSON else reference_to_pn(value, context)


@converter
def patient_to_pn(value: Mapping[str, Any], context: Context) -> str | None:
    """A patient's name (PN): alphabetic, ideographic and phonetic group."""
    return names_to_pn(value.get("name", []))


_PREFERRED = ("official", "usual", None)


def names_to_pn(found: Sequence[Mapping[str, Any]]) -> str | None:
    """HumanNames as one PN: HL7's suffix and prefix change places (PS3.5 6.2.1)."""
    usable = [name for name in found if name.get("use") not in ("old", "maiden")] or list(found)
    ordered = sorted(usable, key=lambda name: _rank(name.get("use")))
    groups = {form: next((name for name in ordered if _form(name) == form), None) for form in ("ABC", "IDE", "SYL")}
    family, given, middle, prefix, suffix = _fitting(_parts(groups["ABC"]))
    pn = person_name(
        family,
        given,
        middle,
        prefix,
        suffix,
        ideographic=_group(groups["IDE"]),
        phonetic=_group(groups["SYL"]),
    )
    return pn or None


def _rank(use: str | None) -> int:
    return _PREFERRED.index(use) if use in _PREFERRED else len(_PREFERRED)


def _form(name: Mapping[str, Any]) -> str:
    for extension in name.get("extension", []):
        if extension.get("url") == EXT_REPRESENTATION:
            return str(extension.get("valueCode", "ABC"))
    return "ABC"


def _parts(name: Mapping[str, Any] | None) -> tuple[str, str, str, str, str]:
    if name is None:
        return ("", "", "", "", "")
    given = name.get("given", [])
    if not name.get("family") and not given:
        return (str(name.get("text", "")), "", "", "", "")
    middle, prefix, suffix = given[1:], name.get("prefix", []), name.get("suffix", [])
    return (name.get("family", ""), given[0] if given else "", " ".join(middle), " ".join(prefix), " ".join(suffix))


_Parts = tuple[str, str, str, str, str]


def _fitting(parts: _Parts) -> _Parts:
    """The parts of a name as a group of PN takes them: whoever has a long name is on the worklist all the same.

    What tells least is left out first: suffix, prefix and middle names; then family and given name are cut.
    """
    family, given, *rest = (" ".join(part.split()) for part in parts)
    while rest and len("^".join((family, given, *rest)).rstrip("^")) > GROUP_LENGTH:
        rest.pop()
    given = given[: max(GROUP_LENGTH // 2 - 1, GROUP_LENGTH - 1 - len(family))].rstrip()
    family = family[: GROUP_LENGTH - (len(given) + 1 if given else 0)].rstrip()
    middle, prefix, suffix = [*rest, "", "", ""][:3]
    return family, given, middle, prefix, suffix


def _group(name: Mapping[str, Any] | None) -> str:
    return person_name(*_fitting(_parts(name)))
