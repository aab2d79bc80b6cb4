"""Where and with whom: HL7 v2 data types as parts of visits and appointments. Named functions that rows call."""

from __future__ import annotations

from typing import Any

from interop.hl7.message import Value
from interop.mapping.context import Context
from interop.mapping.converters import converter
from interop.mapping.datatypes import nm_to_integer, pl_to_display, xcn_to_practitioner


@converter()
def pl_to_location(value: Value, context: Context) -> dict[str, Any] | None:
    """PL of PV1-3: where the patient is."""
    return _stay(value, context, "active")


@converter()
def pl_to_former_location(value: Value, context: Context) -> dict[str, Any] | None:
    """PL of PV1-6: where the patient was."""
    return _stay(value, context, "completed")


@converter()
def pl_to_planned_location(value: Value, context: Context) -> dict[str, Any] | None:
    """PL of PV1-42: where the patient will be."""
    return _stay(value, context, "planned")


def _stay(value: Value, context: Context, status: str) -> dict[str, Any] | None:
    display = pl_to_display(value, context)
    return {"location": {"display": display}, "status": status} if display else None


@converter()
def pl_to_participant(value: Value, context: Context) -> dict[str, Any] | None:
    """PL of AIL-3: a room as a participant of an appointment."""
    display = pl_to_display(value, context)
    return {"actor": {"display": display}, "status": "accepted"} if display else None


@converter("identifier_type")
def xcn_to_participant(value: Value, context: Context) -> dict[str, Any] | None:
    """XCN of AIP-3: a person as a participant of an appointment."""
    person = xcn_to_practitioner(value, context)
    return {"actor": {"display": person.display}, "status": "accepted"} if person else None


_MINUTES = {"": 1, "m": 1, "min": 1, "minutes": 1, "h": 60, "hr": 60, "hours": 60, "s": 1 / 60, "sec": 1 / 60}


@converter()
def nm_to_minutes(value: Value, context: Context) -> int | None:
    """NM of SCH-9 or AIS-7 in the unit of the field behind it, minutes where it names none."""
    if not value.text(1).strip():
        return None
    unit = value.segment.value(value.number + 1).text(1).strip()
    factor = _MINUTES.get(unit.lower())
    number = nm_to_integer(value, context)
    if factor is None:
        context.unmapped(f"{unit!r} is no unit of time that is known here", value.location)
    return max(1, round(number * factor)) if number and factor else None
