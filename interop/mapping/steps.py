"""The steps of an imaging order (v2.5.1 4.5.6 IPC, 4.5.4 TQ1): several IPC of one step, and steps beyond the first.

IPCs with the same scheduled procedure step id (IPC-4) are one step with several protocol codes (IHE RAD-4). An order of
this server has one step: an IPC of another step is said to be left out, and nothing of it gets into the first.
"""

from __future__ import annotations

from typing import Any

from interop.hl7.message import Segment
from interop.mapping.context import Context
from interop.mapping.datatypes import cwe_to_codeableconcept

Segments = dict[str, list[Segment]]


def one_step(scope: Segments, context: Context) -> Segments:
    """The scope with what is of the order's one step; the rest becomes an Issue each."""
    if not any(len(scope.get(name, ())) > 1 for name in ("IPC", "TQ1", "ZDS", "PV1")):
        return scope
    ipcs = scope.get("IPC", [])
    first = _step_id(ipcs[0]) if ipcs else ""
    for ipc in ipcs[1:]:
        if _step_id(ipc) != first:
            text = (
                f"the step {_step_id(ipc) or 'without an id'} is not scheduled: an order has one step here, "
                f"{first or 'that of the first IPC'}; send the other under an ORC and number of its own"
            )
            context.unmapped(text, ipc.location, code="not-supported")
    own = {"IPC": [ipc for ipc in ipcs if _step_id(ipc) == first]} if ipcs else {}
    for name, words in (("TQ1", "another time"), ("ZDS", "another study UID"), ("PV1", "another visit")):
        found = scope.get(name, [])
        for further in found[1:]:
            if further.line[4:] != found[0].line[4:]:
                text = f"{words} of the same order is not taken over; the first {name} counts"
                context.unmapped(text, further.location, code="not-supported")
        if found:
            own[name] = found[:1]
    return {**scope, **own} if own else scope


def add_protocols(scope: Segments, resource: dict[str, Any], context: Context) -> None:
    """The protocol codes (IPC-6) of the further IPCs of the step, behind the first one's."""
    for ipc in scope.get("IPC", [])[1:]:
        for value in ipc.values(6):
            concept = cwe_to_codeableconcept(value, context)
            details = resource.setdefault("orderDetail", [])
            if concept and concept not in details:
                details.append(concept)


def _step_id(ipc: Segment) -> str:
    return ipc.value(4).text(1).strip()
