"""What an order tells of the patient in OBX (v2.5.1 4.4.1, IHE RAD-4): weight, height, a creatinine, whether pregnant.

They are Observations inside the order and its supporting information: what a sender measured for this examination is
not laid over what others observed.
"""

from __future__ import annotations

import re
from typing import Any

from interop.hl7.message import OrderGroup, Segment
from interop.mapping.context import Context
from interop.mapping.dicom_values import spoken
from interop.mapping.observations import joined, observation_of
from interop.mapping.row_code import CompiledRows

_UNFIT = re.compile(r"[^A-Za-z0-9.-]+")
_LONGEST = 56  # characters of an id, of 64 that R4 allows
_DOCUMENTS = ("ED", "RP")  # OBX-2, table 0125
_SHOWN = 100  # characters of a value in words


def add_measurements(
    group: OrderGroup,
    scope: dict[str, list[Segment]],
    order: dict[str, Any],
    rows: CompiledRows | None,
    context: Context,
) -> None:
    """The Observations of the group's OBX, contained in the order, each with a reference that says it in words."""
    taken: set[str] = set()
    for segments in joined(group.observations):
        if segments[0].value(2).text().strip() in _DOCUMENTS:
            text = "a document that comes with an order is not taken over"
            context.unmapped(text, f"{segments[0].location}-5", code="not-supported", hl7_code="0")
            continue
        own = {**scope, "OBX": segments[:1], "NTE": segments[1:]}
        observation = observation_of(rows, segments[0], own, context)
        # who observed is told in the message; a contained resource can contain none (R4 references.html#contained)
        kept = {name: value for name, value in observation.items() if name not in ("contained", "performer")}
        id = _id_of(kept, taken)
        order.setdefault("contained", []).append({"resourceType": "Observation", "id": id, **kept})
        reference = {"reference": f"#{id}", "type": "Observation", "display": _words(kept)}
        order.setdefault("supportingInfo", []).append(reference)


def _id_of(observation: dict[str, Any], taken: set[str]) -> str:
    """An id by what was asked: a change that tells it again replaces it, and nothing else."""
    asked = next((coding.get("code", "") for coding in observation["code"].get("coding", ())), "")
    name = f"observation-{_UNFIT.sub('-', asked or spoken(observation['code']))}"[:_LONGEST].rstrip("-.")
    id, number = name, 2
    while id in taken:
        id, number = f"{name}-{number}", number + 1
    taken.add(id)
    return id


def _words(observation: dict[str, Any]) -> str:
    quantity = observation.get("valueQuantity")
    if quantity:
        parts = (quantity.get("comparator", ""), quantity.get("value", ""), quantity.get("unit", ""))
        answer = " ".join(str(part) for part in parts if part)
    else:
        answer = spoken(observation.get("valueCodeableConcept", {})) or str(observation.get("valueString", ""))
    asked = spoken(observation.get("code", {}))
    return f"{asked}: {' '.join(answer.split())[:_SHOWN]}" if answer else asked
