"""What others are told: messages rendered once, kept, and owed as jobs in the commit that made them true.

The same bytes go out at every attempt (design law 3). A change is never told to the peer it came from.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from interop.audit.event import Event
from interop.errors import ConflictError, InvalidContentError, Issue
from interop.fhir.references import references
from interop.fhir.scheduled_steps import has_steps
from interop.hl7.charsets import UTF8
from interop.hl7.message import parse
from interop.hl7.writing import UnwritableError
from interop.mapping.outbound import OrderStep, merge_message, order_message, report_message
from interop.mapping.peers import Receiver
from interop.store import MessageRow, OrderRow, PeerNote, Stored, Tx
from interop.workflow.former_numbers import OLD
from interop.workflow.site import Site
from interop.workflow.steps_told import steps_told

Resource = dict[str, Any]

REPORT, MERGE = "ORU^R01", "ADT^A40"
STATUS_CHANGED = "SC"  # ORC-1 of every event that has no code of its own
_NAMED = frozenset({"Practitioner", "PractitionerRole", "Organization"})
_MARKS = tuple(f'"{type_}/'.encode() for type_ in sorted(_NAMED))


def tell_order(tx: Tx, site: Site, resource: Resource, event: str, row: OrderRow, former: Stored | None = None) -> None:
    """The order, to everybody who takes orders, as each takes them; ``former`` is the version before, if any."""
    receivers = [one for one in _others(tx, site) if one.order_type]
    if not receivers:
        return
    patient = tx.get("Patient", row.patient_id).resource()
    resolved = named_in(tx, resource)
    steps: list[OrderStep] = []
    if has_steps(resource):
        told = steps_told(former.resource() if former else None, resource, event, tx.order_steps(row.id))
        steps = [replace(step, control=_control(site, step.control)) for step in told]
    for receiver in receivers:
        render = partial(
            order_message,
            resource,
            patient,
            control=_control(site, event),
            control_id=control_id(tx, site),
            now=tx.now,
            zone=site.zone,
            facility=site.facility,
            tables=site.tables,
            modality=row.modality,
            station=row.stations[0] if len(row.stations) == 1 else None,
            resolved=resolved,
            steps=steps,
        )
        _owe(tx, receiver, render, resource["id"], f"ServiceRequest/{resource['id']}")


def _control(site: Site, event: str) -> str:
    return event if event in site.tables.codes["event_out"].rows else STATUS_CHANGED


def tell_merge(tx: Tx, site: Site, survivor: Resource, prior: Resource) -> None:
    """That two numbers are one person's, to everybody who takes merges; ``prior`` has the numbers that are gone."""
    known = [
        any(one.get("value") and one.get("use") != OLD for one in patient.get("identifier", ()))
        for patient in (survivor, prior)
    ]
    if not all(known):
        return  # nobody else could tell who is meant
    for receiver in _others(tx, site):
        if MERGE in receiver.types:
            render = partial(
                merge_message,
                survivor,
                prior,
                control_id=control_id(tx, site),
                now=tx.now,
                zone=site.zone,
                facility=site.facility,
                tables=site.tables,
            )
            _owe(tx, receiver, render, None, f"Patient/{survivor['id']}")


def tell_report(tx: Tx, site: Site, report: Resource, row: OrderRow | None) -> None:
    """The report, to everybody who takes reports."""
    receivers = [one for one in _others(tx, site) if REPORT in one.types]
    subject = str(report.get("subject", {}).get("reference", ""))
    if not receivers or not subject.startswith("Patient/"):
        return
    patient = tx.get("Patient", subject.removeprefix("Patient/")).resource()
    order = tx.get("ServiceRequest", row.id).resource() if row is not None else None
    observations = [
        found.resource()
        for item in report.get("result", ())
        if (found := _observation(tx, str(item.get("reference", "")))) is not None
    ]
    resolved = named_in(tx, report) | (named_in(tx, order) if order else {})
    for receiver in receivers:
        render = partial(
            report_message,
            report,
            observations,
            patient,
            order,
            row.study_uid if row is not None else None,
            control_id=control_id(tx, site),
            now=tx.now,
            zone=site.zone,
            facility=site.facility,
            tables=site.tables,
            resolved=resolved,
        )
        _owe(tx, receiver, render, row.id if row else None, f"DiagnosticReport/{report['id']}")


def named_in_stored(tx: Tx, stored: Stored, resource: Resource) -> dict[str, Resource]:
    """``named_in`` of a resource as it is stored, whose bytes tell whether it names anybody at all."""
    return named_in(tx, resource) if any(mark in stored.body for mark in _MARKS) else {}


def named_in(tx: Tx, resource: Resource) -> dict[str, Resource]:
    """The people and organisations that a resource refers to, by reference: for their names.

    Of somebody in a role (PractitionerRole), who that is and for whom they act, too.
    """
    found: dict[str, Resource] = {}
    waiting = [reference for _, reference in references(resource)]
    while waiting:
        reference = waiting.pop(0)
        type_, _, id = reference.partition("/")
        if type_ in _NAMED and reference not in found:
            stored = tx.read(type_, id)
            if stored is not None and not stored.deleted:
                found[reference] = stored.resource()
                waiting += [each for _, each in references(found[reference])] if type_ == "PractitionerRole" else []
    return found


