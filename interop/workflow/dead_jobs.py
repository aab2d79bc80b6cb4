"""Dead letters of every kind: what each is about, how it is owed again, and how it is given up.

A job alone is not always all there is of a matter: a message, a correction of tags, a subscription say themselves how
they stand, and have to agree with the job. What such a kind needs beside its job is done here, in the same commit.
"""

from __future__ import annotations

from dataclasses import dataclass

from interop.audit.event import Event
from interop.errors import ConflictError, NotFoundError
from interop.fhir.references import patient_of
from interop.store import Job, MessageRow, Stored, Tx
from interop.workflow import outbox, report_documents, tag_corrections

# What a job is to the scopes: whoever may change that may have it tried again, whoever may delete that may drop it.
TYPES = {
    "send": "MessageHeader",
    "overdue": "MessageHeader",
    "worklist": "ServiceRequest",
    tag_corrections.KIND: "ImagingStudy",
    report_documents.KIND: "DiagnosticReport",
    "notice": "Subscription",
    "notify": "Subscription",
    "subscription": "Subscription",
    "heartbeat": "Subscription",
}
_SUBSCRIBERS = ("notify", "subscription", "heartbeat")
_REFERRED = {"worklist": "order", report_documents.KIND: "report"}  # kinds whose payload has the id of their type


@dataclass(frozen=True, slots=True)
class DeadJob:
    """A dead letter and what it is about."""

    job: Job
    about: str  # a reference, urn:oid: of a study, or the number of a message
    patient: str | None = None


def listed(tx: Tx, kinds: list[str], *, before: int | None = None, limit: int = 100) -> list[DeadJob]:
    """The dead letters of these kinds, newest first."""
    return [_told(tx, job) for job in tx.dead_jobs(kinds=kinds, before=before, limit=limit)]


def find(tx: Tx, id: int) -> DeadJob:
    """The dead letter of this number; NotFoundError where there is none."""
    job = tx.dead_job(id)
    if job is None:
        raise NotFoundError(f"there is no dead letter {id}")
    return _told(tx, job)


def retry(tx: Tx, dead: DeadJob) -> None:
    """Owe it again. ConflictError where its subscription has to be requested anew, or its message is dead no more."""
    job = dead.job
    if job.kind == "send":
        outbox.resend(tx, _message(tx, job))
    elif job.kind in _SUBSCRIBERS and _in_error(tx, job):
        raise ConflictError(f"{dead.about} is in error: PUT it with status requested, and its dead letters go out")
    else:
        if job.kind == tag_corrections.KIND:
            tag_corrections.again(tx, str(job.payload["study"]))
        if not tx.replay_job(job.id):
            raise ConflictError(f"job {job.id} is no dead letter any more")
    tx.audit(_event(dead, "retry"))


def drop(tx: Tx, dead: DeadJob) -> None:
    """Give it up; what it was about keeps the state that its failure left. ConflictError where somebody was faster."""
    row = tx.message(int(dead.job.payload["message"])) if dead.job.kind == "send" else None
    if row is not None and row.state == "dead":
        outbox.drop(tx, row)
    elif not tx.drop_job(dead.job.id):
        raise ConflictError(f"job {dead.job.id} is no dead letter any more")
    tx.audit(_event(dead, "drop"))


def _event(dead: DeadJob, subtype: str) -> Event:
    entity = None if dead.about.startswith("message ") else dead.about
    detail = f"job {dead.job.id} ({dead.job.kind}), {dead.about}"
    return Event("steering", subtype, "U", patient=dead.patient, entity=entity, detail=detail)


def _message(tx: Tx, job: Job) -> MessageRow:
    row = tx.message(int(job.payload["message"]))
    if row is None:
        raise ConflictError(f"there is no message {job.payload['message']} any more: the job can only be dropped")
    if row.state != "dead":
        raise ConflictError(
            f"message {row.id} is {row.state} by now: drop the job; interop hl7 resend sends it once more"
        )
    return row


def _in_error(tx: Tx, job: Job) -> bool:
    stored = tx.read("Subscription", str(job.payload["subscription"]))
    return stored is not None and not stored.deleted and stored.resource()["status"] == "error"


def _told(tx: Tx, job: Job) -> DeadJob:
    told, type_ = job.payload, TYPES.get(job.kind, "")
    if "message" in told:
        row = tx.message(int(told["message"]))
        order = tx.order(row.order_id) if row is not None and row.order_id else None
        return DeadJob(job, f"message {told['message']}", f"Patient/{order.patient_id}" if order else None)
    if job.kind == tag_corrections.KIND:
        uid = str(told["study"])
        return DeadJob(job, f"urn:oid:{uid}", _patient(tx.study(uid)))
    if job.kind in _REFERRED:
        id = str(told[_REFERRED[job.kind]])
        return DeadJob(job, f"{type_}/{id}", _patient(tx.read(type_, id)))
    if "subscription" in told:
        return DeadJob(job, f"Subscription/{told['subscription']}")
    return DeadJob(job, job.key)


def _patient(stored: Stored | None) -> str | None:
    return None if stored is None or stored.deleted else patient_of(stored.resource())
