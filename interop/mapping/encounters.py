"""A visit: PV1 as an Encounter, since when the patient is there, and what a feed says of its time that cannot be."""

from __future__ import annotations

from typing import Any

from interop.fhir.times import bounds
from interop.mapping.context import Context
from interop.mapping.datatypes import dtm_to_datetime
from interop.mapping.drafting import run
from interop.mapping.inbound import Scope
from interop.mapping.row_code import CompiledRows

_TRANSFER = "A02"


def encounter_of(rows: CompiledRows, scope: Scope, context: Context) -> dict[str, Any]:
    """The Encounter that the rows make; an end before its start is left out and said (R4 per-1)."""
    encounter = run(rows, "Encounter", scope, context)
    _date_transfer(encounter, scope, context)
    period = encounter.get("period", {})
    start, end = period.get("start"), period.get("end")
    if start and end and bounds(start, context.zone)[0] >= bounds(end, context.zone)[1]:
        encounter["period"] = {"start": start}
        context.unmapped("the visit would end before it begins: its end is not taken over", "PV1-45", code="value")
    return encounter


def _date_transfer(encounter: dict[str, Any], scope: Scope, context: Context) -> None:
    """A transfer happens at EVN-6, else when it was written down (EVN-2): the patient is at PV1-3 from then on."""
    header, told = scope.get("MSH", ()), scope.get("EVN", ())
    if not header or not told or header[0].value(9).text(2).strip() != _TRANSFER:
        return
    moment = dtm_to_datetime(told[0].value(6), context) or dtm_to_datetime(told[0].value(2), context)
    for place in encounter.get("location", ()) if moment else ():
        if place["status"] == "active":
            place["period"] = {"start": moment}
