"""The audit events of FHIR interactions, written in the transaction of the interaction itself."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from interop.audit.event import Event
from interop.errors import InteropError
from interop.fhir.primitives import valid_id
from interop.fhir.references import patient_of
from interop.fhir_api.calls import Call
from interop.store import Stored, Tx

_ACTIONS = {
    "read": "R",
    "vread": "R",
    "history-instance": "R",
    "history-type": "R",
    "history-system": "R",
    "create": "C",
    "update": "U",
    "patch": "U",
    "delete": "D",
}
_SEARCHES = ("search-type", "search-system")


def done(tx: Tx, call: Call, *, patient: str | None = None, entity: str | None = None) -> None:
    """The interaction was carried out."""
    about = None if call.type == "AuditEvent" else patient  # reading the trail is not touching the patient
    tx.audit(_event(call, patient=about, entity=entity))


def done_about(tx: Tx, call: Call, rows: Sequence[Stored]) -> None:
    """The interaction gave out these: one event for each patient among them, or one that names none."""
    patients = {} if call.type == "AuditEvent" else dict.fromkeys(map(patient_in, rows))
    named = [patient for patient in patients if patient is not None]
    for patient in named:
        done(tx, call, patient=patient)
    if not named:
        done(tx, call)


def refused(tx: Tx, call: Call, error: InteropError) -> None:
    """The interaction was refused; the patient is named where it is known whose data it was about."""
    patient, entity = _target(tx, call)
    tx.audit(_event(call, patient=patient, entity=entity, outcome="4", detail=f"{error.status} {error.issues[0].code}"))


def versioned(stored: Stored) -> str:
    """``Type/id/_history/n``."""
    return f"{stored.type}/{stored.id}/_history/{stored.version}"


def _event(
    call: Call, *, patient: str | None, entity: str | None, outcome: str = "0", detail: str | None = None
) -> Event:
    return Event(
        kind="rest",
        subtype=call.interaction,
        action=_ACTIONS.get(call.interaction, "E"),
        outcome=outcome,
        patient=patient,
        entity=entity,
        query=_query(call),
        detail=detail,
    )


def _query(call: Call) -> str | None:
    """What a search asked, as BALP has it: the request line below the base."""
    if call.interaction == "operation":
        return "/".join(part for part in (call.type, call.id, f"${call.operation}") if part)
    if call.interaction not in _SEARCHES:
        return None
    path = f"{call.compartment}/{call.type or '*'}" if call.compartment else call.type
    return f"{path}?{call.query}" if call.query else path


def _target(tx: Tx, call: Call) -> tuple[str | None, str | None]:
    if call.interaction in _SEARCHES:
        return call.compartment or _patient_asked(call), None
    if call.id:
        stored = tx.read(call.type, call.id)
        patient = None
        if stored is not None and call.type != "AuditEvent":
            patient = f"Patient/{call.id}" if call.type == "Patient" else patient_in(stored)
        if patient is None and call.resource is not None:
            patient = patient_of(call.resource)
        return patient, f"{call.type}/{call.id}"
    return (patient_of(call.resource) if call.resource is not None and call.type != "Patient" else None), None


def _patient_asked(call: Call) -> str | None:
    """The one patient that a search names."""
    for name, value in call.params:
        if name == "patient" or name == "subject" or (name == "_id" and call.type == "Patient"):
            id = value.removeprefix("Patient/")
            if valid_id(id):
                return f"Patient/{id}"
    return None


def patient_in(stored: Stored) -> str | None:
    """The patient of a stored body; only looked at, so decimals may be read as floats."""
    return patient_of(orjson.loads(stored.body)) if stored.body else None
