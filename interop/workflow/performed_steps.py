"""What modalities say that they do (MPPS): kept as said, and the order that it was scheduled by moved on.

What happened is a fact, whatever the order says: a step that nobody scheduled, of another patient than its order, or
whose order is closed, is kept and audited and moves nothing.
"""

from __future__ import annotations

import json
from dataclasses import replace

from interop.audit.event import Event
from interop.dicom.performed_step import (
    COMPLETED,
    DISCONTINUED,
    PerformedStep,
    Scheduled,
    check_change,
    check_creation,
    laid_over,
)
from interop.dicom.study import StudyFacts
from interop.errors import ConflictError, ForbiddenError, NotFoundError
from interop.fhir import names
from interop.fhir.query import Identity
from interop.store import OrderRow, PerformedRow, Tx
from interop.workflow import orders
from interop.workflow.lifecycle import MODALITY, TABLE, State
from interop.workflow.matching import is_patient
from interop.workflow.site import Site

WRONG_ENTRY = "110514"  # DCM, CID 9300: Incorrect worklist entry selected


class DuplicateStepError(ConflictError):
    """There is a performed step of this SOP Instance UID."""


class ClosedStepError(ConflictError):
    """The performed step is COMPLETED or DISCONTINUED: it changes no more (PS3.4 F.7.2.2.2)."""


class OtherStationError(ForbiddenError):
    """The performed step is another station's: whoever created it ends it."""


def begin(tx: Tx, site: Site, uid: str, step: PerformedStep) -> PerformedRow:
    """N-CREATE: keep the new step and start its order.

    DuplicateStepError; MissingAttributeError and StepStatusError for what it lacks.
    """
    check_creation(step)
    tx.lock(f"performed:{uid}")
    if tx.performed_step(uid) is not None:
        raise DuplicateStepError(f"the performed procedure step {uid} is known already")
    order, by = _order_of(tx, site, step)
    if order is not None and _is_anothers(tx, site, order, step):
        order, by = None, "the step names another patient than its order, which is not moved"
    study_uid = next((one.study_uid for one in step.scheduled if one.study_uid), None)
    order_id = order.id if order else None
    row = PerformedRow(uid, step.status, tx.agent.who, order_id, study_uid, step.content, tx.now, tx.now)
    tx.put_performed_step(row)
    note = by if order is None else _moved(tx, site, order, "start", _step_id(row))
    _record(tx, row, order, "n-create", "C", note)
    return row


def change(tx: Tx, site: Site, uid: str, step: PerformedStep) -> PerformedRow:
    """N-SET: lay the change over the step, and move its order where the step ended.

    NotFoundError; OtherStationError for who did not create it (by AE title: several stations may stand behind one
    address); ClosedStepError after a final state; StepStatusError for a status that is none.
    """
    check_change(step)
    tx.lock(f"performed:{uid}")
    before = tx.performed_step(uid)
    if before is None:
        raise NotFoundError(f"there is no performed procedure step {uid}")
    if before.station != tx.agent.who:
        raise OtherStationError(f"only {before.station}, which created the step, may change it")
    if before.state in (COMPLETED, DISCONTINUED):
        raise ClosedStepError(f"the performed procedure step is {before.state}: it changes no more")
    content, refused = laid_over(before.content, step.content)
    row = replace(before, state=step.status or before.state, content=content, updated=tx.now)
    tx.put_performed_step(row)
    order = tx.order(row.order_id) if row.order_id else None
    notes = [f"kept as they were: {', '.join(refused)}"] if refused else []
    if order is not None and row.state != before.state:
        notes.append(_moved(tx, site, order, _event_of(tx, row, step), _step_id(row)))
    _record(tx, row, order, "n-set", "U", "; ".join(note for note in notes if note))
    return row


