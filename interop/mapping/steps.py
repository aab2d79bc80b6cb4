"""The steps of an imaging order (v2.5.1 4.5.6 IPC, 4.5.4 TQ1): the IPCs of an order, sorted by the step they are of.

IPCs with the same scheduled procedure step id (IPC-4) are one step with several protocol codes (IHE RAD-4); each other
id is a further step of the order. Each step is mapped as an order group of its own, under the numbers they share.
"""

from __future__ import annotations

from typing import Any

from interop.hl7.message import Segment
from interop.mapping.context import Context
from interop.mapping.datatypes import cwe_to_codeableconcept

Segments = dict[str, list[Segment]]

# What the steps of one order share: other values are another order's (IPC-1 accession, 2 procedure, 3 study UID).
_SHARED = {1: "accession number", 2: "requested procedure", 3: "study"}


def steps_in(scope: Segments, context: Context) -> list[Segments]:
    """The scope for each step of the order; what belongs to none of them becomes an Issue each."""
    if not any(len(scope.get(name, ())) > 1 for name in ("IPC", "TQ1", "ZDS", "PV1")):
        return [scope]
    steps = _by_step(scope.get("IPC", []), context)
    own: Segments = {}
    for name, words in (("ZDS", "another study UID"), ("PV1", "another visit")):
        own |= _first(name, words, scope, context)
    times = scope.get("TQ1", [])
    if len(times) == len(steps) > 1:
        return [{**scope, **own, "IPC": ipcs, "TQ1": [time]} for ipcs, time in zip(steps, times, strict=True)]
    own |= _first("TQ1", "another time", scope, context)
    return [{**scope, **own, "IPC": ipcs} for ipcs in steps] if steps else [{**scope, **own}]


def add_protocols(scope: Segments, resource: dict[str, Any], context: Context) -> None:
    """The protocol codes (IPC-6) of the further IPCs of the step, behind the first one's."""
    for ipc in scope.get("IPC", [])[1:]:
        for value in ipc.values(6):
            concept = cwe_to_codeableconcept(value, context)
            details = resource.setdefault("orderDetail", [])
            if concept and concept not in details:
                details.append(concept)


def _by_step(ipcs: list[Segment], context: Context) -> list[list[Segment]]:
    steps: dict[str, list[Segment]] = {}
    for ipc in ipcs:
        other = next((words for field, words in _SHARED.items() if _differs(ipcs[0], ipc, field)), None)
        if other is None:
            steps.setdefault(_word(ipc, 4), []).append(ipc)
        else:
            text = f"the step {_word(ipc, 4) or 'without an id'} is of another {other}: send it under an ORC of its own"
            context.unmapped(text, ipc.location, code="not-supported")
    return list(steps.values())


def _differs(first: Segment, ipc: Segment, field: int) -> bool:
    return _word(ipc, field) not in ("", _word(first, field))


def _first(name: str, words: str, scope: Segments, context: Context) -> Segments:
    found = scope.get(name, [])
    for further in found[1:]:
        if further.line[4:] != found[0].line[4:]:
            text = f"{words} of the same order is not taken over; the first {name} counts"
            context.unmapped(text, further.location, code="not-supported")
    return {name: found[:1]} if found else {}


def _word(ipc: Segment, field: int) -> str:
    return ipc.value(field).text(1).strip()
