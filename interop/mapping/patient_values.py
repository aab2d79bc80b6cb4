"""What is known of patient, visit and place as DICOM values: named functions that rows of ``mappings/dicom`` call."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from interop.mapping.context import Context
from interop.mapping.dicom_values import LO, as_lo, as_sh, concept_to_code_sequence, converter, spoken
from interop.mapping.patient_facts import answer_of, pregnancy_of

_ALERTS = 16  # values of an attribute, of 64 characters each
_EXACT = Decimal("0.0001")  # with what is asked of a patient, far within the 16 characters of DS (PS3.5 6.2)


@converter
def quantity_to_kg(value: Mapping[str, Any], context: Context) -> str | None:
    """A Quantity in kilograms (DS, PatientWeight); None in a unit that is not known: it is never guessed."""
    return _measure(value, "mass_unit", Decimal(1000), context)


@converter
def quantity_to_m(value: Mapping[str, Any], context: Context) -> str | None:
    """A Quantity in metres (DS, PatientSize); None in a unit that is not known."""
    return _measure(value, "length_unit", Decimal(10), context)


def _measure(value: Mapping[str, Any], table: str, most: Decimal, context: Context) -> str | None:
    """The number in the unit that DICOM wants; no comparator is passed over, and nothing that no patient can be."""
    units, system = (str(value.get("code", "")), str(value.get("unit", ""))), str(value.get("system", ""))
    found = next((row for unit in units if unit and (row := context.codes[table].find(unit, system))), None)
    try:
        number = Decimal(str(value.get("value", "")))
    except InvalidOperation:
        return None
    if found is None or value.get("comparator") or not number.is_finite():
        return None
    number = number * Decimal(found.target)
    if not 0 < number < most:
        return None
    text = f"{number.quantize(_EXACT).normalize():f}"
    return None if text == "0" else text


@converter
def observation_to_pregnancy(value: Mapping[str, Any], context: Context) -> int | None:
    """What an Observation says, as PregnancyStatus (US): 1 not, 2 possibly, 3 definitely pregnant, 4 unknown."""
    return pregnancy_of(answer_of(value), context.codes)


@converter
def allergy_to_lo(value: Mapping[str, Any], context: Context) -> str | None:
    """An AllergyIntolerance as people say it: the substance, and how bad it may be."""
    reactions = value.get("reaction", [])
    substance = spoken(value.get("code", {})) or next((spoken(one.get("substance", {})) for one in reactions), "")
    shown = [spoken(one) for reaction in reactions for one in reaction.get("manifestation", [])]
    severe = any(reaction.get("severity") == "severe" for reaction in reactions)
    high = ["high risk"] if value.get("criticality") == "high" else []
    details = ", ".join(dict.fromkeys([*high, *(["severe"] if severe else []), *shown]))
    return as_lo(f"{substance} ({details})" if details and substance else substance)


@converter
def told_allergy_to_lo(value: Any, context: Context) -> str | None:
    """An allergy that the order itself tells of, in the words of its reference."""
    return as_lo(str(value).removeprefix("Allergy: "))


@converter
def flag_to_lo(value: Mapping[str, Any], context: Context) -> str | None:
    """What a Flag warns of."""
    return as_lo(spoken(value.get("code", {})))


@converter
def text_to_alerts(value: Any, context: Context) -> list[str] | None:
    """A text as values of at most 64 characters each, broken between words: nothing of a warning is cut off."""
    text = " ".join(str(value).replace("\\", " ").split())
    return [found for line in textwrap.wrap(text, LO)[:_ALERTS] if (found := as_lo(line))] or None


@converter
def service_to_lo(value: Mapping[str, Any], context: Context) -> str | None:
    """The organisation that a requester is, or that it acts for (PractitionerRole.organization)."""
    if context.kind(value) == "PractitionerRole":
        return as_lo(context.called(context.meant(value).get("organization", {})))
    if context.kind(value) not in ("Organization", "HealthcareService"):
        return None
    return as_lo(context.called(value))


@converter
def device_to_sh(value: Mapping[str, Any], context: Context) -> str | None:
    """The name of a Device that is to perform; None for whoever else performs."""
    return as_sh(context.called(value)) if context.kind(value) == "Device" else None


@converter
def place_to_sh(value: Mapping[str, Any], context: Context) -> str | None:
    """The name of a Location."""
    return as_sh(context.called(value))


@converter
def place_to_lo(value: Mapping[str, Any], context: Context) -> str | None:
    """The name of the Location where a patient is."""
    return as_lo(context.called(value))


@converter
def concept_to_sh(value: Mapping[str, Any], context: Context) -> str | None:
    """A CodeableConcept as people read it, in 16 characters."""
    return as_sh(spoken(value))


@converter
def reason_to_description(value: Mapping[str, Any], context: Context) -> str | None:
    """What a reasonReference leads to, in words: a Condition's code, an Observation's; else what the reference says."""
    return as_lo(spoken(context.meant(value).get("code", {})) or str(value.get("display", "")))


@converter
def reason_to_code_sequence(value: Mapping[str, Any], context: Context) -> list[dict[str, Any]] | None:
    """The code of what a reasonReference leads to."""
    found: list[dict[str, Any]] | None = concept_to_code_sequence(context.meant(value).get("code", {}), context)
    return found