def _observation(tx: Tx, reference: str) -> Any:
    type_, _, id = reference.partition("/")
    found = tx.read("Observation", id) if type_ == "Observation" else None
    return None if found is None or found.deleted else found


def _others(tx: Tx, site: Site) -> list[Receiver]:
    """The receivers, without the one from which this came."""
    origin = tx.agent.who if tx.agent.kind == "peer" else None
    return [one for one in site.receivers if f"{one.application}|{one.facility}" != origin]


def control_id(tx: Tx, site: Site) -> str:
    """MSH-10: at most 20 characters (v2.5.1 2.15.9.10), never used twice."""
    return f"{site.facility}{tx.next_number('control-id'):012d}"


def resend(tx: Tx, row: MessageRow) -> None:
    """Owe a message again, with the same bytes; one that is owed already is tried now.

    ConflictError for one that somebody is at; InvalidContentError for one that came in.
    """
    key, payload = _job_of(row)
    owed = tx.find_job("send", key, payload)
    if row.state != "queued":
        tx.move_message(row.id, "queued", row.state)
    if owed is None:
        tx.enqueue("send", key, payload)
    elif owed[1] == "dead":
        tx.replay_job(owed[0])
    else:
        tx.hasten_job(owed[0])


def drop(tx: Tx, row: MessageRow) -> None:
    """Give a message up that waits, is unanswered or is a dead letter; it is kept, and marked so.

    ConflictError for one that was sent or is on its way at this moment; InvalidContentError for one that came in.
    """
    key, payload = _job_of(row)
    if row.state not in ("queued", "dead", "unanswered"):
        raise ConflictError(
            f"message {row.id} is {row.state}: only a queued, an unanswered or a dead one can be given up"
        )
    owed = tx.find_job("send", key, payload)
    if owed is not None and not tx.drop_job(owed[0]):
        raise ConflictError(f"message {row.id} is on its way to {row.peer} at this moment")
    tx.move_message(row.id, "dropped", row.state)


def owe_row(tx: Tx, row: MessageRow, *, run_at: datetime | None = None) -> None:
    """Owe a queued message to its receiver."""
    key, payload = _job_of(row)
    tx.enqueue("send", key, payload, run_at=run_at)


def settle(
    tx: Tx, row: MessageRow, state: str, code: str | None = None, ack: bytes | None = None, why: str = ""
) -> None:
    """The message's end by another way than its job, which goes unless somebody is at it."""
    key, payload = _job_of(row)
    issues = [Issue("processing", why).row()] if why else []
    took = int((tx.now - row.at).total_seconds() * 1e6)
    tx.update_message(row.id, state=state, ack_code=code, ack=ack, took=row.took or took, attempts=1, issues=issues)
    owed = tx.find_job("send", key, payload)
    if owed is not None:
        tx.drop_job(owed[0])


def _job_of(row: MessageRow) -> tuple[str, dict[str, int]]:
    if row.direction != "out":
        raise InvalidContentError(f"message {row.id} came in: it can be replayed, not sent")
    about = row.order_id or next((each.partition("/")[2] for each in row.touched), "")
    return f"{row.peer}:{about}", {"message": row.id}


class _Render(Protocol):
    """A message as one receiver takes it."""

    def __call__(self, *, receiver: Receiver) -> bytes: ...


def _owe(tx: Tx, receiver: Receiver, render: _Render, order_id: str | None, about: str) -> None:
    """Keep the message, and owe it.

    What the receiver's character set cannot say keeps nobody's order from being taken: the message is a dead letter in
    UTF-8 that says so, for somebody to decide about.
    """
    try:
        raw, unsaid = render(receiver=receiver), ""
    except UnwritableError as error:
        raw = render(receiver=replace(receiver, charset=UTF8))
        unsaid = f"{error.text}, the character set of {receiver.name} ({error.issues[0].location}); kept in {UTF8}"
    message = parse(raw)
    application, facility = message.sender
    id = tx.add_message(
        direction="out",
        peer=receiver.name,
        application=application,
        facility=facility,
        control_id=message.control_id,
        type=message.type,
        raw=raw,
        body_hash=hashlib.sha256(raw).hexdigest(),
        state="dead" if unsaid else "queued",
        issues=[Issue("processing", unsaid).row()] if unsaid else (),
        order_id=order_id,
        touched=about,
    )
    if unsaid:
        tx.note_peers([PeerNote("out", receiver.name, last_error=unsaid, last_error_at=tx.now)])
        tx.audit(Event("alert", "message-unwritable", "E", outcome="4", entity=about, detail=f"message {id}: {unsaid}"))
    else:
        tx.enqueue("send", f"{receiver.name}:{order_id or about.partition('/')[2]}", {"message": id})