def _event_of(tx: Tx, row: PerformedRow, step: PerformedStep) -> str:
    """What the end of this step means for its order; where another was done or goes on, nothing is undone."""
    if row.state == COMPLETED or row.order_id is None:
        return "performed"
    others = [
        one
        for one in tx.performed_steps(row.order_id)
        if one.uid != row.uid and one.state != DISCONTINUED and _step_id(one) == _step_id(row)
    ]
    if others:
        return "performed"
    return "set-back" if step.reason == WRONG_ENTRY and not _imaged(tx, row) else "discontinue"


def _imaged(tx: Tx, row: PerformedRow) -> bool:
    if row.study_uid is None or tx.study(row.study_uid) is None:
        return False
    if row.order_id is None or not tx.order_steps(row.order_id):
        return True
    return _step_id(row) in json.loads(tx.get_state(f"performed:{row.study_uid}") or "[]")


def _step_id(row: PerformedRow) -> str:
    """The id of the scheduled step that was performed, "" where none is told."""
    items = row.content.get("00400270", {}).get("Value") or [{}]
    return str((items[0].get("00400009", {}).get("Value") or [""])[0] or "").strip()


def _moved(tx: Tx, site: Site, order: OrderRow, event: str, step_id: str) -> str:
    """Move the order, or the very step of an order with several, where the table lets it; else why it stays."""
    steps = tx.order_steps(order.id)
    step = next((one for one in steps if one.step_id == step_id), None)
    if steps and step is None:
        return "the order has several steps and none of that id: none is moved"
    at = step or order
    state = State(at.status, at.step)
    target = TABLE.get((MODALITY, state, event))
    if target is None:
        return f"the {'step' if steps else 'order'} is {state} and stays so"
    if target != state:
        begun = event != "set-back" or (order.study_uid is not None and tx.study(order.study_uid) is not None)
        orders.advance_order(tx, site, order, event, MODALITY, step=step_id if steps else None, begun=begun)
    return ""


def _order_of(tx: Tx, site: Site, step: PerformedStep) -> tuple[OrderRow | None, str]:
    """The one order that the step was scheduled by, or why there is none."""
    found = {row.id: row for one in step.scheduled if (row := _scheduled_by(tx, site, one)) is not None}
    if len(found) == 1:
        return next(iter(found.values())), ""
    if found:
        return None, "several orders in one step (group case): none is moved"
    return None, "unscheduled"


def _is_anothers(tx: Tx, site: Site, order: OrderRow, step: PerformedStep) -> bool:
    issuer = next(iter(step.content.get("00100021", {}).get("Value", ())), None)
    named = StudyFacts("", patient_id=step.patient_id or None, issuer=str(issuer) if issuer else None)
    return is_patient(tx, site, order, named) is False


def _scheduled_by(tx: Tx, site: Site, one: Scheduled) -> OrderRow | None:
    """By the study that the worklist gave out, else by accession number and scheduled step."""
    if one.study_uid:
        rows = tx.find_orders(study_uid=one.study_uid, limit=1)
        if rows:
            return rows[0]
    if not one.accession:
        return None
    rows = tx.find_orders(accession=Identity(names.accession_system(site.facility), one.accession), limit=1)
    if not rows:
        held = (tx.order(stored.id) for stored in tx.by_identifier("ServiceRequest", None, one.accession))
        rows = [row for row in held if row is not None and row.accession and row.accession.value == one.accession]
    if len(rows) != 1:
        return None
    known = [step.step_id for step in tx.order_steps(rows[0].id)] or [rows[0].step_id or one.step_id]
    return rows[0] if not one.step_id or one.step_id in known else None


def _record(tx: Tx, row: PerformedRow, order: OrderRow | None, verb: str, action: str, note: str) -> None:
    tx.audit(
        Event(
            "performed-step",
            verb,
            action,
            patient=f"Patient/{order.patient_id}" if order else None,
            entity=f"ServiceRequest/{order.id}" if order else (f"urn:oid:{row.study_uid}" if row.study_uid else None),
            detail=f"MPPS {row.uid} {row.state}" + (f": {note}" if note else ""),
        )
    )
