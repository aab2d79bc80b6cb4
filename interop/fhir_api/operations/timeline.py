"""ServiceRequest/[id]/$timeline: everything that happened to an order, message by message.

An operation of ours (``profiles/OperationDefinition-ServiceRequest-timeline.json``). Versions of the order and of what
refers to it, HL7 messages in and out, and what the audit trail says beyond them; no payloads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from interop.access import decide
from interop.audit.event import AuditRow
from interop.errors import GoneError, NotFoundError
from interop.fhir.json import dumps
from interop.fhir.names import EXT_STEP
from interop.fhir.query import Clause, Query, ReferenceValue
from interop.fhir_api import trail
from interop.fhir_api.bundles import instant_text
from interop.fhir_api.calls import Answer, Call, Surroundings
from interop.fhir_api.operations.gathering import gathered
from interop.fhir_api.operations.operation import Operation, arguments, only
from interop.store import MessageRow, Stored, Tx

_OF_ORDER = {"ImagingStudy": "basedon", "DiagnosticReport": "based-on", "Appointment": "based-on"}
_MOST = 1000  # of each kind of thing
_TOLD = ("rest", "hl7")  # kinds of audit event that the other rows tell of, unless they were refusals


@dataclass(frozen=True, slots=True)
class _Happening:
    """One line of the timeline."""

    at: datetime
    kind: str  # order | message-in | message-out | study | report | appointment | access
    what: str
    outcome: str  # success | refused | waiting | failed
    who: str = ""
    about: str = ""  # a reference

    def parameter(self) -> dict[str, Any]:
        """As a part of Parameters."""
        parts: list[dict[str, Any]] = [
            {"name": "at", "valueInstant": instant_text(self.at)},
            {"name": "kind", "valueCode": self.kind},
            {"name": "what", "valueString": self.what},
            {"name": "outcome", "valueCode": self.outcome},
        ]
        if self.who:
            parts.append({"name": "who", "valueString": self.who})
        if self.about:
            parts.append({"name": "about", "valueReference": {"reference": self.about}})
        return {"name": "event", "part": parts}


def _perform(tx: Tx, _around: Surroundings, call: Call) -> Answer:
    only(arguments(call))
    stored = tx.read("ServiceRequest", call.id)
    if stored is None:
        decide(tx.agent, "r", "ServiceRequest")
        raise NotFoundError(f"there is no ServiceRequest/{call.id}")
    if stored.deleted:
        decide(tx.agent, "r", "ServiceRequest")
        raise GoneError(f"ServiceRequest/{call.id} was deleted")
    patient = trail.patient_in(stored)
    decide(tx.agent, "r", "ServiceRequest", patient=patient)
    happened = sorted(_happenings(tx, call.id), key=lambda one: one.at)
    trail.done(tx, call, patient=patient, entity=f"ServiceRequest/{call.id}")
    parameters = [one.parameter() for one in happened]
    return Answer(200, dumps({"resourceType": "Parameters", "parameter": parameters}))


def _happenings(tx: Tx, id: str) -> Iterator[_Happening]:
    yield from map(_of_order, _versions(tx, "ServiceRequest", id))
    for type, param in _OF_ORDER.items():
        clause = Clause(param, "reference", (ReferenceValue("ServiceRequest", id),))
        for row in gathered(tx, Query(type, (clause,)), most=_MOST):
            yield from (_of_other(version) for version in _versions(tx, type, row.id))
    yield from map(_of_message, tx.find_messages(order_id=id, limit=_MOST))
    about = Clause("entity", "reference", (ReferenceValue("ServiceRequest", id),))
    for event in tx.audit_rows(Query("AuditEvent", (about,), count=_MOST, sort="-_lastUpdated")):
        if event.event.kind not in _TOLD or event.event.outcome != "0" or event.event.action == "R":
            yield _of_audit(event)


def _versions(tx: Tx, type: str, id: str) -> list[Stored]:
    return tx.history(type, id, count=_MOST).rows


def _of_order(version: Stored) -> _Happening:
    resource = orjson.loads(version.body) if version.body else {}
    steps = [one.get("valueCode") for one in resource.get("extension", ()) if one.get("url") == EXT_STEP]
    said = [f"version {version.version}", resource.get("status", "deleted"), *filter(None, steps)]
    return _Happening(version.last_updated, "order", ", ".join(said), "success", about=trail.versioned(version))


_KINDS = {"ImagingStudy": "study", "DiagnosticReport": "report", "Appointment": "appointment"}


def _of_other(version: Stored) -> _Happening:
    resource = orjson.loads(version.body) if version.body else {}
    said = [f"version {version.version}", resource.get("status", "deleted")]
    if "numberOfInstances" in resource:
        said.append(f"{resource['numberOfInstances']} images in {resource.get('numberOfSeries', 0)} series")
    what, about = ", ".join(said), trail.versioned(version)
    return _Happening(version.last_updated, _KINDS[version.type], what, "success", about=about)


_MESSAGE_OUTCOMES = {
    "refused": "refused",
    "fault": "refused",
    "queued": "waiting",
    "unanswered": "waiting",
    "dead": "failed",
    "dropped": "failed",
}


def _of_message(row: MessageRow) -> _Happening:
    said = [row.type, f"control id {row.control_id}"]
    said += [f"answered {row.ack_code}"] if row.ack_code else []
    said += [f"{row.attempts} attempts"] if row.attempts > 1 else []
    said += [f"{len(row.issues)} remarks"] if row.issues else []
    who = row.peer if row.direction == "out" else f"{row.application}|{row.facility}"
    outcome = _MESSAGE_OUTCOMES.get(row.state, "success")
    return _Happening(row.at, f"message-{row.direction}", ", ".join(said), outcome, who)


def _of_audit(row: AuditRow) -> _Happening:
    event = row.event
    said = f"{event.kind} {event.subtype}" + (f" ({event.detail})" if event.detail else "")
    return _Happening(row.recorded, "access", said, "success" if event.outcome == "0" else "refused", row.agent.who)


TIMELINE = Operation(
    "timeline",
    "urn:interop:OperationDefinition:ServiceRequest-timeline",
    frozenset(("instance",)),
    _perform,
    frozenset(("ServiceRequest",)),
    frozenset(("GET", "POST")),
    gives="Parameters",
)
