"""What comes with an order besides it: diagnoses, allergies, insurance, the patient's own doctor, instructions.

None of these is a resource of its own here: each becomes what the order (or the patient) can say of it, with the text
that was sent. The clause in each docstring is HL7 v2.5.1.
"""

from __future__ import annotations

from typing import Any

from interop.fhir import names
from interop.hl7.message import Value
from interop.mapping.context import Contained, Context
from interop.mapping.converters import code_of, compact, converter
from interop.mapping.datatypes import coding_system, cwe_to_codeableconcept, spoken, xcn_to_practitioner
from interop.mapping.identifiers import authority


@converter("coding_system")
def dg1_to_reason(value: Value, context: Context) -> dict[str, Any] | None:
    """DG1-3 (6.5.2.3) with the coding method of DG1-2 where it names no system, and the words of DG1-4."""
    concept = cwe_to_codeableconcept(value, context)
    if concept is None:
        return None
    method = value.segment.value(2).text(1).strip()
    for coding in concept.get("coding", [])[:1]:
        if method and "system" not in coding:
            system = coding_system(method, context)
            coding |= {"system": system} if system else {}
    words = value.segment.value(4).text().strip()
    return {**concept, "text": words} if words and not concept.get("text") else concept


_SEVERITIES = {"SV": "severe", "MO": "moderate", "MI": "mild"}  # table 0128; U says nothing


@converter()
def al1_to_reference(value: Value, context: Context) -> dict[str, Any] | None:
    """AL1-3 (3.4.6.3) with the severity of AL1-4 and the reactions of AL1-5, as people say it."""
    substance = value.text(2).strip() or value.text(1).strip()
    if not substance:
        return None
    severity = value.segment.value(4).text(1).strip()
    details = [_SEVERITIES.get(severity.upper(), "" if severity.upper() == "U" else severity)]
    details += [reaction.text(1).strip() for reaction in value.segment.values(5)]
    told = ", ".join(detail for detail in details if detail)
    return {"type": "AllergyIntolerance", "display": f"Allergy: {substance}" + (f" ({told})" if told else "")}


@converter()
def danger_to_reference(value: Value, context: Context) -> dict[str, Any] | None:
    """CE of OBR-12 (4.5.3.12): what is dangerous about the patient, in words."""
    text = value.text(2).strip() or value.text(1).strip()
    return {"type": "Flag", "display": text} if text else None


_TRANSPORT = {"CART": "Cart", "PORT": "Portable", "WALK": "Walking", "WHLC": "Wheelchair"}  # table 0124, in its words


@converter()
def id_to_transport(value: Value, context: Context) -> dict[str, Any] | None:
    """ID of OBR-30 (4.5.3.30): how the patient comes, a code of table 0124."""
    code = code_of(value.text(1)).upper()
    if not code:
        return None
    if code not in _TRANSPORT:
        context.unmapped(f"{code!r} is not in table 0124", value.location, code="code-invalid", hl7_code="103")
        return None
    return {"coding": [{"system": names.TRANSPORT, "code": code, "display": _TRANSPORT[code]}]}


@converter()
def cwe_to_device(value: Value, context: Context) -> dict[str, Any] | None:
    """CE of IPC-7 (4.5.6.7): the station that is to perform, by its name."""
    text = value.text(2).strip() or value.text(1).strip()
    return {"type": "Device", "display": text} if text else None


_PREGNANT = "B6"  # of table 0009


@converter()
def ambulatory_to_observation(value: Value, context: Context) -> Contained | None:
    """IS of PV1-15 (3.4.3.15): that the patient is pregnant is said there; what else is, nothing here asks for."""
    if value.text(1).strip().upper() != _PREGNANT:
        return None
    code = {"coding": [{"system": names.LOINC, "code": "82810-3", "display": "Pregnancy status"}]}
    answer = {"coding": [{"system": names.LOINC, "code": "LA15173-0", "display": "Pregnant"}]}
    observation = {"resourceType": "Observation", "status": "final", "code": code, "valueCodeableConcept": answer}
    return Contained(observation, "Pregnancy status: Pregnant", typed=True)


@converter()
def in1_to_reference(value: Value, context: Context) -> dict[str, Any] | None:
    """IN1-4 (6.5.6.4), the insurer, or IN1-2, the plan, with the policy number of IN1-36."""
    segment = value.segment
    name = value.text(1).strip()
    if not name and not value.text().strip():
        return None
    plan = segment.value(2).text(2).strip() or segment.value(2).text(1).strip()
    policy = segment.value(36).text(1).strip()
    parts = dict.fromkeys(part for part in (name, plan, f"policy {policy}" if policy else "") if part)
    if not parts:
        return None
    identifier = {"value": policy} if policy else None
    return compact(type="Coverage", identifier=identifier, display=", ".join(parts))


@converter("identifier_type")
def xcn_to_reference(value: Value, context: Context) -> dict[str, Any] | None:
    """XCN of PD1-4: the patient's own doctor, by name and number."""
    person = xcn_to_practitioner(value, context)
    if person is None:
        return None
    identifiers = person.resource.get("identifier", [])
    named = person.resource.get("name", [])
    return compact(
        type="Practitioner",
        identifier=identifiers[0] if identifiers else None,
        display=spoken(named[0]) if named else "",
    )


@converter()
def xon_to_reference(value: Value, context: Context) -> dict[str, Any] | None:
    """XON of PD1-3: the practice that the patient goes to."""
    name, _, number, _, _, _, _, _, _, other = value.texts(10)
    number = other or number
    identifier = {"system": authority(value, 6, context, "organization"), "value": number} if number else None
    return compact(type="Organization", identifier=identifier, display=name) if name or number else None


@converter()
def text_to_annotation(value: Value, context: Context) -> dict[str, Any] | None:
    """TX of TQ1-10 and TQ1-11 (4.5.4): a condition or an instruction, word for word."""
    text = value.text().strip()
    return {"text": text} if text else None


def add_patient_notes(resource: dict[str, Any], texts: list[dict[str, Any]]) -> None:
    """Notes on the patient of an order message, behind the order's own: who carries it out should read them."""
    notes = resource.setdefault("note", []) if texts else []
    notes += [note for note in texts if note not in notes]
