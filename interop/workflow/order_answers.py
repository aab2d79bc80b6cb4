"""Orders answered by a message of their own type: ORR^O02, ORG^O20, ORI^O24 (v2.5.1 4.4.2, 4.4.4, 4.4.7).

Each order of the message comes back with what became of it: ORC-1 answers the control code that came (tables
``order_answer`` and ``order_refusal``), ORC-2 is the placer's number, ORC-3 the filler's or, where there is none yet,
the accession number that this server gave, ORC-5 the order's status.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from typing import Any

from interop.fhir.scheduled_steps import steps_of
from interop.hl7.message import Message, OrderGroup, Segment
from interop.hl7.writing import FieldValue, segment
from interop.mapping.authorities import Authorities
from interop.mapping.tables import Rules
from interop.workflow.numbers import ACCESSION, FILLER, PLACER, PROCEDURE, STEP, STUDY, kind_of
from interop.workflow.site import Site

Resource = dict[str, Any]

TYPES = {"ORM^O01": ("ORR", "O02"), "OMG^O19": ("ORG", "O20"), "OMI^O23": ("ORI", "O24")}


def order_segments(message: Message, told: Sequence[Resource] | None, site: Site, rules: Rules) -> list[str]:
    """The segments after MSA and ERR; ``told`` are the orders as they stand, None where the message was refused.

    A refused message had no effect, so each of its orders is answered as one that could not be carried out.
    """
    table = rules.codes["order_refusal" if told is None else "order_answer"]
    found: list[str] = []
    for at, group in enumerate(message.order_groups()):
        orc = group.first("ORC")
        if orc is None:
            continue
        resource = told[at] if told is not None and at < len(told) else {}
        numbers = _numbers(resource)
        steps = {step.number for step in steps_of(resource)}
        answer = table.find(orc.value(1).text().strip())
        placer, filler = _both(group, numbers, site.tables.authorities)
        status = rules.codes["order_status_out"].find(told[at].get("status", "")) if numbers and told else None
        fields: dict[int, FieldValue] = {1: answer.target if answer else "", 2: placer, 3: filler}
        fields |= {4: _echo(orc, 4), 5: status.target if status else ""}
        found.append(segment("ORC", fields))
        obr = group.first("OBR")
        if obr is not None:
            own = _of_step(numbers, obr, 20, steps)
            found.append(_observation_request(obr, own, placer, filler, at + 1))
        if message.type == "OMI^O23":
            ipcs = group.segments.get("IPC", [])
            found += [
                _imaging_procedure(ipc, _of_step(numbers, ipc, 4, steps)) for ipc in ipcs if steps or ipc is ipcs[0]
            ]
    return found


def _numbers(resource: Resource) -> dict[str, Resource]:
    found: dict[str, Resource] = {}
    for identifier in resource.get("identifier", ()):
        kind = kind_of(identifier)
        if kind is not None:
            found.setdefault(kind, identifier)
    return found


def _of_step(numbers: dict[str, Resource], source: Segment, number: int, steps: Set[str]) -> dict[str, Resource]:
    """The numbers with the id of the step that the segment names, where the order has several."""
    stated = source.value(number).text(1).strip() if steps else ""
    return {**numbers, STEP: {"value": stated}} if stated in steps else numbers


def _both(group: OrderGroup, numbers: dict[str, Resource], authorities: Authorities) -> tuple[FieldValue, FieldValue]:
    """ORC-2 and ORC-3: as they came, else as they are known here."""
    placer, filler = _said(group, 2), _said(group, 3)
    ours = numbers.get(FILLER) or numbers.get(ACCESSION)
    if not placer and PLACER in numbers:
        placer = _entity(numbers[PLACER], authorities)
    if not filler and ours is not None:
        filler = _entity(ours, authorities)
    return placer, filler


def _said(group: OrderGroup, number: int) -> FieldValue:
    """ORC-2 or ORC-3, else its twin in OBR."""
    for name in ("ORC", "OBR"):
        found = group.first(name)
        if found is not None and found.value(number).text(1).strip():
            return _echo(found, number)
    return ""


def _entity(identifier: Resource, authorities: Authorities) -> FieldValue:
    return (str(identifier["value"]), *authorities.hd_of(identifier.get("system", "")))


def _echo(source: Segment, number: int) -> FieldValue:
    """A field as it came, in our delimiters; its first repetition."""
    value = source.value(number)
    marks = source.encoding
    parts = value.raw.split(marks.component)
    read: Callable[[str], str] = marks.unescape
    return tuple(
        tuple(map(read, part.split(marks.subcomponent))) if marks.subcomponent in part else read(part) for part in parts
    )


def _observation_request(
    obr: Segment, numbers: dict[str, Resource], placer: FieldValue, filler: FieldValue, set_id: int
) -> str:
    """OBR as far as it names the procedure, with the numbers under which it is known here (IHE RAD TF-2 4.4)."""
    fields: dict[int, FieldValue] = {1: str(set_id), 2: placer, 3: filler, 4: _echo(obr, 4)}
    fields |= {18: _value(numbers, ACCESSION), 19: _value(numbers, PROCEDURE), 20: _value(numbers, STEP)}
    return segment("OBR", fields)


def _imaging_procedure(ipc: Segment, numbers: dict[str, Resource]) -> str:
    """IPC-1 to IPC-4 as known here, the rest as it came (v2.5.1 4.5.6)."""
    fields: dict[int, FieldValue] = {number: _echo(ipc, number) for number in range(1, 10)}
    for number, kind in ((1, ACCESSION), (2, PROCEDURE), (3, STUDY), (4, STEP)):
        fields[number] = _value(numbers, kind) or fields[number]
    return segment("IPC", fields)


def _value(numbers: dict[str, Resource], kind: str) -> str:
    found = numbers.get(kind)
    return str(found["value"]).removeprefix("urn:oid:") if found else ""
