"""Tags of a study in the archive, made those of the order that a person has matched it to, and put back by an undo.

What is wanted of a study is one row; the job makes the archive equal it, so the newest wins: an undo that comes while a
correction is under way turns it round.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC
from typing import Any

from interop.audit.event import Event
from interop.dicom.corrections import CORRECTED, Mark
from interop.errors import ConflictError
from interop.fhir import names
from interop.mapping.patient_facts import Known
from interop.mapping.worklist import worklist_attributes
from interop.store import OrderRow, Tx
from interop.workflow.outbox import named_in_stored
from interop.workflow.site import Site

Resource = dict[str, Any]

KIND = "tags"  # of the job; its key is the StudyInstanceUID
CORRECT, RESTORE = "correct", "restore"
DONE, FAILED = "done", "failed"
_ROW = "tags:"


@dataclass(frozen=True, slots=True)
class Correction:
    """What is wanted of a study's tags, and how far it is."""

    verb: str  # correct | restore
    order: str
    archive: str
    system: str  # ModifyingSystem
    moment: str  # AttributeModificationDateTime: names the correction, also for the restoring of it
    wanted: Resource  # values by keyword
    identifiers: list[Resource] = field(default_factory=list)  # the study's accession numbers before
    asked_by: str = ""
    asked_at: str = ""
    state: str = "asked"  # asked | running | done | failed
    phase: str = "in-place"  # in-place | moving | leaving
    after: str = ""  # the instance that was looked at last in place
    stuck: int = 0  # how often files were left under another PatientID though nothing could be changed
    done: int = 0
    changed: int = 0
    total: int | None = None
    ended_at: str | None = None
    error: str | None = None

    @property
    def mark(self) -> Mark:
        """How the instances name it."""
        return Mark(self.system, self.moment)

    def shown(self) -> Resource:
        """As the API answers: without the values themselves."""
        hidden = ("wanted", "identifiers", "after", "stuck", "system")
        return {name: value for name, value in asdict(self).items() if name not in hidden}


def read(tx: Tx, uid: str) -> Correction | None:
    """What is wanted of a study's tags; None where nobody has asked for anything."""
    text = tx.get_state(_ROW + uid)
    return None if text is None else Correction(**json.loads(text))


def ask(tx: Tx, site: Site, uid: str, row: OrderRow) -> Correction:
    """Have the study's tags corrected to the order's; the same again changes nothing.

    ConflictError where its archive is no Orthanc, or an earlier correction is still being put back.
    """
    present = read(tx, uid)
    if present is not None and present.state != DONE and present.verb == RESTORE:
        raise ConflictError("an earlier correction of this study is still being put back")
    if present is not None and present.verb == CORRECT and present.state != FAILED:
        return present
    archive = tx.archive_of_study(uid) or site.archive
    if archive not in site.rewritable:
        raise ConflictError(f"archive {archive} is not of a kind whose files can be rewritten from here")
    asked = Correction(
        CORRECT,
        row.id,
        archive,
        f"INTEROP {site.facility}",
        f"{tx.now.astimezone(UTC):%Y%m%d%H%M%S.%f}+0000",
        _wanted(tx, site, row),
        [one for one in _study(tx, uid)["identifier"] if _is_accession(one)],
        tx.agent.who,
        tx.now.isoformat(timespec="seconds"),
    )
    if present is not None and present.verb == CORRECT:  # it failed: files it has reached bear its mark, for the undo
        asked = replace(asked, moment=present.moment, changed=present.changed)
    _enqueue(tx, uid, asked)
    return asked


def ask_back(tx: Tx, uid: str) -> bool:
    """Have what was corrected put back; whether there was anything, or an earlier attempt at it had failed."""
    present = read(tx, uid)
    if present is None or (present.verb == RESTORE and present.state != FAILED):
        return False
    now = tx.now.isoformat(timespec="seconds")
    back = Correction(
        RESTORE,
        present.order,
        present.archive,
        present.system,
        present.moment,
        present.wanted,
        present.identifiers,
        tx.agent.who,
        now,
    )
    _enqueue(tx, uid, back)
    return True


