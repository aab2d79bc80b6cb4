"""An appointment (SIU): its SCH and resources, and the order that it is for (v2.5.1 10.6)."""

from __future__ import annotations

from typing import Any

from interop.fhir.query import Identity
from interop.hl7.message import Message, Segment
from interop.mapping.context import Context
from interop.mapping.drafting import run
from interop.mapping.identifiers import ei_to_filler_identifier, ei_to_placer_identifier
from interop.mapping.mapped import MappedAppointment
from interop.mapping.tables import CompiledMessage


def appointment_of(message: Message, table: CompiledMessage, context: Context) -> MappedAppointment | None:
    """The appointment; None where the table makes none, or without an SCH."""
    scope: dict[str, list[Segment]] = {}
    for segment in message.segments if table.appointment else ():
        scope.setdefault(segment.name, []).append(segment)
    if table.appointment is None or "SCH" not in scope:
        return None
    services = scope.get("AIS", [])
    for further in services[1:]:
        context.unmapped("an appointment of several services is one here", further.location, code="not-supported")
    resource = run(table.appointment, "Appointment", scope, context)
    return MappedAppointment(resource, _number(scope, 2, 26, context), _number(scope, 3, 27, context))


def _number(scope: dict[str, list[Segment]], orc: int, sch: int, context: Context) -> Identity | None:
    """The order number of ORC-2 or SCH-26 (placer), ORC-3 or SCH-27 (filler)."""
    convert = ei_to_placer_identifier if orc == 2 else ei_to_filler_identifier
    for name, field in (("ORC", orc), ("SCH", sch)):
        for segment in scope.get(name, [])[:1]:
            found: dict[str, Any] | None = convert(segment.value(field), context)
            if found:
                return Identity(found["system"], found["value"])
    return None
