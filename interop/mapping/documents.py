"""A document (MDM) as a report: its TXA, the orders before it, and its OBX (v2.5.1 9.6, 9.7)."""

from __future__ import annotations

from typing import Any

from interop.errors import InvalidContentError
from interop.fhir.query import Identity
from interop.hl7.message import Message, OrderGroup
from interop.mapping.context import Context
from interop.mapping.drafting import run
from interop.mapping.identifiers import ei_to_document_number
from interop.mapping.mapped import MappedReport
from interop.mapping.observations import results_of
from interop.mapping.tables import CompiledMessage

# What becomes of a final document that takes another's place.
_IN_PLACE = {"MDM^T08": "amended", "MDM^T10": "corrected"}
_ADDED = {"MDM^T06": "appended"}


def is_document(table: CompiledMessage) -> bool:
    """Whether messages of this table are documents."""
    return "TXA" in table.required


def document_of(message: Message, table: CompiledMessage, context: Context) -> MappedReport:
    """The report; InvalidContentError without a TXA. An order beyond the first is an Issue."""
    group = _group(message, context)
    txa = group.first("TXA")
    if txa is None:
        raise InvalidContentError(f"{message.type} needs a TXA segment", location="TXA", hl7_code="100")
    scope = {"MSH": [message.header]} | group.segments
    assert table.report is not None  # is_document
    report = run(table.report, "DiagnosticReport", scope, context)
    if report["status"] == "final":
        report["status"] = (_IN_PLACE | _ADDED).get(message.type, "final")
    result = results_of(group, scope, report, table, context)
    identities = _typed(report)
    parent = ei_to_document_number(txa.value(13), context)
    if parent is None and message.type in _IN_PLACE:
        context.unmapped("TXA-13 names no document that this one replaces", f"{txa.location}-13", hl7_code="101")
    replaced = parent is not None and message.type in _IN_PLACE
    return MappedReport(
        control=None,
        report=report,
        observations=tuple(result.observations),
        placer=identities.get("PLAC"),
        filler=identities.get("FILL"),
        accession=identities.get("ACSN"),
        study_uid=result.study_uid,
        index=1,
        document=identities[""],
        replaces=Identity(parent["system"], parent["value"]) if parent and replaced else None,
    )


def _typed(report: dict[str, Any]) -> dict[str, Identity]:
    found: dict[str, Identity] = {}
    for identifier in report["identifier"]:
        coding = identifier.get("type", {}).get("coding", [{}])[0]
        found.setdefault(coding.get("code", ""), Identity(identifier["system"], identifier["value"]))
    return found


def _group(message: Message, context: Context) -> OrderGroup:
    """All of the message as one group: the first order, the TXA, and the OBX with their notes."""
    whole = OrderGroup(1)
    for group in message.order_groups():
        if group.index == 1:
            whole.segments |= group.segments
        else:
            where = next(iter(group.segments.values()))[0].location
            context.unmapped("a document of several orders is linked to the first", where, code="not-supported")
            whole.segments |= {name: found for name, found in group.segments.items() if name == "TXA"}
        whole.observations += group.observations
    if not whole.segments:  # no order: everything stands by itself
        for segment in message.segments:
            if segment.name == "OBX":
                whole.observations.append([segment])
            elif segment.name == "NTE" and whole.observations:
                whole.observations[-1].append(segment)
            elif segment.name in ("TXA", "ZDS"):
                whole.segments.setdefault(segment.name, []).append(segment)
    return whole