def again(tx: Tx, uid: str) -> None:
    """Have what failed tried again from its beginning, under the same mark; nothing where it has not failed."""
    tx.lock(f"study:{uid}")
    present = read(tx, uid)
    if present is not None and present.state == FAILED:
        fresh = replace(present, state="asked", error=None, ended_at=None, phase="in-place", after="", stuck=0)
        _write(tx, uid, replace(fresh, done=0, total=None))


def keep(tx: Tx, uid: str, reached: Correction) -> None:
    """How far the job is; it goes on with the next part. Not where something else is wanted by now."""
    if _still(tx, uid, reached):
        _write(tx, uid, reached)
        tx.enqueue(KIND, uid, {"study": uid}, replace=True)


def finish(tx: Tx, uid: str, reached: Correction) -> None:
    """The archive has it: the ImagingStudy follows."""
    if not _still(tx, uid, reached):
        return
    _write(tx, uid, replace(reached, state=DONE, ended_at=tx.now.isoformat(timespec="seconds")))
    stored = tx.study(uid)
    if stored is None or stored.deleted:
        return
    study = stored.resource()
    others = [one for one in study["identifier"] if not _is_accession(one)]
    tx.put_study(study | {"identifier": [*others, *_accessions(tx, reached)]}, ())
    subtype = "tags-corrected" if reached.verb == CORRECT else "tags-restored"
    detail = f"ServiceRequest/{reached.order}: {reached.changed} instances"
    tx.audit(
        Event("match", subtype, "U", patient=study["subject"]["reference"], entity=f"urn:oid:{uid}", detail=detail)
    )


def fail(tx: Tx, uid: str, reached: Correction, why: str) -> None:
    """It cannot be done: trying again would change nothing."""
    if not _still(tx, uid, reached):
        return
    _write(tx, uid, replace(reached, state=FAILED, error=why, ended_at=tx.now.isoformat(timespec="seconds")))
    tx.audit(Event("match", f"tags-{reached.verb}", "U", "8", entity=f"urn:oid:{uid}", detail=why))


def _enqueue(tx: Tx, uid: str, wanted: Correction) -> None:
    _write(tx, uid, wanted)
    tx.drop_dead(KIND, uid)
    tx.enqueue(KIND, uid, {"study": uid}, replace=True)
    tx.audit(
        Event("match", f"tags-{wanted.verb}", "U", entity=f"urn:oid:{uid}", detail=f"ServiceRequest/{wanted.order}")
    )


def _write(tx: Tx, uid: str, wanted: Correction) -> None:
    tx.set_state(_ROW + uid, json.dumps(asdict(wanted)))


def _still(tx: Tx, uid: str, reached: Correction) -> bool:
    tx.lock(f"study:{uid}")
    now = read(tx, uid)
    return now is not None and (now.verb, now.moment) == (reached.verb, reached.moment)


def _wanted(tx: Tx, site: Site, row: OrderRow) -> Resource:
    """What a modality would have got from the worklist for this order."""
    stored = tx.get("ServiceRequest", row.id)
    attributes = worklist_attributes(
        stored.resource(),
        tx.get("Patient", row.patient_id).resource(),
        station_aet="NONE",
        modality=row.modality or "OT",
        start=row.start or tx.now,
        zone=site.zone,
        facility=site.facility,
        tables=site.tables,
        known=Known(named_in_stored(tx, stored, stored.resource())),
    )
    return {keyword: attributes[keyword] for keyword in CORRECTED if attributes.get(keyword)}


def _study(tx: Tx, uid: str) -> Resource:
    stored = tx.study(uid)
    return stored.resource() if stored is not None else {"identifier": []}


def _accessions(tx: Tx, reached: Correction) -> list[Resource]:
    if reached.verb == RESTORE:
        return reached.identifiers
    row = tx.order(reached.order)
    if row is None or row.accession is None:
        return []
    kind = {"coding": [{"system": names.V2_0203, "code": "ACSN"}]}
    return [{"type": kind, "system": row.accession.system, "value": row.accession.value}]


def _is_accession(identifier: Resource) -> bool:
    return any(coding.get("code") == "ACSN" for coding in identifier.get("type", {}).get("coding", ()))
