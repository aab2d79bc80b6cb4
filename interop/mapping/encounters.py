"""A visit: PV1 as an Encounter, and what a feed says of its time that cannot be."""

from __future__ import annotations

from typing import Any

from interop.fhir.times import bounds
from interop.mapping.context import Context
from interop.mapping.drafting import run
from interop.mapping.inbound import Scope
from interop.mapping.row_code import CompiledRows


def encounter_of(rows: CompiledRows, scope: Scope, context: Context) -> dict[str, Any]:
    """The Encounter that the rows make; an end before its start is left out and said (R4 per-1)."""
    encounter = run(rows, "Encounter", scope, context)
    period = encounter.get("period", {})
    start, end = period.get("start"), period.get("end")
    if start and end and bounds(start, context.zone)[0] >= bounds(end, context.zone)[1]:
        encounter["period"] = {"start": start}
        context.unmapped("the visit would end before it begins: its end is not taken over", "PV1-45", code="value")
    return encounter
