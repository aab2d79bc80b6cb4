"""The OBX of a report on its way out: which there are, and each one's type and value (v2.5.1 7.4.2, table 0125)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from interop.fhir import names
from interop.hl7.writing import Component
from interop.mapping.context import Context
from interop.mapping.hl7_values import Field, concept_to_cwe, converter, dtm_of

IMPRESSION = {"coding": [{"system": names.LOINC, "code": "19005-8", "display": "Impression"}]}
DIAGNOSIS = {"coding": [{"system": names.LOINC, "code": "29308-4", "display": "Diagnosis"}]}
STUDY = {"coding": [{"system": names.DCM, "code": "113014", "display": "DICOM Study"}]}


def items_of(
    report: Mapping[str, Any], observations: Sequence[Mapping[str, Any]], study_uid: str | None
) -> list[dict[str, Any]]:
    """What becomes an OBX each, in the shape of Observations: study, results, impression, attachments."""
    status = report.get("status", "unknown")
    items: list[dict[str, Any]] = []
    if study_uid:
        items.append({"status": status, "code": STUDY, "valueString": study_uid})
    for observation in observations:
        items += _results(observation)
    if report.get("conclusion"):
        items.append({"status": status, "code": IMPRESSION, "valueString": report["conclusion"]})
    items += [
        {"status": status, "code": DIAGNOSIS, "valueCodeableConcept": one} for one in _list(report, "conclusionCode")
    ]
    for attachment in _list(report, "presentedForm"):
        if attachment.get("data") or attachment.get("url"):
            pdf = attachment.get("contentType") == "application/pdf"
            coding = {"code": "PDF" if pdf else "DOC", "display": attachment.get("title", "")}
            items.append({"status": status, "code": {"coding": [coding]}, "valueAttachment": attachment})
    return items


def line_by_line(items: Sequence[Mapping[str, Any]], element: str) -> list[Mapping[str, Any]]:
    """The items with every line of their text as one of its own, numbered where there are several (OBX-4)."""
    found: list[Mapping[str, Any]] = []
    for item in items:
        lines = str(item.get(element, "")).split("\n")
        several = len(lines) > 1
        found += [{**item, element: line, "sub": str(at)} for at, line in enumerate(lines, 1)] if several else [item]
    return found


def _list(resource: Mapping[str, Any], element: str) -> list[Any]:
    found = resource.get(element, [])
    return found if isinstance(found, list) else []


def _results(observation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One OBX, or one per component of another code; components of the same code are repetitions."""
    components = _list(observation, "component")
    if not components:
        return [dict(observation)]
    codes = observation.get("code")
    if all(one.get("code") == codes for one in components):
        return [{**observation, "repeated": components}]
    whole = {name: value for name, value in observation.items() if name != "component"}
    own = [whole] if any(name.startswith("value") for name in whole) else []
    shared = {name: whole[name] for name in ("status", "effectiveDateTime") if name in whole}
    return own + [{**shared, **one} for one in components]


@converter
def item_to_type(value: Mapping[str, Any], context: Context) -> str | None:
    """OBX-2."""
    found = _first(value)
    if found and found[1] == "valueString" and context.lines == "escape" and "\n" in value.get("valueString", ""):
        return "FT"  # whose text may be broken by commands (v2.5.1 2.A.31)
    return found[0] if found else None


@converter
def item_to_value(value: Mapping[str, Any], context: Context) -> Field | list[Field] | None:
    """OBX-5."""
    if "repeated" in value:
        fields = [_value(one, context) for one in value["repeated"]]
        return [one for one in fields if one is not None and not isinstance(one, list)]
    return _value(value, context)


@converter
def item_to_units(value: Mapping[str, Any], context: Context) -> Field | None:
    """OBX-6."""
    first = value["repeated"][0] if value.get("repeated") else value
    quantity = first.get("valueQuantity") or first.get("valueRange", {}).get("low") or {}
    unit, code = quantity.get("unit", ""), quantity.get("code", "")
    if code and quantity.get("system") == names.UCUM:
        return (code, unit, "UCUM")
    return (unit or code,) if unit or code else None


@converter
def referencerange_to_text(value: Mapping[str, Any], context: Context) -> str | None:
    """OBX-7."""
    low, high = value.get("low", {}).get("value"), value.get("high", {}).get("value")
    if value.get("text"):
        return str(value["text"])
    if low is not None and high is not None:
        return f"{low}-{high}"
    if low is not None:
        return f">={low}"
    return f"<={high}" if high is not None else None


_TYPES = {
    "valueString": "TX",
    "valueCodeableConcept": "CWE",
    "valueDateTime": "DTM",
    "valueTime": "TM",
    "valueRange": "NR",
    "valueRatio": "SN",
    "valueInteger": "NM",
    "valueBoolean": "CWE",
    "valuePeriod": "DR",
}


def _first(item: Mapping[str, Any]) -> tuple[str, str] | None:
    """OBX-2 and the value[x] that it is for."""
    item = item["repeated"][0] if item.get("repeated") else item
    quantity = item.get("valueQuantity")
    if quantity is not None:
        return ("SN" if quantity.get("comparator") else "NM", "valueQuantity")
    if "valueAttachment" in item:
        return ("ED" if item["valueAttachment"].get("data") else "RP", "valueAttachment")
    for element, kind in _TYPES.items():
        if element in item:
            return (kind, element)
    return None


def _value(item: Mapping[str, Any], context: Context) -> Field | list[Field] | None:
    found = _first(item)
    if found is None:
        return None
    kind, element = found
    value = item[element]
    if element == "valueQuantity":
        number = _text(value.get("value"))
        return (value["comparator"], number) if kind == "SN" else number
    if element == "valueString":
        return str(value) if context.lines == "escape" else [*str(value).split("\n")]
    if element in ("valueDateTime", "valueTime", "valueInteger"):
        return dtm_of(str(value), context) if kind == "DTM" else str(value).replace(":", "")
    if element == "valueCodeableConcept":
        return concept_to_cwe(value, context)  # type: ignore[no-any-return]
    return _compound(element, value, context)


def _compound(element: str, value: Any, context: Context) -> Field:
    if element == "valueRange":
        return (_text(value.get("low", {}).get("value")), _text(value.get("high", {}).get("value")))
    if element == "valueRatio":
        top, bottom = value.get("numerator", {}), value.get("denominator", {})
        return ("", _text(top.get("value")), ":", _text(bottom.get("value")))
    if element == "valueBoolean":
        return ("Y", "Yes", "HL70136") if value else ("N", "No", "HL70136")
    if element == "valuePeriod":
        return tuple(dtm_of(value.get(end, ""), context) for end in ("start", "end"))
    return _attachment(value)


def _attachment(value: Mapping[str, Any]) -> tuple[Component, ...]:
    kind, _, subtype = str(value.get("contentType", "application/octet-stream")).partition("/")
    if value.get("data"):
        return ("", kind, subtype, "Base64", str(value["data"]))
    return (str(value["url"]), "", kind, subtype)


def _text(number: Any) -> str:
    return "" if number is None else str(getattr(number, "text", number))
